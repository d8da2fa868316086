package edge_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
)

func genOperation() *rapid.Generator[edge.Operation] {
	text := rapid.StringN(0, 60, 190)
	return rapid.Custom(func(t *rapid.T) edge.Operation {
		o := edge.Operation{
			Chain: rapid.SampledFrom([]string{"partners", "partner:nusa", "partner:a-b_c.9"}).Draw(t, "chain"),
			Epoch: rapid.Uint64Range(1, 1<<40).Draw(t, "epoch"), Seq: rapid.Uint64Range(1, 1<<60).Draw(t, "seq"),
			Do: rapid.SampledFrom([]edge.Do{edge.Add, edge.Remove, edge.Clear}).Draw(t, "do"),
			At: time.UnixMilli(rapid.Int64Range(0, 1<<41).Draw(t, "at")).UTC(),
		}
		copy(o.Prev[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "prev"))
		o.Signal = edge.Signal{Number: rapid.Uint64Min(1).Draw(t, "n"), ID: rapid.StringN(1, 60, 190).Draw(t, "id"), Entry: rapid.Int64Min(0).Draw(t, "entry")}
		if o.Do == edge.Add {
			o.Kind, o.Value = fingerprint.URL, rapid.StringN(1, 200, 1000).Draw(t, "value")
			o.List, o.Producer, o.Group, o.Incident = text.Draw(t, "list"), text.Draw(t, "producer"), text.Draw(t, "group"), text.Draw(t, "incident")
			o.Labels = rapid.SliceOfN(text, 0, 5).Draw(t, "labels")
			if len(o.Labels) == 0 {
				o.Labels = nil
			}
			o.Action = rapid.SampledFrom([]edge.Action{edge.Block, edge.Review, edge.Monitor}).Draw(t, "action")
			o.MaxDistance, o.Exercise = rapid.IntRange(0, 256).Draw(t, "distance"), rapid.Bool().Draw(t, "exercise")
			o.MaxStale = rapid.Int64Range(0, 1<<30).Draw(t, "stale")
			if rapid.Bool().Draw(t, "expires") {
				o.Expires = time.Unix(rapid.Int64Range(1, 1<<33).Draw(t, "at"), 0).UTC()
			}
		}
		return o
	})
}

func TestOperationRoundTrip(t *testing.T) {
	k := key(0)
	keys := keysOf(t, key(9), k)
	rapid.Check(t, func(t *rapid.T) {
		want := genOperation().Draw(t, "operation")
		wire, hash, err := want.Seal(k)
		if err != nil {
			t.Fatal(err)
		}
		want.Key = edge.IDOf(k.Public())
		got, err := edge.ParseOperation(wire)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got.Operation); d != "" {
			t.Fatal(d)
		}
		if got.Hash != hash {
			t.Fatal("hashes differ")
		}
		if err := keys.Verify(&got); err != nil {
			t.Fatal(err)
		}
	})
}

// No byte of an operation can be changed on the way: neither the exercise mark
// nor anything else.
func TestEveryFlippedBitOfAnOperationIsRefused(t *testing.T) {
	w := newWriter(t)
	s := signal(7, hash(newRand(1)))
	s.Exercise = true
	wire := w.wire(edge.SharedChain, edge.Add, s)
	keys := keysOf(t, w.key, w.key)
	if !bytes.Contains(wire, []byte(`"exercise":true`)) {
		t.Fatal("no exercise mark in the body")
	}
	forged := bytes.Replace(wire, []byte(`"exercise":true`), []byte(`"exercise":false`), 1)
	if op, err := edge.ParseOperation(forged); err != nil || !errors.Is(keys.Verify(&op), edge.ErrSignature) {
		t.Errorf("an operation without its exercise mark was accepted: %v", err)
	}
	for i := range wire {
		for bit := range 8 {
			bad := slices.Clone(wire)
			bad[i] ^= 1 << bit
			op, err := edge.ParseOperation(bad)
			if err != nil {
				continue
			}
			if keys.Verify(&op) == nil {
				t.Fatalf("byte %d bit %d flipped: accepted\n%s", i, bit, bad)
			}
		}
	}
}

func TestOperationOfAnotherKeyIsRefused(t *testing.T) {
	w := newWriter(t)
	op := w.op(edge.SharedChain, edge.Add, signal(1, hash(newRand(1))))
	for name, keys := range map[string]*edge.Keys{
		"another key":  keysOf(t, key(9), key(1)),
		"a key ended":  func() *edge.Keys { k := keysOf(t, key(9), w.key); k.Feed[0].Until = start; return k }(),
		"no longer in": keysOf(t, key(9), key(2), key(3)),
	} {
		if err := keys.Verify(op); !errors.Is(err, edge.ErrSignature) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKeysArePinned(t *testing.T) {
	wire, err := edge.Keys{Serial: 1, At: start, Feed: []edge.FeedKey{{Public: key(1).Public()}}}.Seal(key(0))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := edge.ParseKeys(wire, edge.Pin(key(2).Public())); !errors.Is(err, edge.ErrSignature) {
		t.Errorf("another root key: %v", err)
	}
	bad := bytes.Replace(wire, []byte(`"serial":1`), []byte(`"serial":2`), 1)
	if _, err := edge.ParseKeys(bad, edge.Pin(key(0).Public())); !errors.Is(err, edge.ErrSignature) {
		t.Errorf("changed serial: %v", err)
	}
	if pin, err := edge.PinOf("siaga_edge_0123456789_" + edge.Pin(key(0).Public()) + "\n"); err != nil || pin != edge.Pin(key(0).Public()) {
		t.Errorf("PinOf = %q, %v", pin, err)
	}
	for _, bad := range []string{"", "siaga_0123", "siaga_edge_x_y", "siaga_edge_x_" + strings.Repeat("A", 64), "siaga_edge_x_" + strings.Repeat("a", 63)} {
		if _, err := edge.PinOf(bad); !errors.Is(err, edge.ErrSyntax) {
			t.Errorf("PinOf(%q): %v", bad, err)
		} else if bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("the error repeats the token: %v", err)
		}
	}
}

func TestFollows(t *testing.T) {
	w := newWriter(t)
	r := newRand(1)
	a := w.op(edge.SharedChain, edge.Add, signal(1, hash(r)))
	b := w.op(edge.SharedChain, edge.Add, signal(2, hash(r)))
	c := w.op(edge.SharedChain, edge.Add, signal(3, hash(r)))
	other := *b
	other.Prev[0] ^= 1
	next := *b
	next.Epoch = 2
	past := *c
	past.Epoch = 0
	p := b.Position()
	p.Epoch = 2
	for _, x := range []struct {
		name string
		op   *edge.Sealed
		p    edge.Position
		want error
	}{
		{"first", a, edge.Position{}, nil},
		{"second", b, a.Position(), nil},
		{"gap", c, a.Position(), edge.ErrGap},
		{"again", b, b.Position(), edge.ErrRollback},
		{"back", a, b.Position(), edge.ErrRollback},
		{"another history", &other, a.Position(), edge.ErrFork},
		{"a new epoch that continues", &next, a.Position(), nil},
		{"an old epoch", c, p, edge.ErrFork},
	} {
		if err := x.op.Follows(x.p); !errors.Is(err, x.want) {
			t.Errorf("%s: %v, want %v", x.name, err, x.want)
		}
	}
}

func TestOperationCheck(t *testing.T) {
	good := edge.Operation{Chain: edge.SharedChain, Epoch: 1, Seq: 1, Do: edge.Add, At: start, Signal: signal(1, hash(newRand(1)))}
	for name, change := range map[string]func(*edge.Operation){
		"chain":        func(o *edge.Operation) { o.Chain = "all" },
		"chain's ID":   func(o *edge.Operation) { o.Chain = "partner:a b" },
		"epoch":        func(o *edge.Operation) { o.Epoch = 0 },
		"seq":          func(o *edge.Operation) { o.Seq = 0 },
		"number":       func(o *edge.Operation) { o.Number = 0 },
		"ID":           func(o *edge.Operation) { o.ID = "" },
		"value":        func(o *edge.Operation) { o.Value = "" },
		"long value":   func(o *edge.Operation) { o.Value = strings.Repeat("x", edge.MaxValue+1) },
		"action":       func(o *edge.Operation) { o.Action = "burn" },
		"distance":     func(o *edge.Operation) { o.MaxDistance = -1 },
		"stale":        func(o *edge.Operation) { o.MaxStale = -1 },
		"label":        func(o *edge.Operation) { o.Labels = []string{strings.Repeat("x", 201)} },
		"labels":       func(o *edge.Operation) { o.Labels = make([]string, 33) },
		"entry":        func(o *edge.Operation) { o.Entry = -1 },
		"expires 1969": func(o *edge.Operation) { o.Expires = time.Unix(-1, 0) },
	} {
		o := good
		change(&o)
		if _, _, err := o.Seal(key(0)); !errors.Is(err, edge.ErrSyntax) {
			t.Errorf("%s: %v, want ErrSyntax", name, err)
		}
	}
	if _, _, err := good.Seal(key(0)); err != nil {
		t.Error(err)
	}
}

// A member that this version does not know is covered by hash and signature.
func TestUnknownMembersAreKept(t *testing.T) {
	k := key(0)
	body := []byte(`{"key":"` + string(edge.IDOf(k.Public())) + `","chain":"partners","epoch":1,"seq":1,"prev":"` + strings.Repeat("0", 64) + `","do":"remove","at":"2026-01-01T00:00:00Z","n":1,"signal":"S-1","entry":1,"of_later":{"x":1}}`)
	sig := ed25519.Sign(ed25519.PrivateKey(k), append([]byte("siaga-feed v1 operation\n"), body...))
	op, err := edge.ParseOperation(wireOf(body, sig))
	if err != nil {
		t.Fatal(err)
	}
	if err := keysOf(t, k, k).Verify(&op); err != nil {
		t.Error(err)
	}
}

func TestCursorRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := edge.Cursor{}
		for _, chain := range rapid.SliceOfDistinct(rapid.SampledFrom([]string{"partners", "partner:a", "partner:b-c"}), rapid.ID[string]).Draw(t, "chains") {
			p := edge.Position{Epoch: rapid.Uint64().Draw(t, "epoch"), Seq: rapid.Uint64().Draw(t, "seq")}
			copy(p.Hash[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "hash"))
			c[chain] = p
		}
		got, err := edge.ParseCursor(c.String())
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(c, got); d != "" {
			t.Fatal(d)
		}
	})
}

func TestBadCursors(t *testing.T) {
	good := edge.Cursor{"partners": {Epoch: 1, Seq: 2}}.String()
	for _, bad := range []string{"x", "c1.", "c1.!", "c1.AAAA", good[:len(good)-2], good + "AA", "c2" + good[2:], strings.Repeat("c", 5000), "c1." + strings.Repeat("A", 3000)} {
		if bad == "c1." {
			continue // nothing at all: the beginning
		}
		if c, err := edge.ParseCursor(bad); !errors.Is(err, edge.ErrSyntax) {
			t.Errorf("ParseCursor(%.40q) = %v, %v", bad, c, err)
		}
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add(edge.Cursor{"partners": {Epoch: 1, Seq: 2}, "partner:x": {}}.String())
	f.Fuzz(func(t *testing.T, s string) {
		c, err := edge.ParseCursor(s)
		if err != nil {
			return
		}
		again, err := edge.ParseCursor(c.String())
		if err != nil || !cmp.Equal(c, again) {
			t.Errorf("%q does not survive a round trip: %v", s, err)
		}
	})
}

func FuzzParseOperation(f *testing.F) {
	w := newWriter(f)
	f.Add(w.wire(edge.SharedChain, edge.Add, signal(1, hash(newRand(1)))))
	f.Add(w.wire(edge.SharedChain, edge.Remove, edge.Signal{Number: 1, ID: "S-0001"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		op, err := edge.ParseOperation(b)
		if err == nil && op.Check() != nil {
			t.Error("a parsed operation fails its check")
		}
	})
}
