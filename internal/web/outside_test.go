package web_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/siaga-crp/siaga/internal/web"
)

// What stands on pages and is no word: names, commands, marks of standards.
var given = strings.Fields(`SIAGA Siaga UTC WIB Asia Jakarta TLP AMBER GREEN CLEAR RED STRICT amber green clear red strict
	Nusa Lensa Suara Secretariat secretariat nusa lensa suara Warga IDN Atom crisis Ayu Budi Citra Dewi Samudra Attack practice Serangan Publik
	sea crp PDQ pdq vpdq sha256 SHA json JSON csv CSV yaml YAML http https DSSE English RFC
	Esc Enter Tab Ctrl`)

var word = regexp.MustCompile(`[A-Za-z]{3,}`)

// Under a language that nobody speaks, every word of a page changes, of
// templates and of handlers: what stays is a name, in <bdi>, or text outside the
// catalogue.
func TestNoTextOutsideTheCatalogue(t *testing.T) {
	web.Pseudo(t)
	w := newWorld(t)
	seen := map[string]bool{}
	pages := 0
	for _, path := range w.paths(web.Patterns()) {
		at := "?"
		if strings.Contains(path, "?") {
			at = "&"
		}
		p := w.get("officer", path+at+"lang="+web.Accented)
		if p.status >= 500 || len(p.all("main", "")) == 0 {
			continue
		}
		if !strings.HasPrefix(p.path, path) { // led elsewhere, as from /sign-in who is signed in
			continue
		}
		if got := attr(p.all("html", "")[0], "lang"); got != web.Accented {
			t.Fatalf("%s is in %q", path, got)
		}
		pages++
		if strings.Contains(p.body, "&lt;no value&gt;") {
			t.Errorf("%s: a text lacks a value", path)
		}
		var walk func(n *html.Node)
		walk = func(n *html.Node) {
			if n.Type == html.ElementNode {
				if slices.Contains([]string{"script", "style", "noscript", "bdi", "pre", "code", "kbd", "textarea", "time", "option"}, n.Data) {
					return
				}
				if strings.HasPrefix(path, "/protocols/") && (n.Data == "title" || n.Data == "desc") {
					return // a protocol's own name and chart, in a language that it has
				}
				if l := attr(n, "lang"); l != "" && l != web.Accented || strings.Contains(attr(n, "class"), "mono") {
					return
				}
				for _, a := range []string{"alt", "title", "placeholder", "aria-label"} {
					look(t, seen, path, attr(n, a))
				}
			}
			if n.Type == html.TextNode {
				look(t, seen, path+" <"+n.Parent.Data+">", n.Data)
			}
			for c := n.FirstChild; c != nil; c = c.NextSibling {
				walk(c)
			}
		}
		walk(p.doc)
	}
	if pages < 40 {
		t.Errorf("only %d pages were looked at", pages)
	}
}

func look(t *testing.T, seen map[string]bool, path, text string) {
	t.Helper()
	for _, m := range word.FindAllString(isolated.ReplaceAllString(text, ""), -1) {
		if !slices.Contains(given, m) && !seen[m] {
			seen[m] = true
			t.Errorf("%s: %q of %q stands outside the catalogue; a name belongs into <bdi>", path, m, strings.TrimSpace(text))
		}
	}
}

// isolated are a person's words within a sentence.
var isolated = regexp.MustCompile("\u2068[^\u2069]*\u2069")

// Texts two fifths longer than English, in both directions, make no page wider
// than a phone.
func TestLongTextFits(t *testing.T) {
	needBrowser(t)
	web.Pseudo(t)
	w := newWorld(t)
	b := w.tab(t, "officer")
	for _, lang := range []string{web.Accented, web.Turned} {
		b.cookie("siaga_lang", lang)
		for _, path := range []string{"/", "/asks", "/incidents", "/incidents/new", "/incidents/" + w.incident, "/incidents/" + w.incident + "/activate", "/signals/" + w.signal, "/messages", "/duty", "/edges", "/more", "/public?lang=" + lang} {
			b.open(path)
			for _, px := range []int64{390, 320} {
				b.wide(px)
				if dir, want := eval[string](b, `document.documentElement.dir`), map[string]string{web.Accented: "ltr", web.Turned: "rtl"}[lang]; dir != want {
					t.Fatalf("%s in %s runs %s", path, lang, dir)
				}
				if over := eval[int](b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
					t.Errorf("%s in %s at %d px is %d px too wide: %s", path, lang, px, over, eval[string](b, widest))
				}
			}
		}
	}
}
