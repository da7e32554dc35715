package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"keyvend/infra/tied"
	"keyvend/pkg/table/bolt"
)

// local is an infra/local of our own, in a temporary folder.
type local struct {
	dir   string
	cmd   *exec.Cmd
	ended <-chan struct{}
}

// buildLocal compiles infra/local.
func buildLocal(ctx context.Context) (*local, error) {
	dir, err := os.MkdirTemp("", "keyvend-load-")
	if err != nil {
		return nil, err
	}
	l := &local{dir: dir}
	// #nosec G204 -- compiling it is the purpose
	build := exec.CommandContext(ctx, "go", "build", "-o", l.program(), "keyvend/infra/local")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("build infra/local: %w\n%s", err, out), l.remove())
	}
	return l, nil
}

func (l *local) program() string { return filepath.Join(l.dir, "local") }
func (l *local) data() string    { return filepath.Join(l.dir, "data") }
func (l *local) log() string     { return filepath.Join(l.dir, "log") }

// patience bounds the wait for a process to start or end; a loaded machine is
// slow.
const patience = time.Minute

// start starts the process and waits until it answers.
func (l *local) start(ctx context.Context) (*client, error) {
	env := filepath.Join(l.data(), "env")
	if err := os.Remove(env); err != nil && !errors.Is(err, fs.ErrNotExist) { // that of a killed process
		return nil, err
	}
	log, err := os.OpenFile(l.log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close() //nolint:errcheck // the process has it
	// #nosec G204 -- it was compiled a moment ago
	l.cmd = exec.CommandContext(context.Background(), l.program(), "-addr", "127.0.0.1:0", "-data", l.data())
	l.cmd.Stdout, l.cmd.Stderr = log, log
	if l.ended, err = tied.Start(l.cmd); err != nil {
		return nil, err
	}
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if _, err := os.Stat(env); err == nil {
			return clientOf(env)
		}
		select {
		case <-l.ended:
			return nil, fmt.Errorf("infra/local ended at once:\n%s", l.said())
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(5 * time.Millisecond):
		}
	}
	return nil, fmt.Errorf("infra/local does not answer:\n%s", l.said())
}

// said is the end of what the process wrote.
func (l *local) said() []byte {
	text, _ := os.ReadFile(l.log()) // nothing is better than another error
	return text[max(0, len(text)-2000):]
}

// kill ends the process with SIGKILL: nothing of it runs any more.
func (l *local) kill() {
	_ = l.cmd.Process.Kill() // it may have ended already
	<-l.ended
}

// stop ends the process as Ctrl-C does.
func (l *local) stop() error {
	_ = l.cmd.Process.Signal(os.Interrupt) // it may have ended already
	select {
	case <-l.ended:
		return nil
	case <-time.After(patience):
		l.kill()
		return errors.New("infra/local did not end when it was told to, and was killed")
	}
}

// remove ends everything and leaves nothing.
func (l *local) remove() error {
	if l.ended != nil {
		l.kill()
	}
	return os.RemoveAll(l.dir)
}

// census is what lies in the data folder of accounts: rows, and entries of each
// index.
type census struct{ rows, list, ids int }

// accountLetter begins the partition keys of accounts, in the table as in the
// indexes.
const accountLetter = "U#"

// count counts; the process must have ended.
func (l *local) count() (census, error) {
	n, err := bolt.Count(filepath.Join(l.data(), "keyvend.db"), accountLetter)
	return census{rows: n[""], list: n["list"], ids: n["ids"]}, err
}
