package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/infra/tied"
	"keyvend/pkg/operator"
)

// localProcess is a running infra/local.
type localProcess struct {
	t    testing.TB
	dir  string
	cmd  *exec.Cmd
	out  *lines
	done <-chan struct{}   // closed when it has ended
	env  map[string]string // what it says in DIR/env
}

// patience bounds the wait for a process to start or end; a loaded machine is
// slow.
const patience = 90 * time.Second

// startLocal starts infra/local on a data folder and waits until it answers.
func startLocal(t testing.TB, dir string) *localProcess {
	t.Helper()
	p := &localProcess{t: t, dir: dir, out: &lines{}}
	p.cmd = exec.CommandContext(context.Background(), program(t, buildLocal), "-addr", "127.0.0.1:0", "-data", dir)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	var err error
	if p.done, err = tied.Start(p.cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	await(t, "infra/local answers", func() bool {
		select {
		case <-p.done:
			t.Fatalf("infra/local ended at once:\n%s", p.out.Bytes())
		default:
		}
		return bytes.Contains(p.out.Bytes(), []byte("keyvend is running"))
	})
	p.env = map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(string(file(t, filepath.Join(dir, "env")))), "\n") {
		name, value, _ := strings.Cut(line, "=")
		p.env[name] = value
	}
	return p
}

// kill ends the process with SIGKILL: nothing of it runs any more.
func (p *localProcess) kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.done
}

// interrupt ends the process as Ctrl-C does, and waits.
func (p *localProcess) interrupt() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Error("infra/local does not end on SIGINT")
		p.kill()
	}
}

func (p *localProcess) target() *target {
	return &target{
		url:     p.env["KEYVEND_URL"],
		operate: operatorAt(filepath.Join(p.dir, "operator.sock")),
		stored:  func(t testing.TB) [][]byte { return [][]byte{file(t, filepath.Join(p.dir, "keyvend.db"))} },
		written: func(t testing.TB) []byte {
			out := bytes.ReplaceAll(p.out.Bytes(), []byte(bannerSecret), nil)
			return append(out, file(t, filepath.Join(p.dir, "audit.log"))...)
		},
		fakes: overHTTP{p},
		stop:  sync.OnceFunc(p.interrupt),
	}
}

// bannerSecret is the example in what infra/local prints when it starts.
const bannerSecret = "sk-canary-0123456789"

// demo is the tenant that is there from the first start on.
func (p *localProcess) demo(t testing.TB) client {
	return client{t: t, target: p.target(), key: p.env["KEYVEND_API_KEY"]}
}

// operatorAt asks the keyvend behind a socket.
func operatorAt(socket string) func(context.Context, operator.Request) (operator.Response, error) {
	desk := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		},
	}}
	return func(ctx context.Context, request operator.Request) (response operator.Response, err error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://operator/", reader(request))
		if err != nil {
			return response, err
		}
		answer, err := desk.Do(r)
		if err != nil {
			return response, err
		}
		defer answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			var refused struct{ Message string }
			_ = json.NewDecoder(answer.Body).Decode(&refused)
			return response, fmt.Errorf("%d: %w", answer.StatusCode, errors.New(refused.Message))
		}
		return response, json.NewDecoder(answer.Body).Decode(&response)
	}
}

// await polls until a condition holds.
func await(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// TestAKilledProcessLosesNothingThatItAnswered kills infra/local with SIGKILL in
// the middle of many writers, and starts it again on the same folder.
func TestAKilledProcessLosesNothingThatItAnswered(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	first := startLocal(t, dir)
	shop := first.demo(t)
	shop.register("openai")
	w := newWriters(8, 125)
	w.run(shop, func(written int) {
		if written == 300 {
			first.kill()
		}
	})
	if n := len(w.kept()); n < 100 {
		t.Fatalf("only %d upserts were answered before the kill: this test sees nothing", n)
	}

	second := startLocal(t, dir)
	for _, name := range []string{"KEYVEND_API_KEY", "KEYVEND_DASHBOARD_KEY"} {
		if first.env[name] == "" || first.env[name] != second.env[name] {
			t.Errorf("%s was %q, and is %q after the next start", name, first.env[name], second.env[name])
		}
	}
	w.verify(second.demo(t))
	second.interrupt()
	noCanary(t, first.target())
	noCanary(t, second.target())
}

// shortDir is a temporary folder whose path leaves room for a socket's.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kv")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}
