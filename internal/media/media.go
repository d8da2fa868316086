// Package media fingerprints files that may be hostile.
//
// A file is only ever looked at by programs that can do nothing else:
//
//	caller ── Pool ──┬── digests, format (first bytes)          this process
//	                 ├── worker: pictures, documents, texts     confined, reused for a batch
//	                 └── ffmpeg: frames of videos, sound        confined, one run a file
//	                       └── raw luma ── pdq                  this process
//
// The worker is the same program started again (see IsWorker). It gets each
// file as an open descriptor and answers in a bounded format; it cannot open
// files, make connections or start programs (landlock, seccomp), and its
// memory, processor time, descriptors and output are limited (rlimits). ffmpeg
// is started by the worker's own code, after it confined itself in the same
// way; it can read its libraries and the one file.
//
// The package promises: no file or address is touched besides the input; a
// decoder that crashes, hangs or wants too much costs one file, whose digests
// are answered all the same; limits are checked before memory is asked for;
// the format is taken from the content, never from a name; what a viewer may
// show and we could not decode is said to be unknown (fingerprint.Set.Unknown),
// never passed over, and so is what is named as media and holds none, and a
// document of which only a part could be read. It keeps no copy of a file: bytes from a reader wait in
// memory or in a file without a name, which ends with the call.
//
// Where the kernel lacks landlock or seccomp, and outside Linux, the worker
// runs with what there is, and Confinement says so.
package media

import (
	"context"
	"crypto/md5" //nolint:gosec // older lists carry MD5
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/digest"
)

// Options are a Pool's limits. The zero value of each field means the default
// named with it.
type Options struct {
	Workers   int   // files decoded at once; one for each processor
	Batch     int   // files until a worker is replaced by a fresh one; 64
	MaxBytes  int64 // size of a file; 512 MB
	MaxPixels int64 // width times height of a picture or video; 100 million

	// MaxFrames is how many frames of a video or animated picture are kept;
	// 2,048. Every frame up to 10 a second is taken; when there are more than
	// MaxFrames, every other one is dropped.
	MaxFrames int

	PictureTime time.Duration // for one picture, document or text; 10 s
	VideoTime   time.Duration // for one video; 10 min
	StallTime   time.Duration // without a new frame or any sign of work; 20 s

	// FFmpeg is the program's path; found in PATH if empty, "none" for no video.
	FFmpeg string
}

func (o *Options) setDefaults() {
	set := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	if o.Batch <= 0 {
		o.Batch = 64
	}
	set(&o.MaxBytes, 512<<20)
	set(&o.MaxPixels, 100e6)
	if o.MaxFrames <= 0 {
		o.MaxFrames = 2048
	}
	set((*int64)(&o.PictureTime), int64(10*time.Second))
	set((*int64)(&o.VideoTime), int64(10*time.Minute))
	set((*int64)(&o.StallTime), int64(20*time.Second))
}

// Want is what a caller asks about one file.
type Want struct {
	// Name is what the caller calls the file, for messages and for Set.Note.
	Name string

	// Local asks for what finds altered copies, too: inner pictures without
	// borders and captions, and keypoints. They cost several times as much as
	// all the others.
	Local bool
}

// Pool fingerprints files with a fixed number of workers, which it starts when
// they are needed and replaces after a batch or a fault. All its methods may be
// called concurrently. Close it.
type Pool struct {
	opt    Options
	ffmpeg ffmpegProgram
	slots  chan struct{} // one for each file being decoded
	done   chan struct{} // closed by Close

	mu      sync.Mutex
	idle    [kinds][]*worker // workers that wait for a file
	closed  bool
	report  string         // what the last started worker said of its confinement
	endings sync.WaitGroup // workers being ended
}

// New returns a pool. It starts nothing, so that a program that never decodes
// pays nothing; errors of starting come with the first file.
func New(o Options) (*Pool, error) {
	if IsWorker() {
		return nil, problem(ErrNoWorker, "call media.WorkerMain at the start of main when media.IsWorker", "a worker was asked to start workers")
	}
	o.setDefaults()
	p := &Pool{opt: o, slots: make(chan struct{}, o.Workers), done: make(chan struct{})}
	p.ffmpeg.path = o.FFmpeg
	return p, nil
}

// Close ends all workers and waits for them. Files being decoded are finished
// first.
func (p *Pool) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	close(p.done)
	p.mu.Unlock()
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	p.mu.Lock()
	for k := range p.idle {
		for _, w := range p.idle[k] {
			p.end(w)
		}
		p.idle[k] = nil
	}
	p.mu.Unlock()
	p.endings.Wait()
	return nil
}

// Path fingerprints the file of this name; see Fingerprint.
func (p *Pool) Path(ctx context.Context, name string, w Want) (fingerprint.Set, error) {
	f, err := Open(name)
	if err != nil {
		return fingerprint.Set{}, err
	}
	defer f.Close()
	if w.Name == "" {
		w.Name = name
	}
	return p.Fingerprint(ctx, f, w)
}

// Fingerprint computes all fingerprints of what src holds. An *os.File is read
// from its start, and its offset is left alone; any other reader is read to its
// end, at most MaxBytes and one more.
//
// An error is an *Error: what could not be read, is empty or too large, or was
// cancelled. What could be read and not decoded is no error: the digests are
// set, and Unknown and Fix too if a viewer might show the content.
func (p *Pool) Fingerprint(ctx context.Context, src io.Reader, w Want) (fingerprint.Set, error) {
	f, done, err := p.file(ctx, src, w)
	if err != nil {
		return fingerprint.Set{}, err
	}
	defer done()
	info, err := f.Stat()
	if err != nil {
		return fingerprint.Set{}, openProblem(w.Name, err)
	}
	if err := regular(w.Name, info); err != nil {
		return fingerprint.Set{}, err
	}
	n := info.Size()
	switch {
	case n == 0:
		return fingerprint.Set{}, problem(ErrEmpty, "see whether the upload or download was finished", "%q is empty", w.Name)
	case n > p.opt.MaxBytes:
		return fingerprint.Set{}, tooLarge(w.Name, n, p.opt.MaxBytes)
	}

	select {
	case p.slots <- struct{}{}:
	case <-ctx.Done():
		return fingerprint.Set{}, contextProblem(ctx, w.Name)
	case <-p.done:
		return fingerprint.Set{}, problem(ErrClosed, "start the program again", "%q was not read: the program is stopping", w.Name)
	}
	defer func() { <-p.slots }()

	// The digests are computed here while the file is decoded elsewhere: they
	// are safe on any bytes, and must not be what a broken decoder says.
	head := make([]byte, min(n, HeadBytes))
	if _, err := f.ReadAt(head, 0); err != nil {
		return fingerprint.Set{}, readProblem(w.Name, err)
	}
	type sums struct {
		sha digest.SHA256
		md  digest.MD5
		err error
	}
	summed := make(chan sums, 1)
	sumCtx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		var s sums
		s.sha, s.md, s.err = sum(sumCtx, f, n)
		summed <- s
	}()

	format := Sniff(head)
	set := fingerprint.Set{Format: format.Name}
	var decodeErr error
	switch {
	case format.Class == Other:
	case format.Class == Video || format.Class == Audio:
		decodeErr = p.video(ctx, f, format, w, 1, &set)
	default:
		decodeErr = p.decode(ctx, f, n, format, w, &set)
		if decodeErr == nil && format.Class == Picture && moves(head) {
			decodeErr = p.sequence(ctx, f, w, &set)
		}
	}
	if decodeErr != nil {
		stop()
	}
	s := <-summed
	switch {
	case ctx.Err() != nil:
		return fingerprint.Set{}, contextProblem(ctx, w.Name)
	case decodeErr != nil:
		return fingerprint.Set{}, decodeErr
	case s.err != nil:
		return fingerprint.Set{}, readProblem(w.Name, s.err)
	}
	set.Bytes, set.SHA256, set.MD5 = n, s.sha, s.md
	set.Note = note(w.Name, set.Format)
	set.Claimed(w.Name, "")
	return set, nil
}

// readProblem explains that bytes that were there could not be read.
func readProblem(name string, err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return problem(ErrChanged, "try again when nothing writes to it", "%q became shorter while it was read", name)
	}
	return problem(ErrRead, "see whether the disk or the share is well", "%q cannot be read: %v", name, cause(err))
}

// sum computes both digests of the first n bytes of f.
func sum(ctx context.Context, f io.ReaderAt, n int64) (digest.SHA256, digest.MD5, error) {
	h, m := sha256.New(), md5.New() //nolint:gosec // see the import
	buf := make([]byte, min(n, 256<<10))
	for at := int64(0); at < n; {
		if err := ctx.Err(); err != nil {
			return digest.SHA256{}, digest.MD5{}, err
		}
		b := buf[:min(int64(len(buf)), n-at)]
		if _, err := f.ReadAt(b, at); err != nil {
			return digest.SHA256{}, digest.MD5{}, err
		}
		h.Write(b)
		m.Write(b)
		at += int64(len(b))
	}
	return digest.SHA256(h.Sum(nil)), digest.MD5(m.Sum(nil)), nil
}

// extensions lists, for formats with extensions of their own, those they have.
var extensions = map[string]string{
	"jpeg": " jpg jpeg jpe jfif pjpeg mpo ", "png": " png apng ", "gif": " gif ", "webp": " webp ", "bmp": " bmp dib ",
	"tiff": " tif tiff dng nef cr2 arw ", "heic": " heic heif hif ", "avif": " avif avifs ", "jxl": " jxl ", "jp2": " jp2 jpx j2k jpf ",
	"mp4": " mp4 m4v mov 3gp 3g2 mp4v f4v ", "mov": " mov qt mp4 ", "matroska": " mkv mka mks webm ", "webm": " webm mkv ", "avi": " avi ", "flv": " flv ",
	"mpegts": " ts mts m2ts m2t ", "mp3": " mp3 ", "wav": " wav ", "flac": " flac ", "ogg": " ogg ogv oga opus ogx spx ", "m4a": " m4a m4b mp4 aac ",
	"pdf": " pdf ", "docx": " docx docm dotx ", "odt": " odt ott ", "xlsx": " xlsx xlsm ", "pptx": " pptx pptm ppsx ", "svg": " svg ",
}

// note says when a name promises another format than the content has.
func note(name, format string) string {
	ext := strings.ToLower(strings.TrimPrefix(filepath.Ext(name), "."))
	own, known := extensions[format]
	if !known || ext == "" || strings.Contains(own, " "+ext+" ") {
		return ""
	}
	for _, other := range extensions {
		if strings.Contains(other, " "+ext+" ") {
			return fmt.Sprintf("the name ends in .%s, the content is %s", ext, format)
		}
	}
	return ""
}

// decode asks a worker about a picture, document or text and adds what it says
// to set. The error is one of asking, not of the file.
func (p *Pool) decode(ctx context.Context, f *os.File, n int64, format Format, want Want, set *fingerprint.Set) error {
	kind := plainWorker
	if format.Name == "heic" || format.Name == "avif" {
		kind = wasmWorker
	}
	if format.Class == Picture && !format.inGo {
		return p.stillByFFmpeg(ctx, f, format, want, set)
	}
	w, err := p.take(ctx, kind)
	if err != nil {
		return err
	}
	j := job{Format: format.Name, Size: n, MaxPixels: p.opt.MaxPixels, MaxFrames: p.opt.MaxFrames, Local: want.Local, Seconds: p.opt.PictureTime.Seconds()}
	r, err := w.do(ctx, j, f, p.opt.PictureTime)
	if err != nil {
		p.end(w)
		if ctx.Err() != nil {
			return contextProblem(ctx, want.Name)
		}
		explain(err, format, p.opt, set)
		return nil
	}
	w.jobs++
	if r.Retire || w.jobs >= p.opt.Batch {
		p.end(w)
	} else {
		p.give(w)
	}
	r.Set.Note = ""
	if _, known := formats[r.Set.Format]; !known && !isDocumentName(r.Set.Format) {
		r.Set.Format = format.Name
	}
	*set = r.Set
	if r.Refused && set.Picture == nil && format.demuxers != "" && p.ffmpeg.find() == nil {
		return p.stillByFFmpeg(ctx, f, format, want, set)
	}
	return nil
}

// explain turns a worker's end into words.
func explain(err error, format Format, o Options, set *fingerprint.Set) {
	what := noun(format)
	switch {
	case errors.Is(err, errTime):
		set.Unknown = fmt.Sprintf("this %s takes longer than %v to decode", what, o.PictureTime)
		set.Fix = "review it by eye; if it is genuine, save it again in a common form and try that"
	case errors.Is(err, errMemory):
		set.Unknown = fmt.Sprintf("this %s needs more memory to decode than a worker may use", what)
		set.Fix = "review it by eye; if it is genuine, save it smaller and try that"
	default:
		set.Unknown = fmt.Sprintf("this %s stopped its decoder", what)
		set.Fix = "review it by eye, and do not open it on a machine that matters"
	}
}

// noun is what people call a file of this format.
func noun(f Format) string {
	switch f.Class {
	case Picture:
		return strings.ToUpper(f.Name) + " picture"
	case Video:
		return "video"
	case Audio:
		return "sound file"
	case Document:
		return "document"
	}
	return "text"
}

// take returns a worker of kind, an idle one if there is one.
func (p *Pool) take(ctx context.Context, kind int) (*worker, error) {
	p.mu.Lock()
	if l := p.idle[kind]; len(l) > 0 {
		w := l[len(l)-1]
		p.idle[kind] = l[:len(l)-1]
		p.mu.Unlock()
		return w, nil
	}
	p.mu.Unlock()
	w, err := startWorker(ctx, kind)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	p.report = w.confinement
	p.mu.Unlock()
	return w, nil
}

// give makes w idle.
func (p *Pool) give(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle[w.kind] = append(p.idle[w.kind], w)
}

// end ends w in the background; Close waits for it.
func (p *Pool) end(w *worker) {
	p.endings.Go(w.end)
}

// Confinement says in one line what holds the workers of this pool, from what
// one of them found when it confined itself; it starts one if need be.
func (p *Pool) Confinement(ctx context.Context) (string, error) {
	w, err := p.take(ctx, plainWorker)
	if err != nil {
		return "", err
	}
	p.give(w)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.report, nil
}
