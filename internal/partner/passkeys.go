package partner

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// A ceremony is asked and answered without anything stored in between: what
// the answer is checked against travels through the page, sealed with the
// node's data key and bound to its purpose. So nobody fills the store by asking,
// and each challenge is still taken once: a used one is kept until its time is
// over.

const (
	ceremonyLife  = 10 * time.Minute
	ceremonyLabel = "passkey ceremony"
	maxResponse   = 64 << 10
	maxPasskeys   = 20
)

// Ceremony is what a page needs to ask for a passkey.
type Ceremony struct {
	Options string // JSON of PublicKeyCredentialRequestOptions or …CreationOptions (WebAuthn level 3, §5)
	Token   string // goes back with the authenticator's answer
}

type sealedCeremony struct {
	Bound   string               `json:"bound"`
	Expires time.Time            `json:"expires"`
	Data    webauthn.SessionData `json:"data"`
}

// Passkey is one of a member's passkeys.
type Passkey struct {
	ID     string    `json:"id"` // short; not the credential's
	Name   string    `json:"name"`
	Added  time.Time `json:"added"`
	Used   time.Time `json:"used,omitzero"`
	Synced bool      `json:"synced,omitempty"` // lives on more than one device of its owner
}

type passkeyDoc struct {
	Name       string    `json:"name"`
	Added      time.Time `json:"added"`
	Used       time.Time `json:"used,omitzero"`
	Credential []byte    `json:"credential"` // sealed webauthn.Credential
}

type storedPasskey struct {
	id         string // of the private data
	doc        passkeyDoc
	credential webauthn.Credential
}

func (p storedPasskey) info() Passkey {
	return Passkey{ID: p.id[:shortID], Name: p.doc.Name, Added: p.doc.Added, Used: p.doc.Used, Synced: p.credential.Flags.BackupState}
}

// passkeyUser is an account as the library wants it.
type passkeyUser struct {
	account string
	email   string
	name    string
	keys    []webauthn.Credential
}

// userHandle names an account to authenticators: 32 bytes that say nothing.
func userHandle(account string) []byte {
	sum := sha256.Sum256([]byte("siaga passkey user v1\x00" + account))
	return sum[:]
}

func (u passkeyUser) WebAuthnID() []byte                         { return userHandle(u.account) }
func (u passkeyUser) WebAuthnName() string                       { return u.email }
func (u passkeyUser) WebAuthnDisplayName() string                { return u.name }
func (u passkeyUser) WebAuthnCredentials() []webauthn.Credential { return u.keys }

// SetPublicURL says under which address people reach the node; its host is
// what passkeys are bound to. An address by number, to which none can be
// bound, leaves the node without passkeys.
func (s *Service) SetPublicURL(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return fmt.Errorf("reading the public address: %w", err)
	}
	if net.ParseIP(u.Hostname()) != nil || (u.Scheme != "https" && u.Hostname() != "localhost") {
		s.rp = nil
		return nil
	}
	s.rp, err = webauthn.New(&webauthn.Config{
		RPID: u.Hostname(), RPDisplayName: "Siaga", RPOrigins: []string{u.Scheme + "://" + u.Host},
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired,
		},
	})
	if err != nil {
		return fmt.Errorf("setting up passkeys for %s: %w", u.Hostname(), err)
	}
	return nil
}

// HasPasskeys reports whether this node's address can have passkeys.
func (s *Service) HasPasskeys() bool { return s.rp != nil }

var (
	errPasskey   = problem.New(problem.Invalid, "the passkey was not accepted", "try again, or sign in another way")
	errCeremony  = problem.New(problem.Invalid, "the page waited too long, or its answer was sent before", "touch your passkey once more")
	errNoAddress = problem.New(problem.Conflict, "passkeys need an address with a name and https", "open the node by its public URL, or set one with --public-url")
)

func (s *Service) sealCeremony(options any, data *webauthn.SessionData, bound string) (*Ceremony, error) {
	c := sealedCeremony{Bound: bound, Expires: s.o.Now().Add(ceremonyLife).UTC(), Data: *data}
	c.Data.Expires = time.Time{} // ours is checked, by the node's clock
	doc, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("writing a passkey ceremony: %w", err)
	}
	opts, err := json.Marshal(options)
	if err != nil {
		return nil, fmt.Errorf("writing a passkey ceremony: %w", err)
	}
	return &Ceremony{Options: string(opts), Token: base64.RawURLEncoding.EncodeToString(s.o.Seal.Seal(doc, ceremonyLabel))}, nil
}

// openCeremony takes a ceremony's token once, for the purpose that it was
// sealed for.
func (s *Service) openCeremony(tx *journal.Tx, token, bound string) (webauthn.SessionData, error) {
	var c sealedCeremony
	if len(token) > maxResponse {
		return c.Data, errCeremony
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return c.Data, errCeremony
	}
	doc, err := s.o.Seal.Open(raw, ceremonyLabel)
	if err != nil {
		return c.Data, errCeremony
	}
	if err := json.Unmarshal(doc, &c); err != nil {
		return c.Data, errCeremony
	}
	if c.Bound != bound || !s.o.Now().Before(c.Expires) {
		return c.Data, errCeremony
	}
	id := hashSecret("challenge " + c.Data.Challenge)
	if _, err := tx.Private(privateChallenge, id); err == nil {
		return c.Data, errCeremony
	} else if problem.KindOf(err) != problem.NotFound {
		return c.Data, err
	}
	return c.Data, tx.PutPrivate(journal.Private{Kind: privateChallenge, ID: id, Doc: []byte("{}"), Expires: c.Expires})
}

// passkeys returns an account's passkeys, the oldest first.
func (s *Service) passkeys(r journal.StoreReader, account string) ([]storedPasskey, error) {
	ps, err := r.Privates(privatePasskey, account)
	if err != nil {
		return nil, err
	}
	out := make([]storedPasskey, 0, len(ps))
	for _, p := range ps {
		k, err := s.openPasskey(p)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b storedPasskey) int { return a.doc.Added.Compare(b.doc.Added) })
	return out, nil
}

func (s *Service) openPasskey(p journal.Private) (storedPasskey, error) {
	k := storedPasskey{id: p.ID}
	if err := json.Unmarshal(p.Doc, &k.doc); err != nil {
		return k, fmt.Errorf("reading a passkey: %w", err)
	}
	raw, err := s.o.Seal.Open(k.doc.Credential, passkeyLabel(p.Owner, p.ID))
	if err != nil {
		return k, fmt.Errorf("opening a passkey: %w", err)
	}
	if err := json.Unmarshal(raw, &k.credential); err != nil {
		return k, fmt.Errorf("reading a passkey: %w", err)
	}
	return k, nil
}

// passkeyLabel binds a stored passkey to its owner: a copy of it under another
// account does not open.
func passkeyLabel(account, id string) string { return "passkey " + account + " " + id }

func (s *Service) putPasskey(tx *journal.Tx, account string, k storedPasskey) error {
	raw, err := json.Marshal(k.credential)
	if err != nil {
		return fmt.Errorf("writing a passkey: %w", err)
	}
	k.doc.Credential = s.o.Seal.Seal(raw, passkeyLabel(account, k.id))
	doc, err := json.Marshal(k.doc)
	if err != nil {
		return fmt.Errorf("writing a passkey: %w", err)
	}
	return tx.PutPrivate(journal.Private{Kind: privatePasskey, ID: k.id, Owner: account, Doc: doc})
}

func passkeyID(raw []byte) string {
	sum := sha256.Sum256(append([]byte("siaga passkey v1\x00"), raw...))
	return hex.EncodeToString(sum[:])
}

func (s *Service) passkeyUser(r journal.StoreReader, account string, keys []storedPasskey) (passkeyUser, error) {
	m, _, err := journal.Load[Member](r, KindMember, account)
	u := passkeyUser{account: account, email: m.Email, name: m.Name}
	for _, k := range keys {
		u.keys = append(u.keys, k.credential)
	}
	return u, err
}

// askPasskey asks for a touch of one of an account's passkeys.
func (s *Service) askPasskey(r journal.StoreReader, account string, keys []storedPasskey, bound string) (*Ceremony, error) {
	if s.rp == nil {
		return nil, errNoAddress
	}
	u, err := s.passkeyUser(r, account, keys)
	if err != nil {
		return nil, err
	}
	options, data, err := s.rp.BeginLogin(u, webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, fmt.Errorf("asking for a passkey: %w", err)
	}
	return s.sealCeremony(options.Response, data, bound)
}

// takePasskey checks an authenticator's answer, notes the use of the passkey,
// and returns the account that it belongs to.
func (s *Service) takePasskey(tx *journal.Tx, token, response, bound string) (string, error) {
	if s.rp == nil {
		return "", errNoAddress
	}
	data, err := s.openCeremony(tx, token, bound)
	if err != nil {
		return "", err
	}
	if len(response) > maxResponse {
		return "", errPasskey
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes([]byte(response))
	if err != nil {
		return "", errPasskey.Because(err)
	}
	var key storedPasskey
	var user passkeyUser
	var fault error // of ours, which is not the authenticator's
	find := func(rawID, handle []byte) (webauthn.User, error) {
		p, err := tx.Private(privatePasskey, passkeyID(rawID))
		if err != nil {
			if problem.KindOf(err) != problem.NotFound {
				fault = err
			}
			return nil, errPasskey
		}
		if handle != nil && !bytes.Equal(handle, userHandle(p.Owner)) {
			return nil, errPasskey
		}
		if key, fault = s.openPasskey(p); fault != nil {
			return nil, fault
		}
		var keys []storedPasskey
		if keys, fault = s.passkeys(tx, p.Owner); fault != nil {
			return nil, fault
		}
		if user, fault = s.passkeyUser(tx, p.Owner, keys); fault != nil {
			return nil, fault
		}
		return user, nil
	}
	var c *webauthn.Credential
	if len(data.UserID) == 0 {
		c, err = s.rp.ValidateDiscoverableLogin(find, data, parsed)
	} else if _, err = find(parsed.RawID, nil); err == nil {
		c, err = s.rp.ValidateLogin(user, data, parsed)
	}
	switch {
	case fault != nil:
		return "", fault
	case err != nil:
		return "", errPasskey.Because(err)
	case c.Authenticator.CloneWarning: // its counter went back: two copies of it are in use
		return "", errPasskey.WithFix("tell your administrator: this passkey seems to have been copied")
	}
	key.credential, key.doc.Used = *c, s.o.Now().UTC()
	return user.account, s.putPasskey(tx, user.account, key)
}

const signInBinding = "sign-in"

// AskPasskey asks for any passkey of this node, without a name (discoverable
// credentials): for the page on which one signs in. nil means that the node's
// address can have none.
func (s *Service) AskPasskey() (*Ceremony, error) {
	if s.rp == nil {
		return nil, nil //nolint:nilnil // documented
	}
	options, data, err := s.rp.BeginDiscoverableLogin(webauthn.WithUserVerification(protocol.VerificationRequired))
	if err != nil {
		return nil, fmt.Errorf("asking for a passkey: %w", err)
	}
	return s.sealCeremony(options.Response, data, signInBinding)
}

// SignInPasskey signs in with the answer to AskPasskey. It is never slowed by
// failures of others: a passkey cannot be guessed, and an attacker must not
// keep a duty officer out.
func (s *Service) SignInPasskey(ctx context.Context, token, response string, c Client) (SignedIn, error) {
	var out SignedIn
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		account, err := s.takePasskey(tx, token, response, signInBinding)
		if err != nil {
			return err
		}
		all, err := memberships(tx, account)
		if err != nil {
			return err
		}
		if len(all) == 0 {
			return errPasskey
		}
		out, err = s.begin(tx, all[0], c, byPasskey, "")
		return err
	})
	if err != nil {
		s.failed(ctx, "passkey", err)
	}
	return out, err
}

// offerPasskey asks an authenticator for a new passkey of the account.
func (s *Service) offerPasskey(r journal.StoreReader, account, bound string) (*Ceremony, error) {
	if s.rp == nil {
		return nil, errNoAddress
	}
	keys, err := s.passkeys(r, account)
	if err != nil {
		return nil, err
	}
	u, err := s.passkeyUser(r, account, keys)
	if err != nil {
		return nil, err
	}
	options, data, err := s.rp.BeginRegistration(u, webauthn.WithExclusions(webauthn.Credentials(u.keys).CredentialDescriptors()))
	if err != nil {
		return nil, fmt.Errorf("offering a passkey: %w", err)
	}
	return s.sealCeremony(options.Response, data, bound)
}

// addPasskey stores the passkey that an authenticator made.
func (s *Service) addPasskey(tx *journal.Tx, account, token, response, name, bound string) error {
	if s.rp == nil {
		return errNoAddress
	}
	if name = clean(name, 60); len(name) > 60 {
		var f problem.InvalidFields
		f.Add("name", "enter a name of up to 60 characters")
		return f.Err()
	}
	data, err := s.openCeremony(tx, token, bound)
	if err != nil {
		return err
	}
	if len(response) > maxResponse {
		return errPasskey
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes([]byte(response))
	if err != nil {
		return errPasskey.Because(err)
	}
	keys, err := s.passkeys(tx, account)
	if err != nil {
		return err
	}
	if len(keys) >= maxPasskeys {
		return problem.Newf(problem.Conflict, "you have %d passkeys, which is the most", len(keys)).WithFix("remove one that you do not use")
	}
	u, err := s.passkeyUser(tx, account, keys)
	if err != nil {
		return err
	}
	c, err := s.rp.CreateCredential(u, data, parsed)
	if err != nil {
		return errPasskey.Because(err)
	}
	id := passkeyID(c.ID)
	if _, err := tx.Private(privatePasskey, id); err == nil {
		return problem.New(problem.Conflict, "this passkey is in use already", "choose another one")
	} else if problem.KindOf(err) != problem.NotFound {
		return err
	}
	if name == "" {
		name = fmt.Sprintf("Passkey %d", len(keys)+1)
	}
	return s.putPasskey(tx, account, storedPasskey{id: id, doc: passkeyDoc{Name: name, Added: s.o.Now().UTC()}, credential: *c})
}

// OfferPasskey asks for a new passkey of the actor.
func (s *Service) OfferPasskey(ctx context.Context, by access.Actor) (*Ceremony, error) {
	var c *Ceremony
	err := s.own(ctx, by, func(r journal.StoreReader, m Member) (err error) {
		c, err = s.offerPasskey(r, m.Account(), "add "+m.Account())
		return err
	})
	if errors.Is(err, errNoAddress) {
		return nil, nil //nolint:nilnil // no passkeys at this address
	}
	return c, err
}

// AddPasskey adds the passkey that OfferPasskey asked for.
func (s *Service) AddPasskey(ctx context.Context, by access.Actor, token, response, name string) error {
	return s.changeKeys(ctx, by, "passkey_added", func(tx *journal.Tx, m Member) error {
		return s.addPasskey(tx, m.Account(), token, response, name, "add "+m.Account())
	})
}

// RemovePasskey removes one of the actor's passkeys by the ID of the list. The
// last way to sign in stays.
func (s *Service) RemovePasskey(ctx context.Context, by access.Actor, id string) error {
	return s.changeKeys(ctx, by, "passkey_removed", func(tx *journal.Tx, m Member) error {
		keys, err := s.passkeys(tx, m.Account())
		if err != nil {
			return err
		}
		i := slices.IndexFunc(keys, func(k storedPasskey) bool { return strings.HasPrefix(k.id, id) && len(id) == shortID })
		if i < 0 {
			return problem.New(problem.NotFound, "there is no such passkey", "reload the page: it may have been removed already")
		}
		if err := tx.DeletePrivate(privatePasskey, keys[i].id); err != nil {
			return err
		}
		return s.wayIn(tx, m.Account())
	})
}
