// Package pgtest runs a PostgreSQL server for tests: a cluster of its own in a
// temporary folder, reached over a Unix socket, stopped when the tests end.
//
// A package that uses it has
//
//	func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
//
// Tests that need it are skipped with a notice unless SIAGA_TEST_POSTGRES is
// set; then they fail if no server can be started. The server's programs are
// looked for in PATH and where Debian, Red Hat and macOS put them. The server
// refuses to run as root; then it runs as the user postgres or nobody.
package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Env is the variable that makes the tests required.
const Env = "SIAGA_TEST_POSTGRES"

var (
	shared struct {
		sync.Mutex
		server *Server
		err    error
	}
	databases atomic.Int64
)

// Main runs the tests and stops the server that they started. It returns the
// exit code.
func Main(m *testing.M) int {
	code := m.Run()
	shared.Lock()
	defer shared.Unlock()
	if shared.server != nil {
		shared.server.Stop()
	}
	return code
}

// Database makes an empty database on a server that all tests of the process
// share, and returns its URL. It skips the test where none is wanted.
func Database(tb testing.TB) string {
	tb.Helper()
	require(tb)
	shared.Lock()
	if shared.server == nil && shared.err == nil {
		shared.server, shared.err = Start()
	}
	s, err := shared.server, shared.err
	shared.Unlock()
	if err != nil {
		tb.Fatalf("starting PostgreSQL: %v", err)
	}
	return s.Database(tb)
}

// Own starts a server for one test alone, which the test may kill.
func Own(tb testing.TB) *Server {
	tb.Helper()
	require(tb)
	s, err := Start()
	if err != nil {
		tb.Fatalf("starting PostgreSQL: %v", err)
	}
	tb.Cleanup(s.Stop)
	return s
}

func require(tb testing.TB) {
	tb.Helper()
	if os.Getenv(Env) == "" {
		tb.Skip("needs PostgreSQL: set " + Env + "=1 (make test does)")
	}
}

// Server is a running server.
type Server struct {
	dir  string // of the cluster and its socket
	bin  string // folder of the programs
	user *user.User

	mu  sync.Mutex
	cmd *exec.Cmd
	out *bytes.Buffer
}

// Start makes a cluster and starts its server.
func Start() (s *Server, err error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	// The socket's path may have about 100 characters, so it is not below the
	// test's own folder.
	dir, err := os.MkdirTemp("", "siaga-pg-")
	if err != nil {
		return nil, err
	}
	s = &Server{dir: dir, bin: bin}
	defer func() {
		if err != nil {
			s.Stop()
		}
	}()
	if os.Getuid() == 0 {
		if s.user, err = unprivileged(); err != nil {
			return s, err
		}
		uid, gid, err := s.ids()
		if err != nil {
			return s, err
		}
		if err := os.Chown(dir, uid, gid); err != nil {
			return s, err
		}
	}
	initdb, out := s.command("initdb", "-D", filepath.Join(dir, "data"), "-U", "siaga", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	if err := initdb.Run(); err != nil {
		return s, fmt.Errorf("initdb: %w: %s", err, out)
	}
	return s, s.Run()
}

func programs() (string, error) {
	if p, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(p), nil
	}
	var found []string
	for _, pattern := range []string{"/usr/lib/postgresql/*/bin/postgres", "/usr/pgsql-*/bin/postgres", "/opt/homebrew/opt/postgresql*/bin/postgres", "/usr/local/opt/postgresql*/bin/postgres"} {
		list, err := filepath.Glob(pattern)
		if err != nil {
			return "", err
		}
		found = append(found, list...)
	}
	if len(found) == 0 {
		return "", errors.New("no PostgreSQL server is installed; install it (Debian: apt-get install postgresql)")
	}
	return filepath.Dir(slices.Max(found)), nil
}

func unprivileged() (*user.User, error) {
	for _, name := range []string{"postgres", "nobody"} {
		if u, err := user.Lookup(name); err == nil {
			return u, nil
		}
	}
	return nil, errors.New("the server refuses to run as root, and there is no user postgres or nobody")
}

func (s *Server) ids() (uid, gid int, err error) {
	if uid, err = strconv.Atoi(s.user.Uid); err != nil {
		return 0, 0, err
	}
	gid, err = strconv.Atoi(s.user.Gid)
	return uid, gid, err
}

// command prepares one of the server's programs.
func (s *Server) command(name string, args ...string) (*exec.Cmd, *bytes.Buffer) {
	cmd := exec.Command(filepath.Join(s.bin, name), args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	s.runAs(cmd)
	return cmd, out
}

// Run starts the server after Kill, and returns when it answers.
func (s *Server) Run() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	deadline := time.Now().Add(60 * time.Second)
	var last error
	for time.Now().Before(deadline) {
		// After a kill, its other processes may take a moment to end.
		cmd, out := s.command("postgres", "-D", filepath.Join(s.dir, "data"), "-k", s.dir, "-c", "listen_addresses=",
			"-c", "max_connections=200", "-c", "shared_buffers=32MB", "-c", "log_min_messages=fatal")
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("starting the server: %w", err)
		}
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		for time.Now().Before(deadline) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			var c *pgx.Conn
			c, last = pgx.Connect(ctx, s.url("postgres"))
			if last == nil {
				_ = c.Close(ctx) // it answered, that is all
			}
			cancel()
			if last == nil {
				s.cmd, s.out = cmd, out
				return nil
			}
			select {
			case err := <-ended:
				last = fmt.Errorf("the server ended: %w: %s", err, out)
			case <-time.After(20 * time.Millisecond):
				continue
			}
			break
		}
	}
	return last
}

func (s *Server) url(database string) string {
	return fmt.Sprintf("host=%s user=siaga dbname=%s", s.dir, database)
}

// Database makes an empty database and returns its URL.
func (s *Server) Database(tb testing.TB) string {
	tb.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close(ctx)
	name := fmt.Sprintf("t%d", databases.Add(1))
	if _, err := c.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		tb.Fatal(err)
	}
	return s.url(name)
}

// Kill ends the server with SIGKILL, as a crash would. Run starts it again.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return errors.New("the server does not run")
	}
	err := s.cmd.Process.Kill()
	s.cmd = nil
	return err
}

// Stop ends the server and removes its files.
func (s *Server) Stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd != nil {
		_ = s.cmd.Process.Signal(quit) // it ends at once; what remains is removed below
		s.cmd = nil
	}
	deadline := time.Now().Add(10 * time.Second)
	for os.RemoveAll(s.dir) != nil && time.Now().Before(deadline) {
		time.Sleep(10 * time.Millisecond)
	}
}
