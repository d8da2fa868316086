// Package audio finds the sound of a video again by its Chromaprint
// fingerprint: one 32-bit item for every 0.1238 seconds, which says how the
// strengths of the twelve notes change over about two and a half seconds
// (Ke, Hoiem, Sukthankar: Computer vision for music identification, CVPR 2005;
// Jang et al., 2009; Lalinský: Chromaprint, 2011).
//
// # What it promises
//
//   - A copy keeps most bits of its items when it is re-encoded, made quieter or
//     mixed down to one channel. Not found: another speed or pitch, speech under
//     music, loud noise, less than ten seconds of sound.
//   - Sound is weak evidence: the same song, jingle or siren lies under
//     unrelated videos. A Match is a reason to look, never one to block, and
//     whoever uses this package must keep to that.
//   - Silence, tones, hum and other sound that stays the same never match.
//   - Search has fixed bounds. It is approximate: a known track of which hardly
//     one item is left unchanged is missed. Nothing that it reports failed the
//     aligned comparison.
//   - Parse takes hostile input. No function does I/O or reads a clock.
//
// # What it reveals
//
// The items are far too coarse to listen to, and no words can be made of them.
// Whoever has a recording can tell whether it is the same one, and music can be
// looked up in public databases of such fingerprints.
//
// # Form
//
// Binary: a byte of version, 1, which also stands for Chromaprint's algorithm 1
// (its default) at 11,025 samples a second, then the items in order of time, big-
// endian, at most MaxKnown of them. Text: base64url without padding (RFC 4648,
// section 5).
package audio

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

const (
	version = 1

	// MaxKnown is the most items of a shared fingerprint: the first 8 minutes
	// and 27 seconds, 16 KB.
	MaxKnown = 4096
	// MaxQuery is the most items that are computed of one file: 33 minutes and
	// 48 seconds.
	MaxQuery = 16384

	// SecondsPerItem is the time between two items: 1,365 samples, a third of a
	// window of 4,096, at 11,025 a second.
	SecondsPerItem = 1365.0 / 11025
)

// ErrSyntax is wrapped by every error of Parse.
var ErrSyntax = errors.New("audio: not an audio fingerprint")

// Track is the fingerprint of a sound track: items in order of time.
type Track []uint32

// FromRaw reads the items as ffmpeg's muxer chromaprint writes them with
// fp_format raw: 32-bit words in little-endian order. Bytes after the last
// whole word, and items over MaxQuery, are left out.
func FromRaw(b []byte) Track {
	t := make(Track, min(len(b)/4, MaxQuery))
	for i := range t {
		t[i] = binary.LittleEndian.Uint32(b[4*i:])
	}
	return t
}

// Shared returns the form of t that is shared: its first MaxKnown items. It
// returns nil where the sound says too little to be found again: under ten
// seconds of it, or silence and tones all through.
func (t Track) Shared() Track {
	t = t[:min(len(t), MaxKnown)]
	for at := 0; at+window <= len(t); at += window / 2 {
		if lively(t[at : at+window]) {
			return t
		}
	}
	return nil
}

// Seconds is how much sound t describes.
func (t Track) Seconds() float64 { return float64(len(t)) * SecondsPerItem }

// String returns the canonical text form of t's first MaxKnown items.
func (t Track) String() string {
	t = t[:min(len(t), MaxKnown)]
	b := make([]byte, 1, 1+4*len(t))
	b[0] = version
	for _, v := range t {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// Parse reads the text form, spaces around it ignored. Errors wrap ErrSyntax.
func Parse(s string) (Track, error) {
	s = strings.TrimSpace(s)
	if most := base64.RawURLEncoding.EncodedLen(1 + 4*MaxKnown); len(s) > most {
		return nil, fmt.Errorf("%w: %d characters are too many, a shared fingerprint has at most %d", ErrSyntax, len(s), most)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%w: it is not base64url without padding", ErrSyntax)
	}
	switch {
	case len(b) < 5:
		return nil, fmt.Errorf("%w: it holds no sound", ErrSyntax)
	case b[0] != version:
		return nil, fmt.Errorf("%w: version %d is not known here, version %d is; update this program", ErrSyntax, b[0], version)
	case len(b)%4 != 1:
		return nil, fmt.Errorf("%w: its last item is cut", ErrSyntax)
	}
	t := make(Track, len(b)/4)
	for i := range t {
		t[i] = binary.BigEndian.Uint32(b[1+4*i:])
	}
	return t, nil
}
