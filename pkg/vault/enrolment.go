package vault

import (
	"context"

	"keyvend/pkg/account"
	"keyvend/pkg/health"
	"keyvend/pkg/ident"
	"keyvend/pkg/integration"
)

// EnrolmentStore is what enrolment needs.
type EnrolmentStore interface {
	// CheckOf is the check of an account's key and the integration of its slug;
	// nil is no such row, or an integration's that cannot be read.
	CheckOf(ctx context.Context, a *account.Account) (*health.Check, *integration.Integration, error)
	SaveCheck(ctx context.Context, c *health.Check) error
	DeleteCheck(ctx context.Context, c *health.Check) error
}

// Enrolment keeps a check for the key of each account whose provider can be
// asked: it follows the feed of changes.
type Enrolment struct {
	Store EnrolmentStore
	Clock ident.Clock
}

// Follow does what a commit means for the account's check. To follow it again,
// or late, does no harm.
func (e *Enrolment) Follow(ctx context.Context, commit Commit) error {
	return insist(ctx, func() error { return e.follow(ctx, commit) })
}

func (e *Enrolment) follow(ctx context.Context, commit Commit) error {
	switch {
	case commit.After != nil:
		return e.enrol(ctx, commit.After)
	case commit.Before != nil:
		return e.drop(ctx, commit.Before)
	default:
		return nil
	}
}

// enrol makes or renews the check of an account, also of one that had none when
// its secret was stored.
func (e *Enrolment) enrol(ctx context.Context, a *account.Account) error {
	c, in, err := e.Store.CheckOf(ctx, a)
	if err != nil || in == nil || in.ID != a.IntegrationID {
		return err // a dead account's check is forgotten when it is due
	}
	now := e.Clock.Now()
	switch {
	case c == nil && in.Provider().Check == nil:
		return nil
	case c == nil:
		c = health.Of(a, now)
	case !c.Follow(a, now):
		return nil
	}
	c.Adopt(a, in.CheckEvery())
	return e.Store.SaveCheck(ctx, c)
}

func (e *Enrolment) drop(ctx context.Context, a *account.Account) error {
	c, _, err := e.Store.CheckOf(ctx, a)
	if err != nil || c == nil || c.AccountID != a.ID {
		return err
	}
	return e.Store.DeleteCheck(ctx, c)
}
