package fingerprint

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/siaga-crp/siaga/fingerprint/paste"
	"github.com/siaga-crp/siaga/fingerprint/text"
	"github.com/siaga-crp/siaga/fingerprint/vpdq"
)

// parseTLSH reads a TLSH hash.
func parseTLSH(in string) (string, error) {
	s, err := paste.Clean(in, maxText)
	if err != nil {
		return "", emptyOrLong(TLSH, "TLSH fingerprint", "T1 and 70 digits and letters from A to F", err)
	}
	s = strings.ToUpper(paste.Narrow(s))
	h, err := text.Parse(s)
	if err != nil {
		digits := strings.TrimPrefix(s, "T1")
		if n := utf8.RuneCountInString(digits); n != 70 {
			return "", &SyntaxError{TLSH, fmt.Sprintf("The TLSH fingerprint has %d digits. Enter T1 and all 70: digits and A to F", n)}
		}
		return "", &SyntaxError{TLSH, "The TLSH fingerprint has a character that is not a digit or a letter from A to F. Copy it again"}
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
		return "", reason(VPDQ, "video fingerprint", err, vpdq.ErrSyntax)
	}
	return v.String(), nil
}
