package web

import (
	"fmt"
	"math"

	"github.com/siaga-crp/siaga/internal/protocol"
)

// stateDrawing is a protocol's state chart, drawn: boxes, arrows, and a number
// on each arrow that the list beside it explains.
type stateDrawing struct {
	W, H  float64
	Nodes []stateBox
	Edges []stateArrow
}

type stateBox struct {
	X, Y   float64
	Title  string
	End    bool
	Start  bool
	TX, TY float64
}

type stateArrow struct {
	N        int
	From, To string
	Detail   string
	Clause   string
	ByTime   bool
	Path     string
	Head     string // the arrow's head, a path
	X, Y     float64
}

// TextY is the base line of the arrow's number.
func (a stateArrow) TextY() float64 { return a.Y + 5 }

const (
	boxW, boxH   = 132.0, 44.0
	stepX, stepY = 176.0, 104.0
	chartPad     = 12.0
)

func drawStates(c protocol.StateChart, lang string) stateDrawing {
	d := stateDrawing{W: chartPad*2 + stepX*float64(c.Columns-1) + boxW, H: chartPad*2 + stepY*float64(c.Rows-1) + boxH + 8}
	at := map[protocol.State][2]float64{}
	for _, n := range c.Nodes {
		x, y := chartPad+stepX*float64(n.Column), chartPad+stepY*float64(n.Row)
		at[n.State] = [2]float64{x + boxW/2, y + boxH/2}
		d.Nodes = append(d.Nodes, stateBox{X: x, Y: y, Title: n.Title, End: n.End, Start: n.State == protocol.None, TX: x + boxW/2, TY: y + boxH/2 + 5})
	}
	drawn := map[[2]protocol.State]int{}
	for i, e := range c.Edges {
		a := stateArrow{N: i + 1, From: e.From.Words(lang), To: e.To.Words(lang), Detail: e.Detail, Clause: e.Clause, ByTime: e.ByTime}
		p, q := at[e.From], at[e.To]
		k := drawn[[2]protocol.State{e.From, e.To}]
		drawn[[2]protocol.State{e.From, e.To}]++
		back := drawn[[2]protocol.State{e.To, e.From}] > 0 && e.From != e.To
		switch {
		case e.From == e.To: // a loop under the box
			x, y := p[0], p[1]+boxH/2
			a.Path = fmt.Sprintf("M%.1f %.1fc-14 34 42 34 28 0", x-14, y)
			a.Head = head(x+14, y, 0.2, -1)
			a.X, a.Y = x, y+26
		default:
			shift := float64(k) * 16
			if back {
				shift = -16
			}
			dx, dy := q[0]-p[0], q[1]-p[1]
			l := math.Hypot(dx, dy)
			ux, uy := dx/l, dy/l
			sx, sy := border(ux, uy)
			x1, y1 := p[0]+sx-uy*shift, p[1]+sy+ux*shift
			x2, y2 := q[0]-sx-uy*shift, q[1]-sy+ux*shift
			a.Path = fmt.Sprintf("M%.1f %.1fL%.1f %.1f", x1, y1, x2-ux*7, y2-uy*7)
			a.Head = head(x2, y2, ux, uy)
			a.X, a.Y = round((x1+x2)/2-ux*4), round((y1+y2)/2-uy*4)
		}
		d.Edges = append(d.Edges, a)
	}
	return d
}

// border is how far the box's edge is from its middle in a direction.
func border(ux, uy float64) (x, y float64) {
	t := math.Min(boxW/2/math.Max(math.Abs(ux), 1e-9), boxH/2/math.Max(math.Abs(uy), 1e-9))
	return ux * t, uy * t
}

// head is an arrow's head with its point at x, y.
func head(x, y, ux, uy float64) string {
	return fmt.Sprintf("M%.1f %.1fL%.1f %.1fL%.1f %.1fz", x, y, x-ux*10-uy*5, y-uy*10+ux*5, x-ux*10+uy*5, y-uy*10-ux*5)
}
