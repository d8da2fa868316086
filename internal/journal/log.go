package journal

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/problem"
)

// Options say what a Log is made of. Store and Origin are required.
type Options struct {
	Store Store
	Folds []Fold // one for each kind of object

	// Origin names the journal in its checkpoints, for example
	// "hub.example.org/siaga"; it is also the name of its keys.
	Origin string

	// Signer signs checkpoints; its name is Origin. Nil: the log signs none
	// and only reads what is there.
	Signer note.Signer

	// VerifierKeys are the text forms ("name+hash+key", C2SP signed-note) of
	// the keys that checkpoints may be signed with, the signer's own first.
	// Earlier ones stay, so that what they signed can be checked.
	VerifierKeys []string

	// Follow, if set, is called in its transaction for each entry that was
	// appended and folded, so that work for later is enqueued with it. An error
	// undoes the transaction.
	Follow func(tx StoreTx, e Entry) error

	// Observe, if set, is told when each Update began and how it ended, when it
	// has ended.
	Observe func(ctx context.Context, began time.Time, err error)

	Now  func() time.Time // default: time.Now
	Rand io.Reader        // for salts; default: crypto/rand.Reader
}

// Log is the journal of one node. All its methods may be called concurrently.
type Log struct {
	store     Store
	folds     map[string]Fold
	origin    string
	signer    note.Signer
	keys      []string
	verifiers note.Verifiers
	follow    func(tx StoreTx, e Entry) error
	observe   func(ctx context.Context, began time.Time, err error)
	now       func() time.Time
	rand      io.Reader
}

// NewLog returns a log over a store. It reads and writes nothing yet.
func NewLog(o Options) (*Log, error) {
	l := &Log{
		store: o.Store, folds: make(map[string]Fold, len(o.Folds)), origin: o.Origin, signer: o.Signer,
		keys: o.VerifierKeys, follow: o.Follow, observe: o.Observe, now: o.Now, rand: o.Rand,
	}
	if l.store == nil || l.origin == "" {
		return nil, errors.New("journal: Options need a Store and an Origin")
	}
	for _, f := range o.Folds {
		if _, twice := l.folds[f.Kind]; twice || f.Kind == "" || f.Apply == nil {
			return nil, fmt.Errorf("journal: fold of kind %q is incomplete or given twice", f.Kind)
		}
		l.folds[f.Kind] = f
	}
	var list []note.Verifier
	for _, k := range o.VerifierKeys {
		v, err := note.NewVerifier(k)
		if err != nil {
			return nil, fmt.Errorf("journal: reading verifier key %q: %w", k, err)
		}
		if v.Name() != l.origin {
			return nil, fmt.Errorf("journal: verifier key %q is not named like the origin %q", k, l.origin)
		}
		list = append(list, v)
	}
	l.verifiers = note.VerifierList(list...)
	if s := l.signer; s != nil {
		if s.Name() != l.origin {
			return nil, fmt.Errorf("journal: the signer is named %q and the origin is %q", s.Name(), l.origin)
		}
		if len(list) == 0 || list[0].KeyHash() != s.KeyHash() {
			return nil, errors.New("journal: the first of VerifierKeys is not the signer's")
		}
	}
	if l.now == nil {
		l.now = time.Now
	}
	if l.rand == nil {
		l.rand = rand.Reader
	}
	return l, nil
}

// Tx is a read-write transaction of a Log. Objects that have a fold change by
// Append alone.
type Tx struct {
	StoreTx
	log *Log
}

// Update runs fn in one transaction of the store; see Store.Update for what it
// promises.
func (l *Log) Update(ctx context.Context, fn func(tx *Tx) error) error {
	start := time.Now() // a duration, no time of business
	err := l.store.Update(ctx, func(tx StoreTx) error { return fn(&Tx{StoreTx: tx, log: l}) })
	if l.observe != nil {
		l.observe(ctx, start, err)
	}
	return err
}

// View runs fn on one consistent state.
func (l *Log) View(ctx context.Context, fn func(r StoreReader) error) error {
	return l.store.View(ctx, fn)
}

// Committed is Store.Committed.
func (l *Log) Committed() <-chan struct{} { return l.store.Committed() }

// Origin is the journal's name in checkpoints.
func (l *Log) Origin() string { return l.origin }

// Append stores the entry, commits it to the Merkle tree and folds it into
// every object that it is about and that has a fold. It returns the entry as
// stored, with its number. An entry without a time gets the present one.
//
// It returns a problem of kind Invalid or TooLarge for an entry that cannot be
// stored, and the error of a fold that refuses it; the transaction must then
// be given up.
func (tx *Tx) Append(e Entry) (Entry, error) { return tx.log.append(tx.StoreTx, e) }

func (l *Log) append(tx StoreTx, e Entry) (Entry, error) {
	if e.At.IsZero() {
		e.At = l.now()
	}
	if err := e.canonical(); err != nil {
		return Entry{}, err
	}
	var err error
	if e.Number, err = tx.Size(); err != nil {
		return Entry{}, err
	}
	row := Row{
		Number: e.Number, Type: e.Type, AtMillis: e.At.UnixMilli(), Partner: e.Partner, About: e.About,
		Head: appendHead(nil, &e), Payload: appendPayload(nil, &e), Salt: make([]byte, SaltSize),
	}
	if len(row.Payload) > MaxPayload {
		return Entry{}, problem.Newf(problem.TooLarge, "the entry %s has %d bytes, and %d are allowed", e.Type, len(row.Payload), MaxPayload).
			WithFix("send less")
	}
	if _, err := io.ReadFull(l.rand, row.Salt); err != nil {
		return Entry{}, fmt.Errorf("journal: making a salt: %w", err)
	}
	row.Seal = Seal(row.Salt, row.Payload)
	row.Commitment = Commit(row.Seal, row.Head)
	hashes, err := tlog.StoredHashesForRecordHash(e.Number, tlog.RecordHash(row.Commitment[:]), hashReader(tx))
	if err != nil {
		return Entry{}, fmt.Errorf("journal: adding entry %d to the tree: %w", e.Number, err)
	}
	if err := tx.PutRow(row, hashes); err != nil {
		return Entry{}, err
	}
	if err := l.foldInto(tx, e); err != nil {
		return Entry{}, err
	}
	if l.follow != nil {
		if err := l.follow(tx, e); err != nil {
			return Entry{}, fmt.Errorf("what follows from %s: %w", e.Type, err)
		}
	}
	return e, nil
}

// PutObject stores an object of a kind that has no fold. For the others it is
// an error, since they are derived from entries alone.
func (tx *Tx) PutObject(o Object) error {
	if _, folded := tx.log.folds[o.Kind]; folded {
		return fmt.Errorf("journal: %s is folded from entries: append one", o.Kind)
	}
	return tx.StoreTx.PutObject(o)
}

// DeleteObject removes an object of a kind that has no fold.
func (tx *Tx) DeleteObject(ref Ref) error {
	if _, folded := tx.log.folds[ref.Kind]; folded {
		return fmt.Errorf("journal: %s is folded from entries: append one", ref.Kind)
	}
	return tx.StoreTx.DeleteObject(ref)
}

// Entry returns one entry; a problem of kind NotFound if there is none.
func (l *Log) Entry(r StoreReader, number int64) (Entry, error) {
	row, err := r.Row(number)
	if err != nil {
		return Entry{}, err
	}
	return row.Entry()
}

// Entries returns the entries selected by q.
func (l *Log) Entries(r StoreReader, q RowQuery) ([]Entry, error) {
	rows, err := r.Rows(q)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, len(rows))
	for i := range rows {
		if entries[i], err = rows[i].Entry(); err != nil {
			return nil, err
		}
	}
	return entries, nil
}

// hashReader reads stored hashes for package tlog.
func hashReader(r StoreReader) tlog.HashReader { return tlog.HashReaderFunc(r.Hashes) }
