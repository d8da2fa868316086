package protocol

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// showWidth is the number of columns that Show wraps to.
const showWidth = 78

// Show prints the definition for people, in English or Indonesian, in lines of
// at most 78 columns (a longer word stands alone). It returns the writer's error.
func Show(w io.Writer, d *Definition, lang string) error {
	b := bufio.NewWriter(w)
	t := tongueOf(lang)
	p := printer{b}
	p.line(d.Title.In(lang))
	p.line(d.Ref() + " · " + d.StatusWords(lang))
	p.line("sha256 " + d.Hash)
	if s := d.Summary.In(lang); s != "" {
		p.line("")
		p.wrap("", "", s)
	}
	for _, s := range Describe(d, lang) {
		p.line("")
		p.line(strings.ToUpper(s.Title))
		for _, it := range s.Items {
			text := it.Text
			if it.Label != "" {
				text = it.Label + ": " + text
			}
			if it.ID != "" && it.Label != "" {
				text += "  [" + it.ID + "]"
			} else if it.ID != "" {
				text = it.ID + ": " + text
			}
			p.wrap("  - ", "    ", text)
			for _, m := range it.More {
				p.wrap("      ", "      ", m)
			}
		}
	}
	p.line("")
	p.line(strings.ToUpper(t.pick("States", "Keadaan")))
	for _, e := range Chart(d, lang).Edges {
		detail := e.Detail
		if e.ByTime {
			detail += t.pick(" (by itself)", " (dengan sendirinya)")
		}
		p.wrap("  - ", "    ", fmt.Sprintf("%s → %s: %s", e.From.Words(lang), e.To.Words(lang), detail))
	}
	if len(d.Sources) > 0 {
		p.line("")
		p.line(strings.ToUpper(t.pick("Sources", "Sumber")))
		for _, s := range d.Sources {
			p.wrap("  - ", "    ", s)
		}
	}
	return b.Flush()
}

// ShowJSON prints the definition as one JSON object on one line, with all its
// languages.
func ShowJSON(w io.Writer, d *Definition) error { return jsonLine(w, d) }

// Checked is the result of a check, as its JSON form.
type Checked struct {
	File     string    `json:"file"`
	OK       bool      `json:"ok"`
	ID       string    `json:"id,omitempty"`
	Version  string    `json:"version,omitempty"`
	Hash     string    `json:"hash,omitempty"`
	Mistakes []Mistake `json:"mistakes"`
}

// CheckFile checks the text of a definition file; name is what it is called
// in the answer.
func CheckFile(name string, data []byte) Checked {
	d, mistakes := Parse(data)
	c := Checked{File: name, OK: len(mistakes) == 0, Mistakes: mistakes}
	if d != nil {
		c.ID, c.Version, c.Hash, c.Mistakes = d.ID, d.Version, d.Hash, []Mistake{}
	}
	return c
}

// Print prints the result for people: one line that says that all is well, or
// for each mistake "FILE:LINE:COLUMN: PATH: what is wrong" and, indented under
// it, "fix: what to do".
func (c Checked) Print(w io.Writer, lang string) error {
	b := bufio.NewWriter(w)
	t := tongueOf(lang)
	p := printer{b}
	if c.OK {
		p.line(fmt.Sprintf(t.pick("%s: %s %s is complete and consistent, sha256 %s", "%s: %s %s lengkap dan konsisten, sha256 %s"), c.File, c.ID, c.Version, c.Hash))
		return b.Flush()
	}
	for _, m := range c.Mistakes {
		where := fmt.Sprintf("%s:%d:%d: ", c.File, m.Line, m.Column)
		if m.Path != "" {
			where += m.Path + ": "
		}
		p.line(where + m.Detail)
		p.line("  fix: " + m.Fix)
	}
	mistakes := "mistakes"
	if len(c.Mistakes) == 1 {
		mistakes = "mistake"
	}
	p.line(fmt.Sprintf(t.pick("%s: %d "+mistakes, "%s: %d kesalahan"), c.File, len(c.Mistakes)))
	return b.Flush()
}

// PrintJSON prints the result as one JSON object on one line.
func (c Checked) PrintJSON(w io.Writer) error { return jsonLine(w, c) }

func jsonLine(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// printer writes lines; bufio keeps the first error for Flush.
type printer struct{ w *bufio.Writer }

func (p printer) line(s string) { _, _ = p.w.WriteString(s + "\n") }

// wrap writes text in lines that begin with first, then with next.
func (p printer) wrap(first, next, text string) {
	line, width := first, utf8.RuneCountInString(first)
	empty := true
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		if !empty && width+1+n > showWidth {
			p.line(line)
			line, width, empty = next, utf8.RuneCountInString(next), true
		}
		if !empty {
			line += " "
			width++
		}
		line += word
		width += n
		empty = false
	}
	p.line(line)
}
