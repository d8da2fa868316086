package edge

import (
	"slices"
	"sync"
	"time"
)

// Tally is the number of matches of one signal in one minute.
type Tally struct {
	Number   uint64 `json:"n"`
	Signal   string `json:"signal"`
	Minute   int64  `json:"minute"` // Unix time of its start divided by 60
	Action   Action `json:"action"` // that was recommended
	Pass     string `json:"pass"`   // how it was found
	Exercise bool   `json:"exercise,omitempty"`
	Count    int64  `json:"count"` // 0 with Few
	Few      bool   `json:"few,omitempty"`
}

type tallyKey struct {
	num      uint64
	minute   int64
	action   Action
	pass     string
	exercise bool
}

// maxTallies bounds what waits to be sent; beyond it, minutes are merged into
// the newest one, so that no match goes uncounted.
const maxTallies = 1 << 16

// tallies counts matches until they are taken.
type tallies struct {
	mu    sync.Mutex
	by    map[tallyKey]*tallied
	track bool       // a ledger keeps them: dirty is filled
	dirty []tallyKey // counted since the ledger was told; some may be gone, or be here twice
}

type tallied struct {
	name Name
	n    int64
	kept int64 // of n, in the ledger
}

func (t *tallies) add(now time.Time, ms []Match, exercise bool) {
	if len(ms) == 0 {
		return
	}
	minute := now.Unix() / 60
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range ms {
		m := &ms[i]
		t.count(tallyKey{m.Number, minute, m.Action, m.Pass, exercise}, m.Signal, 1)
	}
}

// count adds to one count. The caller holds t.mu.
func (t *tallies) count(k tallyKey, name Name, n int64) {
	x := t.by[k]
	if x == nil {
		if t.by == nil {
			t.by = map[tallyKey]*tallied{}
		}
		if len(t.by) >= maxTallies {
			k.minute = 0
			x = t.by[k]
		}
		if x == nil {
			x = &tallied{name: name}
			t.by[k] = x
		}
	}
	if t.track && x.n == x.kept {
		t.dirty = append(t.dirty, k)
	}
	x.n += n
}

func (t *Tally) key() tallyKey { return tallyKey{t.Number, t.Minute, t.Action, t.Pass, t.Exercise} }

func (k tallyKey) tally(name Name, n int64) Tally {
	return Tally{Number: k.num, Signal: name.String(), Minute: k.minute, Action: k.action, Pass: k.pass, Exercise: k.exercise, Count: n}
}

// since returns what was counted since the last since or all.
func (t *tallies) since() (out []Tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, k := range t.dirty {
		if x := t.by[k]; x != nil && x.n > x.kept {
			out = append(out, k.tally(x.name, x.n-x.kept))
			x.kept = x.n
		}
	}
	t.dirty = t.dirty[:0]
	return out
}

// all returns all counts, for a ledger that is written anew.
func (t *tallies) all() (out []Tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, x := range t.by {
		out = append(out, k.tally(x.name, x.n))
		x.kept = x.n
	}
	t.dirty = t.dirty[:0]
	return out
}

// load adds what a ledger had.
func (t *tallies) load(ts []Tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range ts {
		name := Name{text: ts[i].Signal}
		if f, n, ok := splitName(ts[i].Signal); ok {
			name = Name{form: &f, n: n}
		}
		t.count(ts[i].key(), name, ts[i].Count)
	}
}

// pick returns counts of minutes before the given one, at most limit, in
// order, and which of them were kept without their minute: they are told of
// the newest one. It removes nothing.
func (t *tallies) pick(before int64, limit int) (out []Tally, merged []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for k, x := range t.by {
		if len(out) == limit {
			break
		}
		if k.minute < before {
			out = append(out, k.tally(x.name, x.n))
		}
	}
	slices.SortFunc(out, func(a, b Tally) int {
		if a.Minute != b.Minute {
			return int(a.Minute - b.Minute)
		}
		return cmpUint(a.Number, b.Number)
	})
	for i := range out {
		if out[i].Minute == 0 {
			out[i].Minute = before - 1
			merged = append(merged, i)
		}
	}
	return out, merged
}

// remove takes away what was picked, with the minute that it was kept under.
// What was counted meanwhile stays.
func (t *tallies) remove(ts []Tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range ts {
		k := ts[i].key()
		x := t.by[k]
		if x == nil {
			continue
		}
		if x.n, x.kept = x.n-ts[i].Count, 0; x.n <= 0 {
			delete(t.by, k)
		} else if t.track {
			t.dirty = append(t.dirty, k)
		}
	}
}

// drop takes away keys, whatever their counts.
func (t *tallies) drop(ts []Tally) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range ts {
		delete(t.by, ts[i].key())
	}
}

// total is the number of matches that wait.
func (t *tallies) total() (n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, x := range t.by {
		n += x.n
	}
	return n
}
