package archtest

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// maxLines of a file: what is longer holds two ideas.
const maxLines = 800

// long are the files that may be longer, and why.
var long = map[string]string{
	"internal/journal/storetest/storetest.go": "one list of what every store must do",
}

func TestFilesAreShort(t *testing.T) {
	files := 0
	for _, dir := range []string{"cmd", "e2e", "edge", "fingerprint", "index", "internal"} {
		err := filepath.WalkDir(filepath.Join("../..", dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".go" {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files++
			name := filepath.ToSlash(strings.TrimPrefix(path, "../../"))
			_, may := long[name]
			switch n := bytes.Count(b, []byte("\n")); {
			case n > maxLines && !may:
				t.Errorf("%s has %d lines, at most %d: split it", name, n, maxLines)
			case n <= maxLines && may:
				t.Errorf("%s has %d lines: take it off the list of long files", name, n)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 400 {
		t.Fatalf("found %d files, want at least 400: is this the module?", files)
	}
}
