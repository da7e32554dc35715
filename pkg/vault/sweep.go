package vault

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/ident"
	"keyvend/pkg/removal"
)

// Sweeper deletes the accounts of removed integrations and of users and
// organizations that were offboarded. It may be stopped at
// any point and started twice: each step is conditional, and what is left is
// found again.
type Sweeper struct {
	Store RemovalStore
	Clock ident.Clock
	Log   *slog.Logger
}

// Swept is what one run did.
type Swept struct {
	Jobs     int `json:"jobs"`     // removal jobs looked at
	Accounts int `json:"accounts"` // accounts deleted
	Finished int `json:"finished"` // jobs ended
}

// reserve is how long before the deadline of its context a sweep stops by
// itself; the next one goes on.
const reserve = 5 * time.Second

// turn is how long a job is worked on before the next has its turn, if not all its
// accounts were seen until then.
const turn = 2 * time.Second

// Sweep works on every removal job until all had one pass or time is short. They
// take turns, so that no job keeps others waiting however large it is; what has no
// turn now is first next time. A job that fails is logged and does not keep the
// others from theirs.
func (s *Sweeper) Sweep(ctx context.Context) (Swept, error) {
	jobs, err := s.Store.Removals(ctx)
	if err != nil && len(jobs) == 0 {
		return Swept{}, err
	}
	if err != nil {
		s.Log.ErrorContext(ctx, "some removal jobs cannot be read", "alarm", "sweep", "error", err)
	}
	removal.InTurn(jobs)
	var total Swept
	for i, line := 0, jobs; i < len(line) && !short(ctx); i++ {
		job := line[i]
		deleted, finished, err := s.advance(ctx, job)
		total.Accounts += deleted
		if i < len(jobs) {
			total.Jobs++
		}
		if finished {
			total.Finished++
		}
		if err == nil && job.UnderWay() {
			line = append(line, job)
		}
		// Changed: another sweep is at it. Cancelled: it was told to stop.
		if err != nil && !errors.Is(err, ErrChanged) && !errors.Is(ctx.Err(), context.Canceled) {
			s.Log.ErrorContext(ctx, "a removal job did not get on", "alarm", "sweep", "job", job.ID, "error", err)
		}
	}
	return total, nil
}

// advance gives the job a turn and records how far it got, also when it failed on
// the way.
func (s *Sweeper) advance(ctx context.Context, job *removal.Job) (deleted int, finished bool, err error) {
	job.Begin(s.Clock.Now())
	before := job.Walk
	deleted, whole, err := s.walk(ctx, job)
	switch {
	case err != nil && job.Walk == before:
		return deleted, false, err // nothing was learnt
	case whole && job.End():
		return deleted, true, s.Store.FinishRemoval(ctx, job)
	}
	return deleted, false, errors.Join(err, s.Store.SaveRemoval(ctx, job))
}

// walk goes on with the job's pass and deletes what it covers, page by page, until
// its turn is over or time is short. A page that cannot be deleted is the next
// turn's first.
func (s *Sweeper) walk(ctx context.Context, job *removal.Job) (deleted int, whole bool, err error) {
	for over := time.Now().Add(turn); ; {
		page, next, err := s.Store.AccountsUnder(ctx, job, job.Walk.After)
		if err != nil {
			return deleted, false, err
		}
		page = slices.DeleteFunc(page, func(a *account.Account) bool { return !job.Covers(a) }) // the index lags
		job.Walk.Found += len(page)
		n, err := s.delete(ctx, page)
		deleted += n
		if err != nil {
			return deleted, false, err
		}
		job.Walk.After = next
		if next == "" || short(ctx) || time.Now().After(over) {
			return deleted, next == "", nil
		}
	}
}

// parallel is how many accounts are deleted at a time: a job of 100,000 takes
// minutes, and the table's other users notice nothing.
const parallel = 8

// delete removes the accounts of the page, each on condition that it is the one
// that was read.
func (s *Sweeper) delete(ctx context.Context, page []*account.Account) (int, error) {
	var (
		wait  sync.WaitGroup
		slots = make(chan struct{}, parallel)
		errs  = make([]error, len(page))
		gone  = make([]bool, len(page))
	)
	for i, a := range page {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			err := s.Store.DeleteAccount(ctx, a)
			gone[i] = err == nil
			if !errors.Is(err, ErrChanged) { // changed: the next pass looks again
				errs[i] = err
			}
		})
	}
	wait.Wait()
	deleted := 0
	for _, g := range gone {
		if g {
			deleted++
		}
	}
	return deleted, errors.Join(errs...)
}

func short(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && time.Until(deadline) < reserve
}
