package notify_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/duty"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/keys"
	"github.com/siaga-crp/siaga/internal/notify"
	"github.com/siaga-crp/siaga/internal/outbound"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
	"github.com/siaga-crp/siaga/internal/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// message is one that a receiver got.
type message struct {
	Path   string
	Text   string
	Link   string
	Header http.Header
	Body   []byte
}

// receiver takes webhooks. It answers with the status that is set for a path.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	got    []message
	status map[string]int
	hang   map[string]bool
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{status: map[string]int{}, hang: map[string]bool{}}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		var e struct {
			Data struct {
				Text string `json:"text"`
				Link string `json:"link"`
			} `json:"data"`
		}
		_ = json.Unmarshal(body, &e)
		r.mu.Lock()
		r.got = append(r.got, message{req.URL.Path, e.Data.Text, e.Data.Link, req.Header.Clone(), body})
		status, hang := r.status[req.URL.Path], r.hang[req.URL.Path]
		r.mu.Unlock()
		if hang {
			<-req.Context().Done()
			return
		}
		if status >= 300 && status < 400 {
			w.Header().Set("Location", "/elsewhere")
		}
		if status != 0 {
			w.WriteHeader(status)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

// take returns what came since the last time.
func (r *receiver) take() []message {
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

func (r *receiver) answer(path string, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status[path] = status
}

func (r *receiver) host() string { return strings.TrimPrefix(r.URL, "http://") }

// world is a node's services with a clock of ours and nothing that runs by
// itself: jobs are done by settle.
type world struct {
	t         *testing.T
	now       time.Time
	log       *journal.Log
	store     *sqlite.DB
	partners  *partner.Service
	incidents *incident.Service
	duty      *duty.Service
	notify    *notify.Service
	hooks     *receiver
	keys      map[string]string // of webhooks, by path
	seen      int64             // entries that were followed
	compare   []string          // incidents for which a comparison was enqueued
	tells     bool              // people are also told of gaps and of channels that fail
}

// asked notes for which incidents a comparison was enqueued.
type asked struct {
	journal.StoreTx
	w *world
}

func (a asked) Enqueue(j journal.Job) error {
	var args notify.IncidentArgs
	if j.Kind == notify.JobIncident && json.Unmarshal(j.Args, &args) == nil {
		a.w.compare = append(a.w.compare, args.Incident)
	}
	return a.StoreTx.Enqueue(j)
}

type noSignals struct{}

func (noSignals) Reconsider(*journal.Tx, string, time.Time, bool) error { return nil }

func newWorld(t *testing.T, change ...func(*notify.Options)) *world {
	t.Helper()
	dir := t.TempDir()
	set, err := keys.Make(filepath.Join(dir, "keys"), "test.example/siaga")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, now: time.Date(2026, 3, 2, 14, 30, 0, 0, time.UTC), hooks: newReceiver(t), keys: map[string]string{}}
	if w.store, err = sqlite.Create(t.Context(), filepath.Join(dir, "siaga.db"), sqlite.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	now := func() time.Time { return w.now }
	folds := append(partner.Folds(), incident.Folds()...)
	folds = append(folds, duty.Folds()...)
	w.log, err = journal.NewLog(journal.Options{Store: w.store, Origin: set.Origin, Folds: append(folds, notify.Folds()...), Now: now, Follow: func(tx journal.StoreTx, e journal.Entry) error {
		if err := incident.Follow(tx, e); err != nil {
			return err
		}
		if e.Type == "partner.disabled" { // which is not about an incident that settle looks at
			tx = asked{tx, w}
		}
		return notify.Follow(tx, e)
	}})
	if err != nil {
		t.Fatal(err)
	}
	w.partners = partner.New(partner.Options{Log: w.log, Now: now, Seal: set, Cost: partner.Cost{MemoryKiB: 64, Passes: 1}, Tell: notify.Teller(now)})
	w.incidents = incident.New(incident.Options{Log: w.log, Now: now})
	w.incidents.SetSignals(noSignals{})
	w.duty = duty.New(duty.Options{Log: w.log, Now: now})
	words, err := web.Speaker()
	if err != nil {
		t.Fatal(err)
	}
	guard := outbound.New(outbound.Options{Internal: []string{w.hooks.host()}})
	t.Cleanup(guard.Close)
	o := notify.Options{
		Log: w.log, Now: now, Seal: set, Guard: guard, Incidents: w.incidents, Words: words,
		URL: func() string { return "https://nusa.example" }, Mail: notify.Mail{From: "siaga@nusa.example"},
	}
	for _, f := range change {
		f(&o)
	}
	if o.Mail.Host != "" {
		o.Guard = outbound.New(outbound.Options{Internal: []string{w.hooks.host(), o.Mail.Address()}})
		t.Cleanup(o.Guard.Close)
	}
	w.notify = notify.New(o)
	return w
}

// person is a member as an actor.
func (w *world) person(partnerID, name string, lang string, roles ...access.Role) access.Actor {
	w.t.Helper()
	w.now = w.now.Add(time.Millisecond) // so that members have an order
	var p partner.Partner
	err := w.log.View(w.t.Context(), func(r journal.StoreReader) (err error) {
		p, err = partner.Load(r, partnerID)
		return err
	})
	if problem.KindOf(err) == problem.NotFound {
		kind := access.Government
		if partnerID == "lensa" {
			kind = access.Platform
		}
		by := partner.Shell(partner.Partner{ID: "secretariat", Kind: access.Intergovernmental, Country: "ID"})
		p, err = w.partners.Add(w.t.Context(), by, partner.NewPartner{ID: partnerID, Name: strings.ToUpper(partnerID[:1]) + partnerID[1:], Kind: kind, Country: "ID", Zone: "Asia/Jakarta"})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	m, _, err := w.partners.AddMember(w.t.Context(), partner.Shell(p), partner.NewMember{Partner: p.ID, Name: name, Email: name + "@" + partnerID + ".example", Roles: roles, Language: lang})
	if err != nil {
		w.t.Fatal(err)
	}
	return access.Actor{Partner: p.ID, Kind: p.Kind, Country: p.Country, Member: m.ID, Name: name, Roles: roles}
}

// hook gives a person a webhook whose path is its name.
func (w *world) hook(by access.Actor, path string) notify.Added {
	w.t.Helper()
	c, err := w.notify.Add(w.t.Context(), by, notify.NewChannel{Kind: notify.Webhook, Target: w.hooks.URL + path})
	if err != nil {
		w.t.Fatal(err)
	}
	w.keys[path] = c.Key
	return c
}

// settle follows entries as the jobs would, until nothing is due now.
func (w *world) settle() {
	w.t.Helper()
	for range 50 {
		var entries []journal.Entry
		err := w.log.View(w.t.Context(), func(r journal.StoreReader) (err error) {
			entries, err = w.log.Entries(r, journal.RowQuery{From: w.seen, Limit: 1000})
			return err
		})
		if err != nil {
			w.t.Fatal(err)
		}
		touched := map[string]bool{}
		for _, e := range entries {
			w.seen = e.Number + 1
			if e.About[0].Kind == incident.KindIncident {
				touched[e.About[0].ID] = true
			}
			if !w.tells {
				continue
			}
			if e.Type == "roster.gap" || e.Type == "channel.checked" || e.Type == "channel.ended" || e.Type == "statement.asked" {
				if err := w.notify.TellOf(w.t.Context(), notify.TellArgs{Entry: e.Number}); err != nil {
					w.t.Fatal(err)
				}
			}
		}
		for _, n := range w.notices() {
			if n.State == notify.NoticeSending && (n.At.Equal(w.now) || !n.Next.After(w.now)) {
				if err := w.notify.Notice(w.t.Context(), notify.NoticeArgs{Notice: n.ID}); err != nil {
					w.t.Fatal(err)
				}
			}
		}
		for _, id := range w.compare {
			touched[id] = true
		}
		w.compare = nil
		for id := range touched {
			if err := w.incidents.Clock(w.t.Context(), incident.ClockArgs{Incident: id}); err != nil {
				w.t.Fatal(err)
			}
			if err := w.notify.Incident(w.t.Context(), notify.IncidentArgs{Incident: id}); err != nil {
				w.t.Fatal(err)
			}
		}
		for _, c := range w.calls("") {
			if c.State == notify.Calling && !c.Next.IsZero() && !c.Next.After(w.now) {
				if err := w.notify.Call(w.t.Context(), notify.CallArgs{Call: c.ID}); err != nil {
					w.t.Fatal(err)
				}
			}
		}
		if len(entries) == 0 {
			return
		}
	}
	w.t.Fatal("it does not settle")
}

// pass lets time pass in steps, as jobs would look.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	const step = 15 * time.Second
	for end := w.now.Add(d); w.now.Before(end); {
		w.now = w.now.Add(min(step, end.Sub(w.now)))
		var ids []string
		err := w.log.View(w.t.Context(), func(r journal.StoreReader) error {
			return journal.Each(r, journal.ObjectQuery{Kind: incident.KindIncident}, func(_ incident.Incident, o journal.Object) error {
				ids = append(ids, o.ID)
				return nil
			})
		})
		if err != nil {
			w.t.Fatal(err)
		}
		for _, id := range ids {
			if err := w.incidents.Clock(w.t.Context(), incident.ClockArgs{Incident: id}); err != nil {
				w.t.Fatal(err)
			}
		}
		w.settle()
	}
}

func (w *world) calls(partnerID string) []notify.Call {
	w.t.Helper()
	var out []notify.Call
	err := w.log.View(w.t.Context(), func(r journal.StoreReader) error {
		return journal.Each(r, journal.ObjectQuery{Kind: notify.KindCall, Partner: partnerID}, func(c notify.Call, _ journal.Object) error {
			out = append(out, c)
			return nil
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) notices() []notify.Notice {
	w.t.Helper()
	var out []notify.Notice
	err := w.log.View(w.t.Context(), func(r journal.StoreReader) error {
		return journal.Each(r, journal.ObjectQuery{Kind: notify.KindNotice}, func(n notify.Notice, _ journal.Object) error {
			out = append(out, n)
			return nil
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) entries(types ...string) []journal.Entry {
	w.t.Helper()
	var out []journal.Entry
	err := w.log.View(w.t.Context(), func(r journal.StoreReader) (err error) {
		out, err = w.log.Entries(r, journal.RowQuery{Types: types, Limit: 10000})
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

// incident notifies one.
func (w *world) incident(by access.Actor, exercise bool) incident.Incident {
	w.t.Helper()
	inc, err := w.incidents.Notify(w.t.Context(), by, incident.Notice{
		Title: "Attack on a market", Description: "People are hurt at the market of Kota Seroja.", Where: "Kota Seroja", Country: "ID",
		URLs: []string{"https://lensa.example/v/9"}, Live: incident.Truth(protocol.Yes), Exercise: &exercise,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.settle()
	return inc
}

func paths(list []message) string {
	var out []string
	for _, m := range list {
		out = append(out, m.Path)
	}
	return strings.Join(out, " ")
}

var linkForm = regexp.MustCompile(`https://nusa\.example/a/([0-9A-HJKMNP-TV-Z]{13})\b`)

func (w *world) code(m message) string {
	w.t.Helper()
	found := linkForm.FindStringSubmatch(m.Text)
	if found == nil {
		w.t.Fatalf("no link in %q", m.Text)
	}
	return found[1]
}

// verified checks the signature of a webhook.
func (w *world) verified(m message) {
	w.t.Helper()
	wh, err := standardwebhooks.NewWebhook(w.keys[m.Path])
	if err != nil {
		w.t.Fatal(err)
	}
	if err := wh.VerifyIgnoringTimestamp(m.Body, m.Header); err != nil {
		w.t.Errorf("%s: %v", m.Path, err)
	}
	other := append([]byte(nil), m.Body...)
	other[len(other)/2] ^= 1
	if wh.VerifyIgnoringTimestamp(other, m.Header) == nil {
		w.t.Errorf("%s: another body has the same signature", m.Path)
	}
}

func (w *world) wantKind(what string, err error, want problem.Kind, text string) {
	w.t.Helper()
	if problem.KindOf(err) != want || err != nil && !strings.Contains(err.Error(), text) {
		w.t.Errorf("%s: %v, want %s with %q", what, err, want, text)
	}
}
