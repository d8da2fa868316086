package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A snapshot is a header, blocks and an end, all numbers little-endian.
//
//	header  "siagaidx" | version u16 = 1 | kind u16 | about how many entries u64 | crc u32
//	block   bytes u32, at least 1 | payload | crc u32
//	end     0 u32 | entries u64 | crc u32
//
// Kind 1 is an Index; its records are id u64, greatest distance u8, hash 32
// bytes. Kind 2 is an Exact; its records are id u64, length u32, key. Records
// do not span blocks; a block has at most maxBlock bytes. Each checksum is
// CRC-32C of everything since the start of the file but other checksums, so
// that a block that is missing, repeated or out of place is found too. The
// number in the header is that at the start of the snapshot; that in the end
// is of the records written.

// ErrSnapshot is wrapped by the errors of Load and LoadExact about a file that
// is no snapshot, is damaged or cut short, or is of a newer version.
var ErrSnapshot = errors.New("index: snapshot cannot be used")

const (
	snapshotMagic   = "siagaidx"
	snapshotVersion = 1
	kindHamming     = 1
	kindExact       = 2

	recordSize = 8 + 1 + 32
	maxBlock   = 256 << 10
	headerSize = 8 + 2 + 2 + 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

type snapshotWriter struct {
	w       io.Writer
	crc     uint32
	buf     []byte // of the block in progress, room for its length first
	entries uint64
}

func newSnapshotWriter(w io.Writer, kind uint16, about int) (*snapshotWriter, error) {
	sw := &snapshotWriter{w: w, buf: make([]byte, 0, 4+maxBlock+4)}
	b := append(sw.buf, snapshotMagic...)
	b = binary.LittleEndian.AppendUint16(b, snapshotVersion)
	b = binary.LittleEndian.AppendUint16(b, kind)
	b = binary.LittleEndian.AppendUint64(b, uint64(about))
	sw.buf = sw.buf[:4]
	return sw, sw.put(b)
}

// put writes b and the checksum so far.
func (sw *snapshotWriter) put(b []byte) error {
	sw.crc = crc32.Update(sw.crc, castagnoli, b)
	b = binary.LittleEndian.AppendUint32(b, sw.crc)
	_, err := sw.w.Write(b)
	return err
}

// room says whether a record of n bytes still fits.
func (sw *snapshotWriter) room(n int) bool { return len(sw.buf)-4+n <= maxBlock }

// flush writes the block in progress, if there is one.
func (sw *snapshotWriter) flush() error {
	if len(sw.buf) == 4 {
		return nil
	}
	binary.LittleEndian.PutUint32(sw.buf, uint32(len(sw.buf)-4))
	err := sw.put(sw.buf)
	sw.buf = sw.buf[:4]
	return err
}

// hamming adds a record, for which there must be room.
func (sw *snapshotWriter) hamming(id uint64, maxDistance uint8, h *[4]uint64) {
	b := binary.LittleEndian.AppendUint64(sw.buf, id)
	b = append(b, maxDistance)
	for _, w := range h {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	sw.buf = b
	sw.entries++
}

// exact adds a record, for which there must be room.
func (sw *snapshotWriter) exact(id uint64, key string) {
	b := binary.LittleEndian.AppendUint64(sw.buf, id)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(key)))
	sw.buf = append(b, key...)
	sw.entries++
}

// end writes what is left and the end.
func (sw *snapshotWriter) end() error {
	if err := sw.flush(); err != nil {
		return err
	}
	b := binary.LittleEndian.AppendUint32(sw.buf[:0], 0)
	return sw.put(binary.LittleEndian.AppendUint64(b, sw.entries))
}

// readSnapshot checks a snapshot of the kind. It calls begin with about how
// many entries there are, which is not to be relied upon, and block with the
// payload of each block, valid during the call, for the number of records in
// it. It holds one block in memory, whatever lengths it reads.
func readSnapshot(r io.Reader, kind uint16, maxEntries int, begin func(about uint64), block func(p []byte) (n int, err error)) error {
	buf := make([]byte, headerSize+4, 4+maxBlock+4)
	var crc uint32
	read := func(b []byte) error {
		if _, err := io.ReadFull(r, b); err == io.EOF || err == io.ErrUnexpectedEOF {
			return fmt.Errorf("%w: the file is cut short; take a new snapshot", ErrSnapshot)
		} else if err != nil {
			return fmt.Errorf("reading snapshot: %w", err)
		}
		return nil
	}
	check := func(b []byte) error {
		p, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
		if crc = crc32.Update(crc, castagnoli, p); crc != sum {
			return fmt.Errorf("%w: the file is damaged (checksum); take a new snapshot", ErrSnapshot)
		}
		return nil
	}
	tooMany := func(n uint64) error {
		if maxEntries > 0 && n > uint64(maxEntries) {
			return fmt.Errorf("%w: %d entries, more than the %d allowed", ErrSnapshot, n, maxEntries)
		}
		return nil
	}
	if err := read(buf); err != nil {
		return err
	}
	if string(buf[:8]) != snapshotMagic {
		return fmt.Errorf("%w: not a snapshot of an index", ErrSnapshot)
	}
	if err := check(buf); err != nil {
		return err
	}
	if v := binary.LittleEndian.Uint16(buf[8:]); v != snapshotVersion {
		return fmt.Errorf("%w: version %d is not known here; upgrade or take a new snapshot", ErrSnapshot, v)
	}
	if k := binary.LittleEndian.Uint16(buf[10:]); k != kind {
		return fmt.Errorf("%w: it is of another kind of index (%d, want %d)", ErrSnapshot, k, kind)
	}
	about := binary.LittleEndian.Uint64(buf[12:])
	if err := tooMany(about); err != nil {
		return err
	}
	begin(about)
	var got uint64
	for {
		buf = buf[:4]
		if err := read(buf); err != nil {
			return err
		}
		n := binary.LittleEndian.Uint32(buf)
		if n > maxBlock {
			return fmt.Errorf("%w: the file is damaged (block of %d bytes); take a new snapshot", ErrSnapshot, n)
		}
		if n == 0 {
			break
		}
		buf = buf[:4+n+4]
		if err := read(buf[4:]); err != nil {
			return err
		}
		if err := check(buf); err != nil {
			return err
		}
		k, err := block(buf[4 : 4+n])
		if err != nil {
			return err
		}
		got += uint64(k)
		if err := tooMany(got); err != nil {
			return err
		}
	}
	buf = buf[:4+8+4]
	if err := read(buf[4:]); err != nil {
		return err
	}
	if err := check(buf); err != nil {
		return err
	}
	if want := binary.LittleEndian.Uint64(buf[4:]); got != want {
		return fmt.Errorf("%w: %d entries announced, %d found", ErrSnapshot, want, got)
	}
	return nil
}

// Snapshot writes all entries to w in the format that Load reads. Searches and
// writes go on meanwhile: an entry that is inserted or deleted while it runs
// may or may not be in it, all others are.
func (x *Index) Snapshot(w io.Writer) error {
	sw, err := newSnapshotWriter(w, kindHamming, x.Len())
	if err != nil {
		return err
	}
	var at snapshotAt
	for more := true; more; {
		x.mu.RLock() // to fill a block, not to write it
		more = x.fill(&at, len(x.hash.s), func(slot uint32, id uint64, maxDistance uint8) bool {
			if !sw.room(recordSize) {
				return false
			}
			sw.hamming(id, maxDistance, &x.hash.s[slot])
			return true
		})
		x.mu.RUnlock()
		if err := sw.flush(); err != nil {
			return err
		}
	}
	return sw.end()
}

// snapshotAt is where a snapshot goes on: at a slot, or in its extras.
type snapshotAt struct {
	slot  int
	extra uint32 // 1 + the next extra of slot; 0 before its own entry
}

// fill calls put for entries from at on, until it says that there is no room.
// It says whether there are more.
func (x *entries) fill(at *snapshotAt, slots int, put func(slot uint32, id uint64, maxDistance uint8) bool) (more bool) {
	for ; at.slot < slots; at.slot++ {
		s := uint32(at.slot)
		first := func() uint32 {
			if x.hasExtras(s) {
				return x.heads[s] + 1
			}
			return 0
		}
		if at.extra == 0 {
			if x.hasOwn(s) && !put(s, x.id.s[s], x.meta.s[s]&^extrasFlag) {
				return true
			}
			at.extra = first()
		} else if x.extras.s[at.extra-1].slot != s {
			// Deleted since the last block. The slot's list begins again: an
			// entry that is there twice is loaded once.
			at.extra = first()
		}
		for at.extra != 0 {
			e := &x.extras.s[at.extra-1]
			if !put(s, e.id, uint8(e.max)) {
				return true
			}
			at.extra = e.next
		}
	}
	return false
}

// loadHint bounds how many entries Load makes room for on a snapshot's word.
// The room is addresses, not memory.
const loadHint = 1 << 26

// Load reads what Index.Snapshot wrote. Its error wraps ErrSnapshot if the
// file is no such snapshot, is damaged or has more than o.MaxEntries; it reads
// no further than the snapshot's end.
func Load(r io.Reader, o Options) (*Index, error) {
	x := New(o)
	var err error
	begin := func(about uint64) { x.reserve(int(min(about, loadHint))) }
	if err2 := x.InsertAll(func(yield func(Entry) bool) {
		err = readSnapshot(r, kindHamming, o.MaxEntries, begin, func(p []byte) (int, error) {
			n := len(p) / recordSize
			if n*recordSize != len(p) {
				return 0, fmt.Errorf("%w: a record is cut short", ErrSnapshot)
			}
			for ; len(p) > 0; p = p[recordSize:] {
				if p[8] > MaxDistance {
					return 0, fmt.Errorf("%w: an entry has distance %d", ErrSnapshot, p[8])
				}
				if !yield(Entry{binary.LittleEndian.Uint64(p), Hash(p[9:recordSize]), int(p[8])}) {
					return 0, ErrSnapshot // cannot be: entries are valid
				}
			}
			return n, nil
		})
	}); err2 != nil {
		return nil, err2
	}
	if err != nil {
		return nil, err
	}
	return x, nil
}

// Snapshot writes all entries to w in the format that LoadExact reads, with
// the promises of Index.Snapshot.
func (x *Exact) Snapshot(w io.Writer) error {
	sw, err := newSnapshotWriter(w, kindExact, x.Len())
	if err != nil {
		return err
	}
	var at snapshotAt
	for more := true; more; {
		x.mu.RLock()
		more = x.fill(&at, len(x.key), func(slot uint32, id uint64, _ uint8) bool {
			key := x.key[slot]
			if !sw.room(12 + len(key)) {
				return false
			}
			sw.exact(id, key)
			return true
		})
		x.mu.RUnlock()
		if err := sw.flush(); err != nil {
			return err
		}
	}
	return sw.end()
}

// LoadExact reads what Exact.Snapshot wrote, with the errors of Load.
func LoadExact(r io.Reader, o Options) (*Exact, error) {
	x := NewExact(o)
	begin := func(about uint64) { x.reserve(int(min(about, loadHint))) }
	err := readSnapshot(r, kindExact, o.MaxEntries, begin, func(p []byte) (n int, err error) {
		for ; len(p) > 0; n++ {
			if len(p) < 12 {
				return 0, fmt.Errorf("%w: a record is cut short", ErrSnapshot)
			}
			id, size := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint32(p[8:])
			if p = p[12:]; uint64(size) > uint64(len(p)) || size > MaxKey {
				return 0, fmt.Errorf("%w: a key of %d bytes does not fit", ErrSnapshot, size)
			}
			if err := x.Insert(id, string(p[:size])); err != nil {
				return 0, err
			}
			p = p[size:]
		}
		return n, nil
	})
	if err != nil {
		return nil, err
	}
	return x, nil
}
