package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/image/draw"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/internal/media"
)

// storyGroup is the group of the perpetrator's picture and its variants.
const storyGroup = "G-1"

// reviewerSite is an edge of Suara, or the first one if there is none.
func (d *demo) reviewerSite() *site {
	for _, s := range d.sites {
		if s.partner == "suara" {
			return s
		}
	}
	return d.sites[0]
}

// newEdit is a cut of the picture that no signal matches yet.
func (d *demo) newEdit(ctx context.Context, s *site) (file copyOf, hash string, err error) {
	img, _, err := image.Decode(bytes.NewReader(d.image))
	if err != nil {
		return file, "", fmt.Errorf("reading the picture: %w", err)
	}
	b := img.Bounds()
	for _, share := range []int{62, 55, 48, 70, 35, 42, 58, 66, 31, 52} { // percent of each side, from the middle
		w, h := b.Dx()*share/100, b.Dy()*share/100
		from := b.Min.Add(image.Pt((b.Dx()-w)/3, (b.Dy()-h)/2))
		cut := image.NewRGBA(image.Rect(0, 0, w, h))
		draw.Draw(cut, cut.Bounds(), img, from, draw.Src)
		file = copyOf{fmt.Sprintf("%d %% of it", share), asJPEG(resize(cut, longest), 80)}
		set, err := d.pool.Fingerprint(ctx, bytes.NewReader(file.data), media.Want{Name: "edit"})
		if err != nil {
			return file, "", err
		}
		if p := set.Picture; p == nil || p.PDQ.Quality < pdq.MinQuality || pdq.Degenerate(p.PDQ.Hash) {
			continue
		}
		action, err := d.send(ctx, s, file)
		if err != nil {
			return file, "", err
		}
		if action == "" {
			return file, set.Picture.PDQ.Hash.String(), nil
		}
	}
	return file, "", nil
}

// variant plays minute 19: a new edit defeats the fingerprints; Suara's
// reviewer adds it to the group from the edge, in one step. By the protocol's
// word it goes out for review at once, and blocks when Nusa approves it.
func (d *demo) variant(ctx context.Context, f *figures) error {
	s := d.reviewerSite()
	edit, hash, err := d.newEdit(ctx, s)
	if err != nil || hash == "" {
		return err // every cut of this picture is matched already, or has too little detail: there is nothing to show
	}
	var ids []string
	err = d.told("variant", func() (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/variant?"+url.Values{"group": {storyGroup}, "note": {"a new edit, " + edit.name}}.Encode(), bytes.NewReader(edit.data))
		if err != nil {
			return "", err
		}
		req.Header.Set("Content-Type", "application/octet-stream")
		resp, err := d.http.Do(req)
		if err != nil {
			return "", err
		}
		defer func() { _ = resp.Body.Close() }() // read to its end
		b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
		if err != nil {
			return "", err
		}
		var out struct {
			Signals []struct{ ID, Kind string }
		}
		if resp.StatusCode != http.StatusCreated || json.Unmarshal(b, &out) != nil {
			return "", fmt.Errorf("edge %s: %s: %s", s.name, resp.Status, bytes.TrimSpace(b))
		}
		for _, sig := range out.Signals {
			if sig.Kind == "pdq" {
				ids = append(ids, sig.ID)
			}
		}
		if len(ids) == 0 {
			return "", errors.New("the variant has no signal of kind pdq")
		}
		times, err := d.watch(ctx, hash, ids[0], "review")()
		return fmt.Sprintf("%s by edge %s: %d edges answer review, p99 %s", ids[0], s.name, len(d.sites), shown(percentile(times, 99))), err
	})
	if err != nil {
		return err
	}
	return d.told("approve", func() (string, error) {
		wait := d.watch(ctx, hash, ids[0], "block")
		if err := d.post(ctx, "Ayu", "/groups/"+storyGroup+"/approve", map[string]any{"reason": "the same picture, cut"}, nil); err != nil {
			return "", err
		}
		times, err := wait()
		f.protect = append(f.protect, times...)
		return fmt.Sprintf("the variant blocks at %d edges, p99 %s", len(d.sites), shown(percentile(times, 99))), err
	})
}

// storedCopies is how many copies Lensa has stored before the first
// fingerprint is shared.
const storedCopies = 3

// store uploads copies, and other pictures, to Lensa's edge before anybody knows
// what they are.
func (d *demo) store(ctx context.Context) error {
	files := append(slices.Clone(d.copies[:storedCopies]), d.benign[:storedCopies]...)
	for i, file := range files {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.sites[0].url+"/v1/match", bytes.NewReader(file.data))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/octet-stream")
		req.Header.Set(edge.ReferenceHeader, fmt.Sprintf("video/%d", i+1))
		resp, err := d.http.Do(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close() // read to its end
		if err != nil {
			return fmt.Errorf("storing %q at edge %s: %w", file.name, d.sites[0].name, err)
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("storing %q at edge %s: it answers %s", file.name, d.sites[0].name, resp.Status)
		}
	}
	return nil
}

// stored tells of Lensa's own stored copies, which its edge finds by look-back
// as soon as the first signal is active.
func (d *demo) stored(ctx context.Context) error {
	return d.told("look back", func() (string, error) {
		start, refs, after := time.Now(), map[string]bool{}, uint64(0)
		for len(refs) < storedCopies && time.Since(start) < patience {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/v1/lookback?after=%d&wait=5", d.sites[0].url, after), nil)
			if err != nil {
				return "", err
			}
			resp, err := d.http.Do(req)
			if err != nil {
				return "", err
			}
			var a edge.LookbackAnswer
			err = json.NewDecoder(io.LimitReader(resp.Body, 8<<20)).Decode(&a)
			_ = resp.Body.Close() // read to its end
			if err != nil {
				return "", err
			}
			for _, e := range a.Events {
				refs[e.Reference] = true
			}
			after = a.Next
		}
		if len(refs) != storedCopies {
			return "", fmt.Errorf("%d of Lensa's %d stored copies were found", len(refs), storedCopies)
		}
		return fmt.Sprintf("%d of %d copies that Lensa had stored are found", len(refs), storedCopies), nil
	})
}
