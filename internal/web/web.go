// Package web serves the pages: HTML made on the server, whole without
// scripts, refreshed in regions where scripts run.
//
// A page is a handler, a struct and a template. The handler calls services and
// decides nothing about rights. Every struct embeds Frame, which knows who
// reads, in which language and time zone, and how to say a time; every word
// that a person reads is in the catalogue under locales/.
//
// Live regions: an element with data-region and data-topics is fetched
// anew with ?region=NAME when /live names one of its topics. Events carry
// topics and the journal's position and never content, so what a reader may
// see is decided in one place, where the page is made.
//
// Every form posts with a key of its own (name _key): sending it twice acts
// once. Errors of input come back with the form, its text kept.
package web

import (
	"bytes"
	"context"
	"crypto/rand"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzhttp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/duty"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/notify"
	"github.com/siaga-crp/siaga/internal/oidc"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/public"
	"github.com/siaga-crp/siaga/internal/signal"
)

//go:embed templates static locales
var files embed.FS

// Options are what the pages show. All are required.
type Options struct {
	Partners  *partner.Service
	Incidents *incident.Service
	Signals   *signal.Service
	Duty      *duty.Service
	Notify    *notify.Service
	Journal   *journal.Log
	Edges     Edges
	Health    Health
	Log       *slog.Logger
	Now       func() time.Time
	Secure    bool   // pages are reached over https: cookies say so
	PublicURL string // without a slash at its end
	// Sign signs what is public with the journal's key; nil: it is not signed.
	Sign   func(message []byte) ([]byte, error)
	VKey   string         // the key's text form
	Node   string         // what the node is called on its pages, for example "Nusa"
	Notice string         // a line on every page: demo for the demo's, or its text; may be empty
	OIDC   *oidc.Provider // signs people in elsewhere; nil: nowhere
}

// Site serves the pages.
type Site struct {
	o         Options
	templates *template.Template
	words     *catalogue
	static    http.Handler
	version   string // of the static files, for their addresses
	public    *public.Service
	gzip      func(http.Handler) http.HandlerFunc
	wasm      bool // the fingerprint packages for the browser are embedded
	refusals  refusals
	shares    shares
	news      news
}

// small compresses what is the same for everyone, for slow lines: public pages
// and static files. Pages of people who are signed in hold secrets beside what
// others wrote, which compression could tell apart (BREACH), and stay as they are.
// gzhttp of klauspost/compress (BSD 3-clause, here already through others) knows
// the rules of Accept-Encoding, Vary and ranges; any other wrapper could do it.
func (s *Site) small(h http.Handler) http.Handler {
	return s.gzip(h)
}

// New reads templates and catalogues.
func New(o Options) (*Site, error) {
	s := &Site{o: o, public: public.New(public.Options{Log: o.Journal, Now: o.Now, Node: o.Node, Sign: o.Sign, VKey: o.VKey})}
	var err error
	if s.words, err = loadCatalogue(files); err != nil {
		return nil, err
	}
	if s.gzip, err = gzhttp.NewWrapper(gzhttp.MinSize(1024)); err != nil {
		return nil, fmt.Errorf("setting up compression: %w", err)
	}
	if s.templates, err = template.New("").Funcs(funcs()).ParseFS(files, "templates/*.html"); err != nil {
		return nil, fmt.Errorf("reading templates: %w", err)
	}
	sub, err := fs.Sub(files, "static")
	if err != nil {
		return nil, fmt.Errorf("reading static files: %w", err)
	}
	s.static = http.FileServerFS(sub)
	for _, f := range []string{"fingerprint.wasm", "wasm_exec.js"} {
		if _, err := fs.Stat(sub, f); err != nil {
			s.wasm = false
			break
		}
		s.wasm = true
	}
	if s.version, err = staticVersion(sub); err != nil {
		return nil, err
	}
	return s, nil
}

// handler answers a request or returns an error, which becomes a page.
type handler func(w http.ResponseWriter, r *http.Request, f *Frame) error

// SessionCookie is the name of the cookie of a session.
const SessionCookie = "siaga_session"

const (
	cookieSession = SessionCookie
	cookieTheme   = "siaga_theme"
	cookieLang    = "siaga_lang"
	cookieKeys    = "siaga_keys"   // single-letter keys: on or off
	cookieLook    = "siaga_look"   // the last look at the board
	cookieDevice  = "siaga_device" // tells this browser from one never seen before
	cookieFlow    = "siaga_oidc"   // of a sign-in elsewhere under way
	maxForm       = 256 << 10
)

// csp allows our own files and nothing inline. Pages that fingerprint files in
// the browser add 'wasm-unsafe-eval' for themselves.
const csp = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// Handler returns all pages.
func (s *Site) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, rt := range s.routes() {
		h := s.serve(rt)
		if rt.cacheable {
			h = s.small(h)
		}
		mux.Handle(rt.pattern, h)
	}
	mux.Handle("GET /static/{version}/{file...}", s.small(s.files()))
	mux.HandleFunc("GET /push-worker.js", s.worker)
	protect := http.NewCrossOriginProtection()
	protect.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		secure(w.Header())
		w.Header().Set("Cache-Control", "no-store")
		s.fail(w, r, s.frame(r, access.Actor{}, partner.Member{}), problem.New(problem.Denied, "this form was sent from another site", "open the page here and send it again"))
	}))
	return protect.Handler(mux)
}

// cspWasm also lets WebAssembly run: for the pages that fingerprint files.
var cspWasm = strings.Replace(csp, "script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'", 1)

func (s *Site) serve(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		secure(h)
		if !rt.cacheable {
			h.Set("Cache-Control", "no-store")
		}
		var a access.Actor
		var m partner.Member
		if rt.cacheable {
			r = r.Clone(r.Context())
			r.Header.Del("Cookie")
		}
		var err, ferr error
		if r.Method == http.MethodPost { // read first: a proof is for what the form says
			r.Body = http.MaxBytesReader(w, r.Body, maxForm)
			ferr = r.ParseForm()
		}
		if c, cerr := r.Cookie(cookieSession); cerr == nil {
			if r.URL.Path == "/live" || r.URL.Query().Get("region") != "" {
				a, m, err = s.o.Partners.Alive(r.Context(), c.Value) // the page asks by itself, which is no use by its reader
			} else {
				a, m, err = s.o.Partners.ByRequest(r.Context(), c.Value, func() string { return object(r) })
			}
			if err != nil && problem.KindOf(err) != problem.SignIn {
				s.fail(w, r, s.frame(r, access.Actor{}, m), err)
				return
			}
		}
		if v, ok := s.viewOf(r, rt, a, m); ok && s.share(w, r, v, func(w http.ResponseWriter) *Frame {
			f := s.frame(r, a, m)
			if err := rt.do(w, r, f); err != nil {
				s.fail(w, r, f, err)
			}
			return f
		}) {
			return
		}
		f := s.frame(r, a, m)
		f.Bare = rt.cacheable
		if !rt.open && a.Partner == "" {
			s.toSignIn(w, r)
			return
		}
		if r.Method == http.MethodPost {
			if ferr != nil {
				p := problem.New(problem.Invalid, "the form could not be read", "go back and send it again")
				if _, large := errors.AsType[*http.MaxBytesError](ferr); large {
					p = problem.New(problem.TooLarge, "the form is larger than 256 KiB", "send less text")
				}
				s.fail(w, r, f, p)
				return
			}
			form := originalForm(r.PostForm).Encode()
			if key := r.PostForm.Get("_key"); key != "" && len(key) <= 100 {
				r = r.WithContext(journal.Once(r.Context(), key, r.URL.Path+"\n"+form))
			}
		}
		if r.Method == http.MethodGet && f.SignedIn() && r.URL.Query().Get("region") == "" && r.URL.Path != "/live" {
			if err := s.around(r, f); err != nil {
				s.fail(w, r, f, err)
				return
			}
		}
		if err := rt.do(w, r, f); err != nil {
			if problem.KindOf(err) == problem.SignIn {
				s.toSignIn(w, r)
				return
			}
			s.fail(w, r, f, err)
		}
	})
}

// around finds what every page says besides its content: how many things are
// asked of the reader, and what their keys and memberships are.
func (s *Site) around(r *http.Request, f *Frame) (err error) {
	if _, _, err = s.concerns(r.Context(), f); err != nil {
		return err
	}
	f.Around, err = s.o.Partners.Around(r.Context(), f.Me)
	return err
}

// secure sets the headers that every page has, also one that refuses.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", csp)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
}

func (s *Site) toSignIn(w http.ResponseWriter, r *http.Request) {
	to := "/sign-in"
	if r.Method == http.MethodGet && r.URL.Path != "/" {
		to += "?next=" + url.QueryEscape(r.URL.RequestURI())
	} else if r.Method == http.MethodGet {
		to = "/public"
	}
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// local returns a path of this site, for redirects that a link asked for.
func local(next string) string {
	if !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") || strings.ContainsAny(next, "\\\r\n") {
		return "/"
	}
	return next
}

// render executes a template into a buffer first, so that an error never
// leaves half a page, and writes the page or only the regions asked for.
func (s *Site) render(w http.ResponseWriter, r *http.Request, status int, name string, data any) error {
	if d, ok := data.(interface{ frame() *Frame }); ok && r.Method == http.MethodPost { // a form that comes back
		if f := d.frame(); f.SignedIn() {
			_ = s.around(r, f) // the form matters more than what stands around it
		}
	}
	var buf bytes.Buffer
	if err := s.templates.ExecuteTemplate(&buf, name, data); err != nil {
		return fmt.Errorf("making the page %s: %w", name, err)
	}
	body := marked(buf.Bytes())
	if names := r.URL.Query().Get("region"); names != "" && r.Method == http.MethodGet {
		var err error
		if body, err = regions(body, strings.Split(names, ",")); err != nil {
			return err
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body) // the reader is gone if this fails
	return nil
}

var statuses = map[problem.Kind]int{
	problem.Invalid: http.StatusUnprocessableEntity, problem.Denied: http.StatusForbidden, problem.SignIn: http.StatusUnauthorized,
	problem.StepUp: http.StatusForbidden, problem.NotFound: http.StatusNotFound, problem.Conflict: http.StatusConflict,
	problem.TooLarge: http.StatusRequestEntityTooLarge, problem.Busy: http.StatusTooManyRequests,
	problem.Unavailable: http.StatusServiceUnavailable, problem.Internal: http.StatusInternalServerError,
}

type errorPage struct {
	*Frame
	Problem *problem.Error
	Status  int
	Request string
	Back    string
	Typed   []Typed // what the reader had written into the form
	Resend  []Typed // the whole form, where sending it again may help
	Action  string
}

// fail shows an error as a page of its own. Forms show Invalid themselves.
func (s *Site) fail(w http.ResponseWriter, r *http.Request, f *Frame, err error) {
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		return
	}
	p, ok := errors.AsType[*problem.Error](err)
	page := errorPage{Frame: f, Back: local(r.Referer())}
	if u, perr := url.Parse(r.Referer()); perr == nil && u.Host == r.Host {
		page.Back = local(u.RequestURI())
	}
	if !ok {
		b := make([]byte, 6)
		_, _ = rand.Read(b) // only a label for the log
		page.Request = hex.EncodeToString(b)
		s.o.Log.ErrorContext(r.Context(), "page failed", "route", r.Pattern, "request", page.Request, "err", err)
		p = problem.New(problem.Internal, f.T("error.internal"), f.T("error.internal.fix"))
	}
	p = f.problem(p)
	page.Problem, page.Status = p, statuses[p.Kind]
	f.Title = sentence(p.Detail)
	if p.Kind == problem.StepUp {
		s.askStepUp(w, r, f, p, page.Back)
		return
	}
	if p.Kind == problem.Denied { // OWASP ASVS 5.0, 16.3.2: who and where, and nothing of what was sent
		s.o.Log.InfoContext(r.Context(), "refused", "route", r.Pattern, "partner", f.Me.Partner, "member", f.Me.Member)
	}
	if r.Method == http.MethodPost {
		page.Typed = typed(r)
	}
	if p.Kind == problem.Unavailable || p.Kind == problem.Busy {
		if w.Header().Get("Retry-After") == "" {
			w.Header().Set("Retry-After", "2")
		}
	}
	if slices.Contains([]problem.Kind{problem.Unavailable, problem.Busy, problem.Internal}, p.Kind) && r.PostForm.Get("_key") != "" && !r.PostForm.Has("password") && !r.PostForm.Has("code") {
		page.Action = r.URL.Path
		for name, values := range r.PostForm {
			for _, v := range values {
				page.Resend = append(page.Resend, Typed{name, v})
			}
		}
	}
	if rerr := s.render(w, r, page.Status, "error", page); rerr != nil {
		s.o.Log.ErrorContext(r.Context(), "error page failed", "route", r.Pattern, "err", rerr)
		http.Error(w, unmark.Replace(p.Detail), page.Status)
	}
}

// files serves the static files, which never change under one address.
func (s *Site) files() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		if r.PathValue("version") != s.version {
			w.Header().Set("Cache-Control", "no-cache")
		}
		r2 := r.Clone(r.Context())
		r2.URL.Path = "/" + r.PathValue("file")
		if strings.HasSuffix(r2.URL.Path, "/") {
			http.NotFound(w, r)
			return
		}
		s.static.ServeHTTP(w, r2)
	})
}

// host returns the client's network address, for counting failed sign-ins.
func host(r *http.Request) string {
	h, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return h
}
