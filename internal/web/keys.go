package web

import (
	"html/template"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

// settings changes what is the reader's own: language and theme, kept in
// cookies of this browser.
func (s *Site) settings(w http.ResponseWriter, r *http.Request, f *Frame) error {
	f.Title, f.Section, f.Form = f.T("settings.title"), "more", true
	return s.render(w, r, http.StatusOK, "settings", struct{ *Frame }{f})
}

func (s *Site) settingsDo(w http.ResponseWriter, r *http.Request, _ *Frame) error {
	for name, allowed := range map[string]func(string) bool{
		cookieLang:  func(v string) bool { return names[v] != "" },
		cookieKeys:  func(v string) bool { return v == "on" || v == "off" },
		cookieTheme: func(v string) bool { return v == "light" || v == "dark" || v == "system" },
	} {
		if v := r.PostForm.Get(name); allowed(v) {
			s.cookie(w, name, v, 400*24*time.Hour)
		}
	}
	http.Redirect(w, r, "/settings?sent=settings", http.StatusSeeOther)
	return nil
}

type profilePage struct {
	*Frame
	form
	In   partner.Profile
	Mine []partner.Member // all that the reader may act as
}

func (s *Site) profile(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.profileForm(w, r, f, http.StatusOK, form{}, partner.Profile{Language: f.Member.Language, Zone: f.Member.Zone})
}

func (s *Site) profileForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, in partner.Profile) error {
	f.Title, f.Section, f.Form = f.T("profile.title"), "more", true
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	mine, err := s.o.Partners.Memberships(r.Context(), f.Me.Member)
	if err != nil {
		return err
	}
	return s.render(w, r, status, "profile", profilePage{f, m, in, mine})
}

func (s *Site) profileDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	p := r.PostForm
	if to := p.Get("act_for"); to != "" {
		return s.switchTo(w, r, to, "/?sent=switched")
	}
	in := partner.Profile{Language: p.Get("language"), Zone: p.Get("zone")}
	if err := s.o.Partners.SetProfile(r.Context(), f.Me, in); err != nil {
		m, ok := f.mistakes(err)
		if !ok {
			return err
		}
		return s.profileForm(w, r, f, http.StatusUnprocessableEntity, m, in)
	}
	s.cookie(w, cookieLang, in.Language, 400*24*time.Hour)
	http.Redirect(w, r, "/settings/profile?sent=settings", http.StatusSeeOther)
	return nil
}

// switchTo lets the session act as another membership of the reader.
func (s *Site) switchTo(w http.ResponseWriter, r *http.Request, member, next string) error {
	c, err := r.Cookie(cookieSession)
	if err != nil {
		return problem.New(problem.SignIn, "you are not signed in", "sign in again")
	}
	key, err := s.o.Partners.Switch(r.Context(), c.Value, member)
	if err != nil {
		return err
	}
	s.cookie(w, cookieSession, key, 0)
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

type keysPage struct {
	*Frame
	form
	Keys      partner.Keys
	Sessions  []partner.SessionInfo
	Tokens    []tokenRow
	Passkey   *partner.Ceremony // to add one
	Offer     partner.TOTPOffer
	Secret    string // of the offered authenticator, to type
	QR        template.URL
	Lines     []Line // what happened to the keys
	Elsewhere string
	Scopes    []access.TokenScope
	Text      string // of the token just made; shown this once
}

func (s *Site) keys(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.keysForm(w, r, f, http.StatusOK, form{}, "")
}

func (s *Site) keysForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, text string) error {
	ctx, by := r.Context(), f.Me
	f.Title, f.Section, f.Form, f.Script = f.T("keys.title"), "more", true, passkeyScript
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	page := keysPage{Frame: f, form: m, Text: text, Scopes: peopleScopes()}
	if s.o.OIDC != nil {
		page.Elsewhere = s.o.OIDC.Name()
	}
	var err error
	if page.Keys, err = s.o.Partners.Keys(ctx, by); err != nil {
		return err
	}
	if page.Sessions, err = s.o.Partners.Sessions(ctx, by, sessionKey(r)); err != nil {
		return err
	}
	tokens, err := s.o.Partners.OwnTokens(ctx, by)
	if err != nil {
		return err
	}
	page.Tokens = f.tokenRows(tokens, "/settings/keys")
	if page.Passkey, err = s.o.Partners.OfferPasskey(ctx, by); err != nil {
		return err
	}
	if page.Offer, err = s.o.Partners.OfferTOTP(ctx, by); err != nil {
		return err
	}
	page.Secret = page.Offer.Secret
	if page.QR, err = qr(page.Offer.URL); err != nil {
		return err
	}
	page.Lines, err = s.lines(ctx, f, journal.RowQuery{
		About: journal.Ref{Kind: partner.KindMember, ID: f.Member.Account()}, Newest: true, Limit: 20,
		Types: []string{"member.keys_changed", "member.signed_in", "member.enrolled", "member.sessions_ended", "member.changed"},
	}, 10)
	if err != nil {
		return err
	}
	return s.render(w, r, status, "keys", page)
}

// OwnKeys reports whether this is the page that tells of one's keys itself.
func (f *Frame) OwnKeys() bool {
	path, _, _ := strings.Cut(f.Path, "?")
	return path == "/settings/keys"
}

func sessionKey(r *http.Request) string {
	c, err := r.Cookie(cookieSession)
	if err != nil {
		return ""
	}
	return c.Value
}

// keysDo is every change of one's own keys: the button's name says which.
func (s *Site) keysDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	ctx, p, by, svc := r.Context(), r.PostForm, f.Me, s.o.Partners
	var sent, text string
	var codes []string
	var err error
	switch do := p.Get("do"); do {
	case "seen":
		sent, err = "keys_seen", svc.Seen(ctx, by)
	case "add_passkey":
		sent, err = "passkey_added", svc.AddPasskey(ctx, by, p.Get(fieldAdd), p.Get(fieldAdded), p.Get("name"))
	case "remove_passkey":
		sent, err = "passkey_removed", svc.RemovePasskey(ctx, by, p.Get("id"))
	case "set_password":
		codes, err = svc.SetPassword(ctx, by, sessionKey(r), p.Get("password"), p.Get("again"), p.Get("offer"), p.Get("code"))
	case "remove_password":
		sent, err = "password_removed", svc.RemovePassword(ctx, by)
	case "recovery":
		codes, err = svc.NewRecovery(ctx, by)
	case "unlink":
		sent, err = "link_removed", svc.Unlink(ctx, by, p.Get("id"))
	case "end_session":
		sent, err = "session_ended", svc.EndSession(ctx, by, p.Get("id"), "")
	case "end_others":
		sent, err = "session_ended", svc.EndSession(ctx, by, "", sessionKey(r))
	case "revoke":
		sent = "revoked"
		_, err = svc.RevokeToken(ctx, by, p.Get("revoke"))
	case "token":
		n := partner.NewToken{Name: p.Get("name"), Roles: by.Roles, Own: true}
		for _, sc := range p["scopes"] {
			n.Scopes = append(n.Scopes, access.TokenScope(sc))
		}
		if len(n.Scopes) == 0 {
			n.Scopes = []access.TokenScope{access.ScopeRead}
		}
		_, text, err = svc.CreateToken(ctx, by, n)
	default:
		return problem.New(problem.Invalid, "the form does not say what to do", "go back and press one of its buttons")
	}
	if err != nil {
		m, ok := f.mistakes(err)
		if !ok {
			return err
		}
		return s.keysForm(w, r, f, http.StatusUnprocessableEntity, m, "")
	}
	switch {
	case len(codes) > 0:
		return s.showCodes(w, r, f, codes, "/settings/keys")
	case text != "":
		return s.keysForm(w, r, f, http.StatusOK, form{}, text)
	}
	http.Redirect(w, r, "/settings/keys?sent="+sent, http.StatusSeeOther)
	return nil
}

// A new passkey's fields have names of their own: the step-up that comes
// before it is a passkey's too.
const (
	fieldAdd   = "new_ceremony"
	fieldAdded = "new_credential"
)

type memberRow struct {
	partner.MemberInfo
	Chip Chip
}

func (f *Frame) memberRow(m partner.MemberInfo) memberRow {
	row := memberRow{MemberInfo: m}
	switch st := m.State(f.Now); st {
	case "active":
		row.Chip = Chip{"ok", "ok", f.T("members.state.active")}
	case "invited":
		row.Chip = Chip{"info", "open", f.T("members.state.invited")}
	case "lapsed":
		row.Chip = Chip{"warn", "late", f.T("members.state.lapsed")}
	default:
		row.Chip = Chip{"", "done", f.T("members.state." + st)}
	}
	return row
}

type membersPage struct {
	*Frame
	form
	Members  []memberRow
	Requests []requestRow
	In       partner.NewMember
	Why      string
	Roles    []access.Role
	Link     string // of the invitation just made; shown this once
}

func (s *Site) members(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.membersForm(w, r, f, http.StatusOK, form{}, partner.NewMember{}, "")
}

func (s *Site) membersForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, in partner.NewMember, link string) error {
	asked, err := s.requestRows(r, f)
	if err != nil {
		return err
	}
	list, err := s.o.Partners.Roster(r.Context(), f.Me)
	if err != nil {
		return err
	}
	f.Section, f.Form, f.Title = "more", true, f.T("members.title")
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	asked = slices.DeleteFunc(asked, func(q requestRow) bool { return q.What() == partner.AsksPartner })
	page := membersPage{Frame: f, form: m, Requests: asked, In: in, Why: r.PostForm.Get("reason"), Roles: partner.MemberRoles(), Link: link}
	for _, i := range list {
		page.Members = append(page.Members, f.memberRow(i))
	}
	return s.render(w, r, status, "members", page)
}

func (s *Site) membersDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	v := r.PostForm
	in := partner.NewMember{Name: v.Get("name"), Email: v.Get("email"), Language: f.Lang(), Roles: rolesOf(r)}
	var q partner.Request
	var code string
	var err error
	if slices.Contains(in.Roles, access.Administrator) { // which two people decide
		q, err = s.o.Partners.AskForMember(r.Context(), f.Me, in, v.Get("reason"))
	} else {
		_, code, err = s.o.Partners.AddMember(r.Context(), f.Me, in)
	}
	if err != nil {
		m, ok := f.mistakes(err)
		if !ok {
			return err
		}
		return s.membersForm(w, r, f, http.StatusUnprocessableEntity, m, in, "")
	}
	if q.ID != "" {
		http.Redirect(w, r, "/admin/requests/"+q.ID+"?sent=request", http.StatusSeeOther)
		return nil
	}
	return s.membersForm(w, r, f, http.StatusOK, form{}, partner.NewMember{}, s.o.PublicURL+"/first/"+code)
}

type memberPage struct {
	*Frame
	form
	M     memberRow
	Roles []access.Role
	In    []access.Role // what the form has
	Why   string
	Link  string // of the invitation just made; shown this once
	Self  bool
}

// Admin reports whether what is done about this member takes two people.
func (p memberPage) Admin() bool { return slices.Contains(p.M.Roles, access.Administrator) }

func (s *Site) member(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.memberForm(w, r, f, http.StatusOK, form{}, "")
}

func (s *Site) memberForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, link string) error {
	list, err := s.o.Partners.Roster(r.Context(), f.Me)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(m partner.MemberInfo) bool { return m.ID == r.PathValue("id") })
	if i < 0 {
		return notFound(f.T("member.none"), f.T("member.none.fix"))
	}
	f.Section, f.Form, f.Title = "more", true, list[i].Name
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	in := list[i].Roles
	if r.PostForm.Has("roles") {
		in = rolesOf(r)
	}
	return s.render(w, r, status, "member", memberPage{
		Frame: f, form: m, M: f.memberRow(list[i]), Roles: partner.MemberRoles(), In: in, Why: r.PostForm.Get("reason"), Link: link, Self: list[i].ID == f.Me.Member,
	})
}

// rolesOf are the roles that the form has.
func rolesOf(r *http.Request) []access.Role {
	out := []access.Role{}
	for _, role := range r.PostForm["roles"] {
		out = append(out, access.Role(role))
	}
	return out
}

func (s *Site) memberDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	ctx, v, id, svc := r.Context(), r.PostForm, r.PathValue("id"), s.o.Partners
	list, err := svc.Roster(ctx, f.Me)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(m partner.MemberInfo) bool { return m.ID == id })
	if i < 0 {
		return notFound(f.T("member.none"), f.T("member.none.fix"))
	}
	m, to := list[i], "/admin/members/"+id
	var c partner.Change
	var q partner.Request
	var link string
	switch v.Get("do") {
	case "roles":
		c.Roles = rolesOf(r)
		to += "?sent=roles"
	case "disable":
		if m.Enrolled && !sameText(v.Get("typed"), m.Name) {
			return s.memberForm(w, r, f, http.StatusUnprocessableEntity, f.wrong(problem.Field{Name: "typed", Detail: f.T("member.disable.type", "Name", m.Name)}), "")
		}
		c.Disable, c.Edges = true, v.Get("edges") == "yes"
		to += "?sent=disabled"
	case "enable":
		c.Enable = true
		to += "?sent=enabled"
	case "invite":
		if slices.Contains(m.Roles, access.Administrator) {
			q, err = svc.AskForCode(ctx, f.Me, id, v.Get("reason"))
			break
		}
		var code string
		code, err = svc.Invite(ctx, f.Me, id)
		link = s.o.PublicURL + "/first/" + code
	case "end_sessions":
		_, err = svc.EndMemberSessions(ctx, f.Me, id)
		to += "?sent=session_ended"
	default:
		return problem.New(problem.Invalid, "the form does not say what to do", "go back and press one of its buttons")
	}
	switch {
	case m.TakesTwo(c):
		q, err = svc.AskToChange(ctx, f.Me, id, c, v.Get("reason"))
	case c.Roles != nil || c.Disable || c.Enable:
		_, err = svc.ChangeMember(ctx, f.Me, id, c)
	}
	if err != nil {
		if m, ok := f.mistakes(err); ok {
			return s.memberForm(w, r, f, http.StatusUnprocessableEntity, m, "")
		}
		return err
	}
	if link != "" {
		return s.memberForm(w, r, f, http.StatusOK, form{}, link)
	}
	if q.ID != "" {
		to = "/admin/requests/" + q.ID + "?sent=request"
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

type glassPage struct {
	*Frame
	form
	Object, Why string
	Used        []glassRow
	May         bool
}

type glassRow struct {
	partner.Glass
	Who  string
	Open bool
	Href string // for its holder, while it is open
}

func (s *Site) glass(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.glassForm(w, r, f, http.StatusOK, form{}, r.URL.Query().Get("object"), "")
}

func (s *Site) glassForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, object, why string) error {
	list, err := s.o.Partners.Glasses(r.Context(), f.Me)
	if err != nil {
		return err
	}
	f.Section, f.Form, f.Title = "more", true, f.T("glass.title")
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	page := glassPage{Frame: f, form: m, Object: object, Why: why, May: f.Can(string(access.BreakGlass))}
	for _, g := range list {
		row := glassRow{Glass: g, Who: f.Name(g.Partner), Open: f.Now.Before(g.Until)}
		if row.Open && g.Member == f.Me.Member {
			row.Href = "/" + g.Object.Kind + "s/" + g.Object.ID
		}
		page.Used = append(page.Used, row)
	}
	return s.render(w, r, status, "glass", page)
}

func (s *Site) glassDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	object, why := r.PostForm.Get("object"), r.PostForm.Get("reason")
	g, err := s.o.Partners.BreakGlass(r.Context(), f.Me, objectOf(object), why)
	if err != nil {
		m, ok := f.mistakes(err)
		if !ok {
			return err
		}
		return s.glassForm(w, r, f, http.StatusUnprocessableEntity, m, object, why)
	}
	http.Redirect(w, r, "/"+g.Object.Kind+"s/"+g.Object.ID+"?sent=glass", http.StatusSeeOther)
	return nil
}

// objectOf reads the number of an incident or a signal.
func objectOf(number string) journal.Ref {
	number = strings.ToUpper(strings.TrimSpace(number))
	kind := "incident"
	if strings.HasPrefix(number, "S-") {
		kind = "signal"
	}
	return journal.Ref{Kind: kind, ID: number}
}

// sameText compares what was typed with what was asked for, as people do.
func sameText(typed, want string) bool {
	return strings.EqualFold(strings.Join(strings.Fields(typed), " "), strings.Join(strings.Fields(want), " "))
}

// peopleScopes are the scopes of tokens that are no edge's.
func peopleScopes() []access.TokenScope {
	return slices.DeleteFunc(access.TokenScopes(), func(s access.TokenScope) bool { return s == access.ScopeFeed })
}

// tokenRows lists tokens; from is the page that they are revoked on.
func (f *Frame) tokenRows(list []partner.Token, from string) []tokenRow {
	var out []tokenRow
	for _, t := range list {
		state := t.State(f.Now)
		out = append(out, tokenRow{t, f.Chip(map[string]string{"active": "current", "expired": "expired", "revoked": "withdrawn"}[state]), from})
	}
	return out
}
