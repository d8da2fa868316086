package edge

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// An edge's folder holds fingerprints that are shared within bounds, so its
// files are encrypted with a key derived from the edge's token: who finds the
// disk without the token file finds nothing. The same seal detects every
// damaged byte.
//
//	file   magic (16 bytes) | salt (16 bytes) | piece*
//	piece  length u32, little-endian | AES-256-GCM of length-16 bytes
//
// The file's key is HKDF-SHA-256 of the secret with the salt and the magic.
// The nonce is the piece's number; its last byte is 1 for the last piece of a
// closed file. A file that is appended to is never closed.
const (
	sealedMagic = "siaga-edge-file1"
	sealedSalt  = 16
	pieceBytes  = 64 << 10
	maxPiece    = MaxOperation + 64
)

// errDamaged says that a file of the folder cannot be read with this token.
var errDamaged = errors.New("edge: damaged, or sealed with another token")

func fileCipher(secret, salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, secret, salt, sealedMagic, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// sealWriter encrypts what is written to it, in pieces.
type sealWriter struct {
	w    io.Writer
	aead cipher.AEAD
	n    uint64
	buf  []byte // plain, for Write
	out  []byte
}

func newSealWriter(w io.Writer, secret []byte) (*sealWriter, error) {
	head := append([]byte(sealedMagic), make([]byte, sealedSalt)...)
	salt := head[len(sealedMagic):]
	if _, err := io.ReadFull(rand.Reader, salt); err != nil {
		return nil, err
	}
	aead, err := fileCipher(secret, salt)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(head); err != nil {
		return nil, err
	}
	return &sealWriter{w: w, aead: aead}, nil
}

func nonce(n uint64, last bool) (b [12]byte) {
	binary.BigEndian.PutUint64(b[:8], n)
	if last {
		b[11] = 1
	}
	return b
}

// append adds one sealed piece to dst.
func (s *sealWriter) append(dst, plain []byte, last bool) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(plain)+s.aead.Overhead())) //nolint:gosec // at most maxPiece
	n := nonce(s.n, last)
	s.n++
	return s.aead.Seal(dst, n[:], plain, nil)
}

// Write implements io.Writer; Close must follow.
func (s *sealWriter) Write(p []byte) (int, error) {
	all := len(p)
	for len(p) > 0 {
		if len(s.buf) == pieceBytes {
			if err := s.piece(false); err != nil {
				return 0, err
			}
		}
		n := min(len(p), pieceBytes-len(s.buf))
		s.buf, p = append(s.buf, p[:n]...), p[n:]
	}
	return all, nil
}

func (s *sealWriter) piece(last bool) error {
	s.out = s.append(s.out[:0], s.buf, last)
	s.buf = s.buf[:0]
	_, err := s.w.Write(s.out)
	return err
}

// Close writes the last piece.
func (s *sealWriter) Close() error { return s.piece(true) }

// sealReader reads pieces.
type sealReader struct {
	r    io.Reader
	aead cipher.AEAD
	n    uint64
	in   []byte
	rest []byte // plain bytes not read yet
	done bool
}

func newSealReader(r io.Reader, secret []byte) (*sealReader, error) {
	head := make([]byte, len(sealedMagic)+sealedSalt)
	if _, err := io.ReadFull(r, head); err != nil || !bytes.HasPrefix(head, []byte(sealedMagic)) {
		return nil, errDamaged
	}
	aead, err := fileCipher(secret, head[len(sealedMagic):])
	if err != nil {
		return nil, err
	}
	return &sealReader{r: r, aead: aead}, nil
}

// next returns the next piece; it is valid until the next call. io.EOF means
// that the file ends between two pieces.
func (s *sealReader) next() (plain []byte, last bool, err error) {
	var l [4]byte
	if _, err := io.ReadFull(s.r, l[:]); err != nil {
		if err == io.EOF { //nolint:errorlint // as io.ReadFull returns it
			return nil, false, io.EOF
		}
		return nil, false, errDamaged
	}
	n := int(binary.LittleEndian.Uint32(l[:]))
	if n < s.aead.Overhead() || n > maxPiece {
		return nil, false, errDamaged
	}
	if cap(s.in) < n {
		s.in = make([]byte, n)
	}
	s.in = s.in[:n]
	if _, err := io.ReadFull(s.r, s.in); err != nil {
		return nil, false, errDamaged
	}
	for _, last := range []bool{false, true} {
		iv := nonce(s.n, last)
		if plain, err := s.aead.Open(nil, iv[:], s.in, nil); err == nil {
			s.n++
			return plain, last, nil
		}
	}
	return nil, false, fmt.Errorf("%w (piece %d)", errDamaged, s.n)
}

// Read implements io.Reader for a closed file.
func (s *sealReader) Read(p []byte) (int, error) {
	for len(s.rest) == 0 {
		if s.done {
			return 0, io.EOF
		}
		plain, last, err := s.next()
		if err == io.EOF { //nolint:errorlint // ours
			return 0, errDamaged // closed files end with a last piece
		}
		if err != nil {
			return 0, err
		}
		s.rest, s.done = plain, last
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}
