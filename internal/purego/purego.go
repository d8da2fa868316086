// Package purego stands in for github.com/ebitengine/purego, which the HEIC
// and AVIF decoders import to load a system's libheif or libavif at start.
//
// We never want that: those libraries would run unconfined, and importing the
// original alone links every program against the C library even without cgo,
// so that binaries are no longer static and the runtime can no longer confine
// all threads (syscall.AllThreadsSyscall). Here every library is missing, and
// the decoders use their WebAssembly, as their build tag "nodynamic" would
// make them. A build tag cannot be set in source; a replace directive can.
package purego

import "errors"

// Modes of Dlopen, with the values of Linux; they mean nothing here.
const (
	RTLD_LAZY   = 0x1
	RTLD_NOW    = 0x2
	RTLD_LOCAL  = 0x0
	RTLD_GLOBAL = 0x100
)

// ErrDisabled is returned by Dlopen, always.
var ErrDisabled = errors.New("purego: loading libraries is disabled in this build")

// Dlopen refuses to open a library.
func Dlopen(string, int) (uintptr, error) { return 0, ErrDisabled }

// RegisterLibFunc panics: nothing reaches it without a library.
func RegisterLibFunc(any, uintptr, string) { panic(ErrDisabled) }
