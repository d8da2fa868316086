package media

import (
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// watch returns how often file was opened or read since.
func watch(t *testing.T, file string) func() int {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_NONBLOCK | unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if _, err := unix.InotifyAddWatch(fd, file, unix.IN_OPEN|unix.IN_ACCESS); err != nil {
		t.Fatal(err)
	}
	return func() int {
		total := 0
		for buf := make([]byte, 64<<10); ; {
			n, err := unix.Read(fd, buf)
			if errors.Is(err, unix.EAGAIN) {
				return total
			}
			if err != nil || n <= 0 {
				t.Fatalf("reading what was watched: %v", err)
			}
			total += n / unix.SizeofInotifyEvent
		}
	}
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}
