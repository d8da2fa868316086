package app_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image"
	"image/draw"
	"image/jpeg"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/media"
	"github.com/siaga-crp/siaga/internal/partner"
)

// realm is a node with partners and edges, all over sockets.
type realm struct {
	t      *testing.T
	node   *app.Node
	tokens map[string]string
	edges  map[string]string // address by name
	data   string            // the node's folder
	stop   func()            // ends the node and the edges
}

// newRealm starts a node and one edge a name, "platform-number"; those in
// looking look back and post what they find to notify.
func newRealm(t *testing.T, edges, looking []string, notify string) *realm {
	t.Helper()
	dir := t.TempDir()
	made, err := app.Init(t.Context(), app.InitOptions{Data: filepath.Join(dir, "node")})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	pool, err := media.New(media.Options{})
	if err != nil {
		t.Fatal(err)
	}
	node, err := app.New(ctx, app.Options{Data: filepath.Join(dir, "node"), Listen: "127.0.0.1:0", Cost: partner.Cost{MemoryKiB: 64, Passes: 1}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	run := func(what string, fn func(context.Context) error) {
		wg.Go(func() {
			if err := fn(ctx); err != nil {
				t.Errorf("%s ended with %v", what, err)
			}
		})
	}
	run("the node", node.Run)
	stop := func() {
		cancel()
		wg.Wait()
	}
	t.Cleanup(func() {
		stop()
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &realm{t: t, node: node, tokens: map[string]string{}, edges: map[string]string{}, data: filepath.Join(dir, "node"), stop: stop}
	shell := partner.Shell(made.Partner)
	roles := []access.Role{access.Officer, access.Analyst, access.Approver, access.Reviewer, access.Observer}
	for name, kind := range map[string]access.PartnerKind{"Nusa": access.Government, "Lensa": access.Platform, "Suara": access.Platform, "Gema": access.Platform} {
		p, err := node.Partners.Add(ctx, shell, partner.NewPartner{Name: name, Kind: kind, Country: "ID"})
		if err != nil {
			t.Fatal(err)
		}
		if _, r.tokens[p.ID], err = node.Partners.CreateToken(ctx, shell, partner.NewToken{Partner: p.ID, Name: p.ID, Roles: roles}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range edges {
		platform, _, _ := strings.Cut(name, "-")
		_, token, err := node.Partners.CreateToken(ctx, shell, partner.NewToken{Partner: platform, Name: name, Roles: []access.Role{access.Edge}})
		if err != nil {
			t.Fatal(err)
		}
		e, err := app.NewEdge(app.EdgeOptions{
			Upstream: []string{node.URL}, Token: token, Data: filepath.Join(dir, name), Pool: pool,
			Lookback: app.LookbackOptions{On: slices.Contains(looking, name), Notify: notify},
		})
		if err != nil {
			t.Fatal(err)
		}
		run("edge "+name, e.Run)
		s := httptest.NewServer(e.Handler)
		t.Cleanup(s.Close)
		r.edges[name] = s.URL
		for start := time.Now(); e.Follower.Connected() == ""; time.Sleep(5 * time.Millisecond) {
			if time.Since(start) > 20*time.Second {
				t.Fatalf("edge %s does not connect", name)
			}
		}
	}
	return r
}

func (r *realm) send(method, url, token, contentType string, body []byte, header ...string) (int, []byte) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, b
}

type thing struct {
	ID, State, Action string
	Signals           []struct{ ID, Kind, State, Action string }
}

func (r *realm) post(who, path, body string) (out thing) {
	r.t.Helper()
	status, b := r.send(http.MethodPost, r.node.URL+"/api/v1"+path, r.tokens[who], "application/json", []byte(body))
	if status >= 300 || json.Unmarshal(b, &out) != nil {
		r.t.Fatalf("POST %s as %s: %d %s", path, who, status, b)
	}
	return out
}

// until asks every edge about the file until each answers with the action for
// one of the signals ("": no match), and returns the longest time.
func (r *realm) until(file []byte, action string) time.Duration {
	r.t.Helper()
	start := time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex
	longest := time.Duration(0)
	for name, url := range r.edges {
		wg.Go(func() {
			for {
				_, b := r.send(http.MethodPost, url+"/v1/match", "", "application/octet-stream", file)
				var a struct {
					Results []struct{ Matches []struct{ Action string } }
				}
				if err := json.Unmarshal(b, &a); err != nil {
					r.t.Errorf("edge %s: %s", name, b)
					return
				}
				best := ""
				for _, x := range a.Results {
					for _, m := range x.Matches {
						if best == "" || m.Action == "block" {
							best = m.Action
						}
					}
				}
				if best == action {
					mu.Lock()
					longest = max(longest, time.Since(start))
					mu.Unlock()
					return
				}
				if time.Since(start) > 20*time.Second {
					r.t.Errorf("edge %s answers %q, want %q", name, best, action)
					return
				}
			}
		})
	}
	wg.Wait()
	return longest
}

// part is a cut of a picture, in percent of its sides.
func part(t *testing.T, name string, x, y, w, h int) []byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	img, _, err := image.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	b := img.Bounds()
	at := func(px, py int) image.Point { return b.Min.Add(image.Pt(b.Dx()*px/100, b.Dy()*py/100)) }
	rect := image.Rectangle{at(x, y), at(x+w, y+h)}
	out := image.NewRGBA(image.Rect(0, 0, rect.Dx(), rect.Dy()))
	draw.Draw(out, out.Bounds(), img, rect.Min, draw.Src)
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, out, &jpeg.Options{Quality: 85}); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

const bridge = "../demo/photos/bridge.jpg"

func (r *realm) incident() string {
	inc := r.post("lensa", "/incidents", `{"title":"An attack on a market","description":"A man streams an attack on a market.","where":"Kota Seroja","country":"ID","live":"yes","exercise":false}`)
	r.post("nusa", "/incidents/"+inc.ID+"/activations", `{"protocol":"sea-crp","level":"crisis","reason":"live"}`)
	r.post("gema", "/incidents/"+inc.ID+"/activations/sea-crp/votes", `{"vote":"yes"}`)
	return inc.ID
}

// A copy that nothing matches becomes a variant from an edge in one step, is
// for review on all edges at once, and blocks on all edges after its approval;
// the group is withdrawn as one. The promise is a second: the time is logged,
// and what fails the test is five, a hang rather than a busy machine.
func TestVariantReachesAllEdges(t *testing.T) {
	r := newRealm(t, []string{"lensa-1", "lensa-2", "suara-1", "suara-2", "gema-1", "gema-2"}, nil, "")
	whole, cut := part(t, bridge, 0, 0, 100, 100), part(t, bridge, 15, 20, 60, 60)
	_, b := r.send(http.MethodPost, r.edges["suara-1"]+"/v1/match", "", "application/octet-stream", cut)
	if !bytes.Contains(b, []byte(`"answer":"no_match"`)) {
		t.Fatalf("the cut before: %s", b)
	}
	incident := r.incident()
	var known struct {
		Results []struct{ Kind, Value string }
	}
	_, b = r.send(http.MethodPost, r.edges["lensa-1"]+"/v1/match", "", "application/octet-stream", whole)
	if err := json.Unmarshal(b, &known); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(known.Results, func(x struct{ Kind, Value string }) bool { return x.Kind == "pdq" })
	sig := r.post("lensa", "/signals", fmt.Sprintf(`{"incident":%q,"kind":"pdq","value":%q,"labels":["propaganda"],"producer":"perpetrator","action":"block","confidence":"high","group":"G-12","provenance":{"quality":100}}`, incident, known.Results[i].Value))
	r.post("nusa", "/signals/"+sig.ID+"/approve", `{}`)
	r.until(whole, "block")

	status, b := r.send(http.MethodPost, r.edges["suara-1"]+"/v1/variant?group=G-12&note=cut", "", "application/octet-stream", cut)
	if status != http.StatusCreated {
		t.Fatalf("a variant from the edge: %d %s", status, b)
	}
	took := r.until(cut, "review")
	t.Logf("for review on %d edges %v after the edge's request", len(r.edges), took)
	began := time.Now()
	r.post("nusa", "/groups/G-12/approve", `{"reason":"the same picture"}`)
	r.until(cut, "block")
	took = time.Since(began)
	t.Logf("blocked on %d edges %v after the approval was sent", len(r.edges), took)
	// Each look asks the edge to fingerprint the file anew, which counts, too.
	if took > 5*time.Second {
		t.Errorf("the variant took %v to all edges", took)
	}
	began = time.Now()
	r.post("gema", "/groups/G-12/withdraw", `{"reason":"it is a bridge"}`)
	r.until(cut, "")
	r.until(whole, "")
	t.Logf("gone from %d edges %v after the withdrawal was sent", len(r.edges), time.Since(began))

	for _, c := range []struct {
		path, says string
		status     int
	}{
		{"/v1/variant", "no group is named", http.StatusBadRequest},
		{"/v1/variant?group=G-99", "there is no group", http.StatusNotFound},
		{"/v1/variant?group=G-12", "withdrawn", http.StatusConflict},
	} {
		if status, b := r.send(http.MethodPost, r.edges["suara-1"]+c.path, "", "application/octet-stream", cut); status != c.status || !bytes.Contains(b, []byte(c.says)) || !bytes.Contains(b, []byte(`"fix"`)) {
			t.Errorf("%s: %d %s", c.path, status, b)
		}
	}
	report, err := r.node.Log.Verify(t.Context(), journal.VerifyOptions{Feed: app.VerifyFeed()})
	if err != nil || !report.OK() {
		t.Errorf("the journal: %v %+v", err, report)
	}
}

// A platform's stored copies are found when the signal comes: the copy, and the
// cut of it that only keypoints find; and are told to be void when it is
// withdrawn. The platform's own program is told, too.
func TestLookbackFindsStoredCopies(t *testing.T) {
	var mu sync.Mutex
	var posted []edge.LookbackEvent
	failing := true
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		var a edge.LookbackAnswer
		mu.Lock()
		defer mu.Unlock()
		if json.NewDecoder(req.Body).Decode(&a) != nil || failing {
			failing = false // the first time it is busy
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		posted = append(posted, a.Events...)
	}))
	defer receiver.Close()
	r := newRealm(t, []string{"lensa-1", "gema-1"}, []string{"lensa-1"}, receiver.URL)
	whole, cut, other := part(t, bridge, 0, 0, 100, 100), part(t, bridge, 15, 20, 60, 60), part(t, photos+"fossa-by-jasper-roks.jpg", 0, 0, 100, 100)
	for ref, file := range map[string][]byte{"video/17": whole, "video/18": cut, "video/19": other} {
		if status, b := r.send(http.MethodPost, r.edges["lensa-1"]+"/v1/match", "", "application/octet-stream", file, edge.ReferenceHeader, ref); status != http.StatusOK || !bytes.Contains(b, []byte("no_match")) {
			t.Fatalf("%s: %d %s", ref, status, b)
		}
	}
	incident := r.incident()
	pool, err := media.New(media.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = pool.Close() }()
	set, err := pool.Fingerprint(t.Context(), bytes.NewReader(whole), media.Want{Local: true})
	if err != nil {
		t.Fatal(err)
	}
	after := uint64(0)
	told := func(n int) (out []string) {
		t.Helper()
		start := time.Now()
		for len(out) < n && time.Since(start) < 20*time.Second {
			status, b := r.send(http.MethodGet, fmt.Sprintf("%s/v1/lookback?after=%d&wait=5", r.edges["lensa-1"], after), "", "", nil)
			var a edge.LookbackAnswer
			if err := json.Unmarshal(b, &a); err != nil || status != http.StatusOK {
				t.Fatalf("%d %s", status, b)
			}
			for _, e := range a.Events {
				out = append(out, fmt.Sprintf("%s %s %s", e.What, e.Reference, e.Kind))
				t.Logf("%s %s by %s, %s, %v after it was asked for", e.What, e.Reference, e.Pass, e.Action, time.Since(start))
			}
			after = a.Next
		}
		slices.Sort(out)
		return out
	}
	approve := func(kind, value string, quality *int) string {
		provenance := "{}"
		if quality != nil {
			provenance = fmt.Sprintf(`{"quality":%d}`, *quality)
		}
		sig := r.post("gema", "/signals", fmt.Sprintf(`{"incident":%q,"kind":%q,"value":%q,"labels":["propaganda"],"producer":"perpetrator","action":"block","confidence":"high","group":"G-1","provenance":%s}`, incident, kind, value, provenance))
		r.post("nusa", "/signals/"+sig.ID+"/approve", `{}`)
		return sig.ID
	}
	for _, p := range app.ProposalsOf(&set) {
		if p.Value.Kind == "sha256" {
			continue
		}
		approve(string(p.Value.Kind), p.Value.Text, p.Quality)
	}
	// The keypoints find the whole picture, too, under a signal of their own.
	want := []string{"match video/17 local", "match video/17 pdq", "match video/18 local"}
	if got := told(3); !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
	r.post("lensa", "/groups/G-1/withdraw", `{"reason":"it is a bridge"}`)
	if got := told(3); !slices.Equal(got, []string{"void video/17 ", "void video/17 ", "void video/18 "}) {
		t.Errorf("after the withdrawal %q", got)
	}
	for start := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		mu.Lock()
		n := len(posted)
		mu.Unlock()
		if n == 6 {
			break
		}
		if time.Since(start) > 20*time.Second {
			t.Fatalf("%d events were posted", n)
		}
	}
	if status, b := r.send(http.MethodGet, r.edges["gema-1"]+"/v1/lookback", "", "", nil); status != http.StatusNotFound {
		t.Errorf("an edge that does not look back: %d %s", status, b)
	}
}
