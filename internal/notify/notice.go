package notify

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

// A notice tells people something, once, and asks for no answer: a key of
// theirs was changed, a colleague asks for a second person, an edge is silent.
// It goes to each person by the first channel that works. Like a call it is an
// object folded from entries, so that what was sent and what failed can be
// seen; unlike a call it does not escalate.

// KindNotice is the kind of notices.
const KindNotice = "notice"

// JobNotice sends what is due of one notice; JobTell finds whom an entry
// concerns.
const (
	JobNotice = "notify.notice"
	JobTell   = "notify.tell"
)

// Kinds of notices, besides those of package partner.
const (
	NoticeGap     = "roster_gap"      // nobody is on duty some days from now
	NoticeChannel = "channel_failing" // a channel of messages does not work
	NoticeSilent  = "edge_silent"     // an edge of the partner was not heard from
	NoticeEnded   = "channel_ended"   // the address of one's browser is gone for good

	NoticeWithdrawn = "signals_withdrawn" // signals that the partner's edges had
	NoticeApproval  = "approval_waits"    // a signal waits for an approver
	NoticeStatement = "statement_waits"   // a public statement waits for its second person
)

// NoticeKinds lists all kinds.
func NoticeKinds() []string {
	return []string{
		partner.NoticeKeys, partner.NoticeSignIn, partner.NoticeRecovery, partner.NoticeRoles, partner.NoticeGlass, partner.NoticeRequest,
		partner.NoticeAdmin, partner.NoticeWayBack, partner.NoticeRecovered, NoticeGap, NoticeChannel, NoticeSilent, NoticeEnded,
		NoticeWithdrawn, NoticeApproval, NoticeStatement,
	}
}

// States of a notice.
const (
	NoticeSending = "sending"
	NoticeOver    = "over" // sent to everyone who could be reached, or given up
)

// Notice is the folded state of one notice.
type Notice struct {
	ID     string      `json:"id"`
	Kind   string      `json:"kind"`
	About  journal.Ref `json:"about"`
	Path   string      `json:"path"` // of the page that says more
	Drill  bool        `json:"exercise,omitempty"`
	At     time.Time   `json:"at"`
	People []Reached   `json:"people"`
	State  string      `json:"state"`
	Next   time.Time   `json:"next,omitzero"` // when something is due in it
}

type noticeEvent struct {
	Member  string    `json:"member"`
	Channel string    `json:"channel"`
	Kind    string    `json:"kind"`
	State   string    `json:"state"`
	Reason  string    `json:"reason,omitempty"`
	Final   bool      `json:"final,omitempty"`
	Next    time.Time `json:"next,omitzero"`
}

func applyNotice(n *Notice, e journal.Entry) error {
	switch e.Type {
	case "notice.made":
		if err := e.Decode(n); err != nil {
			return err
		}
		n.ID, n.At, n.State = e.About[0].ID, e.At, NoticeSending
		if e.Erased {
			n.State = NoticeOver
		}
	case "notice.sent", "notice.failed":
		var ev noticeEvent
		if err := e.Decode(&ev); err != nil {
			return err
		}
		for i := range n.People {
			if n.People[i].Member == ev.Member {
				n.People[i].Attempts = append(n.People[i].Attempts, Attempt{Channel: ev.Channel, Kind: ev.Kind, At: e.At, State: ev.State, Reason: ev.Reason, Final: ev.Final})
			}
		}
		n.Next = ev.Next
	case "notice.over":
		n.State, n.Next = NoticeOver, time.Time{}
	}
	return nil
}

func noticeKeys(n *Notice) journal.Keys {
	k := journal.Keys{State: n.State, Parent: n.Kind + " " + n.About.Kind + " " + n.About.ID, Sort: n.At.UTC().Format("2006-01-02T15:04:05.000")}
	if n.State == NoticeSending && !n.Next.IsZero() {
		k.DueMS = n.Next.UnixMilli()
	}
	return k
}

// NoticeArgs are the arguments of JobNotice.
type NoticeArgs struct {
	Notice string `json:"notice"`
	DueMS  int64  `json:"due_ms,omitempty"`
}

// TellArgs are the arguments of JobTell.
type TellArgs struct {
	Entry int64 `json:"entry"`
}

// Teller returns partner.Options.Tell: it writes a notice down, and leaves its
// sending to whichever node serves, after the transaction has happened. So the
// operator's shell tells people as well.
func Teller(now func() time.Time) func(*journal.Tx, partner.Notice) error {
	return func(tx *journal.Tx, n partner.Notice) error { return tellOnce(tx, newID(), n, now()) }
}

// tellOnce does nothing if there is a notice with this ID.
func tellOnce(tx *journal.Tx, id string, n partner.Notice, now time.Time) error {
	switch _, err := tx.Object(journal.Ref{Kind: KindNotice, ID: id}); {
	case err == nil:
		return nil
	case problem.KindOf(err) != problem.NotFound:
		return err
	}
	now = now.UTC().Truncate(time.Millisecond)
	made := Notice{ID: id, Kind: n.Kind, About: n.About, Path: n.Path, Drill: n.Exercise, At: now, State: NoticeSending, Next: now.Add(30 * time.Second)}
	u := access.Audience{TLP: access.AmberStrict}
	for _, m := range slices.Compact(slices.Sorted(slices.Values(n.Members))) {
		made.People = append(made.People, Reached{Member: m, Since: now})
		member, _, err := journal.Load[partner.Member](tx, partner.KindMember, m)
		if err != nil {
			return err
		}
		if !slices.Contains(u.Partners, member.Partner) {
			u.Partners = append(u.Partners, member.Partner)
		}
	}
	if len(made.People) == 0 {
		return nil
	}
	slices.Sort(u.Partners)
	e := journal.New("notice.made", access.Actor{System: true}, now, made, journal.Ref{Kind: KindNotice, ID: id})
	e.Audience, e.Exercise = u, n.Exercise
	if _, err := tx.Append(e); err != nil {
		return err
	}
	return enqueueNotice(tx, id, time.Time{})
}

func enqueueNotice(tx journal.StoreTx, id string, at time.Time) error {
	a := NoticeArgs{Notice: id}
	if !at.IsZero() {
		a.DueMS = at.UnixMilli()
	}
	j := journal.NewJob(JobNotice, a, at)
	j.Once = true
	return tx.Enqueue(j)
}

// due says by which of a person's channels to send now, and when to try again;
// lost is true where no channel works or may work. wide is for all channels.
func (r Reached) due(channels []Channel, wide bool, now time.Time) (send []Channel, next time.Time, lost bool) {
	lost = true
	for _, ch := range channels {
		t := r.tried(ch.ID)
		if at, ok := t.again(); ok {
			if !at.After(now) {
				send = append(send, ch)
			} else if next.IsZero() || at.Before(next) {
				next = at
			}
		}
		if !t.lost() {
			lost = false
			if !wide {
				break
			}
		}
	}
	return send, next, lost
}

// noticeSenders bounds how many messages of one notice are under way.
const noticeSenders = 8

type noticeSend struct {
	Send
	m partner.Member
	p partner.Partner
}

// dueOf says what of a notice is to be sent now and when to look again. Whoever
// had one message that did not fail has been told.
func dueOf(r journal.StoreReader, n Notice, now time.Time) (send []noticeSend, next time.Time, err error) {
	of := make(map[string][]Channel) // by member
	loaded := make(map[string]partner.Partner)
	for _, p := range n.People {
		m, _, err := journal.Load[partner.Member](r, partner.KindMember, p.Member)
		if err != nil {
			return nil, next, err
		}
		if m.Disabled || slices.ContainsFunc(p.Attempts, func(a Attempt) bool { return a.State != StateFailed }) {
			continue
		}
		if _, ok := loaded[m.Partner]; !ok {
			k, _, err := contacts(r, m.Partner, now)
			if err != nil {
				return nil, next, err
			}
			for member, list := range k.Channels {
				of[member] = list
			}
			if loaded[m.Partner], err = partner.Load(r, m.Partner); err != nil {
				return nil, next, err
			}
		}
		list, at, _ := p.due(of[p.Member], false, now)
		for _, c := range list {
			send = append(send, noticeSend{Send{p.Member, c}, m, loaded[m.Partner]})
		}
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	return send, next, nil
}

// Notice sends what is due of a notice.
func (s *Service) Notice(ctx context.Context, a NoticeArgs) error {
	for range 20 { // a channel that fails is followed by the next one at once
		again, err := s.noticeStep(ctx, a.Notice)
		if err != nil || !again {
			return err
		}
	}
	return nil
}

func (s *Service) noticeStep(ctx context.Context, id string) (again bool, err error) {
	now := s.o.Now()
	var n Notice
	var send []noticeSend
	err = s.o.Log.View(ctx, func(r journal.StoreReader) (err error) {
		if n, _, err = journal.Load[Notice](r, KindNotice, id); err != nil || n.State != NoticeSending {
			return err
		}
		send, _, err = dueOf(r, n, now)
		return err
	})
	if err != nil || n.State != NoticeSending {
		return false, err
	}
	results := make([]noticeEvent, len(send))
	var wg sync.WaitGroup
	slots := make(chan struct{}, noticeSenders)
	for i, d := range send {
		slots <- struct{}{}
		wg.Go(func() {
			results[i] = s.deliverNotice(ctx, n, d)
			<-slots
		})
	}
	wg.Wait()
	now = s.o.Now()
	kept, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTime)
	defer cancel()
	err = s.o.Log.Update(kept, func(tx *journal.Tx) error {
		again = false
		after, _, err := journal.Load[Notice](tx, KindNotice, id)
		if err != nil || after.State != NoticeSending {
			return err
		}
		after.People = clonePeople(after.People)
		var entries []journal.Entry
		for i, ev := range results {
			typ := "notice.sent"
			if ev.State == StateFailed {
				typ = "notice.failed"
			}
			if err := s.checked(tx, send[i].Channel, ev.State == StateFailed, ev.Reason, "message", now); err != nil {
				return err
			}
			e := journal.New(typ, access.Actor{System: true}, now, ev, journal.Ref{Kind: KindNotice, ID: id})
			e.Audience = access.Audience{TLP: access.AmberStrict, Origin: send[i].p.ID}
			if err := applyNotice(&after, e); err != nil {
				return err
			}
			entries = append(entries, e)
		}
		more, next, err := dueOf(tx, after, now)
		if err != nil {
			return err
		}
		again = len(results) > 0 && len(more) > 0
		if again {
			next = now.Add(30 * time.Second) // in case the process ends before
		}
		next = next.UTC().Truncate(time.Millisecond)
		for i, e := range entries {
			if i == len(entries)-1 && !next.IsZero() {
				results[i].Next = next
				e = journal.New(e.Type, access.Actor{System: true}, now, results[i], e.About...)
				e.Audience = entries[i].Audience
			}
			if _, err := tx.Append(e); err != nil {
				return err
			}
		}
		if !next.IsZero() {
			return enqueueNotice(tx, id, next)
		}
		e := journal.New("notice.over", access.Actor{System: true}, now, nil, journal.Ref{Kind: KindNotice, ID: id})
		e.Audience = access.Audience{TLP: access.AmberStrict}
		_, err = tx.Append(e)
		return err
	})
	return again && err == nil, err
}

// deliverNotice sends one message of a notice.
func (s *Service) deliverNotice(ctx context.Context, n Notice, d noticeSend) noticeEvent {
	ev := noticeEvent{Member: d.Member, Channel: d.Channel.ID, Kind: d.Channel.Kind}
	x, err := s.noticeNote(ctx, n, d.m, d.p)
	if err == nil {
		ev.State, err = s.send(ctx, d.Channel, x)
	}
	if err != nil {
		ev.State = StateFailed
		ev.Reason, ev.Final = reasonOf(err)
		s.o.Logger.WarnContext(ctx, "message failed", "notice", n.ID, "channel", d.Channel.ID, "kind", d.Channel.Kind, "reason", ev.Reason)
	}
	return ev
}

// noticeNote is the message: what happened, in one sentence without names, and
// the page that says more.
func (s *Service) noticeNote(ctx context.Context, n Notice, m partner.Member, p partner.Partner) (note, error) {
	word := ""
	if err := s.o.Log.View(ctx, func(r journal.StoreReader) (err error) {
		word, err = s.word(r, m.ID)
		return err
	}); err != nil {
		return note{}, err
	}
	text, link := s.o.Words(m.Language, "notice.says."+n.Kind), s.o.URL()+n.Path
	if n.Drill {
		text = s.o.Words(m.Language, "notice.exercise", "Text", text)
	}
	x := note{ID: "msg_" + newID(), Type: "siaga.notice", Ask: n.Kind, Link: link, Real: !n.Drill, Subject: text, Text: text + " " + link}
	if word != "" {
		x.Text += " " + word
	}
	x.Lines = []string{s.o.Words(m.Language, "notice.says.why", "Partner", p.Name), link}
	return x, nil
}

// TellOf tells whom an entry concerns. It may run twice.
func (s *Service) TellOf(ctx context.Context, a TellArgs) error {
	now := s.o.Now()
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		e, err := s.o.Log.Entry(tx, a.Entry)
		if err != nil {
			return err
		}
		id := callID("notice", e.Type, itoa(int(a.Entry)))
		switch e.Type {
		case "roster.gap":
			return tellPartner(tx, id, e.About[0].ID, partner.Notice{Kind: NoticeGap, About: e.About[0], Path: "/duty"}, false, now)
		case "channel.ended":
			return tellEnded(tx, id, e.About[0], now)
		case "statement.asked":
			return tellOfStatement(tx, id, e, now)
		case "signal.withdrawn", "signal.proposed":
			return tellOfSignal(tx, e, now)
		case "channel.checked":
			c, _, err := journal.Load[Channel](tx, KindChannel, e.About[0].ID)
			if err != nil || !c.Failing || c.Removed || !c.Ended.IsZero() { // the end is told by itself
				return err
			}
			return tellPartner(tx, id, c.Partner, partner.Notice{Kind: NoticeChannel, About: e.About[0], Path: "/messages"}, false, now, c.Member)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("telling of entry %d: %w", a.Entry, err)
	}
	return nil
}

// tellPartner tells a partner's administrators, and who is on duty if officers
// are to know, and others besides.
func tellPartner(tx *journal.Tx, id, partnerID string, n partner.Notice, onDuty bool, now time.Time, others ...string) error {
	k, _, err := contacts(tx, partnerID, now)
	if err != nil {
		return err
	}
	n.Members = append(slices.Clone(k.Leads), others...)
	if onDuty && len(k.Order) > 0 {
		n.Members = append(n.Members, k.Order[0])
	}
	return tellOnce(tx, id, n, now)
}

// EdgeSilent tells a partner's duty officer and administrators that its edge
// was not heard from since a time; once for each silence.
func (s *Service) EdgeSilent(ctx context.Context, partnerID, edge string, since time.Time) error {
	now := s.o.Now()
	ref := journal.Ref{Kind: "edge", ID: partnerID + "/" + edge}
	id := callID("notice", NoticeSilent, ref.ID, since.UTC().Truncate(time.Second).Format(time.RFC3339))
	// Looked at first, since it is asked again and again.
	told := false
	if err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		_, err := r.Object(journal.Ref{Kind: KindNotice, ID: id})
		told = err == nil
		if problem.KindOf(err) == problem.NotFound {
			return nil
		}
		return err
	}); err != nil || told {
		return err
	}
	return s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		return tellPartner(tx, id, partnerID, partner.Notice{Kind: NoticeSilent, About: ref, Path: "/edges"}, true, now)
	})
}

// followed enqueues the telling for entries that concern people who may not
// be looking.
func followed(tx journal.StoreTx, e journal.Entry) error {
	switch {
	case e.Type == "roster.gap", e.Type == "statement.asked", e.Type == "channel.ended", e.Type == "signal.withdrawn", e.Type == "signal.proposed":
	case e.Type == "channel.checked":
		var b channelChecked
		if err := e.Decode(&b); err != nil || !b.News || b.How == "test" { // who tests sees it
			return err
		}
	default:
		return nil
	}
	return tx.Enqueue(journal.NewJob(JobTell, TellArgs{e.Number}, time.Time{}))
}
