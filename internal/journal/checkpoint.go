package journal

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/problem"
)

// Checkpoint is the head of a journal: C2SP tlog-checkpoint.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
}

// Text returns the text that is signed: origin, size and root, a line each.
func (c Checkpoint) Text() string {
	return c.Origin + "\n" + strconv.FormatInt(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n"
}

// ParseCheckpoint reads the text of a checkpoint. Extension lines are allowed
// and ignored.
func ParseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.SplitN(text, "\n", 4)
	if len(lines) < 4 || lines[0] == "" {
		return Checkpoint{}, fmt.Errorf("journal: a checkpoint has an origin, a size and a root, a line each")
	}
	c := Checkpoint{Origin: lines[0]}
	var err error
	if c.Size, err = strconv.ParseInt(lines[1], 10, 64); err != nil || c.Size < 0 || strconv.FormatInt(c.Size, 10) != lines[1] {
		return Checkpoint{}, fmt.Errorf("journal: %q is not the size of a checkpoint", lines[1])
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return Checkpoint{}, fmt.Errorf("journal: %q is not the root of a checkpoint", lines[2])
	}
	copy(c.Root[:], root)
	return c, nil
}

// OpenCheckpoint checks a signed checkpoint of the given origin.
func OpenCheckpoint(signed []byte, origin string, keys note.Verifiers) (Checkpoint, error) {
	n, err := note.Open(signed, keys)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("journal: checking the signature of a checkpoint: %w", err)
	}
	c, err := ParseCheckpoint(n.Text)
	if err != nil {
		return Checkpoint{}, err
	}
	if c.Origin != origin {
		return Checkpoint{}, fmt.Errorf("journal: the checkpoint is of %q, not of %q", c.Origin, origin)
	}
	return c, nil
}

// ErrForked is in the chain of errors that say that the stored journal is not
// a continuation of what was signed before: it was rolled back, or changed.
var ErrForked = fmt.Errorf("journal: the stored journal does not continue the signed one")

// Sign signs a checkpoint of the present size, unless the last one has it, and
// returns the last one with its signatures. The new one is durable before it
// is returned. If the journal is not a continuation of what was signed last,
// Sign refuses and the error's chain has ErrForked. Without a signer it
// returns the last one; an empty journal is signed too.
func (l *Log) Sign(ctx context.Context) ([]byte, error) {
	signed, current, err := l.lastCheckpoint(ctx)
	if err != nil || current || l.signer == nil {
		return signed, err
	}
	err = l.store.Update(ctx, func(tx StoreTx) error {
		size, err := tx.Size()
		if err != nil {
			return err
		}
		root, err := treeHash(size, hashReader(tx))
		if err != nil {
			return err
		}
		last, lastSize, err := tx.Checkpoint()
		if err != nil {
			return err
		}
		if last != nil {
			if err := l.continues(last, lastSize, size, hashReader(tx)); err != nil {
				return err
			}
			if lastSize == size { // another node was faster
				signed = last
				return nil
			}
		}
		c := Checkpoint{Origin: l.origin, Size: size, Root: root}
		if signed, err = note.Sign(&note.Note{Text: c.Text()}, l.signer); err != nil {
			return fmt.Errorf("journal: signing the checkpoint of size %d: %w", size, err)
		}
		return tx.PutCheckpoint(signed, size)
	})
	if err != nil {
		return nil, err
	}
	return signed, nil
}

// lastCheckpoint returns the last signed checkpoint, and whether it is of the
// present size.
func (l *Log) lastCheckpoint(ctx context.Context) (signed []byte, current bool, err error) {
	err = l.store.View(ctx, func(r StoreReader) error {
		size, err := r.Size()
		if err != nil {
			return err
		}
		var lastSize int64
		signed, lastSize, err = r.Checkpoint()
		current = signed != nil && lastSize == size
		return err
	})
	return signed, current, err
}

// continues checks that the stored tree of the given size contains the tree
// that was signed last.
func (l *Log) continues(signed []byte, signedSize, size int64, r tlog.HashReader) error {
	c, err := OpenCheckpoint(signed, l.origin, l.verifiers)
	if err != nil {
		return err
	}
	forked := func(what string) error {
		return problem.Newf(problem.Internal, "%s: it was rolled back or changed", what).
			WithFix("stop the node, run \"siaga log verify\", and restore what is missing; nothing new is signed until then").Because(ErrForked)
	}
	switch {
	case c.Size != signedSize:
		return forked(fmt.Sprintf("the signed checkpoint has size %d and is stored as %d", c.Size, signedSize))
	case c.Size > size:
		return forked(fmt.Sprintf("the journal has %d entries, and %d were signed", size, c.Size))
	}
	root, err := treeHash(c.Size, r)
	if err != nil {
		return err
	}
	if root != c.Root {
		return forked(fmt.Sprintf("the first %d entries of the journal are not those that were signed", c.Size))
	}
	return nil
}

// treeHash is tlog.TreeHash with RFC 6962's value for the empty tree.
func treeHash(size int64, r tlog.HashReader) (tlog.Hash, error) {
	if size == 0 {
		return emptyRoot, nil
	}
	h, err := tlog.TreeHash(size, r)
	if err != nil {
		return h, fmt.Errorf("journal: computing the root of %d entries: %w", size, err)
	}
	return h, nil
}

// emptyRoot is SHA-256 of nothing (RFC 6962 §2.1).
var emptyRoot = tlog.Hash{
	0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
	0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
}

// Head returns size and root of the stored journal, signed or not.
func (l *Log) Head(ctx context.Context) (Checkpoint, error) {
	var c Checkpoint
	err := l.store.View(ctx, func(r StoreReader) (err error) {
		c, err = l.HeadOf(r)
		return err
	})
	return c, err
}

// HeadOf is Head within a transaction.
func (l *Log) HeadOf(r StoreReader) (c Checkpoint, err error) {
	c.Origin = l.origin
	if c.Size, err = r.Size(); err != nil {
		return c, err
	}
	c.Root, err = treeHash(c.Size, hashReader(r))
	return c, err
}

// Run signs checkpoints as the journal grows, until ctx ends, and then returns
// nil: one soon after an entry, at most one an interval. It goes on after a
// failure and tells report, which may be nil.
func (l *Log) Run(ctx context.Context, interval time.Duration, report func(error)) error {
	for {
		grown := l.Committed()
		_, err := l.Sign(ctx)
		if err != nil && ctx.Err() == nil && report != nil {
			report(err)
		}
		pause := time.NewTimer(interval)
		select {
		case <-ctx.Done():
			pause.Stop()
			return nil
		case <-pause.C:
		}
		if err != nil {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-grown:
		}
	}
}

// Compare checks whether the stored journal contains the tree of a checkpoint
// that this log signed at some time. have is the number of stored entries. The
// error's chain has ErrForked if it does not; another error says that the
// checkpoint is not one of this log's.
func (l *Log) Compare(ctx context.Context, signed []byte) (c Checkpoint, have int64, err error) {
	if c, err = OpenCheckpoint(signed, l.origin, l.verifiers); err != nil {
		return c, 0, err
	}
	err = l.store.View(ctx, func(r StoreReader) (err error) {
		if have, err = r.Size(); err != nil {
			return err
		}
		return l.continues(signed, c.Size, have, hashReader(r))
	})
	return c, have, err
}

// SignAnew signs a checkpoint of the present size in the transaction, whatever
// was signed before, and returns it. It is for the beginning of a new history,
// which the entry before says; everything else uses Sign.
func (l *Log) SignAnew(tx StoreTx) (signed []byte, c Checkpoint, err error) {
	if l.signer == nil {
		return nil, c, fmt.Errorf("journal: there is no signer")
	}
	c = Checkpoint{Origin: l.origin}
	if c.Size, err = tx.Size(); err != nil {
		return nil, c, err
	}
	if c.Root, err = treeHash(c.Size, hashReader(tx)); err != nil {
		return nil, c, err
	}
	if signed, err = note.Sign(&note.Note{Text: c.Text()}, l.signer); err != nil {
		return nil, c, fmt.Errorf("journal: signing the checkpoint of size %d: %w", c.Size, err)
	}
	return signed, c, tx.PutCheckpoint(signed, c.Size)
}
