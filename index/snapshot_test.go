package index_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/siaga-crp/siaga/index"
)

func small(t testing.TB) *index.Index {
	t.Helper()
	r, x := newSource(11), index.New(index.Options{})
	for i := range 40 {
		if err := x.Insert(uint64(i/3), r.hash(), i); err != nil {
			t.Fatal(err)
		}
	}
	return x
}

func snapshot(t testing.TB, x index.Keys) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := x.Snapshot(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSnapshotOfManyBlocks(t *testing.T) {
	r, x := newSource(12), index.New(index.Options{})
	all := make([]index.Entry, 30_000)
	for i := range all {
		all[i] = index.Entry{ID: r.Uint64(), Hash: r.hash(), MaxDistance: r.IntN(128)}
	}
	if err := x.InsertAll(slices.Values(all)); err != nil {
		t.Fatal(err)
	}
	// What follows a snapshot in its file is left unread.
	in := bytes.NewReader(append(snapshot(t, x), "next"...))
	y, err := index.Load(iotest.HalfReader(in), index.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if rest, _ := io.ReadAll(in); string(rest) != "next" {
		t.Errorf("%q left after the snapshot", rest)
	}
	if y.Len() != len(all) {
		t.Fatalf("Len = %d, want %d", y.Len(), len(all))
	}
	for i := 0; i < len(all); i += 97 {
		same(t, "loaded", y.Search(nil, &all[i].Hash, 31), x.Scan(nil, &all[i].Hash, 31))
	}
}

func TestEveryFlippedByteIsDetected(t *testing.T) {
	good := snapshot(t, small(t))
	for i := range good {
		for _, mask := range []byte{0x01, 0x80, 0xff} {
			bad := slices.Clone(good)
			bad[i] ^= mask
			if _, err := index.Load(bytes.NewReader(bad), index.Options{}); !errors.Is(err, index.ErrSnapshot) {
				t.Errorf("byte %d ^ %#x: %v, want ErrSnapshot", i, mask, err)
			}
		}
	}
	for i := range good {
		if _, err := index.Load(bytes.NewReader(good[:i]), index.Options{}); !errors.Is(err, index.ErrSnapshot) {
			t.Errorf("cut at %d: %v, want ErrSnapshot", i, err)
		}
	}
}

func TestLoadRefuses(t *testing.T) {
	e := index.NewExact(index.Options{})
	if err := e.Insert(1, "key"); err != nil {
		t.Fatal(err)
	}
	if _, err := index.Load(bytes.NewReader(snapshot(t, e)), index.Options{}); !errors.Is(err, index.ErrSnapshot) {
		t.Errorf("of another kind: %v, want ErrSnapshot", err)
	}
	if _, err := index.LoadExact(bytes.NewReader(snapshot(t, small(t))), index.Options{}); !errors.Is(err, index.ErrSnapshot) {
		t.Errorf("of another kind: %v, want ErrSnapshot", err)
	}
	if _, err := index.Load(bytes.NewReader(snapshot(t, small(t))), index.Options{MaxEntries: 39}); !errors.Is(err, index.ErrSnapshot) {
		t.Errorf("too many entries: %v, want ErrSnapshot", err)
	}
	broken := errors.New("disk gone")
	if _, err := index.Load(iotest.ErrReader(broken), index.Options{}); !errors.Is(err, broken) || errors.Is(err, index.ErrSnapshot) {
		t.Errorf("failing reader: %v, want the reader's error alone", err)
	}
}

type failingWriter struct{ left int }

func (w *failingWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, io.ErrShortWrite
	}
	return len(p), nil
}

func TestSnapshotReportsFailedWrites(t *testing.T) {
	x := small(t)
	size := len(snapshot(t, x))
	for _, n := range []int{0, 30, size - 1} {
		if err := x.Snapshot(&failingWriter{n}); !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("writer that fails after %d bytes: %v", n, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	good := snapshot(f, small(f))
	e := index.NewExact(index.Options{})
	for i := range uint64(5) {
		if err := e.Insert(i, string(good[:7*i])); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(good)
	f.Add(snapshot(f, e))
	f.Add(binary.LittleEndian.AppendUint32(slices.Clone(good[:24]), 0xffffffff))
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		x, err := index.Load(bytes.NewReader(b), index.Options{})
		y, err2 := index.LoadExact(bytes.NewReader(b), index.Options{})
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20+64*uint64(len(b)) {
			t.Fatalf("%d bytes allocated for an input of %d", n, len(b))
		}
		if err != nil && !errors.Is(err, index.ErrSnapshot) || err2 != nil && !errors.Is(err2, index.ErrSnapshot) {
			t.Fatalf("errors %v, %v; want ErrSnapshot", err, err2)
		}
		if err == nil {
			if z, err := index.Load(bytes.NewReader(snapshot(t, x)), index.Options{}); err != nil || z.Len() != x.Len() {
				t.Fatalf("round trip: %v", err)
			}
		}
		if err2 == nil {
			if z, err := index.LoadExact(bytes.NewReader(snapshot(t, y)), index.Options{}); err != nil || z.Len() != y.Len() {
				t.Fatalf("round trip: %v", err)
			}
		}
	})
}
