package signal

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/pdq"
	"github.com/siaga-crp/siaga/fingerprint/text"
	"github.com/siaga-crp/siaga/fingerprint/vpdq"
	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// Standing is what an incident's protocols say of its signals at one moment.
type Standing struct {
	Incident   string
	Open       bool // signals may be proposed
	Exercise   bool
	Audience   access.Audience
	Definition *protocol.Definition // of the protocol that leads
	Runs       []protocol.Run       // all activations that go on
}

// Incidents answers for the incident that a signal belongs to.
type Incidents interface {
	// Standing returns a problem of kind NotFound if there is no such incident
	// or the actor may not see it.
	Standing(r journal.StoreReader, by access.Actor, incident string, now time.Time) (Standing, error)
}

// Op is one operation for the edge feed. With Add false the signal stops
// matching on the chain.
type Op struct {
	Chain  string
	Add    bool
	Signal Signal
	Action Action
}

// Feed puts operations on the edge feed's chains in the transaction of the
// entry that they follow from.
type Feed interface {
	Publish(tx journal.StoreTx, entry int64, at time.Time, ops []Op) error
}

// ChainPartners is the feed chain of what all partners' edges match.
const ChainPartners = "partners"

// ChainOf is the feed chain of one partner's edges: what is shared with that
// partner by name, and its own decisions.
func ChainOf(partner string) string { return "partner:" + partner }

// Options configures a Service. All are required but Life.
type Options struct {
	Log       *journal.Log
	Now       func() time.Time
	Incidents Incidents
	Feed      Feed
	Life      time.Duration // of a signal without an incident; zero: 30 days
}

// Service keeps signals. Its methods may be called concurrently.
type Service struct{ o Options }

// New returns a Service.
func New(o Options) *Service {
	if o.Life == 0 {
		o.Life = 30 * 24 * time.Hour
	}
	return &Service{o}
}

// Proposal is what is needed to propose a signal.
type Proposal struct {
	Incident    string     `json:"incident,omitempty"`
	Kind        string     `json:"kind"`
	Value       string     `json:"value"`
	Labels      []string   `json:"labels,omitempty"`
	Producer    Producer   `json:"producer,omitempty"`   // empty: unknown
	Action      Action     `json:"action,omitempty"`     // empty: the protocol's default for the producer
	Confidence  Confidence `json:"confidence,omitempty"` // empty: medium
	TLP         string     `json:"tlp,omitempty"`        // empty: amber
	Partners    []string   `json:"partners,omitempty"`   // the readers, for amber+strict and red
	Note        string     `json:"note,omitempty"`
	Group       string     `json:"group,omitempty"`
	List        string     `json:"list,omitempty"`
	MaxDistance *int       `json:"max_distance,omitempty"`
	Provenance  Provenance `json:"provenance,omitzero"`
}

type proposed struct {
	Number      uint64            `json:"number"`
	Incident    string            `json:"incident,omitempty"`
	List        string            `json:"list"`
	Group       string            `json:"group,omitempty"`
	Fingerprint fingerprint.Value `json:"fingerprint"`
	MaxDistance int               `json:"max_distance"`
	Labels      []string          `json:"labels"`
	Producer    Producer          `json:"producer"`
	Wanted      Action            `json:"wanted"`
	Confidence  Confidence        `json:"confidence"`
	Note        string            `json:"note,omitempty"`
	Provenance  Provenance        `json:"provenance"`
	Unmeasured  bool              `json:"unmeasured,omitempty"` // see Signal
	Variant     *Variant          `json:"variant,omitempty"`
}

const (
	maxNote = 2000 // characters
	maxTool = 200  // characters
)

func (s *Service) check(p Proposal) (proposed, access.TLP, error) {
	var f problem.InvalidFields
	out := proposed{
		Incident: p.Incident, Labels: p.Labels, Producer: cmp.Or(p.Producer, Unknown), Wanted: p.Action,
		Confidence: cmp.Or(p.Confidence, Medium), Note: strings.TrimSpace(p.Note), Group: strings.TrimSpace(p.Group),
		List: strings.TrimSpace(p.List), Provenance: p.Provenance,
	}
	v, err := fingerprint.Parse(fingerprint.Kind(strings.ToLower(strings.TrimSpace(p.Kind))), p.Value)
	switch {
	case p.Kind == "":
		f.Add("kind", "choose the kind of fingerprint: %s", joinKinds())
	case err != nil && !slices.Contains(fingerprint.Kinds(), fingerprint.Kind(strings.ToLower(strings.TrimSpace(p.Kind)))):
		f.Add("kind", "%q is not a kind of fingerprint: use %s", p.Kind, joinKinds())
	case err != nil:
		f.Add("value", "%s", err.Error()) // a fingerprint.SyntaxError: a sentence that repeats nothing
	}
	out.Fingerprint = v
	if v.Kind == fingerprint.PDQ {
		if h, err := pdq.Parse(v.Text); err == nil {
			if pdq.Degenerate(h) {
				f.Add("value", "this PDQ fingerprint would match unrelated pictures: its bits are far from half set; use another frame of the content")
			}
		}
		out.MaxDistance = pdq.MatchDistance
	}
	switch v.Kind {
	case fingerprint.VPDQ:
		if frames, err := vpdq.Parse(v.Text); err == nil && !slices.ContainsFunc(frames, tells) {
			f.Add("value", "no frame of this video has enough detail to be matched; use another part of the content, or its SHA-256")
		}
		out.MaxDistance = pdq.MatchDistance
	case fingerprint.TLSH:
		out.MaxDistance = text.MatchDistance
	}
	if p.MaxDistance != nil {
		switch {
		case v.Kind == fingerprint.TLSH: // in its own measure
			if *p.MaxDistance < 0 || *p.MaxDistance > text.MatchDistance {
				f.Add("max_distance", "enter a distance from 0 to %d", text.MatchDistance)
			}
		case *p.MaxDistance != 0 && v.Kind != "" && out.MaxDistance == 0:
			f.Add("max_distance", "fingerprints of the kind %s match exactly: leave max_distance out", v.Kind)
		case *p.MaxDistance < 0 || *p.MaxDistance > pdq.MatchDistance:
			f.Add("max_distance", "enter a distance from 0 to %d bits", pdq.MatchDistance)
		}
		out.MaxDistance = *p.MaxDistance
	}
	if utf8.RuneCountInString(p.Provenance.Tool) > maxTool {
		f.Add("provenance.tool", "name the tool in up to %d characters", maxTool)
	}
	if p.Provenance.SHA256 != "" {
		if d, err := fingerprint.Parse(fingerprint.SHA256, p.Provenance.SHA256); err != nil {
			f.Add("provenance.sha256", "enter the file's SHA-256 digest: 64 hexadecimal digits")
		} else {
			out.Provenance.SHA256 = d.Text
		}
	}
	if q := p.Provenance.Quality; q != nil && (*q < 0 || *q > 100) {
		f.Add("provenance.quality", "enter the quality as a number from 0 to 100")
	}
	if q := p.Provenance.Quality; q != nil && *q < protocol.MinPDQQuality && p.Action == Block && pictured(v.Kind) {
		f.Add("action", "this picture has too little detail to block safely (%d, needs %d). Use another frame, or choose review", *q, protocol.MinPDQQuality)
	}
	if out.Unmeasured = unmeasured(v.Kind, p.Provenance); out.Unmeasured && p.Action == Block {
		f.Add("provenance.quality", "state the picture's quality, as siaga hash prints it: a flat picture's PDQ fingerprint matches unrelated pictures, so one without it may not block. Or choose review")
	}
	if len(v.Text) > edge.MaxValue {
		f.Add("value", "the value has %d bytes, the limit is %d", len(v.Text), edge.MaxValue)
	}
	if len(p.Labels) > edge.MaxLabels || slices.ContainsFunc(p.Labels, func(l string) bool { return len(l) > edge.MaxText }) || twice(p.Labels) {
		f.Add("labels", "use up to %d labels of up to %d bytes, none of them twice", edge.MaxLabels, edge.MaxText)
	} else {
		for _, l := range p.Labels {
			if !checkLabel(l) {
				f.Add("labels", "%q is not a label: use %s, language:CODE or entity:LIST/ENTRY", l, strings.Join(labels, ", "))
			}
		}
	}
	if out.Labels == nil {
		out.Labels = []string{}
	}
	if !slices.Contains(Producers(), out.Producer) {
		f.Add("producer", "choose perpetrator, accomplice, bystander, media or unknown; %q is none of them", p.Producer)
	}
	if p.Action != "" && !slices.Contains(protocol.SignalActions(), p.Action) {
		f.Add("action", "choose block, review or monitor; %q is none of them", p.Action)
	}
	if !slices.Contains([]Confidence{Low, Medium, High}, out.Confidence) {
		f.Add("confidence", "choose low, medium or high; %q is none of them", p.Confidence)
	}
	if n := utf8.RuneCountInString(out.Note); n > maxNote {
		f.Add("note", "the note has %d characters, the limit is %d", n, maxNote)
	}
	if len(out.List) > 60 {
		f.Add("list", "the names of lists have up to 60 characters")
	}
	if out.Group != "" && !validGroup(out.Group) {
		f.Add("group", "name the group with up to 60 letters, digits, hyphens, dots and underscores")
	}
	tlp, err := access.ParseTLP(cmp.Or(p.TLP, string(access.Amber)))
	if err != nil {
		f.Add("tlp", "use clear, green, amber, amber+strict or red; %q is none of them", p.TLP)
	}
	return out, tlp, f.Err()
}

// tells reports whether a frame has enough detail to say anything; edges leave
// the others out.
func tells(f vpdq.Frame) bool {
	return f.PDQ.Quality >= pdq.MinQuality && !pdq.Degenerate(f.PDQ.Hash)
}

func twice(list []string) bool {
	return len(slices.Compact(slices.Sorted(slices.Values(list)))) < len(list)
}

func joinKinds() string {
	var s []string
	for _, k := range fingerprint.Kinds() {
		s = append(s, string(k))
	}
	return strings.Join(s, ", ")
}

// Propose adds a signal in the state proposed. A fingerprint that is on a
// signal of the same incident already is a Conflict that names it.
func (s *Service) Propose(ctx context.Context, by access.Actor, p Proposal) (Signal, error) {
	now := s.o.Now()
	if err := access.Allow(by, access.Propose, now); err != nil {
		return Signal{}, err
	}
	body, tlp, err := s.check(p)
	if err != nil {
		return Signal{}, err
	}
	return journal.Do(ctx, s.o.Log, by, "signal.propose", now, func(tx *journal.Tx) (Signal, error) {
		aud := access.Audience{TLP: tlp, Origin: by.Partner, Partners: slices.Compact(slices.Sorted(slices.Values(p.Partners)))}
		exercise := false
		body := body
		if p.Incident != "" {
			st, err := s.o.Incidents.Standing(tx, by, p.Incident, now)
			if err != nil {
				return Signal{}, err
			}
			if !st.Open {
				return Signal{}, problem.Newf(problem.Conflict, "incident %s is closed", p.Incident).WithFix("reopen it, or propose the signal without an incident")
			}
			if tlp.Wider(st.Audience.TLP) {
				return Signal{}, invalid("tlp", "the incident is TLP:%s; choose that or a narrower label", strings.ToUpper(string(st.Audience.TLP)))
			}
			if st.Audience.Named() && len(aud.Partners) == 0 {
				aud.Partners = st.Audience.Partners
			}
			if err := st.Definition.MayPropose(by); err != nil {
				return Signal{}, err
			}
			exercise = st.Exercise
			if body.Wanted == "" {
				body.Wanted = st.Definition.DefaultAction(body.Producer)
			}
			body.List = cmp.Or(body.List, "crisis")
		}
		if body.Wanted == "" {
			body.Wanted = Review
		}
		body.List = cmp.Or(body.List, by.Partner)
		for _, id := range aud.Partners {
			if _, err := partner.Load(tx, id); err != nil {
				return Signal{}, invalid("partners", "there is no partner %q", id)
			}
		}
		if same, err := s.same(tx, by, body); err != nil {
			return Signal{}, err
		} else if same != nil {
			return Signal{}, problem.Newf(problem.Conflict, "this fingerprint is signal %s already (%s)", same.ID, same.State).WithFix("open %s and act on it there", same.ID)
		}
		if err := joins(tx, by, body, &aud); err != nil {
			return Signal{}, err
		}
		return put(tx, by, body, aud, exercise, now)
	})
}

// put appends a proposal.
func put(tx *journal.Tx, by access.Actor, body proposed, aud access.Audience, exercise bool, now time.Time) (Signal, error) {
	n, err := tx.Next(KindSignal)
	if err != nil {
		return Signal{}, err
	}
	body.Number = uint64(n) //nolint:gosec // a counter from 1
	about := refs(ID(body.Number), body.Incident)
	if body.Group != "" {
		about = append(about, journal.Ref{Kind: KindGroup, ID: body.Group})
	}
	e := journal.New("signal.proposed", by, now, body, about...)
	e.Audience, e.Exercise = aud, exercise
	if _, err := tx.Append(e); err != nil {
		return Signal{}, err
	}
	return load(tx, ID(body.Number))
}

func invalid(field, format string, args ...any) error {
	var f problem.InvalidFields
	f.Add(field, format, args...)
	return f.Err()
}

// same looks for a signal of the same fingerprint and incident that the actor
// may see and that has not ended.
func (s *Service) same(tx *journal.Tx, by access.Actor, p proposed) (*Signal, error) {
	var found *Signal
	err := journal.Each(tx, journal.ObjectQuery{Kind: KindSignal, Unique: unique(p.Fingerprint)}, func(o Signal, _ journal.Object) error {
		ended := o.State == Refused || o.State == Withdrawn || o.State == Expired
		if o.Incident == p.Incident && !ended && o.Audience.Sees(by) {
			found = &o
			return journal.ErrStop
		}
		return nil
	})
	return found, err
}

func refs(id, incident string) []journal.Ref {
	r := []journal.Ref{{Kind: KindSignal, ID: id}}
	if incident != "" {
		r = append(r, journal.Ref{Kind: "incident", ID: incident})
	}
	return r
}

func load(r journal.StoreReader, id string) (Signal, error) {
	s, _, err := journal.Load[Signal](r, KindSignal, id)
	return s, err
}

// visible loads a signal that the actor may see; one that it may not see is
// NotFound, in the same words as one that is not there.
func visible(r journal.StoreReader, by access.Actor, id string) (Signal, error) {
	id = strings.ToUpper(strings.TrimSpace(id))
	sig, err := load(r, id)
	if problem.KindOf(err) == problem.NotFound || (err == nil && !sig.Audience.Sees(by)) {
		return Signal{}, unseen(id)
	}
	return sig, err
}

func unseen(id string) error {
	return problem.Newf(problem.NotFound, "there is no signal %q that you may see", id).WithFix("check its number on the page Signals")
}

// Get returns one signal.
func (s *Service) Get(ctx context.Context, by access.Actor, id string) (Signal, error) {
	if err := access.Allow(by, access.ReadSignals, s.o.Now()); err != nil {
		return Signal{}, err
	}
	var sig Signal
	err := s.o.Log.View(ctx, func(r journal.StoreReader) (err error) {
		// Reads, and not visible: who broke the glass over it reads it. What acts
		// on a signal asks visible.
		id := strings.ToUpper(strings.TrimSpace(id))
		sig, err = load(r, id)
		if problem.KindOf(err) == problem.NotFound || (err == nil && !sig.Audience.Reads(by, KindSignal, sig.ID, s.o.Now())) {
			sig, err = Signal{}, unseen(id)
		}
		return err
	})
	return sig, err
}

// Query selects signals. Empty fields do not restrict.
type Query struct {
	Incident string
	Partner  string // that proposed them
	States   []State
	Text     string // of number, fingerprint (exact), list, label
	Cursor   string
	Limit    int // zero: 50
}

// List returns the signals that the actor may see, newest first, and the
// cursor of the next page or "".
func (s *Service) List(ctx context.Context, by access.Actor, q Query) ([]Signal, string, error) {
	if err := access.Allow(by, access.ReadSignals, s.o.Now()); err != nil {
		return nil, "", err
	}
	q.Limit = cmp.Or(q.Limit, 50)
	oq := journal.ObjectQuery{Kind: KindSignal, Partner: q.Partner, Parent: q.Incident, Text: strings.ToLower(strings.TrimSpace(q.Text)), After: q.Cursor, Newest: true}
	for _, st := range q.States {
		oq.States = append(oq.States, string(st))
	}
	out, next := []Signal{}, ""
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		last := ""
		return journal.Each(r, oq, func(sig Signal, o journal.Object) error {
			if !sig.Audience.Sees(by) {
				return nil
			}
			if len(out) == q.Limit {
				next = last
				return journal.ErrStop
			}
			out, last = append(out, sig), o.Cursor()
			return nil
		})
	})
	return out, next, err
}

// Decision is a person's decision about a signal. Version, if not zero, is the
// entry that the person had read last; a newer one is a Conflict.
type Decision struct {
	Reason  string `json:"reason,omitempty"`
	Reach   Reach  `json:"reach,omitempty"` // empty: everywhere; for suspend: mine
	Version int64  `json:"version,omitempty"`
}

type decided struct {
	Reach Reach              `json:"reach"`
	Kind  access.PartnerKind `json:"kind,omitempty"` // of the partner that approved
	Does  Action             `json:"does,omitempty"`
	Count bool               `json:"count,omitempty"` // an approval that does not complete the quorum; a renewal that outlives the conclusion
	Cause string             `json:"cause,omitempty"`
	// Unmeasured is set by an approval; one from before has none, and leaves the signal as it was.
	Unmeasured bool      `json:"unmeasured,omitempty"`
	Expire     time.Time `json:"expire,omitzero"`
}

// MaxReason is the greatest number of characters of a reason.
const MaxReason = 1000

func (d *Decision) check(needReason bool) error {
	var f problem.InvalidFields
	d.Reason = strings.TrimSpace(d.Reason)
	if needReason && d.Reason == "" {
		f.Add("reason", "enter why, in one sentence. It is kept in the journal and shown in the review")
	}
	if len([]rune(d.Reason)) > MaxReason {
		f.Add("reason", "the reason has %d characters, the limit is %d", len([]rune(d.Reason)), MaxReason)
	}
	if d.Reach != "" && d.Reach != Everywhere && d.Reach != Mine {
		f.Add("reach", "choose mine or everywhere; %q is neither", d.Reach)
	}
	return f.Err()
}

// act runs one decision: it loads the signal, asks step what follows, appends
// the entry and publishes what edges must know.
func (s *Service) act(ctx context.Context, by access.Actor, right access.Action, typ, id string, d Decision, needReason bool,
	step func(tx *journal.Tx, sig Signal, now time.Time) (decided, string, error),
) (Signal, error) {
	now := s.o.Now()
	if err := access.Allow(by, right, now); err != nil {
		return Signal{}, err
	}
	if err := d.check(needReason); err != nil {
		return Signal{}, err
	}
	return journal.Do(ctx, s.o.Log, by, typ+" "+id, now, func(tx *journal.Tx) (Signal, error) {
		sig, err := visible(tx, by, id)
		if err != nil {
			return sig, err
		}
		if d.Version != 0 && d.Version != sig.Last.Entry {
			return sig, problem.Newf(problem.Conflict, "signal %s changed while you were reading: it is %s now", sig.ID, sig.State).WithFix("read it again, then decide")
		}
		body, under, err := step(tx, sig, now)
		if err != nil {
			return sig, err
		}
		return s.append(tx, by, typ, sig, d.Reason, under, now, body)
	})
}

func (s *Service) append(tx *journal.Tx, by access.Actor, typ string, sig Signal, why, under string, now time.Time, body decided) (Signal, error) {
	e := journal.New(typ, by, now, body, refs(sig.ID, sig.Incident)...)
	e.Audience, e.Exercise, e.Why, e.Under = sig.Audience, sig.Exercise, why, under
	e, err := tx.Append(e)
	if err != nil {
		return sig, err
	}
	after, err := load(tx, sig.ID)
	if err != nil {
		return sig, err
	}
	return after, s.o.Feed.Publish(tx, e.Number, e.At, ops(sig, after))
}

func (sig Signal) refuse(verb string, allowed ...string) error {
	p := problem.Newf(problem.Conflict, "signal %s is %s, so one cannot %s it", sig.ID, problem.Words{Format: string(sig.State)}, problem.Words{Format: verb})
	p.Allows = allowed
	switch {
	case sig.allowed() == nil:
		return p.WithFix("propose it anew if it is still needed")
	case len(allowed) == 0:
		return p.WithFix("nothing can be done here by your partner now")
	}
	return p.WithFix("what is allowed now: %s", problem.Names(allowed...))
}

// allowed lists the decisions that the state everywhere admits.
func (sig Signal) allowed() []string {
	switch sig.State {
	case Proposed:
		return []string{"approve", "refuse", "withdraw"}
	case Active:
		if sig.Tripped != "" {
			return []string{"resume", "suspend", "withdraw"}
		}
		if sig.AtOnce {
			return []string{"approve", "refuse", "suspend", "withdraw"}
		}
		return []string{"suspend", "withdraw"}
	case Suspended:
		return []string{"resume", "withdraw"}
	}
	return nil
}

// open lists the decisions that the state everywhere admits and the actor may
// take, once it has proved that it is itself where that is asked for.
func (sig Signal) open(by access.Actor, now time.Time) []string {
	right := map[string]access.Action{"approve": access.Decide, "refuse": access.Decide, "resume": access.Decide, "suspend": access.Suspend, "withdraw": access.Withdraw}
	return slices.DeleteFunc(sig.allowed(), func(do string) bool {
		// A partner does not approve what it proposed, but for its own platform.
		if sig.Proposed.Partner == by.Partner && (do == "approve" || do == "resume") && (by.Kind != access.Platform || sig.Proposed.same(by)) {
			return true
		}
		err := access.Allow(by, right[do], now)
		return err != nil && problem.KindOf(err) != problem.StepUp
	})
}

// Approve makes a proposed signal active: everywhere by an approver of another
// partner than the proposer's, as often as the protocol's quorum asks, or on
// one's own platform by one's own approver.
func (s *Service) Approve(ctx context.Context, by access.Actor, id string, d Decision) (Signal, error) {
	return s.activate(ctx, by, "signal.approved", id, d, Proposed)
}

// Resume makes a suspended signal active again. It is an approval anew, under
// the same rules.
func (s *Service) Resume(ctx context.Context, by access.Actor, id string, d Decision) (Signal, error) {
	return s.activate(ctx, by, "signal.resumed", id, d, Suspended)
}

func (s *Service) activate(ctx context.Context, by access.Actor, typ, id string, d Decision, from State) (Signal, error) {
	return s.act(ctx, by, access.Decide, typ, id, d, false, func(tx *journal.Tx, sig Signal, now time.Time) (decided, string, error) {
		return s.activation(tx, by, sig, d, from, now)
	})
}

// activation says what follows when the actor approves (from Proposed) or
// resumes (from Suspended) the signal, and under which authority.
func (s *Service) activation(tx *journal.Tx, by access.Actor, sig Signal, d Decision, from State, now time.Time) (decided, string, error) {
	verb := map[State]string{Proposed: "approve", Suspended: "resume"}[from]
	none := decided{}
	if from == Proposed && unmeasured(sig.Fingerprint.Kind, sig.Provenance) {
		sig.Unmeasured = true
	}
	st, err := s.standing(tx, sig, now)
	if err != nil {
		return none, "", err
	}
	if d.Reach == Mine {
		if by.Kind != access.Platform {
			return none, "", problem.New(problem.Denied, "only a platform can act on its own edges alone", "decide with the reach everywhere")
		}
		own := sig.Own[by.Partner]
		live := sig.State == Active && own.State == "" || own.State == Active
		ended := sig.State == Withdrawn || sig.State == Expired || sig.State == Refused
		if ended {
			return none, "", sig.refuse(verb)
		}
		if live || (from == Suspended) != (own.State == Suspended || own.State == Withdrawn) {
			return none, "", problem.Newf(problem.Conflict, "signal %s is %s at your platform", sig.ID, ownState(sig, by.Partner)).WithFix("reload the page to see what is allowed")
		}
		if from == Proposed && sig.Proposed.same(by) {
			return none, "", problem.New(problem.Denied, "the proposer cannot approve the same signal", "ask another approver")
		}
		does := protocol.Least(sig.Wanted, protocol.MaxAction(st.Runs, sig.ruleCase(), now).Own)
		return decided{Reach: Mine, Does: does, Expire: laterOf(sig.ExpiresAt, now.Add(s.o.Life)).UTC().Truncate(time.Millisecond)}, "own platform", nil
	}
	tripped := sig.State == Active && sig.Tripped != "" && from == Suspended
	atOnce := sig.State == Active && sig.AtOnce && from == Proposed
	if sig.State != from && !tripped && !atOnce {
		return none, "", sig.refuse(verb, sig.open(by, now)...)
	}
	sig.Tripped, sig.AtOnce = "", false
	// Someone other than the proposer, of another partner.
	if st.Definition != nil {
		if err := st.Definition.MayApprove(sig.Proposed.Partner, by); err != nil {
			return none, "", err
		}
	}
	if sig.Proposed.Partner == by.Partner {
		return none, "", problem.Newf(problem.Denied, "%s proposed signal %s, so an approver of another partner decides", by.Partner, sig.ID).
			WithFix("ask another partner, or approve it with the reach mine for your own platform")
	}
	fresh := sig.Approved
	if from == Suspended {
		fresh = nil
		for _, a := range sig.Approved {
			if a.Entry > sig.Last.Entry {
				fresh = append(fresh, a)
			}
		}
	}
	approvals := []protocol.Participant{{ID: by.Partner, Kind: by.Kind}}
	for _, a := range fresh {
		if a.Partner == by.Partner {
			return none, "", problem.Newf(problem.Conflict, "%s approved signal %s already", by.Partner, sig.ID).WithFix("ask another partner")
		}
		approvals = append(approvals, protocol.Participant{ID: a.Partner, Kind: a.Kind})
	}
	top := protocol.MaxAction(st.Runs, sig.ruleCase(), now)
	body := decided{Reach: Everywhere, Kind: by.Kind, Does: sig.effective(top), Expire: s.expiry(tx, sig, st, now), Unmeasured: from == Proposed && sig.Unmeasured}
	body.Count = st.Definition != nil && !st.Definition.Approved(sig.Proposed.Partner, approvals)
	return body, top.Under, nil
}

func (st Standing) expiry(now time.Time, life time.Duration) time.Time {
	if st.Definition == nil {
		return now.Add(life)
	}
	return st.Definition.SignalExpiry(now)
}

func ownState(sig Signal, partner string) State {
	if o, ok := sig.Own[partner]; ok {
		return o.State
	}
	return sig.State
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (s *Service) standing(r journal.StoreReader, sig Signal, now time.Time) (Standing, error) {
	if sig.Incident == "" {
		return Standing{}, nil
	}
	return s.o.Incidents.Standing(r, access.Actor{System: true}, sig.Incident, now)
}

// Refuse ends a proposal.
func (s *Service) Refuse(ctx context.Context, by access.Actor, id string, d Decision) (Signal, error) {
	return s.act(ctx, by, access.Decide, "signal.refused", id, d, true, func(_ *journal.Tx, sig Signal, now time.Time) (decided, string, error) {
		if sig.State != Proposed && !(sig.State == Active && sig.AtOnce) {
			return decided{}, "", sig.refuse("refuse", sig.open(by, now)...)
		}
		return decided{Reach: Everywhere}, "", nil
	})
}

// Suspend stops a signal at once: by one person, on one's own platform
// (the default) or everywhere.
func (s *Service) Suspend(ctx context.Context, by access.Actor, id string, d Decision) (Signal, error) {
	return s.act(ctx, by, access.Suspend, "signal.suspended", id, d, true, func(_ *journal.Tx, sig Signal, now time.Time) (decided, string, error) {
		return sig.suspension(by, d, now)
	})
}

func (sig Signal) suspension(by access.Actor, d Decision, now time.Time) (decided, string, error) {
	body := decided{Reach: cmp.Or(d.Reach, Mine), Cause: "person"}
	if body.Reach == Mine {
		if by.Kind != access.Platform {
			return body, "", problem.New(problem.Denied, "only a platform has edges of its own", "suspend it with the reach everywhere")
		}
		if st := ownState(sig, by.Partner); st != Active {
			return body, "", problem.Newf(problem.Conflict, "signal %s is %s at your platform, so nothing is left to suspend", sig.ID, st)
		}
		return body, "own platform", nil
	}
	if !by.Has(access.Approver) {
		return body, "", problem.New(problem.Denied, "to suspend a signal everywhere, the role approver is needed", "suspend it at your own platform, or ask an approver")
	}
	if sig.State != Active {
		return body, "", sig.refuse("suspend", sig.open(by, now)...)
	}
	return body, "", nil
}

// Withdraw ends a signal for good: everywhere (the default) or on one's own
// platform.
func (s *Service) Withdraw(ctx context.Context, by access.Actor, id string, d Decision) (Signal, error) {
	return s.act(ctx, by, access.Withdraw, "signal.withdrawn", id, d, true, func(_ *journal.Tx, sig Signal, _ time.Time) (decided, string, error) {
		return sig.withdrawal(by, d)
	})
}

func (sig Signal) withdrawal(by access.Actor, d Decision) (decided, string, error) {
	body := decided{Reach: cmp.Or(d.Reach, Everywhere)}
	if body.Reach == Mine {
		if by.Kind != access.Platform {
			return body, "", problem.New(problem.Denied, "only a platform has edges of its own", "withdraw it with the reach everywhere")
		}
		if st := ownState(sig, by.Partner); st != Active && st != Suspended {
			return body, "", problem.Newf(problem.Conflict, "signal %s is %s at your platform, so nothing is left to withdraw", sig.ID, st)
		}
		return body, "own platform", nil
	}
	if sig.allowed() == nil {
		return body, "", sig.refuse("withdraw")
	}
	return body, "", nil
}

// Reconsider brings the incident's signals in line with what its protocols
// allow now, in the transaction that changed that. Incidents calls it after
// each change of an activation; ended says that the incident is over, so that
// what was not renewed expires.
func (s *Service) Reconsider(tx *journal.Tx, incident string, now time.Time, ended bool) error {
	by := access.Actor{System: true}
	st, err := s.o.Incidents.Standing(tx, by, incident, now)
	if err != nil {
		return err
	}
	var live []Signal
	err = journal.Each(tx, journal.ObjectQuery{Kind: KindSignal, Parent: incident, States: []string{string(Active), string(Suspended), string(Proposed)}}, func(sig Signal, _ journal.Object) error {
		live = append(live, sig)
		return nil
	})
	if err != nil {
		return err
	}
	for _, sig := range live {
		top := protocol.MaxAction(st.Runs, sig.ruleCase(), now)
		switch does := sig.effective(top); {
		case ended && sig.State != Proposed && sig.Renewed.IsZero():
			if _, err := s.append(tx, by, "signal.expired", sig, "the activation was concluded and the signal was not renewed", top.Under, now, decided{Reach: Everywhere}); err != nil {
				return err
			}
		case ended && sig.State == Proposed:
			if _, err := s.append(tx, by, "signal.refused", sig, "the activation was concluded before anybody approved the signal", top.Under, now, decided{Reach: Everywhere}); err != nil {
				return err
			}
		case sig.State == Active && does != sig.Does:
			if _, err := s.append(tx, by, "signal.action_changed", sig, "what the protocols allow has changed", top.Under, now, decided{Reach: Everywhere, Does: does}); err != nil {
				return err
			}
		}
	}
	return nil
}

// Tick expires what is due. It is called by the node's clock and does nothing
// twice.
func (s *Service) Tick(ctx context.Context) error {
	now := s.o.Now()
	return s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		due, err := tx.Objects(journal.ObjectQuery{Kind: KindSignal, DueBy: now.UnixMilli(), Limit: 200})
		if err != nil {
			return err
		}
		for _, o := range due {
			var sig Signal
			if err := json.Unmarshal(o.Doc, &sig); err != nil {
				return fmt.Errorf("reading signal %s: %w", o.ID, err)
			}
			if _, err := s.append(tx, access.Actor{System: true}, "signal.expired", sig, "its time is over", "", now, decided{Reach: Everywhere}); err != nil {
				return err
			}
		}
		return nil
	})
}
