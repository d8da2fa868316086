package keys_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/siaga-crp/siaga/internal/keys"
	"github.com/siaga-crp/siaga/internal/problem"
)

var files = []string{"node.key", "journal.key", "feed.key", "data.key"}

func made(t *testing.T) (string, *keys.Set) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "keys")
	set, err := keys.Make(dir, "test.example/journal")
	if err != nil {
		t.Fatal(err)
	}
	return dir, set
}

func TestMakeAndLoad(t *testing.T) {
	dir, set := made(t)
	again, err := keys.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(set.Node, again.Node) || !bytes.Equal(set.Feed, again.Feed) || set.VKey != again.VKey || again.Origin != "test.example/journal" {
		t.Error("what was loaded is not what was made")
	}
	if bytes.Equal(set.Node, set.Feed) {
		t.Error("two keys are one")
	}
	for _, f := range files {
		st, err := os.Stat(filepath.Join(dir, f))
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s has the mode %v, %v", f, st.Mode(), err)
		}
	}
	_, err = keys.Make(dir, "other.example/journal")
	if problem.KindOf(err) != problem.Conflict {
		t.Errorf("making keys again: %v", err)
	}
	if again, err = keys.Load(dir); err != nil || !bytes.Equal(set.Node, again.Node) {
		t.Error("a refused Make changed keys")
	}
}

// TestMissing: a key that is gone is never made anew, by Load or by Make.
func TestMissing(t *testing.T) {
	for _, f := range append([]string{"journal.pub"}, files...) {
		t.Run(f, func(t *testing.T) {
			dir, _ := made(t)
			path := filepath.Join(dir, f)
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			_, err := keys.Load(dir)
			if problem.KindOf(err) != problem.NotFound && problem.KindOf(err) != problem.Invalid {
				t.Errorf("loading: %v", err)
			}
			if err == nil || !strings.Contains(err.Error(), f) || !strings.Contains(err.Error(), "backup") {
				t.Errorf("loading says %v, want the file and what to do", err)
			}
			if _, err := keys.Make(dir, "test.example/journal"); problem.KindOf(err) != problem.Conflict {
				t.Errorf("making: %v", err)
			}
			if _, err := os.Stat(path); err == nil {
				t.Error("it was made silently")
			}
		})
	}
	if _, err := keys.Load(filepath.Join(t.TempDir(), "nothing")); problem.KindOf(err) != problem.NotFound || !strings.Contains(err.Error(), "siaga init") {
		t.Errorf("a folder that there is not: %v", err)
	}
}

// TestWiderRights: keys that others can read are refused.
func TestWiderRights(t *testing.T) {
	for _, f := range files {
		for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o644, 0o610} {
			dir, _ := made(t)
			path := filepath.Join(dir, f)
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			_, err := keys.Load(dir)
			if problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), "chmod 600 "+path) {
				t.Errorf("%s with %o: %v", f, mode, err)
			}
			if err := os.Chmod(path, 0o400); err != nil {
				t.Fatal(err)
			}
			if _, err := keys.Load(dir); err != nil {
				t.Errorf("%s with 400: %v", f, err)
			}
		}
	}
}

func TestDamaged(t *testing.T) {
	for _, f := range append([]string{"journal.pub"}, files...) {
		for name, text := range map[string]string{"empty": "", "no key": "hello", "cut short": "ab", "binary": "\x00\xff"} {
			dir, _ := made(t)
			if err := os.WriteFile(filepath.Join(dir, f), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := keys.Load(dir)
			if problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), f) {
				t.Errorf("%s, %s: %v", f, name, err)
			}
		}
	}
	dir, _ := made(t)
	other, _ := made(t)
	b, err := os.ReadFile(filepath.Join(other, "journal.pub"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "journal.pub"), b, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Load(dir); err == nil || !strings.Contains(err.Error(), "another key's") {
		t.Errorf("another journal's public key: %v", err)
	}
	if err := os.Symlink(filepath.Join(other, "data.key"), filepath.Join(dir, "data.key.new")); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "data.key.new"), filepath.Join(dir, "data.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Load(dir); err == nil {
		t.Error("a link was followed")
	}
}

func TestSeal(t *testing.T) {
	_, set := made(t)
	_, other := made(t)
	secret := []byte("a seed")
	sealed := set.Seal(secret, "totp m1")
	if bytes.Contains(sealed, secret) || bytes.Equal(sealed, set.Seal(secret, "totp m1")) {
		t.Error("sealing hides nothing, or is the same each time")
	}
	if got, err := set.Open(sealed, "totp m1"); err != nil || !bytes.Equal(got, secret) {
		t.Errorf("opened %q, %v", got, err)
	}
	if _, err := set.Open(sealed, "totp m2"); err == nil {
		t.Error("it opens at another place")
	}
	if _, err := other.Open(sealed, "totp m1"); err == nil {
		t.Error("another node opens it")
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 1
		if _, err := set.Open(bad, "totp m1"); err == nil {
			t.Fatalf("with byte %d changed it opens", i)
		}
	}
	for n := range sealed {
		if _, err := set.Open(sealed[:n], "totp m1"); err == nil {
			t.Fatalf("cut to %d bytes it opens", n)
		}
	}
}
