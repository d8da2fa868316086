package signal

import (
	"fmt"
	"maps"
	"slices"

	"github.com/siaga-crp/siaga/internal/journal"
)

// ops says what the feed must carry so that edges go from before to after.
func ops(before, after Signal) []Op {
	var out []Op
	was, is := deliveries(before), deliveries(after)
	for _, chain := range slices.Sorted(slices.Values(after.Sent)) {
		switch w, i := was[chain], is[chain]; {
		case w == i || (w == masked && i == ""): // as it was, or hidden already
		case i == "" || i == masked:
			out = append(out, Op{Chain: chain, Signal: after})
		default:
			out = append(out, Op{Chain: chain, Add: true, Signal: after, Action: i})
		}
	}
	return out
}

// OpsOf says again what the feed was given with the last of the entries, which
// are all that are about one signal, in order, up to that one.
func OpsOf(entries []journal.Entry) ([]Op, error) {
	var before, after Signal
	for _, e := range entries {
		before = after
		before.Own, before.Sent = maps.Clone(after.Own), slices.Clone(after.Sent)
		if err := apply(&after, e); err != nil {
			return nil, fmt.Errorf("folding entry %d: %w", e.Number, err)
		}
	}
	return ops(before, after), nil
}

// masked stands for a removal in a partner's own chain, which hides what the
// shared chain has.
const masked Action = "masked"

// deliveries returns, by chain, what the signal does there: an action, masked,
// or nothing.
func deliveries(s Signal) map[string]Action {
	d := make(map[string]Action)
	ended := s.State == Withdrawn || s.State == Expired || s.State == Refused
	shared := func(partner string) Action { // what the partner gets without a decision of its own
		if s.State != Active {
			return ""
		}
		if s.Audience.Named() && partner != s.Audience.Origin && !slices.Contains(s.Audience.Partners, partner) {
			return ""
		}
		return s.Does
	}
	if s.State == Active {
		if s.Audience.Named() {
			d[ChainOf(s.Audience.Origin)] = s.Does
			for _, p := range s.Audience.Partners {
				d[ChainOf(p)] = s.Does
			}
		} else {
			d[ChainPartners] = s.Does
		}
	}
	for p, o := range s.Own {
		switch {
		case ended:
			d[ChainOf(p)] = masked
		case o.State == Active:
			d[ChainOf(p)] = o.Action
		case o.State == Suspended || o.State == Withdrawn:
			d[ChainOf(p)] = masked
		default: // it decided once and has no decision now: its own chain repeats the shared one
			if a := shared(p); a != "" {
				d[ChainOf(p)] = a
			} else {
				d[ChainOf(p)] = masked
			}
		}
	}
	return d
}
