package partner

import (
	"context"
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Sealer encrypts small secrets at rest with the node's data key. The label
// binds a ciphertext to its place.
type Sealer interface {
	Seal(plain []byte, label string) []byte
	Open(sealed []byte, label string) ([]byte, error)
}

// Options configures a Service. Log, Now and Seal are required.
type Options struct {
	Log  *journal.Log
	Now  func() time.Time
	Seal Sealer
	Cost Cost // zero: DefaultCost

	// NodeKey is the text that edge tokens carry to pin the node's feed key.
	NodeKey string

	SessionIdle time.Duration // zero: 30 minutes
	SessionMax  time.Duration // zero: 12 hours
	CodeLife    time.Duration // of a first sign-in link; zero: 72 hours
}

// Service is the directory. Its methods may be called concurrently.
type Service struct {
	o        Options
	failures *failures
}

// New returns a Service.
func New(o Options) *Service {
	if o.Cost == (Cost{}) {
		o.Cost = DefaultCost
	}
	if o.SessionIdle == 0 {
		o.SessionIdle = 30 * time.Minute
	}
	if o.SessionMax == 0 {
		o.SessionMax = 12 * time.Hour
	}
	if o.CodeLife == 0 {
		o.CodeLife = 72 * time.Hour
	}
	return &Service{o: o, failures: newFailures(o.Now)}
}

// Shell is the operator at the node's own command line, acting for a partner.
// The journal names it, so that what it did can be told from members' acts.
func Shell(p Partner) access.Actor {
	return access.Actor{
		Partner: p.ID, Kind: p.Kind, Country: p.Country, Name: "operator's shell", Shell: true,
		Roles: []access.Role{access.Administrator, access.Operator},
	}
}

// NewPartner is what is needed to add a partner.
type NewPartner struct {
	ID        string             `json:"id,omitempty"` // made from Name if empty
	Name      string             `json:"name"`
	Kind      access.PartnerKind `json:"kind"`
	Country   string             `json:"country"`
	Zone      string             `json:"zone,omitempty"`
	Languages []string           `json:"languages,omitempty"`
	Contact   string             `json:"contact,omitempty"`
	Lead      bool               `json:"lead,omitempty"`
}

var (
	idForm      = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$`)
	countryForm = regexp.MustCompile(`^[A-Z]{2}$`)
	notID       = regexp.MustCompile(`[^a-z0-9]+`)
)

// clean trims and bounds a line of text that a person typed, and removes
// control and bidirectional characters.
func clean(s string, limit int) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) || r == 0xfeff {
			return -1
		}
		return r
	}, s))
	if len(s) > limit {
		return s[:limit+1] // left too long, so that the caller refuses it
	}
	return s
}

func (n *NewPartner) check() error {
	var f problem.InvalidFields
	n.Name, n.Contact = clean(n.Name, 120), clean(n.Contact, 300)
	if n.Name == "" || len(n.Name) > 120 {
		f.Add("name", "enter the partner's name, up to 120 characters")
	}
	if n.ID == "" {
		n.ID = strings.Trim(notID.ReplaceAllString(strings.ToLower(n.Name), "-"), "-")
		n.ID = strings.Trim(n.ID[:min(len(n.ID), 40)], "-")
	}
	if !idForm.MatchString(n.ID) {
		f.Add("id", "enter a short name of lower-case letters, digits and hyphens, up to 40 characters")
	}
	if !slices.Contains(access.PartnerKinds(), n.Kind) {
		f.Add("kind", "choose government, intergovernmental, platform, civil_society or research; %q is none of them", n.Kind)
	}
	n.Country = strings.ToUpper(strings.TrimSpace(n.Country))
	if !countryForm.MatchString(n.Country) {
		f.Add("country", "enter the country's two letters, for example ID")
	} else if r, err := language.ParseRegion(n.Country); err != nil || !r.IsCountry() {
		f.Add("country", "enter the country's two letters, for example ID; %s is no country", n.Country)
	}
	if n.Zone == "" {
		n.Zone = "UTC"
	}
	if _, err := time.LoadLocation(n.Zone); err != nil {
		f.Add("zone", "enter a time zone by its name, for example Asia/Jakarta")
	}
	for _, l := range n.Languages {
		if _, err := language.Parse(l); err != nil {
			f.Add("languages", "enter languages by their codes, for example id and en; %q is none", l)
		}
	}
	if len(n.Languages) == 0 {
		n.Languages = []string{"en"}
	}
	return f.Err()
}

// Add enters a partner in the directory.
func (s *Service) Add(ctx context.Context, by access.Actor, n NewPartner) (Partner, error) {
	if err := access.Allow(by, access.AddPartner, s.o.Now()); err != nil {
		return Partner{}, err
	}
	if err := n.check(); err != nil {
		return Partner{}, err
	}
	now := s.o.Now()
	return journal.Do(ctx, s.o.Log, by, "partner.add", now, func(tx *journal.Tx) (Partner, error) {
		return add(tx, by, now, n)
	})
}

func add(tx *journal.Tx, by access.Actor, now time.Time, n NewPartner) (Partner, error) {
	if _, err := tx.Object(journal.Ref{Kind: KindPartner, ID: n.ID}); err == nil {
		return Partner{}, problem.Newf(problem.Conflict, "there is already a partner %s", n.ID).WithFix("choose another short name")
	} else if problem.KindOf(err) != problem.NotFound {
		return Partner{}, err
	}
	e := journal.New("partner.added", by, now, n, journal.Ref{Kind: KindPartner, ID: n.ID})
	e.Audience = access.Audience{TLP: access.Green, Origin: n.ID}
	if _, err := tx.Append(e); err != nil {
		return Partner{}, err
	}
	p, _, err := journal.Load[Partner](tx, KindPartner, n.ID)
	return p, err
}

// First makes the first partner of an empty directory and its first
// administrator, and returns the administrator's one-time code.
func (s *Service) First(ctx context.Context, n NewPartner, m NewMember) (Partner, Member, string, error) {
	if err := n.check(); err != nil {
		return Partner{}, Member{}, "", err
	}
	m.Partner = n.ID
	if err := m.check(); err != nil {
		return Partner{}, Member{}, "", err
	}
	var p Partner
	var mem Member
	var code string
	now := s.o.Now()
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		by := access.Actor{Partner: n.ID, Name: "operator's shell", Shell: true}
		var err error
		if p, err = add(tx, by, now, n); err != nil {
			return err
		}
		mem, code, err = s.addMember(tx, by, now, m)
		return err
	})
	return p, mem, code, err
}

// All returns every partner in order of ID. Callers inside the node; pages and
// interfaces use List.
func All(r journal.StoreReader) ([]Partner, error) {
	var out []Partner
	err := journal.Each(r, journal.ObjectQuery{Kind: KindPartner}, func(p Partner, _ journal.Object) error {
		out = append(out, p)
		return nil
	})
	return out, err
}

// Load returns one partner, or a problem of kind NotFound.
func Load(r journal.StoreReader, id string) (Partner, error) {
	p, _, err := journal.Load[Partner](r, KindPartner, id)
	if problem.KindOf(err) == problem.NotFound {
		return p, problem.Newf(problem.NotFound, "there is no partner %q", id).WithFix("check its short name in the directory of partners")
	}
	return p, err
}

// List returns the directory.
func (s *Service) List(ctx context.Context, by access.Actor) ([]Partner, error) {
	if err := access.Allow(by, access.ReadPartners, s.o.Now()); err != nil {
		return nil, err
	}
	var out []Partner
	err := s.o.Log.View(ctx, func(r journal.StoreReader) (err error) {
		out, err = All(r)
		return err
	})
	return out, err
}

// Get returns one partner.
func (s *Service) Get(ctx context.Context, by access.Actor, id string) (Partner, error) {
	if err := access.Allow(by, access.ReadPartners, s.o.Now()); err != nil {
		return Partner{}, err
	}
	var p Partner
	err := s.o.Log.View(ctx, func(r journal.StoreReader) (err error) {
		p, err = Load(r, id)
		return err
	})
	return p, err
}

// NewMember is what is needed to add a member.
type NewMember struct {
	Partner  string        `json:"partner"`
	Name     string        `json:"name"`
	Email    string        `json:"email"`
	Roles    []access.Role `json:"roles"`
	Language string        `json:"language,omitempty"`
	Zone     string        `json:"zone,omitempty"`
}

// MemberRoles lists the roles that a person can have: all but a machine's.
func MemberRoles() []access.Role { return slices.DeleteFunc(access.Roles(), access.Role.Machine) }

func (m *NewMember) check() error {
	var f problem.InvalidFields
	m.Name = clean(m.Name, 120)
	if m.Name == "" || len(m.Name) > 120 {
		f.Add("name", "enter the member's name, up to 120 characters")
	}
	m.Email = strings.ToLower(clean(m.Email, 254))
	if a, err := mail.ParseAddress(m.Email); err != nil || a.Address != m.Email || len(m.Email) > 254 {
		f.Add("email", "enter an e-mail address, for example ayu@nusa.example")
	}
	if len(m.Roles) == 0 {
		f.Add("roles", "choose at least one role")
	}
	for _, r := range m.Roles {
		if !slices.Contains(access.Roles(), r) || r.Machine() {
			f.Add("roles", "choose from administrator, officer, analyst, approver, reviewer, observer and operator; %q is none of them", r)
		}
	}
	if m.Language == "" {
		m.Language = "en"
	}
	if _, err := language.Parse(m.Language); err != nil {
		f.Add("language", "enter a language by its code, for example id")
	}
	if m.Zone != "" {
		if _, err := time.LoadLocation(m.Zone); err != nil {
			f.Add("zone", "enter a time zone by its name, for example Asia/Jakarta")
		}
	}
	return f.Err()
}

// AddMember adds a person to the actor's own partner and returns the one-time
// code with which that person signs in first.
func (s *Service) AddMember(ctx context.Context, by access.Actor, n NewMember) (Member, string, error) {
	if err := access.Allow(by, access.ManageMembers, s.o.Now()); err != nil {
		return Member{}, "", err
	}
	if n.Partner == "" {
		n.Partner = by.Partner
	}
	if n.Partner != by.Partner && !by.Shell {
		return Member{}, "", problem.New(problem.Denied, "members are added by an administrator of their own partner", "ask that partner's administrator")
	}
	if err := n.check(); err != nil {
		return Member{}, "", err
	}
	var m Member
	var code string
	now := s.o.Now()
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) (err error) {
		if _, err = Load(tx, n.Partner); err != nil {
			return err
		}
		m, code, err = s.addMember(tx, by, now, n)
		return err
	})
	return m, code, err
}

type memberAdded struct {
	NewMember
	ID string `json:"id"`
}

func (s *Service) addMember(tx *journal.Tx, by access.Actor, now time.Time, n NewMember) (Member, string, error) {
	taken, err := tx.Objects(journal.ObjectQuery{Kind: KindMember, Unique: n.Email, Limit: 1})
	if err != nil {
		return Member{}, "", err
	}
	if len(taken) > 0 {
		return Member{}, "", problem.New(problem.Conflict, "a member with this e-mail address is there already", "use another address, or change that member's roles")
	}
	seq, err := tx.Next("member")
	if err != nil {
		return Member{}, "", err
	}
	id := fmt.Sprintf("m%d", seq)
	e := journal.New("member.added", by, now, memberAdded{n, id}, journal.Ref{Kind: KindMember, ID: id}, journal.Ref{Kind: KindPartner, ID: n.Partner})
	e.Audience = access.Audience{TLP: access.AmberStrict, Origin: n.Partner}
	if _, err := tx.Append(e); err != nil {
		return Member{}, "", err
	}
	m, _, err := journal.Load[Member](tx, KindMember, id)
	if err != nil {
		return Member{}, "", err
	}
	code, err := issue(tx, codeDoc{Member: id, Purpose: purposeFirst}, now.Add(s.o.CodeLife))
	return m, code, err
}

// Members returns the members of the actor's own partner.
func (s *Service) Members(ctx context.Context, by access.Actor) ([]Member, error) {
	if err := access.Allow(by, access.ReadPartners, s.o.Now()); err != nil {
		return nil, err
	}
	var out []Member
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		return journal.Each(r, journal.ObjectQuery{Kind: KindMember, Partner: by.Partner}, func(m Member, _ journal.Object) error {
			out = append(out, m)
			return nil
		})
	})
	return out, err
}

// Change alters a member of the actor's own partner. A nil Roles leaves the
// roles; Disable ends the member's sessions and codes at once.
type Change struct {
	Roles   []access.Role `json:"roles,omitempty"`
	Disable bool          `json:"disable,omitempty"`
	Enable  bool          `json:"enable,omitempty"`
}

// ChangeMember changes a member. The last administrator who can act stays.
func (s *Service) ChangeMember(ctx context.Context, by access.Actor, id string, c Change) (Member, error) {
	if err := access.Allow(by, access.ManageMembers, s.o.Now()); err != nil {
		return Member{}, err
	}
	for _, r := range c.Roles {
		if !slices.Contains(access.Roles(), r) || r.Machine() {
			return Member{}, problem.Newf(problem.Invalid, "%q is not a member's role", r).WithFix("choose from administrator, officer, analyst, approver, reviewer, observer and operator")
		}
	}
	now := s.o.Now()
	return journal.Do(ctx, s.o.Log, by, "member.change", now, func(tx *journal.Tx) (Member, error) {
		m, _, err := journal.Load[Member](tx, KindMember, id)
		if err == nil && m.Partner != by.Partner && !by.Shell {
			err = problem.New(problem.NotFound, "there is no such member", "check the list of members")
		}
		if err != nil {
			return m, err
		}
		loses := c.Disable || (c.Roles != nil && !slices.Contains(c.Roles, access.Administrator))
		if loses && slices.Contains(m.Roles, access.Administrator) && !m.Disabled {
			others := 0
			err := journal.Each(tx, journal.ObjectQuery{Kind: KindMember, Partner: m.Partner}, func(o Member, _ journal.Object) error {
				if o.ID != m.ID && !o.Disabled && slices.Contains(o.Roles, access.Administrator) {
					others++
				}
				return nil
			})
			if err != nil {
				return m, err
			}
			if others == 0 {
				return m, problem.New(problem.Conflict, m.Name+" is the last administrator of this partner", "make someone else administrator first")
			}
		}
		e := journal.New("member.changed", by, now, c, journal.Ref{Kind: KindMember, ID: id}, journal.Ref{Kind: KindPartner, ID: m.Partner})
		e.Audience = access.Audience{TLP: access.AmberStrict, Origin: m.Partner}
		if _, err := tx.Append(e); err != nil {
			return m, err
		}
		if c.Disable {
			for _, kind := range []string{privateSession, privateCode} {
				ps, err := tx.Privates(kind, id)
				if err != nil {
					return m, err
				}
				for _, p := range ps {
					if err := tx.DeletePrivate(kind, p.ID); err != nil {
						return m, err
					}
				}
			}
		}
		m, _, err = journal.Load[Member](tx, KindMember, id)
		return m, err
	})
}

// NewToken is what is needed to make a token.
type NewToken struct {
	Partner string              `json:"partner,omitempty"`
	Name    string              `json:"name,omitempty"`
	Roles   []access.Role       `json:"roles"`
	Scopes  []access.TokenScope `json:"scopes,omitempty"` // empty: all that the roles can use
	Life    time.Duration       `json:"life,omitempty"`   // zero: 30 days
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
}

// CreateToken makes a token of the actor's own partner and returns its text,
// which is shown this once.
func (s *Service) CreateToken(ctx context.Context, by access.Actor, n NewToken) (Token, string, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.ManageTokens, now); err != nil {
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
	var t Token
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		if _, err := Load(tx, n.Partner); err != nil {
			return err
		}
		seq, err := tx.Next("token")
		if err != nil {
			return err
		}
		body := tokenCreated{ID: fmt.Sprintf("t%d", seq), Partner: n.Partner, Name: n.Name, Roles: n.Roles, Scopes: n.Scopes, Expires: now.Add(n.Life).UTC().Truncate(time.Millisecond)}
		if body.Name == "" {
			body.Name = body.ID
			if edge {
				body.Name = n.Partner + "-" + body.ID
			}
		}
		e := journal.New("token.created", by, now, body, journal.Ref{Kind: KindToken, ID: body.ID}, journal.Ref{Kind: KindPartner, ID: n.Partner})
		e.Audience = access.Audience{TLP: access.AmberStrict, Origin: n.Partner}
		if _, err := tx.Append(e); err != nil {
			return err
		}
		if err := tx.PutPrivate(journal.Private{Kind: privateToken, ID: hashSecret(secret), Owner: body.ID, Doc: []byte(`"` + body.ID + `"`), Expires: body.Expires}); err != nil {
			return err
		}
		t, _, err = journal.Load[Token](tx, KindToken, body.ID)
		return err
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

// Tokens returns the tokens of the actor's own partner.
func (s *Service) Tokens(ctx context.Context, by access.Actor) ([]Token, error) {
	if err := access.Allow(by, access.ManageTokens, s.o.Now()); err != nil {
		return nil, err
	}
	var out []Token
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		return journal.Each(r, journal.ObjectQuery{Kind: KindToken, Partner: by.Partner}, func(t Token, _ journal.Object) error {
			out = append(out, t)
			return nil
		})
	})
	return out, err
}

// RevokeToken ends a token of the actor's own partner at once.
func (s *Service) RevokeToken(ctx context.Context, by access.Actor, id string) (Token, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.ManageTokens, now); err != nil {
		return Token{}, err
	}
	return journal.Do(ctx, s.o.Log, by, "token.revoke", now, func(tx *journal.Tx) (Token, error) {
		t, _, err := journal.Load[Token](tx, KindToken, id)
		if err == nil && t.Partner != by.Partner && !by.Shell {
			err = problem.Newf(problem.NotFound, "there is no token %s", id)
		}
		if problem.KindOf(err) == problem.NotFound {
			return t, problem.Newf(problem.NotFound, "there is no token %s", id).WithFix("list the tokens to find its ID")
		}
		if err != nil {
			return t, err
		}
		if !t.Revoked.IsZero() {
			return t, problem.Newf(problem.Conflict, "token %s was revoked already", id).WithFix("nothing more is needed")
		}
		e := journal.New("token.revoked", by, now, nil, journal.Ref{Kind: KindToken, ID: id}, journal.Ref{Kind: KindPartner, ID: t.Partner})
		e.Audience = access.Audience{TLP: access.AmberStrict, Origin: t.Partner}
		if _, err := tx.Append(e); err != nil {
			return t, err
		}
		ps, err := tx.Privates(privateToken, id)
		if err != nil {
			return t, err
		}
		for _, p := range ps {
			if err := tx.DeletePrivate(privateToken, p.ID); err != nil {
				return t, err
			}
		}
		t, _, err = journal.Load[Token](tx, KindToken, id)
		return t, err
	})
}
