package store

import (
	"strings"

	"keyvend/pkg/account"
	"keyvend/pkg/apikey"
	"keyvend/pkg/event"
	"keyvend/pkg/health"
	"keyvend/pkg/integration"
	"keyvend/pkg/removal"
	"keyvend/pkg/table"
	"keyvend/pkg/tenant"
	"keyvend/pkg/vault"
)

// Who a row is comes from its key, never from its content: a row copied to
// another place is that place's row, and its secret does not open there.

func asTenant(id string) func(*tenant.Tenant, table.Item) {
	return func(t *tenant.Tenant, item table.Item) {
		t.ID, t.Keys.Tenant, t.Revision = id, id, item.Revision
	}
}

func asSettings(s *tenant.Settings, item table.Item) { s.Revision = item.Revision }

func asOrganization(o *tenant.Organization, item table.Item) { o.Revision = item.Revision }

func asDeparture(d *tenant.Departure, item table.Item) { d.Revision = item.Revision }

func asAPIKey(tenant, id string) func(*apikey.Key, table.Item) {
	return func(k *apikey.Key, item table.Item) {
		k.Tenant, k.ID, k.Revision = tenant, id, item.Revision
	}
}

func asIntegration(tenant string) func(*integration.Integration, table.Item) {
	return func(in *integration.Integration, item table.Item) {
		in.Tenant, in.Slug, in.Revision = tenant, item.SK[len(integrationPrefix):], item.Revision
	}
}

func asOverride(o *integration.Override, item table.Item) { o.Revision = item.Revision }

// asCheck fills in whose key a check is of from its row's key.
func asCheck(c *health.Check, item table.Item) {
	c.Tenant, c.Slug, c.Owner, _ = parseAccountKey(accountOf(item.Key))
	c.Revision = item.Revision
}

func asRemoval(r *removal.Job, item table.Item) {
	r.ID, r.Revision = item.SK, item.Revision
}

func asEvent(tenant string) func(*vault.StoredEvent, table.Item) {
	return func(e *vault.StoredEvent, item table.Item) {
		if e.Event.ID != item.SK || e.Event.Name == "" { // damaged: which event it was is all that is known
			*e = vault.StoredEvent{Event: event.Event{ID: item.SK}}
		}
		e.Tenant, e.Revision = tenant, item.Revision
	}
}

// damaged is an account whose row does not decode. That is no error of whoever
// reads it: it must neither stop a sweep or a listing of others, nor keep its
// user from storing a key anew.
func damaged(item table.Item) account.Account {
	a := account.Account{Damaged: true, ID: item.Index[idIndex].SK}
	if parts := strings.Split(item.Index[listIndex].PK, "#"); len(parts) == 4 {
		a.IntegrationID = parts[2]
	}
	return a
}

// asAccount fills in who the account is from its key. A key that is none leaves
// the account without owner, and so of no use to anyone.
func asAccount(a *account.Account, item table.Item) {
	a.Tenant, a.Slug, a.Owner, _ = parseAccountKey(item.Key)
	a.Revision = item.Revision
}
