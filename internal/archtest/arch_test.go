// Package archtest checks the import rules of the layout: imports point
// inwards, public packages need nothing internal, the domain needs no
// transport and no storage. The direct imports are also checked by depguard
// (.golangci.yml); here what is reached through others counts too.
package archtest

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/siaga-crp/siaga"

type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// rules: what a package below from may not reach, and why. A from or to that
// begins with "/" is a folder of this module.
var rules = []rule{
	{"/fingerprint", "/internal", "public packages import nothing internal"},
	{"/index", "/internal", "public packages import nothing internal"},
	{"/edge", "/internal", "public packages import nothing internal"},
	{"/exchange", "/internal", "public packages import nothing internal"},
	{"/client", "/internal", "public packages import nothing internal"},
	{"/fingerprint", "database/sql", "fingerprints do no I/O"},
	{"/internal/protocol", "net/http", "the protocol must run without a network"},
	{"/internal/protocol", "database/sql", "the protocol stores nothing"},
	{"/internal/protocol", "/internal/journal", "the protocol returns events; services make entries of them"},
	{"/internal/web", "database/sql", "pages go through services"},
	{"/internal/web", "/internal/store", "pages go through services"},
	{"/internal/api", "database/sql", "interfaces go through services"},
	{"/internal/api", "/internal/store", "interfaces go through services"},
	{"/internal/journal", "database/sql", "only stores speak SQL"},
}

// services hold what the members may do; they know no transport and no store.
var services = []string{
	"/internal/asks", "/internal/duty", "/internal/erasure", "/internal/feed", "/internal/incident", "/internal/notify",
	"/internal/partner", "/internal/public", "/internal/search", "/internal/signal",
}

func init() {
	for _, s := range services {
		rules = append(rules,
			rule{s, "/internal/store", "services see the Store interface only"},
			rule{s, "database/sql", "services see the Store interface only"},
			rule{s, "/internal/web", "services know no transport"},
			rule{s, "/internal/api", "services know no transport"},
		)
	}
}

type rule struct{ from, to, why string }

// only lists packages of the standard library and others that few may import
// directly, and who may.
var only = map[string][]string{
	"database/sql":       {"/internal/store/sqlite", "/internal/store/postgres"},
	"modernc.org/sqlite": {"/internal/store/sqlite"},
	// A library of public suffixes imports net/http for its cookies; our own
	// fingerprint code does no I/O.
	"net/http":               {"/edge", "/client", "/internal", "/cmd/siaga", "/e2e", "/tools"},
	"os/exec":                {"/internal/media", "/internal/journal/storetest", "/internal/store/postgres/pgtest", "/internal/archtest", "/cmd/siaga", "/e2e"},
	module + "/internal/app": {"/cmd/siaga", "/internal/demo", "/e2e", "/internal/bench"},
}

func TestImports(t *testing.T) {
	pkgs := list(t)
	if len(pkgs) < 10 {
		t.Fatalf("go list found %d packages of this module, want at least 10", len(pkgs))
	}
	for _, s := range services {
		if !slices.ContainsFunc(pkgs, func(p pkg) bool { return p.ImportPath == module+s }) {
			t.Errorf("there is no package %s: take it off the list of services", s)
		}
	}
	for _, p := range pkgs {
		short := strings.TrimPrefix(p.ImportPath, module)
		for _, r := range rules {
			if !below(short, r.from) {
				continue
			}
			for _, d := range p.Deps {
				if reaches(d, r.to) {
					t.Errorf("%s reaches %s: %s", p.ImportPath, d, r.why)
				}
			}
		}
		for what, who := range only {
			if slices.Contains(p.Imports, what) && !slices.ContainsFunc(who, func(w string) bool { return below(short, w) }) {
				t.Errorf("%s imports %s, which only %s may", p.ImportPath, what, strings.Join(who, ", "))
			}
		}
	}
}

func below(short, folder string) bool { return short == folder || strings.HasPrefix(short, folder+"/") }

func reaches(dep, to string) bool {
	if strings.HasPrefix(to, "/") {
		return below(strings.TrimPrefix(dep, module), to) && strings.HasPrefix(dep, module)
	}
	return dep == to
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Deps", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		if e, ok := errors.AsType[*exec.ExitError](err); ok {
			t.Fatalf("go list: %v\n%s", err, e.Stderr)
		}
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := dec.Decode(&p); err != nil {
			if errors.Is(err, io.EOF) {
				return pkgs
			}
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
}
