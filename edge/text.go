package edge

import (
	"fmt"
	"sync"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/text"
)

// textPass finds texts and documents by TLSH: equal ones, and where there is
// none, versions of them. Two texts that have much in common need not say the
// same, so that what is near is for review, whatever the signal asks for.
//
// The signals are compared one by one, which takes some 50 ns each: the length
// alone, in the first bytes, tells most of them apart.
type textPass struct {
	mu   sync.RWMutex
	list []nearText
	at   map[uint64]int // in list, by id
}

type nearText struct {
	id    uint64
	hash  text.Hash
	limit int // greatest distance that matches
}

func (*textPass) Kind() fingerprint.Kind { return fingerprint.TLSH }

// Insert adds a signal. A greatest distance of 0 means text.MatchDistance, and
// none is greater.
func (t *textPass) Insert(id uint64, value string, maxDistance int) error {
	h, err := text.Parse(value)
	if err != nil {
		return err
	}
	if maxDistance <= 0 || maxDistance > text.MatchDistance {
		maxDistance = text.MatchDistance
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.at[id]; ok {
		return fmt.Errorf("edge: TLSH signal %d is there already", id)
	}
	if t.at == nil {
		t.at = map[uint64]int{}
	}
	t.at[id] = len(t.list)
	t.list = append(t.list, nearText{id, h, maxDistance})
	return nil
}

func (t *textPass) Delete(id uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i, ok := t.at[id]
	if !ok {
		return
	}
	last := len(t.list) - 1
	t.list[i] = t.list[last]
	t.at[t.list[i].id] = i
	t.list = t.list[:last]
	delete(t.at, id)
}

func (t *textPass) Run(p *Probe) {
	if p.Set.TLSH != "" {
		t.value(p, p.Set.TLSH)
	}
}

// value looks up a TLSH in its canonical form. The score of a text that is near
// is from 0.5 to 1.
func (t *textPass) value(p *Probe, value string) {
	var none [32]byte
	p.Exact(fingerprint.TLSH, &none, value, Block, "text")
	h, err := text.Parse(value)
	if err != nil || p.Found(Review) {
		return
	}
	// The locks are never held together: what inserts holds the matcher's first.
	type hit struct {
		id       uint64
		distance int
	}
	var hits []hit
	t.mu.RLock()
	for i := range t.list {
		n := &t.list[i]
		if d := h.Distance(n.hash); d <= n.limit {
			hits = append(hits, hit{n.id, d})
		}
	}
	t.mu.RUnlock()
	for _, hit := range hits {
		p.Hit(hit.id, hit.distance, 1-float64(hit.distance)/(2*text.MatchDistance), Review, "text:near")
	}
}
