package e2e_test

import (
	"bytes"
	"fmt"
	"net/http"
	neturl "net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/store/postgres/pgtest"
)

// previous are the commits whose programs count as releases before this one,
// the last of them first.
var previous = []string{
	"3f8fc2ac1e38b0a5c8f841f60cf259c4a24b21ea",
	"6c01ca76f405e87a97cdaa55f6928375667eba89",
}

// releases are those to upgrade from: the last one, or all with
// SIAGA_UPGRADE_FROM=all.
func releases() []string {
	if os.Getenv("SIAGA_UPGRADE_FROM") == "all" {
		return previous
	}
	return previous[:1]
}

var built = map[string]string{} // by commit; tests here run one after the other

// release builds the program of a commit.
func release(t *testing.T, commit string) string {
	t.Helper()
	if built[commit] != "" {
		return built[commit]
	}
	dir, err := os.MkdirTemp(filepath.Dir(binary), "release-") // which TestMain removes
	if err != nil {
		t.Fatal(err)
	}
	tree, program := filepath.Join(dir, "tree"), filepath.Join(dir, "siaga")
	top, err := exec.Command("git", "rev-parse", "--show-toplevel").Output()
	if err != nil {
		t.Fatalf("the test builds the previous release from the repository's history, and this is no git checkout: %v", err)
	}
	var archive, stderr bytes.Buffer
	c := exec.CommandContext(t.Context(), "git", "-C", strings.TrimSpace(string(top)), "archive", commit)
	c.Stdout, c.Stderr = &archive, &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("commit %.12s, a release before this one, is not in this checkout (%s); fetch the whole history: git fetch --unshallow", commit, strings.TrimSpace(stderr.String()))
	}
	if err := os.Mkdir(tree, 0o700); err != nil {
		t.Fatal(err)
	}
	c = exec.CommandContext(t.Context(), "tar", "-x", "-C", tree)
	c.Stdin = &archive
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("unpacking the previous release: %v\n%s", err, out)
	}
	c = exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-o", program, "./cmd/siaga")
	c.Dir = tree
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("building the previous release: %v\n%s", err, out)
	}
	if err := os.RemoveAll(tree); err != nil {
		t.Fatal(err)
	}
	built[commit] = program
	return program
}

// with runs fn with another program than this release's.
func with(program string, fn func()) {
	mine := binary
	binary = program
	defer func() { binary = mine }()
	fn()
}

// TestDowngrade starts this release on a folder of an earlier one, which brings
// the schema up to date, and then the earlier one again: it serves, writes, and
// what both wrote verifies in this one.
func TestDowngrade(t *testing.T) {
	if os.Getenv("SIAGA_TEST_UPGRADE") == "" {
		t.Skip("builds and starts the previous release: set SIAGA_TEST_UPGRADE=1 (make test does)")
	}
	// The one before knows no schema but its own, and refuses (0052).
	for _, commit := range previous[:1] {
		t.Run(commit[:7], func(t *testing.T) {
			old, data := release(t, commit), filepath.Join(t.TempDir(), "data")
			var token string
			with(old, func() {
				run(t, "init", "--data", data, "--partner", "Nusa", "--kind", "government")
				token = strings.TrimSpace(run(t, "token", "create", "--data", data, "--partner", "nusa", "--roles", "officer,analyst,observer", "--name", "n"))
			})
			type object struct{ ID string }
			made := map[string]bool{}
			serve := func(program, title string) {
				t.Helper()
				var node *process
				with(program, func() {
					node = start(t, "address", "serve", "--data", data, "--listen", "127.0.0.1:0", "--log", "error")
				})
				defer node.kill()
				for range 3 {
					inc := must[object](t, http.MethodPost, node.url+"/api/v1/incidents", token, map[string]any{
						"title": title, "description": "An attack on a market.", "where": "Kota Seroja", "country": "ID", "exercise": true})
					if made[inc.ID] {
						t.Errorf("%s was given twice", inc.ID)
					}
					made[inc.ID] = true
				}
				page := must[struct{ Items []object }](t, http.MethodGet, node.url+"/api/v1/incidents?limit=200", token, nil)
				if len(page.Items) != len(made) {
					t.Errorf("%s sees %d incidents of %d", title, len(page.Items), len(made))
				}
			}
			for i, program := range []string{old, binary, old, binary} {
				serve(program, fmt.Sprintf("start %d", i+1))
			}
			if out := run(t, "log", "verify", "--data", data); !strings.Contains(out, "verified=true") {
				t.Errorf("the journal does not verify: %s", out)
			}
		})
	}
}

// TestUpgrade upgrades a node without a stop: the previous release serves on
// PostgreSQL; this one joins on the same database, which changes its schema;
// both take writes, each has the other's edge; then the previous one ends. No
// request that was answered is lost and none fails for a reason of ours.
func TestUpgrade(t *testing.T) {
	if os.Getenv("SIAGA_TEST_UPGRADE") == "" {
		t.Skip("builds and starts the previous release: set SIAGA_TEST_UPGRADE=1 (make test does)")
	}
	for _, commit := range releases() {
		t.Run(commit[:7], func(t *testing.T) { upgrade(t, release(t, commit)) })
	}
}

func upgrade(t *testing.T, old string) {
	dir := t.TempDir()
	data, data2 := filepath.Join(dir, "data"), filepath.Join(dir, "data2")
	url := pgtest.Own(t).Database(t)
	var oldNode, newNode, oldEdge, newEdge *process
	var nusa, lensa, gema string
	token := func(partner, roles, name string) string {
		return strings.TrimSpace(run(t, "token", "create", "--data", data, "--database", url, "--partner", partner, "--roles", roles, "--name", name))
	}
	tokenFile := func(name string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(token("lensa", "edge", name)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	var edgeFiles [2]string
	with(old, func() {
		run(t, "init", "--data", data, "--database", url, "--partner", "Nusa", "--kind", "government")
		oldNode = start(t, "address", "serve", "--data", data, "--database", url, "--listen", "127.0.0.1:0", "--log", "error")
		admin := token("nusa", "administrator", "admin")
		for name, kind := range map[string]string{"Lensa": "platform", "Gema": "platform"} {
			// By the interface one administrator could do it once; later releases
			// want a second one, who at the node is the operator.
			if _, err := call(t.Context(), http.MethodPost, oldNode.url+"/api/v1/partners", admin, "", map[string]any{"name": name, "kind": kind, "country": "ID"}, nil); err != nil {
				run(t, "partner", "add", "--data", data, "--database", url, "--name", name, "--kind", kind, "--country", "ID")
			}
		}
		const all = "officer,analyst,approver,observer"
		nusa, lensa, gema = token("nusa", all, "n"), token("lensa", all, "l"), token("gema", all, "g")
		edgeFiles = [2]string{tokenFile("lensa-old"), tokenFile("lensa-new")}
	})
	type object struct{ ID, State, Action string }
	inc := must[object](t, http.MethodPost, oldNode.url+"/api/v1/incidents", lensa, map[string]any{
		"description": "A man streams an attack on a market.", "where": "Kota Seroja", "live": "yes", "exercise": false,
	})
	must[object](t, http.MethodPost, oldNode.url+"/api/v1/incidents/"+inc.ID+"/activations", nusa, map[string]any{"protocol": "sea-crp", "level": "crisis", "reason": "live"})
	must[object](t, http.MethodPost, oldNode.url+"/api/v1/incidents/"+inc.ID+"/activations/sea-crp/votes", gema, map[string]any{"vote": "yes"})

	// Writers go on during all of it, as people do.
	var mu sync.Mutex
	acked := map[string]string{} // title by ID, of each incident that was answered
	var failed []string
	nodes := []string{oldNode.url}
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
				mu.Lock()
				to := nodes[(i+w)%len(nodes)]
				mu.Unlock()
				var o object
				title := fmt.Sprintf("w%d-%d", w, i)
				_, err := call(t.Context(), http.MethodPost, to+"/api/v1/incidents", nusa, title, map[string]any{
					"title": title, "description": "An attack on a market.", "where": "Kota Seroja", "country": "ID", "exercise": true}, &o)
				mu.Lock()
				switch {
				case err != nil:
					failed = append(failed, err.Error())
				case acked[o.ID] != "":
					failed = append(failed, fmt.Sprintf("%s was given to %s and to %s", o.ID, acked[o.ID], title))
				default:
					acked[o.ID] = title
				}
				mu.Unlock()
			}
		})
	}
	// The second node has the same keys in a folder of its own.
	if out, err := exec.Command("cp", "-r", data, data2).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	newNode = start(t, "address", "serve", "--data", data2, "--database", url, "--listen", "127.0.0.1:0", "--log", "error")
	mu.Lock()
	nodes = append(nodes, newNode.url)
	mu.Unlock()
	edgeArgs := func(node *process, name, file string) []string {
		return []string{"edge", "--upstream", node.url, "--token-file", file, "--data", filepath.Join(dir, name), "--listen", "127.0.0.1:0", "--log", "error"}
	}
	with(old, func() { oldEdge = start(t, "edge", edgeArgs(newNode, "edge-old", edgeFiles[0])...) })
	newEdge = start(t, "edge", edgeArgs(oldNode, "edge-new", edgeFiles[1])...)

	blocked := func(e *process, value string) bool {
		var a struct{ Answer string }
		_, err := call(t.Context(), http.MethodPost, e.url+"/v1/match", "", "", map[string]string{"kind": "sha256", "value": value}, &a)
		return err == nil && a.Answer == "match"
	}
	for i, node := range []*process{oldNode, newNode} {
		value := fmt.Sprintf("%064x", i+1)
		s := must[object](t, http.MethodPost, node.url+"/api/v1/signals", lensa, map[string]any{
			"incident": inc.ID, "kind": "sha256", "value": value, "labels": []string{"propaganda"}, "producer": "perpetrator", "action": "block", "confidence": "high",
		})
		if s = must[object](t, http.MethodPost, node.url+"/api/v1/signals/"+s.ID+"/approve", nusa, map[string]any{}); s.State != "active" || s.Action != "block" {
			t.Fatalf("after its approval the signal is %s, %s", s.State, s.Action)
		}
		within(t, 10*time.Second, "the previous release's edge has it", func() bool { return blocked(oldEdge, value) })
		within(t, 10*time.Second, "this release's edge has it", func() bool { return blocked(newEdge, value) })
		// Withdrawn on the other node.
		other := []*process{newNode, oldNode}[i]
		must[object](t, http.MethodPost, other.url+"/api/v1/signals/"+s.ID+"/withdraw", nusa, map[string]any{"reason": "a mistake"})
		within(t, 10*time.Second, "the previous release's edge lets it go", func() bool { return !blocked(oldEdge, value) })
		within(t, 10*time.Second, "this release's edge lets it go", func() bool { return !blocked(newEdge, value) })
	}
	mu.Lock()
	nodes = nodes[1:]
	mu.Unlock()
	time.Sleep(200 * time.Millisecond) // requests under way end
	oldNode.kill()
	time.Sleep(300 * time.Millisecond)
	close(stop)
	writers.Wait()
	if len(failed) > 0 {
		t.Errorf("%d requests failed during the upgrade, the first: %s", len(failed), failed[0])
	}
	if out := run(t, "log", "verify", "--data", data2, "--database", url); !strings.Contains(out, "verified=true") {
		t.Errorf("the journal does not verify: %s", out)
	}
	// Each one that was answered is there, as it was sent, once.
	stored := map[string]string{}
	for cursor := ""; ; {
		page := must[struct {
			Items []struct{ ID, Title string }
			Next  string
		}](t, http.MethodGet, newNode.url+"/api/v1/incidents?limit=50&cursor="+neturl.QueryEscape(cursor), nusa, nil)
		for _, o := range page.Items {
			if _, twice := stored[o.ID]; twice {
				t.Errorf("%s is listed twice", o.ID)
			}
			stored[o.ID] = o.Title
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if len(acked) == 0 {
		t.Error("no request was answered")
	}
	for id, title := range acked {
		if stored[id] != title {
			t.Errorf("%s %q was answered, and %q is there", id, title, stored[id])
		}
	}
	if len(stored) != len(acked)+1 && len(failed) == 0 { // and the one that was activated
		t.Errorf("%d requests were answered, and %d incidents are there", len(acked), len(stored)-1)
	}
	t.Logf("fault=upgrade acknowledged=%d failed=%d", len(acked), len(failed))
}
