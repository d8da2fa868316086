package bench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"regexp"
	"testing"

	"github.com/siaga-crp/siaga/internal/bench"
)

// The line is a contract with the programs that read it.
var edgeLine = regexp.MustCompile(`^edge signals=2000 batch=300 clients=2 qps=\d+ direct_qps=\d+ p50_us=[\d.]+ p99_us=[\d.]+ noop_p50_us=[\d.]+ noop_p99_us=[\d.]+ allocs_per_query=[\d.]+ matched=240 exact=true\n$`)

func TestEdgeLine(t *testing.T) {
	var out bytes.Buffer
	o := bench.EdgeOptions{Signals: 2_000, Batch: 300, Batches: 8, Singles: 40}
	if err := bench.Edge(t.Context(), &out, o); err != nil {
		t.Fatal(err)
	}
	if !edgeLine.Match(out.Bytes()) {
		t.Errorf("line is not of the form agreed: %q", out.String())
	}
	out.Reset()
	o.JSON = true
	if err := bench.Edge(t.Context(), &out, o); err != nil {
		t.Fatal(err)
	}
	var f bench.EdgeFigures
	if err := json.Unmarshal(out.Bytes(), &f); err != nil {
		t.Fatal(err)
	}
	if !f.Exact || f.Matched != 240 || f.QPS <= 0 || f.DirectQPS <= 0 || f.P99us < f.P50us || f.NoopP50us <= 0 || f.Allocs > 1 {
		t.Errorf("figures %+v", f)
	}
}

func TestEdgeStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	if err := bench.Edge(ctx, &out, bench.EdgeOptions{Signals: 100}); !errors.Is(err, context.Canceled) || out.Len() > 0 {
		t.Errorf("error %v, output %q", err, out.String())
	}
	if err := bench.Edge(t.Context(), &out, bench.EdgeOptions{Batch: 1 << 20}); err == nil {
		t.Error("a batch larger than a request is not refused")
	}
}
