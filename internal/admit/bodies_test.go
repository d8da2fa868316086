package admit_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/admit"
	"github.com/siaga-crp/siaga/internal/problem"
)

// desk is a server whose one lane has one place, behind Bodies.
type desk struct {
	server *httptest.Server
	bodies *admit.Bodies
	worked atomic.Int64
	last   atomic.Value // []byte: the last body that was worked on
	mu     sync.Mutex
	shed   map[string]int
}

func newDesk(t *testing.T, limits admit.BodyLimits) *desk {
	t.Helper()
	d := &desk{shed: map[string]int{}}
	g := admit.New(admit.Options{Limits: map[admit.Lane]admit.Limits{admit.SignIn: {Places: 1, Queue: 1, Wait: 50 * time.Millisecond}}, Refuse: refuse})
	d.bodies = admit.NewBodies(admit.BodyOptions{
		Limits: limits,
		Refuse: func(w http.ResponseWriter, _ *http.Request, err error) {
			switch problem.KindOf(err) {
			case problem.Busy:
				w.WriteHeader(http.StatusTooManyRequests)
			case problem.TooLarge:
				w.WriteHeader(http.StatusRequestEntityTooLarge)
			default:
				w.WriteHeader(http.StatusBadRequest)
			}
		},
		Shed: func(_ *http.Request, why string) { d.mu.Lock(); d.shed[why]++; d.mu.Unlock() },
	})
	d.server = httptest.NewServer(d.bodies.Handler(g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		d.worked.Add(1)
		d.last.Store(b)
		_, _ = io.WriteString(w, strings.Repeat("a page over two kilobytes ", 200))
	}))))
	t.Cleanup(d.server.Close)
	return d
}

// dial begins a request and sends the start of its body.
func (d *desk) dial(t *testing.T, head, start string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", d.server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, head+"\r\nHost: node\r\n\r\n"+start); err != nil {
		t.Fatal(err)
	}
	return c
}

// answered returns the status of a connection's answer, and whether the server
// then closed it.
func answered(t *testing.T, c net.Conn) (status int, closed bool) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode == http.StatusTooManyRequests && resp.Header.Get("Retry-After") == "" {
		t.Error("429 without Retry-After")
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Error(err)
	}
	return resp.StatusCode, resp.Close
}

func (d *desk) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within 20 s: " + what)
		}
	}
}

func (d *desk) post(t *testing.T, body io.Reader) int {
	t.Helper()
	resp, err := d.server.Client().Post(d.server.URL+"/sign-in", "text/plain", body)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// Bodies that never come hold no place, whatever the method, and are ended.
func TestSlowBodiesHoldNoPlace(t *testing.T) {
	t.Parallel()
	d := newDesk(t, admit.BodyLimits{Grace: 1500 * time.Millisecond})
	var slow []net.Conn
	for i := range 40 {
		head := []string{"POST /sign-in HTTP/1.1\r\nContent-Length: 5000", "POST /sign-in HTTP/1.1\r\nTransfer-Encoding: chunked", "GET /sign-in HTTP/1.1\r\nContent-Length: 5000"}[i%3]
		slow = append(slow, d.dial(t, head, ""))
	}
	d.until(t, "all are under way", func() bool { n, _ := d.bodies.UnderWay(); return n == len(slow) })
	if code := d.post(t, strings.NewReader("whole")); code != http.StatusOK || string(d.last.Load().([]byte)) != "whole" { //nolint:forcetypeassert // stored above
		t.Fatalf("a request beside slow ones answers %d", code)
	}
	if d.worked.Load() != 1 {
		t.Errorf("%d requests were worked on, want the one that came whole", d.worked.Load())
	}
	for _, c := range slow {
		if code, closed := answered(t, c); code != http.StatusTooManyRequests || !closed {
			t.Errorf("a slow one: %d, closed %v", code, closed)
		}
	}
	if d.mu.Lock(); d.shed["slow"] != len(slow) {
		t.Errorf("shed: %v", d.shed)
	}
	d.mu.Unlock()
}

// One byte now and then does not lengthen a body's time; 16 KiB a second do.
func TestBodiesMustComeAtARate(t *testing.T) {
	t.Parallel()
	d := newDesk(t, admit.BodyLimits{Grace: 200 * time.Millisecond, Rate: 1 << 10})
	dribble := d.dial(t, "POST /sign-in HTTP/1.1\r\nContent-Length: 5000", "")
	steady := d.dial(t, "POST /sign-in HTTP/1.1\r\nContent-Length: 30000", strings.Repeat("x", 20_000)) // has 19 s more
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				if _, err := dribble.Write([]byte("x")); err != nil {
					return
				}
			}
		}
	}()
	if code, _ := answered(t, dribble); code != http.StatusTooManyRequests {
		t.Errorf("a dribbling body: %d", code)
	}
	close(stop)
	<-stopped
	if _, err := io.WriteString(steady, strings.Repeat("x", 10_000)); err != nil {
		t.Fatal(err)
	}
	if code, closed := answered(t, steady); code != http.StatusOK || closed {
		t.Errorf("a large body in time: %d, closed %v", code, closed)
	}
}

// A connection goes on after bodies that were read, for longer than a body has.
func TestBodiesLeaveTheConnection(t *testing.T) {
	t.Parallel()
	d := newDesk(t, admit.BodyLimits{Grace: 100 * time.Millisecond})
	c := d.dial(t, "POST /sign-in HTTP/1.1\r\nContent-Length: 5", "first")
	r := bufio.NewReader(c)
	for i := range 3 {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(i, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		time.Sleep(150 * time.Millisecond) // over the first one's time
		if _, err := io.WriteString(c, "POST /sign-in HTTP/1.1\r\nHost: node\r\nContent-Length: 5\r\n\r\nagain"); err != nil {
			t.Fatal(i, err)
		}
	}
}

func TestBodySizes(t *testing.T) {
	t.Parallel()
	d := newDesk(t, admit.BodyLimits{})
	for _, size := range []int{1, 1023, 1024, 16 << 10, 16<<10 + 1, admit.MaxBody - 1, admit.MaxBody} {
		for _, chunked := range []bool{false, true} {
			want := bytes.Repeat([]byte{'a' + byte(size%26)}, size)
			var in io.Reader = bytes.NewReader(want)
			if chunked {
				in = io.MultiReader(in)
			}
			if code := d.post(t, in); code != http.StatusOK {
				t.Errorf("%d bytes, chunked %v: %d", size, chunked, code)
			} else if got := d.last.Load().([]byte); !bytes.Equal(got, want) { //nolint:forcetypeassert // stored above
				t.Errorf("%d bytes, chunked %v: came as %d", size, chunked, len(got))
			}
		}
	}
	// Larger ones are refused, promised or not, and one that is cut off is no body.
	c := d.dial(t, fmt.Sprintf("POST /sign-in HTTP/1.1\r\nContent-Length: %d", admit.MaxBody+1), "")
	if code, closed := answered(t, c); code != http.StatusRequestEntityTooLarge || !closed {
		t.Errorf("promised: %d, closed %v", code, closed)
	}
	c = d.dial(t, "POST /sign-in HTTP/1.1\r\nTransfer-Encoding: chunked", "180000\r\n"+strings.Repeat("x", admit.MaxBody+1))
	if code, closed := answered(t, c); code != http.StatusRequestEntityTooLarge || !closed {
		t.Errorf("chunked: %d, closed %v", code, closed)
	}
	c = d.dial(t, "POST /sign-in HTTP/1.1\r\nTransfer-Encoding: chunked", "zz\r\n")
	if code, closed := answered(t, c); code != http.StatusBadRequest || !closed {
		t.Errorf("broken chunks: %d, closed %v", code, closed)
	}
	if n, held := d.bodies.UnderWay(); n != 0 || held != 0 {
		t.Errorf("%d under way, %d bytes held", n, held)
	}
}

// The oldest body of an address gives way to the newest, and the oldest large
// ones to those that need the memory; small ones are always taken.
func TestOldBodiesGiveWay(t *testing.T) {
	t.Parallel()
	d := newDesk(t, admit.BodyLimits{Grace: time.Minute, PerAddress: 2, Held: 600 << 10})
	var slow []net.Conn
	for i := range 2 {
		slow = append(slow, d.dial(t, "POST /sign-in HTTP/1.1\r\nContent-Length: 900000", strings.Repeat("x", 200<<10)))
		d.until(t, "it is under way", func() bool { n, held := d.bodies.UnderWay(); return n == i+1 && held >= int64(i+1)*(256<<10) })
	}
	time.Sleep(1100 * time.Millisecond) // the young are spared
	if code := d.post(t, strings.NewReader("small")); code != http.StatusOK {
		t.Errorf("a third one of the address: %d", code)
	}
	if code, _ := answered(t, slow[0]); code != http.StatusTooManyRequests {
		t.Errorf("the oldest: %d", code)
	}
	if code := d.post(t, bytes.NewReader(make([]byte, 500<<10))); code != http.StatusOK {
		t.Errorf("a large one: %d", code)
	}
	if code, _ := answered(t, slow[1]); code != http.StatusTooManyRequests {
		t.Errorf("the oldest large one: %d", code)
	}
	if d.mu.Lock(); d.shed["many"] != 1 || d.shed["memory"] != 1 {
		t.Errorf("shed: %v", d.shed)
	}
	d.mu.Unlock()
	if n, held := d.bodies.UnderWay(); n != 0 || held != 0 {
		t.Errorf("%d under way, %d bytes held", n, held)
	}
}

func BenchmarkBodies(b *testing.B) {
	bodies := admit.NewBodies(admit.BodyOptions{Refuse: refuse})
	h := bodies.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	text := strings.Repeat("x", 900)
	w, r := httptest.NewRecorder(), httptest.NewRequest("POST", "/api/v1/feed/status", nil)
	b.ReportAllocs()
	for b.Loop() {
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader(text)), int64(len(text))
		h.ServeHTTP(w, r)
	}
}
