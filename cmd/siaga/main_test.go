package main

import (
	"database/sql"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/siaga-crp/siaga/internal/media"
)

func TestMain(m *testing.M) {
	if media.IsWorker() {
		media.WorkerMain()
		return
	}
	testscript.Main(m, map[string]func(){"siaga": main})
}

// TestScripts runs the command line as a person does; see testdata/script.
func TestScripts(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(e *testscript.Env) error {
			photo := filepath.Join(root, "internal", "demo", "photos", "bridge.jpg")
			b, err := os.ReadFile(photo)
			if err != nil {
				return err
			}
			e.Setenv("TURNED", filepath.Join(root, "internal", "media", "testdata", "pictures", "exif.jpg")) // by its EXIF orientation
			e.Setenv("PHOTO", photo)
			e.Setenv("OTHER", filepath.Join(root, "internal", "demo", "photos", "benign", "wine-by-jakkub-mede.jpg"))
			for name, content := range map[string]string{
				"broken.jpg": string(b[:500]), // its header alone
				"noise.jpg":  "\x01\x02\x03\xff\x00 noise", "noise.bin": "\x01\x02\x03\xff\x00 noise",
				"archive.zip": "PK\x05\x06" + strings.Repeat("\x00", 18),
			} {
				if err := os.WriteFile(filepath.Join(e.WorkDir, name), []byte(content), 0o600); err != nil {
					return err
				}
			}
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"code": code, "busy": busy, "sql": execSQL, "plain": plain,
		},
	})
}

// code runs "code N COMMAND ARG…" and wants that exit code.
func code(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v: %v", args[1:], err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("%v: exit code %d, want %d", args[1:], got, want)
	}
}

// busy listens on a free port and puts its address into a variable.
func busy(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
	ts.Setenv(args[0], l.Addr().String())
}

// plain makes a plain list of the PDQ hashes that siaga hash printed.
func plain(ts *testscript.TestScript, _ bool, args []string) {
	var list strings.Builder
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "pdq" {
			list.WriteString(f[1] + "\n")
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(list.String()), 0o600))
}

// execSQL changes a node's database behind its back: "sql FILE STATEMENT".
func execSQL(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", ts.MkAbs(args[0]))
	ts.Check(err)
	defer func() { _ = db.Close() }()
	r, err := db.Exec(args[1])
	ts.Check(err)
	if n, err := r.RowsAffected(); err != nil || n == 0 {
		ts.Fatalf("%s changed %d rows, %v", args[1], n, err)
	}
}

// TestHelp wants of every command what a person needs to use it.
func TestHelp(t *testing.T) {
	seen := 0
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		seen++
		if c.Short == "" || !strings.Contains(c.Example, "siaga ") {
			t.Errorf("%s: its help lacks a line of what it does, or an example", c.CommandPath())
		}
		var out strings.Builder
		args := append(strings.Fields(c.CommandPath())[1:], "--help")
		if got := run(args, strings.NewReader(""), &out, os.Stderr); got != exitDone || !strings.Contains(out.String(), strings.Split(c.Example, "\n")[0]) {
			t.Errorf("siaga %s: exit code %d, or without its example", strings.Join(args, " "), got)
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(rootCommand())
	if seen < 20 {
		t.Errorf("%d commands were seen", seen)
	}
}
