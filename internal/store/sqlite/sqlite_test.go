package sqlite_test

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/journal/storetest"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
)

var background = context.Background()

// killPath names the file for the process that Kill starts.
const killPath = "SIAGA_KILL_FILE"

func TestMain(m *testing.M) {
	storetest.KillChild(func() (journal.Store, error) { return sqlite.Open(background, os.Getenv(killPath), sqlite.Options{}) })
	fullDiskChild()
	powerChild()
	goleak.VerifyTestMain(m)
}

func create(tb testing.TB, path string) *sqlite.DB {
	tb.Helper()
	db, err := sqlite.Create(background, path, sqlite.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	return db
}

func open(tb testing.TB) (journal.Store, func() journal.Store) {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "siaga.db")
	db := create(tb, path)
	return db, func() journal.Store {
		tb.Helper()
		if err := db.Close(); err != nil {
			tb.Fatal(err)
		}
		var err error
		if db, err = sqlite.Open(background, path, sqlite.Options{}); err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { db.Close() })
		return db
	}
}

func TestContract(t *testing.T) { storetest.Run(t, open) }

// TestKill kills a process that writes, 20 times or as often as SIAGA_KILLS
// says.
func TestKill(t *testing.T) {
	storetest.Kill(t, storetest.Kills(t, 20), func(int) ([]string, func() (journal.Store, error)) {
		path := filepath.Join(t.TempDir(), "siaga.db")
		if err := create(t, path).Close(); err != nil {
			t.Fatal(err)
		}
		return []string{killPath + "=" + path}, func() (journal.Store, error) {
			return sqlite.Open(background, path, sqlite.Options{})
		}
	})
}

func wantProblem(t *testing.T, what string, err error, kind problem.Kind, text string) {
	t.Helper()
	if problem.KindOf(err) != kind || !strings.Contains(err.Error(), text) {
		t.Errorf("%s: got %v of kind %q, want one of kind %q with %q", what, err, problem.KindOf(err), kind, text)
	}
	if err != nil && !strings.Contains(err.Error(), "; ") {
		t.Errorf("%s: %v does not say what to do", what, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	exec := func(name string, statements ...string) {
		t.Helper()
		db, err := sql.Open("sqlite", path(name))
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for _, s := range statements {
			if _, err := db.Exec(s); err != nil {
				t.Fatal(err)
			}
		}
	}
	openDB := func(name string, o sqlite.Options) error {
		db, err := sqlite.Open(background, path(name), o)
		if err == nil {
			db.Close()
		}
		return err
	}

	wantProblem(t, "no file", openDB("none.db", sqlite.Options{}), problem.NotFound, `run "siaga init"`)
	if _, err := os.Stat(path("none.db")); err == nil {
		t.Error("Open made a file")
	}
	if _, err := os.Stat(path("none.db.lock")); err == nil {
		t.Error("Open made a lock for nothing")
	}
	wantProblem(t, "a folder", openDB(".", sqlite.Options{}), problem.Invalid, "not a file")
	if err := os.WriteFile(path("text.db"), bytes.Repeat([]byte("no database\n"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, "no database", openDB("text.db", sqlite.Options{}), problem.Invalid, "not a database")
	exec("other.db", "CREATE TABLE things (a)")
	wantProblem(t, "another program's", openDB("other.db", sqlite.Options{}), problem.Invalid, "another program")
	if err := os.WriteFile(path("empty.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantProblem(t, "an init that did not finish", openDB("empty.db", sqlite.Options{}), problem.NotFound, "not set up completely")

	if err := create(t, path("new.db")).Close(); err != nil {
		t.Fatal(err)
	}
	_, err := sqlite.Create(background, path("new.db"), sqlite.Options{})
	wantProblem(t, "creating it twice", err, problem.Conflict, "exists already")
	exec("new.db", "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)", "UPDATE schema_compatible SET since = 98")
	before, err := os.ReadFile(path("new.db"))
	if err != nil {
		t.Fatal(err)
	}
	wantProblem(t, "a newer release's", openDB("new.db", sqlite.Options{}), problem.Conflict, "newer release (schema 99")
	after, err := os.ReadFile(path("new.db"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) {
		t.Error("a newer release's file was changed")
	}
	exec("new.db", "UPDATE schema_compatible SET since = 99")
	wantProblem(t, "a newer release's, which took something away", openDB("new.db", sqlite.Options{}), problem.Conflict, "newer release (schema 99")
	exec("new.db", "UPDATE schema_compatible SET since = 3")
	if err := openDB("new.db", sqlite.Options{}); err != nil {
		t.Errorf("a newer release's that only added: %v", err)
	}
	exec("new.db", "DROP TABLE schema_compatible")
	if os.Getuid() != 0 { // root may read everything
		if err := os.Chmod(path("new.db"), 0); err != nil {
			t.Fatal(err)
		}
		wantProblem(t, "a file without rights", openDB("new.db", sqlite.Options{}), problem.Unavailable, "cannot be opened")
	}
	for _, name := range []string{"with space & ?#%41.db", "ümlaut.db"} {
		create(t, path(name)).Close()
		if err := openDB(name, sqlite.Options{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(path(name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTwoNodesCannotShareAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "siaga.db")
	db := create(t, path)
	_, err := sqlite.Open(background, path, sqlite.Options{})
	wantProblem(t, "a second node", err, problem.Conflict, "another node has")

	// Commands beside the node work, and the node hears of them.
	ctx, cancel := context.WithCancel(background)
	var watching sync.WaitGroup
	watching.Add(1)
	go func() {
		defer watching.Done()
		if err := db.Watch(ctx); err != nil {
			t.Error(err)
		}
	}()
	defer watching.Wait()
	defer cancel()
	command, err := sqlite.Open(background, path, sqlite.Options{Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	defer command.Close()
	// Watch tells of what came after its first look.
	deadline := time.After(20 * time.Second)
	for heard := false; !heard; {
		news := db.Committed()
		if err := command.Update(background, func(tx journal.StoreTx) error {
			head, _, err := tx.FeedHead("c")
			if err != nil {
				return err
			}
			return tx.PutFeed(journal.FeedRow{Chain: "c", Seq: head.Seq + 1})
		}); err != nil {
			t.Fatal(err)
		}
		select {
		case <-news:
			heard = true
		case <-time.After(300 * time.Millisecond):
		case <-deadline:
			t.Fatal("the node did not hear of the command's commit")
		}
	}
	// Both write at the same time without losing anything.
	var writing sync.WaitGroup
	for _, s := range []journal.Store{db, command} {
		writing.Add(1)
		go func() {
			defer writing.Done()
			for range 50 {
				if err := s.Update(background, func(tx journal.StoreTx) error { _, err := tx.Next("n"); return err }); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	writing.Wait()
	if err := db.Update(background, func(tx journal.StoreTx) error {
		n, err := tx.Next("n")
		if n != 101 {
			t.Errorf("counter %d, want 101", n)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}

	reader, err := sqlite.Open(background, path, sqlite.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	wantProblem(t, "writing what is open for reading", reader.Update(background, func(journal.StoreTx) error { return nil }), problem.Unavailable, "reading only")
	if err := reader.View(background, func(r journal.StoreReader) error { _, err := r.Size(); return err }); err != nil {
		t.Error(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := sqlite.Open(background, path, sqlite.Options{})
	if err != nil {
		t.Fatalf("after the first node ended: %v", err)
	}
	again.Close()
}

func TestQueueIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "siaga.db")
	db, err := sqlite.Create(background, path, sqlite.Options{MaxWaiting: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	inside, release := make(chan struct{}), make(chan struct{})
	results := make(chan error, 10)
	go func() {
		results <- db.Update(background, func(journal.StoreTx) error {
			close(inside)
			<-release
			return nil
		})
	}()
	<-inside
	for range 9 {
		go func() {
			results <- db.Update(background, func(tx journal.StoreTx) error { _, err := tx.Next("n"); return err })
		}()
	}
	for range 6 {
		wantProblem(t, "a full queue", <-results, problem.Busy, "wait a moment")
	}
	close(release)
	for range 4 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// TestGroupCommit shows that updates which wait share a commit.
func TestGroupCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "siaga.db")
	db := create(t, path)
	inside, release := make(chan struct{}), make(chan struct{})
	results := make(chan error, 100)
	go func() {
		results <- db.Update(background, func(journal.StoreTx) error {
			close(inside)
			<-release
			return nil
		})
	}()
	<-inside
	var waiting sync.WaitGroup
	for range 99 {
		waiting.Add(1)
		go func() {
			waiting.Done()
			results <- db.Update(background, func(tx journal.StoreTx) error { _, err := tx.Next("n"); return err })
		}()
	}
	waiting.Wait()
	watch, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()
	watch.SetMaxOpenConns(1)
	version := func() (v int) {
		if err := watch.QueryRow("PRAGMA data_version").Scan(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	commits, last := 0, version()
	close(release)
	for range 100 {
		if err := <-results; err != nil {
			t.Error(err)
		}
		if v := version(); v != last {
			commits++
			last = v
		}
	}
	// The first commit has all that were waiting; those that came too late
	// for it share a few more.
	if commits > 10 {
		t.Errorf("100 updates took %d commits", commits)
	}
}

// TestErasedBytesAreGone searches all files of the database for what was
// erased, after many changes of other kinds around it.
func TestErasedBytesAreGone(t *testing.T) {
	dir := t.TempDir()
	db := create(t, filepath.Join(dir, "siaga.db"))
	type doc struct{ Texts []string }
	l, err := journal.NewLog(journal.Options{Store: db, Origin: "x.example/log", Folds: []journal.Fold{
		journal.FoldOf("doc", func(d *doc, e journal.Entry) error {
			var s string
			if e.Type != "doc.changed" {
				return nil
			}
			err := e.Decode(&s)
			d.Texts = append(d.Texts, s)
			return err
		}, func(d *doc) journal.Keys {
			k := journal.Keys{Sort: fmt.Sprint(len(d.Texts)), Text: strings.ToLower(d.Texts[len(d.Texts)-1])}
			if k.Text != "" {
				k.Unique = k.Text[:10]
			}
			return k
		}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	secret := func(i int) string { return fmt.Sprintf("s%09d-erase me", i) }
	long := func(i int) string { return secret(i) + strings.Repeat("*", (i%7)*1500) + secret(i) }
	const n = 400
	salts := make(map[int][]byte)
	for i := 0; i < n; i += 20 {
		if err := l.Update(background, func(tx *journal.Tx) error {
			for j := i; j < i+20; j++ {
				e, err := tx.Append(journal.New("doc.changed", access.Actor{}, time.UnixMilli(1), long(j), journal.Ref{Kind: "doc", ID: fmt.Sprint(j % 40)}))
				if err != nil {
					return err
				}
				row, err := tx.Row(e.Number)
				if err != nil {
					return err
				}
				salts[j] = row.Salt
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	search := func(what []byte) (found []string) {
		t.Helper()
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			// A copy is read by another process: closing a file that SQLite
			// has open would drop its locks.
			data, err := readBeside(path)
			if bytes.Contains(data, what) {
				found = append(found, d.Name())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return found
	}
	if len(search([]byte(secret(7)))) == 0 {
		t.Fatal("the search does not find what is there")
	}
	erased := []int{7, 8, 48, 200, 201, 202, 203, 204, 205, 206, 399, 0}
	for _, i := range erased {
		if _, err := l.Erase(background, int64(i), access.Actor{}, "asked for"); err != nil {
			t.Fatal(err)
		}
		if found := search([]byte(secret(i))); found != nil {
			t.Errorf("payload %d is in %v right after it was erased", i, found)
		}
		if found := search(salts[i]); found != nil {
			t.Errorf("salt %d is in %v right after it was erased", i, found)
		}
	}
	for _, i := range erased {
		if found := search([]byte(secret(i))); found != nil {
			t.Errorf("payload %d is in %v", i, found)
		}
	}
	if len(search([]byte(secret(9)))) == 0 || len(search(salts[9])) == 0 {
		t.Error("what was not erased is gone")
	}
	r, err := l.Verify(background, journal.VerifyOptions{})
	if err != nil || !r.OK() || r.Erased != int64(len(erased)) {
		t.Errorf("verification: %+v, %v", r, err)
	}
}

// TestErasingWaitsForReaders keeps a view open while a payload is
// erased.
func TestErasingWaitsForReaders(t *testing.T) {
	dir := t.TempDir()
	db := create(t, filepath.Join(dir, "siaga.db"))
	l, err := journal.NewLog(journal.Options{Store: db, Origin: "x.example/log"})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Update(background, func(tx *journal.Tx) error {
		_, err := tx.Append(journal.New("a.b", access.Actor{}, time.UnixMilli(1), "erase me"))
		return err
	}); err != nil {
		t.Fatal(err)
	}
	inside, release := make(chan struct{}), make(chan struct{})
	viewed := make(chan error, 1)
	go func() {
		viewed <- db.View(background, func(r journal.StoreReader) error {
			_, err := r.Size()
			close(inside)
			<-release
			return err
		})
	}()
	<-inside
	end := sync.OnceFunc(func() { close(release) })
	defer end()
	erased := make(chan error, 1)
	go func() {
		_, err := l.Erase(background, 0, access.Actor{}, "")
		erased <- err
	}()
	// Other writes go on meanwhile.
	begun := time.Now()
	for i := 0; i < 50 || time.Since(begun) < 100*time.Millisecond; i++ {
		before := time.Now()
		if err := db.Update(background, func(tx journal.StoreTx) error { _, err := tx.Next("n"); return err }); err != nil {
			t.Error(err)
		}
		if took := time.Since(before); took > 5*time.Second {
			t.Errorf("a write took %s while an erasure waited for a reader", took)
		}
	}
	select {
	case err := <-erased:
		t.Fatalf("Erase returned %v while a reader held the old state", err)
	default:
	}
	// One who does not want to wait is told what is left to do.
	ctx, cancel := context.WithTimeout(background, 500*time.Millisecond)
	defer cancel()
	_, err = l.Erase(ctx, 0, access.Actor{}, "")
	wantProblem(t, "an erasure in a hurry", err, problem.Unavailable, "erase it again")
	end()
	if err := <-viewed; err != nil {
		t.Error(err)
	}
	if err := <-erased; err != nil {
		t.Error(err)
	}
	data, err := readBeside(filepath.Join(dir, "siaga.db-wal"))
	if err != nil || bytes.Contains(data, []byte("erase me")) {
		t.Errorf("the write-ahead log still has it (%v)", err)
	}
}

func TestSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "siaga.db")
	create(t, path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the file has mode %v", info.Mode())
	}
}
