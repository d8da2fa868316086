package edge_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/digest"
	"github.com/siaga-crp/siaga/fingerprint/local"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/vpdq"
)

// past is a look-back under test: a matcher, its chain's writer, and a folder.
type past struct {
	t      *testing.T
	dir    string
	m      *edge.Matcher
	w      *writer
	l      *edge.Lookback
	server *edge.Server
	stop   func()
	opts   edge.LookbackOptions
}

const secret = "siaga_edge_token"

func newPast(t *testing.T, o edge.LookbackOptions) *past {
	t.Helper()
	m, _ := ready(t, edge.MatcherOptions{Now: time.Now})
	m.FreshAt(time.Now())
	p := &past{t: t, dir: filepath.Join(t.TempDir(), "lookback"), m: m, w: newWriter(t), opts: o}
	p.start()
	t.Cleanup(func() { p.stop() })
	return p
}

// start opens the folder and follows the matcher, which is as it was.
func (p *past) start() {
	p.t.Helper()
	o := p.opts
	o.Dir = p.dir
	if o.Secret == "" {
		o.Secret = secret
	}
	l, err := edge.OpenLookback(p.m, o)
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	p.l = l
	p.server = edge.NewServer(edge.ServerOptions{Matcher: p.m, Lookback: l, Fingerprinter: sets{}})
	p.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			p.t.Error(err)
		}
	})
}

func (p *past) restart() { p.stop(); p.start() }

// sets is a fingerprinter whose files are JSON of what they contain.
type sets struct{}

type file struct {
	Bytes   string
	PDQ     *pdq.Hash
	Frames  vpdq.Video
	Quality int
}

func (sets) Fingerprint(_ context.Context, r io.Reader) (fingerprint.Set, error) {
	var f file
	if err := json.NewDecoder(r).Decode(&f); err != nil {
		return fingerprint.Set{}, err
	}
	set, _ := frames{f.Frames}.Fingerprint(context.Background(), strings.NewReader(f.Bytes))
	copy(set.SHA256[:], f.Bytes)
	set.SHA256[31] = 1
	if f.PDQ != nil {
		pic := &fingerprint.Picture{PDQ: pdq.Result{Hash: *f.PDQ, Quality: 90}}
		for i := range pic.Dihedral {
			pic.Dihedral[i] = vpdq.Turn(*f.PDQ, i)
		}
		set.Picture = pic
	}
	set.Bytes = 1
	return set, nil
}

func (p *past) upload(ref string, f file) string {
	p.t.Helper()
	b, err := json.Marshal(f)
	if err != nil {
		p.t.Fatal(err)
	}
	req := httptest.NewRequest(http.MethodPost, "/v1/match", bytes.NewReader(b))
	req.Header.Set("Content-Type", "application/octet-stream")
	if ref != "" {
		req.Header.Set(edge.ReferenceHeader, ref)
	}
	rec := httptest.NewRecorder()
	p.server.ServeHTTP(rec, req)
	if rec.Code != http.StatusOK {
		p.t.Fatalf("uploading %s: %d %s", ref, rec.Code, rec.Body)
	}
	return rec.Body.String()
}

func (p *past) add(s edge.Signal) { p.w.apply(p.m, edge.SharedChain, edge.Add, s) }

func (p *past) remove(n uint64) {
	p.w.apply(p.m, edge.SharedChain, edge.Remove, edge.Signal{Number: n, ID: fmt.Sprintf("S-%04d", n)})
}

// told asks until there are so many events after the given one, and returns
// them as "what reference signal action".
func (p *past) told(after uint64, n int) (out []string, next uint64) {
	p.t.Helper()
	start := time.Now()
	for {
		req := httptest.NewRequest(http.MethodGet, fmt.Sprintf("/v1/lookback?after=%d&wait=1", after), nil)
		rec := httptest.NewRecorder()
		p.server.ServeHTTP(rec, req)
		var a edge.LookbackAnswer
		if err := json.Unmarshal(rec.Body.Bytes(), &a); err != nil || rec.Code != http.StatusOK {
			p.t.Fatalf("%d %s", rec.Code, rec.Body)
		}
		for k, es := range [][]edge.LookbackEvent{a.Events, a.Exercise} {
			for _, e := range es {
				if e.Exercise != (k == 1) || e.At.IsZero() || e.Uploaded.IsZero() || e.Number != 0 {
					p.t.Errorf("event %+v", e)
				}
				s := fmt.Sprintf("%s %s %s %s", e.What, e.Reference, e.Signal, e.Action)
				if k == 1 {
					s = "exercise: " + s
				}
				out = append(out, s)
			}
		}
		after = a.Next
		if len(out) >= n || time.Since(start) > 5*time.Second {
			return out, after
		}
	}
}

func (p *past) want(after uint64, want ...string) uint64 {
	p.t.Helper()
	start := time.Now()
	got, next := p.told(after, len(want))
	slices.Sort(got)
	slices.Sort(want)
	if d := cmp.Diff(want, got); d != "" {
		p.t.Errorf("told (-want +got):\n%s", d)
	}
	if took := time.Since(start); len(want) > 0 && took > time.Second {
		p.t.Errorf("told after %v", took)
	}
	return next
}

func TestLookbackTellsOfEarlierUploads(t *testing.T) {
	p := newPast(t, edge.LookbackOptions{})
	r := newRand(11)
	h := hash(r)
	turned := vpdq.Turn(near(r, h, 5), 5)
	copied, other := near(r, h, 9), hash(r)
	v := film(1, 120)
	p.upload("copy", file{Bytes: "a", PDQ: &copied})
	p.upload("mirrored", file{Bytes: "b", PDQ: &turned})
	p.upload("another", file{Bytes: "c", PDQ: &other})
	p.upload("excerpt", file{Bytes: "d", Frames: cut(v, 40, 52, r)})
	p.upload("another film", file{Bytes: "e", Frames: film(2, 60)})
	p.upload("", file{Bytes: "nobody asked to keep this", PDQ: &copied})

	s := signal(1, h)
	s.Action = edge.Review
	p.add(s)
	next := p.want(0, "match copy S-0001 review", "match mirrored S-0001 review")
	// The action changes, as when a protocol becomes active.
	s.Action = edge.Block
	p.add(s)
	next = p.want(next, "changed copy S-0001 block", "changed mirrored S-0001 block")
	p.add(videoSignal(2, v))
	next = p.want(next, "match excerpt S-0002 block")
	bytes := signal(3, pdq.Hash{})
	bytes.Kind, bytes.Value, bytes.MaxDistance = fingerprint.SHA256, fmt.Sprintf("%x", "e")+strings.Repeat("0", 60)+"01", 0
	p.add(bytes)
	next = p.want(next, "match another film S-0003 block")
	// An exercise has a list of its own and never blocks.
	ex := signal(4, other)
	ex.Exercise = true
	p.add(ex)
	next = p.want(next, "exercise: match another S-0004 review")
	// What is withdrawn is void, for the upload that was answered, too.
	if a := p.upload("late copy", file{Bytes: "f", PDQ: &copied}); !strings.Contains(a, `"action":"block"`) {
		t.Errorf("a copy after the signal: %s", a)
	}
	p.remove(1)
	next = p.want(next, "void copy S-0001 block", "void late copy S-0001 block", "void mirrored S-0001 block")
	p.remove(4)
	next = p.want(next, "exercise: void another S-0004 review")
	if again, _ := p.told(0, 11); len(again) != 11 {
		t.Errorf("asked from the start: %q", again)
	}
	st := p.l.Stats()
	if st.Uploads != 6 || st.Events != next || st.Bytes == 0 || st.Failed != 0 {
		t.Errorf("%+v", st)
	}
}

func TestLookbackValuesAndMistakes(t *testing.T) {
	p := newPast(t, edge.LookbackOptions{})
	h := hash(newRand(1))
	ask := func(s *edge.Server, method, path, ref, body string) *httptest.ResponseRecorder {
		req := httptest.NewRequest(method, path, strings.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(edge.ReferenceHeader, ref)
		rec := httptest.NewRecorder()
		s.ServeHTTP(rec, req)
		return rec
	}
	one := fmt.Sprintf(`[{"kind":"pdq","value":%q,"quality":80},{"kind":"sha256","value":%q},{"kind":"url","value":"https://a.example/"}]`, h, strings.Repeat("ab", 32))
	if rec := ask(p.server, http.MethodPost, "/v1/match", "v-1", one); rec.Code != http.StatusOK {
		t.Fatal(rec.Code, rec.Body)
	}
	p.add(signal(1, h))
	p.want(0, "match v-1 S-0001 block")
	for _, ref := range []string{strings.Repeat("x", 201), "a\x01b"} {
		if rec := ask(p.server, http.MethodPost, "/v1/match", ref, one); rec.Code != http.StatusBadRequest || !strings.Contains(rec.Body.String(), "Siaga-Reference") {
			t.Errorf("reference %.10q: %d %s", ref, rec.Code, rec.Body)
		}
		if _, err := p.l.Keep(ref, &fingerprint.Set{}); !errors.Is(err, edge.ErrReference) {
			t.Errorf("Keep: %v", err)
		}
	}
	for _, q := range []string{"after=x", "after=-1", "wait=x", "wait=-1"} {
		if rec := ask(p.server, http.MethodGet, "/v1/lookback?"+q, "", ""); rec.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", q, rec.Code)
		}
	}
	off := edge.NewServer(edge.ServerOptions{Matcher: p.m})
	if rec := ask(off, http.MethodGet, "/v1/lookback", "", ""); rec.Code != http.StatusNotFound || !strings.Contains(rec.Body.String(), "--lookback") {
		t.Errorf("an edge that does not look back: %d %s", rec.Code, rec.Body)
	}
	if rec := ask(off, http.MethodPost, "/v1/match", "v-2", one); rec.Code != http.StatusOK {
		t.Errorf("a reference that nobody keeps: %d", rec.Code)
	}
	if rec := ask(p.server, http.MethodGet, "/v1/status", "", ""); !strings.Contains(rec.Body.String(), `"lookback":{"uploads":2`) {
		t.Errorf("status: %s", rec.Body)
	}
}

// A restart keeps uploads and what was told, and tells what came meanwhile.
func TestLookbackSurvives(t *testing.T) {
	p := newPast(t, edge.LookbackOptions{})
	r := newRand(3)
	hs := []pdq.Hash{hash(r), hash(r), hash(r)}
	for i := range hs {
		p.upload(fmt.Sprint("upload-", i), file{Bytes: fmt.Sprint(i), PDQ: &hs[i]})
	}
	p.add(signal(1, hs[0]))
	p.add(signal(2, hs[1]))
	next := p.want(0, "match upload-0 S-0001 block", "match upload-1 S-0002 block")
	p.restart()
	if again, n := p.told(0, 2); len(again) != 2 || n != next {
		t.Errorf("after a restart: %q, %d", again, n)
	}
	p.want(next) // and nothing twice
	p.stop()
	p.remove(1)
	p.add(signal(3, hs[2]))
	p.start()
	next = p.want(next, "void upload-0 S-0001 block", "match upload-2 S-0003 block")
	p.restart()
	p.remove(2)
	p.want(next, "void upload-1 S-0002 block")

	// A torn end costs what was torn.
	p.stop()
	ups, _ := filepath.Glob(filepath.Join(p.dir, "up-*"))
	for _, name := range ups {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatal(err, info.Mode())
		}
		b, err := os.ReadFile(name)
		if err != nil || bytes.Contains(b, []byte("upload-0")) || bytes.Contains(b, hs[0][:]) {
			t.Fatalf("%s is readable: %v", name, err)
		}
		if err := os.WriteFile(name, b[:len(b)-7], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p.start()
	if st := p.l.Stats(); st.Uploads != 2 {
		t.Errorf("after a torn write: %+v", st)
	}
	// Another token reads nothing, and starts anew.
	p.stop()
	p.opts.Secret = "another"
	p.start()
	if st := p.l.Stats(); st.Uploads != 0 {
		t.Errorf("with another token: %+v", st)
	}
}

func TestLookbackKeepsItsBounds(t *testing.T) {
	now := start
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	p := newPast(t, edge.LookbackOptions{MaxAge: time.Hour, MaxBytes: 1 << 20, MaxUploads: 200, Now: clock})
	r := newRand(4)
	size := func() (n int64) {
		files, _ := filepath.Glob(filepath.Join(p.dir, "up-*"))
		for _, f := range files {
			if info, err := os.Stat(f); err == nil {
				n += info.Size()
			}
		}
		return n
	}
	for i := range 260 {
		h := hash(r)
		p.upload(fmt.Sprint("u", i), file{Bytes: fmt.Sprint(i), PDQ: &h})
	}
	if st := p.l.Stats(); st.Uploads != 200 {
		t.Errorf("by number: %+v", st)
	}
	for i := range 60 {
		p.upload(fmt.Sprint("film", i), file{Bytes: fmt.Sprint("film", i), Frames: film(uint64(i), 300)})
	}
	if st := p.l.Stats(); st.Bytes > 1<<20 || size() != st.Bytes {
		t.Errorf("by size: %+v, %d on disk", st, size())
	}
	mu.Lock()
	now = now.Add(2 * time.Hour)
	mu.Unlock()
	h := hash(r)
	p.upload("new", file{Bytes: "new", PDQ: &h})
	p.restart()
	if st := p.l.Stats(); st.Uploads != 1 || size() > 4096 {
		t.Errorf("by age: %+v, %d on disk", st, size())
	}
	p.add(signal(1, h))
	p.want(0, "match new S-0001 block")
}

// No pair of an upload and a signal is missed, whichever comes first.
func TestLookbackMissesNothing(t *testing.T) {
	p := newPast(t, edge.LookbackOptions{})
	const n = 120
	r := newRand(9)
	hs := make([]pdq.Hash, n)
	for i := range hs {
		hs[i] = hash(r)
	}
	answered := make([]string, n)
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			answered[i] = p.upload(fmt.Sprint("u", i), file{Bytes: fmt.Sprint(i), PDQ: &hs[i]})
		}
	})
	wg.Go(func() {
		for i := range n {
			p.add(signal(uint64(i+1), hs[i]))
		}
	})
	wg.Wait()
	p.add(signal(n+1, hs[0])) // told after all that came before it
	told := map[string]bool{}
	after, deadline := uint64(0), time.Now().Add(10*time.Second)
	for !told[fmt.Sprintf("match u0 S-%04d block", n+1)] && time.Now().Before(deadline) {
		var es []string
		es, after = p.told(after, 1)
		for _, e := range es {
			told[e] = true
		}
	}
	for i := range n {
		if !strings.Contains(answered[i], `"answer":"match"`) && !told[fmt.Sprintf("match u%d S-%04d block", i, i+1)] {
			t.Errorf("upload %d was neither answered nor told", i)
		}
	}
}

func BenchmarkLookback(b *testing.B) {
	for _, n := range []int{1_000, 20_000} {
		if testing.Short() && n > 1_000 {
			continue
		}
		b.Run(fmt.Sprintf("uploads=%d", n), func(b *testing.B) {
			m, _ := ready(b, edge.MatcherOptions{Now: time.Now})
			l, err := edge.OpenLookback(m, edge.LookbackOptions{Dir: b.TempDir(), Secret: secret})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- l.Run(ctx) }()
			r, w := newRand(1), newWriter(b)
			keep := func(h pdq.Hash) {
				pic := &fingerprint.Picture{PDQ: pdq.Result{Hash: h, Quality: 90}}
				if _, err := l.Keep("ref", &fingerprint.Set{SHA256: digest.SHA256(h), Picture: pic}); err != nil {
					b.Fatal(err)
				}
			}
			for range n {
				keep(hash(r))
			}
			i := uint64(0)
			for b.Loop() {
				h := hash(r)
				keep(h)
				_, after, _ := l.Events(1<<60, 1)
				i++
				w.apply(m, edge.SharedChain, edge.Add, signal(i, h))
				l.Wait(ctx, after)
			}
			cancel()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}

// BenchmarkLookbackPoints looks for a new signal of kind local among many
// pictures that are kept. Their keypoints are those of real pictures, mixed and
// each changed by up to 40 bits, which crowds the buckets as real ones do; one
// of them is a copy.
func BenchmarkLookbackPoints(b *testing.B) {
	const head, point = 8 + 512, 36 // docs/format/local.md
	var real, kept [][]byte
	for _, name := range []string{"bridge-mods__aaa-orig.jpg", "misc-images__c.png", "reg-test-input__labelme-subset__q0003.jpg", "reg-test-input__labelme-subset__q0122.jpg", "reg-test-input__labelme-subset__q0746.jpg", "reg-test-input__labelme-subset__q2821.jpg"} {
		file, err := os.Open("../fingerprint/pdq/testdata/images/" + name)
		if err != nil {
			b.Fatal(err)
		}
		img, _, err := image.Decode(file)
		if err = errors.Join(err, file.Close()); err != nil {
			b.Fatal(err)
		}
		f := local.Compute(img, local.Options{})
		real, kept = append(real, f.Asset().Append(nil)), append(kept, f.Kept().Append(nil))
	}
	mixed := func(r *rand.Rand) *local.Fingerprint {
		out := bytes.Clone(real[r.IntN(len(real))])
		for at := head; at+point <= len(out); at += point {
			from := real[r.IntN(len(real))]
			copy(out[at+4:at+point], from[head+point*r.IntN((len(from)-head)/point)+4:])
			for range 40 {
				out[at+4+r.IntN(32)] ^= 1 << r.IntN(8)
			}
		}
		f, err := local.Decode(out)
		if err != nil {
			b.Fatal(err)
		}
		return f
	}
	for _, n := range []int{1_000, 10_000} {
		b.Run(fmt.Sprintf("uploads=%d", n), func(b *testing.B) {
			m, _ := ready(b, edge.MatcherOptions{Now: time.Now})
			l, err := edge.OpenLookback(m, edge.LookbackOptions{Dir: b.TempDir(), Secret: secret})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() { done <- l.Run(ctx) }()
			r, w := newRand(1), newWriter(b)
			keep := func(f *local.Fingerprint) {
				h := hash(r)
				pic := &fingerprint.Picture{PDQ: pdq.Result{Hash: h, Quality: 90}, Local: f.Append(nil)}
				if _, err := l.Keep("ref", &fingerprint.Set{SHA256: digest.SHA256(h), Picture: pic}); err != nil {
					b.Fatal(err)
				}
			}
			for range n {
				keep(mixed(r))
			}
			i := uint64(0)
			b.ResetTimer()
			for b.Loop() {
				at := i % uint64(len(real))
				f, err := local.Decode(kept[at])
				if err != nil {
					b.Fatal(err)
				}
				keep(f)
				_, after, _ := l.Events(1<<60, 1)
				i++
				s := signal(i, pdq.Hash{})
				s.Kind, s.Value, s.MaxDistance = fingerprint.Local, f.Asset().String(), 0
				w.apply(m, edge.SharedChain, edge.Add, s)
				l.Wait(ctx, after)
			}
			cancel()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}
