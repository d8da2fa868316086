package protocol_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

func TestBuiltin(t *testing.T) {
	var ids []string
	for _, d := range protocol.Builtin() {
		ids = append(ids, d.ID)
		if !d.Status.Modelled || len(d.Sources) == 0 || d.Summary.In("id") == "" || len(d.AfterAction.Questions) < 3 || len(d.StandDown.Ask) < 2 {
			t.Errorf("%s is not complete, or passes for an official text", d.ID)
		}
		if _, ok := d.Criterion(protocol.ThreatCriterion); !ok {
			t.Errorf("%s does not ask for a threat to life", d.ID)
		}
		want := []protocol.State{protocol.Voting, protocol.Active, protocol.StandingDown, protocol.Concluded, protocol.Reviewed}
		if diff := cmp.Diff(want, playRound(t, d)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", d.ID, diff)
		}
	}
	if diff := cmp.Diff([]string{"sea-crp", "cc-crp", "eu-cp", "gifct-irf", "nz-ocr"}, ids); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := protocol.Lookup("sea-cpr"); problem.KindOf(err) != problem.NotFound || !strings.Contains(err.Error(), "did you mean sea-crp?") {
		t.Errorf("got %v", err)
	}
}

// TestSharedCriteria: an answer given once counts under every protocol, so a
// criterion takes the same answers wherever it is asked.
func TestSharedCriteria(t *testing.T) {
	seen := map[string][]string{}
	for _, d := range protocol.Builtin() {
		for _, c := range d.Criteria {
			if v, ok := seen[c.ID]; ok {
				if diff := cmp.Diff(v, c.Values()); diff != "" {
					t.Errorf("%s, %s:\n%s", d.ID, c.ID, diff)
				}
			}
			seen[c.ID] = c.Values()
		}
	}
}

// TestTranslated: every text is there in both languages, says the same
// placeholders, and was not copied from the other.
func TestTranslated(t *testing.T) {
	same := []string{"viral"} // the word is the same in both
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		if text, ok := v.Interface().(protocol.Text); ok {
			en, id := text["en"], text["id"]
			if len(text) == 0 && strings.HasSuffix(path, "Help") {
				return
			}
			if en == "" || id == "" || (en == id && !slices.Contains(same, en)) {
				t.Errorf("%s: en %q, id %q", path, en, id)
			}
			for _, s := range []string{"{number}", "{title}", "{level}", "{protocol}", "{since}", "{sunset}", "{lead}", "{next_update}", "{for}"} {
				if strings.Contains(en, s) != strings.Contains(id, s) || s == "{for}" && strings.Contains(en, s) {
					t.Errorf("%s: %s in only one language", path, s)
				}
			}
			return
		}
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				if v.Type().Field(i).IsExported() {
					walk(path+"."+v.Type().Field(i).Name, v.Field(i))
				}
			}
		case reflect.Slice:
			if v.Type().Elem().Kind() == reflect.Struct {
				for i := range v.Len() {
					walk(path, v.Index(i))
				}
			}
		}
	}
	for _, d := range protocol.Builtin() {
		walk(d.ID, reflect.ValueOf(*d))
	}
}

func TestShow(t *testing.T) {
	for _, c := range []struct{ name, lang string }{{"sea-crp", "en"}, {"sea-crp", "id"}, {"nz-ocr", "en"}} {
		var b bytes.Buffer
		if err := protocol.Show(&b, lookup(t, c.name), c.lang); err != nil {
			t.Fatal(err)
		}
		for _, l := range strings.Split(b.String(), "\n") {
			if utf8.RuneCountInString(l) > 90 || strings.TrimRight(l, " ") != l {
				t.Errorf("%s: line %q", c.name, l)
			}
		}
		golden(t, "show."+c.name+"."+c.lang+".golden", b.Bytes())
	}
	var b bytes.Buffer
	d, _ := protocol.Parse([]byte(minimal(t)))
	if err := protocol.ShowJSON(&b, d); err != nil {
		t.Fatal(err)
	}
	if bytes.Count(b.Bytes(), []byte("\n")) != 1 || !json.Valid(b.Bytes()) {
		t.Error("not one line of JSON")
	}
	var back protocol.Definition
	if err := json.Unmarshal(b.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if diff := protocol.Diff(d, &back); len(diff) > 0 {
		t.Errorf("what was printed reads as another definition: %v", diff)
	}
	golden(t, "show.json.golden", b.Bytes())
	b.Reset()
	if err := protocol.CheckFile("minimal.yaml", []byte(minimal(t))).Print(&b, "id"); err != nil {
		t.Fatal(err)
	}
	if want := "minimal.yaml: test-crp 1.0.0 lengkap dan konsisten, sha256 " + d.Hash + "\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}

// TestChart: the drawing has no loose ends, and says what the definition says.
func TestChart(t *testing.T) {
	for _, d := range protocol.Builtin() {
		c := protocol.Chart(d, "id")
		places := map[[2]int]protocol.State{}
		nodes := map[protocol.State]bool{}
		for _, n := range c.Nodes {
			if other, taken := places[[2]int{n.Column, n.Row}]; taken || n.Column >= c.Columns || n.Row >= c.Rows || n.Title == "" {
				t.Errorf("%s: %s stands on %s, or outside", d.ID, n.State, other)
			}
			places[[2]int{n.Column, n.Row}] = n.State
			nodes[n.State] = true
		}
		if nodes[protocol.Provisional] != (d.Authority.Emergency != nil) {
			t.Errorf("%s: provisional is drawn %v", d.ID, nodes[protocol.Provisional])
		}
		reached := map[protocol.State]bool{protocol.None: true}
		for range c.Edges {
			for _, e := range c.Edges {
				if !nodes[e.From] || !nodes[e.To] || e.Label == "" || e.Detail == "" || e.Clause == "" {
					t.Errorf("%s: loose edge %+v", d.ID, e)
				}
				if reached[e.From] {
					reached[e.To] = true
				}
			}
		}
		for s := range nodes {
			if !reached[s] {
				t.Errorf("%s: no way leads to %s", d.ID, s)
			}
		}
	}
}

func TestDiff(t *testing.T) {
	base := minimal(t)
	change := func(pairs ...string) *protocol.Definition {
		t.Helper()
		text := base
		for i := 0; i+1 < len(pairs); i += 2 {
			if !strings.Contains(text, pairs[i]) {
				t.Fatalf("no %q", pairs[i])
			}
			text = strings.Replace(text, pairs[i], pairs[i+1], 1)
		}
		d, mistakes := protocol.Parse([]byte(text))
		if len(mistakes) > 0 {
			t.Fatal(mistakes)
		}
		return d
	}
	before := change()
	after := change(
		"version: 1.0.0", "version: 1.1.0 # stricter",
		"vote_open: 30m", "vote_open: 45m",
		"at_least: {government: 1, platform: 1}", "at_least: {platform: 1}",
		"  emergency: {quorum: 1, kinds: [government], action: review, confirm_within: 60m}\n", "",
		"due: 10m, by: every_partner", "due: 15m, by: every_partner",
		"{after: 10m, to: phone}", "{after: 12m, to: phone}",
		"when: attack}", "when: {any: [attack, {spread: viral}]}}",
		"tasks: {active: [", "tasks: {active: [{id: tell, by: lead, ask: {en: Tell, id: Beri tahu}}, ",
		"bystander: review", "bystander: monitor",
		"{en: Ends, id: Berakhir}", "{en: Ends now, id: Berakhir}",
	)
	var got []string
	for _, x := range protocol.Diff(before, after) {
		got = append(got, x.In("en"))
	}
	want := []string{
		"version changes from 1.0.0 to 1.1.0",
		"levels.watch.when changes from attack to attack or spread = viral",
		"authority.activate.at_least.government is removed: 1",
		"authority.activate.vote_open changes from 30m to 45m",
		"authority.emergency is removed: review by 1 partner (government), confirmed within 1h",
		"signals.default_action.bystander changes from review to monitor",
		"clocks.acknowledge.due changes from 10m to 15m",
		"clocks.acknowledge.escalate changes from next_on_roster after 5m, phone after 10m to next_on_roster after 5m, phone after 12m",
		"tasks.active.tell is added: Tell",
		"templates.stand_down.en changes from Ends to Ends now",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if back := protocol.Diff(after, before); len(back) != len(want) {
		t.Errorf("%d differences one way, %d the other", len(want), len(back))
	}
	if same := protocol.Diff(before, change("# The shortest", "# A short")); len(same) > 0 {
		t.Errorf("a comment is a difference: %v", same)
	}
	levels := strings.Split(base, "\n")
	i := slices.IndexFunc(levels, func(l string) bool { return strings.Contains(l, "id: watch") })
	levels[i], levels[i+1] = levels[i+1], levels[i]
	swapped, mistakes := protocol.Parse([]byte(strings.Join(levels, "\n")))
	if len(mistakes) > 0 {
		t.Fatal(mistakes)
	}
	if d := protocol.Diff(before, swapped); len(d) != 1 || d[0].In("id") != "levels berubah dari watch, crisis menjadi crisis, watch" {
		t.Errorf("order of levels: %v", d)
	}
}

func TestFill(t *testing.T) {
	got := protocol.Fill("{protocol} for {number} since {since} {evil}", map[string]string{"protocol": "{number}", "number": "IDN-2026-0007", "evil": "x"})
	if want := "{number} for IDN-2026-0007 since {since} {evil}"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestKindsInWords(t *testing.T) {
	for _, lang := range protocol.Languages() {
		var b bytes.Buffer
		for _, d := range protocol.Builtin() {
			if err := protocol.Show(&b, d, lang); err != nil {
				t.Fatal(err)
			}
		}
		for _, k := range []access.PartnerKind{access.CivilSociety} {
			if strings.Contains(b.String(), string(k)) {
				t.Errorf("%s: the code word %s is shown", lang, k)
			}
		}
		for _, s := range []string{"every_partner", "next_on_roster", "standing_down:", "yes_no_unknown", "%!"} {
			if strings.Contains(b.String(), s) {
				t.Errorf("%s: the code word %s is shown", lang, s)
			}
		}
	}
}
