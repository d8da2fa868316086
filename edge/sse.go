package edge

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// EventReader reads server-sent events (WHATWG HTML, section 9.2.6) as far as
// the feed uses them: event, data and comments. Lines and events longer than
// MaxOperation are refused with an error that wraps ErrSyntax.
type EventReader struct {
	Heard func() // called at each end of an event and at each comment; nil: nobody

	r    *bufio.Reader
	name []byte
	data []byte
}

// NewEventReader returns a reader of r. It is not safe for concurrent use.
func NewEventReader(r io.Reader) *EventReader {
	return &EventReader{r: bufio.NewReaderSize(r, 8<<10)}
}

// Next returns the next event. Both slices are valid until the next call.
func (e *EventReader) Next() (name, data []byte, err error) {
	e.name, e.data = e.name[:0], e.data[:0]
	some := false
	for {
		line, err := e.line()
		if err != nil {
			return nil, nil, err
		}
		if e.Heard != nil && len(line) <= 1 {
			e.Heard()
		}
		switch {
		case len(line) == 0:
			if some {
				return e.name, e.data, nil
			}
			e.name = e.name[:0]
			continue
		case bytes.HasPrefix(line, []byte("event:")):
			e.name = append(e.name[:0], field(line, "event:")...)
		case bytes.HasPrefix(line, []byte("data:")):
			if some {
				e.data = append(e.data, '\n')
			}
			e.data, some = append(e.data, field(line, "data:")...), true
			if len(e.data) > MaxOperation {
				return nil, nil, fmt.Errorf("%w: an event of more than %d bytes", ErrSyntax, MaxOperation)
			}
		}
	}
}

func field(line []byte, name string) []byte {
	return bytes.TrimPrefix(line[len(name):], []byte(" "))
}

// line returns the next line without its end. It is valid until the next read.
func (e *EventReader) line() ([]byte, error) {
	line, err := e.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull { //nolint:errorlint // as ReadSlice returns it
		long := bytes.Clone(line)
		for err == bufio.ErrBufferFull { //nolint:errorlint // as ReadSlice returns it
			if len(long) > MaxOperation {
				return nil, fmt.Errorf("%w: a line of more than %d bytes", ErrSyntax, MaxOperation)
			}
			line, err = e.r.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
	}
	if err != nil {
		return nil, err
	}
	return bytes.TrimRight(line, "\r\n"), nil
}

// More reports whether another whole event has arrived already, so that Next
// returns without waiting. A comment is none: the node sends them as signs of
// life, and what came before one must not wait for what comes after it.
func (e *EventReader) More() bool {
	b, err := e.r.Peek(e.r.Buffered())
	if err != nil {
		return false
	}
	some := false
	for {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		if !whole {
			return false
		}
		switch line = bytes.TrimRight(line, "\r"); {
		case len(line) == 0 && some:
			return true
		case bytes.HasPrefix(line, []byte("data:")):
			some = true
		}
		b = rest
	}
}
