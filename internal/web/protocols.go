package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/asks"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// versionAsks lists the proposed versions of protocols that wait for the vote
// of the reader's partner.
func (s *Site) versionAsks(ctx context.Context, f *Frame) ([]Ask, error) {
	list, err := s.found().Versions(ctx, f.Me, f.Now)
	if err != nil {
		return nil, err
	}
	var out []Ask
	for _, a := range list {
		v := a.Version
		t := v.Tally()
		out = append(out, Ask{
			Title: f.T("ask.version", "Protocol", v.Protocol, "Version", v.Version), Due: a.Due, Primary: true, Verb: f.T("ask.vote.do"),
			Detail: f.T("ask.version.why", "Yes", t.Yes, "Quorum", t.Quorum, "Partner", f.Name(a.By)), Href: "/protocols/" + v.Protocol + "/versions/" + v.Hash,
		})
	}
	return out, nil
}

type protocolsPage struct {
	*Frame
	Views []protocolRow
}

type protocolRow struct {
	incident.ProtocolView
	Open int // versions on which a vote is open
}

func (s *Site) protocols(w http.ResponseWriter, r *http.Request, f *Frame) error {
	views, err := s.o.Incidents.Protocols(r.Context(), f.Me)
	if err != nil {
		return err
	}
	f.Section, f.Title = "more", f.T("protocols.title")
	p := protocolsPage{Frame: f}
	for _, v := range views {
		row := protocolRow{ProtocolView: v}
		for _, x := range v.Versions {
			if x.State == incident.Voted {
				row.Open++
			}
		}
		p.Views = append(p.Views, row)
	}
	return s.render(w, r, http.StatusOK, "protocols", p)
}

type protocolPage struct {
	*Frame
	View     incident.ProtocolView
	Def      *protocol.Definition
	Told     string // language in which the protocol tells itself
	Sections []protocol.Section
	Chart    stateDrawing
	Current  bool
	Versions []versionRow
	Builtin  *protocol.Definition
}

type versionRow struct {
	incident.Version
	Chip Chip
}

var versionChips = map[incident.VersionState][2]string{
	incident.Voted: {"info", "open"}, incident.Adopted: {"ok", "ok"}, incident.Replaced: {"", "done"}, incident.Lapsed: {"", "done"}, incident.Retracted: {"", "done"},
}

func versionRows(f *Frame, list []incident.Version) []versionRow {
	var out []versionRow
	for _, v := range list {
		c := versionChips[v.State]
		out = append(out, versionRow{v, Chip{c[0], c[1], f.T("version." + string(v.State))}})
	}
	return out
}

// told is the language in which definitions are told: the reader's, if they
// are written in it.
func told(f *Frame) string {
	if slices.Contains(protocol.Languages(), f.Lang()) {
		return f.Lang()
	}
	return "en"
}

func (s *Site) protocol(w http.ResponseWriter, r *http.Request, f *Frame) error {
	id := r.PathValue("id")
	view, err := s.o.Incidents.Protocol(r.Context(), f.Me, id)
	if err != nil {
		return err
	}
	def, err := s.o.Incidents.Text(r.Context(), f.Me, id, r.URL.Query().Get("version"))
	if err != nil {
		return err
	}
	lang := told(f)
	f.Section, f.Title = "more", def.Title.In(lang)
	p := protocolPage{
		Frame: f, View: view, Def: def, Told: lang, Sections: protocol.Describe(def, lang), Chart: drawStates(protocol.Chart(def, lang), lang),
		Current: def.Hash == view.Current.Hash, Versions: versionRows(f, view.Versions),
	}
	if b, err := protocol.Lookup(id); err == nil && b.Hash != view.Current.Hash {
		p.Builtin = b
	}
	return s.render(w, r, http.StatusOK, "protocol", p)
}

// protocolFile is the definition's file, to be edited and proposed again.
func (s *Site) protocolFile(w http.ResponseWriter, r *http.Request, f *Frame) error {
	def, err := s.o.Incidents.Text(r.Context(), f.Me, r.PathValue("id"), r.URL.Query().Get("version"))
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/yaml; charset=utf-8")
	h.Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", def.ID+"-"+def.Version+".yaml"))
	_, _ = w.Write(def.Source) // the reader is gone if this fails
	return nil
}

type diffPage struct {
	*Frame
	View     incident.ProtocolView
	A, B     *protocol.Definition
	Told     string
	Rows     []protocol.Difference
	Versions []string
}

func (s *Site) protocolDiff(w http.ResponseWriter, r *http.Request, f *Frame) error {
	id, q := r.PathValue("id"), r.URL.Query()
	view, err := s.o.Incidents.Protocol(r.Context(), f.Me, id)
	if err != nil {
		return err
	}
	p := diffPage{Frame: f, View: view, Told: told(f)}
	if b, err := protocol.Lookup(id); err == nil {
		p.Versions = append(p.Versions, b.Version)
	}
	for _, v := range slices.Backward(view.Versions) {
		if !slices.Contains(p.Versions, v.Version) {
			p.Versions = append(p.Versions, v.Version)
		}
	}
	if p.A, err = s.o.Incidents.Text(r.Context(), f.Me, id, cmp.Or(q.Get("from"), p.Versions[0])); err != nil {
		return err
	}
	if p.B, err = s.o.Incidents.Text(r.Context(), f.Me, id, cmp.Or(q.Get("to"), p.Versions[len(p.Versions)-1])); err != nil {
		return err
	}
	p.Rows = protocol.Diff(p.A, p.B)
	f.Section, f.Title = "more", f.T("diff.title", "Protocol", id)
	return s.render(w, r, http.StatusOK, "protocoldiff", p)
}

type newVersionPage struct {
	*Frame
	form
	Source, Reason string
	From           string
	Wrong          []protocol.Mistake
	Checked        *protocol.Definition // the text has no mistakes
	Rows           []protocol.Difference
	Told           string
}

func (s *Site) newVersion(w http.ResponseWriter, r *http.Request, f *Frame) error {
	if err := canVote(f); err != nil {
		return err
	}
	p := newVersionPage{From: r.URL.Query().Get("from")}
	if p.From != "" {
		def, err := s.o.Incidents.Text(r.Context(), f.Me, p.From, "")
		if err != nil {
			return err
		}
		p.Source = string(def.Source)
	}
	return s.newVersionForm(w, r, f, http.StatusOK, form{}, p)
}

// canVote is Allow for a page that only leads to a decision: the proof of
// presence is asked for when the decision is sent.
func canVote(f *Frame) error {
	a := f.Me
	a.StepUp, a.For = f.Now, access.Vote
	return access.Allow(a, access.Vote, f.Now)
}

func (s *Site) newVersionForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, p newVersionPage) error {
	p.Frame, p.form, p.Told = f, m, told(f)
	f.Section, f.Form, f.Title = "more", true, f.T("version.new")
	f.mistaken(m)
	return s.render(w, r, status, "newversion", p)
}

func (s *Site) newVersionDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	if err := canVote(f); err != nil {
		return err
	}
	v := r.PostForm
	p := newVersionPage{Source: strings.ReplaceAll(v.Get("source"), "\r\n", "\n"), Reason: v.Get("reason"), From: v.Get("from")}
	def, wrong := protocol.Parse([]byte(p.Source))
	if len(wrong) > 0 {
		p.Wrong = wrong
		var fields problem.InvalidFields
		fields.Add("source", "%s", f.N("version.mistakes", len(wrong)))
		m, _ := f.mistakes(fields.Err())
		return s.newVersionForm(w, r, f, http.StatusUnprocessableEntity, m, p)
	}
	if v.Get("do") == "check" {
		p.Checked = def
		if cur, err := s.o.Incidents.Text(r.Context(), f.Me, def.ID, ""); err == nil {
			p.Rows = protocol.Diff(cur, def)
		}
		return s.newVersionForm(w, r, f, http.StatusOK, form{}, p)
	}
	ver, err := s.o.Incidents.ProposeVersion(r.Context(), f.Me, []byte(p.Source), p.Reason)
	if err != nil {
		m, ok := f.mistakes(err)
		if !ok {
			return err
		}
		return s.newVersionForm(w, r, f, http.StatusUnprocessableEntity, m, p)
	}
	return sent(w, r, "/protocols/"+ver.Protocol+"/versions/"+ver.Hash, "version")
}

type versionPage struct {
	*Frame
	form
	Row     versionRow
	Tally   protocol.Tally
	Rows    []protocol.Difference
	Told    string
	May     bool
	Mine    bool // my partner proposed it
	Digits  string
	Reason  string
	Running []string // incidents that run under another version, which they keep
	Waiting []partner.Partner
}

func (s *Site) protocolVersion(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.versionForm(w, r, f, http.StatusOK, form{})
}

func (s *Site) versionForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form) error {
	id, hash := r.PathValue("id"), r.PathValue("hash")
	view, err := s.o.Incidents.Protocol(r.Context(), f.Me, id)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(view.Versions, func(v incident.Version) bool { return v.Hash == hash })
	if i < 0 {
		return notFound(f.T("version.none"), f.T("version.none.fix"))
	}
	v := view.Versions[i]
	p := versionPage{
		Frame: f, form: m, Row: versionRows(f, view.Versions[i:i+1])[0], Tally: v.Tally(), Told: told(f), May: asks.MayVoteVersion(f.Me, f.Now, v),
		Mine: v.By.Partner == f.Me.Partner && v.State == incident.Voted, Digits: hash[len(hash)-4:], Reason: r.PostForm.Get("reason"),
	}
	b, err := s.o.Incidents.Text(r.Context(), f.Me, id, hash)
	if err != nil {
		return err
	}
	if v.Replaces != "" {
		a, err := s.o.Incidents.Text(r.Context(), f.Me, id, v.Replaces)
		if err != nil {
			return err
		}
		p.Rows = protocol.Diff(a, b)
	}
	open, _, err := s.o.Incidents.List(r.Context(), f.Me, incident.Query{States: []string{"notified", "assessing", "open"}, Limit: 100})
	if err != nil {
		return err
	}
	for _, inc := range open {
		if a := inc.Activations[id]; a.State.Running() && a.Hash != hash {
			p.Running = append(p.Running, inc.ID)
		}
	}
	all, err := s.o.Partners.List(r.Context(), f.Me)
	if err != nil && !denied(err) {
		return err
	}
	for _, o := range all {
		if v.State == incident.Voted && !o.Disabled && slices.Contains(v.Rule.Kinds, o.Kind) && !asks.Voted(v.Votes, o.ID) {
			p.Waiting = append(p.Waiting, o)
		}
	}
	f.Section, f.Form, f.Title = "more", true, f.T("version.title", "Protocol", id, "Version", v.Version)
	f.mistaken(m)
	return s.render(w, r, status, "version", p)
}

func (s *Site) versionDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v, hash := r.PostForm, r.PathValue("hash")
	path := "/protocols/" + r.PathValue("id") + "/versions/" + hash
	var err error
	switch r.PathValue("verb") {
	case "vote":
		if !sameDigits(v.Get("digits"), hash) {
			var fields problem.InvalidFields
			fields.Add("digits", "%s", f.T("confirm.error", "Digits", hash[max(0, len(hash)-4):]))
			err = fields.Err()
			break
		}
		_, err = s.o.Incidents.VoteVersion(r.Context(), f.Me, hash, protocol.VoteValue(v.Get("vote")), v.Get("reason"))
	case "withdraw":
		_, err = s.o.Incidents.WithdrawVersion(r.Context(), f.Me, hash, v.Get("reason"))
	default:
		return notFound(f.T("error.no_page"), f.T("error.no_page.fix"))
	}
	if err != nil {
		m, ok := f.mistakes(err)
		if !ok {
			return err
		}
		return s.versionForm(w, r, f, http.StatusUnprocessableEntity, m)
	}
	return sent(w, r, path, "version_vote")
}

// sameDigits compares the end of a file's digest, in any case.
func sameDigits(typed, hash string) bool {
	return len(hash) >= 4 && strings.EqualFold(strings.TrimSpace(asciiDigits(typed)), hash[len(hash)-4:])
}
