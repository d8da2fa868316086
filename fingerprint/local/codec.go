package local

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Version is the first byte of every binary form.
const Version = 1

// Limits of the binary forms, in bytes.
const (
	MaxAssetBytes = 16 << 10
	MaxQueryBytes = 96 << 10
)

const (
	formAsset = 'a'
	formQuery = 'q'

	headerBytes = 8
	sketchBytes = sketchSide * sketchSide / 2
	pointBytes  = 4 + 32
	marginBytes = 32
)

// ErrSyntax is wrapped by every error of Parse and Decode.
var ErrSyntax = errors.New("local: not a local fingerprint")

// Append appends the binary form of f to dst: the query form if f has its
// thumbnail, else the shared form.
func (f *Fingerprint) Append(dst []byte) []byte {
	form := byte(formAsset)
	if f.thumb.W > 0 {
		form = formQuery
	}
	dst = append(dst, Version, form)
	dst = binary.BigEndian.AppendUint16(dst, uint16(f.w))
	dst = binary.BigEndian.AppendUint16(dst, uint16(f.h))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(f.points)))
	for i := 0; i < len(f.sketch); i += 2 {
		dst = append(dst, byte(f.sketch[i]+8)<<4|byte(f.sketch[i+1]+8))
	}
	for i, p := range f.points {
		w := uint32(p.x)<<21 | uint32(p.y)<<10 | uint32(p.level)<<7 | uint32(p.angle)<<1
		if p.dark {
			w |= 1
		}
		dst = binary.BigEndian.AppendUint32(dst, w)
		for _, d := range f.descs[i] {
			dst = binary.BigEndian.AppendUint64(dst, d)
		}
	}
	if form == formQuery {
		for _, m := range f.margin {
			for _, w := range [4]uint64{m.lo[0], m.lo[1], m.hi[0], m.hi[1]} {
				dst = binary.BigEndian.AppendUint64(dst, w)
			}
		}
		dst = append(dst, byte(f.thumb.W-1), byte(f.thumb.H-1))
		dst = append(dst, f.thumb.Pix...)
	}
	return dst
}

// Decode reads a binary form. Errors wrap ErrSyntax.
func Decode(b []byte) (*Fingerprint, error) {
	bad := func(format string, a ...any) (*Fingerprint, error) {
		return nil, fmt.Errorf("%w: %s", ErrSyntax, fmt.Sprintf(format, a...))
	}
	if len(b) < headerBytes+sketchBytes {
		return bad("%d bytes are too few", len(b))
	}
	if b[0] != Version {
		return bad("version %d is not known here, version %d is; update this program", b[0], Version)
	}
	form := b[1]
	if form != formAsset && form != formQuery {
		return bad("form %q is not known", form)
	}
	f := &Fingerprint{
		w: int(binary.BigEndian.Uint16(b[2:])),
		h: int(binary.BigEndian.Uint16(b[4:])),
	}
	n := int(binary.BigEndian.Uint16(b[6:]))
	if f.w > baseSide || f.h > baseSide || (n > 0 && (f.w < minLevelSide || f.h < minLevelSide)) {
		return bad("a picture of %d by %d pixels is out of range", f.w, f.h)
	}
	if n > MaxPoints || form == formAsset && n > MaxAssetPoints {
		return bad("%d keypoints are too many", n)
	}
	for i, v := range b[headerBytes:][:sketchBytes] {
		f.sketch[2*i], f.sketch[2*i+1] = int8(v>>4)-8, int8(v&15)-8
		if v>>4 == 0 || v&15 == 0 {
			return bad("a sketch value is out of range")
		}
	}
	rest := b[headerBytes+sketchBytes:]
	if len(rest) < n*pointBytes || form == formAsset && len(rest) != n*pointBytes {
		return bad("%d bytes do not hold %d keypoints", len(rest), n)
	}
	f.points, f.descs = make([]point, n), make([]Descriptor, n)
	for i := range n {
		w := binary.BigEndian.Uint32(rest)
		p := point{x: uint16(w >> 21), y: uint16(w >> 10 & 0x7FF), level: uint8(w >> 7 & 7), angle: uint8(w >> 1 & 63), dark: w&1 != 0}
		if int(p.x) >= 2*f.w || int(p.y) >= 2*f.h {
			return bad("keypoint %d lies outside of the picture", i)
		}
		f.points[i] = p
		for j := range f.descs[i] {
			f.descs[i][j] = binary.BigEndian.Uint64(rest[4+8*j:])
		}
		rest = rest[pointBytes:]
	}
	if form == formAsset {
		return f, nil
	}
	if len(rest) < marginBytes*n+2 {
		return bad("the query form ends early")
	}
	f.margin = make([]margins, n)
	for i := range n {
		m := &f.margin[i]
		for j := range 2 {
			m.lo[j] = binary.BigEndian.Uint64(rest[8*j:])
			m.hi[j] = binary.BigEndian.Uint64(rest[16+8*j:])
		}
		rest = rest[marginBytes:]
	}
	f.thumb = Luma{W: int(rest[0]) + 1, H: int(rest[1]) + 1}
	rest = rest[2:]
	if f.thumb.W > thumbSide || f.thumb.H > thumbSide || len(rest) != f.thumb.W*f.thumb.H {
		return bad("the thumbnail is not of its size")
	}
	f.thumb.Pix = append([]byte(nil), rest...)
	return f, nil
}

// String returns the canonical text form of the shared form: base64url
// (RFC 4648 section 5) without padding.
func (f *Fingerprint) String() string {
	return base64.RawURLEncoding.EncodeToString(f.Asset().Append(nil))
}

// Parse reads the text form, spaces around it ignored. Errors wrap ErrSyntax.
func Parse(s string) (*Fingerprint, error) {
	s = strings.TrimSpace(s)
	if len(s) > base64.RawURLEncoding.EncodedLen(MaxAssetBytes) {
		return nil, fmt.Errorf("%w: %d characters are too many, a shared fingerprint has at most %d", ErrSyntax, len(s), base64.RawURLEncoding.EncodedLen(MaxAssetBytes))
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%w: it is not base64url without padding", ErrSyntax)
	}
	f, err := Decode(b)
	if err != nil {
		return nil, err
	}
	if f.thumb.W > 0 {
		return nil, fmt.Errorf("%w: this is the query form, which is never shared; compute the shared form", ErrSyntax)
	}
	return f, nil
}
