package incident

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
)

// NewUpdate is a situation update to be posted.
type NewUpdate struct {
	Audience string            `json:"audience,omitempty"` // partners (the default), observers or public
	TLP      string            `json:"tlp,omitempty"`      // empty: the audience's in the protocol
	Texts    map[string]string `json:"texts"`              // by language, BCP 47
	Corrects int               `json:"corrects,omitempty"`
	Reason   string            `json:"reason,omitempty"` // of a public statement: its second person reads it
}

type updated struct {
	Number    int               `json:"number"`
	Name      string            `json:"audience"`
	Texts     map[string]string `json:"texts"`
	Corrects  int               `json:"corrects,omitempty"`
	Statement int               `json:"-"` // it was one that waited, which the entry is about; it is its second person's
}

const maxLanguages = 20

// languages reports whether the texts are in few languages, each named by its
// code (BCP 47).
func languages(texts map[string]string) bool {
	if len(texts) > maxLanguages {
		return false
	}
	for l := range texts {
		if l = strings.TrimSpace(l); len(l) > 35 { // RFC 5646 §4.4.1
			return false
		}
		if _, err := language.Parse(l); err != nil {
			return false
		}
	}
	return true
}

// PostUpdate tells an audience how things stand. What everyone could read takes
// two people: it becomes a Statement, which waits for the second one.
func (s *Service) PostUpdate(ctx context.Context, by access.Actor, id string, n NewUpdate) (Incident, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.PostUpdate, now); err != nil {
		return Incident{}, err
	}
	var f problem.InvalidFields
	n.Audience = cmp.Or(strings.ToLower(strings.TrimSpace(n.Audience)), "partners")
	if !slices.Contains([]string{"partners", "observers", "public"}, n.Audience) {
		f.Add("audience", "choose partners, observers or public; %q is none of them", n.Audience)
	}
	texts := map[string]string{}
	known := languages(n.Texts)
	if !known {
		f.Add("texts", "use up to %d languages, each by its code, for example id", maxLanguages)
		n.Texts = nil
	}
	for lang, t := range n.Texts {
		if t = strip(t); t != "" {
			texts[strings.ToLower(strings.TrimSpace(lang))] = t
		}
		if len([]rune(t)) > MaxText {
			f.Add("texts", "the text in %s has %d characters, the limit is %d", lang, len([]rune(t)), MaxText)
		}
	}
	if known && len(texts) == 0 {
		f.Add("texts", "enter the text in at least one language")
	}
	if err := f.Err(); err != nil {
		return Incident{}, err
	}
	return s.change(ctx, by, id, "update.post", now, func(tx *journal.Tx, inc *Incident) error {
		aud, err := s.addressed(tx, by, inc, n)
		if err != nil {
			return err
		}
		if n.Corrects != 0 && !slices.ContainsFunc(inc.VisibleUpdates(by), func(u Update) bool { return u.Number == n.Corrects }) {
			return fieldError("corrects", fmt.Sprintf("there is no update %d", n.Corrects))
		}
		if err := tx.DeletePrivate(privateDraft, inc.ID+"/"+by.Partner); err != nil {
			return err
		}
		if isPublic(aud) {
			return s.askStatement(tx, by, inc, now, n, texts, aud)
		}
		return s.post(tx, by, by, inc, now, aud, updated{Name: n.Audience, Texts: texts, Corrects: n.Corrects})
	})
}

// MayPublish reports whether the actor's partner may say something to everyone
// under a protocol: those may who decide on its activation.
func MayPublish(def *protocol.Definition, by access.Actor) bool {
	return slices.Contains(def.Authority.Activate.Kinds, by.Kind)
}

// addressed is who would read the update. What everyone would read is refused to
// partners that may not decide.
func (s *Service) addressed(r journal.StoreReader, by access.Actor, inc *Incident, n NewUpdate) (access.Audience, error) {
	def, err := s.leading(r, inc)
	if err != nil {
		return access.Audience{}, err
	}
	tlp := map[string]access.TLP{"partners": def.Audiences.Partners, "observers": def.Audiences.Observers, "public": def.Audiences.Public}[n.Audience]
	if n.TLP != "" {
		if tlp, err = access.ParseTLP(n.TLP); err != nil {
			return access.Audience{}, fieldError("tlp", "use clear, green, amber, amber+strict or red")
		}
	}
	aud := inc.Addressed(tlp, by.Partner)
	if n.Audience == "partners" && tlp.Wider(inc.Audience.TLP) {
		aud.TLP = inc.Audience.TLP
		if n.TLP != "" {
			return aud, fieldError("tlp", fmt.Sprintf("the incident is TLP:%s; choose that or a narrower label, or address observers or the public", strings.ToUpper(string(inc.Audience.TLP))))
		}
	}
	if isPublic(aud) && !MayPublish(def, by) {
		var f problem.InvalidFields
		f.Add("audience", "a partner of kind %s makes nothing public under %s; address partners or observers, without TLP:CLEAR", by.Kind, def.ID)
		return aud, f.Err()
	}
	return aud, nil
}

// Addressed is the audience of what a partner says in the incident with a label:
// whoever the label admits, and always the partners that the incident names and
// the one that notified it.
func (i Incident) Addressed(tlp access.TLP, partner string) access.Audience {
	named := append(slices.Clone(i.Audience.Partners), i.Audience.Origin)
	return access.Audience{TLP: tlp, Origin: partner, Partners: slices.Compact(slices.Sorted(slices.Values(named)))}
}

// post appends an update and what follows from it. by is who acts; of is in
// whose name it speaks, whose promise of an update it keeps.
func (s *Service) post(tx *journal.Tx, by, of access.Actor, inc *Incident, now time.Time, aud access.Audience, body updated) error {
	body.Number = len(inc.Updates) + 1
	about := []journal.Ref{}
	if body.Statement > 0 {
		about = append(about, inc.statementRef(body.Statement))
	}
	if err := s.append(tx, by, inc, now, "update.posted", "", "", aud, body, about...); err != nil {
		return err
	}
	for _, p := range inc.Running() {
		d, err := s.defs.of(tx, inc.Activations[p])
		if err != nil {
			return err
		}
		events, err := protocol.Step(d, inc.Activations[p], protocol.Action{Verb: protocol.PostUpdate}, of, now)
		if problem.KindOf(err) == problem.Conflict || problem.KindOf(err) == problem.Denied {
			continue // the update is told all the same; it meets no clock of this protocol
		}
		if err != nil {
			return err
		}
		if err := s.appendEvents(tx, by, inc, now, events); err != nil {
			return err
		}
	}
	return nil
}

// NewAsset describes a piece of content.
type NewAsset struct {
	Kind     string `json:"kind"`
	Producer string `json:"producer,omitempty"` // empty: unknown
	Where    string `json:"where,omitempty"`
	Text     string `json:"text"`
	SHA256   string `json:"sha256,omitempty"`
}

// AddAsset adds a piece of content to the incident.
func (s *Service) AddAsset(ctx context.Context, by access.Actor, id string, n NewAsset) (Incident, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.AddAsset, now); err != nil {
		return Incident{}, err
	}
	var f problem.InvalidFields
	n.Producer = cmp.Or(n.Producer, string(signal.Unknown))
	n.Text, n.Where = strip(n.Text), line(n.Where)
	if !slices.Contains(AssetKinds(), n.Kind) {
		f.Add("kind", "choose one of %s", strings.Join(AssetKinds(), ", "))
	}
	if !slices.Contains(signal.Producers(), signal.Producer(n.Producer)) {
		f.Add("producer", "choose perpetrator, accomplice, bystander, media or unknown")
	}
	if n.Text == "" || len([]rune(n.Text)) > MaxText {
		f.Add("text", "describe the content in up to %d characters", MaxText)
	}
	if len(n.Where) > 2000 {
		f.Add("where", "enter up to 2000 characters")
	}
	if n.SHA256 != "" && (len(n.SHA256) != 64 || strings.Trim(strings.ToLower(n.SHA256), "0123456789abcdef") != "") {
		f.Add("sha256", "enter 64 characters: digits and a to f")
	}
	if err := f.Err(); err != nil {
		return Incident{}, err
	}
	return s.change(ctx, by, id, "asset.add", now, func(tx *journal.Tx, inc *Incident) error {
		if inc.Status.Phase == protocol.Closed {
			return problem.Newf(problem.Conflict, "incident %s is closed", inc.ID).WithFix("reopen it first")
		}
		return s.append(tx, by, inc, now, "asset.added", "", "", inc.Audience, n)
	})
}
