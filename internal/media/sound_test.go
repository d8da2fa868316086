package media

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/fingerprint/audio"
)

// music is thirty seconds of a made-up tune: three voices whose pitches jump
// at rates that do not fit together, so that no part repeats.
func music(seed string) []string {
	const f = "aevalsrc='0.3*sin(2*PI*t*220*pow(2,floor(12*random(0)*0+mod(floor(t*3.1)*SEED*7+floor(t*0.7)*5,13))/12))" +
		"+0.2*sin(2*PI*t*330*pow(2,mod(floor(t*2.3)*SEED*5+floor(t*1.1)*3,11)/12))" +
		"+0.2*sin(2*PI*t*440*pow(2,mod(floor(t*4.7)*SEED*3+floor(t*0.3)*7,17)/12))':s=44100:d=30"
	return []string{"-f", "lavfi", "-i", strings.ReplaceAll(f, "SEED", seed)}
}

func TestSound(t *testing.T) {
	long(t)
	needFFmpeg(t)
	if out, err := exec.Command("ffmpeg", "-hide_banner", "-muxers").CombinedOutput(); err != nil || !strings.Contains(string(out), "chromaprint") {
		t.Fatal("this ffmpeg was built without Chromaprint; Debian's has it: install that one")
	}
	p := newPool(t, Options{})
	track := func(path string) audio.Track {
		t.Helper()
		set, err := p.Path(t.Context(), path, Want{})
		if err != nil || set.Unknown != "" {
			t.Fatalf("%s: %v %s", path, err, set.Unknown)
		}
		return set.Audio
	}
	const still = "color=navy:size=64x64:rate=5:duration=30"
	video := func(name string, sound []string, more ...string) audio.Track {
		t.Helper()
		args := append([]string{"-f", "lavfi", "-i", still}, sound...)
		return track(made(t, name, append(args, append([]string{"-shortest"}, more...)...)...))
	}
	// Each tune is made once: computing it takes longer than all that follows.
	tune := func(seed string) []string {
		return []string{"-i", made(t, "tune"+seed+".wav", music(seed)...)}
	}
	one := tune("1")
	var x audio.Index
	known := video("known.mp4", one)
	if s := known.Seconds(); s < 25 || s > 31 {
		t.Errorf("the fingerprint is of %.1f s, want about 28", s)
	}
	if known.Shared() == nil {
		t.Fatal("a tune is not worth sharing")
	}
	x.Add(1, known)
	for _, c := range []struct {
		name string
		got  audio.Track
	}{
		{"the same", known},
		{"re-encoded at 32 kb/s and quieter", video("copy.mkv", one, "-af", "volume=0.2", "-c:a", "libopus", "-b:a", "32k")},
		{"14 seconds of it", video("part.mp4", one, "-af", "atrim=start=9.3:end=23.3,asetpts=PTS-STARTPTS")},
		{"telephone band", video("narrow.mp4", one, "-af", "highpass=f=300,lowpass=f=3400")},
		{"a sound file", track(made(t, "copy.mp3", append(slices.Clone(one), "-b:a", "64k")...))},
	} {
		if ms := x.Search(c.got); len(ms) != 1 {
			t.Errorf("%s: found %+v, want the known one", c.name, ms)
		} else {
			t.Logf("%s: %d %% of bits differ, %.1f s", c.name, ms[0].Errors, ms[0].Seconds)
		}
	}
	for _, c := range []struct {
		name string
		got  audio.Track
	}{
		{"another tune", video("other.mp4", tune("2"))},
		{"a third tune", video("third.mp4", tune("11"))},
		{"silence", video("silence.mp4", []string{"-f", "lavfi", "-i", "anullsrc=d=30"})},
		{"a tone", video("tone.mp4", []string{"-f", "lavfi", "-i", "sine=frequency=440:duration=30"})},
		{"noise", video("noise.mp4", []string{"-f", "lavfi", "-i", "anoisesrc=duration=30:seed=1"})},
		{"no sound", track(made(t, "mute.mp4", "-f", "lavfi", "-i", still))},
	} {
		if ms := x.Search(c.got); len(ms) > 0 {
			t.Errorf("%s: found %+v, want nothing", c.name, ms)
		}
	}
	x.Add(2, video("silence2.mp4", []string{"-f", "lavfi", "-i", "anullsrc=d=30"}))
	x.Add(3, video("tone2.mp4", []string{"-f", "lavfi", "-i", "sine=frequency=440:duration=30"}))
	for _, name := range []string{"anullsrc=d=30", "sine=frequency=440:duration=30"} {
		if ms := x.Search(video("again.mp4", []string{"-f", "lavfi", "-i", name})); len(ms) > 0 {
			t.Errorf("%s matches itself: %+v", name, ms)
		}
	}
}
