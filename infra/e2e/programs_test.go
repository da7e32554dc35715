package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"keyvend/infra/host/stack"
	"keyvend/infra/testbed"
)

// root is the project's folder, seen from this one.
const root = "../.."

// built is the temporary folder of the programs that this run compiled, once
// one was; see TestMain.
var built string

// compiled makes that folder at its first call.
var compiled = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "keyvend-e2e-")
	built = dir
	return dir, err
})

var buildLocal = sync.OnceValues(func() (string, error) {
	dir, err := compiled()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "local"), testbed.Share("local", root, dir, func(dir string) error {
		build := exec.CommandContext(context.Background(), "go", "build", "-o", filepath.Join(dir, "local"), "./infra/local")
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build infra/local: %w\n%s", err, out)
		}
		return nil
	})
})

var buildFunctions = sync.OnceValues(func() (string, error) {
	dir, err := compiled()
	if err != nil {
		return "", err
	}
	return dir, testbed.Share("functions", root, dir, func(dir string) error { return stack.Build(context.Background(), root, dir) })
})

// program is what a build made.
func program(t testing.TB, build func() (string, error)) string {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
