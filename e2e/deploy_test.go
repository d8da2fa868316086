package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"go.yaml.in/yaml/v3"

	"github.com/siaga-crp/siaga/internal/store/postgres/pgtest"
)

// execStart reads the command of a unit.
func execStart(t *testing.T, unit string) []string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "deploy", "systemd", unit))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/siaga (.*)$`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("%s starts something else", unit)
	}
	return strings.Fields(string(m[1]))
}

// put replaces parts of a command by what stands for them here.
func put(args []string, pairs ...string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		out[i] = strings.NewReplacer(pairs...).Replace(a)
	}
	return out
}

func ready(url string) func() bool {
	return func() bool {
		resp, err := http.Get(url + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	}
}

// The units start a node and an edge, and stop them as systemd does.
func TestUnits(t *testing.T) {
	dir := t.TempDir()
	data, token := filepath.Join(dir, "siaga"), filepath.Join(dir, "edge.token")
	run(t, "init", "--data", data)
	if err := os.WriteFile(token, []byte(run(t, "token", "create", "--data", data, "--roles", "edge", "--name", "upload-1")), 0o600); err != nil {
		t.Fatal(err)
	}
	at := freePort(t)
	node := start(t, "address", put(execStart(t, "siaga.service"), "/var/lib/siaga", data, "127.0.0.1:7424", at)...)
	within(t, 10*time.Second, "the node is ready", ready("http://"+at))
	edge := start(t, "edge", put(execStart(t, "siaga-edge.service"),
		"${SIAGA_UPSTREAM}", "http://"+at, "/etc/siaga/edge.token", token, "/var/lib/siaga-edge", filepath.Join(dir, "edge"), "127.0.0.1:7425", "127.0.0.1:0")...)
	within(t, 10*time.Second, "the edge follows", func() bool {
		resp, err := http.Get(strings.TrimSpace(edge.url) + "/v1/status")
		if err != nil {
			return false
		}
		defer func() { _ = resp.Body.Close() }()
		var s struct{ Feed struct{ Stale bool } }
		return json.NewDecoder(resp.Body).Decode(&s) == nil && !s.Feed.Stale
	})
	for name, p := range map[string]*process{"edge": edge, "node": node} {
		p.once.Do(func() {
			if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			late := time.AfterFunc(15*time.Second, func() { _ = p.cmd.Process.Kill() })
			defer late.Stop()
			if err := p.cmd.Wait(); err != nil {
				t.Errorf("the %s does not stop by itself: %v\n%s", name, err, p.stderr.String())
			}
		})
	}
}

// The steps of compose.yaml, in its order and with its commands, against a real
// PostgreSQL, a real NATS and a real balancer with the files that it mounts.
func TestCompose(t *testing.T) {
	database := pgtest.Database(t) // skips where no PostgreSQL is wanted
	var file struct {
		Services map[string]struct{ Command []string }
		Secrets  map[string]struct{ File string }
	}
	b, err := os.ReadFile("../deploy/compose/compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script, err := os.ReadFile("../deploy/compose/secrets.sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "secrets.sh"), script, 0o700); err != nil { //nolint:gosec // it is run
		t.Fatal(err)
	}
	if out, err := exec.Command(filepath.Join(dir, "secrets.sh")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := exec.Command(filepath.Join(dir, "secrets.sh")).Run(); err == nil {
		t.Error("secrets are made twice")
	}
	if info, err := os.Stat(filepath.Join(dir, "secrets")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others on the machine read the secrets: %v, %v", info.Mode(), err)
	}
	secret := func(name string) string { return filepath.Join(dir, file.Secrets[name].File) }
	// The database that this machine has in place of the service "postgres".
	made, err := os.ReadFile(secret("database"))
	if err != nil || !strings.HasPrefix(string(made), "postgres://siaga:") {
		t.Fatal(string(made), err)
	}
	if err := os.WriteFile(secret("database"), []byte(database), 0o600); err != nil {
		t.Fatal(err)
	}
	// NATS with the configuration that is mounted, at a free port.
	conf, err := os.ReadFile(secret("nats_server"))
	if err != nil {
		t.Fatal(err)
	}
	natsAt := freePort(t)
	_, natsPort, _ := strings.Cut(natsAt, ":")
	moved := filepath.Join(dir, "nats-here.conf")
	if err := os.WriteFile(moved, []byte(strings.NewReplacer("port: 4222", "port: "+natsPort, "store_dir: /data", `store_dir: "`+filepath.Join(dir, "nats")+`"`).Replace(string(conf))), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := natsserver.ProcessConfigFile(moved)
	if err != nil {
		t.Fatal(err)
	}
	o.Host, o.NoSigs, o.NoLog = "127.0.0.1", true, true
	bus, err := natsserver.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	bus.Start()
	t.Cleanup(func() { bus.Shutdown(); bus.WaitForShutdown() })
	address, err := os.ReadFile(secret("nats"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(secret("nats"), []byte(strings.Replace(string(address), "nats:4222", natsAt, 1)), 0o600); err != nil {
		t.Fatal(err)
	}

	data := filepath.Join(dir, "data")
	here := func(service, at string) []string {
		return put(file.Services[service].Command, "/run/secrets/database", secret("database"), "/run/secrets/nats", secret("nats"), "0.0.0.0:7424", at, "/data", data)
	}
	run(t, here("init", "")...)
	one, two, front := freePort(t), freePort(t), freePort(t)
	start(t, "address", here("one", one)...)
	second := start(t, "address", here("two", two)...)
	within(t, 15*time.Second, "both nodes are ready", func() bool { return ready("http://"+one)() && ready("http://"+two)() })
	if n := bus.NumClients(); n < 2 {
		t.Errorf("%d nodes are at NATS, want 2", n)
	}

	// The balancer with its own file; only names and the port are this machine's.
	conf, err = os.ReadFile("../deploy/compose/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("one:7424", one, "two:7424", two, "listen 7424", "listen "+front, "events {", "daemon off; pid "+dir+"/pid; error_log stderr; events {", "access_log off;", "access_log off;\n"+
		fmt.Sprintf("client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;", dir), "16384", "512").Replace(string(conf))
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	balancer := exec.Command(nginx(), "-c", filepath.Join(dir, "nginx.conf"), "-g", userDirective())
	var said strings.Builder
	balancer.Stderr = &said
	if err := balancer.Start(); err != nil {
		t.Fatalf("the balancer does not start (scripts/parts.sh installs nginx): %v", err)
	}
	t.Cleanup(func() { _ = balancer.Process.Signal(syscall.SIGTERM); _ = balancer.Wait() })
	within(t, 10*time.Second, "the balancer answers", ready("http://"+front))

	token := strings.TrimSpace(run(t, "token", "create", "--data", data, "--database-file", secret("database"), "--roles", "officer,analyst"))
	incident := must[struct{ ID string }](t, "POST", "http://"+front+"/api/v1/incidents", token, map[string]any{"title": "A test", "description": "Of the deployment", "where": "Nowhere", "exercise": true})
	for _, at := range []string{one, two, front} {
		must[struct{ ID string }](t, "GET", "http://"+at+"/api/v1/incidents/"+url.PathEscape(incident.ID), token, nil)
	}
	// A node that dies is left out.
	second.kill()
	for range 20 {
		must[struct{ ID string }](t, "GET", "http://"+front+"/api/v1/incidents/"+url.PathEscape(incident.ID), token, nil)
	}
}

// userDirective lets workers of a server started by root open the test's folder.
func userDirective() string {
	if os.Getuid() == 0 {
		return "user root;"
	}
	return ""
}

// What alerts and dashboard ask for is what a node serves.
func TestAlertsAskForWhatThereIs(t *testing.T) {
	data := filepath.Join(t.TempDir(), "siaga")
	run(t, "init", "--data", data)
	node := start(t, "address", "serve", "--data", data, "--listen", "127.0.0.1:0")
	token := strings.TrimSpace(run(t, "token", "create", "--data", data, "--roles", "operator"))
	fetch := func() string {
		r, err := http.NewRequest("GET", strings.TrimSpace(node.url)+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		b := new(strings.Builder)
		if err := resp.Write(b); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	fetch() // requests are counted once they are answered
	served := fetch()
	asked := 0
	for _, name := range []string{"prometheus/siaga.rules.yaml", "grafana/siaga.json"} {
		b, err := os.ReadFile(filepath.Join("..", "deploy", name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\b(?:siaga|process|go)_[a-z_]+`).FindAllString(string(b), -1) {
			asked++
			if !strings.Contains(served, "\n"+m+"{") && !strings.Contains(served, "\n"+m+" ") {
				t.Errorf("%s asks for %s, which the node does not serve", name, m)
			}
		}
	}
	if asked < 20 {
		t.Errorf("only %d names were found", asked)
	}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For string
				Annotations      struct{ Summary, Action string }
			}
		}
	}
	b, err := os.ReadFile("../deploy/prometheus/siaga.rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(b, &rules); err != nil {
		t.Fatal(err)
	}
	for _, r := range rules.Groups[0].Rules {
		if r.Alert == "" || r.Expr == "" || r.For == "" || r.Annotations.Summary == "" || r.Annotations.Action == "" {
			t.Errorf("an alert that does not say what is wrong and what to do: %+v", r)
		}
	}
	if b, err = os.ReadFile("../deploy/grafana/siaga.json"); err != nil || !json.Valid(b) {
		t.Error("the dashboard is not JSON", err)
	}
}

// nginx is where Debian puts it, which is not in everybody's PATH.
func nginx() string {
	if path, err := exec.LookPath("nginx"); err == nil {
		return path
	}
	return "/usr/sbin/nginx"
}
