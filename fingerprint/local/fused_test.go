package local

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"testing"
)

// nothing imports no package: what the file's own types say is enough.
type nothing struct{}

func (nothing) Import(string) (*types.Package, error) { return nil, errors.New("not needed") }

// TestNoProductIsFused: in verify.go no sum has a bare floating-point product as
// a part, which some architectures would compute without rounding it (FMADD).
// An explicit conversion, as in mul, prevents that. To see what a compiler made
// of it: GOARCH=arm64 go build -gcflags=-S ./fingerprint/local | grep FMADD.
func TestNoProductIsFused(t *testing.T) {
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range []string{"verify.go", "local.go", "index.go", "codec.go", "luma.go", "sketch.go"} {
		f, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	info := types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	c := types.Config{Importer: nothing{}, Error: func(error) {}}
	_, _ = c.Check("local", fset, files, &info) // what is not known is taken for a float
	float := func(e ast.Expr) bool {
		b, ok := info.Types[e].Type.(*types.Basic)
		return !ok || b.Info()&types.IsFloat != 0 || b.Kind() == types.Invalid
	}
	var product func(e ast.Expr) bool
	product = func(e ast.Expr) bool {
		switch x := e.(type) {
		case *ast.ParenExpr:
			return product(x.X)
		case *ast.UnaryExpr:
			return product(x.X)
		case *ast.BinaryExpr:
			return x.Op == token.MUL && info.Types[x].Value == nil && float(x)
		}
		return false
	}
	sums := 0
	ast.Inspect(files[0], func(n ast.Node) bool {
		var parts []ast.Expr
		switch x := n.(type) {
		case *ast.BinaryExpr:
			if x.Op == token.ADD || x.Op == token.SUB {
				parts = []ast.Expr{x.X, x.Y}
			}
		case *ast.AssignStmt:
			if x.Tok == token.ADD_ASSIGN || x.Tok == token.SUB_ASSIGN {
				parts = x.Rhs
			}
		}
		for _, p := range parts {
			sums++
			if product(p) {
				t.Errorf("%s: a product goes into a sum and may be fused: write mul(a, b)", fset.Position(p.Pos()))
			}
		}
		return true
	})
	if sums < 100 {
		t.Errorf("looked at %d parts of sums only", sums)
	}
}
