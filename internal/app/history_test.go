package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/feed"
	"github.com/siaga-crp/siaga/internal/history"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/porttest"
	"github.com/siaga-crp/siaga/internal/problem"
)

// running is a node in this process.
type running struct {
	*Node
	stop func()
}

func runNode(t *testing.T, data, listen string) *running {
	t.Helper()
	n, err := New(t.Context(), Options{Data: data, Listen: listen, Cost: partner.Cost{MemoryKiB: 64, Passes: 1}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	stopped := false
	r := &running{Node: n, stop: func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil && problem.KindOf(err) != problem.Unavailable {
			t.Errorf("the node ended: %v", err)
		}
	}}
	t.Cleanup(r.stop)
	return r
}

// publish puts an operation on the shared chain, with an entry.
func (n *running) publish(t *testing.T, do edge.Do, number uint64) error {
	t.Helper()
	return n.Log.Update(t.Context(), func(tx *journal.Tx) error {
		e := journal.New("test.said", access.Actor{Partner: "p"}, time.Now(), nil, journal.Ref{Kind: "test", ID: fmt.Sprint(number)})
		e, err := tx.Append(e)
		if err != nil {
			return err
		}
		state, err := history.Load(tx)
		if err != nil {
			return err
		}
		p := feed.Publisher{Signer: edge.KeySigner(n.Keys.Feed), Epoch: state.Epoch}
		_, err = p.Publish(tx, e.Number, time.Now(), feed.Draft{Chain: edge.SharedChain, Do: do, Signal: edge.Signal{
			Number: number, ID: fmt.Sprintf("S-%d", number), Kind: "sha256", Value: testValue(number), List: "test", Action: edge.Block, Entry: e.Number,
		}})
		return err
	})
}

// TestEvidenceOfAnotherNodeStays: of two nodes over one database that share a
// data folder, the one that found out that the journal went back has written
// why; the other does not write over it, and stops too. What an earlier epoch
// found stops nobody.
func TestEvidenceOfAnotherNodeStays(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	if _, err := Init(t.Context(), InitOptions{Data: data}); err != nil {
		t.Fatal(err)
	}
	_, set, store, err := OpenLog(t.Context(), data, "", false)
	if err != nil {
		t.Fatal(err)
	}
	second := func() *history.Guard {
		t.Helper()
		g := history.NewGuard(store, data)
		log, err := newLog(g, set, time.Now, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Sign(t.Context()); err != nil && problem.KindOf(err) != problem.Unavailable {
			t.Fatal(err)
		}
		if err := g.Begin(t.Context(), log); err != nil {
			t.Fatal(err)
		}
		return g
	}
	one, two := second(), second()
	const why = "this node's journal has 3 entries, and edge e shows that it signed 7"
	_ = one.Trip(history.Evidence{Epoch: 1, Checkpoint: "signed"}, why) // the error is the reason
	if err := two.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e, ok, err := history.Seen(data); err != nil || !ok || e.Why != why || e.Checkpoint != "signed" {
		t.Errorf("the other node left %+v, %v", e, err)
	}
	if r := two.Reason(); r == nil || r.Detail != why {
		t.Errorf("the other node goes on: %v", r)
	}
	err = two.Update(t.Context(), func(tx journal.StoreTx) error { return tx.SetCounter("n", 1) })
	if problem.KindOf(err) != problem.Unavailable {
		t.Errorf("the other node wrote: %v", err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	// "siaga recover" at a node with a folder of its own: this folder still
	// holds what was found before.
	found := filepath.Join(t.TempDir(), "seen")
	if err := os.WriteFile(found, []byte(`{"epoch":1,"checkpoint":"","why":"`+why+`"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	copyFile(t, found, filepath.Join(data, "seen"))
	if r, err := Recover(t.Context(), RecoverOptions{Data: data, Why: "a drill"}); err != nil || r.Epoch != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	copyFile(t, found, filepath.Join(data, "seen"))
	n, err := New(t.Context(), Options{Data: data, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close() //nolint:errcheck // a test
	if r := n.ReadOnly(); r != nil {
		t.Errorf("after siaga recover the node only reads: %v", r)
	}
	if err := n.guard.Keep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e, _, err := history.Seen(data); err != nil || e.Why != "" || e.Epoch != 2 {
		t.Errorf("the node of the new epoch left %+v, %v", e, err)
	}
}

func testValue(number uint64) string {
	sum := sha256.Sum256(fmt.Append(nil, number))
	return hex.EncodeToString(sum[:])
}

func blocks(m *edge.Matcher, number uint64) edge.Action {
	var r edge.Result
	v, err := fingerprint.Parse("sha256", testValue(number))
	if err != nil {
		return edge.Action(err.Error())
	}
	if _, err := m.Value(&r, v, 100); err != nil || len(r.Matches) == 0 {
		return ""
	}
	return r.Matches[0].Action
}

func wait(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		// A copy is another file: the old one is there until the new one is, or
		// the disk might give the new one its number.
		if err = os.WriteFile(to+".copy", b, 0o600); err == nil {
			err = os.Rename(to+".copy", to)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url) //nolint:noctx // a test
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestRolledBack puts yesterday's database back, once with what the node wrote
// down beside it and once without, so that only an edge knows. The node only
// reads and says why, the edge keeps the withdrawal that the node has lost, and
// after siaga recover both go on in a new epoch.
func TestRolledBack(t *testing.T) {
	kinds := []bool{true}
	if os.Getenv("SIAGA_TEST_LONG") != "" {
		kinds = []bool{false, true}
	}
	for _, whole := range kinds {
		t.Run(map[bool]string{false: "database alone", true: "whole folder, an edge knows"}[whole], func(t *testing.T) {
			dir := t.TempDir()
			data, db := filepath.Join(dir, "data"), filepath.Join(dir, "data", databaseFile)
			if _, err := Init(t.Context(), InitOptions{Data: data}); err != nil {
				t.Fatal(err)
			}
			listen := porttest.Addr(t)
			n := runNode(t, data, listen)
			if waits, err := n.FirstWaits(t.Context()); err != nil || !waits {
				t.Errorf("nobody has signed in yet: %t, %v", waits, err)
			}
			platform, err := n.Partners.Add(t.Context(), partner.Shell(firstPartner(t, n)), partner.NewPartner{Name: "Lensa", Kind: access.Platform, Country: "ID"})
			if err != nil {
				t.Fatal(err)
			}
			_, token, err := n.Partners.CreateToken(t.Context(), partner.Shell(platform), partner.NewToken{Partner: platform.ID, Name: "lensa-1", Roles: []access.Role{access.Edge}, Life: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			e, err := NewEdge(EdgeOptions{Upstream: []string{"http://" + listen}, Token: token, Data: filepath.Join(dir, "edge")})
			if err != nil {
				t.Fatal(err)
			}
			ectx, stopEdge := context.WithCancel(t.Context())
			edgeDone := make(chan struct{})
			go func() { _ = e.Run(ectx); close(edgeDone) }()
			t.Cleanup(func() { stopEdge(); <-edgeDone; _ = e.Close() })
			for i := uint64(1); i <= 5; i++ {
				if err := n.publish(t, edge.Add, i); err != nil {
					t.Fatal(err)
				}
			}
			wait(t, "the edge blocks", func() bool { return blocks(e.Matcher, 5) == edge.Block })
			n.stop()
			copyFile(t, db, filepath.Join(dir, "yesterday.db"))
			for _, f := range []string{"seen", "place"} {
				copyFile(t, filepath.Join(data, f), filepath.Join(dir, f))
			}

			n = runNode(t, data, listen)
			if err := n.publish(t, edge.Remove, 5); err != nil {
				t.Fatal(err)
			}
			wait(t, "the edge has the withdrawal", func() bool { return blocks(e.Matcher, 5) == "" })
			// What the edge proves is signed at most a heartbeat later; a new
			// connection brings a greeting at once.
			signed, err := n.Log.Sign(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			wait(t, "the checkpoint is written down", func() bool {
				s, ok, err := history.Seen(data)
				return err == nil && ok && s.Checkpoint == string(signed)
			})
			n.stop()
			n = runNode(t, data, listen)
			wait(t, "the edge is back", func() bool { return e.Follower.Connected() != "" })
			n.stop()

			copyFile(t, filepath.Join(dir, "yesterday.db"), db)
			if whole {
				for _, f := range []string{"seen", "place"} {
					copyFile(t, filepath.Join(dir, f), filepath.Join(data, f))
				}
			}
			for _, f := range []string{"-wal", "-shm"} {
				_ = os.Remove(db + f)
			}
			n = runNode(t, data, listen)
			if n.ReadOnly() == nil {
				t.Fatal("the node takes writes before anybody could say that it went back")
			}
			wait(t, "the node knows that it went back", func() bool {
				why := n.ReadOnly()
				return why != nil && strings.Contains(why.Detail, "went back")
			})
			if code, text := get(t, "http://"+listen+"/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(text, "went back") || strings.Count(text, "\n") != 1 {
				t.Errorf("/readyz: %d %q", code, text)
			}
			if err := n.publish(t, edge.Add, 9); problem.KindOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "went back") {
				t.Errorf("a write gave %v", err)
			}
			wait(t, "the edge is alarmed", func() bool {
				for _, a := range e.Follower.Alarms() {
					if a.Kind == edge.AlarmRollback {
						return true
					}
				}
				return false
			})
			if a := blocks(e.Matcher, 5); a != "" {
				t.Errorf("the edge lost a withdrawal: it answers %s", a)
			}
			if a := blocks(e.Matcher, 4); a != edge.Block {
				t.Errorf("the edge lost a signal: it answers %q", a)
			}
			n.stop()
			// It remembers, without the edge.
			again, err := New(t.Context(), Options{Data: data, Listen: "127.0.0.1:0"})
			if err != nil {
				t.Fatal(err)
			}
			if again.ReadOnly() == nil {
				t.Error("after another start the node takes writes")
			}
			if err := again.Close(); err != nil {
				t.Error(err)
			}

			r, err := Recover(t.Context(), RecoverOptions{Data: data, Why: "the disk was lost; yesterday's copy was put back"})
			if err != nil || r.Epoch != 2 || r.Lost == "" && !whole {
				t.Fatalf("%+v, %v", r, err)
			}
			if _, err := Recover(t.Context(), RecoverOptions{Data: data, Why: "again"}); problem.KindOf(err) != problem.Conflict {
				t.Errorf("a second recovery: %v", err)
			}
			n = runNode(t, data, listen)
			if why := n.ReadOnly(); why != nil {
				t.Fatal(why)
			}
			if err := n.publish(t, edge.Add, 10); err != nil {
				t.Fatal(err)
			}
			wait(t, "the edge follows the new epoch", func() bool { return blocks(e.Matcher, 10) == edge.Block })
			if a := blocks(e.Matcher, 5); a != edge.Review {
				t.Errorf("the signal whose withdrawal was lost answers %q, want review", a)
			}
			if why := n.ReadOnly(); why != nil {
				t.Errorf("what edges saw of the lost history stops the node: %v", why)
			}
			report, err := n.Log.Verify(t.Context(), journal.VerifyOptions{Feed: VerifyFeed()})
			if err != nil || !report.OK() {
				t.Errorf("%v %v", report.Faults, err)
			}
		})
	}
}

func firstPartner(t *testing.T, n *running) (p partner.Partner) {
	t.Helper()
	if err := n.Log.View(t.Context(), func(r journal.StoreReader) error {
		all, err := partner.All(r)
		p = all[0]
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return p
}
