package sqlite_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/siaga-crp/siaga/internal/access"
	"github.com/siaga-crp/siaga/internal/journal"
	"github.com/siaga-crp/siaga/internal/store/sqlite"
)

const powerEnv = "SIAGA_POWER_CHILD" // "path writes"

// powerChild writes entries one after the other and says "ack N" for each, in
// one system call, when the store has acknowledged it.
func powerChild() {
	path, n, ok := strings.Cut(os.Getenv(powerEnv), " ")
	if !ok {
		return
	}
	err := func() error {
		writes, err := strconv.Atoi(n)
		if err != nil {
			return err
		}
		db, err := sqlite.Open(background, path, sqlite.Options{})
		if err != nil {
			return err
		}
		l, err := journal.NewLog(journal.Options{Store: db, Origin: "power.example/log"})
		if err != nil {
			return err
		}
		for i := range writes {
			if err := l.Update(background, func(tx *journal.Tx) error {
				_, err := tx.Append(journal.New("power.said", access.Actor{Partner: "p"}, time.UnixMilli(1), strings.Repeat("x", 300), journal.Ref{Kind: "power", ID: strconv.Itoa(i)}))
				return err
			}); err != nil {
				return err
			}
			if _, err := fmt.Printf("ack %d\n", i); err != nil {
				return err
			}
		}
		return nil // without Close: the power goes
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// call is one system call that changes what is on disk, or acknowledges.
type call struct {
	file string // base name
	kind string // "write", "sync", "size", "ack"
	at   int64
	data []byte
	ack  int
	from int // of a sync: the calls before this one are covered by it
}

var (
	callLine   = regexp.MustCompile(`^(\d+)\s+(\w+)\((\d+)(?:<((?:[^>\\]|\\.)*)>)?(.*)$`)
	resumeLine = regexp.MustCompile(`^(\d+)\s+<\.\.\. (\w+) resumed>`)
	writeArgs  = regexp.MustCompile(`^, "((?:\\x[0-9a-f]{2})*)", (\d+)(?:, (\d+))?`)
)

func unescape(s string) []byte {
	b := make([]byte, 0, len(s)/4)
	for i := 0; i+4 <= len(s); i += 4 {
		n, err := strconv.ParseUint(s[i+2:i+4], 16, 8)
		if err != nil {
			return nil
		}
		b = append(b, byte(n))
	}
	return b
}

// trace runs the child under strace and returns its calls in order.
func trace(t *testing.T, path string, writes int) []call {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "trace")
	c := exec.CommandContext(t.Context(), "strace", "-f", "-y", "-xx", "-s", "70000", "-e", "trace=pwrite64,write,fdatasync,fsync,ftruncate", "-o", out, exe)
	c.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", powerEnv, path, writes))
	if msg, err := c.CombinedOutput(); err != nil && !strings.Contains(string(msg), "ack") {
		t.Fatalf("strace: %v: %.500s", err, msg)
	}
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var calls []call
	syncs := map[string]call{} // by thread: begun, not ended
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		line := in.Text()
		if m := resumeLine.FindStringSubmatch(line); m != nil {
			if s, ok := syncs[m[1]]; ok && strings.HasSuffix(line, "= 0") {
				calls = append(calls, s)
				delete(syncs, m[1])
			}
			continue
		}
		m := callLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		file := filepath.Base(string(unescapeName(m[4])))
		ended := !strings.Contains(line, "<unfinished ...>")
		switch m[2] {
		case "fsync", "fdatasync":
			s := call{file: file, kind: "sync", from: len(calls)}
			if ended {
				calls = append(calls, s)
			} else {
				syncs[m[1]] = s
			}
		case "ftruncate":
			n, err := strconv.ParseInt(strings.TrimLeft(regexp.MustCompile(`^, (\d+)`).FindString(m[5]), ", "), 10, 64)
			if err == nil {
				calls = append(calls, call{file: file, kind: "size", at: n})
			}
		case "pwrite64", "write":
			a := writeArgs.FindStringSubmatch(m[5])
			if a == nil {
				continue
			}
			data := unescape(a[1])
			if m[2] == "write" {
				var n int
				if _, err := fmt.Sscanf(string(data), "ack %d\n", &n); err == nil && m[3] == "1" {
					calls = append(calls, call{kind: "ack", ack: n})
				}
				continue
			}
			at, err := strconv.ParseInt(a[3], 10, 64)
			if err != nil || strconv.Itoa(len(data)) != a[2] {
				t.Fatalf("a line of strace cannot be read: %.200s", line)
			}
			calls = append(calls, call{file: file, kind: "write", at: at, data: data})
		}
	}
	if err := in.Err(); err != nil {
		t.Fatal(err)
	}
	return calls
}

func unescapeName(s string) []byte {
	if strings.HasPrefix(s, `\x`) {
		return unescape(s)
	}
	return []byte(s)
}

// image is what is in the files.
type image map[string][]byte

func (im image) apply(c call, upTo int) {
	f := im[c.file]
	switch c.kind {
	case "write":
		data := c.data[:min(upTo, len(c.data))]
		if need := int(c.at) + len(data); need > len(f) {
			f = append(f, make([]byte, need-len(f))...)
		}
		copy(f[c.at:], data)
	case "size":
		if int(c.at) < len(f) {
			f = f[:c.at]
		} else {
			f = append(f, make([]byte, int(c.at)-len(f))...)
		}
	}
	im[c.file] = f
}

func (im image) clone() image {
	out := image{}
	for name, b := range im {
		out[name] = append([]byte(nil), b...)
	}
	return out
}

// TestPowerLoss records every write, sync and acknowledgement of a process with
// strace. No acknowledgement may be sent while a write before it is not synced;
// and at random moments the power goes: what was not synced is kept, dropped or
// torn at a sector, in any combination, and everything that was acknowledged
// must be there.
func TestPowerLoss(t *testing.T) {
	if os.Getenv("SIAGA_TEST_DISK") == "" {
		t.Skip("needs strace: set SIAGA_TEST_DISK=1 (make test does)")
	}
	writes, points := 120, 40
	if s := os.Getenv("SIAGA_FAULTS"); s != "" {
		var err error
		if points, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
		writes = 500
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "power.db")
	if err := create(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	before := image{}
	for _, name := range []string{"power.db", "power.db-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		before[name] = b
	}
	begun := time.Now()
	calls := trace(t, path, writes)

	// Order: an acknowledgement comes after the sync of all that was written.
	early, acks := 0, 0
	dirty := map[string]int{} // file: the last write that is not synced
	for i, c := range calls {
		switch c.kind {
		case "write", "size":
			if strings.HasSuffix(c.file, "-wal") {
				dirty[c.file] = i
			}
		case "sync":
			if at, ok := dirty[c.file]; ok && at < c.from {
				delete(dirty, c.file)
			}
		case "ack":
			acks++
			if len(dirty) > 0 {
				early++
			}
		}
	}
	if acks != writes || early > 0 {
		t.Errorf("%d acknowledgements for %d writes, %d of them before the sync of their bytes", acks, writes, early)
	}

	rnd := rand.New(rand.NewPCG(7, 2026))
	lost, torn := 0, 0
	for range points {
		end := rnd.IntN(len(calls) + 1)
		durable, maybe, acked := before.clone(), []call(nil), -1
		for i, c := range calls[:end] {
			switch c.kind {
			case "write", "size":
				c.from = i
				maybe = append(maybe, c)
			case "sync":
				rest := maybe[:0:0]
				for _, m := range maybe {
					if m.file == c.file && m.from < c.from {
						durable.apply(m, len(m.data))
					} else {
						rest = append(rest, m)
					}
				}
				maybe = rest
			case "ack":
				acked = c.ack
			}
		}
		for _, m := range maybe {
			switch rnd.IntN(3) {
			case 0: // dropped
			case 1:
				durable.apply(m, len(m.data))
			case 2:
				torn++
				durable.apply(m, rnd.IntN(len(m.data)/512+1)*512)
			}
		}
		at := filepath.Join(dir, "crash")
		if err := os.RemoveAll(at); err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(at, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, b := range durable {
			if len(b) > 0 {
				if err := os.WriteFile(filepath.Join(at, name), b, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
		db, err := sqlite.Open(background, filepath.Join(at, "power.db"), sqlite.Options{})
		if err != nil {
			t.Errorf("after a power loss at call %d of %d: %v", end, len(calls), err)
			lost++
			continue
		}
		l, err := journal.NewLog(journal.Options{Store: db, Origin: "power.example/log"})
		if err != nil {
			t.Fatal(err)
		}
		r, err := l.Verify(background, journal.VerifyOptions{})
		if err != nil || !r.OK() || r.Size < int64(acked+1) {
			lost++
			t.Errorf("after a power loss at call %d of %d: %d entries, %d acknowledged, faults %v, %v", end, len(calls), r.Size, acked+1, r.Faults, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
	if torn == 0 {
		t.Error("no write was torn: the test did not test")
	}
	fmt.Printf("fault=powerloss writes=%d early_acks=%d crash_points=%d torn=%d lost=%d took=%s\n", writes, early, points, torn, lost, time.Since(begun).Round(time.Millisecond))
}

// TestSlowAndFailingDisk lets every sync take 20 ms: writes get slower and
// nothing else; and lets one sync fail: what it covered is not acknowledged.
func TestSlowAndFailingDisk(t *testing.T) {
	if os.Getenv("SIAGA_TEST_DISK") == "" {
		t.Skip("needs strace: set SIAGA_TEST_DISK=1 (make test does)")
	}
	const writes = 40
	child := func(inject string) (acked int, took time.Duration, path string) {
		path = filepath.Join(t.TempDir(), "slow.db")
		if err := create(t, path).Close(); err != nil {
			t.Fatal(err)
		}
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		c := exec.CommandContext(t.Context(), "strace", "-f", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:"+inject, exe)
		c.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d", powerEnv, path, writes))
		begun := time.Now()
		out, _ := c.CombinedOutput() // the second child ends with an error, as it should
		return strings.Count(string(out), "ack "), time.Since(begun), path
	}
	acked, took, _ := child("delay_exit=20000")
	if acked != writes || took < writes*20*time.Millisecond {
		t.Errorf("slow: %d of %d acknowledged in %s", acked, writes, took)
	}
	failed, _, path := child("error=EIO:when=10")
	if failed == 0 || failed >= writes {
		t.Fatalf("failing: %d of %d acknowledged", failed, writes)
	}
	db, err := sqlite.Open(background, path, sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	l, err := journal.NewLog(journal.Options{Store: db, Origin: "power.example/log"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := l.Verify(background, journal.VerifyOptions{})
	if err != nil || !r.OK() || r.Size < int64(failed) {
		t.Errorf("after a failed sync: %d entries, %d acknowledged, %v, %v", r.Size, failed, r.Faults, err)
	}
	fmt.Printf("fault=slowdisk writes=%d acknowledged=%d took=%s after_failed_sync=%d lost=0\n", writes, acked, took.Round(time.Millisecond), failed)
}
