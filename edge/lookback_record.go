package edge

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/local"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/vpdq"
)

// An upload as look-back keeps it: fingerprints, a time and the caller's
// reference. Numbers are unsigned varints unless a size is given.
//
//	record   version 2 (1) | at_ms | reference | sha256 (32) | md5 (16) | tlsh | flags (1) | picture? | frames
//	picture  pdq | dihedral (7×32) | upright? | local | count | trim*       flags: 1 picture, 2 upright
//	trim     name | pdq | dihedral (7×32)
//	frames   count | frame*                                                 a frame: ms since the one before | pdq | local | count | inner*
//	inner    name | pdq | mirrored (32)
//	pdq      hash (32) | quality (1)
//	text, local   length | bytes
//
// Keypoints are kept with a thumbnail of 32 pixels, as coarse as the sketch in
// the form that is shared. A frame's turned hashes are not kept; vpdq.Turn gives
// them but for some bits. Version 1, which is still read, has no inner pictures
// of frames.
const (
	lookbackVersion = 2
	oldVersion      = 1
	maxReference    = 200 // bytes
	maxKeptFrames   = 512
	maxKeptKeys     = 6 // key frames with keypoints
	maxKeptTrims    = 10
	maxKeptInner    = 32 // frames with inner pictures …
	maxInner        = 4  // … and inner pictures of one
)

// appendUpload appends the record of an upload to dst.
func appendUpload(dst []byte, ref string, at time.Time, s *fingerprint.Set) []byte {
	num := func(n int) { dst = binary.AppendUvarint(dst, uint64(max(n, 0))) } //nolint:gosec // not negative
	text := func(b string) { num(len(b)); dst = append(dst, b...) }
	hash := func(r pdq.Result) {
		dst = append(append(dst, r.Hash[:]...), byte(min(max(r.Quality, 0), 100)))
	}
	turned := func(d *[8]pdq.Hash) {
		for i := 1; i < len(d); i++ {
			dst = append(dst, d[i][:]...)
		}
	}
	points := func(b []byte) {
		if f, err := local.Decode(b); err == nil && len(b) > 0 {
			text(string(f.Kept().Append(nil)))
		} else {
			num(0)
		}
	}
	dst = append(dst, lookbackVersion)
	num(int(at.UnixMilli()))
	text(ref)
	dst = append(append(dst, s.SHA256[:]...), s.MD5[:]...)
	text(s.TLSH)
	p := s.Picture
	flags := byte(0)
	if p != nil {
		flags |= 1
		if p.Upright != nil {
			flags |= 2
		}
	}
	dst = append(dst, flags)
	if p != nil {
		hash(p.PDQ)
		turned(&p.Dihedral)
		if p.Upright != nil {
			hash(*p.Upright)
		}
		points(p.Local)
		trims := p.Trims[:min(len(p.Trims), maxKeptTrims)]
		num(len(trims))
		for i := range trims {
			text(trims[i].Name)
			hash(trims[i].PDQ)
			turned(&trims[i].Dihedral)
		}
	}
	frames := keptFrames(s.Frames)
	num(len(frames))
	last := 0.0
	for i := range frames {
		num(int(math.Round((frames[i].Seconds - last) * 1000)))
		last = frames[i].Seconds
		hash(frames[i].PDQ)
		points(frames[i].Local)
		inner := frames[i].Trims[:min(len(frames[i].Trims), maxInner)]
		num(len(inner))
		for k := range inner {
			text(inner[k].Name)
			hash(inner[k].PDQ)
			dst = append(dst, inner[k].Dihedral[mirrored][:]...)
		}
	}
	return dst
}

// keptFrames thins a video's frames to what is kept: those that say something
// and differ from the one before, with keypoints and inner pictures on few.
func keptFrames(fs []fingerprint.Frame) []fingerprint.Frame {
	var out []fingerprint.Frame
	for i := range fs {
		f := fs[i]
		if n := len(out); !counts(&f.PDQ) || n > 0 && out[n-1].PDQ.Hash.Distance(f.PDQ.Hash) <= nearFrames && len(f.Local)+len(f.Trims) == 0 {
			continue
		}
		out = append(out, fingerprint.Frame{Seconds: f.Seconds, PDQ: f.PDQ, Local: f.Local, Trims: f.Trims})
	}
	if n := len(out); n > maxKeptFrames {
		for i := range maxKeptFrames {
			out[i] = out[i*n/maxKeptFrames]
		}
		out = out[:maxKeptFrames]
	}
	thin(out, maxKeptKeys, func(f *fingerprint.Frame) bool { return len(f.Local) > 0 }, func(f *fingerprint.Frame) { f.Local = nil })
	thin(out, maxKeptInner, func(f *fingerprint.Frame) bool { return len(f.Trims) > 0 }, func(f *fingerprint.Frame) { f.Trims = nil })
	return out
}

// thin leaves n of the frames that have something, evenly spread, and drops it
// from the others.
func thin(fs []fingerprint.Frame, n int, has func(*fingerprint.Frame) bool, drop func(*fingerprint.Frame)) {
	all, at := 0, 0
	for i := range fs {
		if has(&fs[i]) {
			all++
		}
	}
	for i := range fs {
		if !has(&fs[i]) {
			continue
		}
		if all > n && at*n/all == (at+1)*n/all {
			drop(&fs[i])
		}
		at++
	}
}

// parseUpload reads a record. It is bounded by its input.
func parseUpload(b []byte) (ref string, at time.Time, s fingerprint.Set, err error) {
	bad := false
	take := func(n int) []byte {
		if bad || n < 0 || n > len(b) {
			bad = true
			return nil
		}
		x := b[:n]
		b = b[n:]
		return x
	}
	num := func(limit int) int {
		n, w := binary.Uvarint(b)
		if bad || w <= 0 || n > uint64(limit) { //nolint:gosec // limits are positive
			bad = true
			return 0
		}
		b = b[w:]
		return int(n) //nolint:gosec // at most limit
	}
	text := func(limit int) string { return string(take(num(limit))) }
	hash := func() (r pdq.Result) {
		copy(r.Hash[:], take(32))
		if q := take(1); len(q) == 1 {
			r.Quality = int(min(q[0], 100))
		}
		return r
	}
	turned := func(of pdq.Hash) (d [8]pdq.Hash) {
		d[0] = of
		for i := 1; i < len(d); i++ {
			copy(d[i][:], take(32))
		}
		return d
	}
	points := func() []byte {
		if t := text(maxPiece); t != "" {
			return []byte(t)
		}
		return nil
	}
	version := byte(lookbackVersion)
	if v := take(1); len(v) == 1 {
		if version = v[0]; version != lookbackVersion && version != oldVersion {
			return "", at, s, fmt.Errorf("%w: a record of version %d", errNewer, version)
		}
	}
	at = time.UnixMilli(int64(num(1 << 50))).UTC()
	ref = text(maxReference)
	copy(s.SHA256[:], take(32))
	copy(s.MD5[:], take(16))
	s.TLSH = text(MaxText)
	var flags byte
	if f := take(1); len(f) == 1 {
		flags = f[0]
	}
	if flags&1 != 0 {
		p := &fingerprint.Picture{PDQ: hash()}
		p.Dihedral = turned(p.PDQ.Hash)
		if flags&2 != 0 {
			u := hash()
			p.Upright = &u
		}
		p.Local = points()
		for range num(maxKeptTrims) {
			t := fingerprint.Trim{Name: text(MaxText), PDQ: hash()}
			t.Dihedral = turned(t.PDQ.Hash)
			p.Trims = append(p.Trims, t)
		}
		s.Picture = p
	}
	seconds := 0.0
	for i := range num(maxKeptFrames) {
		seconds += float64(num(1<<40)) / 1000
		f := fingerprint.Frame{Number: i, Seconds: seconds, PDQ: hash()}
		for form := range f.Dihedral {
			f.Dihedral[form] = vpdq.Turn(f.PDQ.Hash, form)
		}
		f.Local = points()
		if version != oldVersion {
			for range num(maxInner) {
				t := fingerprint.Trim{Name: text(MaxText), PDQ: hash()}
				t.Dihedral[0] = t.PDQ.Hash
				copy(t.Dihedral[mirrored][:], take(32))
				f.Trims = append(f.Trims, t)
			}
		}
		if bad {
			break
		}
		s.Frames = append(s.Frames, f)
	}
	if bad || len(b) > 0 {
		return "", at, fingerprint.Set{}, fmt.Errorf("%w: a record of look-back is damaged", errDamaged)
	}
	return ref, at, s, nil
}
