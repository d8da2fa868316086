package problem_test

import (
	"testing"

	"github.com/siaga-crp/siaga/internal/problem"
)

func TestNearest(t *testing.T) {
	keys := []string{"listen", "public_url", "data", "database"}
	for _, c := range []struct{ name, in, want string }{
		{"a letter missing", "lisen", "listen"},
		{"neighbours swapped", "pubilc_url", "public_url"},
		{"upper case", "LISTEN", "listen"},
		{"nearer of two", "databse", "database"},
		{"nothing like it", "colour", ""},
		{"empty", "", ""},
	} {
		if got, ok := problem.Nearest(c.in, keys); got != c.want || ok != (c.want != "") {
			t.Errorf("%s: Nearest(%q) = %q, %t, want %q", c.name, c.in, got, ok, c.want)
		}
	}
}
