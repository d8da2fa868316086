package web

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

// statementPage is what both people read before something becomes public: the
// same for both.
type statementPage struct {
	*Frame
	form
	Inc     incident.Incident
	St      incident.Statement
	How     string      // its state
	Text    *updateView // nil: erased
	Correct *updateView
	Asked   string // name of who wrote it, of the reader's partner
	Mine    bool   // the reader wrote it
	May     bool   // the reader may confirm it
	Refuse  bool   // or end it
	Digits  string
	Reason  string
}

// Open reports whether it waits for its second person.
func (p statementPage) Open() bool { return p.How == partner.RequestOpen }

func (s *Site) statement(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.statementForm(w, r, f, http.StatusOK, form{})
}

func (s *Site) statementForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form) error {
	inc, err := s.load(r, f)
	if err != nil {
		return err
	}
	number, _ := strconv.Atoi(r.PathValue("number")) // none: 0 is nobody's
	i := slices.IndexFunc(inc.Statements, func(st incident.Statement) bool { return st.Number == number })
	if i < 0 {
		return notFound(f.T("error.no_page"), f.T("error.no_page.fix"))
	}
	st := inc.Statements[i]
	names, err := s.memberNames(r, f)
	if err != nil {
		return err
	}
	right := f.Can(string(access.PostUpdate))
	p := statementPage{
		Frame: f, form: m, Inc: inc, St: st, How: st.State(f.Now), Asked: names[st.By.Member], Mine: st.By.Member == f.Me.Member,
		May: right && st.MayConfirm(f.Me), Refuse: right && st.MayRefuse(f.Me), Digits: digits(inc.ID), Reason: r.PostForm.Get("reason"),
	}
	texts := st.Texts
	for _, u := range updateViews(f, inc) {
		if u.Number == st.Update {
			texts = u.Texts
		}
		if u.Number == st.Corrects && !u.Erased {
			p.Correct = &u
		}
	}
	if len(texts) > 0 {
		p.Text = &updateView{Update: incident.Update{Texts: texts, Name: st.Name, Corrects: st.Corrects, Audience: st.Audience}, Langs: langTexts(f, texts)}
	}
	f.Form, f.Title = true, f.T("statement.title", "Number", st.Number)+" "+inc.ID
	f.mistaken(m)
	return s.render(w, r, status, "statement", p)
}

func (s *Site) statementDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v, id, what := r.PostForm, r.PathValue("id"), "statement_confirmed"
	number, _ := strconv.Atoi(r.PathValue("number"))
	var err error
	switch v.Get("do") {
	case "confirm":
		if err = access.Allow(f.Me, access.PostUpdate, s.o.Now()); err == nil {
			err = confirm(f, v.Get("digits"), id)
		}
		if err == nil {
			_, err = s.o.Incidents.ConfirmStatement(seen(r), f.Me, id, number)
		}
	case "refuse":
		what = "statement_refused"
		_, err = s.o.Incidents.RefuseStatement(r.Context(), f.Me, id, number, v.Get("reason"))
	default:
		return problem.New(problem.Invalid, "the form does not say what to do", "go back and press one of its buttons")
	}
	if err != nil {
		m, status, ok := s.again(r, f, id, err)
		if !ok || len(m.Changed) == 0 && status == http.StatusConflict {
			return err
		}
		return s.statementForm(w, r, f, status, m)
	}
	return sent(w, r, fmt.Sprintf("/incidents/%s/statements/%d", id, number), what)
}
