package journal

import (
	"context"
	"time"

	"golang.org/x/mod/sumdb/tlog"
)

// Store keeps the journal and what is folded from it. There are two: SQLite
// and PostgreSQL; both pass storetest.Run. It holds bytes and keys and knows
// nothing of their meaning; Log gives them meaning.
//
// Update is atomic and durable: if fn returns an error nothing of it is kept;
// once Update returns nil everything survives a crash of the process and of
// the machine. Transactions are serialised, so entries have one order. Several
// calls may share one commit on disk (group commit), and fn may be run again
// after a conflict, so fn has no effects besides those on tx. View sees one
// consistent state and writes nothing. All methods may be called concurrently.
type Store interface {
	Update(ctx context.Context, fn func(tx StoreTx) error) error
	View(ctx context.Context, fn func(tx StoreReader) error) error

	// Committed returns a channel that is closed at the next commit that
	// appended an entry or a feed operation, by this process or another one.
	// Read it before looking at the state, wait on it after.
	Committed() <-chan struct{}

	Close() error
}

// StoreReader reads one consistent state. What it returns belongs to the
// caller. A missing object is a problem of kind NotFound.
type StoreReader interface {
	// Size is the number of entries.
	Size() (int64, error)
	Row(number int64) (Row, error)
	// Rows returns rows in order of number (descending if q.Newest), at most q.Limit.
	Rows(q RowQuery) ([]Row, error)
	// Hashes returns stored tree hashes by tlog's stored hash index.
	Hashes(indexes []int64) ([]tlog.Hash, error)
	// Checkpoint returns the last signed checkpoint and its size; nil if none.
	Checkpoint() (note []byte, size int64, err error)

	Object(ref Ref) (Object, error)
	Objects(q ObjectQuery) ([]Object, error)

	// Private data is not folded from the journal: sessions, one-time codes,
	// password hashes, idempotency records.
	Private(kind, id string) (Private, error)
	Privates(kind, owner string) ([]Private, error)

	// Feed returns operations of one chain after a sequence number, in order.
	Feed(chain string, after uint64, limit int) ([]FeedRow, error)
	// FeedHead returns the last operation of a chain; ok is false if it is empty.
	FeedHead(chain string) (head FeedRow, ok bool, err error)
}

// StoreTx also writes.
type StoreTx interface {
	StoreReader
	// Append stores the row at row.Number, which must be Size(), and the tree
	// hashes that become known with it (tlog.StoredHashesForRecordHash).
	Append(row Row, hashes []tlog.Hash) error
	// Erase removes payload and salt of a row, so that their bytes are no
	// longer on disk, and keeps its commitment.
	Erase(number int64) error
	PutCheckpoint(note []byte, size int64) error

	PutObject(o Object) error
	DeleteObject(ref Ref) error

	PutPrivate(p Private) error
	DeletePrivate(kind, id string) error
	// DeleteExpired removes private data whose Expires is not after t.
	DeleteExpired(t time.Time) (int64, error)

	// Next counts up the named counter and returns it; the first is 1.
	Next(counter string) (int64, error)

	// PutFeed appends an operation; its Seq must be the head's plus one, or 1.
	PutFeed(row FeedRow) error
}

// Row is a stored entry.
type Row struct {
	Number     int64
	Type       string
	AtMillis   int64
	Partner    string
	About      []Ref
	Commitment [32]byte // leaf of the tree: see Commit
	Payload    []byte   // canonical bytes of the entry; nil once erased
	Salt       []byte   // 16 random bytes; nil once erased
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

// Keys select and order objects in lists.
type Keys struct {
	State   string // exact
	Partner string // exact: owner
	Parent  string // exact: the object that it belongs to
	Unique  string // exact: a natural key such as a fingerprint or an address
	Sort    string // lists are ordered by Sort, then ID
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
	DueBy   int64  // objects with 0 < DueMS <= DueBy, ordered by DueMS
	After   string // cursor: Sort + "\x00" + ID of the last object seen
	Newest  bool   // descending by Sort, then ID
	Limit   int    // 0: 100
}

// Private is one piece of private data.
type Private struct {
	Kind    string
	ID      string // often the hash of a secret
	Owner   string // whom it belongs to
	Doc     []byte
	Expires time.Time // zero: never
}

// FeedRow is one operation of one chain of the edge feed.
type FeedRow struct {
	Chain string
	Seq   uint64 // from 1, without gaps
	Entry int64  // number of the entry that it follows from
	Op    []byte // signed operation in wire form
}
