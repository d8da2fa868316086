package feed_test

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/feed"
)

// board is what several nodes tell each other, in memory.
type board struct {
	mu   sync.Mutex
	docs map[string][]byte
}

type boardOf struct {
	b    *board
	node string
}

func (o boardOf) Put(_ context.Context, doc []byte) error {
	o.b.mu.Lock()
	defer o.b.mu.Unlock()
	o.b.docs[o.node] = doc
	return nil
}

func (o boardOf) Others(context.Context) (map[string][]byte, error) {
	o.b.mu.Lock()
	defer o.b.mu.Unlock()
	docs := maps.Clone(o.b.docs)
	delete(docs, o.node)
	return docs, nil
}

// Edges, how far an operation came, and metrics are the same at each node of a
// database, whichever one an edge is at, while it moves, and when a node dies.
func TestNodesShareTheStateOfEdges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := &board{docs: map[string][]byte{}}
		known := func(context.Context) ([]feed.Subscriber, error) {
			return []feed.Subscriber{{Partner: "nusa", Edge: "nusa-1"}, {Partner: "nusa", Edge: "zz"}}, nil
		}
		change := func(node string) func(*feed.Options) {
			return func(o *feed.Options) { o.Share, o.Known = boardOf{told, node}, known }
		}
		a := newBubble(t, change("a"))
		hubB, stopB := bubbleNode(t, a.store, change("b"))
		h := a.add(1)
		e := a.follow(edge.FollowerOptions{Dir: memoryDir(t), Version: "1.2.3"})
		settle(time.Second)
		var res edge.Result
		for range 7 {
			e.m.PDQ(&res, &h, 100)
		}
		settle(time.Second)
		a.add(2)
		settle(10 * time.Second)

		say := func(hub *feed.Hub) string {
			t.Helper()
			states, err := hub.Edges(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			out := ""
			for _, s := range states {
				out += fmt.Sprintf("%s/%s %s streams=%d behind=%d signals=%d matched=%d %s; ", s.Partner, s.Edge, s.State(time.Now()), s.Streams, s.Behind, s.Report.Signals, s.Report.Matched, s.Report.Version)
			}
			r, ok := hub.Reach(edge.SharedChain, 2)
			return out + fmt.Sprint(ok, r.Reached, r.Edges, len(r.Delays))
		}
		name := ""
		if states, err := a.hub.Edges(t.Context()); err != nil || len(states) < 2 {
			t.Fatal(states, err)
		} else {
			name = states[0].Partner + "/" + states[0].Edge
		}
		want := name + " current streams=1 behind=0 signals=2 matched=7 1.2.3; nusa/zz silent streams=0 behind=2 signals=0 matched=0 ; true 1 2 1"
		expect(t, "at the edge's node", say(a.hub), want)
		expect(t, "at the other node", say(hubB), want)

		// The edge moves to the other node.
		e.stop()
		a.way.set(hubB.Handler())
		e = a.follow(edge.FollowerOptions{Dir: memoryDir(t), Version: "1.2.4"})
		settle(10 * time.Second)
		moved := name + " current streams=1 behind=0 signals=2 matched=0 1.2.4; nusa/zz silent streams=0 behind=2 signals=0 matched=0 ; true 1 2 "
		if got := say(a.hub); got != moved+"1" && got != moved+"0" {
			t.Errorf("at the node that it left: %q", got)
		}
		// Its node dies without a word: it has no stream any more, and is silent
		// in time.
		e.stop()
		a.way.set(nil)
		stopB()
		told.mu.Lock()
		settled := told.docs["b"]
		told.mu.Unlock()
		settle(30 * time.Second)
		states, err := a.hub.Edges(t.Context())
		if err != nil || states[0].Streams != 0 || states[0].State(time.Now()) != "silent" || time.Since(states[0].LastSeen) < 25*time.Second || states[0].Report.Version != "1.2.4" {
			t.Errorf("after its node died: %+v, %v (%d bytes told)", states[0], err, len(settled))
		}
		a.down()
	})
}
