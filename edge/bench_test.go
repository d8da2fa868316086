package edge_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

func quickHash(r *rand.Rand) (h pdq.Hash) {
	for i := 0; i < len(h); i += 8 {
		binary.LittleEndian.PutUint64(h[i:], r.Uint64())
	}
	return h
}

// filled returns a matcher with n signals.
func filled(b *testing.B, n int) *edge.Matcher {
	b.Helper()
	m, st := edge.NewMatcher(edge.MatcherOptions{}), edge.NewState(edge.SharedChain)
	m.FreshAt(time.Now())
	r := newRand(1)
	var at edge.Position
	for i := range n {
		op := edge.Sealed{Operation: edge.Operation{Chain: edge.SharedChain, Epoch: 1, Seq: uint64(i) + 1, Prev: at.Hash, Do: edge.Add, At: start, Signal: signal(uint64(i)+1, quickHash(r))}}
		if err := st.Apply(&op); err != nil {
			b.Fatal(err)
		}
		at = op.Position()
	}
	m.Reset(st)
	return m
}

// BenchmarkColdStart is what an edge does when it starts from its own folder:
// read, check, decrypt, index.
func BenchmarkColdStart(b *testing.B) {
	for _, size := range benchSizes() {
		st := edge.NewState(edge.SharedChain)
		r := newRand(1)
		var at edge.Position
		for i := range size.n {
			op := edge.Sealed{Operation: edge.Operation{Chain: edge.SharedChain, Epoch: 1, Seq: uint64(i) + 1, Prev: at.Hash, Do: edge.Add, At: start, Signal: signal(uint64(i)+1, quickHash(r))}}
			if err := st.Apply(&op); err != nil {
				b.Fatal(err)
			}
			at = op.Position()
		}
		dir := b.TempDir()
		if err := edge.SaveFolder(dir, "token", st); err != nil {
			b.Fatal(err)
		}
		b.Run(size.name, func(b *testing.B) {
			for b.Loop() {
				m := edge.NewMatcher(edge.MatcherOptions{})
				if err := edge.LoadFolder(dir, "token", m); err != nil || m.Len() != size.n {
					b.Fatal(m.Len(), err)
				}
			}
		})
	}
}

type benchSize struct {
	name string
	n    int
}

// benchSizes are the sizes that are measured; -short, which make test uses to
// see that no benchmark rots, leaves the large one out.
func benchSizes() []benchSize {
	all := []benchSize{{"signals=1e4", 1e4}, {"signals=1e6", 1e6}}
	if testing.Short() {
		return all[:1]
	}
	return all
}

func BenchmarkMatchPDQ(b *testing.B) {
	for _, size := range benchSizes() {
		b.Run(size.name, func(b *testing.B) {
			m, r := filled(b, size.n), newRand(2)
			var res edge.Result
			b.ReportAllocs()
			for b.Loop() {
				h := quickHash(r)
				m.PDQ(&res, &h, 100)
			}
		})
	}
}

// Over loopback HTTP: batches of 1,000 hashes, and one value at a time.
func BenchmarkServer(b *testing.B) {
	for _, size := range benchSizes() {
		m := filled(b, size.n)
		srv := httptest.NewServer(edge.NewServer(edge.ServerOptions{Matcher: m}))
		post := func(b *testing.B, path, contentType string, body io.Reader) {
			resp, err := http.Post(srv.URL+path, contentType, body) //nolint:noctx // a benchmark
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
				b.Fatal(resp.Status, err)
			}
			_ = resp.Body.Close() // only read
		}
		r := newRand(3)
		b.Run("batch/"+size.name, func(b *testing.B) {
			var body []byte
			for range 1000 {
				h := quickHash(r)
				body = append(body, h[:]...)
			}
			for b.Loop() {
				post(b, "/v1/match/pdq", "application/octet-stream", bytes.NewReader(body))
			}
			b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "queries/s")
		})
		b.Run("single/"+size.name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				h := quickHash(r)
				from := time.Now()
				post(b, "/v1/match", "application/json", strings.NewReader(fmt.Sprintf(`{"kind":"pdq","value":"%s"}`, h)))
				took = append(took, time.Since(from))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
		http.DefaultClient.CloseIdleConnections()
		srv.Close()
	}
}
