//go:build !linux

package e2e

import "os/exec"

// runTied runs cmd to its end, whatever that is like, and says on started
// whether it began. Outside Linux a killed test run leaves it to be ended by
// hand.
func runTied(cmd *exec.Cmd, started chan<- error) error {
	err := cmd.Start()
	started <- err
	if err == nil {
		_ = cmd.Wait()
	}
	return err
}
