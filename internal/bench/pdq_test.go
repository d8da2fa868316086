package bench_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/siaga-crp/siaga/internal/bench"
	"github.com/siaga-crp/siaga/internal/media"
	"github.com/siaga-crp/siaga/internal/problem"
)

// The line is a contract with the programs that read it.
var pdqLine = regexp.MustCompile(`\Apdq files=2 megapixels=(\d+\.\d+) hash_ms_p50=\d+\.\d+ hash_ns_per_pixel=\d+\.\d+ decode_ms_p50=\d+\.\d+\n\z`)

func TestPDQ(t *testing.T) {
	const dir = "../../fingerprint/pdq/testdata/images/"
	o := bench.PDQOptions{Files: []string{dir + "bridge-mods__square-256x256.jpg", dir + "bridge-mods__shrink-a-lot.jpg"}, Rounds: 3}
	var out bytes.Buffer
	if err := bench.PDQ(t.Context(), &out, o); err != nil {
		t.Fatal(err)
	}
	if !pdqLine.MatchString(out.String()) {
		t.Errorf("line is not of the form agreed: %q", out.String())
	}
	out.Reset()
	o.JSON = true
	if err := bench.PDQ(t.Context(), &out, o); err != nil {
		t.Fatal(err)
	}
	var f struct {
		Files      int     `json:"files"`
		Megapixels float64 `json:"megapixels"`
		Hash       float64 `json:"hash_ms_p50"`
		PerPixel   float64 `json:"hash_ns_per_pixel"`
		Decode     float64 `json:"decode_ms_p50"`
	}
	if err := json.Unmarshal(out.Bytes(), &f); err != nil {
		t.Fatal(err)
	}
	if f.Files != 2 || f.Megapixels < 0.065 || f.Megapixels > 1 || f.Hash <= 0 || f.PerPixel <= 0 || f.Decode <= 0 {
		t.Errorf("figures %+v", f)
	}

	broken := filepath.Join(t.TempDir(), "broken.jpg")
	if err := os.WriteFile(broken, []byte("no picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	for says, files := range map[string][]string{"name at least one": nil, "broken.jpg": {broken}, "none.jpg": {"none.jpg"}} {
		if err := bench.PDQ(t.Context(), &out, bench.PDQOptions{Files: files}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("of %v: %v, want an error that says %q", files, err, says)
		}
	}
}

// What is no picture is refused at once, with what to do.
func TestPDQRefuses(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo.jpg")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	text := filepath.Join(dir, "text.jpg")
	if err := os.WriteFile(text, []byte("not a picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{fifo, text, dir, filepath.Join(dir, "nowhere.jpg")} {
		err := bench.PDQ(t.Context(), io.Discard, bench.PDQOptions{Files: []string{name}, Rounds: 1})
		p, ok := errors.AsType[*problem.Error](err)
		m, opened := errors.AsType[*media.Error](err)
		if (!ok || p.Fix == "") && (!opened || m.Fix == "") {
			t.Errorf("%s: %v, want what to do", name, err)
		}
	}
}
