package media

import (
	"testing"

	"github.com/siaga-crp/siaga/fingerprint/local"
)

// A picture's keypoints come back through a worker whole: they are the largest
// part of an answer.
func TestKeypointsThroughAWorker(t *testing.T) {
	p := newPool(t, Options{})
	set, err := p.Path(t.Context(), "../demo/photos/bridge.jpg", Want{Name: "bridge.jpg", Local: true})
	if err != nil || set.Unknown != "" || set.Picture == nil {
		t.Fatalf("fingerprinting with keypoints: %v %q", err, set.Unknown)
	}
	f, err := local.Decode(set.Picture.Local)
	if err != nil {
		t.Fatal(err)
	}
	if f.Points() < 100 {
		t.Errorf("%d keypoints, want at least 100", f.Points())
	}
}
