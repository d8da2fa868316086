package partner

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/pquerna/otp"
	"github.com/pquerna/otp/totp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Kinds of private data.
const (
	privateCode       = "code"
	privateSession    = "session"
	privateToken      = "token"
	privateCredential = "credential"
)

const (
	purposeFirst = "first" // choose a password and a second factor
	purposeOpen  = "open"  // sign in at once: the demo, on loopback only
)

type codeDoc struct {
	Member  string `json:"member"`
	Purpose string `json:"purpose"`
	Seed    []byte `json:"seed,omitempty"` // sealed TOTP seed offered on the first page
}

type credential struct {
	Password string `json:"password"`
	Seed     []byte `json:"seed"`      // sealed TOTP secret
	LastStep int64  `json:"last_step"` // a TOTP code is taken once
}

// Session is a signed-in browser.
type Session struct {
	Member string    `json:"member"`
	Began  time.Time `json:"began"`
	Seen   time.Time `json:"seen"`
	StepUp time.Time `json:"step_up"`
}

// issue makes a one-time code.
func issue(tx *journal.Tx, d codeDoc, expires time.Time) (string, error) {
	code := random(CodeLength)
	doc, err := json.Marshal(d)
	if err != nil {
		return "", fmt.Errorf("writing a one-time code: %w", err)
	}
	return code, tx.PutPrivate(journal.Private{Kind: privateCode, ID: hashSecret(code), Owner: d.Member, Doc: doc, Expires: expires})
}

var errCode = problem.New(problem.NotFound, "this link was used, or its time is over", "ask your administrator for a new one")

func (s *Service) code(r journal.StoreReader, code, purpose string) (codeDoc, journal.Private, error) {
	var d codeDoc
	p, err := r.Private(privateCode, hashSecret(normalCode(code)))
	if problem.KindOf(err) == problem.NotFound {
		return d, p, errCode
	}
	if err != nil {
		return d, p, err
	}
	if err := json.Unmarshal(p.Doc, &d); err != nil {
		return d, p, fmt.Errorf("reading a one-time code: %w", err)
	}
	if d.Purpose != purpose || !s.o.Now().Before(p.Expires) {
		return d, p, errCode
	}
	return d, p, nil
}

// IssueOpen makes a code that signs a member in at once. It is for the demo,
// whose links work on loopback only, and for nothing else.
func (s *Service) IssueOpen(ctx context.Context, member string, life time.Duration) (string, error) {
	var code string
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) (err error) {
		code, err = issue(tx, codeDoc{Member: member, Purpose: purposeOpen}, s.o.Now().Add(life))
		return err
	})
	return code, err
}

// Open signs in with a code made by IssueOpen and returns the session's key.
// Such a code can be used again until its time is over, as a demo is looked at
// in several browsers. The session counts as fresh for its whole life, as a demo has no second
// factor to ask for.
func (s *Service) Open(ctx context.Context, code string) (string, error) {
	var key string
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		d, _, err := s.code(tx, code, purposeOpen)
		if err != nil {
			return err
		}
		key, err = s.begin(tx, d.Member, s.o.Now().Add(s.o.SessionMax))
		return err
	})
	return key, err
}

// Enrolment is what the first sign-in page shows.
type Enrolment struct {
	Member Member
	Secret string // TOTP secret, base 32, to type into an authenticator
	URL    string // otpauth URL, for a QR code
}

// Begin looks at a first sign-in code without using it up, and offers a TOTP
// secret. The same code is offered the same secret until it is used.
func (s *Service) Begin(ctx context.Context, code string) (Enrolment, error) {
	var en Enrolment
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		d, p, err := s.code(tx, code, purposeFirst)
		if err != nil {
			return err
		}
		m, _, err := journal.Load[Member](tx, KindMember, d.Member)
		if err != nil {
			return err
		}
		key, err := s.seed(d.Seed, m)
		if err != nil {
			return err
		}
		if d.Seed == nil {
			d.Seed = s.o.Seal.Seal([]byte(key.Secret()), "totp "+m.ID)
			if p.Doc, err = json.Marshal(d); err != nil {
				return fmt.Errorf("writing a one-time code: %w", err)
			}
			if err := tx.PutPrivate(p); err != nil {
				return err
			}
		}
		en = Enrolment{Member: m, Secret: key.Secret(), URL: key.URL()}
		return nil
	})
	return en, err
}

func (s *Service) seed(sealed []byte, m Member) (*otp.Key, error) {
	o := totp.GenerateOpts{Issuer: "Siaga", AccountName: m.Email}
	if sealed != nil {
		secret, err := s.o.Seal.Open(sealed, "totp "+m.ID)
		if err != nil {
			return nil, fmt.Errorf("opening a TOTP seed: %w", err)
		}
		raw, err := decodeSecret(string(secret))
		if err != nil {
			return nil, err
		}
		o.Secret = raw
	}
	key, err := totp.Generate(o)
	if err != nil {
		return nil, fmt.Errorf("making a TOTP secret: %w", err)
	}
	return key, nil
}

// MinPassword is the least number of characters of a password.
const MinPassword = 12

// Enrol uses up a first sign-in code: it sets the password and the second
// factor, of which one code is checked, and returns a session's key.
func (s *Service) Enrol(ctx context.Context, code, password, again, onetime string) (string, error) {
	var f problem.InvalidFields
	if n := len([]rune(password)); n < MinPassword || len(password) > 1024 {
		f.Add("password", "enter a password of at least %d characters; a short sentence is good", MinPassword)
	}
	if password != again {
		f.Add("again", "enter the same password twice")
	}
	if err := f.Err(); err != nil {
		return "", err
	}
	hash := hashPassword(s.o.Cost, password)
	var key string
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		now := s.o.Now()
		d, p, err := s.code(tx, code, purposeFirst)
		if err != nil {
			return err
		}
		m, _, err := journal.Load[Member](tx, KindMember, d.Member)
		if err != nil {
			return err
		}
		c := credential{Password: hash, Seed: d.Seed}
		if c.LastStep, err = s.onetime(c, m.ID, onetime, now); err != nil {
			return err
		}
		if err := tx.DeletePrivate(privateCode, p.ID); err != nil {
			return err
		}
		if err := putCredential(tx, m.ID, c); err != nil {
			return err
		}
		by := access.Actor{Partner: m.Partner, Member: m.ID}
		e := journal.New("member.enrolled", by, now, nil, journal.Ref{Kind: KindMember, ID: m.ID}, journal.Ref{Kind: KindPartner, ID: m.Partner})
		e.Audience = access.Audience{TLP: access.AmberStrict, Origin: m.Partner}
		if _, err := tx.Append(e); err != nil {
			return err
		}
		key, err = s.begin(tx, m.ID, now)
		return err
	})
	return key, err
}

func putCredential(tx *journal.Tx, member string, c credential) error {
	doc, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("writing a credential: %w", err)
	}
	return tx.PutPrivate(journal.Private{Kind: privateCredential, ID: member, Owner: member, Doc: doc})
}

var errOnetime = &problem.Error{
	Kind: problem.Invalid, Detail: "the six-digit code is not the one that the authenticator shows now", Fix: "wait for the next code and enter it",
	Fields: []problem.Field{{Name: "code", Detail: "enter the six digits that the authenticator shows now"}},
}

const totpPeriod = 30

// onetime checks a TOTP code (RFC 6238, one step of tolerance each way) and
// returns its step; a step is taken once.
func (s *Service) onetime(c credential, member, code string, now time.Time) (int64, error) {
	secret, err := s.o.Seal.Open(c.Seed, "totp "+member)
	if err != nil {
		return 0, fmt.Errorf("opening a TOTP seed: %w", err)
	}
	code = Digits(code)
	for _, d := range []int64{0, -1, 1} {
		at := now.Unix()/totpPeriod + d
		want, err := totp.GenerateCodeCustom(string(secret), time.Unix(at*totpPeriod, 0), totp.ValidateOpts{Period: totpPeriod, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1})
		if err != nil {
			return 0, fmt.Errorf("computing a TOTP code: %w", err)
		}
		if equal(want, code) {
			if at <= c.LastStep {
				return 0, &problem.Error{Kind: problem.Invalid, Detail: "this six-digit code was used already", Fix: "wait for the next code and enter it", Fields: errOnetime.Fields}
			}
			return at, nil
		}
	}
	return 0, errOnetime
}

// begin makes a session and returns its key.
func (s *Service) begin(tx *journal.Tx, member string, stepUp time.Time) (string, error) {
	key := random(32)
	now := s.o.Now().UTC()
	return key, putSession(tx, key, Session{Member: member, Began: now, Seen: now, StepUp: stepUp.UTC()}, now.Add(s.o.SessionMax))
}

func putSession(tx *journal.Tx, key string, ses Session, expires time.Time) error {
	doc, err := json.Marshal(ses)
	if err != nil {
		return fmt.Errorf("writing a session: %w", err)
	}
	return tx.PutPrivate(journal.Private{Kind: privateSession, ID: hashSecret(key), Owner: ses.Member, Doc: doc, Expires: expires})
}

var errSignIn = &problem.Error{
	Kind: problem.Invalid, Detail: "the e-mail address, password or code is not right", Fix: "check all three and try again",
	Fields: []problem.Field{{Name: "password", Detail: "check the e-mail address, the password and the code"}},
}

// SignIn checks a password and a TOTP code and returns a session's key. addr
// is the client's network address, for counting failures. Which of the three
// was wrong is never said.
func (s *Service) SignIn(ctx context.Context, email, password, onetime, addr string) (string, error) {
	email = strings.ToLower(strings.TrimSpace(email))
	if err := s.failures.check("email "+email, "addr "+addr); err != nil {
		return "", err
	}
	var m Member
	var c credential
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		os, err := r.Objects(journal.ObjectQuery{Kind: KindMember, Unique: email, Limit: 1})
		if err != nil || len(os) == 0 {
			return err
		}
		if err := json.Unmarshal(os[0].Doc, &m); err != nil {
			return fmt.Errorf("reading member %s: %w", os[0].ID, err)
		}
		c, err = loadCredential(r, m.ID)
		return err
	})
	if err != nil {
		return "", err
	}
	hash := c.Password
	if hash == "" {
		hash = s.decoy() // the same work for an address that is not there
	}
	wrong := checkPassword(hash, password) != nil || c.Password == "" || m.Disabled
	if !wrong {
		var key string
		err = s.o.Log.Update(ctx, func(tx *journal.Tx) error {
			now := s.o.Now()
			c, err := loadCredential(tx, m.ID)
			if err != nil {
				return err
			}
			if c.LastStep, err = s.onetime(c, m.ID, onetime, now); err != nil {
				return err
			}
			if err := putCredential(tx, m.ID, c); err != nil {
				return err
			}
			key, err = s.begin(tx, m.ID, now)
			return err
		})
		if err == nil {
			s.failures.clear("email " + email)
			return key, nil
		}
		if problem.KindOf(err) != problem.Invalid {
			return "", err
		}
	}
	s.failures.count("email "+email, "addr "+addr)
	return "", errSignIn
}

func loadCredential(r journal.StoreReader, member string) (credential, error) {
	var c credential
	p, err := r.Private(privateCredential, member)
	if problem.KindOf(err) == problem.NotFound {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	if err := json.Unmarshal(p.Doc, &c); err != nil {
		return c, fmt.Errorf("reading a credential: %w", err)
	}
	return c, nil
}

var decoys sync.Map // Cost → hash of nothing in particular

func (s *Service) decoy() string {
	if h, ok := decoys.Load(s.o.Cost); ok {
		return h.(string)
	}
	h := hashPassword(s.o.Cost, random(20))
	decoys.Store(s.o.Cost, h)
	return h
}

// StepUp proves presence anew with a TOTP code.
func (s *Service) StepUp(ctx context.Context, key, onetime string) error {
	ses, _, err := s.session(ctx, key)
	if err != nil {
		return err
	}
	who := "stepup " + ses.Member
	if err := s.failures.check(who); err != nil {
		return err
	}
	err = s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		now := s.o.Now()
		c, err := loadCredential(tx, ses.Member)
		if err != nil {
			return err
		}
		if c.Seed == nil {
			return problem.New(problem.Conflict, "this member has no second factor", "ask your administrator for a new first sign-in link")
		}
		if c.LastStep, err = s.onetime(c, ses.Member, onetime, now); err != nil {
			return err
		}
		if err := putCredential(tx, ses.Member, c); err != nil {
			return err
		}
		ses.StepUp = now.UTC()
		return putSession(tx, key, ses, ses.Began.Add(s.o.SessionMax))
	})
	if problem.KindOf(err) == problem.Invalid {
		s.failures.count(who)
	}
	return err
}

// SignOut ends a session. A key that is not known is no error.
func (s *Service) SignOut(ctx context.Context, key string) error {
	return s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		return tx.DeletePrivate(privateSession, hashSecret(key))
	})
}

var errSession = problem.New(problem.SignIn, "you are not signed in, or the session has ended", "sign in again")

func (s *Service) session(ctx context.Context, key string) (Session, access.Actor, error) {
	var ses Session
	var a access.Actor
	if key == "" {
		return ses, a, errSession
	}
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		p, err := r.Private(privateSession, hashSecret(key))
		if problem.KindOf(err) == problem.NotFound {
			return errSession
		}
		if err != nil {
			return err
		}
		if err := json.Unmarshal(p.Doc, &ses); err != nil {
			return fmt.Errorf("reading a session: %w", err)
		}
		now := s.o.Now()
		if !now.Before(p.Expires) || now.Sub(ses.Seen) > s.o.SessionIdle {
			return errSession
		}
		m, _, err := journal.Load[Member](r, KindMember, ses.Member)
		if err != nil {
			return err
		}
		if m.Disabled {
			return errSession
		}
		pa, err := Load(r, m.Partner)
		if err != nil {
			return err
		}
		a = access.Actor{
			Partner: pa.ID, Kind: pa.Kind, Country: pa.Country, Member: m.ID, Name: m.Name,
			Roles: m.Roles, StepUp: ses.StepUp,
		}
		return nil
	})
	return ses, a, err
}

// seenEvery bounds how often a session's last use is written.
const seenEvery = time.Minute

// BySession returns who is signed in with this key, and that member.
func (s *Service) BySession(ctx context.Context, key string) (access.Actor, Member, error) {
	ses, a, err := s.session(ctx, key)
	if err != nil {
		return a, Member{}, err
	}
	var m Member
	if err := s.o.Log.View(ctx, func(r journal.StoreReader) (err error) {
		m, _, err = journal.Load[Member](r, KindMember, ses.Member)
		return err
	}); err != nil {
		return a, m, err
	}
	if now := s.o.Now().UTC(); now.Sub(ses.Seen) > seenEvery {
		ses.Seen = now
		err = s.o.Log.Update(ctx, func(tx *journal.Tx) error {
			if _, err := tx.Private(privateSession, hashSecret(key)); err != nil {
				return err // signed out meanwhile: do not bring it back
			}
			return putSession(tx, key, ses, ses.Began.Add(s.o.SessionMax))
		})
		if problem.KindOf(err) == problem.NotFound {
			return access.Actor{}, m, errSession
		}
	}
	return a, m, err
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
		a = access.Actor{Partner: pa.ID, Kind: pa.Kind, Country: pa.Country, Name: t.Name, Roles: t.Roles, Scopes: t.Scopes, Token: t.ID}
		return nil
	})
	return a, t, err
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

// Expire removes sessions, codes and records whose time is over.
func (s *Service) Expire(ctx context.Context) error {
	return s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		_, err := tx.DeleteExpired(s.o.Now())
		return err
	})
}
