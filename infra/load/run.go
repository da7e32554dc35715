package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
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
	busy   atomic.Int64 // answers that said that keyvend was busy

	registered bool              // there is an integration of that slug
	removed    string            // id of the one that is deleted with all its accounts
	ids        []string          // of those accounts, sorted
	rate       float64           // of upserts, a second
	deletedAt  time.Time         // when the DELETE was answered
	survivors  map[string]string // user → secret, of accounts made since
}

// run makes the accounts, lists them, deletes the integration, kills, and sees
// what is left.
func run(ctx context.Context, o options, out, progress io.Writer) (err error) {
	s := &session{
		options: o, slug: "load-" + strings.ToLower(rand.Text()), survivors: map[string]string{},
		say: func(format string, args ...any) { _, _ = fmt.Fprintf(progress, format+"\n", args...) },
	}
	s.report.title = fmt.Sprintf("%s accounts, %d writers, %d cores", number(o.accounts), o.writers, runtime.NumCPU())
	defer func() {
		s.report.fact("answers that said busy, after which the request was sent again", "%s", number(int(s.busy.Load())))
		s.report.print(out) // of a run that fails too: what it found until then
		err = errors.Join(err, s.close())
	}()
	for _, step := range []func(context.Context) error{
		s.connect, s.register, s.fill, s.pages, s.walk, s.remove, s.killing, s.told, s.living, s.empty,
	} {
		if err := step(ctx); err != nil {
			s.report.title += ", broken off"
			return s.explain(err)
		}
	}
	return nil
}

// explain adds to an error what an infra/local of our own said last.
func (s *session) explain(err error) error {
	if s.local == nil {
		return err
	}
	return fmt.Errorf("%w\ninfra/local said last:\n%s", err, s.local.said())
}

// use speaks through c from now on.
func (s *session) use(c *client) {
	s.client = c
	if c != nil {
		c.busy = &s.busy
	}
}

// close ends and deletes an infra/local of our own, and of somebody else's
// keyvend what was made there.
func (s *session) close() error {
	if s.local != nil {
		return s.local.remove()
	}
	if !s.registered {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience) // ours may have ended
	defer cancel()
	return s.call(ctx, http.StatusNoContent, http.MethodDelete, "/data-integrations/"+s.slug, nil, nil)
}

// connect finds the keyvend, or starts one.
func (s *session) connect(ctx context.Context) (err error) {
	if s.env == "" {
		s.say("starting infra/local")
		if s.local, err = buildLocal(ctx); err != nil {
			return err
		}
		return s.start(ctx)
	}
	c, err := clientOf(s.env)
	if err != nil {
		return err
	}
	s.use(c)
	if !s.near() && !s.anywhere {
		return fmt.Errorf("%s is not on this machine: give -anywhere if that is meant", s.base)
	}
	return nil
}

// start starts infra/local and speaks to it.
func (s *session) start(ctx context.Context) error {
	c, err := s.local.start(ctx)
	s.use(c)
	return err
}

// register makes an integration that nobody else has.
func (s *session) register(ctx context.Context) error {
	var made struct{ ID string }
	err := s.call(ctx, http.StatusCreated, http.MethodPost, "/data-integrations", map[string]any{
		"provider": s.slug, "custom_provider": map[string]string{"name": "Load"},
		"auth_methods": []string{"api_key"}, "enabled": true,
	}, &made)
	s.registered = err == nil
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
	took, made := time.Since(began), len(slices.DeleteFunc(slices.Clone(s.ids), func(id string) bool { return id == "" }))
	s.rate = float64(made) / took.Seconds()
	slices.Sort(s.ids)
	s.report.fact("upserts", "%s in %s, %s a second", number(made), round(took), number(int(s.rate)))
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

// remove deletes the integration, and registers it anew with two accounts: one
// of a user who had one before, one of another.
func (s *session) remove(ctx context.Context) error {
	s.say("deleting the integration")
	began := time.Now()
	if err := s.call(ctx, http.StatusNoContent, http.MethodDelete, "/data-integrations/"+s.slug, nil, nil); err != nil {
		return err
	}
	s.registered, s.deletedAt = false, time.Now()
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
	var starts []time.Duration
	left, rate := s.accounts, s.rate*faster
	for n := range s.kills {
		wait := time.Duration(float64(left) / float64(s.kills-n+2) / rate * float64(time.Second))
		if err := pause(ctx, wait); err != nil {
			return err
		}
		s.local.kill()
		there, err := s.local.count()
		if err != nil {
			return err
		}
		before := left
		left = max(0, there.rows-len(s.survivors))
		lefts = append(lefts, number(left))
		s.say("killed; %s are left", number(left))
		rate = max(rate/2, float64(before-left)/wait.Seconds())
		began := time.Now()
		if err := s.start(ctx); err != nil {
			return err
		}
		starts = append(starts, time.Since(began))
		if err := s.survive(ctx, userName(n)); err != nil {
			return err
		}
	}
	if s.kills > 0 {
		s.report.fact(fmt.Sprintf("left at each of %d kills", s.kills), "%s", strings.Join(lefts, " · "))
		s.report.fact("answering again after a kill, median and worst", "%s", timing(starts))
	}
	return nil
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

// empty counts what is left: the survivors, in the table and in both indexes.
func (s *session) empty(context.Context) error {
	if s.local == nil {
		return nil // nobody outside can count
	}
	if err := s.local.stop(); err != nil {
		return err
	}
	left, err := s.local.count()
	if err != nil {
		return err
	}
	if n := len(s.survivors); left != (census{n, n, n}) {
		return fmt.Errorf("%d rows and %d and %d index entries are left, and %d accounts live", left.rows, left.list, left.ids, n)
	}
	s.report.fact("left in the end", "%d rows, %d and %d index entries: the accounts made since", left.rows, left.list, left.ids)
	return nil
}
