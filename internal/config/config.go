// Package config fills a struct of settings from one YAML file, from the
// environment and from the command line, strictly.
//
// A setting is a field with a tag `yaml:"key"`, in lower case with underscores;
// fields without the tag, or with "-", are no settings. A field that is itself a
// struct is a section, whose keys stand under its own. Each setting has three
// names that follow from each other:
//
//	public_url            in the file
//	SIAGA_PUBLIC_URL      in the environment
//	--public-url          on the command line, where a command has that flag
//	mail.host             in the file, under mail:
//	SIAGA_MAIL_HOST       in the environment
//
// The command line wins over the environment, the environment over the file, and
// what nobody set keeps the value that it has; an empty variable sets nothing.
// X and X_file are two ways to give one setting (a secret stands in a file of its
// own), so the higher of the two sources drops the other's.
//
// Every mistake is reported, not only the first: a key that there is not, with
// the nearest one that there is; a value of another type; a key given twice; a
// value that the program's own check refuses. Nothing is opened but the file.
package config

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/siaga-crp/siaga/internal/problem"
)

// maxFile bounds what is read of the file.
const maxFile = 1 << 20

// Prefix begins the name of each variable.
const Prefix = "SIAGA_"

// Sources say where settings come from. The zero value has none.
type Sources struct {
	File string                      // path; "": no file
	Env  func(string) (string, bool) // os.LookupEnv; nil: no environment
	// Flag tells whether the command line set the key, and how it is named
	// there. What it set is left as it is. Nil: no command line.
	Flag func(key string) (name string, set bool)
}

// Mistake is one setting that is wrong.
type Mistake struct {
	Key    string `json:"key"`             // "" if the file as a whole is wrong
	Where  string `json:"where,omitempty"` // "siaga.yaml:3", "SIAGA_LISTEN" or "--listen"
	Detail string `json:"detail"`          // what is wrong
	Fix    string `json:"fix"`             // what to do
}

// String is the mistake on one line.
func (m Mistake) String() string {
	at := m.Where
	if at == "" {
		at = m.Key
	}
	return at + ": " + m.Detail + "; fix: " + m.Fix
}

// Mistakef makes a mistake of a key; Report.Add says where the key was set.
func Mistakef(key, fix, format string, args ...any) Mistake {
	return Mistake{Key: key, Detail: fmt.Sprintf(format, args...), Fix: fix}
}

// Report says what Load found.
type Report struct {
	Mistakes []Mistake
	origin   map[string]string
}

// Origin says where a setting came from: a place, or "" if nobody set it.
func (r *Report) Origin(key string) string { return r.origin[key] }

// Add adds mistakes that the program's own check found.
func (r *Report) Add(mistakes ...Mistake) {
	for _, m := range mistakes {
		if m.Where == "" {
			m.Where = r.origin[m.Key]
		}
		r.Mistakes = append(r.Mistakes, m)
	}
	r.sort()
}

// sort puts mistakes in the order of the file, those elsewhere last.
func (r *Report) sort() {
	line := func(m Mistake) int {
		if n, err := strconv.Atoi(m.Where[strings.LastIndexByte(m.Where, ':')+1:]); err == nil {
			return n
		}
		return math.MaxInt
	}
	slices.SortStableFunc(r.Mistakes, func(a, b Mistake) int { return cmp.Compare(line(a), line(b)) })
}

// Err returns all mistakes as one problem, or nil.
func (r *Report) Err() error { return Problem(r.Mistakes) }

// Problem returns mistakes as one problem of kind Invalid, or nil for none.
func Problem(mistakes []Mistake) error {
	switch len(mistakes) {
	case 0:
		return nil
	case 1:
		what, fix, _ := strings.Cut(mistakes[0].String(), "; fix: ")
		return problem.New(problem.Invalid, what, fix)
	}
	all := make([]string, len(mistakes))
	for i, m := range mistakes {
		all[i] = strings.Replace(m.String(), "; fix: ", ", ", 1)
	}
	return problem.Newf(problem.Invalid, "%d settings are wrong: %s", len(mistakes), strings.Join(all, "; ")).
		WithFix("correct them; siaga config check lists them")
}

// Load sets the settings of into, a pointer to a struct. A file that cannot be
// read is an error; what is wrong in it is in the report.
func Load(s Sources, into any) (*Report, error) {
	r := &Report{origin: map[string]string{}}
	leaves := walk(reflect.ValueOf(into).Elem(), "")
	type value struct {
		leaf
		origin string
		rank   int // 1 file, 2 environment, 3 command line
		set    func() error
	}
	values := map[string]*value{}
	for _, l := range leaves {
		values[l.key] = &value{leaf: l}
	}
	if s.File != "" {
		nodes, mistakes, err := read(s.File, leaves)
		if err != nil {
			return nil, err
		}
		r.Mistakes = mistakes
		for key, n := range nodes {
			v := values[key]
			v.rank, v.origin = 1, fmt.Sprintf("%s:%d", s.File, n.Line)
			v.set = func() error { return setNode(v.field, n) }
		}
	}
	for _, l := range leaves {
		v := values[l.key]
		if s.Env != nil {
			if text, ok := s.Env(Variable(l.key)); ok && text != "" {
				v.rank, v.origin = 2, Variable(l.key)
				v.set = func() error { return setText(v.field, text) }
			}
		}
		if s.Flag != nil {
			if name, ok := s.Flag(l.key); ok {
				v.rank, v.origin, v.set = 3, name, nil
			}
		}
	}
	for _, l := range leaves {
		v := values[l.key]
		if other, ok := values[twin(l.key, values)]; ok && other.rank > v.rank {
			continue
		}
		if v.rank == 0 {
			continue
		}
		r.origin[l.key] = v.origin
		if v.set == nil {
			continue
		}
		if err := v.set(); err != nil {
			m := Mistake{Key: l.key, Where: v.origin, Detail: l.key + " " + err.Error(), Fix: "correct it"}
			if w, ok := errors.AsType[wrong](err); ok {
				m.Fix = w.fix
			}
			r.Mistakes = append(r.Mistakes, m)
		}
	}
	r.sort()
	return r, nil
}

// twin is the other way to give a setting: X for X_file, and X_file for X.
func twin[V any](key string, all map[string]V) string {
	if short, ok := strings.CutSuffix(key, "_file"); ok {
		return short
	}
	if _, ok := all[key+"_file"]; ok {
		return key + "_file"
	}
	return ""
}

// Variable is the environment's name of a key.
func Variable(key string) string {
	return Prefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// FlagName is the command line's name of a key, without its hyphens.
func FlagName(key string) string {
	return strings.NewReplacer("_", "-", ".", "-").Replace(key)
}

// Setting is one setting as it stands after Load.
type Setting struct {
	Key    string `json:"key"`
	Value  string `json:"value"`  // passwords in addresses are hidden
	Origin string `json:"origin"` // "default", or the place that set it
}

// Settings lists all settings of a struct in its order.
func (r *Report) Settings(of any) []Setting {
	var all []Setting
	for _, l := range walk(reflect.ValueOf(of).Elem(), "") {
		s := Setting{Key: l.key, Value: show(l.field), Origin: r.origin[l.key]}
		if s.Origin == "" {
			s.Origin = "default"
		}
		all = append(all, s)
	}
	return all
}

// Keys lists the keys of a struct's settings in its order.
func Keys(of any) []string {
	var keys []string
	for _, l := range walk(reflect.ValueOf(of).Elem(), "") {
		keys = append(keys, l.key)
	}
	return keys
}

// leaf is one setting of a struct.
type leaf struct {
	key   string // with dots between sections
	field reflect.Value
}

// walk lists the settings of a struct.
func walk(v reflect.Value, under string) []leaf {
	var all []leaf
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("yaml")
		if tag == "" || tag == "-" {
			continue
		}
		key := under + tag
		if f := v.Field(i); isSection(f) {
			all = append(all, walk(f, key+".")...)
		} else {
			all = append(all, leaf{key, f})
		}
	}
	return all
}

func isSection(f reflect.Value) bool {
	if f.Kind() != reflect.Struct {
		return false
	}
	_, isText := f.Addr().Interface().(encoding.TextUnmarshaler)
	return !isText
}

// open reads the file, which must be a regular one of bounded size.
func open(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, problem.Newf(problem.NotFound, "there is no settings file %s", path).WithFix("name another with --config, or leave it out")
	}
	if err != nil {
		return nil, problem.Newf(problem.Invalid, "the settings file %s cannot be read: %v", path, err).WithFix("check its name and rights")
	}
	defer func() { _ = f.Close() }() // it was only read
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, problem.Newf(problem.Invalid, "the settings file %s is not a regular file", path).WithFix("name a file with --config")
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, problem.Newf(problem.Invalid, "the settings file %s cannot be read: %v", path, err).WithFix("check its name and rights")
	}
	if len(b) > maxFile || !utf8.Valid(b) {
		return nil, problem.Newf(problem.Invalid, "the settings file %s is not a text of at most 1 MB", path).WithFix("name another with --config")
	}
	return b, nil
}

// show prints a value for a person.
func show(v reflect.Value) string {
	var s string
	switch x := v.Interface().(type) {
	case []string:
		s = strings.Join(x, ",")
	default:
		s = fmt.Sprint(x)
	}
	if !HasPassword(s) {
		return s
	}
	if u, err := url.Parse(s); err == nil && u.User != nil && !u.Query().Has("password") {
		return u.Redacted()
	}
	return "***"
}

// HasPassword says whether an address holds one, as a URL or in the form
// "host=… password=…" that PostgreSQL also takes.
func HasPassword(address string) bool {
	if u, err := url.Parse(address); err == nil && u.User != nil {
		if _, ok := u.User.Password(); ok {
			return true
		}
	}
	return strings.Contains(strings.ToLower(address), "password=")
}

// sectionsOf lists the sections that lie in keys.
func sectionsOf(leaves []leaf) []string {
	var all []string
	for _, l := range leaves {
		for i, c := range l.key {
			if c == '.' && !slices.Contains(all, l.key[:i]) {
				all = append(all, l.key[:i])
			}
		}
	}
	return all
}
