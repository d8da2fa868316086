package web

import (
	"cmp"
	"context"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/partner"
)

// Line is a journal entry as a person reads it.
type Line struct {
	journal.Entry
	Text  string
	Who   string
	Links []Link
}

// Link leads to an object that a line is about.
type Link struct{ Href, Text string }

// lines turns entries into sentences, newest first.
func (s *Site) lines(ctx context.Context, f *Frame, q journal.RowQuery, limit int) ([]Line, error) {
	var out []Line
	err := s.o.Journal.View(ctx, func(r journal.StoreReader) error {
		entries, err := s.o.Journal.Entries(r, q)
		if err != nil {
			return err
		}
		hidden := map[string]bool{"incident": !f.Can(string(access.ReadIncidents)), "signal": !f.Can(string(access.ReadSignals)), "group": !f.Can(string(access.ReadSignals))}
		broke := f.Me.Broke(q.About.Kind, q.About.ID, s.o.Now())
		for _, e := range entries {
			if slices.ContainsFunc(e.About, func(r journal.Ref) bool { return hidden[r.Kind] }) {
				continue // what the role may not open is not told of either
			}
			if len(out) < limit && (broke || e.Audience.Sees(f.Me)) {
				out = append(out, s.line(f, e))
			}
		}
		return nil
	})
	return out, err
}

func (s *Site) line(f *Frame, e journal.Entry) Line {
	l := Line{Entry: e, Who: f.Name(e.Partner)}
	about := ""
	for _, ref := range e.About {
		switch ref.Kind {
		case "incident", "signal", "partner", "group":
			l.Links = append(l.Links, Link{"/" + ref.Kind + "s/" + ref.ID, ref.ID})
		}
		if about == "" {
			about = ref.ID
		}
	}
	l.Text = f.line(e, about)
	return l
}

func (f *Frame) line(e journal.Entry, about string) string {
	if e.Erased {
		return f.T("line.erased", "Type", e.Type)
	}
	var b struct {
		Protocol string `json:"protocol"`
		Vote     string `json:"vote"`
		Level    string `json:"level"`
		Does     string `json:"does"`
		Reach    string `json:"reach"`
		Clock    string `json:"clock"`
		Task     string `json:"task"`
		Partner  string `json:"partner"`
		Number   any    `json:"number"`
		Title    string `json:"title"`
		Name     string `json:"name"`
		What     string `json:"what"`
		With     string `json:"with"`
		Object   struct {
			ID string `json:"id"`
		} `json:"object"`
	}
	_ = e.Decode(&b) // a body of another shape gives a sentence with less in it
	id := "line." + e.Type
	if b.Reach == "mine" {
		id += ".mine"
	}
	switch e.Type {
	case "member.keys_changed", "member.signed_in": // what was changed, or what was odd
		if id += "." + b.What; !f.word.has(id) {
			return e.Type
		}
	case "request.made", "request.confirmed", "request.refused": // what was asked for, a partner unless it says so
		if b.What != "" && b.What != partner.AsksPartner {
			id += "." + b.What
		}
	case "glass.broken":
		about = b.Object.ID
	case "update.posted":
		if slices.ContainsFunc(e.About, func(r journal.Ref) bool { return r.Kind == "statement" }) {
			id += ".second"
		}
	}
	does := ""
	if b.Does != "" {
		does = f.T("action." + b.Does)
	}
	if !f.word.has(id) {
		return e.Type + " " + about
	}
	return f.T(id, "About", about, "Partner", f.Name(cmp.Or(b.Partner, e.Partner)), "Protocol", b.Protocol, "Vote", f.maybe("vote.", b.Vote), "Level", b.Level,
		"Does", does, "Clock", b.Clock, "Task", b.Task, "Number", fmt.Sprint(b.Number), "Title", isolate(b.Title), "Name", isolate(b.Name))
}

func (f *Frame) maybe(prefix, id string) string {
	if id == "" {
		return ""
	}
	return f.T(prefix + id)
}

// sentence begins a problem's words, which are in lower case, as a sentence.
func sentence(s string) string {
	if rest, ok := strings.CutPrefix(s, foreignOpen); ok {
		return foreignOpen + sentence(rest)
	}
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 || r == utf8.RuneError {
		return s
	}
	return string(unicode.ToUpper(r)) + s[n:]
}

func funcs() template.FuncMap {
	return template.FuncMap{
		"join": strings.Join,
		"inc":  func(i int) int { return i + 1 },
		"hhmm": func(t time.Time) string { return t.Format("15:04") },
		"people": func(name, label, chosen string, members []partner.Member) map[string]any {
			return map[string]any{"Name": name, "Label": label, "Chosen": chosen, "Members": members}
		},
		"sentence": sentence,
		"dict":     dict,
		"pair":     func(a, b any) any { return struct{ A, B any }{a, b} },
		"step":     step,
		"short":    func(s string) string { return s[:min(12, len(s))] },
		"upper":    strings.ToUpper,
		"tlp":      func(t access.TLP) string { return strings.ReplaceAll(string(t), "+", "-") },
	}
}

// isolate cuts a person's words off from the sentence they stand in, so that
// marks of direction in them turn nothing else (Unicode UAX #9, isolates).
func isolate(s string) string {
	if s == "" {
		return ""
	}
	s = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, s)
	return "\u2068" + s + "\u2069"
}

// dict makes a map of names and values in turn, for templates with several
// arguments.
func dict(args ...any) (map[string]any, error) {
	if len(args)%2 != 0 {
		return nil, fmt.Errorf("dict: %d arguments", len(args))
	}
	m := make(map[string]any, len(args)/2)
	for i := 0; i < len(args); i += 2 {
		name, ok := args[i].(string)
		if !ok {
			return nil, fmt.Errorf("dict: %v is not a name", args[i])
		}
		m[name] = args[i+1]
	}
	return m, nil
}
