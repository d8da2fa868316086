package api

import (
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/siaga-crp/siaga/internal/problem"
)

// Problem is an error as a client reads it: RFC 9457 with Fix, and for a
// Conflict the steps that are allowed instead.
type Problem struct {
	Type    string          `json:"type" doc:"A word for programs: invalid, denied, not_found, conflict, …" example:"conflict"`
	Title   string          `json:"title" doc:"The status in words"`
	Status  int             `json:"status"`
	Detail  string          `json:"detail" doc:"What is wrong, in one sentence"`
	Fix     string          `json:"fix,omitempty" doc:"What to do"`
	Fields  []problem.Field `json:"fields,omitempty" doc:"Every input that is wrong"`
	Allowed []string        `json:"allowed,omitempty" doc:"What is allowed instead"`
	Request string          `json:"request,omitempty" doc:"Number of the request, for the operator"`

	wait time.Duration
}

// Error implements error.
func (p *Problem) Error() string { return p.Detail }

// GetStatus implements huma.StatusError.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType is RFC 9457's.
func (p *Problem) ContentType(string) string { return "application/problem+json" }

// GetHeaders implements huma.HeadersError: what a client must know besides the
// body to sign in (RFC 9110, 11.6.1) or to come back (10.2.3).
func (p *Problem) GetHeaders() http.Header {
	switch p.Status {
	case http.StatusUnauthorized:
		return http.Header{"Www-Authenticate": {`Bearer realm="siaga"`}}
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		return http.Header{"Retry-After": {strconv.FormatInt(int64(max(2*time.Second, p.wait+time.Second-1)/time.Second), 10)}}
	}
	return nil
}

var statuses = map[problem.Kind]int{
	problem.Invalid: http.StatusUnprocessableEntity, problem.Denied: http.StatusForbidden, problem.SignIn: http.StatusUnauthorized,
	problem.StepUp: http.StatusForbidden, problem.NotFound: http.StatusNotFound, problem.Conflict: http.StatusConflict,
	problem.TooLarge: http.StatusRequestEntityTooLarge, problem.Busy: http.StatusTooManyRequests,
	problem.Unavailable: http.StatusServiceUnavailable, problem.Internal: http.StatusInternalServerError,
}

// from turns any error into what the client reads. What is not a problem is
// logged by the caller and told as "broke on our side".
func from(err error) *Problem {
	if p, ok := errors.AsType[*Problem](err); ok {
		return p
	}
	p, ok := errors.AsType[*problem.Error](err)
	if !ok {
		p = problem.New(problem.Internal, "this broke on our side", "try again; if it happens again, tell the operator the number of the request")
	}
	status := statuses[p.Kind]
	return &Problem{
		Type: string(p.Kind), Title: http.StatusText(status), Status: status,
		Detail: p.Detail, Fix: p.Fix, Fields: p.Fields, Allowed: p.Allows, wait: p.Wait,
	}
}

// newError is what huma makes of its own checks: all of them are mistakes of
// the input.
func newError(status int, msg string, errs ...error) huma.StatusError {
	if len(errs) == 1 {
		if p, ok := errors.AsType[*problem.Error](errs[0]); ok {
			return from(p)
		}
	}
	p := &Problem{Type: string(problem.Invalid), Title: http.StatusText(status), Status: status, Detail: msg, Fix: "compare the request with /api/v1/openapi.json"}
	switch {
	case status == http.StatusNotFound:
		p.Type = string(problem.NotFound)
	case status >= http.StatusInternalServerError:
		p.Type, p.Detail, p.Fix = string(problem.Internal), "this broke on our side", "try again; if it happens again, tell the operator"
		return p
	}
	for _, e := range errs {
		d, ok := errors.AsType[*huma.ErrorDetail](e)
		if !ok {
			continue
		}
		name := strings.TrimPrefix(d.Location, "body.")
		p.Fields = append(p.Fields, problem.Field{Name: name, Detail: problem.JSON(d.Message)})
	}
	if len(p.Fields) > 0 {
		p.Detail = p.Fields[0].Name + ": " + p.Fields[0].Detail
	}
	return p
}

// write answers outside huma.
func (s *server) write(w http.ResponseWriter, r *http.Request, err error) {
	WriteProblem(s.Log)(w, r, err)
}

// WriteProblem returns a function that answers a request with a problem, for
// machine interfaces besides this one.
func WriteProblem(log *slog.Logger) func(w http.ResponseWriter, r *http.Request, err error) {
	return func(w http.ResponseWriter, r *http.Request, err error) {
		p := from(err)
		if p.Type == string(problem.Internal) {
			log.ErrorContext(r.Context(), "request failed", "route", r.Pattern, "err", err)
		}
		maps.Copy(w.Header(), p.GetHeaders())
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(p.Status)
		_ = json.NewEncoder(w).Encode(p) // the client is gone if this fails
	}
}

// methods are those that a path is asked for when it is told which it takes.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// Strict serves a machine interface and answers what it does not have, or not
// with this method, with a problem too: 404, or 405 with Allow.
func Strict(mux *http.ServeMux, log *slog.Logger) http.Handler {
	answer := WriteProblem(log)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern != "" {
			mux.ServeHTTP(w, r)
			return
		}
		var allow []string
		for _, m := range methods {
			probe := http.Request{Method: m, URL: r.URL, Host: r.Host}
			if _, pattern := mux.Handler(&probe); pattern != "" {
				allow = append(allow, m)
			}
		}
		if len(allow) == 0 {
			answer(w, r, problem.New(problem.NotFound, "there is nothing at this address", "see /api/v1/openapi.json for what there is, or docs/integrate"))
			return
		}
		list := strings.Join(allow, ", ")
		w.Header().Set("Allow", list)
		answer(w, r, &Problem{
			Type: string(problem.Invalid), Title: http.StatusText(http.StatusMethodNotAllowed), Status: http.StatusMethodNotAllowed,
			Detail: "this address does not take " + r.Method, Fix: "use " + list, Allowed: allow,
		})
	})
}
