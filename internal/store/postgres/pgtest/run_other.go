//go:build !unix

package pgtest

import (
	"os"
	"os/exec"
)

var quit = os.Kill

func (s *Server) runAs(*exec.Cmd) {}
