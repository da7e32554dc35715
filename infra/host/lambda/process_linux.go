package lambda

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel end the process when this one is killed.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
