//go:build unix

package e2e_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// instruction is one of a container file.
type instruction struct{ name, text string }

func containerfile(t *testing.T) []instruction {
	t.Helper()
	b, err := os.ReadFile("../deploy/container/Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	var out []instruction
	for line := range strings.Lines(strings.ReplaceAll(string(b), "\\\n", " ")) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, text, _ := strings.Cut(line, " ")
		out = append(out, instruction{name, strings.Join(strings.Fields(text), " ")})
	}
	return out
}

// TestContainerfile goes through the container file as an engine would, where
// there is none: each step is carried out with what stands for it here, and one
// that this test does not know fails it. The image's own base and packages are
// not tried.
func TestContainerfile(t *testing.T) {
	if os.Getenv("SIAGA_TEST_LONG") == "" {
		t.Skip("builds the program as the image does: set SIAGA_TEST_LONG=1 (make test does)")
	}
	dir := t.TempDir()
	src, root := filepath.Join(dir, "src"), filepath.Join(dir, "root")
	for _, d := range []string{src, filepath.Join(root, "usr/local/bin")} {
		if err := os.MkdirAll(d, 0o755); err != nil { //nolint:gosec // another user runs it
			t.Fatal(err)
		}
	}
	do := func(in string, name string, args ...string) {
		t.Helper()
		c := exec.CommandContext(t.Context(), name, args...)
		c.Dir = in
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
	}
	var user, uid, work string
	var entry, command, volumes, ports []string
	stage := 0
	for _, i := range containerfile(t) {
		switch step := i.name + " " + i.text; {
		case strings.HasPrefix(step, "FROM golang:"):
			stage++
			// The image's Go is the one that go.mod asks for.
			mod, err := os.ReadFile("../go.mod")
			if err != nil {
				t.Fatal(err)
			}
			want := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
			if want == nil || !strings.HasPrefix(i.text, "golang:"+string(want[1])+"-") {
				t.Errorf("go.mod asks for Go %s, the image is built with %s", want[1], i.text)
			}
		case strings.HasPrefix(step, "FROM debian:"):
			stage++
		case step == "WORKDIR /src":
		case step == "COPY go.mod go.sum ./":
			do("..", "cp", "go.mod", "go.sum", src)
		case step == "COPY internal/purego/go.mod internal/purego/":
			do(src, "mkdir", "-p", "internal/purego")
			do("..", "cp", "internal/purego/go.mod", filepath.Join(src, "internal/purego"))
		case step == "RUN go mod download":
			// What was copied so far names every module.
			do(src, "go", "list", "-m", "-f", "{{.Path}}")
			do(src, "go", "list", "-mod=mod", "-m", "github.com/jackc/pgx/v5")
		case step == "COPY . .":
			files, err := exec.Command("git", "-C", "..", "ls-files", "-z").Output()
			if err != nil {
				t.Fatalf("listing the files: %v", err)
			}
			c := exec.CommandContext(t.Context(), "sh", "-c", `tar -C .. --null -T - -c | tar -x -C "$1"`, "sh", src)
			c.Stdin = strings.NewReader(string(files))
			if out, err := c.CombinedOutput(); err != nil {
				t.Fatalf("copying the files: %v\n%s", err, out)
			}
		case step == "RUN make build":
			do(src, "make", "-s", "build")
		case strings.HasPrefix(step, "RUN apt-get update"):
			for _, part := range strings.Split(i.text, " && ") {
				switch {
				case part == "apt-get update", part == "rm -rf /var/lib/apt/lists/*":
				case strings.Contains(part, "apt-get install"):
					for _, p := range []string{"ca-certificates", "ffmpeg", "tzdata"} {
						if !strings.Contains(part, " "+p) {
							t.Errorf("the image lacks %s", p)
						}
					}
				case strings.HasPrefix(part, "useradd "):
					m := regexp.MustCompile(`--uid (\d+) .* (\w+)$`).FindStringSubmatch(part)
					if m == nil || m[1] == "0" {
						t.Fatalf("which user is made by %q?", part)
					}
					uid, user = m[1], m[2]
				case part == "install -d -o siaga -g siaga -m 0700 /data":
					do(root, "install", "-d", "-m", "0700", "data")
				default:
					t.Errorf("a step that this test does not know: %s", part)
				}
			}
		case step == "COPY --from=build /src/bin/siaga /usr/local/bin/siaga":
			do(dir, "cp", filepath.Join(src, "bin/siaga"), filepath.Join(root, "usr/local/bin/siaga"))
		case i.name == "USER":
			if i.text != user {
				t.Errorf("the image runs as %s, and makes %s", i.text, user)
			}
		case i.name == "WORKDIR":
			work = i.text
		case i.name == "VOLUME":
			volumes = strings.Fields(i.text)
		case i.name == "EXPOSE":
			ports = strings.Fields(i.text)
		case i.name == "ENTRYPOINT":
			if err := json.Unmarshal([]byte(i.text), &entry); err != nil {
				t.Fatal(err)
			}
		case i.name == "CMD":
			if err := json.Unmarshal([]byte(i.text), &command); err != nil {
				t.Fatal(err)
			}
		default:
			t.Errorf("a step that this test does not know: %s", step)
		}
	}
	if stage != 2 || work != "/" || len(volumes) != 1 || volumes[0] != "/data" || len(ports) != 2 || len(entry) != 1 || entry[0] != "siaga" {
		t.Fatalf("stages %d, folder %s, volumes %v, ports %v, entry %v", stage, work, volumes, ports, entry)
	}
	data := filepath.Join(root, "data")
	attr := &syscall.SysProcAttr{}
	if os.Getuid() == 0 { // as the image's user, who may write into /data alone
		do(root, "chown", uid+":"+uid, data)
		n, err := strconv.ParseUint(uid, 10, 32)
		if err != nil {
			t.Fatal(err)
		}
		attr.Credential = &syscall.Credential{Uid: uint32(n), Gid: uint32(n), NoSetGroups: true}
		for d := dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
			if err := os.Chmod(d, 0o755); err != nil { //nolint:gosec // it must be reached
				t.Fatal(err)
			}
		}
	}
	// Static: the image has neither cgo's libraries nor Go.
	inside := func(args ...string) *exec.Cmd {
		c := exec.CommandContext(t.Context(), filepath.Join(root, "usr/local/bin", entry[0]), args...)
		c.Dir, c.Env, c.SysProcAttr = work, []string{"PATH=/usr/local/bin:/usr/bin:/bin"}, attr
		return c
	}
	if out, err := inside("init", "--data", data).CombinedOutput(); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	at := freePort(t)
	node := inside(put(command, "/data", data, "0.0.0.0:7424", at)...)
	var said strings.Builder
	node.Stderr = &said
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- node.Wait() }()
	defer func() { _ = node.Process.Kill() }()
	within(t, 15*time.Second, "the node in the image is ready", ready("http://"+at))
	if err := node.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("it does not stop by itself: %v\n%s", err, said.String())
		}
	case <-time.After(15 * time.Second):
		t.Error("it does not stop when it is told to")
	}
	if info, err := os.Stat(filepath.Join(data, "siaga.db")); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("the database in the volume: %v, %v", info, err)
	}
}

// TestUnitsAreVerified has systemd itself read the units: an unknown setting or
// a wrong value is named by it.
func TestUnitsAreVerified(t *testing.T) {
	if os.Getenv("SIAGA_TEST_LONG") == "" {
		t.Skip("needs systemd-analyze: set SIAGA_TEST_LONG=1 (make test does, and installs it)")
	}
	verify := func(change func(string) string) string {
		t.Helper()
		dir := t.TempDir()
		args := []string{"verify", "--man=no"}
		for _, unit := range []string{"siaga.service", "siaga-edge.service"} {
			b, err := os.ReadFile(filepath.Join("..", "deploy", "systemd", unit))
			if err != nil {
				t.Fatal(err)
			}
			to := filepath.Join(dir, unit)
			if err := os.WriteFile(to, []byte(change(strings.ReplaceAll(string(b), "/usr/local/bin/siaga", binary))), 0o600); err != nil {
				t.Fatal(err)
			}
			args = append(args, to)
		}
		out, err := exec.CommandContext(t.Context(), "systemd-analyze", args...).CombinedOutput()
		if err != nil {
			return string(out) + err.Error()
		}
		return string(out)
	}
	if out := verify(func(s string) string { return s }); out != "" {
		t.Errorf("systemd says: %s", out)
	}
	if out := verify(func(s string) string { return strings.Replace(s, "NoNewPrivileges", "NoNewPrivilegs", 1) }); !strings.Contains(out, "NoNewPrivilegs") {
		t.Errorf("systemd finds nothing wrong with a wrong unit: %q", out)
	}
}
