package web

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// Language is one of the catalogue's languages.
type Language struct {
	Code string // BCP 47
	Name string // in itself
}

type catalogue struct {
	bundle    *i18n.Bundle
	matcher   language.Matcher
	tags      []language.Tag
	sentences map[string]map[string]string // of problems: language, then English format
}

// localizer says texts in one language.
type localizer struct {
	lang      string
	loc       *i18n.Localizer
	sentences map[string]string
	complete  map[string]string // sentences of the language that has all
	printer   *message.Printer  // numbers
}

// pseudo adds languages that nobody speaks, for tests that look for text
// outside the catalogue and for pages without room. It is nil in the product.
var pseudo func(*catalogue) error

func loadCatalogue(files embed.FS) (*catalogue, error) {
	c := &catalogue{bundle: i18n.NewBundle(language.English)}
	c.bundle.RegisterUnmarshalFunc("toml", toml.Unmarshal)
	entries, err := files.ReadDir("locales")
	if err != nil {
		return nil, fmt.Errorf("reading the catalogue: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		if _, err := c.bundle.LoadMessageFileFS(files, path.Join("locales", e.Name())); err != nil {
			return nil, fmt.Errorf("reading the catalogue %s: %w", e.Name(), err)
		}
	}
	if c.sentences, err = loadSentences(files); err != nil {
		return nil, err
	}
	if pseudo != nil {
		if err := pseudo(c); err != nil {
			return nil, err
		}
	}
	c.tags = c.bundle.LanguageTags()
	c.matcher = language.NewMatcher(c.tags)
	return c, nil
}

func (c *catalogue) pick(chosen, accept string) localizer {
	tags, _, _ := language.ParseAcceptLanguage(accept) // a bad header means the default
	if t, err := language.Parse(chosen); err == nil {
		tags = append([]language.Tag{t}, tags...)
	}
	_, i, _ := c.matcher.Match(tags...)
	lang := c.tags[i].String()
	return c.in(lang)
}

// in returns the localizer of one of the catalogue's languages.
func (c *catalogue) in(lang string) localizer {
	return localizer{lang: lang, loc: i18n.NewLocalizer(c.bundle, lang), sentences: c.sentences[lang], complete: c.sentences["id"], printer: message.NewPrinter(numbersOf(lang))}
}

func (l localizer) text(id string, n any, args []any) string {
	data := make(map[string]any, len(args)/2+1)
	for i := 0; i+1 < len(args); i += 2 {
		data[fmt.Sprint(args[i])] = l.number(args[i+1])
	}
	if n != nil {
		data["N"] = l.number(n)
	}
	c := &i18n.LocalizeConfig{MessageID: id, TemplateData: data, PluralCount: n}
	s, tag, err := l.loc.LocalizeWithTag(c)
	if err != nil && s == "" && n != nil { // a form that the language has for huge numbers alone
		c.PluralCount = nil
		s, tag, err = l.loc.LocalizeWithTag(c)
	}
	if err != nil && s == "" {
		return "⟦" + id + "⟧" // a test fails on this mark
	}
	if tag.String() != l.lang {
		return foreign(s)
	}
	return s
}

// names of languages in themselves, no flags.
var names = map[string]string{
	"en": "English", "id": "Bahasa Indonesia", "th": "ไทย", "vi": "Tiếng Việt", "fil": "Filipino", "ms": "Bahasa Melayu", "ar": "العربية", "fr": "Français",
}

func (c *catalogue) languages() []Language {
	var out []Language
	for _, t := range c.tags {
		out = append(out, Language{t.String(), names[t.String()]})
	}
	slices.SortFunc(out, func(a, b Language) int { return strings.Compare(a.Code, b.Code) })
	return out
}

// has reports whether the catalogue has the text, in English at least.
func (l localizer) has(id string) bool {
	s, err := l.loc.Localize(&i18n.LocalizeConfig{MessageID: id})
	return err == nil || s != ""
}
