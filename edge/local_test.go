package edge_test

import (
	"cmp"
	"errors"
	"fmt"
	"image"
	"image/draw"
	_ "image/jpeg" // photographs
	"os"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/local"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
)

// photograph reads one of package pdq's pictures, cut to a part of it given in
// hundredths of its sides.
func photograph(t *testing.T, name string, part image.Rectangle) *image.RGBA {
	t.Helper()
	file, err := os.Open("../fingerprint/pdq/testdata/images/" + name)
	if err != nil {
		t.Fatal(err)
	}
	img, _, err := image.Decode(file)
	if err = errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
	b := img.Bounds()
	at := func(p image.Point) image.Point { return b.Min.Add(image.Pt(b.Dx()*p.X/100, b.Dy()*p.Y/100)) }
	out := image.NewRGBA(image.Rectangle{Max: at(part.Max).Sub(at(part.Min))})
	draw.Draw(out, out.Rect, img, at(part.Min), draw.Src)
	return out
}

// TestKeypointsBlockOnStrongEvidence: what keypoints find is blocked only if
// the match is strong, the upload and the known picture have enough detail and,
// in a video, half of its time shows it.
func TestKeypointsBlockOnStrongEvidence(t *testing.T) {
	const bridge, street, field = "bridge-mods__aaa-orig.jpg", "reg-test-input__labelme-subset__q0746.jpg", "reg-test-input__labelme-subset__q0122.jpg"
	whole := image.Rect(0, 0, 100, 100)
	points := func(m image.Image) []byte { return local.Compute(m, local.Options{}).Append(nil) }
	known := local.Compute(photograph(t, bridge, whole), local.Options{}).Asset().String()
	copied := points(photograph(t, bridge, image.Rect(12, 10, 92, 88)))
	copied2 := points(photograph(t, bridge, image.Rect(0, 0, 85, 80)))
	benign := [][]byte{points(photograph(t, street, whole)), points(photograph(t, field, whole))}
	// A strip of the known picture, next to another one.
	strip, over := photograph(t, bridge, whole), photograph(t, street, whole)
	size := strip.Rect.Size()
	for y := range size.Y {
		for x := size.X * 30 / 100; x < size.X; x++ {
			strip.SetRGBA(x, y, over.RGBAAt(x*over.Rect.Dx()/size.X, y*over.Rect.Dy()/size.Y))
		}
	}
	weak := points(strip)

	r := newRand(1)
	picture := func(quality int, points []byte, trims ...[]byte) fingerprint.Set {
		p := &fingerprint.Picture{PDQ: pdq.Result{Hash: hash(r), Quality: quality}, Local: points}
		for _, b := range trims {
			p.Trims = append(p.Trims, fingerprint.Trim{Name: "border", PDQ: pdq.Result{Hash: hash(r), Quality: quality}, Local: b})
		}
		return fingerprint.Set{Picture: p}
	}
	// A scene is so many seconds of one picture, plain if it has no hash.
	type scene struct {
		seconds int
		points  []byte
		plain   bool
	}
	video := func(scenes ...scene) (s fingerprint.Set) {
		for _, x := range scenes {
			h, quality := hash(r), 90
			if x.plain {
				h, quality = pdq.Hash{}, 0
			}
			for i := range 2 * x.seconds {
				f := fingerprint.Frame{Number: len(s.Frames), Seconds: float64(len(s.Frames)) / 2, PDQ: pdq.Result{Hash: h, Quality: quality}}
				if i == 0 {
					f.Local = x.points
				}
				s.Frames = append(s.Frames, f)
			}
		}
		return s
	}
	for _, c := range []struct {
		name   string
		set    fingerprint.Set
		action edge.Action // of the signal; "": block
		want   string
	}{
		{"a crop", picture(90, copied), "", "local block"},
		{"a crop, of a signal for review", picture(90, copied), edge.Review, "local review"},
		{"a crop with too little detail", picture(49, copied), "", "local review weak"},
		{"a strip of it", picture(90, weak), "", "local review weak"},
		{"a strip of it that is a copy when trimmed", picture(90, weak, copied), "", "local:trim block"},
		{"another picture", picture(90, benign[0]), "", ""},
		{"three seconds of a video of one colour", video(scene{897, nil, true}, scene{3, copied, false}), "", "local:frame review weak"},
		{"two parts of a video of one colour", video(scene{3, copied, false}, scene{60, nil, true}, scene{3, copied2, false}), "", "local:frame review weak"},
		{"the same, most of the time", video(scene{30, copied, false}, scene{50, nil, true}, scene{30, copied2, false}), "", "local:frame block"},
		{"one key frame for the whole time", video(scene{60, copied, false}), "", "local:frame review weak"},
		{"two of two key frames", video(scene{20, copied, false}, scene{20, copied2, false}), "", "local:frame block"},
		{"half of the key frames, a tenth of the time", video(scene{3, copied, false}, scene{3, copied2, false}, scene{30, benign[0], false}, scene{30, benign[1], false}), "", "local:frame review weak"},
		{"a scene without keypoints counts, too", video(scene{3, copied, false}, scene{30, nil, false}, scene{3, copied2, false}), "", "local:frame review weak"},
		{"strips of it", video(scene{20, weak, false}, scene{20, weak, false}), "", "local:frame review weak"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, _ := ready(t, edge.MatcherOptions{})
			s := signal(1, pdq.Hash{})
			s.Kind, s.Value, s.MaxDistance, s.Action = fingerprint.Local, known, 0, cmp.Or(c.action, edge.Block)
			newWriter(t).apply(m, edge.SharedChain, edge.Add, s)
			var res edge.Result
			m.Set(&res, &c.set)
			var got []string
			for _, x := range res.Matches {
				got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s", x.Pass, x.Action, x.Why)))
			}
			if s := strings.Join(got, ", "); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
		})
	}
}
