//go:build !unix

package edge

import (
	"fmt"
	"os"
)

// lockFolder does not lock here: one folder for one edge is the operator's care.
func lockFolder(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the edge's folder: %w", err)
	}
	return f, nil
}
