package web

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/net/html"
	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
)

// others are the languages that may lack texts.
var others = []string{"ar", "fil", "fr", "ms", "th", "vi"}

// whole are those of them that had every text once. A change need not wait for
// them, but they may fall behind by one text in ten, not more.
var whole = []string{"ar", "fil", "fr", "ms", "th", "vi"}

// behind says which names of want a language lacks, as an error once a language
// that was whole lacks more than one in ten.
func behind(t *testing.T, lang string, want []string, has func(string) bool) {
	t.Helper()
	var lacks []string
	for _, name := range want {
		if !has(name) {
			lacks = append(lacks, name)
			t.Logf("%s lacks %q", lang, name)
		}
	}
	if slices.Contains(whole, lang) && len(lacks)*10 > len(want) {
		t.Errorf("%s lacks %d of %d, more than one in ten: translate them (-v lists them)", lang, len(lacks), len(want))
	}
}

// forms are the plural forms that a language has for whole numbers, by CLDR.
func forms(lang string) []string {
	word := map[plural.Form]string{plural.Other: "other", plural.Zero: "zero", plural.One: "one", plural.Two: "two", plural.Few: "few", plural.Many: "many"}
	set := map[string]bool{}
	for n := range 1000 {
		set[word[plural.Cardinal.MatchPlural(language.Make(lang), n, 0, 0, 0, 0)]] = true
	}
	return slices.Sorted(maps.Keys(set))
}

// Every language says what English says: the same names in
// each text, and for texts that depend on a number all plural forms that CLDR
// has for the language.
func TestLanguages(t *testing.T) {
	if got := forms("ar"); len(got) != 6 {
		t.Fatalf("CLDR has six forms for Arabic, not %v", got)
	}
	en := messages(t, "en")
	field := regexp.MustCompile(`\{\{\s*\.(\w+)\s*\}\}|\{\w+\}`)
	fields := func(s string) []string {
		set := map[string]bool{}
		for _, f := range field.FindAllString(s, -1) {
			set[f] = true
		}
		return slices.Sorted(maps.Keys(set))
	}
	for _, lang := range others {
		texts, want := messages(t, lang), forms(lang)
		for _, key := range slices.Sorted(maps.Keys(texts)) {
			m := texts[key]
			if en[key] == nil {
				t.Logf("%s %s: English says it no more", lang, key)
				continue
			}
			if a, b := fields(en[key]["other"]), fields(m["other"]); !slices.Equal(a, b) {
				t.Errorf("%s %s: English has %v, it has %v", lang, key, a, b)
			}
			if en[key]["one"] != "" {
				for _, f := range want {
					if m[f] == "" {
						t.Errorf("%s %s: no form %q", lang, key, f)
					}
				}
			}
			for f, text := range m {
				if strings.TrimSpace(text) == "" {
					t.Errorf("%s %s: %s is empty", lang, key, f)
				}
				for _, x := range fields(text) {
					if !slices.Contains(fields(en[key]["other"]), x) {
						t.Errorf("%s %s: %s has %s, which English does not have", lang, key, f, x)
					}
				}
			}
		}
		if texts["frame.reviewed"]["other"] == "" || texts["frame.unreviewed"]["other"] == "" {
			t.Errorf("%s: say in frame.reviewed whether a speaker has read it, and in frame.unreviewed that none has", lang)
		}
		t.Logf("%s: %d of %d texts", lang, len(texts), len(en))
		behind(t, lang, slices.Sorted(maps.Keys(en)), func(key string) bool { return texts[key] != nil })
	}
	files, err := filepath.Glob("locales/*.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		lang := strings.Split(filepath.Base(f), ".")[1]
		if names[lang] == "" {
			t.Errorf("%s: the language %s has no name of its own", f, lang)
		}
	}
}

// What wakes somebody at night is said in every language.
func TestNightIsTranslated(t *testing.T) {
	en := messages(t, "en")
	for _, lang := range others {
		texts := messages(t, lang)
		for key := range en {
			for _, prefix := range []string{"msg.", "error.title.", "nav.", "age.", "month.", "vote.yes", "vote.no", "answer.", "notify.what", "notify.live", "notify.real", "notify.do", "ask.seen", "ask.pass", "a.ask.", "signin.do", "signin.password"} {
				if strings.HasPrefix(key, prefix) && texts[key] == nil {
					t.Errorf("%s: %s is missing, which a duty officer needs at night", lang, key)
				}
			}
		}
	}
}

// Arabic counts in six ways, with digits that fingerprints have too.
func TestCounting(t *testing.T) {
	c, err := loadCatalogue(files)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		lang, id string
		n        int
		want     string
	}{
		{"ar", "age.minutes", 1, "دقيقة واحدة"}, {"ar", "age.minutes", 2, "دقيقتان"}, {"ar", "age.minutes", 5, "5 دقائق"}, {"ar", "age.minutes", 13, "13 دقيقة"}, {"ar", "age.minutes", 100, "100 دقيقة"},
		{"fr", "age.days", 0, "0 jour"}, {"fr", "age.days", 2, "2 jours"}, {"fr", "age.days", 1_000_000, "1\u00a0000\u00a0000 jours"},
		{"id", "age.days", 1204, "1.204 hari"}, {"en", "age.days", 1204, "1,204 days"}, {"th", "age.days", 1204, "1,204 วัน"}, {"vi", "age.days", 1204, "1.204 ngày"}, {"fil", "age.days", 1, "1 araw"},
	} {
		if got := c.in(x.lang).text(x.id, x.n, nil); got != x.want {
			t.Errorf("%s: %s of %d is %q, want %q", x.lang, x.id, x.n, got, x.want)
		}
	}
	for lang, want := range map[string]string{"en": "A, B and C", "id": "A, B dan C", "ar": "A، B وC", "fr": "A, B et C"} {
		if got := c.in(lang).listOf("list.and", []string{"A", "B", "C"}); got != want {
			t.Errorf("%s lists %q, want %q", lang, got, want)
		}
	}
}

// A text that a language lacks is English, marked where marks may stand.
func TestMissingTextIsMarked(t *testing.T) {
	page := "<title>" + foreign("A") + "</title><p title='" + foreign("B") + "'>x " + foreign("C") + "</p><svg><title>" + foreign("D") + "</title><text>" + foreign("E") + "</text></svg><option>" + foreign("F") + "</option>"
	want := "<title>A</title><p title='B'>x <span lang=\"en\" dir=\"ltr\">C</span></p><svg><title>D</title><text><tspan lang=\"en\">E</tspan></text></svg><option>F</option>"
	if got := string(marked([]byte(page))); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, err := html.Parse(strings.NewReader(want)); err != nil {
		t.Error(err)
	}
	c, err := loadCatalogue(files)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.in("th").text("list.and", nil, []any{"A", "x", "B", "y"}); strings.Contains(got, foreignOpen) {
		t.Errorf("a text that is there is marked: %q", got)
	}
	// A language that has one text only, as a new one begins.
	if err := c.bundle.AddMessages(language.MustParse("eo"), &i18n.Message{ID: "nav.board", Other: "Tabulo"}); err != nil {
		t.Fatal(err)
	}
	if got := c.in("eo").text("nav.board", nil, nil); got != "Tabulo" {
		t.Errorf("a text that is there is %q", got)
	}
	if got, want := c.in("eo").text("nav.incidents", nil, nil), foreign(messages(t, "en")["nav.incidents"]["other"]); got != want {
		t.Errorf("a text that is missing is %q, want %q", got, want)
	}
}
