package media

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// probeArg makes the test program confine itself and then try what it must not
// be able to do. It prints what worked, one word a line.
const probeArg = "probe"

// probes are what a decoder that a file took over would try. They answer nil if
// it worked.
var probes = []struct {
	name string
	try  func(canary string, listener string) error
}{
	{"read a file", func(canary, _ string) error { _, err := os.ReadFile(canary); return err }},
	{"list a folder", func(canary, _ string) error { _, err := os.ReadDir(filepath.Dir(canary)); return err }},
	{"write a file", func(canary, _ string) error { return os.WriteFile(canary+".new", []byte("x"), 0o600) }},
	{"remove a file", func(canary, _ string) error { return os.Remove(canary) }},
	{"rename a file", func(canary, _ string) error { return os.Rename(canary, canary+".old") }},
	{"change permissions", func(canary, _ string) error { return os.Chmod(canary, 0o777) }},
	{"start a program", func(string, string) error { return exec.Command("/bin/true").Run() }},
	{"fork", func(string, string) error {
		pid, _, e := syscall.RawSyscall(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0)
		if e != 0 {
			return e
		}
		if pid == 0 {
			syscall.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
		}
		return nil
	}},
	{"connect", func(_, listener string) error { _, err := net.Dial("tcp", listener); return err }},
	{"listen", func(string, string) error { _, err := net.Listen("tcp", "127.0.0.1:0"); return err }},
	{"make a datagram socket", func(string, string) error { _, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0); return err }},
	{"make a unix socket", func(string, string) error { _, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0); return err }},
	{"make a netlink socket", func(string, string) error { _, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, 0); return err }},
	{"trace its parent", func(string, string) error { return unix.PtraceAttach(os.Getppid()) }},
	{"kill its parent", func(string, string) error { return unix.Kill(os.Getppid(), unix.SIGCONT) }},
	{"read memory of its parent", func(string, string) error {
		_, err := unix.ProcessVMReadv(os.Getppid(), []unix.Iovec{{}}, []unix.RemoteIovec{{}}, 0)
		return err
	}},
	{"make a file in memory", func(string, string) error { _, err := unix.MemfdCreate("x", 0); return err }},
	{"map executable memory", func(string, string) error {
		_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
		return err
	}},
	{"load a program into the kernel", func(string, string) error {
		_, _, e := unix.Syscall(unix.SYS_BPF, 0, 0, 0)
		if e == unix.EINVAL {
			return nil
		}
		return e
	}},
	{"use io_uring", func(string, string) error {
		_, _, e := unix.Syscall(unix.SYS_IO_URING_SETUP, 0, 0, 0)
		if e != unix.EPERM {
			return nil
		}
		return e
	}},
	{"raise its limits", func(string, string) error {
		return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 4096, Max: 4096})
	}},
	{"take 600 MB of memory", func(string, string) error {
		b, err := unix.Mmap(-1, 0, 600<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return err
		}
		return unix.Munmap(b)
	}},
	{"take 2 GB of memory", func(string, string) error {
		_, err := unix.Mmap(-1, 0, 2<<30, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		return err
	}},
	{"become a program", func(string, string) error { return syscall.Exec("/bin/true", []string{"true"}, nil) }},
}

// runProbe is the probed program's main function.
func runProbe(args []string) int {
	confined := args[0]
	var err error
	switch confined {
	case "worker":
		_, err = confineWorker(plainWorker)
	case "landlock":
		_, err = closeFiles()
	case "ffmpeg":
		var stage ffmpegStage
		if err = json.Unmarshal([]byte(args[3]), &stage); err == nil {
			err = confineFFmpeg(stage)
		}
	}
	if err != nil {
		fmt.Println("confining:", err)
		return 1
	}
	for _, p := range probes {
		if p.try(args[1], args[2]) == nil {
			fmt.Println(p.name)
		}
	}
	fmt.Println("done")
	return 0
}

// runProbed starts the test program as a probe and returns what worked in it.
func runProbed(t *testing.T, confined, canary, listener string, stage ffmpegStage) []string {
	t.Helper()
	told, err := json.Marshal(stage)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, workerArg, probeArg, confined, canary, listener, string(told))
	cmd.Env = []string{workerMark + "=1"}
	if confined == "ffmpeg" {
		f, err := os.Open(canary)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		cmd.ExtraFiles = []*os.File{f}
	}
	out, err := cmd.CombinedOutput()
	if err != nil && confined != "" {
		t.Fatalf("%v: %s", err, out)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

// A confined process can do nothing of what an attacker wants; the same
// program not confined can, so that this test would notice a probe that fails
// for another reason.
func TestConfinementHolds(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's memory is over every limit")
	}
	if text := Confinement(); !strings.Contains(text, "landlock") || strings.Contains(text, "lacks") {
		if os.Getenv("SIAGA_TEST_CONFINED") != "" {
			t.Fatalf("this kernel cannot confine decoders, so nothing proves that they are: %s", text)
		}
		t.Skipf("nothing to test on this kernel: %s", text)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	canary := filepath.Join(t.TempDir(), "canary")
	write := func() {
		if err := os.WriteFile(canary, []byte("secret"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write()
	if got := runProbed(t, "worker", canary, l.Addr().String(), ffmpegStage{}); len(got) != 1 || got[0] != "done" {
		t.Errorf("a confined worker can: %q", got)
	}
	write()
	// What a worker of a pool says of itself is what this kernel offers.
	if got, err := newPool(t, Options{Workers: 1}).Confinement(t.Context()); err != nil || got != Confinement() {
		t.Errorf("a worker says %q, %v; this kernel offers %q", got, err, Confinement())
	}
	// Landlock alone closes files, should the filter have a hole.
	alone := runProbed(t, "landlock", canary, l.Addr().String(), ffmpegStage{})
	for _, p := range []string{"read a file", "list a folder", "write a file", "remove a file", "rename a file", "start a program", "become a program"} {
		if slices.Contains(alone, p) {
			t.Errorf("under landlock alone, a worker can %s", p)
		}
	}
	if !slices.Contains(alone, "make a unix socket") {
		t.Errorf("more than landlock was at work, so this proves nothing of it: %q", alone)
	}
	write()
	// ffmpeg may map code, become itself, and read its one input.
	input := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(input, []byte("input"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := runProbed(t, "ffmpeg", input, l.Addr().String(), ffmpegStage{Path: "/nonexistent", CPUSeconds: 10})
	for _, did := range got {
		switch did {
		case "read a file", "map executable memory", "take 600 MB of memory", "done":
		default:
			t.Errorf("confined for ffmpeg, a program can %s", did)
		}
	}
	if b, err := os.ReadFile(canary); err != nil || string(b) != "secret" {
		t.Errorf("the canary is %q, %v", b, err)
	}

	free := strings.Join(runProbed(t, "", canary, l.Addr().String(), ffmpegStage{}), "\n")
	for _, p := range []string{"read a file", "list a folder", "write a file", "start a program", "connect", "listen", "make a file in memory", "map executable memory", "take 600 MB of memory", "take 2 GB of memory"} {
		if !strings.Contains(free, p) {
			t.Errorf("even a program that is not confined cannot %s, so this proves nothing: %s", p, free)
		}
	}
}
