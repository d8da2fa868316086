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
	privatePasskey    = "passkey"
	privateChallenge  = "challenge" // of a passkey, that was taken already
	privateDevice     = "device"    // a browser that signed in before
	privateLink       = "oidc"      // an identity elsewhere that signs in an account
	privateAlert      = "alert"     // the account's owner is to be told on the page
	privateUsed       = "used"      // when a token was last used
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
	Password string   `json:"password"`
	Seed     []byte   `json:"seed"`               // sealed TOTP secret
	LastStep int64    `json:"last_step"`          // a TOTP code is taken once
	Recovery []string `json:"recovery,omitempty"` // digests of recovery codes that are left
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
	key := random(32)
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		d, _, err := s.code(tx, code, purposeOpen)
		if err != nil {
			return err
		}
		m, _, err := journal.Load[Member](tx, KindMember, d.Member)
		if err != nil {
			return err
		}
		now := s.o.Now().UTC()
		ses := Session{Account: m.Account(), Member: m.ID, Began: now, Seen: now, How: byDemo, StepUp: now.Add(s.o.SessionMax), For: access.AnyAction}
		return putSession(tx, key, ses, now.Add(s.o.SessionMax))
	})
	return key, err
}

// Enrolment is what the first sign-in page shows.
type Enrolment struct {
	Member  Member
	Partner Partner
	Joins   bool      // the person has an account and is to accept, signed in with it
	Secret  string    // TOTP secret, base 32, to type into an authenticator
	URL     string    // otpauth URL, for a QR code
	Passkey *Ceremony // to make a passkey with; nil if this node's address can have none
}

// Begin looks at an invitation's code without using it up, and offers a TOTP
// secret and a passkey. The same code is offered the same secret until it is
// used.
func (s *Service) Begin(ctx context.Context, code string) (Enrolment, error) {
	var en Enrolment
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		d, p, m, err := s.invitation(tx, code)
		if err != nil {
			return err
		}
		en = Enrolment{Member: m, Joins: m.Person != ""}
		if en.Partner, err = Load(tx, m.Partner); err != nil || en.Joins {
			return err
		}
		key, err := s.seed(d.Seed, m)
		if err != nil {
			return err
		}
		en.Secret, en.URL = key.Secret(), key.URL()
		if s.rp != nil {
			if en.Passkey, err = s.offerPasskey(tx, m.Account(), firstBinding(code)); err != nil {
				return err
			}
		}
		if d.Seed != nil {
			return nil
		}
		d.Seed = s.o.Seal.Seal([]byte(key.Secret()), "totp "+m.ID)
		if p.Doc, err = json.Marshal(d); err != nil {
			return fmt.Errorf("writing a one-time code: %w", err)
		}
		return tx.PutPrivate(p)
	})
	return en, err
}

func firstBinding(code string) string { return "first " + hashSecret(normalCode(code)) }

// invitation reads a code of the first sign-in and whom it is for.
func (s *Service) invitation(r journal.StoreReader, code string) (codeDoc, journal.Private, Member, error) {
	d, p, err := s.code(r, code, purposeFirst)
	if err != nil {
		return d, p, Member{}, err
	}
	m, _, err := journal.Load[Member](r, KindMember, d.Member)
	if err == nil && m.Disabled {
		err = errCode
	}
	if err == nil {
		var left bool
		if left, err = Left(r, m.Partner); left {
			err = errCode
		}
	}
	return d, p, m, err
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

// Enrol uses up an invitation: it sets the password and the second factor, of
// which one code is checked, signs in, and returns the recovery codes, which
// are shown this once. Whatever the account had before is replaced, and its
// sessions end: an invitation to someone who was here is the way back in.
func (s *Service) Enrol(ctx context.Context, code, password, again, onetime string, client Client) (SignedIn, []string, error) {
	if err := checkNewPassword(password, again); err != nil {
		return SignedIn{}, nil, err
	}
	hash := hashPassword(s.o.Cost, password)
	recovery := recoveryCodes()
	var out SignedIn
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		return s.enrol(tx, code, byPassword, client, &out, func(d codeDoc, m Member) error {
			c := credential{Password: hash, Seed: d.Seed, Recovery: recovery.hashes()}
			var err error
			if c.LastStep, err = s.onetime(c, m.Account(), onetime, s.o.Now()); err != nil {
				return err
			}
			return putCredential(tx, m.Account(), c)
		})
	})
	return out, recovery.texts(err), err
}

// EnrolPasskey uses up an invitation with the passkey that Begin offered.
func (s *Service) EnrolPasskey(ctx context.Context, code, token, response, name string, client Client) (SignedIn, error) {
	var out SignedIn
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		return s.enrol(tx, code, byPasskey, client, &out, func(_ codeDoc, m Member) error {
			return s.addPasskey(tx, m.Account(), token, response, name, firstBinding(code))
		})
	})
	return out, err
}

// enrol is what every way to take up an invitation has in common. set stores
// the new key; it runs after the old ones are gone.
func (s *Service) enrol(tx *journal.Tx, code, with string, client Client, out *SignedIn, set func(codeDoc, Member) error) error {
	d, p, m, err := s.invitation(tx, code)
	if err != nil {
		return err
	}
	if m.Person != "" {
		return problem.New(problem.Conflict, "this invitation is for someone who has an account here", "sign in with it, then open the link again")
	}
	for _, kind := range []string{privateCredential, privatePasskey, privateLink, privateSession, privateDevice} {
		if err := deleteOwned(tx, kind, m.Account()); err != nil {
			return err
		}
	}
	if err := set(d, m); err != nil {
		return err
	}
	if err := tx.DeletePrivate(privateCode, p.ID); err != nil {
		return err
	}
	if err := s.enrolled(tx, m, with); err != nil {
		return err
	}
	*out, err = s.begin(tx, m, client, byInvitation, access.ChangeKeys)
	return err
}

func (s *Service) enrolled(tx *journal.Tx, m Member, with string) error {
	by := access.Actor{Partner: m.Partner, Member: m.ID}
	e := journal.New("member.enrolled", by, s.o.Now(), map[string]string{"with": with}, journal.Ref{Kind: KindMember, ID: m.ID}, journal.Ref{Kind: KindPartner, ID: m.Partner})
	e.Audience = access.Audience{TLP: access.AmberStrict, Origin: m.Partner}
	_, err := tx.Append(e)
	return err
}

// Join accepts an invitation to one more partner, by the person who is signed
// in and whom it is for.
func (s *Service) Join(ctx context.Context, by access.Actor, code string) (Member, error) {
	var m Member
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		var p journal.Private
		var err error
		if _, p, m, err = s.invitation(tx, code); err != nil {
			return err
		}
		me, _, err := journal.Load[Member](tx, KindMember, by.Member)
		if err != nil {
			return err
		}
		if m.Person == "" || m.Person != me.Account() || by.Token != "" {
			return errCode
		}
		e := journal.New("member.joined", access.Actor{Partner: m.Partner, Member: m.ID}, s.o.Now(), nil, journal.Ref{Kind: KindMember, ID: m.ID}, journal.Ref{Kind: KindPartner, ID: m.Partner})
		e.Audience = access.Audience{TLP: access.AmberStrict, Origin: m.Partner}
		if _, err := tx.Append(e); err != nil {
			return err
		}
		if err := tx.DeletePrivate(privateCode, p.ID); err != nil {
			return err
		}
		m, _, err = journal.Load[Member](tx, KindMember, m.ID)
		return err
	})
	return m, err
}

func deleteOwned(tx *journal.Tx, kind, owner string) error {
	ps, err := tx.Privates(kind, owner)
	if err != nil {
		return err
	}
	for _, p := range ps {
		if err := tx.DeletePrivate(kind, p.ID); err != nil {
			return err
		}
	}
	return nil
}

func checkNewPassword(password, again string) error {
	var f problem.InvalidFields
	if n := len([]rune(password)); n < MinPassword || len(password) > 1024 {
		f.Add("password", "enter a password of at least %d characters; a short sentence is good", MinPassword)
	}
	if password != again {
		f.Add("again", "enter the same password twice")
	}
	return f.Err()
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

var errSignIn = &problem.Error{
	Kind: problem.Invalid, Detail: "the e-mail address, password or code is not right", Fix: "check all three and try again",
	Fields: []problem.Field{{Name: "password", Detail: "check the e-mail address, the password and the code"}},
}

// SignIn checks a password and a second factor and signs in. The second factor
// is a code of the authenticator, taken once, or a recovery code, which is used
// up. Which of the three was wrong is never said.
func (s *Service) SignIn(ctx context.Context, email, password, second string, client Client) (SignedIn, error) {
	var out SignedIn
	email = strings.ToLower(strings.TrimSpace(email))
	byEmail, byAddr := "email "+email, "addr "+client.Addr
	if err := s.failures.check(byEmail, byAddr); err != nil {
		s.failed(ctx, "password", err)
		return out, err
	}
	var account string
	var active []Member
	var c credential
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		m, ok, err := byAddress(r, email)
		if err != nil || !ok {
			return err
		}
		account = m.Account()
		if active, err = memberships(r, account); err != nil {
			return err
		}
		c, err = loadCredential(r, account)
		return err
	})
	if err != nil {
		return out, err
	}
	hash := c.Password
	if hash == "" {
		hash = s.decoy() // the same work for an address that is not there
	}
	if checkPassword(hash, password) == nil && c.Password != "" && len(active) > 0 {
		err = s.o.Log.Update(ctx, func(tx *journal.Tx) error {
			c, err := loadCredential(tx, account)
			if err != nil {
				return err
			}
			how, prove := byPassword, access.Action("")
			if isRecoveryCode(second) {
				// Who lost the authenticator must be able to set up a new one.
				how, prove = byRecovery, access.ChangeKeys
				err = c.useRecovery(second)
			} else {
				c.LastStep, err = s.onetime(c, account, second, s.o.Now())
			}
			if err != nil {
				return err
			}
			if err := putCredential(tx, account, c); err != nil {
				return err
			}
			out, err = s.begin(tx, active[0], client, how, prove)
			return err
		})
		if err == nil {
			s.failures.clear(byEmail)
			return out, nil
		}
		if problem.KindOf(err) != problem.Invalid {
			return out, err
		}
	}
	s.failures.count(byEmail, byAddr)
	s.failed(ctx, "password", errSignIn)
	return SignedIn{}, errSignIn
}

// byAddress finds who has an e-mail address, first of all who was invited
// first; all of them are one account.
func byAddress(r journal.StoreReader, email string) (Member, bool, error) {
	var m Member
	found := false
	err := journal.Each(r, journal.ObjectQuery{Kind: KindMember, Unique: email}, func(o Member, _ journal.Object) error {
		if o.Disabled && !o.Enrolled { // an invitation that was taken back
			return nil
		}
		if !found || o.Person == "" {
			m, found = o, true
		}
		return nil
	})
	return m, found, err
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

// Expire removes sessions, codes and records whose time is over.
func (s *Service) Expire(ctx context.Context) error {
	return s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		_, err := tx.DeleteExpired(s.o.Now())
		return err
	})
}
