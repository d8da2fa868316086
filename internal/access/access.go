// Package access says who may do what and who may see what: one table of
// actions and one rule of audiences, for every service, page and interface.
//
// It denies by default. An action that has no row in the table is refused, and
// so is an actor whom no row admits. Services ask it once, at the start of
// each call; transports never decide.
package access

import (
	"slices"
	"time"

	"github.com/siaga-crp/siaga/internal/problem"
)

// PartnerKind is what sort of organisation a partner is.
type PartnerKind string

// The closed list of partner kinds.
const (
	Government        PartnerKind = "government"
	Intergovernmental PartnerKind = "intergovernmental"
	Platform          PartnerKind = "platform"
	CivilSociety      PartnerKind = "civil_society"
	Research          PartnerKind = "research"
)

// PartnerKinds lists every kind.
func PartnerKinds() []PartnerKind {
	return []PartnerKind{Government, Intergovernmental, Platform, CivilSociety, Research}
}

// Role is what a member does for a partner. A member may have several.
type Role string

// The closed list of roles.
const (
	Administrator Role = "administrator" // members, tokens, roster of its own partner
	Officer       Role = "officer"       // notify, assess, vote, update, order
	Analyst       Role = "analyst"       // assets, proposals, variants
	Approver      Role = "approver"      // approve, refuse, suspend, resume, withdraw
	Reviewer      Role = "reviewer"      // cases, appeals
	Observer      Role = "observer"      // reads and verifies in its scope
	Operator      Role = "operator"      // health, backup, peers; no incident content
	Edge          Role = "edge"          // a machine: feed and tallies
	Relay         Role = "relay"         // a machine: feed, passed on to its partner's edges
)

// Machine reports whether the role is one of programs, which no member has and
// which a token has alone.
func (r Role) Machine() bool { return r == Edge || r == Relay }

// Roles lists every role.
func Roles() []Role {
	return []Role{Administrator, Officer, Analyst, Approver, Reviewer, Observer, Operator, Edge, Relay}
}

// TokenScope limits what an API token may be used for, besides the roles of
// the member or machine that it stands for.
type TokenScope string

// The closed list of token scopes.
const (
	ScopeRead    TokenScope = "read"
	ScopePropose TokenScope = "propose"
	ScopeDecide  TokenScope = "decide" // vote, approve, withdraw; made only with a step-up
	ScopeFeed    TokenScope = "feed"
	ScopeAdmin   TokenScope = "admin"
)

// TokenScopes lists every scope.
func TokenScopes() []TokenScope {
	return []TokenScope{ScopeRead, ScopePropose, ScopeDecide, ScopeFeed, ScopeAdmin}
}

// Actor is who asks. The zero value is nobody, who may do nothing.
type Actor struct {
	Partner string       // partner's ID
	Kind    PartnerKind  // of the partner
	Country string       // of the partner, ISO 3166-1 alpha-2
	Member  string       // member's ID; "" for a machine's token
	Name    string       // to show; not an identifier
	Roles   []Role       // of the member in this partner
	Scopes  []TokenScope // of the token; nil when signed in, which means all
	Token   string       // token's ID, for machines and scripts
	StepUp  time.Time    // last time that the person proved their presence; zero if never
	For     Action       // the one action that the proof was for; AnyAction only in a demo
	Glass   []Glass      // what the person may read beyond scope for a while
	System  bool         // the node itself: clocks and expiry. Never set from a request
	Shell   bool         // the operator's shell on the node's own machine
}

// Has reports whether the actor has the role.
func (a Actor) Has(r Role) bool { return slices.Contains(a.Roles, r) }

// Action is one thing that can be done. Its text appears in journal entries
// and in the API's documentation.
type Action string

// Rule is one row of the table: who may do an action.
type Rule struct {
	Action Action
	Roles  []Role        // any of these
	Scope  TokenScope    // a token needs this; "": no token may, only a person who is signed in
	Kinds  []PartnerKind // of these partner kinds; nil: all
	StepUp bool          // a person's presence must be fresh
	What   string        // in words, for the page "what role is needed"
}

// StepUpFresh is how long a step-up lasts.
const StepUpFresh = 5 * time.Minute

// AnyAction is what a demo's session is proved for, as a demo has no key to
// touch. A proof of any other session is for one action.
const AnyAction Action = "*"

// Allow returns nil if the actor may do the action now, and else a problem:
// SignIn for nobody, Denied with the roles that would do, or StepUp. What the
// action applies to (audience, own partner, protocol's authority) is for the
// service to check.
func Allow(a Actor, do Action, now time.Time) error {
	if a.System {
		return nil
	}
	r, ok := rules[do]
	if !ok {
		return problem.Newf(problem.Denied, "the action %q is not in the table of rights", do).WithFix("tell the operator: this is a fault of the program")
	}
	if a.Partner == "" {
		return problem.New(problem.SignIn, "this needs someone who is signed in", "sign in, or send an API token")
	}
	if !slices.ContainsFunc(r.Roles, a.Has) || (r.Kinds != nil && !slices.Contains(r.Kinds, a.Kind)) {
		return problem.Newf(problem.Denied, "to %s, the role %s is needed", problem.Say(r.What), r.need()).
			WithFix("ask an administrator of your partner for it")
	}
	if a.Token != "" && r.Scope == "" {
		return problem.Newf(problem.Denied, "to %s, a person must be signed in; a token cannot do it", problem.Say(r.What)).
			WithFix("sign in and do it on the page")
	}
	if a.Token != "" && !slices.Contains(a.Scopes, r.Scope) {
		return problem.Newf(problem.Denied, "to %s, a token with the scope %s is needed", problem.Say(r.What), r.Scope).
			WithFix("use a token with that scope")
	}
	if r.StepUp && a.Token == "" && !a.Shell && !a.proved(do, now) {
		p := problem.Newf(problem.StepUp, "to %s, prove again that it is you", problem.Say(r.What)).
			WithFix("touch your passkey or enter a fresh code, then send again")
		p.For = string(do)
		return p
	}
	return nil
}

// proved reports whether the person's presence was proved for this action and
// lately. A proof for one action is none for another.
func (a Actor) proved(do Action, now time.Time) bool {
	age := now.Sub(a.StepUp)
	return (a.For == do || a.For == AnyAction) && age <= StepUpFresh
}

func (r Rule) need() problem.Words {
	roles := make(problem.AnyOf, len(r.Roles))
	for i, role := range r.Roles {
		roles[i] = problem.Words{Format: string(role)}
	}
	if r.Kinds == nil {
		return problem.Say("%s", roles)
	}
	kinds := make(problem.AnyOf, len(r.Kinds))
	for i, k := range r.Kinds {
		kinds[i] = problem.Words{Format: string(k)}
	}
	return problem.Say("%s of a partner of kind %s", roles, kinds)
}

// NeedsStepUp reports whether the action asks a signed-in person for a fresh
// proof of presence.
func NeedsStepUp(do Action) bool { return rules[do].StepUp }

// What returns the action in words, for example "vote"; "" if it has no row.
func What(do Action) string { return rules[do].What }

// Rules returns the table, in the order in which it is written.
func Rules() []Rule { return slices.Clone(table) }
