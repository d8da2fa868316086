package signal

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/internal/journal"
)

func unique(v fingerprint.Value) string { return string(v.Kind) + ":" + v.Text }

// Folds returns the folds of signals, their groups, and verdicts on them.
func Folds() []journal.Fold {
	return []journal.Fold{groups, feedbacks, journal.FoldOf(KindSignal, apply, func(s *Signal) journal.Keys {
		k := journal.Keys{
			State: string(s.State), Partner: s.Proposed.Partner, Parent: s.Incident, Unique: unique(s.Fingerprint),
			Sort: fmt.Sprintf("%020d", s.Number),
			Text: strings.ToLower(strings.Join(append([]string{s.ID, s.Fingerprint.Text, s.List, s.Group}, s.Labels...), " ")),
		}
		if s.Fingerprint.Kind == fingerprint.Payment { // a payment handle is found by its exact value only
			k.Text = strings.ToLower(strings.Join(append([]string{s.ID, s.List, s.Group}, s.Labels...), " "))
		}
		if !s.ExpiresAt.IsZero() {
			k.DueMS = s.ExpiresAt.UnixMilli()
		}
		return k
	})}
}

func apply(s *Signal, e journal.Entry) error {
	act := Act{Partner: e.Partner, Member: e.Member, Token: e.Token, At: e.At, Entry: e.Number, Why: e.Why}
	if e.Type == "signal.proposed" {
		var p proposed
		if err := e.Decode(&p); err != nil {
			return err
		}
		if e.Erased { // what was proposed is gone; its number stays
			if _, err := fmt.Sscanf(e.About[0].ID, "S-%d", &p.Number); err != nil {
				return fmt.Errorf("reading the number of signal %q: %w", e.About[0].ID, err)
			}
		}
		*s = Signal{
			Number: p.Number, ID: e.About[0].ID, Incident: p.Incident, List: p.List, Group: p.Group, Fingerprint: p.Fingerprint,
			MaxDistance: p.MaxDistance, Labels: p.Labels, Producer: p.Producer, Wanted: p.Wanted, Confidence: p.Confidence,
			Note: p.Note, Provenance: p.Provenance, Unmeasured: p.Unmeasured, Variant: p.Variant, Audience: e.Audience, Exercise: e.Exercise,
			State: Proposed, Proposed: act, Last: act,
		}
		return nil
	}
	if e.Type == "signal.tripped" {
		var t tripped
		if err := e.Decode(&t); err != nil {
			return err
		}
		s.Tripped, s.Does, s.Last = t.Edge, t.Does, act
		return nil
	}
	var d decided
	if err := e.Decode(&d); err != nil {
		return err
	}
	switch e.Type {
	case "signal.approved", "signal.resumed":
		if d.Reach == Mine {
			s.own(act, Own{State: Active, Action: d.Does, By: act})
			if s.ExpiresAt.IsZero() {
				s.ExpiresAt = d.Expire
			}
			break
		}
		act.Kind = d.Kind
		s.Unmeasured = s.Unmeasured || d.Unmeasured
		s.Approved = append(s.Approved, act)
		if d.Count {
			return nil
		}
		s.State, s.Does, s.Under, s.Last, s.Cause, s.Tripped = Active, d.Does, e.Under, act, "", ""
		s.AtOnce = false
		s.ExpiresAt = d.Expire
		if s.Active.IsZero() {
			s.Active = e.At
		}
	case "signal.released":
		s.State, s.Does, s.Under, s.Last, s.AtOnce = Active, d.Does, e.Under, act, true
		s.ExpiresAt, s.Active = d.Expire, e.At
	case "signal.refused":
		s.end(Refused, act)
	case "signal.suspended":
		if d.Reach == Mine {
			s.own(act, Own{State: Suspended, Action: s.Own[act.Partner].Action, By: act})
			break
		}
		s.State, s.Last, s.Cause = Suspended, act, d.Cause
		for p, o := range s.Own { // everywhere is everywhere
			if o.State == Active {
				o.State = Suspended
				s.Own[p] = o
			}
		}
	case "signal.withdrawn":
		if d.Reach == Mine {
			s.own(act, Own{State: Withdrawn, By: act})
			break
		}
		s.end(Withdrawn, act)
	case "signal.renewed":
		s.ExpiresAt = d.Expire
		if d.Count { // while a protocol stood down: it outlives the conclusion
			s.Renewed = e.At
		}
	case "signal.expired":
		s.end(Expired, act)
	case "signal.action_changed":
		s.Does = d.Does
	default:
		return nil
	}
	for _, chain := range slices.Sorted(maps.Keys(deliveries(*s))) {
		if !slices.Contains(s.Sent, chain) {
			s.Sent = append(s.Sent, chain)
		}
	}
	return nil
}

func (s *Signal) own(a Act, o Own) {
	if s.Own == nil {
		s.Own = make(map[string]Own)
	}
	s.Own[a.Partner] = o
}

func (s *Signal) end(st State, a Act) {
	s.State, s.Last, s.Ended = st, a, a.At
	s.ExpiresAt = time.Time{}
}
