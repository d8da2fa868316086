//go:build unix

package relay

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/siaga-crp/siaga/internal/problem"
)

// lockFolder makes sure that no other relay uses the folder. The lock ends with
// the process.
func lockFolder(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening the relay's folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil { //nolint:gosec // a descriptor
		_ = f.Close() // not ours
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, problem.New(problem.Conflict, "another relay uses this folder", "stop it, or give each relay a folder of its own with --data")
		}
		return nil, fmt.Errorf("locking the relay's folder: %w", err)
	}
	return f, nil
}
