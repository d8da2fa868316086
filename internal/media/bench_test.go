package media

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	xdraw "golang.org/x/image/draw"

	"github.com/siaga-crp/siaga/fingerprint"
)

// photo is a JPEG of a photograph at a size.
func photo(b *testing.B, w, h int) []byte {
	b.Helper()
	f, err := os.Open("../../fingerprint/pdq/testdata/images/bridge-mods__aaa-orig.jpg")
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	img, err := jpeg.Decode(f)
	if err != nil {
		b.Fatal(err)
	}
	scaled := image.NewRGBA(image.Rect(0, 0, w, h))
	xdraw.ApproxBiLinear.Scale(scaled, scaled.Rect, img, img.Bounds(), xdraw.Src, nil)
	var out bytes.Buffer
	if err := jpeg.Encode(&out, scaled, &jpeg.Options{Quality: 85}); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}

// BenchmarkPicture compares decoding and hashing in this process with the same
// through a worker: the difference is what confinement costs. Digests are
// computed beside it in both.
func BenchmarkPicture(b *testing.B) {
	for _, size := range [][2]int{{320, 240}, {1280, 960}, {4000, 3000}} {
		data := photo(b, size[0], size[1])
		name := fmt.Sprintf("pixels=%dx%d", size[0], size[1])
		file := filepath.Join(b.TempDir(), "photo.jpg")
		if err := os.WriteFile(file, data, 0o600); err != nil {
			b.Fatal(err)
		}
		b.Run(name+"/here", func(b *testing.B) {
			for b.Loop() {
				f, err := os.Open(file)
				if err != nil {
					b.Fatal(err)
				}
				j := job{Format: "jpeg", Size: int64(len(data)), MaxPixels: 1e8, MaxFrames: 1, Seconds: 10}
				if r := handle(j, f); r.Set.Picture == nil {
					b.Fatal(r.Set.Unknown)
				}
				if _, _, err := sum(b.Context(), f, int64(len(data))); err != nil {
					b.Fatal(err)
				}
				_ = f.Close()
			}
		})
		b.Run(name+"/worker", func(b *testing.B) {
			p := newPool(b, Options{Workers: 1})
			for b.Loop() {
				if set, err := p.Path(b.Context(), file, Want{}); err != nil || set.Picture == nil {
					b.Fatal(err, set.Unknown)
				}
			}
		})
		b.Run(name+"/pool", func(b *testing.B) {
			p := newPool(b, Options{})
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if set, err := p.Path(b.Context(), file, Want{}); err != nil || set.Picture == nil {
						b.Error(err, set.Unknown)
						return
					}
				}
			})
		})
	}
}

// BenchmarkStart is what a worker costs that is started for one file.
func BenchmarkStart(b *testing.B) {
	p := newPool(b, Options{Workers: 1, Batch: 1})
	for b.Loop() {
		if set, err := p.Path(b.Context(), pictures+"baseline.jpg", Want{}); err != nil || set.Picture == nil {
			b.Fatal(err, set.Unknown)
		}
	}
}

// BenchmarkWebAssembly is HEIC and AVIF by a worker that has compiled its decoder.
func BenchmarkWebAssembly(b *testing.B) {
	for _, name := range []string{"plain.heic", "plain.avif"} {
		b.Run(name, func(b *testing.B) {
			p := newPool(b, Options{Workers: 1, Batch: 1 << 20})
			for b.Loop() {
				if set, err := p.Path(b.Context(), pictures+name, Want{}); err != nil || set.Picture == nil {
					b.Fatal(err, set.Unknown)
				}
			}
		})
	}
}

// BenchmarkVideo reports how many times faster than real time a minute of video
// is fingerprinted.
func BenchmarkVideo(b *testing.B) {
	needFFmpeg(b)
	for _, size := range []string{"1280x720", "1920x1080"} {
		file := filepath.Join(b.TempDir(), size+".mp4")
		out, err := exec.Command("ffmpeg", "-v", "error", "-nostdin", "-stream_loop", "14", "-i", "../../fingerprint/vpdq/testdata/doorknob-hd-no-bar.mp4",
			"-an", "-vf", "scale="+size[:4]+":-2", "-c:v", "libx264", "-preset", "fast", "-crf", "22", file).CombinedOutput()
		if err != nil {
			b.Fatal(err, string(out))
		}
		b.Run("size="+size, func(b *testing.B) {
			p := newPool(b, Options{})
			seconds := 0.0
			start := time.Now()
			for b.Loop() {
				set, err := p.Path(b.Context(), file, Want{})
				if err != nil || len(set.Frames) == 0 {
					b.Fatal(err, set.Unknown)
				}
				seconds += set.Frames[len(set.Frames)-1].Seconds
			}
			b.ReportMetric(seconds/time.Since(start).Seconds(), "times-real-time")
		})
	}
}

// BenchmarkLuma is the conversion of one frame.
func BenchmarkLuma(b *testing.B) {
	y := y4m{width: 1280, height: 720, cw: 640, ch: 360}
	frame := make([]byte, y.frameSize())
	for i := range frame {
		frame[i] = byte(100 + i%40)
	}
	out := make([]float32, y.width*y.height)
	b.SetBytes(int64(y.width * y.height))
	for b.Loop() {
		y.luma(frame, out)
	}
}

// BenchmarkReply is what the answer of one picture with all it can have costs.
func BenchmarkReply(b *testing.B) {
	p := newPool(b, Options{})
	set, err := p.Path(b.Context(), pictures+"baseline.jpg", Want{Local: true})
	if err != nil {
		b.Fatal(err)
	}
	var buf bytes.Buffer
	if err := writeReply(&buf, reply{Set: set}); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(buf.Len()))
	b.ReportAllocs()
	var r reply
	for b.Loop() {
		if r, err = readReply(bytes.NewReader(buf.Bytes())); err != nil {
			b.Fatal(err)
		}
	}
	_ = fingerprint.Set(r.Set)
}
