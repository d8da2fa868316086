package partner

import (
	"cmp"
	"slices"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
)

// Kinds of objects that this package folds.
const (
	KindPartner = "partner"
	KindMember  = "member"
	KindToken   = "token"
)

// Partner is an organisation that takes part.
type Partner struct {
	ID        string             `json:"id"` // short name: lower-case letters, digits and hyphens
	Name      string             `json:"name"`
	Kind      access.PartnerKind `json:"kind"`
	Country   string             `json:"country"` // ISO 3166-1 alpha-2
	Zone      string             `json:"zone"`    // IANA time zone of its duty desk
	Languages []string           `json:"languages"`
	Contact   string             `json:"contact,omitempty"` // duty desk, as text for the directory
	Lead      bool               `json:"lead,omitempty"`    // the secretariat that leads by default
	AddedAt   time.Time          `json:"added_at"`
	AddedBy   string             `json:"added_by,omitempty"`
	Disabled  bool               `json:"disabled,omitempty"` // deactivated: nobody acts for it
	LeftAt    time.Time          `json:"left_at,omitzero"`   // since then
}

// Location returns the partner's time zone, UTC if it is unknown here.
func (p Partner) Location() *time.Location { return location(p.Zone) }

// Member is a person of a partner. Who works for several partners is a member
// of each, with roles of their own there; all of them are one account.
type Member struct {
	ID       string        `json:"id"`
	Partner  string        `json:"partner"`
	Person   string        `json:"person,omitempty"` // the account, if that is another member's: see Account
	Name     string        `json:"name"`
	Email    string        `json:"email"` // for signing in; lower case
	Roles    []access.Role `json:"roles"`
	Language string        `json:"language"` // BCP 47
	Zone     string        `json:"zone"`     // IANA time zone; "" means the partner's
	Disabled bool          `json:"disabled,omitempty"`
	Enrolled bool          `json:"enrolled,omitempty"` // took up the invitation
	AddedAt  time.Time     `json:"added_at"`
}

// Account is the ID under which the person's keys and sessions are kept: that
// of the person's first membership.
func (m Member) Account() string { return cmp.Or(m.Person, m.ID) }

// Token is an API token. The secret itself is not kept.
type Token struct {
	ID      string              `json:"id"`
	Partner string              `json:"partner"`
	Name    string              `json:"name"` // for an edge: the edge's name
	Roles   []access.Role       `json:"roles"`
	Scopes  []access.TokenScope `json:"scopes"`
	Created time.Time           `json:"created"`
	Creator string              `json:"creator,omitempty"` // member; "" for the operator's shell
	Expires time.Time           `json:"expires"`
	Revoked time.Time           `json:"revoked,omitzero"`

	// Member is whom a personal token stands for: it can do no more than that
	// member now may, and ends with the member. "" for a machine's.
	Member string `json:"member,omitempty"`

	Used time.Time `json:"used,omitzero"` // to five minutes; only in lists, and not folded
}

// State is active, expired or revoked at the moment now.
func (t Token) State(now time.Time) string {
	switch {
	case !t.Revoked.IsZero():
		return "revoked"
	case !now.Before(t.Expires):
		return "expired"
	}
	return "active"
}

// Edge reports whether the token is an edge's.
func (t Token) Edge() bool { return slices.Contains(t.Roles, access.Edge) }

// Relay reports whether the token is a relay's.
func (t Token) Relay() bool { return slices.Contains(t.Roles, access.Relay) }

func location(zone string) *time.Location {
	if l, err := time.LoadLocation(zone); err == nil && zone != "" {
		return l
	}
	return time.UTC
}
