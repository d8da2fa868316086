package edge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/digest"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/vpdq"
)

func uploadOf(seed uint64) fingerprint.Set {
	r := newRand(seed)
	s := fingerprint.Set{SHA256: digest.SHA256(hash(r)), MD5: digest.MD5{9, 8}, TLSH: "T1" + strings.Repeat("A", 70)}
	forms := func() (r0 pdq.Result, d [8]pdq.Hash) {
		for i := range d {
			d[i] = hash(r)
		}
		return pdq.Result{Hash: d[0], Quality: 77}, d
	}
	p := &fingerprint.Picture{}
	p.PDQ, p.Dihedral = forms()
	p.Upright = &pdq.Result{Hash: hash(r), Quality: 77}
	for i := range 2 {
		t := fingerprint.Trim{Name: fmt.Sprint("border", i)}
		t.PDQ, t.Dihedral = forms()
		p.Trims = append(p.Trims, t)
	}
	s.Picture = p
	for i, f := range film(seed, 20) {
		fr := fingerprint.Frame{Number: i, Seconds: f.Seconds, PDQ: f.PDQ}
		for form := range fr.Dihedral {
			fr.Dihedral[form] = vpdq.Turn(f.PDQ.Hash, form)
		}
		for k := range 5 {
			if i == 0 {
				t := fingerprint.Trim{Name: fmt.Sprint("inner", k)}
				t.PDQ, t.Dihedral = forms()
				fr.Trims = append(fr.Trims, t)
			}
		}
		s.Frames = append(s.Frames, fr)
	}
	return s
}

func TestUploadRecords(t *testing.T) {
	want := uploadOf(1)
	b := edge.AppendUpload(nil, "video/17", start, &want)
	ref, at, got, err := edge.ParseUpload(b)
	if err != nil || ref != "video/17" || !at.Equal(start.Truncate(time.Millisecond)) {
		t.Fatal(ref, at, err)
	}
	// Frames that hardly differ from the one before are left out.
	if n := len(got.Frames); n == 0 || n > len(want.Frames) {
		t.Fatalf("%d of %d frames", n, len(want.Frames))
	}
	for _, f := range got.Frames {
		found := false
		for _, w := range want.Frames {
			found = found || w.Seconds == f.Seconds && w.PDQ == f.PDQ
		}
		if !found {
			t.Errorf("frame at %v is not of the video", f.Seconds)
		}
	}
	// What is left of frames without bars: of the first four, straight and
	// mirrored.
	inner := 0
	for _, f := range got.Frames {
		for k, t2 := range f.Trims {
			inner++
			if w := want.Frames[0].Trims[k]; t2.Name != w.Name || t2.PDQ != w.PDQ || t2.Dihedral[5] != w.Dihedral[5] {
				t.Errorf("inner picture %d: %+v, want %+v", k, t2, w)
			}
		}
	}
	if inner != 4 {
		t.Errorf("%d inner pictures of frames, want 4", inner)
	}
	got.Frames, want.Frames = nil, nil
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	for i := range b {
		if _, _, _, err := edge.ParseUpload(b[:i]); err == nil {
			t.Fatalf("a record cut to %d of %d bytes is read", i, len(b))
		}
	}
	if _, _, _, err := edge.ParseUpload(append(b, 0)); err == nil {
		t.Error("a byte too many is read")
	}
	// The version before had no inner pictures.
	empty := edge.AppendUpload(nil, "old", start, &fingerprint.Set{})
	frame := film(1, 1)[0]
	old := append(append(append(empty[:len(empty)-1:len(empty)-1], 1, 0), frame.PDQ.Hash[:]...), 90, 0)
	old[0] = 1
	if ref, _, got, err := edge.ParseUpload(old); err != nil || ref != "old" || len(got.Frames) != 1 || got.Frames[0].PDQ.Hash != frame.PDQ.Hash {
		t.Errorf("a record of version 1: %q, %+v, %v", ref, got.Frames, err)
	}
	b[0]++
	if _, _, _, err := edge.ParseUpload(b); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("a later version: %v", err)
	}
}

func FuzzUploadRecord(f *testing.F) {
	s := uploadOf(2)
	f.Add(edge.AppendUpload(nil, "ref", start, &s))
	f.Add(edge.AppendUpload(nil, "", start, &fingerprint.Set{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		ref, at, set, err := edge.ParseUpload(b)
		if err != nil {
			return
		}
		// What was read is written and read again as the same, but for frames
		// that say nothing.
		_, _, again, err := edge.ParseUpload(edge.AppendUpload(nil, ref, at, &set))
		if err != nil {
			t.Fatal(err)
		}
		set.Frames, again.Frames = nil, nil
		if set.Picture != nil {
			set.Picture.Local, again.Picture.Local = nil, nil
		}
		if d := cmp.Diff(set, again); d != "" {
			t.Fatal(d)
		}
	})
}
