//go:build unix

package edge

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFolder makes sure that no other edge uses the folder. The lock ends with
// the process.
func lockFolder(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the edge's folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { //nolint:gosec // a descriptor
		_ = f.Close() // not ours
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errInUse
		}
		return nil, fmt.Errorf("locking the edge's folder: %w", err)
	}
	return f, nil
}
