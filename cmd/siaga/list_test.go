package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/internal/app"
)

// TestLongListIsRefused: a list that is read by half protects by half.
func TestLongListIsRefused(t *testing.T) {
	old := maxList
	t.Cleanup(func() { maxList = old })
	line := strings.Repeat("0123456789abcdef", 4) + "\n"
	name := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(name, []byte(strings.Repeat(line, 10)), 0o600); err != nil {
		t.Fatal(err)
	}
	maxList = int64(10 * len(line))
	if err := loadList(t.Context(), app.NewMatcher(), name); err != nil {
		t.Errorf("a list of the longest length: %v", err)
	}
	maxList--
	if err := loadList(t.Context(), app.NewMatcher(), name); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a longer list: %v", err)
	}
}
