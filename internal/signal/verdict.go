package signal

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// KindFeedback is the kind of object that holds the verdicts on one signal; its
// ID is the signal's. It is an object of its own, as it changes without the
// signal changing.
const KindFeedback = "feedback"

// Verdict is what a platform found about a match.
type Verdict string

// The closed list of verdicts.
const (
	TruePositive  Verdict = "true_positive"
	FalsePositive Verdict = "false_positive"
	Disputed      Verdict = "disputed"
)

// Verdicts lists every verdict.
func Verdicts() []Verdict { return []Verdict{TruePositive, FalsePositive, Disputed} }

// FewerThan is the number below which counts are told to other partners as
// "fewer than 5" where the signal's audience is named.
const FewerThan = 5

// Sum is a number of verdicts or matches.
type Sum struct {
	N   int64 `json:"n"`
	Few int64 `json:"few,omitempty"` // reports of "fewer than 5" besides, each of at least one
}

// AtLeast is the least number that there was.
func (s Sum) AtLeast() int64 { return max(s.N, 0) + s.Few }

// hide hides a small number.
func (s Sum) hide() Sum {
	if n := s.AtLeast(); n > 0 && n < FewerThan {
		return Sum{Few: 1}
	}
	return s
}

// Judged is what one platform found.
type Judged struct {
	True     Sum       `json:"true_positive"`
	False    Sum       `json:"false_positive"`
	Disputed Sum       `json:"disputed"`
	Last     time.Time `json:"last"` // when it was told last
}

func (j *Judged) of(v Verdict) *Sum {
	switch v {
	case TruePositive:
		return &j.True
	case FalsePositive:
		return &j.False
	case Disputed:
		return &j.Disputed
	}
	return nil
}

// All is the least number of verdicts.
func (j Judged) All() int64 { return j.True.AtLeast() + j.False.AtLeast() + j.Disputed.AtLeast() }

// Exact reports whether no part is "fewer than 5".
func (j Judged) Exact() bool { return j.True.Few+j.False.Few+j.Disputed.Few == 0 }

// FalseShare is the share of false positives of all verdicts, 0 to 1, and
// whether there are any verdicts.
func (j Judged) FalseShare() (float64, bool) {
	all := j.All()
	if all == 0 {
		return 0, false
	}
	return float64(j.False.AtLeast()) / float64(all), true
}

// Add adds another's verdicts.
func (j *Judged) Add(o Judged) {
	for _, v := range Verdicts() {
		a, b := j.of(v), o.of(v)
		a.N, a.Few = a.N+max(b.N, 0), a.Few+b.Few
	}
	if o.Last.After(j.Last) {
		j.Last = o.Last
	}
}

// feedback is the folded state.
type feedback struct {
	Signal   string            `json:"signal"`
	Incident string            `json:"incident,omitempty"`
	By       map[string]Judged `json:"by"` // by partner
}

// judged is the body of the entry signal.judged: what one platform's edge
// counted about one signal since it told last.
type judged struct {
	Signal   string `json:"signal"`
	Incident string `json:"incident,omitempty"`
	True     Sum    `json:"true_positive"`
	False    Sum    `json:"false_positive"`
	Disputed Sum    `json:"disputed"`
}

var feedbacks = journal.FoldOf(KindFeedback, func(f *feedback, e journal.Entry) error {
	if e.Type != "signal.judged" {
		return nil
	}
	f.Signal = e.About[0].ID
	if f.By == nil {
		f.By = map[string]Judged{}
	}
	var b judged
	if err := e.Decode(&b); err != nil {
		return err
	}
	if b.Incident != "" {
		f.Incident = b.Incident
	}
	j := f.By[e.Partner]
	for _, x := range []struct {
		to  *Sum
		add Sum
	}{{&j.True, b.True}, {&j.False, b.False}, {&j.Disputed, b.Disputed}} {
		x.to.N, x.to.Few = x.to.N+x.add.N, x.to.Few+x.add.Few
	}
	j.Last = e.At
	f.By[e.Partner] = j
	return nil
}, func(f *feedback) journal.Keys { return journal.Keys{Parent: f.Incident, Sort: f.Signal} })

// VerdictCount is one count of verdicts as an edge reports it.
type VerdictCount struct {
	Signal  string
	Verdict Verdict
	Count   int64 // below zero: taken back
	Few     bool
}

// maxVerdictCount bounds one count, so that sums stay far from overflowing.
const maxVerdictCount = 1 << 32

// AddVerdicts adds what the partner's edge was told by its platform, once for
// each batch. Verdicts on one signal become one entry, signal.judged, which the
// partner alone may read: it holds its numbers. The names that it returns are
// not those of signals that the partner may see; their verdicts are not
// counted. Beyond what one edge may have entered in an hour or a day (see spend)
// a batch is refused as Busy, with the time to wait.
func (s *Service) AddVerdicts(ctx context.Context, by access.Actor, edge, batch string, counts []VerdictCount) (unknown []string, err error) {
	now := s.o.Now()
	if err := access.Allow(by, access.ReportTallies, now); err != nil {
		return nil, err
	}
	for _, c := range counts {
		if !slices.Contains(Verdicts(), c.Verdict) || c.Count > maxVerdictCount || c.Count < -maxVerdictCount {
			return nil, problem.New(problem.Invalid, "a verdict is not true_positive, false_positive or disputed, or its count is out of range", "see docs/format/feed.md")
		}
	}
	err = s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		unknown = nil
		if again, err := countedBefore(tx, by.Partner, edge, batch, now); again || err != nil {
			return err
		}
		sums := map[string]judged{}
		for _, c := range counts {
			id := strings.ToUpper(strings.TrimSpace(c.Signal))
			b, ok := sums[id]
			if !ok {
				sig, err := visible(tx, by, id)
				if problem.KindOf(err) == problem.NotFound {
					if !slices.Contains(unknown, c.Signal) {
						unknown = append(unknown, c.Signal)
					}
					continue
				}
				if err != nil {
					return err
				}
				b = judged{Signal: sig.ID, Incident: sig.Incident}
			}
			j := Judged{True: b.True, False: b.False, Disputed: b.Disputed}
			to := j.of(c.Verdict)
			to.N += c.Count
			if c.Few {
				to.Few++
			}
			b.True, b.False, b.Disputed = j.True, j.False, j.Disputed
			sums[id] = b
		}
		maps.DeleteFunc(sums, func(_ string, b judged) bool {
			return b.True == (Sum{}) && b.False == (Sum{}) && b.Disputed == (Sum{})
		})
		if err := spend(tx, by.Partner, edge, len(sums), now); err != nil {
			return err
		}
		for _, id := range slices.Sorted(maps.Keys(sums)) {
			b := sums[id]
			sig, err := load(tx, b.Signal)
			if err != nil {
				return err
			}
			e := journal.New("signal.judged", by, now, b, journal.Ref{Kind: KindFeedback, ID: b.Signal})
			e.Audience, e.Exercise = access.Audience{TLP: access.AmberStrict, Origin: by.Partner}, sig.Exercise
			if _, err := tx.Append(e); err != nil {
				return err
			}
		}
		return nil
	})
	return unknown, err
}

// What one edge may have entered into the journal. A platform's people make some
// verdicts a minute; an edge that somebody took over could else make a thousand
// entries with each batch, for ever. One batch of the greatest size fits.
const (
	maxJudgedHour = 1_000
	maxJudgedDay  = 5_000
)

const privateSpent = "verdicts_spent" // ID "partner/edge"

// spend counts entries of an edge and refuses those beyond the bounds, until the
// next hour or day (UTC) begins. Nothing is kept of a batch that is refused: the
// edge sends it again.
func spend(tx *journal.Tx, partner, edge string, n int, now time.Time) error {
	if n == 0 {
		return nil
	}
	var spent struct {
		Hour int64 `json:"hour"` // Unix time divided by 3,600
		Day  int64 `json:"day"`  // by 86,400
		H    int   `json:"h"`
		D    int   `json:"d"`
	}
	id := partner + "/" + edge
	p, err := tx.Private(privateSpent, id)
	if err == nil {
		err = json.Unmarshal(p.Doc, &spent)
	} else if problem.KindOf(err) == problem.NotFound {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("reading how many verdicts an edge has sent: %w", err)
	}
	hour, day := now.Unix()/3600, now.Unix()/86_400
	if spent.Hour != hour {
		spent.Hour, spent.H = hour, 0
	}
	if spent.Day != day {
		spent.Day, spent.D = day, 0
	}
	spent.H, spent.D = spent.H+n, spent.D+n
	refuse := func(limit int, detail string, until time.Time) error {
		return problem.Newf(problem.Busy, detail, limit).
			WithFix("they are kept at the edge; send them again after %s UTC", until.UTC().Format("15:04")).WithWait(until.Sub(now))
	}
	switch {
	case spent.D > maxJudgedDay:
		return refuse(maxJudgedDay, "this edge had verdicts on %d signals counted today, and no more are taken", time.Unix((day+1)*86_400, 0))
	case spent.H > maxJudgedHour:
		return refuse(maxJudgedHour, "this edge had verdicts on %d signals counted in this hour, and no more are taken", time.Unix((hour+1)*3600, 0))
	}
	doc, err := json.Marshal(spent)
	if err != nil {
		return err
	}
	return tx.PutPrivate(journal.Private{Kind: privateSpent, ID: id, Owner: partner, Doc: doc, Expires: now.Add(25 * time.Hour)})
}

// countedBefore notes a batch of an edge and reports whether it was noted
// before. An edge numbers its batches, NAME.KIND.NUMBER, and makes one when the
// one before it was answered, so that the last number of each name is enough.
// Edges of earlier releases name each batch at random.
func countedBefore(tx *journal.Tx, partner, edge, batch string, now time.Time) (bool, error) {
	name, number := batch, int64(0)
	if i := strings.LastIndexByte(batch, '.'); i > 0 {
		if n, err := strconv.ParseInt(batch[i+1:], 10, 64); err == nil && n > 0 {
			name, number = batch[:i], n
		}
	}
	kept := batchKept
	if number > 0 {
		kept = tallyKept + 24*time.Hour // longer than any count is taken
	}
	id := partner + "/" + edge + "/" + name
	p, err := tx.Private(privateBatch, id)
	switch {
	case err == nil && number == 0:
		return true, nil
	case err == nil:
		var last struct {
			Last int64 `json:"last"`
		}
		if err := json.Unmarshal(p.Doc, &last); err != nil {
			return false, fmt.Errorf("reading the last batch of an edge: %w", err)
		}
		if number <= last.Last {
			return true, nil
		}
	case problem.KindOf(err) != problem.NotFound:
		return false, err
	}
	doc := []byte("{}")
	if number > 0 {
		doc = []byte(`{"last":` + strconv.FormatInt(number, 10) + `}`)
	}
	return false, tx.PutPrivate(journal.Private{Kind: privateBatch, ID: id, Owner: partner, Doc: doc, Expires: now.Add(kept)})
}

// Feedback is what platforms found about matches of a signal, as far as the
// reader may know.
type Feedback struct {
	Signal   string     `json:"signal"`
	Incident string     `json:"incident,omitempty"`
	Total    Judged     `json:"total"`
	Partners []PartnerJ `json:"partners"` // by ID
}

// PartnerJ is one partner's part.
type PartnerJ struct {
	Partner string `json:"partner"`
	Judged
}

// shown turns the folded state into what the reader may know: where the
// signal's audience is named, the numbers of other partners below 5 are told as
// "fewer than 5", and the total is made of what is told.
func (f feedback) shown(by access.Actor, sig Signal) Feedback {
	out := Feedback{Signal: sig.ID, Incident: sig.Incident, Partners: []PartnerJ{}}
	for _, p := range slices.Sorted(maps.Keys(f.By)) {
		j := f.By[p]
		for _, v := range Verdicts() {
			s := j.of(v)
			s.N = max(s.N, 0)
			if p != by.Partner && sig.Audience.Named() {
				*s = s.hide()
			}
		}
		if j.All() == 0 {
			continue
		}
		out.Total.Add(j)
		out.Partners = append(out.Partners, PartnerJ{p, j})
	}
	return out
}

// Feedback returns the verdicts on one signal.
func (s *Service) Feedback(ctx context.Context, by access.Actor, id string) (Feedback, error) {
	if err := access.Allow(by, access.ReadSignals, s.o.Now()); err != nil {
		return Feedback{}, err
	}
	var out Feedback
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		sig, err := load(r, strings.ToUpper(strings.TrimSpace(id)))
		if problem.KindOf(err) == problem.NotFound || (err == nil && !sig.Audience.Reads(by, KindSignal, sig.ID, s.o.Now())) {
			return unseen(id)
		}
		if err != nil {
			return err
		}
		f, _, err := journal.Load[feedback](r, KindFeedback, sig.ID)
		if err != nil && problem.KindOf(err) != problem.NotFound {
			return err
		}
		out = f.shown(by, sig)
		return nil
	})
	return out, err
}

// FeedbackOf returns the verdicts on an incident's signals that the reader may
// see and that have any: those with most false positives first.
func (s *Service) FeedbackOf(ctx context.Context, by access.Actor, incident string) ([]Feedback, error) {
	if err := access.Allow(by, access.ReadSignals, s.o.Now()); err != nil {
		return nil, err
	}
	out := []Feedback{}
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		return journal.Each(r, journal.ObjectQuery{Kind: KindFeedback, Parent: incident}, func(f feedback, _ journal.Object) error {
			sig, err := visible(r, by, f.Signal)
			if problem.KindOf(err) == problem.NotFound {
				return nil
			}
			if err != nil {
				return err
			}
			if b := f.shown(by, sig); len(b.Partners) > 0 {
				out = append(out, b)
			}
			return nil
		})
	})
	slices.SortStableFunc(out, func(a, b Feedback) int { return int(b.Total.False.AtLeast() - a.Total.False.AtLeast()) })
	return out, err
}
