package incident

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/signal"
)

// Statement is an update that everyone could read and that waits for its second
// person: it cannot be unseen. It is never changed: what the second person
// reads is what the first one wrote, with the reason. Without a second person
// within partner.RequestLife it lapses, and the journal says so.
type Statement struct {
	Number   int                  `json:"number"` // from 1 in the incident
	By       Act                  `json:"by"`     // who wrote it
	Kind     access.PartnerKind   `json:"kind"`   // of the partner in whose name it speaks
	Name     string               `json:"audience_name"`
	Audience access.Audience      `json:"audience"` // who will read it
	Texts    map[string]string    `json:"texts"`    // by language
	Corrects int                  `json:"corrects,omitempty"`
	Why      string               `json:"why"`
	Kinds    []access.PartnerKind `json:"kinds"` // which may confirm it: those that decide under the protocol
	Until    time.Time            `json:"until"`
	Settled  string               `json:"settled,omitempty"` // confirmed, refused, lapsed or erased
	Ended    Act                  `json:"ended,omitzero"`
	Update   int                  `json:"update,omitempty"` // number of the update that it became
}

// StatementErased is how a statement stands whose text was erased while it
// waited; else it stands as a partner.Request does.
const StatementErased = "erased"

// State is open, confirmed, refused, lapsed or erased at the moment now.
func (st Statement) State(now time.Time) string {
	switch {
	case st.Settled != "":
		return st.Settled
	case !now.Before(st.Until):
		return partner.RequestLapsed
	}
	return partner.RequestOpen
}

// MayConfirm reports whether the actor may be the second person, as far as the
// statement itself says: anyone but its writer who may post updates, sees the
// incident and is of a partner that may decide under its protocol. At night that
// may be another partner's duty officer.
func (st Statement) MayConfirm(by access.Actor) bool {
	return by.Member != "" && by.Member != st.By.Member && slices.Contains(st.Kinds, by.Kind)
}

// MayRefuse reports whether the actor may end it: its writer takes it back, a
// colleague refuses it. Other partners leave it.
func (st Statement) MayRefuse(by access.Actor) bool { return by.Partner == st.By.Partner }

type stated struct {
	Number   int                  `json:"number"`
	Kind     access.PartnerKind   `json:"kind"`
	Name     string               `json:"audience"`
	Readers  access.Audience      `json:"readers"`
	Texts    map[string]string    `json:"texts"`
	Corrects int                  `json:"corrects,omitempty"`
	Kinds    []access.PartnerKind `json:"kinds"`
	Until    time.Time            `json:"until"`
}

type settled struct {
	Number int `json:"number"`
}

// isPublic reports whether anyone at all reads it.
func isPublic(a access.Audience) bool { return a.Sees(access.Actor{}) }

// IsPublic reports whether an update to this audience would be read by
// everyone, and so takes two people.
func (s *Service) IsPublic(ctx context.Context, by access.Actor, id string, n NewUpdate) (public bool, err error) {
	if err := access.Allow(by, access.PostUpdate, s.o.Now()); err != nil {
		return false, err
	}
	err = s.o.Log.View(ctx, func(r journal.StoreReader) error {
		inc, err := visible(r, by, id)
		if err != nil {
			return err
		}
		aud, err := s.addressed(r, by, &inc, n)
		public = isPublic(aud)
		return err
	})
	return public, err
}

// room is who may read a partner's statement before it is public: whoever is in
// the room.
func (i Incident) room(partner string) access.Audience {
	if isPublic(i.Audience) {
		return i.Addressed(access.Green, partner)
	}
	return i.Addressed(i.Audience.TLP, partner)
}

// kindStatement is what entries name statements by. Statements are kept in the
// incident; a name outlives an erasure of what was said.
const kindStatement = "statement"

func (i Incident) statementRef(number int) journal.Ref {
	return journal.Ref{Kind: kindStatement, ID: fmt.Sprintf("%s/%d", i.ID, number)}
}

// statementOf is the statement that an entry is about; nil: none.
func (i *Incident) statementOf(e journal.Entry) *Statement {
	for n := range i.Statements {
		if slices.Contains(e.About, i.statementRef(i.Statements[n].Number)) {
			return &i.Statements[n]
		}
	}
	return nil
}

func (s *Service) askStatement(tx *journal.Tx, by access.Actor, inc *Incident, now time.Time, n NewUpdate, texts map[string]string, aud access.Audience) error {
	if by.Member == "" {
		return problem.New(problem.Denied, "this takes two people, and a token that stands for nobody is none", "sign in as yourself, or use a token of your own")
	}
	why := strip(n.Reason)
	if c := len([]rune(why)); c == 0 || c > signal.MaxReason {
		return fieldError("reason", fmt.Sprintf("enter why everyone may read this, in one sentence of up to %d characters; the second person reads it", signal.MaxReason))
	}
	for _, st := range inc.Statements {
		if st.State(now) == partner.RequestOpen && st.By.Partner == by.Partner {
			return problem.Newf(problem.Conflict, "public statement %d of your partner waits for its second person", st.Number).WithFix("let it be confirmed, or take it back first")
		}
	}
	def, err := s.leading(tx, inc)
	if err != nil {
		return err
	}
	b := stated{Number: len(inc.Statements) + 1, Kind: by.Kind, Name: n.Audience, Readers: aud, Texts: texts, Corrects: n.Corrects, Kinds: def.Authority.Activate.Kinds, Until: now.UTC().Truncate(time.Millisecond).Add(partner.RequestLife)}
	return s.append(tx, by, inc, now, "statement.asked", "", why, inc.room(by.Partner), b, inc.statementRef(b.Number))
}

// ConfirmStatement makes a statement public, as its second person.
func (s *Service) ConfirmStatement(ctx context.Context, by access.Actor, id string, number int) (Incident, error) {
	return s.settleStatement(ctx, by, id, number, "confirm", func(tx *journal.Tx, inc *Incident, st Statement, now time.Time) error {
		if by.Member == "" {
			return problem.New(problem.Denied, "this takes two people, and a token that stands for nobody is none", "sign in as yourself, or use a token of your own")
		}
		if !slices.Contains(st.Kinds, by.Kind) {
			return problem.Newf(problem.Denied, "a partner of kind %s makes nothing public", by.Kind).WithFix("leave it to a partner that may decide under the protocol")
		}
		if err := partner.Two(tx, st.By.Member, by, access.Officer); err != nil {
			return err
		}
		if left, err := partner.Left(tx, st.By.Partner); err != nil {
			return err
		} else if left {
			return problem.Newf(problem.Conflict, "%s is deactivated", st.By.Partner).WithFix("leave it; nobody speaks in its name any more")
		}
		of := access.Actor{Partner: st.By.Partner, Kind: st.Kind, Member: st.By.Member}
		return s.post(tx, by, of, inc, now, st.Audience, updated{Name: st.Name, Texts: st.Texts, Corrects: st.Corrects, Statement: st.Number})
	})
}

// RefuseStatement ends a statement that waits, without publishing it. Its writer
// takes it back by this.
func (s *Service) RefuseStatement(ctx context.Context, by access.Actor, id string, number int, reason string) (Incident, error) {
	reason, err := shortReason(reason)
	if err != nil {
		return Incident{}, err
	}
	return s.settleStatement(ctx, by, id, number, "refuse", func(tx *journal.Tx, inc *Incident, st Statement, now time.Time) error {
		if !st.MayRefuse(by) {
			return problem.Newf(problem.Denied, "only %s may refuse what is said in its name", st.By.Partner).WithFix("leave it: without a second person it lapses at %s UTC", st.Until.UTC().Format("15:04"))
		}
		return s.append(tx, by, inc, now, "statement.refused", "", reason, inc.room(st.By.Partner), settled{st.Number}, inc.statementRef(st.Number))
	})
}

func (s *Service) settleStatement(ctx context.Context, by access.Actor, id string, number int, verb string, fn func(tx *journal.Tx, inc *Incident, st Statement, now time.Time) error) (Incident, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.PostUpdate, now); err != nil {
		return Incident{}, err
	}
	return s.change(ctx, by, id, fmt.Sprintf("statement.%s %d", verb, number), now, func(tx *journal.Tx, inc *Incident) error {
		i := slices.IndexFunc(inc.Statements, func(st Statement) bool { return st.Number == number })
		if i < 0 {
			return problem.Newf(problem.NotFound, "incident %s has no public statement %d", inc.ID, number).WithFix("open its updates")
		}
		st := inc.Statements[i]
		switch st.State(now) {
		case partner.RequestConfirmed:
			return problem.Newf(problem.Conflict, "public statement %d was confirmed already", number).WithFix("nothing more is needed")
		case partner.RequestRefused, StatementErased:
			return problem.Newf(problem.Conflict, "public statement %d was refused", number).WithFix("write a new one if it is still needed")
		case partner.RequestLapsed:
			return problem.Newf(problem.Conflict, "public statement %d lapsed: nobody confirmed it within 30 minutes", number).WithFix("write a new one if it is still needed")
		}
		return fn(tx, inc, st, now)
	})
}

// lapse ends the statements whose time is over. Silence is refusal.
func (s *Service) lapse(tx *journal.Tx, inc *Incident, now time.Time) (some bool, err error) {
	for _, st := range inc.Statements {
		if st.Settled == "" && st.State(now) == partner.RequestLapsed {
			if err := s.append(tx, access.Actor{System: true}, inc, now, "statement.lapsed", "", "", inc.room(st.By.Partner), settled{st.Number}, inc.statementRef(st.Number)); err != nil {
				return some, err
			}
			some = true
		}
	}
	return some, nil
}

// applyStatement folds what became of statements. Who posted an update that was
// one is its second person; it speaks in the name of the first one's partner.
func (i *Incident) applyStatement(e journal.Entry, act Act) error {
	if e.Type == "statement.asked" {
		b := stated{Number: len(i.Statements) + 1}
		if err := e.Decode(&b); err != nil {
			return err
		}
		st := Statement{Number: b.Number, By: act, Kind: b.Kind, Name: b.Name, Audience: b.Readers, Texts: b.Texts, Corrects: b.Corrects, Why: e.Why, Kinds: b.Kinds, Until: b.Until}
		if e.Erased {
			st.Texts, st.Settled, st.Ended = map[string]string{}, StatementErased, act
		}
		i.Statements = append(i.Statements, st)
		return nil
	}
	if st := i.statementOf(e); st != nil {
		st.Settled, st.Ended = map[string]string{"statement.refused": partner.RequestRefused, "statement.lapsed": partner.RequestLapsed}[e.Type], act
	}
	return nil
}
