//go:build unix

package bench

import (
	"syscall"
	"time"
)

// cpuTime is the processor time of this process so far; below 0 where it is not
// known.
func cpuTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return -1
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
