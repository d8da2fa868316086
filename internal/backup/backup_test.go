package backup

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/history"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/journal/storetest"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
)

const origin = "backup.example/log"

type place struct {
	store journal.Store
	log   *journal.Log
	vkey  string
}

func newPlace(t testing.TB, signer note.Signer, vkey string) place {
	t.Helper()
	db, err := sqlite.Create(t.Context(), filepath.Join(t.TempDir(), "j.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	l, err := journal.NewLog(journal.Options{Store: db, Origin: origin, Signer: signer, VerifierKeys: []string{vkey}, Folds: []journal.Fold{
		journal.FoldOf("thing", func(n *int, _ journal.Entry) error { *n++; return nil }, func(*int) journal.Keys { return journal.Keys{Sort: "s", State: "x"} }),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return place{db, l, vkey}
}

// filled returns a place with n entries, one of them erased, and something of
// everything else.
func filled(t testing.TB, n int) (place, note.Signer) {
	t.Helper()
	skey, vkey, err := note.GenerateKey(nil, origin)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	p := newPlace(t, signer, vkey)
	for at := 0; at < n; {
		err := p.log.Update(t.Context(), func(tx *journal.Tx) error {
			for end := min(at+5000, n); at < end; at++ {
				e := journal.New("thing.said", access.Actor{Partner: "p", Member: "m"}, time.UnixMilli(int64(at)), fmt.Sprint("secret of ", at), journal.Ref{Kind: "thing", ID: fmt.Sprint(at / 3)})
				if _, err := tx.Append(e); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	err = p.log.Update(t.Context(), func(tx *journal.Tx) error {
		if err := tx.PutPrivate(journal.Private{Kind: "session", ID: "s1", Doc: []byte("x"), Expires: time.UnixMilli(5)}); err != nil {
			return err
		}
		if err := tx.PutPrivate(journal.Private{Kind: "credential", ID: "c1", Owner: "m", Doc: []byte("y")}); err != nil {
			return err
		}
		if _, err := tx.Next("n"); err != nil {
			return err
		}
		if err := tx.PutObject(journal.Object{Ref: journal.Ref{Kind: "free", ID: "f"}, Doc: []byte("{}"), Keys: journal.Keys{Sort: "a", DueMS: 7}}); err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
		return tx.PutFeed(journal.FeedRow{Chain: "c", Seq: 1, Entry: 0, Op: []byte("op")})
	})
	if err != nil {
		t.Fatal(err)
	}
	if n > 0 {
		if _, err := p.log.Erase(t.Context(), 0, access.Actor{Partner: "p"}, "asked for"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.log.Sign(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p, signer
}

func identity(t testing.TB) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func write(t testing.TB, p place, to *age.X25519Identity) ([]byte, Written) {
	t.Helper()
	var b bytes.Buffer
	w, err := Write(t.Context(), p.store, &b, Options{
		Recipients: []age.Recipient{to.Recipient()}, Header: Header{ID: "one", Written: time.UnixMilli(9).UTC(), Version: "1", Origin: origin, VKey: p.vkey, Epoch: 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), w
}

// TestRoundTrip restores a backup: everything is there byte by byte, except
// what is left out on purpose, and what was erased is in neither.
func TestRoundTrip(t *testing.T) {
	for _, n := range []int{0, 1, 3, 515} {
		p, signer := filled(t, n)
		id := identity(t)
		b, w := write(t, p, id)
		for _, with := range []age.Identity{id, w.Identity} {
			c, err := Check(t.Context(), bytes.NewReader(b), ReadOptions{Identities: []age.Identity{with}, VKey: p.vkey})
			if err != nil || c.Root != w.Root || c.SHA256 != w.SHA256 || c.Signed != c.Entries {
				t.Fatalf("n=%d: %+v, %v", n, c, err)
			}
		}
		to := newPlace(t, signer, p.vkey)
		if _, err := Restore(t.Context(), bytes.NewReader(b), to.store, ReadOptions{Identities: []age.Identity{id}, Skip: map[string]bool{"session": true}}); err != nil {
			t.Fatal(err)
		}
		r, err := to.log.Verify(t.Context(), journal.VerifyOptions{})
		if err != nil || !r.OK() || r.Root != w.Root {
			t.Fatalf("n=%d: the restored journal: %v %v", n, r.Faults, err)
		}
		var mark history.Mark
		if err := to.store.View(t.Context(), func(r journal.StoreReader) (err error) {
			mark, _, err = history.GetMark(r)
			return err
		}); err != nil || mark.Incomplete || mark.Backup != "one" {
			t.Fatalf("the mark is %+v, %v", mark, err)
		}
		if err := to.store.Update(t.Context(), history.DeleteMark); err != nil {
			t.Fatal(err)
		}
		if err := p.store.Update(t.Context(), func(tx journal.StoreTx) error { return tx.DeletePrivate("session", "s1") }); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(storetest.Dump(t, p.store), storetest.Dump(t, to.store)); diff != "" {
			t.Errorf("n=%d: what was restored differs (-was +is):\n%s", n, diff)
		}
	}
}

// TestBroken cuts and changes a backup at many places: nothing is restored as
// if it were whole.
func TestBroken(t *testing.T) {
	p, _ := filled(t, 100)
	id := identity(t)
	b, _ := write(t, p, id)
	ids := ReadOptions{Identities: []age.Identity{id}, VKey: p.vkey}
	for at := 0; at < len(b); at += 1 + len(b)/200 {
		flipped := bytes.Clone(b)
		flipped[at] ^= 1 << (at % 8)
		for what, damaged := range map[string][]byte{"cut": b[:at], "flipped": flipped} {
			// A changed line of the header for our own, second key is the one
			// change that does not matter to the first.
			c, err := Check(t.Context(), bytes.NewReader(damaged), ids)
			if err == nil {
				t.Fatalf("%s at %d of %d was taken: %+v", what, at, len(b), c)
			}
			if k := problem.KindOf(err); k != problem.Invalid && k != problem.Denied {
				t.Fatalf("%s at %d: %v", what, at, err)
			}
		}
	}
	if _, err := Check(t.Context(), bytes.NewReader(append(bytes.Clone(b), 0)), ids); err == nil {
		t.Error("something after the end was taken")
	}
	if _, err := Check(t.Context(), bytes.NewReader(b), ReadOptions{Identities: []age.Identity{identity(t)}}); problem.KindOf(err) != problem.Denied || !strings.Contains(err.Error(), "another key") {
		t.Errorf("another key: %v", err)
	}
	if _, err := Check(t.Context(), bytes.NewReader(b), ReadOptions{Identities: []age.Identity{id}, VKey: "other"}); problem.KindOf(err) != problem.Conflict {
		t.Errorf("another journal: %v", err)
	}
	// A restore that is cut off leaves a store that says so.
	big, bigSigner := filled(t, 1000)
	whole, _ := write(t, big, id)
	to, ids := newPlace(t, bigSigner, big.vkey), ReadOptions{Identities: []age.Identity{id}, VKey: big.vkey}
	if _, err := Restore(t.Context(), bytes.NewReader(whole[:len(whole)-5]), to.store, ids); err == nil {
		t.Fatal("a cut backup was restored")
	}
	if err := to.store.View(t.Context(), func(r journal.StoreReader) error {
		m, ok, err := history.GetMark(r)
		if !ok || !m.Incomplete {
			t.Errorf("the mark is %+v, %t", m, ok)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	// One that is restored into a store with something in it is refused.
	if _, err := Restore(t.Context(), bytes.NewReader(b), p.store, ids); err == nil {
		t.Error("a backup was restored over a journal")
	}
}

// TestDamagedSource: a journal that does not fit itself gives no backup.
func TestDamagedSource(t *testing.T) {
	p, _ := filled(t, 20)
	if err := p.store.Update(t.Context(), func(tx journal.StoreTx) error { return tx.EraseRow(7) }); err != nil {
		t.Fatal(err)
	}
	b, _ := write(t, p, identity(t)) // an erasure alone is no damage
	if len(b) == 0 {
		t.Fatal("no backup")
	}
	row := journal.Row{Number: 21, Type: "t", Head: []byte("{}"), Payload: []byte("{}"), Salt: make([]byte, 16)}
	if err := p.store.Update(t.Context(), func(tx journal.StoreTx) error { return tx.PutRow(row, nil) }); err != nil {
		t.Fatal(err)
	}
	_, err := Write(t.Context(), p.store, io.Discard, Options{Recipients: []age.Recipient{identity(t).Recipient()}, Header: Header{Origin: origin, VKey: p.vkey}})
	if err == nil || !strings.Contains(err.Error(), "entry 21") {
		t.Errorf("a damaged journal gave %v", err)
	}
}

// TestMemory: a backup of many entries needs no more memory than one of few.
func TestMemory(t *testing.T) {
	if os.Getenv("SIAGA_TEST_LONG") == "" {
		t.Skip("needs some seconds: set SIAGA_TEST_LONG=1 (make test does)")
	}
	p, _ := filled(t, 30_000)
	id := identity(t)
	peak := func() uint64 {
		var m runtime.MemStats
		most := uint64(0)
		_, err := Write(t.Context(), p.store, writerFunc(func(b []byte) (int, error) {
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapInuse)
			return len(b), nil
		}), Options{Recipients: []age.Recipient{id.Recipient()}, Header: Header{Origin: origin, VKey: p.vkey}})
		if err != nil {
			t.Fatal(err)
		}
		return most
	}
	runtime.GC()
	var before runtime.MemStats
	runtime.ReadMemStats(&before)
	if got := peak() - before.HeapInuse; int64(got) > 24<<20 { //nolint:gosec // a difference
		t.Errorf("the heap grew by %d MiB for some 10 MB of entries", got>>20)
	}
}

// TestRestoreMany measures a restore of SIAGA_BACKUP_ENTRIES entries, from the
// file to a verified store: what lies between a backup and serving again.
func TestRestoreMany(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("SIAGA_BACKUP_ENTRIES"))
	if err != nil {
		t.Skip("set SIAGA_BACKUP_ENTRIES=1000000 (make faults does)")
	}
	p, signer := filled(t, n)
	id := identity(t)
	begun := time.Now()
	b, w := write(t, p, id)
	wrote := time.Since(begun)
	to := newPlace(t, signer, p.vkey)
	begun = time.Now()
	cpu := processor(t)
	c, err := Restore(t.Context(), bytes.NewReader(b), to.store, ReadOptions{Identities: []age.Identity{id}, VKey: p.vkey})
	if err != nil || c.Root != w.Root {
		t.Fatal(err)
	}
	read := time.Since(begun)
	begun = time.Now()
	r, err := to.log.Verify(t.Context(), journal.VerifyOptions{})
	if err != nil || !r.OK() || r.Root != w.Root {
		t.Fatal(r.Faults, err)
	}
	verify := time.Since(begun)
	cpu = processor(t) - cpu
	// On a machine that is busy with something else the clock says little: what
	// counts is the shorter of it and the processors' time, twice.
	total := min(read+verify, 2*cpu)
	if n >= 1_000_000 && total > time.Duration(n/1_000_000)*2*time.Minute {
		t.Errorf("a restore of %d entries took %s", n, total)
	}
	fmt.Printf("fault=restore entries=%d bytes=%d write_s=%.1f read_s=%.1f verify_s=%.1f processor_s=%.1f\n", n, len(b), wrote.Seconds(), read.Seconds(), verify.Seconds(), cpu.Seconds())
}

// processor is the time that this process has spent on processors.
func processor(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

type writerFunc func(b []byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// FuzzRead reads what is inside the age file. It may refuse, and nothing else.
func FuzzRead(f *testing.F) {
	p, _ := filled(f, 5)
	id := identity(f)
	b, _ := write(f, p, id)
	plain, err := age.Decrypt(bytes.NewReader(b), id)
	if err != nil {
		f.Fatal(err)
	}
	whole, err := io.ReadAll(plain)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte(magic + "H\xff\xff\xff\xff\x0f"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := begin(bytes.NewReader(b))
		if err != nil {
			return
		}
		c, err := r.read(context.Background(), ReadOptions{VKey: p.vkey}, nil)
		if err == nil && !bytes.Equal(b, whole) && c.Signed >= 0 && c.Entries < c.Signed {
			t.Errorf("taken: %+v", c)
		}
	})
}
