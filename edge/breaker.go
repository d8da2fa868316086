package edge

import (
	"slices"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// Trip says that this edge turned a signal to review by itself. CauseBreaker:
// it matched many pictures that are unlike each other, as a hash does that was
// made, or happens, to hit lawful content. Copies of one picture resemble each
// other and trip nothing, however many there are. CauseEpoch: the node was
// restored from a backup and has forgotten that the signal was removed. Any
// later operation on the signal is a person's answer and ends the trip.
type Trip struct {
	Number   uint64    `json:"n"`
	Signal   string    `json:"signal"`
	Cause    string    `json:"cause"` // CauseBreaker or CauseEpoch
	Entry    int64     `json:"entry"` // of the operation that it was tripped under; a later one resets it
	At       time.Time `json:"at"`
	Matches  int       `json:"matches"`         // distinct ones within a minute
	Distance int       `json:"median_distance"` // between them
}

// The closed list of causes of a Trip.
const (
	CauseBreaker = "breaker"
	CauseEpoch   = "epoch"
)

const (
	breakerSample = 64 // distinct matches that are compared
	breakerFactor = 20 // times the expected rate

	// Videos are watched by how one of their frames differs from the known one
	// (vpdq.Match.Difference). Excerpts of one video show different frames, whose
	// differences have less in common: hashes of chance, at 28 bits on average,
	// differ by 50, copies that are 20 bits from the original by 37 at most.
	breakerVideo = 12 // bits more for videos
)

// breaker watches the matches of each signal.
type breaker struct {
	mu sync.Mutex
	by map[uint64]*watch
}

// watch is what the breaker remembers of one signal.
type watch struct {
	sample [breakerSample]pdq.Hash // last distinct hashes
	seen   [breakerSample]int64    // when, in Unix seconds
	n      int                     // distinct ones ever; the next goes to n mod breakerSample

	minute   [60]uint32 // distinct ones a second
	stamp    [60]int64
	expected float64 // distinct ones a minute, averaged over hours
	avgAt    int64
}

func (b *breaker) forget(num uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.by, num)
}

// add notes a match and returns the number of distinct ones within the last
// minute and, if that is at least the bound, their median pairwise distance.
func (b *breaker) add(num uint64, h *pdq.Hash, now int64, bound int) (n, median int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.by[num]
	if w == nil {
		if b.by == nil {
			b.by = map[uint64]*watch{}
		}
		w = &watch{avgAt: now}
		b.by[num] = w
	}
	for i := range min(w.n, breakerSample) {
		if w.sample[i] == *h {
			return 0, 0
		}
	}
	i := w.n % breakerSample
	w.sample[i], w.seen[i] = *h, now
	w.n++
	s := now % 60
	if w.stamp[s] != now {
		w.stamp[s], w.minute[s] = now, 0
	}
	w.minute[s]++
	for i := range w.minute {
		if now-w.stamp[i] < 60 {
			n += int(w.minute[i])
		}
	}
	// The expected rate follows slowly (an hour), so that a burst does not
	// excuse itself.
	if dt := now - w.avgAt; dt >= 60 {
		w.expected += (float64(n) - w.expected) * min(1, float64(dt)/3600)
		w.avgAt = now
	}
	if n < max(bound, int(breakerFactor*w.expected)) {
		return n, 0
	}
	return n, w.median(now)
}

// median is the median distance between the hashes of the last minute.
func (w *watch) median(now int64) int {
	var hist [257]int
	total := 0
	for i := range min(w.n, breakerSample) {
		if now-w.seen[i] >= 60 {
			continue
		}
		for j := range i {
			if now-w.seen[j] < 60 {
				hist[w.sample[i].Distance(w.sample[j])]++
				total++
			}
		}
	}
	for d, below := 0, 0; d < len(hist); d++ {
		if below += hist[d]; below*2 > total {
			return d
		}
	}
	return 0
}

// observe tells the breaker of a match that would block; true means that the
// signal is, from now on, for review.
func (m *Matcher) observe(x *Match) bool {
	now := m.o.Now()
	n, median := m.break_.add(x.Number, &x.form, now.Unix(), m.o.BreakerMatches)
	bound := m.o.BreakerDistance
	if x.Kind == fingerprint.VPDQ {
		bound += breakerVideo
	}
	if median <= bound {
		return false
	}
	t := Trip{Number: x.Number, Signal: x.Signal.String(), Cause: CauseBreaker, Entry: x.Entry, At: now.UTC().Truncate(time.Millisecond), Matches: n, Distance: median}
	m.apply.Lock()
	_, before := m.trips[x.Number]
	v := m.view.Load()
	v.mu.Lock()
	found := v.trip(x.Number, x.Entry, CauseBreaker)
	v.mu.Unlock()
	if found {
		m.trips[x.Number] = t
	}
	m.apply.Unlock()
	if found && !before && m.o.OnTrip != nil {
		m.o.OnTrip(t)
	}
	return found
}

// Trips returns the signals that the circuit breaker turned to review here, in
// order of their numbers.
func (m *Matcher) Trips() []Trip {
	m.apply.Lock()
	defer m.apply.Unlock()
	out := make([]Trip, 0, len(m.trips))
	for _, t := range m.trips {
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b Trip) int { return cmpUint(a.Number, b.Number) })
	return out
}
