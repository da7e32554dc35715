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

// Sweep works on every removal job until all had one pass or time is short. A
// job that fails is logged and does not keep the others from theirs.
func (s *Sweeper) Sweep(ctx context.Context) (Swept, error) {
	jobs, err := s.Store.Removals(ctx)
	if err != nil && len(jobs) == 0 {
		return Swept{}, err
	}
	if err != nil {
		s.Log.ErrorContext(ctx, "some removal jobs cannot be read", "alarm", "sweep", "error", err)
	}
	var total Swept
	for _, job := range jobs {
		if short(ctx) {
			break
		}
		total.Jobs++
		deleted, finished, err := s.advance(ctx, job)
		total.Accounts += deleted
		if finished {
			total.Finished++
		}
		// Changed: another sweep is at it. Cancelled: it was told to stop.
		if err != nil && !errors.Is(err, ErrChanged) && !errors.Is(ctx.Err(), context.Canceled) {
			s.Log.ErrorContext(ctx, "a removal job did not get on", "alarm", "sweep", "job", job.ID, "error", err)
		}
	}
	return total, nil
}

// advance makes one pass over the job's accounts and records it, also one that
// was cut short after it found some.
func (s *Sweeper) advance(ctx context.Context, job *removal.Job) (deleted int, finished bool, err error) {
	began := s.Clock.Now()
	found, deleted, whole, err := s.pass(ctx, job)
	if !whole && found == 0 {
		return deleted, false, err // nothing was learnt
	}
	job.Pass(found)
	if whole && job.Done(began) {
		return deleted, true, s.Store.FinishRemoval(ctx, job)
	}
	return deleted, false, errors.Join(err, s.Store.SaveRemoval(ctx, job))
}

// pass deletes what the job covers, page by page, as far as time allows.
func (s *Sweeper) pass(ctx context.Context, job *removal.Job) (found, deleted int, whole bool, err error) {
	for after := ""; ; {
		page, next, err := s.Store.AccountsUnder(ctx, job, after)
		if err != nil {
			return found, deleted, false, err
		}
		page = slices.DeleteFunc(page, func(a *account.Account) bool { return !job.Covers(a) }) // the index lags
		found += len(page)
		n, err := s.delete(ctx, page)
		deleted += n
		switch {
		case err != nil:
			return found, deleted, false, err
		case next == "":
			return found, deleted, true, nil
		case short(ctx):
			return found, deleted, false, nil
		}
		after = next
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
