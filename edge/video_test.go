package edge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/digest"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/vpdq"
)

// film is a video of scenes of a few seconds in which a bit or two change from
// frame to frame, two frames a second, from a seed.
func film(seed uint64, seconds float64) vpdq.Video {
	r := newRand(seed)
	var v vpdq.Video
	h := hash(r)
	cut := 2 + 4*r.Float64()
	for t := 0.0; t < seconds; t += 0.5 {
		if t >= cut {
			h, cut = hash(r), t+2+4*r.Float64()
		}
		h = near(r, h, 2)
		v = append(v, vpdq.Frame{Seconds: t, PDQ: pdq.Result{Hash: h, Quality: 100}})
	}
	return v
}

// cut is v between two seconds, re-encoded with some bits of noise a frame.
func cut(v vpdq.Video, from, to float64, r *rand.Rand) (out vpdq.Video) {
	for _, f := range v {
		if f.Seconds >= from && f.Seconds < to {
			f.Seconds -= from
			f.PDQ.Hash = near(r, f.PDQ.Hash, 8)
			out = append(out, f)
		}
	}
	return out
}

// join plays videos one after the other.
func join(parts ...vpdq.Video) (out vpdq.Video) {
	at := 0.0
	for _, p := range parts {
		for _, f := range p {
			f.Seconds += at
			out = append(out, f)
		}
		at = out[len(out)-1].Seconds + 0.5
	}
	return out
}

func videoSignal(n uint64, v vpdq.Video) edge.Signal {
	s := signal(n, pdq.Hash{})
	s.Kind, s.Value, s.MaxDistance = fingerprint.VPDQ, v.Thin(50, 10).String(), 31
	return s
}

func lookUp(t *testing.T, m *edge.Matcher, v vpdq.Video) edge.Result {
	t.Helper()
	var r edge.Result
	if ok, err := m.Value(&r, fingerprint.Value{Kind: fingerprint.VPDQ, Text: v.String()}, 100); err != nil || !ok {
		t.Fatal(ok, err)
	}
	return r
}

func TestVideoValues(t *testing.T) {
	r := newRand(1)
	m, _ := ready(t, edge.MatcherOptions{})
	w := newWriter(t)
	known := film(1, 600)
	w.apply(m, edge.SharedChain, edge.Add, videoSignal(1, known))
	w.apply(m, edge.SharedChain, edge.Add, videoSignal(2, film(2, 300)))
	short := film(3, 25)
	w.apply(m, edge.SharedChain, edge.Add, videoSignal(3, short))
	other := film(4, 200)
	still := join(cut(known, 30, 30.6, r))
	for range 40 {
		still = append(still, vpdq.Frame{Seconds: still[len(still)-1].Seconds + 0.5, PDQ: still[0].PDQ})
	}
	for _, c := range []struct {
		name   string
		v      vpdq.Video
		want   uint64
		pass   string
		action edge.Action
	}{
		{"re-encoded", cut(known, 0, 600, r), 1, "vpdq", edge.Block},
		{"an excerpt of ten seconds", cut(known, 300, 310, r), 1, "vpdq:excerpt", edge.Block},
		{"the same, mirrored", cut(known, 300, 310, r).Turned(5), 1, "vpdq:excerpt:flipY", edge.Block},
		{"a short video within a compilation", join(cut(other, 0, 80, r), cut(short, 0, 25, r), cut(other, 80, 200, r)), 3, "vpdq:inside", edge.Block},
		{"ten seconds within a compilation", join(cut(other, 0, 80, r), cut(known, 300, 310, r), cut(other, 80, 200, r)), 1, "vpdq:stretch", edge.Review},
		{"a still of it for twenty seconds", still, 1, "vpdq:excerpt", edge.Review},
		{"another", other, 0, "", ""},
		{"three seconds within another", join(cut(other, 0, 80, r), cut(known, 300, 303, r), cut(other, 80, 200, r)), 0, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			res := lookUp(t, m, c.v)
			switch {
			case c.want == 0 && len(res.Matches) > 0:
				t.Errorf("found %+v", res.Matches)
			case c.want > 0 && (len(res.Matches) != 1 || res.Matches[0].Number != c.want || res.Matches[0].Pass != c.pass || res.Matches[0].Action != c.action):
				t.Errorf("found %+v, want signal %d by %s for %s", res.Matches, c.want, c.pass, c.action)
			}
		})
	}
	if u := m.Unmatched(); len(u) != 0 {
		t.Errorf("unmatched: %v", u)
	}
	w.apply(m, edge.SharedChain, edge.Remove, edge.Signal{Number: 1, ID: "S-0001"})
	if res := lookUp(t, m, known); len(res.Matches) != 0 {
		t.Errorf("withdrawn and found: %+v", res.Matches)
	}
	s := videoSignal(5, known)
	s.Exercise = true
	w.apply(m, edge.SharedChain, edge.Add, s)
	if res := lookUp(t, m, known); len(res.Matches) != 0 || len(res.Exercise) != 1 || res.Exercise[0].Action == edge.Block {
		t.Errorf("an exercise: %+v, %+v", res.Matches, res.Exercise)
	}
}

// What many signals have in common, and what says nothing, makes no match.
func TestCommonFramesWeighNothing(t *testing.T) {
	r := newRand(2)
	title := film(100, 15) // an animated title
	test := vpdq.Video{}
	card, err := pdq.Parse("6ad50ad1f52e0ad1152af52e0ad1f52e952a0ad1f52e1de06ad5f52e19e1e21f")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		f := vpdq.Frame{Seconds: float64(i) / 2, PDQ: pdq.Result{Hash: near(r, card, 4), Quality: 100}}
		if i%2 == 0 { // black
			f.PDQ = pdq.Result{Hash: pdq.Hash{}, Quality: 0}
		}
		test = append(test, f)
	}
	benign := film(200, 60)
	titled := join(title, benign)
	add := func(m *edge.Matcher, w *writer, n uint64, group string, v vpdq.Video) {
		s := videoSignal(n, v)
		s.Group = group
		w.apply(m, edge.SharedChain, edge.Add, s)
	}
	t.Run("a title of one signal counts", func(t *testing.T) {
		m, _ := ready(t, edge.MatcherOptions{})
		add(m, newWriter(t), 1, "G-1", join(title, film(1, 60)))
		if res := lookUp(t, m, titled); len(res.Matches) == 0 {
			t.Error("nothing found: the other cases prove nothing")
		}
	})
	t.Run("a title of many does not", func(t *testing.T) {
		m, _ := ready(t, edge.MatcherOptions{})
		w := newWriter(t)
		for i := range uint64(6) {
			add(m, w, i+1, fmt.Sprintf("G-%d", i+1), join(cut(title, 0, 15, r), film(i+1, 60)))
		}
		for name, v := range map[string]vpdq.Video{"with another video": titled, "alone": title} {
			if res := lookUp(t, m, v); len(res.Matches) != 0 {
				t.Errorf("%s: %+v", name, res.Matches)
			}
		}
		// The videos themselves are found all the same, and one alone.
		if res := lookUp(t, m, cut(join(title, film(3, 60)), 0, 75, r)); len(res.Matches) != 1 || res.Matches[0].Number != 3 || res.Matches[0].Action != edge.Block {
			t.Errorf("a known video with the title: %+v", res.Matches)
		}
	})
	t.Run("copies of one video are no title", func(t *testing.T) {
		for name, group := range map[string]string{"in a group": "G-%d", "in none": ""} {
			m, _ := ready(t, edge.MatcherOptions{})
			w := newWriter(t)
			for i := range uint64(8) {
				g := group
				if g != "" {
					g = "G-1"
				}
				add(m, w, i+1, g, cut(film(1, 60), 0, 60, r))
			}
			if res := lookUp(t, m, cut(film(1, 60), 20, 40, r)); len(res.Matches) == 0 || res.Matches[0].Action != edge.Block {
				t.Errorf("%s: %+v", name, res.Matches)
			}
		}
	})
	t.Run("a test card and black", func(t *testing.T) {
		m, _ := ready(t, edge.MatcherOptions{})
		w := newWriter(t)
		add(m, w, 1, "", join(test, film(1, 60)))
		if res := lookUp(t, m, test); len(res.Matches) != 0 {
			t.Errorf("%+v", res.Matches)
		}
		// As a signal of its own it cannot be used, and the edge says so.
		err := m.Apply(w.op(edge.SharedChain, edge.Add, videoSignal(9, test)))
		if err == nil || !strings.Contains(err.Error(), "enough detail") || m.Unmatched()[fingerprint.VPDQ] != 1 {
			t.Errorf("a test card as a signal: %v, %v", err, m.Unmatched())
		}
	})
}

type frames struct{ v vpdq.Video }

func (f frames) Fingerprint(_ context.Context, r io.Reader) (fingerprint.Set, error) {
	b, err := io.ReadAll(r)
	set := fingerprint.Set{Bytes: int64(len(b)), SHA256: digest.SHA256{1}, Format: "mp4"}
	for i, x := range f.v {
		fr := fingerprint.Frame{Number: i, Seconds: x.Seconds, PDQ: x.PDQ}
		for form := range fr.Dihedral {
			fr.Dihedral[form] = vpdq.Turn(x.PDQ.Hash, form)
		}
		set.Frames = append(set.Frames, fr)
	}
	return set, err
}

func TestVideoUploads(t *testing.T) {
	m, _ := ready(t, edge.MatcherOptions{})
	w := newWriter(t)
	known := film(1, 120)
	w.apply(m, edge.SharedChain, edge.Add, videoSignal(1, known))
	still := signal(2, film(7, 10)[3].PDQ.Hash)
	w.apply(m, edge.SharedChain, edge.Add, still)
	for _, c := range []struct {
		name string
		v    vpdq.Video
		want string
	}{
		{"mirrored", cut(known, 0, 120, newRand(3)).Turned(5), `"pass":"vpdq:flipY","action":"block"`},
		{"a video that shows a known picture", film(7, 10), `"pass":"frame:pdq","action":"review","why":"weak"`},
		{"benign", film(8, 60), `"answer":"no_match"`},
	} {
		s := edge.NewServer(edge.ServerOptions{Matcher: m, Fingerprinter: frames{c.v}})
		rec := httptest.NewRecorder()
		req := httptest.NewRequest(http.MethodPost, "/v1/match", strings.NewReader("video"))
		req.Header.Set("Content-Type", "video/mp4")
		s.ServeHTTP(rec, req)
		if rec.Code != http.StatusOK || !strings.Contains(rec.Body.String(), c.want) || !json.Valid(rec.Body.Bytes()) {
			t.Errorf("%s: %d %s, want %s", c.name, rec.Code, rec.Body, c.want)
		}
	}
	// A still of a known video, as a picture, is for review.
	var r edge.Result
	pic := &fingerprint.Picture{PDQ: known[100].PDQ}
	m.Set(&r, &fingerprint.Set{SHA256: digest.SHA256{2}, Picture: pic})
	if len(r.Matches) != 1 || r.Matches[0].Pass != "still:pdq" || r.Matches[0].Action != edge.Review {
		t.Errorf("a still: %+v", r.Matches)
	}
}

// The longest and the dullest videos have bounded cost.
func TestLongVideosDoNotHang(t *testing.T) {
	m, _ := ready(t, edge.MatcherOptions{})
	w := newWriter(t)
	r := newRand(5)
	long := film(1, 600)
	for i := range uint64(14) { // all alike, all still for long
		v := cut(long, 0, 600, r)
		w.apply(m, edge.SharedChain, edge.Add, videoSignal(i+1, v))
	}
	still := make(vpdq.Video, 2048)
	for i := range still {
		still[i] = vpdq.Frame{Seconds: float64(i), PDQ: long[0].PDQ}
	}
	for name, v := range map[string]vpdq.Video{"alike": long, "still": still} {
		start := time.Now()
		var res edge.Result
		set, _ := frames{v}.Fingerprint(t.Context(), strings.NewReader("x"))
		m.Set(&res, &set)
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: %v", name, took)
		} else {
			t.Logf("%s: %v, %d matches", name, took, len(res.Matches))
		}
		if len(res.Matches) == 0 {
			t.Errorf("%s: nothing found", name)
		}
	}
}

func BenchmarkVideo(b *testing.B) {
	m, _ := ready(b, edge.MatcherOptions{})
	w := newWriter(b)
	for i := range uint64(2000) {
		w.apply(m, edge.SharedChain, edge.Add, videoSignal(i+1, film(i+1, 60)))
	}
	for name, v := range map[string]vpdq.Video{"found": cut(film(77, 60), 0, 60, newRand(1)), "nothing": film(9_999, 60), "nothing/long": film(9_999, 1000)} {
		set, _ := frames{v}.Fingerprint(b.Context(), strings.NewReader("x"))
		b.Run(name+"/videos=2000", func(b *testing.B) {
			var r edge.Result
			for b.Loop() {
				m.Set(&r, &set)
			}
		})
	}
	// The worst that we found: fourteen copies of one still, long video, none in
	// a group, and one more copy of it.
	still := make(vpdq.Video, 7200)
	for i := range still {
		still[i] = vpdq.Frame{Seconds: float64(i) / 2, PDQ: pdq.Result{Hash: near(newRand(uint64(i)), hash(newRand(5)), 4), Quality: 100}} //nolint:gosec // a count
	}
	for i := range uint64(14) {
		w.apply(m, edge.SharedChain, edge.Add, videoSignal(5000+i, still))
	}
	set, _ := frames{still}.Fingerprint(b.Context(), strings.NewReader("x"))
	b.Run("still/copies=14", func(b *testing.B) {
		var r edge.Result
		for b.Loop() {
			m.Set(&r, &set)
		}
	})
}
