package edge

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The folder of look-back holds sealed files (see sealed.go), each a row of
// pieces that is appended to:
//
//	up-NNNNNNNNNN   records of uploads, one a piece
//	ev-NNNNNNNNNN   events, one JSON object a piece
//
// Every start begins new files, since nobody knows what the last bytes of the
// old ones are. The oldest file of uploads goes as a whole when all in it is
// too old, or when the folder is too large. At a start the events that are
// kept are written anew into one file.

// segment is one file of uploads.
type segment struct {
	number int64
	size   int64
	newest time.Time // of its records
	count  int
}

func (s *segment) name() string { return fmt.Sprintf("up-%010d", s.number) }

// place is where a record stands.
type place struct {
	segment int64
	off     int64 // of its piece
	size    int32 // of the sealed piece, without its length
	piece   uint64
}

// readPieces calls fn for each whole piece of a file; what is torn at its end
// was never acknowledged.
func readPieces(path string, secret []byte, fn func(off int64, piece uint64, sealed int, plain []byte) error) (size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close() //nolint:errcheck // only read
	off := int64(len(sealedMagic) + sealedSalt)
	s, err := newSealReader(bufio.NewReaderSize(f, 256<<10), secret)
	if err != nil {
		if info, ierr := f.Stat(); ierr == nil && info.Size() < off {
			return info.Size(), nil // written no further than its head
		}
		return 0, err
	}
	for n := uint64(0); ; n++ {
		plain, _, err := s.next()
		if err == io.EOF { //nolint:errorlint // ours
			return off, nil
		}
		if err != nil {
			if n == 0 {
				return 0, err // another token's, or damaged from the start
			}
			return off, nil
		}
		sealed := len(plain) + s.aead.Overhead()
		if err := fn(off, n, sealed, plain); err != nil {
			return off, err
		}
		off += int64(4 + sealed)
	}
}

// readPiece reads one piece of a file again.
func readPiece(dir string, secret []byte, p place) ([]byte, error) {
	f, err := os.Open(filepath.Join(dir, (&segment{number: p.segment}).name()))
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // only read
	head := make([]byte, len(sealedMagic)+sealedSalt)
	if _, err := io.ReadFull(f, head); err != nil {
		return nil, errDamaged
	}
	aead, err := fileCipher(secret, head[len(sealedMagic):])
	if err != nil {
		return nil, err
	}
	b := make([]byte, p.size)
	if _, err := f.ReadAt(b, p.off+4); err != nil {
		return nil, errDamaged
	}
	iv := nonce(p.piece, false)
	plain, err := aead.Open(b[:0], iv[:], b, nil)
	if err != nil {
		return nil, errDamaged
	}
	return plain, nil
}

// appender is an open file that pieces are appended to.
type appender struct {
	f    *os.File
	seal *sealWriter
	size int64
	buf  []byte
	dirt bool // written and not synced
}

func newAppender(dir, name string, secret []byte) (*appender, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	s, err := newSealWriter(f, secret)
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		_ = f.Close() // failed already
		return nil, err
	}
	return &appender{f: f, seal: s, size: int64(len(sealedMagic) + sealedSalt)}, nil
}

// put appends a piece and says where.
func (a *appender) put(plain []byte) (p place, err error) {
	p = place{off: a.size, piece: a.seal.n}
	a.buf = a.seal.append(a.buf[:0], plain, false)
	p.size = int32(len(a.buf) - 4) //nolint:gosec // at most maxPiece
	if _, err := a.f.Write(a.buf); err != nil {
		return p, err
	}
	a.size += int64(len(a.buf))
	a.dirt = true
	return p, nil
}

func (a *appender) sync() error {
	if a == nil || !a.dirt {
		return nil
	}
	a.dirt = false
	return a.f.Sync()
}

func (a *appender) close() error {
	if a == nil {
		return nil
	}
	return errors.Join(a.sync(), a.f.Close())
}

// numbered lists the numbers of the folder's files with this prefix, in order.
func numbered(dir, prefix string) (out []int64, err error) {
	names, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range names {
		var n int64
		if rest, ok := strings.CutPrefix(e.Name(), prefix); ok {
			if _, err := fmt.Sscanf(rest, "%d", &n); err == nil {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	return out, nil
}
