package app

import (
	"path/filepath"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/bus"
)

// startBus prepares the way over NATS, if one is named. That NATS does not
// answer is no error: the feed goes on from the database.
func (n *Node) startBus() error {
	if n.o.NATS == "" {
		return nil
	}
	b, err := bus.New(bus.Options{
		URL: n.o.NATS, Dir: filepath.Join(n.o.Data, "nats"), Pin: edge.Pin(n.Keys.NodePublic()), Log: n.o.Log,
		Deliver: func(chain string, wire []byte) { n.Hub.Deliver(chain, wire) },
		Changed: func(bool) { n.Hub.Refresh() }, // what was missed meanwhile is in the database
	})
	if err != nil {
		return err
	}
	n.bus = b
	return nil
}

func (n *Node) stopBus() {
	if n.bus != nil {
		n.bus.Close()
	}
}

// Bus says how the way over NATS is; false if there is none.
func (n *Node) Bus() (bus.Status, bool) {
	if n.bus == nil {
		return bus.Status{}, false
	}
	return n.bus.Status(), true
}
