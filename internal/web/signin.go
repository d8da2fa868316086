package web

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"image/png"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/pquerna/otp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/oidc"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

// form is the part of a page that shows mistakes of input.
type form struct {
	Errors  []problem.Field
	Refused *problem.Error // somebody was faster: why it was not taken
	Changed []Line         // and what they changed
	Typed   []Typed        // what the reader had written
	word    string         // before what is wrong with a field: "Error"
}

// wrong is a form with mistakes at its fields.
func (f *Frame) wrong(list ...problem.Field) form {
	return form{Errors: list, word: f.T("form.error")}
}

// Error returns what is wrong with a field, with the word Error before it, or "".
func (f form) Error(name string) string {
	for _, e := range f.Errors {
		if e.Name == name {
			return f.word + ": " + sentence(e.Detail)
		}
	}
	return ""
}

// mistakes returns the fields of a problem of input. ok is false for any other
// error, which is a page of its own.
func (f *Frame) mistakes(err error) (form, bool) {
	p, ok := errors.AsType[*problem.Error](err)
	if !ok || p.Kind != problem.Invalid {
		return form{}, false
	}
	p = f.problem(p)
	if len(p.Fields) == 0 {
		return f.wrong(problem.Field{Name: "main", Detail: p.Detail}), true
	}
	return f.wrong(p.Fields...), true
}

// passkeyScript is the only script that a ceremony needs; pages without one do
// without it.
const passkeyScript = "passkey.js"

// Names of the fields that passkeys and step-up add to a form. They begin with
// a line, so that they never meet a field of the form that they are added to.
const (
	fieldCeremony   = "_ceremony"
	fieldCredential = "_credential"
	fieldCode       = "_code"
	fieldFor        = "_for"
	fieldTo         = "_to"
)

type signInPage struct {
	*Frame
	form
	Email, Next string
	Passkey     *partner.Ceremony
	Elsewhere   string // name of the OpenID provider; "" for none
}

func (s *Site) signIn(w http.ResponseWriter, r *http.Request, f *Frame) error {
	next := local(r.URL.Query().Get("next"))
	if f.SignedIn() {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return nil
	}
	return s.signInForm(w, r, f, http.StatusOK, form{}, "", next)
}

func (s *Site) signInForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form, email, next string) error {
	f.Title, f.Form, f.Script = f.T("signin.title"), true, passkeyScript
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	page := signInPage{Frame: f, form: m, Email: email, Next: next}
	if s.o.OIDC != nil {
		page.Elsewhere = s.o.OIDC.Name()
	}
	var err error
	if page.Passkey, err = s.o.Partners.AskPasskey(); err != nil {
		return err
	}
	return s.render(w, r, status, "signin", page)
}

func (s *Site) signInDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	p := r.PostForm
	next := local(p.Get("next"))
	var in partner.SignedIn
	var err error
	if p.Get(fieldCredential) != "" {
		in, err = s.o.Partners.SignInPasskey(r.Context(), p.Get(fieldCeremony), p.Get(fieldCredential), client(r))
	} else {
		in, err = s.o.Partners.SignIn(r.Context(), p.Get("email"), p.Get("password"), p.Get("code"), client(r))
	}
	if err != nil {
		m, ok := f.mistakes(err)
		if !ok {
			return err
		}
		return s.signInForm(w, r, f, http.StatusUnprocessableEntity, m, p.Get("email"), next)
	}
	s.setSession(w, in)
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

// client is the browser that asks.
func client(r *http.Request) partner.Client {
	c := partner.Client{Addr: host(r), Agent: r.UserAgent()}
	if k, err := r.Cookie(cookieDevice); err == nil && len(k.Value) <= 64 {
		c.Device = k.Value
	}
	return c
}

func (s *Site) setSession(w http.ResponseWriter, in partner.SignedIn) {
	s.cookie(w, cookieSession, in.Key, 0)
	if in.Device != "" {
		s.cookie(w, cookieDevice, in.Device, partner.DeviceLife)
	}
}

// cookie sets a cookie that scripts cannot read; life 0 is until the browser
// closes, less removes it.
func (s *Site) cookie(w http.ResponseWriter, name, value string, life time.Duration) {
	age := int(life.Seconds())
	if life < 0 {
		age = -1
	}
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: s.o.Secure, SameSite: http.SameSiteLaxMode})
}

func (s *Site) signOut(w http.ResponseWriter, r *http.Request, _ *Frame) error {
	if c, err := r.Cookie(cookieSession); err == nil {
		if err := s.o.Partners.SignOut(r.Context(), c.Value); err != nil {
			return err
		}
	}
	s.cookie(w, cookieSession, "", -1)
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
	return nil
}

type firstPage struct {
	*Frame
	form
	Enrolment partner.Enrolment
	Secret    string // of the authenticator, to type
	QR        template.URL
	Action    string
}

func (s *Site) first(w http.ResponseWriter, r *http.Request, f *Frame) error {
	return s.firstForm(w, r, f, http.StatusOK, form{})
}

func (s *Site) firstForm(w http.ResponseWriter, r *http.Request, f *Frame, status int, m form) error {
	en, err := s.o.Partners.Begin(r.Context(), r.PathValue("code"))
	if err != nil {
		return err
	}
	page := firstPage{Frame: f, form: m, Enrolment: en, Secret: en.Secret, Action: r.URL.Path}
	if page.QR, err = qr(en.URL); err != nil {
		return err
	}
	f.Title, f.Form, f.Script = f.T("first.title", "Name", en.Member.Name), true, passkeyScript
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	return s.render(w, r, status, "first", page)
}

// qr draws an otpauth address; "" stays without a picture.
func qr(address string) (template.URL, error) {
	if address == "" {
		return "", nil
	}
	key, err := otp.NewKeyFromURL(address)
	if err != nil {
		return "", fmt.Errorf("drawing a QR code: %w", err)
	}
	img, err := key.Image(200, 200)
	if err != nil {
		return "", fmt.Errorf("drawing a QR code: %w", err)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		return "", fmt.Errorf("drawing a QR code: %w", err)
	}
	return template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())), nil //nolint:gosec // our own picture
}

func (s *Site) firstDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	p, code := r.PostForm, r.PathValue("code")
	if p.Has("join") {
		m, err := s.o.Partners.Join(r.Context(), f.Me, code)
		if err != nil {
			return err
		}
		return s.switchTo(w, r, m.ID, "/?sent=joined")
	}
	var in partner.SignedIn
	var codes []string
	var err error
	if p.Get(fieldCredential) != "" {
		in, err = s.o.Partners.EnrolPasskey(r.Context(), code, p.Get(fieldCeremony), p.Get(fieldCredential), p.Get("name"), client(r))
	} else {
		in, codes, err = s.o.Partners.Enrol(r.Context(), code, p.Get("password"), p.Get("again"), p.Get("code"), client(r))
	}
	if err != nil {
		if m, ok := f.mistakes(err); ok {
			return s.firstForm(w, r, f, http.StatusUnprocessableEntity, m)
		}
		return err
	}
	s.setSession(w, in)
	if len(codes) > 0 {
		return s.showCodes(w, r, f, codes, "/")
	}
	http.Redirect(w, r, "/settings/keys?sent=first_passkey", http.StatusSeeOther)
	return nil
}

// showCodes shows new recovery codes, this once.
func (s *Site) showCodes(w http.ResponseWriter, r *http.Request, f *Frame, codes []string, next string) error {
	f.Title, f.Form = f.T("codes.title"), true
	return s.render(w, r, http.StatusOK, "codes", struct {
		*Frame
		Codes []string
		Next  string
	}{f, codes, next})
}

type field struct{ Name, Value string }

type stepUpPage struct {
	*Frame
	form
	Do     string  // the action
	What   string  // in words
	Object string  // the request that waits, and nothing else: partner.RequestOf
	About  string  // its page
	Typed  []Typed // what the person wrote there
	Proof  partner.Proof
	To     string  // where the form that waits is sent; "" for none
	Fields []field // of that form
	Next   string  // where to go without one, and on Go back
}

// originalForm is a form without what a step-up added to it.
func originalForm(v url.Values) url.Values {
	out := make(url.Values, len(v))
	for name, values := range v {
		if !slices.Contains([]string{fieldCeremony, fieldCredential, fieldCode, fieldFor, fieldTo}, name) {
			out[name] = values
		}
	}
	return out
}

// requestOf names what is done by a form: its page, and every field but those
// that a step-up adds and those that tell one sending from the next.
func requestOf(method, uri string, form url.Values) string {
	form = originalForm(form)
	delete(form, "_key")
	delete(form, "_next")
	return partner.RequestOf(method, uri, form.Encode())
}

// object names the request, for the proof that may wait for it.
func object(r *http.Request) string {
	if r.Method == http.MethodGet && r.URL.Path == "/oidc/callback" {
		return carried(r.URL.Query().Get("state"))
	}
	return requestOf(r.Method, r.URL.RequestURI(), r.PostForm)
}

// carried names the way back from a sign-in elsewhere.
func carried(state string) string { return partner.RequestOf("OIDC", state, "") }

// askStepUp asks for a fresh proof of presence in place of what was refused
// without it. A form that was sent waits in the page and is sent on, so that
// nothing that was typed is lost.
func (s *Site) askStepUp(w http.ResponseWriter, r *http.Request, f *Frame, p *problem.Error, back string) {
	if r.Method != http.MethodPost {
		http.Redirect(w, r, "/step-up?for="+url.QueryEscape(p.For)+"&next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
		return
	}
	page := stepUpPage{Frame: f, Do: p.For, Object: object(r), To: r.URL.RequestURI(), Typed: typed(r), Fields: fields(originalForm(r.PostForm)), Next: back}
	if err := s.stepUpForm(w, r, http.StatusForbidden, page); err != nil {
		s.fail(w, r, f, err)
	}
}

func fields(v url.Values) []field {
	var out []field
	for name, values := range v {
		for _, value := range values {
			out = append(out, field{name, value})
		}
	}
	slices.SortStableFunc(out, func(a, b field) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (s *Site) stepUpForm(w http.ResponseWriter, r *http.Request, status int, page stepUpPage) error {
	c, err := r.Cookie(cookieSession)
	if err != nil {
		return problem.New(problem.SignIn, "you are not signed in", "sign in again")
	}
	if page.Proof, err = s.o.Partners.Prove(r.Context(), c.Value, access.Action(page.Do), page.Object); err != nil {
		return err
	}
	f := page.Frame
	page.About, _, _ = strings.Cut(cmp.Or(page.To, page.Next), "?")
	page.What = access.What(access.Action(page.Do))
	if id := "stepup.for." + page.Do; f.word.has(id) {
		page.What = f.T(id)
	}
	f.Title, f.Form, f.Script = f.T("stepup.title"), true, passkeyScript
	if len(page.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	return s.render(w, r, status, "stepup", page)
}

func (s *Site) stepUp(w http.ResponseWriter, r *http.Request, f *Frame) error {
	q := r.URL.Query()
	if q.Get("for") == "" { // nothing waits for a proof
		http.Redirect(w, r, local(q.Get("next")), http.StatusSeeOther)
		return nil
	}
	next := local(q.Get("next"))
	return s.stepUpForm(w, r, http.StatusOK, stepUpPage{Frame: f, Do: q.Get("for"), Object: requestOf(http.MethodGet, next, nil), Next: next})
}

func (s *Site) stepUpDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	c, err := r.Cookie(cookieSession)
	if err != nil {
		return problem.New(problem.SignIn, "you are not signed in", "sign in again")
	}
	p := r.PostForm
	do, to, next := access.Action(p.Get(fieldFor)), "", local(p.Get("_next"))
	what := requestOf(http.MethodGet, next, nil)
	if p.Get(fieldTo) != "" {
		to = local(p.Get(fieldTo))
		what = requestOf(http.MethodPost, to, p)
	}
	if p.Get(fieldCredential) != "" {
		err = s.o.Partners.StepUpPasskey(r.Context(), c.Value, do, what, p.Get(fieldCeremony), p.Get(fieldCredential))
	} else {
		err = s.o.Partners.StepUpCode(r.Context(), c.Value, do, what, p.Get(fieldCode))
	}
	if err != nil {
		m, ok := f.mistakes(err)
		if !ok {
			return err
		}
		page := stepUpPage{Frame: f, form: m, Do: string(do), Object: what, To: to, Typed: typed(r), Fields: fields(originalForm(p)), Next: next}
		return s.stepUpForm(w, r, http.StatusUnprocessableEntity, page)
	}
	if to != "" {
		// The form that waited is sent on as it was (RFC 9110, 15.4.8).
		http.Redirect(w, r, to, http.StatusTemporaryRedirect)
		return nil
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

// The sign-in elsewhere.

const (
	flowLife = 10 * time.Minute
	flowLink = "link"
)

type flow struct {
	oidc.Flow
	Next string `json:"next"`
	Do   string `json:"do,omitempty"` // "link": add the identity to who is signed in
}

func (s *Site) elsewhere(w http.ResponseWriter, r *http.Request, f *Frame) error {
	if s.o.OIDC == nil {
		return notFound(f.T("error.no_page"), f.T("error.no_page.fix"))
	}
	fl := flow{Next: local(r.URL.Query().Get("next"))}
	if r.URL.Query().Get("do") == flowLink {
		if err := access.Allow(f.Me, access.ChangeKeys, s.o.Now()); err != nil {
			return err // with a step-up first, so that it holds when the answer comes
		}
		fl.Do = flowLink
	}
	to, begun, err := s.o.OIDC.Begin(r.Context())
	if err != nil {
		return err
	}
	fl.Flow = begun
	if c, err := r.Cookie(cookieSession); err == nil && fl.Do == flowLink {
		if err := s.o.Partners.Carry(r.Context(), c.Value, f.Me, access.ChangeKeys, carried(begun.State)); err != nil {
			return err
		}
	}
	doc, err := json.Marshal(fl)
	if err != nil {
		return fmt.Errorf("writing a sign-in elsewhere: %w", err)
	}
	s.cookie(w, cookieFlow, base64.RawURLEncoding.EncodeToString(doc), flowLife)
	http.Redirect(w, r, to, http.StatusSeeOther)
	return nil
}

func (s *Site) elsewhereDone(w http.ResponseWriter, r *http.Request, f *Frame) error {
	if s.o.OIDC == nil {
		return notFound(f.T("error.no_page"), f.T("error.no_page.fix"))
	}
	var fl flow
	if c, err := r.Cookie(cookieFlow); err == nil {
		if doc, err := base64.RawURLEncoding.DecodeString(c.Value); err == nil {
			_ = json.Unmarshal(doc, &fl) // what does not fit is refused for its state
		}
	}
	s.cookie(w, cookieFlow, "", -1)
	id, err := s.o.OIDC.Finish(r.Context(), fl.Flow, r.URL.Query())
	if err != nil {
		return err
	}
	who := partner.Identity(id)
	if fl.Do == flowLink {
		if err := s.o.Partners.LinkOIDC(r.Context(), f.Me, who); err != nil {
			return err
		}
		http.Redirect(w, r, "/settings/keys?sent=link_added", http.StatusSeeOther)
		return nil
	}
	in, err := s.o.Partners.SignInOIDC(r.Context(), who, client(r))
	if err != nil {
		return err
	}
	s.setSession(w, in)
	http.Redirect(w, r, local(fl.Next), http.StatusSeeOther)
	return nil
}

// open signs in with a demo's link, which works on loopback only.
func (s *Site) open(w http.ResponseWriter, r *http.Request, _ *Frame) error {
	if err := loopback(r); err != nil {
		return err
	}
	key, err := s.o.Partners.Open(r.Context(), r.PathValue("code"))
	if err != nil {
		return err
	}
	s.setSession(w, partner.SignedIn{Key: key})
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

func loopback(r *http.Request) error {
	ip := net.ParseIP(host(r))
	if ip == nil || !ip.IsLoopback() || r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" {
		return problem.New(problem.NotFound, "this link works only on the machine that runs the demo", "open it there")
	}
	return nil
}

// asciiDigits accepts the digits of any script.
func asciiDigits(s string) string { return partner.Digits(s) }
