package relay_test

import (
	"net"
	"sync"
	"testing"
)

// port keeps an address for servers of which one follows the other. While there
// is none, whoever connects is turned away at once. A test that gave the address
// up meanwhile would now and then find it taken: by a connection of another
// program, or by one that dials the missing server itself.
type port struct {
	l    net.Listener
	addr string

	mu  sync.Mutex
	now *served
}

func newPort(t *testing.T) *port {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &port{l: l, addr: l.Addr().String()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			s := p.now
			p.mu.Unlock()
			if s == nil {
				_ = c.Close()
				continue
			}
			select {
			case s.conns <- c:
			case <-s.over:
				_ = c.Close()
			}
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return p
}

// listen is for the next server; the one before must be closed.
func (p *port) listen() net.Listener {
	s := &served{p: p, conns: make(chan net.Conn), over: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = s
	return s
}

// served is one server's part of a port.
type served struct {
	p     *port
	conns chan net.Conn
	over  chan struct{}
	once  sync.Once
}

func (s *served) Addr() net.Addr { return s.p.l.Addr() }

func (s *served) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.over:
		return nil, net.ErrClosed
	}
}

func (s *served) Close() error {
	s.once.Do(func() {
		s.p.mu.Lock()
		defer s.p.mu.Unlock()
		if s.p.now == s {
			s.p.now = nil
		}
		close(s.over)
	})
	return nil
}
