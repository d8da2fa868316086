package web

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
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
	if f.Entries-seq > newsKept { // too much has changed for a list of it
		_, err := fmt.Fprintf(w, "event: end\ndata: {\"seq\":%d,\"on\":[]}\n\n", f.Entries)
		return errors.Join(err, rc.Flush())
	}
	ctx := r.Context()
	look := time.NewTicker(liveLook)
	defer look.Stop()
	edges, err := s.edgesVersion(ctx)
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
			v, err := s.edgesVersion(ctx)
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
	entries, size, err := s.news.since(r.Context(), s.o.Journal, from)
	for _, e := range entries {
		if !e.audience.Sees(f.Me) {
			continue
		}
		for _, topic := range e.topics {
			if !slices.Contains(on, topic) {
				on = append(on, topic)
			}
		}
	}
	return on, size, err
}

// news is the end of the journal, read once for all streams.
type news struct {
	mu      sync.Mutex
	seen    <-chan struct{} // closed when something was committed since
	first   int64           // number of the first entry kept
	entries []newsEntry
}

type newsEntry struct {
	audience access.Audience
	topics   []string
}

const newsKept = 2000

// since returns what is known of the entries from number from on, and the size
// of the journal.
func (n *news) since(ctx context.Context, log *journal.Log, from int64) ([]newsEntry, int64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	committed := log.Committed()
	if n.seen != committed || from < n.first {
		err := log.View(ctx, func(rd journal.StoreReader) error { return n.read(rd, log, from) })
		if err != nil {
			n.seen, n.first, n.entries = nil, 0, nil
			return nil, 0, err
		}
		n.seen = committed
	}
	size := n.first + int64(len(n.entries))
	return n.entries[min(max(from, n.first), size)-n.first:], size, nil
}

// read reads on from what is kept, or anew where from is before it or far
// behind the end.
func (n *news) read(rd journal.StoreReader, log *journal.Log, from int64) error {
	size, err := rd.Size()
	if err != nil {
		return err
	}
	next := n.first + int64(len(n.entries))
	if n.seen == nil || from < n.first || next > size {
		n.first, n.entries, next = from, nil, from
	}
	for next < size {
		entries, err := log.Entries(rd, journal.RowQuery{From: next, Limit: liveBatch})
		if err != nil || len(entries) == 0 {
			return err
		}
		for _, e := range entries {
			next = e.Number + 1
			it := newsEntry{audience: e.Audience}
			for _, ref := range e.About {
				it.topics = append(it.topics, ref.Kind, ref.Kind+":"+ref.ID)
			}
			n.entries = append(n.entries, it)
		}
	}
	if more := len(n.entries) - newsKept; more > newsKept {
		n.first, n.entries = n.first+int64(more), slices.Clone(n.entries[more:])
	}
	return nil
}

// sameRights reports whether two actors are one person with the same rights.
func sameRights(a, b access.Actor) bool {
	return a.Member == b.Member && slices.Equal(a.Roles, b.Roles) && slices.Equal(a.Glass, b.Glass)
}
