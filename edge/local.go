package edge

import (
	"fmt"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/local"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// localPass finds altered copies by their keypoints, where the cheap passes say
// nothing. Weak matches, and those of pictures with little detail, are for
// review.
type localPass struct{ x local.Index }

func (*localPass) Kind() fingerprint.Kind { return fingerprint.Local }

func (l *localPass) Insert(id uint64, value string, _ int) error {
	f, err := local.Parse(value)
	if err != nil {
		return err
	}
	l.x.Add(id, f)
	return nil
}

func (l *localPass) Delete(id uint64) { l.x.Remove(id) }

func (l *localPass) Run(p *Probe) {
	if l.x.Len() == 0 {
		return
	}
	look := func(b []byte, quality int, pass string) {
		if len(b) == 0 || p.Found() {
			return
		}
		f, err := local.Decode(b)
		if err != nil {
			return // not computed by us; the other passes stand
		}
		for _, m := range l.x.Search(f) {
			limit := Block
			if m.Weak || quality < pdq.MinQuality {
				limit = Review
			}
			p.Hit(m.ID, 0, localScore(m.Score), limit, pass)
		}
	}
	if pic := p.Set.Picture; pic != nil {
		look(pic.Local, pic.PDQ.Quality, "local")
		for i := range pic.Trims {
			look(pic.Trims[i].Local, pic.Trims[i].PDQ.Quality, "local:trim")
		}
	}
	if len(p.Set.Frames) > 0 && !p.settled() {
		l.frames(p)
	}
}

// localScore turns a match's evidence into a score from 0 to 1.
func localScore(evidence int) float64 { return float64(evidence) / float64(evidence+10) }

// refuseKind is returned for a kind that is looked for in files only.
func refuseKind(k fingerprint.Kind) error {
	return fmt.Errorf("%w: %s is looked for in files, not by value: upload the file instead", fingerprint.ErrKind, k)
}
