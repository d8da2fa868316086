package index

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// A snapshot is a header and blocks, all numbers little-endian.
//
//	header  "siagaidx" | version u16 = 1 | kind u16 | entries u64 | crc u32
//	block   bytes u32 | payload | crc u32
//	end     a block of no bytes
//
// Kind 1 is an Index; its records are id u64, greatest distance u8, hash 32
// bytes. Kind 2 is an Exact; its records are id u64, length u32, key. Records
// do not span blocks; a block has at most maxBlock bytes. Each checksum is
// CRC-32C of everything since the start of the file but other checksums, so
// that a block that is missing, repeated or out of place is found too.

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
	w   io.Writer
	crc uint32
	buf []byte // of the block in progress, its length first
}

func newSnapshotWriter(w io.Writer, kind uint16, entries uint64) (*snapshotWriter, error) {
	sw := &snapshotWriter{w: w, buf: make([]byte, 0, 4+maxBlock+4)}
	b := append(sw.buf, snapshotMagic...)
	b = binary.LittleEndian.AppendUint16(b, snapshotVersion)
	b = binary.LittleEndian.AppendUint16(b, kind)
	b = binary.LittleEndian.AppendUint64(b, entries)
	if err := sw.put(b); err != nil {
		return nil, err
	}
	sw.buf = sw.buf[:4]
	return sw, nil
}

// put writes b and the checksum so far.
func (sw *snapshotWriter) put(b []byte) error {
	sw.crc = crc32.Update(sw.crc, castagnoli, b)
	b = binary.LittleEndian.AppendUint32(b, sw.crc)
	_, err := sw.w.Write(b)
	return err
}

// room makes space for a record of n bytes.
func (sw *snapshotWriter) room(n int) error {
	if len(sw.buf)-4+n <= maxBlock {
		return nil
	}
	return sw.flush()
}

func (sw *snapshotWriter) flush() error {
	binary.LittleEndian.PutUint32(sw.buf, uint32(len(sw.buf)-4))
	err := sw.put(sw.buf)
	sw.buf = sw.buf[:4]
	return err
}

func (sw *snapshotWriter) hamming(id uint64, maxDistance uint8, h *[4]uint64) error {
	if err := sw.room(recordSize); err != nil {
		return err
	}
	b := binary.LittleEndian.AppendUint64(sw.buf, id)
	b = append(b, maxDistance)
	for _, w := range h {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	sw.buf = b
	return nil
}

func (sw *snapshotWriter) exact(id uint64, key string) error {
	if err := sw.room(12 + len(key)); err != nil {
		return err
	}
	b := binary.LittleEndian.AppendUint64(sw.buf, id)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(key)))
	sw.buf = append(b, key...)
	return nil
}

// close writes what is left and the end.
func (sw *snapshotWriter) close() error {
	if len(sw.buf) > 4 {
		if err := sw.flush(); err != nil {
			return err
		}
	}
	return sw.flush()
}

// readSnapshot checks a snapshot of the kind and calls block for the payload
// of each block, which it must consume and which is valid during the call.
// It holds one block in memory, whatever lengths it reads.
func readSnapshot(r io.Reader, kind uint16, maxEntries int, block func(p []byte) (n int, err error)) error {
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
	entries := binary.LittleEndian.Uint64(buf[12:])
	if maxEntries > 0 && entries > uint64(maxEntries) {
		return fmt.Errorf("%w: %d entries, more than the %d allowed", ErrSnapshot, entries, maxEntries)
	}
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
		buf = buf[:4+n+4]
		if err := read(buf[4:]); err != nil {
			return err
		}
		if err := check(buf); err != nil {
			return err
		}
		if n == 0 {
			break
		}
		k, err := block(buf[4 : 4+n])
		if err != nil {
			return err
		}
		if got += uint64(k); got > entries {
			break
		}
	}
	if got != entries {
		return fmt.Errorf("%w: %d entries announced, %d found", ErrSnapshot, entries, got)
	}
	return nil
}

// Snapshot writes all entries to w in the format that Load reads.
func (x *Index) Snapshot(w io.Writer) error {
	x.mu.RLock()
	defer x.mu.RUnlock()
	sw, err := newSnapshotWriter(w, kindHamming, uint64(x.n))
	if err != nil {
		return err
	}
	for s := range x.hash.s {
		if x.hasOwn(uint32(s)) {
			if err := sw.hamming(x.id.s[s], x.meta.s[s]&^hasExtras, &x.hash.s[s]); err != nil {
				return err
			}
		}
		if x.meta.s[s]&hasExtras != 0 {
			for e := x.heads[uint32(s)] + 1; e != 0; e = x.extras.s[e-1].next {
				if err := sw.hamming(x.extras.s[e-1].id, uint8(x.extras.s[e-1].max), &x.hash.s[s]); err != nil {
					return err
				}
			}
		}
	}
	return sw.close()
}

// Load reads what Index.Snapshot wrote. Its error wraps ErrSnapshot if the
// file is no such snapshot, is damaged or has more than o.MaxEntries; it reads
// no further than the snapshot's end.
func Load(r io.Reader, o Options) (*Index, error) {
	x := New(o)
	var err error
	if err2 := x.InsertAll(func(yield func(Entry) bool) {
		err = readSnapshot(r, kindHamming, o.MaxEntries, func(p []byte) (int, error) {
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

// LoadExact reads what Exact.Snapshot wrote, with the errors of Load.
func LoadExact(r io.Reader, o Options) (*Exact, error) {
	x := NewExact(o)
	err := readSnapshot(r, kindExact, o.MaxEntries, func(p []byte) (n int, err error) {
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
