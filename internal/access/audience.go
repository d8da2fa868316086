package access

import (
	"slices"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/internal/problem"
)

// TLP is a label of the Traffic Light Protocol 2.0 (FIRST, August 2022).
type TLP string

// The labels, from the widest to the narrowest.
const (
	Clear       TLP = "clear"
	Green       TLP = "green"
	Amber       TLP = "amber"
	AmberStrict TLP = "amber+strict"
	Red         TLP = "red"
)

// TLPs lists the labels from the widest to the narrowest.
func TLPs() []TLP { return []TLP{Clear, Green, Amber, AmberStrict, Red} }

// ParseTLP reads a label in any case, with or without "TLP:".
func ParseTLP(s string) (TLP, error) {
	t := TLP(strings.TrimPrefix(strings.ToLower(strings.TrimSpace(s)), "tlp:"))
	if !slices.Contains(TLPs(), t) {
		return "", problem.Newf(problem.Invalid, "%q is not a TLP label", s).WithFix("use clear, green, amber, amber+strict or red")
	}
	return t, nil
}

// Wider reports whether t may be read by more than u.
func (t TLP) Wider(u TLP) bool { return slices.Index(TLPs(), t) < slices.Index(TLPs(), u) }

// Audience says who may see an object. It travels with the object.
//
// clear: everyone. green: every partner. amber: the partners that act
// (government, intergovernmental, platform) and those named. amber+strict and
// red: those named alone. The partner that made the object always sees it.
type Audience struct {
	TLP      TLP      `json:"tlp"`
	Partners []string `json:"partners,omitempty"` // IDs, sorted
	Origin   string   `json:"origin"`             // ID of the partner that made it
}

// Sees reports whether the actor's partner is in the audience. An audience
// without a label is seen by its origin alone.
func (u Audience) Sees(a Actor) bool {
	if a.System || u.TLP == Clear {
		return true
	}
	if a.Partner == "" {
		return false
	}
	return u.SeenBy(a.Partner, a.Kind)
}

// SeenBy is Sees for a partner as a whole.
func (u Audience) SeenBy(partner string, kind PartnerKind) bool {
	if partner == u.Origin || slices.Contains(u.Partners, partner) {
		return true
	}
	switch u.TLP {
	case Clear, Green:
		return true
	case Amber:
		return slices.Contains(deciders, kind)
	}
	return false
}

// Named reports whether only named partners are in the audience.
func (u Audience) Named() bool { return u.TLP == AmberStrict || u.TLP == Red || u.TLP == "" }

// Glass lets a person read one object beyond scope until a time: break-glass.
// It is given by a journaled act with a reason (partner.Service.BreakGlass).
type Glass struct {
	Kind  string    `json:"kind"` // of the object: "incident" or "signal"
	ID    string    `json:"id"`
	Until time.Time `json:"until"`
}

// Broke reports whether the actor broke the glass over this very object and
// the time is not over. A token breaks none.
func (a Actor) Broke(kind, id string, now time.Time) bool {
	if a.Member == "" || a.Token != "" {
		return false
	}
	return slices.ContainsFunc(a.Glass, func(g Glass) bool { return g.Kind == kind && g.ID == id && now.Before(g.Until) })
}

// Reads reports whether the actor may read the object with this audience: it
// is in the audience, or broke the glass over it. It is for reading alone: what
// acts on an object asks Sees, so that a broken glass never lets anyone vote,
// decide or write.
func (u Audience) Reads(a Actor, kind, id string, now time.Time) bool {
	return u.Sees(a) || a.Broke(kind, id, now)
}
