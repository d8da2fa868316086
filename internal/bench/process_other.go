//go:build !linux

package bench

import "time"

// Other systems do not say.

func threadTime() time.Duration { return 0 }

func resident() int64 { return 0 }
