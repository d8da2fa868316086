package web

import (
	"bytes"
	"strings"

	"golang.org/x/net/html"
)

// A text that the reader's language does not have is shown in English, marked
// as such (WCAG 2.2, 3.1.2), so that it is read out and hyphenated rightly.
// Texts are made where no markup may stand, so two private characters carry
// the mark until the whole page is there.
const (
	foreignOpen  = "\uE0F0"
	foreignClose = "\uE0F1"
)

func foreign(s string) string { return foreignOpen + s + foreignClose }

var unmark = strings.NewReplacer(foreignOpen, "", foreignClose, "")

// marked turns the marks of a page into elements, where elements may stand,
// and takes them away elsewhere: in attributes, titles and choices.
func marked(page []byte) []byte {
	if !bytes.Contains(page, []byte(foreignOpen)) {
		return page
	}
	var out bytes.Buffer
	out.Grow(len(page) + len(page)/16)
	span := strings.NewReplacer(foreignOpen, `<span lang="en" dir="ltr">`, foreignClose, "</span>")
	tspan := strings.NewReplacer(foreignOpen, `<tspan lang="en">`, foreignClose, "</tspan>")
	bare, svg := 0, 0 // depth of elements that hold text alone, and of drawings
	z := html.NewTokenizer(bytes.NewReader(page))
	for {
		typ := z.Next()
		raw := string(z.Raw())
		switch typ {
		case html.ErrorToken:
			return out.Bytes()
		case html.StartTagToken, html.EndTagToken:
			name, _ := z.TagName()
			step := 1
			if typ == html.EndTagToken {
				step = -1
			}
			switch string(name) {
			case "title", "desc", "option", "textarea", "script", "style":
				bare = max(0, bare+step)
			case "svg":
				svg = max(0, svg+step)
			}
			out.WriteString(unmark.Replace(raw))
		case html.TextToken:
			switch {
			case bare > 0:
				out.WriteString(unmark.Replace(raw))
			case svg > 0:
				out.WriteString(tspan.Replace(raw))
			default:
				out.WriteString(span.Replace(raw))
			}
		default:
			out.WriteString(unmark.Replace(raw))
		}
	}
}
