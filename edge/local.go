package edge

import (
	"fmt"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/local"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// localPass finds altered copies by their keypoints, where the cheap passes find
// nothing to block. Weak matches, and those of pictures with little detail, are
// for review; that the known picture had little detail, the signal's own action
// says, as the node has its quality.
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
		if len(b) == 0 || p.Found(Block) {
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
	if len(p.Set.Frames) > 0 && !p.Found(Block) {
		l.frames(p)
	}
}

// frames looks for the keypoints of a video's key frames. That a picture or a
// scene occurs in a video says little about the rest: to block it takes two key
// frames at least, found in one family, that stand for half of the video's time.
func (l *localPass) frames(p *Probe) {
	type found struct {
		local.Match
		family string
	}
	type share struct {
		frames  int
		seconds float64
	}
	fs := p.Set.Frames
	seconds, all := standing(fs)
	var matches []found
	by := map[string]share{}
	for i := range fs {
		if !isKey(&fs[i]) {
			continue
		}
		q, err := local.Decode(fs[i].Local)
		if err != nil {
			continue // not computed by us; the other passes stand
		}
		strong := map[string]bool{}
		for _, m := range l.x.Search(q) {
			family := p.family(m.ID)
			matches = append(matches, found{m, family})
			if !m.Weak && !strong[family] {
				strong[family] = true
				by[family] = share{by[family].frames + 1, by[family].seconds + seconds[i]}
			}
		}
	}
	for _, m := range matches {
		limit := Review
		if s := by[m.family]; !m.Weak && s.frames >= minKeysAgree && 2*s.seconds >= all {
			limit = Block
		}
		p.Hit(m.ID, 0, localScore(m.Score), limit, "local:frame")
	}
}

const (
	minKeysAgree = 2 // key frames
	// Key frames are chosen a second apart, from frames half a second apart, until
	// there are 64; then every other one goes (note 0013).
	keyMoves   = 1.5 // seconds after a key frame within which what differs is the same scene
	allKeyFrom = 32  // key frames from which some scenes may have lost theirs
)

// isKey reports whether a frame has keypoints that count.
func isKey(f *fingerprint.Frame) bool { return len(f.Local) > 0 && counts(&f.PDQ) }

// standing returns for how many seconds each key frame stands, by its place
// among a video's frames, and how many seconds they stand for in all. A frame
// lasts until the next one. It belongs to the last key frame before it, if that
// shows the same scene; plain frames, and those of scenes without keypoints,
// belong to none and count in all.
func standing(fs []fingerprint.Frame) (seconds []float64, all float64) {
	keys := 0
	for i := range fs {
		if isKey(&fs[i]) {
			keys++
		}
	}
	seconds = make([]float64, len(fs))
	last, lasts := -1, 1.0
	for i := range fs {
		if i+1 < len(fs) {
			lasts = max(0, fs[i+1].Seconds-fs[i].Seconds)
		}
		all += lasts
		if isKey(&fs[i]) {
			last = i
		}
		if last < 0 || !counts(&fs[i].PDQ) {
			continue
		}
		k := &fs[last]
		if i <= last+1 || fs[i].Seconds <= k.Seconds+keyMoves || keys >= allKeyFrom || k.PDQ.Hash.Distance(fs[i].PDQ.Hash) <= pdq.MatchDistance {
			seconds[last] += lasts
		}
	}
	return seconds, all
}

// localScore turns a match's evidence into a score from 0 to 1.
func localScore(evidence int) float64 { return float64(evidence) / float64(evidence+10) }

// refuseKind is returned for a kind that is looked for in files only.
func refuseKind(k fingerprint.Kind) error {
	return fmt.Errorf("%w: %s is looked for in files, not by value: upload the file instead", fingerprint.ErrKind, k)
}
