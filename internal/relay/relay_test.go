package relay_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/feed"
	"github.com/siaga-crp/siaga/internal/feed/feedtest"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/relay"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func logger() *slog.Logger {
	if os.Getenv("RELAY_LOG") != "" {
		return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return slog.New(slog.DiscardHandler)
}

// beat is the interval of the node's heartbeats. Three of them without a sign of
// life end a stream: shorter ones made streams end again and again on a machine
// whose processors were given to others for half a second.
const beat = 500 * time.Millisecond

// node is a hub on a real socket whose line can be cut.
type node struct {
	t     *testing.T
	key   edge.KeySigner
	store *feedtest.Store
	hub   *feed.Hub
	srv   *httptest.Server
	stop  func()
	port  *port
	epoch uint64

	mu       sync.Mutex
	tokens   map[string]feed.Subscriber // by text
	variants []string                   // of which edge, and what
	tallies  []string                   // batches
	number   uint64
}

func newNode(t *testing.T) *node {
	n := &node{t: t, key: edge.KeySigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))), store: feedtest.NewStore(), tokens: map[string]feed.Subscriber{}, epoch: 1, port: newPort(t)}
	n.start()
	t.Cleanup(func() { n.cut() })
	return n
}

// AddTallies implements feed.TallyStore.
func (n *node) AddTallies(_ context.Context, by feed.Subscriber, batch string, _ []edge.Tally) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tallies = append(n.tallies, by.Edge+" "+batch)
	return nil
}

func fail(w http.ResponseWriter, _ *http.Request, err error) {
	code := map[problem.Kind]int{problem.Invalid: 400, problem.TooLarge: 413, problem.SignIn: 401, problem.Denied: 403, problem.Conflict: 409, problem.Unavailable: 503}[problem.KindOf(err)]
	http.Error(w, fmt.Sprintf("{%q:%q}", "detail", err.Error()), max(code, 400))
}

func (n *node) start() {
	n.t.Helper()
	keys, err := edge.Keys{Serial: 1, Feed: []edge.FeedKey{{Public: n.key.Public()}}, At: time.Now()}.Seal(n.key)
	if err != nil {
		n.t.Fatal(err)
	}
	n.hub = feed.New(feed.Options{
		Store: n.store, Signer: n.key, Keys: keys, Heartbeat: beat, Epoch: n.epoch, Error: fail, Tallies: n,
		Authenticate: func(r *http.Request) (feed.Subscriber, error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			who, ok := n.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")]
			if !ok {
				return who, problem.New(problem.SignIn, "this token is not known", "make a new one")
			}
			return who, nil
		},
		Valid: func(_ context.Context, subs []feed.Subscriber) ([]feed.Validity, error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			out := make([]feed.Validity, len(subs))
			for i, s := range subs {
				out[i].Err = errors.New("revoked")
				for _, who := range n.tokens {
					if who.Token == s.Token {
						out[i].Err = nil
					}
				}
			}
			return out, nil
		},
		Grants: func(_ context.Context, relay feed.Subscriber) ([]edge.EdgeGrant, error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			var out []edge.EdgeGrant
			for text, who := range n.tokens {
				if who.Partner == relay.Partner && !who.Relay {
					out = append(out, edge.EdgeGrant{Hash: edge.TokenHash(text), Token: who.Token, Edge: who.Edge})
				}
			}
			slices.SortFunc(out, func(a, b edge.EdgeGrant) int { return strings.Compare(a.Token, b.Token) })
			return out, nil
		},
	})
	mux := n.hub.Handler()
	mux.HandleFunc("POST /api/v1/feed/variants", func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		n.mu.Lock()
		defer n.mu.Unlock()
		n.variants = append(n.variants, n.tokens[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")].Edge+" "+string(b))
		w.WriteHeader(http.StatusCreated)
	})
	n.srv = &httptest.Server{Listener: n.port.listen(), Config: &http.Server{Handler: mux, ReadHeaderTimeout: time.Second}}
	n.srv.Start()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = n.hub.Run(ctx) }()
	n.stop = func() { cancel(); n.srv.CloseClientConnections(); n.srv.Close(); <-done }
}

// cut makes the node unreachable, with all that is connected.
func (n *node) cut() {
	if n.stop != nil {
		n.stop()
		n.stop = nil
	}
}

// token makes a token; a name that begins with "relay" is a relay's.
func (n *node) token(partner, name string) string {
	n.mu.Lock()
	text := "siaga_edge_" + partner + "-" + name + "_" + edge.Pin(n.key.Public())
	n.tokens[text] = feed.Subscriber{Partner: partner, Edge: name, Token: partner + "-" + name, Relay: strings.HasPrefix(name, "relay")}
	n.mu.Unlock()
	n.commit()
	return text
}

func (n *node) revoke(text string) {
	n.mu.Lock()
	delete(n.tokens, text)
	n.mu.Unlock()
	n.commit()
}

func (n *node) commit(drafts ...feed.Draft) {
	n.t.Helper()
	err := n.store.Update(context.Background(), func(tx journal.StoreTx) error {
		_, err := feed.Publisher{Signer: n.key, Epoch: n.epoch}.Publish(tx, 1, time.Now(), drafts...)
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) add(chain string) uint64 {
	n.t.Helper()
	n.number++
	n.commit(feed.Draft{Chain: chain, Do: edge.Add, Signal: feedtest.Signal(n.number, feedtest.Hash(rand.New(rand.NewPCG(n.number, 1))))})
	return n.number
}

func (n *node) remove(number uint64) {
	n.t.Helper()
	n.commit(feed.Draft{Chain: edge.SharedChain, Do: edge.Remove, Signal: edge.Signal{Number: number, ID: "S-x"}})
}

// running is a relay on a real socket.
type running struct {
	*relay.Relay
	port *port
	url  string
	stop func()
}

func startRelay(t *testing.T, dir string, at *port, change func(*relay.Options), n *node, tokens ...string) *running {
	t.Helper()
	tr := &http.Transport{}
	o := relay.Options{Upstream: []string{"http://" + n.port.addr}, Tokens: tokens, Dir: dir, Error: fail, Log: logger(), Name: "west", HTTP: &http.Client{Transport: tr}}
	if change != nil {
		change(&o)
	}
	r, err := relay.New(o)
	if err != nil {
		t.Fatal(err)
	}
	if at == nil {
		at = newPort(t)
	}
	srv := &httptest.Server{Listener: at.listen(), Config: &http.Server{Handler: r.Handler(), ReadHeaderTimeout: time.Second}}
	srv.Start()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.Run(ctx) }()
	var once sync.Once
	out := &running{r, at, "http://" + at.addr, func() {
		once.Do(func() { cancel(); srv.CloseClientConnections(); srv.Close(); <-done; tr.CloseIdleConnections() })
	}}
	t.Cleanup(out.stop)
	return out
}

type follower struct {
	*edge.Follower
	m    *edge.Matcher
	stop func()
}

func follow(t *testing.T, token, dir string, upstream ...string) *follower {
	t.Helper()
	m := edge.NewMatcher(edge.MatcherOptions{})
	tr := &http.Transport{}
	f, err := edge.NewFollower(m, edge.FollowerOptions{Upstream: upstream, Token: token, Dir: dir, Log: logger(), HTTP: &http.Client{Transport: tr}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = f.Run(ctx) }()
	var once sync.Once
	out := &follower{f, m, func() { once.Do(func() { cancel(); <-done; tr.CloseIdleConnections() }) }}
	t.Cleanup(out.stop)
	return out
}

func (f *follower) alarmed(kind edge.AlarmKind) bool {
	return slices.ContainsFunc(f.Alarms(), func(a edge.Alarm) bool { return a.Kind == kind })
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(15 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 15 s: %s", what)
		}
	}
}

// Edges of two partners hang on one relay, each with its own token; what the
// node says reaches them, each partner's own chain reaches its own edges alone,
// and their reports and tallies reach the node.
func TestEdgesHangOnARelay(t *testing.T) {
	n := newNode(t)
	nusa, suara := n.token("nusa", "relay"), n.token("suara", "relay")
	n.add(edge.SharedChain)
	r := startRelay(t, t.TempDir(), nil, nil, n, nusa, suara)
	a := follow(t, n.token("nusa", "one"), t.TempDir(), r.url)
	b := follow(t, n.token("suara", "one"), t.TempDir(), r.url)
	eventually(t, "both have the first", func() bool { return a.m.Len() == 1 && b.m.Len() == 1 })
	second := n.add(edge.SharedChain)
	n.add(edge.OwnChain("nusa"))
	eventually(t, "what follows", func() bool { return a.m.Len() == 3 && b.m.Len() == 2 })
	n.remove(second)
	eventually(t, "a removal", func() bool { return a.m.Len() == 2 && b.m.Len() == 1 })
	eventually(t, "the node sees the edges", func() bool {
		states, err := n.hub.Edges(t.Context())
		if err != nil || len(states) < 2 {
			return false
		}
		for _, s := range states {
			if s.Edge == "one" && (s.Behind > 0 || s.Via != "west" || s.Report.Version != "") {
				return false
			}
		}
		return true
	})
	for _, f := range []*follower{a, b} {
		if age, ok := f.m.Age(); !ok || age > 2*time.Second {
			t.Errorf("the feed's age is %s, %v", age, ok)
		}
		if al := f.Alarms(); len(al) != 0 {
			t.Errorf("alarms: %+v", al)
		}
	}
	// A batch of tallies, and a variant, are answered by the node; a token that
	// the relay does not know does not get as far.
	for _, c := range []struct {
		path, body, token string
		want              int
	}{
		{"tallies", `{"batch":"b1","counts":[]}`, n.token("nusa", "one"), http.StatusNoContent},
		{"variants", `{"group":"G-12"}`, n.token("nusa", "one"), http.StatusCreated},
		{"variants", `{"group":"G-13"}`, "siaga_edge_unknown", http.StatusUnauthorized},
	} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+"/api/v1/feed/"+c.path, strings.NewReader(c.body))
		req.Header.Set("Authorization", "Bearer "+c.token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil || resp.StatusCode != c.want {
			t.Fatal(c.path, resp, err)
		}
		_ = resp.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.Equal(n.tallies, []string{"one b1"}) || !slices.Equal(n.variants, []string{`one {"group":"G-12"}`}) {
		t.Errorf("tallies: %v, variants: %v", n.tallies, n.variants)
	}
}

// clockError is how far an edge behind a relay may be wrong about the node's
// time: a relay's greeting, from which it counts, was made some time before it
// arrived, and the other way round.
const clockError = 250 * time.Millisecond

// While the link is down edges keep what they have and say how old it is, new
// ones start from the relay, and a relay that is killed meanwhile comes back
// with all of it.
func TestLinkDown(t *testing.T) {
	n := newNode(t)
	rt, et, late := n.token("nusa", "relay"), n.token("nusa", "one"), n.token("nusa", "late")
	n.add(edge.SharedChain)
	dir := t.TempDir()
	r := startRelay(t, dir, nil, nil, n, rt)
	a := follow(t, et, t.TempDir(), r.url)
	eventually(t, "the first", func() bool { return a.m.Len() == 1 })
	n.add(edge.SharedChain)
	eventually(t, "the second", func() bool { return a.m.Len() == 2 && a.Durable()[edge.SharedChain].Seq == 2 })
	n.cut()
	silent := time.Now() // nothing that the node said is later
	r.stop()             // as after a kill: what was acknowledged is on disk
	// So late that a heartbeat which counted from when it is passed on shows.
	time.Sleep(time.Until(silent.Add(2 * clockError)))
	r = startRelay(t, dir, r.port, nil, n, rt)
	eventually(t, "the edge is back at the relay", func() bool { return a.Connected() == r.url })
	b := follow(t, late, t.TempDir(), r.url)
	eventually(t, "a new edge starts from the relay", func() bool { return b.m.Len() == 2 })
	// Nothing was heard from the node since, so nothing counts as fresh, whatever
	// the relay passes on that it heard before.
	for end := time.Now().Add(300 * time.Millisecond); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		for _, f := range []*follower{a, b} {
			least := time.Since(silent)
			if age, ok := f.m.Age(); ok && age < least-clockError {
				t.Fatalf("the feed is said to be %s old, %s after the link went down", age, least)
			}
		}
	}
	// A token that was made meanwhile is not known, which is said.
	c := follow(t, n.token("nusa", "unknown"), "", r.url)
	n.start()
	n.add(edge.SharedChain)
	eventually(t, "all of them go on", func() bool { return a.m.Len() == 3 && b.m.Len() == 3 && c.m.Len() == 3 })
	eventually(t, "it is fresh again", func() bool { age, ok := a.m.Age(); return ok && age < 3*beat })
	for _, f := range []*follower{a, b} {
		if al := f.Alarms(); len(al) != 0 {
			t.Errorf("alarms: %+v", al)
		}
	}
}

// A relay bounds bodies before it does anything for them.
func TestBodiesAreBoundedAtTheRelay(t *testing.T) {
	n := newNode(t)
	r := startRelay(t, t.TempDir(), nil, nil, n, n.token("lensa", "relay"))
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := fmt.Fprintf(c, "POST /api/v1/feed/status HTTP/1.1\r\nHost: relay\r\nContent-Length: %d\r\n\r\n{", 2<<20); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatalf("the relay waits for the body: %v", err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("%s, want 413", resp.Status)
	}
}

func TestRevokedAtTheNodeEndsAtTheRelay(t *testing.T) {
	n := newNode(t)
	rt, et, other := n.token("nusa", "relay"), n.token("nusa", "one"), n.token("nusa", "two")
	n.add(edge.SharedChain)
	r := startRelay(t, t.TempDir(), nil, nil, n, rt)
	a, b := follow(t, et, "", r.url), follow(t, other, "", r.url)
	eventually(t, "both follow", func() bool { return a.Connected() != "" && b.Connected() != "" && a.m.Len() == 1 && b.m.Len() == 1 })
	start := time.Now()
	n.revoke(et)
	eventually(t, "the stream ended", func() bool { return a.Connected() == "" })
	if took := time.Since(start); took > time.Second {
		t.Errorf("after %s", took)
	}
	eventually(t, "it says why", func() bool { return a.alarmed(edge.AlarmToken) })
	n.add(edge.SharedChain)
	eventually(t, "the other goes on", func() bool { return b.m.Len() == 2 })
	if a.m.Len() != 1 {
		t.Error("the revoked edge went on")
	}
	// The relay's own token: nobody is served by it any more.
	start = time.Now()
	n.revoke(rt)
	eventually(t, "the other's stream ended", func() bool { return b.Connected() == "" })
	if took := time.Since(start); took > time.Second {
		t.Errorf("after %s", took)
	}
}

// liar stands before upstream and changes what it answers as the last of lie
// says, from the next request on.
type liar struct {
	*httptest.Server
	lie chan func([]byte) []byte
}

func newLiar(t *testing.T, upstream string) *liar {
	l := &liar{lie: make(chan func([]byte) []byte, 1)}
	var mu sync.Mutex
	var last func([]byte) []byte // guarded by mu
	l.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		select {
		case last = <-l.lie:
		default:
		}
		current := last
		mu.Unlock()
		out, _ := http.NewRequestWithContext(req.Context(), req.Method, upstream+req.URL.RequestURI(), req.Body)
		out.Header = req.Header.Clone()
		tr := &http.Transport{}
		defer tr.CloseIdleConnections()
		resp, err := tr.RoundTrip(out)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer func() { _ = resp.Body.Close() }()
		for k, v := range resp.Header {
			w.Header()[k] = v
		}
		w.Header().Del("Content-Length")
		w.WriteHeader(resp.StatusCode)
		buf := make([]byte, 64<<10)
		for {
			k, err := resp.Body.Read(buf)
			b := buf[:k]
			if current != nil {
				b = current(bytes.Clone(b))
			}
			_, _ = w.Write(b)
			_ = http.NewResponseController(w).Flush()
			if err != nil {
				return
			}
		}
	}))
	t.Cleanup(func() { l.CloseClientConnections(); l.Close() })
	return l
}

// A relay that lies: it changes operations, makes its own, greets for another
// node. Edges take none of it.
func TestARelayCanChangeNothing(t *testing.T) {
	n := newNode(t)
	rt, et := n.token("nusa", "relay"), n.token("nusa", "one")
	n.add(edge.SharedChain)
	r := startRelay(t, t.TempDir(), nil, nil, n, rt)
	liar := newLiar(t, r.url)
	e := follow(t, et, "", liar.URL)
	t.Cleanup(func() { e.stop(); liar.CloseClientConnections() })
	eventually(t, "the first", func() bool { return e.m.Len() == 1 && e.Connected() != "" })
	liar.CloseClientConnections()
	liar.lie <- func(b []byte) []byte { return bytes.ReplaceAll(b, []byte(`"do":"add"`), []byte(`"do":"del"`)) }
	n.add(edge.SharedChain)
	eventually(t, "a changed operation is refused, with an alarm", func() bool { return e.alarmed(edge.AlarmSignature) })
	if e.m.Len() != 1 {
		t.Errorf("%d signals", e.m.Len())
	}
}

// The relay checks what comes to it: an operation that was changed on the way
// is not stored or passed on, and one that was taken out is missed at the next
// heartbeat and fetched.
func TestARelayChecksItsNode(t *testing.T) {
	n := newNode(t)
	rt, et := n.token("nusa", "relay"), n.token("nusa", "one")
	n.add(edge.SharedChain)
	liar := newLiar(t, "http://"+n.port.addr)
	r := startRelay(t, t.TempDir(), nil, func(o *relay.Options) { o.Upstream = []string{liar.URL} }, n, rt)
	t.Cleanup(func() { r.stop(); liar.CloseClientConnections() })
	e := follow(t, et, "", r.url)
	eventually(t, "the first", func() bool { return e.m.Len() == 1 && e.Connected() != "" })
	// Taken out: the event of the second operation, once.
	var once sync.Once
	takes := make(chan struct{})
	liar.lie <- func(b []byte) []byte {
		if i := bytes.Index(b, []byte("event: op\n")); i >= 0 && bytes.Contains(b[i:], []byte("S-0002")) {
			once.Do(func() {
				end := bytes.Index(b[i:], []byte("\n\n"))
				b = append(b[:i:i], b[i+end+2:]...)
				close(takes)
			})
		}
		return b
	}
	liar.CloseClientConnections()
	eventually(t, "the link is back", func() bool { s := r.Status(); return len(s) == 1 && s[0].Node != "" })
	n.add(edge.SharedChain)
	select {
	case <-takes:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was taken out")
	}
	eventually(t, "what was taken out is fetched", func() bool { return e.m.Len() == 2 })
	// Changed: the third one's action, in a body that is well formed.
	changed := make(chan struct{}, 100)
	liar.lie <- func(b []byte) []byte {
		c := bytes.ReplaceAll(b, []byte(`"action":"block"`), []byte(`"action":"monitor"`))
		if !bytes.Equal(b, c) {
			select {
			case changed <- struct{}{}:
			default:
			}
		}
		return c
	}
	liar.CloseClientConnections()
	eventually(t, "the link is back", func() bool { s := r.Status(); return len(s) == 1 && s[0].Node != "" })
	n.add(edge.SharedChain)
	select {
	case <-changed:
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was changed")
	}
	eventually(t, "the link is refused", func() bool { return strings.Contains(r.Status()[0].Problem, "signature") })
	if e.m.Len() != 2 || len(e.Alarms()) != 0 {
		t.Errorf("%d signals, alarms %+v", e.m.Len(), e.Alarms())
	}
	liar.lie <- nil
	liar.CloseClientConnections()
	eventually(t, "the true one", func() bool { return e.m.Len() == 3 })
}

// A node that was restored and began a new epoch: the relay begins again; its
// edges hear it from the node itself.
func TestTooOldEdgeIsTold(t *testing.T) {
	n := newNode(t)
	rt, et := n.token("nusa", "relay"), n.token("nusa", "one")
	n.add(edge.SharedChain)
	r := startRelay(t, t.TempDir(), nil, nil, n, rt)
	eventually(t, "the relay is ready", func() bool { return get(t, r.url+"/readyz", "") == "ready\n" })
	if got := get(t, r.url+"/api/v1/feed?nonce=x", et); !strings.Contains(got, "a release that knows none") {
		t.Errorf("an edge without the feature: %s", got)
	}
	if got := get(t, r.url+"/api/v1/feed?nonce=x&features=relay", rt); !strings.Contains(got, "not known") {
		t.Errorf("a relay's token at a relay: %s", got)
	}
	if got := get(t, "http://"+n.port.addr+"/api/v1/feed?nonce=x&features=grant&relay="+strings.Repeat("A", 43), et); !strings.Contains(got, "not one for a relay") {
		t.Errorf("an edge that asks as a relay: %s", got)
	}
	if got := get(t, "http://"+n.port.addr+"/api/v1/feed?nonce=x", rt); !strings.Contains(got, "is one for a relay") {
		t.Errorf("a relay that asks as an edge: %s", got)
	}
}

func get(t *testing.T, url, token string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err.Error()
	}
	defer http.DefaultClient.CloseIdleConnections()
	defer func() { _ = resp.Body.Close() }()
	b, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
	return string(b)
}

// What a crash leaves behind: a torn tail, a damaged snapshot, no state. The
// relay takes what is whole and asks for the rest.
func TestTornFolder(t *testing.T) {
	n := newNode(t)
	rt, et := n.token("nusa", "relay"), n.token("nusa", "one")
	n.add(edge.SharedChain)
	dir := t.TempDir()
	r := startRelay(t, dir, nil, nil, n, rt)
	e := follow(t, et, "", r.url)
	eventually(t, "the first", func() bool { return e.m.Len() == 1 })
	for range 5 {
		n.add(edge.SharedChain)
	}
	eventually(t, "all", func() bool { return e.m.Len() == 6 })
	for i, damage := range []func(name string) bool{
		func(name string) bool {
			return strings.HasSuffix(name, ".tail") && os.Truncate(name, size(t, name)/2) == nil
		},
		func(name string) bool { return strings.HasSuffix(name, ".snapshot") && flip(t, name) },
		func(name string) bool { return strings.HasSuffix(name, "state.json") && os.Truncate(name, 20) == nil },
		func(name string) bool { return strings.HasSuffix(name, "relay.key") && os.Remove(name) == nil },
	} {
		r.stop()
		done := false
		names, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, name := range names {
			done = damage(name) || done
		}
		if !done {
			t.Fatalf("case %d damaged nothing in %v", i, names)
		}
		r = startRelay(t, dir, r.port, nil, n, rt)
		want := e.m.Len() + 1
		n.add(edge.SharedChain)
		eventually(t, fmt.Sprintf("case %d: the edge goes on", i), func() bool { return e.m.Len() == want })
	}
	if al := e.Alarms(); len(al) != 0 {
		t.Errorf("alarms: %+v", al)
	}
}

func size(t *testing.T, name string) int64 {
	t.Helper()
	st, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return st.Size()
}

func flip(t *testing.T, name string) bool {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil || len(b) < 100 {
		return false
	}
	b[len(b)/2] ^= 1
	return os.WriteFile(name, b, 0o600) == nil
}
