package main

import (
	"bytes"
	"context"
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
var changing = regexp.MustCompile(`("(?:id|created_at|updated_at)":"(?:data_[a-z]+_)?)[^"]+"`)

// TestReadmeTourRunsAsPrinted runs every shell block of the README's tour, one
// after the other in one shell, and compares the answers with the printed ones.
func TestReadmeTourRunsAsPrinted(t *testing.T) {
	shell, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal("the tour needs bash and curl:", err)
	}
	work := t.TempDir()
	start(t, filepath.Join(work, ".keyvend"))
	commands, want := tour(t)

	run := exec.Command(shell, "-eu", "-o", "pipefail", "-c", commands)
	run.Dir = work
	var out, problems bytes.Buffer
	run.Stdout, run.Stderr = &out, &problems
	if err := run.Run(); err != nil {
		t.Fatalf("%v\n%s", err, problems.String())
	}
	got := changing.ReplaceAllString(out.String(), `$1…"`)
	if got = strings.ReplaceAll(got, "}{", "}\n{"); strings.TrimSpace(got) != want {
		t.Errorf("the README says\n%s\nkeyvend answered\n%s", want, got)
	}
}

// tour takes the tour's shell blocks and the answers printed behind them. What
// follows the last answer is not compared.
func tour(t *testing.T) (commands, answers string) {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## A tour with curl")
	section, _, _ = strings.Cut(section, "\n## ")
	section = section[:strings.LastIndex(section, "```json")] + lastAnswer(section)
	blocks := regexp.MustCompile("(?s)```(sh|json)\n(.*?)```").FindAllStringSubmatch(section, -1)
	var printed []string
	for _, block := range blocks {
		if block[1] == "sh" {
			commands += block[2]
		} else {
			printed = append(printed, changing.ReplaceAllString(strings.TrimSpace(block[2]), `$1…"`))
		}
	}
	if len(printed) != 5 {
		t.Fatalf("the tour prints %d answers", len(printed))
	}
	return commands, strings.Join(printed, "\n")
}

// lastAnswer is the last printed answer of a section, as a block.
func lastAnswer(section string) string {
	_, rest, _ := strings.Cut(section[strings.LastIndex(section, "```json"):], "\n")
	answer, _, _ := strings.Cut(rest, "```")
	return "```json\n" + answer + "```"
}
