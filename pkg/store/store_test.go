package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/apikey"
	"keyvend/pkg/fault"
	"keyvend/pkg/ident"
	"keyvend/pkg/integration"
	"keyvend/pkg/removal"
	"keyvend/pkg/seal"
	"keyvend/pkg/store"
	"keyvend/pkg/table"
	"keyvend/pkg/table/bolt"
	"keyvend/pkg/table/tabletest"
	"keyvend/pkg/tenant"
	"keyvend/pkg/vault"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const tenantID = "tenant_01ARZ3NDEKTSV4RRFFQ69G5FAV"

// stores is a store over a table with faults, and one beneath that sees what is
// there. Time stands still.
type stores struct {
	*store.Store
	faults *tabletest.Faulty
	truth  *store.Store
	engine table.Table
}

func over(t *testing.T, engine table.Table) stores {
	t.Helper()
	clock := ident.Clock(func() time.Time { return start })
	faults := tabletest.Faults(t, engine)
	return stores{
		Store:  &store.Store{Table: faults, Clock: clock},
		faults: faults,
		truth:  &store.Store{Table: engine, Clock: clock},
		engine: engine,
	}
}

func onBolt(t *testing.T) stores {
	t.Helper()
	engine, err := bolt.Config{Now: func() time.Time { return start }}.Open(filepath.Join(t.TempDir(), "keyvend.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return over(t, engine)
}

func newIntegration(slug string) *integration.Integration {
	text := "why"
	return &integration.Integration{
		ID: "data_integration_" + slug, Tenant: tenantID, Slug: slug, Name: "Name", AuthMethod: integration.APIKey,
		Description: &text, Enabled: true, CreatedAt: start, UpdatedAt: start,
	}
}

func newAccount(slug, user, organization string) *account.Account {
	return &account.Account{
		ID: "data_installation_" + slug + user + organization, Tenant: tenantID, IntegrationID: "data_integration_" + slug, Slug: slug,
		Owner: account.User(user, organization), AuthMethod: integration.APIKey, State: account.Connected,
		Secrets:   map[account.Slot]account.Secret{account.Current: {ID: "1", Sealed: []byte{1}, MAC: []byte{2}, Last4: "cdef"}},
		CreatedAt: start, UpdatedAt: start,
	}
}

func newTenant(id string) *tenant.Tenant {
	return &tenant.Tenant{ID: id, Name: "acme", Status: tenant.Active, CreatedAt: start, Keys: seal.Material{Tenant: id, Version: 1}}
}

// blobs are a new tenant's.
var blobs = seal.Blobs{Seal: []byte("blob"), Session: []byte("signing")}

func newJob() *removal.Job {
	return &removal.Job{ID: "job_1", Tenant: tenantID, IntegrationID: "data_integration_openai", Slug: "openai", RemovedAt: start}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s stores) load(t *testing.T, target vault.Target) vault.View {
	t.Helper()
	target.Tenant = tenantID
	view, err := s.truth.Load(t.Context(), target)
	must(t, err)
	return view
}

func TestLoadFindsEveryRowOfATargetInOneCall(t *testing.T) {
	s, ctx := onBolt(t), t.Context()
	must(t, s.CreateTenant(ctx, newTenant(tenantID), blobs))
	must(t, s.SaveAPIKey(ctx, &apikey.Key{ID: "api_key_1", Tenant: tenantID, Scopes: []apikey.Scope{apikey.Vend}}))
	must(t, s.SaveIntegration(ctx, newIntegration("openai")))
	must(t, s.SaveAccount(ctx, newAccount("openai", "auth0|anna", "")))
	must(t, s.SaveAccount(ctx, newAccount("openai", "auth0|anna", "org")))
	must(t, s.SaveSettings(ctx, tenantID, &tenant.Settings{AllowedOrigins: []string{"https://app.example.com"}}))
	must(t, s.SaveOrganization(ctx, tenantID, "org", &tenant.Organization{Freeze: &tenant.Freeze{Reason: "why"}}))
	must(t, s.SaveOverride(ctx, tenantID, "org", "openai", &integration.Override{IntegrationID: "data_integration_openai"}))

	reads := s.faults.Calls(tabletest.Get)
	view, err := s.Load(ctx, vault.Target{Tenant: tenantID, APIKey: "api_key_1", Slug: "openai", User: "auth0|anna", Organization: "org"})
	must(t, err)
	if n := s.faults.Calls(tabletest.Get) - reads; n != 1 {
		t.Errorf("%d reads", n)
	}
	switch {
	case view.Tenant == nil || view.Tenant.ID != tenantID || view.Tenant.Keys.Tenant != tenantID || view.Tenant.Name != "acme":
		t.Errorf("tenant %+v", view.Tenant)
	case view.APIKey == nil || view.APIKey.ID != "api_key_1" || view.APIKey.Tenant != tenantID || !view.APIKey.Allows(apikey.Vend):
		t.Errorf("API key %+v", view.APIKey)
	case view.Integration == nil || view.Integration.Slug != "openai" || view.Integration.Tenant != tenantID || *view.Integration.Description != "why":
		t.Errorf("integration %+v", view.Integration)
	case view.Account == nil || view.Account.Owner != account.User("auth0|anna", "org") || view.Account.Tenant != tenantID || view.Account.Slug != "openai":
		t.Errorf("account %+v", view.Account)
	case len(view.Settings.AllowedOrigins) != 1 || view.Organization.Freeze == nil || view.Override == nil || view.Override.Enabled:
		t.Errorf("%+v %+v %+v", view.Settings, view.Organization, view.Override)
	}
	for _, revision := range []int64{
		view.Tenant.Revision, view.APIKey.Revision, view.Integration.Revision, view.Account.Revision,
		view.Settings.Revision, view.Organization.Revision, view.Override.Revision,
	} {
		if revision == 0 {
			t.Error("a row without revision")
		}
	}

	alone := s.load(t, vault.Target{APIKey: "api_key_1", Slug: "openai", User: "auth0|anna"})
	if alone.Account == nil || alone.Account.Owner.Organization != "" || alone.Override != nil || alone.Organization.Freeze != nil {
		t.Errorf("without organization: %+v", alone)
	}
	none := s.load(t, vault.Target{APIKey: "api_key_2", Slug: "stripe", User: "auth0|anna", Organization: "other"})
	if none.APIKey != nil || none.Integration != nil || none.Account != nil || none.Override != nil || none.Organization.Revision != 0 {
		t.Errorf("rows that are not there: %+v", none)
	}
	if empty := s.load(t, vault.Target{}); empty.APIKey != nil || empty.Integration != nil || empty.Account != nil || empty.Tenant == nil {
		t.Errorf("a target of nothing: %+v", empty)
	}
	blob, err := s.SealBlob(ctx, tenantID, 1)
	if err != nil || string(blob) != "blob" {
		t.Errorf("seal blob %q %v", blob, err)
	}
	if blob, err := s.SealBlob(ctx, tenantID, 2); err != nil || blob != nil {
		t.Errorf("no seal blob: %q %v", blob, err)
	}
}

func TestARowIsWhoItsKeySaysAndNotItsContent(t *testing.T) {
	s, ctx := onBolt(t), t.Context()
	must(t, s.SaveAccount(ctx, newAccount("openai", "anna", "")))
	from := table.Key{PK: "U#" + tenantID + "#anna", SK: "ACCOUNT#openai#"}
	found, err := s.engine.Get(ctx, from)
	must(t, err)
	copied := found[from]
	copied.Key = table.Key{PK: "U#" + tenantID + "#bob", SK: "ACCOUNT#stripe#org"}
	must(t, s.engine.Write(ctx, table.Put(copied, table.Absent)))
	got := s.load(t, vault.Target{Slug: "stripe", User: "bob", Organization: "org"}).Account
	if got == nil || got.Owner != account.User("bob", "org") || got.Slug != "stripe" {
		t.Errorf("%+v", got)
	}
}

func TestARowThatDoesNotDecodeIsAnErrorAndNeverAbsent(t *testing.T) {
	s, ctx := onBolt(t), t.Context()
	for _, doc := range []string{`{"id":1}`, `[]`, `{`, ``, `"text"`} {
		k := table.Key{PK: "I#" + tenantID, SK: "INTEGRATION#" + fmt.Sprint(len(doc))}
		must(t, s.engine.Write(ctx, table.Put(table.Item{Key: k, Revision: 1, Doc: []byte(doc)}, table.Absent)))
		view, err := s.Load(ctx, vault.Target{Tenant: tenantID, Slug: fmt.Sprint(len(doc))})
		must(t, err)
		if view.Damaged == nil || fault.As(view.Damaged).Kind != fault.Internal {
			t.Errorf("%q: %v", doc, view.Damaged)
		}
	}
	if _, err := s.Integrations(ctx, tenantID); err == nil {
		t.Error("a listing leaves out what does not decode")
	}
}

// A write of the fault matrix: prepare stores what must be there and returns
// the write, and whether it took effect.
type write struct {
	name    string
	prepare func(t *testing.T, s stores) (do func(context.Context) error, done func() bool)
	// again is what the very same call says once it was stored unanswered: nil,
	// or vault.ErrChanged.
	again error
}

func writes() []write {
	return []write{
		{"SaveIntegration, new", func(t *testing.T, s stores) (func(context.Context) error, func() bool) {
			in := newIntegration("openai")
			return func(ctx context.Context) error { return s.SaveIntegration(ctx, in) },
				func() bool { return s.load(t, vault.Target{Slug: "openai"}).Integration != nil }
		}, vault.ErrChanged},
		{"SaveIntegration, changed", func(t *testing.T, s stores) (func(context.Context) error, func() bool) {
			in := newIntegration("openai")
			must(t, s.truth.SaveIntegration(t.Context(), in))
			in.Enabled = false
			return func(ctx context.Context) error { return s.SaveIntegration(ctx, in) },
				func() bool { return !s.load(t, vault.Target{Slug: "openai"}).Integration.Enabled }
		}, nil},
		{"SaveIntegration with an account", func(t *testing.T, s stores) (func(context.Context) error, func() bool) {
			in, a := newIntegration("openai"), newAccount("openai", "anna", "")
			return func(ctx context.Context) error { return s.SaveIntegrationAndAccount(ctx, in, a, tenant.Departure{}) }, func() bool {
				v := s.load(t, vault.Target{Slug: "openai", User: "anna"})
				if (v.Integration == nil) != (v.Account == nil) {
					t.Error("one without the other")
				}
				return v.Account != nil
			}
		}, vault.ErrChanged},
		{"RemoveIntegration", func(t *testing.T, s stores) (func(context.Context) error, func() bool) {
			in := newIntegration("openai")
			must(t, s.truth.SaveIntegration(t.Context(), in))
			return func(ctx context.Context) error { return s.RemoveIntegration(ctx, in, newJob()) }, func() bool {
				jobs, err := s.truth.Removals(t.Context())
				must(t, err)
				gone := s.load(t, vault.Target{Slug: "openai"}).Integration == nil
				if gone != (len(jobs) == 1) {
					t.Error("one without the other")
				}
				return gone
			}
		}, vault.ErrChanged},
		{"SaveAccount, new", func(t *testing.T, s stores) (func(context.Context) error, func() bool) {
			a := newAccount("openai", "anna", "")
			return func(ctx context.Context) error { return s.SaveAccount(ctx, a) },
				func() bool { return s.load(t, vault.Target{Slug: "openai", User: "anna"}).Account != nil }
		}, vault.ErrChanged},
		{"SaveAccount, changed", func(t *testing.T, s stores) (func(context.Context) error, func() bool) {
			a := newAccount("openai", "anna", "")
			must(t, s.truth.SaveAccount(t.Context(), a))
			a.State = account.NeedsReauthorization
			return func(ctx context.Context) error { return s.SaveAccount(ctx, a) }, func() bool {
				return s.load(t, vault.Target{Slug: "openai", User: "anna"}).Account.State == account.NeedsReauthorization
			}
		}, nil},
		{"DeleteAccount", func(t *testing.T, s stores) (func(context.Context) error, func() bool) {
			a := newAccount("openai", "anna", "")
			must(t, s.truth.SaveAccount(t.Context(), a))
			return func(ctx context.Context) error { return s.DeleteAccount(ctx, a) },
				func() bool { return s.load(t, vault.Target{Slug: "openai", User: "anna"}).Account == nil }
		}, vault.ErrChanged},
		{"SaveRemoval", func(t *testing.T, s stores) (func(context.Context) error, func() bool) {
			job := newJob()
			must(t, s.truth.SaveRemoval(t.Context(), job))
			job.EmptyPasses = 1
			return func(ctx context.Context) error { return s.SaveRemoval(ctx, job) }, func() bool {
				jobs, err := s.truth.Removals(t.Context())
				must(t, err)
				return jobs[0].EmptyPasses == 1
			}
		}, nil},
		{"FinishRemoval", func(t *testing.T, s stores) (func(context.Context) error, func() bool) {
			job := newJob()
			must(t, s.truth.SaveRemoval(t.Context(), job))
			return func(ctx context.Context) error { return s.FinishRemoval(ctx, job) }, func() bool {
				jobs, err := s.truth.Removals(t.Context())
				must(t, err)
				return len(jobs) == 0
			}
		}, vault.ErrChanged},
		{"CreateTenant", func(t *testing.T, s stores) (func(context.Context) error, func() bool) {
			return func(ctx context.Context) error { return s.CreateTenant(ctx, newTenant(tenantID), blobs) }, func() bool {
				blob, err := s.truth.SealBlob(t.Context(), tenantID, 1)
				must(t, err)
				session, err := s.truth.SessionBlob(t.Context(), tenantID)
				must(t, err)
				there := s.load(t, vault.Target{}).Tenant != nil
				if there != (blob != nil) || there != (session != nil) {
					t.Error("one without the other")
				}
				return there
			}
		}, vault.ErrChanged},
		{"SaveAPIKey", func(t *testing.T, s stores) (func(context.Context) error, func() bool) {
			k := &apikey.Key{ID: "api_key_1", Tenant: tenantID}
			must(t, s.truth.SaveAPIKey(t.Context(), k))
			k.Revoke(start)
			return func(ctx context.Context) error { return s.SaveAPIKey(ctx, k) },
				func() bool { return !s.load(t, vault.Target{APIKey: "api_key_1"}).APIKey.RevokedAt.IsZero() }
		}, nil},
		{"SaveSettings", func(t *testing.T, s stores) (func(context.Context) error, func() bool) {
			row := &tenant.Settings{Freeze: &tenant.Freeze{}}
			return func(ctx context.Context) error { return s.SaveSettings(ctx, tenantID, row) },
				func() bool { return s.load(t, vault.Target{}).Settings.Freeze != nil }
		}, vault.ErrChanged},
		{"SaveOrganization", func(t *testing.T, s stores) (func(context.Context) error, func() bool) {
			row := &tenant.Organization{Freeze: &tenant.Freeze{}}
			return func(ctx context.Context) error { return s.SaveOrganization(ctx, tenantID, "org", row) },
				func() bool { return s.load(t, vault.Target{Organization: "org"}).Organization.Freeze != nil }
		}, vault.ErrChanged},
		{"SaveOverride", func(t *testing.T, s stores) (func(context.Context) error, func() bool) {
			row := &integration.Override{}
			return func(ctx context.Context) error { return s.SaveOverride(ctx, tenantID, "org", "openai", row) },
				func() bool { return s.load(t, vault.Target{Organization: "org", Slug: "openai"}).Override != nil }
		}, vault.ErrChanged},
	}
}

func TestF27_AWriteThatFailsUnstoredLeavesWhatWasThereAndCanBeRepeated(t *testing.T) {
	for _, w := range writes() {
		t.Run(w.name, func(t *testing.T) {
			s := onBolt(t)
			do, done := w.prepare(t, s)
			s.faults.Fail(tabletest.Next(tabletest.Write))
			if err := do(t.Context()); fault.As(err).Kind != fault.Unavailable || errors.Is(err, vault.ErrChanged) {
				t.Errorf("%v", err)
			}
			if done() {
				t.Error("stored")
			}
			must(t, do(t.Context()))
			if !done() {
				t.Error("the repeat was not stored")
			}
		})
	}
}

func TestF27_AWriteThatFailsButIsStoredDoesNoHarmWhenRepeated(t *testing.T) {
	for _, w := range writes() {
		t.Run(w.name, func(t *testing.T) {
			s := onBolt(t)
			do, done := w.prepare(t, s)
			s.faults.FailStored(tabletest.Next(tabletest.Write))
			if err := do(t.Context()); fault.As(err).Kind != fault.Unavailable || errors.Is(err, vault.ErrChanged) {
				t.Errorf("%v", err)
			}
			if !done() {
				t.Error("not stored")
			}
			if err := do(t.Context()); !errors.Is(err, w.again) {
				t.Errorf("the repeat: %v, want %v", err, w.again)
			}
			if !done() {
				t.Error("the repeat undid it")
			}
		})
	}
}

func TestAWriteThatNeedsTimeAndHasNoneIsNotStored(t *testing.T) {
	for _, w := range writes() {
		t.Run(w.name, func(t *testing.T) {
			s := onBolt(t)
			do, done := w.prepare(t, s)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := do(ctx); fault.As(err).Kind != fault.Unavailable {
				t.Errorf("%v", err)
			}
			if done() {
				t.Error("stored")
			}
		})
	}
}

func TestALostCompareAndSwapIsErrChangedAndStoresNothing(t *testing.T) {
	s, ctx := onBolt(t), t.Context()
	in, a, job := newIntegration("openai"), newAccount("openai", "anna", ""), newJob()
	k := &apikey.Key{ID: "api_key_1", Tenant: tenantID}
	must(t, s.SaveIntegrationAndAccount(ctx, in, a, tenant.Departure{}))
	must(t, s.SaveRemoval(ctx, job))
	must(t, s.SaveAPIKey(ctx, k))
	oldIn, oldA, oldJob, oldK := *in, *a, *job, *k
	// What has the same content at the same revision is the same write.
	oldIn.Name, oldA.State, oldJob.EmptyPasses, oldK.Name = "older", account.NeedsReauthorization, 1, "older"
	must(t, s.SaveIntegrationAndAccount(ctx, in, a, tenant.Departure{}))
	must(t, s.SaveRemoval(ctx, job))
	must(t, s.SaveAPIKey(ctx, k))
	newIn, newA := newIntegration("openai"), newAccount("openai", "anna", "")
	fresh := newAccount("openai", "bob", "")
	staleA := oldA
	goneJob := newJob()
	for name, err := range map[string]error{
		"integration":                     s.SaveIntegration(ctx, &oldIn),
		"integration that is there":       s.SaveIntegration(ctx, newIn),
		"integration, stale account":      s.SaveIntegrationAndAccount(ctx, in, &oldA, tenant.Departure{}),
		"stale integration, account":      s.SaveIntegrationAndAccount(ctx, &oldIn, fresh, tenant.Departure{}),
		"integration and account, both":   s.SaveIntegrationAndAccount(ctx, newIn, newA, tenant.Departure{}),
		"account":                         s.SaveAccount(ctx, &oldA),
		"account that is there":           s.SaveAccount(ctx, newA),
		"deleting an account":             s.DeleteAccount(ctx, &staleA),
		"removing an integration":         s.RemoveIntegration(ctx, &oldIn, &removal.Job{ID: "job_2"}),
		"removing by a job that is there": s.RemoveIntegration(ctx, in, goneJob),
		"job":                             s.SaveRemoval(ctx, &oldJob),
		"ending a job":                    s.FinishRemoval(ctx, &oldJob),
		"API key":                         s.SaveAPIKey(ctx, &oldK),
	} {
		if !errors.Is(err, vault.ErrChanged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if oldIn.Revision >= in.Revision || oldA.Revision >= a.Revision || newIn.Revision != 0 || newA.Revision != 0 || fresh.Revision != 0 {
		t.Error("a refused write changed a revision")
	}
	view := s.load(t, vault.Target{Slug: "openai", User: "anna", APIKey: "api_key_1"})
	if view.Integration.Revision != in.Revision || view.Account.Revision != a.Revision || view.APIKey.Revision != k.Revision {
		t.Error("a refused write was stored")
	}
	if s.load(t, vault.Target{Slug: "openai", User: "bob"}).Account != nil {
		t.Error("an account was stored without its integration")
	}
	if jobs, err := s.Removals(ctx); err != nil || len(jobs) != 1 || jobs[0].Revision != job.Revision {
		t.Errorf("jobs %v %v", jobs, err)
	}
}

func TestARevisionIsNeverUsedTwiceEvenAcrossDeletesWhileTimeStandsStill(t *testing.T) {
	s, ctx := onBolt(t), t.Context()
	seen := map[int64]bool{}
	note := func(revision int64) {
		t.Helper()
		if revision <= 0 || seen[revision] {
			t.Errorf("revision %d again", revision)
		}
		seen[revision] = true
	}
	for range 5 {
		a := newAccount("openai", "anna", "")
		for range 3 {
			must(t, s.SaveAccount(ctx, a))
			note(a.Revision)
		}
		stale := *a
		stale.State = account.NeedsReauthorization
		must(t, s.DeleteAccount(ctx, a))
		again := newAccount("openai", "anna", "")
		must(t, s.SaveAccount(ctx, again))
		note(again.Revision)
		if err := s.SaveAccount(ctx, &stale); !errors.Is(err, vault.ErrChanged) {
			t.Errorf("a row made anew was taken for the deleted one: %v", err)
		}
		must(t, s.DeleteAccount(ctx, again))
	}
}

func TestRowsTooLargeForTheTableAreRefusedBeforeTheWrite(t *testing.T) {
	s, ctx := onBolt(t), t.Context()
	a := newAccount("openai", "anna", "")
	a.Metadata = map[string]string{"x": string(make([]byte, table.MaxDoc))}
	if err := s.SaveAccount(ctx, a); fault.As(err).Kind != fault.Invalid {
		t.Errorf("F53: %v", err)
	}
	if a.Revision != 0 || s.load(t, vault.Target{Slug: "openai", User: "anna"}).Account != nil {
		t.Error("stored")
	}
}

// halting shows an empty page before each full one: the port allows it, and
// DynamoDB may.
type halting struct {
	table.Table
	halted bool
}

func (h *halting) Query(ctx context.Context, q table.Query) (table.Page, error) {
	if h.halted = !h.halted; h.halted {
		after := q.After
		if after == "" {
			after = "!"
		}
		return table.Page{After: after}, nil
	}
	q.Limit = min(q.Limit, 7)
	return h.Table.Query(ctx, q)
}

func TestListingsGoOnOverAllPagesShortAndEmptyOnesToo(t *testing.T) {
	s, ctx := over(t, &halting{Table: tabletest.NewMemory()}), t.Context()
	const n = 40
	under := map[string]bool{}
	for i := range n {
		name := fmt.Sprintf("%02d", i)
		must(t, s.CreateTenant(ctx, newTenant("tenant_"+name), blobs))
		must(t, s.SaveAPIKey(ctx, &apikey.Key{ID: "api_key_" + name, Tenant: tenantID}))
		must(t, s.SaveIntegration(ctx, newIntegration("s"+name)))
		must(t, s.SaveOverride(ctx, tenantID, "org", "s"+name, &integration.Override{IntegrationID: name}))
		a := newAccount("openai", "user"+name, "")
		must(t, s.SaveAccount(ctx, a))
		under[a.ID] = true
		must(t, s.SaveAccount(ctx, newAccount("s"+name, "anna", "")))
		job := newJob()
		job.ID += name
		must(t, s.SaveRemoval(ctx, job))
	}
	// Other tenants' rows, and names that begin alike, are not listed.
	must(t, s.SaveAPIKey(ctx, &apikey.Key{ID: "api_key_other", Tenant: tenantID + "0"}))
	must(t, s.SaveAccount(ctx, newAccount("openai", "anna0", "")))
	under["data_installation_openaianna0"] = true
	must(t, s.SaveOverride(ctx, tenantID, "org0", "openai", &integration.Override{}))

	slug, owner, err := s.WhereIs(ctx, tenantID, newAccount("openai", "user07", "").ID)
	must(t, err)
	if slug != "openai" || owner != account.User("user07", "") {
		t.Errorf("the account of user07 is at %q of %+v", slug, owner)
	}
	tenants, err := s.Tenants(ctx)
	must(t, err)
	keys, err := s.APIKeys(ctx, tenantID)
	must(t, err)
	integrations, err := s.Integrations(ctx, tenantID)
	must(t, err)
	overrides, err := s.Overrides(ctx, tenantID, "org")
	must(t, err)
	accounts, err := s.AccountsOf(ctx, tenantID, "anna")
	must(t, err)
	jobs, err := s.Removals(ctx)
	must(t, err)
	for name, got := range map[string]int{
		"tenants": len(tenants), "API keys": len(keys), "integrations": len(integrations),
		"overrides": len(overrides), "accounts": len(accounts), "jobs": len(jobs),
	} {
		if got != n {
			t.Errorf("%d %s of %d", got, name, n)
		}
	}
	if none, err := s.Overrides(ctx, tenantID, ""); err != nil || len(none) != 0 {
		t.Errorf("overrides of no organization: %v %v", none, err)
	}
	if !slices.IsSortedFunc(integrations, func(a, b *integration.Integration) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	}) {
		t.Error("integrations are not sorted by id")
	}
	if keys[3].Tenant != tenantID || keys[3].ID != "api_key_03" || keys[3].Revision == 0 {
		t.Errorf("%+v", keys[3])
	}

	found := map[string]bool{}
	for after, pages := "", 0; ; pages++ {
		page, next, err := s.AccountsUnder(ctx, newJob(), after)
		must(t, err)
		for _, a := range page {
			if found[a.ID] {
				t.Errorf("%s twice", a.ID)
			}
			found[a.ID] = true
		}
		if after = next; next == "" {
			break
		}
		if pages > 1000 {
			t.Fatal("the listing does not end")
		}
	}
	for id := range under {
		if !found[id] {
			t.Errorf("%s is not found", id)
		}
	}
	if len(found) != len(under) {
		t.Errorf("%d accounts of %d", len(found), len(under))
	}
}

func TestAListingLeavesOutWhatIsGoneAndShowsRowsAsTheyAre(t *testing.T) {
	lagging := tabletest.Lag(tabletest.NewMemory())
	s, ctx := over(t, lagging), t.Context()
	gone, changed := newAccount("openai", "gone", ""), newAccount("openai", "changed", "")
	must(t, s.SaveAccount(ctx, gone))
	must(t, s.SaveAccount(ctx, changed))
	must(t, lagging.Settle(ctx))
	must(t, s.DeleteAccount(ctx, gone))
	changed.IntegrationID = "data_integration_new" // it left this listing, but the index does not know yet
	must(t, s.SaveAccount(ctx, changed))
	must(t, s.SaveAccount(ctx, newAccount("openai", "unseen", "")))
	var found []*account.Account
	for after := ""; ; {
		page, next, err := s.AccountsUnder(ctx, newJob(), after)
		must(t, err)
		found = append(found, page...)
		if after = next; next == "" {
			break
		}
	}
	if len(found) != 1 || found[0].Revision != changed.Revision || found[0].IntegrationID != "data_integration_new" {
		t.Errorf("%+v", found)
	}
}

func TestReadsOfATableOutOfReachAreUnavailableAndNeverEmpty(t *testing.T) {
	for name, read := range map[string]struct {
		call tabletest.Method
		do   func(context.Context, *store.Store) error
	}{
		"Load": {tabletest.Get, func(ctx context.Context, s *store.Store) error {
			_, err := s.Load(ctx, vault.Target{Tenant: tenantID})
			return err
		}},
		"Integrations": {tabletest.Query, func(ctx context.Context, s *store.Store) error { _, err := s.Integrations(ctx, tenantID); return err }},
		"AccountsOf": {tabletest.Query, func(ctx context.Context, s *store.Store) error {
			_, err := s.AccountsOf(ctx, tenantID, "u")
			return err
		}},
		"Overrides":     {tabletest.Query, func(ctx context.Context, s *store.Store) error { _, err := s.Overrides(ctx, tenantID, "o"); return err }},
		"SealBlob":      {tabletest.Get, func(ctx context.Context, s *store.Store) error { _, err := s.SealBlob(ctx, tenantID, 1); return err }},
		"Tenant":        {tabletest.Get, func(ctx context.Context, s *store.Store) error { _, err := s.Tenant(ctx, tenantID); return err }},
		"Tenants":       {tabletest.Query, func(ctx context.Context, s *store.Store) error { _, err := s.Tenants(ctx); return err }},
		"Tenants, rows": {tabletest.Get, func(ctx context.Context, s *store.Store) error { _, err := s.Tenants(ctx); return err }},
		"APIKey":        {tabletest.Get, func(ctx context.Context, s *store.Store) error { _, err := s.APIKey(ctx, tenantID, "k"); return err }},
		"APIKeys":       {tabletest.Query, func(ctx context.Context, s *store.Store) error { _, err := s.APIKeys(ctx, tenantID); return err }},
		"Removals":      {tabletest.Query, func(ctx context.Context, s *store.Store) error { _, err := s.Removals(ctx); return err }},
		"AccountsUnder": {tabletest.Query, func(ctx context.Context, s *store.Store) error {
			_, _, err := s.AccountsUnder(ctx, newJob(), "")
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := over(t, tabletest.NewMemory())
			must(t, s.CreateTenant(t.Context(), newTenant(tenantID), blobs))
			s.faults.Fail(tabletest.Next(read.call))
			if err := read.do(t.Context(), s.Store); fault.As(err).Kind != fault.Unavailable {
				t.Errorf("%v", err)
			}
		})
	}
}
