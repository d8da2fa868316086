package media

import (
	"context"
	"io"
	"math"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/fingerprint/audio"
)

// soundTime bounds the work on one sound track, which takes a hundredth of it.
const soundTime = time.Minute

// soundArgs asks for the Chromaprint fingerprint of the first sound track. The
// muxer takes any rate and one or two channels; 11,025 samples a second of one
// channel is what it works with.
func soundArgs(format Format, o Options) []string {
	seconds := math.Ceil(audio.MaxQuery*audio.SecondsPerItem) + 5
	return append(inputArgs(format, o, 1), "-map", "0:a:0", "-t", strconv.FormatFloat(seconds, 'f', 0, 64), "-ac", "1", "-ar", "11025",
		"-map_metadata", "-1", "-f", "chromaprint", "-algorithm", "1", "-fp_format", "raw", "pipe:1")
}

// sound fingerprints the first sound track of f. It returns nil if there is
// none, it cannot be decoded, or this ffmpeg was built without Chromaprint.
func (p *Pool) sound(ctx context.Context, f *os.File, format Format) audio.Track {
	ctx, cancel := context.WithTimeout(ctx, soundTime)
	defer cancel()
	run, err := p.ffmpeg.start(f, soundArgs(format, p.opt), int(soundTime.Seconds()))
	if err != nil {
		return nil
	}
	stop := context.AfterFunc(ctx, run.kill)
	defer stop()
	var reading sync.WaitGroup
	for _, unused := range []*os.File{run.times, run.tracks} {
		reading.Go(func() { _, _ = io.Copy(io.Discard, unused) }) // nothing is written there
	}
	// The items come at the end, all at once.
	raw, err := io.ReadAll(io.LimitReader(run.pixels, 4*audio.MaxQuery))
	if err != nil {
		run.kill()
	}
	_ = run.pixels.Close() // ffmpeg that still writes gets an error
	reading.Wait()
	_, _ = run.times.Close(), run.tracks.Close()
	_ = run.wait() // faults in the file: what was decoded of it counts
	return audio.FromRaw(raw)
}
