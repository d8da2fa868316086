package journal

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/problem"
)

// Store keeps the journal and what is folded from it. There are two: SQLite
// and PostgreSQL; both pass storetest.Run. It holds bytes and keys and knows
// nothing of their meaning; Log gives them meaning.
//
// Update is atomic and durable: if fn returns an error nothing of it is kept;
// once Update returns nil everything survives a crash of the process and of
// the machine. Transactions are serialised, so entries have one order. Several
// calls may share one commit on disk (group commit), and fn may be run again
// after a conflict, so fn has no effects besides those on tx. A panic in fn
// undoes its transaction and goes on to the caller; it harms no other one.
// View sees one consistent state and writes nothing. Neither may be called
// from within fn. All methods may be called concurrently.
//
// Update returns a problem of kind Busy when too many calls wait, and of kind
// Unavailable when the disk is full or the database is away; nothing is kept
// then, and the next call tries afresh. If ctx ends before fn has begun,
// Update returns its error and does nothing; later it waits for the commit.
type Store interface {
	Update(ctx context.Context, fn func(tx StoreTx) error) error
	View(ctx context.Context, fn func(tx StoreReader) error) error

	// Committed returns a channel that is closed at the next commit that
	// appended an entry or a feed operation, by this process or, while Watch
	// runs, another one. Read it before looking at the state, wait on it after.
	Committed() <-chan struct{}

	// Watch follows the commits of other processes until ctx ends or the store
	// is closed, and then returns nil. One call serves all users of Committed.
	Watch(ctx context.Context) error

	// Close waits for calls under way. Later ones return a problem of kind
	// Unavailable.
	Close() error
}

// StoreReader reads one consistent state. What it returns belongs to the
// caller. A missing object, row or piece of private data is a problem of kind
// NotFound.
type StoreReader interface {
	// Size is the number of entries.
	Size() (int64, error)
	Row(number int64) (Row, error)
	// Rows returns rows in order of number (descending if q.Newest), at most q.Limit.
	Rows(q RowQuery) ([]Row, error)
	// ScanRows calls fn for rows from the first number up to, not including,
	// the second, in order. What fn is given, here and by the other scans, is
	// valid during the call only, and fn does not use the reader.
	ScanRows(from, before int64, fn func(row *Row) error) error
	// ScanAbout calls fn for each pair of entry and object that Rows can be
	// selected by, in any order.
	ScanAbout(fn func(number int64, about Ref) error) error
	// Hashes returns stored tree hashes by tlog's stored hash index, in the
	// order asked for. A missing one is an error.
	Hashes(indexes []int64) ([]tlog.Hash, error)
	// ScanHashes calls fn for stored hashes from the first index up to, not
	// including, the second, in order.
	ScanHashes(from, before int64, fn func(index int64, h tlog.Hash) error) error
	// Checkpoint returns the last signed checkpoint and its size; nil if none.
	Checkpoint() (note []byte, size int64, err error)

	Object(ref Ref) (Object, error)
	Objects(q ObjectQuery) ([]Object, error)
	// ScanObjects calls fn for every object, by kind, then ID.
	ScanObjects(fn func(o *Object) error) error

	// Private data is not folded from the journal: sessions, one-time codes,
	// password hashes, idempotency records. What has expired is returned until
	// DeleteExpired removes it: the caller looks at Expires.
	Private(kind, id string) (Private, error)
	// Privates returns an owner's private data of one kind, ordered by ID.
	Privates(kind, owner string) ([]Private, error)

	// Feed returns operations of one chain after a sequence number, in order,
	// at most limit.
	Feed(chain string, after uint64, limit int) ([]FeedRow, error)
	// FeedHead returns the last operation of a chain; ok is false if it is empty.
	FeedHead(chain string) (head FeedRow, ok bool, err error)
	// ScanFeed calls fn for every operation, by chain, then Seq.
	ScanFeed(fn func(row *FeedRow) error) error
	// ScanPrivates calls fn for all private data, and ScanCounters for every
	// counter with its last value, both in any order.
	ScanPrivates(fn func(p *Private) error) error
	ScanCounters(fn func(counter string, value int64) error) error
}

// StoreTx also writes. It is used by one goroutine at a time and not after fn
// has returned.
type StoreTx interface {
	StoreReader
	// PutRow stores the row at row.Number, which must be Size(), and the tree
	// hashes that become known with it (tlog.StoredHashesForRecordHash).
	PutRow(row Row, hashes []tlog.Hash) error
	// EraseRow removes payload and salt of a row; the rest stays. When Update
	// has returned, their bytes are no longer in the files of the store, as far
	// as its engine allows: its package says what remains to be done. Erasing
	// again is no error: it makes sure of the files.
	EraseRow(number int64) error
	// PutCheckpoint replaces the signed checkpoint.
	PutCheckpoint(note []byte, size int64) error

	PutObject(o Object) error
	// DeleteObject removes an object if it exists.
	DeleteObject(ref Ref) error

	PutPrivate(p Private) error
	// DeletePrivate removes private data if it exists.
	DeletePrivate(kind, id string) error
	// DeleteExpired removes private data whose Expires is not after t, and
	// returns how many pieces.
	DeleteExpired(t time.Time) (int64, error)

	// Next counts up the named counter and returns it; the first is 1.
	Next(counter string) (int64, error)
	// SetCounter sets the value that the counter had last.
	SetCounter(counter string, value int64) error

	// PutFeed appends an operation; its Seq must be the head's plus one, or 1;
	// anything else is a problem of kind Conflict.
	PutFeed(row FeedRow) error
	// MendFeed writes a stored operation anew, in place of what stands at its
	// Chain and Seq; NotFound if nothing does. It is for a damaged one
	// (RebuildFeed): an operation that edges may have is never changed.
	MendFeed(row FeedRow) error

	// Enqueue leaves work for later: the job exists if and only if the
	// transaction commits. Package jobs runs it, once over all nodes, and again
	// after a failure. An incomplete Job is a problem of kind Invalid.
	Enqueue(j Job) error
}

// Job is work to be done after the transaction that enqueued it. A job says
// only where to look, never what to do: whoever runs it reads the present
// state, so that running it twice, late, or in vain does no harm. Jobs are not
// part of what Copy copies: each follows from an object with Keys.DueMS, and
// the services' Tick enqueues what is missing.
type Job struct {
	Kind string          // of the handler, for example "incident.clock"
	Args json.RawMessage // an object; identifiers alone, no secrets and no personal data
	At   time.Time       // not before; zero: at once
	// Once leaves out a job whose Kind and Args are those of one that has not
	// been done yet.
	Once bool
}

// NewJob returns a job. It panics if args cannot be marshalled to an object,
// which is a programmer's error.
func NewJob(kind string, args any, at time.Time) Job {
	b, err := json.Marshal(args)
	if err != nil || len(b) == 0 || b[0] != '{' {
		panic(fmt.Sprintf("journal: arguments of job %s: %s %v", kind, b, err))
	}
	return Job{Kind: kind, Args: b, At: at}
}

var jobKind = regexp.MustCompile(`^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+$`)

// Check returns a problem of kind Invalid if the job is incomplete.
func (j Job) Check() error {
	var args map[string]json.RawMessage
	switch {
	case !jobKind.MatchString(j.Kind) || len(j.Kind) > 100:
		return problem.Newf(problem.Invalid, "%q is not a kind of job", j.Kind)
	case len(j.Args) > 16<<10 || json.Unmarshal(j.Args, &args) != nil || args == nil:
		return problem.Newf(problem.Invalid, "the arguments of job %s are not an object", j.Kind)
	}
	return nil
}

// Row is a stored entry. Head, Payload, Salt, Seal and Commitment are defined
// by the format (docs/format/journal.md); the other fields copy parts of Head,
// so that entries can be selected by them. About is written and not read back:
// Head has it.
type Row struct {
	Number     int64
	Type       string
	AtMillis   int64
	Partner    string
	About      []Ref
	Head       []byte   // canonical bytes of what remains when the payload is erased
	Payload    []byte   // canonical bytes of the rest; nil once erased
	Salt       []byte   // 16 random bytes; nil once erased
	Seal       [32]byte // hash that stands for salt and payload
	Commitment [32]byte // the record of the Merkle tree
}

// RowQuery selects rows. Empty fields do not restrict.
type RowQuery struct {
	About   Ref // about this object
	Types   []string
	Partner string
	From    int64 // first number, inclusive
	Before  int64 // numbers below this; 0: no bound
	Newest  bool  // descending
	Limit   int   // 0: 100
}

// Object is the folded state of one object. Doc is JSON. Version is the number
// of the last entry that changed it. Keys are copies of parts of Doc that
// lists are selected and ordered by.
type Object struct {
	Ref
	Version int64
	Doc     []byte
	Keys    Keys
}

// Keys select and order objects in lists. Together they stay below 2,000 bytes,
// besides Text; Log removes what is not UTF-8, and NUL, which no store keeps.
type Keys struct {
	State   string // exact
	Partner string // exact: owner
	Parent  string // exact: the object that it belongs to
	Unique  string // exact: a natural key such as a fingerprint or an address; not enforced
	Sort    string // lists are ordered by Sort, then ID, both by bytes
	Text    string // searched by substring, lower case
	DueMS   int64  // next moment at which something is due, Unix milliseconds; 0: never
}

// ObjectQuery selects objects of one kind. Empty fields do not restrict.
type ObjectQuery struct {
	Kind    string
	States  []string
	Partner string
	Parent  string
	Unique  string
	Text    string // substring of Keys.Text
	DueBy   int64  // objects with 0 < DueMS <= DueBy, ordered by DueMS, then ID; After and Newest do not apply
	After   string // cursor: Sort + "\x00" + ID of the last object seen; see Object.Cursor
	Newest  bool   // descending by Sort, then ID
	Limit   int    // 0: 100
}

// ParseCursor reads a cursor; ok is false if no object can have given it.
func ParseCursor(after string) (sort, id string, ok bool) {
	sort, id, _ = strings.Cut(after, "\x00")
	return sort, id, id != "" && !strings.Contains(id, "\x00") && utf8.ValidString(after)
}

// Cursor returns the value of ObjectQuery.After that continues after o.
func (o Object) Cursor() string { return o.Keys.Sort + "\x00" + o.ID }

// DefaultLimit is the number of rows or objects returned when no limit is
// given.
const DefaultLimit = 100

// Private is one piece of private data.
type Private struct {
	Kind    string
	ID      string // often the hash of a secret
	Owner   string // whom it belongs to
	Doc     []byte
	Expires time.Time // whole milliseconds; zero: never
}

// FeedRow is one operation of one chain of the edge feed.
type FeedRow struct {
	Chain string
	Seq   uint64 // from 1, without gaps
	Entry int64  // number of the entry that it follows from
	Op    []byte // signed operation in wire form
}
