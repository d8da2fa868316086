package fingerprint

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"strings"
	"unicode/utf8"

	"github.com/siaga-crp/siaga/fingerprint/digest"
	"github.com/siaga-crp/siaga/fingerprint/link"
	"github.com/siaga-crp/siaga/fingerprint/paste"
	"github.com/siaga-crp/siaga/fingerprint/payment"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// SyntaxError says why a text is not a value of a kind. Its text is one sentence
// for the person who entered it: what is wrong and what to enter. It never
// repeats what was entered. It matches ErrSyntax with errors.Is.
type SyntaxError struct {
	Kind     Kind
	Sentence string
}

// Error returns the sentence.
func (e *SyntaxError) Error() string { return e.Sentence }

// Unwrap returns ErrSyntax.
func (e *SyntaxError) Unwrap() error { return ErrSyntax }

// Parse reads a value of a kind in any usual spelling and returns it in
// canonical form. Spaces around it, invisible characters, full-width letters,
// digits of other scripts, upper-case hex digits, the kind's name in front and
// disguised addresses do not matter; each kind's package says more.
//
// Parsing a canonical form returns it unchanged, and does not allocate for the
// kinds that are looked up most (pdq, sha256, md5, and addresses of the simplest
// form). The error is a *SyntaxError, or wraps ErrKind for a kind that is not in
// Kinds. Parse may be called concurrently.
func Parse(k Kind, text string) (Value, error) {
	canonical, err := parse(k, text)
	if err != nil {
		return Value{}, err
	}
	return Value{Kind: k, Text: canonical}, nil
}

func parse(k Kind, text string) (string, error) {
	switch k {
	case PDQ:
		return parseHex(k, "PDQ fingerprint", len(pdq.Hash{}), text)
	case SHA256:
		return parseHex(k, "SHA-256 digest", len(digest.SHA256{}), text)
	case MD5:
		return parseHex(k, "MD5 digest", len(digest.MD5{}), text)
	case URL:
		u, err := link.ParseURL(text)
		return u.String(), sentence(k, err)
	case Domain:
		d, err := link.ParseDomain(text)
		return d.String(), sentence(k, err)
	case Channel:
		c, err := link.ParseChannel(text)
		return c.String(), sentence(k, err)
	case Payment:
		h, err := payment.Parse(text)
		return h.Reveal(), sentence(k, err)
	case TLSH:
		return parseTLSH(text)
	case VPDQ:
		return parseVPDQ(text)
	case Local:
		return "", &SyntaxError{k, "Fingerprints of kind " + string(k) + " cannot be read here yet. Propose the file itself"}
	}
	return "", fmt.Errorf("%w; use one of %s", ErrKind, names())
}

// sentence makes the error of a kind's own package a SyntaxError.
func sentence(k Kind, err error) error {
	if err == nil {
		return nil
	}
	return &SyntaxError{k, err.Error()}
}

// names lists the kinds for an error.
func names() string {
	var b strings.Builder
	for i, k := range Kinds() {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(k))
	}
	return b.String()
}

// maxText is the length of the longest text that is read as a hash, in bytes:
// room for the longest and for what is written around it.
const maxText = 512

// parseHex reads a value of size bytes in hex. It takes the kind's name in front
// (sha256:…), 0x, and spaces, hyphens and colons between the digits.
func parseHex(k Kind, name string, size int, text string) (string, error) {
	if isLowerHex(text) && len(text) == 2*size {
		return text, nil
	}
	s, err := paste.Clean(text, maxText)
	if err != nil {
		switch {
		case errors.Is(err, paste.ErrEmpty):
			return "", &SyntaxError{k, fmt.Sprintf("Enter the %s: %d digits and letters from a to f", name, 2*size)}
		case errors.Is(err, paste.ErrLong):
			return "", &SyntaxError{k, fmt.Sprintf("The %s has too many characters. Enter %d: digits and a to f", name, 2*size)}
		}
		return "", sentence(k, err)
	}
	s = strings.ToLower(paste.Narrow(s))
	for _, prefix := range hexPrefixes[k] {
		if rest, ok := strings.CutPrefix(s, prefix); ok {
			s = strings.TrimLeft(rest, ":= ")
			break
		}
	}
	s = strings.TrimPrefix(s, "0x")
	s = strings.Map(func(r rune) rune {
		if r == ' ' || r == ':' || r == '-' {
			return -1
		}
		return r
	}, s)
	if n := utf8.RuneCountInString(s); n != 2*size {
		return "", &SyntaxError{k, fmt.Sprintf("The %s has %d characters. Enter all %d: digits and a to f", name, n, 2*size)}
	}
	if _, err := hex.DecodeString(s); err != nil {
		return "", &SyntaxError{k, fmt.Sprintf("The %s has a character that is not a digit or a letter from a to f. Copy it again", name)}
	}
	return s, nil
}

// hexPrefixes are the names that people and tools write in front of a hash, the
// longest first.
var hexPrefixes = map[Kind][]string{
	PDQ:    {"pdq hash", "pdq"},
	SHA256: {"sha-256", "sha256"},
	MD5:    {"md5"},
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}

// Guess returns what one pasted line probably is, the likeliest first, each in
// canonical form: nothing if it is no fingerprint, several values if it may be
// several kinds. 64 hex digits are a PDQ hash or a SHA-256 digest; an address is
// itself, its channel and its domain. Guess is for offering choices, never for
// deciding.
func Guess(text string) []Value {
	var found []Value
	try := func(k Kind) {
		if v, err := Parse(k, text); err == nil {
			found = append(found, v)
		}
	}
	name, _, named := strings.Cut(strings.TrimSpace(text), ":")
	if k := Kind(strings.ToLower(name)); named && k.known() {
		if v, err := Parse(k, strings.TrimSpace(text)[len(name)+1:]); err == nil {
			return []Value{v}
		}
	}
	try(PDQ)
	try(SHA256)
	if len(found) == 2 && !likePDQ(found[0].Text) {
		found[0], found[1] = found[1], found[0]
	}
	try(MD5)
	if len(found) > 0 {
		return found
	}
	try(TLSH)
	try(VPDQ)
	try(Local)
	try(Payment)
	if len(found) > 0 {
		return found
	}
	if strings.Contains(text, "/") || strings.HasPrefix(strings.ToLower(text), "magnet:") {
		try(URL)
		try(Channel)
		try(Domain)
		return found
	}
	try(Domain)
	try(URL)
	try(Channel)
	return found
}

// known reports whether k is one of Kinds.
func (k Kind) known() bool {
	for _, o := range Kinds() {
		if k == o {
			return true
		}
	}
	return false
}

// likePDQ reports whether 64 hex digits are rather a PDQ hash than a digest. A
// PDQ hash marks the coefficients that are above their own median, so half of
// its bits are set; of a digest's bits exactly half are in one of twenty.
func likePDQ(text string) bool {
	h, err := pdq.Parse(text)
	n := 0
	for _, b := range h {
		n += bits.OnesCount8(b)
	}
	return err == nil && n >= 127 && n <= 128
}

// String returns the kind and the value, a payment handle masked.
func (v Value) String() string {
	if v.Kind == "" {
		return ""
	}
	text := v.Text
	if v.Kind == Payment {
		text = "…"
		if h, err := payment.Parse(v.Text); err == nil {
			text = h.Masked()
		}
	}
	return string(v.Kind) + " " + text
}

// GoString returns String, so that %#v masks payment handles, too.
func (v Value) GoString() string { return "fingerprint.Value(" + v.String() + ")" }

// LogValue returns the kind alone: fingerprints are shared within limits that a
// log does not know.
func (v Value) LogValue() slog.Value {
	return slog.GroupValue(slog.String("kind", string(v.Kind)), slog.String("value", "***"))
}
