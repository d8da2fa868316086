package web

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/BurntSushi/toml"
	"golang.org/x/net/html"
)

func messages(t *testing.T, lang string) map[string]map[string]string {
	t.Helper()
	files, err := filepath.Glob("locales/*." + lang + ".toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no catalogue of %s: %v", lang, err)
	}
	all := map[string]map[string]string{}
	for _, name := range files {
		var m map[string]map[string]string
		if _, err := toml.DecodeFile(name, &m); err != nil {
			t.Fatal(err)
		}
		for key, forms := range m {
			if all[key] != nil {
				t.Errorf("%s: %q stands in another file too", name, key)
			}
			all[key] = forms
		}
	}
	return all
}

// Both catalogues say the same things, with the same names in them.
func TestCataloguesAgree(t *testing.T) {
	en, id := messages(t, "en"), messages(t, "id")
	field := regexp.MustCompile(`\{\{\s*\.(\w+)\s*\}\}`)
	fields := func(m map[string]string) []string {
		set := map[string]bool{}
		for _, f := range field.FindAllStringSubmatch(m["other"], -1) {
			set[f[1]] = true
		}
		return slices.Sorted(maps.Keys(set))
	}
	for _, key := range slices.Sorted(maps.Keys(en)) {
		if en[key]["other"] == "" || id[key]["other"] == "" {
			t.Errorf("%s: en %q, id %q: both must say it", key, en[key]["other"], id[key]["other"])
			continue
		}
		if a, b := fields(en[key]), fields(id[key]); !slices.Equal(a, b) {
			t.Errorf("%s: en has %v, id has %v", key, a, b)
		}
	}
	for key := range id {
		if en[key] == nil {
			t.Errorf("%s: only in id", key)
		}
	}
}

// Every key that a template or a handler names is in the catalogue, and every
// prefix that is completed at run time has texts.
func TestKeysAreInTheCatalogue(t *testing.T) {
	en := messages(t, "en")
	used := 0
	patterns := []*regexp.Regexp{
		regexp.MustCompile(`\.[TN] "([a-z0-9_.]+)"`), regexp.MustCompile(`\.[TN]\("([a-z0-9_.]+)"`), regexp.MustCompile(`maybe\("([a-z0-9_.]+)"`),
		regexp.MustCompile(`\.[TN] \(print "([a-z_]+\.)" `), regexp.MustCompile(`has\("([a-z_.]+)"\+`),
	}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(path, "_test.go") || (filepath.Ext(path) != ".go" && filepath.Ext(path) != ".html") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, p := range patterns {
			for _, m := range p.FindAllStringSubmatch(string(b), -1) {
				used++
				key := m[1]
				if strings.HasSuffix(key, ".") {
					if !slices.ContainsFunc(slices.Collect(maps.Keys(en)), func(k string) bool { return strings.HasPrefix(k, key) }) {
						t.Errorf("%s: no text begins with %q", path, key)
					}
				} else if en[key] == nil {
					t.Errorf("%s: no text %q", path, key)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if used < 300 {
		t.Fatalf("found %d uses of the catalogue: the patterns of this test are out of date", used)
	}
}

// Words of a page stand in the catalogue and nowhere else. Names, commands and
// marks that are the same in every language may stand in a template.
func TestTemplatesHaveNoWords(t *testing.T) {
	same := []string{"siaga", "utc", "tlp", "tlp:amber", "tlp:", "sha-256", "english", "bahasa indonesia", "id, en", "asia/jakarta", "siaga hash file", "/log/checkpoint", "/metrics", "/api/v1/health", "siaga log verify --data dir", "siaga log prove", "siaga edge --upstream", "--token-file edge.token", "– siaga", "n", "csv", "sha256", "yaml", "atom", "json", "tlp:clear", "/public/status.dsse.json"}
	action := regexp.MustCompile(`\{\{[^}]*\}\}`)
	names, err := filepath.Glob("templates/*.html")
	if err != nil || len(names) < 5 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := html.ParseWithOptions(strings.NewReader(action.ReplaceAllString(string(b), "\x01")), html.ParseOptionEnableScripting(false))
		if err != nil {
			t.Fatal(err)
		}
		check := func(where, text string) {
			for part := range strings.SplitSeq(text, "\x01") {
				part = strings.TrimFunc(part, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("·,.:()“”", r) })
				if !strings.ContainsFunc(part, unicode.IsLetter) {
					continue
				}
				for line := range strings.SplitSeq(part, "\n") {
					line = strings.ToLower(strings.TrimSpace(line))
					if line != "" && strings.ContainsFunc(line, unicode.IsLetter) && !slices.Contains(same, line) {
						t.Errorf("%s: %s %q stands outside the catalogue", name, where, line)
					}
				}
			}
		}
		for n := range doc.Descendants() {
			if n.Type == html.TextNode && n.Parent.Data != "script" && n.Parent.Data != "style" {
				check("text", n.Data)
			}
			for _, a := range n.Attr {
				if slices.Contains([]string{"alt", "title", "placeholder", "aria-label"}, a.Key) {
					check(a.Key, a.Val)
				}
			}
		}
	}
}

// The stylesheet knows no left and right, so that one file serves both
// directions of writing.
func TestStylesheetIsLogical(t *testing.T) {
	b, err := os.ReadFile("static/siaga.css")
	if err != nil {
		t.Fatal(err)
	}
	css := regexp.MustCompile(`(?s)/\*.*?\*/`).ReplaceAllString(string(b), "")
	property := regexp.MustCompile(`[{;]\s*((?:min-|max-)?(?:width|height)|(?:margin-|padding-|border-)?(?:left|right|top|bottom)(?:-[a-z]+)?|float|text-align:\s*(?:left|right))\s*[:;]`)
	for _, m := range property.FindAllStringSubmatch(css, -1) {
		t.Errorf("%s is physical: use its logical form", m[1])
	}
	if len(css) < 10_000 {
		t.Fatal("the stylesheet was not read")
	}
}
