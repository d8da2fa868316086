package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/siaga-crp/siaga/fingerprint/payment"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/search"
)

type searchPage struct {
	*Frame
	form
	Q      string
	Handle bool // one was looked up, which the page does not repeat
	Hits   []hitRow
}

type hitRow struct {
	search.Hit
	Href string
	Chip Chip
}

// handleTyped says, in the place of a payment handle that was to be looked up,
// that one was.
const handleTyped = "payment"

// handleAway sends a reader who has a payment handle in the page's address to
// the same page without it, and reports whether it did. The page says what to do
// instead (noHandle). No form of ours makes such an address: findDo.
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
	said, status := f.noHandle(r)
	q := strings.TrimSpace(r.URL.Query().Get("q"))
	return s.hits(w, r, q, searchPage{Frame: f, form: said, Q: q}, status)
}

// findDo takes what was typed into a field for searches. It leads to the list or
// the page that has the answer in its address, to be opened again or shown to
// others; but a payment handle is answered at once, from the form, so that it
// stands in no address, history or log of a proxy.
func (s *Site) findDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	q := strings.TrimSpace(r.PostForm.Get("q"))
	if payment.Like(q) {
		p, status := searchPage{Frame: f, Handle: true}, http.StatusOK
		if _, err := payment.Parse(q); err != nil { // says what is wrong with it, and repeats nothing
			var wrong problem.InvalidFields
			wrong.Add("q", "%s", err.Error())
			p.form, _ = f.mistakes(wrong.Err())
			status = http.StatusUnprocessableEntity
		}
		return s.hits(w, r, q, p, status)
	}
	to, query := "/search", url.Values{}
	if on := r.PostForm.Get("on"); on == "/signals" || on == "/incidents" {
		to = on
	}
	for _, name := range []string{"q", "state", "all", "incident", "partner"} {
		if v := strings.TrimSpace(r.PostForm.Get(name)); v != "" {
			query.Set(name, v)
		}
	}
	if len(query) > 0 {
		to += "?" + query.Encode()
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

// hits adds what q names to the page.
func (s *Site) hits(w http.ResponseWriter, r *http.Request, q string, p searchPage, status int) error {
	f := p.Frame
	f.Title = f.T("search.title")
	hits, err := search.New(search.Options{Partners: s.o.Partners, Incidents: s.o.Incidents, Signals: s.o.Signals, Journal: s.o.Journal}).Find(r.Context(), f.Me, q)
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
