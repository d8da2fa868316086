//go:build !unix

package relay

import "os"

// lockFolder opens the file; this system has no locks that end with a process.
func lockFolder(path string) (*os.File, error) {
	return os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
}
