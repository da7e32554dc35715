package vault

import (
	"context"
	"errors"
	"log/slog"
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
const MaxDelay = 15 * time.Minute

// CheckQueue brings requests to the function health, each at least once, at the
// time of its slot.
type CheckQueue interface {
	// Send queues requests. The answer has an error, or nil, for each of them.
	Send(ctx context.Context, requests []CheckRequest) []error
}

// Lane is for whom slots of a provider are.
type Lane string

// The lanes.
const (
	ScheduledLane Lane = "PACE"
	AskedLane     Lane = "ASKED"
)

// PaceStore keeps when providers may be asked.
type PaceStore interface {
	// Pace is the zero value for a provider that was never asked.
	Pace(ctx context.Context, provider string, lane Lane) (health.Pace, error)
	SavePace(ctx context.Context, provider string, lane Lane, p *health.Pace) error
	// Breaker is the zero value for a provider that never failed.
	Breaker(ctx context.Context, provider string) (health.Breaker, error)
}

// IntegrationName names a data integration of any tenant.
type IntegrationName struct{ Tenant, Slug string }

// ScheduleStore is what the schedule needs.
type ScheduleStore interface {
	PaceStore
	// DueShards is the number of shards that checks lie in.
	DueShards() int
	// DueChecks lists checks of a shard that are due until then, the longest due
	// first, as they are now. next is what to pass as after for what follows, ""
	// at the end; a page may be short, and some may be missing until the index has
	// caught up.
	DueChecks(ctx context.Context, shard int, until time.Time, after string, limit int) (due []*health.Check, next string, err error)
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
	// lookahead is how far a run looks: a little further than the next one begins.
	lookahead = 75 * time.Second
	// perRound is how many checks of each shard are worked on at a time.
	perRound = 25
	// perRun is how many checks of a shard one run writes at most. Each write
	// moves an entry of the index, which is two writes of a partition that takes
	// 1,000 in a second.
	perRun = 450
)

// Run plans what is due, until nothing is or time is short.
func (s *Schedule) Run(ctx context.Context) (Planned, error) {
	var total Planned
	until := s.Clock.Now().Add(lookahead)
	cursors := make([]cursor, s.Store.DueShards())
	for range perRun / perRound {
		if short(ctx) {
			break
		}
		due, err := s.due(ctx, until, cursors)
		if err != nil {
			return total, err
		}
		if len(due) == 0 && finished(cursors) {
			break
		}
		done, err := s.plan(ctx, due)
		total.add(done)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// cursor is how far a shard was read.
type cursor struct {
	after string
	done  bool
}

func finished(cursors []cursor) bool {
	for _, c := range cursors {
		if !c.done {
			return false
		}
	}
	return true
}

// due reads the next checks of each shard, so that no shard is written to alone.
func (s *Schedule) due(ctx context.Context, until time.Time, cursors []cursor) ([]*health.Check, error) {
	pages := make([][]*health.Check, len(cursors))
	errs := make([]error, len(cursors))
	var wait sync.WaitGroup
	for shard := range cursors {
		c := &cursors[shard]
		if c.done {
			continue
		}
		wait.Go(func() {
			pages[shard], c.after, errs[shard] = s.Store.DueChecks(ctx, shard, until, c.after, perRound)
			c.done = c.after == ""
		})
	}
	wait.Wait()
	var due []*health.Check
	for _, page := range pages {
		due = append(due, page...)
	}
	return due, errors.Join(errs...)
}

// plan decides about each check and writes what was decided.
func (s *Schedule) plan(ctx context.Context, due []*health.Check) (done Planned, err error) {
	known, err := s.Store.IntegrationsOf(ctx, due)
	if err != nil {
		return done, err
	}
	var waiting []*candidate
	for _, c := range due {
		in := known[IntegrationName{c.Tenant, c.Slug}]
		if asked := s.sort(ctx, c, in, &done); asked != nil {
			waiting = append(waiting, asked)
		}
	}
	leased, postponed, err := s.pace(ctx, waiting)
	if err != nil {
		return done, err
	}
	done.Postponed += s.save(ctx, postponed)
	return done, s.lease(ctx, leased, &done)
}

// candidate is a check whose provider is to be asked.
type candidate struct {
	check *health.Check
	in    *integration.Integration
	slot  time.Time
}

// sort deals with a check that needs no asking, and returns the others.
func (s *Schedule) sort(ctx context.Context, c *health.Check, in *integration.Integration, done *Planned) *candidate {
	now := s.Clock.Now()
	switch {
	case c.Damaged:
		s.setAside(ctx, c, "the row of a check cannot be read")
		done.SetAside += s.drop(ctx, c)
	case in == nil || in.ID != c.IntegrationID:
		done.Dropped += s.drop(ctx, c)
	case in.Provider().Check == nil:
		c.DueAt = time.Time{}
		done.Resting += s.saveOne(ctx, c)
	case c.Resting(now, in.CheckEvery()):
		done.Resting += s.saveOne(ctx, c)
	case c.Tries >= health.MaxTries:
		s.setAside(ctx, c, "a check never comes to a finding")
		c.DueAt, c.Tries = now.Add(health.LookAgain), 0
		done.SetAside += s.saveOne(ctx, c)
	case c.Early(now):
		// A later run finds it.
	default:
		return &candidate{check: c, in: in}
	}
	return nil
}

// setAside tells operators of a check that keeps failing.
func (s *Schedule) setAside(ctx context.Context, c *health.Check, why string) {
	s.Log.ErrorContext(ctx, why, "alarm", "poison", "tenant", c.Tenant, "account_id", c.AccountID, "slug", c.Slug, "revision", c.Revision)
}

// pace gives each candidate a slot of its provider: some soon, some later.
func (s *Schedule) pace(ctx context.Context, waiting []*candidate) (leased, postponed []*candidate, err error) {
	now := s.Clock.Now()
	groups := map[lane][]*candidate{}
	for _, c := range waiting {
		if c.check.HasSlot(now) {
			c.slot = c.check.DueAt
		}
		group := laneOf(c)
		groups[group] = append(groups[group], c)
	}
	for group, members := range groups {
		if err := s.reserve(ctx, group, members); err != nil {
			return nil, nil, err
		}
	}
	for _, c := range waiting {
		if c.slot.After(now.Add(lookahead)) {
			c.check.PutOff(c.slot)
			postponed = append(postponed, c)
		} else {
			leased = append(leased, c)
		}
	}
	return leased, postponed, nil
}

// lane is whose slots are taken.
type lane struct {
	provider  string
	lane      Lane
	perMinute int
}

func laneOf(c *candidate) lane {
	l := lane{provider: health.ProviderKey(c.in), lane: ScheduledLane, perMinute: c.in.Provider().ChecksPerMinute()}
	if c.check.Urgent() {
		l.lane = AskedLane
	}
	return l
}

func (l lane) gap() time.Duration {
	if l.lane == AskedLane {
		return health.AskedGap(l.perMinute)
	}
	return health.ScheduledGap(l.perMinute)
}

// reserve reserves slots for those of the members that have none, or whose
// provider has trouble until after it.
func (s *Schedule) reserve(ctx context.Context, l lane, members []*candidate) error {
	breaker, err := s.Store.Breaker(ctx, l.provider)
	if err != nil {
		return err
	}
	var without []*candidate
	for _, c := range members {
		if c.slot.IsZero() || c.slot.Before(breaker.OpenUntil) {
			without = append(without, c)
		}
	}
	if len(without) == 0 {
		return nil
	}
	slot, err := takeSlots(ctx, s.Store, s.Clock, l, breaker.OpenUntil, len(without))
	for _, c := range without {
		c.slot = slot
		slot = slot.Add(l.gap())
	}
	return err
}

// takeSlots reserves n slots of a lane and returns the first.
func takeSlots(ctx context.Context, rows PaceStore, clock ident.Clock, l lane, notBefore time.Time, n int) (time.Time, error) {
	for try := 1; ; try++ {
		p, err := rows.Pace(ctx, l.provider, l.lane)
		if err != nil {
			return time.Time{}, err
		}
		first := p.Reserve(clock.Now(), notBefore, n, l.gap())
		err = rows.SavePace(ctx, l.provider, l.lane, &p)
		switch {
		case err == nil:
			return first, nil
		case !errors.Is(err, ErrChanged):
			return time.Time{}, err
		case try == attempts:
			return time.Time{}, errConcurrent.Because(err)
		}
		if err := pause(ctx, try); err != nil {
			return time.Time{}, err
		}
	}
}

// lease leases checks and has them made. A lease whose message is lost ends, and
// the check is due again.
func (s *Schedule) lease(ctx context.Context, candidates []*candidate, done *Planned) error {
	for _, c := range candidates {
		c.check.Take(c.slot)
	}
	var requests []CheckRequest
	for i, saved := range s.saveAll(ctx, candidates) {
		if saved {
			requests = append(requests, candidates[i].request())
		}
	}
	done.Leased += len(requests)
	return errors.Join(s.Queue.Send(ctx, requests)...)
}

func (c *candidate) request() CheckRequest {
	r := CheckRequest{
		Tenant:       c.check.Tenant,
		Slug:         c.check.Slug,
		User:         c.check.Owner.User,
		Organization: c.check.Owner.Organization,
		Cause:        health.Scheduled,
		Revision:     c.check.Revision,
		Slot:         c.slot,
	}
	switch {
	case !c.check.ReportedAt.IsZero():
		r.Cause = health.Report
	case !c.check.RefusedAt.IsZero():
		r.Cause = health.Confirm
	}
	return r
}

func (s *Schedule) save(ctx context.Context, candidates []*candidate) int {
	n := 0
	for _, saved := range s.saveAll(ctx, candidates) {
		if saved {
			n++
		}
	}
	return n
}

// saveAll writes checks side by side and says which of them are stored.
func (s *Schedule) saveAll(ctx context.Context, candidates []*candidate) []bool {
	saved := make([]bool, len(candidates))
	slots := make(chan struct{}, parallel)
	var wait sync.WaitGroup
	for i, c := range candidates {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			saved[i] = s.saveOne(ctx, c.check) == 1
		})
	}
	wait.Wait()
	return saved
}

// saveOne is 1 when the check is stored. One that has changed is somebody else's.
func (s *Schedule) saveOne(ctx context.Context, c *health.Check) int {
	return s.wrote(ctx, c, s.Store.SaveCheck(ctx, c))
}

func (s *Schedule) drop(ctx context.Context, c *health.Check) int {
	return s.wrote(ctx, c, s.Store.DeleteCheck(ctx, c))
}

func (s *Schedule) wrote(ctx context.Context, c *health.Check, err error) int {
	if err == nil {
		return 1
	}
	if !errors.Is(err, ErrChanged) {
		s.Log.ErrorContext(ctx, "a check was not planned", "tenant", c.Tenant, "account_id", c.AccountID, "error", err)
	}
	return 0
}
