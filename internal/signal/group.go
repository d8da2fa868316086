package signal

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// KindGroup is the kind of object that holds the signals of one asset.
const KindGroup = "group"

// GroupState is where a group stands. Its signals have states of their own;
// the group's says what was last decided about all of them.
type GroupState string

// The closed list of states.
const (
	GroupOpen        GroupState = "open"
	GroupSuspended   GroupState = "suspended"
	GroupWithdrawing GroupState = "withdrawing" // suspended; a second person is asked
	GroupWithdrawn   GroupState = "withdrawn"
)

// Bounds of groups.
const (
	MaxGroup     = 2000 // signals of one group
	MaxVariant   = 64   // fingerprints of one variant
	OnePerson    = 50   // signals that one person may withdraw at once
	SecondPerson = 30 * time.Minute
)

// Group is the folded state of the signals of one asset: the first one
// proposed, which is its original, and its variants.
type Group struct {
	ID       string          `json:"id"` // as its first proposer named it, for example "G-12"
	Incident string          `json:"incident,omitempty"`
	Audience access.Audience `json:"audience"` // of the original
	Exercise bool            `json:"exercise,omitempty"`
	State    GroupState      `json:"state"`
	Original string          `json:"original"` // signal's ID
	Signals  []string        `json:"signals"`  // IDs, the original first, in the order in which they were found
	Created  Act             `json:"created"`
	Last     Act             `json:"last"`
	Asked    *Act            `json:"asked,omitempty"` // who asked for a withdrawal that needs a second person
}

// Variant says how a signal came to its group.
type Variant struct {
	Of   string `json:"of"`             // original's ID
	Edge string `json:"edge,omitempty"` // edge that sent it, if no person did
}

type groupDecided struct {
	Reach   Reach `json:"reach"`
	Signals int   `json:"signals"`         // on which it had an effect
	Asked   bool  `json:"asked,omitempty"` // a second person is needed
}

var groups = journal.FoldOf(KindGroup, applyGroup, func(g *Group) journal.Keys {
	return journal.Keys{State: string(g.State), Partner: g.Created.Partner, Parent: g.Incident, Sort: g.Created.At.UTC().Format(time.RFC3339Nano) + g.ID, Text: strings.ToLower(g.ID)}
})

func applyGroup(g *Group, e journal.Entry) error {
	act := Act{Partner: e.Partner, Member: e.Member, Token: e.Token, At: e.At, Entry: e.Number, Why: e.Why}
	if e.Type == "signal.proposed" {
		var p proposed
		if err := e.Decode(&p); err != nil {
			return err
		}
		id := e.About[0].ID
		if g.ID == "" {
			*g = Group{ID: groupRef(e), Incident: p.Incident, Audience: e.Audience, Exercise: e.Exercise, State: GroupOpen, Original: id, Created: act}
		}
		g.Signals, g.Last = append(g.Signals, id), act
		return nil
	}
	var d groupDecided
	if err := e.Decode(&d); err != nil {
		return err
	}
	switch e.Type {
	case "group.suspended":
		if d.Reach == Everywhere {
			g.State = GroupSuspended
		}
		if d.Asked {
			g.State, g.Asked = GroupWithdrawing, &act
		}
	case "group.approved", "group.resumed":
		if d.Reach == Everywhere {
			g.State, g.Asked = GroupOpen, nil
		}
	case "group.withdrawn":
		if d.Reach == Everywhere {
			g.State, g.Asked = GroupWithdrawn, nil
		}
	default:
		return nil
	}
	g.Last = act
	return nil
}

func groupRef(e journal.Entry) string {
	for _, r := range e.About {
		if r.Kind == KindGroup {
			return r.ID
		}
	}
	return ""
}

func validGroup(name string) bool {
	return len(name) <= 60 && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
	})
}

// joins reports why a proposal may not join its group, if it may not, and gives
// it the group's readers, so that whoever decides about a group decides about
// all of it. A group that is not there yet begins with it.
func joins(r journal.StoreReader, by access.Actor, body proposed, aud *access.Audience) error {
	if body.Group == "" {
		return nil
	}
	g, _, err := journal.Load[Group](r, KindGroup, body.Group)
	switch {
	case problem.KindOf(err) == problem.NotFound:
		return nil
	case err != nil:
		return err
	case !g.Audience.Sees(by):
		return invalid("group", "this name is taken; choose another for the group")
	case g.Incident != body.Incident:
		return invalid("group", "group %s belongs to another incident; choose another name", g.ID)
	case g.Audience.TLP != aud.TLP:
		return invalid("tlp", "group %s is TLP:%s; choose that, or another group", g.ID, strings.ToUpper(string(g.Audience.TLP)))
	}
	*aud = g.readers(by)
	return g.takes(1)
}

// readers is the audience of a signal that the actor adds to the group.
func (g Group) readers(by access.Actor) access.Audience {
	aud := access.Audience{TLP: g.Audience.TLP, Origin: by.Partner}
	if len(g.Audience.Partners) > 0 || g.Audience.Named() {
		aud.Partners = slices.Compact(slices.Sorted(slices.Values(append(slices.Clone(g.Audience.Partners), g.Audience.Origin))))
	}
	return aud
}

// takes reports why the group takes no more signals, if it does not.
func (g Group) takes(n int) error {
	if g.State == GroupWithdrawn || g.State == GroupWithdrawing {
		return problem.Newf(problem.Conflict, "group %s is %s", g.ID, g.State).WithFix("propose the signal without this group, or begin another group")
	}
	if len(g.Signals)+n > MaxGroup {
		return problem.Newf(problem.Conflict, "group %s has %d signals, the limit is %d", g.ID, len(g.Signals), MaxGroup).WithFix("begin another group")
	}
	return nil
}

// visibleGroup loads a group that the actor may see, with those of its signals
// that it may see.
func visibleGroup(r journal.StoreReader, by access.Actor, id string) (Group, []Signal, error) {
	id = strings.TrimSpace(id)
	g, _, err := journal.Load[Group](r, KindGroup, id)
	if problem.KindOf(err) == problem.NotFound || (err == nil && !g.Audience.Sees(by)) {
		return Group{}, nil, problem.Newf(problem.NotFound, "there is no group %q that you may see", id).WithFix("check its name on the page of one of its signals")
	}
	if err != nil {
		return g, nil, err
	}
	var out []Signal
	for _, id := range g.Signals {
		sig, err := load(r, id)
		if err != nil {
			return g, nil, err
		}
		if sig.Audience.Sees(by) {
			out = append(out, sig)
		}
	}
	return g, out, nil
}

// Group returns a group and those of its signals that the actor may see, the
// original first.
func (s *Service) Group(ctx context.Context, by access.Actor, id string) (g Group, sigs []Signal, err error) {
	if err := access.Allow(by, access.ReadSignals, s.o.Now()); err != nil {
		return g, nil, err
	}
	err = s.o.Log.View(ctx, func(r journal.StoreReader) (err error) {
		g, sigs, err = visibleGroup(r, by, id)
		return err
	})
	return g, sigs, err
}

// VariantValue is one fingerprint of an altered copy.
type VariantValue struct {
	Kind        string `json:"kind"`
	Value       string `json:"value"`
	Quality     *int   `json:"quality,omitempty" doc:"PDQ's quality of the picture that the value is of, 0 to 100; a value of kind pdq without it is for review at most"`
	MaxDistance *int   `json:"max_distance,omitempty"`
}

// VariantProposal is an altered copy of a group's asset, by its fingerprints.
type VariantProposal struct {
	Values []VariantValue `json:"values"`
	Note   string         `json:"note,omitempty"`
	Edge   string         `json:"-"` // name of the edge that sends it
}

// Added is what became of a variant.
type Added struct {
	Group   Group
	Signals []Signal // new ones
	Known   []string // signals that had a fingerprint of it already
}

// AddVariant adds the fingerprints of an altered copy to a group, in one step:
// each becomes a signal with the labels, producer, action and readers of the
// group's original. They wait for another partner's approval; where a protocol
// of the incident says so, they go out for review at once.
func (s *Service) AddVariant(ctx context.Context, by access.Actor, group string, v VariantProposal) (Added, error) {
	now := s.o.Now()
	right := access.AddVariant
	if by.Has(access.Edge) {
		right = access.SendVariant
	}
	if err := access.Allow(by, right, now); err != nil {
		return Added{}, err
	}
	if len(v.Values) == 0 || len(v.Values) > MaxVariant {
		return Added{}, invalid("values", "send 1 to %d fingerprints of the copy", MaxVariant)
	}
	return journal.Do(ctx, s.o.Log, by, "group.variant "+group, now, func(tx *journal.Tx) (Added, error) {
		g, _, err := visibleGroup(tx, by, group)
		if err != nil {
			return Added{}, err
		}
		out := Added{Group: g, Signals: []Signal{}, Known: []string{}}
		if err := g.takes(len(v.Values)); err != nil {
			return out, err
		}
		original, err := load(tx, g.Original)
		if err != nil {
			return out, err
		}
		st, err := s.standing(tx, original, now)
		if err != nil {
			return out, err
		}
		if st.Definition != nil {
			if !st.Open {
				return out, problem.Newf(problem.Conflict, "incident %s is closed", g.Incident).WithFix("reopen it, or propose the signal without an incident")
			}
			if err := st.Definition.MayPropose(by); err != nil {
				return out, err
			}
		}
		aud := g.readers(by)
		var f problem.InvalidFields
		bodies := make([]proposed, 0, len(v.Values))
		for i, x := range v.Values {
			body, err := s.variant(original, x, v)
			if err != nil {
				f.Add(fmt.Sprintf("values[%d]", i), "%s", plain(err))
			}
			bodies = append(bodies, body)
		}
		if err := f.Err(); err != nil {
			return out, err
		}
		for _, body := range bodies {
			same, err := s.same(tx, by, body)
			if err != nil {
				return out, err
			}
			if same != nil {
				out.Known = append(out.Known, same.ID)
				continue
			}
			sig, err := put(tx, by, body, aud, g.Exercise, now)
			if err != nil {
				return out, err
			}
			out.Signals = append(out.Signals, sig)
		}
		if len(out.Signals) == 0 {
			return out, problem.Newf(problem.Conflict, "all fingerprints of this copy are signals already: %s", strings.Join(slices.Compact(out.Known), ", ")).WithFix("open them and act on them there")
		}
		if g.State == GroupOpen && original.State == Active && !original.AtOnce {
			if err := s.release(tx, by, out.Signals, st, now); err != nil {
				return out, err
			}
		}
		out.Group, _, err = journal.Load[Group](tx, KindGroup, g.ID)
		return out, err
	})
}

// variant makes the proposal of one fingerprint from the group's original.
func (s *Service) variant(original Signal, x VariantValue, v VariantProposal) (proposed, error) {
	p := Proposal{
		Incident: original.Incident, Kind: x.Kind, Value: x.Value, Labels: original.Labels, Producer: original.Producer, Action: original.Wanted,
		Confidence: original.Confidence, TLP: string(original.Audience.TLP), Note: cmp.Or(v.Note, original.Note), Group: original.Group, List: original.List,
		MaxDistance: x.MaxDistance, Provenance: Provenance{Quality: x.Quality},
	}
	if x.Quality != nil && *x.Quality < protocol.MinPDQQuality || x.Quality == nil && strings.EqualFold(strings.TrimSpace(x.Kind), string(fingerprint.PDQ)) {
		p.Action = protocol.Least(p.Action, Review)
	}
	body, _, err := s.check(p)
	body.Variant = &Variant{Of: original.ID, Edge: v.Edge}
	return body, err
}

// plain joins the messages of an invalid proposal.
func plain(err error) string {
	p, ok := err.(*problem.Error) //nolint:errorlint // made by InvalidFields
	if !ok || len(p.Fields) == 0 {
		return err.Error()
	}
	var out []string
	for _, f := range p.Fields {
		out = append(out, f.Detail)
	}
	return strings.Join(out, "; ")
}

// release lets new variants go out at once, if a protocol says so.
func (s *Service) release(tx *journal.Tx, by access.Actor, sigs []Signal, st Standing, now time.Time) error {
	does, under := protocol.VariantAtOnce(st.Runs, by.Kind, now)
	if does == "" {
		return nil
	}
	for i, sig := range sigs {
		trial := sig
		trial.AtOnce = true
		body := decided{Reach: Everywhere, Does: protocol.Least(does, trial.effective(protocol.MaxAction(st.Runs, trial.ruleCase(), now)))}
		body.Expire = s.expiry(tx, sig, st, now)
		var err error
		if sigs[i], err = s.append(tx, by, "signal.released", sig, "a variant of "+sig.Variant.Of, under, now, body); err != nil {
			return err
		}
	}
	return nil
}

// expiry returns when a signal that is approved now expires: a variant with its
// group's original, anything else as its protocol says.
func (s *Service) expiry(r journal.StoreReader, sig Signal, st Standing, now time.Time) time.Time {
	if sig.Variant != nil {
		if o, err := load(r, sig.Variant.Of); err == nil && o.ExpiresAt.After(now) {
			return o.ExpiresAt
		}
	}
	return st.expiry(now, s.o.Life)
}

// GroupVerb is a decision about all signals of a group.
type GroupVerb string

// The closed list of decisions.
const (
	GroupApprove  GroupVerb = "approve" // all that are proposed, or went out at once
	GroupSuspend  GroupVerb = "suspend"
	GroupResume   GroupVerb = "resume"
	GroupWithdraw GroupVerb = "withdraw"
)

// GroupVerbs lists the decisions.
func GroupVerbs() []GroupVerb {
	return []GroupVerb{GroupApprove, GroupSuspend, GroupResume, GroupWithdraw}
}

var groupRights = map[GroupVerb]struct {
	right       access.Action
	typ, entry  string
	needsReason bool
}{
	GroupApprove:  {access.Decide, "signal.approved", "group.approved", false},
	GroupSuspend:  {access.Suspend, "signal.suspended", "group.suspended", true},
	GroupResume:   {access.Decide, "signal.resumed", "group.resumed", false},
	GroupWithdraw: {access.Withdraw, "signal.withdrawn", "group.withdrawn", true},
}

// DecideGroup decides about all signals of a group in one act: whatever the
// decision admits for a signal is done to it, all of it in one transaction, so
// that all leave or reach the edges together. If it admits nothing, the first
// reason is the error.
//
// To withdraw more than OnePerson signals takes two persons: the first one's
// act suspends them everywhere at once, the second one's, within SecondPerson,
// ends them.
func (s *Service) DecideGroup(ctx context.Context, by access.Actor, id string, verb GroupVerb, d Decision) (Group, error) {
	now := s.o.Now()
	how, ok := groupRights[verb]
	if !ok {
		return Group{}, problem.Newf(problem.NotFound, "there is no decision %q about groups", verb).WithFix("use approve, suspend, resume or withdraw")
	}
	if err := access.Allow(by, how.right, now); err != nil {
		return Group{}, err
	}
	if err := d.check(how.needsReason); err != nil {
		return Group{}, err
	}
	return journal.Do(ctx, s.o.Log, by, how.entry+" "+id, now, func(tx *journal.Tx) (Group, error) {
		g, sigs, err := visibleGroup(tx, by, id)
		if err != nil {
			return g, err
		}
		if d.Version != 0 && d.Version != g.Last.Entry {
			return g, problem.Newf(problem.Conflict, "group %s changed while you were reading: it has %d signals now", g.ID, len(g.Signals)).WithFix("read it again, then decide")
		}
		typ, entry, body := how.typ, how.entry, groupDecided{Reach: cmp.Or(d.Reach, Everywhere)}
		if verb == GroupSuspend {
			body.Reach = cmp.Or(d.Reach, Mine)
		}
		step := func(sig Signal) (decided, string, error) {
			switch verb {
			case GroupApprove:
				return s.activation(tx, by, sig, d, Proposed, now)
			case GroupResume:
				return s.activation(tx, by, sig, d, Suspended, now)
			case GroupSuspend:
				return sig.suspension(by, d, now)
			}
			return sig.withdrawal(by, d)
		}
		if verb == GroupWithdraw && body.Reach == Everywhere && live(sigs) > OnePerson {
			if first := g.Asked; first == nil || now.Sub(first.At) > SecondPerson {
				typ, entry, body.Asked = "signal.suspended", "group.suspended", true
				step = func(sig Signal) (decided, string, error) {
					return sig.suspension(by, Decision{Reason: d.Reason, Reach: Everywhere}, now)
				}
			} else if first.same(by) {
				return g, problem.Newf(problem.Denied, "to withdraw %d signals, a second person is needed; all of them are suspended meanwhile", live(sigs)).WithFix("ask another approver to withdraw group %s until %s UTC", g.ID, first.At.Add(SecondPerson).UTC().Format("15:04"))
			}
		}
		var first error
		for _, sig := range sigs {
			one, under, err := step(sig)
			if err != nil {
				if first == nil {
					first = err
				}
				continue
			}
			if _, err := s.append(tx, by, typ, sig, d.Reason, under, now, one); err != nil {
				return g, err
			}
			body.Signals++
		}
		if body.Signals == 0 && !body.Asked {
			return g, first
		}
		e := journal.New(entry, by, now, body, groupAbout(g)...)
		e.Audience, e.Exercise, e.Why = g.Audience, g.Exercise, d.Reason
		if _, err := tx.Append(e); err != nil {
			return g, err
		}
		g, _, err = journal.Load[Group](tx, KindGroup, g.ID)
		return g, err
	})
}

func groupAbout(g Group) []journal.Ref {
	r := []journal.Ref{{Kind: KindGroup, ID: g.ID}}
	if g.Incident != "" {
		r = append(r, journal.Ref{Kind: "incident", ID: g.Incident})
	}
	return r
}

// live counts the signals that could still be withdrawn.
func live(sigs []Signal) (n int) {
	for _, sig := range sigs {
		if sig.allowed() != nil {
			n++
		}
	}
	return n
}
