package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/api"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/signal"
)

// SignalRow is a signal in a list.
type SignalRow struct {
	signal.Signal
	Chip    Chip
	Shown   string // the fingerprint, masked where it must be
	Weak    string // why it may not block, in the reader's language
	Reached string
}

func (s *Site) signalRow(f *Frame, sig signal.Signal) SignalRow {
	row := SignalRow{Signal: sig, Chip: f.Chip(string(sig.State)), Shown: sig.Fingerprint.Shown(), Weak: f.Say(sig.Weak()), Reached: "–"}
	if sig.Tripped != "" {
		row.Chip = Chip{"warn", "late", f.T("signal.tripped")}
	}
	if reach, ok := s.o.Edges.Reach(sig); ok && reach.Edges > 0 {
		row.Reached = f.T("signal.reached", "N", reach.Reached, "Of", reach.Edges)
		if n := len(reach.Delays); n > 0 && reach.Reached == reach.Edges {
			row.Reached += f.Sep() + f.T("signal.reached.in", "Time", f.MS(float64(reach.Delays[n-1].Microseconds())/1000))
		}
	}
	return row
}

type signalsPage struct {
	*Frame
	form
	Signals   []SignalRow
	StateList []signal.State
	Q         string
	State     string
	Incident  string // only of this incident
	Partner   string // only those that this partner proposed
	Next      string
}

func (s *Site) signals(w http.ResponseWriter, r *http.Request, f *Frame) error {
	if handleAway(w, r) {
		return nil
	}
	s.letFingerprint(w)
	f.Section, f.Live, f.Title = "signals", []string{"signal", "edges"}, f.T("signals.title")
	q := r.URL.Query()
	query := signal.Query{Text: q.Get("q"), Cursor: q.Get("cursor"), Limit: 50, Incident: q.Get("incident"), Partner: q.Get("partner")}
	p := signalsPage{Frame: f, StateList: signal.States(), Q: q.Get("q"), State: q.Get("state"), Incident: query.Incident, Partner: query.Partner}
	if slices.Contains(signal.States(), signal.State(p.State)) {
		query.States = []signal.State{signal.State(p.State)}
	}
	list, next, err := s.o.Signals.List(r.Context(), f.Me, query)
	if err != nil {
		return err
	}
	for _, sig := range list {
		p.Signals = append(p.Signals, s.signalRow(f, sig))
	}
	p.Next = next
	said, status := f.noHandle(r)
	p.form = said
	return s.render(w, r, status, "signals", p)
}

type signalPage struct {
	*Frame
	Sig      SignalRow
	Verbs    map[string]bool
	Reach    []string // edges that still wait
	ReachN   int
	ReachOf  int
	Delay    string
	Lines    []Line
	Counts   hour
	Verdicts verdictTable
	Incident string
	Own      string
	Platform bool
}

func (s *Site) signal(w http.ResponseWriter, r *http.Request, f *Frame) error {
	sig, err := s.o.Signals.Get(r.Context(), f.Me, r.PathValue("id"))
	if err != nil {
		return err
	}
	f.beyond(sig.Audience, "signal", sig.ID)
	f.Section, f.Live = "signals", []string{"signal:" + sig.ID, "feedback:" + sig.ID, "edges"}
	f.Title = sig.ID + " " + f.T("state."+string(sig.State))
	if sig.Exercise {
		f.Exercise = cmp.Or(sig.Incident, sig.ID)
	}
	p := signalPage{Frame: f, Sig: s.signalRow(f, sig), Verbs: verbs(f, sig), Incident: sig.Incident, Platform: f.Me.Kind == access.Platform}
	if o, ok := sig.Own[f.Me.Partner]; ok {
		p.Own = f.T("state." + string(o.State))
	}
	if reach, ok := s.o.Edges.Reach(sig); ok {
		p.ReachN, p.ReachOf = reach.Reached, reach.Edges
		if n := len(reach.Delays); n > 0 {
			p.Delay = f.MS(float64(reach.Delays[n-1].Microseconds()) / 1000)
		}
		for _, m := range reach.Missing {
			p.Reach = append(p.Reach, m.Partner+f.Sep()+m.Edge)
		}
	}
	if p.Counts, err = s.lastHour(r.Context(), f, map[string]bool{sig.ID: true}); err != nil {
		return err
	}
	found, err := s.o.Signals.Feedback(r.Context(), f.Me, sig.ID)
	if err != nil {
		return err
	}
	p.Verdicts = f.verdictsOf(found)
	if p.Lines, err = s.lines(r.Context(), f, journal.RowQuery{About: journal.Ref{Kind: signal.KindSignal, ID: sig.ID}, Newest: true, Limit: 50}, 50); err != nil {
		return err
	}
	return s.render(w, r, http.StatusOK, "signal", p)
}

// verbs says which decisions the reader can make now.
func verbs(f *Frame, sig signal.Signal) map[string]bool {
	decide, suspend, withdraw := f.Can(string(access.Decide)), f.Can(string(access.Suspend)), f.Can(string(access.Withdraw))
	other := sig.Proposed.Partner != f.Me.Partner
	own := sig.Own[f.Me.Partner].State
	platform := f.Me.Kind == access.Platform
	return map[string]bool{
		"approve":  decide && (sig.State == signal.Proposed && (other || platform) || sig.State == signal.Active && sig.AtOnce && other),
		"refuse":   decide && (sig.State == signal.Proposed || sig.State == signal.Active && sig.AtOnce),
		"suspend":  suspend && (sig.State == signal.Active || own == signal.Active),
		"resume":   decide && (sig.State == signal.Suspended && (other || platform) || sig.Tripped != "" || own == signal.Suspended),
		"withdraw": withdraw && (sig.State == signal.Proposed || sig.State == signal.Active || sig.State == signal.Suspended),
	}
}

type proposePage struct {
	*Frame
	form
	In        proposeInput
	Kinds     []fingerprint.Kind
	Labels    []string
	Producers []signal.Producer
	Incidents []incident.Incident
	TLPs      []access.TLP

	ActionList     []signal.Action
	ConfidenceList []signal.Confidence
}

type proposeInput struct {
	Incident, Kind, Value, Producer, Action, Confidence, TLP, Note, Quality, SHA256 string
	Labels                                                                          []string
}

func (s *Site) propose(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.proposeForm(w, r, f, http.StatusOK, form{}, proposeInput{Incident: r.URL.Query().Get("incident"), Kind: "pdq", TLP: "amber", Confidence: "medium"})
}

// letFingerprint lets this page fingerprint files in the browser, where the
// packages for that were built.
func (s *Site) letFingerprint(w http.ResponseWriter) {
	if s.wasm {
		w.Header().Set("Content-Security-Policy", cspWasm)
	}
}

func (s *Site) proposeForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, in proposeInput) error {
	if err := access.Allow(f.Me, access.Propose, s.o.Now()); err != nil {
		return err
	}
	s.letFingerprint(w)
	f.Section, f.Form, f.Title = "signals", true, f.T("propose.title")
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	p := proposePage{Frame: f, form: m, In: in, Kinds: fingerprint.Kinds(), Labels: signal.Labels(), Producers: signal.Producers(), TLPs: access.TLPs(),
		ActionList: []signal.Action{signal.Block, signal.Review, signal.Monitor}, ConfidenceList: []signal.Confidence{signal.Low, signal.Medium, signal.High},
	}
	var err error
	if f.Can(string(access.ReadIncidents)) {
		if p.Incidents, _, err = s.o.Incidents.List(r.Context(), f.Me, incident.Query{States: []string{"notified", "assessing", "open"}, Limit: 100}); err != nil {
			return err
		}
	}
	return s.render(w, r, status, "propose", p)
}

func (s *Site) proposeDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v := r.PostForm
	in := proposeInput{v.Get("incident"), v.Get("kind"), v.Get("value"), v.Get("producer"), v.Get("action"), v.Get("confidence"), v.Get("tlp"), v.Get("note"), v.Get("quality"), v.Get("sha256"), v["labels"]}
	p := signal.Proposal{
		Incident: in.Incident, Kind: in.Kind, Value: in.Value, Labels: in.Labels, Producer: signal.Producer(in.Producer), Action: signal.Action(in.Action),
		Confidence: signal.Confidence(in.Confidence), TLP: in.TLP, Note: in.Note, Provenance: signal.Provenance{SHA256: strings.ToLower(strings.TrimSpace(in.SHA256))},
	}
	if q := strings.TrimSpace(in.Quality); q != "" {
		n, err := strconv.Atoi(asciiDigits(q))
		if err != nil {
			n = -1 // the service says what is wrong with it
		}
		p.Provenance.Quality = &n
	}
	sig, err := s.o.Signals.Propose(r.Context(), f.Me, p)
	if err != nil {
		m, ok := f.mistakes(err)
		if !ok {
			return err
		}
		return s.proposeForm(w, r, f, http.StatusUnprocessableEntity, m, in)
	}
	http.Redirect(w, r, "/signals/"+sig.ID+"?sent=proposed", http.StatusSeeOther)
	return nil
}

type decidePage struct {
	*Frame
	form
	Sig     SignalRow
	Verb    string
	Digits  string // asked for; "" where one tap is enough
	Reason  string
	Reach   string
	Does    string // what it will do, an action; "" where the decision stops it
	Own     string // the same at the reader's platform, where that differs
	Less    string // why that is not what was proposed
	Edges   int
	Silent  []string
	Reasons []string
	Mine    bool // the reader's platform can decide for itself
	Only    bool // and only for itself
	Version int64
}

var decisions = []string{"approve", "refuse", "suspend", "resume", "withdraw"}

func (s *Site) decide(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.decideForm(w, r, f, http.StatusOK, form{}, "", "")
}

func (s *Site) decideForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, reason, reach string) error {
	verb := r.PathValue("verb")
	if !slices.Contains(decisions, verb) {
		return notFound(f.T("error.no_page"), f.T("error.no_page.fix"))
	}
	sig, err := s.o.Signals.Get(r.Context(), f.Me, r.PathValue("id"))
	if err != nil {
		return err
	}
	f.Section, f.Form, f.Title = "signals", true, f.T("decide."+verb+".title", "Signal", sig.ID)
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	p := decidePage{Frame: f, form: m, Sig: s.signalRow(f, sig), Verb: verb, Reason: reason, Reach: reach, Version: sig.Last.Entry}
	if verb == "approve" || verb == "resume" || verb == "withdraw" {
		p.Digits = digits(sig.ID)
	}
	p.Mine = f.Me.Kind == access.Platform
	p.Only = p.Mine && (sig.Proposed.Partner == f.Me.Partner && (verb == "approve" || verb == "resume"))
	if verb == "suspend" {
		p.Reasons = []string{"benign", "not_this", "label", "too_many", "partner"}
		p.Only = !f.Me.Has(access.Approver)
	}
	if verb == "approve" || verb == "resume" {
		if err := s.outlook(r.Context(), &p, sig); err != nil {
			return err
		}
	}
	list, err := s.o.Edges.EdgesFor(r.Context(), f.Me)
	if err != nil && problem.KindOf(err) != problem.Denied {
		return err
	}
	p.Edges = len(list)
	for _, e := range list {
		if e.State == "silent" {
			p.Silent = append(p.Silent, e.Name)
		}
	}
	return s.render(w, r, status, "decide", p)
}

// outlook says on the page what the signal will do once it is approved or
// resumed, and why that is less than was proposed.
func (s *Site) outlook(ctx context.Context, p *decidePage, sig signal.Signal) error {
	out, err := s.o.Signals.Outlook(ctx, p.Me, sig.ID)
	if err != nil {
		return err
	}
	word := func(a signal.Action) string { return p.T("action." + string(a)) }
	does := out.Everywhere
	if p.Only {
		does = out.Own
	}
	p.Does = word(does)
	if p.Mine && !p.Only && out.Own != does {
		p.Own = word(out.Own)
	}
	if does != sig.Wanted {
		p.Less = p.T("decide.less", "Proposed", word(sig.Wanted), "Action", p.Does, "Why", p.T("decide.why."+out.Why))
	}
	return nil
}

func (s *Site) decideDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v := r.PostForm
	id, verb := r.PathValue("id"), r.PathValue("verb")
	do, ok := map[string]func() (signal.Signal, error){
		"approve":  func() (signal.Signal, error) { return s.o.Signals.Approve(r.Context(), f.Me, id, decision(f, v)) },
		"refuse":   func() (signal.Signal, error) { return s.o.Signals.Refuse(r.Context(), f.Me, id, decision(f, v)) },
		"suspend":  func() (signal.Signal, error) { return s.o.Signals.Suspend(r.Context(), f.Me, id, decision(f, v)) },
		"resume":   func() (signal.Signal, error) { return s.o.Signals.Resume(r.Context(), f.Me, id, decision(f, v)) },
		"withdraw": func() (signal.Signal, error) { return s.o.Signals.Withdraw(r.Context(), f.Me, id, decision(f, v)) },
	}[verb]
	if !ok {
		return notFound(f.T("error.no_page"), f.T("error.no_page.fix"))
	}
	var err error
	if verb == "approve" || verb == "resume" || verb == "withdraw" {
		err = confirm(f, v.Get("digits"), strings.ToUpper(id))
	}
	if err == nil {
		_, err = do()
	}
	if err != nil {
		m, ok := f.mistakes(err)
		if !ok {
			return err
		}
		return s.decideForm(w, r, f, http.StatusUnprocessableEntity, m, v.Get("reason"), v.Get("reach"))
	}
	http.Redirect(w, r, "/signals/"+strings.ToUpper(id)+"?sent="+verb, http.StatusSeeOther)
	return nil
}

func decision(f *Frame, v map[string][]string) signal.Decision {
	get := func(k string) string {
		if len(v[k]) > 0 {
			return v[k][0]
		}
		return ""
	}
	reason := get("reason")
	if c := get("cause"); c != "" && f.word.has("decide.cause."+c) {
		reason = strings.TrimSpace(f.T("decide.cause."+c) + ". " + reason)
	}
	version, _ := strconv.ParseInt(get("version"), 10, 64) // none: the decision is on the present state
	return signal.Decision{Reason: reason, Reach: signal.Reach(get("reach")), Version: version}
}

type edgesPage struct {
	*Frame
	Edges                   []api.Edge
	Silent, Behind, Current int
	Partners                int
}

func (s *Site) edges(w http.ResponseWriter, r *http.Request, f *Frame) error {
	list, err := s.o.Edges.EdgesFor(r.Context(), f.Me)
	if err != nil {
		return err
	}
	f.Section, f.Live = "edges", []string{"edges", "signal"}
	p := edgesPage{Frame: f, Edges: list}
	partners := map[string]bool{}
	for _, e := range list {
		partners[e.Partner] = true
		switch e.State {
		case "silent":
			p.Silent++
		case "behind":
			p.Behind++
		default:
			p.Current++
		}
	}
	p.Partners = len(partners)
	worst := []string{"silent", "behind", "current"}
	slices.SortStableFunc(p.Edges, func(a, b api.Edge) int {
		return cmp.Or(cmp.Compare(slices.Index(worst, a.State), slices.Index(worst, b.State)), cmp.Compare(a.Name, b.Name))
	})
	f.Title = f.N("edges.title", len(list))
	return s.render(w, r, http.StatusOK, "edges", p)
}
