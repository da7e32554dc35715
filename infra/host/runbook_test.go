package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const runbook = "RUNBOOK.md"

// page is the runbook, or another file at the root.
func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestEveryAlarmHasItsHeadingInTheRunbookAndTheOtherWayRound(t *testing.T) {
	_, rest, _ := strings.Cut(page(t, runbook), "\n## Alarms\n")
	chapter, _, ended := strings.Cut(rest, "\n## ")
	var headings []string
	for _, m := range regexp.MustCompile(`(?m)^### (.*)$`).FindAllStringSubmatch(chapter, -1) {
		headings = append(headings, m[1])
	}
	slices.Sort(headings)
	if alarms := load(t).Named("AWS::CloudWatch::Alarm"); !ended || !slices.Equal(headings, alarms) {
		t.Errorf("headings %v\nalarms   %v", headings, alarms)
	}
}

func TestWhoSeesAnAlarmOrTheReadmeIsLedToTheRunbook(t *testing.T) {
	template := load(t)
	for _, id := range template.Named("AWS::CloudWatch::Alarm") {
		p, err := template.Properties(id, values(nil))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(fmt.Sprint(p["AlarmDescription"]), " ("+runbook+")") {
			t.Errorf("%s: %v", id, p["AlarmDescription"])
		}
	}
	if !strings.Contains(page(t, "README.md"), "]("+runbook+")") {
		t.Error("the README does not name it")
	}
}

func TestLinksInsideTheRunbookLeadToItsHeadings(t *testing.T) {
	text := page(t, runbook)
	anchors := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		anchors[strings.ReplaceAll(strings.ToLower(m[1]), " ", "-")] = true
	}
	for _, m := range regexp.MustCompile(`\]\(#([^)]*)\)`).FindAllStringSubmatch(text, -1) {
		if !anchors[m[1]] {
			t.Errorf("no heading is called %s", m[1])
		}
	}
}

// What LogAlarm tells of is in the log line: the runbook says what each word means.
func TestTheRunbookKnowsEveryAlarmThatTheCodeLogs(t *testing.T) {
	text, logged := page(t, runbook), map[string]bool{"integrity": true, "internal_error": true} // those that are no literals everywhere
	literal := regexp.MustCompile(`"alarm", "([a-z_]+)"`)
	err := fs.WalkDir(os.DirFS(filepath.Join(root, "pkg")), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, m := range literal.FindAllStringSubmatch(page(t, filepath.Join("pkg", path)), -1) {
			logged[m[1]] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for alarm := range logged {
		if !strings.Contains(text, "`"+alarm+"`") {
			t.Errorf("nothing about %s", alarm)
		}
	}
	if len(logged) < 7 {
		t.Errorf("only %v were found: this test sees nothing", logged)
	}
}
