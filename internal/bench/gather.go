package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"image/jpeg"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Bounds of a gathered set.
const (
	gatherEach  = 150      // pictures of one folder under the source, so that no collection rules
	gatherLeast = 16 << 10 // bytes of a file: smaller ones are icons
	gatherSide  = 240      // pixels of the shorter side, at least
)

// Gather makes a set for Copies out of a folder of many collections: pictures
// of a fair size, at most 150 of each of the folder's own folders, none twice
// (PDQ in all eight forms, and pixels where one is a crop of another), one of those whose file names are alike but for
// digits (frames of one film, one window in many languages), reduced to pixels.
// A third, by name, goes to out/final, the rest to out/develop: what is tuned
// on the one is measured on the other.
func Gather(ctx context.Context, w io.Writer, dir, out string, pixels, workers int) error {
	if err := (&CopiesOptions{Pixels: pixels, Workers: workers}).check(); err != nil {
		return err
	}
	if pixels == 0 {
		pixels = 1_000_000
	}
	photos, err := findPhotos(dir)
	if err != nil {
		return err
	}
	for _, part := range [2]string{"develop", "final"} {
		if err := os.Mkdir(filepath.Join(out, part), 0o750); err != nil {
			if errors.Is(err, os.ErrExist) {
				return fmt.Errorf("%s exists already; remove it to gather anew", filepath.Join(out, part))
			}
			return err
		}
	}
	by := map[string][]copyPhoto{}
	for _, p := range photos {
		p.name = strings.TrimPrefix(p.name, string(filepath.Separator))
		top, _, _ := strings.Cut(p.name, string(filepath.Separator))
		if fi, err := os.Stat(p.path); err != nil || fi.Size() < gatherLeast {
			continue
		}
		by[top] = append(by[top], p)
	}
	tops := slices.Sorted(maps.Keys(by))
	taken := make([][]gathered, len(tops))
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(max(1, workers))
	for i, top := range tops {
		g.Go(func() (err error) {
			taken[i], err = gatherOne(gctx, by[top], out, pixels)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	// Collections share pictures, too.
	var seen distinct
	count := map[string]int{}
	for _, gs := range taken {
		for _, t := range gs {
			if seen.like(t.file, t.look) != "" {
				if err := os.Remove(t.file); err != nil {
					return err
				}
				continue
			}
			count[filepath.Base(filepath.Dir(t.file))]++
		}
	}
	_, err = fmt.Fprintf(w, "gathered develop=%d final=%d\n", count["develop"], count["final"])
	return err
}

// gathered is a picture that was written.
type gathered struct {
	file string
	look look
}

// gatherOne takes pictures of one collection.
func gatherOne(ctx context.Context, ps []copyPhoto, out string, pixels int) (taken []gathered, _ error) {
	slices.SortFunc(ps, func(a, b copyPhoto) int { return cmp.Compare(nameHash(a.name), nameHash(b.name)) })
	var seen distinct
	series := map[string]bool{}
	for _, p := range ps {
		if ctx.Err() != nil || len(taken) == gatherEach {
			return taken, ctx.Err()
		}
		like := withoutDigits(filepath.Base(p.name))
		if series[like] {
			continue
		}
		img, err := readPhoto(p.path, pixels)
		if err != nil || min(img.Rect.Dx(), img.Rect.Dy()) < gatherSide {
			continue
		}
		l, quality := newLook(img)
		if quality == 0 || seen.like(p.name, l) != "" {
			continue
		}
		series[like] = len(strings.TrimSuffix(like, filepath.Ext(like))) > 1 // a name of digits alone says nothing
		part := "develop"
		if nameHash(withoutDigits(p.name))%3 == 0 {
			part = "final"
		}
		name := strings.ReplaceAll(strings.TrimSuffix(p.name, filepath.Ext(p.name)), string(filepath.Separator), "_")
		file := filepath.Join(out, part, fmt.Sprintf("%s-%08x.jpg", name, uint32(nameHash(p.name)))) //nolint:gosec // cut on purpose
		f, err := os.Create(file)                                                                    //nolint:gosec // where the user wants it
		if err != nil {
			return nil, err
		}
		if err := errors.Join(jpeg.Encode(f, img, &jpeg.Options{Quality: 92}), f.Close()); err != nil {
			return nil, err
		}
		taken = append(taken, gathered{file, l})
	}
	return taken, nil
}

func nameHash(s string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s)) // never fails
	return h.Sum64() ^ h.Sum64()>>29
}

func withoutDigits(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, name)
}
