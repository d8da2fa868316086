package media

import (
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// needFFmpeg makes a test that needs ffmpeg fail where the test command
// installs it, and say why it proves nothing elsewhere.
func needFFmpeg(t testing.TB) {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		if os.Getenv("SIAGA_TEST_FFMPEG") != "" {
			t.Fatal("ffmpeg is missing: apt-get install ffmpeg")
		}
		t.Skip("ffmpeg is missing, so videos are not tested here; make test installs it")
	}
}

// refFrame is a line of the reference's regression files.
type refFrame struct {
	hash    pdq.Hash
	seconds float64
}

func readReference(t *testing.T, name string) []refFrame {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var ref []refFrame
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimSpace(line), ",")
		h, err := pdq.Parse(f[2])
		if err != nil {
			t.Fatal(err)
		}
		s, err := strconv.ParseFloat(f[3], 64)
		if err != nil {
			t.Fatal(err)
		}
		ref = append(ref, refFrame{h, s})
	}
	return ref
}

// The promise: 99 of 100 frames of quality 50 or more within 10 bits of what
// the reference computes for the same time.
func TestVideoAgreesWithTheReference(t *testing.T) {
	needFFmpeg(t)
	p := newPool(t, Options{})
	videos, _ := filepath.Glob("../../fingerprint/vpdq/testdata/*.mp4")
	if len(videos) < 3 {
		t.Fatalf("found %d videos, want 3", len(videos))
	}
	good, all := 0, 0
	for _, v := range videos {
		ref := readReference(t, strings.TrimSuffix(v, ".mp4")+".txt")
		set, err := p.Path(t.Context(), v, Want{})
		if err != nil || set.Unknown != "" {
			t.Fatalf("%s: %v %s", v, err, set.Unknown)
		}
		length := ref[len(ref)-1].seconds
		if n := float64(len(set.Frames)); n < 9*length || n > 11*length+2 {
			t.Errorf("%s: %v frames in %.1f s, want about 10 a second", v, n, length)
		}
		for i, f := range set.Frames {
			if i > 0 && (f.Number <= set.Frames[i-1].Number || f.Seconds <= set.Frames[i-1].Seconds) {
				t.Errorf("%s: frame %d is not after the one before it: %+v", v, i, f)
			}
			if f.PDQ.Quality < pdq.MinQuality {
				continue
			}
			best := 256
			for _, r := range ref {
				if math.Abs(r.seconds-f.Seconds) <= 0.017 {
					best = min(best, r.hash.Distance(f.PDQ.Hash))
				}
			}
			all++
			if best <= 10 {
				good++
			}
		}
	}
	t.Logf("%d of %d frames within 10 bits", good, all)
	if all < 130 || float64(good) < 0.99*float64(all) {
		t.Errorf("%d of %d frames within 10 bits, want 99 of 100", good, all)
	}
}
