package web

import (
	"embed"
	"fmt"
	"io"
	"path"
	"reflect"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
	"golang.org/x/text/language"
	"golang.org/x/text/number"

	"github.com/siaga-crp/siaga/internal/problem"
)

// loadSentences reads what problems say in other languages than English:
// locales/problems/LANG.toml, a line a sentence, named by its English format.
func loadSentences(files embed.FS) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	const folder = "locales/problems"
	entries, err := files.ReadDir(folder)
	if err != nil {
		return nil, fmt.Errorf("reading the sentences of problems: %w", err)
	}
	for _, e := range entries {
		var m map[string]string
		if _, err := toml.DecodeFS(files, path.Join(folder, e.Name()), &m); err != nil {
			return nil, fmt.Errorf("reading the sentences of problems %s: %w", e.Name(), err)
		}
		out[strings.TrimSuffix(e.Name(), ".toml")] = m
	}
	return out, nil
}

// numbersOf is the language by which numbers are written: Arabic with the
// digits that fingerprints, clocks and incident numbers have.
func numbersOf(lang string) language.Tag {
	if lang == "ar" {
		return language.MustParse("ar-u-nu-latn")
	}
	return language.Make(lang)
}

// Say says a problem's words in the reader's language, in English where the
// catalogue has no text.
func (f *Frame) Say(w problem.Words) string { return f.word.say(w) }

// problem returns p in the reader's language.
func (f *Frame) problem(p *problem.Error) *problem.Error {
	p = p.In(f.Say)
	allows := make([]string, len(p.Allows))
	for i, a := range p.Allows {
		allows[i] = f.Say(problem.Words{Format: a})
	}
	p.Allows = allows
	return p
}

func (l localizer) say(w problem.Words) string {
	format, known := l.sentences[w.Format]
	if !known {
		format = w.Format
		if len(w.Args) == 0 {
			return l.missing(w.Format, format)
		}
	}
	if len(w.Args) == 0 {
		return format
	}
	args := make([]any, len(w.Args))
	for i, a := range w.Args {
		args[i] = l.argument(a)
	}
	s := l.printer.Sprintf(format, args...)
	if !known {
		s = l.missing(w.Format, s)
	}
	return s
}

// missing is a sentence that this language does not have, marked as English if
// it is one: it may as well be a name, or said in the reader's language by the
// page already. Indonesian is complete, so it knows.
func (l localizer) missing(format, s string) string {
	if _, english := l.complete[format]; !english || l.lang == "en" {
		return s
	}
	return foreign(s)
}

// number writes whole numbers as the language does, in groups of three.
func (l localizer) number(v any) any {
	switch v := v.(type) {
	case int, int64, uint64, uint32:
		return l.printer.Sprintf("%d", v)
	case float64:
		return l.printer.Sprint(number.Decimal(v, number.MaxFractionDigits(1)))
	}
	return v
}

// argument says what stands in a sentence. Words are said in the same
// language; names are cut off from a sentence of the other direction.
func (l localizer) argument(a any) any {
	switch a := a.(type) {
	case problem.Words:
		return l.say(a)
	case problem.List:
		items := make([]string, len(a))
		for i, w := range a {
			items[i] = l.say(w)
		}
		return l.list(items)
	case problem.AnyOf:
		items := make([]string, len(a))
		for i, w := range a {
			items[i] = l.say(w)
		}
		return l.listOf("list.or", items)
	case string:
		return l.isolated(a)
	case error:
		return a
	}
	if v := reflect.ValueOf(a); v.Kind() == reflect.String { // a state, a role, a kind
		if s, ok := l.sentences[v.String()]; ok {
			return s
		}
		return l.isolated(fmt.Sprint(a))
	}
	return a
}

func (l localizer) isolated(s string) any {
	if direction(l.lang) == "rtl" {
		return apart(s)
	}
	return s
}

// apart is a name in a sentence of the other direction. Quotes (%q) stand
// around the name within the isolates: quoting the isolates would spell them.
type apart string

// Format implements [fmt.Formatter].
func (a apart) Format(s fmt.State, verb rune) {
	text := string(a)
	if verb == 'q' {
		text = strconv.Quote(text)
	}
	_, _ = io.WriteString(s, isolate(text)) // the state is a buffer in memory
}

// leftToRight keeps a time with its zone in order within a sentence that runs
// from right to left (Unicode UAX #9, LRI and PDI).
func (l localizer) leftToRight(s string) string {
	if direction(l.lang) == "rtl" {
		return "\u2066" + s + "\u2069"
	}
	return s
}

// list lists things without "and" or "or".
func (l localizer) list(items []string) string {
	return l.listOf("list.comma", items)
}

// listOf lists things with another joint before the last: "list.and" or
// "list.or".
func (l localizer) listOf(last string, items []string) string {
	out := ""
	for i, it := range items {
		switch i {
		case 0:
			out = it
		case len(items) - 1:
			out = l.text(last, nil, []any{"A", out, "B", it})
		default:
			out = l.text("list.comma", nil, []any{"A", out, "B", it})
		}
	}
	return out
}

// direction is the direction of a language's script.
func direction(lang string) string {
	if base, _, _ := strings.Cut(lang, "-"); base == "ar" {
		return "rtl"
	}
	return "ltr"
}
