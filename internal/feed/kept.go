package feed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/journal"
)

// A node keeps the last snapshot of each long chain in a folder of its own
// (Options.Keep), so that an edge which comes with nothing soon after the
// node's start need not wait until a million operations were read. It is a copy
// of what the journal's chain says and never more:
//
//	"siaga-kept1\n"
//	the snapshot as it is sent to edges, signed (docs/format/feed.md)
//
// The file is believed if its digest is signed by the feed's key and the
// operation at the position that it names is the one that stands there in the
// store; as operations contain the hash of the one before, all before it are
// then the same too. Anything else (cut off, changed, of an older form, signed
// by a key that was replaced, of a history that a restore gave up) is named in
// the log, removed, and the snapshot is made from the store again.
//
// keptForm rises when the form or the meaning of folding changes.
const keptForm = "siaga-kept1\n"

const (
	keepEvery = time.Minute
	maxKept   = 4 << 30
)

var errKept = errors.New("feed: a kept snapshot cannot be used")

// keptName is a file's name for a chain, whose own has a colon.
func keptName(chain string) string {
	return strings.ReplaceAll(chain, ":", "=") + ".snapshot"
}

// readKept returns the kept snapshot of the chain, or fs.ErrNotExist, or an
// error that wraps errKept and says what is wrong with it.
func (h *Hub) readKept(ctx context.Context, c *chain) ([]byte, edge.Position, error) {
	var none edge.Position
	root, err := os.OpenRoot(h.o.Keep)
	if err != nil {
		return nil, none, err
	}
	defer root.Close() //nolint:errcheck // nothing was written
	f, err := root.Open(keptName(c.name))
	if err != nil {
		return nil, none, err
	}
	defer f.Close() //nolint:errcheck // nothing was written
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, none, err
	case !info.Mode().IsRegular() || info.Size() > maxKept:
		return nil, none, fmt.Errorf("%w: it is no file, or of %d bytes", errKept, info.Size())
	}
	var b bytes.Buffer
	b.Grow(int(info.Size()) + bytes.MinRead)
	if _, err := b.ReadFrom(io.LimitReader(f, maxKept)); err != nil {
		return nil, none, fmt.Errorf("%w: reading it: %w", errKept, err)
	}
	snap, ok := bytes.CutPrefix(b.Bytes(), []byte(keptForm))
	if !ok {
		return nil, none, fmt.Errorf("%w: it is of another form than this release's, or damaged at its beginning", errKept)
	}
	head, err := edge.CheckSnapshot(snap, h.ownKeys())
	if err != nil {
		return nil, none, fmt.Errorf("%w: %w", errKept, err)
	}
	if head.Chain != c.name {
		return nil, none, fmt.Errorf("%w: it is of chain %s", errKept, head.Chain)
	}
	stands, err := h.stands(ctx, c.name, head.Position)
	if err != nil {
		return nil, none, err
	}
	if !stands {
		return nil, none, fmt.Errorf("%w: it is of another history: operation %d of the journal is not its own", errKept, head.Seq)
	}
	return snap, head.Position, nil
}

// stands reports whether the store's operation at the position is the one that
// the position names.
func (h *Hub) stands(ctx context.Context, chain string, at edge.Position) (bool, error) {
	if at.Seq == 0 {
		return false, nil
	}
	var rows []journal.FeedRow
	err := h.o.Store.View(ctx, func(r journal.StoreReader) (err error) {
		rows, err = r.Feed(chain, at.Seq-1, 1)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("reading chain %s: %w", chain, err)
	}
	if len(rows) == 0 {
		return false, nil
	}
	op, err := edge.ParseOperation(rows[0].Op)
	if err != nil {
		return false, fmt.Errorf("operation %d of chain %s: %w", rows[0].Seq, chain, err)
	}
	return op.Position() == at, nil
}

// ownKeys is what the node's own snapshots are checked with.
func (h *Hub) ownKeys() *edge.Keys {
	return &edge.Keys{Feed: []edge.FeedKey{{Public: h.o.Signer.Public()}}}
}

// takeKept makes the kept snapshot the chain's. Without one that can be used it
// leaves all as it is. The caller holds s.mu.
func (h *Hub) takeKept(ctx context.Context, c *chain) {
	s := &c.snap
	if s.looked || h.o.Keep == "" || s.bytes != nil || s.state != nil {
		return
	}
	start := h.o.Now()
	b, pos, err := h.readKept(ctx, c)
	switch {
	case err == nil:
		s.bytes, s.pos, s.kept, s.at = b, pos, pos.Seq, h.o.Now()
		s.took = s.at.Sub(start)
	case errors.Is(err, errKept):
		h.notKept(ctx, c, err)
	case errors.Is(err, fs.ErrNotExist):
	default:
		if ctx.Err() != nil {
			return // asked again
		}
		h.o.Log.WarnContext(ctx, "the kept snapshot of the feed was not looked at; it is made from the journal", "chain", c.name, "err", err)
	}
	s.looked = true
}

// notKept says that a kept snapshot cannot be used, and removes it.
func (h *Hub) notKept(ctx context.Context, c *chain, why error) {
	h.o.Log.WarnContext(ctx, "a kept snapshot of the feed cannot be used; it is made again from the journal", "chain", c.name, "file", keptName(c.name), "err", why)
	if root, err := os.OpenRoot(h.o.Keep); err == nil {
		_ = root.Remove(keptName(c.name)) // it is refused again if it stays
		_ = root.Close()
	}
}

// keep writes the chain's newest snapshot if enough happened since the last
// that was written. Nothing waits for it, and what fails is said and tried
// again later.
func (h *Hub) keep(ctx context.Context, c *chain) {
	s := &c.snap
	s.mu.Lock()
	b, seq, kept := s.bytes, s.pos.Seq, s.kept
	s.mu.Unlock()
	if b == nil || seq < kept+h.o.KeepFrom {
		return
	}
	if err := writeKept(h.o.Keep, c.name, b); err != nil {
		h.o.Log.WarnContext(ctx, "the feed's snapshot cannot be kept; after a restart it is made from the journal", "chain", c.name, "err", err)
		return
	}
	s.mu.Lock()
	s.kept = max(s.kept, seq)
	s.mu.Unlock()
}

func writeKept(dir, chain string, snap []byte) (err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close() //nolint:errcheck // the file is synced by itself
	removeUnfinished(root)
	// A name of its own: nodes of one database may share the folder.
	name, unfinished := keptName(chain), fmt.Sprintf("%016x%s", rand.Uint64(), unfinishedKept) //nolint:gosec // not a secret
	f, err := root.OpenFile(unfinished, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = root.Remove(unfinished) // a full disk wants the room
		}
	}()
	_, err = f.WriteString(keptForm)
	if err == nil {
		_, err = f.Write(snap)
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return root.Rename(unfinished, name)
}

const unfinishedKept = ".unfinished"

// removeUnfinished removes what a killed node left behind.
func removeUnfinished(root *os.Root) {
	list, err := fs.ReadDir(root.FS(), ".")
	if err != nil {
		return // the next one looks again
	}
	for _, e := range list {
		if info, err := e.Info(); err == nil && strings.HasSuffix(e.Name(), unfinishedKept) && time.Since(info.ModTime()) > time.Hour {
			_ = root.Remove(e.Name()) // or the next one does
		}
	}
}

// keepAll keeps the snapshots of long chains until ctx ends, so that after the
// next start the operations since are few.
func (h *Hub) keepAll(ctx context.Context) {
	if h.o.Keep == "" || h.o.Relayed != nil {
		return // a relay keeps the node's
	}
	every := time.NewTicker(keepEvery)
	defer every.Stop()
	for {
		for _, c := range h.openChains() {
			s := &c.snap
			s.mu.Lock()
			kept := s.kept
			s.mu.Unlock()
			h.mu.Lock()
			head := c.head.Seq
			h.mu.Unlock()
			if head < kept+h.o.KeepFrom {
				continue
			}
			if _, _, err := h.snapshot(ctx, c, kept+h.o.KeepFrom); err != nil {
				if ctx.Err() == nil {
					h.o.Log.WarnContext(ctx, "the feed's snapshot cannot be made", "chain", c.name, "err", err)
				}
				continue
			}
			h.keep(ctx, c)
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

func (h *Hub) openChains() []*chain {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]*chain, 0, len(h.chains))
	for _, c := range h.chains {
		out = append(out, c)
	}
	return out
}
