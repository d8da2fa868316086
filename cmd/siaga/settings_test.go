package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/siaga-crp/siaga/internal/app"
	"github.com/siaga-crp/siaga/internal/config"
)

var update = flag.Bool("update", false, "rewrite the list of settings in docs/operate/settings.md")

// notSettings are flags of siaga serve that are no settings.
var notSettings = []string{"config", "help"}

// TestSettingsDocument: the page lists every setting with the comment of its
// field, and every flag of siaga serve is a setting.
func TestSettingsDocument(t *testing.T) {
	keys := config.Keys(&app.Options{})
	serve := serveCommand()
	var list strings.Builder
	list.WriteString("| key | variable | flag | what it is |\n| --- | --- | --- | --- |\n")
	comments := comments(t, "../../internal/app", reflect.TypeFor[app.Options](), "")
	for _, k := range keys {
		if comments[k] == "" {
			t.Errorf("the field of %s has no comment", k)
		}
		name := "–"
		if f := config.FlagName(k); serve.Flags().Lookup(f) != nil {
			name = "`--" + f + "`"
		}
		fmt.Fprintf(&list, "| `%s` | `%s` | %s | %s |\n", k, config.Variable(k), name, comments[k])
	}
	serve.Flags().VisitAll(func(f *pflag.Flag) {
		if !slices.Contains(notSettings, f.Name) && !slices.ContainsFunc(keys, func(k string) bool { return config.FlagName(k) == f.Name }) {
			t.Errorf("--%s of siaga serve is no setting: add a field to app.Options", f.Name)
		}
	})
	path := "../../docs/operate/settings.md"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- settings -->\n", "<!-- end -->\n"
	before, rest, ok := strings.Cut(string(b), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the list", path)
	}
	want := before + begin + list.String() + end + after
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if want != string(b) {
		t.Errorf("%s is not what the comments of app.Options say: run go test ./cmd/siaga -run TestSettingsDocument -update", path)
	}
}

// comments returns the comment of each setting of a struct, and of the structs
// in it, from the source of their package.
func comments(t *testing.T, dir string, typ reflect.Type, under string) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || spec.Name.Name != typ.Name() {
				return true
			}
			s, ok := spec.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, f := range s.Fields.List {
				for _, id := range f.Names {
					field, _ := typ.FieldByName(id.Name)
					key := field.Tag.Get("yaml")
					if key == "" || key == "-" {
						continue
					}
					found[under+key] = strings.Join(strings.Fields(f.Doc.Text()+" "+f.Comment.Text()), " ")
					if field.Type.Kind() == reflect.Struct && field.Type.PkgPath() == typ.PkgPath() {
						for k, v := range comments(t, dir, field.Type, under+key+".") {
							found[k] = v
						}
					}
				}
			}
			return false
		})
	}
	return found
}

// TestSettingsExample: the example on the page is a right settings file.
func TestSettingsExample(t *testing.T) {
	b, err := os.ReadFile("../../docs/operate/settings.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "```yaml\n")
	example, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("there is no example")
	}
	path := filepath.Join(t.TempDir(), "siaga.yaml")
	if err := os.WriteFile(path, []byte(example), 0o600); err != nil {
		t.Fatal(err)
	}
	var o app.Options
	r, err := config.Load(config.Sources{File: path}, &o)
	if err != nil {
		t.Fatal(err)
	}
	r.Add(o.Check()...)
	for _, m := range r.Mistakes {
		t.Error(m)
	}
	if o.PublicURL == "" || o.Data == "" {
		t.Errorf("the example sets %+v", o)
	}
}
