package media

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
)

// workerArg is the hidden subcommand that makes a program a worker, and
// workerMark the environment variable that must agree, so that a program that
// knows nothing of workers cannot start itself without end.
const (
	workerArg  = "media-worker"
	workerMark = "SIAGA_MEDIA_WORKER"
)

// Kinds of workers. The decoders of HEIC and AVIF compile WebAssembly and need
// memory that is executable; no other worker may have it.
const (
	plainWorker = iota
	wasmWorker
	kinds
)

var kindNames = [kinds]string{"plain", "wasm"}

// Errors of asking a worker.
var (
	errTime   = errors.New("media: out of time")
	errMemory = errors.New("media: out of memory")
	errCrash  = errors.New("media: the worker died")
)

// IsWorker reports whether this program was started to be a worker. Every main
// and every TestMain of a package that uses a Pool asks it before anything
// else, even before flags:
//
//	if media.IsWorker() {
//		media.WorkerMain()
//	}
func IsWorker() bool {
	return len(os.Args) >= 3 && os.Args[1] == workerArg && os.Getenv(workerMark) == "1"
}

// WorkerMain is the worker's main function and never returns: it exits when the
// program that started it closes its end, or is gone.
func WorkerMain() {
	code := 2
	if IsWorker() {
		code = runWorker(os.Args[2:])
	} else {
		fmt.Fprintln(os.Stderr, "media-worker is started by siaga itself, not by hand; use siaga hash FILE")
	}
	os.Exit(code)
}

// Memory that a worker, or ffmpeg, may have resident, in bytes. A large
// progressive JPEG, whose decoder keeps all coefficients until its end, may go
// to hardMemory, and its worker is replaced.
//
// The kernel limits what a program allocates (RLIMIT_DATA); its code and its
// libraries are resident besides, which the limits leave room for.
const (
	softMemory = 512 << 20
	hardMemory = 1 << 30

	workerCode = 32 << 20
	ffmpegCode = 64 << 20 // 50 MB were measured of Debian's ffmpeg 5.1
)

// fault stands in for a decoder that a file broke, in tests.
var fault func(j job)

// handle does one job. It never panics.
func handle(j job, f io.ReaderAt) (r reply) {
	deadline := time.Now().Add(time.Duration(j.Seconds * 0.8 * float64(time.Second)))
	r.Set.Format = j.Format
	defer func() {
		if v := recover(); v != nil {
			// What the panic says may quote the file, so it is not passed on.
			r = reply{Retire: true, Refused: true, Set: fingerprint.Set{Format: j.Format}}
			r.Set.Unknown, r.Set.Fix = unknownDamaged(formats[j.Format])
		}
	}()
	if fault != nil {
		fault(j)
	}
	d := decoder{job: j, format: formats[j.Format], src: io.NewSectionReader(f, 0, j.Size), deadline: deadline}
	switch d.format.Class {
	case Picture:
		d.picture(&r.Set)
	case Document, Text:
		d.text(&r.Set)
	}
	r.Retire, r.Refused, r.Large = d.large || grown(), d.refused, d.large
	return r
}

// grown reports whether this worker has mapped so much memory that the next
// file would have too little. The runtime uses again what it has freed, but
// does not unmap it, and the limit counts what is mapped.
func grown() bool {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys > softMemory/4
}

// decoder is the state of one job.
type decoder struct {
	job
	format   Format
	src      *io.SectionReader
	deadline time.Time
	raisable bool // the picture is one that may have hardMemory
	large    bool // more than softMemory was asked for
	refused  bool // see reply
}

// errBudget is returned where a picture needs more memory than there is.
var errBudget = errors.New("media: over the memory budget")

// reserve makes room for a decoder that will need bytes, or returns errBudget.
func (d *decoder) reserve(bytes int64) error {
	limit := int64(softMemory)
	if d.raisable {
		limit = hardMemory
	}
	if bytes > limit*17/20 {
		return errBudget
	}
	if bytes > softMemory*5/8 && limit > softMemory && !d.large {
		d.large = true
		raiseMemory()
		debug.SetMemoryLimit(hardMemory * 9 / 10)
	}
	return nil
}

// unknownDamaged words what is wrong with a file that its decoder refused.
func unknownDamaged(f Format) (what, fix string) {
	return fmt.Sprintf("this %s is damaged, or made in a way that we cannot decode", noun(f)),
		"get an undamaged copy, or open it in a viewer, take a screenshot and use that"
}

// tuneRuntime keeps a worker's heap near what its picture needs.
func tuneRuntime() {
	debug.SetMemoryLimit(softMemory * 3 / 4)
	debug.SetGCPercent(50)
	debug.SetMaxStack(64 << 20) // what nests deeper is made to
	if runtime.GOMAXPROCS(0) > 2 {
		runtime.GOMAXPROCS(2)
	}
}
