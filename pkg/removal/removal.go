// Package removal knows the jobs that delete accounts in the background: those
// of a removed integration, of an offboarded user, of an offboarded
// organization.
package removal

import (
	"cmp"
	"slices"
	"time"

	"keyvend/pkg/account"
)

// Job deletes what it covers. Of a removed integration and an organization none of
// that can be vended from the moment on at which the job was stored; of a user what
// an offboarding that failed did not delete is vended until the job does. Its JSON form is the
// stored one. Exactly one of IntegrationID, User and Organization is set.
type Job struct {
	ID            string    `json:"-"` // as in the row's key
	Tenant        string    `json:"tenant"`
	IntegrationID string    `json:"integration_id,omitempty"`
	Slug          string    `json:"slug,omitempty"` // with IntegrationID
	User          string    `json:"user,omitempty"`
	Organization  string    `json:"organization,omitempty"`
	RemovedAt     time.Time `json:"removed_at"`
	EmptyPasses   int       `json:"empty_passes"`       // passes in a row that found nothing
	WorkedAt      time.Time `json:"worked_at,omitzero"` // when its last turn began; zero: it had none
	Walk          Walk      `json:"walk,omitzero"`      // the pass that is under way; zero: none is

	Revision int64 `json:"-"`
}

// Walk is a pass over the accounts that takes more than one turn. Its JSON form is
// the stored one.
type Walk struct {
	BeganAt time.Time `json:"began_at"`
	After   string    `json:"after"` // where it goes on
	Found   int       `json:"found"`
}

// InTurn puts jobs into the order in which they are worked on: of those of a tenant
// the one goes first that was left alone longest, and no tenant has a second turn
// before each other one had his.
func InTurn(jobs []*Job) {
	slices.SortStableFunc(jobs, func(a, b *Job) int { return a.WorkedAt.Compare(b.WorkedAt) })
	turn, turns := map[*Job]int{}, map[string]int{}
	for _, j := range jobs {
		turn[j] = turns[j.Tenant]
		turns[j.Tenant]++
	}
	slices.SortStableFunc(jobs, func(a, b *Job) int { return cmp.Compare(turn[a], turn[b]) })
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

// Begin begins a turn, and with it a pass if none is under way.
func (j *Job) Begin(now time.Time) {
	j.WorkedAt = now
	if !j.UnderWay() {
		j.Walk.BeganAt = now
	}
}

// UnderWay reports whether a pass has begun and not ended.
func (j *Job) UnderWay() bool { return j.Walk != (Walk{}) }

// End ends the pass that is under way, and reports whether the job is done.
func (j *Job) End() bool {
	walk := j.Walk
	j.Walk = Walk{}
	j.Pass(walk.Found)
	return j.Done(walk.BeganAt)
}

// Pass records that a pass over the accounts ended, having found that many,
// whether or not it could delete them.
func (j *Job) Pass(found int) {
	if found > 0 {
		j.EmptyPasses = 0
		return
	}
	j.EmptyPasses++
}

// Done reports whether the last pass, which began then, was the last one needed: two
// empty ones, the later at least 15 minutes after the removal.
func (j *Job) Done(began time.Time) bool {
	return j.EmptyPasses >= 2 && began.Sub(j.RemovedAt) >= settle
}
