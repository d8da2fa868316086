// Package e2e_test runs the program as operators run it: the built binary, real
// processes, real sockets, real kills.
package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/porttest"
	"github.com/siaga-crp/siaga/internal/store/postgres/pgtest"
)

var binary string // the built program

func TestMain(m *testing.M) {
	natsChild()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "siaga-e2e-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer func() { _ = os.RemoveAll(dir) }()
		binary = filepath.Join(dir, "siaga")
		if out, err := exec.Command("go", "build", "-o", binary, "github.com/siaga-crp/siaga/cmd/siaga").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the program: %v\n%s", err, out)
			return 1
		}
		return pgtest.Main(m)
	}())
}

// run runs a short command to its end and returns its stdout.
func run(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c := exec.CommandContext(t.Context(), binary, args...)
	c.Stdout, c.Stderr = &stdout, &stderr
	if err := c.Run(); err != nil {
		t.Fatalf("siaga %s: %v\n%s%s", strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// process is a siaga that goes on until it is killed.
type process struct {
	url string

	cmd    *exec.Cmd
	stderr bytes.Buffer // read after the end only
	once   sync.Once
}

// start starts siaga and waits until it prints the line "NAME: URL".
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(binary, args...)}
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	late := time.AfterFunc(20*time.Second, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	for in := bufio.NewScanner(out); in.Scan(); {
		if url, ok := strings.CutPrefix(in.Text(), name+": "); ok {
			p.url = url
			return p
		}
	}
	p.kill()
	t.Fatalf("siaga %s did not start:\n%s", strings.Join(args, " "), p.stderr.String())
	return nil
}

// kill ends the process as a power cut would, and waits for it.
func (p *process) kill() {
	p.once.Do(func() {
		_ = p.cmd.Process.Kill() // SIGKILL; it may have ended already
		_ = p.cmd.Wait()         // "signal: killed"
	})
}

// freePort returns an address on which nothing listens.
func freePort(t *testing.T) string {
	t.Helper()
	return porttest.Addr(t)
}

// call makes one request and reads a JSON answer into out. An error means that
// there was no whole answer.
func call(ctx context.Context, method, url, token, key string, in, out any) (int, error) {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(b)
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	if resp.StatusCode >= 300 {
		return resp.StatusCode, fmt.Errorf("%w: %s: %s", errRefused, resp.Status, b)
	}
	return resp.StatusCode, json.Unmarshal(b, out)
}

var errRefused = errors.New("refused")

// must is call for what has to succeed.
func must[T any](t *testing.T, method, url, token string, in any) T {
	t.Helper()
	var out T
	if _, err := call(t.Context(), method, url, token, "", in, &out); err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return out
}

// within polls until ok or the time is over, and returns how long it took.
func within(t *testing.T, limit time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	begin := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok() {
			return time.Since(begin)
		}
		if time.Since(begin) > limit {
			t.Fatalf("not within %s: %s", limit, what)
		}
		<-tick.C
	}
}
