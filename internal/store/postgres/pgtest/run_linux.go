package pgtest

import "syscall"

// endWithParent ends the server when the tests are killed.
func endWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGQUIT }
