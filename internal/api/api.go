// Package api is the JSON interface under /api/v1: OpenAPI 3.1 generated from
// the code, problem+json (RFC 9457) with a "fix" member, idempotency keys on
// writes, lists paged by opaque cursors.
//
// It decides nothing: it reads a request, finds out who asks, calls a service,
// and writes what the service answers. The map from a problem's kind to an
// HTTP status stands in problems.go, once.
package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/siaga-crp/siaga/fingerprint/payment"
	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/duty"
	"github.com/siaga-crp/siaga/internal/health"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/notify"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/signal"
)

// Version is the version of the interface. A change that an older client could
// notice needs a new one.
const Version = "1.0.0"

// maxBody bounds the body of a request.
const maxBody = 1 << 20

// Options are what the interface serves. All are required.
type Options struct {
	Partners  *partner.Service
	Incidents *incident.Service
	Signals   *signal.Service
	Edges     Edges
	Health    Health
	Duty      *duty.Service
	Notify    *notify.Service
	Journal   *journal.Log
	Log       *slog.Logger
	Now       func() time.Time
}

// Edges tells what the node knows of the edges that follow its feed.
type Edges interface {
	// EdgesFor returns the edges that the actor may see.
	EdgesFor(ctx context.Context, by access.Actor) ([]Edge, error)
}

// Health says how the node is.
type Health interface {
	Health(ctx context.Context, by access.Actor) (health.Report, error)
}

type server struct {
	Options
	api huma.API
}

type actorKey struct{}

func actor(ctx context.Context) access.Actor {
	a, _ := ctx.Value(actorKey{}).(access.Actor)
	return a
}

// Install adds all routes of the interface to the mux and returns its OpenAPI
// description.
func Install(mux *http.ServeMux, o Options) *huma.OpenAPI {
	huma.NewError = newError
	huma.NewErrorWithContext = func(_ huma.Context, status int, msg string, errs ...error) huma.StatusError {
		return newError(status, msg, errs...)
	}
	config := huma.DefaultConfig("Siaga", Version)
	config.OpenAPIPath, config.DocsPath, config.SchemasPath = "/api/v1/openapi", "", ""
	config.Components.Schemas = huma.NewMapRegistry("#/components/schemas/", schemaName)
	config.CreateHooks = nil // no $schema links in answers
	config.Info.Description = "Run a crisis response protocol: incidents, activations, signals and what edges match. Every write takes an Idempotency-Key header; every problem says what to do in its \"fix\" member."
	config.Info.License = &huma.License{Name: "Apache-2.0", Identifier: "Apache-2.0"}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token": {Type: "http", Scheme: "bearer", BearerFormat: "siaga_…", Description: "Made by \"siaga token create\" or on the page Tokens."},
	}
	config.Security = []map[string][]string{{"token": {}}}
	inner := http.NewServeMux()
	s := &server{Options: o, api: humago.New(inner, config)}
	s.routes()
	nameKey(s.api.OpenAPI())
	mux.Handle("/api/v1/", s.gate(Strict(inner, o.Log)))
	mux.Handle("/api/", Strict(http.NewServeMux(), o.Log))
	return s.api.OpenAPI()
}

// nameKey names the header Idempotency-Key, which gate reads, at every write.
func nameKey(doc *huma.OpenAPI) {
	most := 200
	for _, p := range doc.Paths {
		for _, op := range []*huma.Operation{p.Post, p.Put, p.Patch, p.Delete} {
			if op != nil {
				op.Parameters = append(op.Parameters, &huma.Param{
					Name: "Idempotency-Key", In: "header", Schema: &huma.Schema{Type: huma.TypeString, MaxLength: &most},
					Description: "Sent again with the same key, the request acts once and gets the first answer, for 48 hours. The same key with another method, path or body is refused with 409.",
				})
			}
		}
	}
}

// schemaName names a type in the OpenAPI file: by its own name if it is of this
// package, and else with its package's before it.
func schemaName(t reflect.Type, hint string) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	name := huma.DefaultSchemaNamer(t, hint)
	pkg := t.PkgPath()
	if i := strings.LastIndexByte(pkg, '/'); t.Name() != "" && i >= 0 && pkg[i+1:] != "api" {
		name = strings.ToUpper(pkg[i+1:i+2]) + pkg[i+2:] + name
	}
	return name
}

// gate bounds the body, finds out who asks, and prepares idempotency.
func (s *server) gate(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		ctx := r.Context()
		if text, ok := bearer(r); ok {
			a, _, err := s.Partners.ByToken(ctx, text)
			if err != nil {
				s.write(w, r, err)
				return
			}
			ctx = context.WithValue(ctx, actorKey{}, a)
		}
		if tag := strings.Trim(r.Header.Get("If-Match"), `"`); tag != "" && tag != "*" {
			n, err := strconv.ParseInt(tag, 10, 64)
			if err != nil || n <= 0 {
				s.write(w, r, problem.New(problem.Invalid, "If-Match is not a version of an incident", "send the member version that you read, in quotation marks"))
				return
			}
			ctx = incident.Seen(ctx, n)
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
			if _, large := errors.AsType[*http.MaxBytesError](err); large {
				s.write(w, r, problem.New(problem.TooLarge, "the request is larger than 1 MiB", "send less; files are fingerprinted where they are, with siaga hash"))
				return
			}
			if err != nil {
				return // the client is gone
			}
			if bytes.IndexByte(body, 0) >= 0 {
				s.write(w, r, problem.New(problem.Invalid, "the request contains a NUL byte", "send JSON in UTF-8"))
				return
			}
			if !utf8.Valid(body) { // a decoder would replace what is not
				s.write(w, r, problem.New(problem.Invalid, "the request is not UTF-8 text", "send JSON in UTF-8"))
				return
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			if key := r.Header.Get("Idempotency-Key"); key != "" {
				if len(key) > 200 {
					s.write(w, r, problem.New(problem.Invalid, "the Idempotency-Key has more than 200 characters", "send a shorter one, for example a UUID"))
					return
				}
				sum := sha256.Sum256(append([]byte(r.Method+" "+r.URL.RequestURI()+"\n"), body...))
				ctx = journal.OnceAlone(ctx, key, hex.EncodeToString(sum[:]))
			}
		}
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

func bearer(r *http.Request) (string, bool) {
	h := r.Header.Get("Authorization")
	if h == "" {
		return "", false
	}
	scheme, text, _ := strings.Cut(h, " ")
	if !strings.EqualFold(scheme, "bearer") {
		return "-", true // another scheme: refused like a wrong token
	}
	return strings.TrimSpace(text), true
}

// Page is a list.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next" doc:"Cursor of the next page; empty on the last one"`
}

// MarshalJSON writes an empty list for none: a list is never null.
func (p Page[T]) MarshalJSON() ([]byte, error) {
	type plain Page[T]
	p.Items = list(p.Items)
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(plain(p))
	return b.Bytes(), err
}

// PageInput selects a page of a list.
type PageInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50" doc:"How many items at most"`
	Cursor string `query:"cursor" maxLength:"500" doc:"The member next of the page before"`
	Q      string `query:"q" maxLength:"200" doc:"Only items that contain this text"`
}

// handleInAddress is what a query that may be a payment handle is refused with:
// an address stands in logs of proxies and in histories.
func handleInAddress(q string) error {
	if !payment.Like(q) {
		return nil
	}
	return problem.New(problem.Invalid, "q reads as a payment handle, which must not stand in an address", `send it as content: POST /api/v1/search {"q":"…"}`)
}

func (p PageInput) after() (string, error) {
	if err := handleInAddress(p.Q); err != nil {
		return "", err
	}
	b, err := base64.RawURLEncoding.DecodeString(p.Cursor)
	if err != nil || !utf8.Valid(b) {
		return "", problem.New(problem.Invalid, "the cursor is not one that this list gave", "start again without a cursor")
	}
	return string(b), nil
}

// object is after for a list of objects.
func (p PageInput) object() (string, error) {
	after, err := p.after()
	if _, _, ok := journal.ParseCursor(after); err == nil && after != "" && !ok {
		err = problem.New(problem.Invalid, "the cursor is not one that this list gave", "start again without a cursor")
	}
	return after, err
}

func cursor(after string) string { return base64.RawURLEncoding.EncodeToString([]byte(after)) }
