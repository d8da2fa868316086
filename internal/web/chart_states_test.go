package web

import (
	"math"
	"testing"

	"github.com/siaga-crp/siaga/internal/protocol"
)

// In the charts of all built-in protocols no number covers another one, a box
// or the edge of the picture.
func TestStateChartsAreLegible(t *testing.T) {
	for _, def := range protocol.Builtin() {
		d := drawStates(protocol.Chart(def, "en"), "en")
		if len(d.Edges) < 5 {
			t.Fatalf("%s: %d arrows", def.ID, len(d.Edges))
		}
		for i, a := range d.Edges {
			if a.X < 11 || a.Y < 11 || a.X > d.W-11 || a.Y > d.H-5 {
				t.Errorf("%s: number %d is at %.0f, %.0f, outside %.0f by %.0f", def.ID, a.N, a.X, a.Y, d.W, d.H)
			}
			for _, b := range d.Edges[:i] {
				if math.Hypot(a.X-b.X, a.Y-b.Y) < 21 {
					t.Errorf("%s: %d (%s to %s) and %d (%s to %s) cover each other", def.ID, a.N, a.From, a.To, b.N, b.From, b.To)
				}
			}
			for _, n := range d.Nodes {
				if a.X > n.X && a.X < n.X+boxW && a.Y > n.Y && a.Y < n.Y+boxH {
					t.Errorf("%s: number %d is on the box %s", def.ID, a.N, n.Title)
				}
			}
		}
	}
}
