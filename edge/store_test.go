package edge_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siaga-crp/siaga/edge"
)

// smallNode is the least that a node must do, written from docs/format/feed.md
// with this package's own types, behind a transport without sockets.
type smallNode struct {
	t     *testing.T
	w     *writer
	state *edge.State

	mu     sync.Mutex
	wires  [][]byte
	keys   []byte
	serial uint64
	change chan struct{} // closed at the next change
}

func newSmallNode(t *testing.T) *smallNode {
	n := &smallNode{t: t, w: newWriter(t), state: edge.NewState(edge.SharedChain), change: make(chan struct{})}
	n.newKeys()
	return n
}

func (n *smallNode) newKeys() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.serial++
	wire, err := edge.Keys{Serial: n.serial, Feed: []edge.FeedKey{{Public: n.w.key.Public()}}, At: start}.Seal(n.w.key)
	if err != nil {
		n.t.Fatal(err)
	}
	n.keys = wire
	close(n.change)
	n.change = make(chan struct{})
}

func (n *smallNode) put(do edge.Do, s edge.Signal) {
	wire := n.w.wire(edge.SharedChain, do, s)
	op, err := edge.ParseOperation(wire)
	if err == nil {
		err = n.state.Apply(&op)
	}
	if err != nil {
		n.t.Fatal(err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wires = append(n.wires, wire)
	close(n.change)
	n.change = make(chan struct{})
}

func (n *smallNode) hello(r *http.Request, known edge.Cursor) []byte {
	wire, err := edge.Hello{Nonce: r.URL.Query().Get("nonce"), At: time.Now(), Epoch: 1, Heads: edge.Cursor{edge.SharedChain: n.state.Position()}, Known: known, HeartbeatMS: 5000, AckMS: 20}.Seal(n.w.key)
	if err != nil {
		n.t.Error(err)
	}
	return wire
}

func sse(name string, wire []byte) []byte {
	return []byte("event: " + name + "\ndata: " + strings.ReplaceAll(string(wire), "\n", "\ndata: ") + "\n\n")
}

func (n *smallNode) RoundTrip(r *http.Request) (*http.Response, error) {
	resp := &http.Response{StatusCode: 200, Header: http.Header{}, Request: r, Body: http.NoBody}
	cursor, err := edge.ParseCursor(r.URL.Query().Get("cursor"))
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch r.URL.Path {
	case "/api/v1/feed/keys":
		resp.Body = io.NopCloser(strings.NewReader(string(n.keys)))
	case "/api/v1/feed/snapshot":
		resp.Header.Set("Siaga-Hello", base64.RawURLEncoding.EncodeToString(n.hello(r, cursor)))
		resp.Body = io.NopCloser(strings.NewReader(string(snapshotOf(n.t, n.state, n.w.key))))
	case "/api/v1/feed":
		pr, pw := io.Pipe()
		stop := context.AfterFunc(r.Context(), func() { _ = pw.CloseWithError(r.Context().Err()) })
		first := append(sse("keys", n.keys), sse("hello", n.hello(r, cursor))...)
		go n.stream(pw, first, cursor[edge.SharedChain].Seq)
		resp.Body = &streamBody{pr, stop}
	case "/api/v1/feed/status":
		resp.StatusCode = 204
	default:
		resp.StatusCode = 404
	}
	return resp, nil
}

type streamBody struct {
	*io.PipeReader
	stop func() bool
}

func (b *streamBody) Close() error { b.stop(); return b.PipeReader.Close() }

func (n *smallNode) stream(w *io.PipeWriter, first []byte, seq uint64) {
	_, err := w.Write(first)
	n.mu.Lock()
	serial := n.serial
	n.mu.Unlock()
	for err == nil {
		n.mu.Lock()
		change, wires, keys, now := n.change, n.wires, n.keys, n.serial
		n.mu.Unlock()
		switch {
		case now != serial:
			serial = now
			_, err = w.Write(sse("keys", keys))
		case seq < uint64(len(wires)):
			_, err = w.Write(sse("op", wires[seq]))
			seq++
		default:
			select {
			case <-change:
			case <-time.After(5 * time.Second):
				var beat []byte
				op, _ := edge.ParseOperation(wires[seq-1])
				if beat, err = (edge.Heartbeat{At: time.Now(), Epoch: 1, Heads: edge.Cursor{edge.SharedChain: op.Position()}}).Seal(n.w.key); err == nil {
					_, err = w.Write(sse("heartbeat", beat))
				}
			}
		}
	}
}

// memoryDir is a folder whose syncs cost nothing, where the system has one.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "siaga-edge-test")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func (n *smallNode) options(dir string) edge.FollowerOptions {
	return edge.FollowerOptions{Upstream: []string{"http://node"}, Token: "siaga_edge_x_" + edge.Pin(n.w.key.Public()), Dir: dir, HTTP: &http.Client{Transport: n}}
}

// run starts a follower; stop ends it and waits.
func (n *smallNode) run(dir string) (f *edge.Follower, m *edge.Matcher, stop func()) {
	n.t.Helper()
	m = edge.NewMatcher(edge.MatcherOptions{})
	f, err := edge.NewFollower(m, n.options(dir))
	if err != nil {
		n.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(n.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = f.Run(ctx) }()
	return f, m, func() { cancel(); <-done; settle(6 * time.Second) }
}

// opened opens a folder without following, and lets it go.
func (n *smallNode) opened(dir string) (*edge.Matcher, error) {
	m := edge.NewMatcher(edge.MatcherOptions{})
	f, err := edge.NewFollower(m, n.options(dir))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(n.t.Context())
	cancel()
	return m, f.Run(ctx)
}

// at returns the signals that were in force after an operation.
func (n *smallNode) at(seq uint64) map[uint64]string {
	out := map[uint64]string{}
	for _, wire := range n.wires[:seq] {
		op, err := edge.ParseOperation(wire)
		if err != nil {
			n.t.Fatal(err)
		}
		delete(out, op.Number)
		if op.Do == edge.Add {
			out[op.Number] = op.Value
		}
	}
	return out
}

func held(m *edge.Matcher) map[uint64]string {
	out := map[uint64]string{}
	for _, s := range m.Signals() {
		out[s.Number] = s.Value
	}
	return out
}

func settle(d time.Duration) { time.Sleep(d); synctest.Wait() }

func alarmed(f *edge.Follower, k edge.AlarmKind) bool {
	return slices.ContainsFunc(f.Alarms(), func(a edge.Alarm) bool { return a.Kind == k })
}

// What an edge has acknowledged survives: the folder is copied at each step of
// writing, as a crash would leave it, and opened.
func TestCrashWhileStoring(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSmallNode(t)
		dir := memoryDir(t)
		steps := map[string]int{}
		var f *edge.Follower
		var one sync.Mutex // crashes are played one at a time
		crash := func(step string) {
			one.Lock()
			defer one.Unlock()
			acked := f.Durable()
			sick := memoryDir(t)
			defer os.RemoveAll(sick) //nolint:errcheck // in memory
			files, err := os.ReadDir(dir)
			if err != nil {
				t.Error(err)
			}
			for _, x := range files {
				raw, err := os.ReadFile(filepath.Join(dir, x.Name()))
				if errors.Is(err, os.ErrNotExist) {
					continue // renamed since
				}
				if err == nil {
					err = os.WriteFile(filepath.Join(sick, x.Name()), raw, 0o600)
				}
				if err != nil {
					t.Error(err)
				}
			}
			m, err := n.opened(sick)
			if err != nil {
				t.Errorf("after %q: %v", step, err)
				return
			}
			got := m.Cursor()[edge.SharedChain]
			if got.Seq < acked[edge.SharedChain].Seq {
				t.Errorf("after %q: at %d, %d was acknowledged", step, got.Seq, acked[edge.SharedChain].Seq)
			}
			n.mu.Lock()
			want := n.at(got.Seq)
			n.mu.Unlock()
			if have := held(m); fmt.Sprint(have) != fmt.Sprint(want) {
				t.Errorf("after %q: %v, want %v", step, have, want)
			}
			steps[step]++
		}
		r := newRand(5)
		n.put(edge.Add, signal(1, hash(r)))
		var stop func()
		f, _, stop = n.run(dir)
		settle(time.Second)
		restore := edge.StoreHook(dir, func(step string) error { crash(step); return nil })
		for range 120 {
			s := signal(1+r.Uint64N(30), hash(r))
			if r.IntN(3) == 0 {
				n.put(edge.Remove, edge.Signal{Number: s.Number, ID: s.ID})
			} else {
				n.put(edge.Add, s)
			}
			if r.IntN(3) == 0 {
				settle(50 * time.Millisecond)
			}
			if r.IntN(8) == 0 {
				for range 1 + r.IntN(3) {
					n.newKeys() // which writes the state anew, also while one is being written
					n.put(edge.Add, signal(1+r.Uint64N(30), hash(r)))
					if r.IntN(2) == 0 {
						settle(time.Millisecond)
					}
				}
			}
		}
		settle(time.Second)
		restore()
		for _, step := range []string{"append", "append.sync", "begin", "state", "state.sync", "state.rename", "tail.rename"} {
			if steps[step] < 5 {
				t.Errorf("%d crashes at %q", steps[step], step)
			}
		}
		t.Log(steps)
		stop()
	})
}

// A folder that cannot be written to: the edge goes on protecting, acknowledges
// nothing, says so, and is durable again by itself.
func TestFullDisk(t *testing.T) {
	for _, full := range []string{"append", "append.sync", "begin", "state", "state.sync", "state.rename", "tail.rename", ""} {
		t.Run(full, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := newSmallNode(t)
				dir := memoryDir(t)
				r := newRand(6)
				h := hash(r)
				n.put(edge.Add, signal(1, hash(r)))
				f, m, stop := n.run(dir)
				settle(time.Second)
				acked := f.Durable()
				restore := edge.StoreHook(dir, func(step string) error {
					if full == "" || step == full {
						return errors.New("no space left on device")
					}
					return nil
				})
				n.newKeys() // which writes the state anew
				settle(time.Second)
				n.put(edge.Add, signal(2, h))
				settle(time.Second)
				var res edge.Result
				if m.PDQ(&res, &h, 100); !res.Blocked() {
					t.Error("it does not protect")
				}
				if full != "begin" && full != "state" && full != "state.sync" && full != "state.rename" && full != "tail.rename" {
					if got := f.Durable(); got.String() != acked.String() {
						t.Errorf("acknowledged %v", got)
					}
				}
				if !alarmed(f, edge.AlarmDisk) || f.Report().Durable {
					t.Errorf("alarms %+v, durable %v", f.Alarms(), f.Report().Durable)
				}
				n.put(edge.Remove, edge.Signal{Number: 2, ID: "S-0002"})
				settle(time.Second)
				if m.PDQ(&res, &h, 100); len(res.Matches) > 0 {
					t.Error("it does not withdraw")
				}
				restore()
				settle(30 * time.Second)
				if got, want := f.Durable(), m.Cursor(); got.String() != want.String() || !f.Report().Durable {
					t.Errorf("acknowledged %v, want %v", got, want)
				}
				if alarmed(f, edge.AlarmDisk) {
					t.Errorf("alarms %+v", f.Alarms())
				}
				stop()
				again, err := n.opened(dir)
				if err != nil {
					t.Fatal(err)
				}
				if again.Cursor().String() != m.Cursor().String() || fmt.Sprint(held(again)) != fmt.Sprint(held(m)) {
					t.Errorf("after a restart %v %v, before %v %v", again.Cursor(), held(again), m.Cursor(), held(m))
				}
			})
		})
	}
}

// copyOf is the folder as a crash would leave it now.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := memoryDir(t)
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range files {
		raw, err := os.ReadFile(filepath.Join(dir, x.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, x.Name()), raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// survives fails unless a crash now would keep all that was acknowledged.
func (n *smallNode) survives(f *edge.Follower, dir, when string) {
	n.t.Helper()
	acked := f.Durable()[edge.SharedChain].Seq
	m, err := n.opened(copyOf(n.t, dir))
	if err != nil {
		n.t.Fatal(err)
	}
	if got := m.Cursor()[edge.SharedChain].Seq; got < acked {
		n.t.Errorf("%s: at %d, %d was acknowledged", when, got, acked)
	}
}

// A second state is begun while the first is being written: the first may not
// take the second's tail, which begins later.
func TestStateBegunWhileAnotherIsWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSmallNode(t)
		dir, r := memoryDir(t), newRand(7)
		n.put(edge.Add, signal(1, hash(r)))
		f, m, stop := n.run(dir)
		settle(time.Second)

		first, second := make(chan struct{}), make(chan struct{})
		writes := 0
		restore := edge.StoreHook(dir, func(step string) error {
			if step == "state" {
				if writes++; writes == 1 {
					<-first
				} else {
					<-second
				}
			}
			return nil
		})
		n.newKeys()
		settle(time.Second) // the first is being written
		n.put(edge.Add, signal(2, hash(r)))
		n.put(edge.Add, signal(3, hash(r)))
		settle(time.Second)
		n.newKeys()
		settle(time.Second) // the second is begun
		n.put(edge.Add, signal(4, hash(r)))
		settle(time.Second)
		if got := f.Durable()[edge.SharedChain].Seq; got != 4 {
			t.Fatalf("%d acknowledged, want 4", got)
		}
		close(first)
		settle(time.Second) // the first is through, the second is being written
		n.survives(f, dir, "between the two")
		close(second)
		settle(time.Second)
		n.survives(f, dir, "after both")
		restore()
		if got := f.Durable().String(); got != m.Cursor().String() {
			t.Errorf("acknowledged %s, want %s", got, m.Cursor())
		}
		stop()
	})
}

// After a write that failed, the next operation may not cut off those that were
// acknowledged before.
func TestFailedWriteKeepsWhatWasAcknowledged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newSmallNode(t)
		dir, r := memoryDir(t), newRand(8)
		n.put(edge.Add, signal(1, hash(r)))
		f, m, stop := n.run(dir)
		settle(time.Second)
		n.put(edge.Add, signal(2, hash(r)))
		n.put(edge.Add, signal(3, hash(r)))
		settle(time.Second)
		failed := false
		restore := edge.StoreHook(dir, func(step string) error {
			if step == "append" && !failed {
				failed = true
				return errors.New("input/output error")
			}
			return nil
		})
		n.put(edge.Add, signal(4, hash(r)))
		settle(time.Second)
		n.put(edge.Add, signal(5, hash(r)))
		settle(time.Second)
		if got := f.Durable()[edge.SharedChain].Seq; !failed || got != 3 {
			t.Fatalf("%d acknowledged after a failed write, want 3", got)
		}
		n.survives(f, dir, "after a failed write")
		restore()
		settle(30 * time.Second)
		if got := f.Durable().String(); got != m.Cursor().String() {
			t.Errorf("acknowledged %s, want %s", got, m.Cursor())
		}
		n.survives(f, dir, "when it is well again")
		stop()
	})
}
