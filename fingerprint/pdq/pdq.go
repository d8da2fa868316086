// Package pdq computes and compares PDQ hashes, the 256-bit perceptual hash of
// pictures published by Meta (facebook/ThreatExchange, folder pdq, with a
// description in hashing.pdf).
//
// # The hash
//
// A picture's luma (0.299 red + 0.587 green + 0.114 blue, transparent parts on
// white) is blurred with a moving average of ceil(width/128) by
// ceil(height/128) pixels, twice, and sampled at 64 by 64 points. Of the two-
// dimensional cosine transform of these the frequencies 1 to 16 in each
// direction are kept. A bit says whether a frequency is above their median: bit
// 16*row+column, counted from the last, so that the hash reads as a 256-bit
// number with bit 0 at its end. The quality, from 0 to 100, is the sum of the
// steps between neighbouring samples.
//
// # What this package promises
//
//   - A hash is the reference's, but for bits whose frequency is so near the
//     median that the reference's 32-bit rounding decides them. Pictures in PNG
//     have the same hash, pictures in JPEG are a few bits away at most, as
//     decoders round differently.
//   - One picture has one hash, on every processor and with or without vector
//     code: sums over pixels are of whole numbers, and the rest is computed in
//     one order.
//   - A Hasher that has seen a size allocates nothing.
//   - Pixels are hashed as they are stored: it is the caller's to apply an EXIF
//     orientation, or to compare all eight turned and mirrored hashes.
//
// It decodes nothing: package image and its likes do that, under limits that the
// caller sets. The build tag purego leaves the vector code out.
package pdq

import (
	"encoding/binary"
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

// MarshalText returns the canonical text form, so that JSON holds 64 digits.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads what Parse does; its error wraps ErrSyntax.
func (h *Hash) UnmarshalText(text []byte) error {
	parsed, err := Parse(string(text))
	if err != nil {
		return err
	}
	*h = parsed
	return nil
}

// Distance returns the number of differing bits, from 0 to 256. Unrelated
// pictures are 128 apart on average; 31 or less is the usual match.
func (h Hash) Distance(o Hash) int {
	n := 0
	for i := 0; i < len(h); i += 8 {
		n += bits.OnesCount64(binary.LittleEndian.Uint64(h[i:]) ^ binary.LittleEndian.Uint64(o[i:]))
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
