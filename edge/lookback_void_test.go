package edge_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/digest"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/vpdq"
)

// Of a signal with more uploads than are checked at once all are told, the
// first copy, too; and what came later is told before the last of them.
func TestLookbackTellsOfVeryMany(t *testing.T) {
	t.Cleanup(edge.CheckAtOnce(100)) // after the look-back's own end
	p := newPast(t, edge.LookbackOptions{})
	const n = 450
	for i := range n {
		if _, err := p.l.Keep(fmt.Sprintf("u-%d", i), &fingerprint.Set{SHA256: digest.SHA256{1}}); err != nil {
			t.Fatal(err)
		}
	}
	s := signal(1, hash(newRand(1)))
	s.Kind, s.Value, s.MaxDistance = fingerprint.SHA256, digest.SHA256{1}.String(), 0
	p.add(s)
	got, _ := p.told(0, n)
	if len(got) != n || got[0] != fmt.Sprintf("match u-%d S-0001 block", n-1) || got[n-1] != "match u-0 S-0001 block" {
		t.Errorf("%d of %d told, from %s to %s; want all, newest first", len(got), n, got[0], got[len(got)-1])
	}
	// A restart looks at nothing again: the mark is written after the last.
	for deadline := time.Now().Add(5 * time.Second); p.l.Stats().Waiting > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	p.restart()
	if got, _, _ := p.l.Events(0, 2*n); len(got) != n {
		t.Errorf("%d events after a restart, want %d", len(got), n)
	}
}

// What a signal matched before and does not match now is void, or at least of
// the signal's action now.
func TestLookbackTakesBack(t *testing.T) {
	r := newRand(5)
	h := hash(r)
	far, near4 := near(r, h, 25), near(r, h, 4)
	t.Run("a smaller distance", func(t *testing.T) {
		p := newPast(t, edge.LookbackOptions{})
		p.upload("far", file{Bytes: "a", PDQ: &far})
		p.upload("near", file{Bytes: "b", PDQ: &near4})
		s := signal(1, h)
		p.add(s)
		at := p.want(0, "match far S-0001 block", "match near S-0001 block")
		p.upload("far, answered", file{Bytes: "c", PDQ: &far})
		s.MaxDistance = 10
		p.add(s)
		at = p.want(at, "void far S-0001 block", "void far, answered S-0001 block")
		p.remove(1)
		p.want(at, "void near S-0001 block")
	})
	t.Run("it expires while the node is away", func(t *testing.T) {
		p := newPast(t, edge.LookbackOptions{})
		p.upload("near", file{Bytes: "b", PDQ: &near4})
		s := signal(1, h)
		s.Expires = time.Now().Add(30 * time.Minute)
		p.add(s)
		at := p.want(0, "match near S-0001 block")
		p.m.NodeTime(time.Now().Add(time.Hour), time.Now())
		if got, _ := p.told(at, 1); !slices.Equal(got, []string{"void near S-0001 block"}) {
			t.Errorf("told %q, want that it is void", got)
		}
	})
	t.Run("the answer saw more than is kept", func(t *testing.T) {
		p := newPast(t, edge.LookbackOptions{})
		s := signal(1, h)
		p.add(s)
		for ref, why := range map[string]string{"strong": "", "weak": "weak"} {
			set, _ := frames{film(2, 20)}.Fingerprint(t.Context(), nilReader{})
			id, err := p.l.Keep(ref, &set)
			if err != nil {
				t.Fatal(err)
			}
			action := edge.Block
			if why != "" {
				action = edge.Review
			}
			p.l.Answered(id, &edge.Result{Matches: []edge.Match{{Number: 1, Action: action, Why: why}}})
		}
		s.Labels = []string{"manifesto"} // nothing that matters
		p.add(s)
		s.Action = edge.Monitor
		p.add(s)
		at := p.want(0, "changed strong S-0001 monitor", "changed weak S-0001 monitor")
		s.Action = edge.Block
		p.add(s)
		p.want(at, "changed strong S-0001 block", "changed weak S-0001 review")
	})
}

// A video between bars that was up before its signal is told as the edge answers
// one that comes after it, mirrored or not.
func TestLookbackFindsLetterboxed(t *testing.T) {
	p := newPast(t, edge.LookbackOptions{})
	known := film(1, 60)
	boxed := func(ref string, form int) *fingerprint.Set {
		set, _ := frames{film(uint64(100+form), 60)}.Fingerprint(t.Context(), nilReader{})
		for i := 0; i < len(set.Frames); i += 4 {
			h := known[i].PDQ.Hash
			trim := fingerprint.Trim{Name: "letterbox", PDQ: pdq.Result{Hash: vpdq.Turn(h, form), Quality: 90}}
			trim.Dihedral[0], trim.Dihedral[5] = trim.PDQ.Hash, vpdq.Turn(trim.PDQ.Hash, 5)
			set.Frames[i].Trims = []fingerprint.Trim{trim}
		}
		if _, err := p.l.Keep(ref, &set); err != nil {
			t.Fatal(err)
		}
		return &set
	}
	sets := []*fingerprint.Set{boxed("boxed", 0), boxed("boxed and mirrored", 5)}
	p.restart() // and once more from what is on disk
	p.add(videoSignal(1, known))
	p.want(0, "match boxed S-0001 block", "match boxed and mirrored S-0001 block")
	es, _, _ := p.l.Events(0, 10)
	for _, e := range es {
		i := map[string]int{"boxed": 0, "boxed and mirrored": 1}[e.Reference]
		var r edge.Result
		p.m.Set(&r, sets[i])
		if len(r.Matches) != 1 || r.Matches[0].Pass != e.Pass || !strings.HasPrefix(e.Pass, "vpdq") || !strings.Contains(e.Pass, ":trim") {
			t.Errorf("%s was told by %q, the edge answers %+v", e.Reference, e.Pass, r.Matches)
		}
	}
}

// nilReader is an empty file.
type nilReader struct{}

func (nilReader) Read([]byte) (int, error) { return 0, io.EOF }
