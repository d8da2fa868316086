package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

const (
	liveHeartbeat = 5 * time.Second
	liveLook      = 500 * time.Millisecond // for what leaves no entry: edges, and sessions that end
	liveGather    = 50 * time.Millisecond  // a burst of commits is one event
	liveBatch     = 200                    // entries read at a time
)

type liveEvent struct {
	Seq int64    `json:"seq"` // size of the journal
	On  []string `json:"on"`  // topics: kinds of objects, "kind:id", and "edges"
	At  int64    `json:"at"`  // server's time, Unix milliseconds
}

// live is the one event stream of a page: which topics changed, and never
// what. It tells only of entries that the reader may see.
func (s *Site) live(w http.ResponseWriter, r *http.Request, f *Frame) error {
	rc := http.NewResponseController(w)
	if err := rc.SetWriteDeadline(time.Time{}); err != nil {
		return fmt.Errorf("keeping the stream open: %w", err)
	}
	cookie, err := r.Cookie(cookieSession)
	if err != nil {
		return problem.New(problem.SignIn, "you are not signed in", "sign in again")
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	if err := rc.Flush(); err != nil { // the page knows at once that it is live, and not at the first beat
		return fmt.Errorf("opening the stream: %w", err)
	}
	seq := f.Entries
	if q := r.URL.Query().Get("since"); q != "" {
		var since int64
		if _, err := fmt.Sscan(q, &since); err == nil && since >= 0 && since <= seq {
			seq = since
		}
	}
	ctx := r.Context()
	look := time.NewTicker(liveLook)
	defer look.Stop()
	edges, err := s.o.Edges.Version(ctx)
	if err != nil {
		return err
	}
	beat := time.NewTicker(liveHeartbeat)
	defer beat.Stop()
	send := func(name string, ev liveEvent) error {
		b, err := json.Marshal(ev)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "event: %s\nid: %d\ndata: %s\n\n", name, ev.Seq, b); err != nil {
			return err
		}
		return rc.Flush()
	}
	if send("beat", liveEvent{Seq: seq, On: []string{}, At: s.o.Now().UnixMilli()}) != nil {
		return nil
	}
	for {
		committed := s.o.Journal.Committed()
		// Whoever is disabled, signed out, or has other roles than when the
		// stream began, has it ended at once: the page comes anew, with what may
		// now be seen.
		me, _, err := s.o.Partners.Alive(ctx, cookie.Value)
		if ctx.Err() != nil {
			return nil
		}
		if problem.KindOf(err) == problem.SignIn || (err == nil && !sameRights(me, f.Me)) {
			_ = send("end", liveEvent{Seq: seq, On: []string{}})
			return nil
		}
		on, size, err := s.changed(r, f, seq)
		if err != nil {
			return nil //nolint:nilerr // the stream has begun: the browser connects again
		}
		if size > seq {
			seq = size
			if len(on) > 0 {
				if send("change", liveEvent{Seq: seq, On: on, At: s.o.Now().UnixMilli()}) != nil {
					return nil
				}
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-committed:
			select {
			case <-time.After(liveGather):
			case <-ctx.Done():
				return nil
			}
		case <-look.C:
			v, err := s.o.Edges.Version(ctx)
			if err != nil || v == edges {
				continue
			}
			edges = v
			if send("change", liveEvent{Seq: seq, On: []string{"edges"}, At: s.o.Now().UnixMilli()}) != nil {
				return nil
			}
		case <-beat.C:
			if send("beat", liveEvent{Seq: seq, On: []string{}, At: s.o.Now().UnixMilli()}) != nil {
				return nil
			}
		}
	}
}

// changed lists the topics of the entries from number from on.
func (s *Site) changed(r *http.Request, f *Frame, from int64) (on []string, size int64, err error) {
	err = s.o.Journal.View(r.Context(), func(rd journal.StoreReader) error {
		if size, err = rd.Size(); err != nil {
			return err
		}
		for from < size {
			entries, err := s.o.Journal.Entries(rd, journal.RowQuery{From: from, Limit: liveBatch})
			if err != nil || len(entries) == 0 {
				return err
			}
			for _, e := range entries {
				from = e.Number + 1
				if !e.Audience.Sees(f.Me) {
					continue
				}
				for _, ref := range e.About {
					for _, topic := range []string{ref.Kind, ref.Kind + ":" + ref.ID} {
						if !slices.Contains(on, topic) {
							on = append(on, topic)
						}
					}
				}
			}
		}
		return nil
	})
	return on, size, err
}

// sameRights reports whether two actors are one person with the same rights.
func sameRights(a, b access.Actor) bool {
	return a.Member == b.Member && slices.Equal(a.Roles, b.Roles) && slices.Equal(a.Glass, b.Glass)
}
