package feed

import (
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/feed/feedtest"
)

// fan is a hub with subscribers that write to nowhere.
func fan(t testing.TB, subs int) (*Hub, *chain, []*subscriber, func() []*frame) {
	t.Helper()
	h := New(Options{Signer: edge.KeySigner(make([]byte, 64)), Keys: []byte("k")})
	c := &chain{name: edge.SharedChain}
	h.chains[c.name] = c
	var all []*subscriber
	for range subs {
		s := &subscriber{who: Subscriber{Partner: "nusa"}, wake: make(chan struct{}, 1), over: make(chan struct{}), follows: []follow{{chain: c}}, keys: h.keys}
		h.subs[s] = struct{}{}
		all = append(all, s)
	}
	r := rand.New(rand.NewPCG(1, 1))
	wire, err := func() ([]byte, error) {
		op := edge.Operation{Chain: c.name, Epoch: 1, Seq: 1, Do: edge.Add, At: time.Unix(1, 0), Signal: feedtest.Signal(1, feedtest.Hash(r))}
		w, _, err := op.Seal(edge.KeySigner(seedKey()))
		return w, err
	}()
	if err != nil {
		t.Fatal(err)
	}
	return h, c, all, func() []*frame {
		h.mu.Lock()
		defer h.mu.Unlock()
		head := edge.Position{Epoch: 1, Seq: c.head.Seq + 1}
		f := []*frame{{wire: event("op", wire), at: head}}
		c.extend(f, []opStat{{seq: head.Seq}}, head, h.o.Ring, h.o.RingBytes)
		for s := range h.subs {
			s.notify()
		}
		return f
	}
}

// Once made, an operation reaches an edge without allocating: the work for one
// edge does not grow the heap.
func TestFanOutAllocatesNothing(t *testing.T) {
	const subs = 200
	_, _, all, publish := fan(t, 0)
	_ = all
	perOp := testing.AllocsPerRun(100, func() { publish() })
	h, _, all, publish := fan(t, subs)
	frames := make([]*frame, 0, 2*batch+2)
	got := 0
	perOpAndEdges := testing.AllocsPerRun(100, func() {
		publish()
		for _, s := range all {
			<-s.wake
			out, err := h.take(s, frames)
			if err != nil || len(out) != 1 {
				t.Fatal(len(out), err)
			}
			for _, f := range out {
				_, _ = io.Discard.Write(f.wire)
				got++
			}
		}
	})
	if perOpAndEdges > perOp+1 {
		t.Errorf("%v allocations for an operation and %d edges, %v for the operation alone", perOpAndEdges, subs, perOp)
	}
	if got < 100*subs {
		t.Errorf("%d frames written", got)
	}
}

func BenchmarkFanOut(b *testing.B) {
	for _, subs := range []int{1000, 5000} {
		b.Run("edges="+map[int]string{1000: "1e3", 5000: "5e3"}[subs], func(b *testing.B) {
			h, _, all, publish := fan(b, subs)
			frames := make([]*frame, 0, 2*batch+2)
			b.ReportAllocs()
			for b.Loop() {
				publish()
				for _, s := range all {
					<-s.wake
					out, err := h.take(s, frames)
					if err != nil {
						b.Fatal(err)
					}
					for _, f := range out {
						_, _ = io.Discard.Write(f.wire)
					}
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(subs), "ns/edge")
		})
	}
}

func seedKey() []byte {
	k := make([]byte, 64)
	for i := range k {
		k[i] = byte(i)
	}
	return k
}
