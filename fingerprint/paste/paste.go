// Package paste cleans one value that a person pasted or typed, before a
// parser of fingerprints reads it.
//
// People copy fingerprints out of chats, PDFs, tables and terminals, so a value
// arrives with spaces around it, zero-width and bidirectional marks inside it,
// digits of another script and full-width letters. None of these changes which
// value is meant, and all of them would make two equal values differ, so Clean
// and Narrow take them away. What could change the meaning is refused instead
// of repaired: a NUL byte, another control character, bytes that are not UTF-8,
// a second line.
//
// The package keeps no state and does no I/O; its functions may be called
// concurrently and return their argument, without allocating, when there is
// nothing to do.
package paste

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrSyntax is wrapped by every error of Clean.
var ErrSyntax = errors.New("paste: not one line of text")

// Error is what Clean could not accept, as one sentence for the person who
// pasted. It wraps ErrSyntax and never repeats the text, which may be personal
// data.
type Error string

// Error returns the sentence.
func (e Error) Error() string { return string(e) }

// Unwrap returns ErrSyntax.
func (e Error) Unwrap() error { return ErrSyntax }

// The errors of Clean.
const (
	ErrEmpty   = Error("Nothing was entered. Enter the value, one a line")
	ErrLong    = Error("This is too long to be one value. Enter one value a line")
	ErrNUL     = Error("The text has a NUL byte (a byte of value 0) in it. Copy the value again, as plain text")
	ErrUTF8    = Error("The text has bytes that are not UTF-8. Copy the value again, as plain text")
	ErrControl = Error("The text has a control character in it. Copy the value again, as plain text")
	ErrLines   = Error("The text has more than one line. Enter one value a line")
)

// Clean returns s without the spaces around it and without invisible
// characters anywhere: zero-width and bidirectional marks, soft hyphens,
// variation selectors, tag characters and byte order marks. A zero-width joiner
// or non-joiner between two letters outside ASCII stays, as Persian and the
// scripts of India spell words with it.
//
// It refuses s if it is longer than max bytes, or empty once it is clean, or
// for the reasons that the package comment gives. Spaces inside stay, made
// plain: a no-break space and the like becomes U+0020.
func Clean(s string, max int) (string, error) {
	if len(s) > max {
		// Much space around a short value is still a short value.
		if s = strings.TrimSpace(s); len(s) > max {
			return "", ErrLong
		}
	}
	if plain(s) {
		return s, nil
	}
	if strings.IndexByte(s, 0) >= 0 {
		return "", ErrNUL
	}
	if !utf8.ValidString(s) {
		return "", ErrUTF8
	}
	var b strings.Builder
	b.Grow(len(s))
	var before rune // the last rune written
	for i, r := range s {
		switch {
		case r == zwnj || r == zwj:
			after, _ := utf8.DecodeRuneInString(s[i+utf8.RuneLen(r):])
			if !joins(before) || !joins(after) {
				continue
			}
		case invisible(r):
			continue
		case r == '\n' || r == '\r' || r == '\u2028' || r == '\u2029' || r == '\v' || r == '\f' || r == '\u0085':
			r = '\n'
		case unicode.IsSpace(r):
			r = ' '
		case unicode.IsControl(r):
			return "", ErrControl
		}
		b.WriteRune(r)
		before = r
	}
	s = strings.Trim(b.String(), " \n")
	switch {
	case s == "":
		return "", ErrEmpty
	case strings.IndexByte(s, '\n') >= 0:
		return "", ErrLines
	}
	return s, nil
}

// plain reports whether s is what Clean returns for it, by its bytes alone:
// printable ASCII, not empty, without a space at either end.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return s != "" && s[0] != ' ' && s[len(s)-1] != ' '
}

const (
	zwnj = '\u200c'
	zwj  = '\u200d'
)

// joins reports whether a zero-width joiner or non-joiner beside r can be
// spelling.
func joins(r rune) bool {
	return r > unicode.MaxLatin1 && !invisible(r) && (unicode.IsLetter(r) || unicode.IsMark(r))
}

// invisible reports whether r shows nothing: the default ignorable code points
// of Unicode and the format characters (general category Cf).
func invisible(r rune) bool {
	if r < utf8.RuneSelf {
		return false
	}
	switch {
	case unicode.Is(unicode.Cf, r):
		return !unicode.Is(unicode.Prepended_Concatenation_Mark, r) // these are seen
	case r == 0x034f, // combining grapheme joiner
		r == 0x115f, r == 0x1160, r == 0x3164, r == 0xffa0, // Hangul fillers
		r == 0x17b4, r == 0x17b5, // Khmer inherent vowels
		r >= 0x180b && r <= 0x180f,   // Mongolian variation selectors
		r == 0x2065,                  // unassigned, ignorable
		r >= 0xfe00 && r <= 0xfe0f,   // variation selectors
		r >= 0xe0000 && r <= 0xe0fff: // tags, variation selectors supplement
		return true
	}
	return false
}

// Narrow returns s with decimal digits of every script as 0 to 9 and full-width
// Latin letters and signs (U+FF01 to U+FF5E) as ASCII; other characters stay.
// It is for values that are ASCII by their standard: hashes, account numbers,
// telephone numbers.
func Narrow(s string) string {
	ascii := true
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r < utf8.RuneSelf:
			return r
		case r >= 0xff01 && r <= 0xff5e:
			return r - 0xff01 + '!'
		}
		if d, ok := digit(r); ok {
			return '0' + d
		}
		return r
	}, s)
}

// digit returns the value of a decimal digit of any script. Unicode encodes the
// ten digits of a script in order and together (Unicode Standard, section 4.6),
// so a digit's value is its place in its range.
func digit(r rune) (rune, bool) {
	for _, t := range unicode.Nd.R16 {
		if r <= rune(t.Hi) {
			return (r - rune(t.Lo)) % 10, r >= rune(t.Lo)
		}
	}
	for _, t := range unicode.Nd.R32 {
		if r <= rune(t.Hi) {
			return (r - rune(t.Lo)) % 10, r >= rune(t.Lo)
		}
	}
	return 0, false
}
