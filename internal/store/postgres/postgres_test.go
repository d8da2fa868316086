package postgres_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/jobs"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/journal/storetest"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/store/postgres"
	"github.com/siaga-crp/siaga/internal/store/postgres/pgtest"
)

var background = context.Background()

const killURL = "SIAGA_KILL_URL" // tells the process that storetest starts which database to open

// shortPause is a MaxPause that a test can wait for.
const shortPause = 400 * time.Millisecond

func TestMain(m *testing.M) {
	storetest.KillChild(func() (journal.Store, error) {
		return postgres.Open(background, os.Getenv(killURL), postgres.Options{MaxPause: shortPause})
	})
	os.Exit(pgtest.Main(m))
}

func create(tb testing.TB, url string) *postgres.DB {
	tb.Helper()
	db, err := postgres.Create(background, url, postgres.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	return db
}

// node opens another node of the same journal.
func node(tb testing.TB, url string, o postgres.Options) *postgres.DB {
	tb.Helper()
	db, err := postgres.Open(background, url, o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { db.Close() })
	return db
}

func open(tb testing.TB) (journal.Store, func() journal.Store) {
	tb.Helper()
	url := pgtest.Database(tb)
	db := create(tb, url)
	return db, func() journal.Store {
		tb.Helper()
		if err := db.Close(); err != nil {
			tb.Fatal(err)
		}
		db = node(tb, url, postgres.Options{})
		return db
	}
}

func TestContract(t *testing.T) { storetest.Run(t, open) }

func wantProblem(t *testing.T, what string, err error, kind problem.Kind, text string) {
	t.Helper()
	if problem.KindOf(err) != kind || !strings.Contains(err.Error(), text) || !strings.Contains(err.Error(), "; ") {
		t.Errorf("%s: got %v of kind %q, want one of kind %q with %q and what to do", what, err, problem.KindOf(err), kind, text)
	}
}

func exec(tb testing.TB, url string, statements ...string) {
	tb.Helper()
	c, err := pgx.Connect(background, url)
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close(background)
	for _, s := range statements {
		if _, err := c.Exec(background, s); err != nil {
			tb.Fatalf("%s: %v", s, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	url := pgtest.Database(t)
	open := func(url string) error {
		db, err := postgres.Open(background, url, postgres.Options{})
		if err == nil {
			db.Close()
		}
		return err
	}
	wantProblem(t, "an address that is none", open("postgres://user:se%cret@@@:x/"), problem.Invalid, "cannot be read")
	if err := open("postgres://user:hunter2@/x?sslmode=nonsense"); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a password is shown: %v", err)
	}
	wantProblem(t, "no server", open("host=/nonexistent dbname=x user=y"), problem.Unavailable, "is away")
	wantProblem(t, "no database", open(strings.Replace(url, "dbname=", "dbname=no", 1)), problem.Unavailable, "does not exist")
	wantProblem(t, "no journal", open(url), problem.NotFound, `run "siaga init"`)
	create(t, url)
	_, err := postgres.Create(background, url, postgres.Options{})
	wantProblem(t, "creating it twice", err, problem.Conflict, "has a journal already")
	if err := open(url); err != nil {
		t.Errorf("opening it: %v", err)
	}
	exec(t, url, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, true)")
	if err := open(url); err != nil {
		t.Errorf("a newer release's that only added: %v", err)
	}
	exec(t, url, "UPDATE schema_compatible SET since = 99")
	wantProblem(t, "a newer release's", open(url), problem.Conflict, "newer release (schema 99")

	latin := pgtest.Database(t)
	exec(t, latin, "CREATE DATABASE latin1 ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
	parts := strings.Fields(latin)
	wantProblem(t, "another encoding", open(parts[0]+" "+parts[1]+" dbname=latin1"), problem.Invalid, "has the encoding LATIN1")
}

func TestKill(t *testing.T) {
	storetest.Kill(t, storetest.Kills(t, 10), func(int) ([]string, func() (journal.Store, error)) {
		url := pgtest.Database(t)
		create(t, url).Close()
		return []string{killURL + "=" + url}, func() (journal.Store, error) {
			return postgres.Open(background, url, postgres.Options{})
		}
	})
}

// TestNodesWriteOneJournal has three nodes write at the same time.
func TestNodesWriteOneJournal(t *testing.T) {
	url := pgtest.Database(t)
	create(t, url)
	storetest.Harm(t, 3, func(int) {}, node(t, url, postgres.Options{}), node(t, url, postgres.Options{}), node(t, url, postgres.Options{}))
}

// TestServerIsKilled kills the database server under two nodes.
func TestServerIsKilled(t *testing.T) {
	server := pgtest.Own(t)
	url := server.Database(t)
	create(t, url)
	storetest.Harm(t, storetest.Kills(t, 3), func(int) {
		if err := server.Kill(); err != nil {
			t.Error(err)
		}
		if err := server.Run(); err != nil {
			t.Error(err)
		}
	}, node(t, url, postgres.Options{}), node(t, url, postgres.Options{}))
}

// TestSessionsAreEnded has the server end all sessions of two nodes, as an
// administrator or a failover does.
func TestSessionsAreEnded(t *testing.T) {
	url := pgtest.Database(t)
	create(t, url)
	storetest.Harm(t, storetest.Kills(t, 10), func(int) {
		exec(t, url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	}, node(t, url, postgres.Options{}), node(t, url, postgres.Options{}))
}

func TestPausedProcess(t *testing.T) {
	url := pgtest.Database(t)
	create(t, url)
	storetest.Pause(t, storetest.Kills(t, 3), 2*shortPause, []string{killURL + "=" + url}, stopProcess, continueProcess, node(t, url, postgres.Options{}))
}

func appendOne(tx *journal.Tx, text string) error {
	_, err := tx.Append(journal.New("test.said", access.Actor{Partner: "p"}, time.UnixMilli(1), text))
	return err
}

func newLog(t *testing.T, s journal.Store) *journal.Log {
	t.Helper()
	l, err := journal.NewLog(journal.Options{Store: s, Origin: "test.example/log"})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func bodies(t *testing.T, l *journal.Log) (out []string) {
	t.Helper()
	err := l.View(background, func(r journal.StoreReader) error {
		entries, err := l.Entries(r, journal.RowQuery{})
		for _, e := range entries {
			out = append(out, string(e.Body))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	report, err := l.Verify(background, journal.VerifyOptions{})
	if err != nil || !report.OK() {
		t.Errorf("verification: %v, %v", report.Faults, err)
	}
	return out
}

// TestPausedNodeCannotFork pauses a node at two places of an update until
// another node has appended, and lets it go on.
func TestPausedNodeCannotFork(t *testing.T) {
	for _, c := range []struct {
		name  string
		first bool // something was appended before the pause
	}{{"before its first statement", false}, {"between two entries", true}} {
		t.Run(c.name, func(t *testing.T) {
			url := pgtest.Database(t)
			create(t, url)
			a := newLog(t, node(t, url, postgres.Options{MaxPause: shortPause}))
			b := newLog(t, node(t, url, postgres.Options{}))
			inside, goOn := make(chan struct{}), make(chan struct{})
			result := make(chan error, 1)
			runs := 0
			go func() {
				result <- a.Update(background, func(tx *journal.Tx) error {
					runs++
					if c.first {
						if err := appendOne(tx, "a1"); err != nil {
							return err
						}
						// Sent to the server, not only kept for later.
						if _, err := tx.Privates("x", "y"); err != nil {
							return err
						}
					}
					close(inside)
					<-goOn
					return appendOne(tx, "a2")
				})
			}()
			<-inside
			begun := time.Now()
			if err := b.Update(background, func(tx *journal.Tx) error { return appendOne(tx, "b") }); err != nil {
				t.Errorf("the other node: %v", err)
			}
			t.Logf("the other node waited %s for the paused one", time.Since(begun).Round(time.Millisecond))
			close(goOn)
			wantProblem(t, "the paused node", <-result, problem.Unavailable, "nothing was stored")
			if runs != 1 {
				t.Errorf("the update ran %d times", runs)
			}
			if err := a.Update(background, func(tx *journal.Tx) error { return appendOne(tx, "a3") }); err != nil {
				t.Errorf("the paused node later: %v", err)
			}
			if got := strings.Join(bodies(t, b), " "); got != `"b" "a3"` {
				t.Errorf("the journal is %s", got)
			}
		})
	}
}

// TestOtherNodesHearOfCommits also breaks the connection on which a node
// listens.
func TestOtherNodesHearOfCommits(t *testing.T) {
	url := pgtest.Database(t)
	a := newLog(t, create(t, url))
	listener := node(t, url, postgres.Options{})
	ctx, cancel := context.WithCancel(background)
	var watching sync.WaitGroup
	watching.Add(1)
	go func() {
		defer watching.Done()
		if err := listener.Watch(ctx); err != nil {
			t.Error(err)
		}
	}()
	defer watching.Wait()
	defer cancel()
	hears := func(when string) {
		t.Helper()
		for deadline := time.Now().Add(30 * time.Second); ; {
			news := listener.Committed()
			if err := a.Update(background, func(tx *journal.Tx) error { return appendOne(tx, "x") }); err != nil {
				t.Fatal(err)
			}
			select {
			case <-news:
				return
			case <-time.After(200 * time.Millisecond):
				if time.Now().After(deadline) {
					t.Fatalf("%s: the other node hears of nothing", when)
				}
			}
		}
	}
	hears("at first")
	exec(t, url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'")
	hears("after its connection broke")
}

// TestErasedPayloadIsOutOfReach looks for it with SQL, also in versions of
// rows that are dead.
func TestErasedPayloadIsOutOfReach(t *testing.T) {
	url := pgtest.Database(t)
	l := newLog(t, create(t, url))
	if err := l.Update(background, func(tx *journal.Tx) error { return appendOne(tx, "erase me") }); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Erase(background, 0, access.Actor{}, "asked for"); err != nil {
		t.Fatal(err)
	}
	c, err := pgx.Connect(background, url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(background)
	for _, table := range []string{"entries", "objects", "private"} {
		var found, dead int64
		if err := c.QueryRow(background, `SELECT count(*) FROM `+table+` AS t WHERE t::TEXT LIKE '%' || encode('erase me', 'hex') || '%' OR t::TEXT LIKE '%erase me%'`).Scan(&found); err != nil {
			t.Fatal(err)
		}
		if found != 0 {
			t.Errorf("%s has it in %d rows", table, found)
		}
		if table == "private" {
			continue
		}
		// What VACUUM has left can be removed by nobody else.
		if err := c.QueryRow(background, `SELECT pg_stat_get_dead_tuples($1::TEXT::REGCLASS)`, table).Scan(&dead); err != nil {
			t.Fatal(err)
		}
		if dead != 0 {
			t.Errorf("%s has %d dead rows", table, dead)
		}
	}
	bodies(t, l)
}

// TestJobsOfTwoNodes lets two nodes run the jobs of one database: each job runs
// on one of them.
func TestJobsOfTwoNodes(t *testing.T) {
	url := pgtest.Database(t)
	stores := []*postgres.DB{create(t, url), node(t, url, postgres.Options{})}
	const n = 100
	type args struct {
		N int `json:"n"`
	}
	var mu sync.Mutex
	ran := make(map[int]int)
	byNode := make([]int, len(stores))
	all := make(chan struct{})
	ctx, stop := context.WithCancel(background)
	defer stop()
	var wg sync.WaitGroup
	for i, s := range stores {
		j, err := jobs.New(jobs.Options{Store: s, Workers: 4, Handlers: []jobs.Handler{jobs.Handle("test.both", func(_ context.Context, a args) error {
			mu.Lock()
			defer mu.Unlock()
			ran[a.N]++
			byNode[i]++
			if len(ran) == n {
				select {
				case <-all:
				default:
					close(all)
				}
			}
			return nil
		})}})
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			if err := j.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	for i := range n {
		err := stores[i%2].Update(background, func(tx journal.StoreTx) error { return tx.Enqueue(journal.NewJob("test.both", args{i}, time.Time{})) })
		if err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-all:
	case <-time.After(20 * time.Second):
		t.Error("not all ran")
	}
	stop()
	wg.Wait()
	t.Logf("by node: %v", byNode)
	for i := range n {
		if ran[i] != 1 {
			t.Errorf("job %d ran %d times", i, ran[i])
		}
	}
}
