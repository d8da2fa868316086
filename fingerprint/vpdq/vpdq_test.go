package vpdq_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/vpdq"
)

// film makes a video of scenes of a few seconds each, in which frames differ by
// a few bits from one to the next, from a seed.
func film(seed uint64, seconds, rate float64) vpdq.Video {
	r := rand.New(rand.NewPCG(seed, 2))
	var v vpdq.Video
	var h pdq.Hash
	cut := 0.0
	for t := 0.0; t < seconds; t += 0.05 { // the film itself, then sampled
		if t >= cut {
			for i := range h {
				h[i] = byte(r.Uint32())
			}
			cut = t + 2 + 4*r.Float64()
		}
		h = flip(h, r, 1)
		if n := len(v); n == 0 || t >= float64(n)/rate-0.001 {
			v = append(v, vpdq.Frame{Seconds: t, PDQ: pdq.Result{Hash: h, Quality: 100}})
		}
	}
	return v
}

// flip changes n random bits.
func flip(h pdq.Hash, r *rand.Rand, n int) pdq.Hash {
	for range n {
		b := r.IntN(256)
		h[b/8] ^= 1 << (b % 8)
	}
	return h
}

// part is v from one second to another, re-encoded with bits of noise a frame,
// played at another speed, beginning at second at.
func part(v vpdq.Video, from, to, speed, at float64, bits int, seed uint64) vpdq.Video {
	r := rand.New(rand.NewPCG(seed, 3))
	var out vpdq.Video
	for _, f := range v {
		if f.Seconds >= from && f.Seconds < to {
			f.Seconds = at + (f.Seconds-from)/speed
			f.PDQ.Hash = flip(f.PDQ.Hash, r, bits)
			out = append(out, f)
		}
	}
	return out
}

func TestCompare(t *testing.T) {
	known := film(1, 600, 2)
	other := film(2, 600, 2)
	join := func(parts ...vpdq.Video) (v vpdq.Video) {
		at := 0.0
		for _, p := range parts {
			for _, f := range p {
				f.Seconds += at
				v = append(v, f)
			}
			at = v[len(v)-1].Seconds + 0.5
		}
		return v
	}
	short := part(known, 0, 30, 1, 0, 0, 1)
	still := vpdq.Video{}
	for i := range 60 {
		still = append(still, vpdq.Frame{Seconds: float64(i), PDQ: known[0].PDQ})
	}
	for _, c := range []struct {
		name         string
		query, known vpdq.Video
		found, weak  bool
	}{
		{"itself", known, known, true, false},
		{"re-encoded", part(known, 0, 600, 1, 0, 10, 4), known, true, false},
		{"ten seconds of a long video", part(known, 300.2, 310.2, 1, 0, 8, 5), known, true, false},
		{"sped up by a tenth", part(known, 100, 200, 1.1, 0, 8, 6), known, true, false},
		{"a short video in a compilation", join(part(other, 0, 200, 1, 0, 0, 7), part(short, 0, 30, 1, 0, 8, 8), part(other, 300, 500, 1, 0, 0, 9)), short, true, false},
		{"ten seconds in a compilation", join(part(other, 0, 200, 1, 0, 0, 7), part(known, 300.2, 310.2, 1, 0, 8, 8), part(other, 300, 500, 1, 0, 0, 9)), known, true, false},
		{"ten seconds at another speed in a compilation", join(part(other, 0, 200, 1, 0, 0, 7), part(known, 300.2, 311.2, 1.1, 0, 8, 8), part(other, 300, 500, 1, 0, 0, 9)), known, true, false},
		{"another video", other, known, false, true},
		{"another video with one scene of it as a still", join(part(other, 0, 200, 1, 0, 0, 7), still), known, false, true},
		{"only a still of it", still, known, true, true},
		{"three seconds in a compilation", join(part(other, 0, 200, 1, 0, 0, 7), part(known, 300.2, 303.2, 1, 0, 8, 8), part(other, 300, 500, 1, 0, 0, 9)), known, false, true},
		{"nothing", nil, known, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := vpdq.Compare(c.query, c.known)
			if m.Found() != c.found || c.found && m.Weak() != c.weak {
				t.Errorf("found %v, weak %v, want %v, %v: %+v", m.Found(), m.Weak(), c.found, c.weak, m)
			}
		})
	}
}

func TestCompareLeavesOutLowQuality(t *testing.T) {
	a, b := film(1, 60, 2), film(2, 60, 2)
	for i := range a {
		if i%2 == 0 { // half of each film is the same black
			a[i].PDQ = pdq.Result{Quality: 49}
			b[i].PDQ = pdq.Result{Quality: 49}
		}
	}
	m := vpdq.Compare(a, b)
	if m.QueryFrames != len(a)/2 || m.Found() {
		t.Errorf("black frames counted: %+v", m)
	}
}

// The shares are the reference's: each frame that has some frame within the
// distance, by the plainest program.
func TestSharesAreThePlainOnes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 5))
		pool := film(r.Uint64(), 20, 2)
		draw := func(n int) (v vpdq.Video) {
			for i := range n {
				f := pool[r.IntN(len(pool))]
				f.Seconds = float64(i)
				f.PDQ.Hash, f.PDQ.Quality = flip(f.PDQ.Hash, r, r.IntN(40)), 40+r.IntN(60)
				v = append(v, f)
			}
			return v
		}
		a, b := draw(rapid.IntRange(0, 30).Draw(t, "a")), draw(rapid.IntRange(0, 30).Draw(t, "b"))
		share := func(a, b vpdq.Video) (matched, all int) {
			for _, f := range a.Thin(50, -1) {
				all++
				for _, g := range b.Thin(50, -1) {
					if f.PDQ.Hash.Distance(g.PDQ.Hash) <= 31 {
						matched++
						break
					}
				}
			}
			return matched, all
		}
		m := vpdq.Compare(a, b)
		qm, qn := share(a, b)
		km, kn := share(b, a)
		if m.QueryMatched != qm || m.QueryFrames != qn || m.KnownMatched != km || m.KnownFrames != kn {
			t.Fatalf("%+v, want %d of %d and %d of %d", m, qm, qn, km, kn)
		}
		if m.Seconds > 31 || m.Pictures > m.QueryMatched {
			t.Fatalf("more than there is: %+v", m)
		}
	})
}

func TestParseReadsTheReferencesFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) < 3 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		v, err := vpdq.Parse(string(b))
		if err != nil {
			t.Fatalf("%s: %v", f, err)
		}
		if lines := strings.Count(string(b), "\n"); len(v) < lines || v[0].PDQ.Quality != 100 {
			t.Errorf("%s: %d frames, want %d", f, len(v), lines)
		}
		again, err := vpdq.Parse(v.String())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(v, again); d != "" {
			t.Errorf("%s: after String and Parse (-before +after):\n%s", f, d)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	row := strings.Repeat("ab", 32) + ",100,0.000"
	for _, s := range []string{
		"", " ", "[]", "[", `["` + row, `[1]`, `{"0":{}}`, row[1:], row + ",1", "x," + row, "1," + row,
		strings.Replace(row, "100", "101", 1), strings.Replace(row, "0.000", "-1", 1), strings.Replace(row, "0.000", "NaN", 1),
		strings.Replace(row, "0.000", "1e9", 1), strings.Replace(row, "0.000", "5", 1) + "\n" + row, row + "\n\n" + row,
	} {
		if v, err := vpdq.Parse(s); !errors.Is(err, vpdq.ErrSyntax) {
			t.Errorf("Parse(%q) = %v, %v, want ErrSyntax", s, v, err)
		}
	}
}

func TestThin(t *testing.T) {
	v := film(3, 60, 10)
	thin := v.Thin(50, 20)
	if len(thin) >= len(v)/2 || len(thin) < 10 {
		t.Errorf("%d of %d frames left", len(thin), len(v))
	}
	for i := 1; i < len(thin); i++ {
		if d := thin[i].PDQ.Hash.Distance(thin[i-1].PDQ.Hash); d <= 20 {
			t.Errorf("neighbours %d bits apart are left", d)
		}
	}
	if m := vpdq.Compare(part(v, 20, 32, 1, 0, 6, 1), thin); !m.Found() || m.Weak() {
		t.Errorf("an excerpt is not found in what is shared of its video: %+v", m)
	}
}

func FuzzParse(f *testing.F) {
	row := strings.Repeat("ab", 32) + ",100,0.000"
	f.Add(`["` + row + `"]`)
	f.Add("0,100," + strings.Repeat("ab", 32) + ",0.000\n1,7," + strings.Repeat("CD", 32) + ",0.033\n")
	f.Fuzz(func(t *testing.T, s string) {
		v, err := vpdq.Parse(s)
		if err != nil {
			return
		}
		for i, fr := range v {
			if fr.PDQ.Quality < 0 || fr.PDQ.Quality > 100 || math.IsNaN(fr.Seconds) || fr.Seconds < 0 || i > 0 && fr.Seconds < v[i-1].Seconds {
				t.Fatalf("Parse let frame %d through: %+v", i, fr)
			}
		}
		again, err := vpdq.Parse(v.String())
		if err != nil || !cmp.Equal(v, again) {
			t.Fatalf("not the same after String and Parse: %v", err)
		}
		if len(v) < 200 {
			_ = vpdq.Compare(v, v)
		}
	})
}

func BenchmarkCompare(b *testing.B) {
	query, known := film(1, 600, 1), film(2, 600, 1)
	b.Run("frames=600x600", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = vpdq.Compare(query, known)
		}
	})
	still := make(vpdq.Video, 2000)
	for i := range still {
		still[i] = vpdq.Frame{Seconds: float64(i), PDQ: query[0].PDQ}
	}
	b.Run("frames=2000x2000/still", func(b *testing.B) {
		for b.Loop() {
			_ = vpdq.Compare(still, still)
		}
	})
}

// TestDifference: of three frames that are 2, 6 and 9 bits from the known one
// and a fourth that is not found, the one that differs by 6.
func TestDifference(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	var h pdq.Hash
	for i := range h {
		h[i] = byte(r.Uint32())
	}
	frame := func(s float64, h pdq.Hash) vpdq.Frame {
		return vpdq.Frame{Seconds: s, PDQ: pdq.Result{Hash: h, Quality: 100}}
	}
	turned := func(n int) (out pdq.Hash) {
		out = h
		for i := range n {
			out[2*i] ^= 1
		}
		return out
	}
	far := h
	for i := range far {
		far[i] = ^far[i]
	}
	m := vpdq.Compare(
		vpdq.Video{frame(0, turned(9)), frame(1, far), frame(2, turned(2)), frame(3, turned(6))},
		vpdq.Video{frame(7, far), frame(8, h)}[1:])
	var want pdq.Hash
	for i := range 6 {
		want[2*i] = 1
	}
	if diff := cmp.Diff(want, m.Difference); diff != "" {
		t.Errorf("Difference (-want +got):\n%s", diff)
	}
}
