package e2e

import (
	"os/exec"
	"runtime"
	"syscall"
)

// runTied runs cmd to its end, whatever that is like, and says on started
// whether it began. The kernel ends it when this process is killed, so that an
// aborted test run leaves nothing behind.
func runTied(cmd *exec.Cmd, started chan<- error) error {
	// The kernel's death signal follows the thread that started the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := cmd.Start()
	started <- err
	if err == nil {
		_ = cmd.Wait()
	}
	return err
}
