package feed_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/feed"
	"github.com/siaga-crp/siaga/internal/feed/feedtest"
)

func TestASignalReachesAnEdgeAndLeavesIt(t *testing.T) {
	n := newNode(t, nil)
	r := rand.New(rand.NewPCG(1, 1))
	h := feedtest.Hash(r)
	n.publish(feed.Draft{Chain: edge.SharedChain, Do: edge.Add, Signal: feedtest.Signal(1, h)})
	e := follow(t, edge.FollowerOptions{Upstream: []string{n.srv.URL}, Token: n.token("nusa-1"), Dir: t.TempDir()})
	var res edge.Result
	near := feedtest.Near(r, h, 20)
	eventually(t, "signal 1 blocks", func() bool { return e.m.PDQ(&res, &near, 100) && res.Blocked() })
	if m := res.Matches[0]; m.Number != 1 || m.Signal.String() != "S-0001" || m.Distance != 20 || m.Group.String() != "A-0001" || m.Entry != 1 {
		t.Errorf("match = %+v", m)
	}

	// Live, both ways.
	h2 := feedtest.Hash(r)
	n.publish(feed.Draft{Chain: edge.SharedChain, Do: edge.Add, Signal: feedtest.Signal(2, h2)})
	eventually(t, "signal 2 blocks", func() bool { return e.m.PDQ(&res, &h2, 100) && res.Blocked() })
	n.publish(feed.Draft{Chain: edge.SharedChain, Do: edge.Remove, Signal: edge.Signal{Number: 1, ID: "S-0001"}})
	eventually(t, "signal 1 is gone", func() bool { return e.m.PDQ(&res, &h, 100) && len(res.Matches) == 0 })

	// The own chain has the last word.
	n.publish(feed.Draft{Chain: edge.OwnChain("nusa"), Do: edge.Remove, Signal: edge.Signal{Number: 2, ID: "S-0002"}})
	eventually(t, "signal 2 is masked", func() bool { return e.m.PDQ(&res, &h2, 100) && len(res.Matches) == 0 })
	n.publish(feed.Draft{Chain: edge.OwnChain("nusa"), Do: edge.Clear, Signal: edge.Signal{Number: 2, ID: "S-0002"}})
	eventually(t, "signal 2 is back", func() bool { return e.m.PDQ(&res, &h2, 100) && res.Blocked() })

	eventually(t, "all is acknowledged", func() bool {
		edges, err := n.hub.Edges(t.Context())
		return err == nil && len(edges) == 1 && edges[0].Behind == 0 && edges[0].Report.Signals == 1
	})
	reach, ok := n.hub.Reach(edge.SharedChain, 2)
	if !ok || reach.Edges != 1 || reach.Reached != 1 || len(reach.Delays) != 1 {
		t.Errorf("reach = %+v, %v", reach, ok)
	}
	if a := e.Alarms(); len(a) != 0 {
		t.Errorf("alarms: %+v", a)
	}
}

// A sign of life that arrives together with an operation does not hold it up
// until the next event.
func TestSignsOfLifeHoldNothingUp(t *testing.T) {
	n := newNode(t, func(o *feed.Options) { o.Ping, o.Heartbeat = time.Millisecond, 20*time.Second })
	f := follow(t, edge.FollowerOptions{Upstream: []string{n.srv.URL}, Token: n.token("lensa-1"), Dir: memoryDir(t)})
	for i := range uint64(150) {
		n.add(i + 1)
		eventually(t, fmt.Sprintf("operation %d arrives", i+1), func() bool { return f.m.Len() == int(i)+1 }) //nolint:gosec // small
	}
}
