package vpdq

import (
	"encoding/binary"
	"math/bits"

	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// Figures of a match, the first two the reference's.
const (
	// MatchShare is the least share of frames of either video that makes a match.
	MatchShare = 0.8

	// MatchDistance is the greatest distance of two frames that are the same.
	MatchDistance = pdq.MatchDistance

	// MatchSeconds is the least length of a stretch in step that makes a match.
	MatchSeconds = 6

	// MinPictures is how many different pictures a match must rest on to be
	// more than weak.
	MinPictures = 3
)

// Match says how alike a query and a known video are.
type Match struct {
	QueryFrames, KnownFrames   int     // of quality 50 or more
	QueryMatched, KnownMatched int     // of those, found in the other
	QueryShare, KnownShare     float64 // the same as shares, 0 to 1

	// Seconds is the length of the longest stretch of the query in which the
	// known video runs in step, at up to 15 % more or less speed.
	Seconds int

	// Difference holds the bits in which a frame of the query differs from the
	// nearest frame of the known video: of all frames that were found, the one
	// whose distance is the median. Copies of one video differ alike, whichever
	// part they show; what a video hits by chance does not.
	Difference pdq.Hash

	// Pictures counts the different pictures among the query's frames that were
	// found: frames more than MatchDistance from all counted before. It stops
	// at 16.
	Pictures int
}

// Found reports whether this is a match by share or by a stretch in step.
func (m Match) Found() bool {
	return m.QueryShare >= MatchShare || m.KnownShare >= MatchShare ||
		m.Seconds >= MatchSeconds && m.Pictures >= MinPictures
}

// Weak reports whether the match rests on too few different pictures to be
// acted on without a person who looks.
func (m Match) Weak() bool { return m.Pictures < MinPictures }

// Score says how sure the match is, from 0 to 1, for ranking: the greatest of
// both shares or, for a stretch in step of n seconds, n/(n+3) if that is more.
func (m Match) Score() float64 {
	s := max(m.QueryShare, m.KnownShare)
	if m.Seconds >= MatchSeconds && m.Pictures >= MinPictures {
		s = max(s, float64(m.Seconds)/float64(m.Seconds+3))
	}
	return s
}

// Compare compares two videos frame by frame, in a few milliseconds for a
// million pairs of frames. Where many videos are known, look the query's frames
// up in an index and compare with those it names, or give what it finds to a
// Tally. It may be called concurrently.
func Compare(query, known Video) Match { return CompareWithin(query, known, MatchDistance) }

// CompareWithin is Compare with another greatest distance of two frames that
// are the same, from 0 to MatchDistance bits.
func CompareWithin(query, known Video, maxDistance int) Match {
	t := NewTally(query, known)
	theirs := pack(known)
	for _, q := range pack(query) {
		for _, k := range theirs {
			// Unrelated hashes are 128 apart, so half of the words nearly always
			// tells.
			n := bits.OnesCount64(q.words[0]^k.words[0]) + bits.OnesCount64(q.words[1]^k.words[1])
			if n > maxDistance {
				continue
			}
			if n+bits.OnesCount64(q.words[2]^k.words[2])+bits.OnesCount64(q.words[3]^k.words[3]) <= maxDistance {
				t.Hit(q.at, k.at)
			}
		}
	}
	return t.Match()
}

// packed is a frame's hash in words, and its place in its video.
type packed struct {
	words [4]uint64
	at    int
}

// pack returns the frames of v that count.
func pack(v Video) []packed {
	out := make([]packed, 0, len(v))
	for i, f := range v {
		if f.PDQ.Quality < pdq.MinQuality {
			continue
		}
		p := packed{at: i}
		for w := range p.words {
			p.words[w] = binary.BigEndian.Uint64(f.PDQ.Hash[8*w:])
		}
		out = append(out, p)
	}
	return out
}

// Tally turns hits of single frames into a Match. It is for one goroutine.
type Tally struct {
	query, known Video
	hitQ, hitK   []bool
	nearest      []nearest // of each frame of the query
	offsets      map[offset]struct{}
}

// nearest is the known frame most like a frame of the query.
type nearest struct{ frame, distance int }

// offset is a second of the query in which the known video was found so many
// seconds later.
type offset struct{ later, second int }

// NewTally starts a tally of hits between two videos, which it keeps and does
// not change.
func NewTally(query, known Video) *Tally {
	return &Tally{
		query: query, known: known,
		hitQ: make([]bool, len(query)), hitK: make([]bool, len(known)),
		nearest: make([]nearest, len(query)),
		offsets: make(map[offset]struct{}),
	}
}

// maxOffsets bounds the memory of a tally: still scenes hit at every offset.
const maxOffsets = 1 << 16

// Hit tells that frame i of the query and frame j of the known video are at
// most MatchDistance apart. Hits of frames of low quality are ignored; the same
// hit may come twice. It panics if there is no such frame.
func (t *Tally) Hit(i, j int) {
	q, k := t.query[i], t.known[j]
	if q.PDQ.Quality < pdq.MinQuality || k.PDQ.Quality < pdq.MinQuality {
		return
	}
	if d := q.PDQ.Hash.Distance(k.PDQ.Hash); !t.hitQ[i] || d < t.nearest[i].distance {
		t.nearest[i] = nearest{j, d}
	}
	t.hitQ[i], t.hitK[j] = true, true
	if len(t.offsets) < maxOffsets {
		t.offsets[offset{int(k.Seconds - q.Seconds + maxSeconds), int(q.Seconds)}] = struct{}{}
	}
}

// Match returns what the hits so far come to.
func (t *Tally) Match() Match {
	m := Match{Seconds: t.inStep()}
	m.Difference = t.difference()
	var seen []pdq.Hash
	for i, f := range t.query {
		if f.PDQ.Quality < pdq.MinQuality {
			continue
		}
		m.QueryFrames++
		if !t.hitQ[i] {
			continue
		}
		m.QueryMatched++
		if len(seen) < 16 && isNew(seen, f.PDQ.Hash) {
			seen = append(seen, f.PDQ.Hash)
		}
	}
	m.Pictures = len(seen)
	for j, f := range t.known {
		if f.PDQ.Quality >= pdq.MinQuality {
			m.KnownFrames++
			if t.hitK[j] {
				m.KnownMatched++
			}
		}
	}
	if m.QueryFrames > 0 && m.KnownFrames > 0 {
		m.QueryShare = float64(m.QueryMatched) / float64(m.QueryFrames)
		m.KnownShare = float64(m.KnownMatched) / float64(m.KnownFrames)
	}
	return m
}

// difference returns Match.Difference.
func (t *Tally) difference() (bits pdq.Hash) {
	var by [257]int
	n := 0
	for i, hit := range t.hitQ {
		if hit {
			by[t.nearest[i].distance]++
			n++
		}
	}
	median, below := 0, by[0]
	for 2*below < n {
		median++
		below += by[median]
	}
	for i, hit := range t.hitQ {
		if x := t.nearest[i]; hit && x.distance == median {
			bits = t.query[i].PDQ.Hash
			for j, b := range t.known[x.frame].PDQ.Hash {
				bits[j] ^= b
			}
			break
		}
	}
	return bits
}

// isNew reports whether h differs from every picture seen.
func isNew(seen []pdq.Hash, h pdq.Hash) bool {
	for _, s := range seen {
		if s.Distance(h) <= MatchDistance {
			return false
		}
	}
	return true
}

// Bounds of a stretch in step.
const (
	maxGap   = 3 // seconds of the query without a hit
	maxDrift = 2 // seconds by which the offset may change in that time
)

// inStep returns the length in seconds of the longest stretch of the query in
// which hits follow each other, at most maxGap apart, at offsets that change by
// at most one second from hit to hit and by no more than 15 % of its length.
func (t *Tally) inStep() int {
	first, last := span(t.query)
	if last < first {
		return 0
	}
	// run is a stretch that ends at a second with an offset.
	type run struct{ start, startLater, hits int }
	runs := make(map[offset]run)
	bySecond := make(map[int][]int)
	for o := range t.offsets {
		bySecond[o.second] = append(bySecond[o.second], o.later)
	}
	longest := 0
	for s := first; s <= last; s++ {
		for _, later := range bySecond[s] {
			best := run{start: s, startLater: later, hits: 1}
			for gap := 1; gap <= maxGap; gap++ {
				for drift := -maxDrift; drift <= maxDrift; drift++ {
					r, ok := runs[offset{later - drift, s - gap}]
					if !ok {
						continue
					}
					length := s - r.start
					if d := later - r.startLater; 100*max(d, -d) > 15*length+150 {
						continue
					}
					if r.hits+1 > best.hits || r.hits+1 == best.hits && r.start < best.start {
						best = run{r.start, r.startLater, r.hits + 1}
					}
				}
			}
			runs[offset{later, s}] = best
			// Seconds with hits count, so that gaps lengthen nothing.
			longest = max(longest, best.hits)
		}
	}
	return longest
}

// span returns the first and the last whole second of a video.
func span(v Video) (first, last int) {
	if len(v) == 0 {
		return 0, -1
	}
	return int(v[0].Seconds), int(v[len(v)-1].Seconds)
}
