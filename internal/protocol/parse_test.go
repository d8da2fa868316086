package protocol_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/protocol"
)

var update = flag.Bool("update", false, "rewrite golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got), rewrite with -update:\n%s", path, diff)
	}
}

func minimal(t testing.TB) string {
	t.Helper()
	b, err := os.ReadFile("testdata/minimal.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestMinimalIsWhole(t *testing.T) {
	d, mistakes := protocol.Parse([]byte(minimal(t)))
	if len(mistakes) > 0 {
		t.Fatalf("mistakes: %v", mistakes)
	}
	if d.Authority.StandDown.Quorum != 2 || d.Authority.Renew.Quorum != 2 {
		t.Errorf("stand_down and renew follow activate when absent, got %+v, %+v", d.Authority.StandDown, d.Authority.Renew)
	}
	if len(d.Hash) != 64 {
		t.Errorf("hash %q", d.Hash)
	}
	met := map[string]string{}
	for _, c := range d.Clocks {
		met[c.ID] = c.MetBy
	}
	want := map[string]string{"acknowledge": protocol.ByAcknowledgement, "next_update": protocol.ByUpdate, "sunset": protocol.ByRenewal}
	if diff := cmp.Diff(want, met); diff != "" {
		t.Errorf("what meets each clock (-want +got):\n%s", diff)
	}
}

// TestMistakes breaks the minimal definition in one place each. want is the
// whole line, as String prints it.
func TestMistakes(t *testing.T) {
	base := minimal(t)
	for _, c := range []struct{ name, old, new, want string }{
		{"unknown key", "version: 1.0.0", "verson: 1.0.0", `3:1 verson: there is no key "verson" here; did you mean version?`},
		{"missing key", "version: 1.0.0\n", "", `2:1 version is missing; add version: 1.0.0`},
		{"bad version", "1.0.0", "1.0", `3:10 version: "1.0" is not a version; write three numbers: 1.0.0`},
		{"bad id", "id: test-crp", "id: Test CRP", `2:5 id: "Test CRP" is not an identifier; use lower-case letters, digits and _ or -, such as real_world_attack`},
		{"missing translation", "title: {en: Test, id: Uji}", "title: {en: Test}", `4:8 title: the translation id is missing; add id: …`},
		{"empty translation", "title: {en: Test, id: Uji}", `title: {en: Test, id: ""}`, `4:23 title.id: the text is empty; write the text`},
		{"text without languages", "title: {en: Test, id: Uji}", "title: Test", `4:8 title: "Test" stands where a text by language is needed; write {en: …, id: …}`},
		{"not a language", "{en: Test, id: Uji}", "{en: Test, id: Uji, English: Test}", `4:28 title: "English" is not a language; use language tags such as en, id, th, pt-BR`},
		{"key twice", "version: 1.0.0", "version: 1.0.0\nversion: 2.0.0", `4:1 version: "version" stands here a second time; keep one of them`},
		{"standing", "status: modelled on public descriptions", "status: official", `5:9 status: "official" is not a standing; write "modelled on public descriptions", or {adopted: {by: …, on: 2026-01-31, link: …}}`},
		{"asset kind", "[video, image]", "[vidoe, image]", `6:23 scope.asset_kinds[0]: "vidoe" is not known here; did you mean video?`},
		{"value twice", "[video, image]", "[video, video]", `6:30 scope.asset_kinds[1]: "video" stands here a second time; keep one of them`},
		{"not a list", "abuse: [propaganda]", "abuse: propaganda", `6:45 scope.abuse: "propaganda" stands where a list is needed; write a list: [propaganda, recruitment]`},
		{"kind of answer", "yes_no_unknown", "yes_no", `8:65 criteria[0].answer: "yes_no" is not a kind of answer; write yes_no_unknown or {choice: [{id: …, title: …}, …]}`},
		{"one choice", "[one_service, several_services, viral]}}", "[viral]}}", `9:74 criteria[1].answer.choice: one choice is not a question; add another, or use yes_no_unknown`},
		{"unknown criterion", "when: attack}", "when: atack}", `11:55 levels[0].when: "atack" is not known here; did you mean attack?`},
		{"unknown answer", "spread: [several_services, viral]", "spread: [severl_services, viral]", `12:82 levels[1].when.all[1].spread[0]: "severl_services" is not known here; did you mean several_services?`},
		{"unknown is no reason", "spread: [several_services, viral]", "spread: unknown", `12:81 levels[1].when.all[1].spread: "unknown" is not known here; use one of one_service, several_services, viral`},
		{"choice as yes", "{all: [attack, {spread: [several_services, viral]}]}", "{all: [attack, spread]}", `12:72 levels[1].when.all[1]: spread is not answered with yes or no; say which: {spread: [one_service]}`},
		{"unused criterion", ", {spread: [several_services, viral]}", "", `9:5 criteria[1]: no level depends on spread; use it in a level's when, or remove it`},
		{"id twice", "{id: crisis,", "{id: watch,", `12:10 levels[1].id: the id "watch" is used already; give it another id`},
		{"partner kind", "notify: {any: {kinds: [government, platform]}}", "notify: {any: {kinds: [goverment, platform]}}", `14:26 authority.notify.any.kinds[0]: "goverment" is not known here; did you mean government?`},
		{"quorum of one", "activate: {quorum: 2, kinds: [government, platform], at_least: {government: 1, platform: 1}", "activate: {quorum: 1, kinds: [government, platform], at_least: {platform: 1}", `15:22 authority.activate.quorum: one partner alone may not activate a protocol; write quorum: 2 or more; one partner alone has emergency authority`},
		{"quorum in words", "quorum: 2", "quorum: two", `15:22 authority.activate.quorum: "two" is not a number of partners; write a whole number from 1 to 200`},
		{"impossible sum", "government: 1, platform: 1}", "government: 2, platform: 1}", `15:66 authority.activate.at_least: 3 partners are required one by one, more than the quorum of 2; set quorum: 3, or require fewer`},
		{"impossible kind", "at_least: {government: 1, platform: 1}", "at_least: {government: 1, intergovernmental: 1}", `15:101 authority.activate.at_least.intergovernmental: intergovernmental partners are required and may not vote: the quorum can never be reached; add intergovernmental to kinds, or remove it here`},
		{"governments alone", "kinds: [government, platform], at_least: {government: 1, platform: 1}", "kinds: [government, platform], at_least: {government: 2}", `15:66 authority.activate.at_least: a protocol that may block needs partners of two kinds, not governments alone; raise the quorum, or set signals.at_most: review`},
		{"one kind", "kinds: [government, platform], at_least: {government: 1, platform: 1}", "kinds: [platform], at_least: {platform: 1}", `15:32 authority.activate.kinds: a protocol that may block needs partners of two kinds, not governments alone; add another kind, or set signals.at_most: review`},
		{"observers vote", "kinds: [government, platform], at_least", "kinds: [government, platform, civil_society], at_least", `15:55 authority.activate.kinds[2]: civil_society partners observe and do not vote; remove it; such partners notify, propose, do tasks and verify`},
		{"vote without end", "vote_open: 30m", "vote_open: 30d", `15:107 authority.activate.vote_open: a vote that stays open for 30d is not a decision; write at most 72h`},
		{"duration without unit", "vote_open: 30m", "vote_open: 30", `15:107 authority.activate.vote_open: "30" is not a duration; add the unit: 30m for minutes, 30h for hours, 30d for days`},
		{"duration in words", "confirm_within: 60m", "confirm_within: an hour", `16:79 authority.emergency.confirm_within: "an hour" is not a duration; write a whole number and s, m, h, d or w, such as 30m, 24h or 14d`},
		{"emergency blocks", "action: review", "action: block", `16:55 authority.emergency.action: emergency authority never allows block; write action: review`},
		{"long emergency", "confirm_within: 60m", "confirm_within: 3d", `16:79 authority.emergency.confirm_within: 3d is too long for one partner's authority; write at most 24h`},
		{"own approval", "approve: {quorum: 1, other_partner_than_proposer: true}", "approve: {quorum: 1}", `19:12 signals.approve: a signal that blocks for others needs another partner's approval; add other_partner_than_proposer: true, or set signals.at_most: review`},
		{"more than at most", "expires: 30d", "expires: 30d\n  at_most: review", `20:33 signals.default_action.perpetrator: block is more than signals.at_most allows; write review`},
		{"clock's start", "starts: activated, due: 10m", "starts: actived, due: 10m", `23:63 clocks[0].starts: "actived" is not known here; did you mean activated?`},
		{"order of escalation", "{after: 10m, to: phone}", "{after: 5m, to: phone}", `23:155 clocks[0].escalate[1].after: 5m is not after 5m; put the steps in order, each later than the one before`},
		{"escalation target", "to: phone", "to: fone", `23:164 clocks[0].escalate[1].to: "fone" is not known here; did you mean phone?`},
		{"repeats too often", "due: 60m, by: lead, repeats: true", "due: 60s, by: lead, repeats: true", `24:85 clocks[1].due: a clock that repeats every 1m leaves no time to answer; write at least 5m`},
		{"lead acknowledges", "due: 10m, by: every_partner", "due: 10m, met_by: acknowledgement, by: lead", `23:113 clocks[0].by: an acknowledgement is each partner's own; write every_partner or {kinds: […]}`},
		{"no sunset", ", on_expiry: stand_down}", "}", `23:3 clocks: no clock ends the activation by itself; add {id: sunset, title: …, starts: activated, due: 24h, by: authority, on_expiry: stand_down}`},
		{"late sunset", "starts: activated, due: 24h", "starts: activated, due: 60d", `25:71 clocks[2].due: 60d without a new decision is too long; write at most 30d; a renewal prolongs it`},
		{"reserved clock", "id: next_update", "id: after_action", `24:10 clocks[1].id: this clock runs by itself; remove it, and set after_action.due`},
		{"phase", "tasks: {active:", "tasks: {activ:", `26:9 tasks.activ: there is no key "activ" here; did you mean active?`},
		{"who", "by: {kinds: [platform]}, ask", "by: everybody, ask", `26:33 tasks.active[0].by: "everybody" is not known here; use one of every_partner, lead, authority`},
		{"tlp", "partners: {tlp: amber}", "partners: {tlp: orange}", `27:29 audiences.partners.tlp: "orange" is not known here; use one of clear, green, amber, amber+strict, red`},
		{"public secret", "public: {tlp: clear}", "public: {tlp: green}", `27:76 audiences.public.tlp: the public reads TLP:CLEAR only; write clear`},
		{"condition without duration", "no_new_variants_for: 6h", "no_new_variants_for", `28:33 stand_down.ask[1]: no_new_variants_for needs a duration; say for how long: no_new_variants_for: 6h`},
		{"step after", "thank_partners]", "thank_partner]", `28:94 stand_down.after[1]: "thank_partner" is not known here; did you mean thank_partners?`},
		{"placeholder", "Active {since}", "Active {sinse}", `31:20 templates.activation.en: there is no placeholder {sinse}; did you mean {since}?`},
		{"anchor", "title: {en: Test", "title: &t {en: Test", `4:8 anchors (&t) are not used here; write the value out where it is needed`},
		{"tag", "version: 1.0.0", "version: !!str 1.0.0", `3:10 tags (!!str) are not used here; remove it`},
		{"nothing", "version: 1.0.0", "version:", `3:9 version: nothing stands where a value is needed; write three numbers: 1.0.0`},
		{"tab", "  notify:", "\tnotify:", `14:1 this is not YAML: a tab stands at the beginning of the line; indent with spaces`},
		{"open bracket", "kinds: [platform]}, ask", "kinds: [platform}, ask", `26:1 this is not YAML: did not find expected ',' or ']'; look here: indent with spaces, close brackets and quotes, put text with ": ", "#", "?" or a comma in quotes`},
		{"second document", "templates:", "---\ntemplates:", `30:1 a second document begins here; keep one protocol in a file, without ---`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(base, c.old) {
				t.Fatalf("the minimal definition has no %q", c.old)
			}
			_, mistakes := protocol.Parse([]byte(strings.Replace(base, c.old, c.new, 1)))
			var got []string
			for _, m := range mistakes {
				got = append(got, m.String())
			}
			if len(got) == 0 || got[0] != c.want {
				t.Errorf("replaced %q by %q\n got %s\nwant %s", c.old, c.new, strings.Join(got, "\n     "), c.want)
			}
		})
	}
}

func TestAllMistakesAtOnce(t *testing.T) {
	text := minimal(t)
	for _, x := range [][2]string{
		{"1.0.0", "1"},
		{"id: Uji", "th: Uji"},
		{"quorum: 2", "quorum: 1"},
		{"starts: activated, due: 10m", "starts: never, due: ten"},
		{"tlp: amber", "tlp: amberr"},
		{"templates:", "template:"},
	} {
		text = strings.Replace(text, x[0], x[1], 1)
	}
	var b bytes.Buffer
	if err := protocol.CheckFile("broken.yaml", []byte(text)).Print(&b, "en"); err != nil {
		t.Fatal(err)
	}
	golden(t, "broken.golden", b.Bytes())
	b.Reset()
	if err := protocol.CheckFile("broken.yaml", []byte(text)).PrintJSON(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "broken.json.golden", b.Bytes())
}

// TestHostileFiles are small files that would cost much if they were believed.
func TestHostileFiles(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\n"
	for i := 'b'; i < 'm'; i++ {
		p := string(i - 1)
		bomb += fmt.Sprintf("%c: &%c [*%s,*%s,*%s,*%s,*%s,*%s,*%s,*%s]\n", i, i, p, p, p, p, p, p, p, p)
	}
	for name, text := range map[string]string{
		"bomb":            bomb,
		"flow nesting":    strings.Repeat("[", 200_000),
		"closed nesting":  strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000),
		"mapping nesting": strings.Repeat("{a: ", 60_000),
		"block nesting":   strings.Repeat("- ", 100_000),
		"self":            "a: &a [*a]\n",
		"too long":        strings.Repeat("a", 300_000),
		"many keys":       "id: x\n" + strings.Repeat("k: v\n", 40_000),
		"many items":      "criteria: [" + strings.Repeat("{},", 60_000) + "]",
		"not text":        "id: \xff\xfe",
		"binary":          "\x00\x01\x02",
		"empty":           "",
		"comment":         "# nothing\n",
		"list":            "- a\n",
		"merge":           "<<: {id: x}\n",
	} {
		t.Run(name, func(t *testing.T) {
			began := processor(t)
			d, mistakes := protocol.Parse([]byte(text))
			if d != nil || len(mistakes) == 0 {
				t.Fatal("was believed")
			}
			if len(mistakes) > 101 {
				t.Errorf("%d mistakes", len(mistakes))
			}
			for _, m := range mistakes {
				if m.Line < 1 || m.Column < 1 || m.Detail == "" || m.Fix == "" || len(m.String()) > 1000 {
					t.Errorf("incomplete or too long: %q", m.String())
				}
			}
			if took := processor(t) - began; took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

// processor is the time that processors have worked for this process. It is what
// a hostile file costs, however many others want them. Tests that are not
// parallel run alone, so it is theirs.
func processor(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestRecall: a running activation is not stopped by a stricter release.
func TestRecall(t *testing.T) {
	old := strings.NewReplacer("vote_open: 30m", "vote_open: 30d", "status: modelled", "colour: red\nstatus: modelled").Replace(minimal(t))
	if _, mistakes := protocol.Parse([]byte(old)); len(mistakes) != 2 {
		t.Fatalf("want two mistakes, got %v", mistakes)
	}
	d, err := protocol.Recall([]byte(old))
	if err != nil {
		t.Fatal(err)
	}
	playRound(t, d)
	for _, d := range protocol.Builtin() {
		same, err := protocol.Recall(d.Source)
		if err != nil || same.Hash != d.Hash || len(protocol.Diff(d, same)) > 0 {
			t.Errorf("%s is recalled as another: %v", d.ID, err)
		}
	}
	for _, bad := range []string{"", "[", "a: 1", "id: x\nversion: 1.0.0\n", "- a"} {
		if d, err := protocol.Recall([]byte(bad)); err == nil {
			t.Errorf("%q was recalled as %v", bad, d)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(minimal(f)))
	for _, d := range protocol.Builtin() {
		f.Add(d.Source)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, mistakes := protocol.Parse(data)
		if (d == nil) != (len(mistakes) > 0) {
			t.Fatalf("definition %v with mistakes %v", d, mistakes)
		}
		for i, m := range mistakes {
			if m.Line < 1 || m.Column < 1 || m.Detail == "" || m.Fix == "" {
				t.Fatalf("incomplete mistake %+v", m)
			}
			if i > 0 && mistakes[i-1].Line > m.Line {
				t.Fatal("mistakes are not in the order of the file")
			}
		}
		if d == nil {
			if d, err := protocol.Recall(data); err == nil { // it may be stepped, so it may not break
				who := access.Actor{Partner: "p", Kind: access.Government, Member: "m"}
				do := protocol.Action{Verb: protocol.Propose, Reason: "test"}
				if len(d.Levels) > 0 {
					do.Level = d.Levels[0].ID
				}
				events, _ := protocol.Step(d, protocol.Activation{}, do, who, start)
				a := protocol.Fold(protocol.Activation{}, events...)
				protocol.Allowed(d, a, who, start)
				if a.State == protocol.Active {
					t.Fatal("one partner alone activated it")
				}
			}
			return
		}
		// What was believed can be run: one whole round without a panic.
		var b bytes.Buffer
		if err := protocol.Show(&b, d, "id"); err != nil {
			t.Fatal(err)
		}
		protocol.Advise(d, nil)
		if diff := protocol.Diff(d, d); len(diff) > 0 {
			t.Fatalf("differs from itself: %v", diff)
		}
		playRound(t, d)
	})
}

func TestDurations(t *testing.T) {
	for _, c := range []struct{ in, out string }{
		{"30m", "30m"}, {"90m", "1h30m"}, {"24h", "24h"}, {"48h", "2d"}, {"1d", "24h"}, {"2w", "14d"}, {"1d12h", "36h"}, {"90s", "1m30s"},
	} {
		d, err := protocol.ParseDuration(c.in)
		if err != nil || d.String() != c.out {
			t.Errorf("%s: got %s, %v; want %s", c.in, d, err, c.out)
		}
	}
	for _, bad := range []string{"", "0m", "m", "1", "-1m", "1.5h", "1m1h", "1h1h", "1y", "9999999999999m", "1000w", " 1m", "1м"} {
		if d, err := protocol.ParseDuration(bad); err == nil {
			t.Errorf("%q was read as %s", bad, d)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		d := protocol.Duration(rapid.Int64Range(1, 2*366*24*3600).Draw(t, "seconds") * int64(time.Second))
		back, err := protocol.ParseDuration(d.String())
		if err != nil || back != d {
			t.Fatalf("%s reads back as %s, %v", d, back, err)
		}
	})
}
