package signal

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// Settlement says what becomes of one signal when a crisis ends: it is renewed
// until a day, or withdrawn.
type Settlement struct {
	Signal string    `json:"signal"`
	Until  time.Time `json:"until,omitzero"` // renew; zero: withdraw
}

// MaxSettle is how many signals one call may settle.
const MaxSettle = 500

// Settle renews or withdraws signals of an incident, all of them or none. A
// renewal while a protocol of the incident stands down lets the signal live on
// after the conclusion, for review at most; what is not renewed expires then.
// A signal is renewed by a partner that may approve it.
func (s *Service) Settle(ctx context.Context, by access.Actor, incident string, list []Settlement, reason string) ([]Signal, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.Decide, now); err != nil {
		return nil, err
	}
	if err := access.Allow(by, access.Withdraw, now); err != nil {
		return nil, err
	}
	d := Decision{Reason: reason}
	if err := d.check(true); err != nil {
		return nil, err
	}
	var f problem.InvalidFields
	if len(list) == 0 {
		f.Add("signals", "choose for at least one signal: renew it or withdraw it")
	}
	if len(list) > MaxSettle {
		f.Add("signals", "settle up to %d signals at once", MaxSettle)
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	incident = strings.ToUpper(strings.TrimSpace(incident))
	return journal.Do(ctx, s.o.Log, by, "signal.settle "+incident, now, func(tx *journal.Tx) ([]Signal, error) {
		st, err := s.o.Incidents.Standing(tx, by, incident, now)
		if err != nil {
			return nil, err
		}
		ending := slices.ContainsFunc(st.Runs, func(r protocol.Run) bool { return r.Activation.State == protocol.StandingDown })
		var out []Signal
		for _, one := range list {
			sig, err := visible(tx, by, one.Signal)
			if err != nil {
				return nil, err
			}
			if sig.Incident != incident {
				return nil, invalid("signals", "%s belongs to another incident", sig.ID)
			}
			if sig.State != Active && sig.State != Suspended {
				return nil, sig.refuse("renew or withdraw", sig.open(by, now)...)
			}
			typ, body := "signal.withdrawn", decided{Reach: Everywhere}
			if !one.Until.IsZero() {
				if st.Definition != nil {
					if err := st.Definition.MayApprove(sig.Proposed.Partner, by); err != nil {
						return nil, err
					}
				}
				latest := st.expiry(now, s.o.Life)
				if !one.Until.After(now) || one.Until.After(latest) {
					return nil, invalid("until", "renew %s until a day from today to %s", sig.ID, latest.UTC().Format("2 January 2006"))
				}
				typ = "signal.renewed"
				body = decided{Reach: Everywhere, Does: sig.Does, Expire: one.Until.UTC().Truncate(time.Millisecond), Count: ending}
			}
			under := ""
			if st.Definition != nil {
				under = st.Definition.Ref() + " stand_down.after"
			}
			if sig, err = s.append(tx, by, typ, sig, d.Reason, under, now, body); err != nil {
				return nil, err
			}
			out = append(out, sig)
		}
		return out, nil
	})
}
