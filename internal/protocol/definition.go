package protocol

import (
	"slices"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
)

// Definition is a protocol as its file says it. It comes from Parse, which has
// checked it, and is not changed afterwards; anything else that makes one must
// see to it that every name that is referred to exists.
type Definition struct {
	ID          string      `json:"id"`      // lower-case letters, digits and hyphens
	Version     string      `json:"version"` // three numbers: 1.0.0
	Title       Text        `json:"title"`
	Summary     Text        `json:"summary"` // what it is for, in two or three sentences
	Status      Status      `json:"status"`
	Sources     []string    `json:"sources,omitempty"` // public descriptions that it was made from
	Scope       Scope       `json:"scope"`
	Criteria    []Criterion `json:"criteria"`
	Levels      []Level     `json:"levels"` // from the lowest to the highest
	Authority   Authority   `json:"authority"`
	Signals     Signals     `json:"signals"`
	Clocks      []Clock     `json:"clocks"`
	Tasks       Tasks       `json:"tasks"`
	Audiences   Audiences   `json:"audiences"`
	StandDown   StandDown   `json:"stand_down"`
	AfterAction AfterAction `json:"after_action"`
	Templates   Templates   `json:"templates"`

	Hash   string `json:"hash"` // SHA-256 of the file, 64 hex digits
	Source []byte `json:"-"`    // the file
}

// Status says what standing the file has. Either Modelled is true, and it is
// an example to edit, or a partnership adopted it.
type Status struct {
	Modelled bool   `json:"modelled"`
	By       string `json:"by,omitempty"`   // who adopted it
	On       string `json:"on,omitempty"`   // date, 2006-01-02
	Link     string `json:"link,omitempty"` // where that can be read
}

// Scope is what the protocol applies to.
type Scope struct {
	AssetKinds []string `json:"asset_kinds"`
	Abuse      []string `json:"abuse"`
}

// The closed lists of labels that a scope may name (the labels of the glossary).
func assetKinds() []string {
	return []string{"livestream", "video", "image", "audio", "text", "manifesto", "document", "url", "channel", "account", "payment"}
}

func abuseLabels() []string {
	return []string{
		"propaganda", "recruitment", "planning", "financing",
		"incitement", "instruction", "glorification", "threat", "livestream_of_attack", "manifesto", "claim",
	}
}

// Criterion is a question of the assessment. Unknown is always an answer.
type Criterion struct {
	ID      string   `json:"id"`
	Ask     Text     `json:"ask"`
	Help    Text     `json:"help,omitempty"`    // how to find out
	Choices []Choice `json:"choices,omitempty"` // none: yes or no
}

// Choice is one answer to a criterion that is not answered by yes or no.
type Choice struct {
	ID    string `json:"id"`
	Title Text   `json:"title"`
}

// Values returns the answers that the criterion takes.
func (c Criterion) Values() []string {
	if len(c.Choices) == 0 {
		return []string{string(Yes), string(No), string(Unknown)}
	}
	values := make([]string, 0, len(c.Choices)+1)
	for _, ch := range c.Choices {
		values = append(values, ch.ID)
	}
	return append(values, string(Unknown))
}

// Level is how grave an incident is, as advice: the authority decides.
type Level struct {
	ID    string    `json:"id"`
	Title Text      `json:"title"`
	When  Condition `json:"when"`
}

// Condition is a formula over criteria. Either Criterion is set, and it holds
// if the answer is one of Is; or it holds if all of All, at least one of Any
// (if there are some) and none of None hold.
type Condition struct {
	Criterion string      `json:"criterion,omitempty"`
	Is        []string    `json:"is,omitempty"`
	All       []Condition `json:"all,omitempty"`
	Any       []Condition `json:"any,omitempty"`
	None      []Condition `json:"none,omitempty"`
}

// Authority says who may do what.
type Authority struct {
	Notify    NotifyRule `json:"notify"`
	Activate  Rule       `json:"activate"`
	Renew     Rule       `json:"renew"`               // as activate, unless the file says otherwise
	StandDown Rule       `json:"stand_down"`          // as activate, unless the file says otherwise
	Emergency *Emergency `json:"emergency,omitempty"` // nil: there is none
}

// NotifyRule says whose members may notify an incident.
type NotifyRule struct {
	Kinds []access.PartnerKind `json:"kinds"`
}

// Rule is a quorum. It counts partners that voted yes, not people.
type Rule struct {
	Quorum   int                        `json:"quorum"`             // partners, at least 1
	Kinds    []access.PartnerKind       `json:"kinds"`              // who may vote
	AtLeast  map[access.PartnerKind]int `json:"at_least,omitempty"` // of these kinds among those who said yes
	VoteOpen Duration                   `json:"vote_open"`          // how long a vote stays open
}

// Emergency is what one partner may do alone, for a while: ask for review.
type Emergency struct {
	Kinds         []access.PartnerKind `json:"kinds"`
	ConfirmWithin Duration             `json:"confirm_within"`
}

// SignalAction is what a platform is asked to do with content that matches.
type SignalAction string

// The signal actions, from the strongest to the weakest.
const (
	Block   SignalAction = "block"
	Review  SignalAction = "review"
	Monitor SignalAction = "monitor"
)

// SignalActions lists the actions from the strongest to the weakest.
func SignalActions() []SignalAction { return []SignalAction{Block, Review, Monitor} }

// Least returns the weaker of two actions. An unknown action counts as monitor.
func Least(a, b SignalAction) SignalAction {
	rank := func(s SignalAction) int {
		if i := slices.Index(SignalActions(), s); i >= 0 {
			return i
		}
		return len(SignalActions()) - 1
	}
	return SignalActions()[max(rank(a), rank(b))]
}

// Producer is who made a piece of content.
type Producer string

// The producers.
const (
	Perpetrator     Producer = "perpetrator"
	Accomplice      Producer = "accomplice"
	Bystander       Producer = "bystander"
	Media           Producer = "media"
	UnknownProducer Producer = "unknown"
)

// Producers lists the producers.
func Producers() []Producer {
	return []Producer{Perpetrator, Accomplice, Bystander, Media, UnknownProducer}
}

// Signals says how fingerprints become signals under the protocol.
type Signals struct {
	Propose       []access.PartnerKind      `json:"propose"` // whose members may propose
	Approve       Approve                   `json:"approve"`
	DefaultAction map[Producer]SignalAction `json:"default_action"`
	AtMost        SignalAction              `json:"at_most"` // the strongest action that the protocol allows
	Expires       Duration                  `json:"expires"` // after approval, unless renewed
	Variants      Variants                  `json:"variants,omitzero"`
}

// Variants says what a variant of a group does before another partner approved
// it. The zero value: nothing, it waits as any proposal does.
type Variants struct {
	AtOnce SignalAction         `json:"at_once"` // Review: it goes out at once, for review; it blocks only once it is approved
	Kinds  []access.PartnerKind `json:"kinds"`   // whose variants go out at once
}

// Approve says who approves a signal for all partners.
type Approve struct {
	Quorum       int                  `json:"quorum"` // partners
	Kinds        []access.PartnerKind `json:"kinds"`
	OtherPartner bool                 `json:"other_partner_than_proposer"`
}

// The instants from which a clock may run.
const (
	AtProposed     = "proposed"
	AtProvisional  = "provisional"
	AtActivated    = "activated"
	AtLastUpdate   = "last_update"
	AtStandingDown = "standing_down"
	AtConcluded    = "concluded"
)

func clockStarts() []string {
	return []string{AtProposed, AtProvisional, AtActivated, AtLastUpdate, AtStandingDown, AtConcluded}
}

// What meets a clock.
const (
	ByAcknowledgement = "acknowledgement" // the partner has seen it
	ByUpdate          = "update"          // a situation update was posted
	ByReport          = "report"          // somebody says that it is done
	ByVote            = "vote"            // the partner has voted
	ByRenewal         = "renewal"         // the activation was renewed: the sunset
	ByConclusion      = "conclusion"      // somebody concluded: clocks with on_expiry: conclude
	ByReview          = "review"          // the review was filed: the after-action clock
)

// metByValues are those that a file may choose; the others follow from what
// the clock does.
func metByValues() []string { return []string{ByAcknowledgement, ByUpdate, ByReport, ByVote} }

// What a clock does when nobody met it.
const (
	ExpiryStandDown = "stand_down"
	ExpiryConclude  = "conclude"
)

// The escalation targets: the next person on the partner's roster, a telephone
// call to all duty contacts of the partner, the partner's own lead, the
// partner that leads the incident, all partners that decide.
const (
	ToNextOnRoster = "next_on_roster"
	ToPhone        = "phone"
	ToPartnerLead  = "partner_lead"
	ToLead         = "lead"
	ToAuthority    = "authority"
)

func escalationTargets() []string {
	return []string{ToNextOnRoster, ToPhone, ToPartnerLead, ToLead, ToAuthority}
}

// Who is asked.
const (
	EveryPartner = "every_partner" // each partner that was called, by itself
	TheLead      = "lead"          // the partner that leads the activation
	TheAuthority = "authority"     // any partner that may vote on activation
)

// Who says who is asked: EveryPartner, TheLead, TheAuthority, or each called
// partner of some kinds. Exactly one of the fields is set.
type Who struct {
	Role  string               `json:"role,omitempty"`
	Kinds []access.PartnerKind `json:"kinds,omitempty"`
}

// Clock is a duty with a deadline.
type Clock struct {
	ID       string       `json:"id"`
	Title    Text         `json:"title"`
	Starts   string       `json:"starts"`
	Due      Duration     `json:"due"`
	By       Who          `json:"by"`
	MetBy    string       `json:"met_by"`
	Repeats  bool         `json:"repeats,omitempty"` // starts again when it was met or missed
	Escalate []Escalation `json:"escalate,omitempty"`
	OnExpiry string       `json:"on_expiry,omitempty"`
}

// Escalation calls somebody else if the clock was not met After its start.
type Escalation struct {
	After Duration `json:"after"`
	To    string   `json:"to"`
}

// Tasks are asked of partners when a phase begins.
type Tasks struct {
	Voting       []Task `json:"voting,omitempty"`
	Provisional  []Task `json:"provisional,omitempty"`
	Active       []Task `json:"active,omitempty"`
	StandingDown []Task `json:"standing_down,omitempty"`
	Concluded    []Task `json:"concluded,omitempty"`
}

// In returns the tasks of the phase that begins with the state.
func (t Tasks) In(s State) []Task {
	switch s {
	case Voting:
		return t.Voting
	case Provisional:
		return t.Provisional
	case Active:
		return t.Active
	case StandingDown:
		return t.StandingDown
	case Concluded:
		return t.Concluded
	}
	return nil
}

// Task is something that a partner is asked to do.
type Task struct {
	ID  string   `json:"id"`
	By  Who      `json:"by"`
	Ask Text     `json:"ask"`
	Due Duration `json:"due,omitempty"` // 0: no deadline
}

// Audiences are the labels with which the protocol speaks to its readers.
type Audiences struct {
	Partners  access.TLP `json:"partners"`
	Observers access.TLP `json:"observers"`
	Public    access.TLP `json:"public"`
}

// StandDown says what is asked before, and done after, the decision to end.
type StandDown struct {
	Ask   []Question `json:"ask"`
	After []FollowUp `json:"after"`
}

// Question is asked once and answered with yes, no or unknown, or in words.
type Question struct {
	ID  string   `json:"id"`
	Ask Text     `json:"ask"`
	For Duration `json:"for,omitempty"` // for how long it must have held
}

// FollowUp is one thing to do after the decision to stand down.
type FollowUp struct {
	ID  string `json:"id"`
	Ask Text   `json:"ask"`
}

// AfterAction says how the partnership learns from an activation.
type AfterAction struct {
	Due       Duration   `json:"due"`
	Questions []Question `json:"questions"`
	Publish   Publish    `json:"publish"`
}

// Publish says to whom the review goes, and on whose word.
type Publish struct {
	TLP access.TLP `json:"tlp"`
	By  Who        `json:"by"`
}

// Templates are first drafts of what is said. They hold placeholders in
// braces: {number}, {title}, {level}, {protocol}, {since}, {sunset}, {lead}
// and {next_update}.
type Templates struct {
	Activation Text `json:"activation"`
	Update     Text `json:"update"`
	StandDown  Text `json:"stand_down"`
}

// placeholders are those that templates may hold.
func placeholders() []string {
	return []string{"number", "title", "level", "protocol", "since", "sunset", "lead", "next_update"}
}

// Criterion returns the criterion with the ID.
func (d *Definition) Criterion(id string) (Criterion, bool) {
	i := slices.IndexFunc(d.Criteria, func(c Criterion) bool { return c.ID == id })
	if i < 0 {
		return Criterion{}, false
	}
	return d.Criteria[i], true
}

// Level returns the level with the ID.
func (d *Definition) Level(id string) (Level, bool) {
	i := slices.IndexFunc(d.Levels, func(l Level) bool { return l.ID == id })
	if i < 0 {
		return Level{}, false
	}
	return d.Levels[i], true
}

// Clock returns the clock with the ID.
func (d *Definition) Clock(id string) (Clock, bool) {
	i := slices.IndexFunc(d.Clocks, func(c Clock) bool { return c.ID == id })
	if i < 0 {
		return Clock{}, false
	}
	return d.Clocks[i], true
}

// Task returns the task with the ID, of whatever phase. The steps after a
// stand-down are tasks of the lead in the phase standing_down.
func (d *Definition) Task(id string) (Task, bool) {
	for _, s := range []State{Voting, Provisional, Active, StandingDown, Concluded} {
		for _, t := range d.tasksIn(s) {
			if t.ID == id {
				return t, true
			}
		}
	}
	return Task{}, false
}

// tasksIn returns the tasks of a phase with the steps after a stand-down.
func (d *Definition) tasksIn(s State) []Task {
	tasks := d.Tasks.In(s)
	if s != StandingDown {
		return tasks
	}
	tasks = slices.Clone(tasks)
	for _, st := range d.StandDown.After {
		tasks = append(tasks, Task{ID: st.ID, Ask: st.Ask, By: Who{Role: TheLead}})
	}
	return tasks
}

// Sunset returns how long an activation lasts unless it is renewed.
func (d *Definition) Sunset() time.Duration {
	for _, c := range d.Clocks {
		if c.OnExpiry == ExpiryStandDown {
			return c.Due.Std()
		}
	}
	return 0
}

// Ref returns "id@version", as journal entries name the definition.
func (d *Definition) Ref() string { return d.ID + "@" + d.Version }

// MayBlock reports whether an active activation allows signals to block.
func (d *Definition) MayBlock() bool { return d.Signals.AtMost == Block }
