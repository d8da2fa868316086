package feed_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/feed"
	"github.com/siaga-crp/siaga/internal/feed/feedtest"
	"github.com/siaga-crp/siaga/internal/journal"
)

var record = flag.Bool("record", false, "make the recording of the wire form anew: only for a new version of it")

const recording = "testdata/v1.json"

// frozen is the wire form of version 1 as it was on 29 November 2026, before
// there were features: what a node of then sent, and what an edge of then
// asked. It is never made anew: a release that cannot read it, or that answers
// an edge of then with what that edge cannot read, breaks an upgrade.
type frozen struct {
	Keys      string // sealed
	Snapshots []byte // of both chains
	Ops       []string
	Heartbeat string
	// Hellos answer a random nonce, so they are signed when they are sent; this
	// is their body, with NONCE and HEADS.
	Hello string
	// What an edge of then asked with, after the addresses.
	Stream   string // with NONCE and CURSOR
	Snapshot string
	Status   string // a report, with CURSOR
}

func readFrozen(t *testing.T) frozen {
	t.Helper()
	if *record {
		writeFrozen(t)
	}
	b, err := os.ReadFile(recording)
	if err != nil {
		t.Fatal(err)
	}
	var f frozen
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

var frozenAt = time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC)

func writeFrozen(t *testing.T) {
	t.Helper()
	key := edge.KeySigner(testKey(0))
	store := feedtest.NewStore()
	var f frozen
	keys, err := edge.Keys{Serial: 1, Feed: []edge.FeedKey{{Public: key.Public()}}, At: frozenAt}.Seal(key)
	if err != nil {
		t.Fatal(err)
	}
	f.Keys = string(keys)
	r := rand.New(rand.NewPCG(4, 4))
	states := map[string]*edge.State{edge.SharedChain: edge.NewState(edge.SharedChain), edge.OwnChain("nusa"): edge.NewState(edge.OwnChain("nusa"))}
	put := func(n int, snapshot bool) {
		for range n {
			if err := store.Update(t.Context(), func(tx journal.StoreTx) error {
				ops, err := feed.Publisher{Signer: key}.Publish(tx, 1, frozenAt, randomDraft(r))
				_ = ops
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		for name, st := range states {
			for _, row := range store.RowsAfter(name, st.Position().Seq) {
				op, err := edge.ParseOperation(row.Op)
				if err != nil {
					t.Fatal(err)
				}
				if err := st.Apply(&op); err != nil {
					t.Fatal(err)
				}
				if !snapshot {
					f.Ops = append(f.Ops, string(row.Op))
				}
			}
		}
	}
	put(30, true)
	var b bytes.Buffer
	for _, name := range []string{edge.SharedChain, edge.OwnChain("nusa")} {
		if err := states[name].WriteSnapshot(&b, key, frozenAt, ""); err != nil {
			t.Fatal(err)
		}
	}
	f.Snapshots = b.Bytes()
	put(20, false)
	beat, err := edge.Heartbeat{At: frozenAt.Add(time.Second), Epoch: 1, Heads: edge.Cursor{
		edge.SharedChain: states[edge.SharedChain].Position(), edge.OwnChain("nusa"): states[edge.OwnChain("nusa")].Position()}}.Seal(key)
	if err != nil {
		t.Fatal(err)
	}
	f.Heartbeat = string(beat)
	f.Hello = `{"key":"` + string(edge.IDOf(key.Public())) + `","nonce":"NONCE","partner":"nusa","edge":"nusa-1","at":"2026-11-29T08:00:00Z","epoch":1,"heads":"HEADS","known":"KNOWN","features":[],"heartbeat_ms":5000,"ack_ms":200}`
	f.Stream = "/api/v1/feed?cursor=CURSOR&features=&nonce=NONCE"
	f.Snapshot = "/api/v1/feed/snapshot?cursor=CURSOR&nonce=NONCE"
	f.Status = `{"version":"1.0.0","cursor":"CURSOR","signals":3,"feed_age_ms":12,"durable":true,"started":"2026-11-29T08:00:00Z","clock_skew_ms":1,"queries":10,"matched":1,"blocked":1,"per_minute":0.5}`
	out, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(recording, append(out, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// sealText signs a body as a node does, without going through today's types.
func sealText(t *testing.T, key edge.KeySigner, domain, body string) string {
	t.Helper()
	sig, err := key.SignFeed([]byte(domain + "\n" + body))
	if err != nil {
		t.Fatal(err)
	}
	return body + "\n" + base64.StdEncoding.EncodeToString(sig)
}

// Today's edge follows a node of then: it asks for features and goes on
// without them.
func TestEdgeWithANodeOfThen(t *testing.T) {
	f := readFrozen(t)
	key := edge.KeySigner(testKey(0))
	keys, err := edge.ParseKeys([]byte(f.Keys), edge.Pin(key.Public()))
	if err != nil {
		t.Fatal(err)
	}
	parts, err := edge.ParseSnapshots(f.Snapshots, keys)
	if err != nil {
		t.Fatal(err)
	}
	start, end := edge.Cursor{}, edge.Cursor{}
	for _, p := range parts {
		start[p.Chain], end[p.Chain] = p.Position, p.Position
	}
	for _, wire := range f.Ops {
		op, err := edge.ParseOperation([]byte(wire))
		if err != nil {
			t.Fatal(err)
		}
		end[op.Chain] = op.Position()
	}
	event := func(name, wire string) string {
		return "event: " + name + "\ndata: " + strings.ReplaceAll(wire, "\n", "\ndata: ") + "\n\n"
	}
	hello := func(r *http.Request, heads edge.Cursor) string {
		body := strings.NewReplacer("NONCE", r.URL.Query().Get("nonce"), "HEADS", heads.String(), "KNOWN", r.URL.Query().Get("cursor")).Replace(f.Hello)
		return sealText(t, key, "siaga-feed v1 hello", body)
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/api/v1/feed/keys":
			_, _ = io.WriteString(w, f.Keys)
		case "/api/v1/feed/snapshot":
			w.Header().Set("Siaga-Hello", base64.RawURLEncoding.EncodeToString([]byte(hello(r, start))))
			_, _ = w.Write(f.Snapshots)
		case "/api/v1/feed":
			out := event("keys", f.Keys) + event("hello", hello(r, end))
			if r.URL.Query().Get("cursor") == start.String() {
				for _, op := range f.Ops {
					out += event("op", op)
				}
			}
			_, _ = io.WriteString(w, out+event("heartbeat", f.Heartbeat))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	e := follow(t, edge.FollowerOptions{Upstream: []string{srv.URL, srv.URL}, Token: "siaga_edge_nusa-1_" + edge.Pin(key.Public()), Dir: memoryDir(t)})
	t.Cleanup(func() { e.stop(); srv.CloseClientConnections(); srv.Close() })
	eventually(t, "it has all operations", func() bool { return e.m.Cursor().String() == end.String() })
	eventually(t, "it knows them to be fresh", func() bool { age, ok := e.m.Age(); return ok && age < 5*time.Second })
	for _, kind := range []edge.AlarmKind{edge.AlarmSignature, edge.AlarmGap, edge.AlarmFork, edge.AlarmRollback} {
		if alarmed(e, kind) {
			t.Errorf("alarm %s", kind)
		}
	}
	if s := e.Stats(); s.Connects != 1 || s.Refused != 0 {
		t.Errorf("%+v", s)
	}
}

// An edge of then follows today's node: it is sent nothing that it did not ask
// for.
func TestNodeWithAnEdgeOfThen(t *testing.T) {
	f := readFrozen(t)
	n := newNode(t, func(o *feed.Options) { o.Ping = 20 * time.Millisecond })
	n.add(1)
	ask := func(ctx context.Context, path string, cursor string) *http.Response {
		t.Helper()
		path = strings.NewReplacer("CURSOR", cursor, "NONCE", "then").Replace(path)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.srv.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+n.token("nusa-1"))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	resp := ask(t.Context(), f.Snapshot, "")
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Siaga-Relay") != "" {
		t.Fatalf("snapshot: %s %v", resp.Status, resp.Header)
	}
	raw, err := base64.RawURLEncoding.DecodeString(resp.Header.Get("Siaga-Hello"))
	if err != nil {
		t.Fatal(err)
	}
	cursor := checkHello(t, string(raw))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	resp = ask(ctx, f.Stream, cursor)
	defer func() { _ = resp.Body.Close() }()
	time.AfterFunc(500*time.Millisecond, cancel)
	n.add(2)
	b, _ := io.ReadAll(resp.Body) // to its end, which cancel is
	seen := map[string]int{}
	for block := range strings.SplitSeq(string(b), "\n\n") {
		for line := range strings.SplitSeq(block, "\n") {
			name, rest, _ := strings.Cut(line, ": ")
			switch {
			case name == "event":
				seen[rest]++
				if !slices.Contains([]string{"keys", "hello", "op", "heartbeat", "reset", "bye"}, rest) {
					t.Errorf("event %q, which an edge of then does not know", rest)
				}
			case name != "data" && name != "id" && line != "":
				t.Errorf("a line that an edge of then does not expect: %q", line)
			}
		}
		if after, ok := strings.CutPrefix(block, "event: hello\ndata: "); ok {
			checkHello(t, strings.ReplaceAll(after, "\ndata: ", "\n"))
		}
	}
	if seen["hello"] != 1 || seen["op"] != 1 || seen["keys"] != 1 || seen["heartbeat"] == 0 {
		t.Errorf("events: %v", seen)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.srv.URL+"/api/v1/feed/status", strings.NewReader(strings.ReplaceAll(f.Status, "CURSOR", cursor)))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+n.token("nusa-1"))
	if resp, err = http.DefaultClient.Do(req); err != nil || resp.StatusCode != http.StatusNoContent {
		t.Fatal(resp, err)
	}
	_ = resp.Body.Close()
	edges, err := n.hub.Edges(t.Context())
	if err != nil || len(edges) != 1 || edges[0].Report.Version != "1.0.0" || edges[0].Behind != 1 {
		t.Errorf("%+v, %v", edges, err)
	}
}

// checkHello: the members of then are all there, as they were; it returns heads.
func checkHello(t *testing.T, sealed string) string {
	t.Helper()
	body, _, _ := strings.Cut(sealed, "\n")
	var h map[string]any
	if err := json.Unmarshal([]byte(body), &h); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	for _, m := range []string{"key", "nonce", "partner", "edge", "at", "epoch", "heads", "features", "heartbeat_ms", "ack_ms"} {
		if _, ok := h[m]; !ok {
			t.Errorf("the hello lacks %q: %s", m, body)
		}
	}
	if fs, ok := h["features"].([]any); !ok || len(fs) != 0 {
		t.Errorf("features that nobody asked for: %s", body)
	}
	heads, _ := h["heads"].(string)
	return heads
}
