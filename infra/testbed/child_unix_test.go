//go:build unix

package testbed

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// parentEnv makes this test binary a process with a child that would live for
// an hour.
const parentEnv = "KEYVEND_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentEnv) != "" {
		c, err := startChild(exec.Command("sleep", "3600"))
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(c.cmd.Process.Pid)
		select {}
	}
	Main(m)
}

func TestAKilledTestRunLeavesNoChild(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Log("only Linux tells children of their parent's death")
		return
	}
	Command(t, "sleep")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), parentEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, _ := bufio.NewReader(out).ReadString('\n')
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatalf("the parent said %q", line)
	}
	for deadline := time.Now().Add(10 * time.Second); !ended(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("child %d outlived its parent", pid)
		}
	}
}

// ended tells whether pid runs no more; nobody may be there to reap it.
func ended(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestAServerThatEndsAtOnceIsReportedWithWhatItSaid(t *testing.T) {
	Command(t, "sh")
	s := server{service: "broken", ping: "Service.Ping"}
	w := watch(t, func(tb testing.TB) {
		s.endpoint(tb, func(string) *exec.Cmd { return exec.Command("sh", "-c", "echo no licence; exit 3") })
	})
	if !strings.HasPrefix(w.ended, "fatal: ") || !strings.Contains(w.ended, "no licence") {
		t.Errorf("ended with %q", w.ended)
	}
}
