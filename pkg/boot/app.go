// Package boot puts keyvend together: from a validated configuration to the
// handlers that each function serves. It is the only reader of the environment.
package boot

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"

	"keyvend/pkg/api"
	"keyvend/pkg/audit"
	"keyvend/pkg/feed"
	"keyvend/pkg/health"
	"keyvend/pkg/ident"
	"keyvend/pkg/operator"
	"keyvend/pkg/queue"
	"keyvend/pkg/seal"
	"keyvend/pkg/store"
	"keyvend/pkg/table"
	"keyvend/pkg/trail"
	"keyvend/pkg/vault"
	"keyvend/pkg/web"
)

// Parts are what differs between AWS and a laptop.
type Parts struct {
	Table   table.Table
	Wrapper seal.Wrapper
	Ring    seal.Config        // which keys, and how long unwrapped ones are kept
	Rows    store.RecentConfig // how long Vend keeps rows; a TTL of 0: not at all
	Audit   audit.Log
	Log     *slog.Logger
	Clock   ident.Clock // nil: the real one
	// Asker asks providers whether keys work, and Checks brings requests for that
	// to the function "health". Functions that do neither have none.
	Asker  health.Asker
	Checks vault.CheckQueue
	// InOrder says that one process alone makes events, in the order of the
	// changes, so that GET /events need not keep the youngest back.
	InOrder bool
	// LoopbackOrigins lets pages of this machine use widget tokens: for laptops.
	LoopbackOrigins bool
}

// App makes the handlers of the functions.
type App struct {
	parts Parts
	store *store.Store
}

// New makes an App of its parts.
func New(p Parts) *App {
	return &App{parts: p, store: &store.Store{Table: p.Table, Clock: p.Clock}}
}

// Providers is the handler of the function "providers".
func (a *App) Providers() http.Handler { return a.providers() }

// Keys is the handler of the function "keys".
func (a *App) Keys() http.Handler { return a.keys() }

// Vend is the handler of the function "vend".
func (a *App) Vend() http.Handler { return a.vend() }

// Widget is the handler of the function "widget".
func (a *App) Widget() http.Handler { return a.widget() }

// Whole serves everything that has a path from one handler.
func (a *App) Whole() http.Handler { return api.Join(a.providers(), a.keys(), a.vend(), a.widget()) }

// Swept is what one run of the function "sweep" did.
type Swept struct {
	vault.Swept
	Checks vault.Planned `json:"checks"`
}

// Sweep is the function "sweep". What triggered it does not matter. Checks go
// first: they are quickly planned, and a large removal takes all the time there is.
func (a *App) Sweep(ctx context.Context, _ json.RawMessage) (swept Swept, err error) {
	schedule := vault.Schedule{Store: a.store, Queue: a.parts.Checks, Clock: a.parts.Clock, Log: a.parts.Log}
	sweeper := vault.Sweeper{Store: a.store, Clock: a.parts.Clock, Log: a.parts.Log}
	var planned, removed error
	swept.Checks, planned = schedule.Run(ctx)
	swept.Swept, removed = sweeper.Sweep(ctx)
	return swept, errors.Join(planned, removed)
}

// Checker looks at keys for the function "health".
func (a *App) Checker() *vault.Checker {
	return &vault.Checker{
		Store:    a.store,
		Keys:     vault.OpeningKeys{Ring: a.ring(), Blobs: a.store},
		Examiner: a.examiner(),
		Queue:    a.parts.Checks,
		Clock:    a.parts.Clock,
		Log:      a.parts.Log,
	}
}

// Health is the function "health": it makes the checks that a queue brings.
func (a *App) Health() func(context.Context, queue.Event) (queue.Failures, error) {
	checker := a.Checker()
	return queue.Batch(
		func(ctx context.Context, messages []queue.Message[vault.CheckRequest]) []string {
			return a.check(ctx, checker, messages)
		},
		func(ctx context.Context, u queue.Unread) error {
			a.parts.Log.ErrorContext(ctx, "a request for a check cannot be read", "alarm", "poison", "message", u.ID, "error", u.Reason)
			return nil
		},
	)
}

// check makes the checks of a batch side by side and returns the ids of those
// that have to come again.
func (a *App) check(ctx context.Context, checker *vault.Checker, messages []queue.Message[vault.CheckRequest]) []string {
	errs := make([]error, len(messages))
	var wait sync.WaitGroup
	for i, m := range messages {
		wait.Go(func() { errs[i] = a.checkOne(ctx, checker, m.Body) })
	}
	wait.Wait()
	var failed []string
	for i, err := range errs {
		if err != nil {
			a.parts.Log.ErrorContext(ctx, "a check has to be made again", "message", messages[i].ID, "receives", messages[i].Receives, "error", err)
			failed = append(failed, messages[i].ID)
		}
	}
	return failed
}

// checkOne makes one check. A panic is that check's alone.
func (a *App) checkOne(ctx context.Context, checker *vault.Checker, r vault.CheckRequest) (err error) {
	defer func() {
		if p := recover(); p != nil {
			a.parts.Log.ErrorContext(ctx, "panic", "alarm", "panic", "place", string(debug.Stack())) // p may hold a value
			err = errPanic
		}
	}()
	return checker.Check(ctx, r)
}

var errPanic = errors.New("boot: a check panicked")

func (a *App) examiner() *health.Examiner {
	return &health.Examiner{Asker: a.parts.Asker, Clock: a.parts.Clock}
}

// verifier verifies keys before they are stored.
func (a *App) verifier() *vault.Verifier {
	return &vault.Verifier{Store: a.store, Examiner: a.examiner(), Clock: a.parts.Clock, Log: a.parts.Log}
}

// Tenants is the function "tenants".
func (a *App) Tenants() func(context.Context, operator.Request) (operator.Response, error) {
	desk := operator.Desk{Tenants: &vault.Tenants{Store: a.store, Ring: a.ring(), Clock: a.parts.Clock}}
	return desk.Handle
}

// Outbox brings events of changes to bus, and changes that cannot be read to
// aside.
func (a *App) Outbox(bus vault.Bus, aside feed.Aside) *feed.Outbox {
	return &feed.Outbox{
		Publisher: &vault.Outbox{
			Store:     a.store,
			Enrolment: &vault.Enrolment{Store: a.store, Clock: a.parts.Clock},
			Bus:       bus,
			Clock:     a.parts.Clock,
			Log:       a.parts.Log,
		},
		Commit: store.Commit,
		Aside:  aside,
		Log:    a.parts.Log,
	}
}

// Ledger is the function "ledger".
func (a *App) Ledger() func(context.Context, trail.Event) (vault.Entered, error) {
	return trail.Handler(a.ledger())
}

// Trail does what the function "ledger" does with the lines of a file.
func (a *App) Trail(file trail.File) *trail.Follower {
	return &trail.Follower{Ledger: a.ledger(), Positions: a.store, File: file, Log: a.parts.Log}
}

func (a *App) ledger() *vault.Ledger {
	return &vault.Ledger{Store: a.store, Clock: a.parts.Clock, Log: a.parts.Log}
}

func (a *App) providers() *api.Server {
	return a.managed(a.ring(), slices.Concat(api.Providers(
		&vault.Registry{Store: a.store, Verify: a.verifier(), Clock: a.parts.Clock},
		a.organizations(),
		&vault.Settings{Store: a.store, Clock: a.parts.Clock},
		&vault.Freezes{Store: a.store, Clock: a.parts.Clock},
	), api.Events(
		&vault.Events{Store: a.store, Clock: a.parts.Clock, InOrder: a.parts.InOrder, Log: a.parts.Log},
	), api.Usage(
		&vault.Usage{Store: a.store, Clock: a.parts.Clock},
	)))
}

func (a *App) keys() *api.Server {
	ring := a.ring()
	return a.managed(ring, api.Keys(
		a.accounts(),
		&vault.APIKeys{Store: a.store, Clock: a.parts.Clock},
		a.directory(),
		&vault.Looks{Directory: a.directory(), Queue: a.parts.Checks, Clock: a.parts.Clock},
		&vault.Offboarding{Store: a.store, Clock: a.parts.Clock},
		&vault.Sessions{Store: a.store, Keys: vault.SigningKeys{Ring: ring, Blobs: a.store}, Clock: a.parts.Clock},
	))
}

func (a *App) widget() *api.Server {
	gate := a.gate(vault.IngestKeys{Ring: a.ring()})
	gate.LoopbackOrigins = a.parts.LoopbackOrigins
	return api.New(a.config(gate), slices.Concat(api.Widget(
		&vault.Mine{Accounts: a.accounts(), Directory: a.directory()},
		a.organizations(),
	), api.Pages(
		web.New(),
	))...)
}

func (a *App) accounts() *vault.Accounts {
	return &vault.Accounts{Store: a.store, Verify: a.verifier(), Clock: a.parts.Clock, Log: a.parts.Log}
}

func (a *App) directory() *vault.Directory {
	return &vault.Directory{Store: a.store, Clock: a.parts.Clock}
}

func (a *App) organizations() *vault.Organizations {
	return &vault.Organizations{Store: a.store, Clock: a.parts.Clock}
}

// managed serves routes for API keys and dashboard sessions, with keys that can
// put secrets in and read none back.
func (a *App) managed(ring *seal.Ring, routes []api.Route) *api.Server {
	cfg := a.config(a.gate(vault.IngestKeys{Ring: ring}))
	cfg.Sessions = true
	return api.New(cfg, routes...)
}

func (a *App) vend() *api.Server {
	keys := vault.OpeningKeys{Ring: a.ring(), Blobs: a.store}
	vender := &vault.Vender{Keys: keys, Audit: a.parts.Audit, Clock: a.parts.Clock, Log: a.parts.Log}
	reports := &vault.Looks{Queue: a.parts.Checks, Clock: a.parts.Clock}
	gate := a.gate(keys)
	gate.Audit = a.parts.Audit
	if a.parts.Rows.TTL > 0 {
		gate.Recent = store.NewRecent(a.store, a.parts.Rows)
	}
	return api.New(a.config(gate), api.Vend(vender, reports)...)
}

// gate decides every request on rows as they are now.
func (a *App) gate(keys vault.Keyring) *vault.Gate {
	return &vault.Gate{Rows: a.store, Keys: keys, Clock: a.parts.Clock}
}

func (a *App) config(gate *vault.Gate) api.Config {
	return api.Config{Gate: gate, Clock: a.parts.Clock, Log: a.parts.Log}
}

// ring is a key ring of its own for each function, as in AWS: what one has
// unwrapped is of no use to another.
func (a *App) ring() *seal.Ring { return seal.NewRing(a.parts.Wrapper, a.parts.Ring) }
