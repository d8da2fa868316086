package web_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/notify"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/signal"
)

// queued keeps the jobs that an entry leaves.
type queued struct {
	journal.StoreTx
	jobs []journal.Job
}

func (q *queued) Enqueue(j journal.Job) error { q.jobs = append(q.jobs, j); return nil }

// told follows the entries of a type as the node does, and returns the notices
// of a kind that are there after it.
func (w *world) told(typ, kind string) (list []notify.Notice) {
	w.t.Helper()
	ctx := w.t.Context()
	var entries []journal.Entry
	w.ok(w.node.Log.View(ctx, func(r journal.StoreReader) (err error) {
		entries, err = w.node.Log.Entries(r, journal.RowQuery{Limit: 1000})
		return err
	}))
	for _, e := range entries {
		if e.Type != typ {
			continue
		}
		q := &queued{}
		w.ok(notify.Follow(q, e))
		if !slices.ContainsFunc(q.jobs, func(j journal.Job) bool { return j.Kind == notify.JobTell }) {
			w.t.Fatalf("entry %d, %s, leaves no job", e.Number, typ)
		}
		for range 2 { // a job may run twice
			w.ok(w.node.Notify.TellOf(ctx, notify.TellArgs{Entry: e.Number}))
		}
	}
	w.ok(w.node.Log.View(ctx, func(r journal.StoreReader) error {
		return journal.Each(r, journal.ObjectQuery{Kind: notify.KindNotice}, func(n notify.Notice, _ journal.Object) error {
			if n.Kind == kind {
				list = append(list, n)
			}
			return nil
		})
	}))
	return list
}

// A signal that waits is told to an approver of another partner that sees it,
// one that was withdrawn to who is on duty where edges had it; each once, and
// nobody else.
func TestSignalsAreToldOf(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	people := func(list []notify.Notice) (out []string) {
		for _, n := range list {
			for _, p := range n.People {
				out = append(out, p.Member)
			}
		}
		slices.Sort(out)
		return out
	}

	// The story has one signal that lensa proposed and nobody decided.
	waits := w.told("signal.proposed", notify.NoticeApproval)
	var first []string // the secretariat's administrator, who has every role
	w.ok(w.node.Log.View(ctx, func(r journal.StoreReader) error {
		return journal.Each(r, journal.ObjectQuery{Kind: partner.KindMember, Partner: "secretariat"}, func(m partner.Member, _ journal.Object) error {
			if slices.Contains(m.Roles, access.Approver) {
				first = append(first, m.ID)
			}
			return nil
		})
	}))
	want := append(slices.Clone(first), w.actor["officer"].Member)
	slices.Sort(want)
	if got := people(waits); !slices.Equal(got, want) || len(want) > 2 {
		t.Errorf("told of the approval: %q, want one approver of nusa and of the secretariat, %q, once", got, want)
	}
	if len(waits) > 0 {
		if n := waits[0]; n.About.ID != w.proposed || n.Path != "/signals?state=proposed" || n.Drill {
			t.Errorf("the notice is %+v", n)
		}
		if p := w.get("officer", waits[0].Path+"&lang=en"); p.status != 200 || !strings.Contains(p.body, w.proposed) {
			t.Errorf("its page: %d, and no %s on it", p.status, w.proposed)
		}
	}

	// Nobody has an edge: a withdrawal concerns nobody. On one's own platform alone it never does.
	withdraw := func(id string, d signal.Decision) {
		t.Helper()
		_, err := w.node.Signals.Withdraw(ctx, w.actor["officer"], id, d)
		w.ok(err)
	}
	withdraw(w.signal, signal.Decision{Reason: hostile})
	if got := w.told("signal.withdrawn", notify.NoticeWithdrawn); len(got) != 0 {
		t.Errorf("without edges: %+v", got)
	}
	_, _, err := w.node.Partners.CreateToken(ctx, access.Actor{Partner: "lensa", Kind: access.Platform, Shell: true, Roles: []access.Role{access.Administrator}}, partner.NewToken{Partner: "lensa", Name: "lensa-1", Roles: []access.Role{access.Edge}})
	w.ok(err)
	got := w.told("signal.withdrawn", notify.NoticeWithdrawn)
	if p := people(got); !slices.Equal(p, []string{w.actor["platform"].Member}) {
		t.Errorf("told of the withdrawal: %q, want who is on duty at lensa, once", p)
	}
	for _, n := range got {
		if n.Path != "/edges" || w.get("platform", n.Path).status != 200 {
			t.Errorf("leads to %s", n.Path)
		}
	}
}
