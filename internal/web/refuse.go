package web

import (
	"bytes"
	"net/http"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/partner"
)

// refusals keeps the pages with which requests of people who are not signed in
// were refused, so that in a flood a refusal costs less than what it refuses.
type refusals struct {
	mu    sync.Mutex
	pages map[string]refusal // guarded by mu
}

type refusal struct {
	kept
	made time.Time
}

const (
	refusalKept  = 10 * time.Second
	refusalsMost = 200 // the languages, themes and waits that there are
)

// kept is an answer to be written again.
type kept struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (k *kept) Header() http.Header         { return k.header }
func (k *kept) WriteHeader(status int)      { k.status = status }
func (k *kept) Write(b []byte) (int, error) { return k.body.Write(b) }

// Refuse answers a request that the node did not take on. The page of someone
// who is signed in keeps what was typed into its form; that of others is one
// for all, made at most once in ten seconds, and nothing of the request's body
// is read.
func (s *Site) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	secure(w.Header())
	w.Header().Set("Cache-Control", "no-store")
	if c, cerr := r.Cookie(cookieSession); cerr == nil && c.Value != "" {
		if r.Method == http.MethodPost {
			r.Body = http.MaxBytesReader(w, r.Body, maxForm)
			_ = r.ParseForm() // what cannot be read is not shown again
		}
		s.fail(w, r, s.frame(r, access.Actor{}, partner.Member{}), err)
		return
	}
	look, theme := "", ""
	if c, cerr := r.Cookie(cookieLang); cerr == nil {
		look = c.Value
	}
	if c, cerr := r.Cookie(cookieTheme); cerr == nil && (c.Value == "light" || c.Value == "dark") {
		theme = c.Value
	}
	lang := s.words.pick(look, r.Header.Get("Accept-Language")).lang
	page := s.refusals.page(lang+"\x00"+theme+"\x00"+err.Error(), s.o.Now(), func(k *kept) {
		bare, berr := http.NewRequestWithContext(r.Context(), http.MethodGet, "/", nil)
		if berr != nil {
			return // not with these arguments
		}
		bare.AddCookie(&http.Cookie{Name: cookieLang, Value: lang})
		if theme != "" {
			bare.AddCookie(&http.Cookie{Name: cookieTheme, Value: theme})
		}
		k.header.Set("Retry-After", w.Header().Get("Retry-After"))
		s.fail(k, bare, s.frame(bare, access.Actor{}, partner.Member{}), err)
	})
	w.Header().Set("Content-Type", page.header.Get("Content-Type"))
	w.WriteHeader(page.status)
	_, _ = w.Write(page.body.Bytes()) // the reader is gone if this fails
}

// page returns the page of a key, which is made if there is none of late.
func (p *refusals) page(key string, now time.Time, fill func(k *kept)) refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	if have, ok := p.pages[key]; ok && now.Sub(have.made) >= 0 && now.Sub(have.made) < refusalKept {
		return have
	}
	k := kept{header: http.Header{}, status: http.StatusTooManyRequests}
	fill(&k)
	if p.pages == nil || len(p.pages) >= refusalsMost {
		p.pages = map[string]refusal{}
	}
	have := refusal{k, now}
	p.pages[key] = have
	return have
}
