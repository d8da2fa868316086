package fingerprint

import (
	"strings"

	"github.com/siaga-crp/siaga/fingerprint/text"
	"github.com/siaga-crp/siaga/fingerprint/vpdq"
)

// parseTLSH reads a TLSH hash, with "tlsh" in front or not.
func parseTLSH(s string) (string, error) {
	s = strings.TrimSpace(s)
	if len(s) > 4 && strings.EqualFold(s[:4], "tlsh") {
		s = strings.TrimLeft(s[4:], ":= ")
	}
	if len(s) > maxText {
		return "", &SyntaxError{TLSH, "The TLSH fingerprint has too many characters. Enter T1 and all 70 digits: digits and A to F"}
	}
	h, err := text.Parse(s)
	if err != nil {
		return "", &SyntaxError{TLSH, "This is not a TLSH fingerprint. Enter T1 and all 70 digits: digits and A to F"}
	}
	return h.String(), nil
}

// maxVideoText is the most bytes of text that are read as a video's fingerprint.
const maxVideoText = 2 << 20

// parseVPDQ reads the frames of a video.
func parseVPDQ(s string) (string, error) {
	if len(s) > maxVideoText {
		return "", &SyntaxError{VPDQ, "The video fingerprint is over 2 MB. Leave out frames that repeat, or propose the file itself"}
	}
	v, err := vpdq.Parse(s)
	if err != nil {
		return "", &SyntaxError{VPDQ, "This is not a video fingerprint. Enter one frame a line as hash,quality,seconds, in order of time, or propose the file itself"}
	}
	return v.String(), nil
}
