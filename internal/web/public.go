package web

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"

	"github.com/siaga-crp/siaga/internal/public"
)

// The public pages have no account, no cookie and no script. What they say is
// the same for all readers of a language, so caches may keep them.

type publicPage struct {
	*Frame
	Doc   public.Copy
	Open  []publicIncident
	Past  []publicIncident
	Bars  []halfBar
	Top   int
	Langs []Language
}

type publicIncident struct {
	public.Incident
	Chip    Chip
	Updates []publicUpdate
}

type publicUpdate struct {
	public.Update
	Langs []langText
}

// halfBar is one half-year in the chart of powers.
type halfBar struct {
	public.Half
	X, SX, EX    float64
	SY, SH       float64
	EY, EH       float64
	STextX       float64
	ETextX       float64
	SText, EText float64
}

// cached answers 304 if the reader has what is current, and sets the headers
// with which caches keep it.
func cached(w http.ResponseWriter, r *http.Request, tag string) bool {
	h := w.Header()
	h.Set("Cache-Control", "public, max-age=30")
	h.Set("Vary", "Accept-Language")
	h.Set("ETag", `W/"`+tag+`"`) // weak: it may come compressed
	for have := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if strings.TrimPrefix(strings.TrimSpace(have), "W/") == `"`+tag+`"` {
			w.WriteHeader(http.StatusNotModified)
			return true
		}
	}
	return false
}

func (s *Site) publicDoc(w http.ResponseWriter, r *http.Request, f *Frame, page string) (c public.Copy, done bool, err error) {
	if c, err = s.public.Current(r.Context()); err != nil {
		return c, false, err
	}
	tag := c.Tag + "-" + s.version + "-" + page + "-" + f.Lang()
	if c.Old {
		tag += fmt.Sprintf("-old-%d", int(f.Now.Sub(c.MadeAt).Minutes()))
	}
	f.Entries = c.Journal.Size
	return c, cached(w, r, tag), nil
}

func (f *Frame) publicIncident(i public.Incident) publicIncident {
	p := publicIncident{Incident: i, Chip: f.Chip(i.State)}
	for _, u := range i.Updates {
		p.Updates = append(p.Updates, publicUpdate{u, langTexts(f, u.Texts)})
	}
	return p
}

func (s *Site) publicHome(w http.ResponseWriter, r *http.Request, f *Frame) error {
	c, done, err := s.publicDoc(w, r, f, "home")
	if err != nil || done {
		return err
	}
	f.Title = f.T("public.title")
	p := publicPage{Frame: f, Doc: c, Langs: f.Languages()}
	for _, i := range c.Incidents {
		if i.Closed.IsZero() && i.State != "closed" {
			p.Open = append(p.Open, f.publicIncident(i))
		} else if len(p.Past) < 20 {
			p.Past = append(p.Past, f.publicIncident(i))
		}
	}
	for _, h := range c.Halves {
		p.Top = max(p.Top, h.Started, h.Ended)
	}
	for i, h := range c.Halves {
		x := 36 + float64(i)*104
		height := func(n int) float64 { return round(max(1, 120*float64(n)/float64(max(1, p.Top)))) }
		b := halfBar{Half: h, X: x + 38, SX: x, EX: x + 30, SH: height(h.Started), EH: height(h.Ended), STextX: x + 13, ETextX: x + 43}
		b.SY, b.EY = round(166-b.SH), round(166-b.EH)
		b.SText, b.EText = b.SY-5, b.EY-5
		p.Bars = append(p.Bars, b)
	}
	return s.render(w, r, http.StatusOK, "public", p)
}

func (s *Site) publicIncident(w http.ResponseWriter, r *http.Request, f *Frame) error {
	c, done, err := s.publicDoc(w, r, f, r.PathValue("id"))
	if err != nil || done {
		return err
	}
	for _, i := range c.Incidents {
		if strings.EqualFold(i.ID, r.PathValue("id")) {
			f.Title = i.ID + " " + f.T("state."+i.State)
			return s.render(w, r, http.StatusOK, "publicincident", struct {
				*Frame
				Doc public.Copy
				Inc publicIncident
			}{f, c, f.publicIncident(i)})
		}
	}
	w.Header().Del("ETag")
	return notFound(f.T("public.no_incident"), f.T("public.no_incident.fix"))
}

func (s *Site) publicVerify(w http.ResponseWriter, r *http.Request, f *Frame) error {
	c, done, err := s.publicDoc(w, r, f, "verify")
	if err != nil || done {
		return err
	}
	f.Title = f.T("verify.title")
	return s.render(w, r, http.StatusOK, "publicverify", struct {
		*Frame
		Doc  public.Copy
		VKey string
	}{f, c, s.o.VKey})
}

// publicFile answers with the document in one of its machine forms.
func (s *Site) publicFile(w http.ResponseWriter, r *http.Request, f *Frame) error {
	name := strings.TrimPrefix(r.URL.Path, "/public/")
	c, done, err := s.publicDoc(w, r, f, name)
	if err != nil || done {
		return err
	}
	var body []byte
	kind := "application/json"
	switch name {
	case "status.json":
		body = c.JSON
	case "status.dsse.json":
		kind = "application/vnd.dsse+json"
		body, err = s.public.Signed(c)
	default:
		kind = "application/atom+xml"
		body, err = public.Atom(c, s.o.PublicURL, cmp.Or(c.Node, "Siaga")+": "+f.T("updates.title"))
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", kind+"; charset=utf-8")
	w.Header().Set("Access-Control-Allow-Origin", "*") // it is public
	_, _ = w.Write(body)                               // the reader is gone if this fails
	return nil
}
