// Package boot puts keyvend together: from a validated configuration to the
// handlers that each function serves. It is the only reader of the environment.
package boot

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"

	"keyvend/pkg/api"
	"keyvend/pkg/audit"
	"keyvend/pkg/feed"
	"keyvend/pkg/ident"
	"keyvend/pkg/operator"
	"keyvend/pkg/seal"
	"keyvend/pkg/store"
	"keyvend/pkg/table"
	"keyvend/pkg/trail"
	"keyvend/pkg/vault"
)

// Parts are what differs between AWS and a laptop.
type Parts struct {
	Table   table.Table
	Wrapper seal.Wrapper
	Ring    seal.Config // which keys, and how long unwrapped ones are kept
	Audit   audit.Log
	Log     *slog.Logger
	Clock   ident.Clock // nil: the real one
	// InOrder says that one process alone makes events, in the order of the
	// changes, so that GET /events need not keep the youngest back.
	InOrder bool
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

// Whole serves everything that has a path from one handler.
func (a *App) Whole() http.Handler { return api.Join(a.providers(), a.keys(), a.vend()) }

// Sweep is the function "sweep". What triggered it does not matter.
func (a *App) Sweep(ctx context.Context, _ json.RawMessage) (vault.Swept, error) {
	sweeper := vault.Sweeper{Store: a.store, Clock: a.parts.Clock, Log: a.parts.Log}
	return sweeper.Sweep(ctx)
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
		Publisher: &vault.Outbox{Store: a.store, Bus: bus, Clock: a.parts.Clock, Log: a.parts.Log},
		Commit:    store.Commit,
		Aside:     aside,
		Log:       a.parts.Log,
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
	return a.ingesting(slices.Concat(api.Providers(
		&vault.Registry{Store: a.store, Clock: a.parts.Clock},
		&vault.Organizations{Store: a.store, Clock: a.parts.Clock},
		&vault.Settings{Store: a.store},
		&vault.Freezes{Store: a.store, Clock: a.parts.Clock},
	), api.Events(
		&vault.Events{Store: a.store, Clock: a.parts.Clock, InOrder: a.parts.InOrder},
	), api.Usage(
		&vault.Usage{Store: a.store, Clock: a.parts.Clock},
	)))
}

func (a *App) keys() *api.Server {
	return a.ingesting(api.Keys(
		&vault.Accounts{Store: a.store, Clock: a.parts.Clock, Log: a.parts.Log},
		&vault.APIKeys{Store: a.store, Clock: a.parts.Clock},
		&vault.Directory{Store: a.store, Clock: a.parts.Clock},
		&vault.Offboarding{Store: a.store, Clock: a.parts.Clock},
	))
}

// ingesting serves routes with keys that can put secrets in and read none back.
func (a *App) ingesting(routes []api.Route) *api.Server {
	return a.server(vault.IngestKeys{Ring: a.ring()}, nil, routes)
}

func (a *App) vend() *api.Server {
	keys := vault.OpeningKeys{Ring: a.ring(), Blobs: a.store}
	vender := &vault.Vender{Keys: keys, Audit: a.parts.Audit, Clock: a.parts.Clock, Log: a.parts.Log}
	return a.server(keys, a.parts.Audit, api.Vend(vender))
}

func (a *App) server(keys vault.Keyring, log audit.Log, routes []api.Route) *api.Server {
	gate := &vault.Gate{Rows: a.store, Keys: keys, Clock: a.parts.Clock, Audit: log}
	return api.New(api.Config{Gate: gate, Clock: a.parts.Clock, Log: a.parts.Log}, routes...)
}

// ring is a key ring of its own for each function, as in AWS: what one has
// unwrapped is of no use to another.
func (a *App) ring() *seal.Ring { return seal.NewRing(a.parts.Wrapper, a.parts.Ring) }
