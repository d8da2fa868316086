package app

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/siaga-crp/siaga/internal/admit"
)

// scope names what makes the spans.
const scope = "github.com/siaga-crp/siaga"

// trace makes spans and sends them to a collector in the background. What
// cannot be sent is dropped: a collector that is away slows nothing.
func (m *metrics) trace(collector, node string) error {
	exporter, err := otlptracehttp.New(context.Background(), // it dials when it sends
		otlptracehttp.WithEndpointURL(collector+"/v1/traces"), otlptracehttp.WithTimeout(5*time.Second))
	if err != nil {
		return fmt.Errorf("preparing traces: %w", err)
	}
	m.tracer = sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter, sdktrace.WithMaxQueueSize(4096), sdktrace.WithBatchTimeout(2*time.Second)),
		sdktrace.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "siaga"), attribute.String("service.version", Version()), attribute.String("service.instance.id", node))))
	return nil
}

// traced makes a span of each request, and takes the caller's context if it
// sent one (W3C Trace Context). A span has the route's pattern and the lane;
// paths, queries, addresses and names are not in it, as they may hold codes.
func (m *metrics) traced(next http.Handler) http.Handler {
	if m.tracer == nil {
		return next
	}
	t := m.tracer.Tracer(scope)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		lane, stream := admit.Of(r.Method, r.URL.Path)
		if stream { // a span that lasts for days tells nothing
			next.ServeHTTP(w, r)
			return
		}
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := t.Start(ctx, "request", trace.WithSpanKind(trace.SpanKindServer))
		defer span.End()
		r = r.WithContext(ctx)
		rec := &status{ResponseWriter: w, code: http.StatusOK}
		next.ServeHTTP(rec, r)
		if r.Pattern != "" {
			span.SetName(r.Pattern)
			span.SetAttributes(attribute.String("http.route", r.Pattern))
		}
		span.SetAttributes(attribute.String("siaga.lane", string(lane)), attribute.Int("http.response.status_code", rec.code))
		if rec.code >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, "")
		}
	})
}

// status notes the status of an answer.
type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

func (s *status) Write(b []byte) (int, error) {
	if s.code == 0 {
		s.code = http.StatusOK
	}
	return s.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// flush waits until ctx ends, then sends what is left in bounded time.
func (m *metrics) flush(ctx context.Context) error {
	<-ctx.Done()
	if m.tracer == nil {
		return nil
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
	defer cancel()
	_ = m.tracer.Shutdown(last) // a collector that is away keeps nobody from stopping
	return nil
}
