package bench_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/bench"
	"github.com/siaga-crp/siaga/internal/store/postgres/pgtest"
)

// The last line is a contract with the programs that read it.
var feedLine = regexp.MustCompile(`^feed  edges=(\d+) operations=(\d+) p50_ms=[\d.]+ p99_ms=[\d.]+ max_ms=[\d.]+ lost=(\d+) duplicated=(\d+)$`)

func TestFeed(t *testing.T) {
	var out bytes.Buffer
	if err := bench.Feed(t.Context(), &out, bench.FeedOptions{Edges: 12, Operations: 20, Every: 5 * time.Millisecond, Light: 4, Idle: true}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	m := feedLine.FindStringSubmatch(lines[len(lines)-1])
	if m == nil || m[1] != "12" || m[2] != "20" || m[3] != "0" || m[4] != "0" {
		t.Errorf("output:\n%s", out.String())
	}
}

// Two nodes over one database, with NATS between them.
func TestFeedNodes(t *testing.T) {
	database := pgtest.Database(t)
	var out bytes.Buffer
	if err := bench.Feed(t.Context(), &out, bench.FeedOptions{Edges: 10, Operations: 20, Every: 5 * time.Millisecond, Nodes: 2, Database: database, NATS: "embedded"}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if m := feedLine.FindStringSubmatch(lines[len(lines)-1]); m == nil || m[3] != "0" || m[4] != "0" {
		t.Errorf("output:\n%s", out.String())
	}
}

// An idle edge costs the node at most 40 KB: two goroutines' stacks and the
// buffers of its connection.
func TestIdleEdge(t *testing.T) {
	var out bytes.Buffer
	if err := bench.Feed(t.Context(), &out, bench.FeedOptions{Edges: 250, Light: 250, Operations: 1, Idle: true, JSON: true}); err != nil {
		t.Fatal(err)
	}
	var f bench.FeedFigures
	if err := json.Unmarshal(out.Bytes(), &f); err != nil {
		t.Fatal(err)
	}
	if f.IdleBytes <= 4<<10 || f.IdleBytes > 40<<10 {
		t.Errorf("an idle edge takes %d bytes", f.IdleBytes)
	}
}

func TestFeedJSON(t *testing.T) {
	var out bytes.Buffer
	if err := bench.Feed(t.Context(), &out, bench.FeedOptions{Edges: 3, Operations: 5, Every: time.Millisecond, Stored: true, JSON: true}); err != nil {
		t.Fatal(err)
	}
	var f bench.FeedFigures
	if err := json.Unmarshal(out.Bytes(), &f); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if f.Edges != 3 || f.Operations != 5 || f.Lost != 0 || f.Duplicated != 0 || f.P50ms <= 0 || f.MaxMs < f.P99ms {
		t.Errorf("%+v", f)
	}
}

func TestFeedRefuses(t *testing.T) {
	for _, o := range []bench.FeedOptions{{Edges: -1}, {Operations: -1}, {Every: -1}, {Edges: 1, Light: 2}, {Nodes: -1}, {Nodes: 2}} {
		if err := bench.Feed(t.Context(), &bytes.Buffer{}, o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
}
