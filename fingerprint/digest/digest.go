// Package digest holds the exact fingerprints: SHA-256 (FIPS 180-4) and MD5
// (RFC 1321) of a file's bytes. MD5 is here because many lists carry it. Two
// files with one MD5 can be made on purpose, so where a list can choose, it
// should share SHA-256.
package digest

import (
	"crypto/md5" //nolint:gosec // older lists carry MD5; see the package comment
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// SHA256 is a SHA-256 digest, printed as 64 lower-case hex digits.
type SHA256 [sha256.Size]byte

// MD5 is an MD5 digest, printed as 32 lower-case hex digits.
type MD5 [md5.Size]byte

// ErrSyntax is wrapped by errors of ParseSHA256 and ParseMD5.
var ErrSyntax = errors.New("digest: not of this form")

// String returns the canonical text form.
func (d SHA256) String() string { return hex.EncodeToString(d[:]) }

// String returns the canonical text form.
func (d MD5) String() string { return hex.EncodeToString(d[:]) }

// ParseSHA256 reads 64 hex digits of either case, spaces around them ignored.
func ParseSHA256(s string) (d SHA256, err error) {
	err = parse(d[:], "SHA-256", s)
	return d, err
}

// ParseMD5 reads 32 hex digits of either case, spaces around them ignored.
func ParseMD5(s string) (d MD5, err error) {
	err = parse(d[:], "MD5", s)
	return d, err
}

func parse(dst []byte, name, s string) error {
	s = strings.TrimSpace(s)
	if want := 2 * len(dst); len(s) != want {
		return fmt.Errorf("%w: the %s digest has %d characters, enter all %d: digits and a to f", ErrSyntax, name, len(s), want)
	}
	if _, err := hex.Decode(dst, []byte(s)); err != nil {
		clear(dst)
		return fmt.Errorf("%w: the %s digest has a character other than digits and a to f", ErrSyntax, name)
	}
	return nil
}

// Sum reads r to its end and returns both digests and the number of bytes.
func Sum(r io.Reader) (SHA256, MD5, int64, error) {
	h, m := sha256.New(), md5.New() //nolint:gosec // see the package comment
	n, err := io.Copy(io.MultiWriter(h, m), r)
	if err != nil {
		return SHA256{}, MD5{}, n, err
	}
	return SHA256(h.Sum(nil)), MD5(m.Sum(nil)), n, nil
}
