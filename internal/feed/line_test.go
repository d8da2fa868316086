package feed_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/feed"
	"github.com/siaga-crp/siaga/internal/feed/feedtest"
	"github.com/siaga-crp/siaga/internal/journal"
)

// line is a line between hubs in memory that can be down.
type line struct {
	down atomic.Bool
	mu   sync.Mutex
	sent []string
	to   func(chain string, wire []byte)
}

func (l *line) Send(chain string, seq uint64, wire []byte) {
	l.mu.Lock()
	l.sent = append(l.sent, fmt.Sprint(chain, " ", seq))
	l.mu.Unlock()
	if l.to != nil && !l.down.Load() {
		l.to(chain, wire)
	}
}
func (l *line) Beat(string, []byte) {}
func (l *line) Up() bool            { return !l.down.Load() }

// quiet is a store whose commits nobody hears of: a node that knows of another
// one's writes by the line alone.
type quiet struct {
	*feedtest.Store
	never chan struct{}
}

func (q quiet) Committed() <-chan struct{} { return q.never }

// lineNode is a second node over the store of n.
func lineNode(t *testing.T, n *node, store journal.Store, l *line) (*feed.Hub, string) {
	t.Helper()
	m := &node{t: t, key: n.key, store: n.store, revoked: map[string]bool{}}
	hub, stop := bubbleNode(t, n.store, func(o *feed.Options) {
		o.Store, o.Line, o.Authenticate, o.Heartbeat = store, l, m.authenticate, 10*time.Second
	})
	srv := httptest.NewServer(hub.Handler())
	t.Cleanup(func() { stop(); srv.CloseClientConnections(); srv.Close() })
	return hub, srv.URL
}

// What one node writes reaches an edge of another one by the line, though that
// node does not look at the store; what the line must not bring is not taken.
func TestLine(t *testing.T) {
	l := &line{}
	drafts := &feed.Drafts{}
	n := newNode(t, func(o *feed.Options) { o.Line, o.Drafts = l, drafts })
	n.pub.Drafts = drafts
	hub, url := lineNode(t, n, quiet{n.store, make(chan struct{})}, l)
	l.to = hub.Deliver
	n.add(1)
	e := follow(t, edge.FollowerOptions{Upstream: []string{url}, Token: n.token("nusa-1")})
	eventually(t, "it follows", func() bool { return e.Connected() != "" && e.m.Len() == 1 })
	n.add(2)
	eventually(t, "the second came by the line", func() bool { return e.m.Len() == 2 })

	// Chains that nobody follows at the writing node are carried as well.
	n.publish(feed.Draft{Chain: edge.OwnChain("nusa"), Do: edge.Add, Signal: feedtest.Signal(7, feedtest.Hash(rand.New(rand.NewPCG(7, 1))))})
	eventually(t, "the own chain came by the line", func() bool { return e.m.Len() == 3 })

	// Strangers on the line: garbage, another key, a wrong chain, an operation
	// ahead of its time, and all of it again.
	other := edge.Operation{Chain: edge.SharedChain, Epoch: 1, Seq: 3, Do: edge.Add, At: time.Now(), Signal: feedtest.Signal(9, feedtest.Hash(rand.New(rand.NewPCG(9, 1))))}
	rows := n.store.Rows(edge.SharedChain)
	last, err := edge.ParseOperation(rows[len(rows)-1].Op)
	if err != nil {
		t.Fatal(err)
	}
	other.Prev = last.Hash
	forged, _, err := other.Seal(edge.KeySigner(testKey(5)))
	if err != nil {
		t.Fatal(err)
	}
	other.Epoch = 9
	epoch, _, err := other.Seal(edge.KeySigner(n.key))
	if err != nil {
		t.Fatal(err)
	}
	for _, wire := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte("y"), edge.MaxOperation+1), forged, epoch, rows[0].Op} {
		hub.Deliver(edge.SharedChain, wire)
		hub.Deliver(edge.OwnChain("suara"), wire)
	}
	n.add(3)
	eventually(t, "the third", func() bool { return e.m.Len() == 4 })
	if a := e.Alarms(); len(a) != 0 {
		t.Errorf("alarms: %+v", a)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if got := fmt.Sprint(l.sent); got != "[partners 1 partners 2 partner:nusa 1 partners 3]" {
		t.Errorf("sent: %s", got)
	}
}

// The line is cut: the feed goes on from the store. Healed, nothing is twice.
func TestLineDown(t *testing.T) {
	l := &line{}
	drafts := &feed.Drafts{}
	n := newNode(t, func(o *feed.Options) { o.Line, o.Drafts = l, drafts })
	n.pub.Drafts = drafts
	hub, url := lineNode(t, n, n.store, l)
	l.to = hub.Deliver
	e := follow(t, edge.FollowerOptions{Upstream: []string{url}, Token: n.token("nusa-1")})
	eventually(t, "it follows", func() bool { return e.Connected() != "" })
	for i := range uint64(30) {
		l.down.Store(i/5%2 == 1)
		n.add(i + 1)
		time.Sleep(3 * time.Millisecond)
	}
	eventually(t, "all is there", func() bool { return e.m.Len() == 30 })
	if s := e.Stats(); s.Applied != 30 || s.Duplicates != 0 || s.Refused != 0 || s.Connects != 1 {
		t.Errorf("%+v", s)
	}
}

// The line brings an operation of a history that a restore gave up, signed by
// the same key: the hub finds that the store has another one, says so by
// beginning again, and edges find out by the hash.
func TestLineOfAnotherHistory(t *testing.T) {
	l := &line{}
	n := newNode(t, nil)
	n.add(1)
	hub, url := lineNode(t, n, n.store, l)
	resp := subscribe(t, url, n.token("nusa-1"))
	first := n.store.Rows(edge.SharedChain)[0]
	op, err := edge.ParseOperation(first.Op)
	if err != nil {
		t.Fatal(err)
	}
	phantom, _, err := edge.Operation{Chain: edge.SharedChain, Epoch: 1, Seq: 2, Prev: op.Hash, Do: edge.Remove, At: time.Now(), Signal: edge.Signal{Number: 1, ID: "S-0001"}}.Seal(edge.KeySigner(n.key))
	if err != nil {
		t.Fatal(err)
	}
	hub.Deliver(edge.SharedChain, phantom)
	n.add(2)
	eventually(t, "the stream ends", func() bool { return resp.ended.Load() })
	if got := resp.text(); !bytes.Contains(got, []byte("reads its operations anew")) {
		t.Errorf("%s", got)
	}
	e := follow(t, edge.FollowerOptions{Upstream: []string{url}, Token: n.token("nusa-2")})
	eventually(t, "the true history is served", func() bool { return e.m.Len() == 2 })
}

// An edge comes from a node that was ahead: the other one looks again before it
// greets, with the newest checkpoint, and is not taken for one that went back.
func TestEdgeFromANodeAhead(t *testing.T) {
	n := newNode(t, nil)
	n.store.SetCheckpoint("o\n1\nr\n")
	n.add(1)
	_, behind := lineNode(t, n, quiet{n.store, make(chan struct{})}, &line{})
	// The lagging node has the chain open, and looks at the store every ten
	// seconds only.
	_ = subscribe(t, behind, n.token("nusa-9"))
	n.store.SetCheckpoint("o\n5\nr\n")
	n.add(2)
	e := follow(t, edge.FollowerOptions{Upstream: []string{n.srv.URL, behind}, Token: n.token("nusa-1")})
	eventually(t, "it has both", func() bool { return e.m.Len() == 2 && e.Connected() == n.srv.URL })
	n.close()
	start := time.Now()
	eventually(t, "it goes on at the other node", func() bool { return e.Connected() == behind })
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("after %s", took)
	}
	if a := e.Alarms(); len(a) != 0 {
		t.Errorf("alarms: %+v", a)
	}
}

// stream is an open stream, read to nowhere.
type stream struct {
	ended atomic.Bool
	mu    sync.Mutex
	b     bytes.Buffer
}

func (s *stream) text() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.b.Bytes())
}

func subscribe(t *testing.T, url, token string) *stream {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/v1/feed?nonce=n", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	tr := &http.Transport{}
	t.Cleanup(tr.CloseIdleConnections)
	resp, err := tr.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatal(resp, err)
	}
	s := &stream{}
	go func() {
		defer s.ended.Store(true)
		defer func() { _ = resp.Body.Close() }()
		buf := make([]byte, 4096)
		for {
			k, err := resp.Body.Read(buf)
			s.mu.Lock()
			s.b.Write(buf[:k])
			s.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return s
}
