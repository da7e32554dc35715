package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const perPage = 100

// listing is one way to list the accounts.
type listing struct {
	order  string
	filter string
	exact  bool // lists our accounts and no others
}

// page asks for what is behind the first `skip` of our accounts.
func (s *session) page(ctx context.Context, l listing, skip int) error {
	want := slices.Clone(s.ids)
	cursor := "after"
	if l.order != "asc" {
		slices.Reverse(want)
	}
	if l.order == "normal" {
		cursor = "before"
	}
	query := url.Values{"limit": {fmt.Sprint(perPage)}, "order": {l.order}}
	if skip > 0 {
		query.Set(cursor, want[skip-1])
	}
	got, _, err := s.list(ctx, query.Encode()+l.filter)
	if err != nil {
		return err
	}
	want = want[skip:min(len(want), skip+perPage)]
	if l.exact && !slices.Equal(got, want) || len(got) < len(want) {
		return fmt.Errorf("order=%s%s: the page behind %d accounts holds %d others than those %d that belong there", l.order, l.filter, skip, len(got), len(want))
	}
	return nil
}

// list is the ids of one page of accounts and the cursor to the next.
func (s *session) list(ctx context.Context, query string) (ids []string, after string, err error) {
	var page struct {
		Data     []struct{ ID string }
		Metadata struct{ After string } `json:"list_metadata"`
	}
	err = s.call(ctx, http.StatusOK, http.MethodGet, "/keyvend/accounts?"+query, nil, &page)
	for _, row := range page.Data {
		ids = append(ids, row.ID)
	}
	return ids, page.Metadata.After, err
}

// pages times pages at the beginning, in the middle and at the end.
func (s *session) pages(ctx context.Context) error {
	s.say("listing them")
	for _, order := range []string{"asc", "desc", "normal"} {
		for _, l := range []listing{
			{order, "&integration=" + s.slug, true},
			{order, "&integration=" + s.slug + "&state=connected", true},
			{order, "", s.local != nil},
		} {
			row := []string{"order=" + order + strings.ReplaceAll(l.filter, s.slug, "…")}
			for _, skip := range []int{0, s.accounts / 2, max(0, s.accounts-perPage)} {
				times := make([]time.Duration, samples)
				for i := range times {
					began := time.Now()
					if err := s.page(ctx, l, skip); err != nil {
						return err
					}
					times[i] = time.Since(began)
				}
				row = append(row, timing(times))
			}
			s.report.pages = append(s.report.pages, row)
		}
	}
	return nil
}

// walk follows the cursors from the first page to the last.
func (s *session) walk(ctx context.Context) error {
	began, pages := time.Now(), 0
	var all []string
	for after := ""; ; {
		page, next, err := s.list(ctx, fmt.Sprintf("order=asc&limit=%d&integration=%s%s", perPage, s.slug, after))
		if err != nil {
			return err
		}
		all, pages = append(all, page...), pages+1
		if next == "" {
			break
		}
		after = "&after=" + next
	}
	if !slices.Equal(all, s.ids) {
		return fmt.Errorf("following the cursors meets %d accounts, and there are %d, each of which belongs there once", len(all), len(s.ids))
	}
	s.report.fact("all pages, each account once", "%s in %s", number(pages), round(time.Since(began)))
	return nil
}
