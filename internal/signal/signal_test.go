package signal_test

import (
	"context"
	"encoding/hex"
	"fmt"
	"image"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/edge"
	"github.com/siaga-crp/siaga/fingerprint"
	"github.com/siaga-crp/siaga/fingerprint/local"
	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/keys"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
	"github.com/siaga-crp/siaga/internal/signal"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
)

var background = context.Background()

// incidents is one incident, whose protocol a test starts and stops.
type incidents struct {
	open     bool
	exercise bool
	audience access.Audience
	runs     []protocol.Run
	def      *protocol.Definition // nil: sea-crp
}

const incidentID = "IDN-2026-0007"

func (f *incidents) Standing(_ journal.StoreReader, by access.Actor, id string, _ time.Time) (signal.Standing, error) {
	if id != incidentID || !f.audience.Sees(by) {
		return signal.Standing{}, problem.New(problem.NotFound, "there is no such incident", "check its number")
	}
	def, err := protocol.Lookup("sea-crp")
	if f.def != nil {
		def = f.def
	}
	return signal.Standing{Incident: id, Open: f.open, Exercise: f.exercise, Audience: f.audience, Definition: def, Runs: f.runs}, err
}

// chains is the edge feed as an edge sees it: what each chain says last of a
// signal. "masked" is a removal.
type chains struct {
	ops  []signal.Op
	last map[string]map[string]string // chain, signal
	fail error
}

func (f *chains) Publish(_ journal.StoreTx, _ int64, _ time.Time, ops []signal.Op) error {
	if f.fail != nil {
		return f.fail
	}
	for _, op := range ops {
		if err := wire(op); err != nil {
			return err
		}
		f.ops = append(f.ops, op)
		if f.last[op.Chain] == nil {
			f.last[op.Chain] = map[string]string{}
		}
		f.last[op.Chain][op.Signal.ID] = "masked"
		if op.Add {
			f.last[op.Chain][op.Signal.ID] = string(op.Action)
		}
	}
	return nil
}

// wire reports what the edge's side of the wire would refuse in an operation.
func wire(op signal.Op) error {
	s := op.Signal
	o := edge.Operation{Chain: op.Chain, Epoch: 1, Seq: 1, Do: edge.Remove, Signal: edge.Signal{Number: s.Number, ID: s.ID}}
	if op.Add {
		o.Do = edge.Add
		o.Signal = edge.Signal{
			Number: s.Number, ID: s.ID, Kind: s.Fingerprint.Kind, Value: s.Fingerprint.Text, List: s.List, Labels: s.Labels,
			Producer: string(s.Producer), Action: edge.Action(op.Action), MaxDistance: s.MaxDistance, Group: s.Group,
			Exercise: s.Exercise, Incident: s.Incident, Expires: s.ExpiresAt,
		}
	}
	return o.Check()
}

// does is what an edge of the partner does with a signal: its own chain hides
// the shared one.
func (f *chains) does(partner, id string) string {
	a, ok := f.last[signal.ChainOf(partner)][id]
	if !ok {
		a = f.last[signal.ChainPartners][id]
	}
	if a == "masked" {
		return ""
	}
	return a
}

type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

type world struct {
	t         testing.TB
	clock     *clock
	log       *journal.Log
	s         *signal.Service
	incidents *incidents
	feed      *chains
	r         *rand.Rand
}

var kinds = map[string]access.PartnerKind{
	"secretariat": access.Intergovernmental, "nusa": access.Government, "tasman": access.Government,
	"lensa": access.Platform, "gema": access.Platform, "warga": access.CivilSociety,
}

func open(t testing.TB) *world {
	t.Helper()
	w := &world{
		t: t, clock: &clock{at: time.Date(2026, 3, 2, 14, 30, 0, 0, time.UTC)}, r: rand.New(rand.NewPCG(1, 2)),
		incidents: &incidents{open: true, audience: access.Audience{TLP: access.Amber, Origin: "lensa"}}, feed: &chains{last: map[string]map[string]string{}},
	}
	dir := t.TempDir()
	db, err := sqlite.Create(background, filepath.Join(dir, "siaga.db"), sqlite.Options{})
	w.ok(err)
	t.Cleanup(func() { w.ok(db.Close()) })
	set, err := keys.Make(filepath.Join(dir, "keys"), "test.example/signal")
	w.ok(err)
	w.log, err = journal.NewLog(journal.Options{
		Store: db, Folds: append(partner.Folds(), signal.Folds()...), Origin: set.Origin, Signer: set.Signer, VerifierKeys: []string{set.VKey}, Now: w.clock.now,
	})
	w.ok(err)
	ps := partner.New(partner.Options{Log: w.log, Now: w.clock.now, Seal: set})
	first, _, _, err := ps.First(background, partner.NewPartner{Name: "Secretariat", Kind: kinds["secretariat"], Country: "ID"},
		partner.NewMember{Name: "Eko", Email: "eko@secretariat.example", Roles: []access.Role{access.Administrator}})
	w.ok(err)
	for _, name := range slices.Sorted(maps.Keys(kinds)) {
		if name != "secretariat" {
			_, err := ps.Add(background, partner.Shell(first), partner.NewPartner{Name: name, ID: name, Kind: kinds[name], Country: "ID"})
			w.ok(err)
		}
	}
	w.s = signal.New(signal.Options{Log: w.log, Now: w.clock.now, Incidents: w.incidents, Feed: w.feed})
	return w
}

func (w *world) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) want(what string, err error, kind problem.Kind) {
	w.t.Helper()
	if got := problem.KindOf(err); got != kind {
		w.t.Errorf("%s: %q (%v), want %q", what, got, err, kind)
	}
}

// as is someone of a partner with all the roles of a desk, unless told, whose
// presence was just proved.
func (w *world) as(partner string, roles ...access.Role) access.Actor {
	if roles == nil {
		roles = []access.Role{access.Officer, access.Analyst, access.Approver, access.Reviewer}
	}
	return access.Actor{Partner: partner, Kind: kinds[partner], Country: "ID", Member: "m-" + partner, Roles: roles, StepUp: w.clock.now(), For: access.AnyAction}
}

// active lets sea-crp be active, or nothing, and brings signals in line.
func (w *world) active(on bool) {
	w.t.Helper()
	w.incidents.runs = nil
	if on {
		w.run(protocol.Activation{State: protocol.Active, ActiveSince: w.clock.now(), Sunset: w.clock.now().AddDate(100, 0, 0)})
	}
	w.reconsider(false)
}

func (w *world) run(a protocol.Activation) {
	def, err := protocol.Lookup("sea-crp")
	w.ok(err)
	a.Protocol, a.Version, a.Hash = def.ID, def.Version, def.Hash
	w.incidents.runs = []protocol.Run{{Definition: def, Activation: a}}
}

func (w *world) reconsider(ended bool) {
	w.t.Helper()
	w.ok(w.log.Update(background, func(tx *journal.Tx) error {
		return w.s.Reconsider(tx, incidentID, w.clock.now(), ended)
	}))
}

// value is the text of a PDQ hash that was not used before.
func (w *world) value() string {
	var b [32]byte
	for i := range b {
		b[i] = byte(w.r.IntN(256))
	}
	return hex.EncodeToString(b[:])
}

func (w *world) proposal(quality int) signal.Proposal {
	return signal.Proposal{
		Incident: incidentID, Kind: "pdq", Value: w.value(), Labels: []string{"livestream_of_attack"}, Producer: "perpetrator",
		Action: signal.Block, Provenance: signal.Provenance{Quality: &quality},
	}
}

func (w *world) propose(by string, p signal.Proposal) signal.Signal {
	w.t.Helper()
	sig, err := w.s.Propose(background, w.as(by), p)
	w.ok(err)
	return sig
}

func (w *world) size() int64 {
	w.t.Helper()
	var n int64
	w.ok(w.log.View(background, func(r journal.StoreReader) (err error) {
		n, err = r.Size()
		return err
	}))
	return n
}

var because = signal.Decision{Reason: "a mistake", Reach: signal.Everywhere}

func TestProposalIsChecked(t *testing.T) {
	w := open(t)
	minus, over, q := -1, 200, 120
	weak, far := 31, 50
	dots := image.NewGray(image.Rect(0, 0, 64, 64))
	for i := range dots.Pix {
		dots.Pix[i] = uint8(i * i * 7)
	}
	noise := local.Compute(dots, local.Options{})
	tlsh := "T1" + strings.Repeat("0123456789ABCDEF", 4) + "012345"
	for _, c := range []struct {
		name   string
		change func(*signal.Proposal)
		field  string
		says   string
	}{
		{"no kind", func(p *signal.Proposal) { p.Kind = "" }, "kind", "choose the kind"},
		{"a kind that there is not", func(p *signal.Proposal) { p.Kind = "phash" }, "kind", "not a kind"},
		{"63 digits", func(p *signal.Proposal) { p.Value = p.Value[:63] }, "value", "64"},
		{"no value", func(p *signal.Proposal) { p.Value = "" }, "value", ""},
		{"flat picture", func(p *signal.Proposal) { p.Value = strings.Repeat("0", 64) }, "value", "unrelated pictures"},
		{"flat video", func(p *signal.Proposal) {
			p.Kind, p.Value = "vpdq", fmt.Sprintf(`["%s,49,0.000","%s,100,0.100"]`, p.Value, strings.Repeat("0", 64))
		}, "value", "no frame"},
		{"distance under zero", func(p *signal.Proposal) { p.MaxDistance = &minus }, "max_distance", "from 0 to"},
		{"distance too great", func(p *signal.Proposal) { p.MaxDistance = &over }, "max_distance", "from 0 to"},
		{"distance too great for a text", func(p *signal.Proposal) { p.Kind, p.Value, p.MaxDistance = "tlsh", tlsh, &over }, "max_distance", "from 0 to 50"},
		{"quality over 100", func(p *signal.Proposal) { p.Provenance.Quality = &q }, "provenance.quality", "0 to 100"},
		{"block with little detail", func(p *signal.Proposal) { p.Provenance.Quality = &weak }, "action", "31, needs 50"},
		{"block by keypoints with little detail", func(p *signal.Proposal) {
			p.Kind, p.Value, p.Provenance.Quality = "local", noise.Asset().String(), &weak
		}, "action", "31, needs 50"},
		{"a label of our own", func(p *signal.Proposal) { p.Labels = []string{"bad"} }, "labels", `"bad"`},
		{"33 labels", func(p *signal.Proposal) { p.Labels = entities(edge.MaxLabels+1, 30) }, "labels", "up to 32 labels"},
		{"a label of 201 bytes", func(p *signal.Proposal) { p.Labels = entities(1, edge.MaxText+1) }, "labels", "up to 200 bytes"},
		{"a label twice", func(p *signal.Proposal) { p.Labels = []string{"propaganda", "propaganda"} }, "labels", "none of them twice"},
		{"a label with a line break", func(p *signal.Proposal) { p.Labels = []string{"language:i\nd"} }, "labels", "not a label"},
		{"a value that no edge takes", func(p *signal.Proposal) { p.Kind, p.Value = "vpdq", longVideo(w) }, "value", "the limit is 196608"},
		{"a producer that there is not", func(p *signal.Proposal) { p.Producer = "me" }, "producer", `"me"`},
		{"an action that there is not", func(p *signal.Proposal) { p.Action = "delete" }, "action", `"delete"`},
		{"a confidence that there is not", func(p *signal.Proposal) { p.Confidence = "sure" }, "confidence", `"sure"`},
		{"a long note", func(p *signal.Proposal) { p.Note = strings.Repeat("ก", 2001) }, "note", "2001"},
		{"a long tool", func(p *signal.Proposal) { p.Provenance.Tool = strings.Repeat("x", 201) }, "provenance.tool", "200"},
		{"a digest that is none", func(p *signal.Proposal) { p.Provenance.SHA256 = "nonsense" }, "provenance.sha256", "64 hex"},
		{"a distance of a digest", func(p *signal.Proposal) { p.Kind, p.MaxDistance = "sha256", new(31) }, "max_distance", "exactly"},
		{"a long list", func(p *signal.Proposal) { p.List = strings.Repeat("x", 61) }, "list", "60"},
		{"a label of another protocol", func(p *signal.Proposal) { p.TLP = "white" }, "tlp", "white"},
		{"wider than the incident", func(p *signal.Proposal) { p.TLP = "clear" }, "tlp", "AMBER"},
		{"a reader that there is not", func(p *signal.Proposal) { p.Partners = []string{"nobody"} }, "partners", "nobody"},
	} {
		p := w.proposal(88)
		c.change(&p)
		before := w.size()
		_, err := w.s.Propose(background, w.as("lensa"), p)
		w.want(c.name, err, problem.Invalid)
		pe, _ := err.(*problem.Error)
		if pe == nil || len(pe.Fields) != 1 || pe.Fields[0].Name != c.field || !strings.Contains(pe.Fields[0].Detail, c.says) {
			t.Errorf("%s: %+v, want the field %s to say %q", c.name, pe, c.field, c.says)
		}
		if w.size() != before {
			t.Errorf("%s: something was written", c.name)
		}
	}
	p := w.proposal(88)
	p.Note, p.Partners = strings.Repeat("ก", 2000), slices.Repeat([]string{"nusa"}, 1000)
	sig := w.propose("lensa", p)
	if len(sig.Audience.Partners) != 1 {
		t.Errorf("one reader named a thousand times: %d readers", len(sig.Audience.Partners))
	}
	if sig.ID != "S-0001" || sig.State != signal.Proposed || sig.List != "crisis" || sig.Does != "" {
		t.Errorf("made %+v", sig)
	}
	p.Value = strings.ToUpper(p.Value)
	_, err := w.s.Propose(background, w.as("gema"), p)
	w.want("the same fingerprint in capitals", err, problem.Conflict)
	p.Incident = ""
	if other := w.propose("gema", p); other.List != "gema" {
		t.Errorf("without an incident: %+v", other)
	}
	if p := (signal.Proposal{Kind: "tlsh", Value: tlsh, MaxDistance: &far}); w.propose("gema", p).MaxDistance != far {
		t.Errorf("a text at distance %d: another one was kept", far)
	}
	p.Incident = "IDN-2026-9999"
	_, err = w.s.Propose(background, w.as("gema"), p)
	w.want("an incident that there is not", err, problem.NotFound)
	w.incidents.open = false
	_, err = w.s.Propose(background, w.as("gema"), w.proposal(88))
	w.want("a closed incident", err, problem.Conflict)
}

// entities returns n labels that are not equal, of the given number of bytes.
func entities(n, size int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("entity:list/%0*d", size-len("entity:list/"), i)
	}
	return out
}

// longVideo is a right video fingerprint of more bytes than an edge reads.
func longVideo(w *world) string {
	var b strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&b, "%d,100,%s,%d.000\n", i, w.value(), i)
	}
	return b.String()
}

// TestAcceptedCanBePublished approves proposals at every limit: what a proposal
// is accepted with, no decision fails on. chains asks the edge's own check.
func TestAcceptedCanBePublished(t *testing.T) {
	w := open(t)
	w.active(true)
	p := w.proposal(88)
	p.Labels, p.List, p.Group = entities(edge.MaxLabels, edge.MaxText), strings.Repeat("x", 60), strings.Repeat("g", 60)
	for range 2 {
		p.Value = w.value()
		sig := w.propose("lensa", p)
		sig, err := w.s.Approve(background, w.as("nusa"), sig.ID, signal.Decision{})
		if err != nil || sig.State != signal.Active {
			t.Errorf("approving a proposal at its limits: %s, %v", sig.State, err)
		}
	}
	for n := 29; n < 36; n++ { // around the limit, whatever it is
		p := w.proposal(88)
		p.Labels = entities(n, edge.MaxText-32+n)
		sig, err := w.s.Propose(background, w.as("lensa"), p)
		if err != nil {
			continue
		}
		_, err = w.s.Approve(background, w.as("nusa"), sig.ID, signal.Decision{})
		w.ok(err)
	}
}

// TestProposerNeverApproves asks where no protocol says so: of a signal without
// an incident, and of one whose protocol does not ask for another partner.
func TestProposerNeverApproves(t *testing.T) {
	w := open(t)
	def, err := protocol.Lookup("sea-crp")
	w.ok(err)
	own := *def
	own.Signals.Approve.OtherPartner = false
	w.incidents.def = &own
	w.incidents.runs = []protocol.Run{{Definition: &own, Activation: protocol.Activation{
		State: protocol.Active, Protocol: own.ID, Version: own.Version, Hash: own.Hash, ActiveSince: w.clock.now(), Sunset: w.clock.now().AddDate(1, 0, 0),
	}}}
	for _, inc := range []string{"", incidentID} {
		p := w.proposal(88)
		p.Incident = inc
		sig := w.propose("lensa", p)
		colleague := w.as("lensa")
		colleague.Member = "m-other"
		for _, by := range []access.Actor{w.as("lensa"), colleague} {
			_, err := w.s.Approve(background, by, sig.ID, signal.Decision{Reach: signal.Everywhere})
			w.want(fmt.Sprintf("approve of incident %q by %s of the proposer's partner", inc, by.Member), err, problem.Denied)
		}
		got, err := w.s.Approve(background, w.as("gema"), sig.ID, signal.Decision{Reach: signal.Everywhere})
		if err != nil || got.State != signal.Active {
			t.Errorf("approve of incident %q by another partner: %s, %v", inc, got.State, err)
		}
	}
}

// TestDenied asks every decision as those who may not. Nothing is written.
func TestDenied(t *testing.T) {
	w := open(t)
	w.active(true)
	proposed := w.propose("lensa", w.proposal(88))
	live := w.propose("lensa", w.proposal(88))
	_, err := w.s.Approve(background, w.as("nusa"), live.ID, signal.Decision{})
	w.ok(err)
	secret := w.proposal(88)
	secret.TLP, secret.Partners = "red", []string{"nusa"}
	hidden := w.propose("lensa", secret)

	type call func(context.Context, access.Actor, string, signal.Decision) (signal.Signal, error)
	all := []struct {
		name  string
		do    call
		id    string
		roles []access.Role
		fresh bool
	}{
		{"approve", w.s.Approve, proposed.ID, []access.Role{access.Approver}, true},
		{"refuse", w.s.Refuse, proposed.ID, []access.Role{access.Approver}, true},
		{"suspend", w.s.Suspend, live.ID, []access.Role{access.Approver, access.Reviewer}, false},
		{"resume", w.s.Resume, live.ID, []access.Role{access.Approver}, true},
		{"withdraw", w.s.Withdraw, live.ID, []access.Role{access.Approver}, true},
	}
	before := w.size()
	for _, c := range all {
		do := func(a access.Actor, d signal.Decision) error { _, err := c.do(background, a, c.id, d); return err }
		w.want(c.name+" as nobody", do(access.Actor{}, because), problem.SignIn)
		for _, r := range access.Roles() {
			if !slices.Contains(c.roles, r) {
				w.want(fmt.Sprintf("%s as %s", c.name, r), do(w.as("nusa", r), because), problem.Denied)
			}
		}
		token := access.Actor{Partner: "nusa", Kind: access.Government, Token: "t1", Roles: c.roles, Scopes: []access.TokenScope{access.ScopeRead, access.ScopePropose, access.ScopeAdmin, access.ScopeFeed}}
		w.want(c.name+" with a token that may not decide", do(token, because), problem.Denied)
		stale := w.as("nusa", c.roles...)
		stale.StepUp = stale.StepUp.Add(-access.StepUpFresh - time.Second)
		if c.fresh {
			w.want(c.name+" without proof of presence", do(stale, because), problem.StepUp)
		}
		w.want(c.name+" of a signal that there is not", func() error { _, err := c.do(background, w.as("nusa"), "S-9999", because); return err }(), problem.NotFound)
		_, there := c.do(background, w.as("gema"), hidden.ID, because)
		_, absent := c.do(background, w.as("gema"), "S-9999", because)
		if there == nil || strings.ReplaceAll(there.Error(), hidden.ID, "S-9999") != absent.Error() {
			t.Errorf("%s: %v tells a signal that one may not see from one that is not there: %v", c.name, there, absent)
		}
		w.want(c.name+" with another reach", do(w.as("nusa"), signal.Decision{Reason: "x", Reach: "world"}), problem.Invalid)
		w.want(c.name+" with an endless reason", do(w.as("nusa"), signal.Decision{Reason: strings.Repeat("x", signal.MaxReason+1)}), problem.Invalid)
		w.want(c.name+" of what changed since", do(w.as("nusa"), signal.Decision{Reason: "x", Reach: signal.Everywhere, Version: 1}), problem.Conflict)
	}
	for _, c := range all[1:] {
		if c.name != "resume" {
			_, err := c.do(background, w.as("nusa"), c.id, signal.Decision{Reason: "  ", Reach: signal.Everywhere})
			w.want(c.name+" without a reason", err, problem.Invalid)
		}
	}
	_, err = w.s.Approve(background, w.as("lensa"), proposed.ID, signal.Decision{})
	w.want("approve by the proposer", err, problem.Denied)
	colleague := w.as("lensa")
	colleague.Member = "m-other"
	_, err = w.s.Approve(background, colleague, proposed.ID, signal.Decision{})
	w.want("approve by the proposer's colleague", err, problem.Denied)
	_, err = w.s.Approve(background, w.as("lensa"), proposed.ID, signal.Decision{Reach: signal.Mine})
	w.want("approve by the proposer at its own platform", err, problem.Denied)
	_, err = w.s.Approve(background, w.as("warga"), proposed.ID, signal.Decision{})
	w.want("approve by a kind that the protocol does not name, and that may not see it", err, problem.NotFound)
	_, err = w.s.Approve(background, w.as("nusa"), proposed.ID, signal.Decision{Reach: signal.Mine})
	w.want("approve for one's own platform by a government", err, problem.Denied)
	_, err = w.s.Suspend(background, w.as("gema", access.Reviewer), live.ID, because)
	w.want("suspend everywhere by a reviewer", err, problem.Denied)
	for _, r := range []access.Role{access.Approver, access.Reviewer, access.Observer, access.Operator, access.Edge, access.Administrator} {
		_, err = w.s.Propose(background, w.as("lensa", r), w.proposal(88))
		w.want("propose as "+string(r), err, problem.Denied)
	}
	if n := w.size() - before; n != 0 {
		t.Errorf("%d entries were written", n)
	}
	seen, _, err := w.s.List(background, w.as("gema"), signal.Query{})
	w.ok(err)
	for _, sig := range seen {
		if sig.ID == hidden.ID {
			t.Error("a list shows a signal to those who may not see it")
		}
	}
}

// TestIllegalSteps: each state refuses what is not its own, and the answer
// lists what is allowed.
func TestIllegalSteps(t *testing.T) {
	w := open(t)
	w.active(true)
	to := map[signal.State]func(string) error{
		signal.Proposed: func(string) error { return nil },
		signal.Active: func(id string) error {
			_, err := w.s.Approve(background, w.as("nusa"), id, signal.Decision{})
			return err
		},
		signal.Suspended: func(id string) error {
			if _, err := w.s.Approve(background, w.as("nusa"), id, signal.Decision{}); err != nil {
				return err
			}
			_, err := w.s.Suspend(background, w.as("tasman"), id, because)
			return err
		},
		signal.Refused: func(id string) error {
			_, err := w.s.Refuse(background, w.as("nusa"), id, because)
			return err
		},
		signal.Withdrawn: func(id string) error {
			_, err := w.s.Withdraw(background, w.as("tasman"), id, because)
			return err
		},
	}
	allowed := map[signal.State][]string{
		signal.Proposed: {"approve", "refuse", "withdraw"}, signal.Active: {"suspend", "withdraw"}, signal.Suspended: {"resume", "withdraw"},
	}
	for state, reach := range to {
		for verb, do := range map[string]func(context.Context, access.Actor, string, signal.Decision) (signal.Signal, error){
			"approve": w.s.Approve, "refuse": w.s.Refuse, "suspend": w.s.Suspend, "resume": w.s.Resume, "withdraw": w.s.Withdraw,
		} {
			sig := w.propose("lensa", w.proposal(88))
			w.ok(reach(sig.ID))
			_, err := do(background, w.as("tasman"), sig.ID, because)
			if slices.Contains(allowed[state], verb) {
				w.want(fmt.Sprintf("%s what is %s", verb, state), err, "")
				continue
			}
			w.want(fmt.Sprintf("%s what is %s", verb, state), err, problem.Conflict)
			p, _ := err.(*problem.Error)
			if p == nil || !cmp.Equal(p.Allows, allowed[state]) || p.Fix == "" {
				t.Errorf("%s what is %s: %+v, want it to list %v", verb, state, p, allowed[state])
			}
		}
	}
}

// TestExpiry: a signal ends by itself when its time is over, not before, once,
// and edges are told in the same step.
func TestExpiry(t *testing.T) {
	w := open(t)
	w.active(true)
	under := w.propose("lensa", w.proposal(88)) // sea-crp: 30 days
	p := w.proposal(88)
	p.Incident = ""
	alone := w.propose("lensa", p) // without an incident: 30 days, review
	p = w.proposal(88)
	still := w.propose("lensa", p) // never approved: no end of its own
	for _, id := range []string{under.ID, alone.ID} {
		sig, err := w.s.Approve(background, w.as("nusa"), id, signal.Decision{})
		w.ok(err)
		if want := w.clock.now().Add(30 * 24 * time.Hour); !sig.ExpiresAt.Equal(want) {
			t.Errorf("%s expires at %s, want %s", id, sig.ExpiresAt, want)
		}
	}
	suspended, err := w.s.Suspend(background, w.as("tasman"), alone.ID, because)
	w.ok(err)
	if suspended.ExpiresAt.IsZero() {
		t.Error("a suspended signal never ends")
	}
	state := func(id string) signal.State {
		sig, err := w.s.Get(background, w.as("nusa"), id)
		w.ok(err)
		return sig.State
	}
	w.clock.pass(30*24*time.Hour - time.Millisecond)
	w.ok(w.s.Tick(background))
	if state(under.ID) != signal.Active || state(alone.ID) != signal.Suspended || w.feed.does("gema", under.ID) != "block" {
		t.Errorf("a millisecond early: %s, %s, %s", state(under.ID), state(alone.ID), w.feed.does("gema", under.ID))
	}
	w.clock.pass(time.Millisecond)
	w.ok(w.s.Tick(background))
	if state(under.ID) != signal.Expired || state(alone.ID) != signal.Expired || state(still.ID) != signal.Proposed {
		t.Errorf("at its end: %s, %s, %s", state(under.ID), state(alone.ID), state(still.ID))
	}
	if got := w.feed.does("gema", under.ID); got != "" {
		t.Errorf("an edge still answers %s", got)
	}
	before := w.size()
	w.ok(w.s.Tick(background))
	w.clock.pass(time.Hour)
	w.ok(w.s.Tick(background))
	if n := w.size() - before; n != 0 {
		t.Errorf("the clock wrote %d more entries", n)
	}
	// If the feed cannot be written, the signal has not ended either.
	sig := w.propose("lensa", w.proposal(88))
	_, err = w.s.Approve(background, w.as("nusa"), sig.ID, signal.Decision{})
	w.ok(err)
	w.clock.pass(30 * 24 * time.Hour)
	w.feed.fail = context.DeadlineExceeded
	if err := w.s.Tick(background); err == nil || state(sig.ID) != signal.Active {
		t.Errorf("with a broken feed: %v, %s", err, state(sig.ID))
	}
	w.feed.fail = nil
	w.ok(w.s.Tick(background))
	if state(sig.ID) != signal.Expired {
		t.Errorf("after that: %s", state(sig.ID))
	}
}

// TestManyExpireAtOnce: the clock goes on until all that is due has ended.
func TestManyExpireAtOnce(t *testing.T) {
	w := open(t)
	w.active(true)
	const n = 230 // more than one step of the clock takes
	for range n {
		sig := w.propose("lensa", w.proposal(88))
		_, err := w.s.Approve(background, w.as("nusa"), sig.ID, signal.Decision{})
		w.ok(err)
	}
	w.clock.pass(31 * 24 * time.Hour)
	for range 3 {
		w.ok(w.s.Tick(background))
	}
	left := 0
	for cursor := ""; ; {
		page, next, err := w.s.List(background, w.as("nusa"), signal.Query{States: []signal.State{signal.Active}, Cursor: cursor})
		w.ok(err)
		left += len(page)
		if cursor = next; next == "" {
			break
		}
	}
	if left != 0 {
		t.Errorf("%d of %d are still active", left, n)
	}
}

// TestProtocolHoldsSignals: what a signal does follows the incident's protocol.
func TestProtocolHoldsSignals(t *testing.T) {
	w := open(t)
	sig := w.propose("lensa", w.proposal(88))
	_, err := w.s.Approve(background, w.as("nusa"), sig.ID, signal.Decision{})
	w.ok(err)
	waiting := w.propose("lensa", w.proposal(88))
	weakest := w.proposal(31)
	weakest.Action = signal.Review
	weak := w.propose("lensa", weakest)
	_, err = w.s.Approve(background, w.as("nusa"), weak.ID, signal.Decision{})
	w.ok(err)
	step := func(what, id, want string) {
		t.Helper()
		if got := w.feed.does("gema", id); got != want {
			t.Errorf("%s: an edge answers %q to %s, want %q", what, got, id, want)
		}
	}
	step("before the activation", sig.ID, "review")
	step("before the activation", waiting.ID, "")
	w.active(true)
	step("active", sig.ID, "block")
	step("active, little detail", weak.ID, "review")
	step("active, not approved", waiting.ID, "")
	w.clock.pass(time.Hour)
	w.run(protocol.Activation{State: protocol.StandingDown, StandingDownSince: w.clock.now(), StandingDownCause: protocol.CauseVote})
	w.reconsider(false)
	step("standing down, active before", sig.ID, "block")
	late := w.propose("lensa", w.proposal(88))
	_, err = w.s.Approve(background, w.as("nusa"), late.ID, signal.Decision{})
	w.ok(err)
	step("standing down, new", late.ID, "review")
	w.incidents.runs = nil
	w.reconsider(true)
	for id, want := range map[string]signal.State{sig.ID: signal.Expired, late.ID: signal.Expired, waiting.ID: signal.Refused} {
		got, err := w.s.Get(background, w.as("nusa"), id)
		w.ok(err)
		if got.State != want {
			t.Errorf("concluded: %s is %s, want %s", id, got.State, want)
		}
		step("concluded", id, "")
	}
	w.incidents.exercise = true
	w.run(protocol.Activation{State: protocol.Active, ActiveSince: w.clock.now(), Sunset: w.clock.now().Add(time.Hour)})
	practice := w.propose("lensa", w.proposal(88))
	got, err := w.s.Approve(background, w.as("nusa"), practice.ID, signal.Decision{})
	w.ok(err)
	if !got.Exercise || got.Does == signal.Block {
		t.Errorf("practice does %s, exercise %t", got.Does, got.Exercise)
	}
}

// TestPaymentHandlesAreNotSearchable: a handle is found by its exact value, not
// by a part of it.
func TestPaymentHandlesAreNotSearchable(t *testing.T) {
	w := open(t)
	const handle = "DE89370400440532013000"
	sig := w.propose("lensa", signal.Proposal{Incident: incidentID, Kind: "payment", Value: handle, Action: signal.Review})
	if sig.Fingerprint.Kind != fingerprint.Payment {
		t.Fatalf("made %+v", sig.Fingerprint)
	}
	for _, part := range []string{handle[:10], "3704 0044", "0532013000"} {
		found, _, err := w.s.List(background, w.as("lensa"), signal.Query{Text: part})
		w.ok(err)
		if len(found) != 0 {
			t.Errorf("%q finds %s", part, found[0].ID)
		}
	}
}

// TestCounts: what edges counted is counted once a batch, and shown to those
// who may see the signal.
func TestCounts(t *testing.T) {
	w := open(t)
	w.active(true)
	p := w.proposal(88)
	p.TLP, p.Partners = "red", []string{"nusa"}
	secret := w.propose("lensa", p)
	seen := w.propose("lensa", w.proposal(88))
	minute := w.clock.now().Unix() / 60
	batch := []signal.MatchCount{
		{Signal: seen.ID, Minute: minute, Action: signal.Block, Pass: "pdq", Matches: 7},
		{Signal: seen.ID, Minute: minute - 1, Action: signal.Block, Pass: "pdq", Few: true},
		{Signal: secret.ID, Minute: minute, Action: signal.Block, Pass: "sha256", Matches: 5},
	}
	for range 2 {
		w.ok(w.s.AddCounts(background, "gema", "gema-1", "batch-1", batch))
	}
	w.ok(w.s.AddCounts(background, "gema", "gema-2", "batch-1", batch[:1]))
	got, err := w.s.Counts(background, w.as("gema"), w.clock.now().Add(-time.Hour))
	w.ok(err)
	want := []signal.Count{
		{Signal: seen.ID, Minute: minute - 1, Partner: "gema", Action: signal.Block, Pass: "pdq", Few: 1},
		{Signal: seen.ID, Minute: minute, Partner: "gema", Action: signal.Block, Pass: "pdq", Matches: 14},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	all, err := w.s.Counts(background, w.as("nusa"), w.clock.now().Add(-time.Hour))
	w.ok(err)
	if len(all) != 3 {
		t.Errorf("nusa, which may see both, sees %d counts", len(all))
	}
	for name, m := range map[string]int64{"the far future": minute + 3*24*60, "long ago": minute - 40*24*60, "no minute at all": 1 << 60, "a minute that overflows": minute + 1<<62} {
		err := w.s.AddCounts(background, "gema", "gema-1", name, []signal.MatchCount{{Signal: seen.ID, Minute: m, Matches: 1}})
		w.want("a count of "+name, err, problem.Invalid)
	}
	_, err = w.s.Counts(background, w.as("gema"), w.clock.now().Add(-48*time.Hour))
	w.want("counts of two days", err, problem.Invalid)
	_, err = w.s.Counts(background, access.Actor{}, w.clock.now())
	w.want("counts for nobody", err, problem.SignIn)
}
