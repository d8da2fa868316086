//go:build !amd64 || purego

package pdq

// lanes is empty where there is no vector code.
type lanes struct{}

func (h *Hasher) openLanes() {}

func (h *Hasher) sumLanes(int, *[side + 1]int64) bool { return false }
