package edge

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/audio"
	"github.com/siaga-crp/siaga/fingerprint/digest"
	"github.com/siaga-crp/siaga/fingerprint/link"
	"github.com/siaga-crp/siaga/fingerprint/payment"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/variant"
	"github.com/siaga-crp/siaga/fingerprint/vpdq"
	"github.com/siaga-crp/siaga/index"
)

const (
	// Outside of these numbers of set bits a PDQ hash is not a picture's: of
	// 1,350 published hashes all had 112 to 142.
	minOnes, maxOnes = 96, 160
	// maxPDQDistance is the greatest distance at which a signal may match,
	// whatever it says: unrelated pictures are 128 apart on average.
	maxPDQDistance = 64
)

// Match is one signal that was found.
type Match struct {
	Number   uint64           // signal's number
	Signal   Name             // the same as people write it
	Kind     fingerprint.Kind // of the signal
	List     string
	Labels   []string // shared: do not change
	Producer string
	Group    Name
	Incident string
	Entry    int64   // journal entry that it follows from
	Distance int     // in the kind's own measure; 0 for exact kinds
	Score    float64 // 0 to 1, how sure the pass is
	Pass     string  // how it was found: "digest", "pdq", "pdq:rotate90", "trim:border", …
	Action   Action  // recommended now
	Why      string  // why Action is less than the signal's own: "exercise", "stale", "breaker", "epoch", "quality", "degenerate", "weak"; "" if it is not

	slot uint32
	form pdq.Hash // hash that matched, or a video's difference, for the circuit breaker
}

// Result is what was found for one query. It may be used again, which is what
// keeps look-ups free of allocations. The zero value is ready to use.
type Result struct {
	Matches  []Match // strongest action first, then nearest
	Exercise []Match // of exercises: never to be acted upon, never Block

	hits  []index.Match
	probe Probe
}

// Reset empties the result and keeps its memory.
func (r *Result) Reset() {
	r.Matches, r.Exercise = r.Matches[:0], r.Exercise[:0]
}

// Blocked reports whether any match recommends Block.
func (r *Result) Blocked() bool { return len(r.Matches) > 0 && r.Matches[0].Action == Block }

// Pass is one way to look for what was computed from a file. Built in are, in
// this order: digests; PDQ (stored and upright form, eight orientations; then,
// unless a match blocks, trimmed candidates and negatives); TLSH, equal or near;
// the frames of videos (see docs/design/0020) and keypoints (package local),
// unless a match blocks; and sound, unless one is for review already. A Pass
// must be safe for concurrent use.
type Pass interface {
	// Run looks for the probe's set. Costly passes ask p.Found first, with the
	// strongest action that they could add.
	Run(p *Probe)
}

// Keeper is a Pass that has an index of its own for one kind. Its ids are
// opaque; it hands them back to Probe.Hit.
type Keeper interface {
	Pass
	Kind() fingerprint.Kind
	// Insert adds a signal's value; an error leaves it out and is reported.
	Insert(id uint64, value string, maxDistance int) error
	// Delete removes it, if it is there.
	Delete(id uint64)
}

// Probe is one look-up under way.
type Probe struct {
	Set *fingerprint.Set // what was computed from the file; never nil in a Pass

	m   *Matcher
	v   *view
	r   *Result
	at  int64 // Unix seconds by which signals expire
	age time.Duration
}

// Found reports whether an earlier pass found a signal, not one for practice,
// whose action is now least or stronger. What is weaker must not hide what may
// come: a signal for review, found cheaply, says nothing about another one that
// blocks, and an exercise nothing about what is real.
func (p *Probe) Found(least Action) bool {
	return slices.ContainsFunc(p.r.Matches, func(m Match) bool { return rank(m.Action) >= rank(least) })
}

// PDQ looks for signals near to h. limit caps the action of what is found;
// pass names the way in answers.
func (p *Probe) PDQ(h *pdq.Hash, quality int, limit Action, pass string) {
	if n := ones((*[32]byte)(h)); n < minOnes || n > maxOnes {
		quality = 0 // flat pictures have such hashes: their matches say nothing
	}
	p.r.hits = p.v.pdq.Search(p.r.hits[:0], (*[32]byte)(h), maxPDQDistance)
	if len(p.r.hits) == 0 {
		return
	}
	p.v.mu.RLock()
	defer p.v.mu.RUnlock()
	for _, hit := range p.r.hits {
		d := int(hit.Distance)
		p.hit(hit.ID, d, 1-float64(d)/128, limit, pass, quality < pdq.MinQuality, h)
	}
}

// Exact looks for signals of the kind whose value is equal.
func (p *Probe) Exact(kind fingerprint.Kind, value *[32]byte, text string, limit Action, pass string) {
	p.v.mu.RLock()
	defer p.v.mu.RUnlock()
	for at := p.v.exact[exactKeyOf(kind, value, text)]; at != 0; {
		r := &p.v.t.recs[at-1]
		p.hit(slotID(r.gen, at-1), 0, 1, limit, pass, false, nil)
		at = r.next
	}
}

// Hit adds the signal that a Keeper knows as id. score is from 0 to 1.
func (p *Probe) Hit(id uint64, distance int, score float64, limit Action, pass string) {
	p.v.mu.RLock()
	defer p.v.mu.RUnlock()
	p.hit(id, distance, score, limit, pass, false, nil)
}

// hitVideo is Hit for a video, whose difference from the known one the circuit
// breaker compares with those of other matches.
func (p *Probe) hitVideo(id uint64, distance int, score float64, limit Action, pass string, difference *pdq.Hash) {
	p.v.mu.RLock()
	defer p.v.mu.RUnlock()
	p.hit(id, distance, score, limit, pass, false, difference)
}

// hit adds a match if the signal is in force. The caller holds v.mu.
func (p *Probe) hit(id uint64, distance int, score float64, limit Action, pass string, poor bool, form *pdq.Hash) {
	slot, gen := uint32(id), uint32(id>>32) //nolint:gosec // the two halves
	if int(slot) >= len(p.v.t.recs) {
		return
	}
	r := &p.v.t.recs[slot]
	if r.gen != gen || r.flags&flagLive == 0 || r.flags&flagMasked != 0 {
		return
	}
	if r.expires != 0 && p.at >= r.expires {
		return
	}
	c := p.v.t.classes[r.class]
	list := &p.r.Matches
	if c.Exercise {
		list = &p.r.Exercise
	}
	i := slices.IndexFunc(*list, func(m Match) bool { return m.slot == slot })
	m := Match{
		Number: r.num, Signal: p.v.t.id(slot), Kind: c.Kind, List: c.List, Labels: c.Labels, Producer: c.Producer, Group: p.v.t.groupName(slot),
		Incident: c.Incident, Entry: r.entry, Distance: distance, Score: score, Pass: pass, Action: c.Action, slot: slot,
	}
	if form != nil {
		m.form = *form
	}
	if m.Action == Block {
		switch {
		case c.Exercise:
			m.Action, m.Why = Review, "exercise"
		case r.flags&flagTripped != 0:
			m.Action, m.Why = Review, "breaker"
		case r.flags&flagEpoch != 0:
			m.Action, m.Why = Review, "epoch"
		case r.flags&flagCapped != 0:
			m.Action, m.Why = Review, "degenerate"
		case p.age > c.maxStale():
			m.Action, m.Why = Review, "stale"
		case poor:
			m.Action, m.Why = Review, "quality"
		}
	}
	if rank(limit) < rank(m.Action) {
		m.Action, m.Why = limit, whyWeak
	}
	// One match a signal: the one with the strongest action, and of those the
	// nearest, whatever form it was found in.
	if i < 0 {
		*list = append(*list, m)
	} else if before(&m, &(*list)[i]) {
		(*list)[i] = m
	}
}

const whyWeak = "weak"

func rank(a Action) int {
	switch a {
	case Block:
		return 3
	case Review:
		return 2
	case Monitor:
		return 1
	}
	return 0
}

// begin starts a look-up; false if the matcher never had a state.
func (m *Matcher) begin(r *Result) (*Probe, bool) {
	r.Reset()
	t, age, ready := m.now()
	r.probe = Probe{m: m, v: m.view.Load(), r: r, at: t.Unix(), age: age}
	return &r.probe, ready
}

// end sorts, asks the circuit breaker and counts.
func (m *Matcher) end(p *Probe) {
	m.count.queries.Add(1)
	r := p.r
	p.Set, p.v, p.r = nil, nil, nil
	if len(r.Matches)+len(r.Exercise) == 0 {
		return
	}
	for i := range r.Matches {
		x := &r.Matches[i]
		if x.Action == Block && x.form != (pdq.Hash{}) && m.observe(x) {
			x.Action, x.Why = Review, "breaker"
		}
	}
	order(r.Matches)
	order(r.Exercise)
	if len(r.Matches) > 0 {
		m.count.matched.Add(1)
	}
	if r.Blocked() {
		m.count.blocked.Add(1)
	}
	now := m.o.Now()
	m.tally.add(now, r.Matches, false)
	m.tally.add(now, r.Exercise, true)
}

// order sorts by action, then distance, then number. There are few.
func order(ms []Match) {
	for i := 1; i < len(ms); i++ {
		for j := i; j > 0 && before(&ms[j], &ms[j-1]); j-- {
			ms[j], ms[j-1] = ms[j-1], ms[j]
		}
	}
}

func before(a, b *Match) bool {
	if x, y := rank(a.Action), rank(b.Action); x != y {
		return x > y
	}
	if a.Distance != b.Distance {
		return a.Distance < b.Distance
	}
	return a.Number < b.Number
}

// PDQ looks for signals near to one hash and fills r. quality is that of the
// hash, 0 to 100; under 50 nothing is recommended to be blocked. It allocates
// nothing if r was used before. It returns false while the matcher never had a
// state, so that nobody takes "no signals yet" for "no match".
func (m *Matcher) PDQ(r *Result, h *pdq.Hash, quality int) bool {
	p, ready := m.begin(r)
	p.PDQ(h, quality, Block, "pdq")
	m.end(p)
	return ready
}

// Value looks for one value in its kind's canonical text form. quality is of a
// PDQ hash. The error says what is wrong with the value; it wraps
// fingerprint.ErrKind for a kind that cannot be looked up by value.
func (m *Matcher) Value(r *Result, v fingerprint.Value, quality int) (ready bool, err error) {
	p, ready := m.begin(r)
	defer m.end(p)
	if v.Kind == fingerprint.Local {
		return ready, refuseKind(v.Kind)
	}
	given := v.Text
	v, err = fingerprint.Parse(v.Kind, v.Text)
	switch {
	case err != nil:
		return ready, err
	case v.Kind == fingerprint.PDQ:
		h, err := pdq.Parse(v.Text)
		if err != nil {
			return ready, err
		}
		p.PDQ(&h, quality, Block, "pdq")
		return ready, nil
	case v.Kind == fingerprint.VPDQ:
		frames, err := vpdq.Parse(v.Text)
		if err != nil {
			return ready, err
		}
		m.video.value(p, frames)
		return ready, nil
	case v.Kind == fingerprint.TLSH:
		m.text.value(p, v.Text)
		return ready, nil
	case v.Kind == fingerprint.Audio:
		t, err := audio.Parse(v.Text)
		if err != nil {
			return ready, err
		}
		m.audio.value(p, t)
		return ready, nil
	}
	b, _, text, err := packValue(v.Kind, v.Text)
	if err != nil {
		return ready, err
	}
	p.Exact(v.Kind, &b, text, exactLimit(v.Kind), "digest")
	switch v.Kind {
	case fingerprint.URL:
		// The canonical address may not name the channel any more.
		r, err := link.Read(given)
		if err != nil {
			return ready, err
		}
		for _, d := range r.URL.Domains() {
			p.Exact(fingerprint.Domain, &b, d.String(), Block, "domain")
		}
		if !r.Channel.IsZero() {
			// Some services serve a post under any name, so the name in an
			// address is no proof of its author.
			p.Exact(fingerprint.Channel, &b, r.Channel.String(), Review, "channel")
		}
	case fingerprint.Domain:
		for _, d := range link.Domain(v.Text).Covering()[1:] {
			p.Exact(fingerprint.Domain, &b, d.String(), Block, "domain")
		}
	case fingerprint.Payment:
		h, err := payment.Parse(v.Text)
		if err != nil {
			return ready, err
		}
		for _, k := range m.o.PaymentKeys {
			if keyed, err := k.Hash(h); err == nil { // else it was keyed already
				p.Exact(fingerprint.Payment, &b, keyed.Reveal(), Block, "keyed")
			}
		}
	}
	return ready, nil
}

// Set looks for all that was computed from one file and fills r.
func (m *Matcher) Set(r *Result, s *fingerprint.Set) (ready bool) {
	p, ready := m.begin(r)
	p.Set = s
	for _, pass := range m.passes {
		pass.Run(p)
	}
	m.end(p)
	return ready
}

// exactLimit is the strongest action that equality of this kind allows.
func exactLimit(k fingerprint.Kind) Action {
	if k == fingerprint.MD5 {
		return Review // anyone can make two files with one MD5
	}
	return Block
}

type digestPass struct{}

func (digestPass) Run(p *Probe) {
	if p.Set.SHA256 != (digest.SHA256{}) {
		p.Exact(fingerprint.SHA256, (*[32]byte)(&p.Set.SHA256), "", Block, "digest")
	}
	if p.Set.MD5 != (digest.MD5{}) {
		var v [32]byte
		copy(v[:], p.Set.MD5[:])
		p.Exact(fingerprint.MD5, &v, "", Review, "digest")
	}
}

type pdqPass struct{}

func (pdqPass) Run(p *Probe) {
	probes := variant.Probes(p.Set)
	for i := range probes {
		q := &probes[i]
		// The picture as a whole, in any orientation, says it best; parts of it
		// and negatives are asked only when it does not block.
		if strings.HasPrefix(q.Pass, "trim:") || strings.HasSuffix(q.Pass, ":negative") {
			if p.Found(Block) {
				return
			}
		}
		p.PDQ(&q.Hash, q.Quality, Block, q.Pass)
	}
}

func isExact(k fingerprint.Kind) bool {
	switch k {
	case fingerprint.SHA256, fingerprint.MD5, fingerprint.URL, fingerprint.Domain, fingerprint.Channel, fingerprint.Payment, fingerprint.TLSH:
		return true
	}
	return false
}

func exactKeyOf(k fingerprint.Kind, value *[32]byte, text string) exactKey {
	key := exactKey{kind: uint8(slices.Index(kinds, k))} //nolint:gosec // about ten kinds
	if valueSize(k) > 0 {
		key.v = *value
	} else {
		key.v = sha256.Sum256([]byte(text))
	}
	return key
}

var kinds = fingerprint.Kinds()

func ones(v *[32]byte) int {
	n := 0
	for i := 0; i < len(v); i += 8 {
		n += bits.OnesCount64(binary.LittleEndian.Uint64(v[i:]))
	}
	return n
}
