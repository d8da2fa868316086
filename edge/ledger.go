package edge

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"sync"
)

// ledger keeps what an edge counted and has not told the node yet, through a
// crash at any moment, so that it is told once:
//
//	counts of matches    added to the file once a second: a crash loses what was counted since
//	verdicts             in the file before the platform gets its answer
//	a batch              in the file before it is sent, and taken out of the counts by the same write
//	an answer            in the file before the next batch is made
//
// All of it is one file of records, "ledger", appended and synced. It is written
// anew when it is opened, when it has grown, and after a failed write, of which
// nobody knows what reached the disk; until that worked no batch is made, as
// its counts might still stand in the file.
//
// A batch's ID is NAME.KIND.NUMBER. NAME is new each time that the ledger is
// opened, NUMBER counts up from 1, and a batch is made when the one before it
// was answered: the node only needs to remember the last number of each name.
type ledger struct {
	dir *folder // nil: in memory only
	t   *tallies

	mu       sync.Mutex // guards what follows; held over writes, which are the point. Taken before t.mu
	name     string
	number   map[string]int64 // by kind
	tally    TallyBatch       // made, not answered
	verdict  VerdictBatch     // the same
	verdicts verdicts
	closed   bool
	file     *os.File // nil: to be written anew
	seal     *sealWriter
	size     int64 // bytes in the file
	floor    int64 // of them, when it was written anew
	buf      []byte
}

// ledgerRecord is one change. Together, in order, they give the state.
type ledgerRecord struct {
	Tallies  []Tally        `json:"t,omitempty"`  // add
	Tally    *TallyBatch    `json:"tb,omitempty"` // made
	Merged   []int          `json:"tm,omitempty"` // of it, those that were kept without their minute
	Given    []given        `json:"v,omitempty"`  // add
	Counts   []VerdictCount `json:"vc,omitempty"` // add, without the decisions that they are of
	Known    []given        `json:"vi,omitempty"` // decisions to remember
	Verdict  *VerdictBatch  `json:"vb,omitempty"` // made
	Answered string         `json:"done,omitempty"`
}

const (
	// ledgerPart bounds the counts in a record or a batch, so that each fits
	// into a sealed piece and into what a node takes.
	ledgerPart = 500
	// ledgerGrowth is how far the file grows before it is written anew.
	ledgerGrowth = 4 << 20
)

// openLedger reads what is there. A file that cannot be read to its end gives
// what came before the damage; whole says whether there was none.
func openLedger(d *folder, t *tallies) (l *ledger, whole bool) {
	l = &ledger{dir: d, t: t, name: newID(), number: map[string]int64{}}
	if d == nil {
		return l, true
	}
	t.mu.Lock()
	t.track = true
	t.mu.Unlock()
	whole = true
	if f, err := os.Open(d.path("ledger")); err == nil {
		whole = l.read(f)
		_ = f.Close() // only read
	} else if !errors.Is(err, fs.ErrNotExist) {
		whole = false
	}
	// What an earlier release had sent and not heard of.
	if raw, err := d.get("tallies"); err == nil && l.tally.Batch == "" {
		_ = json.Unmarshal(raw, &l.tally) // sealed by us; if not, there is none
	}
	if l.renew() == nil {
		_ = d.remove("tallies") // it is in the ledger; read again it would be the same batch
	}
	return l, whole
}

func (l *ledger) read(f io.Reader) (whole bool) {
	s, err := newSealReader(bufio.NewReaderSize(f, 64<<10), l.dir.secret)
	if err != nil {
		return false
	}
	for {
		b, _, err := s.next()
		if err != nil {
			return errors.Is(err, io.EOF)
		}
		var r ledgerRecord
		if err := json.Unmarshal(b, &r); err != nil {
			return false
		}
		l.replay(&r)
	}
}

func (l *ledger) replay(r *ledgerRecord) {
	l.t.load(r.Tallies)
	if r.Tally != nil {
		keys := slices.Clone(r.Tally.Counts)
		for _, i := range r.Merged {
			if i >= 0 && i < len(keys) {
				keys[i].Minute = 0
			}
		}
		l.t.drop(keys)
		l.tally = *r.Tally
	}
	l.verdicts.add(r.Given)
	for _, c := range r.Counts {
		l.verdicts.add(nil) // makes the maps
		l.verdicts.count(verdictKey{c.Signal, c.Minute, c.Verdict}, c.Count)
	}
	for _, g := range r.Known {
		l.verdicts.add(nil)
		l.verdicts.ids[g.ID] = g
	}
	if r.Verdict != nil {
		l.verdicts.remove(r.Verdict.Verdicts)
		l.verdict = *r.Verdict
	}
	l.answeredLocked(r.Answered)
}

func (l *ledger) answeredLocked(batch string) {
	switch {
	case batch == "":
	case batch == l.tally.Batch:
		l.tally = TallyBatch{}
	case batch == l.verdict.Batch:
		l.verdict = VerdictBatch{}
	}
}

// renew writes the whole state into a new file. The caller holds l.mu, or is
// the only one.
func (l *ledger) renew() (err error) {
	if l.file != nil {
		_ = l.file.Close() // replaced
		l.file = nil
	}
	f, err := os.CreateTemp(l.dir.dir, "ledger.tmp*")
	if err != nil {
		return fmt.Errorf("storing counts: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close() // failed already
			_ = os.Remove(f.Name())
			err = fmt.Errorf("storing counts: %w", err)
		}
	}()
	s, err := newSealWriter(f, l.dir.secret)
	if err != nil {
		return err
	}
	size := int64(0)
	put := func(r ledgerRecord) {
		if err != nil {
			return
		}
		var b []byte
		if b, err = json.Marshal(r); err == nil {
			l.buf = s.append(l.buf[:0], b, false)
			size += int64(len(l.buf))
			_, err = f.Write(l.buf)
		}
	}
	if err = hook(l.dir.dir, "ledger"); err != nil {
		return err
	}
	// Batches come first: reading one takes its counts out of what came before.
	if l.tally.Batch != "" {
		put(ledgerRecord{Tally: &l.tally})
	}
	for part := range slices.Chunk(l.t.all(), ledgerPart) {
		put(ledgerRecord{Tallies: part})
	}
	var known []given
	for _, g := range l.verdicts.ids {
		known = append(known, g)
	}
	for part := range slices.Chunk(known, ledgerPart) {
		put(ledgerRecord{Known: part})
	}
	if l.verdict.Batch != "" {
		put(ledgerRecord{Verdict: &l.verdict})
	}
	for part := range slices.Chunk(l.verdicts.pick(1<<62, len(l.verdicts.by)), ledgerPart) {
		put(ledgerRecord{Counts: part})
	}
	if err == nil {
		err = hook(l.dir.dir, "ledger.sync")
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = hook(l.dir.dir, "ledger.rename")
	}
	if err == nil {
		err = os.Rename(f.Name(), l.dir.path("ledger"))
	}
	if err == nil {
		err = syncDir(l.dir.dir)
	}
	if err != nil {
		return err
	}
	l.file, l.seal, l.size, l.floor = f, s, size, size
	return nil
}

var errLedgerClosed = errors.New("edge: this edge is stopping; send it again when it is up")

// append stores a record. After a failure the file is to be written anew. The
// caller holds l.mu.
func (l *ledger) append(r ledgerRecord) error {
	if l.dir == nil {
		return nil
	}
	if l.closed {
		return errLedgerClosed // the folder may be another edge's by now
	}
	if l.file == nil || l.size > l.floor+ledgerGrowth {
		if err := l.renew(); err != nil {
			return err
		}
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	l.buf = l.seal.append(l.buf[:0], b, false)
	if err = hook(l.dir.dir, "ledger.append"); err == nil {
		_, err = l.file.Write(l.buf)
	}
	if err == nil {
		err = hook(l.dir.dir, "ledger.append.sync")
	}
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		_ = l.file.Close() // failed already
		l.file = nil
		return fmt.Errorf("storing counts: %w", err)
	}
	l.size += int64(len(l.buf))
	return nil
}

// keep stores what was counted since the last time.
func (l *ledger) keep() error {
	if l.dir == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return errLedgerClosed
	}
	if l.file == nil {
		return l.renew() // with all counts
	}
	for part := range slices.Chunk(l.t.since(), ledgerPart) {
		if err := l.append(ledgerRecord{Tallies: part}); err != nil {
			return err
		}
	}
	return nil
}

// close stores the last counts and closes the file.
func (l *ledger) close() error {
	err := l.keep()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.file != nil {
		err = errors.Join(err, l.file.Close())
		l.file = nil
	}
	return err
}

func (l *ledger) id(kind string) string {
	return l.name + "." + kind + "." + strconv.FormatInt(l.number[kind]+1, 10)
}

// tallyBatch returns the batch that waits for an answer, or makes one of counts
// of minutes before the given one; its Batch is "" if there are none. Counts
// below few are told as few.
func (l *ledger) tallyBatch(before, few int64) (TallyBatch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tally.Batch != "" {
		return l.tally, nil
	}
	counts, merged := l.t.pick(before, ledgerPart)
	if len(counts) == 0 {
		return TallyBatch{}, nil
	}
	b := TallyBatch{Batch: l.id("t"), Counts: slices.Clone(counts)}
	for i := range b.Counts {
		if b.Counts[i].Count < few {
			b.Counts[i].Count, b.Counts[i].Few = 0, true
		}
	}
	if err := l.append(ledgerRecord{Tally: &b, Merged: merged}); err != nil {
		return TallyBatch{}, err
	}
	for _, i := range merged {
		counts[i].Minute = 0
	}
	l.t.remove(counts)
	l.number["t"]++
	l.tally = b
	return b, nil
}

// verdictBatch is tallyBatch for verdicts. With few, what was taken back and is
// not much is not told: the other side has no number to take it from.
func (l *ledger) verdictBatch(before, few int64) (VerdictBatch, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.verdict.Batch != "" {
		return l.verdict, nil
	}
	picked := l.verdicts.pick(before, ledgerPart)
	if len(picked) == 0 {
		return VerdictBatch{}, nil
	}
	b := VerdictBatch{Batch: l.id("v")}
	for _, c := range picked {
		switch {
		case c.Count <= -few || c.Count >= few:
		case c.Count > 0:
			c.Count, c.Few = 0, true
		default:
			c.Count = 0
		}
		b.Verdicts = append(b.Verdicts, c)
	}
	if err := l.append(ledgerRecord{Verdict: &b}); err != nil {
		return VerdictBatch{}, err
	}
	l.verdicts.remove(picked)
	l.number["v"]++
	l.verdict = b
	return b, nil
}

// answered notes that the node has counted the batch. An error means that it
// may be sent again after a crash, and is counted once all the same.
func (l *ledger) answered(batch string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answeredLocked(batch)
	return l.append(ledgerRecord{Answered: batch})
}

// errLedgerFull says that more verdicts wait for the node than are kept.
var errLedgerFull = errors.New("edge: too many verdicts wait for the node; send them again when the edge is connected")

// judge counts judgements, which were checked. When it returns nil they survive
// a crash, if there is a folder.
func (l *ledger) judge(list []given) (Taken, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.verdicts.by)+2*len(list) > maxVerdictKeys {
		return Taken{}, errLedgerFull
	}
	for part := range slices.Chunk(list, ledgerPart) {
		if err := l.append(ledgerRecord{Given: part}); err != nil {
			// Nothing is counted. After a crash before the file is written
			// anew, a part may be: sent again with their IDs they count once.
			return Taken{}, err
		}
	}
	return l.verdicts.add(list), nil
}

// Untold is what an edge counted and the node has not answered yet.
type Untold struct {
	Matches  int64 `json:"matches"`
	Verdicts int64 `json:"verdicts"` // taken back ones count as well
}

func (l *ledger) untold() (u Untold) {
	l.mu.Lock()
	defer l.mu.Unlock()
	u.Matches = l.t.total()
	for _, c := range l.tally.Counts {
		u.Matches += c.Count
	}
	for _, n := range l.verdicts.by {
		u.Verdicts += max(n, -n)
	}
	for _, c := range l.verdict.Verdicts {
		u.Verdicts += max(c.Count, -c.Count)
	}
	return u
}
