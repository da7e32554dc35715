package vault

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"keyvend/pkg/audit"
	"keyvend/pkg/ident"
	"keyvend/pkg/usage"
)

// LedgerStore keeps usage rows. What is not there, or cannot be read, comes as a
// row of nothing, so that counting goes on. Saving is a compare-and-swap on what
// was read: ErrChanged.
type LedgerStore interface {
	// AccountUsage reads both rows of an account in one round trip.
	AccountUsage(ctx context.Context, tenant, accountID string) (*usage.Used, *usage.Reads, error)
	SaveUsed(ctx context.Context, u *usage.Used) error
	SaveReads(ctx context.Context, r *usage.Reads) error
	// UsageHour reads one shard of an integration's counts of one hour.
	UsageHour(ctx context.Context, tenant, integrationID string, start time.Time, shard int) (*usage.Hour, error)
	SaveHour(ctx context.Context, h *usage.Hour) error
}

// Ledger counts audit lines: when an account's key was last vended, who read it
// lately, what was asked of an integration hour by hour. Lines may come more than
// once and some of them may be counted already: each row knows what it has.
type Ledger struct {
	Store LedgerStore
	Clock ident.Clock
	Log   *slog.Logger
}

// Entered says what became of lines.
type Entered struct {
	Entered int `json:"entered"` // now or before
	Skipped int `json:"skipped"` // none of ours
}

const (
	// UsageLasts is how long counts are kept.
	UsageLasts = 90 * 24 * time.Hour
	// ahead is how far the clock of whoever wrote a line may be ahead of ours.
	ahead = time.Hour
	// entering is how many rows are written at the same time.
	entering = 16
)

// Enter counts the lines of one delivery. After an error the same lines have to
// be entered again, all of them and no others: rows that have them are left as
// they are.
func (l *Ledger) Enter(ctx context.Context, lines [][]byte) (Entered, error) {
	s := sheet{accounts: map[accountRow][]usage.Entry{}, hours: map[hourRow][]usage.Entry{}, seen: map[string]bool{}}
	var done Entered
	for _, text := range lines {
		line, ok := l.own(text)
		if !ok {
			done.Skipped++
			continue
		}
		done.Entered++
		s.add(line)
	}
	if done.Skipped > 0 {
		l.Log.WarnContext(ctx, "lines were skipped that are no audit lines", "skipped", done.Skipped, "entered", done.Entered)
	}
	return done, l.write(ctx, s)
}

// own reads a line. Rows are named by its ids, so each has to be one that keyvend
// gave out; what callers chose, such as the user's id, is not looked at.
func (l *Ledger) own(text []byte) (audit.Line, bool) {
	line, ok := audit.Parse(text)
	if !ok {
		return line, false
	}
	for _, id := range []struct{ prefix, value string }{
		{ident.TenantPrefix, line.Tenant}, {ident.APIKeyPrefix, line.APIKey}, {ident.RequestPrefix, line.RequestID},
	} {
		if _, ok := ident.Parse(id.prefix, id.value); !ok {
			return line, false
		}
	}
	for _, id := range []struct{ prefix, value string }{ // "" is none
		{ident.IntegrationPrefix, line.IntegrationID}, {ident.AccountPrefix, line.AccountID},
	} {
		if _, ok := ident.Parse(id.prefix, id.value); !ok && id.value != "" {
			return line, false
		}
	}
	line.At = line.At.UTC().Truncate(time.Millisecond)
	return line, line.Outcome != ""
}

type accountRow struct{ tenant, id string }

type hourRow struct {
	tenant, integration string
	start               int64 // seconds since 1970
}

// sheet is one delivery, sorted by what it counts for.
type sheet struct {
	accounts map[accountRow][]usage.Entry
	hours    map[hourRow][]usage.Entry
	seen     map[string]bool // request ids
}

// add takes in a line; a request is counted once, however often its line comes.
func (s sheet) add(line audit.Line) {
	if s.seen[line.RequestID] {
		return
	}
	s.seen[line.RequestID] = true
	e := usage.Entry{RequestID: line.RequestID, APIKey: line.APIKey, At: line.At, Vended: line.Outcome == outcomeVended}
	if line.IntegrationID != "" {
		row := hourRow{line.Tenant, line.IntegrationID, line.At.Truncate(time.Hour).Unix()}
		s.hours[row] = append(s.hours[row], e)
	}
	if line.AccountID != "" && e.Vended {
		row := accountRow{line.Tenant, line.AccountID}
		s.accounts[row] = append(s.accounts[row], e)
	}
}

// write counts a sheet, row by row, some at the same time. A row that fails does
// not keep the others from theirs.
func (l *Ledger) write(ctx context.Context, s sheet) error {
	rows := make(chan func() error)
	failed := make(chan error, len(s.accounts)+len(s.hours))
	var workers sync.WaitGroup
	for range min(entering, cap(failed)) {
		workers.Go(func() {
			for row := range rows {
				if err := insist(ctx, row); err != nil {
					failed <- err
				}
			}
		})
	}
	for row, entries := range s.accounts {
		if p := usage.NewPart(entries); l.kept(p) {
			rows <- func() error { return l.enterAccount(ctx, row, p) }
		}
	}
	for row, entries := range s.hours {
		if p := usage.NewPart(entries); l.kept(p) {
			rows <- func() error { return l.enterHour(ctx, row, p) }
		}
	}
	close(rows)
	workers.Wait()
	close(failed)
	if err, any := <-failed; any {
		return fmt.Errorf("vault: %d of %d usage rows were not written, one of them: %w", len(failed)+1, cap(failed), err)
	}
	return nil
}

// kept tells whether p is of a time that is counted. It decides about the whole
// part: a repeat, by then a little older, must not be another part.
func (l *Ledger) kept(p usage.Part) bool {
	age := l.Clock.Now().Sub(p.Last())
	return -ahead < age && age < UsageLasts
}

func (l *Ledger) enterAccount(ctx context.Context, row accountRow, p usage.Part) error {
	used, reads, err := l.Store.AccountUsage(ctx, row.tenant, row.id)
	if err != nil {
		return err
	}
	if used.Note(p.Last()) {
		if err := l.Store.SaveUsed(ctx, used); err != nil {
			return err
		}
	}
	if !reads.Add(p, l.Clock.Now()) {
		return nil
	}
	return l.Store.SaveReads(ctx, reads)
}

func (l *Ledger) enterHour(ctx context.Context, row hourRow, p usage.Part) error {
	hour, err := l.Store.UsageHour(ctx, row.tenant, row.integration, time.Unix(row.start, 0).UTC(), p.Shard())
	if err != nil || !hour.Add(p, l.Clock.Now()) {
		return err
	}
	return l.Store.SaveHour(ctx, hour)
}
