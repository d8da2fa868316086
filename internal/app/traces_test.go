package app_test

import (
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/partner"
)

// Spans reach a collector, follow the caller's trace, and have no code of a
// one-time link in them; a collector that is away harms nothing.
func TestTraces(t *testing.T) {
	var mu sync.Mutex
	var text strings.Builder
	sink := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			body = z
		}
		b, err := io.ReadAll(body)
		var m collector.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(b, &m) != nil {
			t.Error(r.URL.Path, err)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		text.WriteString(protojson.Format(&m))
	}))
	defer sink.Close()
	for name, to := range map[string]string{"there": sink.URL, "away": "http://127.0.0.1:1"} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir() + "/node"
			if _, err := app.Init(t.Context(), app.InitOptions{Data: dir, Origin: "test.example/journal", Partner: partner.NewPartner{Name: "Secretariat", Country: "ID"}}); err != nil {
				t.Fatal(err)
			}
			n, err := app.New(t.Context(), app.Options{Data: dir, Listen: "127.0.0.1:0", Traces: to})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- n.Run(ctx) }()
			for _, path := range []string{"/readyz", "/first/7KQ2M9XF4T1ZC?token=geheim"} {
				r, err := http.NewRequestWithContext(ctx, "GET", n.URL+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
				resp, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				_ = resp.Body.Close()
			}
			stop()
			select {
			case err := <-ended:
				if err != nil {
					t.Fatal(err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("the node does not stop")
			}
		})
	}
	mu.Lock()
	defer mu.Unlock()
	got := text.String()
	for _, want := range []string{"GET /readyz", "GET /first/{code}", "journal update", "siaga.lane", "CvdlGRbNQ92ESOshHIAxnA=="} { // the trace's number
		if !strings.Contains(got, want) {
			t.Errorf("no %q in the spans", want)
		}
	}
	for _, secret := range []string{"7KQ2M9XF4T1ZC", "geheim"} {
		if strings.Contains(got, secret) {
			t.Errorf("spans tell %q", secret)
		}
	}
	if t.Failed() {
		t.Log(got)
	}
}
