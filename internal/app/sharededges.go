package app

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/siaga-crp/siaga/internal/journal"
)

// sharedEdges keeps in the database what each node knows of the edges at it. It
// implements feed.Sharer.
type sharedEdges struct {
	store journal.Store
	node  string // new at each start
	now   func() time.Time
}

const (
	privateEdges = "feed_edges" // ID: the node's name
	edgesOwner   = "feed"
	// edgesKept is how long the last word of a node that is gone says when its
	// edges were heard last.
	edgesKept = 24 * time.Hour
)

func newSharedEdges(s journal.Store, now func() time.Time) *sharedEdges {
	return &sharedEdges{s, rand.Text(), now}
}

// Put implements feed.Sharer.
func (s *sharedEdges) Put(ctx context.Context, doc []byte) error {
	return s.store.Update(ctx, func(tx journal.StoreTx) error {
		return tx.PutPrivate(journal.Private{Kind: privateEdges, ID: s.node, Owner: edgesOwner, Doc: doc, Expires: s.now().Add(edgesKept).UTC().Truncate(time.Millisecond)})
	})
}

// Others implements feed.Sharer.
func (s *sharedEdges) Others(ctx context.Context) (map[string][]byte, error) {
	out := map[string][]byte{}
	err := s.store.View(ctx, func(r journal.StoreReader) error {
		clear(out)
		ps, err := r.Privates(privateEdges, edgesOwner)
		for _, p := range ps {
			if p.ID != s.node && p.Expires.After(s.now()) {
				out[p.ID] = p.Doc
			}
		}
		return err
	})
	return out, err
}
