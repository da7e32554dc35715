package api_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"keyvend/pkg/boot/boottest"
)

const (
	definition = "/keyvend/integrations/acme-crm"

	// regionField and hostCheck belong together: the key goes where the region is.
	regionField = `{"field":"region","label":"Region","description":"Choose the region of your account.","required":false,"default":"us","options":[{"value":"us","label":"United States"},{"value":"eu","label":"Europe"}]}`
	teamField   = `{"field":"team","label":"Team","description":"The name of your team.","required":false,"example":"acme","shapes":[{"parts":[{"alphabet":"base64url","max_length":40}]}]}`
	hostCheck   = `{"placement":{"in":"header","name":"Authorization","template":"Bearer {key}"},"method":"GET","url":"https://{region}.acme-crm.example/v1/me","valid":[200],"limited":[403],"invalid":[401]}`
	defined     = `{"config_fields":[` + regionField + `,` + teamField + `],"check":` + hostCheck + `}`
)

// newCustom is a tenant with a custom provider that has no definition yet, and
// a key of user anna.
func newCustom(t testing.TB) acme {
	t.Helper()
	a := newAcme(t, boottest.Config{})
	a.Must(http.StatusCreated, a.token, "POST", "/data-integrations",
		`{"provider":"acme-crm","enabled":true,"auth_methods":["api_key"],"custom_provider":{"name":"Acme CRM"}}`)
	a.Upsert(a.token, "acme-crm", "anna", key)
	return a
}

// define sends a definition that has to be taken.
func (a acme) define(body string) boottest.Answer {
	return a.Must(http.StatusOK, a.token, "PATCH", definition, body)
}

// wrongFields are the fields that an error names.
func wrongFields(a boottest.Answer) []string {
	var body struct {
		Errors []struct{ Code, Field, Message string }
	}
	_ = json.Unmarshal([]byte(a.Body), &body)
	if len(body.Errors) == 0 { // on the contract's paths the message alone says it
		field, _, _ := strings.Cut(a.Text("message"), " ")
		return []string{strings.TrimSuffix(field, ":")}
	}
	var fields []string
	for _, e := range body.Errors {
		if e.Code != "" && e.Message != "" {
			fields = append(fields, e.Field)
		}
	}
	return fields
}

func TestACustomProviderIsDefinedWhole(t *testing.T) {
	a := newCustom(t)
	const empty = `"name":"Acme CRM","custom":true,"key_hint":null,"help":null,"help_url":null,"config_fields":[],"check":null,"verify_on_save":"off","on_invalid":"refuse","check_interval":"24h","staging":false,"rotation_window_seconds":null,`
	got := a.Must(http.StatusOK, a.token, "GET", definition, "")
	if !strings.Contains(got.Body, empty) || got.Text("object") != "data_integration_definition" || got.Text("slug") != "acme-crm" {
		t.Errorf("%s", got.Body)
	}
	changed := a.define(`{"name":"Acme","key_hint":"A secret key.","help_url":"https://acme-crm.example/keys?a=b","on_invalid":"advise","check_interval":"90m",
		"verify_on_save":"off","staging":false,"rotation_window_seconds":null,"unknown":{"x":[1]},"config_fields":[` + regionField + `,` + teamField + `],"check":` + hostCheck + `}`)
	again := a.Must(http.StatusOK, a.token, "GET", definition, "")
	if changed.Body != again.Body {
		t.Errorf("PATCH answers %s, GET %s", changed.Body, again.Body)
	}
	for _, part := range []string{
		`"name":"Acme"`, `"key_hint":"A secret key."`, `"help_url":"https://acme-crm.example/keys?a=b"`, `"on_invalid":"advise"`, `"check_interval":"90m"`,
		`"config_fields":[` + regionField + `,` + teamField + `]`, `"check":` + hostCheck,
	} {
		if !strings.Contains(again.Body, part) {
			t.Errorf("%s is not in %s", part, again.Body)
		}
	}
	if strings.Contains(again.Body, "check_mac") {
		t.Errorf("%s", again.Body)
	}
	if name := a.Do(a.token, "GET", "/data-integrations/acme-crm", "").Text("custom_provider.name"); name != "Acme" {
		t.Errorf("the contract's name is %q", name)
	}
	// What is not sent stays, and so does null, but for the two texts.
	for _, body := range []string{`{}`, `{"name":null,"config_fields":null,"check":null,"on_invalid":null,"check_interval":null,"verify_on_save":null,"staging":null}`} {
		if a.define(body); a.Do(a.token, "GET", definition, "").Text("check.url") == "" {
			t.Errorf("%s took the check away", body)
		}
	}
	a.define(`{"key_hint":null,"help_url":null}`)
	if got := a.Do(a.token, "GET", definition, ""); got.Text("key_hint")+got.Text("help_url") != "" || got.Text("name") != "Acme" {
		t.Errorf("%s", got.Body)
	}
}

// Nobody finds a link or a button without a name.
func TestTheNameOfAProviderIsOneLineInWhichSomethingIsSeen(t *testing.T) {
	a := newCustom(t)
	send := func(name string) []boottest.Answer {
		text, err := json.Marshal(name)
		if err != nil {
			t.Fatal(err)
		}
		custom := `"custom_provider":{"name":` + string(text) + `}`
		slug := fmt.Sprintf("c%x", name)
		return []boottest.Answer{
			a.Do(a.token, "POST", "/data-integrations", `{"provider":"`+slug[:min(len(slug), 60)]+`","auth_methods":["api_key"],`+custom+`}`),
			a.Do(a.token, "PUT", "/data-integrations/acme-crm", `{`+custom+`}`),
			a.Do(a.token, "PATCH", definition, `{"name":`+string(text)+`}`),
		}
	}
	for _, name := range []string{
		"", " ", "  ", "\u00a0", "\u2003", "\u200b", "\u200d\ufe0f", "\u202e", "\ufeff", "\u3164", "\u115f", "\u2800", "\u00ad", "\U000e0041",
		"\n", "A\nB", "A\tB", "A\u2028B", "A\u202eB", "A\u0085B", "A\u0000", " A", "A ", "A\u00a0", "\ue000", strings.Repeat("x", 201),
	} {
		for i, got := range send(name) {
			want := "invalid_text"
			if name == "" {
				want = "is required"
			}
			if got.Status != http.StatusUnprocessableEntity || !strings.Contains(got.Body, want) && i == 2 || !strings.HasSuffix(wrongFields(got)[0], "name") {
				t.Errorf("%q: %d %s", name, got.Status, got.Body)
			}
		}
	}
	for _, name := range []string{"x", "Ä & Söhne (EU)", "東京", "C++", "💳", "7", strings.Repeat("ü", 200), "a\u0301", "№ 1", "فروشگاه\u200cها", "👩\u200d💻"} {
		for _, got := range send(name) {
			if got.Status/100 != 2 {
				t.Errorf("%q: %d %s", name, got.Status, got.Body)
			}
		}
	}
}

func TestAnEmptyChangeWritesNothing(t *testing.T) {
	a := newCustom(t)
	row := boottest.IntegrationRow(a.tenant, "acme-crm")
	before := a.Item(row).Revision
	a.define(`{}`)
	if after := a.Item(row).Revision; after != before {
		t.Errorf("revision %d, then %d", before, after)
	}
}

func TestOfACatalogProviderOnlyThePolicyChanges(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	const path = "/keyvend/integrations/openai"
	got := a.Must(http.StatusOK, a.token, "GET", path, "")
	if got.Text("custom") != "false" || got.Text("name") != "OpenAI" || got.Text("key_hint") == "" || !strings.HasPrefix(got.Text("help_url"), "https://platform.openai.com/") {
		t.Errorf("%s", got.Body)
	}
	got = a.Must(http.StatusOK, a.token, "PATCH", path, `{"on_invalid":"advise","check_interval":"off","verify_on_save":"off"}`)
	if got.Text("on_invalid") != "advise" || got.Text("check_interval") != "off" {
		t.Errorf("%s", got.Body)
	}
	before := a.Item(boottest.IntegrationRow(a.tenant, "openai")).Revision
	got = a.Must(http.StatusUnprocessableEntity, a.token, "PATCH", path, `{"name":"x","key_hint":null,"help_url":"https://x.example","config_fields":[],"check":`+hostCheck+`,"on_invalid":"refuse"}`)
	if fields := wrongFields(got); !slices.Equal(fields, []string{"name", "key_hint", "help_url", "config_fields", "check"}) {
		t.Errorf("%s", got.Body)
	}
	if a.Item(boottest.IntegrationRow(a.tenant, "openai")).Revision != before {
		t.Error("half of it was stored")
	}
	a.vends(t, key)
}

func TestADefinitionTellsWhatBecomesOfABadKey(t *testing.T) {
	a := newCustom(t)
	a.Register(a.token, "mailgun")
	for slug, want := range map[string]string{"openai": "refuse", "mailgun": "advise", "acme-crm": "refuse"} {
		path := "/keyvend/integrations/" + slug
		if got := a.Must(http.StatusOK, a.token, "GET", path, "").Text("on_invalid"); got != want {
			t.Errorf("%s: %s", slug, got)
		}
		for _, set := range []string{"advise", "refuse"} { // what the tenant says holds, and stays
			a.Must(http.StatusOK, a.token, "PATCH", path, `{"on_invalid":"`+set+`"}`)
			a.Must(http.StatusOK, a.token, "PATCH", path, `{"on_invalid":null,"check_interval":"1h"}`)
			if got := a.Must(http.StatusOK, a.token, "GET", path, "").Text("on_invalid"); got != set {
				t.Errorf("%s, set to %s: %s", slug, set, got)
			}
		}
	}
}

func TestTheCatalogSaysWhetherAndHowAKeyIsChecked(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	const stripe = `"check":{"placement":{"in":"header","name":"Authorization","template":"Bearer {key}"},"method":"GET","url":"https://api.stripe.com/v1/balance","valid":[200],"limited":[403],"invalid":[401]}`
	for _, path := range []string{"/keyvend/catalog/stripe", "/keyvend/catalog"} {
		if got := a.Must(http.StatusOK, a.token, "GET", path, ""); !strings.Contains(got.Body, stripe) {
			t.Errorf("%s: %.2000s", path, got.Body)
		}
	}
	if got := a.Must(http.StatusOK, a.token, "GET", "/keyvend/catalog/exa", ""); strings.Contains(got.Body, `"check`) {
		t.Errorf("%s", got.Body)
	}
	if got := a.Must(http.StatusOK, a.token, "GET", "/keyvend/catalog/huggingface", ""); got.Text("checks_per_minute") != "10" || got.Text("check.method") != "GET" {
		t.Errorf("%s", got.Body)
	}
	a.Register(a.token, "stripe")
	if got := a.Must(http.StatusOK, a.token, "GET", "/keyvend/integrations/stripe", ""); !strings.Contains(got.Body, stripe) {
		t.Errorf("%s", got.Body)
	}
}

func TestAMistakeInADefinitionIsNamedAndNothingIsStored(t *testing.T) {
	a := newCustom(t)
	check := func(old, replacement string) string {
		text := strings.Replace(hostCheck, old, replacement, 1)
		if text == hostCheck {
			t.Fatalf("%s is not in the check", old)
		}
		return `{"config_fields":[` + regionField + `],"check":` + text + `}`
	}
	row := boottest.IntegrationRow(a.tenant, "acme-crm")
	before := a.Item(row).Revision
	for body, field := range map[string]string{
		`{"name":""}`: "name", `{"name":"a\u0000"}`: "name",
		`{"key_hint":"` + strings.Repeat("a", 301) + `"}`: "key_hint",
		`{"help_url":"javascript:alert(1)"}`:              "help_url",
		`{"help_url":"http://a.example"}`:                 "help_url",
		`{"help_url":"https://a:b@a.example"}`:            "help_url",
		`{"help_url":"https:///x"}`:                       "help_url",
		`{"help_url":"https://a.example/\r\n"}`:           "help_url",
		`{"help_url":"data:text/html,x"}`:                 "help_url",
		`{"on_invalid":"ignore"}`:                         "on_invalid",
		`{"check_interval":"1d"}`:                         "check_interval",
		`{"check_interval":""}`:                           "check_interval",
		`{"verify_on_save":"require"}`:                    "verify_on_save",
		`{"verify_on_save":"warn"}`:                       "verify_on_save",
		`{"verify_on_save":"later"}`:                      "verify_on_save",
		`{"staging":true}`:                                "staging",
		`{"rotation_window_seconds":3600}`:                "rotation_window_seconds",
		`{"config_fields":[{"field":"x","label":"X","description":"X.","required":false}]}`:                                                      "config_fields[0]",
		`{"config_fields":[` + regionField + `,` + regionField + `]}`:                                                                            "config_fields[1].field",
		`{"config_fields":[` + teamField + `,` + strings.Replace(teamField, `"team",`, `"zone","derive_from_key":{"after_last":"-"},`, 1) + `]}`: "config_fields[1].derive_from_key",
		`{"config_fields":[{"field":"x","label":"X","description":"X.","required":false,"regex":".*"}]}`:                                         "config_fields[0]",
		`{"config_fields":[{"field":"x","label":"X","description":"X.","example":"a","shapes":[{"parts":[{"alphabet":"runes"}]}]}]}`:             "config_fields[0].shapes[0].parts[0].alphabet",
		`{"check":` + hostCheck + `}`:        "check.url", // without its region
		check(`{key}`, `sk-canary-pasted`):   "check.placement.template",
		check(`{key}`, `{key}\r\nX-Evil: 1`): "check.placement.template",
		check(`GET`, `TRACE`):                "check.method",
		check(`"limited"`, `"limted"`):       "check",
		check(`[403]`, `[429]`):              "check.limited[0]",
		check(`"valid":[200],`, `"valid":[200],"when":[{"status":200,"all":[{"path":"ok","equal":true}],"verdict":"valid"}],`): "check.when[0].all[0]",
		check(`"valid":[200],`, `"valid":[200],"when":[{"status":200,"all":[{"path":"ok"}],"verdict":"valid"}],`):              "check.when[0].all[0]",
		check(`"valid":[200],`, `"valid":[200],"headers":{"Host":"evil.example"},`):                                            "check.headers",
	} {
		got := a.Do(a.token, "PATCH", definition, body)
		if got.Status != http.StatusUnprocessableEntity || !slices.Contains(wrongFields(got), field) || got.Text("message") == "" {
			t.Errorf("%.200s: %d %s, want something about %s", body, got.Status, got.Body, field)
		}
	}
	for body, field := range map[string]string{
		`{"name":7}`: "name", `{"key_hint":7}`: "key_hint", `{"help_url":{}}`: "help_url", `{"config_fields":{}}`: "config_fields", `{"check":"x"}`: "check",
		`{"check":{"placement":[]}}`: "check.placement", `{"check":{"valid":["200"]}}`: "check.valid[0]", `{"check":{"headers":{"sk-canary-x":1}}}`: "check.headers",
		`{"config_fields":[{"options":[{"value":1}]}]}`: "config_fields[0].options[0].value", `{"staging":"no"}`: "staging", `{"rotation_window_seconds":"x"}`: "rotation_window_seconds",
	} {
		got := a.Do(a.token, "PATCH", definition, body)
		if got.Status != http.StatusBadRequest || got.Code() != "invalid_request_body" || !strings.Contains(got.Text("message"), "field "+field+" ") {
			t.Errorf("%s: %d %s, want something about %s", body, got.Status, got.Body, field)
		}
	}
	for _, body := range []string{``, `null`, `[]`, `{"check":{"method":"GET","method":"POST"}}`, `{"check":{}`, "{\"name\":\"\xff\"}"} {
		if got := a.Do(a.token, "PATCH", definition, body); got.Status != http.StatusBadRequest {
			t.Errorf("%q: %d %s", body, got.Status, got.Body)
		}
	}
	if a.Item(row).Revision != before {
		t.Error("something was stored")
	}
}

func TestASlipIsNamedAndAMisplacedKeyIsNot(t *testing.T) {
	a := newCustom(t)
	if got := a.Do(a.token, "PATCH", definition, `{"check":{"limted":[403]}}`); !strings.Contains(got.Text("message"), "limted") {
		t.Errorf("%s", got.Body)
	}
	for _, body := range []string{
		`{"check":{"` + key + `":1}}`, `{"config_fields":[{"` + key + `":1}]}`, `{"check":{"headers":{"` + key + `":7}}}`, `{"check":{"headers":{"` + key + `\n":"x"}}}`,
		`{"check":{"placement":{"in":"` + key + `"},"url":"https://` + key + `/"}}`, `{"help_url":"` + key + `"}`, `{"on_invalid":"` + key + `"}`, `{"check_interval":"` + key + `"}`,
		`{"verify_on_save":"` + key + `"}`, `{"config_fields":[{"field":"` + key + `","format":"` + key + `"}]}`,
	} {
		if got := a.Do(a.token, "PATCH", definition, body); got.Status < 400 || got.Status > 422 { // the world looks for the canary
			t.Errorf("%s: %d %s", body, got.Status, got.Body)
		}
	}
}

func TestADefinitionThatWouldMakeEveryVendReadMuchIsRefused(t *testing.T) {
	a := newCustom(t)
	var options []string
	for i := range 50 {
		options = append(options, fmt.Sprintf(`{"value":"%d","label":"%s"}`, i, strings.Repeat("é", 60)))
	}
	var fields []string
	for i := range 10 {
		fields = append(fields, fmt.Sprintf(`{"field":"f%d","label":"F","description":"F.","required":false,"options":[%s]}`, i, strings.Join(options[:30], ",")))
	}
	if got := a.Do(a.token, "PATCH", definition, `{"config_fields":[`+strings.Join(fields, ",")+`]}`); got.Status != http.StatusUnprocessableEntity {
		t.Errorf("%d %.300s", got.Status, got.Body)
	}
	a.define(`{"config_fields":[` + fields[0] + `]}`)
}

func TestF35_ACheckOfAnythingButAPublicHostIsRefusedAtRegistration(t *testing.T) {
	a := newCustom(t)
	for _, host := range []string{
		"169.254.169.254", "127.0.0.1:9001", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "0x7f.1", "[64:ff9b::7f00:1]", "localhost", "localhost.", "metadata.google.internal",
		"printer.local", "me@api.example.com", "me:pw@api.example.com", "api\u3002example\u3002com", "api\uff0eexample.com", "api.example.com:8443", "api.example.com.",
		"api.example.com\\\\@127.0.0.1", "127.0.0.1#.example.com", "127.0.0.1?.example.com", "EXAMPLE.com", "a", "",
	} {
		check := strings.Replace(hostCheck, "{region}.acme-crm.example", host, 1)
		got := a.Do(a.token, "PATCH", definition, `{"check":`+check+`}`)
		if got.Status != http.StatusUnprocessableEntity || !slices.Contains(wrongFields(got), "check.url") {
			t.Errorf("%s: %d %s", host, got.Status, got.Body)
		}
	}
	// Nor by way of a user's setting.
	a.define(`{"config_fields":[{"field":"host","label":"Host","description":"Your host.","required":true,"example":"crm.example.com","format":"hostname"}],
		"check":` + strings.Replace(hostCheck, "{region}.acme-crm.example", "{host}", 1) + `}`)
	for _, host := range []string{"169.254.169.254", "localhost", "db.internal", "crm.example.com:8080", "me@crm.example.com", "2130706433"} {
		got := a.Do(a.token, "PUT", "/data-integrations/acme-crm/api-key", `{"user_id":"anna","secret":"`+key+`","config":{"host":"`+host+`"}}`)
		if got.Status != http.StatusUnprocessableEntity || !slices.Contains(wrongFields(got), "config.host") {
			t.Errorf("%s: %d %s", host, got.Status, got.Body)
		}
	}
}

func TestF35_SettingsThatMakeNoPublicHostTogetherAreRefused(t *testing.T) {
	a := newCustom(t)
	a.define(`{"config_fields":[{"field":"shop","label":"Shop","description":"Your shop.","required":true,"example":"acme","shapes":[{"parts":[{"alphabet":"lower_alphanumeric","extra":"-"}]}]}],
		"check":` + strings.Replace(hostCheck, "{region}", "{shop}", 1) + `}`)
	for shop, want := range map[string]int{"acme": http.StatusOK, "-acme": http.StatusUnprocessableEntity, strings.Repeat("a", 64): http.StatusUnprocessableEntity} {
		got := a.Do(a.token, "PUT", "/data-integrations/acme-crm/api-key", `{"user_id":"anna","secret":"`+key+`","config":{"shop":"`+shop+`"}}`)
		if got.Status != want || want != http.StatusOK && !slices.Equal(wrongFields(got), []string{"config"}) {
			t.Errorf("%s: %d %s", shop, got.Status, got.Body)
		}
	}
}

// The official widget and the contract's clients can send no setting.
func TestARequiredSettingThatIsMissingOrEmptyIsToldOfAndKeepsNoKeyFromBeingStored(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	a.Register(a.token, "shopify")
	a.Register(a.token, "datadog")
	const without = `missing_setting;message="The provider's keys need settings that this one has not: config.shop."`
	secret := `"secret":"shpat_` + strings.Repeat("c", 32) + `"`
	for config, want := range map[string]string{
		"": without, `,"config":null`: without, `,"config":{}`: without, `,"config":{"shop":""}`: without, `,"config":{"shop":"acme"}`: "",
	} {
		body := `{"user_id":"anna",` + secret + config + `}`
		a.Do(a.token, "DELETE", "/user_management/users/anna/connected_accounts/shopify", "")
		for what, got := range map[string]boottest.Answer{
			"PUT":    a.Do(a.token, "PUT", "/data-integrations/shopify/api-key", body),
			"POST":   a.Do(a.token, "POST", "/data-integrations/shopify/api-key", body),
			"inline": a.Do(a.token, "PUT", "/data-integrations/shopify", `{"api_key":`+body+`}`),
			"widget": a.Do(a.anna, "PUT", "/_widgets/DataIntegrations/shopify/api-key", `{`+secret+config+`}`, "Origin", page),
		} {
			if told := got.Header.Get("Keyvend-Warning"); got.Status != http.StatusOK || told != want {
				t.Errorf("%s with %s: %d %s, told %q", what, config, got.Status, got.Body, told)
			}
		}
		a.vends(t, key) // of another provider
	}
	// What is stored already is not missing, and what is optional never is.
	if got := a.Must(200, a.token, "PUT", "/data-integrations/shopify/api-key", `{"user_id":"anna",`+secret+`,"config":{"shop":"acme"}}`); got.Header.Get("Keyvend-Warning") != "" {
		t.Errorf("%v", got.Header)
	}
	for path, body := range map[string]string{
		"/data-integrations/shopify/api-key": `{"user_id":"anna",` + secret + `}`,
		"/data-integrations/datadog/api-key": `{"user_id":"anna","secret":"0123456789abcdef0123456789abcdef","config":{"site":""}}`,
	} {
		if told := a.Must(200, a.token, "PUT", path, body).Header.Get("Keyvend-Warning"); told != "" {
			t.Errorf("%s: %s", path, told)
		}
	}
	odd := a.Must(200, a.token, "PUT", "/data-integrations/shopify/api-key", `{"user_id":"bob","secret":"pk_live_canary0000"}`).Header.Get("Keyvend-Warning")
	if !strings.HasPrefix(odd, "publishable_key;") || !strings.HasSuffix(odd, ", "+without) {
		t.Errorf("%s", odd)
	}
}

func TestConfigHasAtMostTwoKiBHoweverItComes(t *testing.T) {
	a := newCustom(t)
	var fields, values []string
	for i := range 10 {
		fields = append(fields, fmt.Sprintf(`{"field":"f%d","label":"F","description":"F.","required":false,"example":"a","shapes":[{"parts":[{"alphabet":"visible"}]}]}`, i))
		values = append(values, fmt.Sprintf(`"f%d":"%s"`, i, strings.Repeat("x", 250)))
	}
	a.define(`{"config_fields":[` + strings.Join(fields, ",") + `]}`)
	fits, tooMuch := `{`+strings.Join(values[:8], ",")+`}`, `{`+strings.Join(values, ",")+`}`
	put := func(config string) boottest.Answer {
		return a.Do(a.token, "PUT", "/data-integrations/acme-crm/api-key", `{"user_id":"anna","secret":"`+key+`","config":`+config+`}`)
	}
	id := put(fits).Text("id")
	patch := func(config string) boottest.Answer {
		return a.Do(a.token, "PATCH", "/keyvend/accounts/"+id, `{"config":`+config+`}`)
	}
	for _, send := range []func(string) boottest.Answer{put, patch} {
		if got := send(fits); got.Status != http.StatusOK {
			t.Errorf("%d %s", got.Status, got.Body)
		}
		if got := send(tooMuch); got.Status != http.StatusUnprocessableEntity || !slices.Equal(wrongFields(got), []string{"config"}) {
			t.Errorf("%d %s", got.Status, got.Body)
		}
	}
}

func TestConfigOfACustomProviderIsCheckedStoredAndVended(t *testing.T) {
	a := newCustom(t)
	const path = "/data-integrations/acme-crm/api-key"
	body := func(config string) string {
		return `{"user_id":"anna","secret":"` + key + `","config":` + config + `}`
	}
	if got := a.Do(a.token, "PUT", path, body(`{"region":"eu"}`)); got.Status != http.StatusUnprocessableEntity {
		t.Errorf("a setting that nobody declared: %d %s", got.Status, got.Body)
	}
	a.define(defined)
	for config, field := range map[string]string{
		`{"region":"ap"}`: "config.region", `{"team":"a b"}`: "config.team", `{"key":"x"}`: "config.key",
	} {
		if got := a.Do(a.token, "PUT", path, body(config)); got.Status != http.StatusUnprocessableEntity || !slices.Equal(wrongFields(got), []string{field}) {
			t.Errorf("%s: %d %s", config, got.Status, got.Body)
		}
	}
	if got := a.Do(a.token, "PUT", path, body(`{"team":"`+strings.Repeat("x", 2049)+`"}`)); got.Status != http.StatusUnprocessableEntity {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	a.Must(http.StatusOK, a.token, "PUT", path, body(`{"region":"eu","team":"crew"}`))
	if got := a.Vend(a.token, "acme-crm", "anna"); got.Text("credential.config.region") != "eu" || got.Text("credential.config.team") != "crew" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	a.Upsert(a.token, "acme-crm", "anna", key+"2") // says nothing of config
	if got := a.Vend(a.token, "acme-crm", "anna"); got.Text("credential.config.region") != "eu" || got.Text("credential.value") != key+"2" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestF61_ConfigThatReachesACheckChangesOnlyTogetherWithTheKey(t *testing.T) {
	a := newCustom(t)
	a.define(defined)
	id := a.Must(http.StatusOK, a.token, "PUT", "/data-integrations/acme-crm/api-key", `{"user_id":"anna","secret":"`+key+`","config":{"region":"eu","team":"crew"}}`).Text("id")
	path := "/keyvend/accounts/" + id
	for _, config := range []string{`{"region":"us","team":"crew"}`, `{"team":"crew"}`, `{}`} {
		got := a.Do(a.token, "PATCH", path, `{"config":`+config+`}`)
		if got.Status != http.StatusUnprocessableEntity || !slices.Equal(wrongFields(got), []string{"config.region"}) {
			t.Errorf("%s: %d %s", config, got.Status, got.Body)
		}
	}
	for config, field := range map[string]string{`{"region":"eu","team":"a b"}`: "config.team", `{"region":"eu","other":"x"}`: "config.other"} {
		got := a.Do(a.token, "PATCH", path, `{"config":`+config+`}`)
		if got.Status != http.StatusUnprocessableEntity || !slices.Equal(wrongFields(got), []string{field}) {
			t.Errorf("%s: %d %s", config, got.Status, got.Body)
		}
	}
	if got := a.Do(a.token, "PATCH", path, `{"config":{"region":"eu","team":"`+strings.Repeat("x", 2049)+`"}}`); got.Status != http.StatusUnprocessableEntity {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got := a.Must(http.StatusOK, a.token, "PATCH", path, `{"config":{"region":"eu","team":"others"}}`); got.Text("config.team") != "others" {
		t.Errorf("%s", got.Body)
	}
	got := a.Vend(a.token, "acme-crm", "anna")
	if got.Text("credential.value") != key || got.Text("credential.config.team") != "others" || got.Text("credential.config.region") != "eu" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	a.Must(http.StatusOK, a.token, "PATCH", path, `{"config":{"region":"eu"}}`)
	if got := a.Vend(a.token, "acme-crm", "anna"); got.Text("credential.value") != key || got.Text("credential.config.team") != "" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

func TestF61_ConfigOfACatalogProviderChangesOnlyTogetherWithTheKey(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	const eu, us = `{"api_host":"api.eu.mailgun.net"}`, `{"api_host":"api.mailgun.net"}`
	a.Register(a.token, "mailgun")
	put := func(config string) string {
		return a.Must(http.StatusOK, a.token, "PUT", "/data-integrations/mailgun/api-key", `{"user_id":"anna","secret":"`+key+`","config":`+config+`}`).Text("id")
	}
	path := "/keyvend/accounts/" + put(eu)
	for _, config := range []string{`{}`, us, `{"api_host":""}`} {
		got := a.Do(a.token, "PATCH", path, `{"config":`+config+`}`)
		if got.Status != http.StatusUnprocessableEntity || !slices.Equal(wrongFields(got), []string{"config.api_host"}) {
			t.Errorf("%s: %d %s", config, got.Status, got.Body)
		}
	}
	// What changes nothing of where the key goes passes.
	a.Must(http.StatusOK, a.token, "PATCH", path, `{"config":`+eu+`,"metadata":{"team":"crew"}}`)
	if got := a.Vend(a.token, "mailgun", "anna"); got.Text("credential.value") != key || got.Text("credential.config.api_host") != "api.eu.mailgun.net" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	put(us)
	if got := a.Vend(a.token, "mailgun", "anna"); got.Text("credential.config.api_host") != "api.mailgun.net" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	// Nor do settings pass that make no host of the provider's.
	a.Register(a.token, "freshdesk")
	for subdomain, field := range map[string]string{"acme-": "config", "evil.example/": "config.subdomain", "169.254.169.254": "config.subdomain"} {
		got := a.Do(a.token, "PUT", "/data-integrations/freshdesk/api-key", `{"user_id":"anna","secret":"`+key+`","config":{"subdomain":"`+subdomain+`"}}`)
		if got.Status != http.StatusUnprocessableEntity || !slices.Equal(wrongFields(got), []string{field}) {
			t.Errorf("%s: %d %s", subdomain, got.Status, got.Body)
		}
	}
}

func TestF61_ConfigThatWasWrittenIntoTheTableIsNotMovedNorCarriedOver(t *testing.T) {
	a := newCustom(t)
	a.define(defined)
	id := a.Must(http.StatusOK, a.token, "PUT", "/data-integrations/acme-crm/api-key", `{"user_id":"anna","secret":"`+key+`","config":{"region":"eu"}}`).Text("id")
	row := boottest.AccountRow(a.tenant, "anna", "acme-crm", "")
	a.Edit(row, func(r boottest.Row) { r["config"] = boottest.Row{"region": "us"} })
	a.refusesBroken(t, a.token, "acme-crm", `{"user_id":"anna"}`)
	if got := a.Do(a.token, "PATCH", "/keyvend/accounts/"+id, `{"config":{"region":"us","team":"x"}}`); got.Status != http.StatusInternalServerError || got.Text("message") != fixedSentence {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	a.refusesBroken(t, a.token, "acme-crm", `{"user_id":"anna"}`)
	a.Upsert(a.token, "acme-crm", "anna", key)
	if got := a.Vend(a.token, "acme-crm", "anna"); got.Text("credential.value") != key || got.Text("credential.config.region") != "" {
		t.Errorf("a value that nobody brought was sealed in: %d %s", got.Status, got.Body)
	}
}

func TestF61_HostAndPlacementOfACheckAreSetOnce(t *testing.T) {
	a := newCustom(t)
	a.define(defined)
	a.Upsert(a.token, "acme-crm", "bob", key)
	patch := func(old, replacement string) string {
		text := strings.Replace(defined, old, replacement, 1)
		if text == defined {
			t.Fatalf("%s is not in the definition", old)
		}
		return text
	}
	for name, c := range map[string]struct{ body, field string }{
		"host":                 {patch(`{region}.acme-crm.example`, `{region}.evil.example`), "check.url"},
		"host without region":  {patch(`{region}.acme-crm.example`, `us.acme-crm.example`), "check.url"},
		"region's default":     {patch(`"default":"us","options":[{"value":"us","label":"United States"},{"value":"eu","label":"Europe"}]`, `"default":"eu","options":[{"value":"eu","label":"Europe"},{"value":"us","label":"United States"}]`), "check.url"},
		"fields alone":         {`{"config_fields":[` + strings.Replace(regionField, `"default":"us",`, ``, 1) + `]}`, "check.url"},
		"header":               {patch(`"Authorization"`, `"X-Key"`), "check.placement"},
		"template":             {patch(`Bearer {key}`, `Token {key}`), "check.placement"},
		"kind":                 {patch(`"in":"header","name":"Authorization","template":"Bearer {key}"`, `"in":"basic","template":"{key}:"`), "check.placement"},
		"its setting is taken": {`{"config_fields":[]}`, "check.url"},
	} {
		got := a.Do(a.token, "PATCH", definition, c.body)
		if got.Status != http.StatusUnprocessableEntity || !slices.Contains(wrongFields(got), c.field) {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
	// Path, rules, words and further regions may change.
	a.define(patch(`/v1/me`, `/v2/{team}`))
	a.define(patch(`"invalid":[401]`, `"invalid":[401,404]`))
	a.define(patch(`"Authorization"`, `"authorization"`))
	a.define(patch(`"label":"Region"`, `"label":"Zone"`))
	a.define(patch(`{"value":"eu","label":"Europe"}`, `{"value":"eu","label":"Europe"},{"value":"ap","label":"Asia"}`))
	for _, user := range []string{"anna", "bob"} { // sealed before and after it was set
		if got := a.Vend(a.token, "acme-crm", user); got.Text("credential.value") != key {
			t.Errorf("%s: %d %s", user, got.Status, got.Body)
		}
	}
	// Another registration may say otherwise.
	a.Must(http.StatusNoContent, a.token, "DELETE", "/data-integrations/acme-crm", "")
	a.Must(http.StatusCreated, a.token, "POST", "/data-integrations", `{"provider":"acme-crm","enabled":true,"auth_methods":["api_key"],"custom_provider":{"name":"Acme CRM"}}`)
	a.define(patch(`{region}.acme-crm.example`, `api.acme-crm.example`))
}

func TestF61_ACheckEditedInTheTableOpensNothingAndSealsNothing(t *testing.T) {
	check := func(r boottest.Row) boottest.Row { return r.In("custom").In("check") }
	for name, c := range map[string]struct {
		edit func(r boottest.Row)
		// Whether a key that was sealed after the check was set still vends: what
		// keys are not bound to is held by the check's MAC alone.
		vends bool
		// Whether new keys are still taken: without a check they go nowhere.
		seals bool
	}{
		"host":              {func(r boottest.Row) { check(r)["url"] = "https://evil.example.org/v1/me" }, false, false},
		"placement":         {func(r boottest.Row) { check(r).In("placement")["name"] = "Cookie" }, false, false},
		"template":          {func(r boottest.Row) { check(r).In("placement")["template"] = "{key}" }, false, false},
		"default region":    {func(r boottest.Row) { field(r, 0)["default"] = "evil.example.org/" }, false, false},
		"no check":          {func(r boottest.Row) { delete(r.In("custom"), "check") }, false, true},
		"not custom":        {func(r boottest.Row) { delete(r, "custom") }, false, true},
		"path":              {func(r boottest.Row) { check(r)["url"] = "https://{region}.acme-crm.example/v1/delete" }, true, false},
		"method":            {func(r boottest.Row) { check(r)["method"] = "POST" }, true, false},
		"no MAC":            {func(r boottest.Row) { delete(r.In("custom"), "check_mac") }, true, false},
		"nothing but rules": {func(r boottest.Row) { check(r)["valid"] = []int{204} }, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := newCustom(t) // anna's key is sealed before the check is set
			a.define(defined)
			a.Upsert(a.token, "acme-crm", "bob", key)
			a.Edit(boottest.IntegrationRow(a.tenant, "acme-crm"), c.edit)
			if got := a.Vend(a.token, "acme-crm", "anna"); got.Text("credential.value") != key {
				t.Errorf("sealed before: %d %s", got.Status, got.Body)
			}
			if c.vends {
				if got := a.Vend(a.token, "acme-crm", "bob"); got.Text("credential.value") != key {
					t.Errorf("sealed after: %d %s", got.Status, got.Body)
				}
			} else {
				a.refusesBroken(t, a.token, "acme-crm", `{"user_id":"bob"}`)
			}
			for _, user := range []string{"anna", "bob", "carl"} {
				got := a.Do(a.token, "PUT", "/data-integrations/acme-crm/api-key", `{"user_id":"`+user+`","secret":"`+key+`"}`)
				if c.seals != (got.Status == http.StatusOK) || !c.seals && got.Text("message") != fixedSentence {
					t.Errorf("%s's next key: %d %s", user, got.Status, got.Body)
				}
			}
			if !c.seals { // nor does a PATCH make it good
				for _, body := range []string{defined, `{"config_fields":[` + regionField + `]}`} {
					if got := a.Do(a.token, "PATCH", definition, body); got.Status != http.StatusInternalServerError {
						t.Errorf("%d %s", got.Status, got.Body)
					}
				}
				if len(a.Log.Alarms()) == 0 {
					t.Error("no alarm")
				}
			}
		})
	}
}

// field is a config field in an integration's row.
func field(r boottest.Row, i int) boottest.Row {
	fields, _ := r.In("custom")["config_fields"].([]any)
	f, _ := fields[i].(map[string]any)
	return f
}

func TestTwoTenantsDefineTheirOwn(t *testing.T) {
	a := newCustom(t)
	a.define(defined)
	_, token := a.other()
	for _, method := range []string{"GET", "PATCH"} {
		if got := a.Do(token, method, definition, defined); got.Status != http.StatusNotFound || got.Code() != "not_found" {
			t.Errorf("%s: %d %s", method, got.Status, got.Body)
		}
	}
	reader := a.Key(a.tenant, "read")
	a.Must(http.StatusOK, reader, "GET", definition, "")
	if got := a.Do(reader, "PATCH", definition, `{"on_invalid":"advise"}`); got.Code() != "insufficient_scope" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
}

// FuzzProviderDefinition: whatever a definition says, the answer is one of
// the contract's, what was taken can be read again, and keys are vended on.
func FuzzProviderDefinition(f *testing.F) {
	for _, body := range []string{
		defined, `{}`, `{"check":` + hostCheck + `}`, `{"check":{"when":[{"all":[{"equals":{}}]}]}}`, `{"config_fields":[{"shapes":[{"parts":[{}]}]}]}`,
		`{"name":"a\r\nb","help_url":"javascript:x"}`, `{"check":{"url":"https://127.0.0.1"}}`, `{"check_interval":"off","on_invalid":"advise"}`, `[`, `{"check":[]}`,
		strings.Replace(defined, "{region}.acme-crm.example", "[::1]", 1), strings.Replace(defined, "Bearer {key}", "{key}\\r\\n", 1),
	} {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		if strings.Contains(body, boottest.Canary) {
			return // the world would take it for a leak
		}
		a := newCustom(t)
		got := a.Do(a.token, "PATCH", definition, body)
		switch got.Status {
		case http.StatusOK, http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
		default:
			t.Fatalf("%d %s", got.Status, got.Body)
		}
		read := a.Must(http.StatusOK, a.token, "GET", definition, "")
		if got.Status == http.StatusOK && got.Body != read.Body {
			t.Errorf("PATCH answers %s, GET %s", got.Body, read.Body)
		}
		if u := read.Text("help_url"); u != "" && !strings.HasPrefix(u, "https://") {
			t.Errorf("help_url %q", u)
		}
		a.Upsert(a.token, "acme-crm", "bob", key)
		for _, user := range []string{"anna", "bob"} {
			if got := a.Vend(a.token, "acme-crm", user); got.Text("credential.value") != key {
				t.Errorf("%s: %d %s", user, got.Status, got.Body)
			}
		}
	})
}
