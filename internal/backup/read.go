package backup

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"filippo.io/age"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/history"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// ReadOptions of Check and Restore.
type ReadOptions struct {
	Identities []age.Identity
	// VKey is the key that the checkpoint must be signed with; "": the one that
	// the backup names, which proves only that it fits itself.
	VKey string
	// Skip leaves out private data of these kinds: sessions and one-time codes
	// that were good when the backup was made.
	Skip map[string]bool
	// Header is asked whether to go on, before anything is stored.
	Header func(Header) error
	// Keys takes the node's keys, before anything else, if they are in it.
	Keys     func(Key) error
	Progress func(journal.Progress)
}

// Content is what was read.
type Content struct {
	Header
	Counts
	Root   tlog.Hash // of all entries
	Signed int64     // entries that the checkpoint covers; -1: none was signed
}

// Check reads a backup to its end and verifies it; nothing is stored.
func Check(ctx context.Context, r io.Reader, o ReadOptions) (Content, error) {
	return read(ctx, r, o, nil)
}

// Restore reads a backup into an empty store. The store is of use only if it
// returns nil; until then its mark says that it is not complete.
func Restore(ctx context.Context, r io.Reader, to journal.Store, o ReadOptions) (Content, error) {
	b := &batches{ctx: ctx, to: to}
	return read(ctx, r, o, b)
}

// batches writes to the store in transactions of many rows.
type batches struct {
	ctx   context.Context
	to    journal.Store
	puts  []func(tx journal.StoreTx) error
	bytes int
}

const (
	batchRows  = 4000
	batchBytes = 8 << 20
)

func (b *batches) add(size int, put func(tx journal.StoreTx) error) error {
	b.puts, b.bytes = append(b.puts, put), b.bytes+size
	if len(b.puts) < batchRows && b.bytes < batchBytes {
		return nil
	}
	return b.flush()
}

func (b *batches) flush() error {
	defer func() { b.puts, b.bytes = b.puts[:0], 0 }()
	return b.to.Update(b.ctx, func(tx journal.StoreTx) error {
		for _, put := range b.puts {
			if err := put(tx); err != nil {
				return err
			}
		}
		return nil
	})
}

// reader takes a stream apart.
type reader struct {
	r    *bufio.Reader
	sum  hash.Hash
	body []byte
}

// broken is a stream that is not, or no longer, what Write made.
func broken(err error, format string, args ...any) error {
	return problem.Newf(problem.Invalid, "this backup is damaged: "+format, args...).
		WithFix("use another copy of it, or the backup before").Because(err)
}

func open(r io.Reader, ids []age.Identity) (*reader, error) {
	plain, err := age.Decrypt(r, ids...)
	if err != nil {
		if _, wrong := errors.AsType[*age.NoIdentityMatchError](err); wrong {
			return nil, problem.New(problem.Denied, "this backup is encrypted to another key", "name the secret key that belongs to it with --identity").Because(err)
		}
		return nil, problem.Newf(problem.Invalid, "this is not a backup, or its beginning is damaged").WithFix("name a file that siaga backup made").Because(err)
	}
	return begin(plain)
}

// begin reads the first bytes of what is inside the age file.
func begin(plain io.Reader) (*reader, error) {
	f := &reader{r: bufio.NewReaderSize(plain, 256<<10), sum: sha256.New()}
	head := make([]byte, len(magic))
	switch n, err := io.ReadFull(f.r, head); {
	case string(head[:n]) != magic[:n]:
		return nil, problem.New(problem.Invalid, "this is an age file, and not a backup of a node", "name a file that siaga backup made").Because(err)
	case err != nil:
		return nil, broken(err, "it is cut off")
	}
	_, _ = f.sum.Write(head) // a hash never fails
	return f, nil
}

// frame reads the next frame; its body is valid until the one after.
func (f *reader) frame() (kind byte, body []byte, err error) {
	var head [binary.MaxVarintLen64 + 1]byte
	n := 0
	for n < len(head) {
		b, err := f.r.ReadByte()
		if err != nil {
			return 0, nil, broken(err, "it is cut off")
		}
		head[n] = b
		n++
		if n > 1 && b < 0x80 {
			break
		}
	}
	size, w := binary.Uvarint(head[1:n])
	if w <= 0 || size > maxFrame {
		return 0, nil, broken(nil, "a frame has no readable length")
	}
	// Grown as it is read: a length alone is no reason to take memory.
	f.body = f.body[:0]
	for left := int(size); left > 0; {
		part := min(left, 1<<20)
		at := len(f.body)
		if cap(f.body) < at+part {
			f.body = append(f.body, make([]byte, part)...)
		}
		f.body = f.body[:at+part]
		if _, err := io.ReadFull(f.r, f.body[at:]); err != nil {
			return 0, nil, broken(err, "it is cut off")
		}
		left -= part
	}
	if head[0] != frameEnd {
		_, _ = f.sum.Write(head[:n])
		_, _ = f.sum.Write(f.body)
	}
	return head[0], f.body, nil
}

// fields takes values from a frame's body.
type fields struct {
	b   []byte
	bad bool
}

func (f *fields) bytes() []byte {
	n, w := binary.Uvarint(f.b)
	if w <= 0 || n > uint64(len(f.b)-w) {
		f.bad, f.b = true, nil
		return nil
	}
	out := append([]byte{}, f.b[w:w+int(n)]...) //nolint:gosec // n is at most len
	f.b = f.b[w+int(n):]                        //nolint:gosec // n is at most len
	return out
}

func (f *fields) text() string { return string(f.bytes()) }

func (f *fields) number() int64 {
	n, w := binary.Varint(f.b)
	if w <= 0 {
		f.bad, f.b = true, nil
		return 0
	}
	f.b = f.b[w:]
	return n
}

func (f *fields) done() bool { return !f.bad && len(f.b) == 0 }

func read(ctx context.Context, in io.Reader, o ReadOptions, to *batches) (Content, error) {
	f, err := open(in, o.Identities)
	if err != nil {
		return Content{}, err
	}
	return f.read(ctx, o, to)
}

func (f *reader) read(ctx context.Context, o ReadOptions, to *batches) (c Content, err error) {
	kind, body, err := f.frame()
	if err != nil {
		return c, err
	}
	if kind != frameHeader || json.Unmarshal(body, &c.Header) != nil {
		return c, broken(nil, "it has no header")
	}
	h := c.Header
	signed, err := checkpointOf(h, o.VKey)
	if err != nil {
		return c, err
	}
	c.Signed = signed.Size
	if o.Header != nil {
		if err := o.Header(h); err != nil {
			return c, err
		}
	}
	mark := history.Mark{Backup: h.ID, Written: h.Written, Entries: h.Size, Incomplete: true}
	if to != nil {
		if err := to.to.Update(ctx, func(tx journal.StoreTx) error { return history.PutMark(tx, mark) }); err != nil {
			return c, err
		}
	}
	var tree edgeOfTree
	var signedRoot tlog.Hash
	if signed.Size == 0 {
		signedRoot, _ = tree.root(0) // of nothing, it cannot fail
	}
	keys := 0
	for {
		if kind, body, err = f.frame(); err != nil {
			return c, err
		}
		v := fields{b: body}
		switch kind {
		case frameKey:
			var k Key
			if json.Unmarshal(body, &k) != nil || c.Entries > 0 {
				return c, broken(nil, "a key cannot be read")
			}
			if keys++; o.Keys != nil {
				if err := o.Keys(k); err != nil {
					return c, err
				}
			}
			continue
		case frameRow:
			n := c.Entries
			row, ok := rowOf(n, &v)
			if !ok {
				return c, broken(nil, "entry %d cannot be read or does not fit its seal", n)
			}
			if err := tree.add(n, row.Commitment); err != nil {
				return c, err
			}
			if row.Payload == nil {
				c.Erased++
			}
			c.Entries++
			if c.Entries == signed.Size {
				if signedRoot, err = tree.root(signed.Size); err != nil {
					return c, err
				}
			}
			if n%4096 == 0 {
				if ctx.Err() != nil {
					return c, ctx.Err()
				}
				if o.Progress != nil {
					o.Progress(journal.Progress{Part: "entries", Done: n, Total: h.Size})
				}
			}
			if to != nil {
				hashes := append([]tlog.Hash{}, tree.stored...)
				err = to.add(len(body), func(tx journal.StoreTx) error { return tx.PutRow(row, hashes) })
			}
		case frameObject:
			o := journal.Object{Ref: journal.Ref{Kind: v.text(), ID: v.text()}}
			o.Keys = journal.Keys{State: v.text(), Partner: v.text(), Parent: v.text(), Unique: v.text(), Sort: v.text(), Text: v.text()}
			o.Version, o.Keys.DueMS, o.Doc = v.number(), v.number(), v.bytes()
			c.Objects++
			if to != nil {
				err = to.add(len(body), func(tx journal.StoreTx) error { return tx.PutObject(o) })
			}
		case framePrivate:
			p := journal.Private{Kind: v.text(), ID: v.text(), Owner: v.text()}
			if ms := v.number(); ms != 0 {
				p.Expires = time.UnixMilli(ms).UTC()
			}
			p.Doc = v.bytes()
			c.Privates++
			if to != nil && !o.Skip[p.Kind] && !history.IsMark(p) {
				err = to.add(len(body), func(tx journal.StoreTx) error { return tx.PutPrivate(p) })
			}
		case frameCounter:
			name, value := v.text(), v.number()
			c.Counters++
			if to != nil {
				err = to.add(len(body), func(tx journal.StoreTx) error { return tx.SetCounter(name, value) })
			}
		case frameFeed:
			row := journal.FeedRow{Chain: v.text()}
			seq, w := binary.Uvarint(v.b)
			if w <= 0 {
				return c, broken(nil, "an operation of the feed cannot be read")
			}
			v.b = v.b[w:]
			row.Seq, row.Entry, row.Op = seq, v.number(), v.bytes()
			c.Feed++
			if to != nil {
				err = to.add(len(body), func(tx journal.StoreTx) error { return tx.PutFeed(row) })
			}
		case frameEnd:
			c.Root, err = tree.root(c.Entries)
			if err != nil {
				return c, err
			}
			if err := f.end(body, &c); err != nil {
				return c, err
			}
			switch {
			case c.Entries != h.Size:
				return c, broken(nil, "it has %d entries and says %d", c.Entries, h.Size)
			case h.Keys != (keys > 0):
				return c, broken(nil, "its keys are missing")
			case signed.Size >= 0 && signedRoot != signed.Root:
				return c, problem.Newf(problem.Invalid, "the entries of this backup are not those of its signed checkpoint: the tree of %d entries has another root", signed.Size).
					WithFix("keep it as evidence, and use another backup")
			}
			if to == nil {
				return c, nil
			}
			return c, to.finish(h, mark)
		default:
			return c, problem.Newf(problem.Invalid, "this backup has parts (%q) that this release does not know", kind).WithFix("restore it with the release that made it (%s) or a later one", h.Version)
		}
		if !v.done() && kind != frameKey {
			return c, broken(nil, "a frame %c cannot be read", kind)
		}
		if err != nil {
			return c, err
		}
	}
}

// end checks the last frame and that nothing follows.
func (f *reader) end(body []byte, c *Content) error {
	var said Counts
	if json.Unmarshal(body, &said) != nil {
		return broken(nil, "its end cannot be read")
	}
	c.SHA256 = fmt.Sprintf("%x", f.sum.Sum(nil))
	if said != c.Counts {
		return broken(nil, "what it holds is not what its end says")
	}
	if _, err := f.r.ReadByte(); !errors.Is(err, io.EOF) {
		return broken(err, "something follows its end")
	}
	return nil
}

// finish stores the checkpoint and marks the store as complete.
func (b *batches) finish(h Header, mark history.Mark) error {
	if err := b.flush(); err != nil {
		return err
	}
	return b.to.Update(b.ctx, func(tx journal.StoreTx) error {
		if h.Checkpoint != "" {
			c, err := checkpointOf(h, "")
			if err != nil {
				return err
			}
			if err := tx.PutCheckpoint([]byte(h.Checkpoint), c.Size); err != nil {
				return err
			}
		}
		mark.Incomplete = false
		return history.PutMark(tx, mark)
	})
}

// checkpointOf checks the header's checkpoint. Its size is -1 if there is none.
func checkpointOf(h Header, want string) (journal.Checkpoint, error) {
	none := journal.Checkpoint{Size: -1}
	if want != "" && want != h.VKey {
		return none, problem.Newf(problem.Conflict, "this backup is of the journal %s with another key than this node's", h.Origin).
			WithFix("use the keys that belong to it")
	}
	if h.Checkpoint == "" {
		return none, nil
	}
	v, err := note.NewVerifier(h.VKey)
	if err != nil {
		return none, broken(err, "its journal key cannot be read")
	}
	c, err := journal.OpenCheckpoint([]byte(h.Checkpoint), h.Origin, note.VerifierList(v))
	if err != nil {
		return none, broken(err, "its checkpoint is not signed by its journal")
	}
	if c.Size > h.Size {
		return none, broken(nil, "its checkpoint has %d entries and it has %d", c.Size, h.Size)
	}
	return c, nil
}

// rowOf reads an entry and computes what follows from it.
func rowOf(number int64, v *fields) (row journal.Row, ok bool) {
	head := v.bytes()
	if len(v.b) == 0 {
		return row, false
	}
	erased := v.b[0] == 1
	if v.b[0] > 1 {
		return row, false
	}
	v.b = v.b[1:]
	var payload, salt []byte
	if !erased {
		payload, salt = v.bytes(), v.bytes()
	}
	if v.bad || len(v.b) != 32 {
		return row, false
	}
	seal := [32]byte(v.b)
	v.b = nil
	row, err := journal.RowOf(head, payload, salt, seal)
	return row, err == nil && row.Number == number
}
