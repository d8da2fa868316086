package edge_test

import (
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/edge"
)

// FuzzSeen: whatever is in the header, only what the node signed is taken.
func FuzzSeen(f *testing.F) {
	key := edge.KeySigner(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)))
	sealed, err := edge.Keys{Serial: 1, Feed: []edge.FeedKey{{Public: key.Public()}}, At: time.UnixMilli(1)}.Seal(key)
	if err != nil {
		f.Fatal(err)
	}
	keys, err := edge.ParseKeys(sealed, edge.Pin(key.Public()))
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"", "h.", "h.AA", "b.e30", "o.e30,h.e30", "x.AA", "h.AA,,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		seen, err := keys.ParseSeen(text)
		if err != nil && !errors.Is(err, edge.ErrSyntax) && !errors.Is(err, edge.ErrSignature) {
			t.Errorf("%q: %v wraps neither sentinel", text, err)
		}
		if err == nil {
			t.Errorf("%q was taken as signed: %+v", text, seen)
		}
	})
}
