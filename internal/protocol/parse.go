package protocol

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/problem"
)

// Limits of a definition file. They are far above what a protocol needs and
// keep what a hostile file can cost small.
const (
	maxFile    = 256 << 10 // bytes
	maxDepth   = 24        // of YAML nodes
	maxItems   = 200       // of any list
	maxText    = 4000      // characters of one text
	maxID      = 64        // characters of an identifier
	maxMistake = 100       // mistakes reported
	minRepeat  = 5 * time.Minute
	maxSunset  = 30 * 24 * time.Hour
)

// Mistake is one thing that is wrong in a definition file.
type Mistake struct {
	Line   int    `json:"line"`   // from 1
	Column int    `json:"column"` // from 1, in characters
	Path   string `json:"path"`   // where in the definition, such as "authority.activate.quorum"
	Detail string `json:"detail"` // what is wrong
	Fix    string `json:"fix"`    // what to do
}

// String returns the mistake on one line: "12:5 path: detail; fix".
func (m Mistake) String() string {
	s := fmt.Sprintf("%d:%d ", m.Line, m.Column)
	if m.Path != "" {
		s += m.Path + ": "
	}
	return s + m.Detail + "; " + m.Fix
}

// Parse reads a definition file (YAML 1.2, one document, UTF-8, at most
// 256 KiB). It is strict: it returns either a definition and no mistakes, or
// nil and all mistakes that it found, in the order of the file. Anchors,
// aliases and tags are refused, so no file expands to more than itself.
//
// Hash is the SHA-256 of the file as it is, so that anybody can compute it.
func Parse(data []byte) (*Definition, []Mistake) {
	r := &reader{}
	root := r.document(data)
	if root == nil {
		return nil, r.sorted()
	}
	d := r.definition(root)
	r.check(d)
	if len(r.mistakes) > 0 {
		return nil, r.sorted()
	}
	d.sign(data)
	return d, nil
}

// Recall reads a definition that was accepted once, by whatever release, for
// an activation that goes on under it. A later release may know keys or rules
// that this file breaks; they do not count here, or an upgrade would stop a
// running activation. What no definition can lift holds all the same. It
// returns an error only if the file is not one definition at all.
func Recall(data []byte) (*Definition, error) {
	r := &reader{}
	root := r.document(data)
	if root == nil {
		return nil, errors.New("protocol: " + r.sorted()[0].String())
	}
	d := r.definition(root)
	if d.ID == "" || d.Version == "" || len(d.Authority.Activate.Kinds) == 0 {
		return nil, errors.New("protocol: " + r.sorted()[0].String())
	}
	d.sign(data)
	return d, nil
}

func (d *Definition) sign(data []byte) {
	sum := sha256.Sum256(data)
	d.Hash, d.Source = hex.EncodeToString(sum[:]), bytes.Clone(data)
}

// reader turns YAML nodes into a definition and collects what is wrong.
type reader struct {
	mistakes []Mistake
	where    map[string]*yaml.Node // paths of what was read, for the checks that follow
	ids      []string              // every criterion, level, clock and task that the file names
}

func (r *reader) sorted() []Mistake {
	slices.SortStableFunc(r.mistakes, func(a, b Mistake) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	if len(r.mistakes) > maxMistake {
		last := r.mistakes[maxMistake]
		last.Path, last.Detail, last.Fix = "", "there are more mistakes than are shown", "correct these and check again"
		r.mistakes = append(r.mistakes[:maxMistake:maxMistake], last)
	}
	return r.mistakes
}

func (r *reader) add(n *yaml.Node, path, fix, detail string, args ...any) {
	m := Mistake{Line: 1, Column: 1, Path: path, Detail: fmt.Sprintf(detail, args...), Fix: fix}
	if n != nil && n.Line > 0 {
		m.Line, m.Column = n.Line, max(1, n.Column)
	}
	r.mistakes = append(r.mistakes, m)
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(?:column \d+: )?(.*)$`)

// document reads the YAML and returns its one node.
func (r *reader) document(data []byte) *yaml.Node {
	if len(data) > maxFile {
		r.add(nil, "", "write less, or check that this is the right file", "the file has %d bytes, more than %d", len(data), maxFile)
		return nil
	}
	if !utf8.Valid(data) {
		line := 1
		for rest := data; len(rest) > 0; {
			c, n := utf8.DecodeRune(rest)
			if c == utf8.RuneError && n == 1 {
				break
			}
			if c == '\n' {
				line++
			}
			rest = rest[n:]
		}
		r.add(&yaml.Node{Line: line, Column: 1}, "", "save it as UTF-8", "the file is not UTF-8 text")
		return nil
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			r.add(nil, "", "begin with id, version and title", "the file is empty")
			return nil
		}
		r.syntax(err, data)
		return nil
	}
	if err := dec.Decode(&more); err == nil {
		r.add(&more, "", "keep one protocol in a file, without ---", "a second document begins here")
		return nil
	} else if !errors.Is(err, io.EOF) {
		r.syntax(err, data)
		return nil
	}
	if len(doc.Content) != 1 {
		r.add(nil, "", "begin with id, version and title", "the file is empty")
		return nil
	}
	root := doc.Content[0]
	before := len(r.mistakes)
	r.plain(root, 0)
	if len(r.mistakes) > before {
		return nil
	}
	if root.Kind != yaml.MappingNode {
		r.add(root, "", "begin with id, version and title", "the file is not a list of keys and values")
		return nil
	}
	return root
}

// syntax reports what the YAML library could not read.
func (r *reader) syntax(err error, data []byte) {
	m := yamlLine.FindStringSubmatch(strings.SplitN(err.Error(), "\n", 2)[0])
	n := &yaml.Node{Line: 1, Column: 1}
	text := err.Error()
	if m != nil {
		if l, err := strconv.Atoi(m[1]); err == nil {
			n.Line = l
		}
		text = m[2]
		if strings.HasPrefix(text, "did not find expected") {
			n.Line++ // the library counts from 0 here, and from 1 in its scanner
		}
	}
	fix := "look here: indent with spaces, close brackets and quotes, put text with \": \", \"#\", \"?\" or a comma in quotes"
	if lines := bytes.SplitN(data, []byte("\n"), n.Line+1); n.Line <= len(lines) && bytes.HasPrefix(bytes.TrimLeft(lines[n.Line-1], " "), []byte("\t")) {
		text, fix = "a tab stands at the beginning of the line", "indent with spaces"
	}
	r.add(n, "", fix, "this is not YAML: %s", problem.YAML(text))
}

// plain refuses what a definition has no use for.
func (r *reader) plain(n *yaml.Node, depth int) {
	switch {
	case len(r.mistakes) > maxMistake:
		return
	case depth > maxDepth:
		r.add(n, "", "use the shape of a built-in protocol: siaga protocol show sea-crp", "this is nested more than %d deep", maxDepth)
		return
	case n.Kind == yaml.AliasNode:
		r.add(n, "", "write the value out", "aliases (*%s) are not used here", n.Value)
		return
	case n.Anchor != "":
		r.add(n, "", "write the value out where it is needed", "anchors (&%s) are not used here", n.Anchor)
	case n.Style&yaml.TaggedStyle != 0:
		r.add(n, "", "remove it", "tags (%s) are not used here", n.Tag)
	}
	for _, c := range n.Content {
		r.plain(c, depth+1)
	}
}

// object is a mapping whose keys are known.
type object struct {
	r      *reader
	node   *yaml.Node
	path   string
	fields map[string]*yaml.Node
	meant  []string // known keys that unknown ones were near to
}

// object reads a mapping with the known keys. It returns an object without
// fields for anything else, after reporting it.
func (r *reader) object(n *yaml.Node, path string, known ...string) object {
	o := object{r: r, node: n, path: path, fields: map[string]*yaml.Node{}}
	if n == nil {
		return o
	}
	r.note(path, n)
	if n.Kind != yaml.MappingNode {
		r.add(n, path, "write its keys: "+strings.Join(known, ", "), "%s stands where keys and values are needed", r.kind(n))
		return o
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		at := join(path, clip(k.Value))
		switch {
		case k.Kind != yaml.ScalarNode:
			r.add(k, path, "use one of "+strings.Join(known, ", "), "a key must be a word")
		case o.fields[k.Value] != nil:
			r.add(k, at, "keep one of them", "%q stands here a second time", clip(k.Value))
		case !slices.Contains(known, k.Value):
			fix := "use one of " + strings.Join(known, ", ")
			if near, ok := problem.Nearest(k.Value, known); ok {
				fix = "did you mean " + near + "?"
				o.meant = append(o.meant, near)
			}
			r.add(k, at, fix, "there is no key %q here", clip(k.Value))
		default:
			o.fields[k.Value] = v
		}
	}
	return o
}

func (r *reader) note(path string, n *yaml.Node) {
	if r.where == nil {
		r.where = map[string]*yaml.Node{}
	}
	r.where[path] = n
}

func (r *reader) kind(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a list of keys"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "nothing"
	}
	return strconv.Quote(clip(n.Value))
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// need returns a field, or reports that it is missing.
func (o object) need(key, fix string) *yaml.Node {
	n := o.fields[key]
	if n == nil && o.node != nil && o.node.Kind == yaml.MappingNode && !slices.Contains(o.meant, key) {
		o.r.add(o.node, o.path, fix, "%s is missing", key)
	}
	return n
}

// scalar returns a value's text.
func (r *reader) scalar(n *yaml.Node, path, fix string) (string, bool) {
	if n == nil {
		return "", false
	}
	r.note(path, n)
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		r.add(n, path, fix, "%s stands where a value is needed", r.kind(n))
		return "", false
	}
	if utf8.RuneCountInString(n.Value) > maxText {
		r.add(n, path, "shorten it", "the text has more than %d characters", maxText)
		return "", false
	}
	if i := strings.IndexFunc(n.Value, func(c rune) bool { return (c < ' ' && c != '\n') || c == 0x7f }); i >= 0 {
		r.add(n, path, "remove it", "the text holds a control character")
		return "", false
	}
	return strings.TrimSpace(n.Value), true
}

var idPattern = regexp.MustCompile(`^[a-z][a-z0-9]*([_-][a-z0-9]+)*$`)

func (o object) id(key string) string {
	const fix = "use lower-case letters, digits and _ or -, such as real_world_attack"
	s, ok := o.r.scalar(o.need(key, fix), join(o.path, key), fix)
	if ok && (!idPattern.MatchString(s) || len(s) > maxID) {
		o.r.add(o.fields[key], join(o.path, key), fix, "%q is not an identifier", clip(s))
	}
	return s
}

// choice reads one of the allowed values.
func (r *reader) choice(n *yaml.Node, path string, allowed []string) string {
	s, ok := r.scalar(n, path, "use one of "+strings.Join(allowed, ", "))
	if !ok {
		return ""
	}
	if !slices.Contains(allowed, s) {
		fix := "use one of " + strings.Join(allowed, ", ")
		if near, ok := problem.Nearest(s, allowed); ok {
			fix = "did you mean " + near + "?"
		}
		r.add(n, path, fix, "%q is not known here", clip(s))
		return ""
	}
	return s
}

func (o object) needChoice(key string, allowed []string) string {
	return o.r.choice(o.need(key, "add it: one of "+strings.Join(allowed, ", ")), join(o.path, key), allowed)
}

// text reads a text in all languages.
func (o object) text(key string, required bool) Text {
	const fix = "write {en: …, id: …}"
	n := o.fields[key]
	if n == nil {
		if required {
			o.need(key, "add "+key+": {en: …, id: …}")
		}
		return nil
	}
	path := join(o.path, key)
	o.r.note(path, n)
	if n.Kind != yaml.MappingNode {
		o.r.add(n, path, fix, "%s stands where a text by language is needed", o.r.kind(n))
		return nil
	}
	t := Text{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if !languageTag.MatchString(k.Value) {
			o.r.add(k, path, "use language tags such as en, id, th, pt-BR", "%q is not a language", clip(k.Value))
			continue
		}
		if _, twice := t[k.Value]; twice {
			o.r.add(k, path, "keep one of them", "the language %s stands here a second time", k.Value)
			continue
		}
		s, ok := o.r.scalar(v, path+"."+k.Value, "write the text")
		t[k.Value] = s
		if ok && s == "" {
			o.r.add(v, path+"."+k.Value, "write the text", "the text is empty")
		}
	}
	for _, l := range Languages() {
		if _, ok := t[l]; !ok {
			o.r.add(n, path, "add "+l+": …", "the translation %s is missing", l)
		}
	}
	return t
}

var languageTag = regexp.MustCompile(`^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$`)

func (o object) duration(key string, required bool) Duration {
	n := o.fields[key]
	if n == nil {
		if required {
			o.need(key, "add it, such as "+key+": 30m")
		}
		return 0
	}
	return o.r.duration(n, join(o.path, key))
}

func (r *reader) duration(n *yaml.Node, path string) Duration {
	s, ok := r.scalar(n, path, errDuration.Error())
	if !ok {
		return 0
	}
	v, err := ParseDuration(s)
	if err != nil {
		fix := err.Error()
		if num, err := strconv.Atoi(s); err == nil && num > 0 && num < 1e6 {
			fix = fmt.Sprintf("add the unit: %dm for minutes, %dh for hours, %dd for days", num, num, num)
		}
		r.add(n, path, fix, "%q is not a duration", clip(s))
	}
	return v
}

func (o object) number(key string) int {
	n := o.need(key, "add it, such as "+key+": 2")
	s, ok := o.r.scalar(n, join(o.path, key), "write a whole number")
	if !ok {
		return 0
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < 1 || v > maxItems {
		o.r.add(n, join(o.path, key), fmt.Sprintf("write a whole number from 1 to %d", maxItems), "%q is not a number of partners", clip(s))
		return 0
	}
	return v
}

func (o object) boolean(key string) bool {
	n := o.fields[key]
	if n == nil {
		return false
	}
	return o.r.choice(n, join(o.path, key), []string{"true", "false"}) == "true"
}

// list returns the items of a list.
func (r *reader) list(n *yaml.Node, path, fix string) []*yaml.Node {
	if n == nil {
		return nil
	}
	r.note(path, n)
	if n.Kind != yaml.SequenceNode {
		r.add(n, path, fix, "%s stands where a list is needed", r.kind(n))
		return nil
	}
	if len(n.Content) > maxItems {
		r.add(n, path, "shorten it", "the list has more than %d items", maxItems)
		return nil
	}
	return n.Content
}

// choices reads a list of allowed values, each once.
func (r *reader) choices(n *yaml.Node, path string, allowed []string) []string {
	var out []string
	for i, c := range r.list(n, path, "write a list: ["+strings.Join(allowed[:min(2, len(allowed))], ", ")+"]") {
		s := r.choice(c, fmt.Sprintf("%s[%d]", path, i), allowed)
		if s == "" {
			continue
		}
		if slices.Contains(out, s) {
			r.add(c, fmt.Sprintf("%s[%d]", path, i), "keep one of them", "%q stands here a second time", s)
			continue
		}
		out = append(out, s)
	}
	return out
}

func kindNames() []string {
	var out []string
	for _, k := range access.PartnerKinds() {
		out = append(out, string(k))
	}
	return out
}

func (o object) kinds(key string, required bool) []access.PartnerKind {
	n := o.fields[key]
	if n == nil {
		if required {
			o.need(key, "add "+key+": a list of "+strings.Join(kindNames(), ", "))
		}
		return nil
	}
	var out []access.PartnerKind
	for _, s := range o.r.choices(n, join(o.path, key), kindNames()) {
		out = append(out, access.PartnerKind(s))
	}
	if len(out) == 0 && n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		o.r.add(n, join(o.path, key), "name at least one of "+strings.Join(kindNames(), ", "), "the list is empty")
	}
	return out
}

// who reads "lead", "authority", "every_partner" or {kinds: […]}.
func (o object) who(key string) Who {
	n := o.need(key, "add it: every_partner, lead, authority or {kinds: […]}")
	if n == nil {
		return Who{}
	}
	path := join(o.path, key)
	o.r.note(path, n)
	if n.Kind == yaml.MappingNode {
		return Who{Kinds: o.r.object(n, path, "kinds").kinds("kinds", true)}
	}
	return Who{Role: o.r.choice(n, path, []string{EveryPartner, TheLead, TheAuthority})}
}

// unique reports an identifier that was used before, of whatever thing.
func (r *reader) unique(n *yaml.Node, path, id string, used *[]string) {
	if id == "" {
		return
	}
	if slices.Contains(*used, id) {
		r.add(n, path, "give it another id", "the id %q is used already", id)
	}
	*used = append(*used, id)
}
