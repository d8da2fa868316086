// Package vpdq compares videos by the PDQ hashes of their frames, as vPDQ does
// (facebook/ThreatExchange, folder vpdq).
//
// A fingerprint is a list of frames in order of time: hash, quality, seconds
// from the start. The canonical text form is that of the reference's Python
// package, a JSON array of one string a frame,
//
//	["dadb999c…f07c,100,0.000","dad9998c…f06c,100,0.100"]
//
// with 64 lower-case hex digits, the quality from 0 to 100, and the time with
// three decimals. Parse also takes the reference's files of one line a frame,
// "frame,quality,hash,seconds".
//
// # Matching
//
// Frames of quality under 50 are left out, as they match unrelated frames. A
// frame is found if any frame of the other video is at most 31 bits away. The
// reference calls two videos equal if 80 of 100 frames of either are found in
// the other: the query's share is high where it is an excerpt, the known
// video's where it is part of a compilation. An excerpt within a compilation
// has neither; it is found by a stretch in which both videos run in step.
//
// A share says little where a video shows one unmoving picture. So a match also
// counts the different pictures it rests on; one that rests on few is weak, and
// is for review only.
package vpdq

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// MaxFrames is the most frames that Parse reads.
const MaxFrames = 16384

// maxSeconds is the latest time of a frame, about 11 days.
const maxSeconds = 1e6

// ErrSyntax is wrapped by errors of Parse.
var ErrSyntax = errors.New("vpdq: not a vPDQ fingerprint")

// Frame is one frame of a video.
type Frame struct {
	Seconds float64 // from the start, 0 or more; the text form keeps milliseconds
	PDQ     pdq.Result
}

// Video is a video's fingerprint: frames in order of time.
type Video []Frame

// Parse reads the canonical form or the reference's lines. Times must not
// decrease.
func Parse(s string) (Video, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return nil, fmt.Errorf("%w: it is empty, paste the list of frames", ErrSyntax)
	}
	var rows []string
	if s[0] == '[' {
		if err := json.Unmarshal([]byte(s), &rows); err != nil {
			return nil, fmt.Errorf("%w: the list of frames is cut off or not made of strings, copy it again", ErrSyntax)
		}
	} else {
		rows = strings.Split(s, "\n")
	}
	if len(rows) > MaxFrames {
		return nil, fmt.Errorf("%w: it has %d frames, use at most %d", ErrSyntax, len(rows), MaxFrames)
	}
	v := make(Video, 0, len(rows))
	for i, row := range rows {
		f, err := parseFrame(strings.TrimSpace(row))
		if err != nil {
			return nil, fmt.Errorf("%w: frame %d: %s", ErrSyntax, i+1, err)
		}
		if i > 0 && f.Seconds < v[i-1].Seconds {
			return nil, fmt.Errorf("%w: frame %d is earlier than the one before it, put frames in order of time", ErrSyntax, i+1)
		}
		v = append(v, f)
	}
	if len(v) == 0 {
		return nil, fmt.Errorf("%w: it has no frames", ErrSyntax)
	}
	return v, nil
}

// parseFrame reads "hash,quality,seconds" or "number,quality,hash,seconds".
func parseFrame(row string) (f Frame, err error) {
	fields := strings.SplitN(row, ",", 5)
	var hash, quality, seconds string
	switch len(fields) {
	case 3:
		hash, quality, seconds = fields[0], fields[1], fields[2]
	case 4:
		if _, err := strconv.ParseUint(fields[0], 10, 32); err != nil {
			return f, errors.New("its number is not a number")
		}
		quality, hash, seconds = fields[1], fields[2], fields[3]
	default:
		return f, errors.New("write it as hash,quality,seconds")
	}
	if f.PDQ.Hash, err = pdq.Parse(hash); err != nil {
		return f, errors.New("its hash is not 64 hex digits")
	}
	if f.PDQ.Quality, err = strconv.Atoi(quality); err != nil || f.PDQ.Quality < 0 || f.PDQ.Quality > 100 {
		return f, errors.New("its quality is not a number from 0 to 100")
	}
	t, err := strconv.ParseFloat(seconds, 64)
	if err != nil || !(t >= 0 && t <= maxSeconds) {
		return f, errors.New("its time is not a number of seconds")
	}
	f.Seconds = math.Round(t*1000) / 1000
	return f, nil
}

// String returns the canonical text form.
func (v Video) String() string {
	var b bytes.Buffer
	b.Grow(2 + 80*len(v))
	b.WriteByte('[')
	for i, f := range v {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		b.WriteString(f.PDQ.Hash.String())
		b.WriteByte(',')
		b.WriteString(strconv.Itoa(f.PDQ.Quality))
		b.WriteByte(',')
		b.WriteString(strconv.FormatFloat(f.Seconds, 'f', 3, 64))
		b.WriteByte('"')
	}
	b.WriteByte(']')
	return b.String()
}

// Thin returns what is worth sharing of v: frames of quality minQuality or
// more, without those at most bits away from the last one kept. A still scene
// becomes one frame. With bits of 0 only repetitions are dropped.
func (v Video) Thin(minQuality, bits int) Video {
	var out Video
	for _, f := range v {
		if f.PDQ.Quality < minQuality {
			continue
		}
		if n := len(out); n > 0 && out[n-1].PDQ.Hash.Distance(f.PDQ.Hash) <= bits {
			continue
		}
		out = append(out, f)
	}
	return out
}
