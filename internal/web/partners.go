package web

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/api"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/signal"
)

func (s *Site) partners(w http.ResponseWriter, r *http.Request, f *Frame) error {
	list, err := s.o.Partners.List(r.Context(), f.Me)
	if err != nil {
		return err
	}
	asked, err := s.requestRows(r, f)
	if err != nil {
		return err
	}
	asked = slices.DeleteFunc(asked, func(q requestRow) bool { return !q.OfPartner() })
	f.Section, f.Live, f.Title = "partners", []string{"partner", "request"}, f.T("partners.title")
	return s.render(w, r, http.StatusOK, "partners", struct {
		*Frame
		Partners []partner.Partner
		Requests []requestRow
	}{f, list, asked})
}

func (s *Site) partner(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.partnerForm(w, r, f, http.StatusOK, form{}, "")
}

func (s *Site) partnerForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, why string) error {
	p, err := s.o.Partners.Get(r.Context(), f.Me, r.PathValue("id"))
	if err != nil {
		return err
	}
	f.Section, f.Title = "partners", p.Name
	if len(m.Errors) > 0 {
		f.Form, f.Title = true, f.T("form.title", "Title", f.Title)
	}
	page := struct {
		*Frame
		form
		Partner partner.Partner
		Members []partner.Member
		Edges   []api.Edge
		Lines   []Line
		Left    []signal.Signal // of a partner that is deactivated: still on, to be decided
		More    bool            // there are more of them
		May     bool            // deactivate it, or activate it again
		Why     string
	}{Frame: f, form: m, Partner: p, Why: why}
	if page.May, err = s.o.Partners.MayDisable(r.Context(), f.Me, p.ID); err != nil {
		return err
	}
	if p.Disabled && f.Can(string(access.ReadSignals)) {
		q := signal.Query{Partner: p.ID, States: []signal.State{signal.Active, signal.Proposed, signal.Suspended}, Limit: 50}
		var next string
		if page.Left, next, err = s.o.Signals.List(r.Context(), f.Me, q); err != nil {
			return err
		}
		page.More = next != ""
	}
	if p.ID == f.Me.Partner {
		if page.Members, err = s.o.Partners.Members(r.Context(), f.Me); err != nil {
			return err
		}
	}
	if f.Can(string(access.ReadEdges)) {
		all, err := s.o.Edges.EdgesFor(r.Context(), f.Me)
		if err != nil {
			return err
		}
		for _, e := range all {
			if e.Partner == p.ID {
				page.Edges = append(page.Edges, e)
			}
		}
	}
	if page.Lines, err = s.lines(r.Context(), f, journal.RowQuery{Partner: p.ID, Newest: true, Limit: 40}, 20); err != nil {
		return err
	}
	return s.render(w, r, status, "partner", page)
}

func (s *Site) partnerDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v := r.PostForm
	do := v.Get("do")
	if do != "disable" && do != "enable" {
		return problem.New(problem.Invalid, "the form does not say what to do", "go back and press one of its buttons")
	}
	q, err := s.o.Partners.AskToDisable(r.Context(), f.Me, r.PathValue("id"), do == "disable", v.Get("reason"))
	if err != nil {
		m, ok := f.mistakes(err)
		if !ok {
			return err
		}
		return s.partnerForm(w, r, f, http.StatusUnprocessableEntity, m, v.Get("reason"))
	}
	http.Redirect(w, r, "/admin/requests/"+q.ID+"?sent=request", http.StatusSeeOther)
	return nil
}

type newPartnerPage struct {
	*Frame
	form
	In    partner.NewPartner
	Why   string
	Kinds []access.PartnerKind
}

func (s *Site) newPartner(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.newPartnerForm(w, r, f, http.StatusOK, form{}, partner.NewPartner{}, "")
}

func (s *Site) newPartnerForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, in partner.NewPartner, why string) error {
	if !f.Can(string(access.AddPartner)) {
		return access.Allow(f.Me, access.AddPartner, s.o.Now())
	}
	f.Section, f.Form, f.Title = "partners", true, f.T("partner.new.title")
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	return s.render(w, r, status, "newpartner", newPartnerPage{f, m, in, why, access.PartnerKinds()})
}

func (s *Site) newPartnerDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v := r.PostForm
	in := partner.NewPartner{
		Name: v.Get("name"), Kind: access.PartnerKind(v.Get("kind")), Country: v.Get("country"), Zone: v.Get("zone"),
		Languages: strings.FieldsFunc(v.Get("languages"), func(c rune) bool { return c == ',' || c == ' ' }), Contact: v.Get("contact"),
	}
	why := v.Get("reason")
	q, err := s.o.Partners.AskToAdd(r.Context(), f.Me, in, why)
	if err != nil {
		m, ok := f.mistakes(err)
		if !ok {
			return err
		}
		return s.newPartnerForm(w, r, f, http.StatusUnprocessableEntity, m, in, why)
	}
	http.Redirect(w, r, "/admin/requests/"+q.ID+"?sent=request", http.StatusSeeOther)
	return nil
}

type tokenRow struct {
	partner.Token
	Chip Chip
	From string // page of the form that revokes it
}

type tokensPage struct {
	*Frame
	form
	Tokens []tokenRow
	Roles  []access.Role
	Scopes []access.TokenScope
	Text   string // of the token just made; shown this once
	Edge   bool
	Name   string
}

func (s *Site) tokens(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.tokensForm(w, r, f, http.StatusOK, form{}, "", false)
}

func (s *Site) tokensForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, text string, edge bool) error {
	list, err := s.o.Partners.Tokens(r.Context(), f.Me)
	if err != nil {
		return err
	}
	f.Section, f.Form, f.Title = "more", true, f.T("tokens.title")
	if edge {
		f.Section, f.Title = "edges", f.T("edge.new.title")
	}
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	p := tokensPage{Frame: f, form: m, Roles: access.Roles(), Scopes: peopleScopes(), Text: text, Edge: edge, Name: r.PostForm.Get("name")}
	if edge {
		list = slices.DeleteFunc(list, func(t partner.Token) bool { return !t.Edge() })
	}
	p.Tokens = f.tokenRows(list, "/admin/tokens")
	name := "tokens"
	if edge {
		name = "newedge"
	}
	return s.render(w, r, status, name, p)
}

func (s *Site) tokensDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v := r.PostForm
	if id := v.Get("revoke"); id != "" {
		if _, err := s.o.Partners.RevokeToken(r.Context(), f.Me, id); err != nil {
			return err
		}
		http.Redirect(w, r, "/admin/tokens?sent=revoked", http.StatusSeeOther)
		return nil
	}
	return s.makeToken(w, r, f, false)
}

func (s *Site) makeToken(w http.ResponseWriter, r *http.Request, f *Frame, edge bool) error {
	v := r.PostForm
	n := partner.NewToken{Name: v.Get("name")}
	for _, role := range v["roles"] {
		n.Roles = append(n.Roles, access.Role(role))
	}
	for _, sc := range v["scopes"] {
		n.Scopes = append(n.Scopes, access.TokenScope(sc))
	}
	if edge {
		n.Roles = []access.Role{access.Edge}
		n.Life = 365 * 24 * time.Hour
	}
	_, text, err := s.o.Partners.CreateToken(r.Context(), f.Me, n)
	if err != nil {
		m, ok := f.mistakes(err)
		if !ok {
			return err
		}
		return s.tokensForm(w, r, f, http.StatusUnprocessableEntity, m, "", edge)
	}
	return s.tokensForm(w, r, f, http.StatusOK, form{}, text, edge)
}

func (s *Site) newEdge(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.tokensForm(w, r, f, http.StatusOK, form{}, "", true)
}

func (s *Site) newEdgeDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.makeToken(w, r, f, true)
}

func (s *Site) journal(w http.ResponseWriter, r *http.Request, f *Frame) error {
	f.Section, f.Title, f.Live = "more", f.T("journal.title"), []string{"incident", "signal", "partner", "member", "token"}
	before, _ := strconv.ParseInt(r.URL.Query().Get("before"), 10, 64) // anything else is the newest
	entries, older, err := s.o.Journal.Shown(r.Context(), f.Me, s.o.Now(), journal.RowQuery{Before: before, Limit: 100})
	if err != nil {
		return err
	}
	lines := make([]Line, len(entries))
	for i, e := range entries {
		lines[i] = s.line(f, e)
	}
	cp, err := s.o.Journal.Head(r.Context())
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, "journal", struct {
		*Frame
		Lines []Line
		Head  journal.Checkpoint
		Older int64
	}{f, lines, cp, older})
}

func (s *Site) journalEntry(w http.ResponseWriter, r *http.Request, f *Frame) error {
	n, err := strconv.ParseInt(r.PathValue("entry"), 10, 64)
	if err != nil {
		n = -1 // there is none, for those who may ask
	}
	e, row, err := s.o.Journal.ShownEntry(r.Context(), f.Me, s.o.Now(), n)
	if problem.KindOf(err) == problem.NotFound {
		return notFound(f.T("journal.none"), f.T("journal.none.fix"))
	}
	if err != nil {
		return err
	}
	e.Body = api.ShownBody(e.Body)
	body, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	f.Section, f.Title = "more", f.T("journal.entry", "Number", n)
	return s.render(w, r, http.StatusOK, "entry", struct {
		*Frame
		Line   Line
		Row    journal.Row
		Body   string
		Origin string
	}{f, s.line(f, e), row, string(body), s.o.Journal.Origin()})
}

func (s *Site) verify(w http.ResponseWriter, r *http.Request, f *Frame) error {
	f.Section, f.Title = "more", f.T("verify.title")
	cp, err := s.o.Journal.Head(r.Context())
	if err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, "verify", struct {
		*Frame
		Head journal.Checkpoint
		URL  string
	}{f, cp, s.o.PublicURL})
}

func (s *Site) more(w http.ResponseWriter, r *http.Request, f *Frame) error {
	f.Section, f.Title = "more", f.T("nav.more")
	return s.render(w, r, http.StatusOK, "more", struct{ *Frame }{f})
}
