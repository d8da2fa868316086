package pdq_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

const bridge = "f8f8f0cee0f4a84f06370a22038f63f0b36e2ed596621e1d33e6b39c4e9c9b22"

func TestParse(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"canonical", bridge, bridge},
		{"upper case", strings.ToUpper(bridge), bridge},
		{"spaces around", " \t" + bridge + "\r\n", bridge},
		{"empty", "", ""},
		{"a digit short", bridge[1:], ""},
		{"a digit long", bridge + "0", ""},
		{"not hex", "g" + bridge[1:], ""},
		{"NUL", "\x00" + bridge[1:], ""},
		{"space within", bridge[:32] + " " + bridge[33:], ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, err := pdq.Parse(c.in)
			if c.want == "" {
				if !errors.Is(err, pdq.ErrSyntax) {
					t.Fatalf("Parse(%q) = %v, %v, want ErrSyntax", c.in, h, err)
				}
				return
			}
			if err != nil || h.String() != c.want {
				t.Fatalf("Parse(%q) = %v, %v, want %s", c.in, h, err, c.want)
			}
		})
	}
}

func TestJSON(t *testing.T) {
	type message struct{ PDQ pdq.Hash }
	want := message{parse(t, bridge)}
	text, err := json.Marshal(want)
	if err != nil || string(text) != `{"PDQ":"`+bridge+`"}` {
		t.Fatalf("Marshal: %s, %v", text, err)
	}
	var got message
	if err := json.Unmarshal(text, &got); err != nil || got != want {
		t.Errorf("Unmarshal: %v, %v, want %v", got, err, want)
	}
	if err := json.Unmarshal([]byte(`{"PDQ":"f8"}`), &got); !errors.Is(err, pdq.ErrSyntax) || got != want {
		t.Errorf("Unmarshal of a short hash: %v, %v, want ErrSyntax and nothing changed", got, err)
	}
}

func TestDistance(t *testing.T) {
	var zero, h pdq.Hash
	for i := range 256 {
		h[i/8] |= 1 << (i % 8)
		if got := zero.Distance(h); got != i+1 || h.Distance(zero) != got || h.SetBits() != got {
			t.Fatalf("%v: distance %d, want %d", h, got, i+1)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(bridge)
	f.Add(" " + strings.ToUpper(bridge) + "\n")
	f.Add("\x00")
	f.Fuzz(func(t *testing.T, s string) {
		h, err := pdq.Parse(s)
		if err != nil {
			if !errors.Is(err, pdq.ErrSyntax) {
				t.Fatalf("Parse(%q): %v is not ErrSyntax", s, err)
			}
			return
		}
		if again, err := pdq.Parse(h.String()); err != nil || again != h {
			t.Fatalf("%q was read as %v, that as %v, %v", s, h, again, err)
		}
		if !strings.EqualFold(strings.TrimSpace(s), h.String()) {
			t.Fatalf("%q was read as %v", s, h)
		}
	})
}

func TestDegenerate(t *testing.T) {
	withBits := func(n int) (h pdq.Hash) {
		for i := range n {
			h[i/8] |= 1 << (i % 8)
		}
		return h
	}
	for _, c := range []struct {
		name string
		h    pdq.Hash
		want bool
	}{
		{"zero", pdq.Hash{}, true},
		{"all ones", withBits(256), true},
		{"95 bits", withBits(95), true},
		{"96 bits", withBits(96), false},
		{"160 bits", withBits(160), false},
		{"161 bits", withBits(161), true},
		{"photograph", parse(t, bridge), false},
	} {
		if got := pdq.Degenerate(c.h); got != c.want {
			t.Errorf("%s: Degenerate(%v) = %v, want %v", c.name, c.h, got, c.want)
		}
	}
}
