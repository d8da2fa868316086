package e2e_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// natsEnv makes this test's binary a NATS server: "host:port folder".
const natsEnv = "SIAGA_E2E_NATS"

// natsChild runs the server that a test started as a process of its own, until
// it is killed; in any other process it does nothing.
func natsChild() {
	at, dir, ok := strings.Cut(os.Getenv(natsEnv), " ")
	if !ok {
		return
	}
	err := func() error {
		host, port, err := net.SplitHostPort(at)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(port)
		if err != nil {
			return err
		}
		s, err := server.NewServer(&server.Options{Host: host, Port: n, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true, SyncAlways: true})
		if err != nil {
			return err
		}
		s.Start()
		s.WaitForShutdown()
		return nil
	}()
	fmt.Fprintln(os.Stderr, "NATS ended by itself:", err)
	os.Exit(1)
}

// between is a node, NATS, a relay, and an edge on either side.
type between struct {
	node, relay, nats *process
	near, far         *process
	relayArgs         []string
	natsAt, natsDir   string
	lensa, nusa       string
	data              string
	mu                sync.Mutex
	acked             []int64
	number            int64
}

func newBetween(t *testing.T) *between {
	t.Helper()
	dir := t.TempDir()
	b := &between{data: filepath.Join(dir, "data"), natsAt: freePort(t), natsDir: filepath.Join(dir, "nats")}
	file := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	natsFile := file("natsfile", "nats://"+b.natsAt)
	run(t, "init", "--data", b.data, "--partner", "Nusa", "--kind", "government")
	run(t, "partner", "add", "--data", b.data, "--name", "Lensa", "--kind", "platform", "--country", "ID")
	token := func(partner, roles, name string) string {
		return strings.TrimSpace(run(t, "token", "create", "--data", b.data, "--partner", partner, "--roles", roles, "--name", name))
	}
	b.nusa, b.lensa = token("nusa", "officer,analyst,approver,observer", "n"), token("lensa", "officer,analyst,approver,observer", "l")
	b.startNATS(t)
	b.node = start(t, "address", "serve", "--data", b.data, "--listen", "127.0.0.1:0", "--nats-file", natsFile, "--log", "error")
	b.relayArgs = []string{"relay", "--upstream", b.node.url, "--token-file", file("relay.token", token("lensa", "relay", "west")), "--nats-file", natsFile,
		"--listen", freePort(t), "--data", filepath.Join(dir, "relay"), "--log", "error"}
	b.relay = start(t, "relay", b.relayArgs...)
	follow := func(name, upstream string) *process {
		return start(t, "edge", "edge", "--upstream", upstream, "--token-file", file(name+".token", token("lensa", "edge", name)), "--data", filepath.Join(dir, name), "--listen", "127.0.0.1:0", "--log", "error")
	}
	b.near, b.far = follow("near", b.node.url), follow("far", b.relay.url)
	within(t, 20*time.Second, "NATS carries the feed", func() bool { return readyText(t, b.node) == "ready\n" })
	return b
}

// startNATS starts the server and does not wait for it.
func (b *between) startNATS(t *testing.T) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: exec.Command(exe)}
	p.cmd.Env = append(os.Environ(), natsEnv+"="+b.natsAt+" "+b.natsDir)
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	b.nats = p
}

func (*between) value(n int64) string { return fmt.Sprintf("%064x", n) }

// put makes one signal active.
func (b *between) put(t *testing.T) int64 {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.number++
	n := b.number
	s := must[struct{ ID string }](t, http.MethodPost, b.node.url+"/api/v1/signals", b.lensa, map[string]any{
		"kind": "sha256", "value": b.value(n), "labels": []string{"propaganda"}, "producer": "perpetrator", "action": "review", "confidence": "high",
	})
	must[struct{ ID string }](t, http.MethodPost, b.node.url+"/api/v1/signals/"+s.ID+"/approve", b.nusa, map[string]any{})
	b.acked = append(b.acked, n)
	return n
}

// has reports whether the edge matches the values.
func (b *between) has(t *testing.T, e *process, ns ...int64) bool {
	t.Helper()
	var qs []map[string]string
	for _, n := range ns {
		qs = append(qs, map[string]string{"kind": "sha256", "value": b.value(n)})
	}
	var out struct {
		Results []struct{ Matches []struct{ Signal string } }
	}
	if _, err := call(t.Context(), http.MethodPost, e.url+"/v1/match", "", "", qs, &out); err != nil || len(out.Results) != len(ns) {
		return false
	}
	for _, r := range out.Results {
		if len(r.Matches) != 1 {
			return false
		}
	}
	return true
}

// kills has kill kill something at random moments while signals are made, and
// checks that both edges have each of them, and that none is alarmed.
func (b *between) kills(t *testing.T, name string, kill func(round int)) {
	t.Helper()
	cycles := 3
	if n, err := strconv.Atoi(os.Getenv("SIAGA_KILLS")); err == nil {
		cycles = n
	}
	first := b.put(t)
	within(t, 20*time.Second, "both edges follow", func() bool { return b.has(t, b.near, first) && b.has(t, b.far, first) })
	var slowest time.Duration
	for round := range cycles {
		stop, done := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(done)
			for {
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond): // a node takes only so much from one caller
					b.put(t)
				}
			}
		}()
		time.Sleep(rand.N(250 * time.Millisecond))
		kill(round)
		time.Sleep(rand.N(100 * time.Millisecond))
		close(stop)
		<-done
		if t.Failed() {
			return
		}
		last := b.put(t)
		slowest = max(slowest, within(t, 20*time.Second, "both edges go on", func() bool { return b.has(t, b.near, last) && b.has(t, b.far, last) }))
	}
	for name, e := range map[string]*process{"near": b.near, "far": b.far} {
		if !b.has(t, e, b.acked...) {
			t.Errorf("the edge %s lacks signals of %d acknowledged", name, len(b.acked))
		}
		st := must[struct {
			Signals int
			Alarms  []struct{ Kind, Text string }
		}](t, http.MethodGet, e.url+"/v1/status", "", nil)
		if st.Signals != len(b.acked) {
			t.Errorf("the edge %s has %d signals, %d were made", name, st.Signals, len(b.acked))
		}
		for _, a := range st.Alarms {
			if a.Kind != "stale" {
				t.Errorf("the edge %s raised the alarm %s: %s", name, a.Kind, a.Text)
			}
		}
	}
	if out := run(t, "log", "verify", "--data", b.data); !strings.Contains(out, "verified=true") {
		t.Errorf("the journal does not verify:\n%s", out)
	}
	t.Logf("kills=%d of=%s acknowledged=%d lost=0 twice=0 slowest_resume=%s", cycles, name, len(b.acked), slowest.Round(time.Millisecond))
}

// TestRelayIsKilled kills the relay while signals are made, now and then while
// it starts.
func TestRelayIsKilled(t *testing.T) {
	if testing.Short() || os.Getenv("SIAGA_TEST_LONG") == "" {
		t.Skip("starts and kills processes for some seconds: set SIAGA_TEST_LONG=1 (make test does)")
	}
	b := newBetween(t)
	b.kills(t, "relay", func(round int) {
		b.relay.kill()
		if round%4 == 3 {
			p := &process{cmd: exec.Command(binary, b.relayArgs...)}
			if err := p.cmd.Start(); err != nil {
				t.Error(err)
			}
			time.Sleep(rand.N(80 * time.Millisecond))
			p.kill()
		}
		b.relay = start(t, "relay", b.relayArgs...)
	})
}

// TestNATSIsKilled kills the NATS server while signals are made; now and then it
// comes back empty, and now and then late.
func TestNATSIsKilled(t *testing.T) {
	if testing.Short() || os.Getenv("SIAGA_TEST_LONG") == "" {
		t.Skip("starts and kills processes for some seconds: set SIAGA_TEST_LONG=1 (make test does)")
	}
	b := newBetween(t)
	b.kills(t, "nats", func(round int) {
		b.nats.kill()
		switch round % 4 {
		case 1:
			if err := os.RemoveAll(b.natsDir); err != nil {
				t.Error(err)
			}
		case 3:
			time.Sleep(rand.N(400 * time.Millisecond))
		}
		b.startNATS(t)
	})
	within(t, 20*time.Second, "NATS carries the feed again", func() bool {
		time.Sleep(50 * time.Millisecond)
		return readyText(t, b.node) == "ready\n"
	})
}
