package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/siaga-crp/siaga/internal/problem"
)

// wrong is a value that a setting cannot take.
type wrong struct{ what, fix string }

func (w wrong) Error() string { return w.what }

// read returns the node of each setting that the file gives.
func read(path string, leaves []leaf) (map[string]*yaml.Node, []Mistake, error) {
	b, err := open(path)
	if err != nil {
		return nil, nil, err
	}
	d := decoder{path: path, found: map[string]*yaml.Node{}, sections: sectionsOf(leaves)}
	for _, l := range leaves {
		d.keys = append(d.keys, l.key)
	}
	dec := yaml.NewDecoder(bytes.NewReader(b))
	var doc yaml.Node
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
		return d.found, nil, nil // an empty file sets nothing
	case err != nil:
		d.broken(err)
		return d.found, d.mistakes, nil
	}
	d.mapping(doc.Content[0], "")
	switch err := dec.Decode(&doc); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.broken(err)
	default:
		d.wrong(doc.Line, "", "write all settings into one document", "a second document begins here")
	}
	return d.found, d.mistakes, nil
}

type decoder struct {
	path           string
	keys, sections []string
	found          map[string]*yaml.Node
	mistakes       []Mistake
}

func (d *decoder) wrong(line int, key, fix, format string, args ...any) {
	d.mistakes = append(d.mistakes, Mistake{
		Key: key, Where: fmt.Sprintf("%s:%d", d.path, line), Detail: fmt.Sprintf(format, args...), Fix: fix,
	})
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// broken reports what the YAML parser cannot read.
func (d *decoder) broken(err error) {
	line, text := 1, err.Error()
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			line = n
		}
		text = m[2]
	}
	d.wrong(line, "", "write each setting as \"key: value\" on a line of its own", "this is not YAML: %s", problem.YAML(text))
}

// mapping reads one level of the file.
func (d *decoder) mapping(n *yaml.Node, under string) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	if n.Kind != yaml.MappingNode {
		d.wrong(n.Line, strings.TrimSuffix(under, "."), "write each setting as \"key: value\" on a line of its own", "here is no list of settings")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		key := under + k.Value
		if k.Kind != yaml.ScalarNode {
			d.wrong(k.Line, "", "write a word before the colon", "this key is not a word")
			continue
		}
		if line, ok := seen[key]; ok {
			d.wrong(k.Line, key, "keep one of them", "%s is given twice, first in line %d", key, line)
			continue
		}
		seen[key] = k.Line
		switch {
		case slices.Contains(d.sections, key):
			d.mapping(v, key+".")
		case !slices.Contains(d.keys, key):
			d.unknown(k.Line, key)
		case v.Kind == yaml.AliasNode || v.Anchor != "":
			d.wrong(v.Line, key, "write the value out", "%s uses an anchor or alias", key)
		case v.Kind == yaml.ScalarNode && v.Tag == "!!null":
			// a key without a value sets nothing
		default:
			d.found[key] = v
		}
	}
}

// unknown reports a key that there is not.
func (d *decoder) unknown(line int, key string) {
	all := append(slices.Clone(d.keys), d.sections...)
	fix := "remove it; the keys are " + strings.Join(d.keys, ", ")
	if near, ok := problem.Nearest(strings.ReplaceAll(key, "-", "_"), all); ok {
		fix = "write " + near
	} else {
		for _, k := range all { // a key that stands in another section
			if k[strings.LastIndexByte(k, '.')+1:] == key[strings.LastIndexByte(key, '.')+1:] {
				fix = "write " + k
				break
			}
		}
	}
	d.wrong(line, key, fix, "there is no setting %q", clip(key))
}

// clip keeps what a message repeats short.
func clip(s string) string {
	if r := []rune(s); len(r) > 60 {
		return string(r[:60]) + "…"
	}
	return s
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	stringsType  = reflect.TypeFor[[]string]()
)

// setNode sets a field from the file.
func setNode(f reflect.Value, n *yaml.Node) error {
	if f.Type() == stringsType && n.Kind == yaml.SequenceNode {
		list := make([]string, 0, len(n.Content))
		for _, c := range n.Content {
			if c.Kind != yaml.ScalarNode || c.Tag == "!!null" {
				return wrong{"has an entry that is not a word", "write one entry a line, each after \"- \""}
			}
			list = append(list, c.Value)
		}
		f.Set(reflect.ValueOf(list))
		return nil
	}
	if n.Kind != yaml.ScalarNode {
		return wrong{"is not one value", "write one value after the colon"}
	}
	return setText(f, n.Value)
}

// setText sets a field from text, as it stands in the file or in a variable.
func setText(f reflect.Value, text string) error {
	if u, ok := f.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if err := u.UnmarshalText([]byte(text)); err != nil {
			return wrong{fmt.Sprintf("is %q: %v", clip(text), err), "see docs/operate/settings.md for what it can be"}
		}
		return nil
	}
	switch {
	case f.Type() == durationType:
		d, ok := parseDuration(text)
		if !ok {
			return wrong{fmt.Sprintf("is %q, which is not a time", clip(text)), "write a time such as 90s, 12h or 30d"}
		}
		f.SetInt(int64(d))
	case f.Type() == stringsType:
		list := []string{}
		for _, s := range strings.Split(text, ",") {
			if s = strings.TrimSpace(s); s != "" {
				list = append(list, s)
			}
		}
		f.Set(reflect.ValueOf(list))
	case f.Kind() == reflect.String:
		f.SetString(text)
	case f.Kind() == reflect.Bool:
		if text != "true" && text != "false" {
			return wrong{fmt.Sprintf("is %q, which is neither true nor false", clip(text)), "write true or false"}
		}
		f.SetBool(text == "true")
	case f.CanInt():
		n, err := strconv.ParseInt(text, 10, f.Type().Bits())
		if err != nil {
			return wrong{fmt.Sprintf("is %q, which is not a whole number in its range", clip(text)), "write a whole number"}
		}
		f.SetInt(n)
	case f.CanFloat():
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || x != x || x > 1e300 || x < -1e300 {
			return wrong{fmt.Sprintf("is %q, which is not a number", clip(text)), "write a number such as 0.5"}
		}
		f.SetFloat(x)
	default:
		panic("config: no setting can be of type " + f.Type().String()) // a programmer's mistake, caught by every test
	}
	return nil
}

// parseDuration reads Go's form, and days.
func parseDuration(s string) (time.Duration, bool) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.Atoi(days)
		return time.Duration(n) * 24 * time.Hour, err == nil && n >= 0 && n <= 36500
	}
	d, err := time.ParseDuration(s)
	return d, err == nil && d >= 0
}
