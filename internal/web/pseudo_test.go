package web

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/nicksnyder/go-i18n/v2/i18n"
	"golang.org/x/text/language"
)

// The two languages that nobody speaks: long and accented, and the same from
// right to left.
const (
	Accented = "en-XA"
	Turned   = "ar-XB"
)

var accents = strings.NewReplacer(strings.Split("a á b ƀ c ç d ð e é f ƒ g ĝ h ĥ i í j ĵ k ķ l ļ m ɱ n ñ o ó p þ q ʠ r ŕ s š t ţ u ú v ṽ w ŵ x ẋ y ý z ž "+
	"A Á B Ɓ C Ç D Ð E É F Ƒ G Ĝ H Ĥ I Í J Ĵ K Ķ L Ļ M Ṁ N Ñ O Ó P Þ Q Ɋ R Ŕ S Š T Ţ U Ú V Ṽ W Ŵ X Ẋ Y Ý Z Ž", " ")...)

var held = regexp.MustCompile(`\{\{.*?\}\}|\{\w+\}|%(?:\[\d+\])?[#+0-9.]*[a-zA-Z]`)

// accent makes a text unlike English, and at least two fifths longer.
func accent(s string) string {
	var b strings.Builder
	last := 0
	for _, m := range held.FindAllStringIndex(s, -1) {
		b.WriteString(accents.Replace(s[last:m[0]]))
		b.WriteString(s[m[0]:m[1]])
		last = m[1]
	}
	b.WriteString(accents.Replace(s[last:]))
	if n := len(held.ReplaceAllString(s, "")) * 2 / 5; n > 0 {
		b.WriteString(" " + strings.Repeat("ñóñ ", n/4) + strings.Repeat("ñ", n%4+1))
	}
	return b.String()
}

// Pseudo gives sites that are made from now on the languages that nobody
// speaks, until the test ends.
func Pseudo(t *testing.T) {
	en := messages(t, "en")
	pseudo = func(c *catalogue) error {
		for _, lang := range []string{Accented, Turned} {
			var list []*i18n.Message
			for _, key := range slices.Sorted(maps.Keys(en)) {
				text := accent(en[key]["other"])
				if strings.HasPrefix(key, "date.") || key == "list.and" || key == "list.or" || key == "list.comma" || key == "frame.reviewed" {
					text = en[key]["other"]
				}
				m := &i18n.Message{ID: key, Other: text}
				if en[key]["one"] != "" {
					m.Zero, m.One, m.Two, m.Few, m.Many = text, text, text, text, text
				}
				list = append(list, m)
			}
			if err := c.bundle.AddMessages(language.MustParse(lang), list...); err != nil {
				return err
			}
			c.sentences[lang] = map[string]string{}
			for f := range c.sentences["id"] {
				c.sentences[lang][f] = accent(f)
			}
		}
		return nil
	}
	t.Cleanup(func() { pseudo = nil })
}
