package edge

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/variant"
	"github.com/siaga-crp/siaga/fingerprint/vpdq"
	"github.com/siaga-crp/siaga/index"
)

// videoPass finds videos by the hashes of their frames.
//
// A look-up has two steps. A sample of the query's frames is looked up in one
// Hamming index of all known frames and votes for videos; a frame that many
// videos have votes little for each. The few videos with the most votes are
// then compared frame by frame (vpdq.Compare), which gives the shares of frames
// both ways and the longest stretch in step. Both steps have fixed bounds, so a
// long video costs no more than a short one.
//
// Frames that say nothing have no weight on either side: those of low quality,
// degenerate ones, test cards, and pictures that signals of several families
// have in common (title screens). A family is a group or an incident, or else
// one signal.
type videoPass struct {
	frames *index.Index // of all known videos, by the signal's id

	mu     sync.RWMutex
	videos map[uint64]*knownVideo
}

// knownVideo is one signal's video. It does not change.
type knownVideo struct {
	frames vpdq.Video // those that count, spread
	bits   int        // greatest distance of two frames that are the same
}

// Bounds of one look-up.
const (
	videoSample  = 512 // frames of the query, as it is, that are looked up
	turnedSample = 96  // in each other form
	nearFrames   = 6   // bits between frames of which one stands for the other in a sample
	videoChecks  = 12  // known videos that are compared in one form …
	videoBudget  = 40  // … and in one look-up
	pairBudget   = 1 << 26
	frameHits    = 4096 // signals of one frame that vote
	stillSample  = 96   // frames that are looked up as pictures

	minFamilies   = 4  // that have a picture in common for it to weigh nothing
	sharedSample  = 96 // pictures of a match that are tested for this
	ownSample     = 24 // frames of the known video, to tell a family of copies from a title
	stretchOfHalf = 2  // a stretch alone blocks if it is at least 1/2 of the query
)

// mirrored is the form of a picture whose left and right are exchanged.
const mirrored = 5

func newVideoPass() *videoPass {
	return &videoPass{frames: index.New(index.Options{}), videos: map[uint64]*knownVideo{}}
}

// testCards are the pictures that video equipment shows when there is nothing
// to show and that have enough detail to be hashed: SMPTE EG 1 and SMPTE RP
// 219 bars, as ffmpeg's sources smptebars and smptehdbars draw them. EBU bars
// have degenerate hashes, which count nowhere.
var testCards = func() (out []pdq.Hash) {
	for _, s := range []string{
		"6ad50ad1f52e0ad1152af52e0ad1f52e952a0ad1f52e1de06ad5f52e19e1e21f",
		"e0f51d29c6c6b071050a4f8e3039e2d61f0a7d29e2d61d2bfda1e2d61939e7c3",
	} {
		h, err := pdq.Parse(s)
		if err != nil {
			panic("edge: a test card's hash: " + err.Error())
		}
		for form := range vpdq.Forms {
			out = append(out, vpdq.Turn(h, form))
		}
	}
	return out
}()

// counts reports whether a frame says anything about a video.
func counts(f *pdq.Result) bool {
	if f.Quality < pdq.MinQuality || pdq.Degenerate(f.Hash) {
		return false
	}
	for _, c := range testCards {
		if c.Distance(f.Hash) <= pdq.MatchDistance {
			return false
		}
	}
	return true
}

// telling returns the frames of v that count.
func telling(v vpdq.Video) vpdq.Video {
	out := make(vpdq.Video, 0, len(v))
	for _, f := range v {
		if counts(&f.PDQ) {
			out = append(out, f)
		}
	}
	return out
}

func (*videoPass) Kind() fingerprint.Kind { return fingerprint.VPDQ }

var errNoDetail = errors.New("no frame of the video has enough detail to be matched")

// Insert implements Keeper. A maximum distance of 0 stands for the usual one.
func (x *videoPass) Insert(id uint64, value string, maxDistance int) error {
	v, err := vpdq.Parse(value)
	if err != nil {
		return err
	}
	v = telling(v)
	if len(v) == 0 {
		return errNoDetail
	}
	bits := vpdq.MatchDistance
	if maxDistance > 0 {
		bits = min(bits, maxDistance)
	}
	x.Delete(id)
	err = x.frames.InsertAll(func(yield func(index.Entry) bool) {
		for _, f := range v {
			if !yield(index.Entry{ID: id, Hash: f.PDQ.Hash, MaxDistance: bits}) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	x.mu.Lock()
	x.videos[id] = &knownVideo{v.Spread(), bits}
	x.mu.Unlock()
	return nil
}

// Delete implements Keeper.
func (x *videoPass) Delete(id uint64) {
	x.mu.Lock()
	_, ok := x.videos[id]
	delete(x.videos, id)
	x.mu.Unlock()
	if ok {
		x.frames.Delete(id)
	}
}

func (x *videoPass) known(id uint64) *knownVideo {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.videos[id]
}

func (x *videoPass) len() int {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.videos)
}

// Run implements Pass.
func (x *videoPass) Run(p *Probe) {
	s := p.Set
	if len(s.Frames) > 0 && !p.Found(Block) {
		q := newVideoQuery(p)
		if x.len() > 0 {
			q.forms(x, func(form int) vpdq.Video { return s.VPDQ(form) })
			if !p.Found(Block) {
				q.trims(x)
			}
		}
		if !p.Found(Review) {
			q.pictures()
		}
	}
	if s.Picture != nil && !p.Found(Review) && x.len() > 0 {
		x.still(p)
	}
}

// videoQuery is one look-up of a video.
type videoQuery struct {
	p      *Probe
	hits   []index.Match
	checks int
	pairs  int
	shared map[pdq.Hash]bool
	only   uint64 // the one signal to look at; 0: all
}

func newVideoQuery(p *Probe) *videoQuery {
	return &videoQuery{p: p, shared: map[pdq.Hash]bool{}}
}

// forms looks for a video as it is and, if nothing is to be blocked then, turned
// and mirrored.
func (q *videoQuery) forms(x *videoPass, of func(form int) vpdq.Video) {
	for form := range vpdq.Forms {
		n := videoSample
		if form > 0 {
			n = turnedSample
		}
		v := telling(of(form))
		if len(v) == 0 {
			return
		}
		suffix := ""
		if form > 0 {
			suffix = strings.TrimPrefix(variant.Orientations[form], "pdq")
		}
		if q.look(x, v, n, suffix); q.p.Found(Block) {
			return
		}
	}
}

// trims looks for a video within bars, borders or captions, by the inner
// pictures of its key frames.
func (q *videoQuery) trims(x *videoPass) {
	for _, name := range []string{"letterbox", "border", "caption", "screen", "filmed"} {
		for _, form := range []int{0, mirrored} {
			var v vpdq.Video
			for i := range q.p.Set.Frames {
				f := &q.p.Set.Frames[i]
				for j := range f.Trims {
					if t := &f.Trims[j]; t.Name == name {
						r := t.PDQ
						if form > 0 {
							r.Hash = t.Dihedral[form]
						}
						v = append(v, vpdq.Frame{Seconds: f.Seconds, PDQ: r})
						break
					}
				}
			}
			suffix := ":trim"
			if form > 0 {
				suffix += ":flipY"
			}
			if v = telling(v); len(v) > 0 {
				q.look(x, v, turnedSample, suffix)
			}
			if q.p.Found(Block) {
				return
			}
		}
	}
}

// sample returns at most n frames of v, evenly spread over those unlike the
// one before.
func sample(v vpdq.Video, n int) vpdq.Video {
	return evenly(v.Thin(0, nearFrames), n)
}

// evenly returns at most n frames of v, evenly spread.
func evenly(v vpdq.Video, n int) vpdq.Video {
	if len(v) <= n {
		return v
	}
	out := make(vpdq.Video, n)
	for i := range out {
		out[i] = v[i*len(v)/n]
	}
	return out
}

// look finds known videos that are like v.
func (q *videoQuery) look(x *videoPass, v vpdq.Video, n int, suffix string) {
	if q.only != 0 {
		if k := x.known(q.only); k != nil {
			if m, ok := q.compare(x, q.only, v, k); ok {
				q.hit(q.only, m, v, suffix)
			}
		}
		return
	}
	votes := map[uint64]float64{}
	var ids []uint64
	for _, f := range sample(v, n) {
		q.hits = x.frames.Search(q.hits[:0], (*[32]byte)(&f.PDQ.Hash), vpdq.MatchDistance)
		ids = distinct(ids[:0], q.hits)
		for _, id := range ids {
			votes[id] += 1 / float64(len(ids))
		}
	}
	ids = ids[:0]
	for id := range votes {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b uint64) int { return cmp.Or(cmp.Compare(votes[b], votes[a]), cmp.Compare(a, b)) })
	for _, id := range ids[:min(len(ids), videoChecks)] {
		k := x.known(id)
		if k == nil {
			continue // withdrawn meanwhile
		}
		q.checks++
		q.pairs += len(v) * len(k.frames)
		if q.checks > videoBudget || q.pairs > pairBudget {
			return
		}
		if m, ok := q.compare(x, id, v, k); ok {
			q.hit(id, m, v, suffix)
		}
	}
}

// distinct appends the ids of hits, each once, to dst.
func distinct(dst []uint64, hits []index.Match) []uint64 {
	for _, h := range hits[:min(len(hits), frameHits)] {
		dst = append(dst, h.ID)
	}
	slices.Sort(dst)
	return slices.Compact(dst)
}

// compare compares frame by frame, and once more without the pictures that
// other families have, too.
func (q *videoQuery) compare(x *videoPass, id uint64, v vpdq.Video, k *knownVideo) (vpdq.Match, bool) {
	m := vpdq.CompareWithin(v, k.frames, k.bits)
	if !m.Found() {
		return m, false
	}
	own, fromOthers := evenly(k.frames, ownSample), 0
	for _, f := range own {
		if q.isShared(x, f.PDQ.Hash) {
			fromOthers++
		}
	}
	if 2*fromOthers > len(own) {
		return m, true // copies of one video that nobody put into a group
	}
	var common []pdq.Hash
	for _, f := range sample(k.frames, sharedSample) {
		if q.isShared(x, f.PDQ.Hash) {
			common = append(common, f.PDQ.Hash)
		}
	}
	if len(common) == 0 {
		return m, true
	}
	without := func(v vpdq.Video) vpdq.Video {
		out := make(vpdq.Video, 0, len(v))
		for _, f := range v {
			if !slices.ContainsFunc(common, func(c pdq.Hash) bool { return c.Distance(f.PDQ.Hash) <= vpdq.MatchDistance }) {
				out = append(out, f)
			}
		}
		return out
	}
	rest := without(v)
	m = vpdq.CompareWithin(rest, without(k.frames), k.bits)
	// The shares are of the whole query: what it has besides the title counts.
	return m, m.Found() && len(rest) > 0
}

// isShared reports whether signals of several families have this picture.
func (q *videoQuery) isShared(x *videoPass, h pdq.Hash) bool {
	if s, ok := q.shared[h]; ok {
		return s
	}
	q.hits = x.frames.Search(q.hits[:0], (*[32]byte)(&h), vpdq.MatchDistance)
	s := q.families(distinct(nil, q.hits)) >= minFamilies
	q.shared[h] = s
	return s
}

// families counts the families of signals, up to minFamilies.
func (q *videoQuery) families(ids []uint64) int {
	if len(ids) < minFamilies {
		return len(ids)
	}
	seen := map[string]bool{}
	for _, id := range ids {
		if f := q.p.family(id); f != "" {
			seen[f] = true
		}
		if len(seen) >= minFamilies {
			break
		}
	}
	return len(seen)
}

// family names what a signal belongs to: its group, or its incident, or itself;
// "" if it is gone.
func (p *Probe) family(id uint64) string {
	v := p.v
	v.mu.RLock()
	defer v.mu.RUnlock()
	slot, gen := uint32(id), uint32(id>>32) //nolint:gosec // the two halves
	if int(slot) >= len(v.t.recs) || v.t.recs[slot].gen != gen {
		return ""
	}
	if g := v.t.groupName(slot).String(); g != "" {
		return "g" + g
	}
	if i := v.t.classes[v.t.recs[slot].class].Incident; i != "" {
		return "i" + i
	}
	return "s" + v.t.id(slot).String()
}

// hit adds what was found. The way is named for what is whole: "vpdq" both
// videos, "vpdq:excerpt" the query, "vpdq:inside" the known video, and
// "vpdq:stretch" neither.
func (q *videoQuery) hit(id uint64, m vpdq.Match, v vpdq.Video, suffix string) {
	way, limit := "vpdq", Block
	excerpt, inside := m.QueryShare >= vpdq.MatchShare, m.KnownShare >= vpdq.MatchShare
	switch {
	case excerpt && inside:
	case excerpt:
		way = "vpdq:excerpt"
	case inside:
		way = "vpdq:inside"
	default:
		way = "vpdq:stretch"
		// Most of the upload may be something else, such as a report.
		if long := v[len(v)-1].Seconds - v[0].Seconds; stretchOfHalf*float64(m.Seconds) < long {
			limit = Review
		}
	}
	if m.Weak() {
		limit = Review
	}
	score := min(1, m.Score())
	q.p.hitVideo(id, 100-int(math.Round(100*score)), score, limit, way+suffix, &m.Difference)
}

// pictures looks for the query's frames among known pictures: a video that
// shows a known still. That a picture occurs in it says little about the rest,
// so it is for review.
func (q *videoQuery) pictures() {
	v := telling(q.p.Set.VPDQ(0))
	for _, f := range sample(v, stillSample) {
		q.p.PDQ(&f.PDQ.Hash, f.PDQ.Quality, Review, "frame:pdq")
	}
	if q.p.Found(Review) {
		return
	}
	for _, f := range sample(telling(q.p.Set.VPDQ(mirrored)), stillSample) {
		q.p.PDQ(&f.PDQ.Hash, f.PDQ.Quality, Review, "frame:pdq:flipY")
	}
}

// still looks for a picture among the frames of known videos, for review.
func (x *videoPass) still(p *Probe) {
	q := newVideoQuery(p)
	for _, probe := range variant.Probes(p.Set) {
		if strings.HasSuffix(probe.Pass, ":negative") || p.Found(Review) {
			return
		}
		if !counts(&pdq.Result{Hash: probe.Hash, Quality: probe.Quality}) {
			continue
		}
		q.hits = x.frames.Search(q.hits[:0], (*[32]byte)(&probe.Hash), vpdq.MatchDistance)
		ids := distinct(nil, q.hits)
		if q.families(ids) >= minFamilies {
			continue
		}
		for _, id := range ids {
			best := vpdq.MatchDistance
			for _, h := range q.hits {
				if h.ID == id {
					best = min(best, int(h.Distance))
				}
			}
			p.Hit(id, best, 1-float64(best)/128, Review, "still:"+strings.TrimPrefix(probe.Pass, "pdq:"))
		}
	}
}

// value looks for a vPDQ fingerprint that was computed elsewhere.
func (x *videoPass) value(p *Probe, v vpdq.Video) {
	q := newVideoQuery(p)
	q.forms(x, v.Turned)
}
