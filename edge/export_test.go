package edge

import (
	"slices"
	"strconv"
	"time"
)

// TakeTallies is for tests.
func (m *Matcher) TakeTallies(before int64, limit int) []Tally {
	out, merged := m.tally.pick(before, limit)
	keys := slices.Clone(out)
	for _, i := range merged {
		keys[i].Minute = 0
	}
	m.tally.remove(keys)
	return out
}

// StoreHook has fn called before each step of storing in a folder, which fails
// if fn does. The function it returns takes it away again.
func StoreHook(dir string, fn func(step string) error) func() {
	hook := func(d, step string) error {
		if d != dir {
			return nil
		}
		return fn(step)
	}
	storeHook.Store(&hook)
	return func() { storeHook.Store(nil) }
}

// SaveFolder writes the state of an edge's folder.
func SaveFolder(dir, secret string, s *State) error {
	d, err := openFolder(dir, secret)
	if err != nil {
		return err
	}
	defer d.lock.Close() //nolint:errcheck // a test
	gen, err := d.begin()
	if err != nil {
		return err
	}
	_, err = d.save(s.t, meta{}, gen)
	return err
}

// LoadFolder makes the state of an edge's folder the matcher's.
func LoadFolder(dir, secret string, m *Matcher) error {
	d, err := openFolder(dir, secret)
	if err != nil {
		return err
	}
	defer d.lock.Close() //nolint:errcheck // a test
	t, _, err := d.load()
	if err == nil {
		m.adopt(t, nil)
	}
	return err
}

// AppendUpload and ParseUpload are look-back's records, for their tests.
var (
	AppendUpload = appendUpload
	ParseUpload  = parseUpload
)

// Ledger is an edge's ledger with the counts that it keeps.
type Ledger struct {
	*ledger
	t tallies
}

// OpenLedger opens the ledger of a folder; lost says that a part was damaged.
// Abandon it as a crash would, or Close it.
func OpenLedger(dir, secret string) (l *Ledger, lost bool, err error) {
	d, err := openFolder(dir, secret)
	if err != nil {
		return nil, false, err
	}
	l = &Ledger{}
	var whole bool
	l.ledger, whole = openLedger(d, &l.t)
	return l, !whole, nil
}

// Count counts one match.
func (l *Ledger) Count(minute int64, signal uint64) {
	l.t.add(time.Unix(minute*60, 0), []Match{{Number: signal, Signal: Name{text: "s" + strconv.FormatUint(signal, 10)}, Action: Block}}, false)
}

// Keep stores what was counted.
func (l *Ledger) Keep() error { return l.keep() }

// Judge counts one verdict.
func (l *Ledger) Judge(id, signal string, v Verdict, minute int64) (Taken, error) {
	return l.judge([]given{{ID: hashJudgement(id), Signal: signal, Verdict: v, Minute: minute}})
}

// Tallies returns the batch to be sent.
func (l *Ledger) Tallies(before, few int64) (TallyBatch, error) { return l.tallyBatch(before, few) }

// Judged returns the batch of verdicts to be sent.
func (l *Ledger) Judged(before, few int64) (VerdictBatch, error) { return l.verdictBatch(before, few) }

// Answered notes an answer.
func (l *Ledger) Answered(batch string) error { return l.answered(batch) }

// Untold is what waits.
func (l *Ledger) Untold() Untold { return l.untold() }

// Abandon lets go of the folder as a crash would: nothing more is written.
func (l *Ledger) Abandon() { l.dir.close() }

// PutFile stores a small file in a folder.
func PutFile(dir, secret, name string, b []byte) error {
	d, err := openFolder(dir, secret)
	if err != nil {
		return err
	}
	defer d.close()
	return d.put(name, b)
}

// CheckAtOnce sets how many uploads look-back checks for one signal before
// others have their turn. The function it returns sets it back.
func CheckAtOnce(n int) func() {
	old := lookbackFound
	lookbackFound = n
	return func() { lookbackFound = old }
}
