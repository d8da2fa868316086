package notify_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/duty"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/notify"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

var everyDay = []time.Weekday{0, 1, 2, 3, 4, 5, 6}

// team is a government that notifies, and a platform with a roster.
type team struct {
	*world
	nusa, chief, day, night access.Actor
}

func newTeam(t *testing.T, change ...func(*notify.Options)) *team {
	w := newWorld(t, change...)
	x := &team{world: w, nusa: w.person("nusa", "ani", "en", access.Officer, access.Administrator)}
	x.chief = w.person("lensa", "chief", "en", access.Administrator)
	x.day = w.person("lensa", "day", "en", access.Officer)
	x.night = w.person("lensa", "night", "id", access.Officer)
	for _, p := range []access.Actor{x.chief, x.day, x.night} {
		w.hook(p, "/"+p.Name)
	}
	// 14:30 UTC is 21:30 in Jakarta: day is on duty, night is next.
	_, err := w.duty.Set(t.Context(), x.chief, duty.Pattern{Zone: "Asia/Jakarta", Shifts: []duty.Shift{
		{Days: everyDay, From: 6 * 60, Until: 22 * 60, Members: []string{x.day.Member, x.night.Member}},
		{Days: everyDay, From: 22 * 60, Until: 6 * 60, Members: []string{x.night.Member}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// TestEscalation follows a call that nobody answers: the one on duty, after
// five minutes the next one, after ten all channels, after twenty the
// administrators; then nobody is left, and nothing more is sent.
func TestEscalation(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	inc := w.incident(w.nusa, false)
	got := w.hooks.take()
	if paths(got) != "/day" {
		t.Fatalf("at once: %s", paths(got))
	}
	w.verified(got[0])
	want := "SIAGA " + inc.ID + " is new. Confirm by 14:40 UTC (21:40) or the next person is called. https://nusa.example/a/" + w.code(got[0])
	if got[0].Text != want {
		t.Errorf("got %q\nwant %q", got[0].Text, want)
	}
	w.pass(4 * time.Minute)
	if got := w.hooks.take(); len(got) != 0 {
		t.Errorf("within four minutes: %s", paths(got))
	}
	w.pass(time.Minute)
	got = w.hooks.take()
	if paths(got) != "/night" || !strings.HasPrefix(got[0].Text, "SIAGA "+inc.ID+" baru. Konfirmasi") {
		t.Fatalf("after five minutes: %v", got)
	}
	st, err := w.notify.Acknowledgements(t.Context(), w.nusa, inc.ID)
	if err != nil || len(st) != 2 || st[0].Partner != "lensa" || st[0].Acknowledged || st[0].LastMember != w.night.Member || st[0].LastState != notify.StateDelivered || st[0].NextTo != protocol.ToPhone {
		t.Errorf("%+v, %v", st, err)
	}
	if !st[1].Acknowledged {
		t.Error("who notified has acknowledged")
	}
	w.pass(14 * time.Minute)
	if got := w.hooks.take(); len(got) != 0 {
		t.Errorf("they have one channel each: %s", paths(got))
	}
	w.pass(2 * time.Minute)
	if got := w.hooks.take(); paths(got) != "/chief" {
		t.Errorf("after twenty minutes: %s", paths(got))
	}
	w.pass(2 * time.Hour)
	if got := w.hooks.take(); len(got) != 0 {
		t.Errorf("later: %s", paths(got))
	}
	for _, m := range w.entries("call.begun", "call.sent", "call.escalated") {
		if m.Audience.Origin != inc.Audience.Origin || m.Exercise {
			t.Errorf("%s: %+v", m.Type, m)
		}
	}
}

// TestNothingLeaks: no title, place, words or address of the incident in any
// message, and no secret of a channel in any entry.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	inc := w.incident(w.nusa, false)
	if _, err := w.incidents.Act(t.Context(), w.fresh(w.nusa), inc.ID, "sea-crp", protocol.Action{Verb: protocol.Propose, Level: "crisis", Reason: "bodies at the market"}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.pass(25 * time.Minute)
	got := w.hooks.take()
	if len(got) < 3 {
		t.Fatalf("%d messages", len(got))
	}
	for _, m := range got {
		for _, word := range []string{"market", "Seroja", "lensa.example", "hurt", "bodies", "Attack"} {
			if bytes.Contains(bytes.ToLower(m.Body), []byte(strings.ToLower(word))) {
				t.Errorf("%q in %s", word, m.Body)
			}
		}
	}
	for _, e := range w.entries() {
		b, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range append([]string{w.hooks.URL + "/", w.code(got[0])}, w.keys["/day"], w.keys["/night"]) {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("entry %d, %s, has %q", e.Number, e.Type, secret)
			}
		}
	}
	// Nor in clear in the file.
	dump := w.dump()
	for _, secret := range []string{w.keys["/day"], w.hooks.URL + "/day", w.code(got[0])} {
		if bytes.Contains(dump, []byte(secret)) {
			t.Errorf("%q is stored in clear", secret)
		}
	}
}

// dump is everything that the store holds in private data.
func (w *world) dump() []byte {
	w.t.Helper()
	var b bytes.Buffer
	err := w.log.View(w.t.Context(), func(r journal.StoreReader) error {
		return r.ScanPrivates(func(p *journal.Private) error {
			b.WriteString(p.Kind + " " + p.ID + " ")
			b.Write(p.Doc)
			return nil
		})
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return b.Bytes()
}

func (w *world) fresh(a access.Actor) access.Actor {
	a.StepUp, a.For = w.now, access.AnyAction
	return a
}

// TestAcknowledging on one channel stops all others at once, tells the
// incident, and the link says clearly how it stands when it is used again.
func TestAcknowledging(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	ctx := t.Context()
	second := w.hook(w.day, "/day-2")
	inc := w.incident(w.nusa, false)
	w.pass(10 * time.Minute) // all channels of day and night
	got := w.hooks.take()
	if paths(got) != "/day /night /day-2" && paths(got) != "/day /night /night /day-2" {
		t.Fatalf("sent: %s", paths(got))
	}
	codes := map[string]string{}
	for _, m := range got {
		codes[m.Path] = w.code(m)
	}
	a, err := w.notify.Look(ctx, access.Actor{}, codes["/day-2"])
	if err != nil || a.State != notify.AskLate || a.Number != inc.ID || a.Member.ID != w.day.Member || !a.Deadline.Equal(inc.Notified.At.Add(10*time.Minute)) {
		t.Fatalf("%+v, %v", a, err)
	}
	before := len(w.entries())
	for range 3 { // scanners of mail follow links
		if _, err := w.notify.Look(ctx, access.Actor{}, codes["/day-2"]); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(w.entries()); n != before {
		t.Errorf("looking made %d entries", n-before)
	}
	// Somebody else's browser.
	_, err = w.notify.Press(ctx, w.night, codes["/day-2"], false)
	w.wantKind("another person", err, problem.Denied, "another person")
	if a, err := w.notify.Look(ctx, w.night, codes["/day-2"]); err != nil || a.State != notify.AskStranger {
		t.Errorf("%s, %v", a.State, err)
	}
	a, err = w.notify.Press(ctx, access.Actor{}, strings.ToLower(codes["/day-2"][:4])+" "+codes["/day-2"][4:], false)
	if err != nil || a.State != notify.AskSeen {
		t.Fatalf("%+v, %v", a, err)
	}
	fresh, err := w.incidents.Get(ctx, w.nusa, inc.ID)
	if err != nil || fresh.Acks["lensa"].Member != w.day.Member {
		t.Errorf("acknowledgements %+v, %v", fresh.Acks, err)
	}
	w.settle()
	w.pass(time.Hour)
	if got := w.hooks.take(); len(got) != 0 {
		t.Errorf("after it was acknowledged: %s", paths(got))
	}
	// Twice, late, and by a colleague's own link.
	before = len(w.entries())
	for code, want := range map[string]string{codes["/day-2"]: notify.AskSeen, codes["/day"]: notify.AskSeen, codes["/night"]: notify.AskOther} {
		for _, pass := range []bool{false, true} {
			if a, err := w.notify.Press(ctx, access.Actor{}, code, pass); err != nil || a.State != want {
				t.Errorf("%s, %v; want %s", a.State, err, want)
			}
		}
	}
	if n := len(w.entries()); n != before {
		t.Errorf("pressing again made %d entries", n-before)
	}
	st, err := w.notify.Acknowledgements(ctx, w.nusa, inc.ID)
	if err != nil || !st[0].Acknowledged || !st[1].Acknowledged {
		t.Errorf("%+v, %v", st, err)
	}
	for _, code := range []string{"", "x", strings.Repeat("0", 13), strings.Repeat("x", 5000), codes["/day"] + "0", "UUUUUUUUUUUUU"} {
		_, err := w.notify.Look(ctx, access.Actor{}, code)
		w.wantKind("no such code", err, problem.NotFound, "ended")
		_, err = w.notify.Press(ctx, access.Actor{}, code, false)
		w.wantKind("no such code", err, problem.NotFound, "ended")
	}
	w.now = w.now.AddDate(0, 0, 8)
	_, err = w.notify.Look(ctx, access.Actor{}, codes["/day"])
	w.wantKind("a week later", err, problem.NotFound, "ended")
	_ = second
}

// TestNotMe calls the next person at once; who passed may still answer.
func TestNotMe(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	ctx := t.Context()
	inc := w.incident(w.nusa, false)
	code := w.code(w.hooks.take()[0])
	a, err := w.notify.Press(ctx, access.Actor{}, code, true)
	if err != nil || a.State != notify.AskPassed {
		t.Fatalf("%+v, %v", a, err)
	}
	if got := w.hooks.take(); paths(got) != "/night" {
		t.Fatalf("then: %s", paths(got))
	}
	if a, err := w.notify.Press(ctx, access.Actor{}, code, true); err != nil || a.State != notify.AskPassed {
		t.Errorf("passed twice: %+v, %v", a, err)
	}
	if got := w.hooks.take(); len(got) != 0 {
		t.Errorf("passing twice called %s", paths(got))
	}
	if a, err = w.notify.Press(ctx, access.Actor{}, code, false); err != nil || a.State != notify.AskSeen {
		t.Errorf("changed their mind: %+v, %v", a, err)
	}
	w.settle()
	w.pass(time.Hour)
	if got := w.hooks.take(); len(got) != 0 {
		t.Errorf("after that: %s", paths(got))
	}
	if c := w.calls("lensa"); len(c) != 1 || c[0].State != notify.Acknowledged || c[0].By != w.day.Member || c[0].Incident != inc.ID {
		t.Errorf("%+v", c)
	}
}

// TestWebhookAnswers500 for an hour: after two failures the next person is
// called too, and the failing one is tried on with growing pauses.
func TestWebhookAnswers500(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	w.hooks.answer("/day", 500)
	w.incident(w.nusa, false)
	if got := w.hooks.take(); paths(got) != "/day" {
		t.Fatalf("at once: %s", paths(got))
	}
	w.pass(14 * time.Second)
	if got := w.hooks.take(); len(got) != 0 {
		t.Errorf("too soon: %s", paths(got))
	}
	w.pass(time.Second)
	if got := w.hooks.take(); paths(got) != "/day /night" {
		t.Errorf("after 15 s: %s", paths(got))
	}
	w.pass(70 * time.Minute)
	var days int
	for _, m := range w.hooks.take() {
		if m.Path == "/day" {
			days++
		}
	}
	if days != 6 {
		t.Errorf("tried %d times more within 70 minutes", days)
	}
	if len(w.entries("channel.checked")) < 2 {
		t.Error("the channel is not known to fail")
	}
	rows, err := w.notify.Failing(t.Context(), w.chief)
	if err != nil || len(rows) != 1 || rows[0].Member != w.day.Member || rows[0].Reason != notify.ReasonAnswer {
		t.Errorf("%+v, %v", rows, err)
	}
	// In the second hour nothing more is sent to it for this call, however long it
	// goes on; a new incident does not wait for it: it begins with the next person.
	w.pass(time.Hour)
	if got := w.hooks.take(); len(got) != 0 {
		t.Errorf("in the second hour: %s", paths(got))
	}
	w.incident(w.nusa, false)
	w.pass(15 * time.Second)
	if got := paths(w.hooks.take()); got != "/night" {
		t.Errorf("a new incident in the second hour: %s", got)
	}
	w.pass(70 * time.Minute)
	w.hooks.take()
	// It works again: the next call begins with somebody who can be reached.
	w.hooks.answer("/day", 0)
	if c, err := w.notify.Test(t.Context(), w.day, rows[0].ID); err != nil || c.State() != "works" {
		t.Errorf("%+v, %v", c, err)
	}
	if rows, err := w.notify.Failing(t.Context(), w.chief); err != nil || len(rows) != 0 {
		t.Errorf("%+v, %v", rows, err)
	}
}

// TestBadEnds: ends that cannot be healed by trying again move on at once.
func TestBadEnds(t *testing.T) {
	t.Parallel()
	for status, reason := range map[int]string{401: notify.ReasonPassword, 404: notify.ReasonRecipient, 410: notify.ReasonRecipient, 302: notify.ReasonRedirect} {
		w := newTeam(t)
		w.hooks.answer("/day", status)
		w.incident(w.nusa, false)
		if got := w.hooks.take(); paths(got) != "/day /night" {
			t.Errorf("%d: %s", status, paths(got))
		}
		if f := w.entries("call.failed"); len(f) != 1 || !strings.Contains(string(f[0].Body), `"reason":"`+reason+`"`) {
			t.Errorf("%d: %v", status, f)
		}
		w.pass(15 * time.Second)
		if got := w.hooks.take(); len(got) != 0 {
			t.Errorf("%d: tried again: %s", status, paths(got))
		}
	}
}

// TestNobodyIsLeft: every channel is dead, nobody can be called, and the room
// says so.
func TestNobodyIsLeft(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	for _, p := range []string{"/day", "/night", "/chief"} {
		w.hooks.answer(p, 410)
	}
	inc := w.incident(w.nusa, false)
	if got := paths(w.hooks.take()); got != "/day /night /chief" {
		t.Errorf("tried %s", got)
	}
	w.pass(21 * time.Minute)
	st, err := w.notify.Acknowledgements(t.Context(), w.nusa, inc.ID)
	if err != nil || st[0].State != notify.Exhausted || !st[0].NextAt.IsZero() || st[0].LastState != notify.StateFailed {
		t.Errorf("%+v, %v", st, err)
	}
	// Acknowledged on the page all the same.
	if _, err := w.incidents.Acknowledge(t.Context(), w.day, inc.ID); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if c := w.calls("lensa"); c[0].State != notify.Ended {
		t.Errorf("%+v", c[0])
	}
}

// TestEndOfIncident cancels what is queued, and an old one calls nobody.
func TestEndOfIncident(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	inc := w.incident(w.nusa, false)
	w.hooks.take()
	if _, err := w.incidents.Close(t.Context(), w.nusa, inc.ID, "a rumour"); err != nil {
		t.Fatal(err)
	}
	w.settle()
	w.pass(time.Hour)
	if got := w.hooks.take(); len(got) != 0 {
		t.Errorf("after the end: %s", paths(got))
	}
	// A node that was away when an incident was notified does not wake people
	// for it hours later.
	exercise := false
	w.incidentsQuiet(exercise)
	w.now = w.now.Add(3 * time.Hour)
	w.settle()
	if got := w.hooks.take(); len(got) != 0 {
		t.Errorf("hours later: %s", paths(got))
	}
}

// incidentsQuiet notifies without following.
func (w *team) incidentsQuiet(exercise bool) {
	w.t.Helper()
	seen := w.seen
	w.seen = 1 << 40
	w.incident(w.nusa, exercise)
	w.seen = seen
}

func TestVote(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	ctx := t.Context()
	inc := w.incident(w.nusa, false)
	w.hooks.take()
	if _, err := w.incidents.Acknowledge(ctx, w.day, inc.ID); err != nil {
		t.Fatal(err)
	}
	w.settle()
	if _, err := w.incidents.Act(ctx, w.fresh(w.nusa), inc.ID, "sea-crp", protocol.Action{Verb: protocol.Propose, Level: "crisis", Reason: "both criteria are met"}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	got := w.hooks.take()
	if paths(got) != "/day" || got[0].Text != "SIAGA "+inc.ID+": your vote is needed by 14:40 UTC (21:40). https://nusa.example/a/"+w.code(got[0]) {
		t.Fatalf("%v", got)
	}
	// Seen is not voted: the ask stays on the board, the calling ends.
	if a, err := w.notify.Press(ctx, access.Actor{}, w.code(got[0]), false); err != nil || a.State != notify.AskSeen {
		t.Fatalf("%+v, %v", a, err)
	}
	w.pass(6 * time.Minute)
	if got := w.hooks.take(); len(got) != 0 {
		t.Errorf("after it was seen: %s", paths(got))
	}
	if _, err := w.incidents.Act(ctx, w.fresh(w.day), inc.ID, "sea-crp", protocol.Action{Verb: protocol.CastVote, Vote: protocol.VoteYes, Reason: "yes"}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	got = w.hooks.take()
	if paths(got) != "/day" || !strings.Contains(got[0].Text, "is ACTIVE. Confirm by") {
		t.Fatalf("active: %v", got)
	}
}

func TestExercise(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	inc := w.incident(w.nusa, true)
	got := w.hooks.take()
	if paths(got) != "/day" || !strings.HasPrefix(got[0].Text, "EXERCISE SIAGA "+strings.TrimPrefix(inc.ID, "EX-")+": practice. Confirm by 14:40 UTC (21:40). https") {
		t.Fatalf("%v", got)
	}
	if a, err := w.notify.Look(t.Context(), access.Actor{}, w.code(got[0])); err != nil || !a.Exercise {
		t.Errorf("%+v, %v", a, err)
	}
	for _, e := range w.entries("call.begun", "call.sent") {
		if !e.Exercise {
			t.Errorf("%s does not carry the mark", e.Type)
		}
	}
}

func TestChannels(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	ctx := t.Context()
	for name, n := range map[string]notify.NewChannel{
		"no kind":             {Target: "x"},
		"a kind without host": {Kind: "gotify", Target: "gotify://127.0.0.1/x"},
		"no address":          {Kind: notify.Email, Target: "nobody"},
		"a list of addresses": {Kind: notify.Email, Target: "a@b.example, c@d.example"},
		"a header":            {Kind: notify.Email, Target: "a@b.example\r\nBcc: c@d.example"},
		"loopback":            {Kind: notify.Webhook, Target: "https://127.0.0.1/hook"},
		"metadata":            {Kind: notify.Webhook, Target: "http://169.254.169.254/"},
		"another service":     {Kind: "telegram", Target: "slack://x"},
		"half a service":      {Kind: "telegram", Target: "telegram://"},
		"push without keys":   {Kind: notify.Push, Target: "https://push.example.org/x"},
		"a stranger":          {Kind: notify.Email, Target: "a@b.example", Member: w.nusa.Member},
	} {
		_, err := w.notify.Add(ctx, w.chief, n)
		w.wantKind(name, err, problem.Invalid, "")
	}
	_, err := w.notify.Add(ctx, w.day, notify.NewChannel{Kind: notify.Email, Target: "a@b.example", Member: w.night.Member})
	w.wantKind("for a colleague", err, problem.Denied, "administrator")
	c, err := w.notify.Add(ctx, w.chief, notify.NewChannel{Kind: notify.Email, Target: "night@lensa.example", Member: w.night.Member})
	if err != nil || c.Shown != "n…@lensa.example" || c.Key != "" {
		t.Fatalf("%+v, %v", c, err)
	}
	w.wantKind("remove a colleague's", w.notify.Remove(ctx, w.day, c.ID), problem.Denied, "another person")
	w.wantKind("another partner's", w.notify.Remove(ctx, w.nusa, c.ID), problem.NotFound, "")
	_, err = w.notify.Test(ctx, w.nusa, c.ID)
	w.wantKind("test another partner's", err, problem.NotFound, "")
	if err := w.notify.Remove(ctx, w.night, c.ID); err != nil {
		t.Fatal(err)
	}
	w.wantKind("remove twice", w.notify.Remove(ctx, w.night, c.ID), problem.NotFound, "")
	if strings.Contains(string(w.dump()), "channel "+c.ID) {
		t.Error("the secret of a removed channel is kept")
	}
	for i := range 11 {
		if _, err := w.notify.Add(ctx, w.day, notify.NewChannel{Kind: notify.Email, Target: "a@b.example"}); err != nil {
			t.Fatal(i, err)
		}
	}
	_, err = w.notify.Add(ctx, w.day, notify.NewChannel{Kind: notify.Email, Target: "a@b.example"})
	w.wantKind("too many", err, problem.Invalid, "12")

	// An operator sees that something fails, and not whose.
	operator := w.person("nusa", "op", "en", access.Operator)
	rows, err := w.notify.Rows(ctx, operator)
	if err != nil || len(rows) < 12 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, r := range rows {
		if r.Partner != "nusa" && (r.Name != "" || r.Shown != "" || r.Member != "") {
			t.Errorf("an operator sees %+v", r)
		}
	}
	if rows, err := w.notify.Rows(ctx, w.nusa); err != nil || slices.ContainsFunc(rows, func(r notify.Row) bool { return r.Partner != "nusa" }) {
		t.Errorf("another partner's channels: %v, %v", rows, err)
	}
}

func TestCheckWord(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	ctx := t.Context()
	if err := w.notify.SetWord(ctx, w.day, "kelapa"); err != nil {
		t.Fatal(err)
	}
	w.wantKind("a long word", w.notify.SetWord(ctx, w.day, strings.Repeat("x", 21)), problem.Invalid, "")
	if strings.Contains(string(w.dump()), "kelapa") {
		t.Error("the word is stored in clear")
	}
	w.incident(w.nusa, false)
	got := w.hooks.take()
	if !strings.HasSuffix(got[0].Text, " kelapa") {
		t.Errorf("%q", got[0].Text)
	}
	if a, err := w.notify.Look(ctx, access.Actor{}, w.code(got[0])); err != nil || a.Word != "kelapa" {
		t.Errorf("%+v, %v", a, err)
	}
}

// TestSelfTest finds what does not work before the crisis.
func TestSelfTest(t *testing.T) {
	t.Parallel()
	w := newTeam(t)
	w.hooks.answer("/night", 401)
	if err := w.notify.SelfTest(t.Context(), struct{}{}); err != nil {
		t.Fatal(err)
	}
	for _, m := range w.hooks.take() {
		if !strings.Contains(string(m.Body), `"type":"siaga.test"`) {
			t.Errorf("%s", m.Body)
		}
	}
	rows, err := w.notify.Failing(t.Context(), w.chief)
	if err != nil || len(rows) != 1 || rows[0].Member != w.night.Member || rows[0].Reason != notify.ReasonPassword {
		t.Errorf("%+v, %v", rows, err)
	}
	n := len(w.entries("channel.checked"))
	if err := w.notify.SelfTest(t.Context(), struct{}{}); err != nil {
		t.Fatal(err)
	}
	if got := len(w.entries("channel.checked")); got != n {
		t.Errorf("the same again made %d entries", got-n)
	}
}

func TestParts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"": 1, strings.Repeat("a", 160): 1, strings.Repeat("a", 161): 2, strings.Repeat("€", 80): 1, strings.Repeat("€", 81): 2,
		strings.Repeat("ก", 70): 1, strings.Repeat("ก", 71): 2, strings.Repeat("ก", 134): 2, strings.Repeat("\U0001f6a8", 36): 2,
	} {
		if got, n, _ := notify.Parts(text); got != want {
			t.Errorf("%.10q…: %d parts (%d), want %d", text, got, n, want)
		}
	}
}
