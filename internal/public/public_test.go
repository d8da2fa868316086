package public

import (
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// A published statement tells of what is in force, and of no vote: neither
// beside an active protocol nor on an incident where only a vote goes on.
func TestVotesAreNotPublic(t *testing.T) {
	at := time.Date(2026, 3, 2, 14, 40, 0, 0, time.UTC)
	inc := incident.Incident{
		ID: "IDN-2026-0007", Status: protocol.IncidentState{Phase: protocol.Open, Opened: at},
		Updates: []incident.Update{{Number: 1, Texts: map[string]string{"en": "Stay away"}, Audience: access.Audience{TLP: access.Clear}}},
		Activations: map[string]protocol.Activation{
			"cc-crp":  {Protocol: "cc-crp", Version: "1.0.0", State: protocol.Voting, Proposed: at},
			"eu-cp":   {Protocol: "eu-cp", Version: "1.0.0", State: protocol.StandingDown, ActiveSince: at},
			"sea-crp": {Protocol: "sea-crp", Version: "1.0.0", State: protocol.Active, ActiveSince: at.Add(time.Minute)},
		},
	}
	p, ok := publicOf(inc, nil)
	if !ok || len(p.Protocols) != 2 || p.Protocols[0].Protocol != "eu-cp" || p.Protocols[1].Protocol != "sea-crp" || p.State != "active" || !p.Since.Equal(at.Add(time.Minute)) {
		t.Errorf("two in force and a vote: %v %+v", ok, p)
	}
	delete(inc.Activations, "eu-cp")
	delete(inc.Activations, "sea-crp")
	if p, ok := publicOf(inc, nil); !ok || len(p.Protocols) != 0 || p.State != "open" || !p.Since.Equal(at) {
		t.Errorf("only a vote: %v %+v", ok, p)
	}
}
