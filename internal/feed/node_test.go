package feed_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
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
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a hub on a real socket.
type node struct {
	t     testing.TB
	key   ed25519.PrivateKey
	store *feedtest.Store
	hub   *feed.Hub
	srv   *httptest.Server
	pub   feed.Publisher

	mu      sync.Mutex
	revoked map[string]bool
	entry   int64
	stop    func()
}

func testKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune('a'+seed)), 32)))
}

func newNode(t testing.TB, change func(*feed.Options)) *node {
	t.Helper()
	n := &node{t: t, key: testKey(0), store: feedtest.NewStore(), revoked: map[string]bool{}}
	n.start(change)
	t.Cleanup(func() { n.close() })
	return n
}

func (n *node) start(change func(*feed.Options)) {
	n.t.Helper()
	signer := edge.KeySigner(n.key)
	n.pub = feed.Publisher{Signer: signer, Epoch: max(n.pub.Epoch, 1)}
	keys, err := edge.Keys{Serial: 1, Feed: []edge.FeedKey{{Public: signer.Public()}}, At: time.Now()}.Seal(signer)
	if err != nil {
		n.t.Fatal(err)
	}
	o := feed.Options{
		Store: n.store, Signer: signer, Keys: keys, Heartbeat: 200 * time.Millisecond,
		Authenticate: n.authenticate,
		Valid: func(_ context.Context, subs []feed.Subscriber) ([]feed.Validity, error) {
			n.mu.Lock()
			defer n.mu.Unlock()
			out := make([]feed.Validity, len(subs))
			for i, s := range subs {
				if n.revoked[s.Token] {
					out[i].Err = errors.New("revoked")
				}
			}
			return out, nil
		},
		Error: func(w http.ResponseWriter, _ *http.Request, err error) {
			code := map[problem.Kind]int{problem.Invalid: 400, problem.SignIn: 401, problem.Conflict: 409, problem.Unavailable: 503, problem.TooLarge: 413}[problem.KindOf(err)]
			http.Error(w, err.Error(), max(code, 400))
		},
	}
	if os.Getenv("FEED_LOG") != "" {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if change != nil {
		change(&o)
	}
	n.hub = feed.New(o)
	n.srv = httptest.NewServer(n.hub.Handler())
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = n.hub.Run(ctx) }()
	n.stop = func() { cancel(); <-done; n.srv.CloseClientConnections(); n.srv.Close() }
}

func (n *node) close() {
	if n.stop != nil {
		n.stop()
		n.stop = nil
	}
}

// authenticate takes tokens like "siaga_edge_nusa-1_PIN": partner nusa, edge 1.
func (n *node) authenticate(r *http.Request) (feed.Subscriber, error) {
	name, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer siaga_edge_")
	n.mu.Lock()
	bad := n.revoked[name]
	n.mu.Unlock()
	if !ok || bad {
		return feed.Subscriber{}, problem.New(problem.SignIn, "this token is not known", "make a new one")
	}
	id, _, _ := strings.Cut(name, "_")
	partner, _, _ := strings.Cut(id, "-")
	return feed.Subscriber{Partner: partner, Edge: id, Token: name}, nil
}

func (n *node) token(name string) string {
	return "siaga_edge_" + name + "_" + edge.Pin(n.key.Public().(ed25519.PublicKey))
}

func (n *node) publish(drafts ...feed.Draft) []edge.Operation {
	n.t.Helper()
	var ops []edge.Operation
	err := n.store.Update(context.Background(), func(tx journal.StoreTx) (err error) {
		n.entry++
		ops, err = n.pub.Publish(tx, n.entry, time.Now(), drafts...)
		return err
	})
	if err != nil {
		n.t.Fatal(err)
	}
	return ops
}

// follow runs a follower until the test ends.
type running struct {
	*edge.Follower
	m    *edge.Matcher
	stop func()
}

func follow(t testing.TB, o edge.FollowerOptions) running {
	t.Helper()
	m := edge.NewMatcher(edge.MatcherOptions{Now: o.Now})
	if os.Getenv("FEED_LOG") != "" {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	tr := &http.Transport{DialContext: (&net.Dialer{Timeout: time.Second}).DialContext}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Transport: tr}
	}
	f, err := edge.NewFollower(m, o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	var once sync.Once
	r := running{f, m, func() { once.Do(func() { cancel(); <-done; tr.CloseIdleConnections() }) }}
	t.Cleanup(r.stop)
	return r
}

// eventually waits for something that other goroutines do.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		if ok() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("not within 10 s: %s", what)
		}
	}
}

// memoryDir is a folder whose syncs cost nothing, where the system has one.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "siaga-feed-test")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
