// Package removal knows the jobs that delete accounts in the background: those
// of a removed integration, of an offboarded user, of an offboarded
// organization.
package removal

import (
	"time"

	"keyvend/pkg/account"
)

// Job deletes what it covers. Of a removed integration and an organization none of
// that can be vended from the moment on at which the job was stored; of a user what
// his offboarding did not delete is vended until the job does. Its JSON form is the
// stored one. Exactly one of IntegrationID, User and Organization is set.
type Job struct {
	ID            string    `json:"-"` // as in the row's key
	Tenant        string    `json:"tenant"`
	IntegrationID string    `json:"integration_id,omitempty"`
	Slug          string    `json:"slug,omitempty"` // with IntegrationID
	User          string    `json:"user,omitempty"`
	Organization  string    `json:"organization,omitempty"`
	RemovedAt     time.Time `json:"removed_at"`
	EmptyPasses   int       `json:"empty_passes"` // passes in a row that found nothing

	Revision int64 `json:"-"`
}

// Covers reports whether a is to go. An account that an offboarded user or
// organization makes later is a new one, and stays, unless it was made with a token
// from before; a damaged one tells no time, and is of no use to anyone.
func (j *Job) Covers(a *account.Account) bool {
	switch {
	case j.IntegrationID != "":
		return a.IntegrationID == j.IntegrationID
	case j.User != "":
		return a.Owner.User == j.User && a.Since().Before(j.RemovedAt)
	case j.Organization != "":
		return a.Owner.Organization == j.Organization && a.Since().Before(j.RemovedAt)
	}
	return false
}

// settle is how long after a removal a write that began before it may still
// arrive, and an index may still lag, with a wide margin.
const settle = 15 * time.Minute

// Pass records that a pass over the accounts ended, having found that many,
// whether or not it could delete them.
func (j *Job) Pass(found int) {
	if found > 0 {
		j.EmptyPasses = 0
		return
	}
	j.EmptyPasses++
}

// Done reports whether the last pass, ending now, was the last one needed: two
// empty ones, the later at least 15 minutes after the removal.
func (j *Job) Done(now time.Time) bool {
	return j.EmptyPasses >= 2 && now.Sub(j.RemovedAt) >= settle
}
