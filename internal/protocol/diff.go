package protocol

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Difference is one thing that differs between two definitions.
type Difference struct {
	Path   string `json:"path"`             // such as "clocks.acknowledge.due"
	Before string `json:"before,omitempty"` // "" if it was added
	After  string `json:"after,omitempty"`  // "" if it was removed
}

// In returns the difference as a sentence, in English or Indonesian.
func (x Difference) In(lang string) string {
	t := tongueOf(lang)
	switch {
	case x.Before == "":
		return fmt.Sprintf(t.pick("%s is added: %s", "%s ditambahkan: %s"), x.Path, x.After)
	case x.After == "":
		return fmt.Sprintf(t.pick("%s is removed: %s", "%s dihapus: %s"), x.Path, x.Before)
	}
	return fmt.Sprintf(t.pick("%s changes from %s to %s", "%s berubah dari %s menjadi %s"), x.Path, x.Before, x.After)
}

// Diff returns what differs between two definitions, in the order in which a
// definition is written. What has an identifier (a criterion, a clock, a task)
// is compared with its namesake, wherever it stands; a change of order is a
// difference of its own where order has a meaning. The file's hash and its
// comments do not count.
func Diff(a, b *Definition) []Difference {
	before, after := flatten(a), flatten(b)
	var out []Difference
	for _, path := range mergeOrder(before.order, after.order) {
		_, hadItem := before.items[path]
		_, hasItem := after.items[path]
		switch {
		case within(path, before, after):
			// told with the thing that was added or removed as a whole
		case hadItem && hasItem:
			// its parts say what changed
		case before.values[path] != after.values[path]:
			out = append(out, Difference{Path: path, Before: before.values[path], After: after.values[path]})
		}
	}
	return out
}

// within reports whether the path lies in a thing that only one of the two has.
func within(path string, a, b flat) bool {
	for p := parent(path); p != ""; p = parent(p) {
		if a.items[p] != b.items[p] {
			return true
		}
	}
	return false
}

func parent(path string) string {
	i := strings.LastIndexByte(path, '.')
	if i < 0 {
		return ""
	}
	return path[:i]
}

// mergeOrder returns the paths of both, each once, keeping those that only the
// first has before what follows them there.
func mergeOrder(a, b []string) []string {
	inB := map[string]bool{}
	for _, p := range b {
		inB[p] = true
	}
	var out []string
	j := 0
	for _, p := range a {
		if inB[p] {
			for j < len(b) {
				q := b[j]
				j++
				out = append(out, q)
				if q == p {
					break
				}
			}
			continue
		}
		out = append(out, p)
	}
	return append(out, b[j:]...)
}

// flat is a definition as paths and values.
type flat struct {
	order  []string
	values map[string]string
	items  map[string]bool // paths of things that come and go as a whole
}

func flatten(d *Definition) flat {
	f := flat{values: map[string]string{}, items: map[string]bool{}}
	c := *d // a rule that is as activate's is not told again
	if reflect.DeepEqual(c.Authority.Renew, c.Authority.Activate) {
		c.Authority.Renew = Rule{}
	}
	if reflect.DeepEqual(c.Authority.StandDown, c.Authority.Activate) {
		c.Authority.StandDown = Rule{}
	}
	f.walk("", reflect.ValueOf(c))
	return f
}

func (f *flat) put(path, value string) {
	if value == "" {
		return
	}
	f.order = append(f.order, path)
	f.values[path] = value
}

// item notes a thing that comes and goes as a whole, by its words in English.
func (f *flat) item(path string, v reflect.Value) {
	f.items[path] = true
	summary := "yes"
	if e, ok := v.Interface().(Emergency); ok {
		summary = fmt.Sprintf("review by 1 partner (%s), confirmed within %s", english.kinds(e.Kinds), e.ConfirmWithin)
	}
	for _, name := range []string{"Title", "Ask"} {
		if x := v.FieldByName(name); x.IsValid() {
			if t, ok := x.Interface().(Text); ok && t.In("en") != "" {
				summary = t.In("en")
			}
		}
	}
	f.put(path, summary)
}

func (f *flat) walk(path string, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return
		}
		v = v.Elem()
		f.item(path, v)
	}
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		if b, err := m.MarshalText(); err == nil && !v.IsZero() {
			f.put(path, string(b))
		}
		return
	}
	if c, ok := v.Interface().(Condition); ok {
		f.put(path, english.condition(&Definition{}, c))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			if name == "-" || (path == "" && name == "hash") || name == "id" && path != "" {
				continue
			}
			f.walk(join(path, name), v.Field(i))
		}
	case reflect.Map:
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			f.walk(join(path, k.String()), v.MapIndex(k))
		}
	case reflect.Slice:
		f.list(path, v)
	default:
		if !v.IsZero() {
			f.put(path, fmt.Sprint(v.Interface()))
		}
	}
}

// list walks a list: things with identifiers one by one, all else as one value.
func (f *flat) list(path string, v reflect.Value) {
	var ids, plain []string
	for i := range v.Len() {
		item := v.Index(i)
		if item.Kind() != reflect.Struct {
			plain = append(plain, fmt.Sprint(item.Interface()))
			continue
		}
		id := item.FieldByName("ID")
		if !id.IsValid() {
			plain = append(plain, line(item))
			continue
		}
		ids = append(ids, id.String())
	}
	if len(plain) > 0 {
		f.put(path, strings.Join(plain, ", "))
	}
	if len(ids) == 0 {
		return
	}
	if path == "levels" { // from the lowest to the highest: order has a meaning
		f.put(path, strings.Join(ids, ", "))
	}
	for i := range v.Len() {
		p := join(path, ids[i])
		f.item(p, v.Index(i))
		f.walk(p, v.Index(i))
	}
}

// line says a small thing without an identifier, such as a step of escalation.
func line(v reflect.Value) string {
	if e, ok := v.Interface().(Escalation); ok {
		return fmt.Sprintf("%s after %s", e.To, e.After)
	}
	return fmt.Sprint(v.Interface())
}
