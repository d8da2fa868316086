package postgres_test

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/store/postgres"
	"github.com/siaga-crp/siaga/internal/store/postgres/pgtest"
)

// cutter passes connections on to the server and cuts the one on which the
// next commit is sent.
type cutter struct {
	server string
	mode   atomic.Int32
	cuts   atomic.Int32
	wg     sync.WaitGroup
}

const (
	passAll           int32 = iota
	cutBefore               // the server never gets the commit
	cutAfter                // the server commits and its answer gets lost
	cutAfterAndRefuse       // and nobody can be asked
	refuseAll               // the server cannot be reached
)

// start listens and returns the folder of the socket.
func (c *cutter) start(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "siaga-cut-") // a short path, as sockets need
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, ".s.PGSQL.5432"))
	if err != nil {
		t.Fatal(err)
	}
	c.wg.Add(1)
	go func() {
		defer c.wg.Done()
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			c.wg.Add(1)
			go func() {
				defer c.wg.Done()
				c.serve(client)
			}()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		c.wg.Wait()
		os.RemoveAll(dir)
	})
	return dir
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	if c.mode.Load() == refuseAll {
		return
	}
	server, err := net.Dial("unix", filepath.Join(c.server, ".s.PGSQL.5432"))
	if err != nil {
		return
	}
	defer server.Close()
	answers := make(chan struct{})
	var cut atomic.Bool
	go func() {
		defer close(answers)
		buf := make([]byte, 1<<16)
		for {
			n, err := server.Read(buf)
			if cut.Load() {
				if bytes.Contains(buf[:n], []byte("COMMIT\x00")) || err != nil {
					client.Close()
					return
				}
				continue
			}
			if _, werr := client.Write(buf[:n]); err != nil || werr != nil {
				client.Close()
				return
			}
		}
	}()
	buf := make([]byte, 1<<16)
	for {
		n, err := client.Read(buf)
		if err != nil {
			break
		}
		if bytes.Contains(buf[:n], []byte("COMMIT\x00")) {
			switch c.mode.Load() {
			case cutBefore:
				c.mode.Store(passAll)
				c.cuts.Add(1)
				server.Close()
				<-answers
				return
			case cutAfter, cutAfterAndRefuse:
				if c.mode.Load() == cutAfter {
					c.mode.Store(passAll)
				} else {
					c.mode.Store(refuseAll)
				}
				c.cuts.Add(1)
				cut.Store(true)
			}
		}
		if _, err := server.Write(buf[:n]); err != nil && err != io.EOF {
			break
		}
	}
	server.Close()
	<-answers
}

// TestBrokenCommit cuts the connection while a commit is sent, on either side
// of its effect: the caller hears what is true.
func TestBrokenCommit(t *testing.T) {
	url := pgtest.Database(t)
	l := newLog(t, create(t, url))
	parts := strings.Fields(url)
	c := &cutter{server: strings.TrimPrefix(parts[0], "host=")}
	// In this mode of the driver the text of each statement is on the wire.
	db := node(t, "host="+c.start(t)+" "+strings.Join(parts[1:], " ")+" default_query_exec_mode=exec", postgres.Options{})
	through := newLog(t, db)
	say := func(text string) error {
		return through.Update(background, func(tx *journal.Tx) error { return appendOne(tx, text) })
	}
	if err := say("first"); err != nil {
		t.Fatal(err)
	}
	c.mode.Store(cutBefore)
	wantProblem(t, "a commit that did not arrive", say("lost"), problem.Unavailable, "nothing was stored")
	c.mode.Store(cutAfter)
	if err := say("kept"); err != nil {
		t.Errorf("a commit whose answer got lost: %v", err)
	}
	if err := say("last"); err != nil {
		t.Error(err)
	}
	if n := c.cuts.Load(); n != 2 {
		t.Errorf("%d connections were cut", n)
	}
	if got := strings.Join(bodies(t, l), " "); got != `"first" "kept" "last"` {
		t.Errorf("the journal is %s", got)
	}
	// Nobody to ask: the node says that it does not know. Closing ends the
	// half minute in which it would go on asking.
	c.mode.Store(cutAfterAndRefuse)
	result := make(chan error, 1)
	go func() { result <- say("open") }()
	for deadline := time.Now().Add(30 * time.Second); c.cuts.Load() < 3 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	wantProblem(t, "a commit with nobody to ask", <-result, problem.Unavailable, "not known whether it took place")
}
