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
}

func (f *Frame) requestRow(q partner.Request, names map[string]string) requestRow {
	return requestRow{
		Request: q, How: q.State(f.Now), Asked: cmp.Or(names[q.Member], q.Member), Ended: cmp.Or(names[q.By], q.By), Mine: q.Member == f.Me.Member,
	}
}

// Open reports whether the request waits for its second person.
func (q requestRow) Open() bool { return q.How == partner.RequestOpen }

// requestAsks lists what colleagues asked for and the reader may confirm.
func (s *Site) requestAsks(ctx context.Context, f *Frame) ([]Ask, error) {
	if !f.Can(string(access.ConfirmRequest)) || f.Me.Member == "" {
		return nil, nil
	}
	list, err := s.o.Partners.Requests(ctx, f.Me)
	if err != nil {
		return nil, err
	}
	var out []Ask
	for _, q := range list {
		if q.State(f.Now) == partner.RequestOpen && q.Member != f.Me.Member {
			out = append(out, Ask{Title: f.T("ask.request", "Name", isolate(q.Add.Name)), Detail: q.Why, Due: q.Until, Href: "/admin/requests/" + q.ID, Verb: f.T("ask.request.do"), Primary: true})
		}
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

func (s *Site) request(w http.ResponseWriter, r *http.Request, f *Frame) error {
	q, err := s.o.Partners.Request(r.Context(), f.Me, r.PathValue("id"))
	if err != nil {
		return err
	}
	names, err := s.memberNames(r, f)
	if err != nil {
		return err
	}
	f.Section, f.Live, f.Title = "partners", []string{"request:" + q.ID}, f.T("request.title")
	return s.render(w, r, http.StatusOK, "request", struct {
		*Frame
		Q requestRow
	}{f, f.requestRow(q, names)})
}

func (s *Site) requestDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	id, sent := r.PathValue("id"), ""
	var err error
	switch r.PostForm.Get("do") {
	case "confirm":
		sent = "request_confirmed"
		_, err = s.o.Partners.Confirm(r.Context(), f.Me, id)
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
