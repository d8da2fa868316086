// Package onetime makes and reads the random texts that people type or follow
// as links: 5 random bits a character, in Crockford's base 32, which has no
// letter that is easily taken for another one or for a digit.
//
// It keeps nothing: whoever gives a text out stores its digest, its owner and
// its end.
package onetime

import (
	"crypto/rand"
	"strings"
)

// Length is the number of characters of a one-time code: 65 bits.
const Length = 13

// alphabet is that of Crockford's base 32, lower case.
const alphabet = "0123456789abcdefghjkmnpqrstvwxyz"

// Text returns n random characters, lower case.
func Text(n int) string {
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		panic("onetime: no randomness: " + err.Error()) // crypto/rand does not fail on supported systems
	}
	for i := range b {
		b[i] = alphabet[b[i]&31]
	}
	return string(b)
}

// Normal undoes what people do to a text that they copy: case, spaces, hyphens,
// and the letters that the alphabet reads as digits. What it returns is lower
// case, and need not be a text that was given out.
func Normal(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '-':
			return -1
		case r == 'o' || r == 'O':
			return '0'
		case r == 'i' || r == 'I' || r == 'l' || r == 'L':
			return '1'
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
