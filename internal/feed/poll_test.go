package feed

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/feed/feedtest"
	"github.com/siaga-crp/siaga/internal/journal"
)

// The line brought an operation that the store does not have, and the store has
// more than one look's worth after it. The chain is forgotten once: a later
// round of the same look neither forgets the one that was opened anew under its
// name nor asks for the old one's rows for ever.
func TestAForgottenChainIsNotForgottenTwice(t *testing.T) {
	store := feedtest.NewStore()
	signer := edge.KeySigner(seedKey())
	var first, at edge.Position // after the first and the last operation
	for seq := uint64(1); seq <= pollLimit+10; seq++ {
		op := edge.Operation{Chain: edge.SharedChain, Epoch: 1, Seq: seq, Prev: at.Hash, Do: edge.Remove, At: time.Unix(1, 0), Signal: edge.Signal{Number: 1, ID: "S-0001"}}
		wire, hash, err := op.Seal(signer)
		if err != nil {
			t.Fatal(err)
		}
		if at = (edge.Position{Epoch: 1, Seq: seq, Hash: hash}); seq == 1 {
			first = at
		}
		if err := store.Update(t.Context(), func(tx journal.StoreTx) error {
			return tx.PutFeed(journal.FeedRow{Chain: op.Chain, Seq: seq, Op: wire})
		}); err != nil {
			t.Fatal(err)
		}
	}
	h := New(Options{Store: store, Signer: signer, Keys: []byte("k")})
	phantom := edge.Position{Epoch: 1, Seq: 2}
	h.chains[edge.SharedChain] = &chain{name: edge.SharedChain, seen: first, head: phantom, early: []edge.Position{phantom}}
	anew := &chain{name: edge.SharedChain, seen: at, head: at}
	looks := 0
	store.Fail = func(bool) error {
		looks++
		switch looks {
		case 2: // an edge connected between two rounds
			h.mu.Lock()
			defer h.mu.Unlock()
			if h.chains[edge.SharedChain] != nil {
				return errors.New("the first round kept the chain")
			}
			h.chains[edge.SharedChain] = anew
		case 5:
			return errors.New("the look does not end")
		}
		return nil
	}
	if err := h.poll(t.Context()); err != nil {
		t.Error(err)
	}
	if looks < 2 || h.chains[edge.SharedChain] != anew {
		t.Errorf("after %d rounds the chain that was opened anew is gone", looks)
	}
}

// A node that reads behind another one of its database never shows an older
// checkpoint than it showed before: to an edge that would be a rollback.
func TestAnOlderCheckpointIsNotShown(t *testing.T) {
	store := feedtest.NewStore()
	h := New(Options{Store: store, Signer: edge.KeySigner(seedKey()), Keys: []byte("k")})
	note := func(size int, root string) string { return fmt.Sprintf("node.example\n%d\n%s\n\n", size, root) }
	for _, c := range []struct{ read, show string }{
		{note(9, "a"), note(9, "a")},
		{note(7, "b"), note(9, "a")},
		{"", note(9, "a")},
		{note(10, "c"), note(10, "c")}, // also by digits, not by text
		{note(9, "a"), note(10, "c")},
		{note(10, "d"), note(10, "d")}, // signed anew
	} {
		store.SetCheckpoint(c.read)
		if err := h.poll(t.Context()); err != nil {
			t.Fatal(err)
		}
		if h.note != c.show {
			t.Errorf("after reading %q the hub shows %q, want %q", c.read, h.note, c.show)
		}
	}
}
