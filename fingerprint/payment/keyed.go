package payment

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// MinSecret is the length of the shortest secret of a Key in bytes.
const MinSecret = 32

// ErrKey is returned by NewKey for a bad ID or secret, and by Hash for a handle
// that is hashed already.
var ErrKey = errors.New("payment: bad key")

// Key makes keyed hashes of handles. It prints without its secret. The zero
// value is no key; Hash refuses it.
type Key struct {
	id     string
	secret *[]byte // a pointer, so that no reflection prints it
}

// NewKey returns a key. The ID says which key made a hash; it has 1 to 32
// lower-case letters, digits and hyphens, and may be public. The secret has at
// least MinSecret random bytes. The error wraps ErrKey.
func NewKey(id string, secret []byte) (Key, error) {
	if !keyID(id) {
		return Key{}, fmt.Errorf("%w: the ID must have 1 to 32 lower-case letters, digits and hyphens", ErrKey)
	}
	if len(secret) < MinSecret {
		return Key{}, fmt.Errorf("%w: the secret has %d bytes, it needs %d", ErrKey, len(secret), MinSecret)
	}
	s := append([]byte(nil), secret...)
	return Key{id: id, secret: &s}, nil
}

// ParseKey reads a key as its file has it, on one line: the ID, a colon and the
// secret in hex. The error wraps ErrKey and repeats nothing of the text.
func ParseKey(text string) (Key, error) {
	id, digits, ok := strings.Cut(strings.TrimSpace(text), ":")
	secret, err := hex.DecodeString(digits)
	if !ok || err != nil {
		return Key{}, fmt.Errorf("%w: a key is one line: its ID, a colon and its secret in hex", ErrKey)
	}
	return NewKey(id, secret)
}

func keyID(id string) bool {
	return len(id) >= 1 && len(id) <= 32 && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// ID returns the key's ID.
func (k Key) ID() string { return k.id }

// Hash returns the keyed form of h. The error wraps ErrKey if h is the zero
// value or keyed already, or k is the zero value.
func (k Key) Hash(h Handle) (Handle, error) {
	switch {
	case k.secret == nil:
		return Handle{}, fmt.Errorf("%w: no key", ErrKey)
	case h.IsZero():
		return Handle{}, fmt.Errorf("%w: no handle", ErrKey)
	case h.IsKeyed():
		return Handle{}, fmt.Errorf("%w: the handle is a keyed hash already", ErrKey)
	}
	return newHandle("hmac:" + k.id + ":" + hex.EncodeToString(k.sum(h))), nil
}

func (k Key) sum(h Handle) []byte {
	m := hmac.New(sha256.New, *k.secret)
	_, _ = io.WriteString(m, h.Reveal()) // a hash never fails
	return m.Sum(nil)
}

// Matches reports whether keyed is the hash of h under k. It takes the same time
// whatever the digits. It is false for a hash of another key.
func (k Key) Matches(keyed, h Handle) bool {
	if k.secret == nil || h.IsZero() || h.IsKeyed() || keyed.KeyID() != k.id {
		return false
	}
	text := keyed.Reveal()
	want := hex.EncodeToString(k.sum(h))
	return subtle.ConstantTimeCompare([]byte(text[len(text)-len(want):]), []byte(want)) == 1
}

// String returns the ID and no secret.
func (k Key) String() string { return "key " + k.id }

// Format prints String, whatever the verb.
func (k Key) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, k.String()) }

// LogValue returns String.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

const errKeyed = syntaxError("A keyed hash is written hmac:KEYID: and 64 hex digits. The key ID has 1 to 32 lower-case letters, digits and hyphens")

// readKeyed reads KEYID:hex.
func readKeyed(s string) (Handle, error) {
	id, digits, ok := strings.Cut(strip(s, " "), ":")
	digits, id = strings.ToLower(digits), strings.ToLower(id)
	if b, err := hex.DecodeString(digits); !ok || err != nil || len(b) != sha256.Size || !keyID(id) {
		return Handle{}, errKeyed
	}
	return newHandle("hmac:" + id + ":" + digits), nil
}
