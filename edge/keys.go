package edge

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Pin names a node's root key for ever: the SHA-256 of its 32 bytes in 64
// lower-case hex digits. The text of an edge's token ends with it, so that an
// edge which was given a token trusts one node and no other.
func Pin(root ed25519.PublicKey) string {
	sum := sha256.Sum256(root)
	return hex.EncodeToString(sum[:])
}

// PinOf returns the pin at the end of an edge's token text, which is
// "siaga_edge_SECRET_PIN". The whole text is what is sent as bearer token. The
// error wraps ErrSyntax and does not repeat the token.
func PinOf(token string) (string, error) {
	token = strings.TrimSpace(token)
	i := strings.LastIndexByte(token, '_')
	if !strings.HasPrefix(token, "siaga_edge_") || i < len("siaga_edge_") {
		return "", fmt.Errorf("%w: this is not an edge's token, which begins with siaga_edge_", ErrSyntax)
	}
	pin := token[i+1:]
	if raw, err := hex.DecodeString(pin); err != nil || len(raw) != sha256.Size || strings.ToLower(pin) != pin {
		return "", fmt.Errorf("%w: the token does not end with the 64 hex digits that name its node's key; was it cut off?", ErrSyntax)
	}
	return pin, nil
}

// Keys is the set of keys that a feed may be signed with, certified by the
// node's root key. The root key may be kept offline; it may also be the only
// feed key. A set with a higher Serial replaces the one before it, which is how
// a key is rotated or revoked.
type Keys struct {
	Serial uint64            `json:"serial"` // from 1, rising
	Root   ed25519.PublicKey `json:"root"`
	Feed   []FeedKey         `json:"feed"`
	At     time.Time         `json:"at"`
}

// FeedKey is one key that signs operations, heartbeats and snapshots.
type FeedKey struct {
	Public ed25519.PublicKey `json:"public"`
	Until  time.Time         `json:"until,omitzero"` // last moment of what it may sign; zero: no end
}

const maxFeedKeys = 16

// Seal signs the set with the root key and returns its wire form, which is
// built as an operation's with the domain "siaga-feed v1 keys".
func (k Keys) Seal(root Signer) ([]byte, error) {
	k.Root = root.Public()
	k.At = k.At.UTC().Truncate(time.Millisecond)
	body, err := json.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("writing the set of keys: %w", err)
	}
	return seal(root, domainKeys, body)
}

// ParseKeys reads a set of keys and checks that the root key which signed it
// is the pinned one. The error wraps ErrSyntax or ErrSignature.
func ParseKeys(wire []byte, pin string) (*Keys, error) {
	var k Keys
	body, sig, err := unseal(wire)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(body, &k); err != nil {
		return nil, fmt.Errorf("%w: reading the set of keys: %v", ErrSyntax, err) //nolint:errorlint // one sentinel is enough
	}
	if len(k.Root) != ed25519.PublicKeySize || k.Serial == 0 || len(k.Feed) == 0 || len(k.Feed) > maxFeedKeys {
		return nil, fmt.Errorf("%w: a set of keys has a root key, a serial from 1 and 1 to %d feed keys", ErrSyntax, maxFeedKeys)
	}
	for _, f := range k.Feed {
		if len(f.Public) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("%w: a feed key has %d bytes, not %d", ErrSyntax, len(f.Public), ed25519.PublicKeySize)
		}
	}
	if subtle.ConstantTimeCompare([]byte(Pin(k.Root)), []byte(pin)) != 1 {
		return nil, fmt.Errorf("%w: this node's key is %s…, the token names %.16s…", ErrSignature, Pin(k.Root)[:16], pin)
	}
	if !ed25519.Verify(k.Root, append([]byte(domainKeys), body...), sig[:]) {
		return nil, fmt.Errorf("%w: the set of keys is not signed by the node's root key", ErrSignature)
	}
	return &k, nil
}

// find returns the key with this name.
func (k *Keys) find(id KeyID) (*FeedKey, error) {
	for i := range k.Feed {
		if IDOf(k.Feed[i].Public) == id {
			return &k.Feed[i], nil
		}
	}
	return nil, fmt.Errorf("%w: key %q is not, or no longer, one of this feed's keys", ErrSignature, id)
}

func (k *Keys) verify(id KeyID, at time.Time, domain string, body, sig []byte) error {
	f, err := k.find(id)
	if err != nil {
		return err
	}
	if !f.Until.IsZero() && at.After(f.Until) {
		return fmt.Errorf("%w: key %s ended at %s", ErrSignature, id, f.Until.Format(time.RFC3339))
	}
	if !ed25519.Verify(f.Public, append([]byte(domain), body...), sig) {
		return ErrSignature
	}
	return nil
}

// Verify checks an operation's signature. As each operation contains the hash
// of the one before it, verifying the last of several that follow each other
// verifies them all.
func (k *Keys) Verify(s *Sealed) error {
	if err := k.verify(s.Key, s.At, domainOperation, s.Body, s.Sig[:]); err != nil {
		return fmt.Errorf("operation %d of chain %s: %w", s.Seq, s.Chain, err)
	}
	return nil
}

// Hello is the first event of a stream, and comes with each snapshot in the
// header Siaga-Hello (base64url of its wire form). It is made for one request,
// whose nonce it repeats, so that it cannot be an old one: from it the edge
// learns the node's time, whatever its own clock says. With a snapshot, Heads
// are exactly the snapshot's positions, and Known is the request's cursor if
// all of it is in this node's history: so a snapshot of another history, even
// one that the same key has signed, cannot be put in.
type Hello struct {
	Key         KeyID     `json:"key"`
	Nonce       string    `json:"nonce"`   // of the request
	Partner     string    `json:"partner"` // whose edge the node takes this for
	Edge        string    `json:"edge"`    // its name
	At          time.Time `json:"at"`      // node's time
	Epoch       uint64    `json:"epoch"`   // of the node's history now
	Heads       Cursor    `json:"heads"`   // last operation of each chain that is followed
	Known       Cursor    `json:"known,omitempty"`
	Checkpoint  string    `json:"checkpoint,omitempty"`
	Features    []string  `json:"features"`          // that the node grants of those that were asked for
	HeartbeatMS int64     `json:"heartbeat_ms"`      // interval of heartbeats
	AckMS       int64     `json:"ack_ms"`            // least interval between two acknowledgements
	PingMS      int64     `json:"ping_ms,omitempty"` // interval of comments, if FeaturePing was granted
}

// Features of the feed. An edge names those that it understands when it asks
// for a stream, and the hello names those that the node grants: so an earlier
// edge works with a later node, and the other way round.
const (
	// FeaturePing: the node sends an empty comment every PingMS, so that an edge
	// which can turn to another node notices soon that this one is gone.
	FeaturePing = "ping"
	// FeatureRelay: the edge takes greetings from a relay that the node has
	// certified. A relay refuses edges that do not name it.
	FeatureRelay = "relay"
	// FeatureGrant: the stream is for a relay, which is told whom it may serve.
	FeatureGrant = "grant"
)

// Certificate is a node's word that a relay may greet a partner's edges in its
// place: its hellos, and nothing else, may be signed by Relay until Until.
type Certificate struct {
	Key     KeyID             `json:"key"` // of the feed, that signed
	Relay   ed25519.PublicKey `json:"relay"`
	Partner string            `json:"partner"` // whose edges
	Name    string            `json:"name"`    // of the relay
	At      time.Time         `json:"at"`
	Until   time.Time         `json:"until"`
}

// Grant is what a relay is told: which edges of its partner it may serve. A
// later one replaces it.
type Grant struct {
	Key     KeyID       `json:"key"`
	Partner string      `json:"partner"`
	At      time.Time   `json:"at"`
	Edges   []EdgeGrant `json:"edges"`
}

// EdgeGrant is one edge's token, without its text.
type EdgeGrant struct {
	Hash  string    `json:"hash"`  // SHA-256 of the token's text, 64 hex digits
	Token string    `json:"token"` // its ID
	Edge  string    `json:"edge"`  // name of the edge
	Until time.Time `json:"until"`
}

// TokenHash is the SHA-256 of "siaga secret v1", a zero byte and a token's
// text, in 64 lower-case hex digits. The text has 160 random bits, so that its
// hash gives nothing away.
func TokenHash(text string) string {
	sum := sha256.Sum256([]byte("siaga secret v1\x00" + text))
	return hex.EncodeToString(sum[:])
}

// Heartbeat says that nothing is missing: at this moment, the heads of the
// chains are these.
type Heartbeat struct {
	Key        KeyID     `json:"key"`
	At         time.Time `json:"at"`
	Epoch      uint64    `json:"epoch"`
	Heads      Cursor    `json:"heads"`
	Checkpoint string    `json:"checkpoint,omitempty"` // signed note of the journal, C2SP tlog-checkpoint
}

// Seal signs the hello and returns its wire form.
func (h Hello) Seal(s Signer) ([]byte, error) {
	h.Key, h.At = IDOf(s.Public()), h.At.UTC().Truncate(time.Millisecond)
	return sealJSON(s, domainHello, h)
}

// Seal signs the certificate and returns its wire form.
func (c Certificate) Seal(s Signer) ([]byte, error) {
	c.Key, c.At, c.Until = IDOf(s.Public()), c.At.UTC().Truncate(time.Millisecond), c.Until.UTC().Truncate(time.Millisecond)
	return sealJSON(s, domainRelay, c)
}

// Seal signs the grant and returns its wire form.
func (g Grant) Seal(s Signer) ([]byte, error) {
	g.Key, g.At = IDOf(s.Public()), g.At.UTC().Truncate(time.Millisecond)
	return sealJSON(s, domainGrant, g)
}

// Seal signs the heartbeat and returns its wire form.
func (h Heartbeat) Seal(s Signer) ([]byte, error) {
	h.Key, h.At = IDOf(s.Public()), h.At.UTC().Truncate(time.Millisecond)
	return sealJSON(s, domainHeartbeat, h)
}

func sealJSON(s Signer, domain string, v any) ([]byte, error) {
	body, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("writing for the feed: %w", err)
	}
	return seal(s, domain, body)
}

// ParseHello reads a hello and checks its signature.
func (k *Keys) ParseHello(wire []byte) (h Hello, err error) {
	err = parseSigned(k, domainHello, wire, &h, func() (KeyID, time.Time) { return h.Key, h.At })
	return h, err
}

// ParseHeartbeat reads a heartbeat and checks its signature.
func (k *Keys) ParseHeartbeat(wire []byte) (h Heartbeat, err error) {
	err = parseSigned(k, domainHeartbeat, wire, &h, func() (KeyID, time.Time) { return h.Key, h.At })
	return h, err
}

// ParseCertificate reads a relay's certificate and checks its signature.
func (k *Keys) ParseCertificate(wire []byte) (c Certificate, err error) {
	err = parseSigned(k, domainRelay, wire, &c, func() (KeyID, time.Time) { return c.Key, c.At })
	if err == nil && len(c.Relay) != ed25519.PublicKeySize {
		err = fmt.Errorf("%w: a relay's key has %d bytes, not %d", ErrSyntax, len(c.Relay), ed25519.PublicKeySize)
	}
	return c, err
}

// ParseGrant reads a grant and checks its signature.
func (k *Keys) ParseGrant(wire []byte) (g Grant, err error) {
	err = parseSigned(k, domainGrant, wire, &g, func() (KeyID, time.Time) { return g.Key, g.At })
	return g, err
}

// keys are what a relay's hello is checked with.
func (c *Certificate) keys() *Keys {
	return &Keys{Serial: 1, Root: c.Relay, Feed: []FeedKey{{Public: c.Relay, Until: c.Until}}}
}

func parseSigned(k *Keys, domain string, wire []byte, into any, who func() (KeyID, time.Time)) error {
	body, sig, err := unseal(wire)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%w: %v", ErrSyntax, err) //nolint:errorlint // one sentinel is enough
	}
	id, at := who()
	return k.verify(id, at, domain, body, sig[:])
}

// newID returns 16 random bytes as text.
func newID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails (crypto/rand, since Go 1.24)
	return base64.RawURLEncoding.EncodeToString(b)
}
