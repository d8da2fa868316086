package bench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/internal/bench"
)

// The line is a contract with the programs that read it.
var indexLine = regexp.MustCompile(`(?m)^one insertion: .* us\nmemory: .*\nindex entries=(\d+) queries=(\d+) max_distance=\d+ threads=\d+ build_s=[\d.]+ qps=\d+ p50_us=[\d.]+ p99_us=[\d.]+ bytes_per_entry=[\d.]+ insert_p99_us=[\d.]+ pairs=(\d+) exact=(true|false)\n\z`)

func TestIndexOfUniformHashes(t *testing.T) {
	var out bytes.Buffer
	o := bench.IndexOptions{Entries: 20_000, Queries: 200, MaxDistance: 31, Threads: 2}
	if err := bench.Index(t.Context(), &out, o); err != nil {
		t.Fatal(err)
	}
	m := indexLine.FindStringSubmatch(out.String())
	if m == nil {
		t.Fatalf("line is not of the form agreed: %q", out.String())
	}
	// Half of the queries are copies; unrelated hashes are never so near.
	if m[1] != "20000" || m[2] != "200" || m[3] != "100" || m[4] != "true" {
		t.Errorf("entries, queries, pairs, exact = %v, want 20000 200 100 true", m[1:])
	}
}

func TestIndexOfFiles(t *testing.T) {
	zero, one := strings.Repeat("0", 64), strings.Repeat("0", 62)+"01"
	haystack := filepath.Join(t.TempDir(), "haystack")
	needles := filepath.Join(t.TempDir(), "needles")
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(haystack, zero+"\n"+one+"\n"+zero+"\n"+strings.Repeat("F", 64)+"\n")
	write(needles, "# near three, far from one\n"+one+"\n\n")
	var out bytes.Buffer
	o := bench.IndexOptions{Haystack: haystack, Needles: needles, MaxDistance: 31, JSON: true}
	if err := bench.Index(t.Context(), &out, o); err != nil {
		t.Fatal(err)
	}
	var f bench.IndexFigures
	if err := json.Unmarshal(out.Bytes(), &f); err != nil {
		t.Fatal(err)
	}
	if f.Entries != 4 || f.Queries != 1 || f.Pairs != 3 || !f.Exact || f.InsertP99us <= 0 || f.InsertCPU.Max < f.InsertCPU.P50 || f.InsertNoop.Max <= 0 || f.BytesPerEntry <= 41 {
		t.Errorf("figures %+v", f)
	}

	write(needles, one+"\n"+one[:63]+"\n")
	for name, o := range map[string]bench.IndexOptions{
		"needles:2":    o,
		"no such file": {Haystack: haystack + "x", Needles: needles},
		"both":         {Haystack: haystack},
		"0 to 127":     {MaxDistance: 128},
		"negative":     {Entries: -1},
	} {
		if err := bench.Index(t.Context(), &out, o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want one that says %q", err, name)
		}
	}
}

func TestIndexStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	err := bench.Index(ctx, &out, bench.IndexOptions{Entries: 1000, Queries: 10})
	if !errors.Is(err, context.Canceled) || out.Len() > 0 {
		t.Errorf("error %v, output %q; want canceled and none", err, out.String())
	}
}
