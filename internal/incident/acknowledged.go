package incident

import (
	"slices"
	"time"

	"github.com/siaga-crp/siaga/internal/protocol"
)

// Acknowledgement says how far one partner has come with saying that it has
// seen the incident.
type Acknowledgement struct {
	Partner  string
	At       time.Time // when it said so last; zero: never
	Waits    bool      // it is asked to say so now
	Asked    time.Time // since when it was asked: the notice, or the activation that asks anew
	Due      time.Time // until when; zero: no clock asks for it
	Protocol string    // whose activation waits for it; "": only the incident itself
	Threat   bool      // a threat to life waits for it
}

// Acknowledgements returns a line for each partner that was called: those told
// of the incident in their order, then those that only an activation asks. It
// is the one answer to who has acknowledged, for pages, API and messages. Who
// has seen the notice has not yet seen the activation: an activation whose
// clock waits for a partner asks it anew, and so does a threat to life that it was
// told of.
func (i Incident) Acknowledgements() []Acknowledgement {
	var out []Acknowledgement
	of := func(partner string) *Acknowledgement {
		n := slices.IndexFunc(out, func(a Acknowledgement) bool { return a.Partner == partner })
		if n < 0 {
			out = append(out, Acknowledgement{Partner: partner, Asked: i.Notified.At})
			n = len(out) - 1
		}
		return &out[n]
	}
	for _, p := range i.Called {
		a := of(p)
		act, ok := i.Acks[p]
		a.At, a.Waits = act.At, !ok
	}
	for _, name := range i.Running() {
		for _, c := range i.Activations[name].Clocks {
			if c.MetBy != protocol.ByAcknowledgement || c.Partner == "" || !c.Stopped.IsZero() {
				continue
			}
			a := of(c.Partner)
			switch {
			case !c.Running():
				if a.Protocol == "" { // seeing the activation is seeing the incident
					a.Waits = false
				}
				if c.Met.After(a.At) {
					a.At = c.Met
				}
			case a.Protocol == "" || c.Due.Before(a.Due):
				if !a.Waits {
					a.Asked = c.Started
				}
				a.Waits, a.Protocol, a.Due = true, name, c.Due
			}
		}
	}
	for _, p := range i.Threat.Told {
		if !i.Threat.waits(p) {
			continue
		}
		a, due := of(p), i.Threat.At.Add(ThreatDue)
		if !a.Waits {
			a.Asked = i.Threat.At
		}
		a.Waits, a.Threat = true, true
		if a.Due.IsZero() || due.Before(a.Due) {
			a.Due = due
		}
	}
	return out
}

// Waiting returns what the partner is asked to acknowledge; false if nothing.
func (i Incident) Waiting(partner string) (Acknowledgement, bool) {
	for _, a := range i.Acknowledgements() {
		if a.Partner == partner {
			return a, a.Waits
		}
	}
	return Acknowledgement{}, false
}

// Missing returns the called partners that have not acknowledged.
func (i Incident) Missing() []string {
	var out []string
	for _, a := range i.Acknowledgements() {
		if a.Waits {
			out = append(out, a.Partner)
		}
	}
	return out
}

// Seen returns the called partners that have acknowledged.
func (i Incident) Seen() []string {
	var out []string
	for _, a := range i.Acknowledgements() {
		if !a.Waits {
			out = append(out, a.Partner)
		}
	}
	return out
}

// Acked counts the partners that have acknowledged, of those that were called.
func (i Incident) Acked() (n, of int) {
	list := i.Acknowledgements()
	for _, a := range list {
		if !a.Waits {
			n++
		}
	}
	return n, len(list)
}
