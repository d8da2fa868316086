package notify

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/duty"
	"github.com/siaga-crp/siaga/internal/incident"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/onetime"
	"github.com/siaga-crp/siaga/internal/outbound"
	"github.com/siaga-crp/siaga/internal/partner"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// Sealer encrypts small secrets at rest with the node's data key.
type Sealer interface {
	Seal(plain []byte, label string) []byte
	Open(sealed []byte, label string) ([]byte, error)
}

// Incidents is what an answer by a link does, and who may see what.
type Incidents interface {
	Get(ctx context.Context, by access.Actor, id string) (incident.Incident, error)
	// AcknowledgeIn says in a transaction that the actor's partner has seen it;
	// nothing where there is nothing to say. activations: what runs on it, too.
	AcknowledgeIn(tx *journal.Tx, by access.Actor, id string, activations bool, now time.Time) error
	Clock(ctx context.Context, a incident.ClockArgs) error // brings its clocks up to date
}

// Words says a text of the catalogue in a language. args are names and values
// in turn.
type Words func(lang, id string, args ...any) string

// Options of a Service. All but Mail, Vapid and Logger are required.
type Options struct {
	Log       *journal.Log
	Now       func() time.Time
	Seal      Sealer
	Guard     *outbound.Guard
	Incidents Incidents
	Words     Words
	URL       func() string // by which people reach the node, without a slash at its end
	Mail      Mail
	Vapid     Vapid
	Logger    *slog.Logger // nil: none

	// Services carries requests to the chat and push services that the node
	// speaks to itself. nil: Guard's.
	Services *http.Client
}

// Service tells duty contacts. Its methods may be called concurrently.
type Service struct {
	o      Options
	sender *sender
}

// New returns a Service.
func New(o Options) *Service {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{o: o, sender: &sender{guard: o.Guard, services: o.Services, mail: o.Mail, vapid: o.Vapid, now: o.Now}}
}

// PushKey is the public key that a browser subscribes with; "" if the node has
// none.
func (s *Service) PushKey() string { return s.o.Vapid.Public }

// Kinds of jobs.
const (
	JobIncident = "notify.incident" // compare what is asked with who is called
	JobCall     = "notify.call"     // look at one call
	JobSelfTest = "notify.selftest"
)

// IncidentArgs are the arguments of JobIncident.
type IncidentArgs struct {
	Incident string `json:"incident"`
	Entry    int64  `json:"entry"`
}

// CallArgs are the arguments of JobCall.
type CallArgs struct {
	Call  string `json:"call"`
	DueMS int64  `json:"due_ms,omitempty"`
}

// Follow enqueues the comparison for each entry that may change what is asked,
// in its transaction.
func Follow(tx journal.StoreTx, e journal.Entry) error {
	if err := followed(tx, e); err != nil {
		return err
	}
	if e.Type == "partner.disabled" {
		return followLeft(tx, e)
	}
	if len(e.About) == 0 || e.About[0].Kind != incident.KindIncident {
		return nil
	}
	kind, _, _ := strings.Cut(e.Type, ".")
	switch kind {
	case "incident", "activation", "clock", "vote":
	default:
		return nil
	}
	return tx.Enqueue(journal.NewJob(JobIncident, IncidentArgs{e.About[0].ID, e.Number}, time.Time{}))
}

// followLeft enqueues the comparison for the incidents for which a partner that
// is deactivated is being called.
func followLeft(tx journal.StoreTx, e journal.Entry) error {
	of := make(map[string]bool)
	err := journal.Each(tx, journal.ObjectQuery{Kind: KindCall, Partner: e.About[0].ID}, func(c Call, _ journal.Object) error {
		of[c.Incident] = of[c.Incident] || c.Open()
		return nil
	})
	for _, id := range sortedKeys(of) {
		if err == nil && of[id] {
			err = tx.Enqueue(journal.NewJob(JobIncident, IncidentArgs{id, e.Number}, time.Time{}))
		}
	}
	return err
}

// Incident brings the calls of an incident into line with what is asked, and
// sends what is to be sent at once.
func (s *Service) Incident(ctx context.Context, a IncidentArgs) error {
	begun, late, err := s.reconcile(ctx, a.Incident, false)
	if err == nil && late {
		// Nobody is woken for what has ended meanwhile, though no job has looked
		// at its clocks yet.
		if err = s.o.Incidents.Clock(ctx, incident.ClockArgs{Incident: a.Incident}); err == nil {
			var more []string
			more, _, err = s.reconcile(ctx, a.Incident, true)
			begun = append(begun, more...)
		}
	}
	if err != nil {
		return fmt.Errorf("calling for incident %s: %w", a.Incident, err)
	}
	// The jobs enqueued with them would do it a moment later.
	var wg sync.WaitGroup
	for _, id := range begun {
		wg.Go(func() {
			if err := s.Call(ctx, CallArgs{Call: id}); err != nil {
				s.o.Logger.WarnContext(ctx, "call not made at once", "call", id, "err", err)
			}
		})
	}
	wg.Wait()
	return nil
}

// reconcile ends and begins calls. Those whose time is over begin with afresh
// alone, or are reported as late.
func (s *Service) reconcile(ctx context.Context, id string, afresh bool) (begun []string, late bool, err error) {
	now := s.o.Now()
	err = s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		begun, late = nil, false
		inc, _, err := journal.Load[incident.Incident](tx, incident.KindIncident, id)
		if err != nil {
			return err
		}
		partners, err := partner.All(tx)
		if err != nil {
			return err
		}
		want := Wanted(inc, partners, now)
		s.callable(ctx, inc, partners, want)
		there := make(map[string]bool)
		err = journal.Each(tx, journal.ObjectQuery{Kind: KindCall, Parent: inc.ID}, func(c Call, _ journal.Object) error {
			there[c.ID] = true
			if _, ok := want[c.ID]; ok || !c.Open() {
				return nil
			}
			return s.append(tx, access.Actor{System: true}, c, "call.ended", now, callEvent{Partner: c.Partner})
		})
		if err != nil {
			return err
		}
		for _, id := range sortedKeys(want) {
			c := want[id]
			switch {
			case there[id] || c.missed(now):
				continue
			case c.old(now) && !afresh:
				late = true
				continue
			case c.old(now):
				c = c.afresh(now)
			case c.Begun.Before(now): // what its steps count from stays
				c.Begun = now.UTC().Truncate(time.Millisecond)
			}
			if err := s.begin(tx, c, now); err != nil {
				return err
			}
			begun = append(begun, id)
		}
		return nil
	})
	return begun, late, err
}

// callable leaves out whom nobody can call: partners that the directory does not
// have, and those that may not see the incident. A journal of an earlier release
// may ask for such a call; it must not keep the others from being called.
func (s *Service) callable(ctx context.Context, inc incident.Incident, partners []partner.Partner, want map[string]Call) {
	for _, id := range sortedKeys(want) {
		if c := want[id]; !slices.ContainsFunc(partners, func(p partner.Partner) bool { return p.ID == c.Partner && inc.Audience.SeenBy(p.ID, p.Kind) }) {
			s.o.Logger.WarnContext(ctx, "partner cannot be called", "incident", inc.ID, "partner", c.Partner, "ask", c.Ask)
			delete(want, id)
		}
	}
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// begin appends the call and who is called first.
func (s *Service) begin(tx *journal.Tx, c Call, now time.Time) error {
	k, _, err := contacts(tx, c.Partner, now)
	if err != nil {
		return err
	}
	if first := escalate(c, k, 0, protocol.ToNextOnRoster); len(first.Members) > 0 {
		c.People = []Reached{{Member: first.Members[0], Since: now.UTC().Truncate(time.Millisecond)}}
	}
	// A safety net for a crash between here and the first message.
	c.Next = now.Add(30 * time.Second).UTC().Truncate(time.Millisecond)
	entry := journal.New("call.begun", access.Actor{System: true}, now, callBegun{Call: c}, journal.Ref{Kind: KindCall, ID: c.ID}, journal.Ref{Kind: incident.KindIncident, ID: c.Incident})
	entry.Audience, entry.Exercise = c.Audience, c.Exercise
	if _, err := tx.Append(entry); err != nil {
		return err
	}
	return enqueueCall(tx, c.ID, c.Next)
}

func enqueueCall(tx journal.StoreTx, id string, at time.Time) error {
	if at.IsZero() {
		return nil
	}
	j := journal.NewJob(JobCall, CallArgs{id, at.UnixMilli()}, at)
	j.Once = true
	return tx.Enqueue(j)
}

// append appends an entry about the call and its incident, and the next look.
func (s *Service) append(tx *journal.Tx, by access.Actor, c Call, typ string, now time.Time, ev callEvent) error {
	e := journal.New(typ, by, now, ev, journal.Ref{Kind: KindCall, ID: c.ID}, journal.Ref{Kind: incident.KindIncident, ID: c.Incident})
	e.Audience, e.Exercise = c.Audience, c.Exercise
	if _, err := tx.Append(e); err != nil {
		return err
	}
	return enqueueCall(tx, c.ID, ev.Next)
}

// contacts returns whom of a partner can be called now, and how.
func contacts(r journal.StoreReader, partnerID string, now time.Time) (Contacts, map[string]partner.Member, error) {
	order, _, members, err := duty.Order(r, partnerID, now)
	if err != nil {
		return Contacts{}, nil, err
	}
	if left, err := partner.Left(r, partnerID); left || err != nil {
		return Contacts{}, members, err // nobody of a partner that is deactivated is told anything
	}
	k := Contacts{Order: order, Channels: make(map[string][]Channel)}
	for _, id := range sortedKeys(members) {
		if m := members[id]; !m.Disabled && slices.Contains(m.Roles, access.Administrator) {
			k.Leads = append(k.Leads, id)
		}
	}
	err = journal.Each(r, journal.ObjectQuery{Kind: KindChannel, Partner: partnerID, States: []string{"active"}}, func(c Channel, _ journal.Object) error {
		k.Channels[c.Member] = append(k.Channels[c.Member], c)
		return nil
	})
	for _, list := range k.Channels {
		// What is known to fail is tried last, but it is tried; what rings is
		// kept for the step "phone", or until nothing else works.
		slices.SortStableFunc(list, func(a, b Channel) int {
			return cmp.Or(b2i(a.Failing)-b2i(b.Failing), b2i(a.Phone)-b2i(b.Phone), a.Order-b.Order)
		})
	}
	return k, members, err
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Call does what is due in one call.
func (s *Service) Call(ctx context.Context, a CallArgs) error {
	for range 20 { // each round escalates or sends; more than a few are never needed at once
		again, err := s.step(ctx, a.Call)
		if err != nil || !again {
			return err
		}
	}
	return nil
}

// keepTime bounds the writing down of what was sent.
const keepTime = 10 * time.Second

// step looks once, and reports whether to look again at once.
func (s *Service) step(ctx context.Context, id string) (again bool, err error) {
	now := s.o.Now()
	var c Call
	var do Do
	var members map[string]partner.Member
	look := func(r journal.StoreReader) (err error) {
		if c, _, err = journal.Load[Call](r, KindCall, id); err != nil {
			return err
		}
		var k Contacts
		if k, members, err = contacts(r, c.Partner, now); err != nil {
			return err
		}
		do = Next(c, k, now)
		return nil
	}
	if err := s.o.Log.View(ctx, look); err != nil {
		return false, err
	}
	if c.State != Calling {
		return false, nil
	}
	// Is it still asked? The incident says so; the call may not know yet.
	asked, err := s.asked(ctx, c, now)
	if err != nil {
		return false, err
	}
	if !asked {
		return false, s.o.Log.Update(ctx, func(tx *journal.Tx) error {
			if err := look(tx); err != nil || !c.Open() {
				return err
			}
			return s.append(tx, access.Actor{System: true}, c, "call.ended", now, callEvent{Partner: c.Partner})
		})
	}
	var results []callEvent
	if do.Escalate == nil {
		results = make([]callEvent, len(do.Send))
		var wg sync.WaitGroup
		for i, d := range do.Send {
			wg.Go(func() { results[i] = s.deliver(ctx, c, d, members) })
		}
		wg.Wait()
	}
	sent := do.Send
	now = s.o.Now()
	// What was sent is written down, though the job's time may be over.
	kept, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepTime)
	defer cancel()
	err = s.o.Log.Update(kept, func(tx *journal.Tx) error {
		again = false
		if err := look(tx); err != nil {
			return err
		}
		var events []typed
		for i, r := range results {
			typ := "call.sent"
			if r.State == StateFailed {
				typ = "call.failed"
			}
			events = append(events, typed{typ, r})
			if err := s.checked(tx, sent[i].Channel, r.State == StateFailed, r.Reason, "message", now); err != nil {
				return err
			}
		}
		if len(events) == 0 && c.State == Calling {
			switch {
			case do.Escalate != nil:
				events = append(events, typed{"call.escalated", callEvent{To: do.Escalate.To, Step: do.Escalate.Step, Members: do.Escalate.Members, Partner: c.Partner}})
			case do.Exhaust:
				events = append(events, typed{"call.exhausted", callEvent{Partner: c.Partner}})
			}
		}
		// What comes after them is known once they are folded in.
		after := c
		after.People, after.Steps = clonePeople(c.People), slices.Clone(c.Steps)
		for _, e := range events {
			if err := applyCall(&after, journal.New(e.typ, access.Actor{System: true}, now, e.ev)); err != nil {
				return err
			}
		}
		k, _, err := contacts(tx, c.Partner, now)
		if err != nil {
			return err
		}
		do = Next(after, k, now)
		next := do.Next
		again = len(events) > 0 && (do.Escalate != nil || len(do.Send) > 0 || do.Exhaust)
		if again {
			next = now.Add(30 * time.Second) // in case the process ends before
		}
		if !next.IsZero() {
			next = next.UTC().Truncate(time.Millisecond)
		}
		for i, e := range events {
			if i == len(events)-1 {
				e.ev.Next = next
			}
			if err := s.append(tx, access.Actor{System: true}, c, e.typ, now, e.ev); err != nil {
				return err
			}
		}
		if len(events) == 0 && c.State == Calling {
			return enqueueCall(tx, c.ID, next)
		}
		return nil
	})
	return again && err == nil, err
}

type typed struct {
	typ string
	ev  callEvent
}

func clonePeople(list []Reached) []Reached {
	out := slices.Clone(list)
	for i := range out {
		out[i].Attempts = slices.Clone(out[i].Attempts)
	}
	return out
}

// asked reports whether the incident's state still asks for the call.
func (s *Service) asked(ctx context.Context, c Call, now time.Time) (asked bool, err error) {
	err = s.o.Log.View(ctx, func(r journal.StoreReader) error {
		inc, _, err := journal.Load[incident.Incident](r, incident.KindIncident, c.Incident)
		if err != nil {
			return err
		}
		partners, err := partner.All(r)
		if err == nil {
			_, asked = Wanted(inc, partners, now)[c.ID]
		}
		return err
	})
	return asked, err
}

// deliver sends one message and says what became of it. Its link is stored
// before it is sent.
func (s *Service) deliver(ctx context.Context, c Call, d Send, members map[string]partner.Member) callEvent {
	ev := callEvent{Member: d.Member, Channel: d.Channel.ID, Kind: d.Channel.Kind, Partner: c.Partner}
	m, ok := members[d.Member]
	if !ok {
		ev.State, ev.Reason, ev.Final = StateFailed, ReasonRecipient, true
		return ev
	}
	n, err := s.compose(ctx, c, m)
	if err == nil {
		ev.State, err = s.send(ctx, d.Channel, n)
	}
	if err != nil {
		ev.State = StateFailed
		ev.Reason, ev.Final = reasonOf(err)
		s.o.Logger.WarnContext(ctx, "message failed", "call", c.ID, "channel", d.Channel.ID, "kind", d.Channel.Kind, "reason", ev.Reason)
	}
	return ev
}

// reasonOf is why a message failed, for people, and whether trying again is of
// no use.
func reasonOf(err error) (reason string, final bool) {
	if f, ok := errors.AsType[*failure](err); ok {
		return f.reason, f.final
	}
	return ReasonUnreachable, false
}

// send sends a message through a channel, with the secret that it keeps.
func (s *Service) send(ctx context.Context, c Channel, n note) (state string, err error) {
	k, err := s.secretOf(ctx, c.ID)
	if err != nil {
		return "", err
	}
	return s.sender.send(ctx, c, k, n)
}

func (s *Service) secretOf(ctx context.Context, channel string) (k secret, err error) {
	err = s.o.Log.View(ctx, func(r journal.StoreReader) error {
		p, err := r.Private(KindChannel, channel)
		if err != nil {
			return err
		}
		plain, err := s.o.Seal.Open(p.Doc, KindChannel+" "+channel)
		if err != nil {
			return err
		}
		return json.Unmarshal(plain, &k)
	})
	return k, err
}

// checked notes whether a channel works, if that is news or a day old, and ends
// a channel whose address is gone for good.
func (s *Service) checked(tx *journal.Tx, ch Channel, failing bool, reason, how string, now time.Time) error {
	now0, _, err := journal.Load[Channel](tx, KindChannel, ch.ID)
	if err != nil || now0.Removed || !now0.Ended.IsZero() {
		return err
	}
	if !now0.Checked.IsZero() && now0.Failing == failing && now0.Reason == reason && now.Sub(now0.Checked) < 20*time.Hour && how != "test" {
		return nil
	}
	e := journal.New("channel.checked", access.Actor{System: true}, now, channelChecked{failing, reason, how, failing && !now0.Failing}, journal.Ref{Kind: KindChannel, ID: ch.ID})
	e.Audience = access.Audience{TLP: access.AmberStrict, Origin: ch.Partner}
	if _, err = tx.Append(e); err != nil || !failing || reason != ReasonGone {
		return err
	}
	// There is nothing to try again, and no use for its keys.
	e = journal.New("channel.ended", access.Actor{System: true}, now, nil, journal.Ref{Kind: KindChannel, ID: ch.ID})
	e.Audience = access.Audience{TLP: access.AmberStrict, Origin: ch.Partner}
	if _, err := tx.Append(e); err != nil {
		return err
	}
	return tx.DeletePrivate(KindChannel, ch.ID)
}

// Tick finds calls and notices that are due and have no job: after a copy of
// the store.
func (s *Service) Tick(ctx context.Context) error {
	var due, notices []string
	err := s.o.Log.View(ctx, func(r journal.StoreReader) error {
		list, err := r.Objects(journal.ObjectQuery{Kind: KindCall, DueBy: s.o.Now().Add(-time.Minute).UnixMilli(), Limit: 500})
		for _, o := range list {
			due = append(due, o.ID)
		}
		if err != nil {
			return err
		}
		list, err = r.Objects(journal.ObjectQuery{Kind: KindNotice, DueBy: s.o.Now().Add(-time.Minute).UnixMilli(), Limit: 500})
		for _, o := range list {
			notices = append(notices, o.ID)
		}
		return err
	})
	if err != nil || len(due)+len(notices) == 0 {
		return err
	}
	return s.o.Log.Update(ctx, func(tx *journal.Tx) error {
		for _, id := range notices {
			if err := enqueueNotice(tx, id, time.Time{}); err != nil {
				return err
			}
		}
		for _, id := range due {
			j := journal.NewJob(JobCall, CallArgs{Call: id}, time.Time{})
			j.Once = true
			if err := tx.Enqueue(j); err != nil {
				return err
			}
		}
		return nil
	})
}

// A link's code is shown in capitals, which are told apart more easily.

func newCode() string { return strings.ToUpper(onetime.Text(onetime.Length)) }

func hashCode(code string) string {
	sum := sha256.Sum256([]byte("siaga ask v1\x00" + code))
	return hex.EncodeToString(sum[:])
}

// normalCode undoes what people do to a code that they type.
func normalCode(s string) string { return strings.ToUpper(onetime.Normal(s)) }

func newID() string {
	var b [10]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("notify: no randomness: " + err.Error()) // crypto/rand does not fail on supported systems
	}
	return hex.EncodeToString(b[:])
}

func newKey() string {
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		panic("notify: no randomness: " + err.Error()) // crypto/rand does not fail on supported systems
	}
	return "whsec_" + base64.StdEncoding.EncodeToString(b[:])
}

func notFound(what string) error {
	return problem.Newf(problem.NotFound, "there is no such %s", what).WithFix("reload the page")
}

func invalid(field, what string) error {
	var f problem.InvalidFields
	f.Add(field, "%s", what)
	return f.Err()
}
