package edge

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/payment"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/index"
)

// Matcher holds the signals of an edge's chains and answers what matches them.
// All methods may be called concurrently; what Apply has returned from is seen
// by every look-up that starts later.
type Matcher struct {
	o       MatcherOptions
	passes  []Pass
	video   *videoPass // one of passes
	audio   *audioPass // another
	text    *textPass
	keepers map[fingerprint.Kind]Keeper

	apply sync.Mutex // one change at a time
	view  atomic.Pointer[view]
	trips map[uint64]Trip // by signal number; owned by apply

	clock  atomic.Pointer[nodeClock] // lower bound of the time
	fresh  atomic.Pointer[freshness]
	break_ breaker
	tally  tallies
	count  counters

	changed atomic.Pointer[func(num uint64, entry int64)] // told of every change of a signal, 0 of all; must not block
}

// tellChange tells whoever watches that a signal changed.
func (m *Matcher) tellChange(num uint64, entry int64) {
	if fn := m.changed.Load(); fn != nil {
		(*fn)(num, entry)
	}
}

// MatcherOptions configure a Matcher. The zero value is ready to use.
type MatcherOptions struct {
	// Now is the clock; nil means time.Now. Its readings should carry the
	// monotonic clock, as those of time.Now do.
	Now func() time.Time

	// Passes are looked for after the built-in ones, in this order. See Pass.
	Passes []Pass

	// PaymentKeys are the keys of keyed hashes that are looked up too when a
	// payment handle is.
	PaymentKeys []payment.Key

	// BreakerMatches is the number of distinct matches of one signal within a
	// minute from which the circuit breaker looks at them; 0 means 50.
	BreakerMatches int
	// BreakerDistance is the median distance between the matched hashes beyond
	// which they are unlike each other; 0 means 31.
	BreakerDistance int
	// OnTrip is called, without locks held, when a signal was tripped. It must
	// not block.
	OnTrip func(Trip)
}

// view is one consistent set of signals. A new snapshot makes a new view; an
// operation changes the view in place.
type view struct {
	mu    sync.RWMutex
	t     *table
	pdq   *index.Index // by slotID
	exact map[exactKey]uint32
	limp  map[fingerprint.Kind]int // signals of kinds that nothing here can match

	cursor atomic.Pointer[string] // text of the cursor; nil: to be made
}

type exactKey struct {
	kind uint8
	v    [32]byte
}

// nodeClock is what the node said the time was, and when here.
type nodeClock struct {
	node  time.Time
	local time.Time
}

// freshness is a moment at which everything the node had was known here.
type freshness struct{ local time.Time }

type counters struct {
	queries, matched, blocked atomic.Int64
}

// NewMatcher returns a Matcher without signals.
func NewMatcher(o MatcherOptions) *Matcher {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.BreakerMatches == 0 {
		o.BreakerMatches = 50
	}
	if o.BreakerDistance == 0 {
		o.BreakerDistance = pdq.MatchDistance
	}
	m := &Matcher{o: o, keepers: map[fingerprint.Kind]Keeper{}, trips: map[uint64]Trip{}}
	m.video = newVideoPass()
	m.audio, m.text = new(audioPass), new(textPass)
	m.passes = append([]Pass{digestPass{}, pdqPass{}, m.text, m.video, new(localPass), m.audio}, o.Passes...)
	for _, p := range m.passes {
		if k, ok := p.(Keeper); ok {
			m.keepers[k.Kind()] = k
		}
	}
	m.view.Store(newView(newTable()))
	return m
}

func newView(t *table) *view {
	return &view{t: t, pdq: index.New(index.Options{Entries: len(t.recs)}), exact: map[exactKey]uint32{}, limp: map[fingerprint.Kind]int{}}
}

// slotID is a record's name in the indexes: a slot that is used again gets
// another, so that a search which is under way never takes one for the other.
func slotID(gen, slot uint32) uint64 { return uint64(gen)<<32 | uint64(slot) }

// Apply takes the next operation of its chain, which must follow the last one
// (see Sealed.Follows); its signature is the caller's business. An error that
// wraps ErrSyntax means that the position moved and this one signal cannot be
// matched; any other means that nothing changed.
func (m *Matcher) Apply(op *Sealed) error {
	m.apply.Lock()
	defer m.apply.Unlock()
	v := m.view.Load()
	c, err := v.t.chainOf(op.Chain)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrGap, err) //nolint:errorlint // a chain too many is not to be skipped
	}
	if err := op.Follows(c.pos); err != nil {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	c.pos = op.Position()
	v.cursor.Store(nil)
	defer m.tellChange(op.Number, op.Entry)
	if slot, ok := c.by[op.Number]; ok {
		m.unindex(v, slot)
		v.t.drop(c, slot)
	}
	// Any word on a signal is also a person's answer to its trip.
	if _, ok := m.trips[op.Number]; ok {
		delete(m.trips, op.Number)
		m.break_.forget(op.Number)
	}
	var slot uint32
	switch op.Do {
	case Add:
		if slot, err = v.t.put(c, &op.Signal, false); err == nil {
			err = m.index(v, slot)
		}
	case Remove:
		if c.name != SharedChain {
			_, err = v.t.put(c, &op.Signal, true)
		}
	case Clear:
	default:
		err = fmt.Errorf("unknown operation %q: this edge is older than its node", op.Do)
	}
	v.remask(op.Number)
	if err != nil {
		return fmt.Errorf("%w: signal %s: %v", ErrSyntax, op.ID, err) //nolint:errorlint // one sentinel is enough
	}
	return nil
}

// remask decides which chain has the last word on a signal. The caller holds
// v.mu.
func (v *view) remask(num uint64) {
	own := false
	for _, c := range v.t.chains {
		if _, ok := c.by[num]; ok && c.name != SharedChain {
			own = true
		}
	}
	for _, c := range v.t.chains {
		if slot, ok := c.by[num]; ok && c.name == SharedChain {
			v.t.recs[slot].flags &^= flagMasked
			if own {
				v.t.recs[slot].flags |= flagMasked
			}
		}
	}
}

// index makes a slot findable. The caller holds v.mu.
func (m *Matcher) index(v *view, slot uint32) error {
	r := &v.t.recs[slot]
	c := v.t.classes[r.class]
	switch {
	case c.Mask:
		return nil
	case c.Kind == fingerprint.PDQ:
		// A genuine hash has about half of its bits set; others would match
		// unrelated pictures. The node refuses them; this is the second lock.
		if n := ones(&r.value); n < minOnes || n > maxOnes {
			r.flags |= flagCapped
		}
		return v.pdq.Insert(slotID(r.gen, slot), r.value, min(c.MaxDistance, maxPDQDistance))
	case isExact(c.Kind):
		k := exactKeyOf(c.Kind, &r.value, v.t.texts[slot])
		r.next = v.exact[k]
		v.exact[k] = slot + 1
		if k, ok := m.keepers[c.Kind]; ok { // looked for near ones, too
			return k.Insert(slotID(r.gen, slot), v.t.texts[slot], c.MaxDistance)
		}
		return nil
	}
	var err error
	if k, ok := m.keepers[c.Kind]; ok {
		if err = k.Insert(slotID(r.gen, slot), v.t.texts[slot], c.MaxDistance); err == nil {
			return nil
		}
	}
	r.flags |= flagUnfit
	v.limp[c.Kind]++
	return err
}

// unindex is its opposite. The caller holds v.mu.
func (m *Matcher) unindex(v *view, slot uint32) {
	r := &v.t.recs[slot]
	c := v.t.classes[r.class]
	switch {
	case c.Mask:
	case c.Kind == fingerprint.PDQ:
		v.pdq.Delete(slotID(r.gen, slot))
	case isExact(c.Kind):
		if k, ok := m.keepers[c.Kind]; ok {
			k.Delete(slotID(r.gen, slot))
		}
		k := exactKeyOf(c.Kind, &r.value, v.t.texts[slot])
		at := v.exact[k]
		if at == slot+1 {
			if r.next == 0 {
				delete(v.exact, k)
			} else {
				v.exact[k] = r.next
			}
			return
		}
		for at != 0 {
			p := &v.t.recs[at-1]
			if p.next == slot+1 {
				p.next = r.next
				return
			}
			at = p.next
		}
	case r.flags&flagUnfit != 0:
		v.limp[c.Kind]--
	default:
		m.keepers[c.Kind].Delete(slotID(r.gen, slot))
	}
}

// adopt makes a table, fresh from snapshots, the matcher's state.
func (m *Matcher) adopt(t *table, trips []Trip) {
	m.apply.Lock()
	defer m.apply.Unlock()
	old, v := m.view.Load(), newView(t)
	entries := func(yield func(index.Entry) bool) {
		for slot := range t.recs {
			r := &t.recs[slot]
			if c := t.classes[r.class]; r.flags&flagLive != 0 && c.Kind == fingerprint.PDQ {
				if !yield(index.Entry{ID: slotID(r.gen, uint32(slot)), Hash: r.value, MaxDistance: min(c.MaxDistance, maxPDQDistance)}) { //nolint:gosec // a slot
					return
				}
			}
		}
	}
	if err := v.pdq.InsertAll(entries); err != nil {
		panic("edge: " + err.Error()) // distances were checked
	}
	for slot := range t.recs {
		r := &t.recs[slot]
		if r.flags&flagLive == 0 {
			continue
		}
		if t.classes[r.class].Kind == fingerprint.PDQ {
			if n := ones(&r.value); n < minOnes || n > maxOnes {
				r.flags |= flagCapped
			}
			continue
		}
		_ = m.index(v, uint32(slot)) //nolint:gosec // a slot; what does not fit is counted
	}
	for _, c := range t.chains {
		if c.name != SharedChain {
			for num := range c.by {
				v.remask(num)
			}
		}
	}
	for _, trip := range trips {
		m.trips[trip.Number] = trip
	}
	for num, trip := range m.trips {
		if !v.trip(num, trip.Entry, trip.Cause) {
			delete(m.trips, num) // answered, or gone
			m.break_.forget(num)
		}
	}
	m.view.Store(v)
	defer m.tellChange(0, 0)
	// Keepers have one state, not one a view: now the old one goes.
	for slot := range old.t.recs {
		r := &old.t.recs[slot]
		if r.flags&flagLive == 0 {
			continue
		}
		if k, ok := m.keepers[old.t.classes[r.class].Kind]; ok {
			k.Delete(slotID(r.gen, uint32(slot))) //nolint:gosec // a slot
		}
	}
}

// Reset makes what s says all that the matcher knows, as if it had applied every
// operation of that chain and of no other. s must not be used any more.
func (m *Matcher) Reset(s *State) { m.adopt(s.t, nil) }

// trip marks the records of a signal that follow from the entry.
func (v *view) trip(num uint64, entry int64, cause string) bool {
	found, flag := false, uint8(flagTripped)
	if cause == CauseEpoch {
		flag = flagEpoch
	}
	for _, c := range v.t.chains {
		if slot, ok := c.by[num]; ok && v.t.recs[slot].entry == entry {
			v.t.recs[slot].flags |= flag
			found = true
		}
	}
	return found
}

// Cursor returns where the matcher stands.
func (m *Matcher) Cursor() Cursor {
	v := m.view.Load()
	v.mu.RLock()
	defer v.mu.RUnlock()
	c := Cursor{}
	for _, ch := range v.t.chains {
		c[ch.name] = ch.pos
	}
	return c
}

// Len returns the number of signals, without those that are masked.
func (m *Matcher) Len() int {
	v := m.view.Load()
	v.mu.RLock()
	defer v.mu.RUnlock()
	n := 0
	for _, c := range v.t.chains {
		n += len(c.by)
		if c.name == SharedChain {
			continue
		}
		for num, slot := range c.by {
			if v.t.classes[v.t.recs[slot].class].Mask {
				n--
			}
			for _, d := range v.t.chains {
				if _, ok := d.by[num]; ok && d.name == SharedChain {
					n--
				}
			}
		}
	}
	return n
}

// Unmatched returns the number of signals of each kind that this matcher has
// and cannot look for, as no pass for the kind is installed.
func (m *Matcher) Unmatched() map[fingerprint.Kind]int {
	v := m.view.Load()
	v.mu.RLock()
	defer v.mu.RUnlock()
	out := maps.Clone(v.limp)
	maps.DeleteFunc(out, func(_ fingerprint.Kind, n int) bool { return n == 0 })
	return out
}

// Signals returns all signals that are in force, in order of their numbers. It
// is for tests and tools; look-ups are what Match is for.
func (m *Matcher) Signals() []Signal {
	v := m.view.Load()
	v.mu.RLock()
	defer v.mu.RUnlock()
	var out []Signal
	for slot := range v.t.recs {
		r := &v.t.recs[slot]
		if r.flags&flagLive != 0 && r.flags&flagMasked == 0 && !v.t.classes[r.class].Mask {
			out = append(out, v.t.signal(uint32(slot))) //nolint:gosec // a slot
		}
	}
	slices.SortFunc(out, func(a, b Signal) int { return cmpUint(a.Number, b.Number) })
	return out
}

// Signal returns what is in force of the signal with this number; false if
// nothing is.
func (m *Matcher) Signal(num uint64) (Signal, bool) {
	v := m.view.Load()
	v.mu.RLock()
	defer v.mu.RUnlock()
	for _, c := range v.t.chains {
		if slot, ok := c.by[num]; ok {
			if r := &v.t.recs[slot]; r.flags&flagMasked == 0 && !v.t.classes[r.class].Mask {
				return v.t.signal(slot), true
			}
		}
	}
	return Signal{}, false
}

// FreshAt notes that at the local moment t all that the node had was known
// here. Moments before the last one are ignored.
func (m *Matcher) FreshAt(t time.Time) {
	for {
		old := m.fresh.Load()
		if old != nil && !t.After(old.local) {
			return
		}
		if m.fresh.CompareAndSwap(old, &freshness{t}) {
			return
		}
	}
}

// NodeTime notes that at the local moment the node's clock was at least at
// node: signals expire by whichever clock is ahead, so that a clock which is
// behind, or set back, prolongs nothing.
func (m *Matcher) NodeTime(node, local time.Time) {
	if old := m.clock.Load(); old != nil && old.node.Add(local.Sub(old.local)).After(node) {
		return
	}
	m.clock.Store(&nodeClock{node, local})
}

// now returns the time by which signals expire and the age of the feed. ready
// is false while the matcher never had a state.
func (m *Matcher) now() (t time.Time, age time.Duration, ready bool) {
	local := m.o.Now()
	t = local
	if c := m.clock.Load(); c != nil {
		if n := c.node.Add(local.Sub(c.local)); n.After(t) {
			t = n
		}
	}
	f := m.fresh.Load()
	if f == nil {
		return t, 0, false
	}
	return t, max(0, local.Sub(f.local)), true
}

// Age returns the age of what the matcher knows; false if it never had a state.
func (m *Matcher) Age() (time.Duration, bool) {
	_, age, ok := m.now()
	return age, ok
}

// cursorText is Cursor's text, made once for each change.
func (m *Matcher) cursorText() string {
	v := m.view.Load()
	v.mu.RLock()
	defer v.mu.RUnlock()
	if c := v.cursor.Load(); c != nil {
		return *c
	}
	c := Cursor{}
	for _, ch := range v.t.chains {
		c[ch.name] = ch.pos
	}
	s := c.String()
	v.cursor.Store(&s)
	return s
}
