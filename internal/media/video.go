package media

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/picture"
)

// ffmpegArg is the worker's argument under which it becomes ffmpeg.
const ffmpegArg = "ffmpeg"

// inputPath is how ffmpeg names its input: the descriptor it inherits, which
// it cannot take for a protocol, a pattern or an option. It opens it a second
// time, as reading a pipe would not let it seek.
const inputPath = "/proc/self/fd/3"

// ffmpegMemory is how much ffmpeg may allocate, in bytes; another number in
// tests only.
var ffmpegMemory uint64 = softMemory - ffmpegCode

// threads is how many of its own ffmpeg decodes with. Each of them holds a
// frame more, so that a video which takes too much memory is tried with one.
const threads = 2

// ffmpegRun is an ffmpeg that was started.
type ffmpegRun struct {
	pixels, times, tracks *os.File     // its outputs
	wait                  func() error // says how it ended
	kill                  func()
	starved               func() bool // it got less memory than it asked for
}

// ffmpegStage is what a process that becomes ffmpeg is told.
type ffmpegStage struct {
	Path       string
	Args       []string
	Files      []string // that it may read: itself and its libraries
	Folders    []string // used only where the libraries are not known
	Anonymous  bool     // the input is in memory and has no path
	CPUSeconds int
	Memory     uint64 // bytes
}

// codecs are the decoders that ffmpeg may use: those of videos that people
// share, of many. The others are exotic, seldom looked at and easier to break.
const codecs = "h264,hevc,vp8,vp9,libvpx,libvpx-vp9,av1,libdav1d,libaom-av1,mpeg4,msmpeg4,msmpeg4v1,msmpeg4v2,h263,h263p,flv,mpeg1video,mpeg2video,mpegvideo,mjpeg,prores,dnxhd,theora,vc1,wmv1,wmv2,wmv3,rv30,rv40,vp6,vp6f,vp6a,dvvideo,svq1,svq3,cinepak,indeo3,indeo5,gif,png,apng,bmp,tiff,webp,jpeg2000,libopenjpeg,libjxl,psd,rawvideo,qtrle,huffyuv,ffv1,utvideo," +
	"aac,aac_latm,mp2,mp2float,mp3,mp3float,opus,libopus,vorbis,libvorbis,flac,alac,ac3,eac3,dca,amrnb,amrwb,libopencore_amrnb,libopencore_amrwb,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s32le,pcm_u8,pcm_s8,pcm_f32le,pcm_mulaw,pcm_alaw,adpcm_ms,adpcm_ima_wav,adpcm_ima_qt,wmav1,wmav2,wmapro,cook,nellymoser,speex,libspeex"

// inputArgs are ffmpeg's arguments up to the input.
func inputArgs(format Format, o Options, threads int) []string {
	demuxer, _, _ := strings.Cut(format.demuxers, ",")
	return []string{
		"ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error",
		"-max_alloc", strconv.FormatUint(ffmpegMemory/2, 10), "-filter_threads", "1", "-filter_complex_threads", "1",
		"-threads", strconv.Itoa(threads), "-noautorotate", "-max_pixels", strconv.FormatInt(o.MaxPixels, 10),
		"-protocol_whitelist", "file,pipe", "-format_whitelist", format.demuxers, "-codec_whitelist", codecs,
		"-f", demuxer, "-i", inputPath,
	}
}

// lumaFormats are pixel formats whose first plane is luma of 8 bits; others are
// converted to one of them.
const lumaFormats = "yuv420p|yuvj420p|yuv422p|yuvj422p|yuv444p|yuvj444p|gray"

// frameArgs asks for frames, at most framesPerSecond of a second, chosen from
// those that were decoded: none is ever repeated. Pixels go to the standard
// output as YUV4MPEG2 and times to descriptor 4, from a tiny copy of each frame.
func frameArgs(format Format, o Options, threads int, more ...string) []string {
	pick := fmt.Sprintf("[0:V:0]select='isnan(prev_selected_t)+isnan(t)+gte(t-prev_selected_t,%.4f)',format=%s,split[a][b];[b]scale=16:16:flags=neighbor[c]", 1.0/framesPerSecond-tolerance, lumaFormats)
	args := append(inputArgs(format, o, threads), "-filter_complex", pick)
	for _, out := range [][3]string{{"[a]", "yuv4mpegpipe", "pipe:1"}, {"[c]", "framecrc", "pipe:4"}} {
		args = append(append(args, more...), "-map", out[0], "-fps_mode", "passthrough", "-map_metadata", "-1", "-bitexact", "-strict", "-1", "-flush_packets", "1", "-f", out[1], out[2])
	}
	// The first packet of each picture track, not decoded, to know how many there
	// are; readTracks reads it.
	return append(args, "-map", "0:V", "-c", "copy", "-frames:v", "1", "-map_metadata", "-1", "-bitexact", "-f", "framecrc", "pipe:5")
}

// Errors of running ffmpeg.
var (
	errNoFFmpeg = errors.New("media: ffmpeg is not installed")
	errStream   = errors.New("media: ffmpeg's output is not in its form")
	errNoFrames = errors.New("media: no frame could be decoded")
	errFaults   = errors.New("media: ffmpeg met faults")
)

// ErrNoVideo is what Video returns where videos cannot be decoded.
var ErrNoVideo = errors.New("media: videos cannot be decoded")

const (
	noFFmpegFix = "install ffmpeg (on Debian and Ubuntu: apt-get install ffmpeg); videos need Linux"
)

// Video returns nil if this pool can decode videos, or an *Error of ErrNoVideo
// that says what to install.
func (p *Pool) Video() error {
	if err := p.ffmpeg.find(); err != nil {
		return problem(ErrNoVideo, noFFmpegFix, "videos cannot be fingerprinted: the program ffmpeg is not found")
	}
	return nil
}

// video fingerprints the frames of a video that should have so many tracks.
func (p *Pool) video(ctx context.Context, f *os.File, format Format, want Want, tracks int, set *fingerprint.Set) error {
	if p.ffmpeg.find() != nil {
		set.Unknown, set.Fix = fmt.Sprintf("this is a %s, and the program ffmpeg that decodes it is not installed", noun(format)), noFFmpegFix
		return nil
	}
	run, cancel := context.WithTimeout(ctx, p.opt.VideoTime)
	defer cancel()
	// Sound is weak evidence: what cannot be read of it takes nothing from the
	// frames.
	set.Audio = p.sound(run, f, format)
	if ctx.Err() != nil {
		return contextProblem(ctx, want.Name)
	}
	if format.Class == Audio {
		if len(set.Audio) == 0 {
			set.Unknown, set.Fix = "this is a sound file of which nothing could be fingerprinted", "review it by ear"
		}
		return nil
	}
	s := &frameSink{keep: p.opt.MaxFrames, pixels: p.opt.MaxPixels, local: want.Local}
	err := p.frames(run, f, format, s)
	if ctx.Err() != nil {
		return contextProblem(ctx, want.Name)
	}
	set.Frames = s.frames
	var pixels errPixels
	switch {
	case errors.Is(err, errMemory):
		set.Unknown = fmt.Sprintf("this video needs more memory to decode than the %d MB that a decoder may use", softMemory>>20)
		if len(s.frames) > 0 {
			set.Unknown += ", so that not all of its frames were fingerprinted"
		}
		set.Fix = "make it smaller, such as 3840 × 2160, and try that, or review it by eye"
	case errors.As(err, &pixels):
		set.Frames = nil
		set.Unknown, set.Fix = strings.Replace(err.Error(), "picture", "video", 1), "make it smaller and try that, or have the operator raise the limit"
	case len(s.frames) == 0:
		set.Unknown, set.Fix = "no frame of this video could be decoded", "get an undamaged copy, or record the screen while it plays and use that"
	case errors.Is(run.Err(), context.DeadlineExceeded):
		set.Unknown = fmt.Sprintf("this video was fingerprinted up to second %.0f only, as decoding took longer than %v", s.frames[len(s.frames)-1].Seconds, p.opt.VideoTime)
		set.Fix = "review the rest by eye, or cut it into parts"
	case errors.Is(err, errFaults):
		// Viewers, too, show what comes before and after a fault.
		s.manyTracks(tracks, set)
	case err == nil:
		s.manyTracks(tracks, set)
	case err != nil:
		set.Unknown = fmt.Sprintf("this video is damaged after second %.0f, up to where it was fingerprinted", s.frames[len(s.frames)-1].Seconds)
		set.Fix = "get an undamaged copy, or review the rest by eye"
	}
	return nil
}

// stillByFFmpeg fingerprints a picture of a kind that no Go decoder reads, or
// one that they refused.
func (p *Pool) stillByFFmpeg(ctx context.Context, f *os.File, format Format, want Want, set *fingerprint.Set) error {
	if set.Unknown == "" {
		set.Unknown = fmt.Sprintf("this is a %s, which we do not decode", noun(format))
		set.Fix = "open it in a viewer, save it as PNG or JPEG and try that"
	}
	if format.demuxers == "" {
		return nil
	}
	if p.ffmpeg.find() != nil {
		set.Unknown, set.Fix = fmt.Sprintf("this is a %s, and the program ffmpeg that decodes it is not installed", noun(format)), noFFmpegFix
		return nil
	}
	run, cancel := context.WithTimeout(ctx, p.opt.PictureTime)
	defer cancel()
	s := &frameSink{keep: 2, pixels: p.opt.MaxPixels, still: &picture.Options{NoTrims: !want.Local, NoLocal: !want.Local}}
	err := p.frames(run, f, format, s, "-frames:v", "1")
	if ctx.Err() != nil {
		return contextProblem(ctx, want.Name)
	}
	var pixels errPixels
	switch {
	case errors.Is(err, errMemory) && s.picture == nil:
		explain(errMemory, format, p.opt, set)
	case errors.As(err, &pixels):
		set.Unknown, set.Fix = err.Error(), "make it smaller and try that, or have the operator raise the limit"
	case s.picture != nil && set.Unknown != "" && format.inGo && pdq.Degenerate(s.picture.PDQ.Hash):
		// Our own decoder found no picture, and ffmpeg one without anything on
		// it: that is what it makes of a file without pixels.
	case s.picture != nil && err == nil:
		set.Picture, set.Unknown, set.Fix = s.picture, "", ""
	case s.picture != nil:
		set.Picture = s.picture
		set.Unknown = fmt.Sprintf("this %s is damaged; only a part of it could be fingerprinted", noun(format))
		set.Fix = "get an undamaged copy, or open it in a viewer, take a screenshot and use that"
	}
	return nil
}

// sequence adds the frames of a HEIC or AVIF that moves to what a worker found
// of its first picture.
func (p *Pool) sequence(ctx context.Context, f *os.File, want Want, set *fingerprint.Set) error {
	still := *set
	if p.ffmpeg.find() != nil {
		set.Unknown, set.Fix = "this picture moves, and the program ffmpeg that decodes more than its first frame is not installed", noFFmpegFix
		return nil
	}
	if err := p.video(ctx, f, formats["mp4"], want, maxTracks, set); err != nil {
		return err
	}
	if len(set.Frames) == 0 {
		*set = still
		set.Unknown, set.Fix = "this picture moves, and only its first frame could be fingerprinted", "review the rest by eye"
	}
	return nil
}

// maxTracks is how many tracks a moving HEIC or AVIF may have: of its pictures,
// their transparency and the still one.
const maxTracks = 3

// manyTracks says that a video has more picture tracks than it should, of which
// a viewer may choose another.
func (s *frameSink) manyTracks(most int, set *fingerprint.Set) {
	if s.tracks > most {
		set.Unknown = fmt.Sprintf("this video has %d picture tracks, of which the first was fingerprinted", s.tracks)
		set.Fix = "review the others by eye, or save each as a file of its own and try those"
	}
}

// Key frames are those of which keypoints are computed, where they are asked
// for: frames unlike the key frame before, at first a second apart.
const (
	maxKeyFrames = 64
	keyGap       = framesPerSecond // in frames that ffmpeg chose
)

// frameSink takes frames as ffmpeg writes them.
type frameSink struct {
	keep   int
	pixels int64
	local  bool
	tracks int // of pictures in the file

	keys   int // frames with keypoints
	keyGap int // between them
	last   pdq.Hash
	lastAt int

	still *picture.Options // for one picture

	stride  int // every so many frames one is hashed
	frames  []fingerprint.Frame
	index   []int // of each of frames, among those that ffmpeg chose
	picture *fingerprint.Picture
	hasher  pdq.Hasher
	luma    []float32
}

// read reads YUV4MPEG2 to its end. It hashes every stride-th frame and doubles
// the stride when there are too many. progress is called after each frame.
func (s *frameSink) read(r io.Reader, progress func()) (rate float64, err error) {
	defer func() {
		if recover() != nil { // as in compute
			err = errStream
		}
	}()
	br := bufio.NewReaderSize(r, 1<<20)
	h, err := readY4M(br)
	if err != nil {
		return 0, err
	}
	if n := int64(h.width) * int64(h.height); h.width > maxSide || h.height > maxSide || n > s.pixels {
		return 0, errPixels{h.width, h.height, s.pixels}
	}
	s.stride = 1
	buf := make([]byte, h.frameSize())
	for i := 0; ; i++ {
		line, err := readLine(br)
		if err == io.EOF {
			return h.rate, nil
		}
		if err != nil {
			return h.rate, err
		}
		if !bytes.HasPrefix(line, []byte("FRAME")) {
			return h.rate, errStream
		}
		if _, err := io.ReadFull(br, buf); err != nil {
			return h.rate, err
		}
		progress()
		if i%s.stride != 0 {
			continue
		}
		if len(s.frames) >= s.keep {
			n := 0
			for k := 0; k < len(s.frames); k += 2 {
				s.frames[n], s.index[n] = s.frames[k], s.index[k]
				n++
			}
			s.frames, s.index = s.frames[:n], s.index[:n]
			s.stride *= 2
			if i%s.stride != 0 {
				continue
			}
		}
		if s.luma == nil {
			s.luma = make([]float32, h.width*h.height)
		}
		h.luma(buf, s.luma)
		result := s.hasher.HashLuma32(s.luma, h.width, h.width, h.height)
		s.frames = append(s.frames, fingerprint.Frame{PDQ: result, Dihedral: s.hasher.Dihedral()})
		s.index = append(s.index, i)
		if s.local {
			s.key(i, h)
		}
		if s.still != nil && s.picture == nil {
			s.picture = s.compute(h, *s.still)
		}
	}
}

// grey is the last frame as a picture.
func (s *frameSink) grey(h y4m) *image.Gray {
	grey := image.NewGray(image.Rect(0, 0, h.width, h.height))
	for i, l := range s.luma {
		grey.Pix[i] = uint8(min(max(l+0.5, 0), 255))
	}
	return grey
}

// compute fingerprints the last frame as a picture. This is the service's own
// process and a stranger's pixels, so a mistake of ours in it costs this
// picture, too: it returns nil then.
func (s *frameSink) compute(h y4m, o picture.Options) (p *fingerprint.Picture) {
	defer func() {
		if recover() != nil {
			p = nil
		}
	}()
	return computePicture(s.grey(h), o)
}

// computePicture is picture.Compute, but in tests of what happens if it panics.
var computePicture = picture.Compute

// key computes the keypoints of the last frame, the i-th that ffmpeg chose, if
// it is a key frame.
func (s *frameSink) key(i int, h y4m) {
	f := &s.frames[len(s.frames)-1]
	if s.keyGap == 0 {
		s.keyGap = keyGap
	}
	if f.PDQ.Quality < pdq.MinQuality || s.keys > 0 && (i < s.lastAt+s.keyGap || f.PDQ.Hash.Distance(s.last) <= pdq.MatchDistance) {
		return
	}
	if s.keys >= maxKeyFrames { // every other one goes, and fewer come
		s.keys, s.keyGap = 0, 2*s.keyGap
		drop := false
		for k := range s.frames[:len(s.frames)-1] {
			if s.frames[k].Local == nil {
				continue
			}
			if drop {
				s.frames[k].Local, s.frames[k].Trims = nil, nil
			} else {
				s.keys++
			}
			drop = !drop
		}
	}
	if p := s.compute(h, picture.Options{}); p != nil {
		f.Local, f.Trims = p.Local, p.Trims
	}
	s.keys++
	s.last, s.lastAt = f.PDQ.Hash, i
}

// stamp gives the frames their times and numbers. ffmpeg tells times of frames
// in order; frames without one, after a fault, are dropped.
func (s *frameSink) stamp(times []float64, rate float64) {
	if rate <= 0 || rate > 1000 {
		rate = 25
	}
	last, lastT := -1, 0.0
	for k := range s.frames {
		if s.index[k] >= len(times) {
			s.frames, s.index = s.frames[:k], s.index[:k]
			return
		}
		t := max(times[s.index[k]], lastT)
		number := max(int(math.Round(min(t*rate, 1e12))), last+1)
		s.frames[k].Seconds, s.frames[k].Number = t, number
		last, lastT = number, t
	}
}

// y4m is the head of a YUV4MPEG2 stream.
type y4m struct {
	width, height int
	rate          float64 // frames a second, as the container claims
	cw, ch        int     // size of a chroma plane, 0 if there is none
	full          bool    // luma from 0 to 255 rather than 16 to 235
}

// maxLine is the longest line of a YUV4MPEG2 stream.
const maxLine = 1024

// readLine reads a line without its end.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case err == io.EOF && len(line) == 0:
		return nil, io.EOF
	case err != nil:
		return nil, io.ErrUnexpectedEOF
	case len(line) > maxLine:
		return nil, errStream
	}
	return line[:len(line)-1], nil
}

// readY4M reads the head of a stream.
func readY4M(r *bufio.Reader) (h y4m, err error) {
	line, err := readLine(r)
	if err != nil {
		if err == io.EOF {
			err = errNoFrames
		}
		return h, err
	}
	fields := strings.Fields(string(line))
	if len(fields) == 0 || fields[0] != "YUV4MPEG2" {
		return h, errStream
	}
	chroma := "420"
	for _, f := range fields[1:] {
		switch f[0] {
		case 'W':
			h.width, _ = strconv.Atoi(f[1:]) // what is no number is 0, which is refused below
		case 'H':
			h.height, _ = strconv.Atoi(f[1:])
		case 'F':
			num, den, _ := strings.Cut(f[1:], ":")
			n, _ := strconv.ParseFloat(num, 64)
			if d, _ := strconv.ParseFloat(den, 64); d > 0 && n > 0 {
				h.rate = n / d
			}
		case 'C':
			chroma = f[1:]
		case 'X':
			h.full = h.full || f == "XCOLORRANGE=FULL"
		}
	}
	if h.width <= 0 || h.height <= 0 || h.width > 1<<20 || h.height > 1<<20 {
		return h, errStream
	}
	switch {
	case strings.HasPrefix(chroma, "420"):
		h.cw, h.ch = (h.width+1)/2, (h.height+1)/2
	case chroma == "422":
		h.cw, h.ch = (h.width+1)/2, h.height
	case chroma == "444":
		h.cw, h.ch = h.width, h.height
	case chroma == "mono":
	default:
		return h, errStream
	}
	return h, nil
}

func (h y4m) frameSize() int { return h.width*h.height + 2*h.cw*h.ch }

// maxTimes is how many times of frames are kept.
const maxTimes = 4 << 20

// readTimes reads ffmpeg's framecrc output to its end and returns the times of
// its frames in seconds.
func readTimes(r io.Reader) []float64 {
	var times []float64
	base := 0.0
	for s := bufio.NewScanner(r); s.Scan(); {
		line := s.Text()
		if tb, ok := strings.CutPrefix(line, "#tb 0: "); ok {
			num, den, _ := strings.Cut(tb, "/")
			n, _ := strconv.ParseFloat(num, 64)
			if d, _ := strconv.ParseFloat(den, 64); n > 0 && d > 0 {
				base = n / d
			}
			continue
		}
		fields := strings.Split(line, ",")
		if len(fields) < 6 || strings.HasPrefix(line, "#") || len(times) >= maxTimes {
			continue
		}
		pts, err := strconv.ParseInt(strings.TrimSpace(fields[2]), 10, 64)
		if err != nil {
			continue
		}
		times = append(times, min(max(float64(pts)*base, 0), 1e8))
	}
	_, _ = io.Copy(io.Discard, r) // a line too long ends the scanner, not the writer
	return times
}

// readTracks reads framecrc output to its end and returns how many tracks it has.
func readTracks(r io.Reader) int {
	n := 0
	for s := bufio.NewScanner(r); s.Scan(); {
		if strings.HasPrefix(s.Text(), "#tb ") {
			n++
		}
	}
	_, _ = io.Copy(io.Discard, r) // as in readTimes
	return n
}

// frames runs ffmpeg on f and gives its frames to s, and once more with one
// thread if it had too little memory. more are arguments of the output.
func (p *Pool) frames(ctx context.Context, f *os.File, format Format, s *frameSink, more ...string) error {
	fresh := *s
	err := p.framesBy(ctx, f, frameArgs(format, p.opt, threads, more...), s, true)
	if errors.Is(err, errMemory) && ctx.Err() == nil {
		*s = fresh
		err = p.framesBy(ctx, f, frameArgs(format, p.opt, 1, more...), s, false)
	}
	return err
}

// framesBy runs ffmpeg with args on f and gives its frames to s. It returns
// errMemory if ffmpeg had too little memory, at once if all is asked for.
func (p *Pool) framesBy(ctx context.Context, f *os.File, args []string, s *frameSink, all bool) error {
	cpu := int(p.opt.VideoTime.Seconds())*2 + 10
	run, err := p.ffmpeg.start(f, args, cpu)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, run.kill)
	defer stop()
	stall := time.AfterFunc(p.opt.StallTime, run.kill)
	defer stall.Stop()
	var stamps []float64
	var reading sync.WaitGroup
	reading.Go(func() { stamps = readTimes(run.times) })
	reading.Go(func() { s.tracks = readTracks(run.tracks) })
	rate, err := s.read(run.pixels, func() {
		stall.Reset(p.opt.StallTime)
		if all && run.starved() {
			run.kill()
		}
	})
	if err != nil {
		run.kill()
	}
	_ = run.pixels.Close() // ffmpeg that still writes gets an error
	reading.Wait()
	_ = run.times.Close()
	_ = run.tracks.Close()
	ended := run.wait()
	s.stamp(stamps, rate)
	if err == nil || errors.Is(ended, errMemory) {
		err = ended
	}
	return err
}
