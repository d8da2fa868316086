package feed_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/internal/feed"
	"github.com/siaga-crp/siaga/internal/feed/feedtest"
)

// bubble is a node and its edges without sockets, in a test's own time.
type bubble struct {
	t     *testing.T
	store *feedtest.Store
	pub   feed.Publisher
	way   *direct
	hub   *feed.Hub
	stop  func()
	token string
}

func newBubble(t *testing.T, change func(*feed.Options)) *bubble {
	b := &bubble{t: t, store: feedtest.NewStore(), pub: feed.Publisher{Signer: edge.KeySigner(testKey(0))}, way: &direct{}}
	b.token = "siaga_edge_nusa-1_" + edge.Pin(b.pub.Signer.Public())
	b.up(change)
	return b
}

func (b *bubble) up(change func(*feed.Options)) {
	b.hub, b.stop = bubbleNode(b.t, b.store, change)
	b.way.set(b.hub.Handler())
}

func (b *bubble) down() {
	b.way.set(nil)
	b.stop()
	synctest.Wait()
}

func (b *bubble) follow(o edge.FollowerOptions) running {
	b.t.Helper()
	o.Upstream, o.Token = []string{"http://node"}, b.token
	if o.HTTP == nil {
		o.HTTP = &http.Client{Transport: b.way}
	}
	return follow(b.t, o)
}

func (b *bubble) add(n uint64) pdq.Hash {
	b.t.Helper()
	h := feedtest.Hash(rand.New(rand.NewPCG(n, 1)))
	put(b.t, b.store, b.pub, feed.Draft{Chain: edge.SharedChain, Do: edge.Add, Signal: feedtest.Signal(n, h)})
	return h
}

func (b *bubble) remove(n uint64) {
	b.t.Helper()
	put(b.t, b.store, b.pub, feed.Draft{Chain: edge.SharedChain, Do: edge.Remove, Signal: edge.Signal{Number: n, ID: feedtest.Signal(n, pdq.Hash{}).ID}})
}

func settle(d time.Duration) { time.Sleep(d); synctest.Wait() }

// action returns what the edge recommends for a hash: "" for nothing.
func action(m *edge.Matcher, h pdq.Hash) string {
	var res edge.Result
	if !m.PDQ(&res, &h, 100) {
		return "cold"
	}
	if len(res.Matches) == 0 {
		return ""
	}
	if res.Matches[0].Why != "" {
		return string(res.Matches[0].Action) + " " + res.Matches[0].Why
	}
	return string(res.Matches[0].Action)
}

func alarmed(f running, k edge.AlarmKind) bool {
	return slices.ContainsFunc(f.Alarms(), func(a edge.Alarm) bool { return a.Kind == k })
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Fatalf("%s: %q, want %q", what, got, want)
	}
}

// A node that comes back with yesterday's data: edges keep what they have and
// raise an alarm. When its operator declares a new epoch they follow, and what
// was withdrawn in between does not block again by itself.
func TestNodeRestoredFromABackup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, nil)
		dir := memoryDir(t)
		stays, mistake := b.add(1), b.add(2)
		e := b.follow(edge.FollowerOptions{Dir: dir})
		settle(time.Second)
		late := b.add(3)
		b.remove(2)
		settle(time.Second)
		expect(t, "withdrawn", action(e.m, mistake), "")
		before := e.m.Cursor()

		b.down()
		b.store.Cut(edge.SharedChain, 2) // the backup ends before the withdrawal
		b.up(nil)
		settle(time.Minute)
		if got := e.m.Cursor(); got.String() != before.String() {
			t.Fatalf("the edge moved from %v to %v", before, got)
		}
		if !alarmed(e, edge.AlarmRollback) {
			t.Fatalf("no alarm: %+v", e.Alarms())
		}
		expect(t, "withdrawn", action(e.m, mistake), "")
		expect(t, "added late", action(e.m, late), "block")

		// It goes on in the old epoch, past our position: another history.
		b.add(4)
		b.add(5)
		b.add(6)
		settle(time.Minute)
		if got := e.m.Cursor(); got.String() != before.String() {
			t.Fatalf("the edge followed another history from %v to %v", before, got)
		}
		if !alarmed(e, edge.AlarmFork) {
			t.Fatalf("no alarm: %+v", e.Alarms())
		}
		e.stop()
		e = b.follow(edge.FollowerOptions{Dir: dir}) // and a restart does not make it forget
		settle(time.Minute)
		if got := e.m.Cursor(); got.String() != before.String() {
			t.Fatalf("the restarted edge followed another history from %v to %v", before, got)
		}

		b.down()
		b.store.Cut(edge.SharedChain, 2)
		b.pub.Epoch = 2
		b.up(func(o *feed.Options) { o.Epoch = 2 })
		settle(5 * time.Second)
		expect(t, "known all along", action(e.m, stays), "block")
		expect(t, "withdrawn, but the node forgot", action(e.m, mistake), "review epoch")
		expect(t, "added after the backup, which the node forgot", action(e.m, late), "")
		b.add(7)
		settle(time.Second)
		c := e.m.Cursor()[edge.SharedChain]
		if c.Epoch != 2 || c.Seq != 3 {
			t.Fatalf("position %+v", c)
		}
		e.stop()
		e = b.follow(edge.FollowerOptions{Dir: dir})
		settle(time.Second)
		expect(t, "still, after a restart", action(e.m, mistake), "review epoch")
		b.add(2) // the node's people decide anew
		settle(time.Second)
		expect(t, "decided anew", action(e.m, mistake), "block")

		// Nobody can take the edge back to the first epoch.
		b.down()
		b.pub.Epoch = 1
		b.store.Cut(edge.SharedChain, 2)
		b.up(nil)
		at := e.m.Cursor().String()
		settle(time.Minute)
		expect(t, "cursor", e.m.Cursor().String(), at)
		e.stop()
		b.down()
	})
}

// An edge whose position is in the backup loses nothing when a new epoch
// begins: it goes on without a snapshot.
func TestNewEpochThatContinues(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, nil)
		h := b.add(1)
		e := b.follow(edge.FollowerOptions{})
		settle(time.Second)
		b.down()
		b.pub.Epoch = 2
		b.up(func(o *feed.Options) { o.Epoch = 2 })
		b.remove(1)
		settle(2 * time.Second)
		expect(t, "removed in the new epoch", action(e.m, h), "")
		if s := e.Stats(); s.Snapshots != 1 || s.Applied != 1 {
			t.Errorf("%+v", s)
		}
		if alarmed(e, edge.AlarmRollback) {
			t.Errorf("false alarm: %+v", e.Alarms())
		}
		e.stop()
		b.down()
	})
}

// A frozen line: stale within 15 s, blocks become reviews at max_stale, and a
// withdrawal takes effect within a second after the line is back.
func TestFreeze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, nil)
		h := b.add(1)
		short := feedtest.Signal(2, feedtest.Hash(rand.New(rand.NewPCG(9, 9))))
		short.MaxStale = 60
		put(t, b.store, b.pub, feed.Draft{Chain: edge.SharedChain, Do: edge.Add, Signal: short})
		h2, _ := pdq.Parse(short.Value)
		line := &freezer{to: b.way}
		e := b.follow(edge.FollowerOptions{HTTP: &http.Client{Transport: line}})
		settle(30 * time.Second)
		if age, _ := e.m.Age(); age > 6*time.Second || len(e.Alarms()) > 0 {
			t.Fatalf("age %s, alarms %+v", age, e.Alarms())
		}
		line.freeze()
		b.remove(1)
		settle(20 * time.Second)
		if !alarmed(e, edge.AlarmStale) {
			t.Fatalf("not stale after 20 s: %+v", e.Alarms())
		}
		expect(t, "while frozen", action(e.m, h), "block")
		settle(45 * time.Second)
		expect(t, "beyond its own max_stale", action(e.m, h2), "review stale")
		expect(t, "within the default", action(e.m, h), "block")
		settle(24 * time.Hour)
		expect(t, "beyond the default", action(e.m, h), "review stale")
		line.thaw()
		settle(time.Second)
		expect(t, "withdrawn", action(e.m, h), "")
		expect(t, "fresh again", action(e.m, h2), "block")
		if alarmed(e, edge.AlarmStale) {
			t.Errorf("still stale: %+v", e.Alarms())
		}
		e.stop()
		b.down()
	})
}

// An edge is at another node within 3 s after its own was stopped in its tracks
// or died, and has what was published meanwhile. The bubble's clock stands still
// while anything works, so this bounds what the edge waits for and no machine is
// too slow for it; the time of the work is for measurements (docs/design/0050).
func TestFailover(t *testing.T) {
	for _, died := range []bool{false, true} {
		t.Run(fmt.Sprintf("died=%v", died), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, nil)
				hub, stop := bubbleNode(t, b.store, nil) // over the same store
				other := &direct{}
				other.set(hub.Handler())
				line := &freezer{to: b.way}
				e := follow(t, edge.FollowerOptions{
					Upstream: []string{"http://one", "http://two"}, Token: b.token,
					HTTP: &http.Client{Transport: byHost{"one": line, "two": other}},
				})
				settle(20 * time.Second)
				if at := e.Connected(); at != "http://one" {
					t.Fatalf("the edge began at %q", at)
				}
				begin := time.Now()
				if died {
					b.down()
				} else {
					line.freeze()
				}
				h := b.add(1)
				for e.Connected() != "http://two" || action(e.m, h) != "block" {
					if time.Since(begin) > time.Minute {
						t.Fatal("after a minute the edge is not at the other node")
					}
					settle(10 * time.Millisecond)
				}
				took := time.Since(begin)
				t.Log(took)
				if took > 3*time.Second {
					t.Errorf("the edge was at the other node, up to date, after %s; the goal is 3 s", took)
				}
				if died {
					b.up(nil)
				} else {
					line.thaw()
				}
				e.stop()
				stop()
				b.down()
			})
		})
	}
}

// byHost is a network of several hosts.
type byHost map[string]http.RoundTripper

func (b byHost) RoundTrip(r *http.Request) (*http.Response, error) { return b[r.URL.Host].RoundTrip(r) }

// freezer is a line that swallows everything while frozen.
type freezer struct {
	to   http.RoundTripper
	cold chan struct{} // closed while not frozen
}

func (f *freezer) freeze() { f.cold = make(chan struct{}) }
func (f *freezer) thaw()   { close(f.cold); f.cold = nil }

func (f *freezer) wait(ctx context.Context) error {
	if f.cold == nil {
		return nil
	}
	select {
	case <-f.cold:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *freezer) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := f.wait(r.Context()); err != nil {
		return nil, err
	}
	resp, err := f.to.RoundTrip(r)
	if err == nil {
		resp.Body = &frozenBody{resp.Body, f, r.Context()}
	}
	return resp, err
}

type frozenBody struct {
	io.ReadCloser
	f   *freezer
	ctx context.Context //nolint:containedctx // of the request that the body belongs to
}

func (b *frozenBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if werr := b.f.wait(b.ctx); werr != nil {
		return 0, werr
	}
	return n, err
}

// Whatever this machine's clock says, ages are right, nothing is skipped and
// nothing is blocked beyond max_stale; a clock that is wrong is named.
func TestClocks(t *testing.T) {
	for _, skew := range []time.Duration{0, time.Hour, -time.Hour, 24 * time.Hour, -24 * time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBubble(t, nil)
				s := feedtest.Signal(1, feedtest.Hash(rand.New(rand.NewPCG(1, 1))))
				s.MaxStale = 60
				s.Expires = time.Now().Add(48 * time.Hour)
				h, _ := pdq.Parse(s.Value)
				put(t, b.store, b.pub, feed.Draft{Chain: edge.SharedChain, Do: edge.Add, Signal: s})
				e := b.follow(edge.FollowerOptions{Now: func() time.Time { return time.Now().Add(skew) }, Retry: time.Minute})
				settle(10 * time.Second)
				if age, ok := e.m.Age(); !ok || age > 6*time.Second {
					t.Fatalf("age %s", age)
				}
				expect(t, "heard just now", action(e.m, h), "block")
				if got, want := alarmed(e, edge.AlarmClock), skew != 0; got != want {
					t.Errorf("alarm about the clock: %v, want %v", got, want)
				}
				b.down()
				settle(50 * time.Second)
				expect(t, "50 s after", action(e.m, h), "block")
				settle(11 * time.Second)
				expect(t, "a minute after", action(e.m, h), "review stale")
				settle(48*time.Hour - max(skew, 0))
				expect(t, "expired", action(e.m, h), "")
				e.stop()
			})
		})
	}
}

func TestEdgeStartsFromItsFolderWhileTheNodeIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, nil)
		dir := memoryDir(t)
		h := b.add(1)
		e := b.follow(edge.FollowerOptions{Dir: dir})
		settle(40 * time.Second)
		h2 := b.add(2) // in the tail
		settle(time.Second)
		cursor := e.m.Cursor().String()
		expect(t, "on disk", e.Durable().String(), cursor)
		e.stop()
		b.down()
		time.Sleep(10 * time.Minute)
		e = b.follow(edge.FollowerOptions{Dir: dir})
		settle(time.Second)
		expect(t, "first", action(e.m, h), "block")
		expect(t, "second", action(e.m, h2), "block")
		expect(t, "cursor", e.m.Cursor().String(), cursor)
		if age, ok := e.m.Age(); !ok || age < 10*time.Minute || age > 11*time.Minute {
			t.Errorf("age %s, want about ten minutes", age)
		}
		if e.Connected() != "" || !alarmed(e, edge.AlarmStale) {
			t.Errorf("connected to %q, alarms %+v", e.Connected(), e.Alarms())
		}
		b.up(nil)
		b.remove(1)
		settle(time.Second)
		expect(t, "withdrawn", action(e.m, h), "")
		if s := e.Stats(); s.Snapshots != 0 || s.Applied != 1 {
			t.Errorf("it should go on from its cursor: %+v", s)
		}
		e.stop()
		b.down()
	})
}

// A file of the folder with any byte flipped or cut anywhere: the edge starts
// with a true earlier state or with none, says so, and is right again once it
// hears from the node.
func TestDamagedFolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t, nil)
		dir := memoryDir(t)
		for n := range uint64(5) {
			b.add(n + 1)
		}
		e := b.follow(edge.FollowerOptions{Dir: dir})
		settle(time.Second)
		for n := range uint64(5) {
			b.add(n + 6)
			settle(time.Second)
		}
		e.stop()
		b.down()
		good := map[string][]byte{}
		for _, name := range []string{"state", "tail"} {
			raw, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			good[name] = raw
		}
		damaged := 0
		for name, raw := range good {
			for i := 0; i < len(raw); i += 7 {
				for _, cut := range []bool{false, true} {
					sick := memoryDir(t)
					for other, raw := range good {
						raw = slices.Clone(raw)
						if other == name && cut {
							raw = raw[:i]
						} else if other == name {
							raw[i] ^= 0x10
						}
						if err := os.WriteFile(filepath.Join(sick, other), raw, 0o600); err != nil {
							t.Fatal(err)
						}
					}
					m := edge.NewMatcher(edge.MatcherOptions{})
					f, err := edge.NewFollower(m, edge.FollowerOptions{Upstream: []string{"http://node"}, Token: b.token, Dir: sick, HTTP: &http.Client{Transport: b.way}})
					if err != nil {
						t.Fatalf("%s at %d: %v", name, i, err)
					}
					tr := newTruth(t, b.store)
					tr.check(m)
					n := m.Len()
					if name == "state" && n != 0 || name == "tail" && n < 5 {
						t.Fatalf("%s at %d: %d signals", name, i, n)
					}
					if n == 0 && len(f.Alarms()) == 0 {
						t.Fatalf("%s at %d: no alarm", name, i)
					}
					damaged++
					ctx, cancel := context.WithCancel(t.Context())
					cancel()
					_ = f.Run(ctx)
					_ = os.RemoveAll(sick)
				}
			}
		}
		t.Logf("%d damaged folders", damaged)
		if err := os.WriteFile(filepath.Join(dir, "state"), good["state"][:100], 0o600); err != nil {
			t.Fatal(err)
		}
		b.up(nil)
		e = b.follow(edge.FollowerOptions{Dir: dir})
		settle(2 * time.Second)
		newTruth(t, b.store).check(e.m)
		if e.m.Len() != 10 || !alarmed(e, edge.AlarmDamaged) {
			t.Errorf("%d signals, alarms %+v", e.m.Len(), e.Alarms())
		}
		e.stop()
		b.down()
	})
}

func TestKeysRotate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		root, first, second := edge.KeySigner(testKey(0)), edge.KeySigner(testKey(1)), edge.KeySigner(testKey(2))
		seal := func(serial uint64, feed ...edge.KeySigner) []byte {
			k := edge.Keys{Serial: serial, At: time.Now()}
			for _, s := range feed {
				k.Feed = append(k.Feed, edge.FeedKey{Public: s.Public()})
			}
			wire, err := k.Seal(root)
			if err != nil {
				t.Fatal(err)
			}
			return wire
		}
		b := newBubble(t, nil)
		b.stop()
		b.pub.Signer = first
		b.up(func(o *feed.Options) { o.Keys, o.Signer = seal(1, first), first })
		e := b.follow(edge.FollowerOptions{})
		b.add(1)
		settle(time.Second)
		b.hub.SetKeys(seal(2, first, second))
		settle(time.Second)
		b.pub.Signer = second
		h := b.add(2)
		settle(time.Second)
		expect(t, "signed by the new key", action(e.m, h), "block")
		b.hub.SetKeys(seal(3, second)) // the first was stolen
		settle(time.Second)
		b.pub.Signer = first
		stolen := b.add(3)
		settle(time.Second)
		expect(t, "signed by the stolen key", action(e.m, stolen), "")
		if !alarmed(e, edge.AlarmSignature) {
			t.Errorf("alarms %+v", e.Alarms())
		}
		e.stop()
		b.down()
	})
}

// Counts arrive once, whatever happens to the answer and to the edge.
func TestTalliesAreCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		counted := &tallyStore{seen: map[string]bool{}, n: map[uint64]int64{}}
		b := newBubble(t, func(o *feed.Options) { o.Tallies = counted })
		dir := memoryDir(t)
		h := b.add(1)
		e := b.follow(edge.FollowerOptions{Dir: dir})
		settle(time.Second)
		want := int64(0)
		for i := range 40 {
			var res edge.Result
			for range i % 7 {
				e.m.PDQ(&res, &h, 100)
				want++
			}
			counted.fail = i % 3
			settle(61 * time.Second)
			if i%10 == 9 {
				settle(20 * time.Second)
				e.stop()
				e = b.follow(edge.FollowerOptions{Dir: dir})
				settle(time.Second)
			}
		}
		counted.fail = 0
		settle(3 * time.Minute)
		if counted.n[1] != want {
			t.Errorf("%d counted, %d happened; %d batches sent again", counted.n[1], want, counted.again)
		}
		if counted.again == 0 {
			t.Error("no batch was ever sent again")
		}
		e.stop()
		b.down()
	})
}

type tallyStore struct {
	seen  map[string]bool
	n     map[uint64]int64
	again int
	fail  int // 1: before it counts, 2: after
}

func (s *tallyStore) AddTallies(_ context.Context, by feed.Subscriber, batch string, counts []edge.Tally) error {
	if s.fail == 1 {
		return errors.New("before")
	}
	id := by.Partner + "/" + by.Edge + "/" + batch
	if s.seen[id] {
		s.again++
	} else {
		s.seen[id] = true
		for _, c := range counts {
			s.n[c.Number] += c.Count
		}
	}
	if s.fail == 2 {
		return errors.New("after")
	}
	return nil
}

func TestTwoEdgesDoNotShareAFolder(t *testing.T) {
	dir := t.TempDir()
	o := edge.FollowerOptions{Upstream: []string{"http://127.0.0.1:1"}, Token: "siaga_edge_x_" + strings.Repeat("0", 64), Dir: dir}
	f, err := edge.NewFollower(edge.NewMatcher(edge.MatcherOptions{}), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := edge.NewFollower(edge.NewMatcher(edge.MatcherOptions{}), o); err == nil || !strings.Contains(err.Error(), "another edge uses this folder") {
		t.Errorf("second edge: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_ = f.Run(ctx)
	if _, err := edge.NewFollower(edge.NewMatcher(edge.MatcherOptions{}), o); err != nil {
		t.Errorf("after the first has ended: %v", err)
	}
}
