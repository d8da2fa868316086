package fingerprint

import (
	"github.com/siaga-crp/siaga/fingerprint/audio"
	"github.com/siaga-crp/siaga/fingerprint/digest"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/vpdq"
)

// Set is everything that was computed from one file: what an edge looks up and
// what a proposal offers. Parts that do not apply are nil or empty.
type Set struct {
	Bytes  int64         // size of the file in bytes
	SHA256 digest.SHA256 // of the file's bytes
	MD5    digest.MD5    // of the file's bytes
	Format string        // what the bytes are, from their content alone: "jpeg", "png", "gif", "webp", "mp4", "text", … or "" if not recognised

	Picture *Picture    // set for a picture that could be decoded
	Frames  []Frame     // sampled frames of a video or of an animated picture, in order of time
	Audio   audio.Track // of the first sound track of a video or sound file; nil if there is none
	TLSH    string      // of a text or document, canonical form; "" if too short or not a text

	// Unknown says why a viewer may show content that could not be
	// fingerprinted (damaged, unsupported or over a limit). A matcher answers
	// "unknown" then, never "no match". Fix says what to do about it.
	Unknown string
	Fix     string

	// Note is something about the file that is no fault, such as a name that
	// promises another format; "" if there is nothing to say.
	Note string
}

// Picture holds the fingerprints of one decoded picture.
type Picture struct {
	Width, Height int         // pixels as stored (before EXIF orientation)
	PDQ           pdq.Result  // of the pixels as stored, as the reference hashes them
	Dihedral      [8]pdq.Hash // original, rotate90, rotate180, rotate270, flipX, flipY, flipPlus1, flipMinus1
	Upright       *pdq.Result // with EXIF orientation applied; nil where that changes nothing

	// Local is the picture's keypoint fingerprint in its binary form
	// (package local); empty if it has too little detail or was not asked for.
	Local []byte

	// Trims are the picture with borders, bars, captions and app chrome
	// removed: candidates for the cheap passes. May be empty.
	Trims []Trim
}

// Trim is one candidate inner picture.
type Trim struct {
	Name     string // "border", "letterbox", "caption", "screen", "filmed"
	X0, Y0   int    // inclusive, in pixels of the stored picture
	X1, Y1   int    // exclusive
	PDQ      pdq.Result
	Dihedral [8]pdq.Hash
	Local    []byte
}

// Frame is one frame of a video.
type Frame struct {
	Number  int     // counted from 0 in the order of presentation
	Seconds float64 // time of presentation from the start
	PDQ     pdq.Result

	// Dihedral are the hashes of the frame turned and mirrored, in the order of
	// Picture.Dihedral, so that a mirrored video is found.
	Dihedral [8]pdq.Hash

	Local []byte // on key frames only
	Trims []Trim // on key frames only: the frame without bars, borders or captions
}

// VPDQ returns the frames as a video's fingerprint, in form i of
// Picture.Dihedral: 0 as they are.
func (s Set) VPDQ(i int) vpdq.Video {
	v := make(vpdq.Video, 0, len(s.Frames))
	for _, f := range s.Frames {
		r := f.PDQ
		if i > 0 {
			r.Hash = f.Dihedral[i]
		}
		v = append(v, vpdq.Frame{Seconds: f.Seconds, PDQ: r})
	}
	return v
}
