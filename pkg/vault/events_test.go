package vault_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/event"
	"keyvend/pkg/vault"
)

// endless is a store that has an event in every second, none of which is
// anybody's but one.
type endless struct {
	reads  int
	wanted time.Time
}

func (s *endless) EventsOn(_ context.Context, _ string, r vault.EventRange) (page []event.Event, next string, err error) {
	s.reads++
	at, ok := event.Time(r.After)
	if !ok || at.Before(r.Day) {
		at = r.Day
	}
	for len(page) < r.Limit {
		at = at.Add(time.Second)
		if !at.Before(r.Day.AddDate(0, 0, 1)) {
			return page, "", nil
		}
		name := event.Connected
		if at.Equal(s.wanted) {
			name = event.Rotated
		}
		page = append(page, event.Note(name, &account.Account{ID: "a"}, at, event.System(), ""))
	}
	return page, page[len(page)-1].ID, nil
}

func TestOneRequestForEventsReadsABoundedNumberOfPagesAndTheNextGoesOn(t *testing.T) {
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	store := &endless{wanted: time.Date(2026, 3, 30, 18, 0, 0, 0, time.UTC)}
	events := vault.Events{Store: store, Clock: func() time.Time { return now }}
	q := vault.EventQuery{Names: []event.Name{event.Rotated}, From: now.AddDate(0, 0, -1), Limit: 10}
	var found []event.Event
	for parts := 1; ; parts++ {
		store.reads = 0
		page, err := events.List(t.Context(), &vault.Visit{}, q)
		if err != nil {
			t.Fatal(err)
		}
		if store.reads > 40 {
			t.Errorf("part %d took %d reads", parts, store.reads)
		}
		found = append(found, page.Events...)
		if page.After == "" {
			if parts < 2 {
				t.Errorf("%d parts", parts)
			}
			break
		}
		q.After = page.After
	}
	if len(found) != 1 || found[0].CreatedAt != "2026-03-30T18:00:00.000Z" {
		t.Errorf("found %+v", found)
	}
}

// days notes which days were read.
type days struct{ read []string }

func (d *days) EventsOn(_ context.Context, _ string, r vault.EventRange) ([]event.Event, string, error) {
	d.read = append(d.read, r.Day.Format("01-02"))
	return nil, "", nil
}

func TestOnlyDaysThatCanHoldAnAnswerAreRead(t *testing.T) {
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	for what, c := range map[string]struct {
		query vault.EventQuery
		want  []string
	}{
		"two days up":            {vault.EventQuery{From: now.AddDate(0, 0, -1)}, []string{"03-30", "03-31"}},
		"two days down":          {vault.EventQuery{From: now.AddDate(0, 0, -1), Descending: true}, []string{"03-31", "03-30"}},
		"after a cursor":         {vault.EventQuery{After: event.Floor(now.Add(-time.Hour))}, []string{"03-31"}},
		"before a cursor":        {vault.EventQuery{Before: event.Floor(now.AddDate(0, 0, -29)), From: now.AddDate(0, 0, -60)}, []string{"03-02", "03-01"}},
		"nothing can be there":   {vault.EventQuery{From: now.AddDate(0, 0, 1)}, nil},
		"behind a younger one":   {vault.EventQuery{After: event.Floor(now.AddDate(1, 0, 0))}, nil},
		"until before the month": {vault.EventQuery{Until: now.AddDate(0, 0, -40)}, nil},
	} {
		store := &days{}
		c.query.Limit = 10
		page, err := (&vault.Events{Store: store, Clock: func() time.Time { return now }}).List(t.Context(), &vault.Visit{}, c.query)
		if err != nil || !slices.Equal(store.read, c.want) || page.After != "" || page.Before != "" {
			t.Errorf("%s: read %v, want %v; %+v %v", what, store.read, c.want, page, err)
		}
	}
	store := &days{}
	if _, err := (&vault.Events{Store: store, Clock: func() time.Time { return now }}).List(t.Context(), &vault.Visit{}, vault.EventQuery{Limit: 10}); err != nil || len(store.read) != 31 {
		t.Errorf("a month is %d days: %v", len(store.read), err)
	}
}
