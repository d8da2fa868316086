package edge

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/digest"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/vpdq"
)

// ReferenceHeader names the upload in a request to match, in the caller's own
// words: whatever finds it again there. With look-back on, an upload that has
// one is kept.
const ReferenceHeader = "Siaga-Reference"

// LookbackAnswer is what GET /v1/lookback answers.
type LookbackAnswer struct {
	Events   []LookbackEvent `json:"events"`
	Exercise []LookbackEvent `json:"exercise_events"` // practice: never to be acted upon
	Next     uint64          `json:"next"`            // to ask with after=
	Lost     bool            `json:"lost"`            // older events than are kept came after the one asked with
	LookbackStats
}

const (
	maxLookbackWait = 60 * time.Second
	lookbackPage    = 1000
)

// lookback is GET /v1/lookback?after=N&wait=SECONDS.
func (s *Server) lookback(_ *answering, w http.ResponseWriter, r *http.Request) error {
	l := s.o.Lookback
	if l == nil {
		return &refusal{http.StatusNotFound, "this edge does not look back", "start it with --lookback"}
	}
	q := r.URL.Query()
	after, err := strconv.ParseUint("0"+q.Get("after"), 10, 63)
	if err != nil {
		return &refusal{http.StatusBadRequest, "after is not a number", "send the member next of the answer before, or leave it out"}
	}
	wait := time.Duration(0)
	if t := q.Get("wait"); t != "" {
		sec, err := strconv.Atoi(t)
		if err != nil || sec < 0 {
			return &refusal{http.StatusBadRequest, "wait is not a number of seconds", "send 0 to 60"}
		}
		wait = min(time.Duration(sec)*time.Second, maxLookbackWait)
	}
	if wait > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), wait)
		l.Wait(ctx, after)
		cancel()
	}
	b, err := json.Marshal(l.Answer(after))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(b, '\n')) // the caller may be gone
	return nil
}

// Answer returns what was told after the event with this number, exercises in
// a list of their own.
func (l *Lookback) Answer(after uint64) LookbackAnswer {
	a := LookbackAnswer{Events: []LookbackEvent{}, Exercise: []LookbackEvent{}}
	var events []LookbackEvent
	events, a.Next, a.Lost = l.Events(after, lookbackPage)
	for _, e := range events {
		if e.Exercise {
			a.Exercise = append(a.Exercise, e)
		} else {
			a.Events = append(a.Events, e)
		}
	}
	a.LookbackStats = l.Stats()
	return a
}

// reference returns the caller's reference, or "" if nothing is to be kept.
func (s *Server) reference(r *http.Request) (string, error) {
	ref := strings.TrimSpace(r.Header.Get(ReferenceHeader))
	if s.o.Lookback == nil || ref == "" {
		return "", nil
	}
	if !validReference(ref) {
		return "", &refusal{http.StatusBadRequest, "the header " + ReferenceHeader + " has more than 200 bytes, or control characters", "send a shorter one: a number of yours that finds the upload again"}
	}
	return ref, nil
}

// remember keeps an upload; what cannot be kept is answered all the same, and
// shows in the state of look-back. The number is 0 if it was not kept.
func (s *Server) remember(ref string, set *fingerprint.Set) uint64 {
	if ref == "" {
		return 0
	}
	id, err := s.o.Lookback.Keep(ref, set)
	if err != nil && !errors.Is(err, ErrSyntax) {
		s.o.Lookback.o.Log.Error("an upload is not looked back for", "err", err)
	}
	return id
}

// answered notes what an upload's answer told.
func (s *Server) answered(id uint64, r *Result) {
	if id != 0 {
		s.o.Lookback.Answered(id, r)
	}
}

// setOf makes a set of one value that was computed elsewhere; nil for kinds
// that are not looked back for.
func setOf(kind fingerprint.Kind, value string, quality int) *fingerprint.Set {
	v, err := fingerprint.Parse(kind, value)
	if err != nil {
		return nil
	}
	s := &fingerprint.Set{}
	turned := func(h pdq.Hash) (d [8]pdq.Hash) {
		for form := range d {
			d[form] = vpdq.Turn(h, form)
		}
		return d
	}
	switch v.Kind {
	case fingerprint.SHA256, fingerprint.MD5:
		b, _, _, err := packValue(v.Kind, v.Text)
		if err != nil {
			return nil
		}
		if v.Kind == fingerprint.SHA256 {
			s.SHA256 = digest.SHA256(b)
		} else {
			copy(s.MD5[:], b[:])
		}
	case fingerprint.TLSH:
		s.TLSH = v.Text
	case fingerprint.PDQ:
		h, err := pdq.Parse(v.Text)
		if err != nil {
			return nil
		}
		s.Picture = &fingerprint.Picture{PDQ: pdq.Result{Hash: h, Quality: quality}, Dihedral: turned(h)}
	case fingerprint.VPDQ:
		frames, err := vpdq.Parse(v.Text)
		if err != nil {
			return nil
		}
		for i, f := range frames {
			s.Frames = append(s.Frames, fingerprint.Frame{Number: i, Seconds: f.Seconds, PDQ: f.PDQ, Dihedral: turned(f.PDQ.Hash)})
		}
	default:
		return nil
	}
	return s
}
