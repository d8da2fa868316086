package web

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/siaga-crp/siaga/fingerprint/payment"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/search"
)

type searchPage struct {
	*Frame
	form
	Q    string
	Hits []hitRow
}

type hitRow struct {
	search.Hit
	Href string
	Chip Chip
}

// handleTyped says, in the place of a payment handle that was to be looked up,
// that one was.
const handleTyped = "payment"

// handleAway sends a reader who looks up a payment handle to the same page
// without it, as it would stand in the address, and reports whether it did. The
// page says what to do instead (noHandle).
func handleAway(w http.ResponseWriter, r *http.Request) bool {
	if !payment.Like(r.URL.Query().Get("q")) {
		return false
	}
	http.Redirect(w, r, r.URL.Path+"?refused="+handleTyped, http.StatusSeeOther)
	return true
}

// noHandle is what a page says to whom handleAway sent there.
func (f *Frame) noHandle(r *http.Request) (form, int) {
	if r.URL.Query().Get("refused") != handleTyped {
		return form{}, http.StatusOK
	}
	return f.wrong(problem.Field{Name: "q", Detail: f.T("search.payment")}), http.StatusUnprocessableEntity
}

// find looks for numbers and names, never into content.
func (s *Site) find(w http.ResponseWriter, r *http.Request, f *Frame) error {
	if handleAway(w, r) {
		return nil
	}
	p := searchPage{Frame: f, Q: strings.TrimSpace(r.URL.Query().Get("q"))}
	f.Title = f.T("search.title")
	hits, err := search.New(search.Options{Partners: s.o.Partners, Incidents: s.o.Incidents, Signals: s.o.Signals, Journal: s.o.Journal}).Find(r.Context(), f.Me, p.Q)
	said, status := f.noHandle(r)
	p.form = said
	if m, ok := f.mistakes(err); ok {
		p.form, status = m, http.StatusUnprocessableEntity
	} else if err != nil {
		return err
	}
	for _, h := range hits {
		row := hitRow{Hit: h}
		switch h.Kind {
		case "update":
			id, n, _ := strings.Cut(h.ID, "#")
			row.Href = fmt.Sprintf("/incidents/%s/updates#update-%s", id, n)
		case "entry":
			row.Href = "/journal/" + h.ID
		default:
			row.Href = "/" + h.Kind + "s/" + h.ID
		}
		if h.Kind == "incident" || h.Kind == "signal" {
			row.Chip = f.Chip(h.State)
		}
		p.Hits = append(p.Hits, row)
	}
	return s.render(w, r, status, "search", p)
}

func (s *Site) help(w http.ResponseWriter, r *http.Request, f *Frame) error {
	f.Section, f.Title = "more", f.T("nav.help")
	return s.render(w, r, http.StatusOK, "help", struct{ *Frame }{f})
}

// shortcut is a key and what it does.
type shortcut struct{ Keys, What string }

func (s *Site) helpKeys(w http.ResponseWriter, r *http.Request, f *Frame) error {
	f.Section, f.Title = "more", f.T("keyboard.title")
	var list []shortcut
	for _, k := range [][2]string{{"g b", "board"}, {"g i", "incidents"}, {"g s", "signals"}, {"g c", "cases"}, {"g e", "edges"}, {"j k", "move"}, {"o", "open"}, {"/", "search"}, {"n", "notify"}, {"v", "vote"}, {"u", "update"}, {"?", "help"}} {
		list = append(list, shortcut{k[0], f.T("keyboard." + k[1])})
	}
	return s.render(w, r, http.StatusOK, "helpkeys", struct {
		*Frame
		List []shortcut
	}{f, list})
}

// glossary explains the words of the pages, one word for each thing.
func (s *Site) glossary(w http.ResponseWriter, r *http.Request, f *Frame) error {
	f.Section, f.Title = "more", f.T("glossary.title")
	var list []shortcut
	for _, word := range []string{"incident", "protocol", "activation", "quorum", "emergency", "level", "clock", "update", "asset", "fingerprint", "signal", "edge", "match", "verdict", "suspend", "withdraw", "stand_down", "sunset", "exercise", "tlp", "journal"} {
		list = append(list, shortcut{f.T("glossary." + word), f.T("glossary." + word + ".is")})
	}
	return s.render(w, r, http.StatusOK, "glossary", struct {
		*Frame
		List []shortcut
	}{f, list})
}
