package media

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// readOnly returns f, or a second opening of the same file if f could be
// written to, as a worker must not be able to change what it is given.
func readOnly(f *os.File) (*os.File, func(), error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, nil, err
	}
	flags, path := 0, ""
	if cerr := raw.Control(func(fd uintptr) {
		flags, err = unix.FcntlInt(fd, unix.F_GETFL, 0)
		path = fmt.Sprintf("/proc/self/fd/%d", fd)
		if err == nil && flags&unix.O_ACCMODE != unix.O_RDONLY {
			f, err = os.OpenFile(path, os.O_RDONLY|openFlags, 0)
		}
	}); cerr != nil {
		return nil, nil, cerr
	}
	if err != nil {
		return nil, nil, err
	}
	if flags&unix.O_ACCMODE == unix.O_RDONLY {
		return f, func() {}, nil
	}
	return f, func() { _ = f.Close() }, nil
}

// memoryFile keeps b in a sealed file that has no name and is in memory only.
func memoryFile(b []byte) (*os.File, func(), error) {
	fd, err := unix.MemfdCreate("siaga-input", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate("siaga-input", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, nil, err
	}
	f := os.NewFile(uintptr(fd), "input")
	done := func() { _ = f.Close() }
	if _, err = f.Write(b); err == nil {
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE|unix.F_SEAL_SEAL)
	}
	if err != nil {
		done()
		return nil, nil, err
	}
	return f, done, nil
}

// namelessFile copies r into a file of the temporary folder that never has a
// name, so that nothing is left behind however the program ends.
func namelessFile(r io.Reader) (*os.File, func(), error) {
	var f *os.File
	var done func()
	fd, err := unix.Open(os.TempDir(), unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		f = os.NewFile(uintptr(fd), "input")
		done = func() { _ = f.Close() }
		_, err = io.Copy(f, r)
	} else { // the file system has no O_TMPFILE
		f, done, err = temporary(r)
	}
	if err != nil {
		if f != nil {
			done()
		}
		return nil, nil, err
	}
	defer done()
	return reopen(f)
}

// reopen returns f opened again for reading only.
func reopen(f *os.File) (*os.File, func(), error) {
	ro, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, nil, err
	}
	return ro, func() { _ = ro.Close() }, nil
}
