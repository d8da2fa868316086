package signal

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// Trip is what an edge's circuit breaker reports: the signal matches things
// that are unlike each other. Or an edge remembers that the signal was removed,
// which the node forgot when it was restored.
type Trip struct {
	Signal   string `json:"-"`
	Partner  string `json:"partner"`
	Edge     string `json:"edge"`
	Matches  int    `json:"matches"`         // distinct ones within a minute
	Distance int    `json:"median_distance"` // between them, in bits
	Entry    int64  `json:"-"`               // of the operation that it was tripped under
	// Restored says that the edge remembers a removal, and is the number of
	// entries that the journal had when the node was restored.
	Restored int64 `json:"restored,omitempty"`
}

// What a report of a circuit breaker must say to be heard: what an edge's own
// breaker says at least when it trips (see edge.MatcherOptions). An edge that is
// told to trip earlier does so for itself alone.
const (
	minTripMatches  = 50
	minTripDistance = pdq.MatchDistance + 1
)

// What one edge may turn to review for all: a few signals an hour, and each of
// them once a day, so that people's answer to it stands.
const (
	maxTripsHour = 20
	tripKept     = 24 * time.Hour
)

const privateTrips = "trips" // ID "partner/edge"

// Trip turns an active signal to review everywhere because an edge's circuit
// breaker did so there, by the right and in the name of that edge. It stays so
// until it is resumed.
//
// A report does nothing, and is answered as if it had done something, when it is
// about what the edge may not see, what is not there, what has changed since, a
// kind of fingerprint that no breaker watches, or a signal that this edge turned
// to review within the last day. A report that no edge of ours would make is
// Invalid. Beyond what one edge may do in an hour it is Busy, with the time to
// wait; the signal stays for review at that edge itself.
func (s *Service) Trip(ctx context.Context, by access.Actor, t Trip) error {
	now := s.o.Now()
	if err := access.Allow(by, access.ReportTallies, now); err != nil {
		return err
	}
	if t.Restored == 0 && (t.Matches < minTripMatches || t.Distance < minTripDistance || t.Distance > 256) {
		return errTrip
	}
	t.Partner = by.Partner
	// Looked at first, so that what is not heard costs no write.
	var heard bool
	err := s.o.Log.View(ctx, func(r journal.StoreReader) (err error) {
		_, heard, err = tripping(r, by, t)
		return err
	})
	if err != nil || !heard {
		return err
	}
	return s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		sig, heard, err := tripping(tx, by, t)
		if err != nil || !heard {
			return err
		}
		if again, err := noteTrip(tx, by.Partner, t.Edge, sig.ID, now); again || err != nil {
			return err
		}
		st, err := s.standing(tx, sig, now)
		if err != nil {
			return err
		}
		trial := sig
		trial.Tripped = t.Edge
		body := tripped{Trip: t, Does: trial.effective(protocol.MaxAction(st.Runs, sig.ruleCase(), now))}
		e := journal.New("signal.tripped", access.Actor{System: true}, now, body, refs(sig.ID, sig.Incident)...)
		e.Audience, e.Exercise, e.Why = sig.Audience, sig.Exercise, "the circuit breaker of edge "+t.Edge+": its matches are many and unlike each other"
		if t.Restored > 0 {
			e.Why = "edge " + t.Edge + " remembers that it was removed before the node was restored"
		}
		if e, err = tx.Append(e); err != nil {
			return err
		}
		after, err := load(tx, sig.ID)
		if err != nil {
			return err
		}
		return s.o.Feed.Publish(tx, e.Number, e.At, ops(sig, after))
	})
}

var errTrip = problem.New(problem.Invalid, "this is not what a circuit breaker reports", "look at what this edge runs")

// tripping returns the signal that a report would turn to review; false: none.
func tripping(r journal.StoreReader, by access.Actor, t Trip) (sig Signal, heard bool, err error) {
	size, err := r.Size()
	if err != nil {
		return sig, false, err
	}
	if t.Entry < 1 || t.Entry > size {
		return sig, false, errTrip
	}
	sig, err = visible(r, by, t.Signal)
	if problem.KindOf(err) == problem.NotFound {
		return sig, false, nil
	}
	if err != nil {
		return sig, false, err
	}
	kind := sig.Fingerprint.Kind
	switch {
	case sig.State != Active || sig.Tripped != "" || sig.Last.Entry > t.Entry:
		return sig, false, nil
	case t.Restored > 0:
		return sig, sig.Last.Entry <= t.Restored, nil // else it was decided about since
	}
	return sig, kind == fingerprint.PDQ || kind == fingerprint.VPDQ || kind == fingerprint.Local, nil
}

// tripped is the body of signal.tripped.
type tripped struct {
	Trip
	Does Action `json:"does"`
}

// noteTrip notes that an edge trips a signal. again: it did within a day. An edge
// that did it to too many within an hour is refused.
func noteTrip(tx *journal.Tx, partner, edge, id string, now time.Time) (again bool, err error) {
	at := map[string]int64{} // Unix time by signal
	name := partner + "/" + edge
	p, err := tx.Private(privateTrips, name)
	switch {
	case err == nil:
		if err := json.Unmarshal(p.Doc, &at); err != nil {
			return false, fmt.Errorf("reading what an edge has tripped: %w", err)
		}
	case problem.KindOf(err) != problem.NotFound:
		return false, err
	}
	hour, oldest := 0, now
	for sig, unix := range at {
		switch then := time.Unix(unix, 0); {
		case now.Sub(then) >= tripKept:
			delete(at, sig)
		case sig == id:
			return true, nil
		case now.Sub(then) < time.Hour:
			hour++
			if then.Before(oldest) {
				oldest = then
			}
		}
	}
	if hour >= maxTripsHour {
		until := oldest.Add(time.Hour)
		return false, problem.Newf(problem.Busy, "the circuit breaker of this edge turned %d signals to review within an hour, and no more are taken from it", maxTripsHour).
			WithFix("its signals stay for review there; look at what it does before %s UTC", until.UTC().Format("15:04")).WithWait(max(until.Sub(now), time.Second))
	}
	at[id] = now.Unix()
	doc, err := json.Marshal(at)
	if err != nil {
		return false, err
	}
	return false, tx.PutPrivate(journal.Private{Kind: privateTrips, ID: name, Owner: partner, Doc: doc, Expires: now.Add(tripKept)})
}
