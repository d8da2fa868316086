package edge

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// Verdict is what a platform found about a match of one signal, when a person
// or a rule of the platform had looked.
type Verdict string

// The closed list of verdicts.
const (
	TruePositive  Verdict = "true_positive"  // the content is what the signal says
	FalsePositive Verdict = "false_positive" // it is not
	Disputed      Verdict = "disputed"       // nobody is sure, or opinions differ
)

// Verdicts lists every verdict.
func Verdicts() []Verdict { return []Verdict{TruePositive, FalsePositive, Disputed} }

// Judgement is one verdict as a platform gives it to its edge.
type Judgement struct {
	// ID is the platform's own name for the decision, up to 200 bytes; never
	// sent on. Given again with the same verdict it counts once; with another
	// one, the new verdict takes the old one's place, as after an appeal. "" is
	// for a platform that gives each verdict once.
	ID      string  `json:"id,omitempty"`
	Signal  string  `json:"signal"` // as in the match
	Verdict Verdict `json:"verdict"`
}

// VerdictCount is how often one verdict was given about one signal in one
// minute. A platform that changed its mind takes the earlier verdict back: a
// count may be below zero.
type VerdictCount struct {
	Signal  string  `json:"signal"`
	Minute  int64   `json:"minute"` // Unix time of its start divided by 60
	Verdict Verdict `json:"verdict"`
	Count   int64   `json:"count"` // 0 with Few
	Few     bool    `json:"few,omitempty"`
}

// VerdictBatch is how verdicts are sent: as TallyBatch.
type VerdictBatch struct {
	Batch    string         `json:"batch"`
	Verdicts []VerdictCount `json:"verdicts"`
}

// VerdictAnswer is what the node answers to a batch.
type VerdictAnswer struct {
	Unknown []string `json:"unknown"` // signals that the node does not have, or not for this partner
}

// Taken says what became of judgements.
type Taken struct {
	Counted int `json:"counted"` // new
	Changed int `json:"changed"` // took the place of an earlier verdict
	Known   int `json:"known"`   // given before, and not counted again
}

// Limits of judgements.
const (
	MaxJudgements    = 1000    // in one call
	maxVerdictKeys   = 1 << 16 // signals, minutes and verdicts that wait for the node
	maxVerdictIDs    = 100_000 // decisions that are remembered
	maxJudgementID   = 200     // bytes
	maxSignalName    = 200     // bytes
	verdictIDsForMin = 30 * 24 * 60
)

// check returns what is wrong with the judgement; "" if nothing is.
func (j *Judgement) check() string {
	j.Signal = strings.TrimSpace(j.Signal)
	switch {
	case j.Signal == "" || len(j.Signal) > maxSignalName:
		return fmt.Sprintf("signal has %d bytes; name it as the match did, for example S-0418", len(j.Signal))
	case !slices.Contains(Verdicts(), j.Verdict):
		return fmt.Sprintf("verdict %q is not one of true_positive, false_positive, disputed", j.Verdict[:min(len(j.Verdict), 40)])
	case len(j.ID) > maxJudgementID:
		return fmt.Sprintf("id has %d bytes, the limit is %d", len(j.ID), maxJudgementID)
	}
	return ""
}

// given is a judgement as the ledger keeps it: the ID is hashed, as it may name
// content or a person.
type given struct {
	ID      string  `json:"id,omitempty"`
	Signal  string  `json:"signal"`
	Verdict Verdict `json:"verdict"`
	Minute  int64   `json:"minute"`
}

func hashJudgement(id string) string {
	if id == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("siaga judgement v1\n" + id))
	return hex.EncodeToString(sum[:16])
}

type verdictKey struct {
	signal  string
	minute  int64
	verdict Verdict
}

// verdicts counts judgements until they are taken. The ledger guards it.
type verdicts struct {
	by  map[verdictKey]int64
	ids map[string]given // by hashed ID: the newest
}

// add counts judgements. It is a function of what was counted before, so that
// reading the ledger again gives the same.
func (v *verdicts) add(list []given) (t Taken) {
	if v.by == nil {
		v.by, v.ids = map[verdictKey]int64{}, map[string]given{}
	}
	for _, g := range list {
		old, again := v.ids[g.ID]
		again = again && g.ID != ""
		switch {
		case again && old.Signal == g.Signal && old.Verdict == g.Verdict:
			t.Known++
			continue
		case again:
			v.count(verdictKey{old.Signal, g.Minute, old.Verdict}, -1)
			t.Changed++
		default:
			t.Counted++
		}
		v.count(verdictKey{g.Signal, g.Minute, g.Verdict}, 1)
		if g.ID != "" {
			v.ids[g.ID] = g
		}
	}
	v.forget()
	return t
}

func (v *verdicts) count(k verdictKey, n int64) {
	if n += v.by[k]; n == 0 {
		delete(v.by, k)
	} else {
		v.by[k] = n
	}
}

// forget drops the oldest tenth of the remembered decisions when there are too
// many.
func (v *verdicts) forget() {
	if len(v.ids) <= maxVerdictIDs {
		return
	}
	minutes := make([]int64, 0, len(v.ids))
	for _, g := range v.ids {
		minutes = append(minutes, g.Minute)
	}
	slices.Sort(minutes)
	limit := minutes[len(minutes)/10]
	drop := len(v.ids) - maxVerdictIDs*9/10
	for id, g := range v.ids {
		if g.Minute <= limit && drop > 0 {
			delete(v.ids, id)
			drop--
		}
	}
}

// pick returns counts of minutes before the given one, at most limit, in order.
func (v *verdicts) pick(before int64, limit int) []VerdictCount {
	var out []VerdictCount
	for k, n := range v.by {
		if len(out) == limit {
			break
		}
		if k.minute < before {
			out = append(out, VerdictCount{Signal: k.signal, Minute: k.minute, Verdict: k.verdict, Count: n})
		}
	}
	slices.SortFunc(out, func(a, b VerdictCount) int {
		if a.Minute != b.Minute {
			return int(a.Minute - b.Minute)
		}
		return strings.Compare(a.Signal+string(a.Verdict), b.Signal+string(b.Verdict))
	})
	return out
}

// remove takes away what was picked.
func (v *verdicts) remove(cs []VerdictCount) {
	for _, c := range cs {
		delete(v.by, verdictKey{c.Signal, c.Minute, c.Verdict})
	}
}
