package history

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

const (
	seenFile  = "seen"  // the last checkpoint known of
	placeFile = "place" // where the database stood
	maxSeen   = 16 << 10
)

// Guard is a store that refuses to go on with a history that went back. Make
// it with NewGuard, give the log over it to Begin, and call Keep now and then.
// All methods may be called concurrently.
type Guard struct {
	journal.Store
	dir string // the node's data folder
	log *journal.Log

	mu      sync.Mutex
	tripped *problem.Error // why nothing may be written; nil: all is well
	held    *problem.Error // the same, for the first moments
	kept    []byte         // what the file holds
}

// NewGuard returns a guard over the store of the node in the data folder.
func NewGuard(store journal.Store, dir string) *Guard { return &Guard{Store: store, dir: dir} }

const recoverFix = "restore the newest backup, or run \"siaga recover\" to go on from here in a new epoch; until then this node only reads"

// Begin compares the journal with what was seen of it before. The log is over
// this guard. An error says that it could not be done; that the journal went
// back is no error but what Reason returns.
func (g *Guard) Begin(ctx context.Context, log *journal.Log) error {
	g.log = log
	var mark Mark
	var marked bool
	var state State
	if err := g.View(ctx, func(r journal.StoreReader) (err error) {
		if mark, marked, err = GetMark(r); err == nil {
			state, err = Load(r)
		}
		return err
	}); err != nil {
		return err
	}
	if marked && mark.Incomplete {
		return problem.New(problem.Conflict, "a restore into this node was interrupted: it is not complete", "delete the database and run \"siaga restore\" again")
	}
	if marked {
		g.trip(problem.Newf(problem.Unavailable, "this node was restored from the backup of %s and has not been recovered yet", mark.Written.UTC().Format("2 January 2006 15:04 UTC")).
			WithFix("run \"siaga recover\": it begins a new epoch, so that edges and partners know"))
	}
	seen, ok, err := Seen(g.dir)
	if err != nil {
		return err
	}
	if ok && seen.stops(state.Epoch) {
		g.trip(seen.reason())
	}
	if ok && seen.Checkpoint != "" {
		if err := g.Show(ctx, seen, "the file "+filepath.Join(g.dir, seenFile)); err != nil && !errors.Is(err, journal.ErrForked) {
			// The file is what tells a node that went back from one that did not: it
			// is never the first thing to give up.
			return problem.Newf(problem.Invalid, "the database does not fit what %s says that this node signed: the database is damaged, or database, keys and file are not of one node", filepath.Join(g.dir, seenFile)).
				WithFix("keep this folder; run \"siaga log verify --data %s\", and if it finds faults, \"siaga restore\" the newest backup; if it finds none, put the file away, not into the bin, and start again", g.dir).Because(err)
		}
	}
	return nil
}

// Evidence is a checkpoint and the epoch in which it was signed. A checkpoint of
// an earlier epoch says nothing: that history was left, and the journal says so.
type Evidence struct {
	Epoch      uint64 `json:"epoch"`
	Checkpoint string `json:"checkpoint"` // signed note
	// Why says that this node found out that it went back; "" while all is well.
	Why string `json:"why,omitempty"`
}

// stops reports whether the evidence keeps a node in an epoch from writing:
// "siaga recover", here or at another node of the database, answered what was
// found in an earlier one.
func (e Evidence) stops(epoch uint64) bool { return e.Why != "" && e.Epoch >= epoch }

func (e Evidence) reason() *problem.Error {
	return problem.New(problem.Unavailable, e.Why, recoverFix).Because(journal.ErrForked)
}

// Seen returns the newest evidence that the data folder holds beside the
// database; ok is false if there is none.
func Seen(dir string) (e Evidence, ok bool, err error) {
	b, err := os.ReadFile(filepath.Join(dir, seenFile))
	if errors.Is(err, fs.ErrNotExist) {
		return e, false, nil
	}
	if err != nil {
		return e, false, fmt.Errorf("reading the last checkpoint seen: %w", err)
	}
	if len(b) > maxSeen || json.Unmarshal(b, &e) != nil || e.Epoch == 0 {
		return e, false, problem.Newf(problem.Invalid, "%s is damaged", filepath.Join(dir, seenFile)).
			WithFix("run \"siaga log verify\"; if that finds nothing, delete the file: it is written anew")
	}
	return e, true, nil
}

// Show hands over what somebody saw. If the stored journal does not continue
// it, the guard trips, and the error's chain has journal.ErrForked. Other
// errors say that it is not one of this node's checkpoints.
func (g *Guard) Show(ctx context.Context, e Evidence, from string) error {
	if len(e.Checkpoint) > maxSeen {
		return fmt.Errorf("history: a checkpoint of %d bytes", len(e.Checkpoint))
	}
	var state State
	if err := g.View(ctx, func(r journal.StoreReader) (err error) {
		state, err = Load(r)
		return err
	}); err != nil {
		return err
	}
	seen, have, err := g.log.Compare(ctx, []byte(e.Checkpoint))
	if err != nil && !errors.Is(err, journal.ErrForked) {
		return err
	}
	what := ""
	switch {
	case e.Epoch < state.Epoch:
		return nil
	case e.Epoch > state.Epoch:
		what = fmt.Sprintf("this node is in epoch %d, and %s shows epoch %d: it went back, for instance to a backup", state.Epoch, from, e.Epoch)
	case err == nil:
		g.release(seen.Size, have)
		return nil
	case seen.Size > have:
		what = fmt.Sprintf("this node's journal has %d entries, and %s shows that it signed %d: it went back, for instance to a backup", have, from, seen.Size)
	default:
		what = fmt.Sprintf("this node's journal is not the one of %d entries that it signed and that %s shows: it was changed, or went on after going back", seen.Size, from)
	}
	return g.Trip(e, what)
}

// Trip stops all writes for good: the evidence e shows what is wrong, in a
// sentence. It returns the problem that writes get from now on.
func (g *Guard) Trip(e Evidence, what string) error {
	e.Why = what
	why := e.reason()
	if g.trip(why) {
		return errors.Join(why, g.write(e))
	}
	return why
}

// trip notes why nothing may be written, and reports whether that is new.
func (g *Guard) trip(why *problem.Error) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.tripped != nil {
		return false
	}
	g.tripped = why
	return true
}

// Reason returns why nothing may be written, or nil.
func (g *Guard) Reason() *problem.Error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.tripped != nil {
		return g.tripped
	}
	return g.held
}

// Hold refuses writes until an edge has shown what it saw, or the time is over:
// the database stands at another place than when this node ran last, so it may
// be a copy. It returns at once.
func (g *Guard) Hold(most time.Duration) {
	g.mu.Lock()
	g.held = problem.New(problem.Unavailable, "this node's database was copied here; it waits for an edge to say what it saw last",
		"wait "+most.String()+", then send again")
	g.mu.Unlock()
	time.AfterFunc(most, func() { g.unhold() })
}

func (g *Guard) unhold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = nil
}

// release ends Hold once an edge has shown the present head.
func (g *Guard) release(seen, have int64) {
	if seen >= have {
		g.unhold()
	}
}

// Moved reports whether the database file is another one than when the node
// ran last, and notes where it is now. A file that was replaced by a copy has
// another inode; a snapshot of the whole disk is not noticed, nor a copy that
// the disk gave the number of the file that was deleted just before. What edges
// show still stops the node then.
func (g *Guard) Moved(file string) (bool, error) {
	id, ok := identity(file)
	if !ok {
		return false, nil
	}
	path := filepath.Join(g.dir, placeFile)
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("reading where the database stood: %w", err)
	}
	text := strconv.FormatUint(id, 10) + "\n"
	if string(b) == text {
		return false, nil
	}
	return len(b) > 0, replace(path, []byte(text))
}

// Keep writes down the newest checkpoint beside the database. It does nothing
// while the guard is tripped: the evidence stays. If another node with the same
// folder wrote down that the journal went back, it stays too, and the guard
// trips.
func (g *Guard) Keep(ctx context.Context) error {
	if g.Reason() != nil {
		return nil
	}
	var note []byte
	var state State
	if err := g.View(ctx, func(r journal.StoreReader) (err error) {
		if note, _, err = r.Checkpoint(); err == nil {
			state, err = Load(r)
		}
		return err
	}); err != nil || note == nil {
		return err
	}
	return g.write(Evidence{Epoch: state.Epoch, Checkpoint: string(note)})
}

func (g *Guard) write(e Evidence) error {
	b, err := e.text()
	if err != nil {
		return err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if bytes.Equal(g.kept, b) {
		return nil
	}
	// Nodes of one database may share the folder.
	old, ok, err := Seen(g.dir)
	if err != nil {
		return err
	}
	if ok && old.stops(e.Epoch) {
		if g.tripped == nil {
			g.tripped = old.reason()
		}
		return nil
	}
	if err := replace(filepath.Join(g.dir, seenFile), b); err != nil {
		return fmt.Errorf("writing down the last checkpoint: %w", err)
	}
	g.kept = b
	return nil
}

func (e Evidence) text() ([]byte, error) {
	b, err := json.Marshal(e)
	return append(b, '\n'), err
}

// Keep replaces the evidence in the data folder.
func (e Evidence) Keep(dir string) error {
	b, err := e.text()
	if err != nil {
		return err
	}
	return replace(filepath.Join(dir, seenFile), b)
}

// replace writes a file so that a crash leaves the old or the new one.
func replace(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name()) // best effort: the error says more
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names of new files in a folder durable. Windows has no such
// call; there it does nothing.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	return errors.Join(err, d.Close())
}

// Update implements journal.Store. While the guard is tripped, private data
// alone can be written.
func (g *Guard) Update(ctx context.Context, fn func(tx journal.StoreTx) error) error {
	return g.Store.Update(ctx, func(tx journal.StoreTx) error {
		if why := g.Reason(); why != nil {
			tx = readOnly{tx, why}
		}
		return fn(tx)
	})
}
