package edge

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// folder keeps an edge's state on disk.
//
//	state      everything at one moment: meta, then one snapshot a chain
//	tail       operations since, one a piece, appended and synced
//	tail.next  the same while a new state is being written
//	fresh      moment at which all was known
//	ledger     counts and verdicts that the node was not told, see ledger.go
//
// A new state is written beside the old one, synced, and renamed over it; a
// crash at any moment leaves the old one with its tail or the new one with
// (at worst) operations in the tail that it has already, which are skipped.
type folder struct {
	dir    string
	secret []byte
	lock   *os.File

	mu     sync.Mutex // guards what follows; held over writes, which are the point
	tail   *os.File
	seal   *sealWriter
	count  int // operations in the tail
	next   *os.File
	nseal  *sealWriter
	ncount int
	gen    uint64 // counts begin and broken
	buf    []byte
}

// meta is what an edge remembers besides signals.
type meta struct {
	Version    int                 `json:"version"` // of this form: 1
	Keys       string              `json:"keys"`    // sealed
	Partner    string              `json:"partner"`
	Edge       string              `json:"edge"`
	Epoch      uint64              `json:"epoch"`
	Chains     []string            `json:"chains"` // that follow, in order
	Trips      []Trip              `json:"trips"`
	Gone       map[string][]goneAt `json:"gone"` // removed signals, by chain: see follower.go, newEpoch
	Checkpoint string              `json:"checkpoint"`
	Seen       string              `json:"seen,omitempty"` // value of SeenHeader
	LastBeat   time.Time           `json:"last_beat"`      // node's time
	Saved      time.Time           `json:"saved"`          // this machine's time
}

// goneAt is a signal that was removed by an operation.
type goneAt struct {
	Number uint64 `json:"n"`
	Seq    uint64 `json:"seq"`
}

const metaVersion = 1

// storeHook is set by tests: it is called before each step of storing, with the
// folder and the step's name, and makes it fail.
var storeHook atomic.Pointer[func(dir, step string) error]

func hook(dir, step string) error {
	if fn := storeHook.Load(); fn != nil {
		return (*fn)(dir, step)
	}
	return nil
}

// errNewer says that the folder was written by a later version.
var errNewer = errors.New("edge: the folder was written by a newer version; use that version, or an empty folder")

// errInUse says that another edge runs in the folder.
var errInUse = errors.New("edge: another edge uses this folder; give each edge a folder of its own")

func openFolder(dir string, secret string) (*folder, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("opening the edge's folder: %w", err)
	}
	lock, err := lockFolder(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	if old, err := filepath.Glob(filepath.Join(dir, "*.tmp*")); err == nil {
		for _, name := range old {
			_ = os.Remove(name) // of a write that was cut short; harmless if it stays
		}
	}
	sum := sha256.Sum256([]byte("siaga edge folder v1\n" + secret))
	return &folder{dir: dir, secret: sum[:], lock: lock}, nil
}

func (d *folder) path(name string) string { return filepath.Join(d.dir, name) }

// load reads the state and its tail. It returns fs.ErrNotExist if there is
// none, and errDamaged if it cannot be read.
func (d *folder) load() (*table, meta, error) {
	var m meta
	f, err := os.Open(d.path("state"))
	if err != nil {
		return nil, m, err
	}
	defer f.Close() //nolint:errcheck // only read
	s, err := newSealReader(bufio.NewReaderSize(f, 128<<10), d.secret)
	if err != nil {
		return nil, m, err
	}
	br := bufio.NewReaderSize(s, pieceBytes)
	line, err := br.ReadBytes('\n')
	if err != nil {
		return nil, m, errDamaged
	}
	if err := json.Unmarshal(line, &m); err != nil {
		return nil, m, errDamaged
	}
	if m.Version > metaVersion {
		return nil, m, errNewer
	}
	t := newTable()
	for range m.Chains {
		if _, _, err := t.readChain(br, nil, nil); err != nil {
			return nil, m, fmt.Errorf("%w: %w", errDamaged, err)
		}
	}
	if _, err := io.Copy(io.Discard, br); err != nil {
		return nil, m, errDamaged
	}
	return t, m, nil
}

// replay calls fn for each stored operation that may follow the state.
func (d *folder) replay(fn func(wire []byte) error) error {
	for _, name := range []string{"tail", "tail.next"} {
		f, err := os.Open(d.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		err = d.replayFile(f, fn)
		_ = f.Close() // only read
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *folder) replayFile(f io.Reader, fn func(wire []byte) error) error {
	s, err := newSealReader(bufio.NewReaderSize(f, 64<<10), d.secret)
	if err != nil {
		return nil //nolint:nilerr // written no further than its head when the machine stopped
	}
	for {
		wire, _, err := s.next()
		if err != nil {
			return nil //nolint:nilerr // what was not synced may be torn; it was never acknowledged
		}
		if err := fn(wire); err != nil {
			return err
		}
	}
}

// errNoTail says that nothing can be appended before a new state was written.
var errNoTail = errors.New("storing operations: a new state is to be written first")

// append stores operations; when it returns nil they survive a crash, if the
// tail is whole (see save). It never makes a tail: that would cut off
// operations that were acknowledged.
func (d *folder) append(ops []Sealed) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tail == nil && d.next == nil {
		return errNoTail
	}
	for _, x := range []struct {
		f *os.File
		s *sealWriter
		n *int
	}{{d.tail, d.seal, &d.count}, {d.next, d.nseal, &d.ncount}} {
		if x.f == nil {
			continue
		}
		d.buf = d.buf[:0]
		for i := range ops {
			d.buf = x.s.append(d.buf, ops[i].Wire(), false)
		}
		err := hook(d.dir, "append")
		if err == nil {
			_, err = x.f.Write(d.buf)
		}
		if err == nil {
			err = hook(d.dir, "append.sync")
		}
		if err == nil {
			err = x.f.Sync()
		}
		if err != nil {
			return d.broken(fmt.Errorf("storing operations: %w", err))
		}
		*x.n += len(ops)
	}
	return nil
}

// broken closes the tails: after a failed write nobody knows what is in them,
// so that only a new state makes the folder good again. The caller holds d.mu.
func (d *folder) broken(err error) error {
	for _, f := range []*os.File{d.tail, d.next} {
		if f != nil {
			_ = f.Close() // failed already
		}
	}
	d.tail, d.next = nil, nil
	d.gen++
	return err
}

func (d *folder) create(name string, f **os.File, s **sealWriter) error {
	file, err := os.OpenFile(d.path(name), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("storing operations: %w", err)
	}
	seal, err := newSealWriter(file, d.secret)
	if err == nil {
		err = syncDir(d.dir)
	}
	if err != nil {
		_ = file.Close() // failed already
		return fmt.Errorf("storing operations: %w", err)
	}
	*f, *s = file, seal
	return nil
}

// begin starts a new state: operations that are appended from now on follow it.
// The number it returns goes with the state to save.
func (d *folder) begin() (gen uint64, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.next != nil {
		_ = d.next.Close() // of a state that a later one replaces
		d.next = nil
	}
	d.ncount = 0
	d.gen++
	if err := hook(d.dir, "begin"); err != nil {
		return 0, err
	}
	return d.gen, d.create("tail.next", &d.next, &d.nseal)
}

// save writes the new state that begin started. When it returns true, all that
// was appended is on disk: in this state, or in a tail that follows one of its
// ancestors without a gap. False means that a later state was begun meanwhile
// and only that one will be whole.
func (d *folder) save(t *table, m meta, gen uint64) (whole bool, err error) {
	m.Version = metaVersion
	m.Chains = nil
	for _, c := range t.chains {
		m.Chains = append(m.Chains, c.name)
	}
	err = writeFile(d.dir, "state", func(w io.Writer) error {
		s, err := newSealWriter(w, d.secret)
		if err != nil {
			return err
		}
		line, err := json.Marshal(m)
		if err != nil {
			return err
		}
		if _, err := s.Write(append(line, '\n')); err != nil {
			return err
		}
		for _, c := range t.chains {
			if err := t.writeChain(s, c, SnapshotHeader{Chain: c.name, Position: c.pos, At: m.Saved}, nil); err != nil {
				return err
			}
		}
		return s.Close()
	})
	if err != nil {
		return false, fmt.Errorf("storing the state: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gen != gen {
		// tail.next belongs to a later state: taking it would leave a gap. The
		// old tail, if it is whole, goes on.
		return d.tail != nil, nil
	}
	if err := hook(d.dir, "tail.rename"); err != nil {
		return false, fmt.Errorf("storing the state: %w", err)
	}
	if err := os.Rename(d.path("tail.next"), d.path("tail")); err != nil {
		return false, fmt.Errorf("storing the state: %w", err)
	}
	if err := syncDir(d.dir); err != nil {
		return false, fmt.Errorf("storing the state: %w", err)
	}
	if d.tail != nil {
		_ = d.tail.Close() // replaced
	}
	d.tail, d.seal, d.count = d.next, d.nseal, d.ncount
	d.next, d.nseal = nil, nil
	return true, nil
}

// length is the number of operations in the tail.
func (d *folder) length() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.count
}

// writable reports whether operations can be appended.
func (d *folder) writable() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.tail != nil
}

func (d *folder) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	_ = d.broken(nil)
	_ = d.lock.Close() // which unlocks
}

// put stores a small file. It does nothing without a folder, and so does get.
func (d *folder) put(name string, b []byte) error {
	if d == nil {
		return nil
	}
	return writeFile(d.dir, name, func(w io.Writer) error {
		s, err := newSealWriter(w, d.secret)
		if err != nil {
			return err
		}
		if _, err := s.Write(b); err != nil {
			return err
		}
		return s.Close()
	})
}

// get reads a small file.
func (d *folder) get(name string) ([]byte, error) {
	if d == nil {
		return nil, fs.ErrNotExist
	}
	b, err := os.ReadFile(d.path(name))
	if err != nil {
		return nil, err
	}
	s, err := newSealReader(bytes.NewReader(b), d.secret)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(s)
}

// remove removes a small file, if it is there.
func (d *folder) remove(name string) error {
	if d == nil {
		return nil
	}
	if err := os.Remove(d.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(d.dir)
}

// writeFile replaces a file as a whole: after a crash there is the old one or
// the new one.
func writeFile(dir, name string, fn func(w io.Writer) error) (err error) {
	f, err := os.CreateTemp(dir, name+".tmp*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close() // failed already
			_ = os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriterSize(f, 128<<10)
	if err := hook(dir, name); err != nil {
		return err
	}
	if err := fn(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := hook(dir, name+".sync"); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := hook(dir, name+".rename"); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close() //nolint:errcheck // only synced
	return d.Sync()
}

// clone copies what is needed to write a table while it changes.
func (t *table) clone() *table {
	c := &table{recs: slices.Clone(t.recs), classes: slices.Clone(t.classes), texts: make(map[uint32]string, len(t.texts)), own: make(map[uint32]ownNames, len(t.own))}
	for k, v := range t.texts {
		c.texts[k] = v
	}
	for k, v := range t.own {
		c.own[k] = v
	}
	for _, ch := range t.chains {
		c.chains = append(c.chains, &chain{name: ch.name, index: ch.index, pos: ch.pos})
	}
	return c
}
