package signal

import (
	"context"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// WhyNoIncident stands in an Outlook beside the protocol's Why values: no
// protocol lets the signal block, as it belongs to no incident.
const WhyNoIncident = "no_incident"

// Outlook is what a signal would do, were it approved or resumed now.
type Outlook struct {
	Everywhere Action // on all platforms
	Own        Action // on the platform that decides for itself
	Why        string // what holds either under the action proposed; "" if nothing does
}

// Outlook answers for what activation would decide at this moment, whoever
// decides: a page tells it before it asks. It returns a problem of kind
// NotFound for a signal that the actor may not read.
func (s *Service) Outlook(ctx context.Context, by access.Actor, id string) (Outlook, error) {
	sig, err := s.Get(ctx, by, id)
	if err != nil {
		return Outlook{}, err
	}
	now := s.o.Now()
	var st Standing
	err = s.o.Log.View(ctx, func(r journal.StoreReader) (err error) {
		st, err = s.standing(r, sig, now)
		return err
	})
	if err != nil {
		return Outlook{}, err
	}
	c := sig.ruleCase() // without a quality, what waits for approval is unmeasured
	c.Approved = true
	sig.Tripped = "" // both end with the decision
	top := protocol.MaxAction(st.Runs, c, now)
	out := Outlook{Everywhere: sig.effective(top), Own: protocol.Least(sig.Wanted, top.Own)}
	if out.Everywhere != sig.Wanted || out.Own != sig.Wanted {
		out.Why = top.Why
		if top.Why == protocol.WhyNotActive && sig.Incident == "" {
			out.Why = WhyNoIncident
		}
	}
	return out, nil
}
