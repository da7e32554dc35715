//go:build unix

package lambda

import "syscall"

// Freeze stops the process where it stands, as Lambda does between events.
func (e *Environment) Freeze() error { return e.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw lets a frozen process go on.
func (e *Environment) Thaw() error { return e.cmd.Process.Signal(syscall.SIGCONT) }
