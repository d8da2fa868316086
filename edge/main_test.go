package edge_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var start = time.Date(2026, 3, 14, 1, 2, 3, 0, time.UTC)

func key(seed byte) edge.KeySigner {
	return edge.KeySigner(ed25519.NewKeyFromSeed([]byte(strings.Repeat(string(rune('a'+seed)), 32))))
}

func keysOf(t testing.TB, root edge.KeySigner, feed ...edge.KeySigner) *edge.Keys {
	t.Helper()
	k := edge.Keys{Serial: 1, At: start}
	for _, f := range feed {
		k.Feed = append(k.Feed, edge.FeedKey{Public: f.Public()})
	}
	wire, err := k.Seal(root)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := edge.ParseKeys(wire, edge.Pin(root.Public()))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// writer makes the operations of chains.
type writer struct {
	t    testing.TB
	key  edge.KeySigner
	head map[string]edge.Position
	at   time.Time
}

func newWriter(t testing.TB) *writer {
	return &writer{t: t, key: key(0), head: map[string]edge.Position{}, at: start}
}

func (w *writer) wire(chain string, do edge.Do, s edge.Signal) []byte {
	w.t.Helper()
	p := w.head[chain]
	w.at = w.at.Add(time.Second)
	if s.Entry == 0 {
		s.Entry = int64(p.Seq) + 1000
	}
	op := edge.Operation{Chain: chain, Epoch: max(p.Epoch, 1), Seq: p.Seq + 1, Prev: p.Hash, Do: do, At: w.at, Signal: s}
	wire, hash, err := op.Seal(w.key)
	if err != nil {
		w.t.Fatal(err)
	}
	w.head[chain] = edge.Position{Epoch: op.Epoch, Seq: op.Seq, Hash: hash}
	return wire
}

func (w *writer) op(chain string, do edge.Do, s edge.Signal) *edge.Sealed {
	w.t.Helper()
	op, err := edge.ParseOperation(w.wire(chain, do, s))
	if err != nil {
		w.t.Fatal(err)
	}
	return &op
}

// apply is op followed by Apply.
func (w *writer) apply(m *edge.Matcher, chain string, do edge.Do, s edge.Signal) {
	w.t.Helper()
	if err := m.Apply(w.op(chain, do, s)); err != nil {
		w.t.Fatal(err)
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

// hash returns one like those of pictures: half of its bits are set.
func hash(r *rand.Rand) (h pdq.Hash) {
	for i, b := range r.Perm(256) {
		if b < 128 {
			h[i/8] |= 1 << (i % 8)
		}
	}
	return h
}

func near(r *rand.Rand, h pdq.Hash, n int) pdq.Hash {
	for _, b := range r.Perm(256)[:n] {
		h[b/8] ^= 1 << (b % 8)
	}
	return h
}

func signal(n uint64, h pdq.Hash) edge.Signal {
	return edge.Signal{Number: n, ID: fmt.Sprintf("S-%04d", n), Kind: fingerprint.PDQ, Value: h.String(), List: "sea-crp", Labels: []string{"terrorism"},
		Producer: "perpetrator", Action: edge.Block, MaxDistance: 31, Group: fmt.Sprintf("A-%04d", n)}
}

// clock is a clock that tests set.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

// ready returns a matcher that has just heard from its node.
func ready(t testing.TB, o edge.MatcherOptions) (*edge.Matcher, *clock) {
	t.Helper()
	c := &clock{start}
	if o.Now == nil {
		o.Now = c.now
	}
	m := edge.NewMatcher(o)
	m.FreshAt(c.t)
	return m, c
}

func snapshotOf(t testing.TB, s *edge.State, k edge.KeySigner) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.WriteSnapshot(&b, k, start, "origin\n5\nroot\n"); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
