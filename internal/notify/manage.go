package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
)

// maxChannels is how many channels a member may have.
const maxChannels = 12

// Added is a channel that was added.
type Added struct {
	Channel
	// Key signs what is sent to a webhook (Standard Webhooks, "whsec_…"). It is
	// shown this once.
	Key string `json:"key,omitempty"`
}

// Add adds a channel to the actor, or by an administrator to a member of its
// partner.
func (s *Service) Add(ctx context.Context, by access.Actor, n NewChannel) (Added, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.ManageChannels, now); err != nil {
		return Added{}, err
	}
	if n.Member == "" {
		n.Member = by.Member
	}
	if n.Member != by.Member && !by.Has(access.Administrator) {
		return Added{}, problem.New(problem.Denied, "channels of others are an administrator's", "add it to yourself, or ask an administrator of your partner")
	}
	k, shown, err := n.check(s.o.Guard)
	if err != nil {
		return Added{}, err
	}
	if n.Kind == Webhook {
		k.Key = newKey()
	}
	id := newID()
	c, err := journal.Do(ctx, s.o.Log, by, "channel.add", now, func(tx *journal.Tx) (Channel, error) {
		m, _, err := journal.Load[partner.Member](tx, partner.KindMember, n.Member)
		if problem.KindOf(err) == problem.NotFound || err == nil && m.Partner != by.Partner {
			return Channel{}, invalid("member", "choose a member of your partner")
		}
		if err != nil {
			return Channel{}, err
		}
		list, err := channelsOf(tx, by.Partner, n.Member)
		if err != nil {
			return Channel{}, err
		}
		if len(list) >= maxChannels {
			return Channel{}, invalid("kind", fmt.Sprintf("a person has up to %d channels; remove one first", maxChannels))
		}
		if n.Kind == Push {
			if err := replaced(tx, by, n.Member, shown, now); err != nil {
				return Channel{}, err
			}
		}
		c := Channel{Member: n.Member, Partner: by.Partner, Kind: n.Kind, Shown: shown, Phone: n.Phone}
		for _, x := range list {
			c.Order = max(c.Order, x.Order+1)
		}
		e := journal.New("channel.added", by, now, c, journal.Ref{Kind: KindChannel, ID: id})
		e.Audience = access.Audience{TLP: access.AmberStrict, Origin: by.Partner}
		if _, err := tx.Append(e); err != nil {
			return Channel{}, err
		}
		plain, err := json.Marshal(k)
		if err != nil {
			return Channel{}, err
		}
		if err := tx.PutPrivate(journal.Private{Kind: KindChannel, ID: id, Owner: n.Member, Doc: s.o.Seal.Seal(plain, KindChannel+" "+id)}); err != nil {
			return Channel{}, err
		}
		c, _, err = journal.Load[Channel](tx, KindChannel, id)
		return c, err
	})
	if err != nil {
		return Added{}, err
	}
	if c.ID != id { // an answer to a request that was made before: its secret was shown then
		k.Key = ""
	}
	return Added{c, k.Key}, nil
}

// replaced removes the ended channels of a browser that is added again: those
// of the member with its name.
func replaced(tx *journal.Tx, by access.Actor, member, shown string, now time.Time) error {
	var old []Channel
	err := journal.Each(tx, journal.ObjectQuery{Kind: KindChannel, Partner: by.Partner, Parent: member, States: []string{"ended"}}, func(c Channel, _ journal.Object) error {
		if c.Kind == Push && c.Shown == shown {
			old = append(old, c)
		}
		return nil
	})
	for _, c := range old {
		if err == nil {
			e := journal.New("channel.removed", by, now, nil, journal.Ref{Kind: KindChannel, ID: c.ID})
			e.Audience = access.Audience{TLP: access.AmberStrict, Origin: c.Partner}
			_, err = tx.Append(e)
		}
	}
	return err
}

func channelsOf(r journal.StoreReader, partnerID, member string) ([]Channel, error) {
	var out []Channel
	err := journal.Each(r, journal.ObjectQuery{Kind: KindChannel, Partner: partnerID, Parent: member, States: []string{"active"}}, func(c Channel, _ journal.Object) error {
		out = append(out, c)
		return nil
	})
	return out, err
}

// mine returns the channel if the actor may manage it: the member's own, an
// administrator's for the partner.
func mine(r journal.StoreReader, by access.Actor, id string) (Channel, error) {
	c, _, err := journal.Load[Channel](r, KindChannel, id)
	if problem.KindOf(err) == problem.NotFound || err == nil && (c.Removed || c.Partner != by.Partner) {
		return c, notFound("channel")
	}
	if err == nil && (c.Member != by.Member || by.Member == "") && !by.Has(access.Administrator) {
		return c, problem.New(problem.Denied, "this channel is another person's", "ask them, or an administrator of your partner")
	}
	return c, err
}

// Remove removes a channel with its secret.
func (s *Service) Remove(ctx context.Context, by access.Actor, id string) error {
	now := s.o.Now()
	if err := access.Allow(by, access.ManageChannels, now); err != nil {
		return err
	}
	_, err := journal.Do(ctx, s.o.Log, by, "channel.remove "+id, now, func(tx *journal.Tx) (struct{}, error) {
		c, err := mine(tx, by, id)
		if err != nil {
			return struct{}{}, err
		}
		e := journal.New("channel.removed", by, now, nil, journal.Ref{Kind: KindChannel, ID: id})
		e.Audience = access.Audience{TLP: access.AmberStrict, Origin: c.Partner}
		if _, err := tx.Append(e); err != nil {
			return struct{}{}, err
		}
		return struct{}{}, tx.DeletePrivate(KindChannel, id)
	})
	return err
}

// Test sends a test message by the channel, now, and returns the channel as it
// stands then.
func (s *Service) Test(ctx context.Context, by access.Actor, id string) (Channel, error) {
	if err := access.Allow(by, access.ManageChannels, s.o.Now()); err != nil {
		return Channel{}, err
	}
	var c Channel
	var m partner.Member
	err := s.o.Log.View(ctx, func(r journal.StoreReader) (err error) {
		if c, err = mine(r, by, id); err != nil {
			return err
		}
		if !c.Ended.IsZero() {
			return problem.New(problem.Conflict, "this channel has ended: the browser's address is gone", "add the browser again, with the browser itself")
		}
		m, _, err = journal.Load[partner.Member](r, partner.KindMember, c.Member)
		return err
	})
	if err != nil {
		return c, err
	}
	k, err := s.secretOf(ctx, id)
	if err != nil {
		return c, err
	}
	_, err = s.sender.send(ctx, c, k, s.testNote(m.Language))
	return s.note(ctx, c, err, "test")
}

func (s *Service) testNote(lang string) note {
	link := s.o.URL() + "/messages"
	text := s.o.Words(lang, "msg.test")
	return note{ID: "msg_" + newID(), Type: "siaga.test", Text: text + " " + link, Subject: text, Link: link, Real: true}
}

// note stores what came of a test.
func (s *Service) note(ctx context.Context, c Channel, err error, how string) (Channel, error) {
	reason := ""
	if err != nil {
		reason, _ = reasonOf(err)
		s.o.Logger.WarnContext(ctx, "channel does not work", "channel", c.ID, "kind", c.Kind, "reason", reason, "how", how)
	}
	// What was sent is written down, though the one who asked may have gone.
	kept, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTime)
	defer cancel()
	uerr := s.o.Log.Update(kept, func(tx *journal.Tx) error {
		if err := s.checked(tx, c, reason != "", reason, how, s.o.Now()); err != nil {
			return err
		}
		c, _, err = journal.Load[Channel](tx, KindChannel, c.ID)
		return err
	})
	return c, uerr
}

// SelfTestTime is how long the self-test may take: with so many testers, that
// is enough for some 700 channels that all hang.
const (
	SelfTestTime = 30 * time.Minute
	selfTesters  = 8
)

// SelfTest asks every channel whether it would work, several at once, so that
// one that hangs keeps no other from being asked; those that were not heard of
// for longest come first. It runs once a night. What is wrong with the test of
// one channel is returned after the others were asked.
func (s *Service) SelfTest(ctx context.Context, _ struct{}) error {
	var list []Channel
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		return journal.Each(r, journal.ObjectQuery{Kind: KindChannel, States: []string{"active"}}, func(c Channel, _ journal.Object) error {
			list = append(list, c)
			return nil
		})
	})
	if err != nil {
		return err
	}
	slices.SortStableFunc(list, func(a, b Channel) int { return a.Checked.Compare(b.Checked) })
	mail := sync.OnceValue(func() error { // one server for all of them
		_, err := s.sender.probe(ctx, Channel{Kind: Email}, secret{}, note{})
		return err
	})
	errs := make([]error, len(list))
	var wg sync.WaitGroup
	slots := make(chan struct{}, selfTesters)
	for i, c := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			errs[i] = s.selfTest(ctx, c, mail)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// selfTest asks one channel and writes down what came of it.
func (s *Service) selfTest(ctx context.Context, c Channel, mail func() error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("testing channel %s: %w", c.ID, ctx.Err())
	}
	k, err := s.secretOf(ctx, c.ID)
	if problem.KindOf(err) == problem.NotFound {
		return nil // it was removed, or has ended, meanwhile
	}
	if err != nil {
		return fmt.Errorf("reading the secret of channel %s: %w", c.ID, err)
	}
	if c.Kind == Email {
		err = mail()
	} else {
		var tested bool
		if tested, err = s.sender.probe(ctx, c, k, s.testNote("en")); !tested {
			return nil
		}
	}
	if err != nil && ctx.Err() != nil { // our time is over, which says nothing of the channel
		return fmt.Errorf("testing channel %s: %w", c.ID, ctx.Err())
	}
	_, err = s.note(ctx, c, err, "selftest")
	return err
}

// Row is a line of the page of messages: a channel of a duty contact, and what
// was last sent by it.
type Row struct {
	Channel
	Name string    `json:"name"` // of the member; "" where only the state is shown
	Last time.Time `json:"last,omitzero"`
	Sent string    `json:"sent,omitempty"` // state of the last message
	Asks int       `json:"asks"`           // open calls of this member
}

// Rows returns the channels of the actor's partner, failing ones first, and for
// an operator also those of the others, without names and addresses.
func (s *Service) Rows(ctx context.Context, by access.Actor) ([]Row, error) {
	if err := access.Allow(by, access.ReadMessages, s.o.Now()); err != nil {
		return nil, err
	}
	var out []Row
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		last := make(map[string]Attempt)
		asks := make(map[string]int)
		err := journal.Each(r, journal.ObjectQuery{Kind: KindCall, Partner: by.Partner, Newest: true}, func(c Call, _ journal.Object) error {
			for _, p := range c.People {
				if c.State == Calling && p.Passed.IsZero() {
					asks[p.Member]++
				}
				for _, a := range p.Attempts {
					if a.At.After(last[a.Channel].At) {
						last[a.Channel] = a
					}
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		if err := journal.Each(r, journal.ObjectQuery{Kind: KindNotice, Newest: true}, func(n Notice, _ journal.Object) error {
			if s.o.Now().Sub(n.At) > 30*24*time.Hour {
				return journal.ErrStop
			}
			for _, p := range n.People {
				for _, a := range p.Attempts {
					if a.At.After(last[a.Channel].At) {
						last[a.Channel] = a
					}
				}
			}
			return nil
		}); err != nil {
			return err
		}
		q := journal.ObjectQuery{Kind: KindChannel, States: []string{"active", "ended"}}
		if !by.Has(access.Operator) {
			q.Partner = by.Partner
		}
		return journal.Each(r, q, func(c Channel, _ journal.Object) error {
			row := Row{Channel: c, Last: last[c.ID].At, Sent: last[c.ID].State, Asks: asks[c.Member]}
			if c.Partner != by.Partner {
				row.Shown, row.Member = "", ""
			} else if m, _, err := journal.Load[partner.Member](r, partner.KindMember, c.Member); err == nil {
				row.Name = m.Name
			}
			out = append(out, row)
			return nil
		})
	})
	slices.SortStableFunc(out, func(a, b Row) int { return b2i(b.Failing) - b2i(a.Failing) })
	return out, err
}

// Failing returns the channels that do not work: of the actor's partner for its
// administrators, of all for an operator.
func (s *Service) Failing(ctx context.Context, by access.Actor) ([]Row, error) {
	if !by.Has(access.Administrator) && !by.Has(access.Operator) {
		return nil, nil
	}
	rows, err := s.Rows(ctx, by)
	return slices.DeleteFunc(rows, func(r Row) bool { return !r.Failing }), err
}

// Calls returns the newest calls of the actor's partner.
func (s *Service) Calls(ctx context.Context, by access.Actor, limit int) ([]Call, error) {
	if err := access.Allow(by, access.ReadMessages, s.o.Now()); err != nil {
		return nil, err
	}
	var out []Call
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		list, err := r.Objects(journal.ObjectQuery{Kind: KindCall, Partner: by.Partner, Newest: true, Limit: limit})
		for _, o := range list {
			var c Call
			if err := json.Unmarshal(o.Doc, &c); err != nil {
				return fmt.Errorf("reading call %s: %w", o.ID, err)
			}
			out = append(out, c)
		}
		return err
	})
	return out, err
}
