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
	stepX, stepY = 196.0, 112.0
	chartPad     = 12.0
	gap          = 27.0 // between arrows of two boxes: their numbers do not touch
	around       = 58.0 // how far an arrow goes around a box that is in its way
)

func drawStates(c protocol.StateChart, lang string) stateDrawing {
	d := stateDrawing{W: chartPad*2 + stepX*float64(c.Columns-1) + boxW, H: chartPad*2 + stepY*float64(c.Rows-1) + boxH + 8}
	at := map[protocol.State][2]float64{}
	for _, n := range c.Nodes {
		x, y := chartPad+stepX*float64(n.Column), chartPad+stepY*float64(n.Row)
		at[n.State] = [2]float64{x + boxW/2, y + boxH/2}
		d.Nodes = append(d.Nodes, stateBox{X: x, Y: y, Title: n.Title, End: n.End, Start: n.State == protocol.None, TX: x + boxW/2, TY: y + boxH/2 + 5})
	}
	between, drawn := map[[2]protocol.State]int{}, map[[2]protocol.State]int{}
	for _, e := range c.Edges {
		between[pair(e.From, e.To)]++
	}
	for i, e := range c.Edges {
		a := stateArrow{N: i + 1, From: e.From.Words(lang), To: e.To.Words(lang), Detail: e.Detail, Clause: e.Clause, ByTime: e.ByTime}
		p, q := at[e.From], at[e.To]
		k := pair(e.From, e.To)
		shift := (float64(drawn[k]) - float64(between[k]-1)/2) * gap
		drawn[k]++
		switch {
		case e.From == e.To: // a loop under the box
			x, y := p[0]+shift, p[1]+boxH/2
			a.Path = fmt.Sprintf("M%.1f %.1fc-14 34 42 34 28 0", x-14, y)
			a.Head = head(x+14, y, 0.2, -1)
			a.X, a.Y = x, y+26
		case blocked(p, q, at): // around the box between, on its left
			x, y1, y2 := p[0]-boxW/2, p[1]+shift, q[1]+shift
			a.Path = fmt.Sprintf("M%.1f %.1fC%.1f %.1f %.1f %.1f %.1f %.1f", x, y1, x-around, y1, x-around, y2, x-7, y2)
			a.Head = head(x, y2, 1, 0)
			const t = 0.68 // below the boxes' middle, where arrows between columns run
			a.X, a.Y = round(x-around*3*t*(1-t)), round(y1+(y2-y1)*(3*t*t*(1-t)+t*t*t))
		default:
			dx, dy := q[0]-p[0], q[1]-p[1]
			l := math.Hypot(dx, dy)
			ux, uy := dx/l, dy/l
			nx, ny := -uy, ux // to the side, the same one for both directions
			if k[0] != e.From {
				nx, ny = uy, -ux
			}
			sx, sy := border(ux, uy)
			x1, y1 := p[0]+sx+nx*shift, p[1]+sy+ny*shift
			x2, y2 := q[0]-sx+nx*shift, q[1]-sy+ny*shift
			a.Path = fmt.Sprintf("M%.1f %.1fL%.1f %.1f", x1, y1, x2-ux*7, y2-uy*7)
			a.Head = head(x2, y2, ux, uy)
			a.X, a.Y = round((x1+x2)/2-ux*4), round((y1+y2)/2-uy*4)
		}
		d.Edges = append(d.Edges, a)
	}
	return d
}

// pair is the same for an arrow and the one back.
func pair(a, b protocol.State) [2]protocol.State {
	if a > b {
		a, b = b, a
	}
	return [2]protocol.State{a, b}
}

// blocked reports whether another box stands between two of one column.
func blocked(p, q [2]float64, at map[protocol.State][2]float64) bool {
	for _, o := range at {
		if p[0] == q[0] && o[0] == p[0] && (o[1]-p[1])*(o[1]-q[1]) < 0 {
			return true
		}
	}
	return false
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
