package web

import "time"

// Bars is a chart of counts by minute.
type Bars struct {
	Title, Desc string
	Bars        []Bar
	Ticks       []Tick
	Total, Max  int64
	Peak        string
}

// Bar is one bar in the chart's own units, with its number for the table.
type Bar struct {
	X, Y, W, H float64
	Label      string
	N          int64
}

// Tick is a label under the chart.
type Tick struct {
	X      float64
	Anchor string
	Text   string
	Local  string // the same in the reader's zone; "" where there is no room
}

const chartWidth, chartHeight = 440.0, 44.0

// minuteBars draws the last fifteen minutes, or the last hour if that is
// empty, zero-based.
func minuteBars(f *Frame, per map[int64]int64) Bars {
	now := f.Now.Unix() / 60
	span := int64(60)
	var b Bars
	for m := now - span + 1; m <= now; m++ {
		b.Total += per[m]
		if per[m] > b.Max {
			b.Max, b.Peak = per[m], time.Unix(m*60, 0).UTC().Format("15:04")
		}
	}
	if b.Total == 0 {
		return b
	}
	first := int64(0)
	for m := range per {
		if first == 0 || m < first {
			first = m
		}
	}
	span = min(span, max(15, now-first+1))
	step := chartWidth / float64(span)
	for i := range span {
		m := now - span + 1 + i
		h := chartHeight * float64(per[m]) / float64(b.Max)
		b.Bars = append(b.Bars, Bar{
			X: round(float64(i)*step + 1), Y: round(chartHeight - h), W: round(step - 2), H: round(h),
			Label: time.Unix(m*60, 0).UTC().Format("15:04"), N: per[m],
		})
	}
	b.Ticks = []Tick{
		{X: 0, Anchor: "start", Text: b.Bars[0].Label}, {X: chartWidth / 2, Anchor: "middle", Text: b.Bars[len(b.Bars)/2].Label}, {X: chartWidth, Anchor: "end", Text: b.Bars[len(b.Bars)-1].Label + " UTC"},
	}
	b.Title = f.T("chart.matches")
	b.Desc = f.T("chart.matches.desc", "Total", b.Total, "Max", b.Max, "Peak", b.Peak)
	return b
}

func round(x float64) float64 { return float64(int64(x*10+0.5)) / 10 }
