package protocol

import (
	"slices"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/problem"
)

// MinPDQQuality is the least quality of a PDQ fingerprint that may block, from
// 0 to 100. It is the rule of the reference's maintainers.
const MinPDQQuality = 50

// SignalCase is what decides how far a signal may go.
type SignalCase struct {
	PDQQuality *int // of a fingerprint of kind pdq, vpdq or local, 0 to 100; nil for other kinds
	Unmeasured bool // of kind pdq, and its proposer states no quality: it counts as one of no detail
	Approved   bool // by whom the definition asks (see Definition.Approved)
	Exercise   bool // practice
	// Since is when the signal became active; zero for one that is not yet.
	// What was active before a stand-down lives on through it.
	Since time.Time
}

// Ceiling is the strongest action that a signal may have now, and why.
type Ceiling struct {
	Own    SignalAction `json:"own"`    // on the platform of the partner that proposed it
	Others SignalAction `json:"others"` // on all other platforms
	Why    string       `json:"why"`    // one of the Why values: what holds Others down, or allows it
	Under  string       `json:"under"`  // the authority for Others, such as "sea-crp@1.0.0 authority.activate"; "" if none
}

// Why a ceiling is what it is.
const (
	WhyActive       = "active"        // a protocol is active
	WhyNotActive    = "not_active"    // none is active: review at most, beyond the proposer's own platform
	WhyProvisional  = "provisional"   // emergency authority: review at most
	WhyStandingDown = "standing_down" // the signal was active before and lives on; a new one may not block
	WhyProtocol     = "protocol"      // the active protocol does not allow blocking
	WhyNotApproved  = "not_approved"  // no other partner has approved it yet
	WhyQuality      = "quality"       // too little detail to block safely
	WhyUnmeasured   = "unmeasured"    // its proposer states no quality, so nobody knows whether it may
	WhyExercise     = "exercise"      // practice never blocks
)

// Run is one activation with the definition that it runs under.
type Run struct {
	Definition *Definition
	Activation Activation
}

// MaxAction returns how far a signal may go now, under all the activations of
// its incident; with none of them, a signal is review at most beyond its
// proposer's own platform. The caller has brought the activations up to date
// (Tick); what has lapsed by at gives no authority all the same.
func MaxAction(runs []Run, c SignalCase, at time.Time) Ceiling {
	out := Ceiling{Own: Block, Others: Review, Why: WhyNotActive}
	for i := range runs {
		r := &runs[i]
		a := &r.Activation
		if end := nextPhase(a); end.what != nothing && !end.at.After(at) {
			_, now := advance(r.Definition, *a, at)
			a = &now
		}
		switch {
		case out.Others == Block:
		case a.State == Active && r.Definition.MayBlock():
			out.Others, out.Why, out.Under = Block, WhyActive, a.under("authority.activate")
		case a.State == StandingDown && r.Definition.MayBlock() && !c.Since.IsZero() && c.Since.Before(a.StandingDownSince):
			out.Others, out.Why, out.Under = Block, WhyStandingDown, a.under("stand_down")
		case a.State == Active:
			out.Why, out.Under = WhyProtocol, a.under("signals.at_most")
		case a.State == StandingDown && out.Why != WhyProtocol:
			out.Why, out.Under = WhyStandingDown, a.under("stand_down")
		case a.State == Provisional && out.Why == WhyNotActive:
			out.Why, out.Under = WhyProvisional, a.under("authority.emergency")
		}
	}
	down := func(why string, own bool) {
		if out.Others == Block {
			out.Why = why
		}
		out.Others = Review
		if own {
			out.Own, out.Why = Review, why
		}
	}
	if !c.Approved {
		down(WhyNotApproved, false)
	}
	if c.PDQQuality != nil && *c.PDQQuality < MinPDQQuality {
		down(WhyQuality, true)
	}
	if c.Unmeasured {
		down(WhyUnmeasured, true)
	}
	if c.Exercise {
		down(WhyExercise, true)
	}
	return out
}

// under names a clause as journal entries do.
func (a *Activation) under(clause string) string {
	return a.Protocol + "@" + a.Version + " " + clause
}

// VariantAtOnce returns what a variant of a partner of this kind may do at once,
// before anybody approved it, and under which authority: Review while a
// protocol that says so is active or provisional, and else "".
func VariantAtOnce(runs []Run, kind access.PartnerKind, at time.Time) (SignalAction, string) {
	for i := range runs {
		r := &runs[i]
		a := &r.Activation
		if end := nextPhase(a); end.what != nothing && !end.at.After(at) {
			_, now := advance(r.Definition, *a, at)
			a = &now
		}
		v := r.Definition.Signals.Variants
		if v.AtOnce != "" && slices.Contains(v.Kinds, kind) && (a.State == Active || a.State == Provisional) {
			return v.AtOnce, a.under("signals.variants.at_once")
		}
	}
	return "", ""
}

// DefaultAction is the action that the definition recommends for content of
// the producer, never more than it allows at all.
func (d *Definition) DefaultAction(p Producer) SignalAction {
	act, ok := d.Signals.DefaultAction[p]
	if !ok {
		act = d.Signals.DefaultAction[UnknownProducer]
	}
	if act == "" {
		act = Review
	}
	return Least(act, d.Signals.AtMost)
}

// SignalExpiry returns when a signal that was approved or renewed at the given
// time expires by itself.
func (d *Definition) SignalExpiry(approved time.Time) time.Time {
	return approved.Add(d.Signals.Expires.Std())
}

// SignalsEnd returns when the signals of the activation that nobody renewed
// leave the feed: at its conclusion, or 24 h after a sunset that nobody
// answered. It returns the zero time while no end is set.
func (a Activation) SignalsEnd() time.Time {
	switch {
	case !a.ConcludedAt.IsZero():
		return a.ConcludedAt
	case a.State == StandingDown && a.StandingDownCause == CauseSunset:
		return a.StandingDownSince.Add(GraceAfterSunset)
	}
	return time.Time{}
}

// MayPropose returns a problem of kind Denied unless the definition lets the
// actor's partner propose signals.
func (d *Definition) MayPropose(who access.Actor) error {
	return d.may(d.Signals.Propose, who, "propose signals")
}

// MayApprove returns a problem of kind Denied unless the definition lets the
// actor's partner approve, for all partners, a signal that proposer proposed.
func (d *Definition) MayApprove(proposer string, who access.Actor) error {
	if d.Signals.Approve.OtherPartner && who.Partner == proposer {
		return problem.New(problem.Denied, "a signal for all partners is approved by another partner than the one that proposed it",
			"ask an approver of another partner; your own approval suffices on your own platform")
	}
	return d.may(d.Signals.Approve.Kinds, who, "approve signals")
}

// MayNotify returns a problem of kind Denied unless the definition lets the
// actor's partner notify incidents.
func (d *Definition) MayNotify(who access.Actor) error {
	return d.may(d.Authority.Notify.Kinds, who, "notify incidents")
}

func (d *Definition) may(kinds []access.PartnerKind, who access.Actor, what string) error {
	s := stepper{d: d, who: who}
	return s.kind(kinds, what)
}

// Approved reports whether the partners that approved a signal are enough for
// it to go to all partners. Each counts once; the proposer's own does not
// count if the definition asks for another's, and for block it never does.
func (d *Definition) Approved(proposer string, approvals []Participant) bool {
	var counted []string
	for _, p := range approvals {
		if p.ID == "" || slices.Contains(counted, p.ID) || !slices.Contains(d.Signals.Approve.Kinds, p.Kind) {
			continue
		}
		if p.ID == proposer && (d.Signals.Approve.OtherPartner || d.MayBlock()) {
			continue
		}
		counted = append(counted, p.ID)
	}
	return len(counted) >= max(1, d.Signals.Approve.Quorum)
}
