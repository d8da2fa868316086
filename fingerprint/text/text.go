// Package text computes and compares TLSH, the locality-sensitive hash of texts
// and documents (Oliver, Cheng and Chen, "TLSH – A Locality Sensitive Hash",
// 2013; github.com/trendmicro/tlsh): 128 buckets, one byte of checksum.
//
// The canonical text form is "T1" and 70 upper-case hex digits, as the
// reference has written it since version 4. Parse also takes the older form
// without "T1" and lower case:
//
//	digits  1-2    checksum of the bytes, its two digits swapped
//	digits  3-4    logarithm of the length, its two digits swapped
//	digits  5-6    ratios of the quartiles
//	digits  7-70   128 buckets of two bits, by quartile, the last bucket first
//
// The arithmetic is that of github.com/glaslos/tlsh. What that library leaves
// out is here: the reference gives no hash to inputs that are too short or too
// uniform, on which TLSH would match unrelated texts.
//
// What is hashed: a plain text by its bytes as they are, so that the reference
// tool run on the file agrees; a document by the text that a reader sees, see
// Normalize.
package text

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/glaslos/tlsh"
)

// MinBytes is the least input that has a hash, as in the reference.
const MinBytes = 50

// MatchDistance is the greatest distance at which two texts are taken for
// versions of one. The paper counts 1 false positive in 100 at 50 and finds
// most versions; the scale has no upper bound, unrelated texts are usually
// over 150 apart.
const MatchDistance = 50

// size is the number of bytes of a hash, 70 hex digits.
const size = 35

// ErrSyntax is wrapped by errors of Parse.
var ErrSyntax = errors.New("text: not a TLSH hash")

// ErrTooShort is returned by Sum for fewer than MinBytes bytes.
var ErrTooShort = errors.New("text: under 50 bytes, too short for TLSH")

// ErrUniform is returned by Sum for input with too little variety, such as one
// letter repeated.
var ErrUniform = errors.New("text: too uniform for TLSH")

// Hash is a TLSH hash in the order of its hex digits. It is comparable, but
// versions of one text are near each other rather than equal: see Distance.
// The zero value is the hash of nothing.
type Hash [size]byte

// Sum returns the hash of b, which is not kept. It may be called concurrently.
func Sum(b []byte) (Hash, error) {
	if len(b) < MinBytes {
		return Hash{}, ErrTooShort
	}
	t, err := tlsh.HashBytes(b)
	if err != nil {
		return Hash{}, fmt.Errorf("text: %w", err)
	}
	h := Hash(t.Binary())
	if h.uniform() {
		return Hash{}, ErrUniform
	}
	return h, nil
}

// uniform reports whether at most half of the 128 buckets were filled, where
// the reference gives no hash. The counts are gone, but then the first and the
// second quartile are zero: both ratios are, the half or more empty buckets have
// the lowest code, and the second-lowest, between the two quartiles, is not used.
func (h Hash) uniform() bool {
	empty := 0
	for _, b := range h[3:] {
		for range 4 {
			switch b & 3 {
			case 0:
				empty++
			case 1:
				return false
			}
			b >>= 2
		}
	}
	return h[2] == 0 && empty >= 64
}

// Parse reads a hash with or without "T1", in either case, spaces around it
// ignored.
func Parse(s string) (h Hash, err error) {
	s = strings.TrimSpace(s)
	digits := s
	if len(s) >= 2 && (s[0] == 'T' || s[0] == 't') {
		if s[1] != '1' {
			return Hash{}, fmt.Errorf("%w: TLSH version %q is not known, enter T1 and 70 digits", ErrSyntax, s[:2])
		}
		digits = s[2:]
	}
	if len(digits) != 2*size {
		return Hash{}, fmt.Errorf("%w: the TLSH fingerprint has %d digits, enter T1 and all 70: digits and A to F", ErrSyntax, len(digits))
	}
	if _, err := hex.Decode(h[:], []byte(digits)); err != nil {
		return Hash{}, fmt.Errorf("%w: the TLSH fingerprint has a character other than digits and A to F", ErrSyntax)
	}
	return h, nil
}

// String returns the canonical text form.
func (h Hash) String() string {
	var b [2 + 2*size]byte
	b[0], b[1] = 'T', '1'
	const digits = "0123456789ABCDEF"
	for i, c := range h {
		b[2+2*i], b[3+2*i] = digits[c>>4], digits[c&15]
	}
	return string(b[:])
}

// Distance returns the reference's distance (with the difference in length):
// 0 for equal hashes, up to about 1,000 and more the less alike the texts are.
// It is symmetric, but no metric: the triangle inequality does not hold. It
// allocates nothing.
func (h Hash) Distance(o Hash) int {
	d := ring(swap(h[1]), swap(o[1]), 256)
	if d > 1 {
		d *= 12
	}
	for _, q := range [2]int{ring(h[2]>>4, o[2]>>4, 16), ring(h[2]&15, o[2]&15, 16)} {
		if q > 1 {
			q = (q - 1) * 12
		}
		d += q
	}
	if h[0] != o[0] {
		d++
	}
	for i, b := range h[3:] {
		c := o[3+i]
		d += int(pairs[b&0xf0|c>>4]) + int(pairs[b<<4|c&15])
	}
	return d
}

// ring is the number of steps from a to b around a circle of n.
func ring(a, b byte, n int) int {
	d := int(a) - int(b)
	if d < 0 {
		d = -d
	}
	return min(d, n-d)
}

// swap exchanges the two digits of a byte.
func swap(b byte) byte { return b<<4 | b>>4 }

// pairs holds the distance of two half-bytes of two buckets each, one in the
// high and one in the low half of the index. Buckets are as far apart as their
// quartiles, but 6 from the first to the last.
var pairs = func() (t [256]uint8) {
	for i := range t {
		for s := 0; s < 4; s += 2 {
			d := i>>4>>s&3 - i>>s&3
			if d < 0 {
				d = -d
			}
			if d == 3 {
				d = 6
			}
			t[i] += uint8(d)
		}
	}
	return t
}()

// Normalize returns s as it is hashed when it was extracted from a document:
// runs of white space, which differ from one program to the next for the same
// pages, become one space, soft hyphens and control characters are dropped,
// and bytes that are not UTF-8 become U+FFFD.
func Normalize(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	space := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			space = true
			continue
		case r == '\u00ad', r == '\ufeff', unicode.IsControl(r):
			continue
		}
		if space && b.Len() > 0 {
			b.WriteByte(' ')
		}
		space = false
		if r == utf8.RuneError {
			r = '\ufffd'
		}
		b.WriteRune(r)
	}
	return b.String()
}
