package web

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"image/png"
	"net"
	"net/http"
	"time"

	"github.com/pquerna/otp"

	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

// form is the part of a page that shows mistakes of input.
type form struct {
	Errors  []problem.Field
	Refused *problem.Error // somebody was faster: why it was not taken
	Changed []Line         // and what they changed
	Typed   []Typed        // what the reader had written
}

// Error returns what is wrong with a field, or "".
func (f form) Error(name string) string {
	for _, e := range f.Errors {
		if e.Name == name {
			return e.Detail
		}
	}
	return ""
}

// mistakes returns the fields of a problem of input. ok is false for any other
// error, which is a page of its own.
func mistakes(err error) (form, bool) {
	p, ok := errors.AsType[*problem.Error](err)
	if !ok || p.Kind != problem.Invalid {
		return form{}, false
	}
	if len(p.Fields) == 0 {
		return form{Errors: []problem.Field{{Name: "main", Detail: p.Detail}}}, true
	}
	return form{Errors: p.Fields}, true
}

type signInPage struct {
	*Frame
	form
	Email, Next string
}

func (s *Site) signIn(w http.ResponseWriter, r *http.Request, f *Frame) error {
	next := local(r.URL.Query().Get("next"))
	if f.SignedIn() {
		http.Redirect(w, r, next, http.StatusSeeOther)
		return nil
	}
	f.Title, f.Form = f.T("signin.title"), true
	return s.render(w, r, http.StatusOK, "signin", signInPage{Frame: f, Next: next})
}

func (s *Site) signInDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	p := r.PostForm
	next := local(p.Get("next"))
	key, err := s.o.Partners.SignIn(r.Context(), p.Get("email"), p.Get("password"), p.Get("code"), host(r))
	if err != nil {
		m, ok := mistakes(err)
		if !ok {
			return err
		}
		f.Title, f.Form = f.T("form.title", "Title", f.T("signin.title")), true
		return s.render(w, r, http.StatusUnprocessableEntity, "signin", signInPage{f, m, p.Get("email"), next})
	}
	s.setSession(w, key)
	http.Redirect(w, r, next, http.StatusSeeOther)
	return nil
}

func (s *Site) setSession(w http.ResponseWriter, key string) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieSession, Value: key, Path: "/", HttpOnly: true, Secure: s.o.Secure, SameSite: http.SameSiteLaxMode,
	})
}

func (s *Site) signOut(w http.ResponseWriter, r *http.Request, _ *Frame) error {
	if c, err := r.Cookie(cookieSession); err == nil {
		if err := s.o.Partners.SignOut(r.Context(), c.Value); err != nil {
			return err
		}
	}
	http.SetCookie(w, &http.Cookie{Name: cookieSession, Path: "/", MaxAge: -1, HttpOnly: true, Secure: s.o.Secure, SameSite: http.SameSiteLaxMode})
	http.Redirect(w, r, "/sign-in", http.StatusSeeOther)
	return nil
}

type firstPage struct {
	*Frame
	form
	Enrolment partner.Enrolment
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
	page := firstPage{Frame: f, form: m, Enrolment: en, Action: r.URL.Path}
	if key, err := otp.NewKeyFromURL(en.URL); err == nil {
		if img, err := key.Image(200, 200); err == nil {
			var b bytes.Buffer
			if err := png.Encode(&b, img); err != nil {
				return fmt.Errorf("drawing a QR code: %w", err)
			}
			page.QR = template.URL("data:image/png;base64," + base64.StdEncoding.EncodeToString(b.Bytes())) //nolint:gosec // our own picture
		}
	}
	f.Title, f.Form = f.T("first.title", "Name", en.Member.Name), true
	if len(m.Errors) > 0 {
		f.Title = f.T("form.title", "Title", f.Title)
	}
	return s.render(w, r, status, "first", page)
}

func (s *Site) firstDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	p := r.PostForm
	key, err := s.o.Partners.Enrol(r.Context(), r.PathValue("code"), p.Get("password"), p.Get("again"), p.Get("code"))
	if err != nil {
		if m, ok := mistakes(err); ok {
			return s.firstForm(w, r, f, http.StatusUnprocessableEntity, m)
		}
		return err
	}
	s.setSession(w, key)
	http.Redirect(w, r, "/", http.StatusSeeOther)
	return nil
}

type stepUpPage struct {
	*Frame
	form
	Next string
}

func (s *Site) stepUp(w http.ResponseWriter, r *http.Request, f *Frame) error {
	f.Title, f.Form = f.T("stepup.title"), true
	return s.render(w, r, http.StatusOK, "stepup", stepUpPage{Frame: f, Next: local(r.URL.Query().Get("next"))})
}

func (s *Site) stepUpDo(w http.ResponseWriter, r *http.Request, f *Frame) error {
	c, err := r.Cookie(cookieSession)
	if err != nil {
		return problem.New(problem.SignIn, "you are not signed in", "sign in again")
	}
	next := local(r.PostForm.Get("next"))
	if err := s.o.Partners.StepUp(r.Context(), c.Value, r.PostForm.Get("code")); err != nil {
		m, ok := mistakes(err)
		if !ok {
			return err
		}
		f.Title, f.Form = f.T("form.title", "Title", f.T("stepup.title")), true
		return s.render(w, r, http.StatusUnprocessableEntity, "stepup", stepUpPage{f, m, next})
	}
	http.Redirect(w, r, next, http.StatusSeeOther)
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
	s.setSession(w, key)
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
			http.SetCookie(w, &http.Cookie{Name: name, Value: v, Path: "/", MaxAge: int((400 * 24 * time.Hour).Seconds()), HttpOnly: true, Secure: s.o.Secure, SameSite: http.SameSiteLaxMode})
		}
	}
	http.Redirect(w, r, "/settings?sent=settings", http.StatusSeeOther)
	return nil
}

// asciiDigits accepts the digits of any script.
func asciiDigits(s string) string { return partner.Digits(s) }
