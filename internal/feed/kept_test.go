package feed_test

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/feed"
	"github.com/siaga-crp/siaga/internal/feed/feedtest"
	"github.com/siaga-crp/siaga/internal/journal"
)

// lines is a log that tests read.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// reads counts the operations that a store hands out.
type reads struct {
	*feedtest.Store

	mu  sync.Mutex
	ops int
}

type countingReader struct {
	journal.StoreReader
	s *reads
}

func (r countingReader) Feed(chain string, after uint64, limit int) ([]journal.FeedRow, error) {
	rows, err := r.StoreReader.Feed(chain, after, limit)
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.s.ops += len(rows)
	return rows, err
}

func (s *reads) View(ctx context.Context, fn func(journal.StoreReader) error) error {
	return s.Store.View(ctx, func(r journal.StoreReader) error { return fn(countingReader{r, s}) })
}

// TestKeptSnapshot: after a start the node serves a cold edge from the snapshot
// that it kept, reading from the journal what came since and no more. A kept
// snapshot that is damaged, of another form, key or history is named, and made
// again from the journal; an edge notices nothing of either.
func TestKeptSnapshot(t *testing.T) {
	const first, from = 300, 100
	r := rand.New(rand.NewPCG(3, 3))
	dir := t.TempDir()
	file := filepath.Join(dir, "partners.snapshot")
	n := &node{t: t, key: testKey(0), store: feedtest.NewStore(), revoked: map[string]bool{}}
	t.Cleanup(n.close)
	var log *lines
	var counted *reads
	start := func() {
		t.Helper()
		n.close()
		log, counted = &lines{}, &reads{Store: n.store}
		n.start(func(o *feed.Options) {
			o.Store, o.Keep, o.KeepFrom, o.Ring = counted, dir, from, 20
			o.Log = slog.New(slog.NewTextHandler(log, nil))
		})
	}
	publish := func(signals ...uint64) {
		t.Helper()
		for _, i := range signals {
			n.publish(feed.Draft{Chain: edge.SharedChain, Do: edge.Add, Signal: feedtest.Signal(i, feedtest.Hash(r))})
		}
	}
	// cold is an edge with an empty folder, which must get all.
	cold := func(want int) {
		t.Helper()
		e := follow(t, edge.FollowerOptions{Upstream: []string{n.srv.URL}, Token: n.token("nusa-1"), Dir: memoryDir(t)})
		eventually(t, "a cold edge has all signals", func() bool { return e.Connected() != "" && e.m.Len() == want })
		e.stop()
	}
	// What was cut off by a kill an hour ago goes, what is being written stays.
	for name, age := range map[string]time.Duration{"1.unfinished": 2 * time.Hour, "2.unfinished": time.Minute} {
		put0600(t, filepath.Join(dir, name), nil)
		if err := os.Chtimes(filepath.Join(dir, name), time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	written := func() []byte {
		t.Helper()
		eventually(t, "the snapshot is kept", func() bool { _, err := os.Stat(file); return err == nil })
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	start()
	for i := range uint64(first) {
		publish(i + 1)
	}
	start()
	written()
	var list []string
	eventually(t, "only what may be another node's is left unfinished", func() bool {
		list, _ = filepath.Glob(filepath.Join(dir, "*.unfinished"))
		return len(list) == 1
	})
	whole := written()
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode: %v, %v", info.Mode(), err)
	}

	if filepath.Base(list[0]) != "2.unfinished" {
		t.Errorf("left behind: %v", list)
	}
	start()
	cold(first)
	if n := counted.ops; n > 60 { // the ring and the own position
		t.Errorf("%d operations were read, with a kept snapshot", n)
	}
	// Further on, removals too; more than the ring holds.
	for i := range uint64(50) {
		publish(first + i + 1)
	}
	n.publish(feed.Draft{Chain: edge.SharedChain, Do: edge.Remove, Signal: edge.Signal{Number: 7, ID: "S-0007"}})
	start()
	cold(first + 49)
	if n := counted.ops; n > 160 {
		t.Errorf("%d operations were read, 51 of them new", n)
	}
	if strings.Contains(log.text(), "WARN") || !bytes.Equal(written(), whole) {
		t.Errorf("a good one was refused, or one of few operations more was written: %s", log.text())
	}

	other := feedtest.NewStore() // the same length, another history
	pub := feed.Publisher{Signer: edge.KeySigner(n.key)}
	for i := range uint64(first) {
		err := other.Update(t.Context(), func(tx journal.StoreTx) error {
			_, err := pub.Publish(tx, 1, time.Now(), feed.Draft{Chain: edge.SharedChain, Do: edge.Add, Signal: feedtest.Signal(i+1, feedtest.Hash(r))})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)/2] ^= 4
	head := bytes.Clone(whole)
	var last []byte // written by the case before
	head[len("siaga-kept1\nsiaga-snapshot1\n")+40] ^= 1
	for _, c := range []struct {
		name   string
		damage func()
		want   int
		says   string
	}{
		{"a flipped bit", func() { put0600(t, file, flipped) }, first + 49, "signature"},
		{"a flipped bit in the header", func() { put0600(t, file, head) }, first + 49, "file=partners.snapshot"},
		{"cut off", func() { put0600(t, file, whole[:len(whole)/3]) }, first + 49, "signature"},
		{"empty", func() { put0600(t, file, nil) }, first + 49, "another form"},
		{"an older form", func() { put0600(t, file, append([]byte("siaga-kept0\n"), whole[12:]...)) }, first + 49, "another form"},
		{"cut within the header", func() { put0600(t, file, whole[:40]) }, first + 49, "cut off"},
		{"a folder", func() { mkdir(t, file) }, first + 49, "no file"},
		{"another history", func() { put0600(t, file, whole); n.store = other }, first, "another history"},
		{"shorter than what was kept", func() { put0600(t, file, last); n.store.Cut(edge.SharedChain, 250) }, 250, "another history"},
		{"another key", func() { put0600(t, file, whole); n.key = testKey(1) }, 0, "key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n.close()
			if err := os.RemoveAll(file); err != nil {
				t.Fatal(err)
			}
			c.damage()
			start()
			if c.want > 0 {
				cold(c.want)
			}
			eventually(t, "it is named", func() bool {
				s := log.text()
				return strings.Contains(s, "cannot be used; it is made again from the journal") && strings.Contains(s, c.says) && strings.Contains(s, "chain=partners")
			})
			if c.want == 0 {
				return
			}
			if b := written(); bytes.Equal(b, flipped) {
				t.Error("it was not made again")
			}
			start()
			cold(c.want)
			if counted.ops > 60 || strings.Contains(log.text(), "WARN") {
				t.Errorf("what was made again is not used: %d operations read, %s", counted.ops, log.text())
			}
			last = written()
		})
	}
}

// TestKeptSnapshotWithoutRoom: where nothing can be written, the feed goes on
// and says that after a restart it has to begin anew.
func TestKeptSnapshotWithoutRoom(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	blocked := filepath.Join(t.TempDir(), "file")
	put0600(t, blocked, nil)
	log := &lines{}
	n := &node{t: t, key: testKey(0), store: feedtest.NewStore(), revoked: map[string]bool{}}
	t.Cleanup(n.close)
	n.start(nil)
	for i := range uint64(50) {
		n.publish(feed.Draft{Chain: edge.SharedChain, Do: edge.Add, Signal: feedtest.Signal(i+1, feedtest.Hash(r))})
	}
	n.close()
	n.start(func(o *feed.Options) {
		o.Keep, o.KeepFrom, o.Log = filepath.Join(blocked, "under"), 10, slog.New(slog.NewTextHandler(log, nil))
	})
	e := follow(t, edge.FollowerOptions{Upstream: []string{n.srv.URL}, Token: n.token("nusa-1"), Dir: memoryDir(t)})
	eventually(t, "the edge has all", func() bool { return e.m.Len() == 50 })
	eventually(t, "it is said", func() bool { return strings.Contains(log.text(), "cannot be kept") })
}

func put0600(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func mkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
}
