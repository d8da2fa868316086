package app

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/notify"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/store/postgres/pgtest"
)

// TestOnceOverTwoNodes has two nodes over one PostgreSQL, and the clocks of many
// incidents due at one moment: each clock fires once, each partner is called
// once for each, and each person gets each message once.
func TestOnceOverTwoNodes(t *testing.T) {
	url := pgtest.Own(t).Database(t)
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	if _, err := Init(t.Context(), InitOptions{Data: one, Database: url, Partner: partner.NewPartner{Name: "Secretariat", Country: "ID"}}); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(two, "keys"), os.DirFS(filepath.Join(one, "keys"))); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(two, "keys", "*"))
	for _, f := range files {
		if err := os.Chmod(f, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	got := make(map[string]int) // messages, by their text without its link's code
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, 4096)
		n, _ := r.Body.Read(body)
		if _, text, ok := strings.Cut(string(body[:n]), `"text":"`); ok {
			text, _, _ = strings.Cut(text, " http")
			mu.Lock()
			got[r.URL.Path+" "+text]++
			mu.Unlock()
		}
	}))
	t.Cleanup(hook.Close)

	// The story happens at one moment, which is later put so far back that all
	// clocks are due some seconds after the nodes have begun.
	var frozen atomic.Int64
	now := func() time.Time {
		if at := frozen.Load(); at != 0 {
			return time.UnixMilli(at)
		}
		return time.Now()
	}
	node := func(data string) *Node {
		t.Helper()
		n, err := New(t.Context(), Options{Data: data, Database: url, Listen: "127.0.0.1:0", Now: now, InternalHosts: []string{strings.TrimPrefix(hook.URL, "http://")}, Cost: partner.Cost{MemoryKiB: 64, Passes: 1}})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	a, b := node(one), node(two)
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	shell := access.Actor{Partner: "secretariat", Kind: access.Intergovernmental, Country: "ID", Shell: true, Roles: []access.Role{access.Administrator, access.Operator}}
	var by []access.Actor
	for _, name := range []string{"Nusa", "Lensa"} {
		p, err := a.Partners.Add(ctx, shell, partner.NewPartner{Name: name, Kind: access.Government, Country: "ID", Zone: "Asia/Jakarta"})
		ok(err)
		m, _, err := a.Partners.AddMember(ctx, partner.Shell(p), partner.NewMember{Partner: p.ID, Name: name, Email: p.ID + "@nusa.example", Roles: []access.Role{access.Officer, access.Administrator}})
		ok(err)
		who := access.Actor{Partner: p.ID, Kind: p.Kind, Country: p.Country, Member: m.ID, Name: name, Roles: m.Roles}
		_, err = a.Notify.Add(ctx, who, notify.NewChannel{Kind: notify.Webhook, Target: hook.URL + "/" + p.ID})
		ok(err)
		by = append(by, who)
	}
	const incidents = 12
	no := false
	begin := func() string {
		t.Helper()
		who := by[0]
		who.StepUp, who.For = now(), access.AnyAction
		inc, err := a.Incidents.Notify(ctx, who, incident.Notice{Title: "Samudra", Description: "practice", Country: "ID", Exercise: &no})
		ok(err)
		_, err = a.Incidents.Assess(ctx, who, inc.ID, "", []incident.Answer{{Criterion: "real_world_attack", Answer: "yes", Evidence: "seen"}, {Criterion: "perpetrator_content", Answer: "yes", Evidence: "seen"}})
		ok(err)
		_, err = a.Incidents.Act(ctx, who, inc.ID, "sea-crp", protocol.Action{Verb: protocol.Propose, Level: "crisis", Reason: "seen"})
		ok(err)
		return inc.ID
	}
	due := func(id string) time.Time {
		t.Helper()
		inc, err := a.Incidents.Get(ctx, by[0], id)
		ok(err)
		var at time.Time
		for _, x := range inc.Activations {
			if d := protocol.NextDue(nil, x); !d.IsZero() && (at.IsZero() || d.Before(at)) {
				at = d
			}
		}
		return at
	}
	// How long the first clock runs is the protocol's: one incident of long ago says it.
	probed := time.Now().Add(-48 * time.Hour).Truncate(time.Millisecond)
	frozen.Store(probed.UnixMilli())
	probe := begin()
	runs := due(probe).Sub(probed)
	if runs <= 0 {
		t.Fatal("no clock runs")
	}
	begun := time.Now().Add(4*time.Second - runs)
	frozen.Store(begun.UnixMilli())
	ids := make(map[string]bool)
	for range incidents {
		id := begin()
		ids[id] = true
		if d := due(id).Sub(begun); d.Round(time.Second) != runs.Round(time.Second) {
			t.Fatalf("the clock of %s runs %s, want %s", id, d, runs)
		}
	}
	frozen.Store(0)

	run, cancel := context.WithCancel(ctx)
	ended := make(chan error, 2)
	for _, n := range []*Node{a, b} {
		go func() { ended <- n.Run(run) }()
	}
	defer func() {
		cancel()
		for range 2 {
			if err := <-ended; err != nil {
				t.Errorf("a node ended: %v", err)
			}
		}
	}()
	// What came of it: entries that must be there once, by what they say.
	count := func() (map[string]int, int) {
		seen, fired := make(map[string]int), make(map[string]bool)
		ok(b.Log.View(ctx, func(r journal.StoreReader) error {
			entries, err := b.Log.Entries(r, journal.RowQuery{Limit: 5000})
			for _, e := range entries {
				what := e.Type + " " + e.About[0].ID
				switch {
				case strings.HasPrefix(e.Type, "clock."), e.Type == protocol.EvDeclined:
					what += " " + string(e.Body) // it has the instant at which it was due
					if ids[e.About[0].ID] {
						fired[e.About[0].ID] = true
					}
				case e.Type == "call.begun":
				case e.Type == "call.sent", e.Type == "call.escalated":
					var x struct {
						Member, Channel, To string
						Step                int
					}
					if err := e.Decode(&x); err != nil {
						return err
					}
					what += fmt.Sprint(x)
				default:
					continue
				}
				seen[what]++
			}
			return err
		}))
		return seen, len(fired)
	}
	var last map[string]int
	for quiet, until := 0, time.Now().Add(30*time.Second); quiet < 4; time.Sleep(500 * time.Millisecond) {
		seen, fired := count()
		if fired == incidents && len(seen) == len(last) {
			quiet++
		} else {
			quiet = 0
		}
		if last = seen; time.Now().After(until) {
			t.Fatalf("after 30 s the clocks of %d of %d incidents have fired", fired, incidents)
		}
	}
	calls := 0
	for what, n := range last {
		if n != 1 {
			t.Errorf("%d times: %s", n, what)
		}
		if strings.HasPrefix(what, "call.begun") {
			calls++
		}
	}
	mu.Lock()
	defer mu.Unlock()
	sent := 0
	for text, n := range got {
		sent += n
		if n != 1 {
			t.Errorf("sent %d times: %s", n, text)
		}
	}
	if calls < incidents || sent < incidents {
		t.Errorf("%d calls and %d messages for %d incidents", calls, sent, incidents)
	}
	t.Logf("%d incidents: %d entries, %d calls, %d messages", incidents, len(last), calls, sent)
}
