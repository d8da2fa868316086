package relay

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/journal"
)

// store keeps, for each chain, the node's snapshot and the operations after it:
// in memory and on disk. It implements the part of journal.Store that a hub
// reads by; any other method panics.
type store struct {
	journal.Store
	dir string

	mu        sync.Mutex
	chains    map[string]*chain
	note      string // newest checkpoint
	committed chan struct{}
}

type chain struct {
	name string
	snap []byte // as the node signed it
	base edge.Position
	head edge.Position
	rows []journal.FeedRow // base.Seq+1 … head.Seq
	tail *os.File          // the same on disk; nil after a failed write
}

func newStore(dir string) *store {
	return &store{dir: dir, chains: map[string]*chain{}, committed: make(chan struct{})}
}

func (s *store) path(name, suffix string) string {
	return filepath.Join(s.dir, "chain-"+hex.EncodeToString([]byte(name))+suffix)
}

// load reads a chain from disk, as far as it is whole and signed. It returns
// fs.ErrNotExist if there is none.
func (s *store) load(name string, keys *edge.Keys) error {
	b, err := os.ReadFile(s.path(name, ".snapshot"))
	if err != nil {
		return err
	}
	parts, err := edge.ParseSnapshots(b, keys)
	if err != nil || len(parts) != 1 || parts[0].Chain != name {
		return fmt.Errorf("the stored snapshot of chain %s cannot be read: %w", name, errors.Join(err, edge.ErrSyntax))
	}
	c := &chain{name: name, snap: b, base: parts[0].Position, head: parts[0].Position}
	ops, err := readTail(s.path(name, ".tail"), c.base)
	if err != nil {
		return err
	}
	// A signature covers all before it: what none covers is asked for again.
	for len(ops) > 0 && keys.Verify(&ops[len(ops)-1]) != nil {
		ops = ops[:len(ops)-1]
	}
	for i := range ops {
		c.add(&ops[i])
	}
	if err := s.writeTail(c); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chains[name] = c
	return nil
}

// readTail reads operations that follow each other after base. What comes after
// the first that does not was torn by a crash, or belongs to what base replaced.
func readTail(path string, base edge.Position) ([]edge.Sealed, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	var ops []edge.Sealed
	r := bufio.NewReaderSize(f, 64<<10)
	for {
		n, err := binary.ReadUvarint(r)
		if err != nil || n > edge.MaxOperation {
			return ops, nil //nolint:nilerr // the end, whole or torn
		}
		wire := make([]byte, n)
		if _, err := io.ReadFull(r, wire); err != nil {
			return ops, nil //nolint:nilerr // torn
		}
		op, err := edge.ParseOperation(wire)
		if err != nil {
			return ops, nil //nolint:nilerr // torn
		}
		if op.Seq <= base.Seq {
			continue
		}
		if op.Follows(base) != nil {
			return ops, nil
		}
		base = op.Position()
		ops = append(ops, op)
	}
}

func (c *chain) add(op *edge.Sealed) {
	c.head = op.Position()
	c.rows = append(c.rows, journal.FeedRow{Chain: c.name, Seq: op.Seq, Entry: op.Entry, Op: op.Wire()})
}

func appendRecord(b []byte, wire []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(wire))), wire...)
}

// writeTail writes the chain's operations anew and opens the file for more.
func (s *store) writeTail(c *chain) error {
	var b []byte
	for _, r := range c.rows {
		b = appendRecord(b, r.Op)
	}
	path := s.path(c.name, ".tail")
	if err := writeFile(path, b); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if c.tail != nil {
		_ = c.tail.Close() // replaced
	}
	c.tail = f
	return nil
}

// append stores operations of one chain that follow each other and returns how
// many were new. When it returns nil they are on disk. The last must have been
// verified. The error wraps edge's ErrGap, ErrFork, or is of the disk.
func (s *store) append(ops []edge.Sealed) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.chains[ops[0].Chain]
	if c == nil {
		return 0, fmt.Errorf("%w: chain %s is not followed", edge.ErrSyntax, ops[0].Chain)
	}
	at := c.head
	var b []byte
	first := -1
	for i := range ops {
		if ops[i].Seq <= c.head.Seq {
			continue
		}
		if err := ops[i].Follows(at); err != nil {
			return 0, err
		}
		if first < 0 {
			first = i
		}
		at = ops[i].Position()
		b = appendRecord(b, ops[i].Wire())
	}
	if first < 0 {
		return 0, nil
	}
	if c.tail == nil {
		if err := s.writeTail(c); err != nil {
			return 0, err
		}
	}
	_, err := c.tail.Write(b)
	if err == nil {
		err = c.tail.Sync()
	}
	if err != nil {
		_ = c.tail.Close() // nobody knows what is in it: it is written anew
		c.tail = nil
		return 0, fmt.Errorf("storing operations: %w", err)
	}
	for i := first; i < len(ops); i++ {
		c.add(&ops[i])
	}
	s.announce()
	return len(ops) - first, nil
}

// adopt takes the node's snapshot of a chain. What is stored after it stays if
// it follows. One that is older than what is there is left, as another link was
// faster, unless it begins a new epoch. It reports whether the chain's history
// went on, so that those who read it need not begin again.
func (s *store) adopt(p edge.SnapshotPart, newEpoch bool) (same bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.chains[p.Chain]
	if c != nil && c.base.Seq > p.Seq && !newEpoch {
		return true, nil
	}
	// Under the lock: of two links, the one that comes last here is the one
	// whose file stays.
	if err := writeFile(s.path(p.Chain, ".snapshot"), p.Bytes); err != nil {
		return false, err
	}
	n := &chain{name: p.Chain, snap: p.Bytes, base: p.Position, head: p.Position}
	if c != nil {
		n.tail, same = c.tail, p.Position == c.base || p.Position == c.head
		if k := int(p.Seq - c.base.Seq); p.Seq > c.base.Seq && k <= len(c.rows) { //nolint:gosec // bounded by the length
			if op, err := edge.ParseOperation(c.rows[k-1].Op); err == nil && op.Position() == p.Position {
				same, n.rows, n.head = true, slices.Clone(c.rows[k:]), c.head
			}
		} else if p.Position == c.base {
			n.rows, n.head = c.rows, c.head
		}
	}
	s.chains[p.Chain] = n
	err = s.writeTail(n)
	s.announce()
	return same, err
}

// announce is called with s.mu held.
func (s *store) announce() {
	close(s.committed)
	s.committed = make(chan struct{})
}

// observe keeps the node's newest checkpoint.
func (s *store) observe(note string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note = note
}

func (s *store) heads(names ...string) edge.Cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	cur := edge.Cursor{}
	for _, n := range names {
		if c := s.chains[n]; c != nil {
			cur[n] = c.head
		}
	}
	return cur
}

func (s *store) base(name string) edge.Position {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.chains[name]; c != nil {
		return c.base
	}
	return edge.Position{}
}

// kept is the number of operations after the snapshot.
func (s *store) kept(names ...string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, name := range names {
		if c := s.chains[name]; c != nil {
			n = max(n, len(c.rows))
		}
	}
	return n
}

func (s *store) snapshot(name string) ([]byte, edge.Position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.chains[name]; c != nil {
		return c.snap, c.base, nil
	}
	return nil, edge.Position{}, errNotYet
}

func (s *store) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.chains {
		if c.tail != nil {
			_ = c.tail.Close() // synced at each write
		}
	}
}

// Committed implements journal.Store.
func (s *store) Committed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.committed
}

// View implements journal.Store.
func (s *store) View(_ context.Context, fn func(r journal.StoreReader) error) error {
	return fn(reader{s: s})
}

type reader struct {
	journal.StoreReader
	s *store
}

// Checkpoint implements journal.StoreReader.
func (r reader) Checkpoint() ([]byte, int64, error) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return []byte(r.s.note), 0, nil
}

// Feed implements journal.StoreReader.
func (r reader) Feed(name string, after uint64, limit int) ([]journal.FeedRow, error) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	c := r.s.chains[name]
	if c == nil {
		return nil, nil
	}
	k := after - min(after, c.base.Seq)
	if k >= uint64(len(c.rows)) {
		return nil, nil
	}
	rows := c.rows[k:]
	return slices.Clone(rows[:min(len(rows), limit)]), nil
}

// FeedHead implements journal.StoreReader.
func (r reader) FeedHead(name string) (journal.FeedRow, bool, error) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	c := r.s.chains[name]
	if c == nil || len(c.rows) == 0 {
		return journal.FeedRow{}, false, nil
	}
	return c.rows[len(c.rows)-1], true, nil
}

// writeFile replaces a file as a whole and syncs it.
func writeFile(path string, b []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".tmp*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close() // failed already
			_ = os.Remove(f.Name())
		}
	}()
	if _, err := io.Copy(f, bytes.NewReader(b)); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // only synced
	return d.Sync()
}

func (s *store) chainOf(name string) *chain {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chains[name]
}
