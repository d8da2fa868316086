package api

import (
	"context"
	"net/http"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/duty"
	"github.com/siaga-crp/siaga/internal/notify"
)

// Shift is one of the weekly pattern.
type Shift struct {
	Days    []int    `json:"days" doc:"Days on which it begins: 0 is Sunday"`
	From    string   `json:"from" example:"22:00" doc:"On the wall of the roster's zone"`
	Until   string   `json:"until" example:"06:00" doc:"Not after from: on the next day"`
	Members []string `json:"members" doc:"In the order in which they are called"`
}

// Pattern is what a roster repeats.
type Pattern struct {
	Zone     string         `json:"zone,omitempty" example:"Asia/Jakarta" doc:"Default: as it is"`
	Shifts   []Shift        `json:"shifts"`
	Holidays []duty.Holiday `json:"holidays,omitempty"`
	Backup   []string       `json:"backup,omitempty" doc:"Members called after those on duty"`
}

// Roster is who of your partner is on duty.
type Roster struct {
	Partner   string          `json:"partner"`
	Pattern   Pattern         `json:"pattern"`
	Overrides []duty.Override `json:"overrides"`
	Offer     *duty.Offer     `json:"offer,omitempty" doc:"A hand-over that the other one has not accepted yet"`
	Now       duty.Span       `json:"now"`
	Next      *duty.Span      `json:"next,omitempty"`
	Ahead     []duty.Span     `json:"ahead" doc:"The coming days, without holes"`
	Gaps      []duty.Span     `json:"gaps" doc:"When nobody is on duty"`
	Days      int             `json:"days" doc:"How many days ahead and gaps look"`
}

func roster(v duty.View) *struct{ Body Roster } {
	out := Roster{
		Partner: v.Partner, Overrides: list(v.Overrides), Offer: v.Offer, Now: span(v.Now), Next: v.Next, Ahead: []duty.Span{}, Gaps: []duty.Span{}, Days: v.Days,
		Pattern: Pattern{Zone: v.Pattern.Zone, Shifts: []Shift{}, Holidays: v.Pattern.Holidays, Backup: v.Pattern.Backup},
	}
	for _, s := range v.Pattern.Shifts {
		sh := Shift{From: s.From.String(), Until: s.Until.String(), Members: list(s.Members), Days: []int{}}
		for _, d := range s.Days {
			sh.Days = append(sh.Days, int(d))
		}
		out.Pattern.Shifts = append(out.Pattern.Shifts, sh)
	}
	for _, s := range v.Ahead {
		out.Ahead = append(out.Ahead, span(s))
	}
	for _, s := range v.Gaps {
		out.Gaps = append(out.Gaps, span(s))
	}
	if out.Next != nil {
		n := span(*out.Next)
		out.Next = &n
	}
	return &struct{ Body Roster }{out}
}

func span(s duty.Span) duty.Span {
	s.From, s.Until, s.Members = s.From.UTC(), s.Until.UTC(), list(s.Members)
	return s
}

func (p Pattern) parse() duty.Pattern {
	out := duty.Pattern{Zone: p.Zone, Holidays: p.Holidays, Backup: p.Backup, Shifts: []duty.Shift{}}
	for _, s := range p.Shifts {
		sh := duty.Shift{Members: s.Members}
		for _, d := range s.Days {
			sh.Days = append(sh.Days, time.Weekday(d))
		}
		var ok bool
		if sh.From, ok = duty.ParseClock(s.From); !ok {
			sh.From = -1 // the service says what is wrong
		}
		if sh.Until, ok = duty.ParseClock(s.Until); !ok {
			sh.Until = -1
		}
		out.Shifts = append(out.Shifts, sh)
	}
	return out
}

func (s *server) dutyRoutes() {
	type out = struct{ Body Roster }
	answer := func(v duty.View, err error) (*out, error) {
		if err != nil {
			return nil, err
		}
		return roster(v), nil
	}
	add(s, op{"get-roster", http.MethodGet, "/api/v1/duty", "Read your partner's roster: who is on duty, who is next, and gaps", access.ReadDuty, http.StatusOK},
		func(ctx context.Context, _ *struct{}) (*out, error) { return answer(s.Duty.Get(ctx, actor(ctx))) })
	add(s, op{"set-roster", http.MethodPut, "/api/v1/duty", "Replace the weekly pattern, holidays and backup of your partner's roster", access.ManageDuty, http.StatusOK},
		func(ctx context.Context, in *struct{ Body Pattern }) (*out, error) {
			return answer(s.Duty.Set(ctx, actor(ctx), in.Body.parse()))
		})
	add(s, op{"add-override", http.MethodPost, "/api/v1/duty/overrides", "Put others on duty for a time", access.ManageDuty, http.StatusCreated},
		func(ctx context.Context, in *struct{ Body duty.NewOverride }) (*out, error) {
			return answer(s.Duty.Override(ctx, actor(ctx), in.Body))
		})
	add(s, op{"remove-override", http.MethodDelete, "/api/v1/duty/overrides/{id}", "Take an override back", access.ManageDuty, http.StatusOK},
		func(ctx context.Context, in *IDInput) (*out, error) {
			return answer(s.Duty.RemoveOverride(ctx, actor(ctx), in.ID))
		})
	add(s, op{"offer-shift", http.MethodPost, "/api/v1/duty/handovers", "Offer the rest of your own shift to a colleague", access.HandOver, http.StatusCreated},
		func(ctx context.Context, in *struct{ Body duty.NewOffer }) (*out, error) {
			return answer(s.Duty.HandOver(ctx, actor(ctx), in.Body))
		})
	add(s, op{"answer-shift", http.MethodPost, "/api/v1/duty/handovers/{id}", "Accept a shift that was offered to you, or take an offer back", access.HandOver, http.StatusOK},
		func(ctx context.Context, in *struct {
			IDInput
			Body struct {
				Accept bool `json:"accept" doc:"false: withdraw it"`
			}
		},
		) (*out, error) {
			return answer(s.Duty.Answer(ctx, actor(ctx), in.ID, in.Body.Accept))
		})
}

// Channel is a way to reach a duty contact, without its secrets.
type Channel struct {
	notify.Row
	State string `json:"state" enum:"works,failing,untested,ended"`
}

// TestedChannel is a channel after a test.
type TestedChannel struct {
	notify.Channel
	State string `json:"state" enum:"works,failing,untested,ended"`
}

// CallAnswer answers a call.
type CallAnswer struct {
	Code string `json:"code" maxLength:"40" doc:"The last part of the message's link"`
	Pass bool   `json:"pass,omitempty" doc:"Not me: the next person is called at once"`
}

// AnsweredCall is how a call stands after an answer.
type AnsweredCall struct {
	Number   string    `json:"number" doc:"What it is about, for example an incident"`
	Exercise bool      `json:"exercise"`
	Ask      string    `json:"ask" doc:"What was asked: notified, vote, active, due, overdue or threat"`
	State    string    `json:"state" enum:"open,late,seen,other,passed,over,stranger"`
	Deadline time.Time `json:"deadline,omitzero"`
	At       time.Time `json:"at,omitzero" doc:"When it was answered"`
}

// PushKey is the key that browsers want before they take messages.
type PushKey struct {
	Key string `json:"key" doc:"VAPID, RFC 8292: base64url; empty: the node sends none"`
}

func (s *server) messageRoutes() {
	add(s, op{"list-channels", http.MethodGet, "/api/v1/channels", "List the channels of your partner's duty contacts, failing ones first; an operator sees the state of all", access.ReadMessages, http.StatusOK},
		func(ctx context.Context, _ *struct{}) (*struct{ Body Page[Channel] }, error) {
			rows, err := s.Notify.Rows(ctx, actor(ctx))
			out := &struct{ Body Page[Channel] }{Page[Channel]{Items: []Channel{}}}
			for _, r := range rows {
				out.Body.Items = append(out.Body.Items, Channel{r, r.Channel.State()})
			}
			return out, err
		})
	add(s, op{"add-channel", http.MethodPost, "/api/v1/channels", "Add a channel; of a webhook the answer has its key, this once", access.ManageChannels, http.StatusCreated},
		func(ctx context.Context, in *struct{ Body notify.NewChannel }) (*struct{ Body notify.Added }, error) {
			c, err := s.Notify.Add(ctx, actor(ctx), in.Body)
			return &struct{ Body notify.Added }{c}, err
		})
	add(s, op{"remove-channel", http.MethodDelete, "/api/v1/channels/{id}", "Remove a channel with its secret", access.ManageChannels, http.StatusNoContent},
		func(ctx context.Context, in *IDInput) (*struct{}, error) {
			return nil, s.Notify.Remove(ctx, actor(ctx), in.ID)
		})
	add(s, op{"test-channel", http.MethodPost, "/api/v1/channels/{id}/test", "Send a test message now; the answer says whether it was sent, and if not why", access.ManageChannels, http.StatusOK},
		func(ctx context.Context, in *IDInput) (*struct{ Body TestedChannel }, error) {
			c, err := s.Notify.Test(ctx, actor(ctx), in.ID)
			return &struct{ Body TestedChannel }{TestedChannel{c, c.State()}}, err
		})
	add(s, op{"list-calls", http.MethodGet, "/api/v1/calls", "List the newest calls of your partner: who was told, how, and what came of it", access.ReadMessages, http.StatusOK},
		func(ctx context.Context, _ *struct{}) (*struct{ Body Page[notify.Call] }, error) {
			calls, err := s.Notify.Calls(ctx, actor(ctx), 100)
			return &struct{ Body Page[notify.Call] }{Page[notify.Call]{Items: calls}}, err
		})
	add(s, op{"answer-call", http.MethodPost, "/api/v1/calls/answer", "Answer a call by the code in its message, as its page does: seen, or passed on to the next person", access.Acknowledge, http.StatusOK},
		func(ctx context.Context, in *struct{ Body CallAnswer }) (*struct{ Body AnsweredCall }, error) {
			if err := access.Allow(actor(ctx), access.Acknowledge, s.Now()); err != nil {
				return nil, err
			}
			a, err := s.Notify.Press(ctx, actor(ctx), in.Body.Code, in.Body.Pass)
			return &struct{ Body AnsweredCall }{AnsweredCall{a.Number, a.Exercise, a.Ask, a.State, a.Deadline, a.At}}, err
		})
	add(s, op{"get-push-key", http.MethodGet, "/api/v1/push-key", "Read the node's public key for web push, which a channel of the kind push is made with", access.ReadMessages, http.StatusOK},
		func(ctx context.Context, _ *struct{}) (*struct{ Body PushKey }, error) {
			return &struct{ Body PushKey }{PushKey{s.Notify.PushKey()}}, access.Allow(actor(ctx), access.ReadMessages, s.Now())
		})
	add(s, op{"list-acknowledgements", http.MethodGet, "/api/v1/incidents/{id}/acknowledgements", "Who has acknowledged, by partner, with the last attempt and the next", access.ReadIncidents, http.StatusOK},
		func(ctx context.Context, in *IDInput) (*struct{ Body Page[notify.Standing] }, error) {
			st, err := s.Notify.Acknowledgements(ctx, actor(ctx), in.ID)
			return &struct{ Body Page[notify.Standing] }{Page[notify.Standing]{Items: st}}, err
		})
}
