package notify

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/duty"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/onetime"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// kindCode is the kind of private data that a link's code leads to. It is kept
// for a while after the ask, so that a late press gets a clear answer.
const (
	kindCode = "ask"
	codeKept = 7 * 24 * time.Hour
)

type codeDoc struct {
	Call   string `json:"call"`
	Member string `json:"member"`
}

func putCode(tx *journal.Tx, code string, c Call, member string, now time.Time) error {
	doc, err := json.Marshal(codeDoc{c.ID, member})
	if err != nil {
		return err
	}
	end := c.Deadline
	if end.Before(now) {
		end = now
	}
	return tx.PutPrivate(journal.Private{Kind: kindCode, ID: hashCode(code), Owner: member, Doc: doc, Expires: end.Add(codeKept).UTC().Truncate(time.Millisecond)})
}

// How an ask stands for the one who holds its link.
const (
	AskOpen     = "open"     // an answer is waited for
	AskLate     = "late"     // it is still waited for, after its deadline
	AskSeen     = "seen"     // this person has acknowledged
	AskOther    = "other"    // somebody else has
	AskPassed   = "passed"   // this person passed it on
	AskOver     = "over"     // nothing is asked any more
	AskStranger = "stranger" // somebody else is signed in
)

// Asked is what the page of a link shows: number, ask, deadline, and nothing
// of the content or the place.
type Asked struct {
	Number   string
	Exercise bool
	Ask      string
	Due      string // what a clock waits for, of package protocol; "" for another ask
	Protocol string
	State    string // of the list above
	Deadline time.Time
	Partner  string // name of the partner
	Member   partner.Member
	Zone     *time.Location
	Next     time.Time // when the next person is called if nothing is done; zero: nobody
	Until    time.Time // end of the shift; zero: not on duty
	Word     string    // the member's check word
	At       time.Time // when it was answered
}

// look finds what a code leads to. Codes that never were and codes that ended
// long ago are not told apart.
func (s *Service) look(r journal.StoreReader, code string, now time.Time) (Asked, Call, error) {
	gone := problem.New(problem.NotFound, "this link has ended", "sign in to see what is asked of you")
	code = normalCode(code)
	if len(code) != onetime.Length {
		return Asked{}, Call{}, gone
	}
	p, err := r.Private(kindCode, hashCode(code))
	if problem.KindOf(err) == problem.NotFound || err == nil && !now.Before(p.Expires) {
		return Asked{}, Call{}, gone
	}
	if err != nil {
		return Asked{}, Call{}, err
	}
	var d codeDoc
	if err := json.Unmarshal(p.Doc, &d); err != nil {
		return Asked{}, Call{}, err
	}
	c, _, err := journal.Load[Call](r, KindCall, d.Call)
	if err != nil {
		return Asked{}, Call{}, err
	}
	of, err := partner.Load(r, c.Partner)
	if err != nil {
		return Asked{}, Call{}, err
	}
	order, until, members, err := duty.Order(r, c.Partner, now)
	if err != nil {
		return Asked{}, Call{}, err
	}
	m, ok := members[d.Member]
	if !ok || m.Disabled || of.Disabled {
		return Asked{}, Call{}, gone
	}
	a := Asked{
		Number: c.Incident, Exercise: c.Exercise, Ask: c.Ask, Due: c.Due, Protocol: c.Protocol, Deadline: c.Deadline, Partner: of.Name, Member: m,
		Zone: location(m, of), At: c.Over, State: AskOpen,
	}
	if a.Word, err = s.word(r, m.ID); err != nil {
		return Asked{}, Call{}, err
	}
	if slices.Contains(order[:min(len(order), 1)], m.ID) {
		a.Until = until
	}
	for _, st := range c.Steps {
		if !st.Done && st.To == protocol.ToNextOnRoster && a.Next.IsZero() {
			a.Next = st.At
		}
	}
	me := slices.IndexFunc(c.People, func(p Reached) bool { return p.Member == m.ID })
	switch {
	case c.State == Acknowledged && c.By == m.ID:
		a.State = AskSeen
	case c.State == Acknowledged:
		a.State = AskOther
	case c.State == Ended:
		a.State = AskOver
	case me >= 0 && !c.People[me].Passed.IsZero():
		a.State, a.At = AskPassed, c.People[me].Passed
	case !now.Before(c.Deadline):
		a.State = AskLate
	}
	return a, c, nil
}

// Look returns what a link leads to, and changes nothing. by is who is signed
// in in that browser, if anybody.
func (s *Service) Look(ctx context.Context, by access.Actor, code string) (Asked, error) {
	var a Asked
	err := s.o.Log.View(ctx, func(r journal.StoreReader) (err error) {
		a, _, err = s.look(r, code, s.o.Now())
		return err
	})
	if err == nil && by.Member != "" && by.Member != a.Member.ID {
		a.State = AskStranger
	}
	return a, err
}

// Press answers by a link: the holder has seen it, or passes it on. Pressing
// twice does no harm and says how it stands. An ask that is over stays over. by
// is who is signed in in that browser; somebody else than the link's member is
// refused.
func (s *Service) Press(ctx context.Context, by access.Actor, code string, pass bool) (Asked, error) {
	now := s.o.Now()
	var a Asked
	var c Call
	pressed := false
	err := s.o.Log.Update(ctx, func(tx *journal.Tx) (err error) {
		pressed = false
		if a, c, err = s.look(tx, code, now); err != nil {
			return err
		}
		if by.Member != "" && by.Member != a.Member.ID {
			return problem.New(problem.Denied, "this link is another person's", "sign in as yourself: what is asked of you is on your own list")
		}
		switch {
		case a.State == AskPassed && !pass && c.Open():
			// They have changed their mind, and nobody else has answered.
		case a.State == AskOpen || a.State == AskLate:
		default:
			return nil
		}
		actor, err := actorOf(tx, a.Member)
		if err != nil {
			return err
		}
		pressed = true
		if pass {
			// The next person is called at once, by Call below.
			return s.append(tx, actor, c, "call.passed", now, callEvent{Member: a.Member.ID, Partner: c.Partner, Next: now.Add(30 * time.Second).UTC().Truncate(time.Millisecond)})
		}
		if err := s.append(tx, actor, c, "call.acknowledged", now, callEvent{Member: a.Member.ID, Partner: c.Partner}); err != nil {
			return err
		}
		// In the same transaction: a call that is over calls nobody any more, so
		// the incident must know by then.
		switch c.Ask {
		case AskNotified, AskActive, AskThreat:
			return s.o.Incidents.AcknowledgeIn(tx, actor, c.Incident, c.Ask != AskThreat, now)
		}
		return nil
	})
	if err != nil || !pressed {
		return a, err
	}
	if pass {
		if err := s.Call(ctx, CallArgs{Call: c.ID}); err != nil {
			s.o.Logger.WarnContext(ctx, "the next person was not called at once", "call", c.ID, "err", err)
		}
	}
	return s.Look(ctx, by, code)
}

func actorOf(r journal.StoreReader, m partner.Member) (access.Actor, error) {
	p, err := partner.Load(r, m.Partner)
	if err != nil {
		return access.Actor{}, err
	}
	return access.Actor{Partner: p.ID, Kind: p.Kind, Country: p.Country, Member: m.ID, Name: m.Name, Roles: m.Roles}, nil
}

func (s *Service) word(r journal.StoreReader, member string) (string, error) {
	p, err := r.Private(kindWord, member)
	if problem.KindOf(err) == problem.NotFound {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	plain, err := s.o.Seal.Open(p.Doc, kindWord+" "+member)
	return string(plain), err
}

const kindWord = "check_word"

// SetWord sets the word that ends each message to the actor, so that they can
// tell it from a forged one; "" removes it.
func (s *Service) SetWord(ctx context.Context, by access.Actor, word string) error {
	if err := access.Allow(by, access.ManageChannels, s.o.Now()); err != nil {
		return err
	}
	word = strings.TrimSpace(word)
	if by.Member == "" {
		return problem.New(problem.Denied, "a token is nobody's", "sign in as yourself")
	}
	if _, n, ok := Parts(word); n > 20 || !ok || strings.ContainsAny(word, "\r\n") {
		return invalid("word", "enter a word of up to 20 letters without accents from other scripts")
	}
	return s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		if word == "" {
			return tx.DeletePrivate(kindWord, by.Member)
		}
		return tx.PutPrivate(journal.Private{Kind: kindWord, ID: by.Member, Owner: by.Member, Doc: s.o.Seal.Seal([]byte(word), kindWord+" "+by.Member)})
	})
}

// Missed is the state of a partner that was not called in time and is not any
// more.
const Missed = "missed"

// Standing says how far one partner has come with one incident: for the board
// and the room.
type Standing struct {
	Partner      string    `json:"partner"`
	Acknowledged bool      `json:"acknowledged"`
	At           time.Time `json:"at,omitzero"`     // when it acknowledged
	Asked        string    `json:"asked,omitempty"` // notified, vote, active, due, overdue, threat: what it is called for
	Since        time.Time `json:"since,omitzero"`
	Deadline     time.Time `json:"deadline,omitzero"`
	State        string    `json:"state"` // calling, acknowledged, ended, exhausted; missed: nobody was called in time; none: nobody is called

	LastMember string    `json:"last_member,omitempty"`
	LastKind   string    `json:"last_kind,omitempty"`  // of the channel
	LastState  string    `json:"last_state,omitempty"` // sent, delivered, failed
	LastReason string    `json:"last_reason,omitempty"`
	LastAt     time.Time `json:"last_at,omitzero"`
	NextAt     time.Time `json:"next_at,omitzero"`   // zero: nothing more will be tried
	NextTo     string    `json:"next_to,omitempty"`  // next_on_roster, phone, partner_lead; again: the same channel
	NextWho    string    `json:"next_who,omitempty"` // member, where it is known

	Calls []Call `json:"calls,omitempty"`
}

// Acknowledgements returns a line for each partner that was called for the
// incident, those that have not acknowledged first. The incident is one that the
// actor may see.
func (s *Service) Acknowledgements(ctx context.Context, by access.Actor, id string) ([]Standing, error) {
	now := s.o.Now()
	inc, err := s.o.Incidents.Get(ctx, by, id) // knows who may read it
	if err != nil {
		return nil, err
	}
	var out []Standing
	err = s.o.Log.View(ctx, func(r journal.StoreReader) error {
		calls := make(map[string][]Call)
		err := journal.Each(r, journal.ObjectQuery{Kind: KindCall, Parent: id}, func(c Call, _ journal.Object) error {
			calls[c.Partner] = append(calls[c.Partner], c)
			return nil
		})
		if err != nil {
			return err
		}
		named := sortedKeys(calls)
		for _, a := range inc.Acknowledgements() {
			named = append(named, a.Partner)
		}
		partners, err := partner.All(r)
		if err != nil {
			return err
		}
		missed := make(map[string]Call)
		for _, c := range Wanted(inc, partners, now) {
			if c.missed(now) {
				missed[c.Partner] = c
			}
		}
		slices.Sort(named)
		for _, p := range slices.Compact(named) {
			k, _, err := contacts(r, p, now)
			if err != nil {
				return err
			}
			st := standing(inc, p, calls[p], k, now)
			if c, ok := missed[p]; ok && !st.Acknowledged && st.State != Calling && !slices.ContainsFunc(calls[p], func(x Call) bool { return x.ID == c.ID }) {
				st.State, st.Asked, st.Since, st.Deadline = Missed, c.Ask, c.Begun, c.Deadline
			}
			out = append(out, st)
		}
		return nil
	})
	slices.SortStableFunc(out, func(a, b Standing) int {
		if x := b2i(a.Acknowledged) - b2i(b.Acknowledged); x != 0 {
			return x
		}
		return strings.Compare(a.Partner, b.Partner)
	})
	return out, err
}

func standing(inc incident.Incident, p string, calls []Call, k Contacts, now time.Time) Standing {
	st := Standing{Partner: p, State: "none", Calls: calls}
	for _, a := range inc.Acknowledgements() {
		if a.Partner == p {
			st.Acknowledged, st.At = !a.Waits, a.At
		}
	}
	// The call that counts: one that is open, else the latest.
	i := slices.IndexFunc(calls, Call.Open)
	if i < 0 {
		i = len(calls) - 1
	}
	if i < 0 {
		return st
	}
	c := calls[i]
	st.Asked, st.Since, st.Deadline, st.State = c.Ask, c.Begun, c.Deadline, c.State
	if m, a, ok := c.Last(); ok {
		st.LastMember, st.LastKind, st.LastState, st.LastReason, st.LastAt = m, a.Kind, a.State, a.Reason, a.At
	}
	if do := Next(c, k, now); c.State == Calling && !do.Next.IsZero() {
		st.NextAt, st.NextTo = do.Next, "again"
		for j, step := range c.Steps {
			if !step.Done && step.At.Equal(do.Next) {
				st.NextTo = step.To
				if e := escalate(c, k, j+1, step.To); len(e.Members) > 0 {
					st.NextWho = e.Members[0]
				}
				break
			}
		}
	}
	return st
}
