package edge_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
)

// reads reads a file to its end, as a fingerprinter does.
type reads struct{}

func (reads) Fingerprint(_ context.Context, r io.Reader) (set fingerprint.Set, err error) {
	set.Bytes, err = io.Copy(io.Discard, r)
	return set, err
}

// Uploads that dribble in give the place of files back in bounded time, and a
// connection that sent its body goes on for longer than that.
func TestSlowUploadsGiveTheirPlaceBack(t *testing.T) {
	t.Parallel()
	_, m, _, _ := newServer(t)
	const patience = 300 * time.Millisecond
	s := httptest.NewServer(edge.NewServer(edge.ServerOptions{Matcher: m, Fingerprinter: reads{}, Uploads: 1, Patience: patience}))
	t.Cleanup(s.Close)
	send := func(c net.Conn, head, body string) {
		t.Helper()
		if _, err := fmt.Fprintf(c, "POST /v1/match HTTP/1.1\r\nHost: edge\r\n%s\r\n\r\n%s", head, body); err != nil {
			t.Fatal(err)
		}
	}
	dial := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		return c
	}
	answer := func(r *bufio.Reader) (*http.Response, string) {
		t.Helper()
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(b)
	}
	for _, head := range []string{
		"Content-Type: image/png\r\nContent-Length: 100000",
		"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 100000",
		"Content-Type: application/json\r\nContent-Length: 100000",
	} {
		c := dial()
		start := "x"
		if strings.Contains(head, "multipart") {
			start = "--b\r\nContent-Disposition: form-data; name=file; filename=a.png\r\n\r\nx"
		}
		send(c, head, start)
		if resp, body := answer(bufio.NewReader(c)); resp.StatusCode != http.StatusRequestTimeout || !resp.Close || !strings.Contains(body, "too slowly") {
			t.Errorf("%s: %s, closed %v: %s", head, resp.Status, resp.Close, body)
		}
	}
	c := dial()
	r := bufio.NewReader(c)
	for range 3 {
		send(c, "Content-Type: image/png\r\nContent-Length: 5", "whole")
		if resp, body := answer(r); resp.StatusCode != http.StatusOK || resp.Close {
			t.Errorf("whole: %s, closed %v: %s", resp.Status, resp.Close, body)
		}
		time.Sleep(patience + 100*time.Millisecond)
	}
}
