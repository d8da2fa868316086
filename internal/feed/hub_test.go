package feed_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/internal/feed"
	"github.com/siaga-crp/siaga/internal/feed/feedtest"
	"github.com/siaga-crp/siaga/internal/journal"
)

func (n *node) add(num uint64) edge.Operation {
	return n.publish(feed.Draft{Chain: edge.SharedChain, Do: edge.Add, Signal: feedtest.Signal(num, feedtest.Hash(rand.New(rand.NewPCG(num, 3))))})[0]
}

// ask opens a stream by hand.
func (n *node) ask(ctx context.Context, who, cursor string) *http.Response {
	n.t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.srv.URL+"/api/v1/feed?cursor="+url.QueryEscape(cursor), nil)
	if err != nil {
		n.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+n.token(who))
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

// until reads events until one with this name and returns its data.
func until(r *bufio.Reader, name string) (string, error) {
	current := ""
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", err
		}
		if v, ok := strings.CutPrefix(line, "event: "); ok {
			current = strings.TrimSpace(v)
		}
		if v, ok := strings.CutPrefix(line, "data: "); ok && current == name {
			return strings.TrimSpace(v), nil
		}
	}
}

// One edge that reads nothing: it is told and closed, and the others never
// notice.
func TestSlowSubscriber(t *testing.T) {
	n := newNode(t, func(o *feed.Options) { o.Ring, o.Stall = 64, time.Second })
	n.add(1)
	fast := follow(t, edge.FollowerOptions{Upstream: []string{n.srv.URL}, Token: n.token("nusa-1")})
	eventually(t, "the fast edge is there", func() bool { return fast.m.Len() == 1 })

	// A socket with small buffers, of which nothing is read.
	conn, err := (&net.Dialer{}).Dial("tcp", n.srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close() //nolint:errcheck // a test
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	if _, err := fmt.Fprintf(conn, "GET /api/v1/feed HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", n.token("suara-1")); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the slow edge is connected", func() bool {
		edges, err := n.hub.Edges(t.Context())
		return err == nil && len(edges) == 2 && edges[1].Streams == 1
	})
	worst := time.Duration(0)
	last := uint64(0)
	for i := range uint64(300) {
		// Big enough that what the socket and the ring hold is soon exceeded.
		s := feedtest.Signal(i+2, feedtest.Hash(rand.New(rand.NewPCG(i, 3))))
		s.Kind, s.Value, s.MaxDistance = fingerprint.VPDQ, strings.Repeat("x", 60_000), 0
		last = n.publish(feed.Draft{Chain: edge.SharedChain, Do: edge.Add, Signal: s})[0].Seq
		start := time.Now()
		eventually(t, "the fast edge has it", func() bool { return fast.m.Cursor()[edge.SharedChain].Seq == last })
		worst = max(worst, time.Since(start))
	}
	if worst > 2*time.Second {
		t.Errorf("the fast edge waited for %s", worst)
	}
	eventually(t, "the slow edge was closed", func() bool {
		edges, err := n.hub.Edges(t.Context())
		return err == nil && edges[1].Streams == 0
	})
	if edges, _ := n.hub.Edges(t.Context()); edges[1].Behind != last {
		t.Errorf("the slow edge is %d behind, want %d", edges[1].Behind, last)
	}
	if s := fast.Stats(); s.Snapshots != 1 || s.Connects != 1 {
		t.Errorf("the fast edge was disturbed: %+v", s)
	}
}

// An edge that fell out of the ring, and reads: it is told "reset".
func TestBehindTheRingIsTold(t *testing.T) {
	n := newNode(t, func(o *feed.Options) { o.Ring, o.Stall = 16, 30*time.Second })
	n.add(1)
	resp := n.ask(t.Context(), "nusa-1", "")
	r := bufio.NewReaderSize(resp.Body, 16)
	if _, err := until(r, "op"); err != nil {
		t.Fatal(err)
	}
	for i := range uint64(400) {
		s := feedtest.Signal(i+2, feedtest.Hash(rand.New(rand.NewPCG(i, 3))))
		s.Kind, s.Value, s.MaxDistance = fingerprint.VPDQ, strings.Repeat("x", 60_000), 0
		n.publish(feed.Draft{Chain: edge.SharedChain, Do: edge.Add, Signal: s})
	}
	got, err := until(r, "reset")
	if err != nil || !strings.Contains(got, `"reason":"slow"`) {
		t.Errorf("%s, %v", got, err)
	}
	if _, err := r.ReadString(0); !errors.Is(err, io.EOF) {
		t.Errorf("after the reset: %v", err)
	}
	// And a follower gets over it by itself.
	e := follow(t, edge.FollowerOptions{Upstream: []string{n.srv.URL}, Token: n.token("nusa-2")})
	eventually(t, "all is there", func() bool { return e.m.Len() == 401 })
}

func TestRevokedTokenEndsItsStreams(t *testing.T) {
	n := newNode(t, nil)
	n.add(1)
	stays := follow(t, edge.FollowerOptions{Upstream: []string{n.srv.URL}, Token: n.token("suara-1")})
	e := follow(t, edge.FollowerOptions{Upstream: []string{n.srv.URL}, Token: n.token("nusa-1")})
	eventually(t, "both are there", func() bool { return e.Connected() != "" && stays.Connected() != "" })
	n.mu.Lock()
	_, pin, _ := strings.Cut(n.token("nusa-1"), "siaga_edge_")
	n.revoked[pin] = true
	n.mu.Unlock()
	n.publish() // a commit, as a revocation is
	start := time.Now()
	eventually(t, "the stream has ended", func() bool { return e.Connected() == "" })
	if d := time.Since(start); d > time.Second {
		t.Errorf("after %s", d)
	}
	eventually(t, "it says why", func() bool { return alarmed(e, edge.AlarmToken) })
	before := n.add(2).Seq
	eventually(t, "the other goes on", func() bool { return stays.m.Cursor()[edge.SharedChain].Seq == before })
	if e.m.Len() != 1 {
		t.Errorf("the revoked edge has %d signals", e.m.Len())
	}
}

func TestCursorsThatCannotBeServed(t *testing.T) {
	n := newNode(t, func(o *feed.Options) { o.MaxTail = 5 })
	var at []edge.Position
	for i := range uint64(10) {
		op := n.add(i + 1)
		row := n.store.Rows(edge.SharedChain)[op.Seq-1]
		sealed, err := edge.ParseOperation(row.Op)
		if err != nil {
			t.Fatal(err)
		}
		at = append(at, sealed.Position())
	}
	wrong := at[8]
	wrong.Hash[0] ^= 1
	future := edge.Position{Epoch: 1, Seq: 11}
	for _, x := range []struct {
		name, cursor, reason string
		code                 int
	}{
		{"garbage", "now", "garbage", 400},
		{"damaged", edge.Cursor{edge.SharedChain: at[9]}.String()[:60], "garbage", 400},
		{"future", edge.Cursor{edge.SharedChain: future}.String(), "future", 409},
		{"another history", edge.Cursor{edge.SharedChain: wrong}.String(), "foreign", 409},
		{"another partner's", edge.Cursor{edge.OwnChain("suara"): {}}.String(), "foreign", 409},
		{"far behind", edge.Cursor{edge.SharedChain: at[2]}.String(), "behind", 409},
		{"at the beginning", "", "behind", 409},
		{"number 0", edge.Cursor{edge.SharedChain: {Epoch: 1}}.String(), "garbage", 400},
		{"good", edge.Cursor{edge.SharedChain: at[7]}.String(), "", 200},
		{"the head", edge.Cursor{edge.SharedChain: at[9]}.String(), "", 200},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		resp := n.ask(ctx, "nusa-1", x.cursor)
		if resp.StatusCode != x.code || resp.Header.Get("Siaga-Feed") != x.reason {
			t.Errorf("%s: %d %q", x.name, resp.StatusCode, resp.Header.Get("Siaga-Feed"))
		}
		if x.code != 200 {
			b, _ := io.ReadAll(resp.Body)
			if strings.Count(string(b), "\n") != 1 || !strings.Contains(string(b), "; ") {
				t.Errorf("%s: not one line with a fix: %s", x.name, b)
			}
		}
		cancel()
	}
}

func TestBadPosts(t *testing.T) {
	n := newNode(t, func(o *feed.Options) { o.Tallies = &tallyStore{seen: map[string]bool{}, n: map[uint64]int64{}} })
	for _, x := range []struct {
		path, body string
		code       int
	}{
		{"status", "{", 400},
		{"status", `{"cursor":"nonsense"}`, 400},
		{"status", strings.Repeat(" ", 300_000), 413},
		{"status", `{}`, 204},
		{"status", `{"cursor":"` + edge.Cursor{edge.SharedChain: {Epoch: 1, Seq: 99}}.String() + `"}`, 204},
		{"tallies", `{"batch":""}`, 400},
		{"tallies", `{"batch":"a","counts":[{"n":1,"count":-1}]}`, 400},
		{"tallies", `{"batch":"a","counts":[{"n":1,"count":3}]}`, 204},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.srv.URL+"/api/v1/feed/"+x.path, strings.NewReader(x.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+n.token("nusa-1"))
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != x.code {
			t.Errorf("%s %.40s: %d, want %d", x.path, x.body, resp.StatusCode, x.code)
		}
	}
	edges, err := n.hub.Edges(t.Context())
	if err != nil || len(edges) != 1 {
		t.Fatalf("%+v, %v", edges, err)
	}
}

// What an edge that is not known here reports, and edges that never came.
func TestKnownEdgesAreCounted(t *testing.T) {
	n := newNode(t, func(o *feed.Options) {
		o.Known = func(context.Context) ([]feed.Subscriber, error) {
			return []feed.Subscriber{{Partner: "nusa", Edge: "nusa-1"}, {Partner: "suara", Edge: "suara-1"}}, nil
		}
	})
	n.add(1)
	e := follow(t, edge.FollowerOptions{Upstream: []string{n.srv.URL}, Token: n.token("nusa-1")})
	eventually(t, "it is there", func() bool { return e.m.Len() == 1 })
	n.add(2)
	var reach feed.Reach
	eventually(t, "one of two has it", func() bool {
		if _, err := n.hub.Edges(t.Context()); err != nil {
			t.Fatal(err)
		}
		var ok bool
		reach, ok = n.hub.Reach(edge.SharedChain, 2)
		return ok && reach.Edges == 2 && reach.Reached == 1
	})
	if len(reach.Missing) != 1 || reach.Missing[0].Edge != "suara-1" || len(reach.Delays) != 1 || reach.Delays[0] > 5*time.Second {
		t.Errorf("%+v", reach)
	}
	if _, ok := n.hub.Reach(edge.SharedChain, 99); ok {
		t.Error("reach of a signal that is not there")
	}
}

// A trip at an edge is told to the node once.
func TestTripIsTold(t *testing.T) {
	told := make(chan edge.Trip, 10)
	n := newNode(t, func(o *feed.Options) {
		o.AckEvery = 10 * time.Millisecond
		o.Tripped = func(_ context.Context, by feed.Subscriber, x edge.Trip) error {
			if by.Edge != "nusa-1" {
				return errors.New("whose?")
			}
			told <- x
			return nil
		}
	})
	r := rand.New(rand.NewPCG(4, 4))
	general := feedtest.Hash(r)
	n.publish(feed.Draft{Chain: edge.SharedChain, Do: edge.Add, Signal: feedtest.Signal(1, general)})
	e := follow(t, edge.FollowerOptions{Upstream: []string{n.srv.URL}, Token: n.token("nusa-1")})
	eventually(t, "it is there", func() bool { return e.m.Len() == 1 && e.Connected() != "" })
	var res edge.Result
	for range 60 {
		h := feedtest.Near(r, general, 25+r.IntN(7))
		e.m.PDQ(&res, &h, 100)
	}
	start := time.Now()
	select {
	case x := <-told:
		if x.Number != 1 || x.Distance <= 31 || time.Since(start) > time.Second {
			t.Errorf("%+v after %s", x, time.Since(start))
		}
	case <-time.After(10 * time.Second):
		t.Fatal("not told")
	}
	time.Sleep(500 * time.Millisecond) // two more reports
	if len(told) > 0 {
		t.Error("told again")
	}
}

func TestPublishIsAtomicAndChecked(t *testing.T) {
	n := newNode(t, nil)
	good := feed.Draft{Chain: edge.SharedChain, Do: edge.Add, Signal: feedtest.Signal(1, feedtest.Hash(rand.New(rand.NewPCG(1, 1))))}
	bad := good
	bad.Action = "burn"
	err := n.store.Update(t.Context(), func(tx journal.StoreTx) error {
		_, err := n.pub.Publish(tx, 1, time.Now(), good, bad)
		return err
	})
	if !errors.Is(err, edge.ErrSyntax) {
		t.Errorf("a draft that no edge could use: %v", err)
	}
	if rows := n.store.Rows(edge.SharedChain); len(rows) != 0 {
		t.Errorf("%d operations of a transaction that failed", len(rows))
	}
	ops := n.publish(good, feed.Draft{Chain: edge.OwnChain("nusa"), Do: edge.Remove, Signal: good.Signal}, good)
	if ops[0].Seq != 1 || ops[1].Seq != 1 || ops[2].Seq != 2 || ops[2].Prev == (edge.Hash{}) || ops[1].Value != "" {
		b, _ := json.MarshalIndent(ops, "", " ")
		t.Errorf("%s", b)
	}
	old := feed.Publisher{Signer: n.pub.Signer, Epoch: 1}
	n.pub.Epoch = 2
	n.publish(good)
	err = n.store.Update(t.Context(), func(tx journal.StoreTx) error {
		_, err := old.Publish(tx, 1, time.Now(), good)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "later history") {
		t.Errorf("publishing in a past epoch: %v", err)
	}
}

func TestEdgesBeyondTheLimitAreTold(t *testing.T) {
	n := newNode(t, func(o *feed.Options) { o.MaxEdges = 1 })
	n.add(1)
	e := follow(t, edge.FollowerOptions{Upstream: []string{n.srv.URL}, Token: n.token("nusa-1")})
	eventually(t, "it is there", func() bool { return e.Connected() != "" })
	if resp := n.ask(t.Context(), "suara-1", ""); resp.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("%d", resp.StatusCode)
	}
}

// One token cannot take all streams: its oldest give way, and others find room.
func TestStreamsOfOneToken(t *testing.T) {
	n := newNode(t, func(o *feed.Options) { o.MaxEdges = 8 })
	first := n.ask(t.Context(), "nusa-1", "")
	for range 20 {
		if resp := n.ask(t.Context(), "nusa-1", ""); resp.StatusCode != http.StatusOK {
			t.Fatalf("a further stream: %d", resp.StatusCode)
		}
		eventually(t, "no more than four are open", func() bool {
			states, err := n.hub.Edges(t.Context())
			return err == nil && states[0].Streams <= 4
		})
	}
	if said, err := until(bufio.NewReader(first.Body), "bye"); err != nil || !strings.Contains(said, `"many"`) {
		t.Errorf("the oldest heard %q, %v", said, err)
	}
	eventually(t, "four are open", func() bool {
		states, err := n.hub.Edges(t.Context())
		return err == nil && len(states) > 0 && states[0].Streams == 4
	})
	if resp := n.ask(t.Context(), "suara-1", ""); resp.StatusCode != http.StatusOK {
		t.Errorf("another edge: %d", resp.StatusCode)
	}
}

// A damaged operation holds up its own chain alone, which is named.
func TestADamagedOperationStopsNoOtherChain(t *testing.T) {
	n := newNode(t, nil)
	own := func(partner string, num uint64) {
		n.publish(feed.Draft{Chain: edge.OwnChain(partner), Do: edge.Add, Signal: feedtest.Signal(num, feedtest.Hash(rand.New(rand.NewPCG(num, 3))))})
	}
	own("lensa", 1)
	own("suara", 2)
	resp := n.ask(t.Context(), "lensa-1", "")
	r := bufio.NewReader(resp.Body)
	if _, err := until(r, "op"); err != nil {
		t.Fatal(err)
	}
	if r := n.ask(t.Context(), "suara-1", ""); r.StatusCode != http.StatusOK {
		t.Fatal(r.Status)
	}
	if err := n.store.Update(t.Context(), func(tx journal.StoreTx) error {
		return tx.PutFeed(journal.FeedRow{Chain: edge.OwnChain("suara"), Seq: 2, Op: []byte("damaged")})
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the damaged chain is named", func() bool { return slices.Equal(n.hub.Damaged(), []string{edge.OwnChain("suara")}) })
	own("lensa", 3)
	data, err := until(r, "op")
	if err != nil || !strings.Contains(data, `"S-0003"`) {
		t.Errorf("the other chain: %s %v", data, err)
	}
}
