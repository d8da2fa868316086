//go:build !linux

package sqlite_test

func fullDiskChild() {}
