package edge

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// paceRate is the bytes a second that a body must come with: whoever hands an
// upload on while it dribbles in would hold one of the few places in which files
// are worked on.
const paceRate = 256 << 10

// deadliner is what http.Server's writers are.
type deadliner interface{ SetReadDeadline(t time.Time) error }

// pace is a request's body. Reads end with os.ErrDeadlineExceeded when it comes
// too slowly; only time that is spent waiting for the client counts. Each
// request has one of its own.
type pace struct {
	io.ReadCloser
	conn     deadliner
	patience time.Duration
	read     int64
	waited   time.Duration
	ended    bool
}

// paced puts a pace before the body of a request until done is called.
func paced(w http.ResponseWriter, r *http.Request, patience time.Duration) (done func()) {
	conn, ok := w.(deadliner) // else a writer of a test, or in front of the server's
	if !ok || r.Body == nil || r.ContentLength == 0 {
		return func() {}
	}
	p := &pace{ReadCloser: r.Body, conn: conn, patience: patience}
	r.Body = p
	return func() {
		r.Body = p.ReadCloser
		if !p.ended { // the server may read the rest for a second more, to keep the connection
			_ = conn.SetReadDeadline(time.Now().Add(time.Second))
		}
	}
}

func (p *pace) Read(b []byte) (int, error) {
	begin := time.Now()
	left := p.patience + time.Duration(p.read)*time.Second/paceRate - p.waited
	_ = p.conn.SetReadDeadline(begin.Add(left))
	n, err := p.ReadCloser.Read(b)
	if err == io.EOF { //nolint:errorlint // as bodies return it
		// From here on the server reads ahead to notice that the client leaves.
		p.ended = true
		_ = p.conn.SetReadDeadline(time.Time{})
	}
	p.read, p.waited = p.read+int64(n), p.waited+time.Since(begin)
	return n, err
}

// bodyError explains what is wrong with a body that could not be read.
func bodyError(err error, limit int64) error {
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", limit), "send less at once"}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &refusal{http.StatusRequestTimeout, fmt.Sprintf("the body came too slowly: less than %d KiB a second", paceRate>>10), "receive an upload whole before you hand it to the edge"}
	}
	return &refusal{http.StatusBadRequest, "the body was cut off: " + err.Error(), "send it again"}
}
