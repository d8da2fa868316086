package media

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/text"
)

// breakWorker does in a worker what a decoder that a file broke might do.
func breakWorker(j job) {
	switch j.Format {
	case "hang":
		for { //nolint:staticcheck // SA5002: a decoder that never ends, which is what is tested
		}
	case "sleep":
		select {}
	case "panic":
		panic("a decoder's own")
	case "die":
		os.Exit(3)
	case "segfault":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSEGV)
		go func() { panic("not recovered") }()
		select {}
	case "eat":
		var all [][]byte
		for {
			b := make([]byte, 16<<20)
			for i := 0; i < len(b); i += 4096 {
				b[i] = 1
			}
			all = append(all, b)
			_ = all
		}
	case "overflow":
		var f func(int) int
		f = func(n int) int { return f(n+1) + 1 }
		f(0)
	case "garbage":
		_, _ = os.NewFile(repliesFD, "replies").WriteString("\x00\x00\x00\x04oops")
	case "long":
		_, _ = os.NewFile(repliesFD, "replies").WriteString("\xff\xff\xff\xff")
		_, _ = io.CopyN(os.NewFile(repliesFD, "replies"), repeated('x'), 1<<20)
	case "lies":
		_ = writeReply(os.NewFile(repliesFD, "replies"), reply{Set: fingerprint.Set{Format: "\x1b[2J", Unknown: "\x1b]0;owned\a"}})
	}
}

// A worker that hangs, dies or lies costs one file, and the next is decoded.
func TestBrokenWorkers(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's memory is over every limit")
	}
	patient, hasty := newPool(t, Options{Workers: 1}), newPool(t, Options{Workers: 1, PictureTime: time.Second})
	f, err := os.Open(pictures + "baseline.jpg")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, c := range []struct{ fault, want string }{
		{"hang", "takes longer than"},
		{"sleep", "takes longer than"},
		{"panic", "damaged"},
		{"die", "stopped its decoder"},
		{"segfault", "stopped its decoder"},
		{"eat", "memory"},
		{"overflow", "stopped its decoder"},
		{"garbage", "stopped its decoder"},
		{"long", "stopped its decoder"},
		{"lies", "stopped its decoder"},
	} {
		t.Run(c.fault, func(t *testing.T) {
			p := patient
			if c.want == "takes longer than" {
				p = hasty
			}
			start := time.Now()
			var set fingerprint.Set
			if err := p.decode(t.Context(), f, 6134, Format{Name: c.fault, Class: Text}, Want{Name: "x"}, &set); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(set.Unknown, c.want) || set.Fix == "" || !printable(set.Unknown+set.Format) {
				t.Errorf("unknown %q, fix %q, want %q", set.Unknown, set.Fix, c.want)
			}
			if took := time.Since(start); took > 12*time.Second {
				t.Errorf("it took %v", took)
			}
			good, err := p.Path(t.Context(), pictures+"grey.jpg", Want{})
			if err != nil || good.Picture == nil {
				t.Errorf("the next picture: %v, %s", err, good.Unknown)
			}
		})
	}
}

// A worker is replaced after its batch, and no process is left behind.
func TestBatches(t *testing.T) {
	p, err := New(Options{Workers: 1, Batch: 3})
	if err != nil {
		t.Fatal(err)
	}
	pids := make(map[int]int)
	for range 9 {
		if _, err := p.Path(t.Context(), pictures+"grey.jpg", Want{}); err != nil {
			t.Fatal(err)
		}
		p.mu.Lock()
		for _, w := range p.idle[plainWorker] {
			pids[w.cmd.Process.Pid]++
		}
		p.mu.Unlock()
	}
	if len(pids) != 3 {
		t.Errorf("%d workers for 9 files in batches of 3: %v", len(pids), pids)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	for pid := range pids {
		if err := syscall.Kill(pid, 0); err == nil {
			t.Errorf("worker %d is left", pid)
		}
	}
	if _, err := p.Path(t.Context(), pictures+"grey.jpg", Want{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
}

func TestCancel(t *testing.T) {
	p := newPool(t, Options{Workers: 1})
	f, err := os.Open(pictures + "baseline.jpg")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	start := time.Now()
	var set fingerprint.Set
	err = p.decode(ctx, f, 6134, Format{Name: "sleep", Class: Text}, Want{Name: "x"}, &set)
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %v, want the context's error at once", err, time.Since(start))
	}
	if _, err := p.Fingerprint(ctx, strings.NewReader("text"), Want{Name: "x"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with an ended context: %v", err)
	}
}

// What is no file with content gets one line of what is wrong and one of what
// to do.
func TestBadInput(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(path("empty.jpg"), nil, 0o600))
	must(syscall.Mkfifo(path("fifo"), 0o600))
	must(os.Symlink(path("loop"), path("loop")))
	must(os.Symlink(path("nothing"), path("dangling")))
	l, err := net.Listen("unix", path("socket"))
	must(err)
	defer l.Close()
	big, err := os.Create(path("big.mp4"))
	must(err)
	must(big.Truncate(5 << 30))
	must(big.Close())

	p := newPool(t, Options{})
	for _, c := range []struct {
		name string
		want error
		says string
	}{
		{path("none.png"), ErrNotFound, "no file"},
		{path("empty.jpg/x"), ErrNotFound, "no file"},
		{path("dangling"), ErrNotFound, "no file"},
		{path("a\x00b"), ErrNotFound, "NUL"},
		{"", ErrNotFound, "no file"},
		{path(strings.Repeat("x", 5000)), ErrNotFound, "too long"},
		{dir, ErrNotRegular, "a folder"},
		{path("fifo"), ErrNotRegular, "FIFO"},
		{path("socket"), ErrNotRegular, "a socket"},
		{"/dev/zero", ErrNotRegular, "a device"},
		{path("loop"), ErrLoop, "leads back"},
		{path("empty.jpg"), ErrEmpty, "is empty"},
		{path("big.mp4"), ErrTooLarge, "512 MB"},
	} {
		t.Run(filepath.Base(c.name[:min(len(c.name), 60)]), func(t *testing.T) {
			start := time.Now()
			_, err := p.Path(t.Context(), c.name, Want{})
			e, ok := errors.AsType[*Error](err)
			if !ok || !errors.Is(err, c.want) || !strings.Contains(e.What, c.says) || e.Fix == "" || !printable(e.What+e.Fix) {
				t.Errorf("error %v (%+v), want %v that says %q", err, e, c.want, c.says)
			}
			if took := time.Since(start); took > 3*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

// sizedReader reads zeros, at most n of them, and counts.
type sizedReader struct{ n, read int64 }

func (s *sizedReader) Read(b []byte) (int, error) {
	if s.n <= 0 {
		return 0, io.EOF
	}
	n := min(int64(len(b)), s.n)
	clear(b[:n])
	s.n -= n
	s.read += n
	return int(n), nil
}

func TestReaders(t *testing.T) {
	p := newPool(t, Options{MaxBytes: 6 << 20})
	b, err := os.ReadFile(pictures + "baseline.jpg")
	if err != nil {
		t.Fatal(err)
	}
	want, err := p.Path(t.Context(), pictures+"baseline.jpg", Want{})
	if err != nil {
		t.Fatal(err)
	}
	large := append(bytes.Clone(b), make([]byte, 5<<20)...) // waits in a file, not in memory
	for name, r := range map[string]io.Reader{"small": bytes.NewReader(b), "large": io.MultiReader(bytes.NewReader(large))} {
		got, err := p.Fingerprint(t.Context(), r, Want{Name: name})
		if err != nil || got.Picture == nil || got.Picture.PDQ != want.Picture.PDQ {
			t.Errorf("%s: %v, %+v", name, err, got)
		}
	}
	got, err := p.Fingerprint(t.Context(), bytes.NewReader(b), Want{Name: "x.png"})
	if err != nil || got.SHA256 != want.SHA256 || got.MD5 != want.MD5 || got.Bytes != int64(len(b)) || !strings.Contains(got.Note, "jpeg") {
		t.Errorf("%v, %+v", err, got)
	}
	endless := &sizedReader{n: 1 << 40}
	if _, err := p.Fingerprint(t.Context(), endless, Want{Name: "endless"}); !errors.Is(err, ErrTooLarge) || endless.read > 8<<20 {
		t.Errorf("endless: %v after %d bytes", err, endless.read)
	}
	if _, err := p.Fingerprint(t.Context(), strings.NewReader(""), Want{Name: "-"}); !errors.Is(err, ErrEmpty) {
		t.Errorf("nothing: %v", err)
	}
	broken := io.MultiReader(strings.NewReader("x"), &failing{})
	if _, err := p.Fingerprint(t.Context(), broken, Want{Name: "-"}); !errors.Is(err, ErrRead) {
		t.Errorf("a reader that fails: %v", err)
	}

	// An open file is read from its start and its offset left alone; one that
	// could be written to is not given away like that.
	path := filepath.Join(t.TempDir(), "f.jpg")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Seek(100, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	got, err = p.Fingerprint(t.Context(), f, Want{Name: path})
	if at, _ := f.Seek(0, io.SeekCurrent); err != nil || got.SHA256 != want.SHA256 || got.Picture == nil || at != 100 {
		t.Errorf("an open file: %v, %+v, offset %d", err, got, at)
	}
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if _, err := p.Fingerprint(t.Context(), dir, Want{Name: "dir"}); !errors.Is(err, ErrNotRegular) {
		t.Errorf("an open folder: %v", err)
	}
	// A pipe is a reader like any other.
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = out.Write(b); _ = out.Close() }()
	got, err = p.Fingerprint(t.Context(), in, Want{Name: "-"})
	_ = in.Close()
	if err != nil || got.SHA256 != want.SHA256 {
		t.Errorf("a pipe: %v, %+v", err, got)
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "siaga-input-*")); len(left) > 0 {
		t.Errorf("left in the temporary folder: %q", left)
	}
}

type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, errors.New("the line is cut") }

// A program that forgets WorkerMain must not start itself without end: what it
// starts is marked, and New refuses in a worker.
func TestNewRefusesInAWorker(t *testing.T) {
	args := os.Args
	defer func() { os.Args = args }()
	os.Args = []string{"x", workerArg, "plain"}
	t.Setenv(workerMark, "1")
	if _, err := New(Options{}); !errors.Is(err, ErrNoWorker) {
		t.Errorf("New in a worker: %v", err)
	}
}

func TestTexts(t *testing.T) {
	p := newPool(t, Options{})
	body := strings.Repeat("The duty officer reads the notice and calls a partner who answers at once. ", 6) + "Then the room stands down and everybody writes what they saw, when, and what should change before the next exercise in the spring."
	var utf16 []byte
	for _, c := range "\ufeff" + body {
		utf16 = append(utf16, byte(c), byte(c>>8))
	}
	plain, err := p.Fingerprint(t.Context(), strings.NewReader(body), Want{})
	if err != nil || plain.Format != "text" || plain.TLSH == "" {
		t.Fatalf("%v, %+v", err, plain)
	}
	for _, c := range []struct {
		name, format string
		data         []byte
	}{
		{"bom", "text", []byte("\ufeff" + body)},
		{"utf16", "text", utf16},
		{"pdf", "pdf", textPDF(body)},
		{"docx", "docx", zipOf(t, "[Content_Types].xml", "<Types/>", "word/document.xml", "<w:document><w:body><w:p><w:r><w:t>"+strings.ReplaceAll(body, ". ", ".</w:t></w:r></w:p>\n <w:p><w:r><w:t>")+"</w:t></w:r></w:p><w:instrText>PAGE</w:instrText></w:body></w:document>")},
		{"odt", "odt", zipOf(t, "mimetype", "application/vnd.oasis.opendocument.text", "content.xml", "<office:text><text:p>"+body+"</text:p></office:text>")},
		{"pptx", "pptx", zipOf(t, "ppt/presentation.xml", "<p/>", "ppt/slides/slide1.xml", "<a:p><a:t>"+body+"</a:t></a:p>")},
		{"xlsx", "xlsx", zipOf(t, "xl/workbook.xml", "<x/>", "xl/sharedStrings.xml", "<si><t>"+body+"</t></si>")},
		{"epub", "epub", zipOf(t, "mimetype", "application/epub+zip", "a.xhtml", "<html><style>p{}</style><p>"+body+"</p></html>")},
	} {
		got, err := p.Fingerprint(t.Context(), bytes.NewReader(c.data), Want{Name: c.name})
		if err != nil || got.Format != c.format || got.Unknown != "" {
			t.Errorf("%s: %v, %+v", c.name, err, got)
			continue
		}
		if got.TLSH != plain.TLSH && distance(t, got.TLSH, plain.TLSH) > 10 {
			t.Errorf("%s: %s, want near %s", c.name, got.TLSH, plain.TLSH)
		}
	}
	// A viewer finds a document behind any number of entries that mean nothing.
	var crowd []string
	for i := range 12_000 {
		crowd = append(crowd, strconv.Itoa(i), "")
	}
	crowded, err := p.Fingerprint(t.Context(), bytes.NewReader(zipOf(t, append(crowd, "word/document.xml", "<w:t>"+body+"</w:t>")...)), Want{})
	if err != nil || crowded.Format != "docx" || crowded.TLSH == "" || distance(t, crowded.TLSH, plain.TLSH) > 10 {
		t.Errorf("a document behind 12,000 entries: %v, %+v", err, crowded)
	}
	types := slices.Repeat([]string{"mimetype", "text/plain"}, maxTypes)
	typed, err := p.Fingerprint(t.Context(), bytes.NewReader(zipOf(t, append(types, "mimetype", "application/vnd.oasis.opendocument.text", "content.xml", "<text:p>"+body+"</text:p>")...)), Want{})
	if err != nil || typed.Unknown == "" || typed.Fix == "" {
		t.Errorf("a document behind %d types: %v, %+v, want it unknown", maxTypes, err, typed)
	}
	// What was read of it is fingerprinted, and the rest is said to be missing.
	whole := zipOf(t, "word/document.xml", "<w:t>"+body+"</w:t>")
	cutXML := zipOf(t, "word/document.xml", "<w:t>"+body+"</w:t><w:p", "word/endnotes.xml", "<w:t>x</w:t>")
	two := zipOf(t, "word/document.xml", "<w:t>"+body+"</w:t>", "word/footnotes.xml", "<w:p>and <")
	over := append([]byte(strings.Repeat(body+"\n", maxText/len(body)+1)), "the end"...)
	for _, c := range []struct {
		name string
		data []byte
	}{
		{"a part cut off", cutXML},
		{"a damaged second part", two},
		{"a text over the limit", over},
		{"a document over the limit", zipOf(t, "word/document.xml", "<w:t>"+string(over)+"</w:t>")},
		{"a damaged second page", damagedPage(body)},
	} {
		got, err := p.Fingerprint(t.Context(), bytes.NewReader(c.data), Want{})
		if err != nil || got.TLSH == "" || !strings.Contains(got.Unknown, "only a part of its text") || got.Fix == "" {
			t.Errorf("%s: %v, %+v, want its TLSH and a word that it is of a part", c.name, err, got)
		}
	}
	// A document whose directory is lost is no archive that nobody looks at.
	for _, ext := range []string{"docx", "xlsx", "pptx", "odt"} {
		got, err := p.Fingerprint(t.Context(), bytes.NewReader(whole[:len(whole)-30]), Want{Name: "x." + ext})
		if err != nil || got.Format != "zip" || !strings.Contains(got.Unknown, "ends in ."+ext) || got.Fix == "" || got.Looked() {
			t.Errorf("a damaged %s: %v, %+v, want it unknown", ext, err, got)
		}
	}
	for _, c := range []struct {
		name, format string
		data         []byte
	}{
		{"short", "text", []byte("a word")},
		{"archive", "zip", zipOf(t, "readme.txt", body)},
		{"nothing we know", "", []byte{1, 2, 3, 0xff, 0}},
	} {
		got, err := p.Fingerprint(t.Context(), bytes.NewReader(c.data), Want{Name: c.name})
		if err != nil || got.Format != c.format || got.Unknown != "" || got.TLSH != "" || got.Bytes == 0 {
			t.Errorf("%s: %v, %+v", c.name, err, got)
		}
	}
}

func TestFileNamesAreOnlyNames(t *testing.T) {
	long(t)
	needFFmpeg(t)
	c := newCanaries(t)
	dir := t.TempDir()
	b, err := os.ReadFile("../../fingerprint/vpdq/testdata/test-padded-dimensions.mp4")
	if err != nil {
		t.Fatal(err)
	}
	p := newPool(t, Options{})
	t.Chdir(dir)
	for i, name := range []string{"-i", "-version", "concat:" + filepath.Base(c.file), "subfile,,start,0,end,9,,:x", "http:" + strings.ReplaceAll(c.address, "/", ""), "%d.mp4", "a|b;c&d", "new\nline.mp4", "pipe:0", "data:,x", "\u202egnp.4pm"} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		set, err := p.Path(t.Context(), name, Want{})
		if err != nil || len(set.Frames) < 40 {
			t.Errorf("file %d named %q: %v, %d frames, %s", i, name, err, len(set.Frames), set.Unknown)
		}
	}
	c.check(t)
}

func distance(t *testing.T, a, b string) int {
	t.Helper()
	x, err := text.Parse(a)
	if err != nil {
		t.Fatal(err)
	}
	y, err := text.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	return x.Distance(y)
}
