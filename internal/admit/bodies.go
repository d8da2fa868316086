package admit

import (
	"bytes"
	"container/list"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/internal/problem"
)

// MaxBody is the most bytes of a request's body that a node or a relay reads.
// Handlers have lower bounds of their own.
const MaxBody = 1 << 20

// BodyLimits bound the bodies of requests that are under way. What is zero is as
// in DefaultBodies.
type BodyLimits struct {
	Grace      time.Duration // time that every body has
	Rate       int           // bytes a second that it must come with after that, on the whole
	PerAddress int           // bodies under way from one address; the oldest is ended for the newest
	Held       int64         // bytes of all bodies over smallBody, under way or worked on
}

// DefaultBodies are the limits of a node and a relay. A form of 256 KiB may come
// over a link of 128 kbit/s; one that dribbles is ended after five seconds.
func DefaultBodies() BodyLimits {
	return BodyLimits{Grace: 5 * time.Second, Rate: 16 << 10, PerAddress: 256, Held: 256 << 20}
}

// smallBody is what a body may hold without being counted: what waits in the
// queues bounds those. Nearly all bodies are smaller.
const smallBody = 16 << 10

// young bodies are never ended for others: on a node that is short of
// processors, those that have come whole may wait as long to be read.
const young = time.Second

// Bodies reads the bodies of requests before they ask for a place, so that who
// sends slowly holds none. Its methods may be called concurrently.
type Bodies struct {
	o BodyOptions

	mu        sync.Mutex
	underWay  list.List // of *body, the oldest first; guarded by mu
	addresses map[string]*list.List
	held      int64 // bytes over smallBody, guarded by mu
}

// BodyOptions configures Bodies. Refuse is required.
type BodyOptions struct {
	Limits BodyLimits
	// Address names where a request comes from; nil: by its connection.
	Address func(*http.Request) string
	// Refuse answers a request whose body was not read. Retry-After is set where
	// it may be sent again. Its body is gone.
	Refuse func(w http.ResponseWriter, r *http.Request, err error)
	// Shed, if set, is told of each request that was refused: slow, many, memory
	// or size.
	Shed func(r *http.Request, why string)
}

// NewBodies returns Bodies.
func NewBodies(o BodyOptions) *Bodies {
	d := DefaultBodies()
	if o.Limits.Grace == 0 {
		o.Limits.Grace = d.Grace
	}
	if o.Limits.Rate == 0 {
		o.Limits.Rate = d.Rate
	}
	if o.Limits.PerAddress == 0 {
		o.Limits.PerAddress = d.PerAddress
	}
	if o.Limits.Held == 0 {
		o.Limits.Held = d.Held
	}
	if o.Address == nil {
		o.Address = func(r *http.Request) string {
			host, _, err := net.SplitHostPort(r.RemoteAddr)
			if err != nil {
				return r.RemoteAddr
			}
			return host
		}
	}
	return &Bodies{o: o, addresses: map[string]*list.List{}}
}

// body is one that is under way.
type body struct {
	began   time.Time
	address string
	all     *list.Element // in underWay; nil: not under way any more
	own     *list.Element // in its address's list
	ended   string        // why it was ended for another; "": it was not
	counted int64
	stop    func() // ends a read that waits
}

// Handler reads each request's body whole, then hands the request to next.
func (b *Bodies) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
			next.ServeHTTP(w, r)
			return
		}
		if r.ContentLength > MaxBody {
			b.refuse(w, r, "size")
			return
		}
		control := http.NewResponseController(w)
		// A writer without deadlines is a test's.
		in := b.begin(b.o.Address(r), func() { _ = control.SetReadDeadline(time.Unix(1, 0)) })
		defer b.release(in)
		got, err := b.read(in, r.Body, func(t time.Time) { _ = control.SetReadDeadline(t) }, r.ContentLength)
		why := b.end(in)
		switch {
		case why != "":
		case err == nil:
			// Before anything else: from the body's end on, the server reads ahead to
			// notice that the client leaves, and the deadline would look like that.
			_ = control.SetReadDeadline(time.Time{})
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(got)), int64(len(got))
			next.ServeHTTP(w, r)
			return
		case errors.Is(err, errSize):
			why = "size"
		case errors.Is(err, errMemory):
			why = "memory"
		case errors.Is(err, os.ErrDeadlineExceeded):
			why = "slow"
		default:
			why = "" // the client left, or sent what is no body
		}
		b.refuse(w, r, why)
	})
}

var (
	errSize   = errors.New("larger than a body may be")
	errMemory = errors.New("no room for it")
)

// read reads a body. It takes memory as bytes come, not as they are promised.
func (b *Bodies) read(in *body, from io.Reader, deadline func(time.Time), promised int64) ([]byte, error) {
	size := 1 << 10
	if promised > 0 && promised < smallBody {
		size = int(promised) + 1 // one more, so that the end is seen without growing
	}
	buf := make([]byte, 0, size)
	until := in.began.Add(b.o.Limits.Grace)
	deadline(until)
	for {
		if len(buf) == cap(buf) {
			more := min(2*cap(buf), MaxBody+1)
			if !b.take(in, more) {
				return nil, errMemory
			}
			buf = append(make([]byte, 0, more), buf...)
		}
		n, err := from.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if len(buf) > MaxBody {
			return nil, errSize
		}
		if errors.Is(err, io.EOF) {
			return buf, nil
		}
		if err != nil {
			return nil, err
		}
		if t := in.began.Add(b.o.Limits.Grace + time.Duration(len(buf)/b.o.Limits.Rate)*time.Second); t.After(until) {
			until = t
			deadline(until)
		}
	}
}

// begin notes a body, and ends the oldest of its address if those are too many.
func (b *Bodies) begin(address string, stop func()) *body {
	in := &body{began: time.Now(), address: address, stop: stop}
	b.mu.Lock()
	defer b.mu.Unlock()
	own := b.addresses[address]
	if own == nil {
		own = list.New()
		b.addresses[address] = own
	}
	if own.Len() >= b.o.Limits.PerAddress {
		if old, _ := own.Front().Value.(*body); in.began.Sub(old.began) >= young {
			b.evict(old, "many")
		}
	}
	in.all, in.own = b.underWay.PushBack(in), own.PushBack(in)
	return in
}

// take counts a body's bytes. Where there is no room, the oldest that is under
// way gives way; false: there is none that can.
func (b *Bodies) take(in *body, size int) bool {
	if size <= smallBody {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if in.ended != "" {
		return false
	}
	more := int64(size) - in.counted
	for e := b.underWay.Front(); b.held+more > b.o.Limits.Held; {
		old, ok := (*body)(nil), false
		for ; e != nil && !ok; e = e.Next() {
			if old, _ = e.Value.(*body); old != in && old.counted > 0 && in.began.Sub(old.began) >= young {
				ok = true
			}
		}
		if !ok {
			return false
		}
		b.evict(old, "memory")
	}
	b.held, in.counted = b.held+more, in.counted+more
	return true
}

// evict ends a body that is under way. The caller holds b.mu.
func (b *Bodies) evict(in *body, why string) {
	in.ended = why
	b.leave(in)
	b.held, in.counted = b.held-in.counted, 0
	in.stop()
}

// leave takes a body off the lists. The caller holds b.mu.
func (b *Bodies) leave(in *body) {
	if in.all == nil {
		return
	}
	b.underWay.Remove(in.all)
	own := b.addresses[in.address]
	if own.Remove(in.own); own.Len() == 0 {
		delete(b.addresses, in.address)
	}
	in.all, in.own = nil, nil
}

// end notes that a body is under way no more, and why it was ended if it was.
func (b *Bodies) end(in *body) (why string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leave(in)
	return in.ended
}

// release gives a body's bytes back.
func (b *Bodies) release(in *body) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.leave(in) // if the reader panicked
	b.held, in.counted = b.held-in.counted, 0
}

// UnderWay returns how many bodies are being read, and the bytes that bodies
// over smallBody hold.
func (b *Bodies) UnderWay() (bodies int, held int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.underWay.Len(), b.held
}

// refuse answers a request whose body was not read, and closes its connection:
// the rest of the body would be taken for the next request.
func (b *Bodies) refuse(w http.ResponseWriter, r *http.Request, why string) {
	if b.o.Shed != nil && why != "" {
		b.o.Shed(r, why)
	}
	w.Header().Set("Connection", "close")
	// The server reads on for a while behind the answer; not for long.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second))
	r.Body, r.ContentLength = http.NoBody, 0
	const wait = 2 // seconds
	var err *problem.Error
	switch why {
	case "size":
		err = problem.New(problem.TooLarge, "the body of the request is larger than 1 MiB", "send less at once")
	case "":
		err = problem.New(problem.Invalid, "the body of the request was cut off", "send it again")
	case "memory":
		err = problem.New(problem.Busy, "this node has more to do than it can", "").WithFix("try again in %d s; nothing of this request was done", wait)
	default:
		err = problem.New(problem.Busy, "the request came too slowly", "").WithFix("try again in %d s; nothing of this request was done", wait)
	}
	if err.Kind == problem.Busy {
		w.Header().Set("Retry-After", strconv.Itoa(wait))
	}
	b.o.Refuse(w, r, err)
}
