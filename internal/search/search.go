// Package search finds things by their numbers and names: incidents, signals,
// partners, updates, journal entries, and signals by the exact value of their
// fingerprint. It never looks into content, and finds nothing that the one who
// asks could not open: it asks the services, which decide that.
package search

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/signal"
)

// Hit is one thing that was found.
type Hit struct {
	Kind     string    `json:"kind" enum:"incident,signal,partner,update,entry" doc:"What it is"`
	ID       string    `json:"id" doc:"Its number; of an update, the incident's with the update's after a #"`
	Title    string    `json:"title"`
	State    string    `json:"state,omitempty"`
	Language string    `json:"language,omitempty" doc:"Of the title, of an update"`
	At       time.Time `json:"at,omitzero"`
	Exercise bool      `json:"exercise,omitempty"`
}

// Options are where search looks. All are required.
type Options struct {
	Partners  *partner.Service
	Incidents *incident.Service
	Signals   *signal.Service
	Journal   *journal.Log
}

// Service finds things. Its methods may be called concurrently.
type Service struct{ o Options }

// New returns a Service.
func New(o Options) *Service { return &Service{o} }

const (
	perKind    = 20  // hits of one kind
	maxQuery   = 300 // characters
	newestOnly = 200 // incidents whose updates are read
)

var (
	signalNumber = regexp.MustCompile(`(?i)^s-?0*(\d+)$`)
	entryNumber  = regexp.MustCompile(`^#?(\d{1,18})$`)
)

// Find returns what the text names, incidents first. A text shorter than two
// characters finds nothing.
func (s *Service) Find(ctx context.Context, by access.Actor, text string) ([]Hit, error) {
	text = strings.TrimSpace(text)
	if n := len([]rune(text)); n > maxQuery {
		return nil, problem.Newf(problem.Invalid, "the search has %d characters, the limit is %d", n, maxQuery).WithFix("enter a number, a name or one fingerprint")
	}
	out := []Hit{}
	if len([]rune(text)) < 2 {
		return out, nil
	}
	for _, find := range []func(context.Context, access.Actor, string) ([]Hit, error){s.incidents, s.signals, s.partners, s.entry} {
		hits, err := find(ctx, by, text)
		switch problem.KindOf(err) {
		case "":
			out = append(out, hits...)
		case problem.Denied, problem.NotFound: // a role that may not open it finds none
		default:
			return nil, err
		}
	}
	return out, nil
}

func (s *Service) incidents(ctx context.Context, by access.Actor, text string) ([]Hit, error) {
	list, _, err := s.o.Incidents.List(ctx, by, incident.Query{Text: text, Limit: perKind})
	if err != nil {
		return nil, err
	}
	var out []Hit
	for _, i := range list {
		out = append(out, Hit{Kind: "incident", ID: i.ID, Title: i.Title, State: i.Phase(), At: i.Notified.At, Exercise: i.Exercise})
	}
	all, _, err := s.o.Incidents.List(ctx, by, incident.Query{Limit: newestOnly})
	if err != nil {
		return nil, err
	}
	want, found := strings.ToLower(text), 0
	for _, i := range all {
		for _, u := range i.Updates {
			for lang, t := range u.Texts {
				if found < perKind && strings.Contains(strings.ToLower(t), want) {
					found++
					out = append(out, Hit{Kind: "update", ID: i.ID + "#" + strconv.Itoa(u.Number), Title: around(t, want), Language: lang, At: u.By.At, Exercise: i.Exercise})
					break
				}
			}
		}
	}
	return out, nil
}

// around cuts a long text to what stands about the first place of want.
func around(t, want string) string {
	r := []rune(strings.Join(strings.Fields(t), " "))
	if len(r) <= 160 {
		return string(r)
	}
	at := len([]rune(strings.Split(strings.ToLower(string(r)), want)[0]))
	from := min(max(0, at-60), len(r)-160)
	cut := string(r[from : from+160])
	if from > 0 {
		cut = "…" + cut
	}
	return cut + "…"
}

func (s *Service) signals(ctx context.Context, by access.Actor, text string) ([]Hit, error) {
	var list []signal.Signal
	if m := signalNumber.FindStringSubmatch(text); m != nil {
		n, err := strconv.ParseUint(m[1], 10, 64)
		if err == nil {
			sig, err := s.o.Signals.Get(ctx, by, signal.ID(n))
			if err == nil {
				list = append(list, sig)
			} else if problem.KindOf(err) != problem.NotFound {
				return nil, err
			}
		}
	}
	exact, err := s.o.Signals.ByValue(ctx, by, text)
	if err != nil {
		return nil, err
	}
	var out []Hit
	for _, sig := range append(list, exact...) {
		if slices.ContainsFunc(out, func(h Hit) bool { return h.ID == sig.ID }) {
			continue
		}
		out = append(out, Hit{Kind: "signal", ID: sig.ID, Title: string(sig.Fingerprint.Kind), State: string(sig.State), At: sig.Proposed.At, Exercise: sig.Exercise})
	}
	return out, nil
}

func (s *Service) partners(ctx context.Context, by access.Actor, text string) ([]Hit, error) {
	all, err := s.o.Partners.List(ctx, by)
	if err != nil {
		return nil, err
	}
	var out []Hit
	for _, p := range all {
		if len(out) < perKind && (strings.Contains(strings.ToLower(p.Name), strings.ToLower(text)) || strings.EqualFold(p.ID, text)) {
			out = append(out, Hit{Kind: "partner", ID: p.ID, Title: p.Name, State: string(p.Kind)})
		}
	}
	return out, nil
}

func (s *Service) entry(ctx context.Context, by access.Actor, text string) ([]Hit, error) {
	m := entryNumber.FindStringSubmatch(strings.ReplaceAll(text, ",", ""))
	if m == nil || !mayRead(by) {
		return nil, nil
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return nil, nil //nolint:nilerr // a number too large is no entry
	}
	var out []Hit
	err = s.o.Journal.View(ctx, func(r journal.StoreReader) error {
		e, err := s.o.Journal.Entry(r, n)
		if err == nil && e.Audience.Sees(by) {
			out = append(out, Hit{Kind: "entry", ID: m[1], Title: e.Type, At: e.At, Exercise: e.Exercise})
		}
		return err
	})
	return out, err
}

func mayRead(by access.Actor) bool {
	return access.Allow(by, access.ReadJournal, time.Time{}) == nil
}
