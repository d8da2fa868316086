package web

import (
	"bytes"
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
)

// What a room shows depends on who reads by partner, roles and language, not by
// person. When an incident changes, everyone who has its room open asks for the
// same regions at once: they are made once for all who would get the same, and
// kept for at most a second. A route says that it may be shared; a handler that
// showed something of one person calls Frame.personal, and whoever has broken
// the glass is served alone.

// view is all that a shared region depends on besides the address.
type view struct {
	uri     string
	partner string
	kind    access.PartnerKind
	country string
	roles   string
	lang    string
	zone    string
	entries int64  // size of the journal
	edges   uint64 // version of what is known of edges
	second  int64  // of the node's clock: ages are shown
}

const (
	shareFor  = time.Second
	shareMost = 2000 // answers kept at once
)

// answer is a page made once. done is closed when it is there.
type answer struct {
	done chan struct{}
	at   time.Time
	body []byte
	keys []string // of the forms in it; each reader gets others
	ok   bool     // may be given to others
}

type shares struct {
	mu   sync.Mutex
	kept map[view]*answer

	edgesMu sync.Mutex
	edges   uint64
	edgesAt time.Time
}

// take returns the answer of a view, and whether the caller is to make it.
func (s *shares) take(v view, now time.Time) (*answer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a := s.kept[v]; a != nil && now.Sub(a.at) < shareFor {
		return a, false
	}
	if s.kept == nil {
		s.kept = map[view]*answer{}
	}
	if len(s.kept) >= shareMost {
		for k, a := range s.kept {
			if now.Sub(a.at) >= shareFor {
				delete(s.kept, k)
			}
		}
		if len(s.kept) >= shareMost {
			clear(s.kept) // whoever waits for one still holds it
		}
	}
	a := &answer{done: make(chan struct{}), at: now}
	s.kept[v] = a
	return a, true
}

// edgesVersion is Edges.Version, asked for at most each tenth of a second.
func (s *Site) edgesVersion(ctx context.Context) (uint64, error) {
	s.shares.edgesMu.Lock()
	defer s.shares.edgesMu.Unlock()
	if time.Since(s.shares.edgesAt) < 100*time.Millisecond {
		return s.shares.edges, nil
	}
	v, err := s.o.Edges.Version(ctx)
	if err == nil {
		s.shares.edges, s.shares.edgesAt = v, time.Now()
	}
	return v, err
}

// viewOf tells what a request for regions would get, and false if it is
// answered alone.
func (s *Site) viewOf(r *http.Request, rt route, a access.Actor, m partner.Member) (view, bool) {
	if !rt.shared || r.Method != http.MethodGet || r.URL.Query().Get("region") == "" ||
		a.Member == "" || a.Token != "" || a.Scopes != nil || a.System || a.Shell || len(a.Glass) > 0 {
		return view{}, false
	}
	edges, err := s.edgesVersion(r.Context())
	if err != nil {
		return view{}, false // the page itself says what is wrong
	}
	v := view{
		uri: r.URL.RequestURI(), partner: a.Partner, kind: a.Kind, country: a.Country, zone: m.Zone, edges: edges,
		lang: s.words.pick(s.language(r, m), r.Header.Get("Accept-Language")).lang,
	}
	roles := make([]string, len(a.Roles))
	for i, role := range a.Roles {
		roles[i] = string(role)
	}
	slices.Sort(roles)
	v.roles = strings.Join(roles, " ")
	// The position is read before the page is made: what is kept under it may
	// know more, never less.
	err = s.o.Journal.View(r.Context(), func(rd journal.StoreReader) error {
		v.entries, err = rd.Size()
		return err
	})
	v.second = s.o.Now().Unix()
	return v, err == nil
}

// share answers with what another reader of the same view was given, or makes
// it. It reports false if the request must be answered alone.
func (s *Site) share(w http.ResponseWriter, r *http.Request, v view, do func(w http.ResponseWriter) *Frame) bool {
	a, mine := s.shares.take(v, time.Now())
	if mine {
		s.lead(w, r, v, a, do)
		return true
	}
	select {
	case <-a.done:
	case <-r.Context().Done():
		return true // the reader is gone
	}
	if !a.ok {
		return false
	}
	body := a.body
	for _, key := range a.keys {
		body = bytes.ReplaceAll(body, []byte(key), []byte(newKey()))
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(body) // the reader is gone if this fails
	return true
}

// lead makes the answer that others wait for.
func (s *Site) lead(w http.ResponseWriter, r *http.Request, v view, a *answer, do func(w http.ResponseWriter) *Frame) {
	rec := &recorder{header: http.Header{}}
	defer func() {
		if !a.ok { // also where the page panicked
			s.shares.mu.Lock()
			if s.shares.kept[v] == a {
				delete(s.shares.kept, v)
			}
			s.shares.mu.Unlock()
		}
		close(a.done)
	}()
	f := do(rec)
	a.body, a.keys = rec.body.Bytes(), f.keys
	a.ok = rec.status == http.StatusOK && !f.person && r.Context().Err() == nil
	for name, values := range rec.header {
		w.Header()[name] = values
	}
	if rec.status != 0 {
		w.WriteHeader(rec.status)
	}
	_, _ = w.Write(a.body) // the reader is gone if this fails
}

// recorder keeps an answer until it is whole.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

// personal says that the page shows something of this one person.
func (f *Frame) personal() { f.person = true }
