package protocol_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siaga-crp/siaga/internal/protocol"
)

func answers(pairs ...string) []protocol.Answer {
	var out []protocol.Answer
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, protocol.Answer{ID: pairs[i], Answer: pairs[i+1], Evidence: "said so"})
	}
	return out
}

// TestAdvise: the assessment of the scenario's minute 5, and around it.
func TestAdvise(t *testing.T) {
	for _, c := range []struct {
		name    string
		answers []protocol.Answer
		level   string
		because []string
		unknown []string
	}{
		{
			"nothing is known", nil, "", nil,
			[]string{"real_world_attack", "terrorist_motive", "perpetrator_content", "shows_killing", "live_now", "spread", "more_expected", "threat_to_life"},
		},
		{
			"minute 5", answers("real_world_attack", "yes", "perpetrator_content", "yes", "spread", "one_service", "threat_to_life", "high_specific"),
			"content_incident", []string{"real_world_attack", "perpetrator_content"}, nil,
		},
		{
			"it spreads and is live", answers("real_world_attack", "yes", "perpetrator_content", "yes", "spread", "viral", "live_now", "yes"),
			"crisis", []string{"real_world_attack", "perpetrator_content", "live_now", "spread"}, nil,
		},
		{
			"only the spread is missing", answers("real_world_attack", "yes", "perpetrator_content", "yes", "live_now", "yes", "spread", "unknown"),
			"content_incident", []string{"real_world_attack", "perpetrator_content"}, []string{"spread"},
		},
		{
			"whose content is missing", answers("real_world_attack", "yes", "perpetrator_content", "unknown"),
			"watch", []string{"real_world_attack"}, []string{"terrorist_motive", "perpetrator_content", "shows_killing", "live_now", "spread"},
		},
		{
			"nothing happened", answers("real_world_attack", "no", "more_expected", "no", "threat_to_life", "none"), "", nil, nil,
		},
		{
			"an answer that is none", answers("real_world_attack", "perhaps", "more_expected", "no", "threat_to_life", "none"), "", nil,
			[]string{"real_world_attack", "terrorist_motive", "perpetrator_content", "shows_killing", "live_now", "spread"},
		},
		{
			"the last answer counts", answers("real_world_attack", "yes", "real_world_attack", "no", "more_expected", "no", "threat_to_life", "low"), "", nil, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := protocol.Advise(lookup(t, "sea-crp"), c.answers)
			if got.Level != c.level {
				t.Errorf("level %q, want %q", got.Level, c.level)
			}
			var because []string
			for _, a := range got.Because {
				because = append(because, a.ID)
			}
			if diff := cmp.Diff(c.because, because); diff != "" {
				t.Errorf("because (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.unknown, append([]string(nil), got.Unknown...)); diff != "" {
				t.Errorf("unknown (-want +got):\n%s", diff)
			}
		})
	}
}

// TestAdviceIsCautious: for every definition and all answers, to learn what
// was unknown never turns a yes or a no of a level into its opposite, and a
// level that is unknown can still become both.
func TestAdviceIsCautious(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.SampledFrom(protocol.Builtin()).Draw(t, "definition")
		known := map[string]string{}
		var some, all []protocol.Answer
		for _, c := range d.Criteria {
			values := c.Values()
			known[c.ID] = rapid.SampledFrom(values[:len(values)-1]).Draw(t, c.ID)
			all = append(all, protocol.Answer{ID: c.ID, Answer: known[c.ID]})
			if rapid.Bool().Draw(t, "known "+c.ID) {
				some = append(some, protocol.Answer{ID: c.ID, Answer: known[c.ID]})
			}
		}
		before, after := protocol.Advise(d, some), protocol.Advise(d, all)
		if len(after.Unknown) > 0 {
			t.Fatalf("all is answered, and %v is unknown", after.Unknown)
		}
		for i, l := range before.Levels {
			if l.Holds != protocol.Unknown && l.Holds != after.Levels[i].Holds {
				t.Fatalf("level %s was %s and became %s", l.Level, l.Holds, after.Levels[i].Holds)
			}
			if l.Holds == protocol.Unknown && len(l.Unknown) == 0 {
				t.Fatalf("level %s is unknown for no reason", l.Level)
			}
			// What it rests on suffices for it.
			if l.Holds != protocol.Unknown && protocol.Advise(d, l.Because).Levels[i].Holds != l.Holds {
				t.Fatalf("level %s is %s because of %v, which does not suffice", l.Level, l.Holds, l.Because)
			}
		}
		if slices.IndexFunc(before.Levels, func(l protocol.LevelAdvice) bool { return l.Level == before.Level }) >
			slices.IndexFunc(after.Levels, func(l protocol.LevelAdvice) bool { return l.Level == after.Level }) && after.Level != "" {
			t.Fatalf("to know more lowered the advice from %s to %s", before.Level, after.Level)
		}
	})
}

func TestThreatToLife(t *testing.T) {
	for threat, want := range map[protocol.ThreatToLife]bool{
		protocol.ThreatNone: false, protocol.ThreatLow: false, protocol.ThreatMedium: false,
		protocol.ThreatHighUnspecific: true, protocol.ThreatHighSpecific: true, "": false, "very high": false,
	} {
		if got := threat.NoticeAtOnce(); got != want {
			t.Errorf("%q: notice at once %v, want %v", threat, got, want)
		}
	}
	if got := protocol.ThreatOf(answers("threat_to_life", "low", "threat_to_life", "unknown")); got != protocol.ThreatLow {
		t.Errorf("got %q", got)
	}
}
