//go:build unix

package lambda

import (
	"syscall"
	"time"
)

// Freeze stops the process where it stands, as Lambda does between events. It
// returns when no thread of it runs any more.
func (e *Environment) Freeze() error {
	if err := e.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for e.alive() && !stopped(e.PID()) {
		time.Sleep(time.Millisecond)
	}
	return nil
}

// Thaw lets a frozen process go on.
func (e *Environment) Thaw() error { return e.cmd.Process.Signal(syscall.SIGCONT) }
