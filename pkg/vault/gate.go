package vault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/apikey"
	"keyvend/pkg/audit"
	"keyvend/pkg/fault"
	"keyvend/pkg/ident"
	"keyvend/pkg/seal"
	"keyvend/pkg/session"
	"keyvend/pkg/tenant"
)

const retryAfter = time.Second

// ErrUnauthorized is the answer to whoever has no valid API key, whatever is
// wrong with his.
var ErrUnauthorized = fault.New(fault.Unauthorized, "unauthorized", "Unauthorized")

// ErrEnded is the private cause of ErrUnauthorized for whoever brings a browser's
// token that keyvend gave out and that has had its time, or was ended: he guesses
// nothing.
var ErrEnded = errors.New("vault: a genuine token that holds no more")

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
	View // its APIKey is the one with whose rights is acted
	Unlocked
	// Session is what a browser's token states; nil: an API key itself was brought.
	Session *session.Claims
	// proven reports whether who asks is who he says, on the rows of a visit.
	proven func(*Visit) bool
	// left: its user or organization was offboarded after it was admitted.
	left bool
}

// anew is the visit about target on rows that are read now, which may no longer
// admit whoever asks.
func (v *Visit) anew(ctx context.Context, rows Reader, target Target) (*Visit, error) {
	view, err := rows.Load(ctx, target)
	if err != nil {
		return nil, err
	}
	fresh := *v
	fresh.Target, fresh.View = target, view
	fresh.left = v.left || view.Departure.OffboardedAt.After(v.Departure.OffboardedAt) ||
		view.Organization.OffboardedAt.After(v.View.Organization.OffboardedAt)
	switch {
	case v.proven != nil && !v.proven(&fresh):
		return nil, ErrUnauthorized.Because(ErrEnded)
	case view.Damaged != nil:
		return nil, view.Damaged
	}
	return &fresh, nil
}

// asOf is the account.Account.AsOf of what is made with a widget token.
func (v *Visit) asOf() time.Time {
	if v.Session == nil || v.Session.User == "" {
		return time.Time{}
	}
	return v.Session.IssuedAt.Add(-skew)
}

// actor is who acts, and where: an API key, also by the session that it began, or
// the user whose widget token was brought.
func (v *Visit) actor() (id string, in account.Place) {
	switch {
	case v.Session == nil:
		return v.Target.APIKey, account.InAPI
	case v.Session.User != "":
		return v.Session.User, account.InWidget
	default:
		return v.Target.APIKey, account.InDashboard
	}
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
	// LoopbackOrigins lets pages of this machine use widget tokens, whatever a
	// tenant's settings say: for laptops.
	LoopbackOrigins bool
}

// Admit reads what the request is about and checks, in one pass whatever is
// wrong, that who is a living API key of its tenant, or a living session, whose
// scopes include need.
func (g *Gate) Admit(ctx context.Context, who Caller, need apikey.Scope, target Target) (*Visit, error) {
	visit, err := g.enter(ctx, who, need, target)
	if err != nil {
		return nil, err
	}
	if !visit.View.APIKey.Allows(need) {
		return nil, g.deny(ctx, visit, need)
	}
	return visit, nil
}

// AdmitWidget is Admit for who brings a widget token: whatever the target says,
// it becomes about the token's user and organization, and nobody else's. page is
// where the request comes from; need is "" where every user's token will do.
func (g *Gate) AdmitWidget(ctx context.Context, token session.Token, page Page, need session.Permission, target Target) (*Visit, error) {
	claims := token.Claims()
	target.User, target.Organization, target.WithDeparture = claims.User, claims.Organization, true
	visit, err := g.enter(ctx, byToken{token, seal.WidgetToken}, "", target)
	switch {
	case err != nil:
		return nil, err
	case !page.allowed(visit.Settings.AllowedOrigins, g.LoopbackOrigins):
		return nil, ErrOrigin
	case need != "" && (claims.Organization == "" || !slices.Contains(claims.Permissions, need)):
		return nil, errPermission
	}
	return visit, nil
}

// enter admits whoever is who he says.
func (g *Gate) enter(ctx context.Context, who Caller, need apikey.Scope, target Target) (*Visit, error) {
	target.Tenant, target.APIKey = who.TenantID(), who.KeyID()
	genuine, known := g.recall(who)
	switch {
	case known && !genuine:
		return nil, ErrUnauthorized
	case known && who.expired(g.Clock.Now()):
		return nil, ErrUnauthorized.Because(ErrEnded)
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
	visit := &Visit{Target: target, View: view, Unlocked: keys}
	visit.proven = func(v *Visit) bool {
		t := v.View.Tenant
		return t != nil && t.Status == tenant.Active && who.proves(v, need, g.Clock.Now())
	}
	if !visit.proven(visit) {
		return nil, refusal(who, keys.Ingest)
	}
	if view.Damaged != nil {
		return nil, view.Damaged
	}
	return visit, nil
}

// refusal tells a browser's token that is no more from whatever else is refused.
func refusal(who Caller, key *seal.IngestKey) error {
	if _, isToken := who.(byToken); isToken && who.genuine(key) {
		return ErrUnauthorized.Because(ErrEnded)
	}
	return ErrUnauthorized
}

// Origins are those of the pages that may show a tenant's widget; none when there
// is no such tenant.
func (g *Gate) Origins(ctx context.Context, tenantID string) ([]string, error) {
	view, err := g.Rows.Load(ctx, Target{Tenant: tenantID})
	if err = errors.Join(err, view.Damaged); err != nil {
		return nil, err
	}
	if view.Tenant == nil || view.Tenant.Status != tenant.Active {
		return nil, nil
	}
	// They become part of a policy, to which an edited row must add nothing.
	origins := slices.DeleteFunc(slices.Clone(view.Settings.AllowedOrigins), func(origin string) bool { return !validOrigin(origin) })
	if g.LoopbackOrigins {
		origins = append(origins, "http://localhost:*", "http://127.0.0.1:*")
	}
	return origins, nil
}

// Recognizes reports, without any I/O, whether who is certain to bring what
// keyvend gave out: his tenant's key is in memory and proves it. Whether it is
// still good, only rows say.
func (g *Gate) Recognizes(who Caller) bool {
	genuine, _ := g.recall(who)
	return genuine
}

// RecognizesWidget is Recognizes for who brings a widget token.
func (g *Gate) RecognizesWidget(token session.Token) bool {
	return g.Recognizes(byToken{token, seal.WidgetToken})
}

// recall tells what the key of the caller's tenant says of him. known is false
// when that key is not in memory.
func (g *Gate) recall(who Caller) (genuine, known bool) {
	key, known := g.Keys.Recall(who.TenantID())
	return known && who.genuine(key), known
}

func (g *Gate) rows(genuine bool) Reader {
	if genuine && g.Recent != nil {
		return g.Recent
	}
	return g.Rows
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
