package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// session is one run.
type session struct {
	options
	*client
	local  *local // nil: somebody else's keyvend
	slug   string
	report report
	say    func(format string, args ...any)

	removed   string            // id of the integration that is deleted with all its accounts
	ids       []string          // of those accounts, sorted
	rate      float64           // of upserts, a second
	deletedAt time.Time         //
	survivors map[string]string // user → secret, of accounts made after the DELETE
}

// run makes the accounts, lists them, deletes the integration, kills, and sees
// what is left.
func run(ctx context.Context, o options, out, progress io.Writer) (err error) {
	s := &session{
		options: o, slug: "load-" + strings.ToLower(rand.Text()), survivors: map[string]string{},
		say: func(format string, args ...any) { _, _ = fmt.Fprintf(progress, format+"\n", args...) },
	}
	s.report.title = fmt.Sprintf("%s accounts, %d writers, %d cores", number(o.accounts), o.writers, runtime.NumCPU())
	defer func() { err = errors.Join(err, s.close()) }()
	for _, step := range []func(context.Context) error{
		s.connect, s.register, s.fill, s.pages, s.walk, s.remove, s.killing, s.told, s.living, s.empty,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	s.report.print(out)
	return nil
}

func (s *session) close() error {
	if s.local == nil {
		return nil
	}
	return s.local.remove()
}

// connect finds the keyvend, or starts one.
func (s *session) connect(ctx context.Context) (err error) {
	if s.env == "" {
		s.say("starting infra/local")
		if s.local, err = buildLocal(ctx); err == nil {
			s.client, err = s.local.start(ctx)
		}
		return err
	}
	if s.client, err = clientOf(s.env); err != nil {
		return err
	}
	if !s.near() && !s.anywhere {
		return fmt.Errorf("%s is not on this machine: give -anywhere if that is meant", s.base)
	}
	return nil
}

// register makes an integration that nobody else has.
func (s *session) register(ctx context.Context) error {
	var made struct{ ID string }
	err := s.call(ctx, http.StatusCreated, http.MethodPost, "/data-integrations", map[string]any{
		"provider": s.slug, "custom_provider": map[string]string{"name": "Load"},
		"auth_methods": []string{"api_key"}, "enabled": true,
	}, &made)
	if s.removed == "" {
		s.removed = made.ID
	}
	return err
}

func userName(n int) string { return fmt.Sprintf("load-%06d", n) }

// newSecret is a secret like no other.
func newSecret() string { return "sk-canary-" + rand.Text() }

// fill makes the accounts.
func (s *session) fill(ctx context.Context) error {
	s.say("making %s accounts", number(s.accounts))
	s.ids = make([]string, s.accounts)
	began := time.Now()
	err := sideBySide(ctx, s.writers, s.accounts, func(ctx context.Context, n int) (err error) {
		s.ids[n], err = s.upsert(ctx, s.slug, userName(n), newSecret())
		return err
	})
	took := time.Since(began)
	s.rate = float64(s.accounts) / took.Seconds()
	slices.Sort(s.ids)
	s.report.fact("upserts", "%s, %s a second", round(took), number(int(s.rate)))
	return err
}

// sideBySide does n things, some at a time, up to the first that fails.
func sideBySide(ctx context.Context, workers, n int, do func(ctx context.Context, i int) error) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var next atomic.Int64
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(ctx, i); err != nil {
					stop(err)
				}
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}

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

// remove deletes the integration, and registers it anew with two accounts: one
// of a user who had one before, one of another.
func (s *session) remove(ctx context.Context) error {
	s.say("deleting the integration")
	began := time.Now()
	if err := s.call(ctx, http.StatusNoContent, http.MethodDelete, "/data-integrations/"+s.slug, nil, nil); err != nil {
		return err
	}
	s.deletedAt = time.Now()
	s.report.fact("DELETE of the integration", "%s", round(s.deletedAt.Sub(began)))
	for _, query := range []string{"integration=" + s.slug, "order=desc"} {
		began := time.Now()
		left, _, err := s.list(ctx, query)
		if err != nil {
			return err
		}
		for _, id := range left {
			if _, ours := slices.BinarySearch(s.ids, id); ours {
				return fmt.Errorf("%s is listed by %s after the integration was deleted", id, query)
			}
		}
		s.report.fact("the next list, empty: "+strings.ReplaceAll(query, s.slug, "…"), "%s", round(time.Since(began)))
	}
	if err := s.register(ctx); err != nil {
		return err
	}
	return errors.Join(s.survive(ctx, userName(s.accounts-1)), s.survive(ctx, "survivor"))
}

// survive makes an account under the new registration.
func (s *session) survive(ctx context.Context, user string) error {
	s.survivors[user] = newSecret()
	id, err := s.upsert(ctx, s.slug, user, s.survivors[user])
	if _, old := slices.BinarySearch(s.ids, id); old {
		return fmt.Errorf("the account of %s came back with the id that it had before", user)
	}
	return err
}

// faster is how much faster, at a guess, accounts are deleted than made.
const faster = 3

// killing kills infra/local while it deletes the accounts, so that about as many
// go between two kills, and starts it again.
func (s *session) killing(ctx context.Context) error {
	if s.local == nil {
		return nil
	}
	var lefts []string
	left, rate := s.accounts, s.rate*faster
	for n := range s.kills {
		wait := time.Duration(float64(left) / float64(s.kills-n+2) / rate * float64(time.Second))
		if err := pause(ctx, wait); err != nil {
			return err
		}
		s.local.kill()
		there, err := s.local.count(ctx)
		if err != nil {
			return err
		}
		before := left
		left = max(0, there.rows-len(s.survivors))
		lefts = append(lefts, number(left))
		s.say("killed; %s are left", number(left))
		rate = max(rate/2, float64(before-left)/wait.Seconds())
		if s.client, err = s.local.start(ctx); err != nil {
			return err
		}
		if err := s.survive(ctx, userName(n)); err != nil {
			return err
		}
	}
	s.report.fact(fmt.Sprintf("left at each of %d kills", s.kills), "%s", strings.Join(lefts, " · "))
	return nil
}

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

// living sees that what was made under the new registration lives, and nothing
// else does.
func (s *session) living(ctx context.Context) error {
	for user, secret := range s.survivors {
		var vended struct {
			Credential struct{ Value string }
		}
		err := s.call(ctx, http.StatusOK, http.MethodPost, "/data-integrations/"+s.slug+"/credentials", map[string]string{"user_id": user}, &vended)
		if err != nil {
			return err
		}
		if vended.Credential.Value != secret {
			return fmt.Errorf("the account of %s under the new registration did not survive", user)
		}
	}
	listed, _, err := s.list(ctx, "limit=100&integration="+s.slug)
	if err == nil && len(listed) != min(perPage, len(s.survivors)) {
		err = fmt.Errorf("%d accounts are listed, and %d were made under the new registration", len(listed), len(s.survivors))
	}
	return err
}

// empty counts what is left: the survivors, in the table and in both indexes. Of
// somebody else's keyvend only they are deleted.
func (s *session) empty(ctx context.Context) error {
	if s.local == nil {
		return s.call(ctx, http.StatusNoContent, http.MethodDelete, "/data-integrations/"+s.slug, nil, nil)
	}
	if err := s.local.stop(); err != nil {
		return err
	}
	left, err := s.local.count(ctx)
	if err != nil {
		return err
	}
	if n := len(s.survivors); left != (census{n, n, n}) {
		return fmt.Errorf("%d rows and %d and %d index entries are left, and %d accounts live", left.rows, left.list, left.ids, n)
	}
	s.report.fact("left in the end", "%d rows, %d and %d index entries: the accounts made since", left.rows, left.list, left.ids)
	return nil
}
