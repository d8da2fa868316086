package edge_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/edge"
)

// counter is a node that counts each batch once, by the rule of internal/signal.
type counter struct {
	last     map[string]int // by a batch's name
	verdicts map[string]int64
	again    int
}

func newCounter() *counter {
	return &counter{last: map[string]int{}, verdicts: map[string]int64{}}
}

// seen reports whether the batch was counted.
func (c *counter) seen(batch string) bool {
	i := strings.LastIndexByte(batch, '.')
	if i < 0 {
		return false
	}
	n, err := strconv.Atoi(batch[i+1:])
	return err == nil && n <= c.last[batch[:i]]
}

func (c *counter) first(t *testing.T, batch string) bool {
	t.Helper()
	i := strings.LastIndexByte(batch, '.')
	n, err := strconv.Atoi(batch[i+1:])
	if err != nil {
		t.Fatalf("batch %q has no number", batch)
	}
	if n <= c.last[batch[:i]] {
		c.again++
		return false
	}
	if n != c.last[batch[:i]]+1 && c.last[batch[:i]] != 0 {
		t.Errorf("batch %q follows number %d", batch, c.last[batch[:i]])
	}
	c.last[batch[:i]] = n
	return true
}

// What an edge counted reaches the node once, whatever fails and whenever the
// edge is killed: all verdicts that were taken, and all matches up to the last
// time that they were stored.
func TestLedgerSurvivesCrashes(t *testing.T) {
	for seed := range uint64(5) {
		crashLedger(t, seed)
	}
}

func crashLedger(t *testing.T, seed uint64) {
	const secret = "siaga_edge_x"
	r := rand.New(rand.NewPCG(seed, 3))
	dir := t.TempDir()
	node := newCounter()
	breakAt := 0 // steps of storing until one fails
	defer edge.StoreHook(dir, func(string) error {
		if breakAt--; breakAt == 0 {
			return errors.New("the disk fails")
		}
		return nil
	})()
	open := func() *edge.Ledger {
		breakAt = 0
		l, lost, err := edge.OpenLedger(dir, secret)
		if err != nil || lost {
			t.Fatalf("seed %d: %v, lost %v", seed, err, lost)
		}
		return l
	}
	l, minute := open(), int64(1000)
	type judgement struct {
		id, signal string
		v          edge.Verdict
	}
	verdicts, given := map[string]int64{}, map[string]string{}
	var again []judgement // not acknowledged: the platform gives them again
	judge := func(j judgement) {
		again = append(again, j)
		for len(again) > 0 {
			j := again[0]
			if _, err := l.Judge(j.id, j.signal, j.v, minute); err != nil {
				return
			}
			if old := given[j.id]; old != "" {
				verdicts[old]--
			}
			given[j.id] = j.signal + string(j.v)
			verdicts[given[j.id]]++
			again = again[1:]
		}
	}
	var counted, stored, arrived int64 // matches: that happened, or were lost in a crash; of them on disk; at the node
	answered := func(batch string) {
		if r.IntN(3) > 0 {
			_ = l.Answered(batch) // if it fails the batch is sent again
		}
	}
	send := func() (sent bool) {
		if b, err := l.Tallies(minute, 0); err == nil && b.Batch != "" {
			sent = true
			if node.first(t, b.Batch) {
				for _, c := range b.Counts {
					arrived += c.Count
				}
			}
			answered(b.Batch)
		}
		if b, err := l.Judged(minute+1, 0); err == nil && b.Batch != "" {
			sent = true
			if node.first(t, b.Batch) {
				for _, c := range b.Verdicts {
					node.verdicts[c.Signal+string(c.Verdict)] += c.Count
				}
			}
			answered(b.Batch)
		}
		return sent
	}
	crashes, exact, lost := 0, 0, int64(0)
	for range 300 {
		switch r.IntN(10) {
		case 0, 1, 2:
			for range r.IntN(9) {
				l.Count(minute-int64(r.IntN(2)), r.Uint64N(4))
				counted++
			}
		case 3, 4:
			judge(judgement{fmt.Sprint("d", r.IntN(200)), fmt.Sprint("S-", r.IntN(3)), edge.Verdicts()[r.IntN(3)]})
		case 5:
			minute++
		case 6, 7:
			send()
		case 8:
			breakAt = 1 + r.IntN(4)
		case 9:
			crashes++
			if l.Keep() == nil {
				stored = counted
			}
			if r.IntN(2) == 0 { // after the last write
				l.Count(minute, 1)
				counted++
			}
			l.Abandon()
			l = open()
			there := arrived + l.Untold().Matches
			if b, err := l.Tallies(minute, 0); err != nil {
				t.Fatal(err)
			} else if node.seen(b.Batch) {
				for _, c := range b.Counts {
					there -= c.Count
				}
			}
			if there < stored || there > counted {
				t.Fatalf("seed %d: after crash %d there are %d matches, %d were stored and %d happened", seed, crashes, there, stored, counted)
			}
			if stored == counted {
				exact++
			}
			lost += counted - there
			counted, stored = there, there
		}
	}
	breakAt = 0
	judge(judgement{"last", "S-0", edge.Disputed})
	for minute++; send(); {
	}
	if u := l.Untold(); u != (edge.Untold{}) {
		t.Errorf("seed %d: %+v waits when all was told", seed, u)
	}
	l.Abandon()
	for _, m := range []map[string]int64{verdicts, node.verdicts} {
		maps.DeleteFunc(m, func(_ string, n int64) bool { return n == 0 })
	}
	if !maps.Equal(verdicts, node.verdicts) {
		t.Errorf("seed %d: verdicts %v arrived, given were %v", seed, node.verdicts, verdicts)
	}
	if arrived != counted {
		t.Errorf("seed %d: %d matches arrived, %d were to", seed, arrived, counted)
	}
	if exact < 3 || node.again == 0 || lost == 0 {
		t.Errorf("seed %d: %d crashes, %d of them with all stored, %d batches sent again, %d counts lost: the test tested nothing", seed, crashes, exact, node.again, lost)
	}
}

// What an earlier release had sent and not heard of is sent again.
func TestLedgerTakesOverAnEarlierRelease(t *testing.T) {
	dir := t.TempDir()
	if err := edge.PutFile(dir, "x", "tallies", []byte(`{"batch":"old","counts":[{"n":7,"signal":"S-0007","minute":5,"count":3}]}`)); err != nil {
		t.Fatal(err)
	}
	l, lost, err := edge.OpenLedger(dir, "x")
	if err != nil || lost {
		t.Fatal(err, lost)
	}
	defer l.Abandon()
	b, err := l.Tallies(100, 0)
	if err != nil || b.Batch != "old" || len(b.Counts) != 1 || b.Counts[0].Count != 3 {
		t.Errorf("%+v, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "tallies")); err == nil {
		t.Error("the old file is still there")
	}
}

// A verdict that is given again counts once; one that was changed takes the
// earlier one's place; small numbers are told as few.
func TestVerdictsGivenAgain(t *testing.T) {
	l, _, err := edge.OpenLedger(t.TempDir(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Abandon()
	judge := func(id string, v edge.Verdict, want edge.Taken) {
		t.Helper()
		got, err := l.Judge(id, "S-1", v, 9)
		if err != nil || got != want {
			t.Errorf("%s %s: %+v, %v; want %+v", id, v, got, err, want)
		}
	}
	judge("a", edge.TruePositive, edge.Taken{Counted: 1})
	judge("a", edge.TruePositive, edge.Taken{Known: 1})
	judge("a", edge.FalsePositive, edge.Taken{Changed: 1})
	judge("", edge.TruePositive, edge.Taken{Counted: 1})
	judge("", edge.TruePositive, edge.Taken{Counted: 1})
	b, err := l.Judged(10, 0)
	want := []edge.VerdictCount{{Signal: "S-1", Minute: 9, Verdict: edge.FalsePositive, Count: 1}, {Signal: "S-1", Minute: 9, Verdict: edge.TruePositive, Count: 2}}
	if err != nil || fmt.Sprint(b.Verdicts) != fmt.Sprint(want) {
		t.Errorf("%+v, %v", b, err)
	}
	if err := l.Answered(b.Batch); err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		judge(fmt.Sprint("t", i), edge.TruePositive, edge.Taken{Counted: 1})
	}
	judge("a", edge.Disputed, edge.Taken{Changed: 1})
	b, err = l.Judged(10, 5)
	want = []edge.VerdictCount{{Signal: "S-1", Minute: 9, Verdict: edge.Disputed, Few: true}, {Signal: "S-1", Minute: 9, Verdict: edge.FalsePositive}, {Signal: "S-1", Minute: 9, Verdict: edge.TruePositive, Count: 6}}
	if err != nil || fmt.Sprint(b.Verdicts) != fmt.Sprint(want) {
		t.Errorf("with few: %+v, %v", b, err)
	}
}
