package audio

import (
	"cmp"
	"math/bits"
	"slices"
	"sync"
)

const (
	window     = 72  // items that are compared at once, 8.9 seconds
	maxErrors  = 24  // percent of a window's bits that may differ; unrelated sound differs in 35 and more
	minWindow  = 36  // different items of a window that says something
	maxPosting = 256 // places of one item that vote; commoner items say nothing
	checks     = 64  // alignments that are compared in one search
	minVotes   = 2   // almost equal items at one offset, for a comparison
)

// Match is one known track that was found in another.
type Match struct {
	ID      uint64
	Errors  int     // percent of the bits that differ in the best window, 0 to 24
	Seconds float64 // of the query in which both agree, 9 or more
	At      float64 // seconds into the query at which the known track's start lies; negative for an excerpt
}

// lively reports whether a window has enough that changes to be compared.
func lively(w Track) bool {
	seen := make(map[uint32]struct{}, len(w))
	for _, v := range w {
		seen[v] = struct{}{}
	}
	return len(seen) >= minWindow
}

// variety counts the different items of a sliding window.
type variety map[uint32]int

// slide moves the window of t on to item i.
func (v variety) slide(t Track, i int) {
	v[t[i]]++
	if i < window {
		return
	}
	if out := t[i-window]; v[out] > 1 {
		v[out]--
	} else {
		delete(v, out)
	}
}

// Compare lays known over query so that its item 0 lies at query's item offset,
// and looks for windows in which both agree. ok is false if there is none.
func Compare(known, query Track, offset int) (m Match, ok bool) {
	lo, hi := max(0, offset), min(len(query), offset+len(known))
	if hi-lo < window {
		return m, false
	}
	query, known = query[lo:hi], known[lo-offset:hi-offset]
	const limit = window * 32 * maxErrors / 100
	// sums calls each with the differing bits of the window that ends with item i.
	sums := func(each func(i, sum int)) {
		sum := 0
		for i := range query {
			sum += bits.OnesCount32(query[i] ^ known[i])
			if i >= window {
				sum -= bits.OnesCount32(query[i-window] ^ known[i-window])
			}
			each(i, sum)
		}
	}
	near := false
	sums(func(i, sum int) { near = near || i >= window-1 && sum <= limit })
	if !near {
		return m, false
	}
	q, k := variety{}, variety{}
	best, covered, end := limit+1, 0, 0
	sums(func(i, sum int) {
		q.slide(query, i)
		k.slide(known, i)
		if i < window-1 || sum > limit || len(q) < minWindow || len(k) < minWindow {
			return
		}
		best = min(best, sum)
		covered += i + 1 - max(i+1-window, end)
		end = i + 1
	})
	if best > limit {
		return m, false
	}
	return Match{Errors: (100*best + window*16) / (window * 32), Seconds: float64(covered) * SecondsPerItem, At: float64(offset) * SecondsPerItem}, true
}

// place is where an item stands.
type place struct {
	id uint64
	at int32
}

// Index finds known tracks. The zero value is empty and ready. All methods may
// be called concurrently.
type Index struct {
	mu     sync.RWMutex
	tracks map[uint64]Track
	places map[uint32][]place
}

// Len returns the number of tracks.
func (x *Index) Len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.tracks)
}

// Add makes t findable as id, in place of what was id before.
func (x *Index) Add(id uint64, t Track) {
	t = slices.Clone(t[:min(len(t), MaxKnown)])
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(id)
	if x.tracks == nil {
		x.tracks, x.places = map[uint64]Track{}, map[uint32][]place{}
	}
	x.tracks[id] = t
	for i, v := range t {
		if i == 0 || v != t[i-1] { // what stands still does not vote
			x.places[v] = append(x.places[v], place{id, int32(i)}) //nolint:gosec // at most MaxKnown
		}
	}
}

// Remove makes id unfindable. An id that is not there is no error.
func (x *Index) Remove(id uint64) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.remove(id)
}

func (x *Index) remove(id uint64) {
	for _, v := range x.tracks[id] {
		ps := slices.DeleteFunc(x.places[v], func(p place) bool { return p.id == id })
		if len(ps) == 0 {
			delete(x.places, v)
		} else {
			x.places[v] = ps
		}
	}
	delete(x.tracks, id)
}

// Search returns the known tracks that q holds ten seconds or more of, the
// longest first.
func (x *Index) Search(q Track) []Match {
	q = q[:min(len(q), MaxQuery)]
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.tracks) == 0 || len(q) < window {
		return nil
	}
	// Items that are equal but for one bit vote for how the two tracks lie over one another.
	type aligned struct {
		id     uint64
		offset int32
	}
	votes := map[aligned]int{}
	for i, v := range q {
		if i > 0 && v == q[i-1] {
			continue
		}
		// The item itself, and with each one of its bits turned: where a tenth of
		// the bits differ, four times as many items are found again.
		for b := range 33 {
			ps := x.places[v^uint32(uint64(1)<<b>>1)] //nolint:gosec // 0 or one of 32 bits
			if len(ps) > maxPosting {
				continue
			}
			for _, p := range ps {
				votes[aligned{p.id, int32(i) - p.at}]++ //nolint:gosec // at most MaxQuery
			}
		}
	}
	var order []aligned
	for a, n := range votes {
		if n >= minVotes {
			order = append(order, a)
		}
	}
	slices.SortFunc(order, func(a, b aligned) int {
		return cmp.Or(cmp.Compare(votes[b], votes[a]), cmp.Compare(a.id, b.id), cmp.Compare(a.offset, b.offset))
	})
	best := map[uint64]Match{}
	for _, a := range order[:min(len(order), checks)] {
		// A copy whose start was cut lies up to half an item off.
		for d := -1; d <= 1; d++ {
			m, ok := Compare(x.tracks[a.id], q, int(a.offset)+d)
			if b, have := best[a.id]; ok && (!have || m.Seconds > b.Seconds || m.Seconds == b.Seconds && m.Errors < b.Errors) {
				m.ID = a.id
				best[a.id] = m
			}
		}
	}
	var out []Match
	for _, m := range best {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Match) int {
		return cmp.Or(cmp.Compare(b.Seconds, a.Seconds), cmp.Compare(a.Errors, b.Errors), cmp.Compare(a.ID, b.ID))
	})
	return out
}
