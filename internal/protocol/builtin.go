package protocol

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/siaga-crp/siaga/internal/problem"
)

//go:embed definitions/*.yaml
var definitions embed.FS

// DefaultName is the protocol that a partnership begins with.
const DefaultName = "sea-crp"

var builtin = sync.OnceValue(func() []*Definition {
	files, err := definitions.ReadDir("definitions")
	if err != nil {
		panic("protocol: " + err.Error())
	}
	var out []*Definition
	for _, f := range files {
		data, err := definitions.ReadFile(path.Join("definitions", f.Name()))
		if err != nil {
			panic("protocol: " + err.Error())
		}
		d, mistakes := Parse(data)
		if len(mistakes) > 0 {
			panic(fmt.Sprintf("protocol: %s:%s", f.Name(), mistakes[0]))
		}
		out = append(out, d)
	}
	slices.SortFunc(out, func(a, b *Definition) int {
		if (a.ID == DefaultName) != (b.ID == DefaultName) {
			if a.ID == DefaultName {
				return -1
			}
			return 1
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
})

// Builtin returns the definitions that come with the program, the default
// first, then by name. They are parsed once and shared: do not change them.
func Builtin() []*Definition { return slices.Clone(builtin()) }

// Lookup returns the built-in definition of that name, or a problem of kind
// NotFound that names the nearest one.
func Lookup(name string) (*Definition, error) {
	var names []string
	for _, d := range builtin() {
		if d.ID == name {
			return d, nil
		}
		names = append(names, d.ID)
	}
	p := problem.Newf(problem.NotFound, "there is no built-in protocol %q", clip(name))
	if near, ok := problem.Nearest(name, names); ok {
		return nil, p.WithFix("did you mean %s?", near)
	}
	return nil, p.WithFix("use %s", orList(names))
}
