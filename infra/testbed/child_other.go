//go:build !linux

package testbed

import "os/exec"

// dieWithParent has no counterpart outside Linux: there a killed test run
// leaves its emulators to be stopped by hand.
func dieWithParent(*exec.Cmd) {}
