package web

import (
	"math"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/signal"
)

// verdictRow is one line of the table of verdicts.
type verdictRow struct {
	Name, Href            string
	True, False, Disputed string
	Share                 string
}

// verdictTable is what platforms found about matches of one signal, or of an
// incident's signals.
type verdictTable struct {
	By                    string // heading of the first column
	True, False, Disputed string
	Share                 string // "": no verdicts
	Rows                  []verdictRow
}

// sum writes a number of verdicts as far as it is known.
func (f *Frame) sum(s signal.Sum) string {
	switch {
	case s.Few == 0:
		return f.Num(max(s.N, 0))
	case s.N <= 0 && s.Few == 1:
		return f.T("verdicts.few")
	}
	return f.T("verdicts.least", "N", s.AtLeast())
}

func (f *Frame) share(j signal.Judged) string {
	share, ok := j.FalseShare()
	if !ok {
		return ""
	}
	return f.T("verdicts.percent", "N", math.Round(share*1000)/10)
}

func (f *Frame) verdictRow(name, href string, j signal.Judged) verdictRow {
	return verdictRow{name, href, f.sum(j.True), f.sum(j.False), f.sum(j.Disputed), f.share(j)}
}

// verdictsOf is the table of one signal, by platform.
func (f *Frame) verdictsOf(fb signal.Feedback) verdictTable {
	j := fb.Total
	t := verdictTable{By: f.T("verdicts.platform"), True: f.sum(j.True), False: f.sum(j.False), Disputed: f.sum(j.Disputed), Share: f.share(j)}
	for _, p := range fb.Partners {
		t.Rows = append(t.Rows, f.verdictRow(f.Name(p.Partner), "", p.Judged))
	}
	return t
}

// verdictsIn is the table of an incident, by signal. Who may not read signals
// reads none.
func (f *Frame) verdictsIn(fbs []signal.Feedback) verdictTable {
	var all signal.Judged
	t := verdictTable{By: f.T("signal.number")}
	for _, fb := range fbs {
		all.Add(fb.Total)
		t.Rows = append(t.Rows, f.verdictRow(fb.Signal, "/signals/"+fb.Signal, fb.Total))
	}
	t.True, t.False, t.Disputed, t.Share = f.sum(all.True), f.sum(all.False), f.sum(all.Disputed), f.share(all)
	return t
}

// readsSignals reports whether the reader may see signals at all.
func (f *Frame) readsSignals() bool { return f.Can(string(access.ReadSignals)) }
