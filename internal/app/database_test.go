package app

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/porttest"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/store/postgres/pgtest"
)

// cable is what lies between a node and its database.
type cable struct {
	server string // the server's socket
	l      net.Listener

	mu    sync.Mutex
	cut   bool
	ends  map[net.Conn]struct{}
	wires sync.WaitGroup
}

// newCable lays one to the database of an address and returns the address at
// the node's end.
func newCable(t *testing.T, url string) (*cable, string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "siaga-cable-") // a short path, as sockets need
	if err != nil {
		t.Fatal(err)
	}
	const socket = ".s.PGSQL.5432"
	host, rest, _ := strings.Cut(url, " ")
	c := &cable{server: filepath.Join(strings.TrimPrefix(host, "host="), socket), ends: map[net.Conn]struct{}{}}
	if c.l, err = net.Listen("unix", filepath.Join(dir, socket)); err != nil { //nolint:noctx // a test
		t.Fatal(err)
	}
	c.wires.Go(func() {
		for {
			node, err := c.l.Accept()
			if err != nil {
				return
			}
			c.wires.Go(func() { c.carry(node) })
		}
	})
	t.Cleanup(func() {
		_ = c.l.Close()
		c.set(true)
		c.wires.Wait()
		_ = os.RemoveAll(dir)
	})
	return c, "host=" + dir + " " + rest
}

func (c *cable) carry(node net.Conn) {
	defer node.Close()                        //nolint:errcheck // a test
	server, err := net.Dial("unix", c.server) //nolint:noctx // a test
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // a test
	c.mu.Lock()
	if c.cut {
		c.mu.Unlock()
		return
	}
	c.ends[node], c.ends[server] = struct{}{}, struct{}{}
	c.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(node, server) // until an end is cut
		_ = node.Close()
	}()
	_, _ = io.Copy(server, node)
	_ = server.Close()
	<-done
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.ends, node)
	delete(c.ends, server)
}

// set cuts the cable, with all that it carries, or mends it.
func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = cut
	if cut {
		for end := range c.ends {
			_ = end.Close()
		}
	}
}

// TestNodeWithoutItsDatabase cuts a serving node from its database and mends it
// again, twice: meanwhile the node lives, says in one line that it cannot serve
// and stores nothing it did not say; afterwards it goes on by itself, and all
// that it acknowledged is there.
func TestNodeWithoutItsDatabase(t *testing.T) {
	c, url := newCable(t, pgtest.Database(t))
	data, listen := filepath.Join(t.TempDir(), "data"), porttest.Addr(t)
	if _, err := Init(t.Context(), InitOptions{Data: data, Database: url}); err != nil {
		t.Fatal(err)
	}
	n, err := New(t.Context(), Options{Data: data, Database: url, Listen: listen, Cost: partner.Cost{MemoryKiB: 64, Passes: 1}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the node ended: %v", err)
		}
	}()
	select {
	case <-n.Jobs.Started(): // a node that loses its database while it starts ends
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	r := &running{Node: n}
	ready := func() (int, string) { return get(t, "http://"+listen+"/readyz") }
	var acked []uint64
	for i := range uint64(2) {
		wait(t, "the node serves", func() bool { code, _ := ready(); return code == http.StatusOK })
		if err := r.publish(t, edge.Add, 10*i+1); err != nil {
			t.Fatal(err)
		}
		acked = append(acked, 10*i+1)
		c.set(true)
		if err := r.publish(t, edge.Add, 10*i+2); problem.KindOf(err) != problem.Unavailable {
			t.Errorf("a write without the database gave %v", err)
		}
		wait(t, "the node says so", func() bool {
			code, text := ready()
			return code == http.StatusServiceUnavailable && strings.Count(text, "\n") == 1
		})
		if code, text := get(t, "http://"+listen+"/healthz"); code != http.StatusOK {
			t.Errorf("the node itself: %d %q", code, text)
		}
		c.set(false)
		wait(t, "the node takes writes again", func() bool {
			if r.publish(t, edge.Add, 10*i+3) != nil {
				return false
			}
			acked = append(acked, 10*i+3)
			return true
		})
	}
	var stored []uint64
	read := func(r journal.StoreReader) error {
		stored = nil
		rows, err := r.Feed(edge.SharedChain, 0, 100)
		for _, row := range rows {
			op, err := edge.ParseOperation(row.Op)
			if err != nil {
				return err
			}
			stored = append(stored, op.Number)
		}
		return err
	}
	// A pooled connection that was cut fails the read that comes upon it.
	wait(t, "the node reads again", func() bool { return n.store.View(t.Context(), read) == nil })
	if !slices.Equal(stored, acked) {
		t.Errorf("stored %v, acknowledged %v", stored, acked)
	}
}
