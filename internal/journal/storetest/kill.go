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

	// killPart is how many kills one store lives through: each is followed by
	// a verification of all that is in it.
	killPart = 50
)

// killWrites returns how many acknowledged writes SIAGA_KILL_WRITES asks for
// before a kill; 0 if it does not.
func killWrites(t *testing.T) int {
	t.Helper()
	s := os.Getenv("SIAGA_KILL_WRITES")
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("SIAGA_KILL_WRITES: %v", err)
	}
	return n
}

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
				entry, err := killRetry(context.Background(), l, fmt.Sprintf("%d.%d", w, i), (w+i)%5 == 0)
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

// killRetry writes under the key until the store takes it.
func killRetry(ctx context.Context, l *journal.Log, key string, stumble bool) (first int64, err error) {
	for {
		first, err = killOne(l, key, stumble)
		if k := problem.KindOf(err); k != problem.Unavailable && k != problem.Busy {
			return first, err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(5 * time.Millisecond): // as a client would wait
		}
	}
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

// ledger is what was acknowledged: the first entry of each key.
type ledger struct {
	mu    sync.Mutex
	acked map[string]int64
	next  []int // of each writer
}

func newLedger() *ledger {
	return &ledger{acked: make(map[string]int64), next: make([]int, killWriters)}
}

func (l *ledger) size() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

func (l *ledger) add(t *testing.T, key string, entry int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, twice := l.acked[key]; twice {
		t.Errorf("%s was acknowledged twice, at %d and %d", key, at, entry)
	}
	l.acked[key] = entry
}

// child is a process that writes.
type child struct {
	cmd  *exec.Cmd
	read chan struct{} // closed when all that it said was read
}

// start starts a child that goes on where the ledger ends.
func (l *ledger) start(t *testing.T, env []string) *child {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	from := strings.Trim(strings.Join(strings.Fields(fmt.Sprint(l.next)), ","), "[]")
	c := &child{cmd: exec.Command(exe), read: make(chan struct{})}
	c.cmd.Env = append(append(os.Environ(), env...), killEnv+"="+from)
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.read)
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			var w, i int
			var entry int64
			if _, err := fmt.Sscanf(lines.Text(), "%d %d %d", &w, &i, &entry); err != nil {
				t.Errorf("line %q: %v", lines.Text(), err)
				continue
			}
			l.add(t, fmt.Sprintf("%d.%d", w, i), entry)
			l.mu.Lock()
			l.next[w] = i + 1
			l.mu.Unlock()
		}
	}()
	return c
}

// kill kills the child and reads what it said before.
func (c *child) kill(t *testing.T) {
	t.Helper()
	_ = c.cmd.Process.Kill() // it may have ended by itself, which Wait tells
	<-c.read
	if err := c.cmd.Wait(); err == nil || c.cmd.ProcessState.Exited() {
		t.Fatalf("the process was not killed: %v", err)
	}
}

// until waits until the ledger has more than n keys.
func (l *ledger) until(t *testing.T, n int, what string) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); l.size() <= n; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: nothing was acknowledged for two minutes", what)
		}
	}
}

// Kills returns the number of kills, or other harm, that SIAGA_KILLS asks for;
// quick if it does not.
func Kills(t *testing.T, quick int) int {
	t.Helper()
	s := os.Getenv("SIAGA_KILLS")
	if s == "" {
		return quick
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("SIAGA_KILLS: %v", err)
	}
	return n
}

// Kill starts a process that writes, kills it at a random moment, opens the
// store and checks it, as often as asked for: no acknowledged write is lost,
// none is there twice, none in part, and the journal verifies. The process is
// this test's binary, whose TestMain calls KillChild; make makes a new store
// and returns the environment that tells the process which, and how to open it.
func Kill(t *testing.T, cycles int, make func(part int) (env []string, open func() (journal.Store, error))) {
	t.Helper()
	var all killed
	for done := 0; done < cycles; done += killPart {
		env, open := make(done / killPart)
		all.kill(t, min(killPart, cycles-done), killWrites(t), env, open)
	}
	if all.acknowledged < cycles {
		t.Errorf("only %d writes were acknowledged in %d cycles", all.acknowledged, cycles)
	}
	t.Logf("kills=%d (%d before the first write) acknowledged=%d lost=0 twice=0 forks=0 slowest_open=%s", cycles, all.early, all.acknowledged, all.slowest.Round(time.Millisecond))
}

// killed sums up what several stores lived through.
type killed struct {
	acknowledged int
	early        int // kills before the first write
	slowest      time.Duration
}

func (k *killed) kill(t *testing.T, cycles, writes int, env []string, open func() (journal.Store, error)) {
	t.Helper()
	l := newLedger()
	for cycle := range cycles {
		before := l.size()
		c := l.start(t, env)
		// Most are killed while they write, some while they open the store.
		if cycle%4 == 3 {
			time.Sleep(rand.N(60 * time.Millisecond))
		} else {
			l.until(t, before+writes, "the process to be killed")
			time.Sleep(rand.N(150 * time.Millisecond))
		}
		c.kill(t)
		if l.size() == before {
			k.early++
		}
		start := time.Now()
		s, err := open()
		if err != nil {
			t.Fatalf("opening after kill %d: %v", cycle, err)
		}
		k.slowest = max(k.slowest, time.Since(start))
		checkKilled(t, s, l)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Fatalf("after kill %d of %d", cycle+1, cycles)
		}
	}
	k.acknowledged += l.size()
}

// writers write through the stores, which are nodes of one journal, until stop
// is called.
func (l *ledger) writers(t *testing.T, name string, stores ...journal.Store) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for n, s := range stores {
		log, err := killLog(s)
		if err != nil {
			t.Fatal(err)
		}
		for w := range killWriters {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := 0; ctx.Err() == nil; i++ {
					key := fmt.Sprintf("%s%d.%d.%d", name, n, w, i)
					entry, err := killRetry(ctx, log, key, (w+i)%5 == 0)
					if err != nil {
						if ctx.Err() == nil {
							t.Errorf("%s: %v", key, err)
						}
						return
					}
					l.add(t, key, entry)
				}
			}()
		}
	}
	return func() {
		cancel()
		wg.Wait()
	}
}

// Harm writes through stores that are nodes of one journal, does harm as often
// as asked for (for example, it kills the database server), waits each time
// until writes are acknowledged again, and checks at the end as Kill does.
// Callers try again under the same key when a store is unavailable.
func Harm(t *testing.T, rounds int, harm func(round int), stores ...journal.Store) {
	l := newLedger()
	stop := l.writers(t, "h", stores...)
	defer stop()
	var slowest time.Duration
	least := max(20, killWrites(t))
	for round := range rounds {
		l.until(t, l.size()+least, "before the harm")
		time.Sleep(rand.N(50 * time.Millisecond))
		harm(round)
		start := time.Now()
		l.until(t, l.size(), "after the harm")
		slowest = max(slowest, time.Since(start))
	}
	l.until(t, l.size()+20, "at the end")
	stop()
	checkKilled(t, stores[0], l)
	t.Logf("harms=%d nodes=%d acknowledged=%d lost=0 twice=0 forks=0 slowest_resume=%s", rounds, len(stores), l.size(), slowest.Round(time.Millisecond))
}

// Pause runs a process that writes and stops it at random moments for the
// given time, as a paused virtual machine is, while other nodes of the same
// journal go on writing; then it continues the process, which goes on as if
// nothing had been. It checks as Kill does. Stop and cont do it to the
// process.
func Pause(t *testing.T, rounds int, pause time.Duration, env []string, stop, cont func(*os.Process) error, stores ...journal.Store) {
	l := newLedger()
	c := l.start(t, env)
	killed := false
	defer func() {
		if !killed {
			_ = cont(c.cmd.Process) // so that it can be killed
			c.kill(t)
		}
	}()
	l.until(t, 0, "the process to be paused")
	others := newLedger()
	stopWriters := others.writers(t, "p", stores...)
	defer stopWriters()
	for round := range rounds {
		l.until(t, l.size()+5, "before the pause")
		time.Sleep(rand.N(50 * time.Millisecond))
		if err := stop(c.cmd.Process); err != nil {
			t.Fatal(err)
		}
		before := others.size()
		time.Sleep(pause)
		others.until(t, before, fmt.Sprintf("other nodes in pause %d", round))
		paused := l.size()
		if err := cont(c.cmd.Process); err != nil {
			t.Fatal(err)
		}
		l.until(t, paused+5, fmt.Sprintf("the process after pause %d", round))
	}
	stopWriters()
	c.kill(t)
	killed = true
	for key, entry := range others.acked {
		l.acked[key] = entry
	}
	checkKilled(t, stores[0], l)
	t.Logf("pauses=%d of %s acknowledged=%d (%d by others) lost=0 twice=0", rounds, pause, l.size(), others.size())
}

func checkKilled(t *testing.T, s journal.Store, acks *ledger) {
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
	for key, entry := range acks.acked {
		if len(there[key]) == 0 || there[key][0] != entry {
			t.Errorf("%s was acknowledged at %d and is at %v", key, entry, there[key])
		}
	}
}
