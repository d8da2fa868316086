package edge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// alarm notes that something should be looked at.
func (f *Follower) alarm(kind AlarmKind, text string) {
	now := f.o.Now().UTC().Truncate(time.Millisecond)
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.alarms[kind]
	if a == nil {
		a = &Alarm{Kind: kind, First: now}
		f.alarms[kind] = a
	}
	a.Text, a.Last = text, now
	a.Count++
}

// calm takes back alarms about what is over.
func (f *Follower) calm(kinds ...AlarmKind) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range kinds {
		delete(f.alarms, k)
	}
}

func (f *Follower) setConnected(to string) {
	f.mu.Lock()
	f.connected = to
	f.mu.Unlock()
	if to != "" {
		f.calm(AlarmToken)
	}
}

func (f *Follower) setWritable(ok bool) {
	f.mu.Lock()
	f.writable = ok
	f.mu.Unlock()
	if ok {
		f.calm(AlarmDisk)
	}
}

// tell makes the reporter send soon.
func (f *Follower) tell() {
	select {
	case f.report <- struct{}{}:
	default:
	}
}

// newEpoch: the node was restored and began a new epoch. Withdrawals after the
// backup may be lost there. What this edge knows to be removed, and the new
// epoch says is active, is for review until the node says something about it.
func (f *Follower) newEpoch(t *table) []Trip {
	var back []Trip
	now := f.o.Now().UTC().Truncate(time.Millisecond)
	for _, c := range t.chains {
		for _, g := range f.gone[c.name] {
			if slot, ok := c.by[g.Number]; ok && !t.classes[t.recs[slot].class].Mask {
				back = append(back, Trip{Number: g.Number, Signal: t.id(slot).String(), Entry: t.recs[slot].entry, At: now, Cause: CauseEpoch})
			}
		}
		f.gone[c.name] = nil
	}
	text := "the node was restored and began a new epoch; this edge follows it"
	if len(back) > 0 {
		text = fmt.Sprintf("the node was restored and began a new epoch in which %d withdrawn signals are active again; they are for review here until the node decides about them anew", len(back))
	}
	f.alarm(AlarmRollback, text)
	return back
}

// checkpoint compares the journal's signed head with the last one seen.
func (f *Follower) checkpoint(note string) error {
	if note == "" {
		return nil
	}
	origin, size, root, ok := readNote(note)
	if !ok {
		return f.refuse(AlarmSignature, fmt.Errorf("%w: the journal's checkpoint cannot be read", ErrSyntax), "the journal's checkpoint from the node cannot be read")
	}
	if f.noteText != "" {
		o, s, r, ok := readNote(f.noteText)
		switch {
		case !ok || o != origin:
		case size < s:
			return f.refuse(AlarmRollback, fmt.Errorf("%w: the journal has %d entries, it had %d", ErrRollback, size, s),
				fmt.Sprintf("the node's journal went back from %d entries to %d; tell the node's operator and an observer", s, size))
		case size == s && root != r:
			return f.refuse(AlarmFork, fmt.Errorf("%w: two journals of %d entries", ErrFork, size),
				fmt.Sprintf("the node signed two different journals of %d entries; both checkpoints are kept. Tell an observer", size))
		}
	}
	f.noteText = note
	return nil
}

// readNote takes origin, size and root from a checkpoint (C2SP tlog-checkpoint).
func readNote(note string) (origin string, size int64, root string, ok bool) {
	lines := strings.SplitN(note, "\n", 4)
	if len(lines) < 4 || lines[0] == "" {
		return "", 0, "", false
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	return lines[0], size, lines[2], err == nil && size >= 0
}

// persist hands the whole state to the saver. It runs in Run's goroutine, or
// before Run.
func (f *Follower) persist() {
	if f.dir == nil {
		return
	}
	f.mu.Lock()
	f.tried = f.o.Now()
	f.mu.Unlock()
	gen, err := f.dir.begin()
	if err != nil {
		f.setWritable(false)
		f.alarm(AlarmDisk, "the edge's folder cannot be written to; it goes on from memory and acknowledges nothing. Free space or check the disk")
		return
	}
	v := f.m.view.Load()
	v.mu.RLock()
	t := v.t.clone()
	v.mu.RUnlock()
	s := save{t: t, gen: gen, m: meta{Keys: f.sealed, Partner: f.partner, Edge: f.name, Trips: f.m.Trips(), Gone: maps.Clone(f.gone),
		Checkpoint: f.noteText, Seen: f.seen.text(), LastBeat: f.lastBeat, Epoch: f.epoch, Saved: f.o.Now().UTC()}}
	if fr := f.m.fresh.Load(); fr != nil && fr.local.Before(s.m.Saved) {
		s.m.Saved = fr.local.UTC()
	}
	select {
	case old := <-f.saves: // not begun yet: replaced
		_ = old
	default:
	}
	f.saves <- s
}

// saver writes states.
func (f *Follower) saver(ctx context.Context) {
	if f.dir == nil {
		return
	}
	for {
		var s save
		select {
		case <-ctx.Done():
			select {
			case s = <-f.saves: // the last one is written before we go
			default:
				return
			}
		case s = <-f.saves:
		}
		c := f.m.Cursor() // all of it is in this state, or in its tail, or save fails
		whole, err := f.dir.save(s.t, s.m, s.gen)
		if err != nil {
			f.setWritable(false)
			f.alarm(AlarmDisk, "the edge's folder cannot be written to; it goes on from memory and acknowledges nothing. Free space or check the disk")
			f.o.Log.Error("edge's state cannot be stored", "err", err)
			continue
		}
		if !whole {
			continue // a later state follows, at once or after the next try
		}
		if later := f.m.Cursor(); f.dir.writable() { // no append failed, so all of it is in the tail
			c = later
		}
		f.setWritable(true)
		f.mu.Lock()
		f.durable = c
		f.mu.Unlock()
		f.tell()
	}
}

// reporter acknowledges and reports to the node, at most as often as it asked
// for, and sends tallies.
func (f *Follower) reporter(ctx context.Context) {
	var rate perMinute
	var lastAt time.Time
	idle := time.NewTicker(5 * time.Second)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.report:
		case <-idle.C:
		}
		f.mu.Lock()
		every, up := f.ackMS, f.connected
		f.mu.Unlock()
		if up == "" {
			continue
		}
		if wait := every - f.o.Now().Sub(lastAt); wait > 0 && wait <= every {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
			}
			select {
			case <-f.report: // joined with this one
			default:
			}
		}
		r := f.Report()
		lastAt = f.o.Now()
		r.PerMinute = rate.of(lastAt, r.Matched)
		if err := f.post(ctx, up, "/api/v1/feed/status", r); err != nil {
			f.o.Log.DebugContext(ctx, "report not delivered", "err", Reason(err))
			continue
		}
		f.sendTallies(ctx, up)
		f.sendVerdicts(ctx, up)
	}
}

// perMinute counts what a rising counter gained in the last minute. The first
// minute counts what there was of it, so that a number of some seconds is never
// blown up to a minute's.
type perMinute struct {
	at []time.Time // rising, at least a second apart, the first about a minute ago
	n  []int64     // the counter then
}

// of notes the counter now and returns what it gained.
func (p *perMinute) of(now time.Time, n int64) float64 {
	old := 0
	for old+1 < len(p.at) && now.Sub(p.at[old+1]) >= time.Minute {
		old++
	}
	p.at, p.n = p.at[old:], p.n[old:]
	if len(p.at) == 0 || now.Sub(p.at[len(p.at)-1]) >= time.Second {
		p.at, p.n = append(p.at, now), append(p.n, n)
	}
	gained := float64(n - p.n[0])
	if past := now.Sub(p.at[0]); past > time.Minute {
		gained *= float64(time.Minute) / float64(past)
	}
	return gained
}

// maxReportTrips bounds the trips in one report; the rest follow when these
// were answered.
const maxReportTrips = 100

// Report returns what the node is told.
func (f *Follower) Report() Report {
	age, _ := f.m.Age()
	f.mu.Lock()
	r := Report{Version: f.o.Version, Cursor: f.durable.Clone(), FeedAgeMS: age.Milliseconds(), Started: f.boot.UTC(), ClockSkew: f.skew.Milliseconds(), Durable: f.dir != nil && f.writable}
	f.mu.Unlock()
	r.Signals, r.Trips, r.Alarms = f.m.Len(), f.m.Trips(), f.Alarms()
	r.Trips = r.Trips[:min(len(r.Trips), maxReportTrips)]
	r.Queries, r.Matched, r.Blocked = f.m.count.queries.Load(), f.m.count.matched.Load(), f.m.count.blocked.Load()
	for k := range f.m.Unmatched() {
		r.Unmatched = append(r.Unmatched, string(k))
	}
	slices.Sort(r.Unmatched)
	return r
}

func (f *Follower) post(ctx context.Context, up, path string, v any) error {
	_, err := f.ask(ctx, up, path, v)
	return err
}

// ask is post that returns the answer.
func (f *Follower) ask(ctx context.Context, up, path string, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimRight(up, "/")+path, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	f.head(req)
	req.Header.Set("Content-Type", "application/json")
	resp, err := f.o.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("%s: %w", path, f.refused(resp))
	}
	return io.ReadAll(io.LimitReader(resp.Body, 1<<20))
}

// keeper stores counts once a second.
func (f *Follower) keeper(ctx context.Context) {
	if f.dir == nil {
		return
	}
	each := time.NewTicker(time.Second)
	defer each.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-each.C:
		}
		f.kept(f.ledger.keep())
	}
}

// kept tells when counts cannot be stored.
func (f *Follower) kept(err error) {
	if err == nil {
		return
	}
	f.alarm(AlarmDisk, "the edge's folder cannot be written to; counts of matches wait in memory and are lost if it stops now. Free space or check the disk")
	f.o.Log.Warn("counts of matches cannot be stored", "err", err)
}

// sendTallies sends the counts of whole minutes.
func (f *Follower) sendTallies(ctx context.Context, up string) {
	for {
		b, err := f.ledger.tallyBatch(f.o.Now().Unix()/60, f.o.Few)
		f.kept(err)
		if err != nil || b.Batch == "" {
			return
		}
		// The node takes no counts of more than 30 days ago; they would keep all
		// later ones waiting.
		oldest := f.o.Now().Add(-29*24*time.Hour).Unix() / 60
		n := len(b.Counts)
		b.Counts = slices.DeleteFunc(slices.Clone(b.Counts), func(t Tally) bool { return t.Minute < oldest })
		if n -= len(b.Counts); n > 0 {
			f.o.Log.WarnContext(ctx, "counts of matches were too old to be told", "counts", n)
		}
		if err := f.post(ctx, up, "/api/v1/feed/tallies", b); err != nil {
			f.o.Log.DebugContext(ctx, "tallies not delivered", "err", Reason(err))
			return
		}
		if f.ledger.answered(b.Batch) != nil {
			return // sent again after a crash, and counted once
		}
	}
}

// verdictPause is how long an edge waits before it offers verdicts to a node
// that does not take them: one of an earlier release.
const verdictPause = 10 * time.Minute

// sendVerdicts sends verdicts: at once, or those of whole minutes where small
// numbers are not told.
func (f *Follower) sendVerdicts(ctx context.Context, up string) {
	if f.o.Now().Before(f.noVerdicts) {
		return
	}
	for {
		before := f.o.Now().Unix()/60 + 1
		if f.o.Few > 0 {
			before--
		}
		b, err := f.ledger.verdictBatch(before, f.o.Few)
		f.kept(err)
		if err != nil || b.Batch == "" {
			return
		}
		raw, err := f.ask(ctx, up, "/api/v1/feed/verdicts", b)
		if err != nil {
			if a, ok := errors.AsType[*refusedByNode](err); ok && (a.status == http.StatusNotFound || a.status == http.StatusMethodNotAllowed) {
				f.noVerdicts = f.o.Now().Add(verdictPause)
				f.o.Log.InfoContext(ctx, "this node does not take verdicts; they wait here", "upstream", up)
				return
			} else if ok && a.status == http.StatusTooManyRequests && a.after > 10*time.Second {
				f.noVerdicts = f.o.Now().Add(a.after)
				f.alarm(AlarmVerdict, fmt.Sprintf("the node takes no more verdicts from this edge for %s, as it sent very many; they wait here", a.after.Round(time.Second)))
				return
			}
			f.o.Log.DebugContext(ctx, "verdicts not delivered", "err", Reason(err))
			return
		}
		var answer VerdictAnswer
		if json.Unmarshal(raw, &answer) == nil && len(answer.Unknown) > 0 {
			name := answer.Unknown[0]
			f.alarm(AlarmVerdict, fmt.Sprintf("a verdict names %q, which the node does not have as a signal for this partner: send the signal's name as the match gave it", name[:min(len(name), maxSignalName)]))
		}
		if f.ledger.answered(b.Batch) != nil {
			return
		}
	}
}

// Judge takes verdicts of the platform on matches; the node is told how many
// there were of each, never of what. When it returns nil they survive a crash,
// if there is a folder. It may be called concurrently. An error that wraps
// ErrSyntax says what is wrong with them; nothing is counted then.
func (f *Follower) Judge(list []Judgement) (Taken, error) {
	if len(list) == 0 || len(list) > MaxJudgements {
		return Taken{}, fmt.Errorf("%w: %d verdicts were sent; send 1 to %d", ErrSyntax, len(list), MaxJudgements)
	}
	minute := f.o.Now().Unix() / 60
	gs := make([]given, len(list))
	for i := range list {
		j := list[i]
		if wrong := j.check(); wrong != "" {
			return Taken{}, fmt.Errorf("%w: verdict %d: %s", ErrSyntax, i+1, wrong)
		}
		gs[i] = given{ID: hashJudgement(j.ID), Signal: j.Signal, Verdict: j.Verdict, Minute: minute}
	}
	t, err := f.ledger.judge(gs)
	if err == nil {
		f.tell()
	}
	return t, err
}

// Alarms returns what should be looked at, in order of kind.
func (f *Follower) Alarms() []Alarm {
	age, ok := f.m.Age()
	f.mu.Lock()
	defer f.mu.Unlock()
	out := []Alarm{}
	for _, a := range f.alarms {
		out = append(out, *a)
	}
	if ok && age > f.staleAfter() {
		now := f.o.Now().UTC().Truncate(time.Millisecond)
		out = append(out, Alarm{Kind: AlarmStale, Text: fmt.Sprintf("nothing heard from the node for %s; this edge answers from what it has", age.Round(time.Second)), First: now.Add(-age), Last: now, Count: 1})
	}
	slices.SortFunc(out, func(a, b Alarm) int { return strings.Compare(string(a.Kind), string(b.Kind)) })
	return out
}

func (f *Follower) staleAfter() time.Duration { return 15 * time.Second }

// Stats returns what arrived so far.
func (f *Follower) Stats() FollowerStats {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats
}

// Connected returns the node's address, or "" while it is away.
func (f *Follower) Connected() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.connected
}

// Durable returns the cursor up to which everything is on disk.
func (f *Follower) Durable() Cursor {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.durable.Clone()
}
