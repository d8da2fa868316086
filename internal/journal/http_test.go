package journal_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/siaga-crp/siaga/internal/journal"
)

func get(t *testing.T, h http.Handler, path string) (int, http.Header, []byte) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	body, err := io.ReadAll(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	return w.Code, w.Result().Header, body
}

// tileClient reads tiles as any client of tlog-tiles does.
type tileClient struct {
	t *testing.T
	h http.Handler
}

func (c tileClient) Height() int                     { return 8 }
func (c tileClient) SaveTiles([]tlog.Tile, [][]byte) {}
func (c tileClient) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var out [][]byte
	for _, tile := range tiles {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		status, header, body := get(c.t, c.h, "/log/"+path)
		if status != 200 {
			return nil, fmt.Errorf("%s: %d %s", path, status, body)
		}
		if !strings.Contains(header.Get("Cache-Control"), "immutable") || header.Get("Content-Type") != "application/octet-stream" {
			c.t.Errorf("%s: headers %v", path, header)
		}
		out = append(out, body)
	}
	return out, nil
}

func TestHandlerProvesWithTiles(t *testing.T) {
	const n = 700
	l := newLog(t, newStore(t))
	var entries []journal.Entry
	for range n {
		entries = append(entries, say("x"))
	}
	appendAll(t, l, entries...)
	h := l.Handler(func(r *http.Request, err error) { t.Errorf("%s: %v", r.URL, err) })

	status, header, key := get(t, h, "/log/key")
	if status != 200 || header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Fatalf("key: %d %v", status, header)
	}
	verifier, err := note.NewVerifier(strings.TrimSpace(string(key)))
	if err != nil {
		t.Fatal(err)
	}
	status, header, signed := get(t, h, "/log/checkpoint")
	if status != 200 || header.Get("Content-Type") != "text/plain; charset=utf-8" || strings.Contains(header.Get("Cache-Control"), "immutable") {
		t.Fatalf("checkpoint: %d %v", status, header)
	}
	c, err := journal.OpenCheckpoint(signed, origin, note.VerifierList(verifier))
	if err != nil {
		t.Fatal(err)
	}
	if c.Size != n {
		t.Fatalf("checkpoint of %d entries", c.Size)
	}
	r := tlog.TileHashReader(tlog.Tree{N: c.Size, Hash: c.Root}, tileClient{t, h})
	var records [][]byte
	for _, path := range []string{"000", "001", "002.p/188"} {
		status, _, body := get(t, h, "/log/tile/entries/"+path)
		if status != 200 {
			t.Fatalf("entries %s: %d %s", path, status, body)
		}
		for len(body) > 0 {
			size := int(body[0])<<8 | int(body[1])
			records = append(records, body[2:2+size])
			body = body[2+size:]
		}
	}
	if len(records) != n {
		t.Fatalf("%d records", len(records))
	}
	for i := int64(0); i < n; i += 23 {
		p, err := tlog.ProveRecord(c.Size, i, r)
		if err != nil {
			t.Fatal(err)
		}
		if err := tlog.CheckRecord(p, c.Size, c.Root, i, tlog.RecordHash(records[i])); err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
	}
	if status, _, _ := get(t, h, "/log/tile/1/000.p/2"); status != 200 {
		t.Errorf("tile of level 1: %d", status)
	}
}

func TestHandlerProofs(t *testing.T) {
	l := newLog(t, newStore(t))
	for range 9 {
		appendAll(t, l, say("x"))
	}
	h := l.Handler(nil)
	head, err := l.Head(background)
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Number, Size           int64
		Commitment, Leaf, Root []byte
		Proof                  [][]byte
	}
	status, header, body := get(t, h, "/log/proof/inclusion/3/9")
	if status != 200 || header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v %s", status, header, body)
	}
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatal(err)
	}
	proof := make(tlog.RecordProof, len(p.Proof))
	for i, b := range p.Proof {
		proof[i] = tlog.Hash(b)
	}
	if err := tlog.CheckRecord(proof, 9, head.Root, 3, tlog.RecordHash(p.Commitment)); err != nil {
		t.Errorf("%s: %v", body, err)
	}
	var c struct {
		OldRoot []byte `json:"old_root"`
		Root    []byte
		Proof   [][]byte
	}
	_, _, body = get(t, h, "/log/proof/consistency/4/9")
	if err := json.Unmarshal(body, &c); err != nil {
		t.Fatal(err)
	}
	tree := make(tlog.TreeProof, len(c.Proof))
	for i, b := range c.Proof {
		tree[i] = tlog.Hash(b)
	}
	if err := tlog.CheckTree(tree, 9, head.Root, 4, tlog.Hash(c.OldRoot)); err != nil {
		t.Errorf("%s: %v", body, err)
	}
	_, _, body = get(t, h, "/log/proof/consistency/0/9")
	if want := base64.StdEncoding.EncodeToString(head.Root[:]); !strings.Contains(string(body), want) || !strings.Contains(string(body), `"proof":[]`) {
		t.Errorf("%s", body)
	}
}

func TestHandlerRefuses(t *testing.T) {
	l := newLog(t, newStore(t))
	var entries []journal.Entry
	for range 300 {
		entries = append(entries, say("x"))
	}
	appendAll(t, l, entries...)
	h := l.Handler(func(r *http.Request, err error) { t.Errorf("%s: %v", r.URL, err) })
	for path, want := range map[string]int{
		"/log/":                          404,
		"/log/other":                     404,
		"/log/tile/":                     400,
		"/log/tile/0":                    400,
		"/log/tile/0/1":                  400,
		"/log/tile/0/0001":               400,
		"/log/tile/0/-01":                400,
		"/log/tile/8/0/000":              400,
		"/log/tile/8/000":                400,
		"/log/tile/64/000":               400,
		"/log/tile/-1/000":               400,
		"/log/tile/data/000":             400,
		"/log/tile/entries/":             400,
		"/log/tile/entries/entries/000":  400,
		"/log/tile/0/000.p/0":            400,
		"/log/tile/0/000.p/256":          400,
		"/log/tile/0/000.p/x":            400,
		"/log/tile/0/000.p/01":           400,
		"/log/tile/0/001":                404,
		"/log/tile/0/001.p/45":           404,
		"/log/tile/0/002.p/1":            404,
		"/log/tile/1/000":                404,
		"/log/tile/1/000.p/2":            404,
		"/log/tile/7/000.p/1":            404,
		"/log/tile/0/x999/x999/x999/999": 404,
		"/log/tile/0/" + strings.Repeat("x999/", 6) + "999": 400,
		"/log/tile/entries/001":                             404,
		"/log/proof/inclusion/0/301":                        404,
		"/log/proof/inclusion/300/300":                      404,
		"/log/proof/inclusion/x/300":                        400,
		"/log/proof/inclusion/-1/300":                       400,
		"/log/proof/inclusion/01/300":                       400,
		"/log/proof/inclusion/0/0":                          400,
		"/log/proof/inclusion/0/99999999999999999999":       400,
		"/log/proof/consistency/301/300":                    404,
		"/log/proof/consistency/1/+2":                       400,
		"/log/proof/consistency":                            404,
		"/log/tile/0/000":                                   200,
		"/log/tile/0/000.p/1":                               200,
		"/log/tile/0/001.p/44":                              200,
		"/log/tile/1/000.p/1":                               200,
		"/log/tile/entries/001.p/44":                        200,
	} {
		status, header, body := get(t, h, path)
		if status != want {
			t.Errorf("%s: %d, want %d: %.200s", path, status, want, body)
		}
		if status == 200 {
			continue
		}
		var p struct{ Title, Detail, Fix string }
		if err := json.Unmarshal(body, &p); err != nil || p.Title == "" || p.Detail == "" || p.Fix == "" {
			t.Errorf("%s: %s: %v", path, body, err)
		}
		if header.Get("Content-Type") != "application/problem+json" || strings.Contains(header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: headers %v", path, header)
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/log/checkpoint", nil))
	if w.Code != 405 {
		t.Errorf("POST: %d", w.Code)
	}
}

func TestHandlerOfABrokenStore(t *testing.T) {
	s := newStore(t)
	l := newLog(t, s)
	appendAll(t, l, say("x"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	told := 0
	h := l.Handler(func(*http.Request, error) { told++ })
	for _, path := range []string{"/log/checkpoint", "/log/tile/0/000.p/1", "/log/proof/inclusion/0/1"} {
		if status, header, body := get(t, h, path); status != 503 || header.Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if told != 3 {
		t.Errorf("told of %d errors", told)
	}
}
