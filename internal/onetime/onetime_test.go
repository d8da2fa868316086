package onetime_test

import (
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/internal/onetime"
)

func TestText(t *testing.T) {
	seen := map[string]bool{}
	letters := map[rune]int{}
	for range 2000 {
		s := onetime.Text(onetime.Length)
		if len(s) != 13 || seen[s] || onetime.Normal(s) != s {
			t.Fatalf("%q", s)
		}
		seen[s] = true
		for _, r := range s {
			letters[r]++
		}
	}
	// 26,000 characters of 32 letters: 812 of each, give or take six deviations.
	if len(letters) != 32 {
		t.Errorf("%d letters", len(letters))
	}
	for r, n := range letters {
		if n < 640 || n > 990 || strings.ContainsRune("ilou", r) {
			t.Errorf("%c came %d times", r, n)
		}
	}
}

func TestNormal(t *testing.T) {
	for in, want := range map[string]string{
		"abc23": "abc23", "ABC-23": "abc23", " a b ": "ab", "oO iI lL": "001111", "": "", "é": "é",
	} {
		if got := onetime.Normal(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}
