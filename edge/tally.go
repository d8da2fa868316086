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
	mu sync.Mutex
	by map[tallyKey]*tallied
}

type tallied struct {
	name Name
	n    int64
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
		k := tallyKey{m.Number, minute, m.Action, m.Pass, exercise}
		if x := t.by[k]; x != nil {
			x.n++
			continue
		}
		if t.by == nil {
			t.by = map[tallyKey]*tallied{}
		}
		if len(t.by) >= maxTallies {
			k.minute = 0
			if x := t.by[k]; x != nil {
				x.n++
				continue
			}
		}
		t.by[k] = &tallied{m.Signal, 1}
	}
}

// take removes and returns counts of minutes before the given one, at most
// limit.
func (t *tallies) take(before int64, limit int) []Tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []Tally
	for k, x := range t.by {
		if len(out) == limit {
			break
		}
		if k.minute >= before {
			continue
		}
		delete(t.by, k)
		if k.minute == 0 {
			k.minute = before - 1
		}
		out = append(out, Tally{Number: k.num, Signal: x.name.String(), Minute: k.minute, Action: k.action, Pass: k.pass, Exercise: k.exercise, Count: x.n})
	}
	slices.SortFunc(out, func(a, b Tally) int {
		if a.Minute != b.Minute {
			return int(a.Minute - b.Minute)
		}
		return cmpUint(a.Number, b.Number)
	})
	return out
}
