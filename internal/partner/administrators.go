package partner

import (
	"context"
	"slices"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Who is administrator decides over everything else at a partner, so two
// people decide who is one: an administrator asks, and another confirms. It
// holds for whatever gives that power or takes it away: inviting someone as
// administrator, giving or taking the role, enabling an administrator, and
// making a new one-time code for one, which is the way into that person's
// account. Disabling takes one: it gives nobody power and may be urgent; the
// other administrators are told, and enabling takes two again.

// administrator reports whether the roles make one.
func administrator(roles []access.Role) bool { return slices.Contains(roles, access.Administrator) }

// TakesTwo reports whether two people must agree to the change.
func (m Member) TakesTwo(c Change) bool {
	after := m.Roles
	if c.Roles != nil {
		after = c.Roles
	}
	return administrator(after) != administrator(m.Roles) || c.Enable && m.Disabled && administrator(after)
}

// alone refuses one person what takes two. The operator's shell may do it while
// fewer than two administrators could, not counting the one it is about: then
// the operator is the second person, and the journal says that it was the shell.
func alone(r journal.StoreReader, by access.Actor, partnerID, but string) error {
	if !by.Shell {
		return problem.New(problem.Conflict, "two people must agree on who is administrator", "ask for it with a reason, and let another administrator of your partner confirm it")
	}
	admins, err := administrators(r, partnerID)
	if err != nil {
		return err
	}
	n := 0
	for _, m := range admins {
		if m.ID != but {
			n++
		}
	}
	if n > 1 {
		return problem.Newf(problem.Conflict, "%s has %d administrators, and two of them decide", partnerID, n).
			WithFix("one asks for it on the page Members, and another confirms it there")
	}
	return nil
}

// asking says when it is, for a person who may manage members.
func (s *Service) asking(by access.Actor) (time.Time, error) {
	now := s.o.Now().UTC().Truncate(time.Millisecond)
	if err := access.Allow(by, access.ManageMembers, now); err != nil {
		return now, err
	}
	return now, person(by)
}

// AskForMember asks for a person to be invited as administrator. Another
// administrator confirms it, and is given the one-time code.
func (s *Service) AskForMember(ctx context.Context, by access.Actor, n NewMember, why string) (Request, error) {
	now, err := s.asking(by)
	if err != nil {
		return Request{}, err
	}
	n.Partner = by.Partner
	f := n.mistakes()
	checkWhy(&f, &why)
	if f.Err() == nil && !administrator(n.Roles) {
		f.Add("roles", "one administrator invites whoever is none; choose the role administrator, or add the member without asking")
	}
	if err := f.Err(); err != nil {
		return Request{}, err
	}
	return s.ask(ctx, by, now, why, "", func(tx *journal.Tx) (requestMade, error) {
		_, err := personOf(tx, n)
		return requestMade{Do: access.ManageMembers, New: &n, Name: n.Name}, err
	})
}

// AskToChange asks for a change that takes two: see Member.TakesTwo.
func (s *Service) AskToChange(ctx context.Context, by access.Actor, id string, c Change, why string) (Request, error) {
	now, err := s.asking(by)
	if err != nil {
		return Request{}, err
	}
	if err := c.check(); err != nil {
		return Request{}, err
	}
	if err := checkedWhy(&why); err != nil {
		return Request{}, err
	}
	return s.ask(ctx, by, now, why, "", func(tx *journal.Tx) (requestMade, error) {
		m, err := ownMember(tx, by, id)
		if err != nil {
			return requestMade{}, err
		}
		if c.Disable || !m.TakesTwo(c) {
			return requestMade{}, problem.New(problem.Invalid, "one administrator alone may do this", "do it without asking")
		}
		if err := s.last(tx, m, c); err != nil {
			return requestMade{}, err
		}
		return requestMade{Do: access.ManageMembers, Of: m.ID, Change: &c, Name: m.Name}, nil
	})
}

// AskForCode asks for a new one-time code for an administrator, which another
// one confirms and is given.
func (s *Service) AskForCode(ctx context.Context, by access.Actor, id, why string) (Request, error) {
	now, err := s.asking(by)
	if err != nil {
		return Request{}, err
	}
	if err := checkedWhy(&why); err != nil {
		return Request{}, err
	}
	return s.ask(ctx, by, now, why, id, func(tx *journal.Tx) (requestMade, error) {
		m, err := ownMember(tx, by, id)
		if err != nil {
			return requestMade{}, err
		}
		if !administrator(m.Roles) {
			return requestMade{}, problem.New(problem.Invalid, "one administrator alone may do this", "make the link without asking")
		}
		return requestMade{Do: access.ManageMembers, Of: m.ID, Name: m.Name}, invitable(by, m)
	})
}

// tellAdministrators tells a partner's administrators of something about a
// member, but the one who did it and the member.
func (s *Service) tellAdministrators(tx *journal.Tx, by access.Actor, m Member, kind string) error {
	admins, err := administrators(tx, m.Partner)
	if err != nil {
		return err
	}
	var to []string
	for _, a := range admins {
		if a.ID != by.Member && a.ID != m.ID {
			to = append(to, a.ID)
		}
	}
	return s.tell(tx, Notice{Kind: kind, Members: to, About: journal.Ref{Kind: KindMember, ID: m.ID}, Path: "/admin/members/" + m.ID})
}
