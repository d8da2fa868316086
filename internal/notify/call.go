package notify

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// KindCall is the kind of the object that a call is.
const KindCall = "call"

// What is asked of the one who is called.
const (
	AskNotified = "notified" // acknowledge an incident
	AskVote     = "vote"
	AskActive   = "active"  // acknowledge an activation
	AskDue      = "due"     // something else that a clock waits for
	AskOverdue  = "overdue" // the same, after its time: for those whom its escalation then names
	AskThreat   = "threat"  // acknowledge a threat to life, as a government
)

// States of a call.
const (
	Calling      = "calling"
	Acknowledged = "acknowledged"
	Ended        = "ended"     // not asked any more
	Exhausted    = "exhausted" // nobody is left to be called
)

// Step is a step of the escalation.
type Step struct {
	At   time.Time `json:"at"`
	To   string    `json:"to"` // of package protocol: next_on_roster, phone, …
	Done bool      `json:"done,omitempty"`
}

// Attempt is one message to one person on one channel.
type Attempt struct {
	Channel string    `json:"channel"`
	Kind    string    `json:"kind"`
	At      time.Time `json:"at"`
	State   string    `json:"state"` // sent, delivered, failed
	Reason  string    `json:"reason,omitempty"`
	Final   bool      `json:"final,omitempty"` // trying again is of no use
}

// Reached is a person that is called.
type Reached struct {
	Member   string    `json:"member"`
	Since    time.Time `json:"since"`
	Passed   time.Time `json:"passed,omitzero"` // "not me"
	Attempts []Attempt `json:"attempts,omitempty"`
}

// Call is the folded state of one call: what is asked of one partner, and who
// was told of it.
type Call struct {
	ID       string          `json:"id"`
	Partner  string          `json:"partner"`
	Incident string          `json:"incident"`
	Protocol string          `json:"protocol,omitempty"`
	Ask      string          `json:"ask"`
	Due      string          `json:"due,omitempty"` // what the clock waits for: update, report, renewal, conclusion, review
	Exercise bool            `json:"exercise,omitempty"`
	Audience access.Audience `json:"audience"`
	Begun    time.Time       `json:"begun"`
	Deadline time.Time       `json:"deadline"`
	Steps    []Step          `json:"steps,omitempty"`
	People   []Reached       `json:"people,omitempty"`
	Wide     bool            `json:"wide,omitempty"` // on every channel of theirs
	Late     bool            `json:"late,omitempty"` // it began after its time, with a deadline of its own
	State    string          `json:"state"`
	By       string          `json:"by,omitempty"` // member who acknowledged; "" for another way
	Over     time.Time       `json:"over,omitzero"`
	Next     time.Time       `json:"next,omitzero"` // when something is due in it

	ends time.Time // when what is asked ends whether or not it is answered; zero: it waits
}

type callBegun struct {
	Call
	Member string `json:"first,omitempty"`
}

type callEvent struct {
	Member  string    `json:"member,omitempty"`
	Channel string    `json:"channel,omitempty"`
	Kind    string    `json:"kind,omitempty"`
	State   string    `json:"state,omitempty"`
	Reason  string    `json:"reason,omitempty"`
	Final   bool      `json:"final,omitempty"`
	To      string    `json:"to,omitempty"`   // escalated: the step
	Step    int       `json:"step,omitempty"` // from 1; 0: none of the protocol's
	Members []string  `json:"members,omitempty"`
	Next    time.Time `json:"next,omitzero"`
	Partner string    `json:"partner,omitempty"` // called, for the sentence
}

func applyCall(c *Call, e journal.Entry) error {
	if e.Type == "call.begun" {
		var b callBegun
		if err := e.Decode(&b); err != nil {
			return err
		}
		*c = b.Call
		c.State = Calling
		if e.Erased {
			c.ID, c.State = e.About[0].ID, Ended
		}
		return nil
	}
	var ev callEvent
	if err := e.Decode(&ev); err != nil {
		return err
	}
	person := func(id string) *Reached {
		for i := range c.People {
			if c.People[i].Member == id {
				return &c.People[i]
			}
		}
		c.People = append(c.People, Reached{Member: id, Since: e.At})
		return &c.People[len(c.People)-1]
	}
	switch e.Type {
	case "call.sent", "call.failed":
		p := person(ev.Member)
		p.Attempts = append(p.Attempts, Attempt{Channel: ev.Channel, Kind: ev.Kind, At: e.At, State: ev.State, Reason: ev.Reason, Final: ev.Final})
	case "call.escalated":
		if ev.Step > 0 && ev.Step <= len(c.Steps) {
			c.Steps[ev.Step-1].Done = true
		}
		if ev.To == protocol.ToPhone {
			c.Wide = true
		}
		for _, m := range ev.Members {
			person(m)
		}
	case "call.passed":
		person(ev.Member).Passed = e.At
	case "call.acknowledged":
		c.State, c.By, c.Over = Acknowledged, e.Member, e.At
	case "call.ended":
		if c.State != Acknowledged {
			c.State, c.Over = Ended, e.At
		}
	case "call.exhausted":
		c.State, c.Over = Exhausted, e.At
	default:
		return nil
	}
	c.Next = ev.Next
	return nil
}

// Open reports whether the call still waits for an answer. One that is
// exhausted does: somebody may find the message later.
func (c Call) Open() bool { return c.State == Calling || c.State == Exhausted }

// Last returns the last attempt and to whom; ok is false if there is none.
func (c Call) Last() (member string, a Attempt, ok bool) {
	for _, p := range c.People {
		for _, x := range p.Attempts {
			if !ok || x.At.After(a.At) {
				member, a, ok = p.Member, x, true
			}
		}
	}
	return member, a, ok
}

// wanted is a call that should be there.
type wanted struct {
	id string
	Call
}

// notifiedDue is how long a partner has to acknowledge an incident that has no
// protocol yet; ours.
const notifiedDue = 10 * time.Minute

// defaultSteps escalate where no clock says how; ours.
func defaultSteps(from time.Time) []Step {
	return []Step{
		{At: from.Add(5 * time.Minute), To: protocol.ToNextOnRoster},
		{At: from.Add(10 * time.Minute), To: protocol.ToPhone},
		{At: from.Add(20 * time.Minute), To: protocol.ToPartnerLead},
	}
}

// overdueFor is how long those have who are called when a clock has run out;
// ours. A call has a deadline of its own, or it would be over before it began.
const overdueFor = 15 * time.Minute

func callID(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p + "\x00"))
	}
	return hex.EncodeToString(h.Sum(nil)[:10])
}

// Wanted returns the calls that the incident's state asks for now, by ID. It is
// a pure function of the incident and the directory.
func Wanted(inc incident.Incident, partners []partner.Partner, now time.Time) map[string]Call {
	out := make(map[string]Call)
	if inc.Status.Phase == protocol.Closed {
		return out
	}
	add := func(w wanted) {
		w.ID, w.Incident, w.Exercise, w.Audience, w.State = w.id, inc.ID, inc.Exercise, inc.Audience, Calling
		out[w.ID] = w.Call
	}
	gone := func(id string) bool {
		return slices.ContainsFunc(partners, func(x partner.Partner) bool { return x.ID == id && x.Disabled })
	}
	asked := make(map[string]bool) // partners that something else is asked of
	for _, a := range inc.Acknowledgements() {
		if !a.Threat || gone(a.Partner) {
			continue
		}
		// At once, and besides whatever else is asked of the government.
		asked[a.Partner] = true
		w := wanted{id: callID(inc.ID, AskThreat, inc.Threat.At.UTC().Format(time.RFC3339Nano), a.Partner)}
		w.Partner, w.Ask, w.Begun, w.Deadline = a.Partner, AskThreat, inc.Threat.At, inc.Threat.At.Add(incident.ThreatDue)
		w.Steps = defaultSteps(inc.Threat.At)
		add(w)
	}
	active := false
	for name, a := range inc.Activations {
		if !a.State.Running() {
			continue
		}
		active = active || a.State != protocol.Voting
		for _, c := range a.Clocks {
			if !c.Running() {
				continue
			}
			ask, targets := AskDue, []string{c.Partner}
			var last time.Time // step of escalation that was taken
			switch c.MetBy {
			case protocol.ByAcknowledgement:
				ask = AskActive
			case protocol.ByVote:
				ask = AskVote
			default:
				// What is asked without haste calls nobody before its first
				// step of escalation.
				for _, x := range c.Escalate {
					if x.Done {
						last = x.At
					}
				}
				if last.IsZero() {
					continue
				}
			}
			if c.Partner == "" {
				targets = nil
				// Where the lead has left the partnership, those are called who may
				// hand the lead on.
				orphan := c.By.Role == protocol.TheLead && gone(a.Lead)
				if c.By.Role == protocol.TheLead && !orphan {
					targets = append(targets, a.Lead)
				}
				to := func(x protocol.Escalated) bool { return x.Done && x.To == protocol.ToAuthority }
				if orphan || c.By.Role == protocol.TheAuthority || slices.ContainsFunc(c.Escalate, to) {
					for _, p := range a.Partners {
						if p.Kind == access.Government || p.Kind == access.Intergovernmental || p.Kind == access.Platform {
							targets = append(targets, p.ID)
						}
					}
				}
			}
			for _, p := range targets {
				if p == "" || gone(p) {
					continue
				}
				asked[p] = asked[p] || ask != AskDue
				w := wanted{id: callID(inc.ID, name, itoa(a.Round), c.ID, itoa(c.Period), p)}
				w.Partner, w.Protocol, w.Ask, w.Begun, w.Deadline = p, name, ask, c.Started, c.Due
				for _, x := range c.Escalate {
					if x.To != protocol.ToAuthority && x.To != protocol.ToLead {
						w.Steps = append(w.Steps, Step{At: x.At, To: x.To})
					}
				}
				if len(w.Steps) == 0 {
					w.Steps = defaultSteps(c.Started)
				}
				if ask == AskDue {
					w.Due = c.MetBy
				}
				if ask == AskVote {
					w.ends = a.Closes
				}
				if ask == AskDue && !last.Before(c.Due) {
					// Its time is over, and the escalation goes on with others.
					w.Ask, w.Begun, w.Deadline, w.Steps = AskOverdue, last, last.Add(overdueFor), defaultSteps(last)
				}
				add(w)
			}
		}
	}
	if active {
		return out
	}
	for _, p := range inc.Missing() {
		if asked[p] || !slices.ContainsFunc(partners, func(x partner.Partner) bool { return x.ID == p && !x.Disabled }) {
			continue
		}
		w := wanted{id: callID(inc.ID, AskNotified, p)}
		w.Partner, w.Ask, w.Begun, w.Deadline = p, AskNotified, inc.Notified.At, inc.Notified.At.Add(notifiedDue)
		w.Steps = defaultSteps(inc.Notified.At)
		add(w)
	}
	return out
}

// lateFor is how long after its deadline a call still begins, where the node
// was away and what is asked still waits; ours. What is older wakes nobody any
// more, and the incident says that nobody was called.
const lateFor = 2 * time.Hour

// old reports whether the call's time was over before it began.
func (c Call) old(now time.Time) bool { return !now.Before(c.Deadline) }

// missed reports whether it is too late for the call to begin at all.
func (c Call) missed(now time.Time) bool {
	return !c.Deadline.Add(lateFor).After(now) || c.old(now) && !c.ends.IsZero() && !now.Before(c.ends)
}

// afresh is a call whose time was over before it began: those who are called
// have as long as for a new incident, and are told that it is late.
func (c Call) afresh(now time.Time) Call {
	now = now.UTC().Truncate(time.Millisecond)
	c.Late, c.Begun, c.Deadline, c.Steps = true, now, now.Add(notifiedDue), defaultSteps(now)
	if !c.ends.IsZero() && c.ends.Before(c.Deadline) {
		c.Deadline = c.ends
	}
	return c
}
