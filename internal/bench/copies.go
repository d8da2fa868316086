package bench

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/local"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/picture"
	"github.com/siaga-crp/siaga/fingerprint/variant"
	"github.com/siaga-crp/siaga/index"
	"github.com/siaga-crp/siaga/internal/edits"
	"github.com/siaga-crp/siaga/internal/media"
)

// CopiesOptions say what Copies measures.
type CopiesOptions struct {
	Dir     string   // folder of the user's own photos, read with its folders
	Edits   []string // names of the edits to apply; empty: all of package edits
	Assets  int      // known pictures in the index, filled up with made-up ones
	Pixels  int      // pictures are reduced to so many pixels first; 0 means 1,000,000
	Each    int      // edits applied to each photo, drawn by its name; 0 means all
	Misses  string   // folder into which copies that were missed or taken for others are written
	Workers int      // pictures worked on at once; 0 means 1, which the times are for
	JSON    bool
}

// Bounds of one photo: bytes and pixels that are read.
const (
	maxCopiesFile   = 64 << 20
	maxCopiesPixels = 100_000_000
)

// copyPhoto is one of the user's photos.
type copyPhoto struct {
	path, name string
	known      bool
	quality    int // PDQ quality of the photo as it is
}

// editFigures are the results of one edit.
type editFigures struct {
	Edit   string                                        `json:"edit"`
	Copies int                                           `json:"copies"`       // of known photos with detail enough
	Found  int                                           `json:"found"`        // strongly: a block was allowed
	Review int                                           `json:"review"`       // weakly: for review only
	Poor   int                                           `json:"poor"`         // copies of known photos of PDQ quality under 50
	PoorIn int                                           `json:"poor_found"`   // of these, found in any way
	Other  int                                           `json:"benign"`       // edited photos that are not known
	False  int                                           `json:"false"`        // of these, matched strongly
	Taken  int                                           `json:"taken"`        // copies of known photos that strongly match another known one, too
	Looked int                                           `json:"looked"`       // all that were looked up
	FalseR int                                           `json:"false_review"` // of these, matched weakly
	ByPass counts                                        `json:"by_pass"`      // found copies by the pass that found them
	times  struct{ all, cheap, cpu, cheapCPU []float64 } // ms
	wrong  []string                                      // what was matched falsely
}

type counts map[string]int

type copiesFigures struct {
	Photos       int           `json:"photos"`
	Known        int           `json:"known"`
	Assets       int           `json:"assets"`
	LeftOut      []string      `json:"left_out"` // photos that could not be read, and why
	Edits        []editFigures `json:"edits"`
	Recall       float64       `json:"recall"`
	RecallReview float64       `json:"recall_with_review"`
	LeastRecall  float64       `json:"least_recall"`
	LeastEdit    string        `json:"least_edit"`
	False        int           `json:"false"` // strongly matched what they are not, of all that were looked up
	Of           int           `json:"of"`    // all that were looked up
	FalseBenign  int           `json:"false_benign"`
	FalseReview  int           `json:"false_review"` // benign, for review only
	Benign       int           `json:"benign"`
	FalseCopies  int           `json:"false_copies"` // of a known photo, taken for another one
	Copies       int           `json:"copies"`       // of known photos, with detail enough or not
	PoorRecall   float64       `json:"poor_recall"`
	MSP50        float64       `json:"ms_p50"`
	MSP99        float64       `json:"ms_p99"`
	CheapMSP50   float64       `json:"cheap_ms_p50"`

	// Processor time of the thread alone, for machines that others keep busy;
	// 0 where the system does not tell.
	CPUMSP50      float64 `json:"cpu_ms_p50"`
	CPUMSP99      float64 `json:"cpu_ms_p99"`
	CheapCPUMSP50 float64 `json:"cheap_cpu_ms_p50"`
}

// Copies measures how many altered copies of photos are found again, and how
// many other photos are taken for copies. Half of the photos under Dir, by
// turns, are known; copies are made of all with the built-in edits. Strong
// matches count as found; weak ones, and those of pictures of PDQ quality
// under 50, are counted apart. A picture is false that strongly matches a known
// photo of which it is no copy, be it benign or a copy of another known one. The
// times are for hashing, keypoints and all look-ups of one decoded picture.
//
// Photos that show one and the same thing appear as false matches; they are
// listed by name.
func Copies(ctx context.Context, w io.Writer, o CopiesOptions) error {
	if err := o.check(); err != nil {
		return err
	}
	if o.Pixels == 0 {
		o.Pixels = 1_000_000
	}
	if o.Workers == 0 {
		o.Workers = 1
	}
	es, err := chosenEdits(o.Edits)
	if err != nil {
		return err
	}
	photos, err := findPhotos(o.Dir)
	if err != nil {
		return err
	}
	x, photos, left, err := newCopyIndex(ctx, photos, o)
	if err != nil {
		return err
	}
	figures := make([]editFigures, len(es))
	var mu sync.Mutex // guards figures
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(o.Workers)
	for i := range photos {
		g.Go(func() error {
			p := &photos[i]
			img, err := readPhoto(p.path, o.Pixels)
			if err != nil {
				return fmt.Errorf("%w, though it could be read before; do not change the folder meanwhile", err)
			}
			// The other picture of a collage is never a known one.
			other, err := readPhoto(photos[backgroundOf(i, len(photos))].path, o.Pixels)
			if err != nil {
				other = img
			}
			for _, e := range drawn(len(es), o.Each, p.name) {
				if err := gctx.Err(); err != nil {
					return err
				}
				copied := es[e].Apply(edits.Input{Picture: img, Other: other, Rand: edits.Seed(es[e].Name, p.name)})
				r := x.look(copied)
				mu.Lock()
				what := figures[e].count(p, x, r)
				mu.Unlock()
				if err := keepMiss(o.Misses, what, es[e].Name, p.name, copied); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for e := range figures {
		figures[e].Edit = es[e].Name
	}
	return report(w, photos, left, figures, o)
}

// UseError is about what was asked for, not about how it went: change the
// options.
type UseError struct{ error }

// Unwrap implements errors.Unwrap.
func (e UseError) Unwrap() error { return e.error }

func (o *CopiesOptions) check() error {
	for _, x := range []struct {
		name string
		n    int
		zero string
	}{
		{"assets", o.Assets, "0 for the known photos alone"},
		{"each", o.Each, "0 for all edits"},
		{"pixels", o.Pixels, "0 for a million"},
		{"workers", o.Workers, "0 for one"},
	} {
		if x.n < 0 {
			return UseError{fmt.Errorf("--%s is %d; give a whole number, or %s", x.name, x.n, x.zero)}
		}
	}
	return nil
}

// drawn returns each of n edits' places, chosen by a photo's name.
func drawn(n, each int, name string) []int {
	if each <= 0 || each > n {
		each = n
	}
	out := edits.Seed("drawn", name).Perm(n)[:each]
	slices.Sort(out)
	return out
}

// keepMiss writes a copy that was not answered as it should be, to be looked at.
func keepMiss(dir, what, edit, name string, m *image.RGBA) error {
	if dir == "" || what == "" {
		return nil
	}
	name = strings.ReplaceAll(strings.Trim(name, "/"), "/", "_")
	f, err := os.Create(filepath.Join(dir, what+"-"+edit+"-"+strings.TrimSuffix(name, filepath.Ext(name))+".png")) //nolint:gosec // where the user wants it
	if err != nil {
		return err
	}
	return errors.Join(png.Encode(f, m), f.Close())
}

// backgroundOf returns the place of a photo that is not known and not photo i:
// the next one with an odd place.
func backgroundOf(i, n int) int {
	for j := i + 1; ; j++ {
		if k := j % n; k%2 == 1 && k != i {
			return k
		}
	}
}

func chosenEdits(names []string) ([]edits.Edit, error) {
	all := edits.All()
	if len(names) == 0 {
		return all, nil
	}
	var out []edits.Edit
	for _, n := range names {
		i := slices.IndexFunc(all, func(e edits.Edit) bool { return e.Name == n })
		if i < 0 {
			known := make([]string, len(all))
			for j := range all {
				known[j] = all[j].Name
			}
			return nil, UseError{fmt.Errorf("there is no edit %q; use some of %s", n, strings.Join(known, " "))}
		}
		out = append(out, all[i])
	}
	return out, nil
}

func findPhotos(dir string) ([]copyPhoto, error) {
	if dir == "" {
		return nil, UseError{errors.New("name a folder of photos")}
	}
	switch info, err := os.Stat(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no folder %s; name one that holds photos", dir)
	case err != nil:
		return nil, fmt.Errorf("%w; name a folder of photos that you may read", err)
	case !info.IsDir():
		return nil, fmt.Errorf("%s is a file; name the folder that it is in", dir)
	}
	var photos []copyPhoto
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		switch strings.ToLower(filepath.Ext(path)) {
		case ".jpg", ".jpeg", ".png", ".gif", ".webp":
			if d.Type().IsRegular() {
				photos = append(photos, copyPhoto{path: path, name: strings.TrimPrefix(path, dir)})
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(photos) < minPhotos {
		return nil, tooFew(dir, len(photos), nil)
	}
	return photos, nil
}

// minPhotos are two that are known and two that are not.
const minPhotos = 4

func tooFew(dir string, n int, left []string) error {
	why := ""
	if len(left) > 0 {
		why = fmt.Sprintf("; %d were left out, the first because: %s", len(left), left[0])
	}
	return fmt.Errorf("%s holds %d readable photos (JPEG, PNG, GIF, WebP); at least %d are needed%s", dir, n, minPhotos, why)
}

func readPhoto(path string, pixels int) (*image.RGBA, error) {
	f, err := media.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	c, _, err := image.DecodeConfig(io.LimitReader(f, maxCopiesFile))
	if err != nil {
		return nil, fmt.Errorf("decoding %s: %w", path, err)
	}
	if n := int64(c.Width) * int64(c.Height); n > maxCopiesPixels {
		return nil, fmt.Errorf("%s has %d by %d pixels; at most %d million are read", path, c.Width, c.Height, maxCopiesPixels/1_000_000)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	img, _, err := image.Decode(io.LimitReader(f, maxCopiesFile))
	if err != nil {
		return nil, fmt.Errorf("decoding %s: %w", path, err)
	}
	return edits.Prepare(img, pixels), nil
}

// copyIndex holds the known photos as an edge does.
type copyIndex struct {
	pdq     *index.Index
	local   local.Index
	quality map[uint64]int
	names   map[uint64]string
}

// newCopyIndex reads all photos. It returns those that could be read, half of
// which it knows, and why each other one was left out.
func newCopyIndex(ctx context.Context, all []copyPhoto, o CopiesOptions) (_ *copyIndex, photos []copyPhoto, left []string, _ error) {
	x := &copyIndex{pdq: index.New(index.Options{}), quality: map[uint64]int{}, names: map[uint64]string{}}
	type computed struct {
		quality int
		hash    pdq.Hash
		local   *local.Fingerprint
		err     error // the photo cannot be read
	}
	computeds := make([]computed, len(all))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(o.Workers)
	for i := range all {
		g.Go(func() error {
			if err := gctx.Err(); err != nil {
				return err
			}
			c := &computeds[i]
			var img *image.RGBA
			if img, c.err = readPhoto(all[i].path, o.Pixels); c.err != nil {
				return nil //nolint:nilerr // told below
			}
			pic := picture.Compute(img, picture.Options{NoTrims: true})
			c.quality, c.hash, c.local = pic.PDQ.Quality, pic.PDQ.Hash, new(local.Fingerprint)
			if len(pic.Local) > 0 {
				f, err := local.Decode(pic.Local)
				if err != nil {
					return err
				}
				c.local = f.Asset()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, nil, nil, err
	}
	var parts [][]byte
	n := 0
	for i, p := range all {
		c := &computeds[i]
		if c.err != nil {
			left = append(left, c.err.Error())
			continue
		}
		p.known, p.quality = len(photos)%2 == 0, c.quality
		id := uint64(len(photos))
		photos = append(photos, p)
		if !p.known {
			if c.local.Points() > 0 {
				parts = append(parts, c.local.Append(nil))
			}
			continue
		}
		x.quality[id], x.names[id] = p.quality, p.name
		if err := x.pdq.Insert(id, c.hash, pdq.MatchDistance); err != nil {
			return nil, nil, nil, err
		}
		x.local.Add(id, c.local)
		n++
	}
	if len(photos) < minPhotos {
		return nil, nil, nil, tooFew(o.Dir, len(photos), left)
	}
	// Made-up assets have keypoints of many photos, each somewhat changed.
	for i := n; i < o.Assets && len(parts) > 0; i++ {
		r := rand.New(rand.NewPCG(1, uint64(i))) //nolint:gosec // data of a fixed seed
		f, err := madeUp(parts, r)
		if err != nil {
			return nil, nil, nil, err
		}
		var h pdq.Hash
		for j := 0; j < len(h); j += 8 {
			binary.BigEndian.PutUint64(h[j:], r.Uint64())
		}
		id := uint64(1)<<32 + uint64(i) //nolint:gosec // a count
		x.quality[id], x.names[id] = 100, "made up"
		if err := x.pdq.Insert(id, h, pdq.MatchDistance); err != nil {
			return nil, nil, nil, err
		}
		x.local.Add(id, f)
	}
	return x, photos, left, nil
}

// madeUp mixes the keypoints of many binary forms (docs/format/local.md).
func madeUp(parts [][]byte, r *rand.Rand) (*local.Fingerprint, error) {
	const head, point = 8 + 512, 36
	b := slices.Clone(parts[r.IntN(len(parts))])
	for at := head; at+point <= len(b); at += point {
		src := parts[r.IntN(len(parts))]
		if k := (len(src) - head) / point; k > 0 {
			copy(b[at+4:at+point], src[head+r.IntN(k)*point+4:])
		}
		for range 40 {
			k := r.IntN(256)
			b[at+4+k/8] ^= 1 << (k % 8)
		}
	}
	return local.Decode(b)
}

// looked is what was found for one picture.
type looked struct {
	strong, weak []uint64
	pass         string
	ms           float64
	cheap        bool
	cpu          float64 // ms of the processor
}

// look runs the passes by which an edge finds pictures, in its order and by its
// rules (edge.Matcher): the cheap ones, and keypoints unless those blocked; a
// match is strong where all that an edge would do is block, so neither the copy
// nor the known picture may be of too little detail. It goes without what is no
// matter of looks (digests) or of one picture (frames), and without keypoints of
// trimmed pictures, which nothing computes. It times the passes apart, for which
// an edge has no place; TestCopiesAnswersAsAnEdge holds it against one.
func (x *copyIndex) look(img *image.RGBA) (r looked) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	start, cpu := time.Now(), threadTime()
	defer func() { r.ms, r.cpu = ms(time.Since(start)), ms(threadTime()-cpu) }()
	luma := local.FromImage(img)
	set := fingerprint.Set{Picture: picture.Compute(img, picture.Options{NoLocal: true, Luma: luma})}
	var hits []index.Match
	for _, p := range variant.Probes(&set) {
		hits = x.pdq.Search(hits[:0], (*index.Hash)(&p.Hash), p.MaxDistance)
		for _, h := range hits {
			r.add(h.ID, p.Quality >= pdq.MinQuality && x.quality[h.ID] >= pdq.MinQuality && !pdq.Degenerate(p.Hash), p.Pass)
		}
		if len(r.strong) > 0 {
			r.cheap = true
			return r
		}
	}
	for _, m := range x.local.Search(local.ComputeLuma(luma, local.Options{})) {
		r.add(m.ID, !m.Weak && x.quality[m.ID] >= pdq.MinQuality, "local")
	}
	return r
}

func (r *looked) add(id uint64, strong bool, pass string) {
	if r.pass == "" {
		r.pass = pass
	}
	if strong {
		if len(r.strong) == 0 {
			r.pass = pass
		}
		r.strong = append(r.strong, id)
		return
	}
	r.weak = append(r.weak, id)
}

// count notes what was found for a copy of p, and returns how it was wrong:
// "false", "false-review", "review", "missed", or nothing.
func (f *editFigures) count(p *copyPhoto, x *copyIndex, r looked) (wrong string) {
	f.Looked++
	f.times.all, f.times.cpu = append(f.times.all, r.ms), append(f.times.cpu, r.cpu)
	if r.cheap {
		f.times.cheap, f.times.cheapCPU = append(f.times.cheap, r.ms), append(f.times.cheapCPU, r.cpu)
	}
	right := func(ids []uint64) bool {
		return slices.ContainsFunc(ids, func(id uint64) bool { return x.names[id] == p.name })
	}
	for _, id := range r.strong {
		if x.names[id] != p.name {
			f.wrong = append(f.wrong, p.name+" taken for "+x.names[id]+" by "+r.pass)
			wrong = "false"
		}
	}
	if p.known && wrong != "" {
		f.Taken++
	}
	switch {
	case !p.known:
		f.Other++
		if len(r.strong) > 0 {
			f.False++
		} else if len(r.weak) > 0 {
			f.FalseR++
			wrong = "false-review"
		}
		return wrong
	case p.quality < pdq.MinQuality:
		f.Poor++
		if right(r.strong) || right(r.weak) {
			f.PoorIn++
		}
		return wrong
	}
	f.Copies++
	switch {
	case right(r.strong):
		f.Found++
	case right(r.weak):
		f.Review++
		wrong = "review"
	default:
		return "missed"
	}
	if f.ByPass == nil {
		f.ByPass = counts{}
	}
	pass, _, _ := strings.Cut(r.pass, ":")
	f.ByPass[pass]++
	return wrong
}

func report(w io.Writer, photos []copyPhoto, left []string, es []editFigures, o CopiesOptions) error {
	r := copiesFigures{Photos: len(photos), Known: (len(photos) + 1) / 2, LeftOut: append([]string{}, left...), Edits: es}
	r.Assets = max(o.Assets, r.Known)
	var found, weak, of, poor, poorIn int
	var all, cheap, cpu, cheapCPU []float64
	wrong := map[string]int{}
	for _, e := range es {
		found, weak, of = found+e.Found, weak+e.Review, of+e.Copies
		poor, poorIn = poor+e.Poor, poorIn+e.PoorIn
		r.FalseBenign, r.FalseReview, r.Benign = r.FalseBenign+e.False, r.FalseReview+e.FalseR, r.Benign+e.Other
		r.FalseCopies, r.Copies = r.FalseCopies+e.Taken, r.Copies+e.Looked-e.Other
		all, cheap = append(all, e.times.all...), append(cheap, e.times.cheap...)
		cpu, cheapCPU = append(cpu, e.times.cpu...), append(cheapCPU, e.times.cheapCPU...)
		if v := share(e.Found, e.Copies); e.Copies > 0 && (v < r.LeastRecall || r.LeastEdit == "") {
			r.LeastRecall, r.LeastEdit = v, e.Edit
		}
		for _, s := range e.wrong {
			wrong[s]++
		}
	}
	r.False, r.Of = r.FalseBenign+r.FalseCopies, r.Benign+r.Copies
	r.Recall, r.RecallReview, r.PoorRecall = share(found, of), share(found+weak, of), share(poorIn, poor)
	slices.Sort(all)
	slices.Sort(cpu)
	r.MSP50, r.MSP99 = all[len(all)/2], all[len(all)*99/100]
	r.CPUMSP50, r.CPUMSP99 = cpu[len(cpu)/2], cpu[len(cpu)*99/100]
	if len(cheap) > 0 {
		r.CheapMSP50, r.CheapCPUMSP50 = median(cheap), median(cheapCPU)
	}
	if o.JSON {
		return json.NewEncoder(w).Encode(r)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%-26s %7s %7s %7s  %s\n", "edit", "copies", "found", "review", "by")
	for _, e := range es {
		fmt.Fprintf(&b, "%-26s %7d %6.1f%% %6.1f%%  %s\n", e.Edit, e.Copies, 100*share(e.Found, e.Copies), 100*share(e.Review, e.Copies), passes(e.ByPass))
	}
	for _, s := range left {
		fmt.Fprintf(&b, "left out: %s\n", s)
	}
	for _, s := range slices.Sorted(maps.Keys(wrong)) {
		fmt.Fprintf(&b, "false: %s, %d times\n", s, wrong[s])
	}
	fmt.Fprintf(&b, "pictures of little detail: found or for review %.1f%% of %d\n", 100*r.PoorRecall, poor)
	fmt.Fprintf(&b, "benign pictures sent to review: %d of %d\n", r.FalseReview, r.Benign)
	fmt.Fprintf(&b, "taken for what they are not: %d of %d benign pictures, %d of %d copies\n", r.FalseBenign, r.Benign, r.FalseCopies, r.Copies)
	if r.LeastEdit == "" {
		b.WriteString("no known photo has detail enough (PDQ quality 50), so there is no recall to tell; add photos\n")
	} else {
		fmt.Fprintf(&b, "least found: %s, %.1f%%\n", r.LeastEdit, 100*r.LeastRecall)
	}
	fmt.Fprintf(&b, "time: p99 %.1f ms, where a cheap pass decides p50 %.1f ms\n", r.MSP99, r.CheapMSP50)
	if r.CPUMSP50 > 0 {
		fmt.Fprintf(&b, "processor time: p50 %.1f ms, p99 %.1f ms, where a cheap pass decides p50 %.1f ms\n", r.CPUMSP50, r.CPUMSP99, r.CheapCPUMSP50)
	}
	fmt.Fprintf(&b, "copies photos=%d edits=%d recall=%.4f false=%d of=%d ms_p50=%.1f\n", r.Photos, len(es), r.Recall, r.False, r.Of, r.MSP50)
	_, err := io.WriteString(w, b.String())
	return err
}

func share(n, of int) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}

func passes(c counts) string {
	var s []string
	for _, k := range slices.Sorted(maps.Keys(c)) {
		s = append(s, fmt.Sprintf("%s %d", k, c[k]))
	}
	return strings.Join(s, ", ")
}
