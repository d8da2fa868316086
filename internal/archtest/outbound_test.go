package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// connects finds what opens a connection to another machine.
var connects = regexp.MustCompile(`http\.(DefaultClient|DefaultTransport|Get\(|Post\(|PostForm\(|Head\(|Client\{|Transport\{)|net\.(Dial|Dialer\{)|tls\.Dial|smtp\.(Dial|SendMail|NewClient)`)

// dialers are the folders whose connections go to a place that the operator
// named, not a partner: an edge's node, the node of a command line, ourselves.
var dialers = []string{"internal/outbound", "edge", "client", "cmd/siaga", "e2e", "internal/bench", "internal/demo", "internal/app", "internal/store", "internal/relay", "tools"}

// TestOutgoingRequests: only one package makes connections to addresses that
// a person or a partner named.
func TestOutgoingRequests(t *testing.T) {
	root := os.DirFS("../..")
	files := 0
	err := fs.WalkDir(root, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && strings.HasPrefix(d.Name(), ".") && path != "." {
			return fs.SkipDir
		}
		if filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") || slices.ContainsFunc(dialers, func(f string) bool { return strings.HasPrefix(path, f+"/") }) {
			return nil
		}
		files++
		b, err := fs.ReadFile(root, path)
		if err != nil {
			return err
		}
		for i, line := range strings.Split(string(b), "\n") {
			if m := connects.FindString(line); m != "" {
				t.Errorf("%s:%d: %s: outgoing connections are made by internal/outbound alone", path, i+1, m)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Fatalf("looked at %d files", files)
	}
}
