package vault

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"keyvend/pkg/health"
	"keyvend/pkg/ident"
	"keyvend/pkg/integration"
)

// CheckRequest asks for a look at an account's key. Its JSON form is a message of
// the queue.
type CheckRequest struct {
	Tenant       string       `json:"tenant"`
	Slug         string       `json:"slug"`
	User         string       `json:"user_id"`
	Organization string       `json:"organization_id,omitempty"`
	Cause        health.Cause `json:"cause"`
	// Revision, with a leased check, is its row's: when the row has another one,
	// somebody came to a finding meanwhile.
	Revision int64 `json:"revision,omitempty"`
	// SecretID, when not "", is the secret that is meant.
	SecretID string `json:"secret_id,omitempty"`
	// AskedAt is when a look was asked for or a refusal reported.
	AskedAt time.Time `json:"asked_at,omitzero"`
	// Slot is when the provider may be asked, zero when that is not decided yet.
	Slot time.Time `json:"slot,omitzero"`
}

// MaxDelay is how far ahead of its slot a request may be queued.
const MaxDelay = health.AskedAhead

// CheckQueue brings requests to the function health, each at least once, at the
// time of its slot.
type CheckQueue interface {
	// Send queues requests. The answer has an error, or nil, for each of them.
	Send(ctx context.Context, requests []CheckRequest) []error
}

// PaceStore keeps when providers may be asked.
type PaceStore interface {
	// Pace is the zero value for a provider that was never asked.
	Pace(ctx context.Context, provider string, lane health.Lane) (health.Pace, error)
	SavePace(ctx context.Context, provider string, lane health.Lane, p *health.Pace) error
	// Breaker is the zero value for what never failed.
	Breaker(ctx context.Context, of health.Place) (health.Breaker, error)
}

// IntegrationName names a data integration of any tenant.
type IntegrationName struct{ Tenant, Slug string }

// DueRange is a part of the checks in the order of their due times.
type DueRange struct {
	Slotted     bool      // those that wait for their slots, else the others
	From, Until time.Time // when they are due; both are part of it
	After       string
	Limit       int
}

// ScheduleStore is what the schedule needs.
type ScheduleStore interface {
	PaceStore
	// DueShards is the number of shards that checks lie in.
	DueShards() int
	// DueChecks lists checks of a shard, the longest due first, as they are now,
	// and those whose rows cannot be read. next is what to pass as r.After for what
	// follows, "" at the end; a page may be short, and some may be missing until
	// the index has caught up.
	DueChecks(ctx context.Context, shard int, r DueRange) (due []*health.Check, next string, err error)
	// IntegrationsOf are those of the checks that there are; nil is one whose row
	// cannot be read.
	IntegrationsOf(ctx context.Context, checks []*health.Check) (map[IntegrationName]*integration.Integration, error)
	SaveCheck(ctx context.Context, c *health.Check) error
	DeleteCheck(ctx context.Context, c *health.Check) error
}

// Schedule finds the checks that are due, leases them, and has them made at
// their provider's pace. It may run twice at once and be stopped at any point: a
// lease is one conditional write, and one that nobody made use of ends.
type Schedule struct {
	Store ScheduleStore
	Queue CheckQueue
	Clock ident.Clock
	Log   *slog.Logger
}

// Planned is what one run did.
type Planned struct {
	Leased    int `json:"leased"`    // checks that are being made
	Postponed int `json:"postponed"` // checks that wait for their provider's pace
	Resting   int `json:"resting"`   // checks that are not wanted yet
	Dropped   int `json:"dropped"`   // checks of accounts or integrations that are gone
	SetAside  int `json:"set_aside"` // checks that never come to a finding
}

func (p *Planned) add(o Planned) {
	p.Leased += o.Leased
	p.Postponed += o.Postponed
	p.Resting += o.Resting
	p.Dropped += o.Dropped
	p.SetAside += o.SetAside
}

const (
	// lookahead is how far ahead checks are leased for their slots: when one run is
	// late, or is left out, no slot is missed.
	lookahead = 3 * time.Minute
	// perRound is how many checks of each shard are worked on at a time.
	perRound = 25
	// perRun is how many checks of a shard one run works on at most. Each write
	// moves an entry of the index, which is two writes of a partition that takes
	// 1,000 in a second, and two runs may meet.
	perRun = 250
)

// Run plans what is due, until nothing is or time is short. Those whose slots can
// be used come first: however many wait for slots of their own, or have missed
// theirs, no slot is missed for that.
func (s *Schedule) Run(ctx context.Context) (total Planned, err error) {
	now := s.Clock.Now()
	left := slices.Repeat([]int{perRun}, s.Store.DueShards())
	for _, r := range []DueRange{
		{Slotted: true, From: health.Reachable(now), Until: now.Add(lookahead)},
		{Slotted: true, Until: health.Reachable(now)},
		{Until: now},
	} {
		done, failed := s.runOver(ctx, r, left)
		total.add(done)
		err = errors.Join(err, failed)
	}
	return total, err
}

// runOver plans the checks of a range. left is how many of each shard this run
// may still work on. A shard that cannot be read does not keep the others from
// being planned.
func (s *Schedule) runOver(ctx context.Context, r DueRange, left []int) (total Planned, err error) {
	cursors := make([]cursor, len(left))
	for shard := range cursors {
		cursors[shard] = cursor{DueRange: r, done: left[shard] == 0}
	}
	for !finished(cursors) && !short(ctx) {
		due, unread := s.due(ctx, cursors, left)
		done, failed := s.plan(ctx, due)
		total.add(done)
		err = errors.Join(err, unread, failed)
		if failed != nil {
			break
		}
	}
	return total, err
}

// cursor is how far a shard was read.
type cursor struct {
	DueRange
	done bool
}

func finished(cursors []cursor) bool {
	return !slices.ContainsFunc(cursors, func(c cursor) bool { return !c.done })
}

// due reads the next checks of each shard, so that no shard is written to alone.
func (s *Schedule) due(ctx context.Context, cursors []cursor, left []int) ([]*health.Check, error) {
	pages := make([][]*health.Check, len(cursors))
	errs := make([]error, len(cursors))
	var wait sync.WaitGroup
	for shard := range cursors {
		c := &cursors[shard]
		if c.done {
			continue
		}
		wait.Go(func() {
			c.Limit = min(perRound, left[shard])
			pages[shard], c.After, errs[shard] = s.Store.DueChecks(ctx, shard, c.DueRange)
			left[shard] -= len(pages[shard])
			c.done = c.After == "" || left[shard] == 0 || errs[shard] != nil
		})
	}
	wait.Wait()
	return slices.Concat(pages...), errors.Join(errs...)
}

// candidate is a check that is due, and what is decided about it.
type candidate struct {
	check *health.Check
	in    *integration.Integration // nil: it is gone, or cannot be read
	slot  time.Time                // in which its provider is asked; zero: none so far
	full  bool                     // its provider has no slot for it
}

// fate is what becomes of a check that is due.
type fate int

const (
	asks  fate = iota // its provider is to be asked
	rests             // it is not wanted yet
	gone              // it is of nothing any more
	aside             // it rests, and is an operator's to look at
	lost              // it cannot be read
	early             // a later run finds it
)

// plan decides about each check and writes what was decided.
func (s *Schedule) plan(ctx context.Context, due []*health.Check) (done Planned, err error) {
	if len(due) == 0 {
		return done, nil
	}
	known, err := s.Store.IntegrationsOf(ctx, due)
	if err != nil {
		return done, err
	}
	sorted := map[fate][]*candidate{}
	for _, c := range due {
		in, there := known[IntegrationName{c.Tenant, c.Slug}]
		what := s.sort(ctx, c, in, there)
		sorted[what] = append(sorted[what], &candidate{check: c, in: in})
	}
	leased, postponed := s.pace(ctx, sorted[asks])
	done.Leased, err = s.lease(ctx, leased)
	done.Postponed = len(s.save(ctx, postponed))
	done.Resting = len(s.save(ctx, sorted[rests]))
	done.Dropped = len(s.drop(ctx, sorted[gone]))
	done.SetAside = len(s.save(ctx, sorted[aside])) + s.renew(ctx, sorted[lost])
	return done, err
}

// sort decides what becomes of a check. in is nil when there is no such
// integration, and also when it is there and cannot be read.
func (s *Schedule) sort(ctx context.Context, c *health.Check, in *integration.Integration, there bool) fate {
	now := s.Clock.Now()
	switch {
	case c.Damaged:
		s.tell(ctx, c, "the row of a check cannot be read")
		return lost
	case in == nil && there:
		s.tell(ctx, c, "the integration of a check cannot be read")
		c.Wait(now, health.LookAgain)
		return aside
	case in == nil || in.ID != c.IntegrationID:
		return gone
	case in.Provider().Check == nil:
		c.DueAt = time.Time{}
		return rests
	case c.Resting(now, in.CheckEvery()):
		return rests
	case c.Tries >= health.MaxTries:
		s.tell(ctx, c, "a check never comes to a finding")
		c.Wait(now, health.LookAgain)
		c.Tries = 0
		return aside
	case c.Early(now):
		return early
	default:
		return asks
	}
}

// tell tells operators of a check that keeps failing.
func (s *Schedule) tell(ctx context.Context, c *health.Check, why string) {
	s.Log.ErrorContext(ctx, why, "alarm", "poison", "tenant", c.Tenant, "account_id", c.AccountID, "slug", c.Slug, "revision", c.Revision)
}

// renew deletes checks that cannot be read, and has their keys looked at, which
// makes new ones. It returns how many.
func (s *Schedule) renew(ctx context.Context, candidates []*candidate) int {
	requests := make([]CheckRequest, len(candidates))
	for i, c := range candidates {
		requests[i] = c.request(health.Asked)
		requests[i].Revision, requests[i].AskedAt = 0, s.Clock.Now()
	}
	sent, _, err := s.send(ctx, candidates, requests)
	if err != nil {
		s.Log.ErrorContext(ctx, "checks that cannot be read were not made anew", "error", err)
	}
	return len(s.drop(ctx, sent))
}

// lease leases checks, has them made, and returns how many. A lease whose message
// is lost ends, and the check is due again; one whose message the queue does not
// take is given back. It is an error when the queue takes none.
func (s *Schedule) lease(ctx context.Context, candidates []*candidate) (int, error) {
	for _, c := range candidates {
		c.check.Take(c.slot)
	}
	leased := s.save(ctx, candidates)
	requests := make([]CheckRequest, len(leased))
	for i, c := range leased {
		requests[i] = c.request(c.check.Why(c.slot))
	}
	sent, unsent, err := s.send(ctx, leased, requests)
	for _, c := range unsent {
		c.check.GiveBack(c.slot)
		c.check.PutOff(c.slot)
	}
	s.save(ctx, unsent)
	if err != nil && len(sent) > 0 {
		s.Log.ErrorContext(ctx, "some checks were not asked for", "checks", len(unsent), "error", err)
		err = nil
	}
	return len(sent), err
}

// send queues a request for each candidate and says which of them were taken.
func (s *Schedule) send(ctx context.Context, candidates []*candidate, requests []CheckRequest) (sent, unsent []*candidate, err error) {
	if len(requests) == 0 {
		return nil, nil, nil
	}
	errs := s.Queue.Send(ctx, requests)
	for i, c := range candidates {
		if errs[i] == nil {
			sent = append(sent, c)
		} else {
			unsent = append(unsent, c)
		}
	}
	return sent, unsent, errors.Join(errs...)
}

// request asks for a look at the candidate's key in its slot.
func (c *candidate) request(why health.Cause) CheckRequest {
	return CheckRequest{
		Tenant:       c.check.Tenant,
		Slug:         c.check.Slug,
		User:         c.check.Owner.User,
		Organization: c.check.Owner.Organization,
		Cause:        why,
		Revision:     c.check.Revision,
		Slot:         c.slot,
	}
}

// save stores checks and returns those that are stored.
func (s *Schedule) save(ctx context.Context, candidates []*candidate) []*candidate {
	return s.write(ctx, candidates, s.Store.SaveCheck)
}

// drop deletes checks and returns those that are deleted.
func (s *Schedule) drop(ctx context.Context, candidates []*candidate) []*candidate {
	return s.write(ctx, candidates, s.Store.DeleteCheck)
}

// write writes checks side by side. One that has changed is somebody else's.
func (s *Schedule) write(ctx context.Context, candidates []*candidate, with func(context.Context, *health.Check) error) []*candidate {
	errs := make([]error, len(candidates))
	sideBySide(len(candidates), func(i int) { errs[i] = with(ctx, candidates[i].check) })
	var written []*candidate
	for i, c := range candidates {
		switch {
		case errs[i] == nil:
			written = append(written, c)
		case !errors.Is(errs[i], ErrChanged):
			s.Log.ErrorContext(ctx, "a check was not planned", "tenant", c.check.Tenant, "account_id", c.check.AccountID, "error", errs[i])
		}
	}
	return written
}

// sideBySide does n things, some of them at a time.
func sideBySide(n int, do func(i int)) {
	slots := make(chan struct{}, parallel)
	var wait sync.WaitGroup
	for i := range n {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	wait.Wait()
}
