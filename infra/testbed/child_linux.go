package testbed

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel end the child when this process is killed, so
// that an aborted test run leaves no emulator behind.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
