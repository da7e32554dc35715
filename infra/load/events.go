package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

const disconnected = "pipes.connected_account.disconnected"

// told waits until the end of each account was told: then no row is left.
func (s *session) told(ctx context.Context) error {
	s.say("waiting until the end of each account is told")
	events := map[string]string{} // account → its event
	from := "&range_start=" + s.deletedAt.Add(-time.Hour).UTC().Format(time.RFC3339)
	const again = 10 // looks that bring nothing, before all is looked at again
	for after, idle := "", 0; len(events) < s.accounts; {
		before := len(events)
		next, err := s.readEvents(ctx, from, after, events)
		if err == nil && len(events) == before {
			err = pause(ctx, 300*time.Millisecond)
		}
		if err != nil {
			return fmt.Errorf("the end of %s accounts of %s was told: %w", number(len(events)), number(s.accounts), err)
		}
		if after = next; len(events) > before {
			idle = 0
			continue
		}
		if idle++; idle == again { // one that came late may lie behind the cursor
			after, idle = "", 0
		}
	}
	s.report.fact("each account's end told, once", "%s after the DELETE", round(time.Since(s.deletedAt)))
	return nil
}

// readEvents reads all pages behind a cursor and returns the new one.
func (s *session) readEvents(ctx context.Context, from, after string, events map[string]string) (string, error) {
	for {
		query := "events=" + disconnected + "&order=asc&limit=100" + from
		if after != "" {
			query += "&after=" + after
		}
		var page struct {
			Data []struct {
				ID   string
				Data struct {
					ID          string
					Integration string `json:"data_integration_id"`
				}
			}
			Metadata struct{ After string } `json:"list_metadata"`
		}
		if err := s.call(ctx, http.StatusOK, http.MethodGet, "/events?"+query, nil, &page); err != nil {
			return after, err
		}
		for _, e := range page.Data {
			after = e.ID
			if e.Data.Integration != s.removed {
				continue
			}
			if other := events[e.Data.ID]; other != "" && other != e.ID {
				return after, fmt.Errorf("the end of %s was told twice: %s, %s", e.Data.ID, other, e.ID)
			}
			events[e.Data.ID] = e.ID
		}
		if page.Metadata.After == "" {
			return after, nil
		}
		after = page.Metadata.After
	}
}
