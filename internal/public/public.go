// Package public makes what a node tells everyone: updates that the authority
// labelled TLP:CLEAR, how often powers were used, and where the journal
// stands. It is one document, made at most once in a few seconds, from which
// the public page, the Atom feed and the signed JSON are written.
//
// It promises to tell nothing else: of incidents without a public update only
// their number is counted, and practice is not counted at all. When the store
// is away it gives the last good document, with the time at which it was made.
// docs/format/public.md describes the bytes.
package public

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
)

// Format names the document's form.
const Format = "siaga.public.v1"

// PayloadType is the media type under which a document is signed.
const PayloadType = "application/vnd.siaga.public.v1+json"

// Document is all that is public.
type Document struct {
	Format    string     `json:"format"`
	Node      string     `json:"node"`
	MadeAt    time.Time  `json:"made_at"`
	Incidents []Incident `json:"incidents"` // with a public update, newest first
	Powers    Powers     `json:"powers"`
	Halves    []Half     `json:"half_years"` // the last four, oldest first
	Journal   Journal    `json:"journal"`
}

// Incident is an incident of which something was made public.
type Incident struct {
	ID        string    `json:"id"`
	State     string    `json:"state"`           // of the incident or its gravest activation
	Protocols []Run     `json:"protocols"`       // in force or standing down, no votes
	Since     time.Time `json:"since"`           // of the state
	Closed    time.Time `json:"closed,omitzero"` //
	Updates   []Update  `json:"updates"`         // newest first
}

// Run is a protocol that runs on a public incident.
type Run struct {
	Protocol string    `json:"protocol"`
	Version  string    `json:"version"`
	State    string    `json:"state"`
	Since    time.Time `json:"since,omitzero"`
	Until    time.Time `json:"until,omitzero"` // ends then unless renewed
}

// Update is a public statement.
type Update struct {
	Number    int               `json:"number"`
	At        time.Time         `json:"at"`
	Partner   string            `json:"partner"` // name of the partner that made it
	Texts     map[string]string `json:"texts"`   // by language, BCP 47
	Corrects  int               `json:"corrects,omitempty"`
	Corrected int               `json:"corrected_by,omitempty"`
}

// Powers is how often powers were used in the last twelve months, practice
// apart.
type Powers struct {
	From        time.Time `json:"from"`
	Activations int       `json:"activations"`
	Active      int       `json:"active_now"`
	Emergency   int       `json:"emergency"` // uses of emergency authority
	Ended       int       `json:"ended"`
	Signals     int       `json:"signals"`
	Withdrawn   int       `json:"signals_withdrawn"`
	Expired     int       `json:"signals_expired"`
}

// Half is one half-year.
type Half struct {
	Name      string `json:"name"` // "2026 H1"
	Started   int    `json:"started"`
	Ended     int    `json:"ended"`
	Withdrawn int    `json:"signals_withdrawn"`
}

// Journal is where the journal stands.
type Journal struct {
	Origin string `json:"origin"`
	Size   int64  `json:"size"`
	Root   string `json:"root"` // base64, RFC 6962 tree hash
}

// Options are what documents are made from. All but Sign are required.
type Options struct {
	Log  *journal.Log
	Now  func() time.Time
	Node string
	// Sign signs with the journal's key (Ed25519); nil: documents are not signed.
	Sign func(message []byte) ([]byte, error)
	VKey string // the key's text form (C2SP signed-note)
}

// fresh is how long a document is given again without looking at the journal.
const fresh = 5 * time.Second

// Service makes documents. Its methods may be called concurrently.
type Service struct {
	o Options

	mu   sync.Mutex
	last *Copy // guarded by mu
}

// Copy is a document with its bytes.
type Copy struct {
	Document
	JSON []byte // of the document
	Tag  string // changes when what it says changes; the time of making aside
	Old  bool   // the store is away: this is the last good one
}

// New returns a Service.
func New(o Options) *Service { return &Service{o: o} }

// Current returns the document of now, or the last good one if the journal
// cannot be read; an error only if there was none.
func (s *Service) Current(ctx context.Context) (Copy, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.o.Now().UTC().Truncate(time.Second)
	if s.last != nil && !s.last.Old && now.Sub(s.last.MadeAt) < fresh && !now.Before(s.last.MadeAt) {
		return *s.last, nil
	}
	d, err := s.read(ctx, now)
	if err != nil {
		if s.last == nil {
			return Copy{}, err
		}
		c := *s.last
		c.Old = true
		return c, nil
	}
	c, err := render(d)
	if err != nil {
		return Copy{}, err
	}
	s.last = &c
	return c, nil
}

func render(d Document) (Copy, error) {
	b, err := json.MarshalIndent(d, "", "  ")
	if err != nil {
		return Copy{}, fmt.Errorf("writing what is public: %w", err)
	}
	timeless := d
	timeless.MadeAt = time.Time{}
	t, err := json.Marshal(timeless)
	if err != nil {
		return Copy{}, fmt.Errorf("writing what is public: %w", err)
	}
	sum := sha256.Sum256(t)
	return Copy{Document: d, JSON: append(b, '\n'), Tag: hex.EncodeToString(sum[:8])}, nil
}

func (s *Service) read(ctx context.Context, now time.Time) (Document, error) {
	d := Document{Format: Format, Node: s.o.Node, MadeAt: now, Incidents: []Incident{}, Powers: Powers{From: now.AddDate(-1, 0, 0)}}
	head, err := s.o.Log.Head(ctx)
	if err != nil {
		return d, err
	}
	d.Journal = Journal{s.o.Log.Origin(), head.Size, head.Root.String()}
	halves := lastHalves(now)
	count := func(t time.Time, add func(*Half)) {
		for i := range halves {
			if halves[i].Name == half(t) {
				add(&halves[i])
			}
		}
	}
	names := map[string]string{}
	err = s.o.Log.View(ctx, func(r journal.StoreReader) error {
		err := journal.Each(r, journal.ObjectQuery{Kind: "partner"}, func(p struct {
			ID   string `json:"id"`
			Name string `json:"name"`
		}, _ journal.Object,
		) error {
			names[p.ID] = p.Name
			return nil
		})
		if err != nil {
			return err
		}
		err = journal.Each(r, journal.ObjectQuery{Kind: incident.KindIncident, Newest: true}, func(inc incident.Incident, _ journal.Object) error {
			if inc.Exercise {
				return nil
			}
			for _, a := range inc.Activations {
				d.Powers.count(a, count)
			}
			if p, ok := publicOf(inc, names); ok {
				d.Incidents = append(d.Incidents, p)
			}
			return nil
		})
		if err != nil {
			return err
		}
		return journal.Each(r, journal.ObjectQuery{Kind: signal.KindSignal}, func(sig signal.Signal, _ journal.Object) error {
			if sig.Exercise || sig.Active.IsZero() {
				return nil
			}
			if sig.State == signal.Withdrawn {
				count(sig.Ended, func(h *Half) { h.Withdrawn++ })
			}
			if sig.Active.Before(d.Powers.From) {
				return nil
			}
			d.Powers.Signals++
			switch sig.State {
			case signal.Withdrawn:
				d.Powers.Withdrawn++
			case signal.Expired:
				d.Powers.Expired++
			}
			return nil
		})
	})
	d.Halves = halves
	return d, err
}

func (p *Powers) count(a protocol.Activation, half func(time.Time, func(*Half))) {
	if !a.ActiveSince.IsZero() {
		half(a.ActiveSince, func(h *Half) { h.Started++ })
		if a.ActiveSince.After(p.From) {
			p.Activations++
		}
	}
	if !a.ProvisionalSince.IsZero() && a.ProvisionalSince.After(p.From) {
		p.Emergency++
	}
	if a.State == protocol.Active {
		p.Active++
	}
	if !a.ConcludedAt.IsZero() {
		half(a.ConcludedAt, func(h *Half) { h.Ended++ })
		if a.ConcludedAt.After(p.From) {
			p.Ended++
		}
	}
}

func publicOf(inc incident.Incident, names map[string]string) (Incident, bool) {
	updates := inc.VisibleUpdates(access.Actor{})
	if len(updates) == 0 {
		return Incident{}, false
	}
	p := Incident{ID: inc.ID, State: inc.Phase(), Since: inc.Status.Opened, Closed: inc.Closed, Protocols: []Run{}}
	if p.Since.IsZero() {
		p.Since = inc.Notified.At
	}
	if p.State == string(protocol.Voting) { // a vote is the partners' own: nobody published it
		p.State = string(inc.Status.Phase)
	}
	for _, name := range inc.Running() {
		a := inc.Activations[name]
		if a.State == protocol.Voting {
			continue
		}
		run := Run{Protocol: name, Version: a.Version, State: string(a.State), Since: a.ActiveSince, Until: a.Sunset}
		if a.State == protocol.Active {
			p.Since = a.ActiveSince
		}
		p.Protocols = append(p.Protocols, run)
	}
	corrected := map[int]int{}
	for _, u := range updates {
		if u.Corrects > 0 {
			corrected[u.Corrects] = u.Number
		}
	}
	for _, u := range slices.Backward(updates) {
		if !u.Erased {
			p.Updates = append(p.Updates, Update{u.Number, u.By.At, cmp.Or(names[u.By.Partner], u.By.Partner), u.Texts, u.Corrects, corrected[u.Number]})
		}
	}
	return p, len(p.Updates) > 0
}

func half(t time.Time) string {
	return fmt.Sprintf("%d H%d", t.UTC().Year(), (int(t.UTC().Month())+5)/6)
}

func lastHalves(now time.Time) []Half {
	var out []Half
	for i := 3; i >= 0; i-- {
		out = append(out, Half{Name: half(time.Date(now.Year(), now.Month()-time.Month(6*i), 1, 0, 0, 0, 0, time.UTC))})
	}
	return out
}

// Envelope is a signed document: DSSE 1.0 (github.com/secure-systems-lab/dsse).
type Envelope struct {
	PayloadType string      `json:"payloadType"`
	Payload     string      `json:"payload"` // base64 of the JSON document
	Signatures  []Signature `json:"signatures"`
}

// Signature is one signature: Ed25519 over the pre-authentication encoding.
type Signature struct {
	KeyID string `json:"keyid"` // the journal's verifier key, C2SP signed-note text form
	Sig   string `json:"sig"`   // base64
}

// Signed returns the envelope of a copy.
func (s *Service) Signed(c Copy) ([]byte, error) {
	e := Envelope{PayloadType: PayloadType, Payload: base64.StdEncoding.EncodeToString(c.JSON), Signatures: []Signature{}}
	if s.o.Sign != nil {
		sig, err := s.o.Sign(PAE(PayloadType, c.JSON))
		if err != nil {
			return nil, fmt.Errorf("signing what is public: %w", err)
		}
		e.Signatures = append(e.Signatures, Signature{s.o.VKey, base64.StdEncoding.EncodeToString(sig)})
	}
	b, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the signed document: %w", err)
	}
	return append(b, '\n'), nil
}

// PAE is DSSE's pre-authentication encoding: what is signed. It begins with
// "DSSEv1", which no checkpoint of the journal does, so one key serves both.
func PAE(payloadType string, payload []byte) []byte {
	head := "DSSEv1 " + strconv.Itoa(len(payloadType)) + " " + payloadType + " " + strconv.Itoa(len(payload)) + " "
	return append([]byte(head), payload...)
}

type atomFeed struct {
	XMLName xml.Name    `xml:"http://www.w3.org/2005/Atom feed"`
	ID      string      `xml:"id"`
	Title   string      `xml:"title"`
	Updated string      `xml:"updated"`
	Author  string      `xml:"author>name"`
	Links   []atomLink  `xml:"link"`
	Entries []atomEntry `xml:"entry"`
}

type atomLink struct {
	Rel  string `xml:"rel,attr"`
	Href string `xml:"href,attr"`
	Type string `xml:"type,attr,omitempty"`
}

type atomEntry struct {
	Lang      string     `xml:"http://www.w3.org/XML/1998/namespace lang,attr"`
	ID        string     `xml:"id"`
	Title     string     `xml:"title"`
	Published string     `xml:"published"`
	Updated   string     `xml:"updated"`
	Author    string     `xml:"author>name"`
	Links     []atomLink `xml:"link"`
	Content   string     `xml:"content"`
}

// Atom writes the updates as an Atom feed (RFC 4287), an entry for each
// language of each update, newest first, at most 200.
func Atom(c Copy, publicURL, title string) ([]byte, error) {
	f := atomFeed{
		ID: "urn:siaga:" + c.Journal.Origin + ":public", Title: title, Author: c.Node, Updated: c.MadeAt.Format(time.RFC3339),
		Links: []atomLink{{"self", publicURL + "/public/feed.atom", "application/atom+xml"}, {"alternate", publicURL + "/public", "text/html"}},
	}
	for _, inc := range c.Incidents {
		for _, u := range inc.Updates {
			for _, lang := range slices.Sorted(maps.Keys(u.Texts)) {
				at := u.At.UTC().Format(time.RFC3339)
				f.Entries = append(f.Entries, atomEntry{
					Lang: lang, ID: fmt.Sprintf("urn:siaga:%s:%s:update:%d:%s", c.Journal.Origin, inc.ID, u.Number, lang),
					Title: fmt.Sprintf("%s (%d)", inc.ID, u.Number), Published: at, Updated: at, Author: u.Partner,
					Links: []atomLink{{"alternate", publicURL + "/public/incidents/" + inc.ID, "text/html"}}, Content: u.Texts[lang],
				})
			}
		}
	}
	slices.SortStableFunc(f.Entries, func(a, b atomEntry) int { return cmp.Compare(b.Updated, a.Updated) })
	if len(f.Entries) > 200 {
		f.Entries = f.Entries[:200]
	}
	if len(f.Entries) > 0 {
		f.Updated = f.Entries[0].Updated
	}
	b, err := xml.MarshalIndent(f, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the feed: %w", err)
	}
	return append([]byte(xml.Header), append(b, '\n')...), nil
}
