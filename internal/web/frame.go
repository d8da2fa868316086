package web

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
)

// Frame is what every page has around its content.
type Frame struct {
	site  *Site
	word  localizer
	names map[string]string // of partners

	keys    []string // given to forms
	person  bool     // the page shows something of this one person: see share.go
	counted bool     // the two below, what concerns the reader and asks something
	concern []incident.Incident
	asks    []Ask

	Me       access.Actor
	Member   partner.Member
	Node     string
	Notice   string
	Title    string // of the page, without "– Siaga"
	Section  string // the current item of the navigation: "board", "incidents", …
	Path     string // of this page with its query
	Now      time.Time
	Zone     *time.Location
	Theme    string   // "", "light" or "dark"
	Entries  int64    // journal entries when the page was made
	Asks     int      // asked of me
	OpenNow  int      // open incidents
	Exercise string   // number and name of the exercise that the page is about; "" for real
	Live     []string // topics to listen to; empty: the page is not live
	Form     bool     // the page is a form, which is never live
	Posted   bool     // the page answers a form and has what was sent
	Watch    string   // of what a form says that it changed meanwhile: "incident:ID"
	Sent     string   // what was just done, shown on top
	Dock     []Ask    // the phone's actions on this page
	Keys     bool     // single-letter keys are on
	Script   string   // a script that the page needs besides the common one
	Around   partner.Around
	Glass    time.Time // the page is read by break-glass until then; zero: it is not
	Bare     bool      // without script and account: a public page
}

// frame is the frame of a page that has it embedded.
func (f *Frame) frame() *Frame { return f }

func (s *Site) frame(r *http.Request, a access.Actor, m partner.Member) *Frame {
	f := &Frame{
		site: s, Me: a, Member: m, Node: s.o.Node, Path: r.URL.RequestURI(), Now: s.o.Now().UTC(), Zone: time.UTC,
		Posted: r.Method == http.MethodPost,
		names:  map[string]string{},
	}
	f.word = s.words.pick(s.language(r, m), r.Header.Get("Accept-Language"))
	if f.Notice = s.o.Notice; f.word.has("notice." + f.Notice) {
		f.Notice = f.T("notice." + f.Notice)
	}
	if sent := r.URL.Query().Get("sent"); sent != "" && f.word.has("sent."+sent) {
		f.Sent = sent
	}
	if c, err := r.Cookie(cookieTheme); err == nil && (c.Value == "light" || c.Value == "dark") {
		f.Theme = c.Value
	}
	if c, err := r.Cookie(cookieKeys); err == nil {
		f.Keys = c.Value == "on"
	}
	zone := m.Zone
	_ = s.o.Journal.View(r.Context(), func(rd journal.StoreReader) error { // a page without its position is still a page
		f.Entries, _ = rd.Size()
		if a.Partner != "" {
			_ = journal.Each(rd, journal.ObjectQuery{Kind: partner.KindPartner}, func(p partner.Partner, _ journal.Object) error {
				f.names[p.ID] = p.Name
				return nil
			})
			if p, err := partner.Load(rd, a.Partner); err == nil {
				f.Node = p.Name
				if zone == "" {
					zone = p.Zone
				}
			}
		}
		return nil
	})
	if l, err := time.LoadLocation(zone); err == nil && zone != "" {
		f.Zone = l
	}
	return f
}

// language is what the reader chose: for this page, in this browser, in the
// profile; "" for nothing.
func (s *Site) language(r *http.Request, m partner.Member) string {
	if q := r.URL.Query().Get("lang"); q != "" {
		return q
	}
	if c, err := r.Cookie(cookieLang); err == nil {
		return c.Value
	}
	return m.Language
}

// WatchHref is the page of what a form watches.
func (f *Frame) WatchHref() string {
	_, id, _ := strings.Cut(f.Watch, ":")
	return "/incidents/" + id + "/timeline"
}

// SignedIn reports whether someone is signed in.
func (f *Frame) SignedIn() bool { return f.Me.Partner != "" }

// Can reports whether the reader has the right, apart from a step-up: an item
// that a role may not open is absent.
func (f *Frame) Can(do string) bool {
	if !f.Glass.IsZero() && do != string(access.Notify) && !strings.HasSuffix(do, ".read") {
		return false // what is read by break-glass is read, and nothing else
	}
	a := f.Me
	a.StepUp, a.For = f.Now, access.Action(do)
	return access.Allow(a, access.Action(do), f.Now) == nil
}

// beyond notes that the page is of an object that the reader sees by
// break-glass alone.
func (f *Frame) beyond(a access.Audience, kind, id string) {
	if a.Sees(f.Me) {
		return
	}
	for _, g := range f.Me.Glass {
		if g.Kind == kind && g.ID == id && f.Now.Before(g.Until) {
			f.Glass = g.Until
		}
	}
}

// opens is the right that a section of the navigation needs; one that is not
// named needs none.
var opens = map[string]access.Action{"incidents": access.ReadIncidents, "signals": access.ReadSignals, "edges": access.ReadEdges, "partners": access.ReadPartners}

// Offers reports whether the navigation leads the reader to the section, on a
// desk and on a phone alike.
func (f *Frame) Offers(section string) bool {
	do, ok := opens[section]
	return !ok || f.Can(string(do))
}

// Does says what a signal does now: what is only proposed, suspended or over
// does nothing.
func (f *Frame) Does(sig signal.Signal) string {
	switch sig.State {
	case signal.Active:
		return f.T("action." + string(sig.Does))
	case signal.Proposed, signal.Suspended:
		return f.T("does."+string(sig.State), "Action", f.T("action."+string(sig.Wanted)))
	}
	return f.T("does.ended")
}

// Lang is the page's language, BCP 47.
func (f *Frame) Lang() string { return f.word.lang }

// Dir is the direction of its script.
func (f *Frame) Dir() string {
	return direction(f.word.lang)
}

// OwnSearch reports whether the page has a search of its own: the foot has none
// then, as two fields of one look are taken for each other.
func (f *Frame) OwnSearch() bool {
	path, _, _ := strings.Cut(f.Path, "?")
	return path == "/search" || path == "/incidents" || path == "/signals"
}

// LangName is the page's language in itself.
func (f *Frame) LangName() string { return names[f.word.lang] }

// Reviewed reports whether a speaker has read the page's language.
func (f *Frame) Reviewed() bool { return f.T("frame.reviewed") == "yes" }

// Num writes a whole number as the page's language does.
func (f *Frame) Num(n any) string { return fmt.Sprint(f.word.number(n)) }

// MS writes milliseconds, as seconds from one second on.
func (f *Frame) MS(x float64) string {
	if x >= 1000 {
		return f.T("time.s", "N", x/1000)
	}
	return f.T("time.ms", "N", int64(x+0.5))
}

// List lists names as the page's language does, with "and" before the last.
func (f *Frame) List(names []string) string { return f.word.listOf("list.and", names) }

// Sep stands between the things of a list: ", ", in Arabic a comma of its own.
func (f *Frame) Sep() string { return f.T("list.comma", "A", "", "B", "") }

// KindWord is a kind of partners in the page's language, "" for none.
func (f *Frame) KindWord(k access.PartnerKind) string {
	if id := "kind." + string(k); f.word.has(id) {
		return f.T(id)
	}
	return string(k)
}

// span says a protocol's length of time, in English where protocols do not
// know the page's language.
func (f *Frame) span(d protocol.Duration) string {
	if f.word.lang == "en" || f.word.lang == "id" {
		return d.In(f.word.lang)
	}
	return foreign(d.In("en"))
}

// InWords returns a protocol's text in the page's language, in English and marked so
// where the protocol does not have it.
func (f *Frame) InWords(t protocol.Text) string {
	s := t.In(f.word.lang)
	if _, ok := t[f.word.lang]; !ok && s != "" {
		return foreign(s)
	}
	return s
}

// T returns a text of the catalogue. args are names and values in turn.
func (f *Frame) T(id string, args ...any) string { return f.word.text(id, nil, args) }

// N returns a text that depends on a number, which it has as .N.
func (f *Frame) N(id string, n any, args ...any) string { return f.word.text(id, n, args) }

// Static returns the address of a static file.
func (f *Frame) Static(file string) string { return "/static/" + f.site.version + "/" + file }

// StaticBase is the folder of the static files.
func (f *Frame) StaticBase() string { return "/static/" + f.site.version + "/" }

// Wasm reports whether the fingerprint packages were built for the browser.
func (f *Frame) Wasm() bool { return f.site.wasm }

// Key returns a new key for a form, so that sending it twice acts once.
func (f *Frame) Key() string {
	key := newKey()
	f.keys = append(f.keys, key)
	return key
}

func newKey() string {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		panic("web: no randomness: " + err.Error())
	}
	return hex.EncodeToString(b)
}

// ZoneName is the reader's zone as people name it, for example WIB.
func (f *Frame) ZoneName(t time.Time) string { return partner.ZoneName(t.In(f.Zone)) }

// Made says when the page was made: "14:52:07", with the date on a public page,
// which caches and readers keep.
func (f *Frame) Made() string {
	s := f.Now.Format("15:04:05")
	if f.Bare {
		return f.T("date.time", "Date", f.Date(f.Now), "Time", f.word.leftToRight(s))
	}
	return s
}

// MadeOn is Made with the date, for what may be printed.
func (f *Frame) MadeOn() string {
	kept := *f
	kept.Bare = true
	return kept.Made()
}

// Clock returns "14:41 UTC (21:41 WIB)", with the date if it is not today, and
// always on a public page.
func (f *Frame) Clock(t time.Time) template.HTML {
	if t.IsZero() {
		return template.HTML(template.HTMLEscapeString(f.T("time.unknown")))
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s"><bdi dir="%s">%s</bdi></time>`, //nolint:gosec // made of times only
		t.UTC().Format(time.RFC3339), f.Dir(), template.HTMLEscapeString(f.ClockText(t))))
}

// ClockText is Clock without markup.
func (f *Frame) ClockText(t time.Time) string {
	utc := t.UTC()
	layout := "15:04"
	s := f.word.leftToRight(utc.Format(layout) + " UTC")
	if f.Bare || utc.Format("2006-01-02") != f.Now.Format("2006-01-02") {
		s = f.T("date.time", "Date", f.Date(utc), "Time", s)
	}
	if name := f.ZoneName(t); name != "UTC" {
		l := t.In(f.Zone)
		local := f.word.leftToRight(l.Format(layout) + " " + name)
		if l.Format("2006-01-02") != utc.Format("2006-01-02") {
			local = f.T("date.time", "Date", f.Date(l), "Time", local)
		}
		s += " (" + local + ")"
	}
	return s
}

// Stamp is ClockText with the date and the year, for what is kept on paper.
func (f *Frame) Stamp(t time.Time) string {
	kept := *f
	kept.Bare = true
	return kept.ClockText(t)
}

// Name is a partner's name; its short name if the reader is not signed in, and
// the node itself for none.
func (f *Frame) Name(id string) string {
	if id == "" {
		return f.T("line.system")
	}
	return cmp.Or(f.names[id], id)
}

// Date returns "2 Mar 2026" in the page's language, without the year in the
// present one, but for public pages.
func (f *Frame) Date(t time.Time) string {
	month := f.T(fmt.Sprintf("month.%d", t.Month()))
	if t.Year() == f.Now.Year() && !f.Bare {
		return f.T("date.day", "Day", t.Day(), "Month", month)
	}
	return f.T("date.year", "Day", t.Day(), "Month", month, "Year", strconv.Itoa(t.Year()))
}

// UTC returns "14:41" for tables, with a time element.
func (f *Frame) UTC(t time.Time) template.HTML {
	if t.IsZero() {
		return "–"
	}
	text := t.UTC().Format("15:04")
	if t.UTC().Format("2006-01-02") != f.Now.Format("2006-01-02") {
		text = f.Date(t.UTC()) + " " + text
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s"><bdi dir="ltr">%s</bdi></time>`, t.UTC().Format(time.RFC3339), template.HTMLEscapeString(text))) //nolint:gosec // made of times only
}

// LocalTime returns "21:41 WIB".
func (f *Frame) LocalTime(t time.Time) string {
	return f.word.leftToRight(t.In(f.Zone).Format("15:04") + " " + f.ZoneName(t))
}

// Away reports whether the reader's clock is not UTC.
func (f *Frame) Away() bool { return f.ZoneName(f.Now) != "UTC" }

// LocalText is LocalTime with the day where it is not today there.
func (f *Frame) LocalText(t time.Time) string {
	local, now := t.In(f.Zone), f.Now.In(f.Zone)
	if local.YearDay() == now.YearDay() && local.Year() == now.Year() {
		return f.LocalTime(t)
	}
	return f.Date(local) + ", " + f.LocalTime(t)
}

// Age says a duration as people do: seconds up to a minute, minutes up to an
// hour, then hours, then days.
func (f *Frame) Age(d time.Duration) string {
	if d < 0 {
		d = -d
	}
	switch {
	case d < time.Minute:
		return f.N("age.seconds", int(d.Seconds()))
	case d < time.Hour:
		return f.N("age.minutes", int(d.Minutes()))
	case d < 48*time.Hour:
		return f.N("age.hours", int(d.Hours()))
	}
	return f.N("age.days", int(d.Hours()/24))
}

// AgeMS is Age for milliseconds, with a tenth under ten seconds.
func (f *Frame) AgeMS(ms int64) string {
	if ms < 10_000 {
		return f.T("time.s", "N", float64(ms)/1000)
	}
	return f.Age(time.Duration(ms) * time.Millisecond)
}

// Public is the address by which people and edges reach the node.
func (f *Frame) Public() string { return f.site.o.PublicURL }

// Since says how long ago t was.
func (f *Frame) Since(t time.Time) string { return f.Age(f.Now.Sub(t)) }

// Until says how long it is until t, or how long it is overdue.
func (f *Frame) Until(t time.Time) string {
	if d := t.Sub(f.Now); d >= 0 {
		return f.Age(d)
	}
	return f.T("time.late", "Age", f.Age(f.Now.Sub(t)))
}

// Soon reports whether t is less than five minutes ahead, or past.
func (f *Frame) Soon(t time.Time) bool { return t.Sub(f.Now) < 5*time.Minute }

// Late reports whether t is past.
func (f *Frame) Late(t time.Time) bool { return t.Before(f.Now) }

// Languages lists the languages that can be chosen.
func (f *Frame) Languages() []Language { return f.site.words.languages() }

// At reports whether this page has the path.
func (f *Frame) At(path string) bool {
	here, _, _ := strings.Cut(f.Path, "?")
	return here == path
}

// Filtered reports whether the reader narrowed this page's list.
func (f *Frame) Filtered() bool {
	u, err := url.Parse(f.Path)
	if err != nil {
		return false
	}
	q := u.Query()
	return q.Get("q") != "" || q.Get("state") != "" || q.Get("incident") != ""
}

// With returns the address of this page with one query parameter set, or
// removed if value is empty.
func (f *Frame) With(name, value string) string {
	u, err := url.Parse(f.Path)
	if err != nil {
		return "/"
	}
	q := u.Query()
	q.Del("region")
	q.Del("sent")
	if value == "" {
		q.Del(name)
	} else {
		q.Set(name, value)
	}
	u.RawQuery = q.Encode()
	return u.RequestURI()
}

// staticVersion is a digest of all static files.
func staticVersion(files fs.FS) (string, error) {
	h := sha256.New()
	err := fs.WalkDir(files, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%s %d\n", path, len(b))
		h.Write(b)
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("reading static files: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)[:6]), nil
}

// LabelNames lists labels in the reader's language.
func (f *Frame) LabelNames(labels []string) string {
	out := make([]string, 0, len(labels))
	for _, l := range labels {
		if id := "label." + l; f.word.has(id) {
			l = f.T(id)
		}
		out = append(out, l)
	}
	return strings.Join(out, f.Sep())
}
