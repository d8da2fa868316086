package protocol

import "slices"

// Truth is an answer, and what is known of a condition: yes, no or unknown
// (Kleene's strong three-valued logic).
type Truth string

// The three values.
const (
	Yes     Truth = "yes"
	No      Truth = "no"
	Unknown Truth = "unknown"
)

// LevelAdvice is what is known of one level.
type LevelAdvice struct {
	Level   string   `json:"level"`
	Holds   Truth    `json:"holds"`
	Because []Answer `json:"because"` // answers that make it hold, or that rule it out; without author and time
	Unknown []string `json:"unknown"` // criteria that would decide it
}

// Advice is what the answers amount to. It is advice: the authority decides.
type Advice struct {
	Level   string        `json:"level"`   // the highest level that holds; "" if none does
	Because []Answer      `json:"because"` // the answers that make it hold
	Unknown []string      `json:"unknown"` // criteria that could still raise it, in the definition's order
	Levels  []LevelAdvice `json:"levels"`  // every level, in the definition's order
}

// Advise computes the advice. A criterion that is not answered, or not with
// one of its values, is unknown; of several answers to one, the last counts.
func Advise(d *Definition, answers []Answer) Advice {
	given := make(map[string]string, len(answers))
	for _, a := range answers {
		if c, ok := d.Criterion(a.ID); ok && slices.Contains(c.Values(), a.Answer) {
			given[a.ID] = a.Answer
		}
	}
	adv := Advice{Because: []Answer{}, Unknown: []string{}, Levels: make([]LevelAdvice, 0, len(d.Levels))}
	top := -1
	for i, l := range d.Levels {
		truth, why := l.When.eval(given)
		la := LevelAdvice{Level: l.ID, Holds: truth, Because: []Answer{}, Unknown: []string{}}
		for _, c := range d.Criteria { // in the definition's order, each once
			if !why[c.ID] {
				continue
			}
			if v, ok := given[c.ID]; ok && v != string(Unknown) {
				la.Because = append(la.Because, Answer{ID: c.ID, Answer: v})
			} else {
				la.Unknown = append(la.Unknown, c.ID)
			}
		}
		if truth == Yes {
			top = i
			adv.Level, adv.Because = l.ID, la.Because
		}
		adv.Levels = append(adv.Levels, la)
	}
	for _, c := range d.Criteria {
		for i, la := range adv.Levels {
			if i > top && la.Holds == Unknown && slices.Contains(la.Unknown, c.ID) {
				adv.Unknown = append(adv.Unknown, c.ID)
				break
			}
		}
	}
	return adv
}

// Differs reports whether the authority chose another level than the advice.
func (a Advice) Differs(level string) bool { return a.Level != level }

// eval returns the condition's truth and the criteria that it rests on: for
// yes and no those that suffice, for unknown those that are missing.
func (c Condition) eval(given map[string]string) (Truth, map[string]bool) {
	if c.Criterion != "" {
		v, ok := given[c.Criterion]
		why := map[string]bool{c.Criterion: true}
		switch {
		case slices.Contains(c.Is, v) && ok:
			return Yes, why
		case !ok || v == string(Unknown):
			return Unknown, why
		}
		return No, why
	}
	var parts []part
	for _, x := range c.All {
		t, why := x.eval(given)
		parts = append(parts, part{t, why})
	}
	if len(c.Any) > 0 {
		var any []part
		for _, x := range c.Any {
			t, why := x.eval(given)
			any = append(any, part{not(t), why})
		}
		p := conjunction(any) // De Morgan: some hold unless none does
		parts = append(parts, part{not(p.truth), p.why})
	}
	for _, x := range c.None {
		t, why := x.eval(given)
		parts = append(parts, part{not(t), why})
	}
	p := conjunction(parts)
	return p.truth, p.why
}

type part struct {
	truth Truth
	why   map[string]bool
}

func not(t Truth) Truth {
	switch t {
	case Yes:
		return No
	case No:
		return Yes
	}
	return Unknown
}

// conjunction is no if one part is, else unknown if one part is, else yes. It
// rests on the parts that have its own value.
func conjunction(parts []part) part {
	out := part{Yes, map[string]bool{}}
	for _, p := range parts {
		if p.truth == No || (p.truth == Unknown && out.truth == Yes) {
			out.truth = p.truth
		}
	}
	for _, p := range parts {
		if p.truth == out.truth {
			for id := range p.why {
				out.why[id] = true
			}
		}
	}
	return out
}

// ThreatToLife says how concrete the danger to somebody's life is.
type ThreatToLife string

// The degrees of a threat to life, from none to the most concrete.
const (
	ThreatNone           ThreatToLife = "none"
	ThreatLow            ThreatToLife = "low"
	ThreatMedium         ThreatToLife = "medium"
	ThreatHighUnspecific ThreatToLife = "high_unspecific"
	ThreatHighSpecific   ThreatToLife = "high_specific"
)

// ThreatCriterion is the criterion that says how concrete a threat is. It has
// this meaning in every definition that asks it; its choices are the degrees.
const ThreatCriterion = "threat_to_life"

// ThreatsToLife lists the degrees.
func ThreatsToLife() []ThreatToLife {
	return []ThreatToLife{ThreatNone, ThreatLow, ThreatMedium, ThreatHighUnspecific, ThreatHighSpecific}
}

// rank is the degree's place, -1 for what is not one.
func (t ThreatToLife) rank() int { return slices.Index(ThreatsToLife(), t) }

// NoticeAtOnce reports whether the competent authority must be told at once
// (the duty of Regulation (EU) 2021/784, article 14(5), taken as our own).
func (t ThreatToLife) NoticeAtOnce() bool {
	return t == ThreatHighUnspecific || t == ThreatHighSpecific
}

// ThreatOf returns the threat to life that the answers state; "" if they do not.
func ThreatOf(answers []Answer) ThreatToLife {
	threat := ThreatToLife("")
	for _, a := range answers {
		if a.ID == ThreatCriterion && slices.Contains(ThreatsToLife(), ThreatToLife(a.Answer)) {
			threat = ThreatToLife(a.Answer)
		}
	}
	return threat
}
