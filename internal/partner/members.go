package partner

import (
	"context"
	"encoding/json"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/language"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
)

// NewMember is what is needed to add a member.
type NewMember struct {
	Partner  string        `json:"partner"`
	Name     string        `json:"name"`
	Email    string        `json:"email"`
	Roles    []access.Role `json:"roles"`
	Language string        `json:"language,omitempty"`
	Zone     string        `json:"zone,omitempty"`
}

// MemberRoles lists the roles that a person can have: all but a machine's.
func MemberRoles() []access.Role { return slices.DeleteFunc(access.Roles(), access.Role.Machine) }

func (m *NewMember) check() error {
	f := m.mistakes()
	return f.Err()
}

// mistakes also brings the fields into their form.
func (m *NewMember) mistakes() (f problem.InvalidFields) {
	m.Name = clean(m.Name, 120)
	if m.Name == "" || len(m.Name) > 120 {
		f.Add("name", "enter the member's name, up to 120 characters")
	}
	m.Email = strings.ToLower(clean(m.Email, 254))
	if a, err := mail.ParseAddress(m.Email); err != nil || a.Address != m.Email || len(m.Email) > 254 {
		f.Add("email", "enter an e-mail address, for example ayu@nusa.example")
	}
	if len(m.Roles) == 0 {
		f.Add("roles", "choose at least one role")
	}
	for _, r := range m.Roles {
		if !slices.Contains(access.Roles(), r) || r.Machine() {
			f.Add("roles", "choose from administrator, officer, analyst, approver, reviewer, observer and operator; %q is none of them", r)
		}
	}
	if m.Language == "" {
		m.Language = "en"
	}
	if _, err := language.Parse(m.Language); err != nil {
		f.Add("language", "enter a language by its code, for example id")
	}
	if m.Zone != "" {
		if _, err := time.LoadLocation(m.Zone); err != nil {
			f.Add("zone", "enter a time zone by its name, for example Asia/Jakarta")
		}
	}
	return f
}

// AddMember invites a person to the actor's own partner and returns the
// one-time code of the invitation. Someone who is a member elsewhere is invited
// in the same way, and accepts signed in with the account that is there; who
// invites does not learn which of the two it is.
func (s *Service) AddMember(ctx context.Context, by access.Actor, n NewMember) (Member, string, error) {
	if err := access.Allow(by, access.ManageMembers, s.o.Now()); err != nil {
		return Member{}, "", err
	}
	if n.Partner == "" {
		n.Partner = by.Partner
	}
	if n.Partner != by.Partner && !by.Shell {
		return Member{}, "", problem.New(problem.Denied, "members are added by an administrator of their own partner", "ask that partner's administrator")
	}
	if err := n.check(); err != nil {
		return Member{}, "", err
	}
	type added struct {
		Member
		code string
	}
	now := s.o.Now()
	a, err := journal.DoSecret(ctx, s.o.Log, by, "member.add", now, func(tx *journal.Tx) (a added, err error) {
		if _, err = Load(tx, n.Partner); err != nil {
			return a, err
		}
		if administrator(n.Roles) {
			if err := alone(tx, by, n.Partner, ""); err != nil {
				return a, err
			}
		}
		a.Member, a.code, err = s.addMember(tx, by, now, n, agreed{Shell: by.Shell})
		return a, err
	})
	return a.Member, a.code, err
}

type memberAdded struct {
	NewMember
	agreed
	ID     string `json:"id"`
	Person string `json:"person,omitempty"`
}

// personOf returns the account of an address that is known from another
// partner, "" if it is new here. An address of the partner itself is a Conflict.
func personOf(tx *journal.Tx, n NewMember) (string, error) {
	person := ""
	err := journal.Each(tx, journal.ObjectQuery{Kind: KindMember, Unique: n.Email}, func(m Member, _ journal.Object) error {
		switch {
		case m.Disabled && !m.Enrolled: // an invitation that was taken back
		case m.Partner == n.Partner:
			return problem.New(problem.Conflict, "a member with this e-mail address is there already", "use another address, or change that member's roles")
		default:
			person = m.Account()
		}
		return nil
	})
	return person, err
}

func (s *Service) addMember(tx *journal.Tx, by access.Actor, now time.Time, n NewMember, both agreed) (Member, string, error) {
	person, err := personOf(tx, n)
	if err != nil {
		return Member{}, "", err
	}
	seq, err := tx.Next("member")
	if err != nil {
		return Member{}, "", err
	}
	id := fmt.Sprintf("m%d", seq)
	e := journal.New("member.added", by, now, memberAdded{n, both, id, person}, journal.Ref{Kind: KindMember, ID: id}, journal.Ref{Kind: KindPartner, ID: n.Partner})
	e.Audience = access.Audience{TLP: access.AmberStrict, Origin: n.Partner}
	if _, err := tx.Append(e); err != nil {
		return Member{}, "", err
	}
	m, _, err := journal.Load[Member](tx, KindMember, id)
	if err != nil {
		return Member{}, "", err
	}
	code, err := issue(tx, codeDoc{Member: id, Purpose: purposeFirst}, now.Add(s.o.CodeLife))
	return m, code, err
}

// Members returns the members of the actor's own partner.
func (s *Service) Members(ctx context.Context, by access.Actor) ([]Member, error) {
	if err := access.Allow(by, access.ReadPartners, s.o.Now()); err != nil {
		return nil, err
	}
	var out []Member
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		return journal.Each(r, journal.ObjectQuery{Kind: KindMember, Partner: by.Partner}, func(m Member, _ journal.Object) error {
			out = append(out, m)
			return nil
		})
	})
	return out, err
}

// MemberInfo is what an administrator sees of a member's sign-in.
type MemberInfo struct {
	Member
	Invited  time.Time `json:"invited_until,omitzero"` // the invitation is open until then
	Passkeys int       `json:"passkeys"`
	Password bool      `json:"password"`
	Links    int       `json:"links"`
	Sessions int       `json:"sessions"`
}

// State is active, invited, lapsed (the invitation's time is over), withdrawn
// (the invitation was taken back) or disabled.
func (m MemberInfo) State(now time.Time) string {
	switch {
	case m.Disabled && !m.Enrolled:
		return "withdrawn"
	case m.Disabled:
		return "disabled"
	case m.Enrolled:
		return "active"
	case now.Before(m.Invited):
		return "invited"
	}
	return "lapsed"
}

// Roster returns the members of the actor's own partner with the state of
// their sign-in.
func (s *Service) Roster(ctx context.Context, by access.Actor) ([]MemberInfo, error) {
	if err := access.Allow(by, access.ReadMembers, s.o.Now()); err != nil {
		return nil, err
	}
	out := []MemberInfo{}
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		var ms []Member
		if err := journal.Each(r, journal.ObjectQuery{Kind: KindMember, Partner: by.Partner}, func(m Member, _ journal.Object) error {
			ms = append(ms, m)
			return nil
		}); err != nil {
			return err
		}
		for _, m := range ms {
			i := MemberInfo{Member: m}
			codes, err := r.Privates(privateCode, m.ID)
			if err != nil {
				return err
			}
			for _, c := range codes {
				var d codeDoc
				if err := json.Unmarshal(c.Doc, &d); err != nil {
					return fmt.Errorf("reading a one-time code: %w", err)
				}
				if d.Purpose == purposeFirst && c.Expires.After(i.Invited) {
					i.Invited = c.Expires
				}
			}
			if m.Enrolled {
				k, err := s.keys(r, m.Account())
				if err != nil {
					return err
				}
				i.Passkeys, i.Password, i.Links = len(k.Passkeys), k.Password, len(k.Links)
				open, err := s.sessions(r, m.Account(), "")
				if err != nil {
					return err
				}
				for _, o := range open {
					if o.Partner == m.Partner {
						i.Sessions++
					}
				}
			}
			out = append(out, i)
		}
		return nil
	})
	return out, err
}

// Invite makes a new one-time code for a member of the actor's own partner:
// for one whose invitation was lost or lapsed, or, as the way back in, for one
// who lost every key. Codes made before are void; keys and sessions that are
// there stay until the new code is used.
func (s *Service) Invite(ctx context.Context, by access.Actor, id string) (string, error) {
	if err := access.Allow(by, access.ManageMembers, s.o.Now()); err != nil {
		return "", err
	}
	now := s.o.Now()
	return journal.DoSecret(ctx, s.o.Log, by, "member.invite", now, func(tx *journal.Tx) (string, error) {
		m, err := ownMember(tx, by, id)
		if err != nil {
			return "", err
		}
		if administrator(m.Roles) {
			if err := alone(tx, by, m.Partner, m.ID); err != nil {
				return "", err
			}
		}
		return s.invite(tx, by, m, agreed{Shell: by.Shell})
	})
}

// invitable refuses a new one-time code where none is of use.
func invitable(by access.Actor, m Member) error {
	switch {
	case m.Disabled:
		return problem.New(problem.Conflict, "this member is disabled", "enable the member first, or invite the person anew")
	case m.Enrolled && m.Person != "":
		return problem.New(problem.Conflict, "this member's account belongs to another partner", "ask an administrator there for the way back in")
	case m.ID == by.Member:
		return problem.New(problem.Conflict, "you are signed in, so you need no way back in", "change your keys on the page Your keys")
	}
	return nil
}

func (s *Service) invite(tx *journal.Tx, by access.Actor, m Member, both agreed) (string, error) {
	if err := invitable(by, m); err != nil {
		return "", err
	}
	if err := deleteOwned(tx, privateCode, m.ID); err != nil {
		return "", err
	}
	if err := s.memberEntry(tx, by, m, "member.invited", both); err != nil {
		return "", err
	}
	if m.Enrolled {
		if err := s.tellOwner(tx, by, m, "member.keys_changed", "way_back", NoticeKeys); err != nil {
			return "", err
		}
		if err := s.tellAdministrators(tx, by, m, NoticeWayBack); err != nil {
			return "", err
		}
	}
	return issue(tx, codeDoc{Member: m.ID, Purpose: purposeFirst}, s.o.Now().Add(s.o.CodeLife))
}

// ownMember loads a member of the actor's own partner; one of another is not
// there.
func ownMember(r journal.StoreReader, by access.Actor, id string) (Member, error) {
	m, _, err := journal.Load[Member](r, KindMember, id)
	if problem.KindOf(err) == problem.NotFound || (err == nil && m.Partner != by.Partner && !by.Shell) {
		return Member{}, problem.New(problem.NotFound, "there is no such member", "check the list of members")
	}
	if err == nil && m.Partner != by.Partner {
		return Member{}, notTheirs("member "+id, m.Partner, by.Partner)
	}
	return m, err
}

// notTheirs refuses the operator's shell, which sees every partner but acts for
// one: a wrong number must not end what is another partner's.
func notTheirs(what, of, actsFor string) error {
	return problem.Newf(problem.Conflict, "%s is of the partner %s, not of %s", what, of, actsFor).WithFix("if you mean it, name its partner: --partner %s", of)
}

func (s *Service) memberEntry(tx *journal.Tx, by access.Actor, m Member, typ string, body any) error {
	e := journal.New(typ, by, s.o.Now(), body, journal.Ref{Kind: KindMember, ID: m.ID}, journal.Ref{Kind: KindPartner, ID: m.Partner})
	e.Audience = access.Audience{TLP: access.AmberStrict, Origin: m.Partner}
	_, err := tx.Append(e)
	return err
}

// EndMemberSessions ends every session that acts as a member of the actor's
// own partner, and says how many.
func (s *Service) EndMemberSessions(ctx context.Context, by access.Actor, id string) (int, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.ManageMembers, now); err != nil {
		return 0, err
	}
	return journal.Do(ctx, s.o.Log, by, "member.sessions.end", now, func(tx *journal.Tx) (int, error) {
		m, err := ownMember(tx, by, id)
		if err != nil {
			return 0, err
		}
		n, err := endSessions(tx, m.Account(), func(_ journal.Private, ses Session) bool { return ses.Member == m.ID })
		if err != nil {
			return n, err
		}
		return n, s.memberEntry(tx, by, m, "member.sessions_ended", map[string]int{"n": n})
	})
}

// Change alters a member of the actor's own partner. A nil Roles leaves the
// roles. Disable takes an open invitation back, or ends at once all that lets
// the member act: sessions, codes, and every token that stands for the member
// or that the member made, but those of edges, which protect the platform and
// not the member; Edges ends these too.
type Change struct {
	Roles   []access.Role `json:"roles,omitempty"`
	Disable bool          `json:"disable,omitempty"`
	Enable  bool          `json:"enable,omitempty"`
	Edges   bool          `json:"edges,omitempty"`
}

// check refuses roles that no member can have.
func (c Change) check() error {
	for _, r := range c.Roles {
		if !slices.Contains(access.Roles(), r) || r.Machine() {
			return problem.Newf(problem.Invalid, "%q is not a member's role", r).WithFix("choose from administrator, officer, analyst, approver, reviewer, observer and operator")
		}
	}
	if c.Roles != nil && len(c.Roles) == 0 {
		return problem.New(problem.Invalid, "a member has at least one role", "choose one, or disable the member")
	}
	return nil
}

// ChangeMember changes a member. The last administrator who can act stays. What
// makes someone administrator, or takes it away, takes two people: AskToChange.
func (s *Service) ChangeMember(ctx context.Context, by access.Actor, id string, c Change) (Member, error) {
	if err := access.Allow(by, access.ManageMembers, s.o.Now()); err != nil {
		return Member{}, err
	}
	if err := c.check(); err != nil {
		return Member{}, err
	}
	now := s.o.Now()
	return journal.Do(ctx, s.o.Log, by, "member.change", now, func(tx *journal.Tx) (Member, error) {
		m, err := ownMember(tx, by, id)
		if err != nil {
			return m, err
		}
		if err := s.last(tx, m, c); err != nil {
			return m, err
		}
		if m.TakesTwo(c) {
			if err := alone(tx, by, m.Partner, m.ID); err != nil {
				return m, err
			}
		}
		if err := s.change(tx, by, m, c, agreed{Shell: by.Shell}); err != nil {
			return m, err
		}
		m, _, err = journal.Load[Member](tx, KindMember, id)
		return m, err
	})
}

// last refuses a change that would leave a partner without an administrator.
func (s *Service) last(tx *journal.Tx, m Member, c Change) error {
	loses := c.Disable || (c.Roles != nil && !administrator(c.Roles))
	if !loses || !administrator(m.Roles) || m.Disabled {
		return nil
	}
	others := 0
	err := journal.Each(tx, journal.ObjectQuery{Kind: KindMember, Partner: m.Partner}, func(o Member, _ journal.Object) error {
		// Who only was invited cannot act yet, and may never.
		if o.ID != m.ID && !o.Disabled && (o.Enrolled || !m.Enrolled) && administrator(o.Roles) {
			others++
		}
		return nil
	})
	if err == nil && others == 0 {
		return problem.Of(problem.Conflict, problem.Say("%s is the last administrator of this partner", m.Name), problem.Say("make someone else administrator first"))
	}
	return err
}

type memberChanged struct {
	Change
	agreed
}

// change writes a change down, does it, and tells whom it concerns.
func (s *Service) change(tx *journal.Tx, by access.Actor, m Member, c Change, both agreed) error {
	if err := s.last(tx, m, c); err != nil {
		return err
	}
	if err := s.memberEntry(tx, by, m, "member.changed", memberChanged{c, both}); err != nil {
		return err
	}
	if c.Disable {
		if err := s.endAll(tx, by, m, c.Edges); err != nil {
			return err
		}
	}
	about := journal.Ref{Kind: KindMember, ID: m.ID}
	if m.TakesTwo(c) || c.Disable && administrator(m.Roles) && m.Enrolled {
		if err := s.tellAdministrators(tx, by, m, NoticeAdmin); err != nil {
			return err
		}
	}
	if c.Disable || !m.Enrolled || m.ID == by.Member || c.Roles == nil {
		return nil
	}
	return s.tell(tx, Notice{Kind: NoticeRoles, Members: []string{m.ID}, About: about, Path: "/settings/profile"})
}

// endAll ends all that lets a member act.
func (s *Service) endAll(tx *journal.Tx, by access.Actor, m Member, edges bool) error {
	if _, err := endSessions(tx, m.Account(), func(_ journal.Private, ses Session) bool { return ses.Member == m.ID }); err != nil {
		return err
	}
	if err := deleteOwned(tx, privateCode, m.ID); err != nil {
		return err
	}
	var end []Token
	err := journal.Each(tx, journal.ObjectQuery{Kind: KindToken, Partner: m.Partner, States: []string{"active"}}, func(t Token, _ journal.Object) error {
		if t.Member == m.ID || (t.Creator == m.ID && (edges || !t.Edge())) {
			end = append(end, t)
		}
		return nil
	})
	for _, t := range end {
		if err == nil {
			err = s.revoke(tx, by, t)
		}
	}
	return err
}
