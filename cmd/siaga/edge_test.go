package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The path of a socket that is mistyped must not cost a file, and a second edge
// must not take the socket of the first.
func TestListenUnix(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "edge.sock")
	l, err := listenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeSocket|0o660 {
		t.Errorf("the socket has the mode %v, want rw for its user and group alone: %v", info.Mode(), err)
	}
	if _, err := listenUnix(path); err == nil || !strings.Contains(err.Error(), "another program answers") {
		t.Errorf("a socket that is answered: %v", err)
	}
	// A program that is killed leaves its socket behind.
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = listenUnix(path); err != nil {
		t.Fatalf("a socket that was left behind: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	file := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(file, []byte("kept"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenUnix(file); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file: %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "kept" {
		t.Errorf("the file is %q, %v", b, err)
	}
	if _, err := listenUnix(dir); err == nil {
		t.Error("a folder was taken")
	}
}
