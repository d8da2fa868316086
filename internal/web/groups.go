package web

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/signal"
)

// maxGroupRows is how many signals of a group the page shows: the original and
// the newest.
const maxGroupRows = 100

type groupPage struct {
	*Frame
	form
	Group    signal.Group
	Chip     Chip
	Original SignalRow
	Rows     []SignalRow // the original first
	Hidden   int         // signals that are not shown
	Waiting  int         // for approval
	Active   int
	Verbs    map[string]bool
	Counts   hour
	Lines    []Line
	Platform bool
	Values   string
	Note     string
	EdgeCall string // by which an edge sends a variant
	Asked    string // partner whose withdrawal waits for a second person
}

func (s *Site) group(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.groupForm(w, r, f, http.StatusOK, form{}, "", "")
}

func (s *Site) groupForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, values, note string) error {
	g, sigs, err := s.o.Signals.Group(r.Context(), f.Me, r.PathValue("id"))
	if err != nil {
		return err
	}
	f.Section, f.Live = "signals", []string{"signal", "group:" + g.ID, "edges"}
	f.Title = f.T("group.title", "Group", g.ID) + " " + f.T("group.state."+string(g.State))
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	if g.Exercise {
		f.Exercise = g.ID
		if g.Incident != "" {
			f.Exercise = g.Incident
		}
	}
	p := groupPage{Frame: f, form: m, Group: g, Chip: f.groupChip(g.State), Platform: f.Me.Kind == access.Platform, Values: values, Note: note, Verbs: map[string]bool{}}
	p.EdgeCall = "POST /v1/variant?group=" + g.ID
	if g.Asked != nil {
		p.Asked = g.Asked.Partner
	}
	only := map[string]bool{}
	shown := sigs
	if len(shown) > maxGroupRows {
		p.Hidden = len(shown) - maxGroupRows
		shown = append(slices.Clone(sigs[:1]), sigs[len(sigs)-maxGroupRows+1:]...)
	}
	for _, sig := range sigs {
		only[sig.ID] = true
		if sig.State == signal.Proposed || sig.AtOnce {
			p.Waiting++
		}
		if sig.State == signal.Active {
			p.Active++
		}
		for verb, ok := range verbs(f, sig) {
			p.Verbs[verb] = p.Verbs[verb] || ok
		}
	}
	for _, sig := range shown {
		row := s.signalRow(f, sig)
		if sig.AtOnce {
			row.Chip.Word += f.Sep() + f.T("group.at_once")
		}
		p.Rows = append(p.Rows, row)
	}
	p.Original = p.Rows[0]
	p.Verbs["variant"] = f.Can(string(access.AddVariant)) && g.State != signal.GroupWithdrawn && g.State != signal.GroupWithdrawing
	if p.Counts, err = s.lastHour(r.Context(), f, only); err != nil {
		return err
	}
	if p.Lines, err = s.lines(r.Context(), f, journal.RowQuery{About: journal.Ref{Kind: signal.KindGroup, ID: g.ID}, Newest: true, Limit: 50}, 50); err != nil {
		return err
	}
	return s.render(w, r, status, "group", p)
}

// variantAsks lists the groups with variants that went out at once and wait for
// an approver of another partner.
func (s *Site) variantAsks(ctx context.Context, f *Frame, incidentID string) ([]Ask, error) {
	list, err := s.found().Groups(ctx, f.Me, f.Now, incidentID)
	if err != nil {
		return nil, err
	}
	var out []Ask
	for _, a := range list {
		out = append(out, Ask{
			Title: f.T("group.ask", "Group", a.Object, "Action", f.T("action."+string(a.Signal.Wanted))), Incident: a.Incident, Exercise: a.Exercise,
			Detail: f.T("ask.approve.why", "Partner", f.Name(a.By), "Time", f.ClockText(a.Signal.Proposed.At)),
			Href:   "/groups/" + a.Object + "/approve", Verb: f.T("ask.approve.do"), Primary: true,
		})
	}
	return out, nil
}

func (f *Frame) groupChip(st signal.GroupState) Chip {
	c := chips[map[signal.GroupState]string{signal.GroupOpen: "open", signal.GroupSuspended: "suspended", signal.GroupWithdrawing: "suspended", signal.GroupWithdrawn: "withdrawn"}[st]]
	return Chip{c[0], c[1], f.T("group.state." + string(st))}
}

// pasted reads fingerprints as people paste them: what siaga hash prints, one
// line of its --json, or "kind value" a line. A line that is none of these is
// an error; the file's name, with which siaga hash begins, is passed over.
func pasted(f *Frame, text string) ([]signal.VariantValue, error) {
	var out []signal.VariantValue
	var bad problem.InvalidFields
	quality := func(q int) *int { return &q }
	lines := strings.Split(strings.ReplaceAll(text, "\r", "\n"), "\n")
	for i, line := range lines {
		line = strings.TrimSpace(line)
		fields := strings.Fields(line)
		switch {
		case line == "":
		case line[0] == '{':
			var h struct {
				SHA256, MD5, TLSH string
				PDQ               *struct {
					Hash    string
					Quality int
				}
				VPDQ []struct {
					TimeS   float64 `json:"time_s"`
					Hash    string
					Quality int
				}
			}
			if err := json.Unmarshal([]byte(line), &h); err != nil {
				bad.Add("values", "%s", f.T("group.values.line", "N", i+1))
				continue
			}
			add := func(kind fingerprint.Kind, value string, q *int) {
				if value != "" {
					out = append(out, signal.VariantValue{Kind: string(kind), Value: value, Quality: q})
				}
			}
			add(fingerprint.SHA256, h.SHA256, nil)
			add(fingerprint.MD5, h.MD5, nil)
			add(fingerprint.TLSH, h.TLSH, nil)
			if h.PDQ != nil {
				add(fingerprint.PDQ, h.PDQ.Hash, quality(h.PDQ.Quality))
			}
			var frames []string
			for _, x := range h.VPDQ {
				frames = append(frames, x.Hash+","+strconv.Itoa(x.Quality)+","+strconv.FormatFloat(x.TimeS, 'f', 3, 64))
			}
			if len(frames) > 0 {
				b, _ := json.Marshal(frames) // of strings
				add(fingerprint.VPDQ, string(b), nil)
			}
		case slices.Contains(fingerprint.Kinds(), fingerprint.Kind(strings.ToLower(strings.TrimSuffix(fields[0], ":")))) && len(fields) > 1:
			v := signal.VariantValue{Kind: strings.ToLower(strings.TrimSuffix(fields[0], ":")), Value: strings.TrimSpace(strings.TrimPrefix(line, fields[0]))}
			if v.Kind == string(fingerprint.VPDQ) && fields[1][0] != '[' {
				continue // "120 frames, 12.0 s": the frames stand in --json alone
			}
			if v.Kind == string(fingerprint.PDQ) {
				v.Value = fields[1]
				for j := 2; j+1 < len(fields); j++ {
					if q, err := strconv.Atoi(asciiDigits(fields[j+1])); err == nil && fields[j] == "quality" {
						v.Quality = quality(q)
					}
				}
			}
			out = append(out, v)
		case i == 0 && len(lines) > 1: // the file's name
		default:
			bad.Add("values", "%s", f.T("group.values.line", "N", i+1))
		}
	}
	if bad.Err() == nil && len(out) == 0 {
		bad.Add("values", "%s", f.T("group.values.none"))
	}
	return out, bad.Err()
}

func (s *Site) variantDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	id, v := r.PathValue("id"), r.PostForm
	again := func(err error) error {
		m, ok := f.mistakes(err)
		if !ok {
			return err
		}
		for i := range m.Errors { // the service names each fingerprint, the page has one field
			if strings.HasPrefix(m.Errors[i].Name, "values[") {
				n, _ := strconv.Atoi(strings.TrimSuffix(strings.TrimPrefix(m.Errors[i].Name, "values["), "]"))
				m.Errors[i] = problem.Field{Name: "values", Detail: f.T("group.values.number", "N", n+1) + " " + m.Errors[i].Detail}
			}
		}
		return s.groupForm(w, r, f, http.StatusUnprocessableEntity, m, v.Get("values"), v.Get("note"))
	}
	values, err := pasted(f, v.Get("values"))
	if err != nil {
		return again(err)
	}
	if _, err = s.o.Signals.AddVariant(r.Context(), f.Me, id, signal.VariantProposal{Values: values, Note: strings.TrimSpace(v.Get("note"))}); err != nil {
		return again(err)
	}
	http.Redirect(w, r, "/groups/"+url.PathEscape(id)+"?sent=variant", http.StatusSeeOther)
	return nil
}

type groupDecidePage struct {
	*Frame
	form
	Group   signal.Group
	Chip    Chip
	Verb    string
	Count   int // signals that the decision is about
	Two     bool
	Digits  string
	Reason  string
	Reach   string
	Reasons []string
	Mine    bool
	Only    bool
	Edges   int
	Version int64
	Which   []SignalRow // some of those that it is about
}

func (s *Site) groupDecide(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.groupDecideForm(w, r, f, http.StatusOK, form{}, "", "")
}

func (s *Site) groupDecideForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, reason, reach string) error {
	verb := signal.GroupVerb(r.PathValue("verb"))
	if !slices.Contains(signal.GroupVerbs(), verb) {
		return notFound(f.T("error.no_page"), f.T("error.no_page.fix"))
	}
	g, sigs, err := s.o.Signals.Group(r.Context(), f.Me, r.PathValue("id"))
	if err != nil {
		return err
	}
	f.Section, f.Form, f.Title = "signals", true, f.T("group."+string(verb)+".title", "Group", g.ID)
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	p := groupDecidePage{Frame: f, form: m, Group: g, Chip: f.groupChip(g.State), Verb: string(verb), Reason: reason, Reach: reach, Version: g.Last.Entry, Mine: f.Me.Kind == access.Platform}
	for _, sig := range sigs {
		var counts bool
		switch verb {
		case signal.GroupApprove:
			counts = sig.State == signal.Proposed || sig.AtOnce
		case signal.GroupSuspend:
			counts = sig.State == signal.Active
		case signal.GroupResume:
			counts = sig.State == signal.Suspended
		case signal.GroupWithdraw:
			counts = sig.State == signal.Proposed || sig.State == signal.Active || sig.State == signal.Suspended
		}
		if counts {
			if p.Count++; len(p.Which) < 20 {
				p.Which = append(p.Which, s.signalRow(f, sig))
			}
		}
	}
	if verb == signal.GroupSuspend {
		p.Reasons = []string{"benign", "not_this", "label", "too_many", "partner"}
		p.Only = !f.Me.Has(access.Approver)
	} else {
		p.Digits = digits(g.Original)
	}
	p.Two = verb == signal.GroupWithdraw && p.Count > signal.OnePerson
	list, err := s.o.Edges.EdgesFor(r.Context(), f.Me)
	if err != nil && problem.KindOf(err) != problem.Denied {
		return err
	}
	p.Edges = len(list)
	return s.render(w, r, status, "groupdecide", p)
}

func (s *Site) groupDecideDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	id, verb, v := r.PathValue("id"), signal.GroupVerb(r.PathValue("verb")), r.PostForm
	if !slices.Contains(signal.GroupVerbs(), verb) {
		return notFound(f.T("error.no_page"), f.T("error.no_page.fix"))
	}
	var err error
	if verb != signal.GroupSuspend {
		var g signal.Group
		if g, _, err = s.o.Signals.Group(r.Context(), f.Me, id); err == nil {
			err = confirm(f, v.Get("digits"), g.Original)
		}
	}
	if err == nil {
		_, err = s.o.Signals.DecideGroup(r.Context(), f.Me, id, verb, decision(f, v))
	}
	if err != nil {
		m, ok := f.mistakes(err)
		if !ok {
			return err
		}
		return s.groupDecideForm(w, r, f, http.StatusUnprocessableEntity, m, v.Get("reason"), v.Get("reach"))
	}
	http.Redirect(w, r, "/groups/"+url.PathEscape(id)+"?sent="+string(verb), http.StatusSeeOther)
	return nil
}
