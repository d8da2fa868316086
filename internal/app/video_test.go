package app_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/media"
)

func TestMain(m *testing.M) {
	if media.IsWorker() {
		media.WorkerMain()
	}
	os.Exit(m.Run())
}

// studio makes videos with ffmpeg, out of freely licensed photographs and the
// videos of vPDQ's test data.
type studio struct {
	t    *testing.T
	dir  string
	pool *media.Pool
}

func newStudio(t *testing.T) *studio {
	t.Helper()
	if os.Getenv("SIAGA_TEST_FFMPEG") == "" {
		t.Skip("makes videos with ffmpeg for some seconds: make test runs it")
	}
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Fatal("ffmpeg is missing: apt-get install ffmpeg")
	}
	pool, err := media.New(media.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	return &studio{t: t, dir: t.TempDir(), pool: pool}
}

const encode = "-an -c:v libx264 -preset ultrafast -crf 23 -pix_fmt yuv420p -r 12 -threads 1"

// make runs ffmpeg with words separated by spaces; a filter has none.
func (s *studio) make(name, args string) string {
	s.t.Helper()
	path := filepath.Join(s.dir, strings.ReplaceAll(name, " ", "-")+".mp4")
	out, err := exec.Command("ffmpeg", append(append([]string{"-v", "error", "-nostdin", "-y", "-filter_threads", "1"}, strings.Fields(args)...), path)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v: %s", name, err, out)
	}
	return path
}

// film pans over photographs, so many seconds each.
func (s *studio) film(name string, photos []string, seconds float64) string {
	s.t.Helper()
	var in, filter strings.Builder
	for i, p := range photos {
		fmt.Fprintf(&in, "-loop 1 -framerate 12 -t %.2f -i %s ", seconds, p)
		x, y := fmt.Sprintf("(iw-426)*t/%.2f", seconds), "(ih-240)/2"
		if i%2 == 1 {
			x, y = "(iw-426)/2", fmt.Sprintf("(ih-240)*t/%.2f", seconds)
		}
		fmt.Fprintf(&filter, "[%d:v]scale=540:330:force_original_aspect_ratio=increase,crop=426:240:%s:%s,setsar=1,format=yuv420p[v%d];", i, x, y, i)
	}
	for i := range photos {
		fmt.Fprintf(&filter, "[v%d]", i)
	}
	fmt.Fprintf(&filter, "concat=n=%d:v=1", len(photos))
	return s.make(name, in.String()+"-filter_complex "+filter.String()+" "+encode)
}

func (s *studio) print(path string) fingerprint.Set {
	s.t.Helper()
	set, err := s.pool.Path(s.t.Context(), path, media.Want{Local: true})
	if err != nil || set.Unknown != "" {
		s.t.Fatalf("%s: %v %s", path, err, set.Unknown)
	}
	return set
}

const (
	vpdqData = "../../fingerprint/vpdq/testdata/"
	photos   = "../demo/photos/benign/"
)

func photosOf(names ...string) (out []string) {
	for _, n := range names {
		out = append(out, photos+n+".jpg")
	}
	return out
}

// Altered copies of known videos are found, each by a way that is named, and
// other videos are not.
func TestAlteredVideos(t *testing.T) {
	s := newStudio(t)
	knownFilm := s.film("known", photosOf("aitzgorri-by-aitzol-berasategi", "dragonfly-by-bolly", "fossa-by-jasper-roks", "free-by-peter-nerlich",
		"friends-by-aitzol-berasategi", "greentock-by-peter-nerlich", "kleiber-by-lukas-baubkus", "life-by-aitzol-berasategi"), 2.5)
	other := s.film("other", photosOf("picosdeeuropa-by-aitzol-berasategi", "picture-0b-by-freespace", "reg-test-input-labelme-subset-q0003",
		"reg-test-input-labelme-subset-q0122", "seeding-by-clements-engelhardt", "wine-by-jakkub-mede"), 2.5)
	pattern, door := vpdqData+"pattern-sd-grey-bar.mp4", vpdqData+"doorknob-hd-no-bar.mp4"

	m := app.NewMatcher()
	var all time.Duration
	for name, path := range map[string]string{"film": knownFilm, "pattern": pattern, "door": door} {
		set := s.print(path)
		if err := m.AddKnown(name, &set); err != nil {
			t.Fatal(err)
		}
	}
	vf := func(in, filter string) string { return "-i " + in + " -vf " + filter + " " + encode }
	screen := "perspective=x0=0:y0=0:x1=W:y1=H*0.05:x2=W*0.03:y2=H:x3=W*0.97:y3=H*0.96:sense=destination:interpolation=linear," +
		"scale=iw*0.9:-2,pad=426:280:(ow-iw)/2:(oh-ih)/2:color=0x202428,rotate=0.02:fillcolor=0x202428,noise=alls=12:allf=t,eq=contrast=0.9:brightness=0.05"
	edits := []struct {
		name, args, want string
		pass             string // words in the name of the way that finds it
		atLeast          string // action
	}{
		{"re-encoded at low quality", "-i " + knownFilm + " -an -c:v libx264 -preset ultrafast -crf 40 -pix_fmt yuv420p", "film", "vpdq", "block"},
		{"made smaller, another rate", vf(knownFilm, "scale=256:144,fps=8"), "film", "vpdq", "block"},
		{"darker, grey, more contrast", vf(knownFilm, "eq=brightness=-0.08:contrast=1.25:saturation=0"), "film", "vpdq", "block"},
		{"mirrored", vf(knownFilm, "hflip"), "film", "vpdq flipY", "block"},
		{"turned by 90 degrees", vf(knownFilm, "transpose=1"), "film", "vpdq rotate", "block"},
		{"sped up by a tenth", vf(knownFilm, "setpts=PTS/1.1"), "film", "vpdq", "block"},
		{"slowed down by a tenth", vf(knownFilm, "setpts=PTS*1.1"), "film", "vpdq", "block"},
		{"mirrored, sped up and re-encoded", "-i " + knownFilm + " -vf hflip,setpts=PTS/1.1 -an -c:v libx264 -preset ultrafast -crf 36 -pix_fmt yuv420p", "film", "vpdq flipY", "block"},
		{"cropped by a tenth", vf(knownFilm, "crop=iw*0.9:ih*0.9"), "film", "", "block"},
		{"cropped by a fifth on one side", vf(knownFilm, "crop=iw*0.8:ih:0:0"), "film", "", "block"},
		{"with a banner", vf(knownFilm, "drawbox=y=ih*0.84:h=ih*0.16:color=red:t=fill"), "film", "", "block"},
		{"with a logo", vf(knownFilm, "drawbox=x=20:y=20:w=110:h=70:color=yellow:t=fill,drawbox=x=45:y=35:w=60:h=40:color=black:t=fill"), "film", "", "block"},
		{"in portrait between black bars", vf(knownFilm, "scale=240:-2,pad=240:426:0:(oh-ih)/2"), "film", "vpdq", "block"},
		{"in portrait between blurred bars", "-i " + knownFilm + " -filter_complex split[a][b];[a]scale=240:426,boxblur=20[bg];[b]scale=240:-2[fg];[bg][fg]overlay=0:(H-h)/2 " + encode, "film", "", "block"},
		{"filmed off a screen", vf(knownFilm, screen), "film", "local:frame", "review"},
		{"ten seconds of it", "-ss 6 -t 10 -i " + knownFilm + " " + encode, "film", "vpdq:excerpt", "block"},
		{"ten seconds of it, mirrored", "-ss 6 -t 10 -i " + knownFilm + " -vf hflip " + encode, "film", "vpdq:excerpt flipY", "block"},
		{"inside a compilation", "-i " + other + " -i " + knownFilm + " -filter_complex [0:v][1:v]concat=n=2:v=1 " + encode, "film", "vpdq:inside", "block"},
		{"ten seconds of it in a compilation", "-i " + other + " -ss 6 -t 10 -i " + knownFilm + " -filter_complex [0:v][1:v]concat=n=2:v=1 " + encode, "film", "", "only review"},
		{"the reference's pattern, made smaller", vf(pattern, "scale=240:360"), "pattern", "vpdq", "review"},
		{"the reference's pattern, mirrored", vf(pattern, "hflip"), "pattern", "vpdq flipY", "review"},
		{"the reference's door, re-encoded", "-i " + door + " -an -c:v libx264 -preset ultrafast -crf 38 -pix_fmt yuv420p", "door", "vpdq", "review"},
		{"the reference's door between bars", vf(door, "scale=240:-2,pad=240:426:0:(oh-ih)/2"), "door", "", "review"},
	}
	benign := []struct{ name, args string }{
		{"another film", "-i " + other + " " + encode},
		{"another film, mirrored", vf(other, "hflip")},
		{"another film between bars", vf(other, "scale=240:-2,pad=240:426:0:(oh-ih)/2")},
		{"the reference's third video", "-i " + vpdqData + "test-padded-dimensions.mp4 " + encode},
		{"black", "-f lavfi -i color=black:s=426x240:d=8 " + encode},
		{"flat colours", "-f lavfi -i gradients=s=426x240:d=8:speed=0.02 " + encode},
		{"a test card", "-f lavfi -i smptebars=s=426x240:d=8 " + encode},
		{"a test picture that moves", "-f lavfi -i testsrc2=s=426x240:d=8 " + encode},
		{"noise", "-f lavfi -i nullsrc=s=320x180:d=4,geq=random(1)*255:128:128 " + encode},
		{"a fractal", "-f lavfi -i mandelbrot=s=320x180 -t 5 " + encode},
	}
	sets := make([]fingerprint.Set, len(edits)+len(benign))
	g := new(errgroup.Group)
	g.SetLimit(2)
	start := time.Now()
	for i := range sets {
		g.Go(func() error {
			name, args := "", ""
			if i < len(edits) {
				name, args = edits[i].name, edits[i].args
			} else {
				name, args = benign[i-len(edits)].name, benign[i-len(edits)].args
			}
			sets[i] = s.print(s.make(name, args))
			return nil
		})
	}
	_ = g.Wait() // makes and prints fail the test themselves
	made := time.Since(start)
	for i, e := range edits {
		t.Run(e.name, func(t *testing.T) {
			began := time.Now()
			got := m.Match(&sets[i])
			took := time.Since(began)
			all += took
			if len(got) == 0 || got[0].Known != e.want {
				t.Fatalf("found %+v, want %s", got, e.want)
			}
			x := got[0]
			t.Logf("%s %s score %.2f in %v", x.Action, x.Pass, x.Score, took.Round(time.Microsecond))
			for _, word := range strings.Fields(e.pass) {
				if !strings.Contains(x.Pass, word) {
					t.Errorf("found by %s, want %s", x.Pass, e.pass)
				}
			}
			if e.atLeast == "block" && x.Action != "block" || e.atLeast == "only review" && x.Action != "review" {
				t.Errorf("for %s, want %s: %+v", x.Action, e.atLeast, got)
			}
			for _, other := range got[1:] {
				if other.Known != e.want {
					t.Errorf("found %s too", other.Known)
				}
			}
			if took > 2*time.Second {
				t.Errorf("looking up took %v", took)
			}
		})
	}
	for i, b := range benign {
		t.Run("benign/"+b.name, func(t *testing.T) {
			if got := m.Match(&sets[len(edits)+i]); len(got) != 0 {
				t.Errorf("found %+v", got)
			}
		})
	}
	t.Logf("%d videos made and fingerprinted in %v; %d looked up in %v", len(sets), made.Round(time.Millisecond), len(edits), all.Round(time.Millisecond))
	if err := context.Cause(t.Context()); err != nil {
		t.Fatal(err)
	}
}
