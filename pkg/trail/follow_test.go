package trail_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/audit"
	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/trail"
	"keyvend/pkg/vault"
)

// marks keeps the position, and fails to where a test says so.
type marks struct {
	at         audit.Position
	lose       bool // the next one is not kept
	unanswered bool // the next one is kept, and fails
}

var errMark = errors.New("the test's")

func (m *marks) AuditPosition(context.Context) (audit.Position, error) { return m.at, nil }

func (m *marks) SaveAuditPosition(_ context.Context, p *audit.Position) error {
	if m.lose {
		m.lose = false
		return errMark
	}
	if p.Revision != m.at.Revision {
		return errors.New("another has it")
	}
	p.Revision++
	m.at = *p
	if m.unanswered {
		m.unanswered = false
		return errMark
	}
	return nil
}

// journal is an audit file that is followed.
type journal struct {
	t     *testing.T
	path  string
	file  *os.File // of the process that writes it
	marks *marks
	pages *pages
	*trail.Follower
	n int
}

func newJournal(t *testing.T) *journal {
	j := &journal{t: t, path: filepath.Join(t.TempDir(), "audit.log"), marks: &marks{}, pages: &pages{}}
	j.start()
	return j
}

// start is a new process on the file at the path.
func (j *journal) start() {
	j.t.Helper()
	file, err := os.OpenFile(j.path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		j.t.Fatal(err)
	}
	j.t.Cleanup(func() { _ = file.Close() })
	j.file = file
	j.Follower = &trail.Follower{Ledger: j.pages, Positions: j.marks, File: file, Log: slog.New(slog.DiscardHandler)}
}

// line is the nth line of all.
func (j *journal) line(n int) string {
	at := time.Date(2026, 3, 1, 12, 0, n, 0, time.UTC)
	return string(boottest.Lines(j.t, audit.Line{At: at, User: fmt.Sprint("user ", n), Outcome: "vended"})[0])
}

// write appends n lines.
func (j *journal) write(n int) {
	j.t.Helper()
	for range n {
		j.n++
		j.raw(j.line(j.n) + "\n")
	}
}

func (j *journal) raw(text string) {
	j.t.Helper()
	if _, err := j.file.WriteString(text); err != nil {
		j.t.Fatal(err)
	}
}

// follow steps until nothing is left and returns how often that failed.
func (j *journal) follow() (failures int) {
	j.t.Helper()
	for range 100 {
		switch found, err := j.Step(j.t.Context()); {
		case err != nil:
			failures++
		case !found:
			return failures
		}
	}
	j.t.Fatal("it does not end")
	return 0
}

// expect fails unless the ledger was given these lines since it was last asked.
func (j *journal) expect(what string, from, to int) {
	j.t.Helper()
	var want []string
	for n := from; n <= to; n++ {
		want = append(want, j.line(n))
	}
	if !slices.Equal(j.pages.lines, want) {
		j.t.Errorf("%s: got %d lines, want %d to %d:\n%s", what, len(j.pages.lines), from, to, strings.Join(j.pages.lines, "\n"))
	}
	j.pages.lines = nil
}

func TestEachLineOfTheFileIsDeliveredOnce(t *testing.T) {
	j := newJournal(t)
	j.follow()
	j.expect("an empty file", 1, 0)
	j.write(3)
	j.follow()
	j.expect("what was there", 1, 3)
	j.write(2)
	j.follow()
	j.follow()
	j.expect("what was appended", 4, 5)
	half := j.line(6)
	j.raw(half[:20])
	j.follow()
	j.expect("half a line", 1, 0)
	j.raw(half[20:] + "\n")
	j.n++
	j.follow()
	j.expect("its other half", 6, 6)
}

// A process that dies may have handed over its last piece or not: the next one
// hands over the very same, which rows recognize, and goes on behind it.
func TestAfterARestartTheLastPieceComesAgainAsItWasAndThenWhatFollows(t *testing.T) {
	for name, die := range map[string]func(j *journal){
		"behind a piece":                func(j *journal) { j.follow() },
		"when a piece was noted":        func(j *journal) { j.pages.fail = errMark; _, _ = j.Step(t.Context()); j.pages.fail = nil },
		"when noting was not answered":  func(j *journal) { j.marks.unanswered = true; _, _ = j.Step(t.Context()) },
		"when a piece could be noted":   func(j *journal) { j.marks.lose = true; _, _ = j.Step(t.Context()) },
		"before anything was looked at": func(*journal) {},
	} {
		t.Run(name, func(t *testing.T) {
			j := newJournal(t)
			j.write(3)
			j.follow()
			j.expect("first", 1, 3)
			j.write(2)
			die(j)
			j.pages.lines = nil
			noted := j.marks.at
			j.write(2)
			j.start()
			if _, err := j.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
			if noted.From == 0 {
				j.expect("again", 1, 3)
				j.follow()
				j.expect("then", 4, 7)
				return
			}
			j.expect("again", 4, 5)
			j.follow()
			j.expect("then", 6, 7)
		})
	}
}

func TestAPieceIsDeliveredUntilTheLedgerHasItThoughTheFileGrows(t *testing.T) {
	j := newJournal(t)
	j.write(2)
	j.pages.fail = errMark
	for range 3 {
		if _, err := j.Step(t.Context()); !errors.Is(err, errMark) {
			t.Fatal(err)
		}
		j.write(1)
	}
	j.pages.fail = nil
	if _, err := j.Step(t.Context()); err != nil {
		t.Fatal(err)
	}
	j.expect("the piece", 1, 2)
	j.follow()
	j.expect("the rest", 3, 5)
}

func TestAPositionThatIsNotKeptOrNotAnsweredLosesAndRepeatsNothing(t *testing.T) {
	j := newJournal(t)
	j.write(2)
	j.marks.lose = true
	if failures := j.follow(); failures != 1 {
		t.Errorf("%d failures", failures)
	}
	j.expect("not kept", 1, 2)
	j.write(2)
	j.marks.unanswered = true
	if failures := j.follow(); failures != 1 {
		t.Errorf("%d failures", failures)
	}
	j.expect("not answered", 3, 4)
}

func TestAFileThatWasCutOrReplacedIsReadFromItsStart(t *testing.T) {
	for name, change := range map[string]func(j *journal){
		"cut":                        func(j *journal) { _ = j.file.Truncate(0); j.write(2) },
		"cut and longer than it was": func(j *journal) { _ = j.file.Truncate(0); j.write(9) },
		"moved away while it ran":    func(j *journal) { _ = os.Rename(j.path, j.path+".1"); j.write(2) },
		"removed while it ran":       func(j *journal) { _ = os.Remove(j.path); j.write(2) },
		"moved away between two runs": func(j *journal) {
			_ = os.Rename(j.path, j.path+".1")
			j.start()
			j.write(2)
		},
		"moved away between two runs, longer": func(j *journal) {
			_ = os.Rename(j.path, j.path+".1")
			j.start()
			j.write(9)
		},
	} {
		t.Run(name, func(t *testing.T) {
			j := newJournal(t)
			j.write(5)
			j.follow()
			j.expect("before", 1, 5)
			change(j)
			j.follow()
			j.expect("after", 6, j.n)
			j.write(3)
			j.follow()
			j.expect("and on", j.n-2, j.n)
		})
	}
}

func TestLinesThatAreKeptInAnotherFileAreNotCountedAgain(t *testing.T) {
	j := newJournal(t)
	j.write(5)
	j.follow()
	j.expect("before", 1, 5)
	text, err := os.ReadFile(j.path)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(text), j.line(3))
	if err := os.WriteFile(j.path+".new", text[at:], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(j.path+".new", j.path); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		j.start()
		j.write(1)
		j.follow()
		if first := slices.Index(j.pages.lines, j.line(j.n)); first < 0 || slices.ContainsFunc(j.pages.lines, func(l string) bool { return l == j.line(3) || l == j.line(5) }) {
			t.Errorf("%s", strings.Join(j.pages.lines, "\n"))
		}
		j.pages.lines = nil
	}
}

func TestWhatIsNoLineIsPassedOnToBeSkippedHoweverLong(t *testing.T) {
	j := newJournal(t)
	j.write(1)
	j.raw("nonsense\n\n" + strings.Repeat("x", 600<<10) + "\n")
	j.write(1)
	j.follow()
	var ours []string
	for _, line := range j.pages.lines {
		if _, ok := audit.Parse([]byte(line)); ok {
			ours = append(ours, line)
		}
	}
	if !slices.Equal(ours, []string{j.line(1), j.line(2)}) {
		t.Errorf("%d lines, ours %v", len(j.pages.lines), ours)
	}
}

func TestManyLinesAreSeveralPiecesAndStillOnce(t *testing.T) {
	j := newJournal(t)
	j.write(3000)
	steps := 0
	for {
		found, err := j.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !found {
			break
		}
		steps++
	}
	if steps < 2 {
		t.Errorf("%d pieces", steps)
	}
	j.expect("all", 1, 3000)
}

// once tells when it was given a line.
type once chan struct{}

func (o once) Enter(_ context.Context, lines [][]byte) (vault.Entered, error) {
	if len(lines) > 0 {
		close(o)
	}
	return vault.Entered{}, nil
}

func TestFollowingSeesWhatIsAppendedAndEndsWithItsContext(t *testing.T) {
	j := newJournal(t)
	seen := make(once)
	j.Ledger = seen
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); j.Follow(ctx) }()
	j.write(1)
	<-seen
	stop()
	<-ended
}
