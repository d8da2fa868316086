package web

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Typed is a text that a person had put into a form.
type Typed struct{ Name, Text string }

// secrets are fields that are never shown again.
func secret(name string) bool {
	return strings.HasPrefix(name, "_") || slices.Contains([]string{"code", "password", "digits", "next"}, name)
}

// typed returns what a person had written into the form that was sent.
func typed(r *http.Request) []Typed {
	var out []Typed
	for name, values := range r.PostForm {
		for _, v := range values {
			if !secret(name) && len([]rune(strings.TrimSpace(v))) > 8 { // choices and numbers are soon chosen again
				out = append(out, Typed{name, v})
			}
		}
	}
	slices.SortFunc(out, func(a, b Typed) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// seen returns the request's context with the entry that its form had been
// made from, so that a change in between is a Conflict.
func seen(r *http.Request) context.Context {
	n, _ := strconv.ParseInt(r.PostForm.Get("_seen"), 10, 64) // none: nothing is compared
	return incident.Seen(r.Context(), n)
}

// again says how a form that could not be taken comes back: with mistakes at
// its fields, or with what somebody else changed while it was filled in. ok is
// false for any other error, which is a page of its own.
func (s *Site) again(r *http.Request, f *Frame, id string, err error) (m form, status int, ok bool) {
	if m, ok := f.mistakes(err); ok {
		return m, http.StatusUnprocessableEntity, true
	}
	p, isProblem := errors.AsType[*problem.Error](err)
	n, perr := strconv.ParseInt(r.PostForm.Get("_seen"), 10, 64)
	if !isProblem || p.Kind != problem.Conflict || perr != nil {
		return form{}, 0, false
	}
	entries, serr := s.o.Incidents.Since(r.Context(), f.Me, id, n)
	if serr != nil {
		return form{}, 0, false
	}
	m = form{Refused: f.problem(p), Typed: typed(r)}
	for _, e := range entries {
		m.Changed = append(m.Changed, s.line(f, e))
	}
	return m, http.StatusConflict, true
}
