package media

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ffmpegProgram is the ffmpeg of this system, found when it is first needed,
// and looked for again while it is missing.
type ffmpegProgram struct {
	path string // as set, "" to look in PATH

	mu      sync.Mutex
	found   string
	files   []string
	folders []string
}

// find looks for the program and its libraries.
func (p *ffmpegProgram) find() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.found != "" {
		return nil
	}
	name := p.path
	if name == "" {
		name = "ffmpeg"
	}
	if name == "none" {
		return errNoFFmpeg
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return errNoFFmpeg
	}
	if path, err = filepath.EvalSymlinks(path); err != nil {
		return errNoFFmpeg
	}
	if path, err = filepath.Abs(path); err != nil {
		return errNoFFmpeg
	}
	p.files, p.folders = libraries(path)
	p.found = path
	return nil
}

// libraries lists what the program needs to read to start: itself, its loader
// and its libraries, as the loader itself tells (ld.so(8),
// LD_TRACE_LOADED_OBJECTS). Where it does not, the folders of libraries.
func libraries(path string) (files, folders []string) {
	files = []string{path, "/etc/ld.so.cache"}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path)
	cmd.Env = []string{"LD_TRACE_LOADED_OBJECTS=1"}
	out, err := cmd.Output()
	n := len(files)
	if err == nil {
		for line := range strings.Lines(string(out)) {
			if _, after, ok := strings.Cut(line, "=>"); ok {
				line = after
			}
			if lib, _, ok := strings.Cut(strings.TrimSpace(line), " (0x"); ok && filepath.IsAbs(lib) {
				files = append(files, lib)
			}
		}
	}
	if len(files) == n { // static, or another C library's loader
		folders = []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"}
	}
	return files, folders
}

// start starts ffmpeg, confined, with f as its descriptor 3. The caller reads
// all outputs to their end, closes them and then calls wait; kill may be
// called at any time until then.
func (p *ffmpegProgram) start(f *os.File, args []string, cpuSeconds int) (*ffmpegRun, error) {
	if err := p.find(); err != nil {
		return nil, err
	}
	stage := ffmpegStage{Path: p.found, Args: args, Files: p.files, Folders: p.folders, CPUSeconds: cpuSeconds, Memory: ffmpegMemory}
	if info, err := f.Stat(); err == nil {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink == 0 {
			var fs unix.Statfs_t
			stage.Anonymous = unix.Fstatfs(int(f.Fd()), &fs) == nil && fs.Type == unix.TMPFS_MAGIC && isMemory(f)
		}
	}
	told, err := json.Marshal(stage)
	if err != nil {
		return nil, err
	}
	var ours, theirs [3]*os.File
	for i := range ours {
		if ours[i], theirs[i], err = os.Pipe(); err != nil {
			return nil, err
		}
		defer theirs[i].Close()
	}
	// A larger pipe lets ffmpeg decode while a frame is hashed.
	_, _ = unix.FcntlInt(ours[0].Fd(), unix.F_SETPIPE_SZ, 1<<20) // slower without
	_ = unix.SetNonblock(int(ours[0].Fd()), true)

	stderr := &complaint{}
	cmd := exec.Command(self, workerArg, ffmpegArg, string(told))
	cmd.Args[0] = "siaga"
	cmd.Dir = "/"
	cmd.Env = []string{workerMark + "=1", "GOTRACEBACK=none"}
	cmd.Stdout, cmd.Stderr = theirs[0], stderr
	cmd.ExtraFiles = []*os.File{f, theirs[1], theirs[2]}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		for _, o := range ours {
			_ = o.Close()
		}
		return nil, workerProblem(err)
	}
	wait := func() error {
		err := cmd.Wait()
		notePeak(ofFFmpeg, cmd.ProcessState)
		switch said := stderr.String(); {
		case stderr.wasStarved():
			return fmt.Errorf("ffmpeg: %w", errMemory)
		case err != nil:
			return fmt.Errorf("ffmpeg: %w: %s", err, said)
		case said != "": // it goes on after faults and ends with success
			return fmt.Errorf("%w: %s", errFaults, said)
		}
		return nil
	}
	return &ffmpegRun{ours[0], ours[1], ours[2], wait, func() { _ = cmd.Process.Kill() }, stderr.wasStarved}, nil
}

// isMemory reports whether f was made by memoryFile.
func isMemory(f *os.File) bool {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd()))
	return err == nil && strings.HasPrefix(path, "/memfd:")
}

// becomeFFmpeg confines this process and turns it into ffmpeg. It returns only
// if that fails.
func becomeFFmpeg(args []string) int {
	var c ffmpegStage
	if len(args) != 1 || json.Unmarshal([]byte(args[0]), &c) != nil {
		return 2
	}
	if err := confineFFmpeg(c); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	env := []string{"LC_ALL=C", "TZ=UTC"}
	err := syscall.Exec(c.Path, c.Args, env)
	fmt.Fprintln(os.Stderr, "starting ffmpeg:", err)
	return 1
}
