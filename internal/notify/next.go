package notify

import (
	"slices"
	"strconv"
	"time"

	"github.com/siaga-crp/siaga/internal/protocol"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Do is what is to be done in a call.
type Do struct {
	Send     []Send    // messages to send now
	Escalate *Escalate // before anything else
	Exhaust  bool      // nobody is left
	Next     time.Time // when to look again; zero: never
}

// Send is a message to a person on a channel.
type Send struct {
	Member  string
	Channel Channel
}

// Escalate adds people, or channels (To is phone).
type Escalate struct {
	Step    int    // from 1; 0: none of the protocol's
	To      string // why
	Members []string
}

// Contacts is whom of a partner can be called now, and how.
type Contacts struct {
	Order    []string             // members, the first to be called first
	Leads    []string             // administrators
	Channels map[string][]Channel // by member, in the order of their choice
}

// Retries of one channel: after its second failure, or at once if trying again
// is of no use, the next channel and the next person are called too; the failing
// one is tried on, for about an hour.
var pauses = []time.Duration{15 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 15 * time.Minute, 30 * time.Minute}

// given reports failures after which one relies on something else.
const given = 2

// tried is what became of one channel of one person.
type tried struct {
	failures int // since the last success
	done     bool
	final    bool
	last     time.Time
}

func (r Reached) tried(channel string) (t tried) {
	for _, a := range r.Attempts {
		if a.Channel != channel {
			continue
		}
		t.last = a.At
		if a.State == StateFailed {
			t.failures++
			t.final = t.final || a.Final
		} else {
			t.done = true
		}
	}
	return t
}

// again returns when the channel is tried next; ok is false if never.
func (t tried) again() (at time.Time, ok bool) {
	switch {
	case t.done || t.final:
		return time.Time{}, false
	case t.failures == 0:
		return time.Time{}, true
	case t.failures <= len(pauses):
		return t.last.Add(pauses[t.failures-1]), true
	}
	return time.Time{}, false
}

func (t tried) lost() bool { return !t.done && (t.final || t.failures >= given) }

// Next returns what is to be done in the call at a time. It is a pure function:
// with what it says done and folded in, it says nothing twice.
func Next(c Call, k Contacts, now time.Time) Do {
	if c.State != Calling {
		return Do{}
	}
	for i, s := range c.Steps {
		if !s.Done && !s.At.After(now) {
			return Do{Escalate: escalate(c, k, i+1, s.To)}
		}
	}
	var do Do
	earlier := func(t time.Time) {
		if do.Next.IsZero() || t.Before(do.Next) {
			do.Next = t
		}
	}
	reachable := false
	for _, p := range c.People {
		if !p.Passed.IsZero() {
			continue
		}
		send, at, lost := p.due(k.Channels[p.Member], c.Wide, now)
		for _, ch := range send {
			do.Send = append(do.Send, Send{p.Member, ch})
		}
		if !at.IsZero() {
			earlier(at)
		}
		reachable = reachable || !lost
	}
	if !reachable {
		// Nobody who was called can be reached or wants to: the next one, at once.
		if e := escalate(c, k, 0, protocol.ToNextOnRoster); len(e.Members) > 0 {
			do.Escalate = e
			return do
		}
	}
	for _, s := range c.Steps {
		if !s.Done {
			earlier(s.At)
		}
	}
	do.Exhaust = !reachable && len(do.Send) == 0 && do.Next.IsZero()
	return do
}

// escalate says what a step amounts to.
func escalate(c Call, k Contacts, step int, to string) *Escalate {
	e := &Escalate{Step: step, To: to}
	fresh := func(id string) bool {
		return !slices.ContainsFunc(c.People, func(p Reached) bool { return p.Member == id })
	}
	switch to {
	case protocol.ToNextOnRoster:
		// Somebody with a channel, if there is one at all.
		for _, needed := range []bool{true, false} {
			for _, id := range k.Order {
				if len(e.Members) == 0 && fresh(id) && (!needed || len(k.Channels[id]) > 0) {
					e.Members = append(e.Members, id)
				}
			}
		}
	case protocol.ToPartnerLead:
		for _, id := range k.Leads {
			if fresh(id) {
				e.Members = append(e.Members, id)
			}
		}
	}
	return e
}
