package app

import (
	"os"
	"path/filepath"

	"github.com/siaga-crp/siaga/internal/problem"
)

// inhabitant is a program that keeps a data folder of its own, and the files by
// which its folder is known.
type inhabitant struct {
	name  string
	files []string
}

var (
	aNode  = inhabitant{"a node", []string{databaseFile, "keys"}}
	aRelay = inhabitant{"a relay", []string{"relay.key"}}
	anEdge = inhabitant{"an edge", []string{"state", "tail"}}
)

// ownFolder refuses a data folder that another program uses: two that write
// into one folder would lock each other out and clean up each other's files. It
// writes nothing.
func ownFolder(dir string, mine *inhabitant) error {
	if dir == "" {
		return nil
	}
	for _, other := range []*inhabitant{&aNode, &aRelay, &anEdge} {
		if other == mine {
			continue
		}
		for _, f := range other.files {
			if _, err := os.Lstat(filepath.Join(dir, f)); err == nil {
				return problem.Newf(problem.Conflict, "%s is the data folder of %s", dir, other.name).WithFix("name another folder with --data")
			}
		}
	}
	return nil
}
