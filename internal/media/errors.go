package media

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// What cannot be read at all. An Error wraps one of these.
var (
	ErrNotFound   = errors.New("media: no such file")
	ErrNotRegular = errors.New("media: not a regular file")
	ErrLoop       = errors.New("media: symbolic links in a circle")
	ErrPermission = errors.New("media: not permitted to read")
	ErrTooLarge   = errors.New("media: over the limit of bytes")
	ErrEmpty      = errors.New("media: empty file")
	ErrChanged    = errors.New("media: changed while it was read")
	ErrRead       = errors.New("media: reading failed")
	ErrNoWorker   = errors.New("media: the worker does not start")
	ErrClosed     = errors.New("media: the pool is closed")
)

// Error says in one line each what is wrong with a file and what to do about
// it. Its text names the file as its caller did, quoted.
type Error struct {
	Err  error  // one of the sentinels of this package, or a context's error
	What string // what is wrong
	Fix  string // what to do
}

// Error returns What.
func (e *Error) Error() string { return e.What }

// Unwrap returns the sentinel.
func (e *Error) Unwrap() error { return e.Err }

// problem makes an Error.
func problem(err error, fix, format string, args ...any) error {
	return &Error{Err: err, What: fmt.Sprintf(format, args...), Fix: fix}
}

// openProblem explains why name could not be opened.
func openProblem(name string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return problem(ErrNotFound, "check the name and the folder", "there is no file %q", name)
	case errors.Is(err, syscall.ELOOP):
		return problem(ErrLoop, "name the file itself", "%q is a symbolic link that leads back to itself", name)
	case errors.Is(err, fs.ErrPermission):
		return problem(ErrPermission, "let this user read the file, or run as its owner", "reading %q is not permitted", name)
	case errors.Is(err, syscall.ENAMETOOLONG):
		return problem(ErrNotFound, "use a shorter path", "the name of %.40q… is too long for this system", name)
	case errors.Is(err, syscall.EINVAL) && strings.ContainsRune(name, 0):
		return problem(ErrNotFound, "remove the NUL byte from the name", "the name %q has a NUL byte", name)
	}
	return problem(ErrRead, "see whether the disk or the share is well", "%q cannot be opened: %v", name, cause(err))
}

// cause strips the path that os errors repeat.
func cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}

// Open opens a regular file for reading, following symbolic links, and refuses
// everything else (a folder, FIFO, socket or device) with an Error, without
// waiting for anything and without an effect on what it refuses.
func Open(name string) (*os.File, error) {
	// Asked first, as opening some devices has effects; asked again on the open
	// file, as the name may have been exchanged in between.
	if info, err := os.Stat(name); err != nil {
		return nil, openProblem(name, err)
	} else if err := regular(name, info); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, openProblem(name, err)
	}
	info, err := f.Stat()
	if err == nil {
		err = regular(name, info)
	} else {
		err = openProblem(name, err)
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	return f, nil
}

// regular returns an Error unless info is a regular file.
func regular(name string, info fs.FileInfo) error {
	kind, fix := "", "name a file"
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		kind, fix = "a folder", "name the files in it"
	case mode&fs.ModeNamedPipe != 0:
		kind, fix = "a pipe (FIFO)", "name a file, or send the bytes to standard input with -"
	case mode&fs.ModeSocket != 0:
		kind = "a socket"
	case mode&fs.ModeDevice != 0:
		kind = "a device"
	default:
		kind = "not a file with content"
	}
	return problem(ErrNotRegular, fix, "%q is %s", name, kind)
}

// tooLarge is the Error for more bytes than allowed.
func tooLarge(name string, bytes, limit int64) error {
	fix := "take the part that matters, such as some minutes of a video; the whole file can only be named by its SHA-256, which sha256sum prints"
	if bytes < 0 {
		return problem(ErrTooLarge, fix, "%q has more than the limit of %s", name, size(limit))
	}
	return problem(ErrTooLarge, fix, "%q has %s, more than the limit of %s", name, size(bytes), size(limit))
}

// size writes a number of bytes for people.
func size(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%d GB", n>>30)
	case n >= 1<<20:
		return fmt.Sprintf("%d MB", n>>20)
	case n >= 1<<10:
		return fmt.Sprintf("%d KB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// contextProblem explains that the caller gave up.
func contextProblem(ctx context.Context, name string) error {
	return problem(ctx.Err(), "try again, or allow more time", "%q was not finished: the request ended first", name)
}
