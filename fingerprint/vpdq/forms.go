package vpdq

import (
	"encoding/binary"

	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// Forms is the number of ways in which a picture can be turned and mirrored.
// Form 0 is the picture as it is; the order is that of pdq.Hasher.Dihedral.
const Forms = 8

// Turn returns about the hash that the picture of h would have if it were
// turned or mirrored as form says, from 0 to 7, from h alone. A sign of a
// frequency decides most bits, so that the result is the true hash but for the
// bits whose frequency lies between the median and its negative: 7 of 256 on
// average, 28 in a drawing. It is for looking up where only the hash is known.
func Turn(h pdq.Hash, form int) pdq.Hash {
	// Bits that change, for even and for odd rows; bit c is column c.
	const evenColumns, oddColumns = 0x5555, 0xaaaa
	var even, odd uint16
	switch form {
	case 1, 5: // rotate90, flipY
		even, odd = evenColumns, evenColumns
	case 3, 4: // rotate270, flipX
		even = 0xffff
	case 2, 7: // rotate180, flipMinus1
		even, odd = oddColumns, evenColumns
	}
	var rows [16]uint16
	for r := range rows {
		rows[r] = binary.BigEndian.Uint16(h[len(h)-2-2*r:])
		if r%2 == 0 {
			rows[r] ^= even
		} else {
			rows[r] ^= odd
		}
	}
	if form == 1 || form == 3 || form == 6 || form == 7 { // the transposed ones
		var columns [16]uint16
		for r, row := range rows {
			for c := range columns {
				columns[c] |= row >> c & 1 << r
			}
		}
		rows = columns
	}
	var out pdq.Hash
	for r, row := range rows {
		binary.BigEndian.PutUint16(out[len(out)-2-2*r:], row)
	}
	return out
}

// Turned returns v with every frame turned; see Turn.
func (v Video) Turned(form int) Video {
	if form == 0 {
		return v
	}
	out := make(Video, len(v))
	for i, f := range v {
		f.PDQ.Hash = Turn(f.PDQ.Hash, form)
		out[i] = f
	}
	return out
}

// Bounds of Spread.
const (
	maxSpread  = 60   // seconds for which one frame stands
	maxSpreads = 4096 // frames of the result
)

// Spread undoes Thin: a frame that stands for a still scene is repeated once a
// second until the next one, for at most a minute, so that shares are shares of
// time and a still scene keeps step. The result has at most 4,096 frames, or
// those of v if they are more.
func (v Video) Spread() Video {
	extra := 0
	for i := range len(v) - 1 {
		extra += copies(v[i].Seconds, v[i+1].Seconds)
	}
	if extra == 0 || len(v) >= maxSpreads {
		return v
	}
	out := make(Video, 0, min(len(v)+extra, maxSpreads))
	room := maxSpreads - len(v)
	for i, f := range v {
		out = append(out, f)
		if i == len(v)-1 {
			break
		}
		for range min(copies(f.Seconds, v[i+1].Seconds), room) {
			f.Seconds++
			out = append(out, f)
			room--
		}
	}
	return out
}

// copies is how often a frame at second a is repeated before the next at b.
func copies(a, b float64) int { return max(0, min(maxSpread, int(b-a-0.001))) }
