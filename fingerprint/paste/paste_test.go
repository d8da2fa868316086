package paste_test

import (
	"errors"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"github.com/siaga-crp/siaga/fingerprint/paste"
)

func TestClean(t *testing.T) {
	for _, c := range []struct {
		name, in, want string
		err            error
	}{
		{"plain", "abc", "abc", nil},
		{"spaces around", "  abc\t\r\n", "abc", nil},
		{"no-break and ideographic space", "\u00a0a\u3000b\u2009c\u00a0", "a b c", nil},
		{"zero-width", "a\u200bb\u200c\u200dc\u2060\ufeff", "abc", nil},
		{"bidirectional", "\u202aa\u202bb\u202cc\u202dd\u202ee\u2066f\u2067g\u2068h\u2069i\u061cj\u200ek\u200f", "abcdefghijk", nil},
		{"soft hyphen and joiner", "a\u00adb\u034fc", "abc", nil},
		{"variation selectors", "a\ufe0fb\U000e0101c", "abc", nil},
		{"tags", "a\U000e0041\U000e007fb", "ab", nil},
		{"Hangul filler", "a\u3164b\uffa0", "ab", nil},
		{"non-joiner in Persian", "نامه\u200cای", "نامه\u200cای", nil},
		{"joiner in Devanagari", "क्\u200dष", "क्\u200dष", nil},
		{"joiner at the edge", "\u200dनमस्ते\u200d", "नमस्ते", nil},
		{"joiner before another invisible", "न\u200d\ufe0fa", "नa", nil},
		{"visible format character", "\u06ddabc", "\u06ddabc", nil},
		{"long spaces", strings.Repeat(" ", 200) + "abc" + strings.Repeat("\n", 200), "abc", nil},
		{"nothing", "", "", paste.ErrEmpty},
		{"only spaces", " \t\n", "", paste.ErrEmpty},
		{"only invisible", "\u200b\ufeff\u202e", "", paste.ErrEmpty},
		{"too long", strings.Repeat("a", 101), "", paste.ErrLong},
		{"NUL", "a\x00b", "", paste.ErrNUL},
		{"NUL at the end", "abc\x00", "", paste.ErrNUL},
		{"control", "a\x1bb", "", paste.ErrControl},
		{"C1 control", "a\u0091b", "", paste.ErrControl},
		{"delete", "a\x7fb", "", paste.ErrControl},
		{"two lines", "a\nb", "", paste.ErrLines},
		{"line separator", "a\u2028b", "", paste.ErrLines},
		{"next line", "a\u0085b", "", paste.ErrLines},
		{"not UTF-8", "a\xffb", "", paste.ErrUTF8},
		{"surrogate", "a\xed\xa0\x80b", "", paste.ErrUTF8},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := paste.Clean(c.in, 100)
			if got != c.want || !errors.Is(err, c.err) {
				t.Errorf("Clean(%q) = %q, %v, want %q, %v", c.in, got, err, c.want, c.err)
			}
			if err != nil && !errors.Is(err, paste.ErrSyntax) {
				t.Errorf("%v does not wrap ErrSyntax", err)
			}
		})
	}
}

func TestNarrow(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"ASCII", "a1 -B", "a1 -B"},
		{"full width", "ＡＢｃ１２３＋－．", "ABc123+-."},
		{"Arabic-Indic", "٠١٢٣٤٥٦٧٨٩", "0123456789"},
		{"extended Arabic-Indic", "۰۱۲۳۴۵۶۷۸۹", "0123456789"},
		{"Devanagari", "०१२३४५६७८९", "0123456789"},
		{"Thai", "๐๑๒๓๔๕๖๗๘๙", "0123456789"},
		{"Lao", "໐໑໒໓໔໕໖໗໘໙", "0123456789"},
		{"Khmer", "០១២៣៤៥៦៧៨៩", "0123456789"},
		{"Myanmar", "၀၁၂၃၄၅၆၇၈၉", "0123456789"},
		{"Javanese", "꧐꧑꧒꧓꧔꧕꧖꧗꧘꧙", "0123456789"},
		{"Balinese", "᭐᭑᭒᭓᭔᭕᭖᭗᭘᭙", "0123456789"},
		{"mathematical", "𝟎𝟗𝟘𝟡𝟢𝟫𝟬𝟵𝟶𝟿", "0909090909"},
		{"others stay", "é²Ⅳ½", "é²Ⅳ½"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := paste.Narrow(c.in); got != c.want {
				t.Errorf("Narrow(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
	// Every digit of Unicode has a value, and the ten of a script follow each
	// other, which is what digit relies on.
	next := rune(0)
	for _, t16 := range unicode.Nd.R16 {
		for r := rune(t16.Lo); r <= rune(t16.Hi); r++ {
			if got := paste.Narrow(string(r)); got != string('0'+next%10) {
				t.Fatalf("digit %U is %q, want %c", r, got, '0'+next%10)
			}
			next++
		}
	}
}

func TestCleanIsIdempotent(t *testing.T) {
	piece := rapid.SampledFrom([]string{"a", "é", "ن", "न", "\u200c", "\u200d", "\u200b", "\ufe0f", " ", "\u00a0", "\u202e", "1", "्"})
	rapid.Check(t, func(t *rapid.T) {
		in := strings.Join(rapid.SliceOf(piece).Draw(t, "pieces"), "") + rapid.String().Draw(t, "text")
		once, err := paste.Clean(in, 1000)
		if err != nil {
			return
		}
		if again, err := paste.Clean(once, 1000); err != nil || again != once {
			t.Fatalf("Clean(%q) = %q, Clean of that = %q, %v", in, once, again, err)
		}
		if narrow := paste.Narrow(once); paste.Narrow(narrow) != narrow {
			t.Fatalf("Narrow(%q) is not idempotent", once)
		}
	})
}

func TestCleanAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() {
		if s, err := paste.Clean("https://example.org/a", 100); err != nil || paste.Narrow(s) != s {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("allocates %v times", n)
	}
}
