package samlocal

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"keyvend/infra/testbed"
)

func TestEveryFunctionAsSAMBuildsItTakesItsPayload(t *testing.T) {
	if runtime.GOOS != "linux" {
		testbed.Missing(t, "the runtime interface emulator runs on Linux only")
	}
	for _, program := range []string{"bash", "java", "jq", "curl"} {
		testbed.Command(t, program)
	}
	for _, tool := range []string{"sam/bin/sam", "moto/bin/moto_server", "dynamodb-local/lib"} {
		testbed.Tool(t, tool)
	}
	dependOnSources(t, filepath.Join("..", ".."))

	run := exec.CommandContext(t.Context(), "./run.sh", "-emulator")
	run.Cancel = func() error { return run.Process.Signal(syscall.SIGTERM) } // so that it ends what it started
	run.WaitDelay = time.Minute
	output, err := run.CombinedOutput()
	t.Logf("%s", output)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(output), "PASS (emulator)\n") {
		t.Fatal("it ended well, but not with PASS")
	}
}

// dependOnSources looks at all that the script builds from: the go command
// takes a test's result from its cache unless a file that the test itself looked
// at has changed.
func dependOnSources(t *testing.T, root string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && path != root && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}
		_, err = os.Stat(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
