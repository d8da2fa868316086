package web

import (
	"cmp"
	"context"
	"net/http"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

// requestRow is a request as its two people read it: the same for both.
type requestRow struct {
	partner.Request
	How   string // its state
	Asked string // name of who asked
	Ended string // name of who settled it
	Mine  bool   // the reader asked
	Says  string // what is asked for, in a sentence
}

func (f *Frame) requestRow(q partner.Request, names map[string]string) requestRow {
	return requestRow{
		Request: q, How: q.State(f.Now), Asked: cmp.Or(names[q.Member], q.Member), Ended: cmp.Or(names[q.By], q.By), Mine: q.Member == f.Me.Member,
		Says: f.T("request.says."+q.What(), "Name", isolate(q.Name)),
	}
}

// Open reports whether the request waits for its second person.
func (q requestRow) Open() bool { return q.How == partner.RequestOpen }

// requestAsks lists what colleagues asked for and the reader may confirm.
func (s *Site) requestAsks(ctx context.Context, f *Frame) ([]Ask, error) {
	list, err := s.found().Requests(ctx, f.Me, f.Now)
	if err != nil {
		return nil, err
	}
	var out []Ask
	for _, a := range list {
		q := a.Request
		out = append(out, Ask{Title: f.T("ask.request", "What", f.T("request.says."+q.What(), "Name", isolate(q.Name))), Detail: a.Text, Due: a.Due, Href: "/admin/requests/" + q.ID, Verb: f.T("ask.request.do"), Primary: true})
	}
	return out, nil
}

// requestRows lists the requests of the last day for administrators.
func (s *Site) requestRows(r *http.Request, f *Frame) ([]requestRow, error) {
	if !f.Can(string(access.ConfirmRequest)) {
		return nil, nil
	}
	list, err := s.o.Partners.Requests(r.Context(), f.Me)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	names, err := s.memberNames(r, f)
	if err != nil {
		return nil, err
	}
	var out []requestRow
	for _, q := range list {
		out = append(out, f.requestRow(q, names))
	}
	return out, nil
}

type requestPage struct {
	*Frame
	Q         requestRow
	Group     string        // "member", or what is asked for a partner
	Says      string        // what is asked for, in a sentence
	Had, Gets []access.Role // of a member, now and then
	Link      string        // of the invitation just made; shown this once
}

func (s *Site) request(w http.ResponseWriter, r *http.Request, f *Frame) error {
	q, err := s.o.Partners.Request(r.Context(), f.Me, r.PathValue("id"))
	if err != nil {
		return err
	}
	return s.requestForm(w, r, f, q, "")
}

func (s *Site) requestForm(w http.ResponseWriter, r *http.Request, f *Frame, q partner.Request, link string) error {
	ms, err := s.o.Partners.Members(r.Context(), f.Me)
	if err != nil {
		return err
	}
	names := make(map[string]string, len(ms))
	page := requestPage{Frame: f, Group: "member", Link: link}
	for _, m := range ms {
		names[m.ID] = m.Name
		if m.ID == q.Of && q.State(f.Now) == partner.RequestOpen {
			page.Had = m.Roles
		}
	}
	switch {
	case q.OfPartner():
		page.Group = q.What()
	case q.New != nil:
		page.Gets = q.New.Roles
	case q.Change != nil:
		page.Gets = q.Change.Roles
	}
	page.Q = f.requestRow(q, names)
	page.Says = page.Q.Says
	f.Section, f.Live, f.Title = "more", []string{"request:" + q.ID}, f.T("request.title."+page.Group)
	if q.OfPartner() {
		f.Section = "partners"
	}
	return s.render(w, r, http.StatusOK, "request", page)
}

func (s *Site) requestDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	id, sent := r.PathValue("id"), ""
	var err error
	switch r.PostForm.Get("do") {
	case "confirm":
		var q partner.Request
		var code string
		if q, code, err = s.o.Partners.Confirm(r.Context(), f.Me, id); err == nil && code != "" {
			return s.requestForm(w, r, f, q, s.o.PublicURL+"/first/"+code)
		}
		sent = "request_confirmed"
	case "refuse":
		sent = "request_refused"
		_, err = s.o.Partners.Refuse(r.Context(), f.Me, id)
	default:
		return problem.New(problem.Invalid, "the form does not say what to do", "go back and press one of its buttons")
	}
	if err != nil {
		return err
	}
	http.Redirect(w, r, "/admin/requests/"+id+"?sent="+sent, http.StatusSeeOther)
	return nil
}
