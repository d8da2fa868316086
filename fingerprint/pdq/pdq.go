// Package pdq computes and compares PDQ hashes, the 256-bit perceptual hash of
// pictures published by Meta (facebook/ThreatExchange, folder pdq).
package pdq

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"strings"
)

// Hash is a PDQ hash: 256 bits, most significant bit first, as its 64 hex
// digits are written.
type Hash [32]byte

// Result is the outcome of hashing one picture.
type Result struct {
	Hash    Hash
	Quality int // 0 to 100; under 50 the picture has too little detail to be matched safely
}

// MinQuality is the least quality at which a hash may block (the rule of the
// reference's maintainers); under it a signal is for review at most.
const MinQuality = 50

// MatchDistance is the usual greatest distance of two hashes of one picture.
const MatchDistance = 31

// ErrSyntax is wrapped by errors of Parse.
var ErrSyntax = errors.New("pdq: not a PDQ hash")

// Parse reads 64 hex digits of either case, spaces around them ignored.
func Parse(s string) (h Hash, err error) {
	s = strings.TrimSpace(s)
	if len(s) != 2*len(h) {
		return Hash{}, fmt.Errorf("%w: the PDQ fingerprint has %d characters, enter all 64: digits and a to f", ErrSyntax, len(s))
	}
	if _, err := hex.Decode(h[:], []byte(s)); err != nil {
		return Hash{}, fmt.Errorf("%w: the PDQ fingerprint has a character other than digits and a to f", ErrSyntax)
	}
	return h, nil
}

// String returns the canonical text form, 64 lower-case hex digits.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Distance returns the number of differing bits, from 0 to 256. Unrelated
// pictures are 128 apart on average; 31 or less is the usual match.
func (h Hash) Distance(o Hash) int {
	n := 0
	for i := range h {
		n += bits.OnesCount8(h[i] ^ o[i])
	}
	return n
}

// The numbers of set bits of a hash that can be matched. Half of a hash's
// bits are set, as it compares with the median: 128, or a few less where
// frequencies are equal.
const (
	minSetBits = 96
	maxSetBits = 160
)

// SetBits returns the number of set bits, from 0 to 256.
func (h Hash) SetBits() int { return h.Distance(Hash{}) }

// Degenerate reports whether h cannot be the hash of a picture with detail:
// all zero, as of a picture under 5 by 5 pixels or of one colour, or with less
// than 96 or more than 160 bits set (128 in real pictures). It would match
// unrelated pictures of that kind, and must be refused as a signal.
func Degenerate(h Hash) bool {
	n := h.SetBits()
	return n < minSetBits || n > maxSetBits
}
