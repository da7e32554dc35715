package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// start runs keyvend with a data folder until the test ends, and returns what
// ends it before.
func start(t *testing.T, dir string) (stop func()) {
	t.Helper()
	return startWith(t, options{dir: dir})
}

func startWith(t *testing.T, o options) (stop func()) {
	t.Helper()
	o.addr, o.log = "127.0.0.1:0", slog.New(slog.DiscardHandler)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, o, io.Discard) }()
	deadline := time.Now().Add(10 * time.Second)
	for !fileExists(filepath.Join(o.dir, "env")) {
		select {
		case err := <-ended:
			t.Fatalf("keyvend ended: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatal("no env file after 10 s")
		}
	}
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("keyvend ended with %v", err)
		}
		ended <- nil
	}
	t.Cleanup(stop)
	return stop
}

func fileExists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// changing are the parts of an answer that differ from run to run.
var changing = regexp.MustCompile(`("(?:id|created_at|updated_at|since)":"(?:data_[a-z]+_)?)[^"]+"`)

// TestReadmeTourRunsAsPrinted runs every shell block of the README's tour but the
// operator's, one after the other, and compares the answers with the printed ones.
func TestReadmeTourRunsAsPrinted(t *testing.T) {
	shell, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal("the tour needs bash and curl:", err)
	}
	work := t.TempDir()
	start(t, filepath.Join(work, ".keyvend"))
	first, blocks := tour(t)
	for _, b := range blocks {
		ask := func() string { return runIn(t, shell, work, first+b.commands) }
		got := ask()
		for end := time.Now().Add(20 * time.Second); got != b.answer && b.reads() && time.Now().Before(end); got = ask() {
			time.Sleep(20 * time.Millisecond) // events come a moment later
		}
		if got != b.answer {
			t.Errorf("%s\nthe README says\n%s\nkeyvend answered\n%s", b.commands, b.answer, got)
		}
	}
}

// TestReadmeNamesTheNodeSDKThatIsTested: an older one, which npm takes on an older
// Node.js, has no API keys.
func TestReadmeNamesTheNodeSDKThatIsTested(t *testing.T) {
	var lock struct {
		Packages map[string]struct {
			Version string
			Engines map[string]string
		}
	}
	if err := json.Unmarshal([]byte(get(t, "../e2e/node/package-lock.json")), &lock); err != nil {
		t.Fatal(err)
	}
	sdk := lock.Packages["node_modules/@workos-inc/node"]
	readme := get(t, "../../README.md")
	for _, said := range []string{"`@workos-inc/node` " + sdk.Version, "Node.js " + strings.TrimSuffix(strings.TrimPrefix(sdk.Engines["node"], ">="), ".0") + " or newer"} {
		if !strings.Contains(readme, said) {
			t.Errorf("the README does not say %q", said)
		}
	}
}

// runIn runs commands in a folder, and returns what they say with what changes
// from run to run left out.
func runIn(t *testing.T, shell, work, commands string) string {
	t.Helper()
	run := exec.CommandContext(t.Context(), shell, "-eu", "-c", commands)
	run.Dir = work
	var out, problems bytes.Buffer
	run.Stdout, run.Stderr = &out, &problems
	if err := run.Run(); err != nil && problems.Len() > 0 {
		t.Fatalf("%s\n%v\n%s", commands, err, problems.String())
	}
	return strings.TrimSpace(changing.ReplaceAllString(out.String(), `$1…"`))
}

// A snippet is commands and the answer behind them, "" when none is printed.
type snippet struct{ commands, answer string }

// reads reports whether the block changes nothing, so that it may be run again.
func (s snippet) reads() bool {
	return !strings.Contains(s.commands, " -X ") && !strings.Contains(s.commands, " -d ")
}

// tour takes the tour's shell blocks with the answers printed behind them. The
// first one makes the environment of all.
func tour(t *testing.T) (first string, blocks []snippet) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## A tour with curl")
	section, _, _ = strings.Cut(section, "\n## ")
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```\n(?:```json\n(.*?)```)?").FindAllStringSubmatch(section, -1) {
		if !strings.Contains(block[1], "./infra/operator") { // its own tests run those
			blocks = append(blocks, snippet{block[1], changing.ReplaceAllString(strings.TrimSpace(block[2]), `$1…"`)})
		}
	}
	if len(blocks) != 10 {
		t.Fatalf("the tour has %d blocks", len(blocks))
	}
	return blocks[0].commands, blocks[1:]
}
