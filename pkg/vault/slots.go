package vault

import (
	"context"
	"maps"
	"slices"
	"time"

	"keyvend/pkg/health"
	"keyvend/pkg/integration"
)

// lane is whose slots are taken.
type lane struct {
	provider  string
	lane      health.Lane
	perMinute int
}

func laneOf(c *candidate, now time.Time) lane {
	l := lane{provider: health.ProviderKey(c.in), lane: health.ScheduledLane, perMinute: c.in.Provider().ChecksPerMinute()}
	if c.check.Why(now) != health.Scheduled {
		l.lane = health.AskedLane
	}
	return l
}

// ahead is how far ahead the schedule takes slots of the lane: whoever comes later
// waits no longer, whatever becomes of the checks that have them. Of what people
// ask for, half is left for people.
func (l lane) ahead() time.Duration {
	if l.lane == health.AskedLane {
		return MaxDelay / 2
	}
	return health.LookAgain
}

// pace gives each candidate a slot of its provider: some soon, some later. Those
// that get none come again later, and those whose provider's rows cannot be read
// or written stay as they are.
func (s *Schedule) pace(ctx context.Context, waiting []*candidate) (leased, postponed []*candidate) {
	now := s.Clock.Now()
	groups := map[lane][]*candidate{}
	for _, c := range waiting {
		if c.check.HasSlot(now) {
			c.slot = c.check.DueAt
		}
		l := laneOf(c, now)
		groups[l] = append(groups[l], c)
	}
	lanes := slices.Collect(maps.Keys(groups))
	sideBySide(len(lanes), func(i int) {
		l := lanes[i]
		if err := s.reserve(ctx, l, groups[l], now); err != nil {
			s.Log.ErrorContext(ctx, "checks got no slots", "provider", l.provider, "lane", l.lane, "checks", len(groups[l]), "error", err)
		}
	})
	for _, c := range waiting {
		switch {
		case c.full:
			postponed = append(postponed, c)
		case c.slot.IsZero():
		case c.slot.After(now.Add(lookahead)):
			c.check.PutOff(c.slot)
			postponed = append(postponed, c)
		default:
			leased = append(leased, c)
		}
	}
	return leased, postponed
}

// reserve gives slots to those of the members that have none, or whose provider
// has trouble until after it. When there are too few, who was looked at longest
// ago comes first.
func (s *Schedule) reserve(ctx context.Context, l lane, members []*candidate, now time.Time) error {
	breaker, err := s.Store.Breaker(ctx, health.Place{Provider: l.provider})
	if err != nil {
		return err
	}
	from, pause := now, breaker.Pause(now)
	if !pause.IsZero() {
		from = pause
	}
	var without []*candidate
	for _, c := range members {
		if c.slot.Before(pause) || c.slot.IsZero() {
			c.slot = time.Time{}
			without = append(without, c)
		}
	}
	slices.SortStableFunc(without, func(a, b *candidate) int { return a.check.LookedAt().Compare(b.check.LookedAt()) })
	tenants := make([]string, len(without))
	for i, c := range without {
		tenants[i] = tenantIn(c.in)
	}
	slots, err := takeSlots(ctx, s.Store, l, tenants, l.between(from, from.Add(l.ahead())))
	if err != nil {
		return err
	}
	for i, c := range without {
		if c.slot = slots[i]; c.slot.IsZero() {
			c.full = true
			c.check.Wait(now, l.ahead())
		}
	}
	if l.lane == health.ScheduledLane && pause.IsZero() {
		s.hasten(ctx, l, without, now)
	}
	return nil
}

// hasten gives first looks that would come late some of the slots that are for what
// people ask for: each tenant has his share of those, so that no import of one puts
// off what users of the others bring. The slots on schedule that they had are lost.
func (s *Schedule) hasten(ctx context.Context, l lane, members []*candidate, now time.Time) {
	var late []*candidate
	var tenants []string
	for _, c := range members {
		shares := tenantIn(c.in) != ""
		if shares && c.check.LookedAt().IsZero() && (c.full || c.slot.After(now.Add(MaxDelay))) {
			late, tenants = append(late, c), append(tenants, tenantIn(c.in))
		}
	}
	l.lane = health.AskedLane
	until := now.Add(l.ahead())
	slots, err := takeSlots(ctx, s.Store, l, tenants, func(p *health.Pace, tenant string) time.Time {
		return p.ReserveFirst(tenant, l.perMinute, now, until)
	})
	if err != nil { // they are late, and no more
		s.Log.WarnContext(ctx, "first looks got no earlier slots", "provider", l.provider, "checks", len(late), "error", err)
		return
	}
	for i, c := range late {
		if !slots[i].IsZero() {
			c.slot, c.full = slots[i], false
		}
	}
}

// tenantIn is the tenant of an integration in the lanes of its provider, "" where
// it has them for itself.
func tenantIn(in *integration.Integration) string {
	if in.Custom != nil {
		return ""
	}
	return in.Tenant
}

// reserver takes a slot for a tenant. Zero is none.
type reserver func(p *health.Pace, tenant string) time.Time

// between takes slots of the lane, none before from and none after until.
func (l lane) between(from, until time.Time) reserver {
	return func(p *health.Pace, tenant string) time.Time {
		return p.ReserveFor(tenant, l.lane, l.perMinute, from, until)
	}
}

// takeSlots takes a slot of a lane for each of the tenants, in their order. Zero is
// none.
func takeSlots(ctx context.Context, rows PaceStore, l lane, tenants []string, take reserver) ([]time.Time, error) {
	slots := make([]time.Time, len(tenants))
	if len(slots) == 0 {
		return slots, nil
	}
	err := insist(ctx, func() error {
		p, err := rows.Pace(ctx, l.provider, l.lane)
		if err != nil {
			return err
		}
		taken := false
		for i, tenant := range tenants {
			slots[i] = take(&p, tenant)
			taken = taken || !slots[i].IsZero()
		}
		if !taken {
			return nil
		}
		return rows.SavePace(ctx, l.provider, l.lane, &p)
	})
	if err != nil {
		return nil, err
	}
	return slots, nil
}
