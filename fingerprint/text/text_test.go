package text_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode"

	"github.com/glaslos/tlsh"
	"pgregory.net/rapid"

	"github.com/siaga-crp/siaga/fingerprint/text"
)

// words makes n words of benign text from a seed.
func words(seed uint64, n int) string {
	list := strings.Fields("the duty officer reads a notice and calls partner who answers at once then writes an update for everyone in room when storm passes they meet to review what went well")
	r := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	for range n {
		b.WriteString(list[r.IntN(len(list))])
		b.WriteByte(' ')
	}
	return b.String()
}

// The expected hashes are what the reference tool prints (tlsh -f, Debian's
// package tlsh-tools) for these files.
func TestSumAgreesWithTheReference(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []byte
		want string
	}{
		{"60000 words", []byte(words(9, 60000)), wantLong},
		{"400 words", []byte(words(1, 400)), wantWords},
		{"256 bytes", []byte(words(2, 100)[:256]), wantShort},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := text.Sum(c.in)
			if err != nil {
				t.Fatal(err)
			}
			if got.String() != c.want {
				t.Errorf("Sum(%s) = %s, want %s", c.name, got, c.want)
			}
		})
	}
}

func TestSumRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		in   string
		want error
	}{
		{"empty", "", text.ErrTooShort},
		{"49 bytes", words(1, 40)[:49], text.ErrTooShort},
		{"one letter", strings.Repeat("a", 5000), text.ErrUniform},
		{"two letters", strings.Repeat("ab", 5000), text.ErrUniform},
		{"zeros", strings.Repeat("\x00", 300), text.ErrUniform},
	} {
		if got, err := text.Sum([]byte(c.in)); !errors.Is(err, c.want) {
			t.Errorf("Sum(%s) = %v, %v, want error %v", c.name, got, err, c.want)
		}
	}
}

func TestDistance(t *testing.T) {
	a := words(7, 500)
	edited := strings.Replace(a, "storm", "flood", 3) + words(8, 10)
	sum := func(s string) text.Hash {
		h, err := text.Sum([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	other := strings.Map(func(r rune) rune { return unicode.ToUpper(r) }, words(9, 500))
	if d := sum(a).Distance(sum(a)); d != 0 {
		t.Errorf("distance to itself = %d, want 0", d)
	}
	if d := sum(a).Distance(sum(edited)); d > text.MatchDistance {
		t.Errorf("distance to an edited copy = %d, want at most %d", d, text.MatchDistance)
	}
	if d := sum(a).Distance(sum(other)); d <= 2*text.MatchDistance {
		t.Errorf("distance to another text = %d, want more than %d", d, 2*text.MatchDistance)
	}
}

func TestDistanceAllocatesNothing(t *testing.T) {
	a, _ := text.Parse(wantLong)
	b, _ := text.Parse(wantWords)
	if n := testing.AllocsPerRun(100, func() { _ = a.Distance(b) }); n != 0 {
		t.Errorf("Distance allocates %v times, want 0", n)
	}
}

func TestParseString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var h, o text.Hash
		copy(h[:], rapid.SliceOfN(rapid.Byte(), len(h), len(h)).Draw(t, "h"))
		copy(o[:], rapid.SliceOfN(rapid.Byte(), len(o), len(o)).Draw(t, "o"))
		for _, s := range []string{h.String(), strings.ToLower(h.String()), h.String()[2:], " " + h.String() + "\n"} {
			if got, err := text.Parse(s); err != nil || got != h {
				t.Fatalf("Parse(%q) = %v, %v, want %v", s, got, err, h)
			}
		}
		if got, back, want := h.Distance(o), o.Distance(h), library(h).Diff(library(o)); got != want || back != want {
			t.Fatalf("Distance = %d, and back %d, want %d as of the library", got, back, want)
		}
	})
}

// library is h as github.com/glaslos/tlsh keeps it, the oracle of Distance.
func library(h text.Hash) *tlsh.Tlsh {
	swap := func(b byte) byte { return b<<4 | b>>4 }
	return tlsh.New(swap(h[0]), swap(h[1]), h[2]>>4, h[2]&15, h[2], [32]byte(h[3:]))
}

func TestParseRefuses(t *testing.T) {
	h, _ := text.Parse(wantWords)
	full := h.String()
	for _, s := range []string{"", "T1", full[:71], full + "0", "T2" + full[2:], "T1" + strings.Repeat("g", 70), full[:30] + "\x00" + full[31:], "TNULL"} {
		if got, err := text.Parse(s); !errors.Is(err, text.ErrSyntax) {
			t.Errorf("Parse(%q) = %v, %v, want ErrSyntax", s, got, err)
		}
	}
}

func TestNormalize(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"  a\n\n b\tc\u00a0d  ", "a b c d"},
		{"co\u00adoperate\x00", "cooperate"},
		{"\xff", "\ufffd"},
	} {
		if got := text.Normalize(c.in); got != c.want {
			t.Errorf("Normalize(%q) = %q, want %q", c.in, got, c.want)
		}
		if again := text.Normalize(text.Normalize(c.in)); again != text.Normalize(c.in) {
			t.Errorf("Normalize(%q) is not stable: %q", c.in, again)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(wantWords)
	f.Add("T1")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := text.Parse(s)
		if err != nil {
			return
		}
		if again, err := text.Parse(h.String()); err != nil || again != h {
			t.Errorf("Parse(%q) then String then Parse = %v, %v", s, again, err)
		}
	})
}

func BenchmarkSum(b *testing.B) {
	in := []byte(words(3, 2000))
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := text.Sum(in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDistance(b *testing.B) {
	x, _ := text.Parse(wantLong)
	y, _ := text.Parse(wantWords)
	b.ReportAllocs()
	for b.Loop() {
		_ = x.Distance(y)
	}
}

const (
	wantLong  = "T183645F57B60887200E622351A64AC1FBBBFCF37C373D225D80E7E63C641A45D59AA778"
	wantWords = "T1A0416B27920C97700DA21B50E14AC1FA7AFDE37C273D25AE80D7E53C541A89D4E7A778"
	wantShort = "T1FCD05E9A510833300912162493CAC1EEA9EDA238632F22BD44A3F23A204346B54D6EB8"
)
