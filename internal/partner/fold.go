package partner

import (
	"cmp"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/journal"
)

// Folds returns the folds of partners, members and tokens.
func Folds() []journal.Fold {
	return []journal.Fold{
		journal.FoldOf(KindPartner, applyPartner, func(p *Partner) journal.Keys {
			return journal.Keys{State: string(p.Kind), Partner: p.ID, Sort: p.ID, Text: strings.ToLower(p.Name + " " + p.ID)}
		}),
		journal.FoldOf(KindMember, applyMember, func(m *Member) journal.Keys {
			state := "active"
			if m.Disabled {
				state = "disabled"
			}
			return journal.Keys{State: state, Partner: m.Partner, Parent: m.Person, Unique: m.Email, Sort: m.ID, Text: strings.ToLower(m.Name)}
		}),
		journal.FoldOf(KindToken, applyToken, func(t *Token) journal.Keys {
			state := "active"
			if !t.Revoked.IsZero() {
				state = "revoked"
			}
			return journal.Keys{State: state, Partner: t.Partner, Parent: t.Member, Sort: t.ID}
		}),
		journal.FoldOf(KindGlass, applyGlass, func(g *Glass) journal.Keys {
			return journal.Keys{Partner: g.Partner, Parent: g.Member, Sort: byTime(g.At)}
		}),
		journal.FoldOf(KindRequest, applyRequest, func(q *Request) journal.Keys {
			return journal.Keys{State: cmp.Or(q.Settled, RequestOpen), Partner: q.Partner, Sort: byTime(q.At)}
		}),
	}
}

// byTime sorts as time does, which numbers such as g9 and g10 do not.
func byTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func applyPartner(p *Partner, e journal.Entry) error {
	switch e.Type {
	case "partner.disabled":
		p.Disabled, p.LeftAt = true, e.At
		return nil
	case "partner.enabled":
		p.Disabled, p.LeftAt = false, time.Time{}
		return nil
	case "partner.added":
	default:
		return nil
	}
	var n NewPartner
	if err := e.Decode(&n); err != nil {
		return err
	}
	*p = Partner{
		ID: n.ID, Name: n.Name, Kind: n.Kind, Country: n.Country, Zone: n.Zone, Languages: n.Languages,
		Contact: n.Contact, Lead: n.Lead, AddedAt: e.At, AddedBy: e.Partner,
	}
	return nil
}

func applyMember(m *Member, e journal.Entry) error {
	switch e.Type {
	case "member.added":
		var n memberAdded
		if err := e.Decode(&n); err != nil {
			return err
		}
		*m = Member{
			ID: n.ID, Partner: n.Partner, Person: n.Person, Name: n.Name, Email: n.Email, Roles: n.Roles,
			Language: n.Language, Zone: n.Zone, AddedAt: e.At,
		}
		if e.Erased { // the person's data is gone; the number stays
			m.ID, m.Disabled = e.About[0].ID, true
		}
	case "member.enrolled", "member.joined":
		m.Enrolled = true
	case "member.profile_changed":
		var p Profile
		if err := e.Decode(&p); err != nil {
			return err
		}
		m.Language, m.Zone = p.Language, p.Zone
	case "member.changed":
		var c Change
		if err := e.Decode(&c); err != nil {
			return err
		}
		if c.Roles != nil {
			m.Roles = c.Roles
		}
		if c.Disable {
			m.Disabled = true
		}
		if c.Enable {
			m.Disabled = false
		}
	}
	return nil
}

func applyToken(t *Token, e journal.Entry) error {
	switch e.Type {
	case "token.created":
		var n tokenCreated
		if err := e.Decode(&n); err != nil {
			return err
		}
		*t = Token{ID: n.ID, Partner: n.Partner, Name: n.Name, Roles: n.Roles, Scopes: n.Scopes, Created: e.At, Creator: e.Member, Expires: n.Expires, Member: n.Member}
	case "token.revoked":
		t.Revoked = e.At
	}
	return nil
}
