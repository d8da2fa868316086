package problem

import (
	"fmt"
	"strings"
)

// Words are a sentence before it is said: a format in English, with the verbs
// of package fmt, and what stands in it. The format is the sentence's name in
// a catalogue of another language, whose text has the same verbs, in another
// order if it wants ("%[2]s … %[1]s").
//
// Words say themselves in English, so they may stand in another sentence as an
// argument; a reader's language reaches them there too.
type Words struct {
	Format string
	Args   []any // none: Format is the text itself, where % is no verb
}

// Say returns a phrase to stand in another sentence.
func Say(format string, args ...any) Words { return Words{format, args} }

// String returns the words in English.
func (w Words) String() string {
	if len(w.Args) == 0 {
		return w.Format
	}
	return fmt.Sprintf(w.Format, w.Args...)
}

// of returns the words as they were given, unless the text was changed after
// them.
func (w Words) of(text string) Words {
	if w.Format == "" || w.String() != text {
		return Words{Format: text}
	}
	return w
}

// In returns e in another language: say is given every sentence of it.
func (e *Error) In(say func(Words) string) *Error {
	c := *e
	c.Detail = say(e.detail.of(e.Detail))
	if e.Fix != "" {
		c.Fix = say(e.fix.of(e.Fix))
	}
	c.Fields = make([]Field, len(e.Fields))
	for i, f := range e.Fields {
		c.Fields[i] = Field{Name: f.Name, Detail: say(f.detail.of(f.Detail))}
	}
	c.detail, c.fix = Words{}, Words{}
	return &c
}

// List is several words as one argument: they are listed as the reader's
// language does.
type List []Words

// String lists the words in English, without an "and".
func (l List) String() string {
	s := make([]string, len(l))
	for i, w := range l {
		s[i] = w.String()
	}
	return strings.Join(s, ", ")
}

// AnyOf is several words of which one is meant: listed with "or" before the
// last.
type AnyOf []Words

// String lists the words in English: "a, b or c".
func (l AnyOf) String() string {
	n := len(l) - 1
	if n < 1 {
		return List(l).String()
	}
	return List(l[:n]).String() + " or " + l[n].String()
}

// Names are given names as a List: they are the same in every language, unless
// a catalogue has them.
func Names(names ...string) List {
	l := make(List, len(names))
	for i, n := range names {
		l[i] = Words{Format: n}
	}
	return l
}
