// Package backup writes everything that a node's store holds into one encrypted
// stream and reads it back.
//
// # Promises
//
//   - Write reads one consistent state of the store while the node serves. It
//     needs no more memory for ten million entries than for ten.
//   - The stream is encrypted with age (age-encryption.org/v1) to one or more
//     public keys, so the node that makes backups cannot read those of
//     yesterday. What is cut off or changed is refused when it is read.
//   - Every entry is checked against its seal and commitment when it is
//     written, so a damaged journal gives no backup, and again when it is read;
//     then the root of the tree is compared with the signed checkpoint.
//   - A stream is verified by reading it back: Write adds a key of its own,
//     which exists in memory only until Check has read the file.
//   - Restore fills an empty store. It leaves a mark in it, so that no node
//     serves it before "siaga recover".
//
// # What is in it
//
// Entries, the checkpoint, folded objects, private data (password hashes,
// tokens' hashes, sealed second factors; no sessions and no one-time codes when
// it is restored), counters and the feed. The node's keys only where they are
// asked for. Jobs are not in it: they follow from objects. docs/format/backup.md
// describes the bytes.
//
// An erased entry is in no backup that is made after the erasure. Earlier
// backups keep it until they are deleted: see docs/design/0055-backup.md.
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
	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

const (
	magic    = "siaga-backup1\n"
	maxFrame = 16 << 20 // bytes of one frame; an entry has at most 2 MiB
)

// Frames, by their first byte.
const (
	frameHeader  = 'H'
	frameKey     = 'K'
	frameRow     = 'R'
	frameObject  = 'O'
	framePrivate = 'P'
	frameCounter = 'C'
	frameFeed    = 'F'
	frameEnd     = 'E'
)

// Header is the first frame.
type Header struct {
	ID         string    `json:"id"`      // 26 characters, rising with time
	Written    time.Time `json:"written"` // by the node's clock
	Version    string    `json:"version"` // of the program
	Origin     string    `json:"origin"`  // of the journal
	VKey       string    `json:"vkey"`    // that its checkpoints are verified with
	Epoch      uint64    `json:"epoch"`
	Size       int64     `json:"size"`       // number of entries
	Checkpoint string    `json:"checkpoint"` // signed note of these entries or of the first of them
	Keys       bool      `json:"keys"`       // the node's keys are in it
}

// Counts are in the last frame, with the SHA-256 of all bytes before it.
type Counts struct {
	Entries  int64  `json:"entries"`
	Erased   int64  `json:"erased"`
	Objects  int64  `json:"objects"`
	Privates int64  `json:"privates"`
	Counters int64  `json:"counters"`
	Feed     int64  `json:"feed"`
	SHA256   string `json:"sha256"`
}

// Key is one of the node's key files.
type Key struct {
	Name string `json:"name"` // in the folder of keys
	Mode uint32 `json:"mode"`
	Data []byte `json:"data"`
}

// Options of Write. Recipients and Log are required.
type Options struct {
	Recipients []age.Recipient
	Header     Header // ID, Written, Version, Origin, VKey, Epoch
	Keys       []Key
	Progress   func(journal.Progress)
}

// Written is what Write made.
type Written struct {
	Header
	Counts
	Root tlog.Hash // of all entries
	// Identity reads the stream once, for Check. It is nowhere else.
	Identity age.Identity
}

// Write writes a backup of the store.
func Write(ctx context.Context, store journal.Store, w io.Writer, o Options) (out Written, err error) {
	if len(o.Recipients) == 0 {
		return out, problem.New(problem.Invalid, "a backup needs a public key to be encrypted to", "make one with age-keygen and name its public half with --to")
	}
	own, err := age.GenerateX25519Identity()
	if err != nil {
		return out, err
	}
	sealed, err := age.Encrypt(w, append(o.Recipients[:len(o.Recipients):len(o.Recipients)], own.Recipient())...)
	if err != nil {
		return out, fmt.Errorf("encrypting a backup: %w", err)
	}
	f := &writer{w: bufio.NewWriterSize(sealed, 256<<10), sum: sha256.New()}
	err = store.View(ctx, func(r journal.StoreReader) error {
		out, err = f.write(ctx, r, o)
		return err
	})
	if err != nil {
		return out, err
	}
	if err := f.w.Flush(); err != nil {
		return out, err
	}
	out.Identity = own
	return out, sealed.Close()
}

type writer struct {
	w     *bufio.Writer
	sum   hash.Hash
	buf   []byte // of one frame's body
	head  []byte
	total Counts
}

func (f *writer) raw(b []byte) error {
	_, _ = f.sum.Write(b) // a hash never fails
	_, err := f.w.Write(b)
	return err
}

// frame writes f.buf as one frame.
func (f *writer) frame(kind byte) error {
	if len(f.buf) > maxFrame {
		return fmt.Errorf("backup: a frame %c of %d bytes", kind, len(f.buf))
	}
	f.head = binary.AppendUvarint(append(f.head[:0], kind), uint64(len(f.buf)))
	if err := f.raw(f.head); err != nil {
		return err
	}
	return f.raw(f.buf)
}

func (f *writer) json(kind byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	f.buf = b
	return f.frame(kind)
}

func (f *writer) bytes(b []byte) {
	f.buf = binary.AppendUvarint(f.buf, uint64(len(b)))
	f.buf = append(f.buf, b...)
}

func (f *writer) text(list ...string) {
	for _, s := range list {
		f.buf = binary.AppendUvarint(f.buf, uint64(len(s)))
		f.buf = append(f.buf, s...)
	}
}

func (f *writer) number(n int64) { f.buf = binary.AppendVarint(f.buf, n) }

func (f *writer) write(ctx context.Context, r journal.StoreReader, o Options) (out Written, err error) {
	h := o.Header
	h.Keys = len(o.Keys) > 0
	if h.Size, err = r.Size(); err != nil {
		return out, err
	}
	note, _, err := r.Checkpoint()
	if err != nil {
		return out, err
	}
	h.Checkpoint = string(note)
	if err := f.raw([]byte(magic)); err != nil {
		return out, err
	}
	if err := f.json(frameHeader, h); err != nil {
		return out, err
	}
	for _, k := range o.Keys {
		if err := f.json(frameKey, k); err != nil {
			return out, err
		}
	}
	var tree edgeOfTree
	err = r.ScanRows(0, h.Size, func(row *journal.Row) error {
		n := f.total.Entries
		if n%4096 == 0 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if o.Progress != nil {
				o.Progress(journal.Progress{Part: "entries", Done: n, Total: h.Size})
			}
		}
		if row.Number != n {
			return damaged(n, "is missing")
		}
		erased := row.Payload == nil && row.Salt == nil
		if !erased && journal.Seal(row.Salt, row.Payload) != row.Seal || journal.Commit(row.Seal, row.Head) != row.Commitment {
			return damaged(n, "does not fit its commitment")
		}
		if err := tree.add(n, row.Commitment); err != nil {
			return err
		}
		f.total.Entries++
		f.buf = f.buf[:0]
		f.bytes(row.Head)
		if erased {
			f.total.Erased++
			f.buf = append(f.buf, 1)
		} else {
			f.buf = append(f.buf, 0)
			f.bytes(row.Payload)
			f.bytes(row.Salt)
		}
		f.buf = append(f.buf, row.Seal[:]...)
		return f.frame(frameRow)
	})
	if err != nil {
		return out, err
	}
	if f.total.Entries != h.Size {
		return out, damaged(f.total.Entries, "is missing")
	}
	if err := f.rest(r); err != nil {
		return out, err
	}
	f.total.SHA256 = fmt.Sprintf("%x", f.sum.Sum(nil))
	if err := f.json(frameEnd, f.total); err != nil {
		return out, err
	}
	out.Header, out.Counts = h, f.total
	out.Root, err = tree.root(h.Size)
	return out, err
}

func damaged(number int64, how string) error {
	return problem.Newf(problem.Internal, "entry %d of the journal %s, so no backup was made", number, how).
		WithFix("run \"siaga log verify\": it says what is damaged; keep earlier backups")
}

// rest writes everything besides entries.
func (f *writer) rest(r journal.StoreReader) error {
	err := r.ScanObjects(func(o *journal.Object) error {
		f.total.Objects++
		f.buf = f.buf[:0]
		k := o.Keys
		f.text(o.Kind, o.ID, k.State, k.Partner, k.Parent, k.Unique, k.Sort, k.Text)
		f.number(o.Version)
		f.number(k.DueMS)
		f.bytes(o.Doc)
		return f.frame(frameObject)
	})
	if err != nil {
		return fmt.Errorf("reading objects: %w", err)
	}
	err = r.ScanPrivates(func(p *journal.Private) error {
		f.total.Privates++
		expires := int64(0)
		if !p.Expires.IsZero() {
			expires = p.Expires.UnixMilli()
		}
		f.buf = f.buf[:0]
		f.text(p.Kind, p.ID, p.Owner)
		f.number(expires)
		f.bytes(p.Doc)
		return f.frame(framePrivate)
	})
	if err != nil {
		return fmt.Errorf("reading private data: %w", err)
	}
	err = r.ScanCounters(func(name string, value int64) error {
		f.total.Counters++
		f.buf = f.buf[:0]
		f.text(name)
		f.number(value)
		return f.frame(frameCounter)
	})
	if err != nil {
		return fmt.Errorf("reading counters: %w", err)
	}
	err = r.ScanFeed(func(row *journal.FeedRow) error {
		f.total.Feed++
		f.buf = f.buf[:0]
		f.text(row.Chain)
		f.buf = binary.AppendUvarint(f.buf, row.Seq)
		f.number(row.Entry)
		f.bytes(row.Op)
		return f.frame(frameFeed)
	})
	if err != nil {
		return fmt.Errorf("reading the feed: %w", err)
	}
	return nil
}

// edgeOfTree holds the last stored hash of each level of the tree: all that is
// needed to append, and to compute the root.
type edgeOfTree struct {
	index  [64]int64
	hash   [64]tlog.Hash
	stored []tlog.Hash // of the entry added last
}

var errTree = errors.New("backup: the tree cannot be computed")

// ReadHashes implements tlog.HashReader.
func (t *edgeOfTree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, _ := tlog.SplitStoredHashIndex(index)
		if level >= len(t.index) || t.index[level] != index {
			return nil, errTree
		}
		out[i] = t.hash[level]
	}
	return out, nil
}

func (t *edgeOfTree) add(number int64, commitment [32]byte) (err error) {
	t.stored, err = tlog.StoredHashesForRecordHash(number, tlog.RecordHash(commitment[:]), t)
	if err != nil {
		return err
	}
	for level, h := range t.stored {
		t.index[level] = tlog.StoredHashIndex(level, number>>level)
		t.hash[level] = h
	}
	return nil
}

// root returns the root of the tree of the given size, which is the present one.
func (t *edgeOfTree) root(size int64) (tlog.Hash, error) {
	if size == 0 {
		return sha256.Sum256(nil), nil
	}
	return tlog.TreeHash(size, t)
}
