//go:build !amd64 || purego

package pdq

func (h *Hasher) convertRow(int) (r, g, b []uint8) { return nil, nil, nil }

func portable(f func()) { f() }
