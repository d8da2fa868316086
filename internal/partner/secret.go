package partner

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/siaga-crp/siaga/internal/onetime"
)

// CodeLength is the number of characters of a one-time code (65 bits).
const CodeLength = onetime.Length

// TokenPrefix begins every token, so that scanners find one that leaked.
const TokenPrefix = "siaga_"

// random returns n characters of Crockford base 32.
func random(n int) string { return onetime.Text(n) }

// hashSecret is how tokens, codes and session keys are stored. They are long
// and random, so a plain digest is enough.
func hashSecret(s string) string {
	sum := sha256.Sum256([]byte("siaga secret v1\x00" + s))
	return hex.EncodeToString(sum[:])
}

// normalCode undoes what people do to a code they copy.
func normalCode(s string) string { return onetime.Normal(s) }

// Cost is the price of one password hash (Argon2id, RFC 9106).
type Cost struct {
	MemoryKiB uint32
	Passes    uint32
}

// DefaultCost follows OWASP's password storage advice: 19 MiB, two passes.
var DefaultCost = Cost{MemoryKiB: 19 * 1024, Passes: 2}

var errPassword = errors.New("wrong password")

func hashPassword(c Cost, password string) string {
	salt := make([]byte, 16)
	if _, err := io.ReadFull(rand.Reader, salt); err != nil {
		panic("partner: no randomness: " + err.Error())
	}
	key := argon2.IDKey([]byte(password), salt, c.Passes, c.MemoryKiB, 1, 32)
	enc := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=1$%s$%s", c.MemoryKiB, c.Passes, enc.EncodeToString(salt), enc.EncodeToString(key))
}

func checkPassword(hash, password string) error {
	parts := strings.Split(hash, "$")
	if len(parts) != 6 || parts[1] != "argon2id" {
		return errors.New("stored password hash is not Argon2id")
	}
	var m, t uint64
	for kv := range strings.SplitSeq(parts[3], ",") {
		k, v, _ := strings.Cut(kv, "=")
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			return fmt.Errorf("stored password hash: %w", err)
		}
		switch k {
		case "m":
			m = n
		case "t":
			t = n
		}
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return fmt.Errorf("stored password hash: %w", err)
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil {
		return fmt.Errorf("stored password hash: %w", err)
	}
	got := argon2.IDKey([]byte(password), salt, uint32(t), uint32(m), 1, uint32(len(want))) //nolint:gosec // parsed with 32 bits
	if subtle.ConstantTimeCompare(got, want) != 1 {
		return errPassword
	}
	return nil
}

// Passing are the kinds of private data that end by themselves soon, sessions
// and one-time codes. A restored backup leaves them out: who signed out, or was
// shut out, since it was made would be signed in again.
func Passing() map[string]bool {
	return map[string]bool{privateSession: true, privateCode: true, privateChallenge: true, privateDevice: true}
}
