// Package erasure erases the payload of a journal entry for good: the way in
// for a law that says that personal data must go.
//
// It takes two people, a reason and the last four digits of the entry's number.
// The people are administrators of the partner that made the entry, each with a
// fresh code of their authenticator; while that partner has only one, the
// operator's shell counts as the second, and the entry that says that something
// was erased says so, too. There is no way back.
//
// It refuses by default. Only entries whose loss leaves every state as it is can
// be erased: statements and assets at any time, a notice when its incident is
// closed, entries of a signal when it has ended, a member's when it is disabled.
// Votes, activations, partners and tokens stay: what others did rests on them.
//
// What was copied elsewhere (backups, peers, observers) is not reached from here.
package erasure

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Options configures a Service. All are required.
type Options struct {
	Log      *journal.Log
	Partners *partner.Service
	Now      func() time.Time
}

// Service erases payloads. Its methods may be called concurrently.
type Service struct{ o Options }

// New returns a Service.
func New(o Options) *Service { return &Service{o} }

// Proof is a person's presence: an e-mail address and what that person's
// authenticator shows now.
type Proof struct{ Email, Code string }

// Order is what is needed to erase.
type Order struct {
	Entry  int64
	Digits string // the last four of the entry's number, with zeros before it
	Reason string // the legal ground; kept for good, so it repeats nothing of what goes
	Proofs []Proof
}

// Subject says what an order would erase, without its content.
type Subject struct {
	Entry          journal.Entry
	Partner        string   // whose administrators decide
	Administrators []string // their e-mail addresses
	People         int      // how many of them must agree: 1 or 2
	Digits         string

	members []partner.Member // the administrators, as members of the partner
	account string           // of the member whose data goes, if it is one's
}

// maxReason is the greatest number of characters of a reason.
const maxReason = 300

// rule says when an entry may go: in any state, or when the object of a kind that
// it is about is in one of the states.
type rule struct {
	kind   string
	states []string
	first  string // what to do before
}

func ruleOf(typ string) (rule, bool) {
	switch {
	case typ == "update.posted" || typ == "statement.asked" || typ == "asset.added":
		return rule{}, true
	case typ == "incident.notified":
		return rule{"incident", []string{"closed"}, "close it first"}, true
	case typ == "member.added":
		return rule{partner.KindMember, []string{"disabled"}, "disable the member first"}, true
	case strings.HasPrefix(typ, "signal."):
		return rule{"signal", []string{"refused", "withdrawn", "expired"}, "withdraw it first"}, true
	}
	return rule{}, false
}

// Look says what would be erased and who must agree, or why it cannot be.
func (s *Service) Look(ctx context.Context, by access.Actor, number int64) (Subject, error) {
	if err := access.Allow(by, access.ErasePayload, s.o.Now()); err != nil {
		return Subject{}, err
	}
	sub := Subject{Digits: fmt.Sprintf("%04d", number%10000)}
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		row, err := r.Row(number)
		if err != nil {
			return err
		}
		if sub.Entry, err = row.Entry(); err != nil {
			return err
		}
		e := sub.Entry
		if sub.Partner = e.Audience.Origin; sub.Partner != by.Partner && !by.Shell {
			return problem.Newf(problem.NotFound, "there is no entry %d that you may erase", number).WithFix("check its number in the journal")
		}
		if e.Erased {
			return problem.Newf(problem.Conflict, "entry %d was erased already", number).WithFix("nothing more is needed")
		}
		may, ok := ruleOf(e.Type)
		if !ok {
			return problem.Newf(problem.Conflict, "entry %d is %s, on which what others did rests, so it stays", number, e.Type).WithFix("post a correction instead")
		}
		for _, ref := range e.About {
			if ref.Kind != may.kind {
				continue
			}
			o, err := r.Object(ref)
			if err != nil {
				return err
			}
			if !slices.Contains(may.states, o.Keys.State) {
				return problem.Newf(problem.Conflict, "entry %d is about %s %s, which is %s", number, ref.Kind, ref.ID, o.Keys.State).WithFix("%s", may.first)
			}
			if ref.Kind == partner.KindMember {
				m, _, err := journal.Load[partner.Member](r, ref.Kind, ref.ID)
				if err != nil {
					return err
				}
				sub.account = m.Account()
			}
		}
		return journal.Each(r, journal.ObjectQuery{Kind: partner.KindMember, Partner: sub.Partner}, func(m partner.Member, _ journal.Object) error {
			if m.Enrolled && !m.Disabled && slices.Contains(m.Roles, access.Administrator) {
				person, _, err := journal.Load[partner.Member](r, partner.KindMember, m.Account())
				if err != nil {
					return err
				}
				sub.members, sub.Administrators = append(sub.members, m), append(sub.Administrators, person.Email)
			}
			return nil
		})
	})
	if err != nil {
		return sub, err
	}
	if sub.People = min(len(sub.Administrators), 2); sub.People == 0 {
		return sub, problem.Newf(problem.Conflict, "%s has no administrator who has signed in, and two people must agree", sub.Partner).WithFix("let one sign in first")
	}
	if sub.People == 1 && !by.Shell {
		return sub, problem.Newf(problem.Conflict, "%s has one administrator, and two people must agree", sub.Partner).WithFix("use siaga log erase on the node: the operator is the second person")
	}
	return sub, nil
}

// Erase carries out an order and returns the entry that says so.
func (s *Service) Erase(ctx context.Context, by access.Actor, o Order) (journal.Entry, error) {
	sub, err := s.Look(ctx, by, o.Entry)
	if err != nil {
		return journal.Entry{}, err
	}
	var f problem.InvalidFields
	if o.Reason = strings.TrimSpace(o.Reason); o.Reason == "" || len([]rune(o.Reason)) > maxReason {
		f.Add("reason", "enter the legal ground, in up to %d characters. It is kept for good: repeat nothing of what goes", maxReason)
	}
	if partner.Digits(o.Digits) != sub.Digits {
		f.Add("digits", "enter %s, the last four digits of the entry's number", sub.Digits)
	}
	if len(o.Proofs) != sub.People {
		f.Add("proofs", "%d of the administrators of %s must each give a fresh code: %s", sub.People, sub.Partner, strings.Join(sub.Administrators, ", "))
	}
	if err := f.Err(); err != nil {
		return journal.Entry{}, err
	}
	var people []partner.Member
	for _, p := range o.Proofs {
		account, err := s.o.Partners.Present(ctx, p.Email, p.Code)
		if err != nil {
			return journal.Entry{}, err
		}
		i := slices.IndexFunc(sub.members, func(m partner.Member) bool { return m.Account() == account })
		if i < 0 || slices.ContainsFunc(people, func(q partner.Member) bool { return q.Account() == account }) {
			return journal.Entry{}, problem.Newf(problem.Denied, "two different administrators of %s must agree", sub.Partner).WithFix("ask %s", strings.Join(sub.Administrators, " or "))
		}
		m := sub.members[i]
		people = append(people, m)
	}
	second := "the operator's shell"
	if len(people) > 1 {
		second = people[1].ID
	}
	if sub.account != "" {
		if err := s.o.Partners.Forget(ctx, sub.account); err != nil {
			return journal.Entry{}, err
		}
	}
	first := access.Actor{Partner: people[0].Partner, Member: people[0].ID, Name: people[0].Name}
	return s.o.Log.Erase(ctx, o.Entry, first, o.Reason+" (second person: "+second+")")
}
