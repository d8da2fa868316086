package edge_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
)

func wireOf(body, sig []byte) []byte {
	return append(append(bytes.Clone(body), '\n'), base64.StdEncoding.EncodeToString(sig)...)
}

// genSignal draws signals of all kinds and forms.
func genSignal(numbers *rapid.Generator[uint64]) *rapid.Generator[edge.Signal] {
	return rapid.Custom(func(t *rapid.T) edge.Signal {
		n := numbers.Draw(t, "n")
		s := signal(n, hash(newRand(rapid.Uint64Range(0, 20).Draw(t, "picture"))))
		switch rapid.IntRange(0, 4).Draw(t, "kind") {
		case 1:
			s.Kind, s.Value, s.MaxDistance = fingerprint.SHA256, strings.Repeat(fmt.Sprintf("%02x", n%16), 32), 0
		case 2:
			s.Kind, s.Value, s.MaxDistance = fingerprint.MD5, strings.Repeat(fmt.Sprintf("%02x", n%16), 16), 0
		case 3:
			s.Kind, s.Value, s.MaxDistance = fingerprint.URL, fmt.Sprintf("https://example.org/%d", n%4), 0
		case 4:
			s.Kind, s.Value, s.MaxDistance = "later", "of a later version", 0
		}
		s.ID = rapid.SampledFrom([]string{s.ID, fmt.Sprintf("S-%d", n), fmt.Sprintf("%d", n), "Ω-" + fmt.Sprint(n), "name", "x-007-y", fmt.Sprintf("S-%04d", n+3)}).Draw(t, "id")
		s.Group = rapid.SampledFrom([]string{"", s.Group, "A-1", "group of its own", "A-0009"}).Draw(t, "group")
		s.Action = rapid.SampledFrom([]edge.Action{edge.Block, edge.Block, edge.Review, edge.Monitor}).Draw(t, "action")
		s.Exercise = rapid.IntRange(0, 5).Draw(t, "exercise") == 0
		s.Labels = rapid.SampledFrom([][]string{nil, {"terrorism"}, {"terrorism", "livestream"}}).Draw(t, "labels")
		s.Entry = rapid.Int64Range(1, 1<<40).Draw(t, "entry")
		s.MaxStale = rapid.SampledFrom([]int64{0, 60}).Draw(t, "stale")
		if rapid.Bool().Draw(t, "expires") {
			s.Expires = start.Add(time.Duration(rapid.Int64Range(-1000, 1<<20).Draw(t, "expires at")) * time.Second).Truncate(time.Second)
		}
		return s
	})
}

// A chain's state survives a snapshot, and so do operations that follow it.
func TestSnapshotIsTheState(t *testing.T) {
	k := key(0)
	keys := keysOf(t, key(9), k)
	for _, chain := range []string{edge.SharedChain, "partner:nusa"} {
		rapid.Check(t, func(rt *rapid.T) {
			w := newWriter(t)
			s, m := edge.NewState(chain), map[uint64]edge.Signal{}
			steps := rapid.IntRange(0, 40).Draw(rt, "steps")
			for i := range steps {
				if rapid.IntRange(0, 9).Draw(rt, "snapshot") == 0 {
					again, err := edge.ReadState(bytes.NewReader(snapshotOf(t, s, k)), keys)
					if err != nil {
						rt.Fatal(err)
					}
					if again.Position() != s.Position() || again.Len() != s.Len() {
						rt.Fatalf("after a snapshot %v %d, before %v %d", again.Position(), again.Len(), s.Position(), s.Len())
					}
					s = again
				}
				sig := genSignal(rapid.Uint64Range(1, 12)).Draw(rt, fmt.Sprint("signal ", i))
				do := rapid.SampledFrom([]edge.Do{edge.Add, edge.Add, edge.Remove, edge.Clear}).Draw(rt, "do")
				if do != edge.Add {
					sig = edge.Signal{Number: sig.Number, ID: sig.ID, Entry: sig.Entry}
				}
				if err := s.Apply(w.op(chain, do, sig)); err != nil {
					rt.Fatal(err)
				}
				switch {
				case do == edge.Add, do == edge.Remove && chain != edge.SharedChain:
					m[sig.Number] = sig
				default:
					delete(m, sig.Number)
				}
			}
			again, err := edge.ReadState(bytes.NewReader(snapshotOf(t, s, k)), keys)
			if err != nil {
				rt.Fatal(err)
			}
			if d := cmp.Diff(m, again.Signals()); d != "" {
				rt.Fatalf("signals (-want +got):\n%s", d)
			}
		})
	}
}

func bigState(t testing.TB, n int) *edge.State {
	t.Helper()
	r, w, s := newRand(3), newWriter(t), edge.NewState(edge.SharedChain)
	for i := range n {
		sig := signal(uint64(i)+1, hash(r))
		sig.Entry = int64(1000 + 3*i + r.IntN(3))
		sig.Group = fmt.Sprintf("A-%04d", 1+i/3)
		sig.Expires = start.Add(time.Duration(r.IntN(86400*30)) * time.Second)
		sig.Labels = [][]string{{"terrorism"}, {"terrorism", "livestream"}, {"manifesto"}}[r.IntN(3)]
		if err := s.Apply(w.op(edge.SharedChain, edge.Add, sig)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestSnapshotIsSmall(t *testing.T) {
	const n = 4000
	b := snapshotOf(t, bigState(t, n), key(0))
	if per := float64(len(b)) / n; per > 40 {
		t.Errorf("%.1f bytes a PDQ signal, want at most 40", per)
	} else {
		t.Logf("%.1f bytes a PDQ signal", per)
	}
}

func TestEveryFlippedBitOfASnapshotIsRefused(t *testing.T) {
	b := snapshotOf(t, bigState(t, 6), key(0))
	keys := keysOf(t, key(9), key(0))
	for i := range b {
		bad := slices.Clone(b)
		bad[i] ^= 1 << (i % 8)
		if _, err := edge.ReadState(bytes.NewReader(bad), keys); err == nil {
			t.Fatalf("byte %d of %d flipped: accepted", i, len(b))
		}
	}
	for i := range b {
		if _, err := edge.ReadState(bytes.NewReader(b[:i]), keys); !errors.Is(err, edge.ErrSyntax) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	if _, err := edge.ReadState(bytes.NewReader(b), keysOf(t, key(9), key(1))); !errors.Is(err, edge.ErrSignature) {
		t.Errorf("another key: %v", err)
	}
}

func FuzzReadState(f *testing.F) {
	f.Add(snapshotOf(f, bigState(f, 3), key(0)))
	keys := keysOf(f, key(9), key(0))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _ = edge.ReadState(bytes.NewReader(b), keys) // must return, whatever it says
	})
}
