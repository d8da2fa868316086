package media

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/siaga-crp/siaga/fingerprint"
)

// maxReply is the most that a worker may answer, in bytes of JSON. A picture
// with all its trims and keypoints is about 200 KB, an animation of 2,048
// frames 1 MB.
const maxReply = 16 << 20

// job is what a worker is asked about the file it is given.
type job struct {
	Format    string
	Size      int64
	MaxPixels int64
	MaxFrames int
	Local     bool
	Seconds   float64 // after which the worker should answer with what it has
}

// reply is what it answers. Retire asks for the worker to be replaced.
type reply struct {
	Set    fingerprint.Set
	Retire bool

	// Large says that the worker raised its memory to hardMemory.
	Large bool

	// Refused says that the decoder could not read the picture, so that another
	// one is worth a try.
	Refused bool

	// Hello is set in the first reply, before any job: what confines the worker.
	Hello string
}

// errReply is wrapped by errors about a reply that is not one.
var errReply = errors.New("media: the worker's answer is not in its form")

// writeReply writes r: four bytes of length, most significant first, then JSON.
func writeReply(w io.Writer, r reply) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if len(b) > maxReply {
		return fmt.Errorf("%w: %d bytes", errReply, len(b))
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

// readReply reads what writeReply wrote. The writer is not trusted: it may be
// a decoder that a file took over.
func readReply(r io.Reader) (reply, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return reply{}, err
	}
	n := int64(binary.BigEndian.Uint32(head[:]))
	if n > maxReply {
		return reply{}, fmt.Errorf("%w: it announces %d bytes", errReply, n)
	}
	// ReadAll grows with what arrives, not with what was announced.
	b, err := io.ReadAll(io.LimitReader(r, n))
	if err != nil {
		return reply{}, err
	}
	if int64(len(b)) < n {
		return reply{}, io.ErrUnexpectedEOF
	}
	return decodeReply(b)
}

// Limits of a reply that JSON does not check.
const (
	maxSide    = 65535
	maxLocal   = 512 << 10 // bytes of one keypoint fingerprint
	maxTrims   = 64
	maxWords   = 500 // bytes of Unknown and Fix
	maxReplies = 16384
)

// decodeReply parses a reply and checks every value that others rely on.
func decodeReply(b []byte) (reply, error) {
	var r reply
	if err := json.Unmarshal(b, &r); err != nil {
		return reply{}, fmt.Errorf("%w: %w", errReply, err)
	}
	s := &r.Set
	ok := len(s.Unknown) <= maxWords && len(s.Fix) <= maxWords && len(s.Format) <= 16 && len(s.TLSH) <= 72 &&
		len(r.Hello) <= maxWords && len(s.Frames) <= maxReplies && printable(s.Unknown+s.Fix+s.Format+s.TLSH+r.Hello)
	if p := s.Picture; p != nil {
		ok = ok && p.Width > 0 && p.Height > 0 && p.Width <= maxSide && p.Height <= maxSide &&
			quality(p.PDQ.Quality) && (p.Upright == nil || quality(p.Upright.Quality)) &&
			len(p.Local) <= maxLocal && len(p.Trims) <= maxTrims
		for _, t := range p.Trims {
			ok = ok && len(t.Name) <= 16 && printable(t.Name) && quality(t.PDQ.Quality) && len(t.Local) <= maxLocal &&
				0 <= t.X0 && t.X0 < t.X1 && t.X1 <= p.Width && 0 <= t.Y0 && t.Y0 < t.Y1 && t.Y1 <= p.Height
		}
	}
	last := -1
	for _, f := range s.Frames {
		ok = ok && f.Number > last && f.Seconds >= 0 && f.Seconds < 1e9 && quality(f.PDQ.Quality) && len(f.Local) <= maxLocal
		last = f.Number
	}
	if !ok {
		return reply{}, fmt.Errorf("%w: a value is out of its range", errReply)
	}
	return r, nil
}

func quality(q int) bool { return 0 <= q && q <= 100 }

// printable reports whether s can be shown in a terminal as it is.
func printable(s string) bool {
	for _, r := range s {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r == 0xfffd {
			return false
		}
	}
	return true
}
