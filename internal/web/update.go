package web

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

type updatePage struct {
	*Frame
	form
	Inc       incident.Incident
	In        incident.NewUpdate
	Template  map[string]string // of an update, by language
	Audiences []audienceChoice
	Main      []langText // the languages that are always there
	More      []langText // the others
	Correct   *updateView
	Preview   *updateView
	Sees      []partner.Partner // of the chosen audience
	Public    bool              // everyone reads the chosen audience's: two people
	Digits    string
	DraftAt   time.Time
	DraftBy   string
}

// audienceChoice is whom an update may address.
type audienceChoice struct {
	Name    string
	TLP     access.TLP
	Readers []string
	Public  bool // everyone reads it, partner or not
}

// mainLanguages are those in which an update always can be written at once.
var mainLanguages = []string{"en", "id"}

func (s *Site) update(w http.ResponseWriter, r *http.Request, f *Frame) error {
	in := incident.NewUpdate{Audience: "partners", Texts: map[string]string{}}
	in.Corrects, _ = strconv.Atoi(r.URL.Query().Get("corrects")) // none: no correction
	p := updatePage{}
	if d, ok, err := s.o.Incidents.Draft(r.Context(), f.Me, r.PathValue("id")); err != nil {
		return err
	} else if ok && (r.URL.Query().Has("draft") || in.Corrects == 0) {
		in, p.DraftAt, p.DraftBy = d.NewUpdate, d.At, d.Member
	}
	return s.updateForm(w, r, f, http.StatusOK, form{}, in, p)
}

func (s *Site) updateForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, in incident.NewUpdate, p updatePage) error {
	inc, err := s.load(r, f)
	if err != nil {
		return err
	}
	if err := access.Allow(f.Me, access.PostUpdate, s.o.Now()); err != nil {
		return err
	}
	def, err := s.o.Incidents.Leading(r.Context(), inc)
	if err != nil {
		return err
	}
	p.Frame, p.form, p.Inc, p.In, p.Digits = f, m, inc, in, digits(inc.ID)
	p.In.Audience = cmp.Or(in.Audience, "partners")
	a := inc.Activations[def.ID]
	level := a.Level
	p.Template = map[string]string{}
	for _, l := range mainLanguages {
		if x, ok := def.Level(a.Level); ok {
			level = x.Title.In(l)
		}
		p.Template[l] = protocol.Fill(def.Templates.Update.In(l), map[string]string{
			"number": inc.ID, "title": inc.Title, "level": level, "protocol": def.ID, "lead": f.Name(inc.Lead()),
			"since": clockOr(a.ActiveSince), "sunset": clockOr(a.Sunset), "next_update": f.Now.Add(time.Hour).Format("15:04") + " UTC",
		})
	}
	all, err := s.o.Partners.List(r.Context(), f.Me)
	if err != nil {
		return err
	}
	for _, c := range []audienceChoice{{Name: "partners", TLP: def.Audiences.Partners}, {Name: "observers", TLP: def.Audiences.Observers}, {Name: "public", TLP: def.Audiences.Public}} {
		if c.Name == "partners" && c.TLP.Wider(inc.Audience.TLP) {
			c.TLP = inc.Audience.TLP
		}
		if c.Name == "public" && c.Name != p.In.Audience && !incident.MayPublish(def, f.Me) {
			continue
		}
		if c.Name == p.In.Audience && in.TLP != "" {
			if t, err := access.ParseTLP(in.TLP); err == nil {
				c.TLP = t
			}
		}
		aud := inc.Addressed(c.TLP, f.Me.Partner)
		c.Public = aud.Sees(access.Actor{})
		if c.Name == p.In.Audience {
			p.Public = c.Public
		}
		for _, o := range all {
			if !o.Disabled && aud.SeenBy(o.ID, o.Kind) {
				c.Readers = append(c.Readers, o.Name)
				if c.Name == p.In.Audience {
					p.Sees = append(p.Sees, o)
				}
			}
		}
		p.Audiences = append(p.Audiences, c)
		if p.Preview != nil && c.Name == p.In.Audience {
			p.Preview.Audience.TLP = c.TLP
		}
	}
	for _, l := range mainLanguages {
		p.Main = append(p.Main, langText{l, names[l], in.Texts[l]})
	}
	for _, l := range slices.Sorted(maps.Keys(names)) {
		if !slices.Contains(mainLanguages, l) {
			p.More = append(p.More, langText{l, names[l], in.Texts[l]})
		}
	}
	for _, u := range updateViews(f, inc) {
		if u.Number == in.Corrects {
			p.Correct = &u
		}
	}
	f.Form, f.Title = true, f.T("update.title", "Incident", inc.ID)
	f.mistaken(m)
	return s.render(w, r, status, "update", p)
}

// MoreOpen reports whether a text in one of the other languages is there.
func (p updatePage) MoreOpen() bool {
	return slices.ContainsFunc(p.More, func(t langText) bool { return t.Text != "" })
}

// TLPs are the labels that can be chosen.
func (p updatePage) TLPs() []access.TLP { return access.TLPs() }

func clockOr(t time.Time) string {
	if t.IsZero() {
		return "?"
	}
	return t.UTC().Format("2 Jan, 15:04") + " UTC"
}

func (s *Site) updateDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v, id := r.PostForm, r.PathValue("id")
	in := incident.NewUpdate{Audience: v.Get("audience"), TLP: v.Get("tlp"), Texts: map[string]string{}, Reason: v.Get("reason")}
	for l := range names {
		if t := strings.TrimSpace(v.Get(l)); t != "" {
			in.Texts[l] = v.Get(l)
		}
	}
	in.Corrects, _ = strconv.Atoi(v.Get("corrects")) // none: no correction
	switch v.Get("do") {
	case "draft":
		if _, err := s.o.Incidents.SaveDraft(r.Context(), f.Me, id, in); err != nil {
			return s.updateAgain(w, r, f, id, in, err)
		}
		return sent(w, r, "/incidents/"+id+"/updates", "draft")
	case "change":
		return s.updateForm(w, r, f, http.StatusOK, form{}, in, updatePage{})
	}
	var err error
	if len(in.Texts) == 0 {
		var fields problem.InvalidFields
		fields.Add("texts", "%s", f.T("update.texts.error"))
		err = fields.Err()
	}
	public := false
	if err == nil {
		public, err = s.o.Incidents.IsPublic(r.Context(), f.Me, id, in)
	}
	if err == nil && (v.Get("do") == "preview" || public && !v.Has("digits")) {
		p := updatePage{Preview: &updateView{Update: incident.Update{Texts: in.Texts, Name: cmp.Or(in.Audience, "partners"), Corrects: in.Corrects}, Langs: langTexts(f, in.Texts)}}
		return s.updateForm(w, r, f, http.StatusOK, form{}, in, p)
	}
	if err == nil && public { // it cannot be unseen
		if err = confirm(f, v.Get("digits"), id); err != nil && strings.TrimSpace(in.Reason) == "" { // both at once
			var fields problem.InvalidFields
			fields.Add("reason", "%s", f.T("statement.why.error"))
			fields.Add("digits", "%s", f.T("confirm.error", "Digits", digits(id)))
			err = fields.Err()
		}
	}
	var inc incident.Incident
	if err == nil {
		inc, err = s.o.Incidents.PostUpdate(seen(r), f.Me, id, in)
	}
	if err != nil {
		return s.updateAgain(w, r, f, id, in, err)
	}
	if public {
		return sent(w, r, fmt.Sprintf("/incidents/%s/statements/%d", inc.ID, len(inc.Statements)), "statement")
	}
	return sent(w, r, "/incidents/"+inc.ID, "update")
}

func (s *Site) updateAgain(w http.ResponseWriter, r *http.Request, f *Frame, id string, in incident.NewUpdate, err error) error {
	m, status, ok := s.again(r, f, id, err)
	if !ok {
		return err
	}
	p := updatePage{}
	if m.Error("digits") != "" || m.Error("reason") != "" {
		p.Preview = &updateView{Update: incident.Update{Texts: in.Texts, Name: in.Audience, Corrects: in.Corrects}, Langs: langTexts(f, in.Texts)}
	}
	return s.updateForm(w, r, f, status, m, in, p)
}

// NextNumber is the number that the update will have.
func (p updatePage) NextNumber() int { return len(p.Inc.Updates) + 1 }
