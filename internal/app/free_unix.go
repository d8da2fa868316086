//go:build unix

package app

import "golang.org/x/sys/unix"

// freeBytes is the space left for this process where the folder is.
func freeBytes(folder string) (uint64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(folder, &s); err != nil {
		return 0, err
	}
	return s.Bavail * uint64(s.Bsize), nil //nolint:gosec,unconvert // sizes are positive; the types differ by system
}
