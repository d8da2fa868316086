package app_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/partner"
)

// Requests whose bodies do not come, from strangers and from one edge, keep
// nobody out: not an officer, not who signs in, not the balancer that asks
// whether the node is well. The node's own limits hold, none of the test's.
func TestSlowRequestsKeepNobodyOut(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir() + "/node"
	made, err := app.Init(ctx, app.InitOptions{Data: dir, Origin: "test.example/journal", Partner: partner.NewPartner{Name: "Secretariat", Country: "ID"}})
	if err != nil {
		t.Fatal(err)
	}
	n, err := app.New(ctx, app.Options{Data: dir, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(n.Handler())
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	token := func(role access.Role) string {
		_, text, err := n.Partners.CreateToken(ctx, partner.Shell(made.Partner), partner.NewToken{Partner: made.Partner.ID, Name: "kelabu-7", Roles: []access.Role{role}})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	officer, edge := token(access.Officer), token(access.Edge)
	slow := func(head string) net.Conn {
		c, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{", head); err != nil {
			t.Fatal(err)
		}
		return c
	}
	first := slow("POST /sign-in")
	began := time.Now()
	for range 120 { // more than the lane's places
		slow("POST /incidents")
		slow("POST /api/v1/incidents")
	}
	for range 300 {
		slow("POST /api/v1/feed/status")
	}
	for range 20 {
		slow("GET /readyz")
		slow("POST /sign-in")
	}
	do := func(method, path, auth, contentType, body string) (int, string) {
		r, err := http.NewRequestWithContext(ctx, method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if auth != "" {
			r.Header.Set("Authorization", "Bearer "+auth)
			r.Header.Set("Idempotency-Key", "one")
		}
		r.Header.Set("Content-Type", contentType)
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	form := url.Values{"email": {"someone@example.org"}, "password": {"correct horse battery"}, "code": {"123456"}, "_key": {"k"}}.Encode()
	for _, c := range []struct {
		method, path, auth, contentType, body string
		want                                  int
	}{
		{"POST", "/api/v1/incidents", officer, "application/json", `{"description":"A man streams an attack on a market.","where":"Kota Seroja","live":"yes","exercise":false}`, http.StatusCreated},
		{"GET", "/readyz", "", "", "", http.StatusOK},
		{"POST", "/sign-in", "", "application/x-www-form-urlencoded", form, http.StatusUnprocessableEntity},
		{"POST", "/api/v1/feed/status", edge, "application/json", `{}`, http.StatusNoContent},
	} {
		if code, body := do(c.method, c.path, c.auth, c.contentType, c.body); code != c.want {
			t.Errorf("%s %s: %d, want %d: %.300s", c.method, c.path, code, c.want, body)
		}
	}
	took := time.Since(began)
	_ = first.SetReadDeadline(time.Now().Add(30 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(first), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusTooManyRequests || resp.Header.Get("Retry-After") == "" || !resp.Close {
		t.Errorf("the slow one itself: %s, Retry-After %q, closed %v", resp.Status, resp.Header.Get("Retry-After"), resp.Close)
	}
	t.Logf("served beside 581 slow ones in %s; the first of those ended after %s", took, time.Since(began))
}
