package web

import (
	"net/http"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/notify"
)

type askPage struct {
	*Frame
	A      notify.Asked
	Number string
	Action string
	Open   bool // an answer is waited for
	Mine   bool // the link's member is signed in here
}

// ask shows what the link in a message leads to: number, ask, deadline, what
// happens if nothing is done, three buttons. It changes nothing: scanners of
// mail follow links.
func (s *Site) ask(w http.ResponseWriter, r *http.Request, f *Frame) error {
	a, err := s.o.Notify.Look(r.Context(), f.Me, r.PathValue("code"))
	if err != nil {
		return err
	}
	if _, err := r.Cookie(cookieLang); err != nil && r.URL.Query().Get("lang") == "" && !f.SignedIn() {
		f.word = s.words.pick(a.Member.Language, "")
	}
	f.Zone, f.Node, f.Form = a.Zone, a.Partner, true
	page := askPage{Frame: f, A: a, Number: a.Number, Action: r.URL.Path, Open: a.State == notify.AskOpen || a.State == notify.AskLate, Mine: f.Me.Member == a.Member.ID}
	if a.Exercise {
		f.Exercise = a.Number
	}
	f.Title = f.T("a.title", "Number", page.Number, "Ask", f.T("a.ask."+a.Ask))
	return s.render(w, r, http.StatusOK, "ask", page)
}

func (s *Site) askDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	if _, err := s.o.Notify.Press(r.Context(), f.Me, r.PathValue("code"), r.PostForm.Has("pass")); err != nil {
		return err
	}
	http.Redirect(w, r, "/a/"+r.PathValue("code"), http.StatusSeeOther)
	return nil
}

// Local is an instant in the link's member's time: "22:05 WIB".
func (p askPage) Local(t time.Time) string { return p.LocalTime(t) }

// standingRow is a line of who has acknowledged, in words.
type standingRow struct {
	notify.Standing
	Name, Detail, Next string
	Chip               Chip
}

func (f *Frame) standing(st notify.Standing, names map[string]string) standingRow {
	row := standingRow{Standing: st, Name: f.Name(st.Partner)}
	state := "not_acknowledged"
	switch {
	case st.Acknowledged:
		state = "acknowledged"
	case st.State == notify.Exhausted:
		state = "exhausted"
	case st.State == notify.Missed:
		state = "missed"
	}
	row.Chip = f.Chip(state)
	if !st.LastAt.IsZero() {
		row.Detail = f.T("acks.last."+st.LastState, "Kind", f.T("channel."+st.LastKind), "Time", f.ClockText(st.LastAt), "Who", isolate(names[st.LastMember]), "Why", f.maybe("msgreason.", st.LastReason))
	} else {
		row.Detail = f.T("acks.last.none")
	}
	switch {
	case state == "missed":
		row.Detail, row.Next = f.T("acks.last.missed"), f.T("acks.next.missed")
	case st.Acknowledged:
		row.Detail, row.Next = f.T("acks.at", "Time", f.ClockText(st.At)), ""
	case !st.NextAt.IsZero():
		row.Next = f.T("acks.next."+st.NextTo, "Time", f.ClockText(st.NextAt), "Who", isolate(names[st.NextWho]))
	case st.State == notify.Calling || st.State == notify.Exhausted:
		row.Next = f.T("acks.next.none")
	default:
		row.Next = f.T("acks.next.nobody")
	}
	return row
}

// acknowledgements shows, for each partner, what was sent, delivered,
// acknowledged or failed, and what comes next.
func (s *Site) acknowledgements(w http.ResponseWriter, r *http.Request, f *Frame) error {
	inc, err := s.o.Incidents.Get(r.Context(), f.Me, r.PathValue("id"))
	if err != nil {
		return err
	}
	list, err := s.o.Notify.Acknowledgements(r.Context(), f.Me, inc.ID)
	if err != nil {
		return err
	}
	names, err := s.memberNames(r, f)
	if err != nil {
		return err
	}
	page := struct {
		*Frame
		ID     string
		Rows   []standingRow
		Acked  int
		Called int
		Ask    *Ask // of the reader's partner; nil: none
	}{Frame: f, ID: inc.ID}
	for _, st := range list {
		page.Rows = append(page.Rows, f.standing(st, names))
	}
	page.Acked, page.Called = inc.Acked()
	page.Ask = acknowledge(f, inc)
	f.Section, f.Live, f.Title = "incidents", []string{"incident:" + inc.ID}, f.T("acknowledgements.title", "Incident", inc.ID)
	if inc.Exercise {
		f.Exercise = inc.ID
	}
	return s.render(w, r, http.StatusOK, "acknowledgements", page)
}

// reached says, for each partner of an incident that has not acknowledged, what
// was last tried and what comes next; and which were not called and will not be.
func (s *Site) reached(r *http.Request, f *Frame, incident string) (said map[string]string, missed map[string]bool, err error) {
	if !f.Can(string(access.ReadIncidents)) {
		return nil, nil, nil
	}
	list, err := s.o.Notify.Acknowledgements(r.Context(), f.Me, incident)
	if err != nil {
		return nil, nil, err
	}
	names, err := s.memberNames(r, f)
	said, missed = map[string]string{}, map[string]bool{}
	for _, st := range list {
		if row := f.standing(st, names); !st.Acknowledged && row.Detail != "" {
			said[st.Partner] = row.Detail
			missed[st.Partner] = st.State == notify.Missed
			if !st.LastAt.IsZero() || !st.NextAt.IsZero() {
				said[st.Partner] = strings.TrimSuffix(row.Detail+" · "+row.Next, " · ")
			}
		}
	}
	return said, missed, err
}

// silentMessages are the channels that do not work and the holes in the roster
// that the reader can do something about: before the crisis.
func (s *Site) silentMessages(r *http.Request, f *Frame) ([]Silence, error) {
	failing, err := s.o.Notify.Failing(r.Context(), f.Me)
	if err != nil {
		return nil, err
	}
	var out []Silence
	for _, c := range failing {
		who := f.Name(c.Partner)
		if c.Name != "" {
			who += f.Sep() + isolate(c.Name)
		}
		out = append(out, Silence{Who: who, Late: f.T("silent.channel", "Kind", f.T("channel."+c.Kind)), Detail: f.T("msgreason." + c.Reason), Href: "/messages"})
	}
	gaps, err := s.o.Duty.Gaps(r.Context(), f.Me)
	if err != nil || len(gaps) == 0 {
		return out, err
	}
	return append(out, Silence{Who: f.Name(f.Me.Partner), Late: f.T("silent.gap"), Detail: f.T("duty.gap", "From", f.ClockText(gaps[0].From), "Until", f.ClockText(gaps[0].Until)), Href: "/duty"}), nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// memberNames returns the names of the reader's own partner's members: those of
// others are theirs.
func (s *Site) memberNames(r *http.Request, f *Frame) (map[string]string, error) {
	names := map[string]string{}
	if !f.Can(string(access.ReadPartners)) {
		return names, nil
	}
	members, err := s.o.Partners.Members(r.Context(), f.Me)
	for _, m := range members {
		names[m.ID] = m.Name
	}
	return names, err
}
