package sqlite_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/problem"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
)

const fullDisk = "SIAGA_FULL_DISK"

// TestFullDisk fills a small file system of its own, mounted where no other
// process sees it. Where the system does not allow that, it is skipped with a
// notice, unless SIAGA_TEST_DISK is set.
func TestFullDisk(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), fullDisk+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || strings.Contains(string(out), "cannot mount") {
		if os.Getenv("SIAGA_TEST_DISK") != "" {
			t.Fatalf("no file system of our own can be mounted: %v %s", err, out)
		}
		t.Skipf("no file system of our own can be mounted here: %v %s", err, out)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}

func fullDiskChild() {
	dir := os.Getenv(fullDisk)
	if dir == "" {
		return
	}
	if err := syscall.Mount("none", dir, "tmpfs", 0, "size=6m"); err != nil {
		fmt.Println("cannot mount:", err)
		os.Exit(1)
	}
	if err := fillDisk(dir); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

func fillDisk(dir string) error {
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 1<<20), 0o600); err != nil {
		return err
	}
	db, err := sqlite.Create(background, filepath.Join(dir, "siaga.db"), sqlite.Options{})
	if err != nil {
		return err
	}
	l, err := journal.NewLog(journal.Options{Store: db, Origin: "x.example/log"})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	acked := make(map[int64]string)
	write := func(text string) error {
		var n int64
		err := l.Update(background, func(tx *journal.Tx) error {
			e, err := tx.Append(journal.New("a.b", access.Actor{}, time.UnixMilli(1), text+strings.Repeat("x", 1500)))
			n = e.Number
			return err
		})
		if err == nil {
			mu.Lock()
			defer mu.Unlock()
			acked[n] = text
		}
		return err
	}
	check := func(when string) error {
		r, err := l.Verify(background, journal.VerifyOptions{})
		if err != nil {
			return fmt.Errorf("%s: %w", when, err)
		}
		if !r.OK() || r.Size != int64(len(acked)) {
			return fmt.Errorf("%s: %d acknowledged, %d stored, faults %v", when, len(acked), r.Size, r.Faults)
		}
		return db.View(background, func(tx journal.StoreReader) error {
			for n, text := range acked {
				row, err := tx.Row(n)
				if err != nil || !strings.Contains(string(row.Payload), `"`+text+"xxx") {
					return fmt.Errorf("%s: entry %d is not what was acknowledged: %w", when, n, err)
				}
			}
			return nil
		})
	}
	for round := range 3 {
		var wg sync.WaitGroup
		failures := make(chan error, 4)
		for w := range 4 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for i := 0; ; i++ {
					if err := write(fmt.Sprintf("%d.%d.%d.", round, w, i)); err != nil {
						failures <- err
						return
					}
				}
			}()
		}
		wg.Wait()
		close(failures)
		for err := range failures {
			if problem.KindOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "is full; nothing was stored; free space") {
				return fmt.Errorf("full disk: got %w", err)
			}
		}
		if err := check("while full"); err != nil {
			return err
		}
		if round == 2 {
			break
		}
		// Space is freed; nothing else happens.
		if err := os.Truncate(ballast, int64(1-round)<<19); err != nil {
			return err
		}
		freed := time.Now()
		for err := write("after"); err != nil; err = write("after") {
			if time.Since(freed) > 5*time.Second {
				return fmt.Errorf("no recovery after %s: %w", time.Since(freed), err)
			}
		}
		fmt.Printf("full at %d entries, writing again %s after space was freed\n", len(acked), time.Since(freed).Round(time.Microsecond))
	}
	if err := db.Close(); err != nil {
		return err
	}
	if db, err = sqlite.Open(background, filepath.Join(dir, "siaga.db"), sqlite.Options{}); err != nil {
		return fmt.Errorf("opening on a full disk: %w", err)
	}
	defer db.Close()
	if l, err = journal.NewLog(journal.Options{Store: db, Origin: "x.example/log"}); err != nil {
		return err
	}
	return check("opened again")
}
