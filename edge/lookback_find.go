package edge

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sort"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/local"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/variant"
	"github.com/siaga-crp/siaga/fingerprint/vpdq"
	"github.com/siaga-crp/siaga/index"
)

// Run looks back for every signal that changes, until ctx ends, and closes the
// files. What is new goes before what is left of signals with very many
// uploads; files are synced meanwhile.
func (l *Lookback) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				l.upkeep()
			}
		}
	})
	more := make(chan struct{})
	close(more)
	for {
		left := more
		if !l.unfinished() {
			left = nil // a nil channel is never ready
		}
		select {
		case <-ctx.Done():
			wg.Wait()
			return l.Close()
		case c := <-l.changes:
			l.change(ctx, c)
			continue
		case <-l.kick:
			l.all(ctx)
			continue
		default:
		}
		select {
		case <-ctx.Done():
		case c := <-l.changes:
			l.change(ctx, c)
		case <-l.kick:
			l.all(ctx)
		case <-left:
			l.goOn(ctx)
		}
	}
}

// unfinished reports whether older uploads are still to be checked for a signal.
func (l *Lookback) unfinished() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.rest) > 0
}

func (l *Lookback) change(ctx context.Context, c change) {
	if c.num == 0 {
		l.all(ctx)
	} else {
		l.one(ctx, c)
	}
}

// upkeep syncs, keeps the bounds, and voids what was told of signals that have
// expired by their time, of which no operation tells while the node is away.
func (l *Lookback) upkeep() {
	now, _, _ := l.m.now()
	l.mu.Lock()
	nums := slices.Collect(maps.Keys(l.told))
	l.mu.Unlock()
	for _, num := range nums {
		if sig, ok := l.m.Signal(num); ok && !sig.Expires.IsZero() && !now.Before(sig.Expires) {
			l.void(num)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.expire(l.o.Now())
	if l.log.size > max(maxEventBytes, 3*l.compact) {
		if err := l.rewrite(); err != nil {
			l.stats.Failed++
			l.o.Log.Error("look-back cannot write", "err", err)
		}
	}
	for _, a := range []*appender{l.cur, l.log} {
		if err := a.sync(); err != nil {
			l.stats.Failed++
			l.o.Log.Error("look-back cannot write", "err", err)
		}
	}
}

// one looks back for one signal.
func (l *Lookback) one(ctx context.Context, c change) {
	sig, ok := l.m.Signal(c.num)
	if ok {
		l.find(ctx, sig, 0)
	} else {
		l.void(c.num)
	}
	if ctx.Err() != nil {
		return // perhaps not to its end
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reach(max(c.entry, l.reached))
}

// goOn checks older uploads for the signal that has waited longest.
func (l *Lookback) goOn(ctx context.Context) {
	l.mu.Lock()
	if len(l.rest) == 0 {
		l.mu.Unlock()
		return
	}
	r := l.rest[0]
	l.rest = l.rest[1:]
	l.mu.Unlock()
	if sig, ok := l.m.Signal(r.num); ok && sig.Entry == r.entry { // else its next change looks at all
		l.find(ctx, sig, r.before)
	}
	if ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reach(l.reached)
}

// reach notes that entries up to this one were looked back for. While there is
// a rest the mark stays, so that a restart begins anew. The caller holds l.mu.
func (l *Lookback) reach(entry int64) {
	l.reached = entry
	if len(l.rest) == 0 && l.mark != l.reached {
		l.mark = l.reached
		l.writeMark()
	}
}

// all looks back for every signal that is new since the last mark, and voids
// what is not in force any more: after a start, a snapshot, or more changes
// than could be noted.
func (l *Lookback) all(ctx context.Context) {
	sigs := l.m.Signals()
	newest, in := int64(0), make(map[uint64]bool, len(sigs))
	for i := range sigs {
		newest = max(newest, sigs[i].Entry)
		in[sigs[i].Number] = true
	}
	l.mu.Lock()
	mark, empty := l.mark, len(l.uploads) == 0
	if newest < mark {
		mark = 0 // the node was restored and counts anew
	}
	var gone []uint64
	for num := range l.told {
		if !in[num] {
			gone = append(gone, num)
		}
	}
	l.mu.Unlock()
	if len(sigs) > 0 { // an edge that has not reached its node yet knows of no withdrawal
		for _, num := range gone {
			l.void(num)
		}
	}
	for i := range sigs {
		if ctx.Err() != nil {
			return
		}
		if sigs[i].Entry > mark && !empty {
			l.one(ctx, change{num: sigs[i].Number})
		}
	}
	if ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reach(newest)
}

// found is an upload that was checked.
type found struct {
	id       uint64
	m        Match
	exercise bool
	ok       bool // it does match
	whole    bool // all that its hashes were matched by is kept
	gone     bool // it is not kept any more
}

// find looks back for one signal by its hashes and tells of it, in the uploads
// before the one with this id; 0: in all. What is left when very many were
// checked goes to l.rest.
func (l *Lookback) find(ctx context.Context, sig Signal, before uint64) {
	check := l.checker(sig)
	if check == nil {
		return
	}
	ids := l.candidates(sig)
	if before == 0 {
		// What was told at the upload may have been found in more than is kept.
		l.mu.Lock()
		var others []uint64
		may := make(map[uint64]bool, len(ids))
		for _, id := range ids {
			may[id] = true
		}
		for id := range l.told[sig.Number] {
			if !may[id] {
				others = append(others, id)
			}
		}
		l.mu.Unlock()
		slices.Sort(others)
		for _, id := range others {
			if f := l.look(id, check); f.ok {
				l.tell(sig, []found{f})
			} else {
				l.fails(sig, f)
			}
		}
	} else {
		ids = ids[sort.Search(len(ids), func(i int) bool { return ids[i] < before }):]
	}
	var batch []found
	vain := 0
	for i, id := range ids {
		if ctx.Err() != nil {
			return
		}
		if i == lookbackFound {
			l.mu.Lock()
			l.rest = append(l.rest, rest{change{sig.Number, sig.Entry}, ids[i-1]})
			l.mu.Unlock()
			break
		}
		vain++
		if f := l.look(id, check); f.ok {
			batch, vain = append(batch, f), 0
		} else {
			l.fails(sig, f)
		}
		if sig.Kind == fingerprint.Local && vain == lookbackVain {
			for _, id := range ids[i+1:] { // what was told of these is not left as it is
				l.mu.Lock()
				_, told := l.told[sig.Number][id]
				l.mu.Unlock()
				if !told {
					continue
				}
				if f := l.look(id, check); f.ok {
					batch = append(batch, f)
				} else {
					l.fails(sig, f)
				}
			}
			break // candidates of keypoints come likeliest first
		}
		if len(batch) >= lookbackBatch || sig.Kind == fingerprint.Local && vain == 4 {
			l.tell(sig, batch)
			batch = batch[:0]
		}
	}
	l.tell(sig, batch)
}

// fails says that an upload, of which something was told, does not match the
// signal as it is now: void, or, if the answer at the upload may have seen more
// than is kept, only that the action is another.
func (l *Lookback) fails(sig Signal, f found) {
	if now, ok := l.m.Signal(sig.Number); !ok || now.Entry != sig.Entry || f.gone {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	was, ok := l.told[sig.Number][f.id]
	u := l.uploads[f.id]
	if !ok || u == nil {
		return
	}
	if was.back || f.whole && sig.Kind != fingerprint.Local {
		l.sayVoid(sig.Number, []uint64{f.id})
		return
	}
	a := sig.Action
	if rank(a) > rank(Review) && (sig.Exercise || was.why == whyWeak || was.why == "quality" || was.why == "degenerate") {
		a = Review
	}
	if a == was.action && sig.Exercise == was.exercise {
		return
	}
	l.say([]LookbackEvent{{
		What: LookbackChanged, Reference: u.ref, Uploaded: u.at, Signal: sig.ID, Kind: sig.Kind, List: sig.List, Labels: slices.Clone(sig.Labels),
		Producer: sig.Producer, Group: sig.Group, Incident: sig.Incident, Entry: sig.Entry, Action: a, Why: was.why, Exercise: sig.Exercise, Number: sig.Number, Upload: f.id,
	}})
}

// look reads an upload from disk and matches it.
func (l *Lookback) look(id uint64, check func(*fingerprint.Set) (Match, bool, bool)) found {
	f := found{id: id}
	l.mu.Lock()
	u := l.uploads[id]
	l.mu.Unlock()
	if u == nil {
		f.gone = true
		return f
	}
	b, err := readPiece(l.o.Dir, l.secret, u.place)
	var set fingerprint.Set
	if err == nil {
		_, _, set, err = parseUpload(b)
	}
	if err != nil {
		f.gone = true // its file went meanwhile
		return f
	}
	f.m, f.exercise, f.ok = check(&set)
	// Of a picture all hashes are kept; of keypoints, frames and sound, some.
	f.whole = len(set.Frames) == 0
	return f
}

// checker returns a function that says whether an upload matches the signal, as
// the edge itself would say; nil for kinds that are not found in uploads.
func (l *Lookback) checker(sig Signal) func(*fingerprint.Set) (m Match, exercise, ok bool) {
	pick := func(r *Result) (Match, bool, bool) {
		for k, ms := range [][]Match{r.Matches, r.Exercise} {
			for i := range ms {
				if ms[i].Number == sig.Number {
					return ms[i], k == 1, true
				}
			}
		}
		return Match{}, false, false
	}
	var r Result
	switch sig.Kind {
	case fingerprint.VPDQ:
		// In the edge's own index, which knows what signals have in common.
		return func(s *fingerprint.Set) (Match, bool, bool) {
			p, _ := l.m.begin(&r)
			p.Set = s
			if q := newVideoQuery(p); q.aimAt(l.m, sig.Number) {
				if len(s.Frames) > 0 {
					q.forms(l.m.video, func(form int) vpdq.Video { return s.VPDQ(form) })
					if !p.Found(Block) {
						q.trims(l.m.video)
					}
				}
				if s.Picture != nil && !p.Found(Review) {
					l.m.video.still(p)
				}
			}
			p.Set, p.v, p.r = nil, nil, nil
			order(r.Matches)
			return pick(&r)
		}
	case fingerprint.PDQ, fingerprint.SHA256, fingerprint.MD5, fingerprint.TLSH, fingerprint.Local:
		alone := NewMatcher(MatcherOptions{Now: l.o.Now, BreakerMatches: 1 << 30})
		v := alone.view.Load()
		c, err := v.t.chainOf(SharedChain)
		if err != nil {
			return nil
		}
		slot, err := v.t.put(c, &sig, false)
		if err == nil {
			err = alone.index(v, slot)
		}
		if err != nil {
			return nil // no edge can match it, this one has said so
		}
		alone.FreshAt(l.o.Now())
		alone.clock.Store(l.m.clock.Load())
		return func(s *fingerprint.Set) (Match, bool, bool) {
			alone.Set(&r, s)
			return pick(&r)
		}
	}
	return nil
}

// candidates returns the uploads that may match the signal, newest first; of
// keypoints likeliest first.
func (l *Lookback) candidates(sig Signal) []uint64 {
	var ids []uint64
	near := func(x *index.Index, h pdq.Hash, bits int) {
		for _, m := range x.Search(nil, (*[32]byte)(&h), bits) {
			ids = append(ids, m.ID)
		}
	}
	switch sig.Kind {
	case fingerprint.Local:
		f, err := local.Parse(sig.Value)
		if err != nil {
			return nil
		}
		ids = l.points.Find(f)
		return ids[:min(len(ids), lookbackFound)]
	case fingerprint.SHA256, fingerprint.MD5, fingerprint.TLSH:
		v, _, text, err := packValue(sig.Kind, sig.Value)
		if err != nil {
			return nil
		}
		l.mu.Lock()
		ids = slices.Clone(l.exact[exactKeyOf(sig.Kind, &v, text)])
		l.mu.Unlock()
	case fingerprint.PDQ:
		h, err := pdq.Parse(sig.Value)
		if err != nil {
			return nil
		}
		for form := range vpdq.Forms {
			bits := min(sig.MaxDistance, maxPDQDistance)
			if form > 0 {
				bits += turnedSlack
			}
			turned := vpdq.Turn(h, form)
			near(l.pdq, turned, bits)
			near(l.pdq, variant.Negative(turned), bits)
			if form == 0 || form == mirrored {
				near(l.frames, turned, bits)
			}
		}
	case fingerprint.VPDQ:
		v, err := vpdq.Parse(sig.Value)
		if err != nil {
			return nil
		}
		for form := range vpdq.Forms {
			bits, n := vpdq.MatchDistance, videoSample
			if form > 0 {
				bits, n = bits+turnedSlack, turnedSample
			}
			for _, f := range sample(telling(v.Turned(form)), n) {
				near(l.frames, f.PDQ.Hash, bits)
				near(l.pdq, f.PDQ.Hash, bits)
			}
		}
	}
	slices.SortFunc(ids, func(a, b uint64) int { return cmp.Compare(b, a) })
	return slices.Compact(ids)
}

// aimAt makes the query look at one signal only.
func (q *videoQuery) aimAt(m *Matcher, num uint64) bool {
	q.p.v.mu.RLock()
	defer q.p.v.mu.RUnlock()
	for _, c := range q.p.v.t.chains {
		if slot, ok := c.by[num]; ok {
			if r := &q.p.v.t.recs[slot]; r.flags&flagMasked == 0 {
				q.only = slotID(r.gen, slot)
				return m.video.known(q.only) != nil
			}
		}
	}
	return false
}

// tell tells of uploads that match a signal, unless that was told before or the
// signal is not what it was.
func (l *Lookback) tell(sig Signal, fs []found) {
	if now, ok := l.m.Signal(sig.Number); !ok || now.Entry != sig.Entry {
		return // its next change is on its way here
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var es []LookbackEvent
	for i := range fs {
		u := l.uploads[fs[i].id]
		if u == nil {
			continue
		}
		m := &fs[i].m
		what := LookbackMatch
		if was, ok := l.told[sig.Number][fs[i].id]; ok {
			if was.action == m.Action && was.exercise == fs[i].exercise {
				continue
			}
			what = LookbackChanged
		}
		es = append(es, LookbackEvent{
			What: what, Reference: u.ref, Uploaded: u.at, Signal: m.Signal.String(), Kind: m.Kind, List: m.List, Labels: slices.Clone(m.Labels),
			Producer: m.Producer, Group: m.Group.String(), Incident: m.Incident, Entry: m.Entry, Distance: m.Distance, Score: m.Score, Pass: m.Pass,
			Action: m.Action, Why: m.Why, Exercise: fs[i].exercise, Number: sig.Number, Upload: fs[i].id, Back: true,
		})
	}
	l.say(es)
}

// void tells that what was told of a signal holds no more.
func (l *Lookback) void(num uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := make([]uint64, 0, len(l.told[num]))
	for id := range l.told[num] {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	l.sayVoid(num, ids)
}

func (l *Lookback) sayVoid(num uint64, ids []uint64) {
	var es []LookbackEvent
	for _, id := range ids {
		if u := l.uploads[id]; u != nil {
			was := l.told[num][id]
			es = append(es, LookbackEvent{What: LookbackVoid, Reference: u.ref, Uploaded: u.at, Signal: was.signal, Action: was.action, Exercise: was.exercise, Number: num, Upload: id})
		}
	}
	l.say(es)
}

// say writes events and wakes who waits for them. The caller holds l.mu.
func (l *Lookback) say(es []LookbackEvent) {
	if len(es) == 0 {
		return
	}
	now := l.o.Now().UTC().Truncate(time.Millisecond)
	for i := range es {
		es[i].Seq, es[i].At = l.seq+1, now
		l.take(es[i])
		l.write(es[i])
	}
	if err := l.log.sync(); err != nil {
		l.stats.Failed++
		l.o.Log.Error("look-back cannot write", "err", err)
	}
	close(l.wake)
	l.wake = make(chan struct{})
}
