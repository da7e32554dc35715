package store

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keyvend/pkg/account"
	"keyvend/pkg/event"
	"keyvend/pkg/ident"
	"keyvend/pkg/table"
)

// FuzzTableKeys: two different tuples never share a key, a key reads back as its
// tuple, and whatever a tenant names things, engines take the key.
func FuzzTableKeys(f *testing.F) {
	f.Add("openai", "anna", "", "stripe", "anna", "")
	f.Add("a", "user#C#openai", "-", "a/b", "user", "C#openai")
	f.Add("a", "u", "", "a", "u", "-")
	f.Add("x", "%23", "o", "x", "#", "o")
	f.Add("x", "a b\x00\xff", "%", "x", "a%20b", "%25")
	f.Fuzz(func(t *testing.T, slug1, user1, org1, slug2, user2, org2 string) {
		const tenant = "tenant_01ARZ3NDEKTSV4RRFFQ69G5FAV"
		one, two := account.User(user1, org1), account.User(user2, org2)
		key1, key2 := accountKey(tenant, slug1, one), accountKey(tenant, slug2, two)
		if same := slug1 == slug2 && one == two; same != (key1 == key2) {
			t.Errorf("%q and %q have the keys %v and %v", []string{slug1, user1, org1}, []string{slug2, user2, org2}, key1, key2)
		}
		gotTenant, slug, owner, err := parseAccountKey(key1)
		if err != nil || gotTenant != tenant || slug != slug1 || owner != one {
			t.Errorf("%v reads back as %q %q %+v %v", key1, gotTenant, slug, owner, err)
		}
		if same := org1 == org2; same != (organizationKey(tenant, org1) == organizationKey(tenant, org2)) {
			t.Errorf("organizations %q and %q", org1, org2)
		}
		if same := org1 == org2 && slug1 == slug2; same != (overrideKey(tenant, org1, slug1) == overrideKey(tenant, org2, slug2)) {
			t.Errorf("overrides of %q %q and %q %q", org1, slug1, org2, slug2)
		}
		if same := slug1 == slug2; same != (integrationKey(tenant, slug1) == integrationKey(tenant, slug2)) {
			t.Errorf("integrations %q and %q", slug1, slug2)
		}
		// No row lies where another kind of row lies.
		kinds := map[table.Key]string{}
		for name, k := range map[string]table.Key{
			"account": key1, "integration": integrationKey(tenant, slug1), "organization": organizationKey(tenant, org1),
			"override": overrideKey(tenant, org1, slug1), "tenant": tenantKey(tenant), "settings": settingsKey(tenant),
			"api key": apiKeyKey(tenant, user1), "seal blob": sealBlobKey(tenant, 1), "job": jobKey(user1),
			"event":    eventKey(tenant, "event_1", time.Unix(0, 0)),
			"remark":   remarkKey(tenant, event.Event{ID: "event_1", Data: event.Data{Failure: &event.Failure{UserID: user1}}}),
			"last use": usedKey(tenant, user1), "reads": readsKey(tenant, user1), "hour": hourKey(tenant, user1, time.Unix(0, 0), 0), "audit position": auditPositionKey(),
		} {
			if other, taken := kinds[k]; taken {
				t.Errorf("%s and %s lie at %v", name, other, k)
			}
			kinds[k] = name
		}
		if got, err := url.PathUnescape(escape(user1)); err != nil || got != user1 {
			t.Errorf("%q is escaped as %q", user1, escape(user1))
		}
		if ident.CheckUser(user1) == nil && ident.ValidSlug(slug1) && (org1 == "" || ident.CheckOrganization(org1) == nil) {
			for k := range kinds {
				if err := table.ValidateKey(k); err != nil && kinds[k] != "job" && kinds[k] != "api key" {
					t.Errorf("%s: %v", kinds[k], err)
				}
			}
		}
	})
}

func TestF4_NamesThatLookAlikeHaveKeysOfTheirOwn(t *testing.T) {
	const tenant = "tenant"
	tuples := [][3]string{ // slug, user, organization
		{"openai", "u", ""}, {"openai", "u", "-"}, {"openai", "u", "none"}, {"openai", "u#", ""}, {"openai", "u", "#"},
		{"openai#", "u", ""}, {"openai", "u#C#openai", ""}, {"a/b", "u", ""}, {"a", "b/u", ""}, {"openai", "%75", ""},
		{"openai", "U", ""}, {"OPENAI", "u", ""}, {"openai", "u ", ""}, {"openai", "u\x00", ""}, {"", "u", "openai"},
	}
	seen := map[table.Key][3]string{}
	for _, x := range tuples {
		k := accountKey(tenant, x[0], account.User(x[1], x[2]))
		if other, taken := seen[k]; taken {
			t.Errorf("%q and %q share %v", x, other, k)
		}
		seen[k] = x
	}
}

func TestAnAccountsListingIsApartFromEveryUsersAndTenants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringMatching(`data_installation_[0-9A-Z]{26}`).Draw(t, "id")
		in := rapid.StringMatching(`data_integration_[0-9A-Z]{4}`).Draw(t, "integration")
		a := &account.Account{ID: id, Tenant: "tenant_A", IntegrationID: in}
		b := &account.Account{ID: id, Tenant: "tenant_B", IntegrationID: in}
		for name, position := range accountIndex(a) {
			if err := table.ValidateKey(position); err != nil {
				t.Error(err)
			}
			if position == accountIndex(b)[name] {
				t.Errorf("index %s: two tenants share %v", name, position)
			}
			if !strings.HasPrefix(position.PK, "U#tenant_A#") || position.SK != id {
				t.Errorf("index %s: %v", name, position)
			}
		}
	})
}

// The roles of the functions are told apart by the first letter of a partition
// key, in the table and in its indexes (DESIGN.md, Storage).
func TestEachKindOfRowHasTheLetterThatIAMKnowsItBy(t *testing.T) {
	for letter, k := range map[string]table.Key{
		"T#": tenantKey("x"), "F#": settingsKey("x"), "P#": sealBlobKey("x", 7), "K#": apiKeyKey("x", "y"),
		"I#": integrationKey("x", "y"), "U#": accountKey("x", "y", account.User("z", "")), "J#": jobKey("x"),
		"E#": eventKey("x", "event_1", time.Unix(0, 0)), "R#": remarkKey("x", event.Event{ID: "event_1"}),
		"O#": organizationKey("x", "y"), "L#": usedKey("x", "y"),
	} {
		if !strings.HasPrefix(k.PK, letter) {
			t.Errorf("%v does not begin with %s", k, letter)
		}
	}
	if k := overrideKey("x", "y", "z"); !strings.HasPrefix(k.PK, "O#") {
		t.Errorf("%v", k)
	}
	for letter, pk := range map[string]string{"T#": tenantListing("x").PK, "K#": apiKeyListingPK("x", true), "U#": accountListingPK("x", "y", 3)} {
		if !strings.HasPrefix(pk, letter) {
			t.Errorf("%s does not begin with %s", pk, letter)
		}
	}
}

func TestWhatIsNotTheKeyOfAnAccountReadsAsNobodys(t *testing.T) {
	for _, k := range []table.Key{
		{}, {PK: "U#t#u", SK: "CHECK#s#"}, {PK: "O#t#u", SK: "ACCOUNT#s#"}, {PK: "U#t", SK: "ACCOUNT#s#"}, {PK: "U#t#u#v", SK: "ACCOUNT#s#"},
		{PK: "U#t#u", SK: "ACCOUNT#s"}, {PK: "U#t#u", SK: "ACCOUNT#s##"}, {PK: "U#t#%zz", SK: "ACCOUNT#s#"}, {PK: "U#t#u", SK: "ACCOUNT#%#"},
	} {
		if tenant, slug, owner, err := parseAccountKey(k); err == nil || tenant != "" || slug != "" || owner.User != "" {
			t.Errorf("%v reads as %q %q %+v", k, tenant, slug, owner)
		}
	}
}

func TestAnHoursKeyReadsBackAndSortsByTime(t *testing.T) {
	before := ""
	for _, start := range []time.Time{
		time.Date(2025, 12, 31, 23, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 1, 1, 13, 0, 0, 0, time.UTC), time.Date(2026, 10, 1, 2, 0, 0, 0, time.UTC),
	} {
		k := hourKey("tenant", "integration", start.In(time.FixedZone("", 3600)), 7)
		if !hourOf(k.SK).Equal(start) {
			t.Errorf("%v reads back as %v", k, hourOf(k.SK))
		}
		if from := hourRange(start); k.SK <= before || from <= before || from >= k.SK {
			t.Errorf("%s and the range from %s, behind %s", k.SK, from, before)
		}
		before = k.SK
	}
	if !hourOf("HOUR#nonsense").IsZero() {
		t.Error("nonsense is an hour")
	}
}
