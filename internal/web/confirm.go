package web

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
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
	if m, ok := mistakes(err); ok {
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
	m = form{Refused: p, Typed: typed(r)}
	for _, e := range entries {
		m.Changed = append(m.Changed, s.line(f, e))
	}
	return m, http.StatusConflict, true
}

const (
	privateHeld = "held_form" // ID: SHA-256-sized random text, owner: the member
	heldFor     = 10 * time.Minute
)

type held struct {
	Path string     `json:"path"`
	Form url.Values `json:"form"`
}

// hold keeps a form that waits for its sender to prove who they are, and
// returns the address under which it goes on.
func (s *Site) hold(r *http.Request, f *Frame) (string, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("making the number of a held form: %w", err)
	}
	id := hex.EncodeToString(b)
	form := url.Values{}
	for k, v := range r.PostForm {
		if k != "password" && k != "code" {
			form[k] = v
		}
	}
	doc, err := json.Marshal(held{r.URL.Path, form})
	if err != nil {
		return "", fmt.Errorf("keeping a form: %w", err)
	}
	err = s.o.Journal.Update(r.Context(), func(tx *journal.Tx) error {
		return tx.PutPrivate(journal.Private{Kind: privateHeld, ID: id, Owner: f.Me.Member, Doc: doc, Expires: s.o.Now().Add(heldFor)})
	})
	return "/held/" + id, err
}

type heldPage struct {
	*Frame
	Action string
	Fields []Typed
	Shown  []Typed
}

// heldForm shows a form that was held, to be sent with one press.
func (s *Site) heldForm(w http.ResponseWriter, r *http.Request, f *Frame) error {
	none := notFound(f.T("held.none"), f.T("held.none.fix"))
	var h held
	err := s.o.Journal.View(r.Context(), func(rd journal.StoreReader) error {
		p, err := rd.Private(privateHeld, r.PathValue("id"))
		if err != nil {
			return err
		}
		if p.Owner != f.Me.Member || !p.Expires.After(s.o.Now()) {
			return none
		}
		return json.Unmarshal(p.Doc, &h)
	})
	if problem.KindOf(err) == problem.NotFound {
		return none
	}
	if err != nil {
		return err
	}
	p := heldPage{Frame: f, Action: h.Path}
	for k, vs := range h.Form {
		for _, v := range vs {
			p.Fields = append(p.Fields, Typed{k, v})
			if !secret(k) && v != "" {
				p.Shown = append(p.Shown, Typed{k, v})
			}
		}
	}
	slices.SortFunc(p.Shown, func(a, b Typed) int { return strings.Compare(a.Name, b.Name) })
	f.Form, f.Title = true, f.T("held.title")
	return s.render(w, r, http.StatusOK, "held", p)
}
