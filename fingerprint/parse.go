package fingerprint

import (
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"strings"
	"unicode/utf8"

	"github.com/siaga-crp/siaga/fingerprint/audio"
	"github.com/siaga-crp/siaga/fingerprint/digest"
	"github.com/siaga-crp/siaga/fingerprint/link"
	"github.com/siaga-crp/siaga/fingerprint/local"
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
	text = withoutName(k, text)
	canonical, err := parse(k, text)
	if err != nil {
		return Value{}, err
	}
	return Value{Kind: k, Text: canonical}, nil
}

// withoutName drops the kind's name and a colon in front of a value, as Guess,
// our lists and many tools write it.
func withoutName(k Kind, text string) string {
	s := strings.TrimSpace(text)
	if n := len(k); n > 0 && len(s) > n && s[n] == ':' && strings.EqualFold(s[:n], string(k)) {
		return s[n+1:]
	}
	return text
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
	case Local:
		f, err := local.Parse(text)
		if err != nil {
			return "", reason(k, "keypoint fingerprint", err, local.ErrSyntax)
		}
		return f.String(), nil
	case Audio:
		t, err := audio.Parse(text)
		if err != nil {
			return "", reason(k, "sound fingerprint", err, audio.ErrSyntax)
		}
		return t.String(), nil
	case TLSH:
		return parseTLSH(text)
	case VPDQ:
		return parseVPDQ(text)
	}
	return "", fmt.Errorf("%w; use one of %s", ErrKind, names())
}

// reason makes a sentence of the error of a kind whose package writes for
// programs: sentinel: what is wrong.
func reason(k Kind, name string, err, sentinel error) error {
	what, ok := strings.CutPrefix(err.Error(), sentinel.Error()+": ")
	if !ok {
		what = "it has another form"
	}
	return &SyntaxError{k, "The " + name + " cannot be read: " + what + ". Compute it again, or use the file itself"}
}

// emptyOrLong makes a sentence of an error of package paste.
func emptyOrLong(k Kind, name, want string, err error) error {
	switch {
	case errors.Is(err, paste.ErrEmpty):
		return &SyntaxError{k, "Enter the " + name + ": " + want}
	case errors.Is(err, paste.ErrLong):
		return &SyntaxError{k, "The " + name + " has too many characters. Enter " + want}
	}
	return sentence(k, err)
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
		return "", emptyOrLong(k, name, fmt.Sprintf("%d digits and letters from a to f", 2*size), err)
	}
	s = strings.ToLower(paste.Narrow(s))
	s = strings.TrimPrefix(s, "sha-256:")
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

// Shown returns the text of the value that may be shown: all of it, but of a
// payment handle payment.Handle.Masked, and "…" of what is none.
func (v Value) Shown() string {
	if v.Kind != Payment {
		return v.Text
	}
	if h, err := payment.Parse(v.Text); err == nil {
		return h.Masked()
	}
	return "…"
}

// String returns the kind and the value, a payment handle masked.
func (v Value) String() string {
	if v.Kind == "" {
		return ""
	}
	return string(v.Kind) + " " + v.Shown()
}

// GoString returns String, so that %#v masks payment handles, too.
func (v Value) GoString() string { return "fingerprint.Value(" + v.String() + ")" }

// LogValue returns the kind alone: fingerprints are shared within limits that a
// log does not know.
func (v Value) LogValue() slog.Value {
	return slog.GroupValue(slog.String("kind", string(v.Kind)), slog.String("value", "***"))
}
