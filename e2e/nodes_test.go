package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/store/postgres/pgtest"
)

// TestNodes runs two nodes over one PostgreSQL, with NATS in the first, a relay
// and edges, and takes one after the other away: an edge goes on at the other
// node, a node that was stopped in its tracks comes back without forking the
// journal, and nothing that was acknowledged is missing anywhere.
func TestNodes(t *testing.T) {
	database := pgtest.Database(t)
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	run(t, "init", "--data", one, "--database", database, "--partner", "Nusa", "--kind", "government")
	// The second node is the same node on another machine: its keys are copied.
	if err := os.CopyFS(filepath.Join(two, "keys"), os.DirFS(filepath.Join(one, "keys"))); err != nil {
		t.Fatal(err)
	}
	keys, _ := filepath.Glob(filepath.Join(two, "keys", "*"))
	for _, k := range keys {
		if err := os.Chmod(k, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	natsAt, natsFile := freePort(t), filepath.Join(dir, "nats")
	file := func(path, text string) string {
		t.Helper()
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file(natsFile, "nats://siaga:secretword@"+natsAt)
	embedded := file(filepath.Join(dir, "embedded"), "embedded://siaga:secretword@"+natsAt)
	listenA, listenB := freePort(t), freePort(t)
	serveA := func() *process {
		return start(t, "address", "serve", "--data", one, "--database", database, "--listen", listenA, "--nats-file", embedded, "--log", "error")
	}
	serveB := func() *process {
		return start(t, "address", "serve", "--data", two, "--database", database, "--listen", listenB, "--nats-file", natsFile, "--log", "error")
	}
	a, b := serveA(), serveB()
	within(t, 20*time.Second, "NATS carries the feed between both", func() bool { return readyText(t, a) == "ready\n" && readyText(t, b) == "ready\n" })

	token := func(partner, roles, name string) string {
		t.Helper()
		return strings.TrimSpace(run(t, "token", "create", "--data", one, "--database", database, "--partner", partner, "--roles", roles, "--name", name))
	}
	// A token made anywhere works at either node at once.
	for name, kind := range map[string]string{"Lensa": "platform", "Gema": "platform"} {
		run(t, "partner", "add", "--data", one, "--database", database, "--name", name, "--kind", kind, "--country", "ID")
	}
	const all = "officer,analyst,approver,observer"
	nusa, lensa, gema := token("nusa", all, "n"), token("lensa", all, "l"), token("gema", all, "g")
	edgeToken := file(filepath.Join(dir, "edge.token"), token("lensa", "edge", "lensa-1"))
	farToken := file(filepath.Join(dir, "far.token"), token("lensa", "edge", "lensa-far"))
	relayToken := file(filepath.Join(dir, "relay.token"), token("lensa", "relay", "west"))

	type object struct{ ID, State, Action string }
	// Each step of the work is done at the other node than the one before.
	inc := must[object](t, http.MethodPost, a.url+"/api/v1/incidents", lensa, map[string]any{"description": "A man streams an attack on a market.", "where": "Kota Seroja", "live": "yes", "exercise": false})
	must[object](t, http.MethodPost, b.url+"/api/v1/incidents/"+inc.ID+"/activations", nusa, map[string]any{"protocol": "sea-crp", "level": "crisis", "reason": "live"})
	must[object](t, http.MethodPost, a.url+"/api/v1/incidents/"+inc.ID+"/activations/sea-crp/votes", gema, map[string]any{"vote": "yes"})
	var number atomic.Int64
	value := func(n int64) string { return fmt.Sprintf("%064x", n) }
	// put makes one signal active: proposed at one node, approved at the other.
	put := func(propose, approve string) (int64, error) {
		n := number.Add(1)
		var s object
		_, err := call(t.Context(), http.MethodPost, propose+"/api/v1/signals", lensa, fmt.Sprint("p", n), map[string]any{
			"incident": inc.ID, "kind": "sha256", "value": value(n), "labels": []string{"propaganda"}, "producer": "perpetrator", "action": "block", "confidence": "high",
		}, &s)
		if err == nil {
			_, err = call(t.Context(), http.MethodPost, approve+"/api/v1/signals/"+s.ID+"/approve", nusa, fmt.Sprint("a", n), map[string]any{}, &s)
		}
		return n, err
	}

	relayListen := freePort(t)
	serveRelay := func() *process {
		return start(t, "relay", "relay", "--upstream", a.url+","+b.url, "--token-file", relayToken, "--nats-file", natsFile, "--listen", relayListen, "--data", filepath.Join(dir, "relay"), "--log", "error")
	}
	relay := serveRelay()
	e := start(t, "edge", "edge", "--upstream", a.url+","+b.url, "--token-file", edgeToken, "--data", filepath.Join(dir, "edge"), "--listen", "127.0.0.1:0", "--log", "info")
	far := start(t, "edge", "edge", "--upstream", relay.url, "--token-file", farToken, "--data", filepath.Join(dir, "far"), "--listen", "127.0.0.1:0", "--log", "error")
	type answer struct {
		Answer  string
		Results []struct{ Matches []struct{ Action string } }
	}
	blocks := func(e *process, n int64) bool {
		var out answer
		_, err := call(t.Context(), http.MethodPost, e.url+"/v1/match", "", "", map[string]any{"kind": "sha256", "value": value(n)}, &out)
		return err == nil && out.Answer == "match" && len(out.Results) == 1 && len(out.Results[0].Matches) == 1 && out.Results[0].Matches[0].Action == "block"
	}
	type status struct {
		Signals int
		Node    string
		Alarms  []struct{ Kind, Text string }
	}
	of := func(e *process) status { return must[status](t, http.MethodGet, e.url+"/v1/status", "", nil) }

	first, err := put(a.url, b.url)
	if err != nil {
		t.Fatal(err)
	}
	within(t, 15*time.Second, "both edges block what was approved at the other node", func() bool { return blocks(e, first) && blocks(far, first) })

	// Both nodes tell the same of both edges, whichever node each is at.
	type known struct {
		Items []struct{ Name, State, Version string }
	}
	for _, at := range []string{a.url, b.url} {
		within(t, 15*time.Second, "a node tells of the edges at the other one", func() bool {
			time.Sleep(100 * time.Millisecond) // a node takes only so much from one caller
			var out known
			_, err := call(t.Context(), http.MethodGet, at+"/api/v1/edges", lensa, "", nil, &out)
			ks := out.Items
			return err == nil && len(ks) == 2 && ks[0].State == "current" && ks[1].State == "current" && ks[0].Version != ""
		})
	}

	// 1. The relay is killed; it and its edge go on.
	relay.kill()
	serveRelay()
	n, err := put(b.url, a.url)
	if err != nil {
		t.Fatal(err)
	}
	within(t, 10*time.Second, "the edge behind the relay goes on after its kill", func() bool { return blocks(far, n) && blocks(e, n) })

	// 2. One node is stopped in its tracks while programs write to both. The
	// other goes on as soon as the server has given up what the first one held.
	var acked sync.Map
	var writers sync.WaitGroup
	stop := make(chan struct{})
	for _, at := range []string{a.url, b.url} {
		writers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if n, err := put(at, at); err == nil {
					acked.Store(n, true)
				}
				time.Sleep(100 * time.Millisecond) // a node takes only so much from one caller
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	if err := a.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if at := of(e).Node; at == a.url {
		took := within(t, 15*time.Second, "the edge turns to the other node", func() bool { return of(e).Node == b.url })
		// 2.2 s on an idle machine; how busy this one is nobody knows. The bound of
		// 3 s is held in a clock of its own: TestFailover of internal/feed.
		t.Logf("edge at the other node after %s", took.Round(10*time.Millisecond))
	}
	time.Sleep(7 * time.Second) // longer than the server lets a silent node hold the journal
	m, err := put(b.url, b.url)
	if err != nil {
		t.Errorf("while one node is stopped the other one answers: %v", err)
	}
	within(t, 20*time.Second, "edges hear of it", func() bool { return blocks(e, m) && blocks(far, m) })
	if err := a.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	time.Sleep(500 * time.Millisecond)
	close(stop)
	writers.Wait()
	within(t, 5*time.Second, "the node that came back takes writes", func() bool {
		m, err = put(a.url, a.url)
		return err == nil
	})
	within(t, 5*time.Second, "edges hear of them", func() bool { return blocks(e, m) && blocks(far, m) })

	// 3. A node dies. Edges resume at the other one; NATS was in the dead one,
	// so the feed goes on from the database, and says so.
	if of(e).Node == b.url { // let the edge be at the one that dies
		b.kill()
		b = serveB()
		within(t, 15*time.Second, "the edge is at the first node", func() bool { return of(e).Node == a.url })
	}
	a.kill()
	took := within(t, 10*time.Second, "the edge is at the second node", func() bool { return of(e).Node == b.url })
	t.Logf("edge resumed after %s", took.Round(10*time.Millisecond))
	within(t, 10*time.Second, "the second node says that NATS is away", func() bool {
		s := readyText(t, b)
		return strings.Contains(s, "NATS") && strings.Contains(s, "goes on from the database") && !strings.Contains(s, "secretword")
	})
	if m, err = put(b.url, b.url); err != nil {
		t.Fatal(err)
	}
	within(t, 5*time.Second, "the feed goes on from the database", func() bool { return blocks(e, m) && blocks(far, m) })

	// Nothing that was acknowledged is missing, at any edge, and the journal has
	// one history.
	acked.Store(first, true)
	missing := 0
	acked.Range(func(k, _ any) bool {
		for _, at := range []*process{e, far} {
			if !blocks(at, k.(int64)) {
				missing++
			}
		}
		return true
	})
	if missing > 0 {
		t.Errorf("%d acknowledged signals are missing at edges", missing)
	}
	if t.Failed() {
		e.kill()
		a.kill()
		t.Logf("the edge said:\n%s\nthe first node said:\n%s", e.stderr.String(), a.stderr.String())
		return
	}
	for _, at := range []*process{e, far} {
		for _, al := range of(at).Alarms {
			if al.Kind == "fork" || al.Kind == "rollback" || al.Kind == "signature" {
				t.Errorf("an edge raised the alarm %s: %s", al.Kind, al.Text)
			}
		}
	}
	if out := run(t, "log", "verify", "--data", two, "--database", database); !strings.Contains(out, "verified=true") {
		t.Errorf("the journal does not verify:\n%s", out)
	}
}

// readyText returns what the process says at /readyz.
func readyText(t *testing.T, p *process) string {
	t.Helper()
	resp, err := http.Get(p.url + "/readyz")
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	var b strings.Builder
	buf := make([]byte, 1024)
	for {
		n, err := resp.Body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String()
		}
	}
}
