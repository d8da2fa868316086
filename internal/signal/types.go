package signal

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// KindSignal is the kind of object that this package folds.
const KindSignal = "signal"

// State is a signal's state everywhere.
type State string

// The closed list of states.
const (
	Proposed  State = "proposed"
	Active    State = "active"
	Suspended State = "suspended"
	Refused   State = "refused"
	Withdrawn State = "withdrawn"
	Expired   State = "expired"
)

// States lists every state.
func States() []State { return []State{Proposed, Active, Suspended, Refused, Withdrawn, Expired} }

// Action is what a platform is advised to do with a match: the protocol's word.
type Action = protocol.SignalAction

// The closed list of actions.
const (
	Monitor = protocol.Monitor
	Review  = protocol.Review
	Block   = protocol.Block
)

// Producer is who made the content: the protocol's word.
type Producer = protocol.Producer

// Unknown is the producer of content of which nobody knows who made it.
const Unknown = protocol.UnknownProducer

// Producers lists every producer.
func Producers() []Producer { return protocol.Producers() }

// Confidence is how sure the proposer is.
type Confidence string

// The closed list of confidences.
const (
	Low    Confidence = "low"
	Medium Confidence = "medium"
	High   Confidence = "high"
)

// labels is the closed list of plain labels; "language:…" and "entity:…/…" are
// open beside it.
var labels = []string{
	"propaganda", "recruitment", "planning", "financing",
	"incitement", "instruction", "glorification", "threat", "livestream_of_attack", "manifesto", "claim",
	"general", "youth", "women",
}

// Labels lists the plain labels.
func Labels() []string { return slices.Clone(labels) }

// Reach says for whom a decision holds.
type Reach string

// The closed list of reaches.
const (
	Everywhere Reach = "everywhere"
	Mine       Reach = "mine" // the actor's own platform
)

// Provenance says how the fingerprint was computed, as far as the proposer says.
type Provenance struct {
	Tool    string `json:"tool,omitempty"`   // for example "siaga hash 1.0.0"
	SHA256  string `json:"sha256,omitempty"` // of the file it was computed from
	Quality *int   `json:"quality,omitempty" doc:"PDQ's quality of the picture that it was computed from, 0 to 100, as siaga hash prints it. Under 50 a signal of kind pdq, vpdq or local is review at most; so is one of kind pdq that states none: with the action block both are refused"`
}

// Act is one person's decision about a signal.
type Act struct {
	Partner string             `json:"partner"`
	Kind    access.PartnerKind `json:"kind,omitempty"` // of the partner, for approvals
	Member  string             `json:"member,omitempty"`
	Token   string             `json:"token,omitempty"`
	At      time.Time          `json:"at"`
	Entry   int64              `json:"entry"`
	Why     string             `json:"why,omitempty"`
}

// same reports whether the two acts are one person's, or one machine's.
func (a Act) same(by access.Actor) bool {
	return a.Partner == by.Partner && a.Member == by.Member && a.Token == by.Token
}

// Own is what one platform decided for its own edges.
type Own struct {
	State  State  `json:"state"` // active, suspended or withdrawn
	Action Action `json:"action"`
	By     Act    `json:"by"`
}

// Signal is the folded state of one signal.
type Signal struct {
	Number      uint64            `json:"number"`
	ID          string            `json:"id"` // "S-0418"
	Incident    string            `json:"incident,omitempty"`
	List        string            `json:"list"`
	Group       string            `json:"group,omitempty"`
	Fingerprint fingerprint.Value `json:"fingerprint"`
	MaxDistance int               `json:"max_distance"` // bits, for kinds with a distance
	Labels      []string          `json:"labels"`
	Producer    Producer          `json:"producer"`
	Wanted      Action            `json:"wanted"` // the action proposed and approved
	Does        Action            `json:"does"`   // what it does now, when active
	Confidence  Confidence        `json:"confidence"`
	Note        string            `json:"note,omitempty"`
	Provenance  Provenance        `json:"provenance"`
	Unmeasured  bool              `json:"unmeasured,omitempty"` // of kind pdq, proposed or approved without a quality: review at most
	Audience    access.Audience   `json:"audience"`
	Exercise    bool              `json:"exercise,omitempty"`

	Variant   *Variant       `json:"variant,omitempty"` // of a group, if it is not the first
	AtOnce    bool           `json:"at_once,omitempty"` // active as a variant before another partner approved it
	State     State          `json:"state"`
	Proposed  Act            `json:"proposed"`
	Approved  []Act          `json:"approved,omitempty"`
	Last      Act            `json:"last"`              // the latest change of state
	Cause     string         `json:"cause,omitempty"`   // of a suspension: "person"
	Tripped   string         `json:"tripped,omitempty"` // edge whose circuit breaker turned it to review; ends with resume
	Under     string         `json:"under,omitempty"`   // authority by which it became active
	Active    time.Time      `json:"active_at,omitzero"`
	Ended     time.Time      `json:"ended_at,omitzero"`
	ExpiresAt time.Time      `json:"expires_at,omitzero"`
	Renewed   time.Time      `json:"renewed_at,omitzero"` // while a protocol stood down: it outlives the conclusion
	Own       map[string]Own `json:"own,omitempty"`       // by platform
	Sent      []string       `json:"sent,omitempty"`      // feed chains that have carried it
}

// Quality returns the fingerprint's quality and whether it has one.
func (s Signal) Quality() (int, bool) {
	if s.Provenance.Quality == nil {
		return 0, false
	}
	return *s.Provenance.Quality, true
}

// Live reports whether the signal may match somewhere.
func (s Signal) Live() bool {
	if s.State == Active {
		return true
	}
	for o := range maps.Values(s.Own) {
		if o.State == Active {
			return true
		}
	}
	return false
}

// ruleCase is what decides how far the signal may go.
func (s Signal) ruleCase() protocol.SignalCase {
	c := protocol.SignalCase{Approved: !s.AtOnce, Exercise: s.Exercise, Since: s.Active}
	if pictured(s.Fingerprint.Kind) {
		c.PDQQuality = s.Provenance.Quality
	}
	c.Unmeasured = s.Unmeasured || (s.State == Proposed || s.AtOnce) && unmeasured(s.Fingerprint.Kind, s.Provenance)
	return c
}

// unmeasured reports whether nobody says how much detail the picture has that a
// PDQ hash is of: the hash itself does not tell. A signal that was approved
// before this was asked for does what it did (Signal.Unmeasured is not set);
// what is proposed or approved now is review at most.
func unmeasured(k fingerprint.Kind, p Provenance) bool {
	return k == fingerprint.PDQ && p.Quality == nil
}

// pictured reports whether fingerprints of the kind match what looks alike, so
// that one of a picture with too little detail may not block.
func pictured(k fingerprint.Kind) bool {
	return k == fingerprint.PDQ || k == fingerprint.VPDQ || k == fingerprint.Local
}

// Weak says why the signal may not block whatever is decided, and what to do;
// no words if it may.
func (s Signal) Weak() problem.Words {
	c := s.ruleCase()
	if q := c.PDQQuality; q != nil && *q < protocol.MinPDQQuality {
		return problem.Say("this picture has too little detail to block safely (%d, needs %d)", *q, protocol.MinPDQQuality)
	}
	if c.Unmeasured {
		return problem.Say("its proposer states no quality, so it may match unrelated pictures. To block, propose it anew with the quality that siaga hash prints (provenance.quality, %d at least)", protocol.MinPDQQuality)
	}
	return problem.Words{}
}

// effective is what the signal does for others when it is active, given how
// far its incident's protocols let it go.
func (s Signal) effective(top protocol.Ceiling) Action {
	a := protocol.Least(s.Wanted, top.Others)
	if s.Tripped != "" {
		a = protocol.Least(a, Review)
	}
	return a
}

// ID returns the text form of a signal's number.
func ID(number uint64) string { return fmt.Sprintf("S-%04d", number) }

func checkLabel(l string) bool {
	if !utf8.ValidString(l) || strings.ContainsFunc(l, unicode.IsControl) {
		return false
	}
	if slices.Contains(labels, l) {
		return true
	}
	group, value, ok := strings.Cut(l, ":")
	return ok && value != "" && (group == "language" || (group == "entity" && strings.Contains(value, "/")))
}
