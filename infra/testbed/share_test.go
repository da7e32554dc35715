package testbed

import (
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

func TestWhatIsSharedIsBuiltByOneAtATimeAndStaysAsItWasForWhoHasIt(t *testing.T) {
	t.Setenv("HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", "")
	root := t.TempDir()
	var inside, builds atomic.Int64
	build := func(dir string) error {
		if inside.Add(1) != 1 {
			t.Error("two build at once")
		}
		defer inside.Add(-1)
		program := filepath.Join(dir, "sub", "program")
		if err := os.MkdirAll(filepath.Dir(program), 0o700); err != nil {
			return err
		}
		if builds.Add(1) == 1 {
			return os.WriteFile(program, []byte("first"), 0o600)
		}
		return nil // what is there is up to date
	}
	outs := make([]string, 8)
	var wait sync.WaitGroup
	for i := range outs {
		outs[i] = t.TempDir()
		wait.Go(func() {
			if err := Share("programs", root, outs[i], build); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	anew := func(dir string) error {
		program := filepath.Join(dir, "sub", "program")
		if err := os.Remove(program); err != nil {
			return err
		}
		return os.WriteFile(program, []byte("second"), 0o600)
	}
	last := t.TempDir()
	if err := Share("programs", root, last, anew); err != nil {
		t.Fatal(err)
	}
	for want, dirs := range map[string][]string{"first": outs, "second": {last}} {
		for _, dir := range dirs {
			if got, err := os.ReadFile(filepath.Join(dir, "sub", "program")); err != nil || string(got) != want {
				t.Errorf("%q %v, want %q", got, err, want)
			}
		}
	}
	other := t.TempDir()
	if err := Share("programs", t.TempDir(), other, func(dir string) error {
		entries, err := os.ReadDir(dir)
		if len(entries) > 0 {
			t.Errorf("another checkout finds %v", entries)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
