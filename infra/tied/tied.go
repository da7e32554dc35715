// Package tied runs programs that do not outlive this one, however it ends:
// where the kernel can be asked for that, and elsewhere as long as this one
// ends them.
package tied

import (
	"os/exec"
	"runtime"
)

// Start starts cmd. ended is closed when it has ended, however that came; it
// must not be waited for by other means.
func Start(cmd *exec.Cmd) (ended <-chan struct{}, err error) {
	dieWithParent(cmd)
	started, over := make(chan error), make(chan struct{})
	go func() {
		// The kernel's death signal follows the thread that started the program,
		// so that thread stays with this goroutine until the end.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(over)
		}
	}()
	return over, <-started
}
