package link_test

import (
	"testing"

	"github.com/siaga-crp/siaga/fingerprint/link"
)

func BenchmarkParseURL(b *testing.B) {
	for _, c := range []struct{ name, in string }{
		{"canonical", "https://news.example.org/2026/03/02/kota-seroja"},
		{"query", "https://news.example.org/2026/03/02/kota-seroja?id=7&utm_source=x"},
		{"service", "https://m.youtube.com/watch?v=dQw4w9WgXcQ&feature=share"},
		{"disguised", "hxxps://news[.]example[.]org/2026/03/02/kota-seroja"},
	} {
		b.Run("address="+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := link.ParseURL(c.in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParseChannel(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := link.ParseChannel("telegram:kabarseroja"); err != nil {
			b.Fatal(err)
		}
	}
}

func TestParseURLAllocatesNothing(t *testing.T) {
	const text = "https://news.example.org/2026/03/02/kota-seroja"
	if n := testing.AllocsPerRun(100, func() {
		if _, err := link.ParseURL(text); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("ParseURL of a canonical address allocates %v times", n)
	}
}
