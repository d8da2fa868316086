package incident

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// JobClock is the kind of the job that looks at an incident's clocks.
const JobClock = "incident.clock"

// ClockArgs are the arguments of JobClock.
type ClockArgs struct {
	Incident string `json:"incident"`
	DueMS    int64  `json:"due_ms"` // what it was enqueued for; the present state counts
}

// Follow enqueues the look at the clocks for the moment at which the next one
// is due, in the transaction of the entry that set it.
func Follow(tx journal.StoreTx, e journal.Entry) error {
	if !activationEvents[e.Type] && !strings.HasPrefix(e.Type, "statement.") || len(e.About) == 0 || e.About[0].Kind != KindIncident {
		return nil
	}
	inc, err := load(tx, e.About[0].ID)
	if err != nil {
		return err
	}
	return enqueueClock(tx, inc)
}

func enqueueClock(tx journal.StoreTx, inc Incident) error {
	due := inc.nextDue()
	if due.IsZero() {
		return nil
	}
	j := journal.NewJob(JobClock, ClockArgs{inc.ID, due.UnixMilli()}, due)
	j.Once = true
	return tx.Enqueue(j)
}

// nextDue is when time will next bring something about; zero: never.
func (i Incident) nextDue() time.Time {
	var next time.Time
	for _, a := range i.Activations {
		if t := protocol.NextDue(nil, a); !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, st := range i.Statements {
		if st.Settled == "" && (next.IsZero() || st.Until.Before(next)) {
			next = st.Until
		}
	}
	return next
}

// Clock appends what time has brought about in one incident. It may be called
// by several nodes at once, too early or in vain, and does nothing twice: the
// events carry the instants at which they were due.
func (s *Service) Clock(ctx context.Context, a ClockArgs) error {
	now := s.o.Now()
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		inc, err := load(tx, a.Incident)
		if err != nil {
			return err
		}
		appended, err := s.lapse(tx, &inc, now)
		if err != nil {
			return err
		}
		for _, p := range activationNames(inc) {
			def, err := s.defs.of(tx, inc.Activations[p])
			if err != nil {
				return err
			}
			events := protocol.Tick(def, inc.Activations[p], now)
			appended = appended || len(events) > 0
			if err := s.appendEvents(tx, access.Actor{System: true}, &inc, now, events); err != nil {
				return err
			}
		}
		if appended {
			return nil // its entries have enqueued the next look
		}
		return enqueueClock(tx, inc)
	})
	if err != nil {
		return fmt.Errorf("bringing incident %s up to date: %w", a.Incident, err)
	}
	return nil
}

// sweepAhead is how far Tick looks ahead; longer than the pause between two.
const sweepAhead = 2 * time.Minute

// Tick finds incidents in which something is due now or soon, acts on what is
// due, and makes sure that a job waits for the rest. It is called when the node
// starts and twice a minute, since a store that was copied or comes from an
// earlier release has no jobs.
func (s *Service) Tick(ctx context.Context) error {
	now := s.o.Now()
	if err := s.tickVersions(ctx, now); err != nil {
		return err
	}
	var soon []string
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		watched, err := r.Objects(journal.ObjectQuery{Kind: KindIncident, DueBy: now.UnixMilli(), Limit: 10_000})
		for _, o := range watched {
			var inc Incident
			if err := json.Unmarshal(o.Doc, &inc); err != nil {
				return fmt.Errorf("reading incident %s: %w", o.ID, err)
			}
			if due := inc.nextDue(); !due.IsZero() && due.Before(now.Add(sweepAhead)) {
				soon = append(soon, o.ID)
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range soon { // one that cannot be brought up to date holds up no other
		if err := s.Clock(ctx, ClockArgs{Incident: id}); err != nil && problem.KindOf(err) != problem.NotFound {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
