package edge

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Cursor is where a subscriber stands: one position for each chain that it
// follows. A chain that is absent stands before its first operation.
type Cursor map[string]Position

const (
	cursorPrefix = "c1."
	maxChains    = 16
	maxCursor    = 4096 // characters of a cursor's text
)

// String returns the text form, which is opaque to all but this package:
// letters, digits, '.', '-' and '_'. The empty cursor is "".
func (c Cursor) String() string { return string(c.Append(nil)) }

// Append appends the text form to dst.
func (c Cursor) Append(dst []byte) []byte {
	if len(c) == 0 {
		return dst
	}
	var raw []byte
	for _, chain := range slices.Sorted(maps.Keys(c)) {
		p := c[chain]
		raw = binary.AppendUvarint(raw, uint64(len(chain)))
		raw = append(raw, chain...)
		raw = binary.AppendUvarint(raw, p.Epoch)
		raw = binary.AppendUvarint(raw, p.Seq)
		raw = append(raw, p.Hash[:]...)
	}
	return base64.RawURLEncoding.AppendEncode(append(dst, cursorPrefix...), raw)
}

// MarshalText implements encoding.TextMarshaler.
func (c Cursor) MarshalText() ([]byte, error) { return c.Append(nil), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *Cursor) UnmarshalText(b []byte) error {
	p, err := ParseCursor(string(b))
	*c = p
	return err
}

// ParseCursor reads the text form. The error wraps ErrSyntax.
func ParseCursor(s string) (Cursor, error) {
	c := Cursor{}
	if s == "" {
		return c, nil
	}
	if len(s) > maxCursor {
		return nil, fmt.Errorf("%w: a cursor of %d characters, the limit is %d", ErrSyntax, len(s), maxCursor)
	}
	text, ok := strings.CutPrefix(s, cursorPrefix)
	if !ok {
		return nil, fmt.Errorf("%w: a cursor begins with %q", ErrSyntax, cursorPrefix)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: the cursor is damaged: not base64", ErrSyntax)
	}
	for len(raw) > 0 {
		var chain string
		var p Position
		n, w := binary.Uvarint(raw)
		if w <= 0 || n > uint64(len(raw)-w) {
			return nil, fmt.Errorf("%w: the cursor is cut off", ErrSyntax)
		}
		chain, raw = string(raw[w:w+int(n)]), raw[w+int(n):] //nolint:gosec // n is at most len(raw)
		if !validChain(chain) {
			return nil, fmt.Errorf("%w: the cursor names no chain", ErrSyntax)
		}
		for _, v := range []*uint64{&p.Epoch, &p.Seq} {
			*v, w = binary.Uvarint(raw)
			if w <= 0 {
				return nil, fmt.Errorf("%w: the cursor is cut off", ErrSyntax)
			}
			raw = raw[w:]
		}
		if len(raw) < len(p.Hash) {
			return nil, fmt.Errorf("%w: the cursor is cut off", ErrSyntax)
		}
		raw = raw[copy(p.Hash[:], raw):]
		if _, twice := c[chain]; twice || len(c) >= maxChains {
			return nil, fmt.Errorf("%w: the cursor names a chain twice, or more than %d", ErrSyntax, maxChains)
		}
		c[chain] = p
	}
	return c, nil
}

// Clone returns a copy.
func (c Cursor) Clone() Cursor { return maps.Clone(c) }
