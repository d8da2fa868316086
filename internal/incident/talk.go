package incident

import (
	"context"
	"fmt"
	"slices"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// Question is asked of partners, or of nobody in particular: then it is
// something that is not known. It is settled by an answer that says so.
type Question struct {
	Number  int      `json:"number"` // from 1 in the incident
	By      Act      `json:"by"`
	To      []string `json:"to,omitempty"` // partners; none: whoever knows
	Text    string   `json:"text"`
	Answers []Reply  `json:"answers,omitempty"`
	Settled bool     `json:"settled,omitempty"`
}

// Reply is an answer to a question.
type Reply struct {
	By   Act    `json:"by"`
	Text string `json:"text"`
}

// Waits reports whether the question waits for the partner.
func (q Question) Waits(partner string) bool {
	return !q.Settled && slices.Contains(q.To, partner) &&
		!slices.ContainsFunc(q.Answers, func(r Reply) bool { return r.By.Partner == partner })
}

type asked struct {
	Number int      `json:"number"`
	To     []string `json:"to,omitempty"`
	Text   string   `json:"text"`
}

type answered struct {
	Number  int    `json:"number"`
	Text    string `json:"text"`
	Settles bool   `json:"settles,omitempty"`
}

// MaxQuestion is the greatest number of characters of a question or an answer.
const MaxQuestion = 2000

func checkText(f *problem.InvalidFields, name, text, what string) {
	if n := len([]rune(text)); n == 0 {
		f.Add(name, "enter %s", what)
	} else if n > MaxQuestion {
		f.Add(name, "the text has %d characters, the limit is %d", n, MaxQuestion)
	}
}

// Ask asks partners something; with none, it notes what is not known.
func (s *Service) Ask(ctx context.Context, by access.Actor, id string, to []string, text string) (Incident, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.Ask, now); err != nil {
		return Incident{}, err
	}
	var f problem.InvalidFields
	text = strip(text)
	checkText(&f, "text", text, "the question, in one or two sentences")
	if err := f.Err(); err != nil {
		return Incident{}, err
	}
	return s.change(ctx, by, id, "question.ask", now, func(tx *journal.Tx, inc *Incident) error {
		if inc.Status.Phase == protocol.Closed {
			return problem.Newf(problem.Conflict, "incident %s is closed", inc.ID).WithFix("reopen it first")
		}
		to = slices.Compact(slices.Sorted(slices.Values(to)))
		readers, err := s.readers(tx, inc.Audience)
		if err != nil {
			return err
		}
		for _, p := range to {
			if !slices.Contains(readers, p) {
				return fieldError("to", fmt.Sprintf("%s does not see this incident; choose a partner that does", p))
			}
		}
		return s.append(tx, by, inc, now, "question.asked", "", "", inc.Audience, asked{len(inc.Questions) + 1, to, text})
	})
}

// Answer answers a question. settles says that nothing of it is open any more.
func (s *Service) Answer(ctx context.Context, by access.Actor, id string, number int, text string, settles bool) (Incident, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.Ask, now); err != nil {
		return Incident{}, err
	}
	var f problem.InvalidFields
	text = strip(text)
	checkText(&f, "text", text, "the answer; \"not known\" is one")
	if err := f.Err(); err != nil {
		return Incident{}, err
	}
	return s.change(ctx, by, id, fmt.Sprintf("question.answer %d", number), now, func(tx *journal.Tx, inc *Incident) error {
		i := slices.IndexFunc(inc.Questions, func(q Question) bool { return q.Number == number })
		if i < 0 {
			return problem.Newf(problem.NotFound, "incident %s has no question %d", inc.ID, number).WithFix("open its questions")
		}
		if inc.Questions[i].Settled {
			return problem.Newf(problem.Conflict, "question %d is settled", number).WithFix("ask a new one")
		}
		return s.append(tx, by, inc, now, "question.answered", "", "", inc.Audience, answered{number, text, settles})
	})
}

// readers are the partners that see what has the audience. Who is deactivated
// reads nothing.
func (s *Service) readers(r journal.StoreReader, aud access.Audience) ([]string, error) {
	all, err := partner.Acting(r)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, p := range all {
		if aud.SeenBy(p.ID, p.Kind) {
			out = append(out, p.ID)
		}
	}
	return out, nil
}

// Offer is a hand-over that waits for the other side: of the lead of a
// protocol to another partner, or of the shift to a colleague (then To is the
// offering partner itself). Until it is accepted, nothing has changed.
type Offer struct {
	Number   int    `json:"number"`
	Protocol string `json:"protocol,omitempty"` // "" for a shift
	To       string `json:"to"`                 // partner
	Note     string `json:"note"`
	By       Act    `json:"by"`
	Kind     string `json:"kind,omitempty"` // of the offering partner
	Accepted Act    `json:"accepted,omitzero"`
	Ended    bool   `json:"ended,omitempty"` // accepted or taken back
}

// Open reports whether the offer waits.
func (o Offer) Open() bool { return !o.Ended }

type offered struct {
	Number   int    `json:"number"`
	Protocol string `json:"protocol,omitempty"`
	To       string `json:"to"`
	Note     string `json:"note"`
	Kind     string `json:"kind,omitempty"`
}

type accepted struct {
	Number int  `json:"number"`
	Back   bool `json:"back,omitempty"` // taken back by the one who offered
}

// OfferHandover offers the lead of a protocol to a partner, or, without a
// protocol, the shift to a colleague of one's own partner.
func (s *Service) OfferHandover(ctx context.Context, by access.Actor, id, proto, to, note string) (Incident, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.PostUpdate, now); err != nil {
		return Incident{}, err
	}
	var f problem.InvalidFields
	note = strip(note)
	checkText(&f, "note", note, "what the next one must know: promises made, what waits, what is not known")
	if proto == "" {
		to = by.Partner
	}
	if to == "" {
		f.Add("to", "name the partner that shall lead")
	}
	if err := f.Err(); err != nil {
		return Incident{}, err
	}
	return s.change(ctx, by, id, "handover.offer", now, func(tx *journal.Tx, inc *Incident) error {
		for _, o := range inc.Offers {
			if o.Open() && o.Protocol == proto && o.By.Partner == by.Partner {
				return problem.Newf(problem.Conflict, "a hand-over to %s is open already", o.To).WithFix("take it back first")
			}
		}
		if proto != "" {
			if err := s.mayHandOver(tx, by, inc, proto, to, note); err != nil {
				return err
			}
			if to == by.Partner && slices.Contains(inc.Leaderless, proto) {
				// Nobody is there to give it: who may hand it on takes it at once.
				return s.act(tx, by, inc, proto, protocol.Action{Verb: protocol.HandOver, To: to, Reason: note}, now)
			}
		}
		return s.append(tx, by, inc, now, "handover.offered", "", "", inc.Audience, offered{len(inc.Offers) + 1, proto, to, note, string(by.Kind)})
	})
}

// mayHandOver asks the protocol whether the step would be allowed now.
func (s *Service) mayHandOver(r journal.StoreReader, by access.Actor, inc *Incident, proto, to, note string) error {
	if err := access.Allow(by, access.Activate, s.o.Now()); err != nil {
		return err
	}
	a, ok := inc.Activations[proto]
	if !ok {
		return problem.Newf(problem.NotFound, "%s was not proposed on %s", proto, inc.ID).WithFix("choose a protocol that runs")
	}
	def, err := s.defs.of(r, a)
	if err != nil {
		return err
	}
	_, err = protocol.Step(def, a, protocol.Action{Verb: protocol.HandOver, To: to, Reason: note}, by, s.o.Now())
	return err
}

// AnswerHandover accepts an offer, or takes one's own back. The lead is
// accepted by the partner that it was offered to, a shift by a colleague.
func (s *Service) AnswerHandover(ctx context.Context, by access.Actor, id string, number int, back bool) (Incident, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.PostUpdate, now); err != nil {
		return Incident{}, err
	}
	return s.change(ctx, by, id, fmt.Sprintf("handover.answer %d", number), now, func(tx *journal.Tx, inc *Incident) error {
		i := slices.IndexFunc(inc.Offers, func(o Offer) bool { return o.Number == number })
		if i < 0 {
			return problem.Newf(problem.NotFound, "incident %s has no hand-over %d", inc.ID, number).WithFix("open the page Hand-over")
		}
		o := inc.Offers[i]
		switch {
		case !o.Open():
			return problem.New(problem.Conflict, "this hand-over was answered already", "open the page Hand-over to see who holds it")
		case back && o.By.Partner != by.Partner:
			return problem.New(problem.Denied, "only the partner that offered may take it back", "accept it, or leave it")
		case !back && o.To != by.Partner:
			return problem.Newf(problem.Denied, "it was offered to %s", o.To).WithFix("ask %s to accept it", o.To)
		case !back && o.Protocol == "" && o.By.Member == by.Member:
			return problem.New(problem.Denied, "the one who offers the shift cannot accept it", "ask your colleague to press it")
		}
		if err := s.append(tx, by, inc, now, map[bool]string{true: "handover.taken_back", false: "handover.accepted"}[back], "", o.Note, inc.Audience, accepted{number, back}); err != nil {
			return err
		}
		if back || o.Protocol == "" {
			return nil
		}
		a := inc.Activations[o.Protocol]
		def, err := s.defs.of(tx, a)
		if err != nil {
			return err
		}
		giver := access.Actor{Partner: o.By.Partner, Kind: access.PartnerKind(o.Kind), Member: o.By.Member}
		events, err := protocol.Step(def, a, protocol.Action{Verb: protocol.HandOver, To: o.To, Reason: o.Note}, giver, now)
		if err != nil {
			return err
		}
		return s.appendEvents(tx, by, inc, now, events)
	})
}
