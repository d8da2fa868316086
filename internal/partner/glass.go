package partner

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// KindGlass is the kind of broken glasses.
const KindGlass = "glass"

// Glass is one use of break-glass: a person reads one object beyond their
// scope for a while.
type Glass struct {
	ID      string      `json:"id"`
	Partner string      `json:"partner"`
	Member  string      `json:"member"`
	Object  journal.Ref `json:"object"`
	Why     string      `json:"why"`
	At      time.Time   `json:"at"`
	Until   time.Time   `json:"until"`
}

type glassBroken struct {
	ID     string      `json:"id"`
	Object journal.Ref `json:"object"`
	Until  time.Time   `json:"until"`
}

func applyGlass(g *Glass, e journal.Entry) error {
	if e.Type != "glass.broken" {
		return nil
	}
	var b glassBroken
	if err := e.Decode(&b); err != nil {
		return err
	}
	*g = Glass{ID: b.ID, Partner: e.Partner, Member: e.Member, Object: b.Object, Why: e.Why, At: e.At, Until: b.Until}
	return nil
}

// BreakGlass lets the actor read one incident or signal beyond scope, for
// GlassLife. The use is journaled, for every partner to read, in the same
// transaction that gives the right: where the journal cannot be written,
// nothing opens. It says nothing about whether the object exists: a number
// that is not there opens nothing.
func (s *Service) BreakGlass(ctx context.Context, by access.Actor, object journal.Ref, why string) (Glass, error) {
	now := s.o.Now().UTC().Truncate(time.Millisecond)
	if err := access.Allow(by, access.BreakGlass, now); err != nil {
		return Glass{}, err
	}
	object.ID = strings.ToUpper(strings.TrimSpace(object.ID))
	why = clean(why, 500)
	var f problem.InvalidFields
	if (object.Kind != "incident" && object.Kind != "signal") || object.ID == "" || len(object.ID) > 40 {
		f.Add("object", "enter the number of an incident or a signal, for example IDN-2026-0007 or S-0401")
	}
	if len([]rune(why)) < 10 || len(why) > 500 {
		f.Add("reason", "enter why, in one sentence of 10 to 500 characters; every partner will read it")
	}
	if err := f.Err(); err != nil {
		return Glass{}, err
	}
	return journal.Do(ctx, s.o.Log, by, "glass.break", now, func(tx *journal.Tx) (Glass, error) {
		seq, err := tx.Next("glass")
		if err != nil {
			return Glass{}, err
		}
		b := glassBroken{ID: fmt.Sprintf("g%d", seq), Object: object, Until: now.Add(s.o.GlassLife)}
		e := journal.New("glass.broken", by, now, b, journal.Ref{Kind: KindGlass, ID: b.ID})
		e.Why = why
		// Power that reaches beyond its scope is used in the open.
		e.Audience = access.Audience{TLP: access.Green, Origin: by.Partner}
		if _, err := tx.Append(e); err != nil {
			return Glass{}, err
		}
		to, err := s.watchers(tx, object, by.Member)
		if err != nil {
			return Glass{}, err
		}
		if err := s.tell(tx, Notice{Kind: NoticeGlass, Members: to, About: journal.Ref{Kind: KindGlass, ID: b.ID}, Path: "/admin/break-glass"}); err != nil {
			return Glass{}, err
		}
		g, _, err := journal.Load[Glass](tx, KindGlass, b.ID)
		return g, err
	})
}

// watchers are the members who are told of a broken glass: administrators and
// observers of every partner, and the officers of the object's owner.
func (s *Service) watchers(r journal.StoreReader, object journal.Ref, but string) ([]string, error) {
	owner := ""
	if o, err := r.Object(object); err == nil {
		owner = o.Keys.Partner
	} else if problem.KindOf(err) != problem.NotFound {
		return nil, err
	}
	var out []string
	err := journal.Each(r, journal.ObjectQuery{Kind: KindMember, States: []string{"active"}}, func(m Member, _ journal.Object) error {
		has := func(role access.Role) bool { return slices.Contains(m.Roles, role) }
		if m.Enrolled && m.ID != but && (has(access.Administrator) || has(access.Observer) || (m.Partner == owner && has(access.Officer))) {
			out = append(out, m.ID)
		}
		return nil
	})
	return out, err
}

// glass returns what a member may read beyond scope now.
func (s *Service) glass(r journal.StoreReader, member string) ([]access.Glass, error) {
	var out []access.Glass
	now := s.o.Now()
	err := journal.Each(r, journal.ObjectQuery{Kind: KindGlass, Parent: member, Newest: true}, func(g Glass, _ journal.Object) error {
		if !now.Before(g.Until) {
			return journal.ErrStop // older ones ended before
		}
		out = append(out, access.Glass{Kind: g.Object.Kind, ID: g.Object.ID, Until: g.Until})
		return nil
	})
	return out, err
}

// Glasses lists every use of break-glass, the newest first, at most 100: all
// partners may read them.
func (s *Service) Glasses(ctx context.Context, by access.Actor) ([]Glass, error) {
	if err := access.Allow(by, access.ReadPartners, s.o.Now()); err != nil {
		return nil, err
	}
	out := []Glass{}
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		return journal.Each(r, journal.ObjectQuery{Kind: KindGlass, Newest: true}, func(g Glass, _ journal.Object) error {
			if len(out) == 100 {
				return journal.ErrStop
			}
			out = append(out, g)
			return nil
		})
	})
	return out, err
}
