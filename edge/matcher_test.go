package edge_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/audio"
	"github.com/siaga-crp/siaga/fingerprint/digest"
	"github.com/siaga-crp/siaga/fingerprint/payment"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/vpdq"
)

// The matcher against a model: two maps, and what the own chain says wins.
func TestMatcherAgainstAModel(t *testing.T) {
	const own = "partner:nusa"
	rapid.Check(t, func(rt *rapid.T) {
		w := newWriter(t)
		m, c := ready(t, edge.MatcherOptions{})
		said := map[string]map[uint64]*edge.Signal{edge.SharedChain: {}, own: {}} // nil: removed
		inForce := func() map[uint64]edge.Signal {
			out := map[uint64]edge.Signal{}
			for n, s := range said[edge.SharedChain] {
				if s != nil {
					out[n] = *s
				}
			}
			for n, s := range said[own] {
				delete(out, n)
				if s != nil {
					out[n] = *s
				}
			}
			return out
		}
		var res edge.Result
		steps := rapid.IntRange(1, 50).Draw(rt, "steps")
		for i := range steps {
			chain := rapid.SampledFrom([]string{edge.SharedChain, edge.SharedChain, own}).Draw(rt, fmt.Sprint("chain ", i))
			do := rapid.SampledFrom([]edge.Do{edge.Add, edge.Add, edge.Remove, edge.Clear}).Draw(rt, "do")
			s := genSignal(rapid.Uint64Range(1, 10)).Draw(rt, "signal")
			if do != edge.Add {
				s = edge.Signal{Number: s.Number, ID: s.ID, Entry: s.Entry}
			}
			w.apply(m, chain, do, s)
			switch {
			case do == edge.Add:
				said[chain][s.Number] = &s
			case do == edge.Remove && chain == own:
				said[chain][s.Number] = nil
			default:
				delete(said[chain], s.Number)
			}

			want := inForce()
			got := map[uint64]edge.Signal{}
			for _, s := range m.Signals() {
				got[s.Number] = s
			}
			if d := cmp.Diff(want, got); d != "" {
				rt.Fatalf("signals (-want +got):\n%s", d)
			}
			if m.Len() != len(want) {
				rt.Fatalf("Len() = %d, want %d", m.Len(), len(want))
			}
			if i < steps-5 {
				continue
			}
			// Every picture, address and digest finds what a plain loop finds.
			check := func(v fingerprint.Value, near func(s edge.Signal) (int, bool)) {
				rt.Helper()
				if _, err := m.Value(&res, v, 100); err != nil {
					rt.Fatal(err)
				}
				for _, exercise := range []bool{false, true} {
					found, wanted := map[uint64]int{}, map[uint64]int{}
					list := res.Matches
					if exercise {
						list = res.Exercise
					}
					for _, x := range list {
						found[x.Number] = x.Distance
						s := want[x.Number]
						if x.Signal.String() != s.ID || x.Group.String() != s.Group || x.List != s.List || x.Entry != s.Entry || !slices.Equal(x.Labels, s.Labels) {
							rt.Fatalf("match %+v of signal %+v", x, s)
						}
						if exercise && x.Action == edge.Block {
							rt.Fatalf("an exercise blocks: %+v", x)
						}
						wantAction := s.Action
						if wantAction == edge.Block && (exercise || s.Kind == fingerprint.MD5) {
							wantAction = edge.Review
						}
						if x.Action != wantAction {
							rt.Fatalf("action %s (%s) of %+v", x.Action, x.Why, s)
						}
					}
					for n, s := range want {
						if s.Exercise == exercise && s.Kind == v.Kind && (s.Expires.IsZero() || c.t.Before(s.Expires)) {
							if d, ok := near(s); ok {
								wanted[n] = d
							}
						}
					}
					if d := cmp.Diff(wanted, found); d != "" {
						rt.Fatalf("%v, exercise %v (-want +got):\n%s", v.Kind, exercise, d)
					}
				}
			}
			h := hash(newRand(rapid.Uint64Range(0, 20).Draw(rt, "query")))
			h = near(newRand(uint64(i)), h, rapid.IntRange(0, 34).Draw(rt, "bits"))
			check(fingerprint.Value{Kind: fingerprint.PDQ, Text: h.String()}, func(s edge.Signal) (int, bool) {
				k, err := pdq.Parse(s.Value)
				return h.Distance(k), err == nil && h.Distance(k) <= 31
			})
			for n := range uint64(4) {
				for _, v := range []fingerprint.Value{
					{Kind: fingerprint.URL, Text: fmt.Sprintf("https://example.org/%d", n)},
					{Kind: fingerprint.SHA256, Text: strings.Repeat(fmt.Sprintf("%02x", n), 32)},
					{Kind: fingerprint.MD5, Text: strings.Repeat(fmt.Sprintf("%02x", n), 16)},
				} {
					check(v, func(s edge.Signal) (int, bool) { return 0, s.Value == v.Text })
				}
			}
		}
	})
}

func TestPolicy(t *testing.T) {
	r := newRand(5)
	h := hash(r)
	flat := h
	for i := range 20 {
		flat[i] = 0
	}
	for _, x := range []struct {
		name    string
		change  func(*edge.Signal)
		wait    time.Duration // since the node was last heard
		query   pdq.Hash
		quality int
		action  edge.Action // "" : no match
		why     string
	}{
		{name: "block", quality: 100, action: edge.Block},
		{name: "quality 50", quality: 50, action: edge.Block},
		{name: "quality 49", quality: 49, action: edge.Review, why: "quality"},
		{name: "a day", wait: 24 * time.Hour, quality: 100, action: edge.Block},
		{name: "over a day", wait: 24*time.Hour + time.Second, quality: 100, action: edge.Review, why: "stale"},
		{name: "own max_stale", change: func(s *edge.Signal) { s.MaxStale = 60 }, wait: 61 * time.Second, quality: 100, action: edge.Review, why: "stale"},
		{name: "review is not lowered", change: func(s *edge.Signal) { s.Action = edge.Review }, wait: 48 * time.Hour, quality: 1, action: edge.Review},
		{name: "monitor", change: func(s *edge.Signal) { s.Action = edge.Monitor }, quality: 1, action: edge.Monitor},
		{name: "not yet expired", change: func(s *edge.Signal) { s.Expires = start.Add(time.Hour) }, wait: time.Hour - time.Second, quality: 100, action: edge.Block},
		{name: "expired", change: func(s *edge.Signal) { s.Expires = start.Add(time.Hour) }, wait: time.Hour, quality: 100},
		{name: "degenerate", change: func(s *edge.Signal) { s.Value = flat.String() }, query: flat, quality: 100, action: edge.Review, why: "degenerate"},
		{name: "greatest distance is bounded", change: func(s *edge.Signal) { s.MaxDistance = 256 }, query: near(r, h, 65), quality: 100},
		{name: "own distance", change: func(s *edge.Signal) { s.MaxDistance = 10 }, query: near(r, h, 11), quality: 100},
	} {
		t.Run(x.name, func(t *testing.T) {
			w := newWriter(t)
			m, c := ready(t, edge.MatcherOptions{})
			s := signal(1, h)
			if x.change != nil {
				x.change(&s)
			}
			w.apply(m, edge.SharedChain, edge.Add, s)
			c.t = c.t.Add(x.wait)
			q := x.query
			if q == (pdq.Hash{}) {
				q = h
			}
			var res edge.Result
			m.PDQ(&res, &q, x.quality)
			if x.action == "" {
				if len(res.Matches) > 0 {
					t.Fatalf("matches: %+v", res.Matches)
				}
				return
			}
			if len(res.Matches) != 1 || res.Matches[0].Action != x.action || res.Matches[0].Why != x.why {
				t.Fatalf("got %+v, want %s (%s)", res.Matches, x.action, x.why)
			}
		})
	}
}

func TestExerciseNeverBlocks(t *testing.T) {
	w := newWriter(t)
	m, _ := ready(t, edge.MatcherOptions{})
	s := signal(1, hash(newRand(1)))
	s.Exercise = true
	w.apply(m, edge.SharedChain, edge.Add, s)
	var res edge.Result
	h, _ := pdq.Parse(s.Value)
	m.PDQ(&res, &h, 100)
	if len(res.Matches) != 0 || len(res.Exercise) != 1 || res.Exercise[0].Action != edge.Review || res.Exercise[0].Why != "exercise" || res.Blocked() {
		t.Errorf("%+v", res)
	}
}

// A clock that is behind, or was set back, prolongs nothing.
func TestExpiryGoesByWhicheverClockIsAhead(t *testing.T) {
	w := newWriter(t)
	m, c := ready(t, edge.MatcherOptions{})
	s := signal(1, hash(newRand(1)))
	s.Expires = start.Add(time.Minute)
	w.apply(m, edge.SharedChain, edge.Add, s)
	h, _ := pdq.Parse(s.Value)
	var res edge.Result
	c.t = start.Add(-time.Hour) // this machine's clock is an hour behind
	m.NodeTime(start, c.t)      // and the node has said so
	if m.PDQ(&res, &h, 100); len(res.Matches) != 1 {
		t.Fatal("gone too early")
	}
	c.t = c.t.Add(59 * time.Second)
	if m.PDQ(&res, &h, 100); len(res.Matches) != 1 {
		t.Fatal("gone too early")
	}
	c.t = c.t.Add(time.Second)
	if m.PDQ(&res, &h, 100); len(res.Matches) != 0 {
		t.Error("a slow clock prolonged a block")
	}
	m.NodeTime(start.Add(-time.Hour), c.t) // the node's clock went back: not ours
	if m.PDQ(&res, &h, 100); len(res.Matches) != 0 {
		t.Error("the node's clock prolonged a block")
	}
}

func TestColdMatcherSaysSo(t *testing.T) {
	m := edge.NewMatcher(edge.MatcherOptions{})
	var res edge.Result
	h := hash(newRand(1))
	if m.PDQ(&res, &h, 100) {
		t.Error("a matcher that never had a state says that it is ready")
	}
	if _, ok := m.Age(); ok {
		t.Error("and that it has an age")
	}
}

// Replaying lawful hashes against a signal that is too general: at most 50 are
// blocked. Replaying copies of one video: all are.
func TestCircuitBreaker(t *testing.T) {
	r := newRand(8)
	general := hash(r)
	var trips []edge.Trip
	m, c := ready(t, edge.MatcherOptions{OnTrip: func(x edge.Trip) { trips = append(trips, x) }})
	w := newWriter(t)
	w.apply(m, edge.SharedChain, edge.Add, signal(1, general))
	var res edge.Result
	blocked, at := 0, c.t
	for range 100_000 / 50 { // most lawful pictures are far away; these are those that it hits
		v := near(r, general, 20+r.IntN(12))
		if m.PDQ(&res, &v, 100); res.Blocked() {
			blocked++
		}
		c.t = c.t.Add(10 * time.Millisecond)
	}
	if blocked > 50 || len(trips) != 1 {
		t.Fatalf("%d lawful pictures blocked before the breaker tripped, trips %+v", blocked, trips)
	}
	if x := trips[0]; x.Number != 1 || x.Signal != "S-0001" || x.Distance <= 31 || x.Matches < 50 || x.At.Sub(at) > time.Second || x.Cause != edge.CauseBreaker {
		t.Errorf("trip %+v", x)
	}
	if m.PDQ(&res, &general, 100); len(res.Matches) != 1 || res.Matches[0].Action != edge.Review || res.Matches[0].Why != "breaker" {
		t.Errorf("after the trip: %+v", res.Matches)
	}
	if len(m.Trips()) != 1 {
		t.Errorf("Trips() = %+v", m.Trips())
	}
	// A person decides anew.
	w.apply(m, edge.SharedChain, edge.Add, signal(1, general))
	if m.PDQ(&res, &general, 100); !res.Blocked() || len(m.Trips()) != 0 {
		t.Errorf("after a new operation: %+v, %+v", res.Matches, m.Trips())
	}

	// 10,000 re-encodes of one video, some frames of it again and again.
	trips = nil
	video := hash(r)
	w.apply(m, edge.SharedChain, edge.Add, signal(2, video))
	for i := range 10_000 {
		v := near(r, video, r.IntN(13))
		if m.PDQ(&res, &v, 100); !res.Blocked() {
			t.Fatalf("copy %d is not blocked: %+v", i, res.Matches)
		}
		c.t = c.t.Add(time.Millisecond)
	}
	if len(trips) != 0 {
		t.Errorf("true copies tripped the breaker: %+v", trips)
	}
}

// Replaying lawful videos against a video signal that is too general: at most 50
// are blocked. Replaying excerpts of one video, whose frames are unlike each
// other, and worn copies of it: all are.
func TestCircuitBreakerVideo(t *testing.T) {
	r := newRand(9)
	m, c := ready(t, edge.MatcherOptions{})
	w := newWriter(t)
	general := film(11, 20)
	w.apply(m, edge.SharedChain, edge.Add, videoSignal(1, general))
	// worn is v with each frame some bits off.
	worn := func(v vpdq.Video, bits func() int) vpdq.Video {
		out := slices.Clone(v)
		for i := range out {
			out[i].PDQ.Hash = near(r, out[i].PDQ.Hash, bits())
		}
		return out
	}
	blocked := 0
	for range 400 {
		x := lookUp(t, m, worn(general.Thin(50, 10), func() int { return 24 + r.IntN(8) }))
		if x.Blocked() {
			blocked++
		}
		c.t = c.t.Add(10 * time.Millisecond)
	}
	if trips := m.Trips(); blocked > 50 || len(trips) != 1 || trips[0].Number != 1 || trips[0].Cause != edge.CauseBreaker {
		t.Fatalf("%d lawful videos blocked before the breaker tripped, trips %+v", blocked, trips)
	}

	original := film(12, 60)
	w.apply(m, edge.SharedChain, edge.Add, videoSignal(2, original))
	for i := range 400 {
		from := 45 * r.Float64()
		part := worn(cut(original, from, from+15, r), func() int { return r.IntN(9) })
		if i%4 == 0 {
			part = worn(original, func() int { return 12 + r.IntN(5) })
		}
		if x := lookUp(t, m, part); !x.Blocked() {
			t.Fatalf("copy %d is not blocked: %+v", i, x.Matches)
		}
		c.t = c.t.Add(10 * time.Millisecond)
	}
	if trips := m.Trips(); len(trips) != 1 {
		t.Errorf("true copies tripped the breaker: %+v", trips)
	}
}

func TestTalliesCountOnce(t *testing.T) {
	w := newWriter(t)
	m, c := ready(t, edge.MatcherOptions{})
	h := hash(newRand(1))
	w.apply(m, edge.SharedChain, edge.Add, signal(1, h))
	var res edge.Result
	for range 7 {
		m.PDQ(&res, &h, 100)
	}
	c.t = c.t.Add(time.Minute)
	m.PDQ(&res, &h, 100)
	got := m.TakeTallies(c.t.Unix()/60, 10)
	if len(got) != 1 || got[0].Count != 7 || got[0].Number != 1 || got[0].Signal != "S-0001" || got[0].Minute != start.Unix()/60 || got[0].Action != edge.Block || got[0].Pass != "pdq" {
		t.Errorf("tallies %+v", got)
	}
	if again := m.TakeTallies(c.t.Unix()/60, 10); len(again) != 0 {
		t.Errorf("counted twice: %+v", again)
	}
}

func TestValueKinds(t *testing.T) {
	secret := []byte(strings.Repeat("k", payment.MinSecret))
	pk, err := payment.NewKey("seahub", secret)
	if err != nil {
		t.Fatal(err)
	}
	handle, err := payment.Parse("btc:1BoatSLRHtKNngkdXEeobR76b53LETtpyT")
	if err != nil {
		t.Fatal(err)
	}
	keyed, err := pk.Hash(handle)
	if err != nil {
		t.Fatal(err)
	}
	m, _ := ready(t, edge.MatcherOptions{PaymentKeys: []payment.Key{pk}})
	w := newWriter(t)
	for i, v := range []fingerprint.Value{
		{Kind: fingerprint.Domain, Text: "example.org"},
		{Kind: fingerprint.Payment, Text: keyed.Reveal()},
		{Kind: fingerprint.URL, Text: "https://example.net/a"},
		{Kind: fingerprint.Channel, Text: "telegram:kabarseroja"},
	} {
		s := signal(uint64(i)+1, pdq.Hash{})
		s.Kind, s.Value, s.MaxDistance = v.Kind, v.Text, 0
		w.apply(m, edge.SharedChain, edge.Add, s)
	}
	for _, x := range []struct {
		v    fingerprint.Value
		want uint64
		pass string
	}{
		{fingerprint.Value{Kind: fingerprint.URL, Text: "HTTPS://sub.Example.org/x?y=1"}, 1, "domain"},
		{fingerprint.Value{Kind: fingerprint.URL, Text: "https://example.com/"}, 0, ""},
		{fingerprint.Value{Kind: fingerprint.URL, Text: "hxxps://example[.]net/a"}, 3, "digest"},
		{fingerprint.Value{Kind: fingerprint.URL, Text: "https://t.me/s/KabarSeroja/412"}, 4, "channel"},
		{fingerprint.Value{Kind: fingerprint.Channel, Text: "telegram:@KabarSeroja"}, 4, "digest"},
		{fingerprint.Value{Kind: fingerprint.Domain, Text: "EXAMPLE.org"}, 1, "digest"},
		{fingerprint.Value{Kind: fingerprint.Domain, Text: "a.b.example.org"}, 1, "domain"},
		{fingerprint.Value{Kind: fingerprint.Payment, Text: handle.Reveal()}, 2, "keyed"},
		{fingerprint.Value{Kind: fingerprint.Payment, Text: keyed.Reveal()}, 2, "digest"},
	} {
		var res edge.Result
		if _, err := m.Value(&res, x.v, 100); err != nil {
			t.Errorf("%v: %v", x.v, err)
			continue
		}
		switch {
		case x.want == 0:
			if len(res.Matches) != 0 {
				t.Errorf("%v: %+v", x.v, res.Matches)
			}
		case len(res.Matches) != 1 || res.Matches[0].Number != x.want || res.Matches[0].Pass != x.pass:
			t.Errorf("%v: %+v, want signal %d by %s", x.v, res.Matches, x.want, x.pass)
		}
	}
	for _, x := range []struct {
		v    fingerprint.Value
		want error
	}{
		{fingerprint.Value{Kind: "nonsense", Text: "x"}, fingerprint.ErrKind},
		{fingerprint.Value{Kind: fingerprint.Local, Text: "x"}, fingerprint.ErrKind},
		{fingerprint.Value{Kind: fingerprint.VPDQ, Text: "x"}, fingerprint.ErrSyntax},
		{fingerprint.Value{Kind: fingerprint.PDQ, Text: "x"}, fingerprint.ErrSyntax},
		{fingerprint.Value{Kind: fingerprint.SHA256, Text: "\x00"}, fingerprint.ErrSyntax},
	} {
		var res edge.Result
		if _, err := m.Value(&res, x.v, 100); !errors.Is(err, x.want) {
			t.Errorf("%v: %v, want %v", x.v, err, x.want)
		}
	}
}

func TestSetPasses(t *testing.T) {
	r := newRand(4)
	file := sha256.Sum256([]byte("a file"))
	stored, turned, trimmed, negative := hash(r), hash(r), hash(r), hash(r)
	m, _ := ready(t, edge.MatcherOptions{})
	w := newWriter(t)
	add := func(n uint64, kind fingerprint.Kind, value string) {
		s := signal(n, pdq.Hash{})
		s.Kind, s.Value = kind, value
		w.apply(m, edge.SharedChain, edge.Add, s)
	}
	add(1, fingerprint.SHA256, digest.SHA256(file).String())
	add(2, fingerprint.PDQ, stored.String())
	add(3, fingerprint.PDQ, turned.String())
	add(4, fingerprint.PDQ, trimmed.String())
	for i := range negative {
		negative[i] = ^negative[i]
	}
	add(5, fingerprint.PDQ, negative.String())
	for i := range negative {
		negative[i] = ^negative[i]
	}
	sound := make(audio.Track, 200)
	for i := range sound {
		sound[i] = r.Uint32()
	}
	add(6, fingerprint.Audio, sound.String()) // its action is block
	picture := func(h pdq.Hash) *fingerprint.Picture {
		p := &fingerprint.Picture{Width: 100, Height: 100, PDQ: pdq.Result{Hash: h, Quality: 90}}
		p.Dihedral[0] = h
		for i := range 7 {
			p.Dihedral[i+1] = hash(newRand(uint64(100 + i)))
		}
		return p
	}
	other := hash(r)
	withTrim := picture(other)
	withTrim.Trims = []fingerprint.Trim{{Name: "border", PDQ: pdq.Result{Hash: near(r, trimmed, 5), Quality: 80}, Dihedral: [8]pdq.Hash{near(r, trimmed, 5)}}}
	rotated := picture(other)
	rotated.Dihedral[2] = near(r, turned, 9)
	// What is for review or only counted says nothing about the rest.
	counted, reviewed := hash(r), hash(r)
	weaker := func(n uint64, kind fingerprint.Kind, value string, a edge.Action) {
		s := signal(n, pdq.Hash{})
		s.Kind, s.Value, s.Action = kind, value, a
		w.apply(m, edge.SharedChain, edge.Add, s)
	}
	weaker(7, fingerprint.PDQ, counted.String(), edge.Monitor)
	weaker(8, fingerprint.PDQ, reviewed.String(), edge.Review)
	within := func(h pdq.Hash, quality int) *fingerprint.Picture {
		p := picture(h)
		p.PDQ.Quality, p.Trims = quality, withTrim.Trims
		return p
	}
	movie := film(9, 60)
	w.apply(m, edge.SharedChain, edge.Add, videoSignal(9, movie))
	weaker(10, fingerprint.MD5, strings.Repeat("0a", 16), edge.Block)
	video, _ := frames{movie}.Fingerprint(t.Context(), strings.NewReader("x"))
	video.MD5 = digest.MD5(bytes.Repeat([]byte{10}, 16))
	for _, x := range []struct {
		name string
		set  fingerprint.Set
		want string
	}{
		{"trimmed, and counted as a whole", fingerprint.Set{Picture: within(counted, 90)}, "4 trim:border block, 7 pdq monitor"},
		{"trimmed, and for review as a whole", fingerprint.Set{Picture: within(reviewed, 90)}, "4 trim:border block, 8 pdq review"},
		{"trimmed, with less detail and nearer as a whole", fingerprint.Set{Picture: within(near(r, trimmed, 1), 30)}, "4 trim:border block"},
		{"a video whose MD5 is for review", video, "9 vpdq block, 10 digest review"},
		{"digest", fingerprint.Set{SHA256: file}, "1 digest block"},
		{"stored", fingerprint.Set{Picture: picture(near(r, stored, 3))}, "2 pdq block"},
		{"turned", fingerprint.Set{Picture: rotated}, "3 pdq:rotate180 block"},
		{"trimmed", fingerprint.Set{Picture: withTrim}, "4 trim:border block"},
		{"negative", fingerprint.Set{Picture: picture(negative)}, "5 pdq:negative block"},
		{"nothing", fingerprint.Set{Picture: picture(other)}, ""},
		{"sound, for review at most", fingerprint.Set{Audio: sound[40:160]}, "6 audio review"},
		{"sound under a known picture", fingerprint.Set{Audio: sound, Picture: picture(near(r, stored, 3))}, "2 pdq block"},
		{"digest and picture", fingerprint.Set{SHA256: file, Picture: picture(near(r, stored, 3))}, "1 digest block, 2 pdq block"},
	} {
		t.Run(x.name, func(t *testing.T) {
			var res edge.Result
			m.Set(&res, &x.set)
			var got []string
			for _, y := range res.Matches {
				got = append(got, fmt.Sprintf("%d %s %s", y.Number, y.Pass, y.Action))
			}
			if s := strings.Join(got, ", "); s != x.want {
				t.Errorf("got %q, want %q", s, x.want)
			}
		})
	}
}

// Look-ups while signals come and go: never a match of what is gone for good,
// always of what stays. Run with -race.
func TestLookUpsWhileSignalsChange(t *testing.T) {
	r := newRand(6)
	m := edge.NewMatcher(edge.MatcherOptions{})
	m.FreshAt(time.Now())
	w := newWriter(t)
	stays, comes := hash(r), hash(r)
	w.apply(m, edge.SharedChain, edge.Add, signal(1, stays))
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		wg.Go(func() {
			var res edge.Result
			for {
				select {
				case <-stop:
					return
				default:
				}
				if m.PDQ(&res, &stays, 100); len(res.Matches) != 1 || res.Matches[0].Number != 1 {
					t.Errorf("what stays: %+v", res.Matches)
					return
				}
				for _, x := range append(res.Matches, res.Exercise...) {
					_ = x.Signal.String()
				}
				m.PDQ(&res, &comes, 100)
				for i := range res.Matches {
					if n := res.Matches[i].Number; n < 2 || n > 5 || res.Matches[i].Signal.String() != fmt.Sprintf("S-%04d", n) {
						t.Errorf("what comes: %+v", res.Matches[i])
						return
					}
				}
			}
		})
	}
	for i := range 400 {
		n := uint64(2 + i%4)
		w.apply(m, edge.SharedChain, edge.Add, signal(n, comes))
		if i%3 == 0 {
			w.apply(m, edge.SharedChain, edge.Remove, edge.Signal{Number: n, ID: fmt.Sprintf("S-%04d", n)})
			var res edge.Result
			m.PDQ(&res, &comes, 100)
			for _, x := range res.Matches {
				if x.Number == n {
					t.Fatalf("signal %d matches after its removal", n)
				}
			}
		}
	}
	close(stop)
	wg.Wait()
}

func TestLookUpAllocatesNothing(t *testing.T) {
	r := newRand(2)
	m, _ := ready(t, edge.MatcherOptions{})
	w := newWriter(t)
	var known []pdq.Hash
	for n := range uint64(200) {
		h := hash(r)
		known = append(known, h)
		w.apply(m, edge.SharedChain, edge.Add, signal(n+1, h))
	}
	var res edge.Result
	for i := range known {
		m.PDQ(&res, &known[i], 100)
	}
	miss := hash(r)
	i := 0
	if n := testing.AllocsPerRun(500, func() {
		m.PDQ(&res, &miss, 100)
		m.PDQ(&res, &known[i%len(known)], 100)
		i++
	}); n != 0 {
		t.Errorf("%v allocations for a miss and a match, want none", n)
	}
	if len(res.Matches) != 1 {
		t.Fatal("no match")
	}
}
