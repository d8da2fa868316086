package incident

import (
	"slices"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// ThreatDue is how long governments have to acknowledge a threat to life; ours.
const ThreatDue = 10 * time.Minute

// Threat is the notice of a threat to life: whom it went to, and who has seen
// it. The zero value is none.
type Threat struct {
	At   time.Time      `json:"at,omitzero"`
	Told []string       `json:"told,omitempty"` // governments
	Acks map[string]Act `json:"acks,omitempty"` // by partner
}

// waits reports whether the partner was told and has not said that it has seen it.
func (t Threat) waits(partner string) bool {
	_, seen := t.Acks[partner]
	return !seen && slices.Contains(t.Told, partner)
}

// threatened is the body of EvThreatToLife.
type threatened struct {
	protocol.IncidentEvent
	Told []string `json:"told,omitempty"`
}

// told returns the competent authorities of a threat to life: the governments
// that may see the incident, but not the one that says so.
func (s *Service) told(r journal.StoreReader, by access.Actor, inc *Incident) ([]string, error) {
	all, err := partner.Acting(r)
	var out []string
	for _, p := range all {
		if p.Kind == access.Government && p.ID != by.Partner && inc.Audience.SeenBy(p.ID, p.Kind) {
			out = append(out, p.ID)
		}
	}
	return out, err
}

// acknowledge appends what the partner has seen: the incident, a threat to life
// that it was told of and, if asked for, the activations that wait for it. did
// is false where nothing waited.
func (s *Service) acknowledge(tx *journal.Tx, by access.Actor, inc *Incident, activations bool, now time.Time) (did bool, err error) {
	if _, seen := inc.Acks[by.Partner]; !seen || inc.Threat.waits(by.Partner) {
		if err := s.append(tx, by, inc, now, "incident.acknowledged", "", "", inc.Audience, nil); err != nil {
			return false, err
		}
		did = true
	}
	if !activations {
		return did, nil
	}
	for _, p := range inc.Running() {
		def, err := s.defs.of(tx, inc.Activations[p])
		if err != nil {
			return did, err
		}
		if !slices.ContainsFunc(protocol.Allowed(def, inc.Activations[p], by, now), func(a protocol.Action) bool { return a.Verb == protocol.Acknowledge }) {
			continue
		}
		if err := s.act(tx, by, inc, p, protocol.Action{Verb: protocol.Acknowledge}, now); err != nil {
			return did, err
		}
		did = true
	}
	return did, nil
}

// AcknowledgeIn is Acknowledge in the transaction of an answer by a link, so
// that the end of a call and what it says happen together or not at all. It says
// nothing where nothing waits (a colleague was faster), or where the member may
// not speak for the partner. activations: those that wait are acknowledged, too.
func (s *Service) AcknowledgeIn(tx *journal.Tx, by access.Actor, id string, activations bool, now time.Time) error {
	err := access.Allow(by, access.Acknowledge, now)
	if problem.KindOf(err) == problem.Denied {
		return nil
	}
	if err != nil {
		return err
	}
	inc, err := visible(tx, by, id)
	if problem.KindOf(err) == problem.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	_, err = s.acknowledge(tx, by, &inc, activations, now)
	return err
}
