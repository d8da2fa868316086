package web

import (
	"context"
	"fmt"
	"net/http"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/health"
)

// Health says how the node is.
type Health interface {
	Health(ctx context.Context, by access.Actor) (health.Report, error)
}

type healthPage struct {
	*Frame
	Report health.Report
	Rows   []healthRow
}

// healthRow is one part of the node as people read it.
type healthRow struct {
	Title string
	Chip  Chip
	Text  string // how it is, with its number
	Part  health.Part
}

var healthChips = map[health.State]Chip{
	health.OK: {Class: "ok", Shape: "ok"}, health.Warn: {Class: "warn", Shape: "late"}, health.Fail: {Class: "fail", Shape: "fail"}, health.Unknown: {Class: "", Shape: "unk"},
}

// health is the page for operators who have no other eyes on the node.
func (s *Site) health(w http.ResponseWriter, r *http.Request, f *Frame) error {
	rep, err := s.o.Health.Health(r.Context(), f.Me)
	if err != nil {
		return err
	}
	f.Title, f.Section = f.T("health.title"), "more"
	p := healthPage{Frame: f, Report: rep}
	for _, part := range rep.Parts {
		row := healthRow{Title: f.T("health.part." + string(part.Name)), Chip: healthChips[part.State], Part: part}
		row.Chip.Word = f.T("health.state." + string(part.State))
		key := "health." + string(part.Name)
		switch {
		case part.Detail != "":
			key += "." + part.Detail
		case part.State == health.Unknown:
			key = "health.unknown"
		}
		args := []any{"Age", "", "Size", ""}
		if part.At != nil {
			args[1] = f.Age(f.Now.Sub(*part.At).Abs())
		}
		if part.Bytes != nil {
			args[3] = sizeText(*part.Bytes)
		}
		if part.Count != nil {
			row.Text = f.N(key, *part.Count, args...)
		} else {
			row.Text = f.N(key, 0, args...) // a text may say how many
		}
		p.Rows = append(p.Rows, row)
	}
	return s.render(w, r, http.StatusOK, "health", p)
}

// sizeText writes a number of bytes as people read it: 1.4 GB.
func sizeText(n int64) string {
	const unit = 1000
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	v, i := float64(n)/unit, 0
	for v >= unit && i < 4 {
		v, i = v/unit, i+1
	}
	return fmt.Sprintf("%.1f %cB", v, "kMGTP"[i])
}
