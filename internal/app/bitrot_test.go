package app

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/keys"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
)

// content is everything that a store answers with, private data apart.
func content(ctx context.Context, s journal.Store) (public, private []byte, err error) {
	var pub, priv bytes.Buffer
	out, in := json.NewEncoder(&pub), json.NewEncoder(&priv)
	err = s.View(ctx, func(r journal.StoreReader) error {
		note, size, err := r.Checkpoint()
		if err == nil {
			err = out.Encode([]any{note, size})
		}
		if err == nil {
			err = r.ScanRows(0, 1<<62, func(row *journal.Row) error { return out.Encode(row) })
		}
		if err == nil {
			err = r.ScanObjects(func(o *journal.Object) error { return out.Encode(o) })
		}
		if err == nil {
			err = r.ScanFeed(func(f *journal.FeedRow) error { return out.Encode(f) })
		}
		if err == nil {
			err = r.ScanPrivates(func(p *journal.Private) error { return in.Encode(p) })
		}
		if err == nil {
			err = r.ScanCounters(func(c string, v int64) error { return in.Encode([]any{c, v}) })
		}
		return err
	})
	return pub.Bytes(), priv.Bytes(), err
}

// TestBitRot flips single bits in copies of a node's database: each is either
// found (the database does not open, its check or the journal's verification
// finds a fault) or changes no answer. Private data and counters, which follow
// from no entry, carry digests of their own; they are counted by themselves.
func TestBitRot(t *testing.T) {
	flips := 40
	if s := os.Getenv("SIAGA_FAULTS"); s != "" {
		var err error
		if flips, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if _, err := Init(t.Context(), InitOptions{Data: data}); err != nil {
		t.Fatal(err)
	}
	n := runNode(t, data, "127.0.0.1:0")
	for i := uint64(1); i <= 60; i++ {
		if err := n.publish(t, edge.Add, i); err != nil {
			t.Fatal(err)
		}
	}
	n.stop()
	set, err := keys.Load(filepath.Join(data, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(filepath.Join(data, databaseFile))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "rotten.db")
	// look returns what a person would be told, or what the store answers.
	look := func(b []byte) (found string, public, private []byte) {
		for _, f := range []string{"", "-wal", "-shm", ".lock"} {
			_ = os.Remove(path + f)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
		if err != nil {
			return err.Error(), nil, nil
		}
		defer db.Close() //nolint:errcheck // a damaged file
		if err := db.Check(t.Context()); err != nil {
			return err.Error(), nil, nil
		}
		log, err := newLog(db, set, time.Now, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := log.Verify(t.Context(), journal.VerifyOptions{Feed: VerifySignedFeed(set)})
		switch {
		case err != nil:
			return err.Error(), nil, nil
		case !r.OK():
			return r.Faults[0].String(), nil, nil
		}
		public, private, err = content(t.Context(), db)
		if err != nil {
			return err.Error(), nil, nil
		}
		return "", public, private
	}
	found, want, wantPrivate := look(whole)
	if found != "" || len(want) == 0 {
		t.Fatalf("the whole database: %s", found)
	}
	rnd := rand.New(rand.NewPCG(1, 2026))
	begun := time.Now()
	var detected, harmless, privately, wrong int
	for range flips {
		at, bit := rnd.IntN(len(whole)), rnd.IntN(8)
		b := bytes.Clone(whole)
		b[at] ^= 1 << bit
		found, public, private := look(b)
		switch {
		case found != "":
			detected++
		case !bytes.Equal(public, want):
			wrong++
			t.Errorf("byte %d, bit %d: the database answers wrongly and nothing says so: %s", at, bit, difference(want, public))
		case !bytes.Equal(private, wantPrivate):
			privately++
			t.Errorf("byte %d, bit %d: private data or a counter is another one and nothing says so: %s", at, bit, difference(wantPrivate, private))
		default:
			harmless++
		}
	}
	if detected == 0 {
		t.Error("nothing was detected: the test did not test")
	}
	fmt.Printf("fault=bitrot flips=%d detected=%d harmless=%d private=%d wrong=%d took=%s\n", flips, detected, harmless, privately, wrong, time.Since(begun).Round(time.Millisecond))
}

// difference shows the first line that differs.
func difference(want, got []byte) string {
	a, b := bytes.Split(want, []byte("\n")), bytes.Split(got, []byte("\n"))
	for i := range min(len(a), len(b)) {
		if !bytes.Equal(a[i], b[i]) {
			return fmt.Sprintf("%.300s\nnot %.300s", b[i], a[i])
		}
	}
	return fmt.Sprintf("%d lines, not %d", len(b), len(a))
}
