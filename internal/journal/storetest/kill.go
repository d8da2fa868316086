package storetest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

const (
	killWriters = 8
	killEnv     = "SIAGA_KILL_CHILD"
)

// killFold counts the entries about an object.
func killFold() journal.Fold {
	return journal.FoldOf("kill", func(n *int, _ journal.Entry) error { *n++; return nil }, func(n *int) journal.Keys {
		return journal.Keys{State: strconv.Itoa(*n), Sort: strconv.Itoa(*n)}
	})
}

func killLog(s journal.Store) (*journal.Log, error) {
	return journal.NewLog(journal.Options{Store: s, Origin: "kill.example/log", Folds: []journal.Fold{killFold()}})
}

// KillChild is called first in TestMain. In a process started by Kill it opens
// the store, writes until it is killed, and does not return; in any other it
// does nothing.
func KillChild(open func() (journal.Store, error)) {
	from, ok := os.LookupEnv(killEnv)
	if !ok {
		return
	}
	err := func() error {
		s, err := open()
		if err != nil {
			return err
		}
		l, err := killLog(s)
		if err != nil {
			return err
		}
		return killWrite(l, from, os.Stdout)
	}()
	fmt.Fprintln(os.Stderr, "the process that is to be killed ended by itself:", err)
	os.Exit(1)
}

// killWrite writes with several writers, each from its given number on, and
// reports every acknowledged write as a line "writer number entry".
func killWrite(l *journal.Log, from string, out io.Writer) error {
	failed := make(chan error)
	for w, f := range strings.Split(from, ",") {
		i, err := strconv.Atoi(f)
		if err != nil {
			return err
		}
		go func() {
			for ; ; i++ {
				entry, err := killOne(l, fmt.Sprintf("%d.%d", w, i), (w+i)%5 == 0)
				if err != nil {
					failed <- err
					return
				}
				// One write call a line: it is in the pipe before the next
				// write begins, also when the process is killed then.
				if _, err := fmt.Fprintf(out, "%d %d %d\n", w, i, entry); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}

// killOne appends two entries under a key, once, however often it is called.
// With stumble it first does the same in an update that fails.
func killOne(l *journal.Log, key string, stumble bool) (first int64, err error) {
	ref := journal.Ref{Kind: "kill", ID: key}
	write := func(tx *journal.Tx, typ string) error {
		e, err := tx.Append(journal.New(typ, access.Actor{Partner: "p"}, time.UnixMilli(1), nil, ref))
		if err != nil {
			return err
		}
		first = e.Number
		if _, err := tx.Append(journal.New(typ, access.Actor{Partner: "p"}, time.UnixMilli(2), strings.Repeat("x", 100), ref)); err != nil {
			return err
		}
		if _, err := tx.Next("kill"); err != nil {
			return err
		}
		head, _, err := tx.FeedHead("kill")
		if err != nil {
			return err
		}
		if err := tx.PutFeed(journal.FeedRow{Chain: "kill", Seq: head.Seq + 1, Entry: first, Op: []byte(key)}); err != nil {
			return err
		}
		return tx.PutPrivate(journal.Private{Kind: "kill", ID: key, Doc: []byte(strconv.FormatInt(first, 10))})
	}
	if stumble {
		err := l.Update(context.Background(), func(tx *journal.Tx) error {
			if err := write(tx, "kill.never"); err != nil {
				return err
			}
			return errGiveUp
		})
		if !errors.Is(err, errGiveUp) {
			return 0, fmt.Errorf("an update that gives up returned %w", err)
		}
	}
	err = l.Update(context.Background(), func(tx *journal.Tx) error {
		p, err := tx.Private("kill", key)
		if err == nil { // written before the kill, and not acknowledged
			first, err = strconv.ParseInt(string(p.Doc), 10, 64)
			return err
		}
		if problem.KindOf(err) != problem.NotFound {
			return err
		}
		return write(tx, "kill.done")
	})
	return first, err
}

// Kill starts a process that writes, kills it at a random moment, opens the
// store and checks it, as often as asked for: no acknowledged write is lost,
// none is there twice, none in part, and the journal verifies. The process is
// this test's binary, whose TestMain calls KillChild; env tells it which store
// to open.
func Kill(t *testing.T, cycles int, env []string, open func() (journal.Store, error)) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	acked := make(map[string]int64)
	next := make([]int, killWriters)
	var slowest time.Duration
	early := 0
	for cycle := range cycles {
		from := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(next)), ","), "[]")
		cmd := exec.Command(exe)
		cmd.Env = append(append(os.Environ(), env...), killEnv+"="+from)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Most are killed while they write, some while they open the store.
		begun := make(chan struct{})
		killed := make(chan struct{})
		go func() {
			defer close(killed)
			if cycle%4 == 3 {
				time.Sleep(rand.N(60 * time.Millisecond))
			} else {
				<-begun
				time.Sleep(rand.N(150 * time.Millisecond))
			}
			_ = cmd.Process.Kill() // it may have ended by itself, which Wait tells
		}()
		var once sync.Once
		before := len(acked)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			once.Do(func() { close(begun) })
			var w, i int
			var entry int64
			if _, err := fmt.Sscanf(lines.Text(), "%d %d %d", &w, &i, &entry); err != nil {
				t.Fatalf("line %q: %v", lines.Text(), err)
			}
			key := fmt.Sprintf("%d.%d", w, i)
			if at, twice := acked[key]; twice {
				t.Errorf("%s was acknowledged twice, at %d and %d", key, at, entry)
			}
			acked[key] = entry
			next[w] = i + 1
		}
		once.Do(func() { close(begun) })
		<-killed
		if err := cmd.Wait(); err == nil || cmd.ProcessState.Exited() {
			t.Fatalf("the process was not killed: %v", err)
		}
		if len(acked) == before {
			early++
		}
		start := time.Now()
		s, err := open()
		if err != nil {
			t.Fatalf("opening after kill %d: %v", cycle, err)
		}
		slowest = max(slowest, time.Since(start))
		checkKilled(t, s, acked)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Fatalf("after kill %d of %d", cycle+1, cycles)
		}
	}
	if len(acked) < cycles {
		t.Errorf("only %d writes were acknowledged in %d cycles", len(acked), cycles)
	}
	t.Logf("kills=%d (%d before the first write) acknowledged=%d lost=0 twice=0 slowest_open=%s", cycles, early, len(acked), slowest.Round(time.Millisecond))
}

func checkKilled(t *testing.T, s journal.Store, acked map[string]int64) {
	t.Helper()
	l, err := killLog(s)
	if err != nil {
		t.Fatal(err)
	}
	report, err := l.Verify(context.Background(), journal.VerifyOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range report.Faults {
		t.Errorf("verification: %s", f)
	}
	there := make(map[string][]int64)
	err = s.View(context.Background(), func(r journal.StoreReader) error {
		size, err := r.Size()
		if err != nil {
			return err
		}
		err = r.ScanRows(0, size, func(row *journal.Row) error {
			e, err := row.Entry()
			if err != nil {
				return err
			}
			if e.Type != "kill.done" {
				t.Errorf("entry %d of an update that failed is there: %s", e.Number, e.Type)
			}
			there[e.About[0].ID] = append(there[e.About[0].ID], e.Number)
			return nil
		})
		if err != nil {
			return err
		}
		head, _, err := r.FeedHead("kill")
		if err != nil {
			return err
		}
		if int(head.Seq) != len(there) {
			t.Errorf("%d operations and %d updates are there", head.Seq, len(there))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for key, numbers := range there {
		if len(numbers) != 2 || numbers[1] != numbers[0]+1 {
			t.Errorf("%s is there at %v, want two entries, one after the other", key, numbers)
		}
	}
	for key, entry := range acked {
		if len(there[key]) == 0 || there[key][0] != entry {
			t.Errorf("%s was acknowledged at %d and is at %v", key, entry, there[key])
		}
	}
}
