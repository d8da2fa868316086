package edge

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/local"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/variant"
	"github.com/siaga-crp/siaga/fingerprint/vpdq"
	"github.com/siaga-crp/siaga/index"
)

// Run looks back for every signal that changes, until ctx ends, and closes the
// files.
func (l *Lookback) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return l.Close()
		case c := <-l.changes:
			if c.num == 0 {
				l.all(ctx)
			} else {
				l.one(ctx, c)
			}
		case <-l.kick:
			l.all(ctx)
		case <-tick.C:
			l.upkeep()
		}
	}
}

// upkeep syncs and keeps the bounds.
func (l *Lookback) upkeep() {
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
		l.find(ctx, sig)
	} else {
		l.void(c.num)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.entry > l.mark {
		l.mark = c.entry
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
	l.mu.Lock()
	defer l.mu.Unlock()
	if newest != l.mark {
		l.mark = newest
		l.writeMark()
	}
}

// found is an upload that matches.
type found struct {
	id       uint64
	m        Match
	exercise bool
}

// find looks back for one signal by its hashes and tells of it.
func (l *Lookback) find(ctx context.Context, sig Signal) {
	check := l.checker(sig)
	if check == nil {
		return
	}
	ids := l.candidates(sig)
	seen := map[uint64]bool{}
	var batch []found
	vain := 0
	for _, id := range ids {
		if ctx.Err() != nil {
			return
		}
		vain++
		if f, ok := l.look(id, check); ok {
			batch, seen[id], vain = append(batch, f), true, 0
		}
		if sig.Kind == fingerprint.Local && vain == lookbackVain {
			break // candidates of keypoints come likeliest first
		}
		if len(batch) == lookbackBatch || sig.Kind == fingerprint.Local && vain == 4 {
			l.tell(sig, batch)
			batch = batch[:0]
		}
	}
	l.tell(sig, batch)
	// What was told at the upload may have been found in more than is kept: it
	// goes on to match, perhaps with another action now.
	l.mu.Lock()
	var others []uint64
	for id := range l.told[sig.Number] {
		if !seen[id] {
			others = append(others, id)
		}
	}
	l.mu.Unlock()
	for _, id := range others {
		if f, ok := l.look(id, check); ok {
			l.tell(sig, []found{f})
		}
	}
}

// look reads an upload from disk and matches it.
func (l *Lookback) look(id uint64, check func(*fingerprint.Set) (Match, bool, bool)) (found, bool) {
	l.mu.Lock()
	u := l.uploads[id]
	l.mu.Unlock()
	if u == nil {
		return found{}, false
	}
	b, err := readPiece(l.o.Dir, l.secret, u.place)
	if err != nil {
		return found{}, false // its file went meanwhile
	}
	_, _, set, err := parseUpload(b)
	if err != nil {
		return found{}, false
	}
	m, exercise, ok := check(&set)
	return found{id, m, exercise}, ok
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
	ids = slices.Compact(ids)
	return ids[:min(len(ids), lookbackFound)]
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
			Action: m.Action, Why: m.Why, Exercise: fs[i].exercise, Number: sig.Number, Upload: fs[i].id,
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
