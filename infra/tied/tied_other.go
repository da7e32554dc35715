//go:build !linux

package tied

import "os/exec"

// dieWithParent has no counterpart here: a program that is killed leaves what
// it started.
func dieWithParent(*exec.Cmd) {}
