package edge

import (
	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/audio"
)

// audioPass finds videos by their sound, where nothing found them even for
// review: a picture that was changed altogether under the same sound. The same
// song lies under unrelated videos, so what it finds is for review, whatever
// the signal asks for.
type audioPass struct{ x audio.Index }

func (*audioPass) Kind() fingerprint.Kind { return fingerprint.Audio }

func (a *audioPass) Insert(id uint64, value string, _ int) error {
	t, err := audio.Parse(value)
	if err != nil {
		return err
	}
	a.x.Add(id, t)
	return nil
}

func (a *audioPass) Delete(id uint64) { a.x.Remove(id) }

func (a *audioPass) Run(p *Probe) {
	if len(p.Set.Audio) == 0 || a.x.Len() == 0 || p.Found(Review) {
		return
	}
	a.value(p, p.Set.Audio)
}

// value looks up a track. The distance is the percent of bits that differ, the
// score from 1 for none to 0.5 for the most.
func (a *audioPass) value(p *Probe, t audio.Track) {
	for _, m := range a.x.Search(t) {
		p.Hit(m.ID, m.Errors, 1-float64(m.Errors)/50, Review, "audio")
	}
}
