package partner

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Keys are the ways in which a member signs in.
type Keys struct {
	Passkeys []Passkey `json:"passkeys"`
	Password bool      `json:"password"`
	TOTP     bool      `json:"totp"`
	Recovery int       `json:"recovery_codes"` // left
	Links    []Link    `json:"links"`
}

// Keys returns the actor's own.
func (s *Service) Keys(ctx context.Context, by access.Actor) (Keys, error) {
	k := Keys{Passkeys: []Passkey{}, Links: []Link{}}
	err := s.own(ctx, by, func(r journal.StoreReader, m Member) (err error) {
		k, err = s.keys(r, m.Account())
		return err
	})
	return k, err
}

func (s *Service) keys(r journal.StoreReader, account string) (Keys, error) {
	k := Keys{Passkeys: []Passkey{}, Links: []Link{}}
	c, err := loadCredential(r, account)
	if err != nil {
		return k, err
	}
	k.Password, k.TOTP, k.Recovery = c.Password != "", c.Seed != nil, len(c.Recovery)
	ps, err := s.passkeys(r, account)
	if err != nil {
		return k, err
	}
	for _, p := range ps {
		k.Passkeys = append(k.Passkeys, p.info())
	}
	ls, err := links(r, account)
	k.Links = append(k.Links, ls...)
	return k, err
}

// wayIn refuses what would leave an account with nothing to sign in with.
func (s *Service) wayIn(r journal.StoreReader, account string) error {
	k, err := s.keys(r, account)
	if err != nil {
		return err
	}
	if len(k.Passkeys) == 0 && len(k.Links) == 0 && (!k.Password || !k.TOTP) {
		return problem.New(problem.Conflict, "this is your last way to sign in", "add another one first")
	}
	return nil
}

// changeKeys changes the actor's own keys, journals what was changed without
// anything secret, and tells the actor.
func (s *Service) changeKeys(ctx context.Context, by access.Actor, what string, fn func(tx *journal.Tx, m Member) error) error {
	if err := access.Allow(by, access.ChangeKeys, s.o.Now()); err != nil {
		return err
	}
	return s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		m, _, err := journal.Load[Member](tx, KindMember, by.Member)
		if err != nil {
			return err
		}
		if err := fn(tx, m); err != nil {
			return err
		}
		if err := endProofs(tx, m.Account()); err != nil {
			return err
		}
		return s.tellOwner(tx, by, m, "member.keys_changed", what, NoticeKeys)
	})
}

// endProofs ends what signing in proved: from now on there is a key to prove
// with, or there was one all along.
func endProofs(tx *journal.Tx, account string) error {
	ps, err := tx.Privates(privateSession, account)
	if err != nil {
		return err
	}
	for _, p := range ps {
		var ses Session
		if err := json.Unmarshal(p.Doc, &ses); err != nil {
			return fmt.Errorf("reading a session: %w", err)
		}
		if ses.Object != AnyRequest {
			continue
		}
		ses.prove(time.Time{}, "", "", 0)
		if err := putSessionAt(tx, p.ID, ses, p.Expires); err != nil {
			return err
		}
	}
	return nil
}

// tellOwner journals something about a member's keys, marks it to be shown on
// the member's pages, and sends a message.
func (s *Service) tellOwner(tx *journal.Tx, by access.Actor, m Member, typ, what, notice string) error {
	about := []journal.Ref{{Kind: KindMember, ID: m.ID}}
	u := access.Audience{TLP: access.AmberStrict, Origin: m.Partner}
	if m.Account() != m.ID {
		home, _, err := journal.Load[Member](tx, KindMember, m.Account())
		if err != nil {
			return err
		}
		about = append(about, journal.Ref{Kind: KindMember, ID: home.ID})
		if home.Partner != m.Partner {
			u.Partners = []string{home.Partner}
		}
	}
	e := journal.New(typ, by, s.o.Now(), map[string]string{"what": what}, about...)
	e.Audience = u
	if _, err := tx.Append(e); err != nil {
		return err
	}
	if err := tx.PutPrivate(journal.Private{Kind: privateAlert, ID: m.Account(), Owner: m.Account(), Doc: []byte("{}"), Expires: s.o.Now().Add(30 * 24 * time.Hour)}); err != nil {
		return err
	}
	return s.tell(tx, Notice{Kind: notice, Members: []string{m.ID}, About: about[0], Path: "/settings/keys"})
}

func (s *Service) tell(tx *journal.Tx, n Notice) error {
	if s.o.Tell == nil || len(n.Members) == 0 {
		return nil
	}
	return s.o.Tell(tx, n)
}

// Seen takes note that the actor has seen what happened to the keys.
func (s *Service) Seen(ctx context.Context, by access.Actor) error {
	var account string
	if err := s.own(ctx, by, func(_ journal.StoreReader, m Member) error { account = m.Account(); return nil }); err != nil {
		return err
	}
	return s.o.Log.Update(ctx, func(tx *journal.Tx) error { return tx.DeletePrivate(privateAlert, account) })
}

// TOTPOffer is a new authenticator that is not set up yet.
type TOTPOffer struct {
	Secret string // base 32, to type
	URL    string // otpauth URL, for a QR code
	Token  string // goes back with the first code
}

type sealedOffer struct {
	Account string    `json:"account"`
	Seed    []byte    `json:"seed"`
	Expires time.Time `json:"expires"`
}

const offerLabel = "totp offer"

// OfferTOTP offers the actor a new authenticator.
func (s *Service) OfferTOTP(ctx context.Context, by access.Actor) (TOTPOffer, error) {
	var o TOTPOffer
	err := s.own(ctx, by, func(_ journal.StoreReader, m Member) error {
		key, err := s.seed(nil, m)
		if err != nil {
			return err
		}
		doc, err := json.Marshal(sealedOffer{Account: m.Account(), Seed: []byte(key.Secret()), Expires: s.o.Now().Add(30 * time.Minute).UTC()})
		if err != nil {
			return fmt.Errorf("writing a TOTP offer: %w", err)
		}
		o = TOTPOffer{Secret: key.Secret(), URL: key.URL(), Token: base64.RawURLEncoding.EncodeToString(s.o.Seal.Seal(doc, offerLabel))}
		return nil
	})
	return o, err
}

// SetPassword sets the actor's password, and with it the authenticator of an
// offer, of which one code is checked: a password alone never signs in. Both
// replace what was there; all other sessions end. It returns new recovery
// codes, shown this once. current is the key of the session that asks.
func (s *Service) SetPassword(ctx context.Context, by access.Actor, current, password, again, token, onetime string) ([]string, error) {
	if err := access.Allow(by, access.ChangeKeys, s.o.Now()); err != nil {
		return nil, err
	}
	if err := checkNewPassword(password, again); err != nil {
		return nil, err
	}
	expired := problem.New(problem.Invalid, "the page waited too long", "set up the authenticator with the picture that is shown now")
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return nil, expired
	}
	doc, err := s.o.Seal.Open(raw, offerLabel)
	if err != nil {
		return nil, expired
	}
	var offer sealedOffer
	if err := json.Unmarshal(doc, &offer); err != nil {
		return nil, expired
	}
	hash, recovery := hashPassword(s.o.Cost, password), recoveryCodes()
	err = s.changeKeys(ctx, by, "password_set", func(tx *journal.Tx, m Member) error {
		if offer.Account != m.Account() || !s.o.Now().Before(offer.Expires) {
			return expired
		}
		c := credential{Password: hash, Seed: s.o.Seal.Seal(offer.Seed, "totp "+m.Account()), Recovery: recovery.hashes()}
		if c.LastStep, err = s.onetime(c, m.Account(), onetime, s.o.Now()); err != nil {
			return err
		}
		if err := putCredential(tx, m.Account(), c); err != nil {
			return err
		}
		_, err = endSessions(tx, m.Account(), func(p journal.Private, _ Session) bool { return p.ID != hashSecret(current) })
		return err
	})
	return recovery.texts(err), err
}

// RemovePassword removes password, authenticator and recovery codes of the
// actor, who keeps another way to sign in.
func (s *Service) RemovePassword(ctx context.Context, by access.Actor) error {
	return s.changeKeys(ctx, by, "password_removed", func(tx *journal.Tx, m Member) error {
		if err := tx.DeletePrivate(privateCredential, m.Account()); err != nil {
			return err
		}
		return s.wayIn(tx, m.Account())
	})
}

// NewRecovery makes the actor new recovery codes, shown this once; the old
// ones are void.
func (s *Service) NewRecovery(ctx context.Context, by access.Actor) ([]string, error) {
	recovery := recoveryCodes()
	err := s.changeKeys(ctx, by, "recovery_made", func(tx *journal.Tx, m Member) error {
		c, err := loadCredential(tx, m.Account())
		if err != nil {
			return err
		}
		if c.Password == "" {
			return problem.New(problem.Conflict, "recovery codes go with a password, and you have none", "set a password first, or add a second passkey")
		}
		c.Recovery = recovery.hashes()
		return putCredential(tx, m.Account(), c)
	})
	return recovery.texts(err), err
}

// RecoveryCodes is how many recovery codes a member has when they are new.
const RecoveryCodes = 10

// recovery are new recovery codes: 65 random bits each. One stands for the
// authenticator, once, beside the password, so that recovery asks for as much
// as signing in does.
type recovery []string

func recoveryCodes() recovery {
	r := make(recovery, RecoveryCodes)
	for i := range r {
		r[i] = random(CodeLength)
	}
	return r
}

func (r recovery) hashes() []string {
	out := make([]string, len(r))
	for i, c := range r {
		out[i] = hashSecret("recovery " + c)
	}
	return out
}

// texts returns the codes as people read them, in groups; none after an error.
func (r recovery) texts(err error) []string {
	if err != nil {
		return nil
	}
	out := make([]string, len(r))
	for i, c := range r {
		out[i] = c[:5] + "-" + c[5:9] + "-" + c[9:]
	}
	return out
}

// isRecoveryCode tells a recovery code from six digits.
func isRecoveryCode(s string) bool { return len(normalCode(s)) == CodeLength }

// useRecovery takes a recovery code out, if it is one of those that are left.
func (c *credential) useRecovery(code string) error {
	want := hashSecret("recovery " + normalCode(code))
	at := -1
	for i, h := range c.Recovery { // all are looked at, so that time says nothing
		if equal(h, want) {
			at = i
		}
	}
	if at < 0 {
		return errOnetime
	}
	c.Recovery = slices.Delete(c.Recovery, at, at+1)
	return nil
}

// Profile is what members set for themselves.
type Profile struct {
	Language string `json:"language"` // BCP 47
	Zone     string `json:"zone"`     // IANA time zone; "": the partner's
}

// SetProfile sets the actor's own language and time zone.
func (s *Service) SetProfile(ctx context.Context, by access.Actor, p Profile) error {
	if err := access.Allow(by, access.OwnProfile, s.o.Now()); err != nil {
		return err
	}
	var f problem.InvalidFields
	if _, err := language.Parse(p.Language); err != nil {
		f.Add("language", "choose a language")
	}
	if p.Zone = strings.TrimSpace(p.Zone); p.Zone != "" {
		if _, err := time.LoadLocation(p.Zone); err != nil || len(p.Zone) > 60 {
			f.Add("zone", "enter a time zone by its name, for example Asia/Jakarta")
		}
	}
	if err := f.Err(); err != nil {
		return err
	}
	if by.Member == "" {
		return s.own(ctx, by, nil)
	}
	return s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		m, _, err := journal.Load[Member](tx, KindMember, by.Member)
		if err != nil || (m.Language == p.Language && m.Zone == p.Zone) {
			return err
		}
		e := journal.New("member.profile_changed", by, s.o.Now(), p, journal.Ref{Kind: KindMember, ID: m.ID})
		e.Audience = access.Audience{TLP: access.AmberStrict, Origin: m.Partner}
		_, err = tx.Append(e)
		return err
	})
}
