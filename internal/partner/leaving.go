package partner

import (
	"context"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// A partner that left, or that cannot be trusted any more, is deactivated: by
// two administrators of the partner that added it or of the node's first one,
// as a partner is added. Everything that lets it act ends with the entry:
// sessions, codes and tokens, those of edges too; and while it is deactivated
// nobody acts for it. What it did stays. It can be activated again by two
// people: its members then sign in as before, and it makes new tokens.

// Left reports whether the partner of this ID is deactivated; one that is not
// there is not.
func Left(r journal.StoreReader, id string) (bool, error) {
	p, _, err := journal.Load[Partner](r, KindPartner, id)
	if problem.KindOf(err) == problem.NotFound {
		return false, nil
	}
	return p.Disabled, err
}

// Acting returns the partners that are not deactivated, in order of ID.
func Acting(r journal.StoreReader) ([]Partner, error) {
	all, err := All(r)
	var out []Partner
	for _, p := range all {
		if !p.Disabled {
			out = append(out, p)
		}
	}
	return out, err
}

// mayChange loads a partner that the actor's may deactivate (off) or activate
// again now.
func mayChange(r journal.StoreReader, by access.Actor, id string, off bool) (Partner, error) {
	p, err := Load(r, id)
	if err != nil {
		return p, err
	}
	if p.ID == by.Partner {
		return p, problem.New(problem.Conflict, "a partner does not deactivate itself", "ask the partner that added yours")
	}
	all, err := All(r)
	if err != nil {
		return p, err
	}
	first := ""
	for _, o := range all {
		if o.AddedBy == o.ID { // siaga init made it
			first = o.ID
		}
	}
	switch {
	case p.ID == first:
		return p, problem.New(problem.Conflict, "the node's first partner stays: it answers for the node", "deactivate its members instead")
	case by.Partner != p.AddedBy && by.Partner != first:
		return p, problem.New(problem.Denied, "a partner is deactivated by the partner that added it, or by the node's first one", "ask an administrator there")
	case off && p.Disabled:
		return p, problem.Of(problem.Conflict, problem.Say("%s is deactivated already", p.Name), problem.Say("nothing more is needed"))
	case !off && !p.Disabled:
		return p, problem.Of(problem.Conflict, problem.Say("%s is not deactivated", p.Name), problem.Say("nothing more is needed"))
	}
	return p, nil
}

// AskToDisable asks for a partner to be deactivated (off) or activated again.
// Another administrator of the actor's partner confirms it.
func (s *Service) AskToDisable(ctx context.Context, by access.Actor, id string, off bool, why string) (Request, error) {
	now := s.o.Now().UTC().Truncate(time.Millisecond)
	if err := access.Allow(by, access.DisablePartner, now); err != nil {
		return Request{}, err
	}
	if err := person(by); err != nil {
		return Request{}, err
	}
	if err := checkedWhy(&why); err != nil {
		return Request{}, err
	}
	return s.ask(ctx, by, now, why, "", func(tx *journal.Tx) (requestMade, error) {
		p, err := mayChange(tx, by, id, off)
		return requestMade{Do: access.DisablePartner, Of: p.ID, Change: &Change{Disable: off, Enable: !off}, Name: p.Name}, err
	})
}

// Disable deactivates a partner (off), or activates it again, at the operator's
// shell, which counts as the second person as it does in Add.
func (s *Service) Disable(ctx context.Context, by access.Actor, id string, off bool, why string) (Partner, error) {
	now := s.o.Now().UTC().Truncate(time.Millisecond)
	if err := access.Allow(by, access.DisablePartner, now); err != nil {
		return Partner{}, err
	}
	if !by.Shell {
		return Partner{}, problem.New(problem.Denied, "two people of one partner deactivate a partner", "ask for it on the partner's page, and let another administrator confirm it")
	}
	if err := checkedWhy(&why); err != nil {
		return Partner{}, err
	}
	return journal.Do(ctx, s.o.Log, by, "partner.disable", now, func(tx *journal.Tx) (Partner, error) {
		if err := shellDecides(tx, by); err != nil {
			return Partner{}, err
		}
		return s.disable(tx, by, now, id, off, why, agreed{Shell: true})
	})
}

// shellDecides refuses the operator's shell where two administrators could
// decide.
func shellDecides(r journal.StoreReader, by access.Actor) error {
	admins, err := administrators(r, by.Partner)
	if err != nil || len(admins) < 2 {
		return err
	}
	return problem.Newf(problem.Conflict, "%s has %d administrators, and two of them decide", by.Partner, len(admins)).
		WithFix("one asks for it on the page Partners, and another confirms it there")
}

type partnerChanged struct {
	Name string `json:"name"` // for the sentence
	agreed
}

func (s *Service) disable(tx *journal.Tx, by access.Actor, now time.Time, id string, off bool, why string, both agreed) (Partner, error) {
	p, err := mayChange(tx, by, id, off)
	if err != nil {
		return p, err
	}
	typ := "partner.enabled"
	if off {
		typ = "partner.disabled"
	}
	e := journal.New(typ, by, now, partnerChanged{p.Name, both}, journal.Ref{Kind: KindPartner, ID: p.ID})
	e.Audience, e.Why = access.Audience{TLP: access.Green, Origin: p.ID}, why
	if _, err := tx.Append(e); err != nil {
		return p, err
	}
	if off {
		if err := s.endPartner(tx, by, p.ID); err != nil {
			return p, err
		}
	}
	return Load(tx, p.ID)
}

// endPartner ends all that lets anybody act for a partner. Sessions of the same
// people that act for another partner go on.
func (s *Service) endPartner(tx *journal.Tx, by access.Actor, id string) error {
	var ms []Member
	if err := journal.Each(tx, journal.ObjectQuery{Kind: KindMember, Partner: id}, func(m Member, _ journal.Object) error {
		ms = append(ms, m)
		return nil
	}); err != nil {
		return err
	}
	for _, m := range ms {
		if _, err := endSessions(tx, m.Account(), func(_ journal.Private, ses Session) bool { return ses.Member == m.ID }); err != nil {
			return err
		}
		if err := deleteOwned(tx, privateCode, m.ID); err != nil {
			return err
		}
	}
	var ts []Token
	err := journal.Each(tx, journal.ObjectQuery{Kind: KindToken, Partner: id, States: []string{"active"}}, func(t Token, _ journal.Object) error {
		ts = append(ts, t)
		return nil
	})
	for _, t := range ts {
		if err == nil {
			err = s.revoke(tx, by, t)
		}
	}
	return err
}

// MayDisable reports whether the actor's partner may deactivate a partner, or
// activate it again, whichever it is not.
func (s *Service) MayDisable(ctx context.Context, by access.Actor, id string) (bool, error) {
	if err := access.Allow(by, access.DisablePartner, s.o.Now()); err != nil && problem.KindOf(err) != problem.StepUp {
		return false, nil //nolint:nilerr // that is the answer
	}
	may := false
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		p, err := Load(r, id)
		if err != nil {
			return err
		}
		_, err = mayChange(r, by, id, !p.Disabled)
		may = err == nil
		if k := problem.KindOf(err); k == problem.Conflict || k == problem.Denied {
			return nil
		}
		return err
	})
	return may, err
}
