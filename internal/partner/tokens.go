package partner

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// NewToken is what is needed to make a token.
type NewToken struct {
	Partner string              `json:"partner,omitempty"`
	Name    string              `json:"name,omitempty"`
	Roles   []access.Role       `json:"roles"`
	Scopes  []access.TokenScope `json:"scopes,omitempty"` // empty: all that the roles can use
	Life    time.Duration       `json:"life,omitempty"`   // zero: 30 days
	Own     bool                `json:"own,omitempty"`    // for the actor, with no more than the actor's roles
}

// MaxTokenLife bounds how long a token may live.
const MaxTokenLife = 400 * 24 * time.Hour

type tokenCreated struct {
	ID      string              `json:"id"`
	Partner string              `json:"partner"`
	Name    string              `json:"name"`
	Roles   []access.Role       `json:"roles"`
	Scopes  []access.TokenScope `json:"scopes"`
	Expires time.Time           `json:"expires"`
	Member  string              `json:"member,omitempty"`
}

// CreateToken makes a token of the actor's own partner, or with Own one of the
// actor's own, and returns its text, which is shown this once. A token that
// decides or manages is made by a person who proved presence, or in the
// operator's shell; a token makes none like it.
func (s *Service) CreateToken(ctx context.Context, by access.Actor, n NewToken) (Token, string, error) {
	now := s.o.Now()
	right := access.ManageTokens
	if n.Own {
		right = access.OwnTokens
	}
	if err := access.Allow(by, right, now); err != nil {
		return Token{}, "", err
	}
	if n.Partner == "" {
		n.Partner = by.Partner
	}
	if n.Partner != by.Partner && !by.Shell {
		return Token{}, "", problem.New(problem.Denied, "tokens are made by an administrator of their own partner", "ask that partner's administrator")
	}
	if n.Life == 0 {
		n.Life = 30 * 24 * time.Hour
	}
	var f problem.InvalidFields
	if len(n.Roles) == 0 {
		f.Add("roles", "name at least one role")
	}
	for _, r := range n.Roles {
		if !slices.Contains(access.Roles(), r) {
			f.Add("roles", "%q is not a role: use %s", r, join(access.Roles()))
		}
	}
	if slices.ContainsFunc(n.Roles, access.Role.Machine) && len(n.Roles) > 1 {
		f.Add("roles", "a token for an edge has the role edge alone, and one for a relay the role relay")
	}
	for _, c := range n.Scopes {
		if !slices.Contains(access.TokenScopes(), c) {
			f.Add("scopes", "%q is not a scope: use %s", c, join(access.TokenScopes()))
		}
	}
	if n.Own {
		for _, r := range n.Roles {
			if slices.Contains(access.Roles(), r) && !by.Has(r) {
				f.Add("roles", "you do not have the role %s yourself", r)
			}
		}
	}
	if n.Life < 0 || n.Life > MaxTokenLife {
		f.Add("life", "a token lives for up to 400 days")
	}
	if n.Name = clean(n.Name, 60); len(n.Name) > 60 {
		f.Add("name", "enter a name of up to 60 characters")
	}
	if err := f.Err(); err != nil {
		return Token{}, "", err
	}
	edge := slices.ContainsFunc(n.Roles, access.Role.Machine)
	if len(n.Scopes) == 0 {
		n.Scopes = []access.TokenScope{access.ScopeRead, access.ScopePropose, access.ScopeDecide, access.ScopeAdmin}
		if edge {
			n.Scopes = []access.TokenScope{access.ScopeFeed}
		}
	}
	if by.Token != "" && !edge {
		// A token has no presence to prove: it makes none that decides, nor any
		// that can do more than itself.
		for _, c := range n.Scopes {
			if c == access.ScopeDecide || !slices.Contains(by.Scopes, c) {
				return Token{}, "", problem.Newf(problem.Denied, "a token cannot make a token with the scope %s", c).
					WithFix("sign in as an administrator and make it there, or name fewer scopes")
			}
		}
	}
	secret := TokenPrefix + random(32)
	if edge {
		secret = TokenPrefix + "edge_" + random(32) + "_" + s.o.NodeKey
	}
	t, err := journal.DoSecret(ctx, s.o.Log, by, "token.create", now, func(tx *journal.Tx) (t Token, err error) {
		if _, err := Load(tx, n.Partner); err != nil {
			return t, err
		}
		seq, err := tx.Next("token")
		if err != nil {
			return t, err
		}
		body := tokenCreated{ID: fmt.Sprintf("t%d", seq), Partner: n.Partner, Name: n.Name, Roles: n.Roles, Scopes: n.Scopes, Expires: now.Add(n.Life).UTC().Truncate(time.Millisecond)}
		if n.Own {
			body.Member = by.Member
		}
		if body.Name == "" {
			body.Name = body.ID
			if edge {
				body.Name = n.Partner + "-" + body.ID
			}
		}
		e := journal.New("token.created", by, now, body, journal.Ref{Kind: KindToken, ID: body.ID}, journal.Ref{Kind: KindPartner, ID: n.Partner})
		e.Audience = access.Audience{TLP: access.AmberStrict, Origin: n.Partner}
		if _, err := tx.Append(e); err != nil {
			return t, err
		}
		if err := tx.PutPrivate(journal.Private{Kind: privateToken, ID: hashSecret(secret), Owner: body.ID, Doc: []byte(`"` + body.ID + `"`), Expires: body.Expires}); err != nil {
			return t, err
		}
		t, _, err = journal.Load[Token](tx, KindToken, body.ID)
		return t, err
	})
	if err != nil {
		return Token{}, "", err
	}
	return t, secret, nil
}

func join[T ~string](list []T) string {
	s := make([]string, len(list))
	for i, v := range list {
		s[i] = string(v)
	}
	return strings.Join(s, ", ")
}

// Tokens returns the tokens of the actor's own partner, with their last use.
func (s *Service) Tokens(ctx context.Context, by access.Actor) ([]Token, error) {
	if err := access.Allow(by, access.ReadTokens, s.o.Now()); err != nil {
		return nil, err
	}
	return s.tokens(ctx, journal.ObjectQuery{Kind: KindToken, Partner: by.Partner})
}

// OwnTokens returns the actor's personal tokens.
func (s *Service) OwnTokens(ctx context.Context, by access.Actor) ([]Token, error) {
	if by.Member == "" {
		return nil, s.own(ctx, by, nil)
	}
	return s.tokens(ctx, journal.ObjectQuery{Kind: KindToken, Parent: by.Member})
}

func (s *Service) tokens(ctx context.Context, q journal.ObjectQuery) ([]Token, error) {
	out := []Token{}
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		if err := journal.Each(r, q, func(t Token, _ journal.Object) error {
			out = append(out, t)
			return nil
		}); err != nil {
			return err
		}
		for i := range out {
			var err error
			if out[i].Used, err = lastUse(r, out[i].ID); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// RevokeToken ends a token of the actor's own partner, or of the actor, at
// once.
func (s *Service) RevokeToken(ctx context.Context, by access.Actor, id string) (Token, error) {
	now := s.o.Now()
	none := problem.Newf(problem.NotFound, "there is no token %s", id).WithFix("list the tokens to find its ID")
	return journal.Do(ctx, s.o.Log, by, "token.revoke", now, func(tx *journal.Tx) (Token, error) {
		t, _, err := journal.Load[Token](tx, KindToken, id)
		mine := err == nil && t.Member != "" && t.Member == by.Member && by.Token == ""
		if !mine { // ending one's own needs no right
			if err := access.Allow(by, access.ManageTokens, now); err != nil {
				return t, err
			}
		}
		if problem.KindOf(err) == problem.NotFound || (err == nil && t.Partner != by.Partner && !by.Shell) {
			return t, none
		}
		if err == nil && t.Partner != by.Partner {
			return t, notTheirs("token "+id, t.Partner, by.Partner)
		}
		if err != nil {
			return t, err
		}
		if !t.Revoked.IsZero() {
			return t, problem.Newf(problem.Conflict, "token %s was revoked already", id).WithFix("nothing more is needed")
		}
		if err := s.revoke(tx, by, t); err != nil {
			return t, err
		}
		t, _, err = journal.Load[Token](tx, KindToken, id)
		return t, err
	})
}

func (s *Service) revoke(tx *journal.Tx, by access.Actor, t Token) error {
	e := journal.New("token.revoked", by, s.o.Now(), nil, journal.Ref{Kind: KindToken, ID: t.ID}, journal.Ref{Kind: KindPartner, ID: t.Partner})
	e.Audience = access.Audience{TLP: access.AmberStrict, Origin: t.Partner}
	if _, err := tx.Append(e); err != nil {
		return err
	}
	return deleteOwned(tx, privateToken, t.ID)
}

var errToken = problem.New(problem.SignIn, "this token is not known, was revoked or has expired", "send a valid token as \"Authorization: Bearer siaga_…\"; make one with siaga token create")

// ByToken returns the actor for a token's text.
func (s *Service) ByToken(ctx context.Context, text string) (access.Actor, Token, error) {
	var a access.Actor
	var t Token
	if !strings.HasPrefix(text, TokenPrefix) || len(text) > 200 {
		return a, t, errToken
	}
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		p, err := r.Private(privateToken, hashSecret(text))
		if problem.KindOf(err) == problem.NotFound {
			return errToken
		}
		if err != nil {
			return err
		}
		if t, _, err = journal.Load[Token](r, KindToken, p.Owner); err != nil {
			return err
		}
		if t.State(s.o.Now()) != "active" {
			return errToken
		}
		pa, err := Load(r, t.Partner)
		if err != nil {
			return err
		}
		if pa.Disabled {
			return errToken
		}
		a = access.Actor{Partner: pa.ID, Kind: pa.Kind, Country: pa.Country, Name: t.Name, Roles: t.Roles, Scopes: t.Scopes, Token: t.ID}
		if t.Member == "" {
			return nil
		}
		// A personal token can do no more than its member now may.
		m, _, err := journal.Load[Member](r, KindMember, t.Member)
		if err != nil {
			return err
		}
		if m.Disabled {
			return errToken
		}
		a.Member, a.Roles = m.ID, nil
		for _, role := range t.Roles {
			if slices.Contains(m.Roles, role) {
				a.Roles = append(a.Roles, role)
			}
		}
		return nil
	})
	if err == nil {
		err = s.noteUse(ctx, t.ID)
	}
	return a, t, err
}

// usedEvery bounds how often a token's last use is written.
const usedEvery = 5 * time.Minute

// noteUse keeps when a token was last used, to the five minutes.
func (s *Service) noteUse(ctx context.Context, token string) error {
	now := s.o.Now().UTC()
	if last, ok := s.used.Load(token); ok && now.Sub(last.(time.Time)) < usedEvery {
		return nil
	}
	s.used.Store(token, now)
	doc, err := json.Marshal(now)
	if err != nil {
		return fmt.Errorf("writing a token's use: %w", err)
	}
	err = s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		return tx.PutPrivate(journal.Private{Kind: privateUsed, ID: token, Owner: token, Doc: doc})
	})
	if k := problem.KindOf(err); k == problem.Busy || k == problem.Unavailable {
		return nil // the token is good: when it was used may wait
	}
	return err
}

func lastUse(r journal.StoreReader, token string) (time.Time, error) {
	var t time.Time
	p, err := r.Private(privateUsed, token)
	if problem.KindOf(err) == problem.NotFound {
		return t, nil
	}
	if err == nil {
		err = json.Unmarshal(p.Doc, &t)
	}
	return t, err
}

// EdgeToken is what a relay knows a token of an edge by.
type EdgeToken struct {
	Token
	Hash string // of its text
}

// EdgeTokens returns the tokens of the edges that the actor, a relay, may
// serve: those of its own partner that are active, by ID.
func (s *Service) EdgeTokens(ctx context.Context, by access.Actor) ([]EdgeToken, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.ServeEdges, now); err != nil {
		return nil, err
	}
	var out []EdgeToken
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		out = nil
		err := journal.Each(r, journal.ObjectQuery{Kind: KindToken, States: []string{"active"}, Partner: by.Partner}, func(t Token, _ journal.Object) error {
			if t.Edge() && t.State(now) == "active" {
				out = append(out, EdgeToken{Token: t})
			}
			return nil
		})
		for i := range out {
			secrets, perr := r.Privates(privateToken, out[i].ID)
			if perr != nil {
				return perr
			}
			for _, p := range secrets {
				out[i].Hash = p.ID
			}
		}
		return err
	})
	return out, err
}
