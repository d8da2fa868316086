package audio_test

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/fingerprint/audio"
)

// sound makes items that change as those of music do: a few bits at a time.
func sound(seed uint64, n int) audio.Track {
	r := rand.New(rand.NewPCG(seed, 0))
	t := make(audio.Track, n)
	v := r.Uint32()
	for i := range t {
		for range r.IntN(9) {
			v ^= 1 << r.IntN(32)
		}
		t[i] = v
	}
	return t
}

// worn turns every bit with a chance of so many percent.
func worn(t audio.Track, percent int, seed uint64) audio.Track {
	r := rand.New(rand.NewPCG(seed, 1))
	out := make(audio.Track, len(t))
	for i, v := range t {
		for b := range 32 {
			if r.IntN(100) < percent {
				v ^= 1 << b
			}
		}
		out[i] = v
	}
	return out
}

func join(ts ...audio.Track) (out audio.Track) {
	for _, t := range ts {
		out = append(out, t...)
	}
	return out
}

func TestSearch(t *testing.T) {
	known := sound(1, 800)
	var x audio.Index
	for i := range uint64(200) {
		x.Add(i+1, sound(i+1, 800))
	}
	flat := make(audio.Track, 400)
	for i := range flat {
		flat[i] = 627964279 // what Chromaprint makes of silence
	}
	x.Add(1000, flat)
	for _, c := range []struct {
		name  string
		query audio.Track
		want  uint64  // 0: nothing
		at    float64 // items
	}{
		{"the same", known, 1, 0},
		{"worn by 5 %", worn(known, 5, 1), 1, 0},
		{"worn by 10 %", worn(known, 10, 2), 1, 0},
		{"excerpt of 12 seconds", worn(known[300:400], 5, 3), 1, -300},
		{"inside of a longer one", join(sound(9001, 500), worn(known[100:300], 5, 4), sound(9002, 500)), 1, 400},
		{"excerpt of 8 seconds", known[300:365], 0, 0},
		{"worn by 40 %", worn(known, 40, 5), 0, 0},
		{"other sound", sound(9003, 2000), 0, 0},
		{"silence", flat, 0, 0},
		{"nothing", nil, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			ms := x.Search(c.query)
			switch {
			case c.want == 0 && len(ms) > 0:
				t.Errorf("found %+v, want nothing", ms)
			case c.want != 0 && (len(ms) != 1 || ms[0].ID != c.want || ms[0].At != c.at*audio.SecondsPerItem):
				t.Errorf("found %+v, want %d at %v items", ms, c.want, c.at)
			case c.want != 0 && (ms[0].Errors > 24 || ms[0].Seconds < 8.9):
				t.Errorf("found %+v, want at most 24 %% errors over 8.9 s", ms[0])
			}
		})
	}
	x.Remove(1)
	if ms := x.Search(known); len(ms) > 0 {
		t.Errorf("found %+v after its removal", ms)
	}
	if x.Len() != 200 {
		t.Errorf("%d tracks, want 200", x.Len())
	}
}

// TestUnrelated holds random look-alikes of music against each other: none may
// match.
func TestUnrelated(t *testing.T) {
	var x audio.Index
	for i := range uint64(100) {
		x.Add(i, sound(i, 1000))
	}
	for i := range uint64(300) {
		if ms := x.Search(sound(100_000+i, 1000)); len(ms) > 0 {
			t.Fatalf("unrelated track %d matches %+v", i, ms)
		}
	}
}

func TestForms(t *testing.T) {
	long := sound(1, 5000)
	p, err := audio.Parse(long.String())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(long[:audio.MaxKnown], p); diff != "" {
		t.Errorf("text form changed (-want +got):\n%s", diff)
	}
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", "no sound"},
		{"version alone", "AQ", "no sound"},
		{"later version", "AgAAAAE", "version 2"},
		{"cut", "AQAAAAEA", "cut"},
		{"not base64", "a b!", "base64url"},
		{"too long", strings.Repeat("A", 30_000), "too many"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := audio.Parse(c.in); !errors.Is(err, audio.ErrSyntax) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want ErrSyntax with %q", err, c.want)
			}
		})
	}
	if s := (audio.Track{1, 1, 1}).Shared(); s != nil {
		t.Errorf("a track of nothing is shared: %v", s)
	}
	if s := long.Shared(); len(s) != audio.MaxKnown {
		t.Errorf("%d items are shared, want %d", len(s), audio.MaxKnown)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("AQAAAAEAAAAC")
	f.Add(sound(1, 100).String())
	var x audio.Index
	x.Add(1, sound(1, 200))
	f.Fuzz(func(t *testing.T, s string) {
		p, err := audio.Parse(s)
		if err != nil {
			if !errors.Is(err, audio.ErrSyntax) {
				t.Fatalf("got %v, want ErrSyntax", err)
			}
			return
		}
		if again, err := audio.Parse(p.String()); err != nil || again.String() != p.String() {
			t.Fatalf("%q is not canonical: %v", p.String(), err)
		}
		x.Search(p)
	})
}

func BenchmarkSearch(b *testing.B) {
	var x audio.Index
	for i := range uint64(1000) {
		x.Add(i, sound(i, 1000))
	}
	q := worn(sound(77, 1000), 5, 1)
	b.ReportAllocs()
	for b.Loop() {
		if len(x.Search(q)) != 1 {
			b.Fatal("not found")
		}
	}
}
