package partner

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// KindRequest is the kind of requests.
const KindRequest = "request"

// RequestLife is how long a request waits for its second person.
const RequestLife = 30 * time.Minute

// How a request stands.
const (
	RequestOpen      = "open"
	RequestConfirmed = "confirmed"
	RequestRefused   = "refused" // by the second person, or taken back by the first
	RequestLapsed    = "lapsed"  // nobody confirmed it in time
)

// Request is what one administrator asked for and another of the same partner
// must confirm. It does nothing by itself, and is never changed: what the
// second person reads is what the first one wrote.
type Request struct {
	ID      string        `json:"id"`
	Partner string        `json:"partner"` // whose administrators decide
	Member  string        `json:"member"`  // who asked
	Do      access.Action `json:"do"`      // partner.add, partner.disable or member.manage
	Add     NewPartner    `json:"add,omitzero"`
	New     *NewMember    `json:"new,omitempty"`    // someone to be invited as administrator
	Of      string        `json:"of,omitempty"`     // a member whom it is about, or a partner
	Change  *Change       `json:"change,omitempty"` // of that member or partner; nil: a new one-time code
	Name    string        `json:"name"`             // of the partner or person that it is about
	Why     string        `json:"why"`
	At      time.Time     `json:"at"`
	Until   time.Time     `json:"until"`

	Settled string    `json:"settled,omitempty"` // confirmed or refused
	By      string    `json:"by,omitempty"`      // member who settled it
	Over    time.Time `json:"over,omitzero"`
}

// What a request asks for.
const (
	AsksPartner = "partner"     // a partner to be added
	AsksLeave   = "partner_off" // a partner to be deactivated
	AsksReturn  = "partner_on"  // a partner to be activated again
	AsksMember  = "member"      // someone to be invited as administrator
	AsksRole    = "role"        // the role administrator to be given
	AsksNoRole  = "no_role"     // the role administrator to be taken
	AsksEnable  = "enable"      // an administrator to be enabled
	AsksCode    = "code"        // a new one-time code for an administrator
)

// What is one of the list above.
func (q Request) What() string { return what(q.Do, q.New, q.Change) }

// OfPartner reports whether the request is about a partner, not a member.
func (q Request) OfPartner() bool {
	return q.Do == access.AddPartner || q.Do == access.DisablePartner
}

func what(do access.Action, n *NewMember, c *Change) string {
	switch {
	case do == access.AddPartner:
		return AsksPartner
	case do == access.DisablePartner && c != nil && c.Disable:
		return AsksLeave
	case do == access.DisablePartner:
		return AsksReturn
	case n != nil:
		return AsksMember
	case c == nil:
		return AsksCode
	case c.Enable:
		return AsksEnable
	case administrator(c.Roles):
		return AsksRole
	}
	return AsksNoRole
}

// State is open, confirmed, refused or lapsed at the moment now.
func (q Request) State(now time.Time) string {
	switch {
	case q.Settled != "":
		return q.Settled
	case !now.Before(q.Until):
		return RequestLapsed
	}
	return RequestOpen
}

type requestMade struct {
	ID     string        `json:"id"`
	Do     access.Action `json:"do"`
	Add    NewPartner    `json:"add,omitzero"`
	New    *NewMember    `json:"new,omitempty"`
	Of     string        `json:"of,omitempty"`
	Change *Change       `json:"change,omitempty"`
	Name   string        `json:"name"` // of what it is about, for the sentence
	What   string        `json:"what,omitempty"`
	Until  time.Time     `json:"until"`
}

type requestSettled struct {
	Name string `json:"name"`
	What string `json:"what,omitempty"`
}

func applyRequest(q *Request, e journal.Entry) error {
	switch e.Type {
	case "request.made":
		var b requestMade
		if err := e.Decode(&b); err != nil {
			return err
		}
		*q = Request{
			ID: b.ID, Partner: e.Partner, Member: e.Member, Do: b.Do, Add: b.Add, New: b.New, Of: b.Of, Change: b.Change, Name: b.Name,
			Why: e.Why, At: e.At, Until: b.Until,
		}
		if e.Erased {
			q.ID, q.Settled = e.About[0].ID, RequestRefused
		}
	case "request.confirmed":
		q.Settled, q.By, q.Over = RequestConfirmed, e.Member, e.At
	case "request.refused":
		q.Settled, q.By, q.Over = RequestRefused, e.Member, e.At
	}
	return nil
}

// administrators returns the members of a partner who can act as one.
func administrators(r journal.StoreReader, partnerID string) ([]Member, error) {
	var out []Member
	err := journal.Each(r, journal.ObjectQuery{Kind: KindMember, Partner: partnerID, States: []string{"active"}}, func(m Member, _ journal.Object) error {
		if m.Enrolled && !m.Disabled && administrator(m.Roles) {
			out = append(out, m)
		}
		return nil
	})
	return out, err
}

// person refuses machines: a token that is nobody's cannot be one of two people.
func person(by access.Actor) error {
	if by.Member == "" {
		return problem.New(problem.Denied, "this takes two people, and a token that stands for nobody is none", "sign in as yourself; or use the operator's shell on the node, until your partner has two administrators")
	}
	return nil
}

// AskToAdd asks for a partner to be added. Another administrator of the same
// partner confirms it within RequestLife, or it lapses. A partner with one
// administrator cannot ask: there the operator's shell adds partners, see Add.
func (s *Service) AskToAdd(ctx context.Context, by access.Actor, n NewPartner, why string) (Request, error) {
	now := s.o.Now().UTC().Truncate(time.Millisecond)
	if err := access.Allow(by, access.AddPartner, now); err != nil {
		return Request{}, err
	}
	if err := person(by); err != nil {
		return Request{}, err
	}
	f := n.mistakes()
	checkWhy(&f, &why)
	if err := f.Err(); err != nil {
		return Request{}, err
	}
	return s.ask(ctx, by, now, why, "", func(tx *journal.Tx) (requestMade, error) {
		return requestMade{Do: access.AddPartner, Add: n, Name: n.Name}, free(tx, n.ID)
	})
}

// checkWhy also cleans the reason.
func checkWhy(f *problem.InvalidFields, why *string) {
	*why = clean(*why, 500)
	if len([]rune(*why)) < 10 || len(*why) > 500 {
		f.Add("reason", "enter why, in one sentence of 10 to 500 characters; the second administrator reads it")
	}
}

func checkedWhy(why *string) error {
	var f problem.InvalidFields
	checkWhy(&f, why)
	return f.Err()
}

// same reports whether two requests are for the same thing.
func (q Request) same(b requestMade) bool {
	if q.Do != b.Do || q.Of != b.Of || q.Add.ID != b.Add.ID {
		return false
	}
	return q.New == nil || b.New == nil || q.New.Email == b.New.Email
}

// ask writes down what made says is asked for, and tells those who may confirm
// it: the other administrators but not the member, who cannot be asked about
// their own way in.
func (s *Service) ask(ctx context.Context, by access.Actor, now time.Time, why, but string, made func(tx *journal.Tx) (requestMade, error)) (Request, error) {
	return journal.Do(ctx, s.o.Log, by, "request.make", now, func(tx *journal.Tx) (Request, error) {
		b, err := made(tx)
		if err != nil {
			return Request{}, err
		}
		admins, err := administrators(tx, by.Partner)
		if err != nil {
			return Request{}, err
		}
		me, _, err := journal.Load[Member](tx, KindMember, by.Member)
		if err != nil {
			return Request{}, err
		}
		var others []string
		for _, m := range admins {
			if m.Account() != me.Account() && m.ID != but {
				others = append(others, m.ID)
			}
		}
		if len(others) == 0 {
			return Request{}, problem.New(problem.Conflict, "two people must agree, and your partner has no second administrator who could", "until it has one, the operator of the node is the second person: siaga partner and siaga member there")
		}
		if err := requests(tx, by.Partner, now, func(q Request) error {
			if q.State(now) == RequestOpen && q.same(b) {
				return problem.Newf(problem.Conflict, "a colleague or you asked for the same already: %s", b.Name).WithFix("open that request and let it be confirmed, or refuse it first")
			}
			return nil
		}); err != nil {
			return Request{}, err
		}
		seq, err := tx.Next(KindRequest)
		if err != nil {
			return Request{}, err
		}
		b.ID, b.Until, b.What = fmt.Sprintf("r%d", seq), now.Add(RequestLife), what(b.Do, b.New, b.Change)
		e := journal.New("request.made", by, now, b, journal.Ref{Kind: KindRequest, ID: b.ID})
		e.Why, e.Audience = why, access.Audience{TLP: access.AmberStrict, Origin: by.Partner}
		if _, err := tx.Append(e); err != nil {
			return Request{}, err
		}
		if err := s.tell(tx, Notice{Kind: NoticeRequest, Members: others, About: e.About[0], Path: "/admin/requests/" + b.ID}); err != nil {
			return Request{}, err
		}
		q, _, err := journal.Load[Request](tx, KindRequest, b.ID)
		return q, err
	})
}

// requests calls fn with a partner's requests, the newest first, until those of
// a day ago.
func requests(r journal.StoreReader, partnerID string, now time.Time, fn func(Request) error) error {
	return journal.Each(r, journal.ObjectQuery{Kind: KindRequest, Partner: partnerID, Newest: true}, func(q Request, _ journal.Object) error {
		if now.Sub(q.At) > 24*time.Hour {
			return journal.ErrStop
		}
		return fn(q)
	})
}

// Requests returns what administrators of the actor's partner asked for in the
// last day, the newest first.
func (s *Service) Requests(ctx context.Context, by access.Actor) ([]Request, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.ReadMembers, now); err != nil {
		return nil, err
	}
	out := []Request{}
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		return requests(r, by.Partner, now, func(q Request) error { out = append(out, q); return nil })
	})
	return out, err
}

func request(r journal.StoreReader, by access.Actor, id string) (Request, error) {
	q, _, err := journal.Load[Request](r, KindRequest, id)
	if problem.KindOf(err) == problem.NotFound || err == nil && q.Partner != by.Partner {
		return Request{}, problem.New(problem.NotFound, "there is no such request at your partner", "look at what is asked of you")
	}
	return q, err
}

// Request returns one request of the actor's partner.
func (s *Service) Request(ctx context.Context, by access.Actor, id string) (Request, error) {
	if err := access.Allow(by, access.ReadMembers, s.o.Now()); err != nil {
		return Request{}, err
	}
	var q Request
	err := s.o.Log.View(ctx, func(r journal.StoreReader) (err error) {
		q, err = request(r, by, id)
		return err
	})
	return q, err
}

// Confirm carries out what another administrator of the same partner asked for,
// in the transaction that says so. It is refused to whoever asked, after
// RequestLife, and when something changed meanwhile: the request was settled,
// who asked is no administrator any more, or what was asked for cannot be done
// any more. code is the one-time code if it made one: it is shown this once,
// and not kept for an answer to the same request sent again.
func (s *Service) Confirm(ctx context.Context, by access.Actor, id string) (q Request, code string, err error) {
	return s.settle(ctx, by, id, "request.confirmed")
}

// Refuse ends a request without doing it. Who asked may take it back by this.
func (s *Service) Refuse(ctx context.Context, by access.Actor, id string) (Request, error) {
	q, _, err := s.settle(ctx, by, id, "request.refused")
	return q, err
}

func (s *Service) settle(ctx context.Context, by access.Actor, id, typ string) (q Request, code string, err error) {
	now := s.o.Now().UTC().Truncate(time.Millisecond)
	if err := access.Allow(by, access.ConfirmRequest, now); err != nil {
		return Request{}, "", err
	}
	if err := person(by); err != nil {
		return Request{}, "", err
	}
	q, err = journal.Do(ctx, s.o.Log, by, typ+" "+id, now, func(tx *journal.Tx) (Request, error) {
		code = ""
		q, err := request(tx, by, id)
		if err != nil {
			return q, err
		}
		switch q.State(now) {
		case RequestConfirmed:
			return q, problem.New(problem.Conflict, "this request was confirmed already", "nothing more is needed")
		case RequestRefused:
			return q, problem.New(problem.Conflict, "this request was refused", "ask anew if it is still needed")
		case RequestLapsed:
			return q, problem.New(problem.Conflict, "this request lapsed: nobody confirmed it within 30 minutes", "ask anew")
		}
		if typ == "request.confirmed" {
			if code, err = s.carryOut(tx, by, now, q); err != nil {
				return q, err
			}
		}
		e := journal.New(typ, by, now, requestSettled{Name: q.Name, What: q.What()}, journal.Ref{Kind: KindRequest, ID: q.ID})
		e.Audience = access.Audience{TLP: access.AmberStrict, Origin: by.Partner}
		if _, err := tx.Append(e); err != nil {
			return q, err
		}
		q, _, err = journal.Load[Request](tx, KindRequest, id)
		return q, err
	})
	if err != nil {
		code = ""
	}
	return q, code, err
}

// Two refuses unless two people act: first, a member who asked, and by, who may
// have a role at several partners but is the same person at all of them. Who
// asked must still have the role in which that was done.
func Two(r journal.StoreReader, first string, by access.Actor, as access.Role) error {
	a, _, err := journal.Load[Member](r, KindMember, first)
	if err != nil {
		return err
	}
	b, _, err := journal.Load[Member](r, KindMember, by.Member)
	if err != nil {
		return err
	}
	switch admin, gone := as == access.Administrator, a.Disabled || !slices.Contains(a.Roles, as); {
	case a.Account() == b.Account() && admin:
		return problem.New(problem.Denied, "you asked for this yourself, and two people must agree", "let another administrator of your partner confirm it")
	case a.Account() == b.Account():
		return problem.New(problem.Denied, "you asked for this yourself, and two people must agree", "let somebody else who may confirm it")
	case gone && admin:
		return problem.New(problem.Conflict, "who asked for this is no administrator any more", "refuse it, and ask anew if it is still needed")
	case gone:
		return problem.New(problem.Conflict, "who asked for this may not do so any more", "refuse it, and ask anew if it is still needed")
	}
	return nil
}

func (s *Service) carryOut(tx *journal.Tx, by access.Actor, now time.Time, q Request) (code string, err error) {
	if err := Two(tx, q.Member, by, access.Administrator); err != nil {
		return "", err
	}
	both := agreed{First: q.Member, Request: q.ID}
	if q.What() == AsksPartner {
		_, err = add(tx, by, now, partnerAdded{NewPartner: q.Add, agreed: both}, q.Why)
		return "", err
	}
	if off := q.What() == AsksLeave; off || q.What() == AsksReturn {
		_, err = s.disable(tx, by, now, q.Of, off, q.Why, both)
		return "", err
	}
	if q.What() == AsksMember {
		_, code, err = s.addMember(tx, by, now, *q.New, both)
		return code, err
	}
	m, err := ownMember(tx, by, q.Of)
	if err != nil {
		return "", err
	}
	if q.What() == AsksCode {
		if m.ID == by.Member {
			return "", problem.New(problem.Denied, "this is about your own way in", "let another administrator of your partner confirm it")
		}
		return s.invite(tx, by, m, both)
	}
	if !m.TakesTwo(*q.Change) {
		return "", problem.New(problem.Conflict, "the member was changed meanwhile", "refuse it, and ask anew if it is still needed")
	}
	return "", s.change(tx, by, m, *q.Change, both)
}
