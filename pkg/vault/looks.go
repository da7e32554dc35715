package vault

import (
	"context"
	"errors"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/fault"
	"keyvend/pkg/health"
	"keyvend/pkg/ident"
)

// Accepted says whether a look at a key will be had, and if not, why.
type Accepted struct {
	Accepted bool
	Reason   string // "" when it is accepted
}

// Why no look is had. A report that comes to nothing is no mistake of who made it,
// so all of this is told with 202, stale_secret too.
const (
	reasonNoCheck  = "no_check"     // the provider cannot be asked
	reasonStale    = "stale_secret" // the key that was refused is not the stored one any more
	reasonNoSecret = NotInstalled   // there is no key
	reasonStatus   = "not_a_refusal"
)

// Looks takes requests for looks at keys: from operators, and from whoever saw a
// provider refuse a key.
type Looks struct {
	Directory *Directory // for Request and History
	Queue     CheckQueue
	Clock     ident.Clock
}

// Request has the key of the account of that id looked at soon.
func (l *Looks) Request(ctx context.Context, v *Visit, id string) (Accepted, error) {
	p, err := l.Directory.Get(ctx, v, id)
	if err != nil {
		return Accepted{}, err
	}
	if !p.checkable {
		return Accepted{Reason: reasonNoCheck}, nil
	}
	return l.send(ctx, v, p.Account, health.Asked)
}

// History is the last looks at the keys of the account of that id, newest first.
func (l *Looks) History(ctx context.Context, v *Visit, id string) ([]health.Entry, error) {
	p, err := l.Directory.Get(ctx, v, id)
	if err != nil {
		return nil, err
	}
	return p.Check.History, nil
}

// Refusal is a report that a provider refused a vended key.
type Refusal struct {
	Status   int       // of the provider's answer
	SecretID string    // which secret was refused; "": not said
	VendedAt time.Time // when it was vended; zero: not said
}

// Report has the key of the visit's user looked at, because its provider refused
// it. Of what the provider cannot be asked about, an event tells.
func (l *Looks) Report(ctx context.Context, v *Visit, r Refusal) (Accepted, error) {
	if v.Integration == nil {
		return Accepted{}, errUnknownSlug
	}
	a := living(v, v.Integration)
	switch {
	case a == nil:
		return Accepted{Reason: reasonNoSecret}, nil
	case r.stale(a):
		return Accepted{Reason: reasonStale}, nil
	case !r.refused():
		return Accepted{Reason: reasonStatus}, nil
	}
	return l.send(ctx, v, a, health.Report)
}

func (r Refusal) stale(a *account.Account) bool {
	current := a.Secrets[account.Current]
	return r.SecretID != "" && r.SecretID != current.ID || !r.VendedAt.IsZero() && r.VendedAt.Before(current.CreatedAt)
}

// refused reports whether the status can be about the key at all.
func (r Refusal) refused() bool {
	return r.Status == 400 || r.Status == 401 || r.Status == 403
}

func (l *Looks) send(ctx context.Context, v *Visit, a *account.Account, cause health.Cause) (Accepted, error) {
	err := errors.Join(l.Queue.Send(ctx, []CheckRequest{{
		Tenant:       v.Target.Tenant,
		Slug:         a.Slug,
		User:         a.Owner.User,
		Organization: a.Owner.Organization,
		Cause:        cause,
		SecretID:     a.Secrets[account.Current].ID,
		AskedAt:      l.Clock.Now(),
	}})...)
	if err != nil {
		return Accepted{}, fault.Busy(err)
	}
	return Accepted{Accepted: true}, nil
}
