package app

import (
	"context"
	"errors"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/duty"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/notify"
	"github.com/siaga-crp/siaga/internal/partner"
)

// Desk is what the operator's shell needs of rosters and messages, beside a
// running node.
type Desk struct {
	Log      *journal.Log
	Partners *partner.Service
	Duty     *duty.Service
	Notify   *notify.Service
}

// OpenDesk opens the rosters and channels of a node's data folder. done closes
// what it opened.
func OpenDesk(ctx context.Context, o Options, database string) (d Desk, done func() error, err error) {
	log, set, db, err := OpenLog(ctx, o.Data, database, false)
	if err != nil {
		return Desk{}, nil, err
	}
	n := &Node{o: o, Log: log, Keys: set, URL: o.PublicURL, Incidents: incident.New(incident.Options{Log: log, Now: o.Now})}
	if n.URL == "" {
		n.URL = "http://" + DefaultListen
	}
	if err := n.newMessages(); err != nil {
		return Desk{}, nil, errors.Join(err, db.Close())
	}
	p := partner.New(partner.Options{Log: log, Now: o.Now, Seal: set, NodeKey: edge.Pin(set.NodePublic()), Tell: notify.Teller(o.Now)})
	return Desk{Log: log, Partners: p, Duty: n.Duty, Notify: n.Notify}, func() error { n.dial.Close(); return db.Close() }, nil
}
