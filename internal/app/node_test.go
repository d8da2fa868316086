package app_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

var cheap = partner.Cost{MemoryKiB: 64, Passes: 1}

func folder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "node")
	if _, err := app.Init(t.Context(), app.InitOptions{Data: dir}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func start(t *testing.T, dir string) *app.Node {
	t.Helper()
	n, err := app.New(t.Context(), app.Options{Data: dir, Listen: "127.0.0.1:0", Cost: cheap})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// refused wants New to fail with a problem that says both texts, and to leave
// the folder so that a node starts from it afterwards.
func refused(t *testing.T, o app.Options, kind problem.Kind, what, fix string) {
	t.Helper()
	n, err := app.New(t.Context(), o)
	if err == nil {
		_ = n.Close()
		t.Fatal("it started")
	}
	p, ok := errors.AsType[*problem.Error](err)
	if !ok {
		p = &problem.Error{Detail: err.Error()}
	}
	if problem.KindOf(err) != kind || !strings.Contains(p.Detail, what) || !strings.Contains(p.Fix, fix) {
		t.Errorf("%q: %v, want %q with %q and %q", problem.KindOf(err), err, kind, what, fix)
	}
}

func TestPortInUse(t *testing.T) {
	dir := folder(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	refused(t, app.Options{Data: dir, Listen: l.Addr().String()}, problem.Unavailable, "in use", "--listen")
	if err := start(t, dir).Close(); err != nil { // nothing was left open
		t.Error(err)
	}
}

// TestUnknownAddresses wants machine interfaces to answer in problem+json with
// a fix wherever there is nothing, and to name the methods that an address takes.
func TestUnknownAddresses(t *testing.T) {
	n := start(t, folder(t))
	defer func() { _ = n.Close() }() // only read
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/api/", 404, ""},
		{"POST", "/api/v9/incidents", 404, ""},
		{"GET", "/api/v1/", 404, ""},
		{"GET", "/api/v1/nothing", 404, ""},
		{"DELETE", "/api/v1/incidents", 405, "GET, HEAD, POST"},
		{"PUT", "/api/v1/incidents/IDN-2026-0001/updates", 405, "POST"},
		{"GET", "/api/v1/signals/S-1/approve", 405, "POST"},
		{"GET", "/api/v1/feed/nothing", 404, ""},
		{"DELETE", "/api/v1/feed", 405, "GET, HEAD"},
		{"GET", "/api/v1/feed/status", 405, "POST"},
		{"GET", "/api/v1/feed/variants", 405, "POST"},
		{"GET", "/log/nothing", 404, ""},
		{"POST", "/log/nothing", 405, "GET, HEAD"},
		{"POST", "/log/checkpoint", 405, "GET, HEAD"},
	} {
		w := httptest.NewRecorder()
		n.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), c.method, c.path, nil))
		var p struct {
			Detail, Fix string
			Status      int
		}
		err := json.Unmarshal(w.Body.Bytes(), &p)
		if err != nil || w.Code != c.status || p.Status != c.status || w.Header().Get("Content-Type") != "application/problem+json" || w.Header().Get("Allow") != c.allow || p.Detail == "" || p.Fix == "" {
			t.Errorf("%s %s: %d, Allow %q, %s %v", c.method, c.path, w.Code, w.Header().Get("Allow"), w.Body, err)
		}
	}
}

func TestTwoNodes(t *testing.T) {
	dir := folder(t)
	n := start(t, dir)
	_, err := app.New(t.Context(), app.Options{Data: dir, Listen: "127.0.0.1:0"})
	if err == nil || !strings.Contains(err.Error(), "another node") {
		t.Errorf("a second node on one folder: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

func TestNewerSchema(t *testing.T) {
	dir := folder(t)
	path := filepath.Join(dir, "siaga.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1); UPDATE schema_compatible SET since = 9999"); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = app.New(t.Context(), app.Options{Data: dir, Listen: "127.0.0.1:0"})
	if err == nil || !strings.Contains(err.Error(), "newer") {
		t.Errorf("a folder of a newer release: %v", err)
	}
	after, err := os.ReadFile(path)
	if err != nil || string(after) != string(before) {
		t.Errorf("it was changed, %v", err)
	}
}

func TestWrongSettings(t *testing.T) {
	dir := folder(t)
	refused(t, app.Options{Data: dir, PublicURL: "siaga.example"}, problem.Invalid, "siaga.example", "https://siaga.example")
	refused(t, app.Options{Data: dir, Listen: "here", Level: "loud", PublicURL: "x"}, problem.Invalid, "3 settings", "config check")
	refused(t, app.Options{Data: dir, Database: "postgres://x/y", DatabaseFile: "f"}, problem.Invalid, "database_file", "name one")
	refused(t, app.Options{Data: t.TempDir()}, problem.NotFound, "no key", "siaga init")
}

// TestInit makes a node once, and takes back what it made if it fails halfway.
func TestInit(t *testing.T) {
	dir := folder(t)
	if _, err := app.Init(t.Context(), app.InitOptions{Data: dir}); problem.KindOf(err) != problem.Conflict {
		t.Errorf("twice: %v", err)
	}
	if err := start(t, dir).Close(); err != nil {
		t.Error(err)
	}
	broken := filepath.Join(t.TempDir(), "node")
	_, err := app.Init(t.Context(), app.InitOptions{Data: broken, Partner: partner.NewPartner{Kind: "bank"}})
	if problem.KindOf(err) != problem.Invalid {
		t.Errorf("with a kind that there is not: %v", err)
	}
	if left, err := os.ReadDir(broken); !os.IsNotExist(err) {
		t.Errorf("something is left: %v, %v", left, err)
	}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "note"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Init(t.Context(), app.InitOptions{Data: full}); problem.KindOf(err) != problem.Conflict {
		t.Errorf("a folder with something in it: %v", err)
	}
	if left, err := os.ReadDir(full); err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, %v", left, err)
	}
}

// TestRun serves, answers what it has begun when it is told to stop, ends event
// streams, and gives the folder and the port back.
func TestRun(t *testing.T) {
	dir := folder(t)
	n := start(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	get := func(path string) int {
		t.Helper()
		r, err := http.Get(n.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
		return r.StatusCode
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/public": 200, "/api/v1/openapi.json": 200, "/api/v1/incidents": 401, "/log/checkpoint": 200, "/nothing": 404} {
		if path == "/log/checkpoint" { // signed within a second
			for range 100 {
				if get(path) == 200 {
					break
				}
				time.Sleep(20 * time.Millisecond)
			}
		}
		if got := get(path); got != want {
			t.Errorf("%s answers %d, want %d", path, got, want)
		}
	}
	begun := time.Now()
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(15 * time.Second):
		t.Fatal("it does not stop")
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %v to stop", took)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := start(t, dir).Close(); err != nil {
		t.Errorf("starting again: %v", err)
	}
}
