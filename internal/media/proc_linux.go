package media

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// openFlags keep Open from waiting for a FIFO that took the file's place.
const openFlags = unix.O_NONBLOCK | unix.O_NOCTTY

// Descriptors of a worker: 0 is empty, 1 too, 2 is read by the starter.
const (
	jobsFD    = 3 // socket: one message a job, with the file's descriptor
	repliesFD = 4 // pipe
)

// maxJob is the size of a job's message.
const maxJob = 4096

// worker is a started worker, owned by one goroutine at a time.
type worker struct {
	kind        int
	jobs        int
	confinement string
	cmd         *exec.Cmd
	conn        int      // our end of jobsFD
	replies     *os.File // our end of repliesFD
	stderr      *complaint
	ended       sync.Once
	killed      bool // by us
	large       bool // it may have had hardMemory
}

// self is this program, also when the file it was started from was replaced.
const self = "/proc/self/exe"

// startWorker starts a worker and waits until it has confined itself.
func startWorker(ctx context.Context, kind int) (*worker, error) {
	w := &worker{kind: kind, stderr: &complaint{}}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, workerProblem(err)
	}
	w.conn = pair[0]
	theirs := os.NewFile(uintptr(pair[1]), "jobs")
	defer theirs.Close()
	in, out, err := os.Pipe()
	if err != nil {
		_ = unix.Close(w.conn)
		return nil, workerProblem(err)
	}
	w.replies = in
	defer out.Close()

	w.cmd = exec.Command(self, workerArg, kindNames[kind])
	w.cmd.Args[0] = "siaga"
	w.cmd.Dir = "/"
	w.cmd.Env = []string{workerMark + "=1", "GOTRACEBACK=none", "TZ=UTC"}
	w.cmd.ExtraFiles = []*os.File{theirs, out}
	w.cmd.Stderr = w.stderr
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a terminal's interrupt is for us
	if err := w.cmd.Start(); err != nil {
		_ = unix.Close(w.conn)
		_ = in.Close()
		return nil, workerProblem(err)
	}
	hello, err := w.read(ctx, 15*time.Second)
	if err != nil || hello.Hello == "" {
		w.kill()
		if ctx.Err() != nil {
			return nil, problem(ctx.Err(), "try again, or allow more time", "starting a media worker was interrupted")
		}
		return nil, workerProblem(fmt.Errorf("%w %s", err, w.stderr))
	}
	w.confinement = hello.Hello
	return w, nil
}

func workerProblem(err error) error {
	return problem(ErrNoWorker, "see that the machine has processes and memory left, and that main calls media.WorkerMain", "the media worker does not start: %v", err)
}

// do sends one job with its file and waits for the answer, at most d.
func (w *worker) do(ctx context.Context, j job, f *os.File, d time.Duration) (reply, error) {
	b, err := json.Marshal(j)
	if err != nil || len(b) > maxJob {
		return reply{}, fmt.Errorf("media: the job does not fit: %w", err)
	}
	sent := make(chan error, 1)
	raw, err := f.SyscallConn()
	if err != nil {
		return reply{}, err
	}
	if err := raw.Control(func(fd uintptr) {
		sent <- unix.Sendmsg(w.conn, b, unix.UnixRights(int(fd)), nil, unix.MSG_NOSIGNAL)
	}); err != nil {
		return reply{}, err
	}
	if err := <-sent; err != nil {
		return reply{}, fmt.Errorf("%w: %w", errCrash, err)
	}
	r, err := w.read(ctx, d)
	// One that died of a JPEG did not say whether it was a large one.
	w.large = w.large || r.Large || err != nil && j.Format == "jpeg"
	switch {
	case err == nil:
		return r, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return reply{}, errTime
	}
	w.kill()
	switch {
	case w.stderr.has("out of memory"), w.stderr.has("cannot allocate memory"),
		w.stderr.has("pthread_create failed"), w.stderr.has("failed to create new OS thread"): // the stack of a thread
		return reply{}, errMemory
	case w.signal() == syscall.SIGKILL, w.signal() == syscall.SIGXCPU: // the limit of processor time
		return reply{}, errTime
	}
	return reply{}, fmt.Errorf("%w: %w", errCrash, err)
}

// read waits for one reply, at most d.
func (w *worker) read(ctx context.Context, d time.Duration) (reply, error) {
	if err := w.replies.SetReadDeadline(time.Now().Add(d)); err != nil {
		return reply{}, err
	}
	stop := context.AfterFunc(ctx, func() { _ = w.replies.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	return readReply(w.replies)
}

// signal is the signal that ended a killed worker of itself, or 0.
func (w *worker) signal() syscall.Signal {
	if s, ok := w.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && s.Signaled() && !w.killed {
		return s.Signal()
	}
	return 0
}

// kill ends the worker at once and waits for it.
func (w *worker) kill() {
	w.ended.Do(func() {
		_ = unix.Close(w.conn)
		// A worker that died leaves its pipe closed before it can be waited for;
		// giving it a moment keeps its own reason of death.
		done := make(chan struct{})
		go func() { defer close(done); _ = w.cmd.Wait() }()
		select {
		case <-done:
		case <-time.After(time.Second):
			_ = w.cmd.Process.Kill()
			<-done
			w.killed = true
		}
		_ = w.replies.Close()
		sort := ordinary
		if w.large {
			sort = largeJPEG
		}
		notePeak(sort, w.cmd.ProcessState)
	})
}

// Sorts of processes, each with a ceiling of its own.
const (
	ordinary  = iota // workers
	largeJPEG        // workers that raised their memory
	ofFFmpeg
	sorts
)

// peaks is the most memory that any process of a sort that has ended had
// resident, in bytes.
var peaks [sorts]atomic.Int64

func notePeak(sort int, s *os.ProcessState) {
	u, ok := s.SysUsage().(*syscall.Rusage)
	if !ok {
		return
	}
	for n := u.Maxrss << 10; ; {
		old := peaks[sort].Load()
		if n <= old || peaks[sort].CompareAndSwap(old, n) {
			return
		}
	}
}

// end lets the worker go: it exits when it sees its socket closed.
func (w *worker) end() { w.kill() }

// complaint keeps the first bytes written to it, where programs say why they
// end; a stack may follow. It may be used concurrently.
type complaint struct {
	mu      sync.Mutex
	buf     []byte
	starved bool // noMemory was said
}

const maxComplaint = 8 << 10

// noMemory is what ffmpeg says of each frame for which it got no memory.
const noMemory = "Cannot allocate memory"

// Write never fails and never waits.
func (c *complaint) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Looked for in all that is written, as other faults may fill what is kept.
	c.starved = c.starved || bytes.Contains(b, []byte(noMemory))
	c.buf = append(c.buf, b[:min(len(b), maxComplaint-len(c.buf))]...)
	return len(b), nil
}

func (c *complaint) has(s string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Contains(string(c.buf), s)
}

// wasStarved reports whether memory was missing.
func (c *complaint) wasStarved() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.starved
}

// String returns the first line, without what cannot be printed.
func (c *complaint) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, _, _ := strings.Cut(strings.TrimSpace(string(c.buf)), "\n")
	return strings.Map(func(r rune) rune {
		if !printable(string(r)) {
			return -1
		}
		return r
	}, s[:min(len(s), 200)])
}

// runWorker is the worker's side.
func runWorker(args []string) int {
	switch args[0] {
	case kindNames[plainWorker]:
		return serveJobs(plainWorker)
	case kindNames[wasmWorker]:
		return serveJobs(wasmWorker)
	case ffmpegArg:
		return becomeFFmpeg(args[1:])
	}
	return 2
}

func serveJobs(kind int) int {
	out := os.NewFile(repliesFD, "replies")
	if out == nil {
		return 2
	}
	tuneRuntime()
	report, err := confineWorker(kind)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := writeReply(out, reply{Hello: report}); err != nil {
		return 1
	}
	type message struct {
		job  job
		file *os.File
		err  error
	}
	// The socket is always being read, so that a worker whose starter is gone
	// ends even while a decoder runs.
	jobs := make(chan message)
	go func() {
		for {
			j, f, err := receive()
			if errors.Is(err, io.EOF) {
				os.Exit(0)
			}
			jobs <- message{j, f, err}
		}
	}()
	for m := range jobs {
		if m.err != nil {
			fmt.Fprintln(os.Stderr, m.err)
			return 1
		}
		r := handle(m.job, m.file)
		_ = m.file.Close() // read only
		if err := writeReply(out, r); err != nil {
			return 1
		}
	}
	return 0
}

// receive waits for a job and its file.
func receive() (job, *os.File, error) {
	var buf [maxJob]byte
	oob := make([]byte, unix.CmsgSpace(4))
	var n, nc int
	for {
		var err error
		n, nc, _, _, err = unix.Recvmsg(jobsFD, buf[:], oob, unix.MSG_CMSG_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return job{}, nil, err
		}
		break
	}
	if n == 0 {
		return job{}, nil, io.EOF
	}
	var j job
	if err := json.Unmarshal(buf[:n], &j); err != nil {
		return job{}, nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:nc])
	if err != nil || len(messages) != 1 {
		return job{}, nil, errors.New("media: a job without a file")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return job{}, nil, errors.New("media: a job without a file")
	}
	return j, os.NewFile(uintptr(fds[0]), "input"), nil
}
