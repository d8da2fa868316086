package edge

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
)

// Errors of the wire form. They are wrapped by errors that say what is wrong.
var (
	// ErrSyntax: the bytes are not of the form.
	ErrSyntax = errors.New("edge: not of the feed's form")
	// ErrSignature: the signature is not of a key that this feed may use.
	ErrSignature = errors.New("edge: the signature does not hold")
	// ErrGap: operations are missing in between.
	ErrGap = errors.New("edge: operations are missing")
	// ErrRollback: the position is lower than one that was seen before.
	ErrRollback = errors.New("edge: the feed went back")
	// ErrFork: there is another operation at the same position.
	ErrFork = errors.New("edge: the feed shows another history")
)

// Limits of the wire form; a reader refuses what exceeds them.
const (
	MaxOperation = 256 << 10 // bytes of one operation with its signature
	MaxValue     = 192 << 10 // bytes of a fingerprint's text
	MaxText      = 200       // bytes of each short text
	MaxLabels    = 32        // labels of one signal
)

// Do is what an operation does to its chain's idea of one signal.
type Do string

// The closed list of operations. A reader that meets another keeps the chain
// going, leaves the signal as it is and raises an alarm.
const (
	Add    Do = "add"    // the signal is as this operation says; replaces what the chain said before
	Remove Do = "remove" // the signal does not match; in an own chain it also masks the shared chain's
	Clear  Do = "clear"  // the chain says nothing about the signal any more
)

// Action is what the node recommends to do with a match. The platform decides.
type Action string

// The closed list of actions, from the weakest to the strongest.
const (
	Monitor Action = "monitor" // count only
	Review  Action = "review"  // a person looks
	Block   Action = "block"   // do not publish
)

// DefaultMaxStale is how old the feed may be until a signal that says nothing
// else no longer blocks.
const DefaultMaxStale = 24 * time.Hour

// Chain names. A chain is SharedChain or OwnChain of one partner.
const SharedChain = "partners"

// OwnChain returns the name of a partner's own chain.
func OwnChain(partner string) string { return "partner:" + partner }

// Hash is the SHA-256 of an operation's body (with its domain), by which the
// next one refers to it. The zero value stands before the first operation.
type Hash [sha256.Size]byte

// String returns 64 lower-case hex digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, h[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (h *Hash) UnmarshalText(b []byte) error {
	if len(b) != 2*len(h) {
		return fmt.Errorf("%w: a hash has %d hex digits, not %d characters", ErrSyntax, 2*len(h), len(b))
	}
	if _, err := hex.Decode(h[:], b); err != nil {
		return fmt.Errorf("%w: a hash has a character other than 0-9 and a-f", ErrSyntax)
	}
	return nil
}

// KeyID names a public key: the first eight bytes of its SHA-256, in hex.
type KeyID string

// IDOf returns the name of a public key.
func IDOf(pub ed25519.PublicKey) KeyID {
	sum := sha256.Sum256(pub)
	return KeyID(hex.EncodeToString(sum[:8]))
}

// Signal is what a chain says of one signal. It is the part of an Operation
// that a Matcher keeps.
type Signal struct {
	Number      uint64           `json:"n"`                      // the node's number of the signal, from 1
	ID          string           `json:"signal"`                 // the same as people write it, for example "S-0418"
	Kind        fingerprint.Kind `json:"kind,omitempty"`         // of the fingerprint; empty with Remove and Clear
	Value       string           `json:"value,omitempty"`        // fingerprint in its kind's canonical text form
	List        string           `json:"list,omitempty"`         // list that it is on
	Labels      []string         `json:"labels,omitempty"`       // what it shows
	Producer    string           `json:"producer,omitempty"`     // perpetrator, accomplice, bystander, media or unknown
	Action      Action           `json:"action,omitempty"`       // recommended
	MaxDistance int              `json:"max_distance,omitempty"` // greatest distance that matches, in the kind's own measure; 0 where the kind is exact
	Group       string           `json:"group,omitempty"`        // signals of one asset share it
	Exercise    bool             `json:"exercise,omitempty"`     // practice: never blocks
	Incident    string           `json:"incident,omitempty"`     // opaque reference
	Expires     time.Time        `json:"expires_at,omitzero"`    // stops matching; whole seconds, UTC; zero: never
	MaxStale    int64            `json:"max_stale_s,omitempty"`  // seconds of feed age after which Block becomes Review; 0: DefaultMaxStale
	Entry       int64            `json:"entry"`                  // number of the journal entry that it follows from
}

// Operation is one step of one chain. Its wire form is one line of JSON (the
// body), a line feed and the base64 of an Ed25519 signature over the text
// "siaga-feed v1 operation", a line feed and the body. The bytes of the body
// as they were sent are what is signed and hashed; nobody needs to make them
// anew, and members that a reader does not know are covered.
type Operation struct {
	Key   KeyID     `json:"key"` // of the key that signed
	Chain string    `json:"chain"`
	Epoch uint64    `json:"epoch"` // history that it belongs to, from 1; a new one begins when a node is restored from a backup
	Seq   uint64    `json:"seq"`   // position in the chain, from 1, without gaps, also across epochs
	Prev  Hash      `json:"prev"`  // Hash of the operation before it; zero for the first
	Do    Do        `json:"do"`
	At    time.Time `json:"at"` // node's time, UTC, whole milliseconds
	Signal
}

// Position is a place in a chain: after the operation Seq, whose hash is Hash.
// The zero value is before the first operation.
type Position struct {
	Epoch uint64 `json:"epoch"`
	Seq   uint64 `json:"seq"`
	Hash  Hash   `json:"hash"`
}

const (
	domainOperation = "siaga-feed v1 operation\n"
	domainHello     = "siaga-feed v1 hello\n"
	domainHeartbeat = "siaga-feed v1 heartbeat\n"
	domainKeys      = "siaga-feed v1 keys\n"
	domainRelay     = "siaga-feed v1 relay\n"
	domainGrant     = "siaga-feed v1 grant\n"
	domainSnapshot  = "siaga-feed v1 snapshot\n"
)

// Signer signs for the node. An ed25519.PrivateKey does with KeySigner.
type Signer interface {
	Public() ed25519.PublicKey
	// SignFeed returns the 64 bytes of the Ed25519 signature of message.
	SignFeed(message []byte) ([]byte, error)
}

// KeySigner signs with a key in memory.
type KeySigner ed25519.PrivateKey

// Public implements Signer.
func (k KeySigner) Public() ed25519.PublicKey {
	return ed25519.PrivateKey(k).Public().(ed25519.PublicKey) //nolint:forcetypeassert // an Ed25519 key's public half is one
}

// SignFeed implements Signer.
func (k KeySigner) SignFeed(message []byte) ([]byte, error) {
	return ed25519.Sign(ed25519.PrivateKey(k), message), nil
}

// seal returns body, a line feed and the signature over domain and body.
func seal(s Signer, domain string, body []byte) ([]byte, error) {
	sig, err := s.SignFeed(append([]byte(domain), body...))
	if err != nil {
		return nil, fmt.Errorf("signing for the feed: %w", err)
	}
	out := make([]byte, 0, len(body)+1+base64.StdEncoding.EncodedLen(len(sig)))
	out = append(append(out, body...), '\n')
	return base64.StdEncoding.AppendEncode(out, sig), nil
}

// unseal cuts wire into body and signature.
func unseal(wire []byte) (body []byte, sig [ed25519.SignatureSize]byte, err error) {
	i := bytes.IndexByte(wire, '\n')
	if i < 0 {
		return nil, sig, fmt.Errorf("%w: no line with a signature follows the body", ErrSyntax)
	}
	text := wire[i+1:]
	var raw [ed25519.SignatureSize + 2]byte // as the decoder writes whole groups
	if len(text) != base64.StdEncoding.EncodedLen(len(sig)) {
		return nil, sig, fmt.Errorf("%w: the signature is not %d bytes in base64", ErrSyntax, len(sig))
	}
	n, err := base64.StdEncoding.Strict().Decode(raw[:], text)
	if err != nil || n != len(sig) {
		return nil, sig, fmt.Errorf("%w: the signature is not %d bytes in base64", ErrSyntax, len(sig))
	}
	copy(sig[:], raw[:])
	return wire[:i], sig, nil
}

func hashOf(domain string, body []byte) Hash {
	h := sha256.New()
	_, _ = h.Write([]byte(domain)) // a hash never fails
	_, _ = h.Write(body)
	var out Hash
	h.Sum(out[:0])
	return out
}

// Seal checks the operation, signs it and returns its wire form and its hash.
// Key is set from the signer.
func (o Operation) Seal(s Signer) ([]byte, Hash, error) {
	o.Key = IDOf(s.Public())
	o.At = o.At.UTC().Truncate(time.Millisecond)
	if !o.Expires.IsZero() {
		o.Expires = o.Expires.UTC().Truncate(time.Second)
	}
	if err := o.Check(); err != nil {
		return nil, Hash{}, err
	}
	body, err := json.Marshal(o)
	if err != nil {
		return nil, Hash{}, fmt.Errorf("writing an operation: %w", err)
	}
	wire, err := seal(s, domainOperation, body)
	if err != nil {
		return nil, Hash{}, err
	}
	if len(wire) > MaxOperation {
		return nil, Hash{}, fmt.Errorf("%w: the operation has %d bytes, the limit is %d", ErrSyntax, len(wire), MaxOperation)
	}
	return wire, hashOf(domainOperation, body), nil
}

// Sealed is an operation as it arrived: parsed, hashed, its signature not yet
// checked.
type Sealed struct {
	Operation
	Hash Hash   // of the body
	Body []byte // part of the wire form given to ParseOperation
	Sig  [ed25519.SignatureSize]byte

	whole []byte // wire form
}

// Wire returns the wire form that it was parsed from.
func (s *Sealed) Wire() []byte { return s.whole }

// ParseOperation reads the wire form. It checks form and limits and computes
// the hash; the signature is checked by Keys.Verify.
func ParseOperation(wire []byte) (Sealed, error) {
	var s Sealed
	if len(wire) > MaxOperation {
		return s, fmt.Errorf("%w: an operation of %d bytes, the limit is %d", ErrSyntax, len(wire), MaxOperation)
	}
	var err error
	if s.Body, s.Sig, err = unseal(wire); err != nil {
		return s, err
	}
	if err := json.Unmarshal(s.Body, &s.Operation); err != nil {
		return s, fmt.Errorf("%w: reading an operation: %v", ErrSyntax, err) //nolint:errorlint // one sentinel is enough
	}
	if err := s.Check(); err != nil {
		return s, err
	}
	s.Hash, s.whole = hashOf(domainOperation, s.Body), wire
	return s, nil
}

// Position returns the place after this operation.
func (s *Sealed) Position() Position { return Position{s.Epoch, s.Seq, s.Hash} }

// Check reports what is wrong with the operation's form, wrapping ErrSyntax.
func (o *Operation) Check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: operation %d of chain %q: %s", ErrSyntax, o.Seq, o.Chain, fmt.Sprintf(format, args...))
	}
	switch {
	case !validChain(o.Chain):
		return bad("a chain is %q or partner:ID", SharedChain)
	case o.Epoch == 0 || o.Seq == 0:
		return bad("epoch and seq begin at 1")
	case o.Number == 0:
		return bad("n, the signal's number, begins at 1")
	case o.ID == "":
		return bad("signal is empty")
	case o.Entry < 0:
		return bad("entry is below 0")
	case len(o.Do) == 0 || len(o.Do) > MaxText:
		return bad("do is empty or too long")
	}
	for _, t := range []string{o.ID, string(o.Kind), o.List, o.Producer, string(o.Action), o.Group, o.Incident} {
		if len(t) > MaxText {
			return bad("a text has %d bytes, the limit is %d", len(t), MaxText)
		}
	}
	if len(o.Labels) > MaxLabels {
		return bad("%d labels, the limit is %d", len(o.Labels), MaxLabels)
	}
	for _, l := range o.Labels {
		if len(l) > MaxText {
			return bad("a label has %d bytes, the limit is %d", len(l), MaxText)
		}
	}
	if o.Do != Add {
		return nil
	}
	switch {
	case o.Kind == "" || o.Value == "":
		return bad("add needs kind and value")
	case len(o.Value) > MaxValue:
		return bad("the value has %d bytes, the limit is %d", len(o.Value), MaxValue)
	case o.Action != Block && o.Action != Review && o.Action != Monitor:
		return bad("action is %q: block, review or monitor", o.Action)
	case o.MaxDistance < 0 || o.MaxDistance > 1<<20:
		return bad("max_distance is %d", o.MaxDistance)
	case o.MaxStale < 0 || o.MaxStale > 1<<40:
		return bad("max_stale_s is %d", o.MaxStale)
	case !o.Expires.IsZero() && o.Expires.Unix() <= 0:
		return bad("expires_at is before 1970")
	}
	return nil
}

func validChain(c string) bool {
	if c == SharedChain {
		return true
	}
	id, ok := strings.CutPrefix(c, "partner:")
	if !ok || id == "" || len(id) > 80 {
		return false
	}
	for i := range len(id) {
		if b := id[i]; (b < 'a' || b > 'z') && (b < 'A' || b > 'Z') && (b < '0' || b > '9') && b != '-' && b != '_' && b != '.' {
			return false
		}
	}
	return true
}

// Follows reports whether the operation comes directly after position p of its
// chain. The error wraps ErrGap (operations are missing), ErrRollback (it is
// not after p) or ErrFork (it follows another history). An operation of a later
// epoch that contains the hash of p follows: the node was restored, and lost
// nothing that p has seen.
func (s *Sealed) Follows(p Position) error {
	switch {
	case s.Seq <= p.Seq:
		return fmt.Errorf("%w: operation %d of chain %s came after %d", ErrRollback, s.Seq, s.Chain, p.Seq)
	case s.Seq > p.Seq+1:
		return fmt.Errorf("%w: operation %d of chain %s came after %d", ErrGap, s.Seq, s.Chain, p.Seq)
	case s.Prev != p.Hash:
		return fmt.Errorf("%w: operation %d of chain %s follows another operation %d than ours", ErrFork, s.Seq, s.Chain, p.Seq)
	case s.Epoch < p.Epoch:
		return fmt.Errorf("%w: operation %d of chain %s is of epoch %d, ours is %d", ErrFork, s.Seq, s.Chain, s.Epoch, p.Epoch)
	}
	return nil
}
