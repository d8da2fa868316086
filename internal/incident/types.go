package incident

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// Kinds of objects that this package folds.
const (
	KindIncident   = "incident"
	KindDefinition = "protocol" // a definition file as it was when an activation began with it
)

// Act is who did something, when, and the entry that says so.
type Act struct {
	Partner string    `json:"partner,omitempty"`
	Member  string    `json:"member,omitempty"`
	At      time.Time `json:"at"`
	Entry   int64     `json:"entry"`
}

// Update is a situation update: a dated statement to an audience.
type Update struct {
	Number   int               `json:"number"` // from 1 in the incident
	By       Act               `json:"by"`
	Second   Act               `json:"second,omitzero"` // who confirmed it, if it is public
	Name     string            `json:"audience_name"`   // partners, observers or public
	Audience access.Audience   `json:"audience"`
	Texts    map[string]string `json:"texts"`              // by language
	Corrects int               `json:"corrects,omitempty"` // number of the update that this one corrects
	Erased   bool              `json:"erased,omitempty"`
}

// Asset is a piece of content that the incident is about. It is described and
// located; the content itself is not kept.
type Asset struct {
	Number   int    `json:"number"`
	By       Act    `json:"by"`
	Kind     string `json:"kind"`
	Producer string `json:"producer"`
	Where    string `json:"where,omitempty"` // address or service
	Text     string `json:"text"`            // description
	SHA256   string `json:"sha256,omitempty"`
}

// Incident is the folded state of one incident.
type Incident struct {
	ID           string                 `json:"id"` // "IDN-2026-0007"; an exercise: "EX-2026-0012"
	Title        string                 `json:"title"`
	Description  string                 `json:"description,omitempty"`
	Where        string                 `json:"where,omitempty"`
	Country      string                 `json:"country,omitempty"`
	SeenAt       time.Time              `json:"seen_at"`
	URLs         []string               `json:"urls"`
	Live         protocol.Truth         `json:"live"`
	MoreExpected protocol.Truth         `json:"more_expected"`
	Exercise     bool                   `json:"exercise,omitempty"`
	Status       protocol.IncidentState `json:"status"`
	Audience     access.Audience        `json:"audience"`
	Notified     Act                    `json:"notified"`
	Closed       time.Time              `json:"closed_at,omitzero"`

	Answers     map[string]protocol.Answer     `json:"answers,omitempty"`     // by criterion
	Activations map[string]protocol.Activation `json:"activations,omitempty"` // by protocol
	Called      []string                       `json:"called,omitempty"`      // partners that were told
	Acks        map[string]Act                 `json:"acks,omitempty"`        // by partner
	Threat      Threat                         `json:"threat,omitzero"`       // to life, last
	Updates     []Update                       `json:"updates,omitempty"`
	Statements  []Statement                    `json:"statements,omitempty"` // public ones that waited or wait for a second person
	Assets      []Asset                        `json:"assets,omitempty"`
	Questions   []Question                     `json:"questions,omitempty"`
	Offers      []Offer                        `json:"offers,omitempty"` // hand-overs
	Last        Act                            `json:"last"`             // the latest entry about it

	Leaderless []string `json:"-"` // protocols that run and whose lead has left the partnership
}

// Running returns the protocols whose activation has begun and not ended, in
// order of name.
func (i Incident) Running() []string {
	var out []string
	for p, a := range i.Activations {
		if a.State.Running() {
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// gravity lists the states of an activation that runs, the gravest first.
var gravity = []protocol.State{protocol.Active, protocol.Provisional, protocol.StandingDown, protocol.Voting}

// Phase is the gravest state among the activations, or the incident's own:
// what the board shows.
func (i Incident) Phase() string {
	if a, ok := i.Activations[i.Leading()]; ok {
		return string(a.State)
	}
	return string(i.Status.Phase)
}

// Leading is the protocol that leads: the one in the gravest state, so that an
// active one stands before one that is voted on, and of several the one that
// began first; "" while none runs.
func (i Incident) Leading() string {
	first := ""
	for _, p := range i.Running() {
		if first == "" || before(i.Activations[p], i.Activations[first]) {
			first = p
		}
	}
	return first
}

func before(a, b protocol.Activation) bool {
	began := func(a protocol.Activation) time.Time {
		for _, t := range []time.Time{a.ActiveSince, a.ProvisionalSince} {
			if a.State != protocol.Voting && !t.IsZero() {
				return t
			}
		}
		return a.Proposed
	}
	return cmp.Or(cmp.Compare(slices.Index(gravity, a.State), slices.Index(gravity, b.State)), began(a).Compare(began(b))) < 0
}

// Lead is the partner that leads: under the protocol that leads, or the one
// that notified.
func (i Incident) Lead() string {
	return cmp.Or(i.Activations[i.Leading()].Lead, i.Notified.Partner)
}

// Corrected returns the numbers of the updates that a later one corrects, with
// the number of the latest correction.
func (i Incident) Corrected() map[int]int {
	out := map[int]int{}
	for _, u := range i.Updates {
		if u.Corrects > 0 {
			out[u.Corrects] = u.Number
		}
	}
	return out
}

// VisibleUpdates returns the updates that the actor may see, oldest first.
func (i Incident) VisibleUpdates(a access.Actor) []Update {
	var out []Update
	for _, u := range i.Updates {
		if u.Audience.Sees(a) {
			out = append(out, u)
		}
	}
	return out
}

func number(prefix string, year int, n int64) string {
	return fmt.Sprintf("%s-%d-%04d", prefix, year, n)
}

// AssetKinds lists the kinds of assets.
func AssetKinds() []string {
	return []string{"livestream", "video", "image", "audio", "text", "document", "url", "channel", "payment"}
}
