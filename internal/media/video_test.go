package media

import (
	"errors"
	"image"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/picture"
	"github.com/siaga-crp/siaga/fingerprint/vpdq"
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

// made is a video that ffmpeg makes.
func made(t *testing.T, name string, args ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	out, err := exec.Command("ffmpeg", append(append([]string{"-v", "error", "-nostdin"}, args...), path)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return path
}

const moving = "testsrc2=size=320x240:rate=25:duration="

func TestVideos(t *testing.T) {
	long(t)
	needFFmpeg(t)
	p := newPool(t, Options{MaxFrames: 50})
	for _, c := range []struct {
		name     string
		args     []string
		low, top int // frames
		unknown  string
	}{
		{"three seconds", []string{"-f", "lavfi", "-i", moving + "3", "-c:v", "libx264", "-pix_fmt", "yuv420p"}, 24, 32, ""},
		{"thinned to the limit", []string{"-f", "lavfi", "-i", moving + "12", "-c:v", "libx264", "-pix_fmt", "yuv420p"}, 25, 50, ""},
		{"ten bits", []string{"-f", "lavfi", "-i", moving + "1", "-c:v", "libx264", "-pix_fmt", "yuv420p10le"}, 8, 12, ""},
		{"full range", []string{"-f", "lavfi", "-i", moving + "1", "-c:v", "libx264", "-pix_fmt", "yuvj444p"}, 8, 12, ""},
		{"grey", []string{"-f", "lavfi", "-i", moving + "1", "-c:v", "libx264", "-pix_fmt", "gray"}, 8, 12, ""},
		{"odd size", []string{"-f", "lavfi", "-i", "testsrc2=size=101x57:rate=25:duration=1", "-c:v", "ffv1", "-pix_fmt", "yuv420p"}, 8, 12, ""},
		{"one frame a second", []string{"-f", "lavfi", "-i", "testsrc2=size=320x240:rate=1:duration=7", "-c:v", "libx264", "-pix_fmt", "yuv420p"}, 7, 7, ""},
		{"15 frames that claim weeks", []string{"-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=0.6,setpts=PTS*1000000", "-fps_mode", "passthrough", "-c:v", "libx264", "-pix_fmt", "yuv420p"}, 10, 15, ""},
		{"two tracks", []string{"-f", "lavfi", "-i", moving + "1", "-f", "lavfi", "-i", "mandelbrot=size=320x240:rate=25", "-map", "0", "-map", "1", "-t", "1", "-c:v", "libx264", "-pix_fmt", "yuv420p"}, 8, 12, "2 picture tracks"},
		{"sound only", []string{"-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac"}, 0, 0, "no frame"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := made(t, "v.mkv", c.args...)
			set, err := p.Path(t.Context(), path, Want{Local: true})
			if err != nil || set.Format != "matroska" {
				t.Fatal(err, set.Format)
			}
			if n := len(set.Frames); n < c.low || n > c.top {
				t.Errorf("%d frames, want %d to %d", n, c.low, c.top)
			}
			if c.unknown == "" && set.Unknown != "" || !strings.Contains(set.Unknown, c.unknown) {
				t.Errorf("unknown %q, want %q", set.Unknown, c.unknown)
			}
			keys := 0
			for _, f := range set.Frames {
				if f.Local != nil {
					keys++
				}
			}
			if len(set.Frames) > 0 && (keys == 0 || keys > len(set.Frames)/2) {
				t.Errorf("%d of %d frames have keypoints", keys, len(set.Frames))
			}
		})
	}
}

// A video without ffmpeg is unknown, and the words say what to install.
func TestNoFFmpeg(t *testing.T) {
	p := newPool(t, Options{FFmpeg: "none"})
	if err := p.Video(); !errors.Is(err, ErrNoVideo) {
		t.Errorf("Video() = %v", err)
	}
	for _, name := range []string{"../../fingerprint/vpdq/testdata/test-padded-dimensions.mp4", pictures + "plain.jxl"} {
		set, err := p.Path(t.Context(), name, Want{})
		if err != nil || !strings.Contains(set.Unknown, "ffmpeg") || !strings.Contains(set.Fix, "apt-get install ffmpeg") || set.Bytes == 0 {
			t.Errorf("%s: %v, %q, %q", name, err, set.Unknown, set.Fix)
		}
	}
	if set, err := p.Path(t.Context(), pictures+"rle.bmp", Want{}); err != nil || set.Unknown == "" {
		t.Errorf("a picture that needs it: %v, %q", err, set.Unknown)
	}
}

// What is mirrored in a video is found by the frames' mirrored forms.
func TestMirroredVideo(t *testing.T) {
	long(t)
	needFFmpeg(t)
	p := newPool(t, Options{})
	const original = "../../fingerprint/vpdq/testdata/pattern-sd-grey-bar.mp4"
	mirrored := made(t, "m.mp4", "-i", original, "-vf", "hflip", "-c:v", "libx264", "-crf", "26")
	known, err := p.Path(t.Context(), original, Want{})
	if err != nil {
		t.Fatal(err)
	}
	query, err := p.Path(t.Context(), mirrored, Want{})
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	for i := range 8 {
		if m := vpdq.Compare(query.VPDQ(i), known.VPDQ(0)); m.Found() {
			found = append(found, i)
		}
	}
	if len(found) != 1 || found[0] == 0 {
		t.Errorf("found in forms %v, want one, not the first", found)
	}
}

// A panic of ours on a stranger's pixels costs that picture, not the service.
func TestPanicsInTheServiceAreHeld(t *testing.T) {
	needFFmpeg(t)
	defer func(f func(image.Image, picture.Options) *fingerprint.Picture) { computePicture = f }(computePicture)
	computePicture = func(image.Image, picture.Options) *fingerprint.Picture { panic("a mistake of ours") }
	p := newPool(t, Options{})
	set, err := p.Path(t.Context(), pictures+"rle.bmp", Want{Local: true})
	if err != nil || set.Picture != nil || set.Unknown == "" {
		t.Errorf("a picture: %v, %+v", err, set)
	}
	set, err = p.Path(t.Context(), "../../fingerprint/vpdq/testdata/test-padded-dimensions.mp4", Want{Local: true})
	if err != nil || len(set.Frames) < 40 || set.Frames[0].Local != nil {
		t.Errorf("a video: %v, %d frames", err, len(set.Frames))
	}
}

// Videos of 3840 × 2160 in the codecs that people share are fingerprinted
// within the memory that ffmpeg may have. make test tries the one that takes
// most, make hostile all.
func TestLargeVideosFitIntoMemory(t *testing.T) {
	needFFmpeg(t)
	if os.Getenv("SIAGA_TEST_FFMPEG") == "" {
		t.Skip("making large videos takes seconds; make test makes them")
	}
	dir := t.TempDir()
	p := newPool(t, Options{})
	codecs := map[string][]string{"h264.mp4": {"-c:v", "libx264", "-preset", "ultrafast", "-x264-params", "ref=16:level=6.2"}}
	if os.Getenv("SIAGA_HOSTILE") != "" {
		maps.Copy(codecs, map[string][]string{
			"hevc.mp4": {"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"},
			"vp9.webm": {"-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-row-mt", "1", "-tile-columns", "3"},
			"av1.mp4":  {"-c:v", "libsvtav1", "-preset", "12"},
		})
	}
	for name, codec := range codecs {
		path := filepath.Join(dir, name)
		cmd := exec.Command("ffmpeg", append(append([]string{"-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=size=3840x2160:rate=10:duration=0.6"}, codec...), "-pix_fmt", "yuv420p", path)...)
		cmd.Env = append(os.Environ(), "SVT_LOG=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("making %s: %v %s", name, err, out)
		}
		set, err := p.Path(t.Context(), path, Want{})
		if err != nil || set.Unknown != "" || len(set.Frames) != 6 {
			t.Errorf("%s: %v, %d frames of 6, %s", name, err, len(set.Frames), set.Unknown)
		}
	}
	checkPeak(t)
	if peaks[ofFFmpeg].Load() < 100<<20 {
		t.Errorf("ffmpeg's memory was not measured: %d MB", peaks[ofFFmpeg].Load()>>20)
	}
}

// A video whose frames get no memory is unknown for that reason, and is not
// taken for one with a fault in it, which viewers show around.
func TestVideoOverTheMemory(t *testing.T) {
	needFFmpeg(t)
	before := ffmpegMemory
	t.Cleanup(func() { ffmpegMemory = before })
	p := newPool(t, Options{})
	videos, _ := filepath.Glob("../../fingerprint/vpdq/testdata/*.mp4")
	if len(videos) == 0 {
		t.Fatal("no video to try")
	}
	ffmpegMemory = 30 << 20
	set, err := p.Path(t.Context(), videos[0], Want{})
	if err != nil || !strings.HasPrefix(set.Unknown, "this video needs more memory") || set.Fix == "" {
		t.Errorf("%v, %d frames, %q", err, len(set.Frames), set.Unknown)
	}
}
