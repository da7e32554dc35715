package testbed

import (
	"os/exec"
	"runtime"
)

// startChild starts cmd and tells of its end through the child's done channel.
func startChild(cmd *exec.Cmd) (*child, error) {
	c := &child{cmd: cmd, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &c.out, &c.out
	dieWithParent(cmd)
	started := make(chan error)
	go func() {
		// The kernel's death signal follows the thread that started the child,
		// so that thread stays with this goroutine until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(c.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return c, nil
}
