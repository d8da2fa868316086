//go:build unix

package pgtest

import (
	"os"
	"os/exec"
	"syscall"
)

// quit makes the server end at once, without a checkpoint.
var quit os.Signal = syscall.SIGQUIT

func (s *Server) runAs(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endWithParent(cmd.SysProcAttr)
	if s.user == nil {
		return
	}
	if uid, gid, err := s.ids(); err == nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
}
