//go:build !linux

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
	"time"
)

// Outside Linux a worker is one process a file, not confined: the file is its
// standard input, the job an argument, the answer its standard output. A
// decoder that crashes or hangs still costs one file only.

const openFlags = 0

// worker is what it takes to start one.
type worker struct {
	kind        int
	jobs        int
	confinement string
}

func startWorker(_ context.Context, kind int) (*worker, error) {
	return &worker{kind: kind, confinement: Confinement()}, nil
}

// do runs one job, at most d.
func (w *worker) do(ctx context.Context, j job, f *os.File, d time.Duration) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	b, err := json.Marshal(j)
	if err != nil {
		return reply{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return reply{}, err
	}
	cmd := exec.CommandContext(ctx, self, workerArg, string(b))
	cmd.Env = append(os.Environ(), workerMark+"=1", "GOTRACEBACK=none")
	var out limitedBuffer
	cmd.Stdin, cmd.Stdout = f, &out
	err = cmd.Run()
	if ctx.Err() != nil {
		return reply{}, errTime
	}
	if err != nil {
		return reply{}, fmt.Errorf("%w: %w", errCrash, err)
	}
	return readReply(bytes.NewReader(out.Bytes()))
}

// limitedBuffer refuses more than a reply may have.
type limitedBuffer struct{ bytes.Buffer }

func (l *limitedBuffer) Write(b []byte) (int, error) {
	if l.Len()+len(b) > maxReply+4 {
		return 0, errors.New("media: the worker answers too much")
	}
	return l.Buffer.Write(b)
}

func (w *worker) end() {}

// runWorker is the worker's side.
func runWorker(args []string) int {
	var j job
	if json.Unmarshal([]byte(args[0]), &j) != nil {
		return 2
	}
	tuneRuntime()
	if err := writeReply(os.Stdout, handle(j, os.Stdin)); err != nil {
		return 1
	}
	return 0
}

// Confinement says in one line what this system offers to confine decoders.
func Confinement() string {
	return "media decoders run in processes of their own but are not confined on this system: decode what strangers send on Linux only"
}

func raiseMemory() {}

func readOnly(f *os.File) (*os.File, func(), error) { return f, func() {}, nil }

func memoryFile(b []byte) (*os.File, func(), error) { return temporary(bytes.NewReader(b)) }

func namelessFile(r io.Reader) (*os.File, func(), error) { return temporary(r) }

// ffmpegProgram is never found: ffmpeg reads files and addresses that a video
// names, and nothing would hold it here.
type ffmpegProgram struct{ path string }

func (p *ffmpegProgram) find() error { return errNoFFmpeg }

func (p *ffmpegProgram) start(*os.File, []string, int) (*ffmpegRun, error) {
	return nil, errNoFFmpeg
}
