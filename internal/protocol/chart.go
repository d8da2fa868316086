package protocol

import "fmt"

// ChartNode is a state in a drawn state chart. Column and Row are places in a
// grid, from 0; rows go down.
type ChartNode struct {
	State  State  `json:"state"`
	Title  string `json:"title"`
	Column int    `json:"column"`
	Row    int    `json:"row"`
	End    bool   `json:"end"` // a round may end here
}

// ChartEdge is a way from one state to another.
type ChartEdge struct {
	From   State  `json:"from"`
	To     State  `json:"to"`
	Label  string `json:"label"`   // a few words, to be drawn
	Detail string `json:"detail"`  // in full
	Clause string `json:"clause"`  // of the definition
	ByTime bool   `json:"by_time"` // nobody does it: it happens when time is over
}

// StateChart is what is drawn: of Columns × Rows places, the first node on the
// left is where every run begins.
type StateChart struct {
	Columns int         `json:"columns"`
	Rows    int         `json:"rows"`
	Nodes   []ChartNode `json:"nodes"`
	Edges   []ChartEdge `json:"edges"`
}

// Chart returns the states that the definition has, and the ways between them
// with who or what opens each, in English or Indonesian.
func Chart(d *Definition, lang string) StateChart {
	t := tongueOf(lang)
	c := StateChart{Columns: 6, Rows: 3}
	node := func(s State, column, row int, end bool) {
		c.Nodes = append(c.Nodes, ChartNode{State: s, Title: s.Words(lang), Column: column, Row: row, End: end})
	}
	edge := func(from, to State, clause string, byTime bool, label string, detail ...string) {
		e := ChartEdge{From: from, To: to, Label: label, Detail: label, Clause: clause, ByTime: byTime}
		if len(detail) > 0 {
			e.Detail = detail[0]
		}
		c.Edges = append(c.Edges, e)
	}
	node(None, 0, 1, false)
	node(Voting, 1, 1, false)
	node(Active, 2, 1, false)
	node(StandingDown, 3, 1, false)
	node(Concluded, 4, 1, true)
	node(Reviewed, 5, 1, true)
	node(Declined, 1, 2, true)

	kinds := t.kinds(d.Authority.Activate.Kinds)
	edge(None, Voting, "authority.activate", false, t.pick("proposal", "usulan"), t.pick("proposal by ", "usulan oleh ")+kinds)
	edge(Voting, Active, "authority.activate", false, t.short(d.Authority.Activate), t.rule(d.Authority.Activate))
	edge(Voting, Declined, "authority.activate.vote_open", true,
		fmt.Sprintf(t.pick("no quorum within %s", "tanpa kuorum dalam %s"), d.Authority.Activate.VoteOpen.In(t.tag())))
	edge(Declined, Voting, "authority.activate", false, t.pick("new vote", "pemungutan suara baru"))
	if e := d.Authority.Emergency; e != nil {
		node(Provisional, 1, 0, false)
		alone := t.pick("emergency: review only", "darurat: hanya peninjauan")
		emergency := fmt.Sprintf(t.pick("1 %s alone, review only", "1 %s saja, hanya peninjauan"), t.kinds(e.Kinds))
		edge(None, Provisional, "authority.emergency", false, alone, emergency)
		edge(Voting, Provisional, "authority.emergency", false, alone, emergency)
		edge(Provisional, Active, "authority.activate", false, t.short(d.Authority.Activate), t.rule(d.Authority.Activate))
		edge(Provisional, Voting, "authority.emergency", false, t.pick("ended early; the vote goes on", "diakhiri lebih awal; pemungutan suara berlanjut"))
		edge(Provisional, Declined, "authority.emergency.confirm_within", true,
			fmt.Sprintf(t.pick("not confirmed within %s", "tidak dikonfirmasi dalam %s"), e.ConfirmWithin.In(t.tag())))
	}
	edge(Active, StandingDown, "authority.stand_down", false, t.short(d.Authority.StandDown), t.rule(d.Authority.StandDown))
	edge(Active, StandingDown, d.sunsetClause(), true,
		fmt.Sprintf(t.pick("not renewed within %s", "tidak diperpanjang dalam %s"), Duration(d.Sunset()).In(t.tag())))
	edge(Active, Active, "authority.renew", false, t.pick("renewal", "perpanjangan"), t.pick("renewal by ", "perpanjangan oleh ")+t.rule(d.Authority.Renew))
	edge(StandingDown, Active, "authority.renew", false, t.pick("renewal", "perpanjangan"), t.pick("renewal by ", "perpanjangan oleh ")+t.rule(d.Authority.Renew))
	edge(StandingDown, Concluded, "stand_down.after", false, t.pick("every signal renewed or withdrawn", "setiap sinyal diperpanjang atau ditarik"))
	for _, ck := range d.Clocks {
		if ck.OnExpiry == ExpiryConclude {
			edge(StandingDown, Concluded, "clocks."+ck.ID, true,
				fmt.Sprintf(t.pick("after %s", "setelah %s"), ck.Due.In(t.tag())))
		}
	}
	edge(Concluded, Reviewed, "after_action", false,
		fmt.Sprintf(t.pick("review, due within %s", "tinjauan, tenggat %s"), d.AfterAction.Due.In(t.tag())))
	return c
}
