package media

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"github.com/landlock-lsm/go-landlock/landlock"
	lsys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// Confinement says in one line what this system offers to confine decoders,
// for "siaga version" and the log of a start. What a worker really got is
// Pool.Confinement.
func Confinement() string {
	abi, err := lsys.LandlockGetABIVersion()
	if err != nil {
		abi = 0
	}
	return confinementText(abi, seccomp.Supported())
}

func confinementText(abi int, filter bool) string {
	var have, lack []string
	switch {
	case abi >= 4:
		have = append(have, fmt.Sprintf("landlock %d", abi))
	case abi >= 1:
		have = append(have, fmt.Sprintf("landlock %d (files only)", abi))
	default:
		lack = append(lack, "landlock (decoders could open files that this user may read)")
	}
	if filter {
		have = append(have, "seccomp")
	} else {
		lack = append(lack, "seccomp (decoders could open connections)")
	}
	s := "media decoders are confined by " + strings.Join(append(have, "rlimits"), ", ")
	if len(lack) > 0 {
		s += "; this kernel lacks " + strings.Join(lack, " and ") + ": use Linux 6.7 or later with both, or a container that allows them"
	}
	return s
}

// limit is one rlimit, set both soft and hard unless hard is given.
type limit struct {
	resource   int
	soft, hard uint64
}

func setLimits(limits ...limit) error {
	for _, l := range limits {
		if l.hard == 0 {
			l.hard = l.soft
		}
		// A hard limit that is lower already stays.
		var now unix.Rlimit
		if err := unix.Getrlimit(l.resource, &now); err != nil {
			return fmt.Errorf("media: rlimit %d: %w", l.resource, err)
		}
		l.hard = min(l.hard, now.Max)
		if err := unix.Setrlimit(l.resource, &unix.Rlimit{Cur: min(l.soft, l.hard), Max: l.hard}); err != nil {
			return fmt.Errorf("media: rlimit %d: %w", l.resource, err)
		}
	}
	return nil
}

// confineWorker takes from this process all it does not need and says what it
// could. An error means that something present did not work.
//
// There is no RLIMIT_NPROC, which counts all processes of the user and so
// cannot hold one worker; seccomp lets no process start.
func confineWorker(kind int) (string, error) {
	limits := []limit{
		{resource: unix.RLIMIT_CORE},
		{resource: unix.RLIMIT_FSIZE},
		{resource: unix.RLIMIT_NOFILE, soft: 32},
		{resource: unix.RLIMIT_CPU, soft: 600},
		{resource: unix.RLIMIT_MEMLOCK},
	}
	if !raceEnabled { // the race detector maps terabytes
		limits = append(limits, limit{unix.RLIMIT_DATA, softMemory - workerCode, hardMemory - workerCode})
	}
	if err := setLimits(limits...); err != nil {
		return "", err
	}
	abi, err := closeFiles()
	if err != nil {
		return "", err
	}
	// Last, as the filter forbids what the above needs.
	filter := seccomp.Supported()
	if filter {
		if err := seccomp.LoadFilter(workerFilter(kind)); err != nil {
			return "", fmt.Errorf("media: seccomp: %w", err)
		}
	}
	return confinementText(abi, filter), nil
}

// closeFiles takes all files and TCP from this process by landlock, whose
// version it returns, 0 where the kernel has none. The filter forbids them too:
// each holds without the other.
func closeFiles() (abi int, err error) {
	if abi, err = lsys.LandlockGetABIVersion(); err != nil || abi <= 0 {
		return 0, nil //nolint:nilerr // a kernel without it, which the report says
	}
	if err := landlock.V10.BestEffort().Restrict(); err != nil {
		return 0, fmt.Errorf("media: landlock: %w", err)
	}
	return abi, nil
}

// raiseMemory lets this worker have hardMemory.
func raiseMemory() {
	if !raceEnabled {
		// If it fails, the decoder meets the lower limit, which costs this file.
		_ = unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: hardMemory - workerCode, Max: hardMemory - workerCode})
	}
}

// workerCalls is all that the Go runtime and decoding need: memory, threads,
// time, and reading and writing what is open. What is not listed fails with
// EPERM: files, sockets, processes, and everything added to later kernels.
var workerCalls = []string{
	"read", "pread64", "readv", "write", "writev", "close", "recvmsg", "lseek", "fstat", "fcntl",
	"munmap", "mremap", "madvise", "mincore", "brk",
	"futex", "sched_yield", "sched_getaffinity", "set_robust_list", "rseq", "gettid", "getpid", "tgkill", "membarrier",
	"nanosleep", "clock_nanosleep", "clock_gettime", "clock_getres", "gettimeofday", "time",
	"rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall",
	"epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_wait", "eventfd2", "pipe2", "poll", "ppoll",
	"timer_create", "timer_settime", "timer_delete", "setitimer", "getitimer",
	"getrandom", "getrlimit", "getrusage", "uname",
	"exit", "exit_group", "set_tid_address", "arch_prctl", "prctl",
}

// ffmpegCalls is what ffmpeg and the loader of its libraries need besides:
// files (which landlock narrows to a list) and its own start.
var ffmpegCalls = []string{
	"open", "openat", "stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat", "getcwd", "getdents64",
	"fstatfs", "statfs", "fadvise64", "pwrite64", "dup", "dup2", "dup3", "ioctl", "select", "pselect6",
	"mlock", "munlock", // libgcrypt warns without
	"execve", "getppid", "getuid", "geteuid", "getgid", "getegid", "getpgrp", "sysinfo", "times",
	"sched_getparam", "sched_getscheduler", "sched_setaffinity", "get_mempolicy", "mbind", "set_mempolicy",
}

// Bits of arguments that filters look at.
const (
	cloneThread = unix.CLONE_THREAD
	protExec    = unix.PROT_EXEC
)

// workerFilter is the seccomp filter of a worker.
func workerFilter(kind int) seccomp.Filter {
	noExec := seccomp.ArgumentConditions{{Argument: 2, Operation: seccomp.BitsNotSet, Value: protExec}}
	if kind == wasmWorker {
		noExec = nil // the compiler of WebAssembly makes its code executable
	}
	return filter(workerCalls, noExec)
}

// ffmpegFilter is the seccomp filter under which ffmpeg is started.
func ffmpegFilter() seccomp.Filter {
	return filter(append(append([]string(nil), workerCalls...), ffmpegCalls...), nil)
}

// filter allows the calls, threads but no processes, and memory under mapping's
// conditions; all else fails with EPERM.
func filter(calls []string, mapping seccomp.ArgumentConditions) seccomp.Filter {
	allow := seccomp.SyscallGroup{Action: seccomp.ActionAllow}
	info, err := arch.GetInfo("")
	known := func(name string) bool {
		if err != nil {
			return false
		}
		_, ok := info.SyscallNames[name]
		return ok
	}
	for _, name := range calls {
		if known(name) {
			allow.Names = append(allow.Names, name)
		}
	}
	for _, name := range []string{"mmap", "mmap2", "mprotect"} {
		switch {
		case !known(name):
		case mapping == nil:
			allow.Names = append(allow.Names, name)
		default:
			allow.NamesWithCondtions = append(allow.NamesWithCondtions, seccomp.NameWithConditions{Name: name, Conditions: mapping})
		}
	}
	allow.NamesWithCondtions = append(allow.NamesWithCondtions, seccomp.NameWithConditions{
		Name:       "clone",
		Conditions: seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.BitsSet, Value: cloneThread}},
	})
	// Limits may be read. Memory's may be raised, to its hard limit; root could
	// raise the hard limits of others, too.
	for name, conditions := range map[string]seccomp.ArgumentConditions{
		"setrlimit": {{Argument: 0, Operation: seccomp.Equal, Value: unix.RLIMIT_DATA}},
		"prlimit64": {{Argument: 1, Operation: seccomp.Equal, Value: unix.RLIMIT_DATA}},
	} {
		if known(name) {
			allow.NamesWithCondtions = append(allow.NamesWithCondtions, seccomp.NameWithConditions{Name: name, Conditions: conditions})
		}
	}
	allow.NamesWithCondtions = append(allow.NamesWithCondtions, seccomp.NameWithConditions{
		Name:       "prlimit64",
		Conditions: seccomp.ArgumentConditions{{Argument: 2, Operation: seccomp.Equal, Value: 0}},
	})
	groups := []seccomp.SyscallGroup{allow}
	if known("clone3") {
		// Its flags are in memory, where a filter cannot look. ENOSYS makes the C
		// library fall back to clone.
		groups = append(groups, seccomp.SyscallGroup{Names: []string{"clone3"}, Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS)})
	}
	return seccomp.Filter{
		NoNewPrivs: true,
		Flag:       seccomp.FilterFlagTSync,
		Policy:     seccomp.Policy{DefaultAction: seccomp.ActionErrno, Syscalls: groups},
	}
}

// ffmpegRules are what ffmpeg may read: itself and its libraries, and the input.
func ffmpegRules(c ffmpegStage) []landlock.Rule {
	rules := []landlock.Rule{landlock.ROFiles(c.Files...).IgnoreIfMissing()}
	if len(c.Folders) > 0 {
		rules = append(rules, landlock.RODirs(c.Folders...).IgnoreIfMissing())
	}
	if !c.Anonymous {
		// A file in memory belongs to no file system and needs no rule.
		rules = append(rules, landlock.PathAccess(lsys.AccessFSReadFile, inputPath))
	}
	return rules
}

// confineFFmpeg confines this process for ffmpeg, which it is about to become.
func confineFFmpeg(c ffmpegStage) error {
	if err := setLimits(
		limit{resource: unix.RLIMIT_CORE},
		limit{resource: unix.RLIMIT_FSIZE},
		limit{resource: unix.RLIMIT_NOFILE, soft: 64},
		limit{resource: unix.RLIMIT_MEMLOCK, soft: 64 << 10},
		limit{resource: unix.RLIMIT_CPU, soft: uint64(c.CPUSeconds)},
	); err != nil {
		return err
	}
	if abi, err := lsys.LandlockGetABIVersion(); err == nil && abi > 0 {
		if err := landlock.V10.BestEffort().Restrict(ffmpegRules(c)...); err != nil {
			return fmt.Errorf("media: landlock: %w", err)
		}
	}
	if seccomp.Supported() {
		if err := seccomp.LoadFilter(ffmpegFilter()); err != nil {
			return fmt.Errorf("media: seccomp: %w", err)
		}
	}
	// Not earlier: the Go runtime reserves more address space than this.
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &unix.Rlimit{Cur: c.Memory, Max: c.Memory}); err != nil && !errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("media: rlimit of memory: %w", err)
	}
	return nil
}
