//go:build unix

package history

import (
	"os"
	"syscall"
)

// identity is the number of a file on its disk.
func identity(path string) (uint64, bool) {
	st, err := os.Stat(path)
	if err != nil {
		return 0, false
	}
	s, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return uint64(s.Ino), true //nolint:unconvert // its type differs by system
}
