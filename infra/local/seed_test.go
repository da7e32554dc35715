package main

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"keyvend/pkg/operator"
)

const exampleSeed = "seed.example.json"

func bearer(key string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+key) }
}

func TestSeedIsThereAtTheFirstStartAndAtTheSecond(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	for range 2 {
		stop := startWith(t, options{dir: dir, seed: exampleSeed})
		status, text := send(t, dir, "POST", "/data-integrations/openai/credentials", `{"user_id":"user_1"}`, bearer("sk_test_acme"))
		if status != http.StatusOK || !strings.Contains(text, "sk-canary-of-user-1") {
			t.Error(status, text)
		}
		status, text = send(t, dir, "POST", "/data-integrations/openai/credentials", `{"user_id":"user_1"}`, bearer("sk_test_acme_dashboard"))
		if status != http.StatusForbidden {
			t.Error(status, text)
		}
		status, text = send(t, dir, "GET", "/data-integrations", "", bearer("sk_test_acme"))
		if status != http.StatusOK || strings.Count(text, `"slug"`) != 3 {
			t.Error(status, text)
		}
		stop()
	}
}

func TestFixedKeysAreOfTheirOwnTenantAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	startWith(t, options{dir: dir, seed: exampleSeed})
	status, text := send(t, dir, "GET", "/data-integrations", "")
	if status != http.StatusOK || strings.Contains(text, "openai") {
		t.Error("the demo tenant sees", text)
	}
	for _, key := range []string{"sk_test_acm", "sk_test_acme2", "sk_test_acme,sk_test_acme", ""} {
		if status, _ := send(t, dir, "GET", "/data-integrations", "", bearer(key)); status != http.StatusUnauthorized {
			t.Errorf("%q is answered %d", key, status)
		}
	}
}

func TestBadSeedIsRefusedBeforeAnythingIsMade(t *testing.T) {
	tenant := func(parts string) string { return `{"tenants":[{"name":"a",` + parts + `}]}` }
	const rule = "begins with sk_, has 8 or more characters"
	for text, words := range map[string][]string{
		`{`:                         {"ends too early"},
		``:                          {"ends too early"},
		"{\n\"tenants\" 1}":         {"line 2 is not JSON"},
		`{"tenants":{}}`:            {"tenants cannot be a JSON object"},
		`{"tenant":[]}`:             {`unknown field "tenant"`},
		"\n[]":                      {"line 2", "a JSON array stands where the seed's object belongs"},
		`"x"`:                       {"line 1", "a JSON string stands where"},
		`{"tenants":[]} {}`:         {"goes on behind the end", "line 1"},
		"{\"tenants\":[]}\nx":       {"goes on behind the end", "line 2"},
		`{"tenants":[{"name":""}]}`: {"tenants[0].name is missing"},
		`{"tenants":[{"name":"a"},{"name":"a"}]}`:                                                                                {`two tenants are named "a"`},
		tenant(`"api_keys":[{"key":"short","scopes":["vend"]}]`):                                                                 {`tenant "a"`, "api_keys[0].key", rule},
		tenant(`"api_keys":[{"key":"sk_shor","scopes":["vend"]}]`):                                                               {"api_keys[0].key", rule},
		tenant(`"api_keys":[{"key":"sk_test a","scopes":["vend"]}]`):                                                             {"api_keys[0].key", "no spaces and no commas"},
		tenant(`"api_keys":[{"key":"sk_test,a","scopes":["vend"]}]`):                                                             {"api_keys[0].key", "no spaces and no commas"},
		tenant(`"api_keys":[{"key":"sk_test_ä","scopes":["vend"]}]`):                                                             {"api_keys[0].key", "ASCII"},
		tenant(`"api_keys":[{"key":"sk_test_a","scopes":["vend"]},{"key":"sk_test_a","scopes":["read"]}]`):                       {"api_keys[1].key", "once"},
		tenant(`"api_keys":[{"key":"sk_test_a","scopes":["all"]}]`):                                                              {"api_keys[0].scopes", `There is no scope "all"`},
		tenant(`"api_keys":[{"key":"sk_test_a"}]`):                                                                               {"api_keys[0].scopes", "at least one scope"},
		tenant(`"integrations":[null]`):                                                                                          {`tenant "a"`, "integrations[0].provider is missing"},
		tenant(`"integrations":[{"provider":"open ai"}]`):                                                                        {"integrations[0].provider is not a slug"},
		tenant(`"integrations":[{"provider":7}]`):                                                                                {"integrations[0].provider is not a slug"},
		tenant(`"accounts":[{"user_id":"u","secret":"sk-canary-x"}]`):                                                            {`tenant "a"`, "accounts[0].slug is missing"},
		tenant(`"accounts":[{"slug":"open ai","user_id":"u","secret":"s"}]`):                                                     {"accounts[0].slug is not a slug"},
		tenant(`"accounts":[{"slug":"../x","user_id":"u","secret":"s"}]`):                                                        {"accounts[0].slug is not a slug"},
		tenant(`"integrations":[{"provider":"openai","enabeld":true}]`):                                                          {`tenant "a"`, `integrations[0] has the unknown field "enabeld"`, "enabled"},
		tenant(`"integrations":[{"provider":"openai","Enabled":true}]`):                                                          {`integrations[0] has the unknown field "Enabled"`},
		tenant(`"integrations":[{"provider":"x","custom_provider":{"nam":"X"}}]`):                                                {`integrations[0].custom_provider has the unknown field "nam"`},
		tenant(`"integrations":[{"provider":"x","definition":{"chek":{}}}]`):                                                     {`integrations[0].definition has the unknown field "chek"`},
		tenant(`"integrations":[{"provider":"x","api_key":{"user":"u"}}]`):                                                       {`integrations[0].api_key has the unknown field "user"`},
		tenant(`"accounts":[{"slug":"openai"},{"slug":"openai","organisation_id":"org_1"}]`):                                     {`accounts[1] has the unknown field "organisation_id"`, "organization_id"},
		tenant(`"integrations":[{"provider":"openai"},{"provider":"openai"}]`):                                                   {`integrations[1].provider is "openai" once more`},
		tenant(`"accounts":[{"slug":"x","user_id":"u"},{"slug":"x","user_id":"u","secret":"s"}]`):                                {"accounts[1]", "same user", "accounts[0]"},
		tenant(`"accounts":[{"slug":"x","user_id":"u","organization_id":"o"},{"slug":"x","user_id":"u","organization_id":"o"}]`): {"accounts[1]", "same user", "accounts[0]"},
		tenant(`"accounts":[{"slug":"x","user_id":"u"},{"slug":"x","user_id":"u","organization_id":null}]`):                      {"accounts[1]", "same user", "accounts[0]"},
		tenant(`"integrations":[{"provider":"x","api_key":{"user_id":"u"}}],"accounts":[{"slug":"x","user_id":"u"}]`):            {"accounts[0]", "same user", "integrations[0].api_key"},
		"{\"tenants\":[],\n\"tenants\":[]}":                                                                                      {"line 2", `"tenants"`, "twice"},
		"{\"Tenants\":[]}":                                                                                                       {`unknown field "Tenants"`},
		tenant("\n\"api_keys\":[{\"KEY\":\"sk_test_a\"}]"):                                                                       {"line 2", `unknown field "KEY"`, "tenants[0].api_keys[0]"},
		tenant("\"accounts\":[{\"slug\":\"x\",\n\"slug\":\"y\"}]"):                                                               {"line 2", "tenants[0].accounts[0]", `"slug"`, "twice"},
		tenant("\"integrations\":[\n7]"):                                                                                         {"line 2", "tenants[0].integrations[0] cannot be a JSON number"},
		tenant(`"name":"b"`):                                                                                                     {`"name"`, "twice"},
	} {
		t.Run(text, func(t *testing.T) {
			path, dir := filepath.Join(t.TempDir(), "seed.json"), filepath.Join(t.TempDir(), "data")
			put(t, path, text)
			refused(t, options{dir: dir, seed: path}, append(words, "the seed file "+path)...)
			if fileExists(dir) {
				t.Error("the data folder was made")
			}
		})
	}
	dir, missing := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "none.json")
	refused(t, options{dir: dir, seed: missing}, "there is no seed file "+missing, "-seed")
	if fileExists(dir) {
		t.Error("the data folder was made")
	}
}

func TestAccountsThatDifferInAnythingAreNoDuplicates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seed.json")
	put(t, path, `{"tenants":[{"name":"a","integrations":[{"provider":"x"},{"provider":"y"}],"accounts":[
		{"slug":"x","user_id":"u"},{"slug":"y","user_id":"u"},{"slug":"x","user_id":"v"},
		{"slug":"x","user_id":"u","organization_id":"o"},{"slug":"x","user_id":"u","organization_id":"p"}]},
		{"name":"b","integrations":[{"provider":"x"}],"accounts":[{"slug":"x","user_id":"u"}]}]}`)
	if _, err := readSeed(path); err != nil {
		t.Error(err)
	}
}

// TestSeedKnowsTheFieldsThatTheAPIReads holds the names that a seed may have
// against the API's description.
func TestSeedKnowsTheFieldsThatTheAPIReads(t *testing.T) {
	var api struct {
		Components struct {
			Schemas map[string]struct{ Properties map[string]any }
		}
	}
	if err := json.Unmarshal([]byte(get(t, "../../pkg/api/openapi.json")), &api); err != nil {
		t.Fatal(err)
	}
	for schema, c := range map[string]struct {
		known fields
		own   string // the seed's own field, which the body does not have
	}{
		"CreateDataIntegration": {seedIntegrationFields(), "definition"},
		"CustomProviderName":    {seedIntegrationFields()["custom_provider"], ""},
		"InlineKey":             {seedIntegrationFields()["api_key"], ""},
		"ChangeDefinition":      {seedIntegrationFields()["definition"], ""},
		"PutAPIKey":             {seedAccountFields(), "slug"},
	} {
		want := slices.Collect(maps.Keys(api.Components.Schemas[schema].Properties))
		if c.own != "" {
			want = append(want, c.own)
		}
		if got := slices.Sorted(maps.Keys(c.known)); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			t.Errorf("%s: a seed knows %v, the API %v", schema, got, want)
		}
	}
}

func TestRefusalOfAPartIsSaidInTheAPIsOwnSentence(t *testing.T) {
	for text, words := range map[string][]string{
		`"integrations":[{"provider":"nobody"}]`:                           {`the tenant "a"`, "integrations[0] (nobody)", "catalog"},
		`"integrations":[{"provider":"openai","definition":{"name":"x"}}]`: {"integrations[0] (openai)", "provider of the catalog"},
		`"integrations":[{"provider":"openai","definition":7}]`:            {"integrations[0] (openai)"},
		`"accounts":[{"slug":"openai","user_id":"u","secret":"sk-can"}]`:   {"accounts[0] (u for openai)"},
		`"accounts":[{"slug":"openai"}]`:                                   {"accounts[0]"},
	} {
		path := filepath.Join(t.TempDir(), "seed.json")
		put(t, path, `{"tenants":[{"name":"a",`+text+`}]}`)
		said := refused(t, options{dir: filepath.Join(t.TempDir(), "data"), seed: path}, words...)
		if strings.HasSuffix(said, ": ") || strings.Contains(said, "sk-can") {
			t.Error(said)
		}
	}
}

func TestStartsThatFailWhileSeedingLeaveOneTenantAndOneKeyOfEach(t *testing.T) {
	dir, path := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "seed.json")
	const seed = `{"tenants":[{"name":"a","api_keys":[{"key":"sk_test_a","scopes":["vend"]}],"integrations":[{"provider":"%"}]}]}`
	put(t, path, strings.ReplaceAll(seed, "%", "nobody"))
	for range 3 {
		refused(t, options{dir: dir, seed: path})
	}
	put(t, path, strings.ReplaceAll(seed, "%", "openai"))
	startWith(t, options{dir: dir, seed: path})
	socket := filepath.Join(dir, socketFile)
	tenants := ask(t, socket, operator.Request{Action: operator.ListTenants}).Tenants
	if len(tenants) != 2 {
		t.Fatalf("%+v", tenants)
	}
	for _, tenant := range tenants {
		if keys := ask(t, socket, operator.Request{Action: operator.ListAPIKeys, Tenant: tenant.ID}).APIKeys; len(keys) != 2 {
			t.Errorf("%s: %+v", tenant.Name, keys)
		}
	}
}

// revokeAll revokes all API keys of a seeded tenant, and returns their names.
func revokeAll(t *testing.T, dir, tenant string) (names []string) {
	t.Helper()
	socket := filepath.Join(dir, socketFile)
	for _, found := range ask(t, socket, operator.Request{Action: operator.ListTenants}).Tenants {
		if found.Name != tenant {
			continue
		}
		for _, key := range ask(t, socket, operator.Request{Action: operator.ListAPIKeys, Tenant: found.ID}).APIKeys {
			names = append(names, key.Name)
			ask(t, socket, operator.Request{Action: operator.RevokeAPIKey, Tenant: found.ID, APIKey: key.ID})
		}
	}
	return names
}

func TestSeedIsAppliedAgainAfterAllOfItsAPIKeysWereRevokedAndSaysSo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	stop := startWith(t, options{dir: dir, seed: exampleSeed})
	revoked := revokeAll(t, dir, "Acme test")
	if len(revoked) != 3 {
		t.Fatal(revoked)
	}
	if status, _ := send(t, dir, "GET", "/data-integrations", "", bearer("sk_test_acme")); status != http.StatusUnauthorized {
		t.Error("a revoked key is answered", status)
	}
	stop()
	out := printedWith(t, options{dir: dir, addr: "127.0.0.1:0", seed: exampleSeed})
	for _, name := range revoked {
		if strings.Count(out, `the API key "`+name+`" of the tenant "Acme test" was revoked and is issued anew`) != 1 {
			t.Errorf("nothing of %q in %s", name, out)
		}
	}
	if out := printedWith(t, options{dir: dir, addr: "127.0.0.1:0", seed: exampleSeed}); strings.Contains(out, "issued anew") {
		t.Error(out)
	}
	startWith(t, options{dir: dir, seed: exampleSeed})
	for key, want := range map[string]int{"sk_test_acme": http.StatusOK, "sk_test_acme_dashboard": http.StatusForbidden} {
		status, text := send(t, dir, "POST", "/data-integrations/openai/credentials", `{"user_id":"user_1"}`, bearer(key))
		if status != want {
			t.Errorf("%s: %d %s", key, status, text)
		}
	}
}

func TestTextOfAFixedKeyIsKeptNowhere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	stop := startWith(t, options{dir: dir, seed: exampleSeed})
	status, text := send(t, dir, "GET", "/keyvend/api_keys", "", bearer("sk_test_acme_dashboard"))
	if status != http.StatusOK || !strings.Contains(text, `"seed 1"`) || !strings.Contains(text, `"seed 2"`) || strings.Contains(text, "sk_test") {
		t.Error(status, text)
	}
	stop()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if strings.Contains(get(t, filepath.Join(dir, entry.Name())), "sk_test_acme") {
			t.Errorf("%s holds it", entry.Name())
		}
	}
}

func TestFixedKeyNeedsItsScheme(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	startWith(t, options{dir: dir, seed: exampleSeed})
	for _, header := range []string{"sk_test_acme", "bearer sk_test_acme", "Bearer  sk_test_acme", "Basic sk_test_acme", "Bearer Bearer sk_test_acme"} {
		status, _ := send(t, dir, "GET", "/data-integrations", "", func(r *http.Request) { r.Header.Set("Authorization", header) })
		if status != http.StatusUnauthorized {
			t.Errorf("%q is answered %d", header, status)
		}
	}
}

func TestSeededThatIsDamagedIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	startWith(t, options{dir: dir, seed: exampleSeed})()
	path := filepath.Join(dir, seededFile)
	for _, text := range []string{"", "{", "null", "[]", `{"Acme test":null}`, `{"Acme test":{}}`, `{"Acme test":{"id":"x","tokens":{"sk_test_acme vend":"y"}}}`} {
		put(t, path, text)
		refused(t, options{dir: dir, seed: exampleSeed}, path, "is damaged", "delete it", "stay")
	}
}
