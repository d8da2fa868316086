package web

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/protocol"
)

// Packages whose problems no page shows: machines and operators read them.
var machines = []string{"api", "app", "backup", "bench", "bus", "config", "demo", "edits", "erasure", "feed", "history", "keys", "media", "relay"}

// Sentences that are made at run time, and why they may be.
var dynamic = map[string]string{
	"internal/access r.What":      "every row of the table of rights is looked up below",
	"internal/web p.Detail":       "a problem in the reader's language already",
	"internal/protocol string(s)": "states are looked up below",
}

type sentences struct {
	fset  *token.FileSet
	found map[string]string // format to where it stands
	wrong []string
}

// collect walks the packages under root for everything that a problem can say.
func collect(t *testing.T, root string) *sentences {
	t.Helper()
	s := &sentences{fset: token.NewFileSet(), found: map[string]string{}}
	dirs := map[string][]*ast.File{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if strings.HasSuffix(d.Name(), "test") || d.Name() == "testdata" || slices.Contains(machines, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(s.fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dirs[filepath.Dir(path)] = append(dirs[filepath.Dir(path)], f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for dir, files := range dirs {
		s.pkg("internal/"+strings.TrimPrefix(filepath.ToSlash(dir), "../"), strings.HasSuffix(dir, "problem"), files)
	}
	return s
}

func (s *sentences) pkg(dir string, own bool, files []*ast.File) {
	consts := map[string]string{}
	for _, f := range files {
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
				for _, spec := range g.Specs {
					v := spec.(*ast.ValueSpec)
					for i, n := range v.Names {
						if i < len(v.Values) {
							if text, ok := literal(v.Values[i], nil); ok {
								consts[n.Name] = text
							}
						}
					}
				}
			}
		}
	}
	wrappers := map[string][]int{} // functions of the package that pass a parameter on
	for changed := true; changed; {
		changed = false
		for _, f := range files {
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || fn.Body == nil || own {
					continue
				}
				type param struct {
					of string
					n  int
				}
				params := map[string]param{}
				add := func(of string, typ *ast.FuncType) {
					n := 0
					for _, p := range typ.Params.List {
						for _, name := range p.Names {
							params[name.Name] = param{of, n}
							n++
						}
					}
				}
				add(fn.Name.Name, fn.Type)
				ast.Inspect(fn.Body, func(node ast.Node) bool { // functions in functions: bad := func(format string, …)
					if a, ok := node.(*ast.AssignStmt); ok && len(a.Lhs) == 1 && len(a.Rhs) == 1 {
						if lit, ok := a.Rhs[0].(*ast.FuncLit); ok {
							add(types.ExprString(a.Lhs[0]), lit.Type)
						}
					}
					return true
				})
				ast.Inspect(fn.Body, func(node ast.Node) bool {
					for _, e := range formats(node, wrappers) {
						id, ok := e.(*ast.Ident)
						if !ok {
							if text, ok := literal(e, consts); ok {
								if text != "" {
									s.found[text] = s.fset.Position(e.Pos()).String()
								}
							} else if why := types.ExprString(e); !strings.HasPrefix(why, "f.T(") && dynamic[dir+" "+why] == "" {
								s.wrong = append(s.wrong, fmt.Sprintf("%s: %s (%s)", s.fset.Position(e.Pos()), why, dir))
							}
							continue
						}
						if p, ok := params[id.Name]; ok {
							if !slices.Contains(wrappers[p.of], p.n) {
								wrappers[p.of] = append(wrappers[p.of], p.n)
								changed = true
							}
						} else if text, ok := consts[id.Name]; ok {
							s.found[text] = s.fset.Position(e.Pos()).String()
						} else if dynamic[dir+" "+id.Name] == "" {
							s.wrong = append(s.wrong, fmt.Sprintf("%s: %s (%s)", s.fset.Position(e.Pos()), id.Name, dir))
						}
					}
					return true
				})
			}
			for _, d := range f.Decls { // variables of the package
				if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
					ast.Inspect(g, func(node ast.Node) bool {
						for _, e := range formats(node, wrappers) {
							if text, ok := literal(e, consts); ok {
								if text != "" {
									s.found[text] = s.fset.Position(e.Pos()).String()
								}
							}
						}
						return true
					})
				}
			}
		}
	}
}

// formats returns the expressions of a node that become sentences.
func formats(node ast.Node, wrappers map[string][]int) []ast.Expr {
	switch n := node.(type) {
	case *ast.CallExpr:
		at := func(is ...int) (out []ast.Expr) {
			for _, i := range is {
				if i < len(n.Args) {
					out = append(out, n.Args[i])
				}
			}
			return out
		}
		switch fun := n.Fun.(type) {
		case *ast.Ident:
			return at(wrappers[fun.Name]...)
		case *ast.SelectorExpr:
			x := types.ExprString(fun.X)
			switch {
			case x == "problem" && fun.Sel.Name == "New":
				return at(1, 2)
			case x == "problem" && fun.Sel.Name == "Newf":
				return at(1)
			case x == "problem" && fun.Sel.Name == "Say", fun.Sel.Name == "WithFix":
				return at(0)
			case fun.Sel.Name == "Add" && len(n.Args) >= 2 && slices.Contains([]string{"f", "fields", "wrong", "bad", "m", "mistakes"}, x):
				return at(1)
			case x == "s":
				return at(wrappers[fun.Sel.Name]...)
			}
		}
	case *ast.CompositeLit:
		typ := ""
		if n.Type != nil {
			typ = types.ExprString(n.Type)
		}
		if typ != "problem.Error" && typ != "problem.Field" && typ != "[]problem.Field" {
			return nil
		}
		var out []ast.Expr
		for _, e := range n.Elts {
			if inner, ok := e.(*ast.CompositeLit); ok && typ == "[]problem.Field" {
				for _, e := range inner.Elts {
					if kv, ok := e.(*ast.KeyValueExpr); ok && types.ExprString(kv.Key) == "Detail" {
						out = append(out, kv.Value)
					}
				}
			}
			if kv, ok := e.(*ast.KeyValueExpr); ok && (types.ExprString(kv.Key) == "Detail" || types.ExprString(kv.Key) == "Fix") {
				out = append(out, kv.Value)
			}
		}
		return out
	}
	return nil
}

func literal(e ast.Expr, consts map[string]string) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		text, err := strconv.Unquote(e.Value)
		return text, err == nil && e.Kind == token.STRING
	case *ast.BinaryExpr:
		a, ok := literal(e.X, consts)
		b, ok2 := literal(e.Y, consts)
		return a + b, ok && ok2 && e.Op == token.ADD
	case *ast.Ident:
		text, ok := consts[e.Name]
		return text, ok
	}
	return "", false
}

func problemTexts(t *testing.T, lang string) map[string]string {
	t.Helper()
	var m map[string]string
	if _, err := toml.DecodeFile("locales/problems/"+lang+".toml", &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// spoken are the words that stand in problems besides their formats.
func spoken() []string {
	var out []string
	for _, v := range protocol.Verbs() {
		out = append(out, string(v), strings.ReplaceAll(string(v), "_", " "))
	}
	for _, r := range access.Rules() {
		out = append(out, r.What)
	}
	for _, r := range access.Roles() {
		out = append(out, string(r))
	}
	for _, k := range access.PartnerKinds() {
		out = append(out, string(k))
	}
	// States and steps of signals, groups, incidents, versions and tasks.
	for w := range strings.FieldsSeq("proposed active suspended refused withdrawn expired voting declined provisional concluded reviewed adopted replaced lapsed open standing_down " +
		"withdrawing notified assessing closed notify assess close reopen approve refuse suspend resume withdraw doing done yes no unknown abstain") {
		out = append(out, w)
	}
	// What the package problem says itself.
	return append(out, "renew or withdraw", "%d fields need a change; first %s: %s", "%s: %s", "correct the fields and send again")
}

// Everything that a problem can say on a page has Indonesian words, with the
// same things in them.
func TestProblemsAreTranslated(t *testing.T) {
	s := collect(t, "..")
	for _, w := range s.wrong {
		t.Errorf("%s: write the sentence as a constant, so that it can be translated: problem.Newf, problem.Say, or Add with a format", w)
	}
	for _, w := range spoken() {
		s.found[w] = "a table of words"
	}
	if len(s.found) < 400 {
		t.Fatalf("found %d sentences: this test no longer sees how problems are made", len(s.found))
	}
	id := problemTexts(t, "id")
	var all []string
	for _, f := range slices.Sorted(maps.Keys(s.found)) {
		if !strings.ContainsFunc(strip(f), func(r rune) bool { return r >= 'a' && r <= 'z' }) {
			continue
		}
		all = append(all, f)
		if id[f] == "" {
			t.Errorf("%s: no Indonesian for\n%q = \"\"", s.found[f], f)
		}
	}
	for _, lang := range whole {
		texts := problemTexts(t, lang)
		behind(t, lang, all, func(f string) bool { return texts[f] != "" })
	}
	files, err := filepath.Glob("locales/problems/*.toml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		lang := strings.TrimSuffix(filepath.Base(file), ".toml")
		texts := problemTexts(t, lang)
		t.Logf("%s: %d sentences", lang, len(texts))
		for f, text := range texts {
			if strings.TrimSpace(text) == "" {
				t.Errorf("%s: %q is empty", file, f)
			}
			if _, ok := s.found[f]; !ok {
				t.Logf("%s: nothing says %q any more", file, f)
			}
			if a, b := verbsOf(f), verbsOf(text); !maps.Equal(a, b) {
				t.Errorf("%s: %q has %v, %q has %v", file, f, a, text, b)
			}
		}
	}
	if os.Getenv("SIAGA_SENTENCES") != "" { // for whoever adds a language
		for _, f := range slices.Sorted(maps.Keys(s.found)) {
			fmt.Printf("%q\n", f)
		}
	}
}

var verb = regexp.MustCompile(`%(?:\[(\d+)\])?[#+0-9.]*([a-zA-Z%])`)

func strip(format string) string { return verb.ReplaceAllString(format, "") }

// verbsOf lists the arguments of a format: number and verb.
func verbsOf(format string) map[string]string {
	out, n := map[string]string{}, 0
	for _, m := range verb.FindAllStringSubmatch(format, -1) {
		if m[2] == "%" {
			continue
		}
		n++
		if m[1] != "" {
			n, _ = strconv.Atoi(m[1])
		}
		out[strconv.Itoa(n)] = m[2]
	}
	return out
}

// A problem reaches a page in its reader's language, with what stands in it.
func TestSay(t *testing.T) {
	c, err := loadCatalogue(files)
	if err != nil {
		t.Fatal(err)
	}
	e := problem.Of(problem.Conflict, problem.Say("%s is already %s", "sea-crp", problem.Say("standing down")), problem.Say("allowed now: %s", problem.Names("vote", "withdraw")))
	e.Fields = nil
	if got, want := e.Error(), "sea-crp is already standing down; allowed now: vote, withdraw"; got != want {
		t.Errorf("in English: %q, want %q", got, want)
	}
	if got, want := e.In(c.in("id").say).Error(), "sea-crp sudah berstatus sedang diakhiri; yang boleh sekarang: berikan suara, tarik"; got != want {
		t.Errorf("in Indonesian: %q, want %q", got, want)
	}
	if got, want := c.in("id").say(problem.Say("the text has %d characters, the limit is %d", 12345, 10000)), "teks ini 12.345 karakter, batasnya 10.000"; got != want {
		t.Errorf("numbers: %q, want %q", got, want)
	}
	// A name is cut off from a sentence of the other direction, its quotes with it.
	if got, want := c.in("ar").say(problem.Say("there is no partner %q", "nusa\u202e")), "لا شريك \u2068\"nusa\\u202e\"\u2069"; got != want {
		t.Errorf("in Arabic: %q, want %q", got, want)
	}
	if got, want := c.in("ar").say(problem.Say("%s exists already", "a.db")), "\u2068a.db\u2069 موجود من قبل"; got != want {
		t.Errorf("in Arabic: %q, want %q", got, want)
	}
	e.Detail = "something else"
	if got := e.In(c.in("id").say).Detail; got != "something else" {
		t.Errorf("a text that was changed afterwards is shown as it is, not %q", got)
	}
	var fields problem.InvalidFields
	fields.Add("name", "enter the member's name, up to 120 characters")
	fields.Add("email", "enter an e-mail address, for example ayu@nusa.example")
	var p *problem.Error
	if p = fields.Err().(*problem.Error); p.In(c.in("id").say).Fields[0].Detail == p.Fields[0].Detail {
		t.Errorf("a field stays English: %q", p.Fields[0].Detail)
	}
}
