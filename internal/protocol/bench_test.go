package protocol_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// big returns an activation that n partners were called to, active since minute 1.
func big(b *testing.B, n int) *run {
	r := newRun(b, "sea-crp")
	kinds := []access.PartnerKind{access.Platform, access.Government, access.Platform, access.CivilSociety}
	var called []access.Actor
	for i := range n {
		called = append(called, actor(fmt.Sprintf("partner-%04d", i), kinds[i%len(kinds)]))
	}
	r.activate(called...)
	return r
}

// BenchmarkTick brings an activation up to date that nobody answered for a
// day: every escalation of every partner.
func BenchmarkTick(b *testing.B) {
	for _, n := range []int{12, 100, 500} {
		b.Run(fmt.Sprintf("partners=%d", n), func(b *testing.B) {
			r := big(b, n)
			b.ReportAllocs()
			events := 0
			for b.Loop() {
				events = len(protocol.Tick(r.d, r.a, minute(24*60)))
			}
			b.ReportMetric(float64(events), "events")
		})
	}
}

// BenchmarkMaxAction is asked for each signal whenever an activation changes.
func BenchmarkMaxAction(b *testing.B) {
	for _, n := range []int{12, 500} {
		b.Run(fmt.Sprintf("partners=%d", n), func(b *testing.B) {
			r := big(b, n)
			runs := []protocol.Run{{Definition: r.d, Activation: r.a}}
			b.ReportAllocs()
			for b.Loop() {
				protocol.MaxAction(runs, protocol.SignalCase{Approved: true}, minute(1).Add(time.Second))
			}
		})
	}
}

// BenchmarkVote is one step of a voting with all partners called.
func BenchmarkVote(b *testing.B) {
	for _, n := range []int{12, 500} {
		b.Run(fmt.Sprintf("partners=%d", n), func(b *testing.B) {
			r := newRun(b, "sea-crp")
			var called []access.Actor
			for i := range n {
				called = append(called, actor(fmt.Sprintf("partner-%04d", i), access.Platform))
			}
			r.propose(nusa, minute(0), called...)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := protocol.Step(r.d, r.a, protocol.Action{Verb: protocol.CastVote, Vote: protocol.VoteAbstain}, gema, minute(1)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	src := lookup(b, "sea-crp").Source
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, m := protocol.Parse(src); len(m) > 0 {
			b.Fatal(m)
		}
	}
}
