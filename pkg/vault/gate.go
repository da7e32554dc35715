package vault

import (
	"context"
	"errors"
	"fmt"
	"time"

	"keyvend/pkg/apikey"
	"keyvend/pkg/audit"
	"keyvend/pkg/fault"
	"keyvend/pkg/ident"
	"keyvend/pkg/seal"
	"keyvend/pkg/tenant"
)

const retryAfter = time.Second

// ErrUnauthorized is the answer to whoever has no valid API key, whatever is
// wrong with his.
var ErrUnauthorized = fault.New(fault.Unauthorized, "unauthorized", "Unauthorized")

// Keyring gives a tenant's keys to those whom KMS lets have them. Errors are
// package seal's.
type Keyring interface {
	// Recall is the tenant's ingest key if it is in memory: no I/O.
	Recall(tenant string) (*seal.IngestKey, bool)
	// Unlock unwraps what this function may unwrap of the tenant's keys.
	Unlock(ctx context.Context, t *tenant.Tenant) (Unlocked, error)
}

// Unlocked is what a function may use of a tenant's keys while it serves one
// request. Opening is nil where stored secrets cannot be read back.
type Unlocked struct {
	Ingest  *seal.IngestKey
	Opening *seal.OpeningKey
}

// Visit is a request that was admitted: who asks, about what, and what was
// found.
type Visit struct {
	Target
	View
	Unlocked
}

// Gate admits callers. It is the one place where that is decided.
type Gate struct {
	Rows Reader
	// Recent, when set, is read in the place of Rows for whoever Recognizes
	// knows: its rows may be some seconds old. Strangers are read for strictly, so
	// that they can neither fill a memory nor learn what is in it.
	Recent Reader
	Keys   Keyring
	Clock  ident.Clock
	// Audit, when set, is told of callers who are who they say and may not do
	// what they ask.
	Audit audit.Log
}

// Admit reads what the request is about and checks, in one pass whatever is
// wrong, that token is a living API key of its tenant whose scopes include need.
func (g *Gate) Admit(ctx context.Context, token apikey.Token, need apikey.Scope, target Target) (*Visit, error) {
	target.Tenant, target.APIKey = token.TenantID(), token.KeyID()
	genuine, known := g.recall(token)
	if known && !genuine {
		return nil, ErrUnauthorized
	}
	view, err := g.rows(genuine).Load(ctx, target)
	if err != nil {
		return nil, err
	}
	if view.Tenant == nil || view.Tenant.Status != tenant.Active {
		return nil, ErrUnauthorized
	}
	keys, err := g.Keys.Unlock(ctx, view.Tenant)
	if err != nil {
		return nil, sealFault(err)
	}
	if !g.proven(token, view.APIKey, need, keys) {
		return nil, ErrUnauthorized
	}
	if view.Damaged != nil {
		return nil, view.Damaged
	}
	visit := &Visit{Target: target, View: view, Unlocked: keys}
	if !view.APIKey.Allows(need) {
		return nil, g.deny(ctx, visit, need)
	}
	return visit, nil
}

// Recognizes reports, without any I/O, whether token is certain to be one that
// keyvend gave out: its tenant's key is in memory and proves it. Whether it is
// still good, only its row says.
func (g *Gate) Recognizes(token apikey.Token) bool {
	genuine, _ := g.recall(token)
	return genuine
}

// recall tells what the key of the token's tenant says of it. known is false
// when that key is not in memory.
func (g *Gate) recall(token apikey.Token) (genuine, known bool) {
	key, known := g.Keys.Recall(token.TenantID())
	return known && token.Genuine(key), known
}

func (g *Gate) rows(genuine bool) Reader {
	if genuine && g.Recent != nil {
		return g.Recent
	}
	return g.Rows
}

// proven does the same work for a row that is missing as for one that is there.
// Whoever wants to vend with a key that claims it has to show the second proof.
func (g *Gate) proven(token apikey.Token, key *apikey.Key, need apikey.Scope, keys Unlocked) bool {
	if key == nil {
		key = &apikey.Key{Tenant: token.TenantID(), ID: token.KeyID(), Scopes: []apikey.Scope{need}, RevokedAt: time.Unix(0, 0)}
	}
	genuine := token.Genuine(keys.Ingest)
	proves := key.Proves(token, keys.Ingest)
	if need == apikey.Vend && key.Allows(apikey.Vend) {
		proves = keys.Opening != nil && key.ProvesVend(token, keys.Opening) && proves
	}
	return genuine && proves && key.Usable(g.Clock.Now())
}

func (g *Gate) deny(ctx context.Context, v *Visit, need apikey.Scope) error {
	return g.Refuse(ctx, v, fault.Newf(fault.Forbidden, "insufficient_scope",
		"This API key lacks the scope %q. Use a key that has it.", need))
}

// Refuse tells the audit log, where there is one, that an admitted caller gets
// the given error instead of what he asked for, and returns what to answer.
func (g *Gate) Refuse(ctx context.Context, v *Visit, why error) error {
	if g.Audit == nil {
		return why
	}
	if err := g.Audit.Record(ctx, v.line(g.Clock, fault.As(why).Code, "")); err != nil {
		return fault.Busy(err)
	}
	return why
}

// line is the audit line about this visit.
func (v *Visit) line(clock ident.Clock, outcome, secretID string) audit.Line {
	line := audit.Line{
		At:           clock.Now(),
		Tenant:       v.Target.Tenant,
		APIKey:       v.Target.APIKey,
		Slug:         v.Slug,
		User:         v.User,
		Organization: v.Target.Organization,
		Outcome:      outcome,
		SecretID:     secretID,
	}
	if v.Integration != nil {
		line.IntegrationID = v.Integration.ID
	}
	return line
}

// sealFault says to a caller what went wrong with keys: come again when that
// may help, else the fixed sentence for what only the operator can mend.
func sealFault(err error) error {
	if errors.Is(err, seal.ErrUnavailable) {
		return fault.Busy(err)
	}
	return fmt.Errorf("vault: keys: %w", err)
}
