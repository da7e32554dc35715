package store_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/apikey"
	"keyvend/pkg/catalog"
	"keyvend/pkg/fault"
	"keyvend/pkg/integration"
	"keyvend/pkg/store"
	"keyvend/pkg/table"
	"keyvend/pkg/table/tabletest"
	"keyvend/pkg/tenant"
	"keyvend/pkg/vault"
)

const (
	rowTTL    = 5 * time.Second
	tenantID2 = "tenant_01ARZ3NDEKTSV4RRFFQ69G5FAW"
)

// reading is a table that tells which rows were read.
type reading struct {
	table.Table
	mu   sync.Mutex
	rows []string
}

func (r *reading) Get(ctx context.Context, keys ...table.Key) (map[table.Key]table.Item, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range keys {
		letter := k.PK[:1]
		if strings.HasPrefix(k.PK, "O#") && k.SK != "ORG" {
			letter = "o" // a switch
		}
		r.rows = append(r.rows, letter)
	}
	return r.Table.Get(ctx, keys...)
}

// recents is a Recent over a table that tells what it was asked for, with
// clocks of its own.
type recents struct {
	*store.Recent
	stores
	reading *reading
	wall    time.Time
	uptime  time.Duration
}

func recent(t *testing.T, size int) *recents {
	t.Helper()
	r := &recents{reading: &reading{Table: tabletest.NewMemory()}, wall: start}
	r.stores = over(t, r.reading)
	r.Recent = store.NewRecent(r.Store, store.RecentConfig{
		TTL: rowTTL, Size: size,
		Now: func() time.Time { return r.wall }, Uptime: func() time.Duration { return r.uptime },
	})
	return r
}

// stocked is a recents with a tenant, its API key, its integration and an
// account of anna's.
func stocked(t *testing.T) *recents {
	t.Helper()
	r := recent(t, 0)
	r.stock(t, tenantID)
	return r
}

func (r *recents) stock(t *testing.T, id string) {
	t.Helper()
	ctx := t.Context()
	must(t, r.CreateTenant(ctx, newTenant(id), blobs))
	must(t, r.SaveAPIKey(ctx, &apikey.Key{ID: "api_key_1", Tenant: id, Name: id, Scopes: []apikey.Scope{apikey.Vend}}))
	in, a := newIntegration("openai"), newAccount("openai", "anna", "")
	in.Tenant, a.Tenant, in.Name = id, id, id
	must(t, r.SaveIntegration(ctx, in))
	must(t, r.SaveAccount(ctx, a))
}

// anna is what a vend of her key is about.
func anna(tenant string) vault.Target {
	return vault.Target{Tenant: tenant, APIKey: "api_key_1", Slug: "openai", User: "anna"}
}

// read is what a Load of target finds, and the letters of the rows that were
// read for it.
func (r *recents) read(t *testing.T, target vault.Target) (vault.View, string) {
	t.Helper()
	r.reading.rows = nil
	v, err := r.Recent.Load(t.Context(), target)
	must(t, err)
	return v, strings.Join(r.reading.rows, "")
}

func (r *recents) reads(t *testing.T, target vault.Target, want string) vault.View {
	t.Helper()
	v, got := r.read(t, target)
	if got != want {
		t.Errorf("read %q, want %q", got, want)
	}
	return v
}

func (r *recents) pass(d time.Duration) { r.wall, r.uptime = r.wall.Add(d), r.uptime+d }

func TestF51_AWarmLoadReadsTheAccountAlone(t *testing.T) {
	r := stocked(t)
	target := anna(tenantID)
	r.reads(t, target, "TFKIU")
	v := r.reads(t, target, "U")
	if v.Tenant == nil || v.APIKey == nil || v.Integration == nil || v.Account == nil || v.Damaged != nil {
		t.Errorf("%+v", v)
	}
	if calls := r.faults.Calls(tabletest.Get); calls != 2 {
		t.Errorf("%d calls", calls)
	}
	target.Organization = "org"
	r.reads(t, target, "UOo")
	r.reads(t, target, "U")
	target.User = "bob"
	r.reads(t, target, "U")
	r.reads(t, vault.Target{Tenant: tenantID, APIKey: "api_key_1"}, "")
}

func TestRowsAreKeptForTheirTimeHoweverOftenTheyAreUsed(t *testing.T) {
	r := stocked(t)
	r.reads(t, anna(tenantID), "TFKIU")
	for range 4 {
		r.pass(rowTTL / 5)
		r.reads(t, anna(tenantID), "U")
	}
	r.pass(rowTTL/5 - 1)
	r.reads(t, anna(tenantID), "U")
	r.pass(1)
	r.reads(t, anna(tenantID), "TFKIU")
}

func TestTheAgeOfARowCountsFromBeforeItWasRead(t *testing.T) {
	r := stocked(t)
	r.faults.After(tabletest.Next(tabletest.Get), func() { r.pass(rowTTL - 1) }) // a slow read
	r.reads(t, anna(tenantID), "TFKIU")
	r.reads(t, anna(tenantID), "U")
	r.pass(1)
	r.reads(t, anna(tenantID), "TFKIU")
}

func TestF21_AClockThatJumpsEndsTheTimeOfRowsEitherWay(t *testing.T) {
	const day = 24 * time.Hour
	for name, step := range map[string]struct{ wall, uptime time.Duration }{
		"wall clock a day ahead":      {day, 1},
		"wall clock a day back":       {-day, 1},
		"monotonic clock stood still": {rowTTL, 0},
		"wall clock stood still":      {0, rowTTL},
		"both a day back":             {-day, -day},
	} {
		t.Run(name, func(t *testing.T) {
			r := stocked(t)
			r.reads(t, anna(tenantID), "TFKIU")
			r.wall, r.uptime = r.wall.Add(step.wall), r.uptime+step.uptime
			r.reads(t, anna(tenantID), "TFKIU")
			r.reads(t, anna(tenantID), "U")
		})
	}
}

func TestWhatIsMissingAndMayJustHaveBeenMadeIsLookedForEachTime(t *testing.T) {
	r := recent(t, 0)
	ctx := t.Context()
	must(t, r.CreateTenant(ctx, newTenant(tenantID), blobs))
	r.reads(t, anna(tenantID), "TFKIU")
	r.reads(t, anna(tenantID), "TFKIU") // without an API key nothing is kept
	must(t, r.SaveAPIKey(ctx, &apikey.Key{ID: "api_key_1", Tenant: tenantID}))
	if v := r.reads(t, anna(tenantID), "TFKIU"); v.APIKey == nil {
		t.Error("an API key that was just made is unknown")
	}
	r.reads(t, anna(tenantID), "IU")
	must(t, r.SaveIntegration(ctx, newIntegration("openai")))
	if v := r.reads(t, anna(tenantID), "IU"); v.Integration == nil {
		t.Error("an integration that was just made is unknown")
	}
	r.reads(t, anna(tenantID), "U")
	must(t, r.SaveAccount(ctx, newAccount("openai", "anna", "")))
	if v := r.reads(t, anna(tenantID), "U"); v.Account == nil {
		t.Error("an account that was just made is unknown")
	}
}

func TestSettingsAndOrganizationsThatAreMissingAreKeptForTheSameTime(t *testing.T) {
	r := stocked(t)
	ctx, target := t.Context(), anna(tenantID)
	target.Organization = "org"
	r.reads(t, target, "TFKIUOo")
	freeze := &tenant.Freeze{Reason: "why"}
	must(t, r.SaveSettings(ctx, tenantID, &tenant.Settings{Freeze: freeze}))
	must(t, r.SaveOrganization(ctx, tenantID, "org", &tenant.Organization{Freeze: freeze}))
	must(t, r.SaveOverride(ctx, tenantID, "org", "openai", &integration.Override{IntegrationID: "data_integration_openai"}))
	r.pass(rowTTL - 1)
	if v := r.reads(t, target, "U"); v.Settings.Freeze != nil || v.Organization.Freeze != nil || v.Override != nil {
		t.Errorf("%+v %+v %+v", v.Settings, v.Organization, v.Override)
	}
	r.pass(1)
	if v := r.reads(t, target, "TFKIUOo"); v.Settings.Freeze == nil || v.Organization.Freeze == nil || v.Override == nil {
		t.Errorf("%+v %+v %+v", v.Settings, v.Organization, v.Override)
	}
}

func TestARowThatCannotBeReadIsNotKept(t *testing.T) {
	target := anna(tenantID)
	target.Organization = "org"
	for _, key := range []table.Key{
		{PK: "T#" + tenantID, SK: "TENANT"}, {PK: "F#" + tenantID, SK: "SETTINGS"}, {PK: "K#" + tenantID + "#api_key_1", SK: "APIKEY"},
		{PK: "I#" + tenantID, SK: "INTEGRATION#openai"}, {PK: "O#" + tenantID + "#org", SK: "ORG"}, {PK: "O#" + tenantID + "#org", SK: "INTEGRATION#openai"},
	} {
		t.Run(key.PK[:1]+" "+key.SK, func(t *testing.T) {
			r := stocked(t)
			r.overwrite(t, key, "[")
			if v, err := r.Recent.Load(t.Context(), target); err == nil && v.Damaged == nil && v.APIKey != nil {
				t.Fatal("it can be read")
			}
			r.overwrite(t, key, "{}")
			if v := r.reads(t, target, "TFKIUOo"); v.Damaged != nil || v.APIKey == nil {
				t.Errorf("%+v", v)
			}
			r.reads(t, target, "U")
		})
	}
}

// overwrite writes a row as a stranger could.
func (r *recents) overwrite(t *testing.T, key table.Key, doc string) {
	t.Helper()
	found, err := r.engine.Get(t.Context(), key)
	must(t, err)
	condition := table.Absent
	if found[key].Revision > 0 {
		condition = table.At(found[key].Revision)
	}
	must(t, r.engine.Write(t.Context(), table.Put(table.Item{Key: key, Revision: found[key].Revision + 1, Doc: []byte(doc)}, condition)))
}

// keyPairs makes the tenant's row name key pairs of the given versions.
func (r *recents) keyPairs(t *testing.T, versions ...uint32) {
	t.Helper()
	row := newTenant(tenantID)
	row.Keys.PublicKeys = map[uint32][]byte{}
	for _, v := range versions {
		row.Keys.PublicKeys[v] = []byte("public key")
	}
	doc, err := json.Marshal(row)
	must(t, err)
	r.overwrite(t, table.Key{PK: "T#" + tenantID, SK: "TENANT"}, string(doc))
}

func TestRowsOfTwoTenantsAreKeptApart(t *testing.T) {
	r := stocked(t)
	r.stock(t, tenantID2)
	for range 2 {
		for _, id := range []string{tenantID, tenantID2} {
			v, _ := r.read(t, anna(id))
			if v.Tenant.ID != id || v.APIKey.Tenant != id || v.APIKey.Name != id || v.Integration.Tenant != id || v.Integration.Name != id || v.Account.Tenant != id {
				t.Errorf("%s: %+v", id, v)
			}
		}
	}
	if v := r.reads(t, vault.Target{Tenant: "tenant_none", APIKey: "api_key_1", Slug: "openai"}, "TFKI"); v.Tenant != nil || v.APIKey != nil || v.Integration != nil {
		t.Errorf("%+v", v)
	}
}

func TestRowsAreKeptInABoundedNumber(t *testing.T) {
	r := recent(t, 6)
	r.stock(t, tenantID)
	r.reads(t, anna(tenantID), "TFKIU")
	for n := range 20 { // two rows each, of which two organizations' fit in
		target := anna(tenantID)
		target.Organization = fmt.Sprintf("org-%d", n)
		r.reads(t, target, "UOo")
		r.reads(t, target, "U")
	}
	r.reads(t, anna(tenantID), "U") // what is used with each request is not what goes
}

func TestWhoChangesWhatHeWasGivenChangesNothingThatIsKept(t *testing.T) {
	r := stocked(t)
	for range 3 {
		v, _ := r.read(t, anna(tenantID))
		if !v.Integration.Enabled || v.Tenant.Keys.Version != 1 || v.APIKey.Scopes[0] != apikey.Vend {
			t.Fatalf("%+v %+v %+v", v.Integration, v.Tenant, v.APIKey)
		}
		v.Integration.Enabled, v.Tenant.Keys.Version, v.APIKey.Scopes[0] = false, 7, apikey.Manage
	}
}

func TestATableOutOfReachIsNoReasonToVendFromMemory(t *testing.T) {
	r := stocked(t)
	r.reads(t, anna(tenantID), "TFKIU")
	r.faults.Fail(tabletest.Next(tabletest.Get))
	if _, err := r.Recent.Load(t.Context(), anna(tenantID)); fault.As(err).Kind != fault.Unavailable {
		t.Errorf("%v", err)
	}
	r.reads(t, anna(tenantID), "U")
}

// sealed is the header of a sealed secret, followed by nothing of use.
func sealed(version byte, withCheck bool) []byte {
	text := make([]byte, 100)
	text[0], text[2], text[6] = 1, 0x20, version
	if withCheck {
		text[23] = 1
	}
	return text
}

func TestWhatDoesNotGoTogetherWithTheAccountIsReadAnew(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, r *recents, a *account.Account){
		"another registration": func(t *testing.T, r *recents, a *account.Account) {
			v := r.load(t, anna(tenantID))
			must(t, r.RemoveIntegration(t.Context(), v.Integration, newJob()))
			in := newIntegration("openai")
			in.ID, a.IntegrationID = "data_integration_again", "data_integration_again"
			must(t, r.SaveIntegration(t.Context(), in))
		},
		"F52 another key pair": func(t *testing.T, r *recents, a *account.Account) {
			r.keyPairs(t, 1, 2)
			a.Secrets[account.Current] = account.Secret{ID: "1", Sealed: sealed(2, false)}
		},
		"a check was defined": func(t *testing.T, r *recents, a *account.Account) {
			v := r.load(t, anna(tenantID))
			v.Integration.Custom = &integration.CustomProvider{Check: &catalog.Check{URL: "https://api.example.com/me"}}
			must(t, r.SaveIntegration(t.Context(), v.Integration))
			a.Secrets[account.Current] = account.Secret{ID: "1", Sealed: sealed(1, true)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := stocked(t)
			r.keyPairs(t, 1)
			a := r.load(t, anna(tenantID)).Account
			a.Secrets[account.Current] = account.Secret{ID: "1", Sealed: sealed(1, false)}
			must(t, r.SaveAccount(t.Context(), a))
			r.reads(t, anna(tenantID), "TFKIU")
			r.reads(t, anna(tenantID), "U")
			change(t, r, a)
			r.reads(t, anna(tenantID), "U") // it goes together with what is kept yet
			must(t, r.SaveAccount(t.Context(), a))
			if v := r.reads(t, anna(tenantID), "U"+"TFKIU"); !v.Coherent() {
				t.Error("not read anew")
			}
			r.reads(t, anna(tenantID), "U")
		})
	}
}

func TestManyLoadsAtOnceSeeTheAccountAsItIs(t *testing.T) {
	r := stocked(t)
	a := r.load(t, anna(tenantID)).Account
	var loads sync.WaitGroup
	for n := range 20 {
		a.Secrets[account.Current] = account.Secret{ID: fmt.Sprint(n), Sealed: sealed(1, false)}
		must(t, r.SaveAccount(t.Context(), a))
		for range 8 {
			loads.Go(func() {
				v, err := r.Recent.Load(t.Context(), anna(tenantID))
				if err != nil || v.Account.Secrets[account.Current].ID != fmt.Sprint(n) {
					t.Errorf("%+v %v", v.Account, err)
				}
			})
		}
		loads.Wait()
	}
}
