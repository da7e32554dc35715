package catalog_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"keyvend/pkg/catalog"
	"keyvend/pkg/secret"
)

const checkKey = "sk-canary-0123-us21"

// regions, shops and the like: the kinds of settings that reach an address.
func settings() []catalog.ConfigField {
	return []catalog.ConfigField{
		{Field: "region", Label: "Region", Description: "Choose one.", Default: "us", Options: []catalog.Option{{"us", "US"}, {"eu", "EU"}}},
		{Field: "site", Label: "Site", Description: "Choose one.", Required: true, Options: []catalog.Option{{"a.example.com", "A"}, {"b.example.org", "B"}}},
		{Field: "domain", Label: "Host", Description: "Your host.", Required: true, Example: "acme.example.com", Format: "hostname"},
		{Field: "shop", Label: "Shop", Description: "Your shop.", Required: true, Example: "acme", Shapes: []catalog.Shape{
			{Parts: []catalog.Part{{Alphabet: "lower_alphanumeric", Extra: "-", MaxLength: 60}}},
		}},
		{Field: "dc", Label: "Data center", Description: "The ending.", Example: "us1", DeriveFromKey: &catalog.Derivation{AfterLast: "-"}, Shapes: []catalog.Shape{
			{Parts: []catalog.Part{{Text: "us"}, {Alphabet: "digits", MaxLength: 3}}},
		}},
		{Field: "project", Label: "Project", Description: "Your project.", Example: "p/1", Shapes: []catalog.Shape{
			{Parts: []catalog.Part{{Alphabet: "visible", MaxLength: 60}}},
		}},
	}
}

func TestACheckCanSayWhateverProvidersAskFor(t *testing.T) {
	config := map[string]string{"site": "b.example.org", "domain": "git.acme.example", "shop": "acme-1", "project": "p/1?x=&y"}
	basic := func(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }
	for name, c := range map[string]struct {
		check  string
		url    string
		header map[string]string
	}{
		"bearer token": {
			`{"placement": {"in": "header", "name": "Authorization", "template": "Bearer {key}"}, "method": "GET", "url": "https://api.example.com/v1/models", "valid": [200], "limited": [403], "invalid": [401]}`,
			"https://api.example.com/v1/models", map[string]string{"Authorization": "Bearer " + checkKey},
		},
		"bare header, and others beside it": {
			`{"placement": {"in": "header", "name": "x-api-key", "template": "{key}"}, "method": "GET", "url": "https://api.example.com/v1/models?limit=1", "headers": {"anthropic-version": "2023-06-01", "Accept": "application/vnd.x+json;version=2"}, "valid": [200], "invalid": [400, 401]}`,
			"https://api.example.com/v1/models?limit=1", map[string]string{"x-api-key": checkKey, "anthropic-version": "2023-06-01", "Accept": "application/vnd.x+json;version=2"},
		},
		"key within a header, settings in others": {
			`{"placement": {"in": "header", "name": "Authorization", "template": "Token token={key}, region={region}"}, "method": "GET", "url": "https://api.example.com", "headers": {"X-Shop": "shop {shop}"}, "valid": [204], "invalid": [401]}`,
			"https://api.example.com", map[string]string{"Authorization": "Token token=" + checkKey + ", region=us", "X-Shop": "shop acme-1"},
		},
		"basic, key as user": {
			`{"placement": {"in": "basic", "template": "{key}:X"}, "method": "GET", "url": "https://{shop}.desk.example.com/api/v2", "valid": [200], "invalid": [401]}`,
			"https://acme-1.desk.example.com/api/v2", map[string]string{"Authorization": basic(checkKey + ":X")},
		},
		"basic, key as password, host from the key": {
			`{"placement": {"in": "basic", "template": "anystring:{key}"}, "method": "GET", "url": "https://{dc}.api.example.com/3.0/ping", "valid": [200], "invalid": [401]}`,
			"https://us21.api.example.com/3.0/ping", map[string]string{"Authorization": basic("anystring:" + checkKey)},
		},
		"query": {
			`{"placement": {"in": "query", "name": "api_key", "template": "{key}"}, "method": "GET", "url": "https://api.example.com/v2/account", "valid": [200], "invalid": [401]}`,
			"https://api.example.com/v2/account?api_key=" + checkKey, map[string]string{},
		},
		"query beside others": {
			`{"placement": {"in": "query", "name": "key", "template": "{region}:{key}"}, "method": "GET", "url": "https://api.example.com/?page[size]=1&p={project}", "valid": [200], "invalid": [401]}`,
			"https://api.example.com/?page[size]=1&p=p%2F1%3Fx%3D%26y&key=us%3A" + checkKey, map[string]string{},
		},
		"path": {
			`{"placement": {"in": "path", "template": "/bot{key}"}, "method": "GET", "url": "https://api.example.com/getMe", "valid": [200], "invalid": [401, 404]}`,
			"https://api.example.com/bot" + checkKey + "/getMe", map[string]string{},
		},
		"setting in the path": {
			`{"placement": {"in": "header", "name": "X-Key", "template": "{key}"}, "method": "GET", "url": "https://api.example.com:443/projects/{project}/@me/", "valid": [200], "invalid": [401]}`,
			"https://api.example.com/projects/p%2F1%3Fx=&y/@me/", map[string]string{"X-Key": checkKey},
		},
		"host of the user's own": {
			`{"placement": {"in": "header", "name": "X-Key", "template": "{key}"}, "method": "GET", "url": "https://{domain}/api", "valid": [200], "invalid": [401]}`,
			"https://git.acme.example/api", map[string]string{"X-Key": checkKey},
		},
		"host by region, and rules": {
			`{"placement": {"in": "header", "name": "X-Key", "template": "{key}"}, "method": "POST", "url": "https://api.{region}.{site}/graphql", "headers": {"Content-Type": "application/json"}, "body": "{\"query\":\"{ viewer { id } }\"}", "invalid": [401], "when": [
				{"status": 200, "all": [{"path": "data.viewer.id", "exists": true}], "verdict": "valid"},
				{"status": 200, "all": [{"path": "ok", "equals": false}, {"path": "error", "one_of": ["invalid_auth", "token_revoked"]}], "verdict": "invalid"},
				{"status": 400, "all": [{"path": "errors[].extensions.code", "equals": "AUTHENTICATION_ERROR"}], "verdict": "invalid"},
				{"status": 403, "all": [{"path": "err", "starts_with": "Invalid scope"}], "verdict": "limited"},
				{"status": 402, "all": [{"path": "code", "equals": 7.5}], "verdict": "limited"}
			]}`,
			"https://api.us.b.example.org/graphql", map[string]string{"X-Key": checkKey, "Content-Type": "application/json"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			check := strictCheck(t, c.check)
			if problems := append(bySchema(t, c.check), said(check.Validate(settings()))...); len(problems) > 0 {
				t.Fatal(problems)
			}
			ask, err := check.Ask(settings(), config, secret.FromString(checkKey))
			if err != nil {
				t.Fatal(err)
			}
			header := map[string]string{}
			for name, value := range ask.Header {
				header[name] = string(value.Reveal())
			}
			if string(ask.URL.Reveal()) != c.url || !maps.Equal(header, c.header) || ask.Method != check.Method || ask.Body != check.Body {
				t.Errorf("%s %s %v %s", ask.Method, ask.URL.Reveal(), header, ask.Body)
			}
			if shown := fmt.Sprintf("%v %+v %#v", ask, ask, ask); strings.Contains(shown, "canary") {
				t.Errorf("the key is printed: %s", shown)
			}
		})
	}
}

// strictCheck decodes a check as a provider's file is.
func strictCheck(t testing.TB, text string) catalog.Check {
	t.Helper()
	var c catalog.Check
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		t.Fatal(err)
	}
	return c
}

// bySchema is what the schema says of a check.
func bySchema(t testing.TB, text string) []string {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	s := readSchema(t)
	return s.against(s.root["$defs"].(map[string]any)["check"].(map[string]any), v, "")
}

func said(problems []catalog.Problem) []string {
	var all []string
	for _, p := range problems {
		all = append(all, p.Field+": "+p.Reason)
	}
	return all
}

// good is a check with something of everything.
const good = `{"placement": {"in": "header", "name": "X-Key", "template": "Key {key}"}, "method": "POST", "url": "https://{shop}.example.com/v1/me?x=1", "headers": {"Accept": "text/json"}, "body": "{}", "valid": [200], "limited": [403], "invalid": [401], "when": [{"status": 200, "all": [{"path": "ok", "equals": false}], "verdict": "invalid"}]}`

func TestAMistakeInACheckIsReportedWithItsField(t *testing.T) {
	if problems := append(bySchema(t, good), said(strictCheck(t, good).Validate(settings()))...); len(problems) > 0 {
		t.Fatal(problems)
	}
	const neither, schemaToo = false, true
	for name, c := range map[string]struct {
		old, new, field string
		schema          bool // whether the schema can say so too
	}{
		"no placement":                  {`"in": "header"`, `"in": "body"`, "placement.in", schemaToo},
		"no header name":                {`"name": "X-Key", `, ``, "placement.name", schemaToo},
		"name with a space":             {`"X-Key"`, `"X Key"`, "placement.name", schemaToo},
		"name with a colon":             {`"X-Key"`, `"X-Key:"`, "placement.name", neither},
		"header that frames":            {`"X-Key"`, `"Transfer-Encoding"`, "placement.name", neither},
		"host header":                   {`"X-Key"`, `"hOST"`, "placement.name", neither},
		"proxy header":                  {`"X-Key"`, `"Proxy-Authorization"`, "placement.name", neither},
		"basic with a name":             {`"in": "header"`, `"in": "basic"`, "placement.name", schemaToo},
		"basic without a colon":         {`"in": "header", "name": "X-Key"`, `"in": "basic"`, "placement.template", neither},
		"path with a name":              {`"in": "header"`, `"in": "path"`, "placement.name", schemaToo},
		"path without a slash":          {`"in": "header", "name": "X-Key"`, `"in": "path"`, "placement.template", neither},
		"query name with &":             {`"in": "header", "name": "X-Key"`, `"in": "query", "name": "a&b"`, "placement.name", neither},
		"no key":                        {`Key {key}`, `Key`, "placement.template", schemaToo},
		"key twice":                     {`Key {key}`, `{key}{key}`, "placement.template", neither},
		"unknown setting":               {`Key {key}`, `{nothing} {key}`, "placement.template", neither},
		"stray brace":                   {`Key {key}`, `}{key}`, "placement.template", schemaToo},
		"open brace":                    {`Key {key}`, `{key}{`, "placement.template", schemaToo},
		"space at the end":              {`Key {key}`, `{key} `, "placement.template", neither},
		"letters beyond ASCII":          {`Key {key}`, `Schlüssel {key}`, "placement.template", schemaToo},
		"F38 CRLF in the template":      {`Key {key}`, `Key {key}\r\nX-Evil: 1`, "placement.template", schemaToo},
		"F38 LF in the template":        {`Key {key}`, `Key\n{key}`, "placement.template", schemaToo},
		"F38 NUL in the template":       {`Key {key}`, `Key \u0000{key}`, "placement.template", schemaToo},
		"F38 CRLF in a header's name":   {`"Accept"`, `"Accept\r\nX-Evil"`, "headers", neither},
		"F38 CRLF in a header's value":  {`"text/json"`, `"text/json\r\nX-Evil: 1"`, "headers", schemaToo},
		"F38 CRLF in the key's name":    {`"X-Key"`, `"X-Key\r\nX-Evil"`, "placement.name", schemaToo},
		"F38 CRLF in the address":       {`/v1/me`, `/v1/me\r\nHost: x`, "url", schemaToo},
		"F38 NUL in the address":        {`/v1/me`, `/v1/\u0000me`, "url", schemaToo},
		"key in another header":         {`"text/json"`, `"{key}"`, "headers", neither},
		"header twice":                  {`"Accept": "text/json"`, `"Accept": "text/json", "accept": "x"`, "headers", neither},
		"the key's header again":        {`"Accept"`, `"x-KEY"`, "headers", neither},
		"empty header":                  {`"text/json"`, `""`, "headers", schemaToo},
		"method":                        {`"POST"`, `"DELETE"`, "method", schemaToo},
		"key in the body":               {`"body": "{}"`, `"body": "{\"key\": \"{key}\"}"`, "body", neither},
		"body of a GET":                 {`"POST"`, `"GET"`, "body", neither},
		"key in the address":            {`/v1/me`, `/v1/{key}`, "url", neither},
		"fragment":                      {`?x=1`, `?x=1#y`, "url", schemaToo},
		"quote":                         {`/v1/me`, `/v1/me\"`, "url", schemaToo},
		"backslash":                     {`/v1/me`, `/v1\\me`, "url", schemaToo},
		"dots":                          {`/v1/me`, `/v1/../me`, "url", neither},
		"escaped dots":                  {`/v1/me`, `/v1/%2e%2E/me`, "url", neither},
		"bad escape":                    {`/v1/me`, `/v1/%zz`, "url", neither},
		"bad escape in the query":       {`?x=1`, `?x=%`, "url", neither},
		"unknown setting in the path":   {`/v1/me`, `/v1/{nothing}`, "url", neither},
		"unknown setting in the host":   {`{shop}`, `{nothing}`, "url", neither},
		"the key's parameter":           {`"in": "header", "name": "X-Key", "template": "Key {key}"`, `"in": "query", "name": "x", "template": "{key}"`, "url", neither},
		"the key's parameter, escaped":  {`"in": "header", "name": "X-Key", "template": "Key {key}"}, "method": "POST", "url": "https://{shop}.example.com/v1/me?x=1"`, `"in": "query", "name": "x", "template": "{key}"}, "method": "POST", "url": "https://{shop}.example.com/?%78=1"`, "url", neither},
		"redirect":                      {`[403]`, `[302]`, "limited[0]", neither},
		"rate limit":                    {`[403]`, `[429]`, "limited[0]", neither},
		"misdirected request":           {`[403]`, `[421]`, "limited[0]", neither},
		"legal block":                   {`[401]`, `[451]`, "invalid[0]", neither},
		"the server's fault":            {`[401]`, `[500]`, "invalid[0]", schemaToo},
		"a success that is bad":         {`[401]`, `[204]`, "invalid[0]", neither},
		"status with two verdicts":      {`[403]`, `[401]`, "invalid[0]", neither},
		"nothing is good":               {`"valid": [200], "limited": [403], `, ``, "valid", neither},
		"nothing is bad":                {`"invalid": [401], "when": [{"status": 200, "all": [{"path": "ok", "equals": false}], "verdict": "invalid"}]`, `"invalid": []`, "invalid", schemaToo},
		"rule of a status without news": {`{"status": 200`, `{"status": 503`, "when[0].status", schemaToo},
		"rule without conditions":       {`[{"path": "ok", "equals": false}]`, `[]`, "when[0].all", schemaToo},
		"unknown verdict":               {`"verdict": "invalid"`, `"verdict": "unknown"`, "when[0].verdict", schemaToo},
		"path of expressions":           {`"path": "ok"`, `"path": "$..ok"`, "when[0].all[0].path", schemaToo},
		"empty name in a path":          {`"path": "ok"`, `"path": "a..b"`, "when[0].all[0].path", schemaToo},
		"index in a path":               {`"path": "ok"`, `"path": "a[0]"`, "when[0].all[0].path", schemaToo},
		"two tests":                     {`"equals": false`, `"equals": false, "exists": true`, "when[0].all[0]", schemaToo},
		"no test":                       {`, "equals": false`, ``, "when[0].all[0]", schemaToo},
		"number that is not kept":       {`"equals": false`, `"equals": 9007199254740993`, "when[0].all[0].equals", neither},
		"object to equal":               {`"equals": false`, `"equals": {}`, "when[0].all[0].equals", schemaToo},
		"too long":                      {`/v1/me`, `/` + strings.Repeat("a", 1000), "url", schemaToo},
		"body too long":                 {`"{}"`, `"` + strings.Repeat("a", 2001) + `"`, "body", schemaToo},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Replace(good, c.old, c.new, 1)
			if text == good {
				t.Fatalf("%s is not in the check", c.old)
			}
			problems := strictCheck(t, text).Validate(settings())
			if !slices.ContainsFunc(problems, func(p catalog.Problem) bool { return p.Field == c.field && p.Reason != "" }) {
				t.Errorf("nothing about %s: %v", c.field, problems)
			}
			if wrong := bySchema(t, text); c.schema != (len(wrong) > 0) {
				t.Errorf("the schema says %v", wrong)
			}
		})
	}
}

func TestF35_ACheckAsksPublicHostsByNameOnly(t *testing.T) {
	check := strictCheck(t, good)
	for _, u := range []string{
		"https://api.example.com", "https://api.example.com/", "https://api.example.com:443/x", "https://xn--bcher-kva.example/x", "https://api.example.com?x",
		"https://{region}.example.com", "https://api.{site}/x", "https://{domain}", "https://{domain}/x", "https://x-{shop}.example.com/", "https://{shop}.{region}.example.com",
	} {
		if check.URL = u; len(check.Validate(settings())) > 0 {
			t.Errorf("%s: %v", u, check.Validate(settings()))
		}
	}
	hosts := []string{
		"169.254.169.254", "127.0.0.1:9001", "127.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433", "0x7f.1", "0x7f000001",
		"0177.0.0.1", "[64:ff9b::7f00:1]", "localhost", "localhost.", "a.localhost", "metadata.google.internal", "db.internal", "printer.local", "host.lan",
		"1.0.0.127.in-addr.arpa", "me@api.example.com", "me:pw@api.example.com", "api.example.com@127.0.0.1", "api。example。com", "api．example.com", "ﬁgma.com",
		"bücher.example", "api.example.com.", ".example.com", "a..example.com", "example", "-a.example.com", "a_b.example.com", "api.example.com:80",
		"api.example.com:8443", "api.example.com:0443", "api.example.com:", "API.example.com", "%61pi.example.com", "*.example.com", "", "\\127.0.0.1", "api.example.com\\@127.0.0.1",
		// What users enter may not make the host whatever they like.
		"{shop}", "{shop}.com", "{shop}com", "api.{shop}", "api.{shop}.com", "api.example.{shop}", "{project}.example.com", "{domain}.example.com", "api.{domain}", "{domain}:8080",
		"{region}", "{region}.internal", "{region}.{region}.1", "{dc}", "{key}.example.com", "{site}:80", "{region}@{site}",
	}
	for _, host := range hosts {
		for _, scheme := range []string{"https://", "http://", "HTTPS://", "//", "file://", "gopher://", "https:"} {
			check.URL = scheme + host + "/x"
			if !slices.ContainsFunc(check.Validate(settings()), func(p catalog.Problem) bool { return p.Field == "url" }) {
				t.Errorf("%s is taken", check.URL)
			}
		}
	}
}

func TestAnAnswerIsAssumedWhenADefaultReachesTheRequest(t *testing.T) {
	given := map[string]string{"region": "us", "site": "a.example.com", "shop": "acme", "project": "p"}
	for name, c := range map[string]struct {
		edit   func(c *catalog.Check)
		config map[string]string
		want   bool
	}{
		"nothing to say":            {func(c *catalog.Check) { c.URL = "https://api.example.com/x" }, nil, false},
		"default in the host":       {func(c *catalog.Check) { c.URL = "https://{region}.example.com/x" }, nil, true},
		"default in the path":       {func(c *catalog.Check) { c.URL = "https://api.example.com/{region}" }, nil, true},
		"default in the query":      {func(c *catalog.Check) { c.URL = "https://api.example.com/x?r={region}" }, nil, true},
		"default in a header":       {func(c *catalog.Check) { c.Headers["X-Region"] = "{region}" }, given, false},
		"default in a header, left": {func(c *catalog.Check) { c.Headers["X-Region"] = "{region}" }, map[string]string{"shop": "acme"}, true},
		"default beside the key":    {func(c *catalog.Check) { c.Placement.Template = "{region}:{key}" }, map[string]string{"shop": "acme"}, true},
		"default in basic":          {func(c *catalog.Check) { c.Placement = catalog.Placement{In: "basic", Template: "{region}:{key}"} }, map[string]string{"shop": "acme"}, true},
		"an empty value":            {func(c *catalog.Check) { c.URL = "https://{region}.example.com/x" }, map[string]string{"region": ""}, true},
		"the default, but said":     {func(c *catalog.Check) { c.URL = "https://{region}.example.com/x" }, given, false},
		"another value":             {func(c *catalog.Check) { c.URL = "https://{region}.example.com/x" }, map[string]string{"region": "eu"}, false},
		"a default that is no use":  {func(*catalog.Check) {}, map[string]string{"shop": "acme"}, false},
		"from the key":              {func(c *catalog.Check) { c.URL = "https://{dc}.example.com/x" }, nil, false},
	} {
		check := strictCheck(t, good)
		c.edit(&check)
		ask, err := check.Ask(settings(), c.config, secret.FromString(checkKey))
		if err != nil || ask.Assumed != c.want {
			t.Errorf("%s: %v, %v", name, ask.Assumed, err)
		}
	}
	for slug, config := range map[string]map[string]string{"sendgrid": {"api_host": "api.eu.sendgrid.com"}, "gitlab-pat": {"hostname": "git.acme.example"}} {
		p, _ := catalog.Lookup(slug)
		for _, c := range []map[string]string{nil, config} {
			if ask, err := p.Check.Ask(p.ConfigFields, c, secret.FromString(checkKey)); err != nil || ask.Assumed != (c == nil) {
				t.Errorf("%s %v: %v, %v", slug, c, ask.Assumed, err)
			}
		}
	}
}

// Whatever an account may say of a provider of the catalog, its check asks that
// provider.
func TestEveryProvidersCheckCanBeMadeOut(t *testing.T) {
	key := secret.FromString(checkKey)
	for _, p := range catalog.All() {
		if p.Check == nil {
			continue
		}
		said := map[string]string{}
		for _, f := range p.ConfigFields {
			if !p.Check.Reaches(f.Field) {
				t.Errorf("%s: the check has no use for %s", p.Slug, f.Field)
			}
			said[f.Field] = f.Example
			if len(f.Options) > 0 {
				said[f.Field] = f.Options[len(f.Options)-1].Value
			}
		}
		ask, err := p.Check.Ask(p.ConfigFields, said, key)
		if err != nil || ask.Assumed || ask.Method != p.Check.Method || !strings.HasPrefix(string(ask.URL.Reveal()), "https://"+ask.Host+"/") {
			t.Errorf("%s: %+v, %v", p.Slug, ask, err)
		}
		sent := string(ask.URL.Reveal())
		for _, value := range ask.Header {
			pair, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(string(value.Reveal()), "Basic "))
			sent += " " + string(value.Reveal()) + " " + string(pair)
		}
		if strings.Count(sent, checkKey) != 1 {
			t.Errorf("%s: the key is sent %d times", p.Slug, strings.Count(sent, checkKey))
		}
		_, err = p.Check.Ask(p.ConfigFields, nil, key)
		needs := slices.ContainsFunc(p.ConfigFields, func(f catalog.ConfigField) bool { return f.Required })
		if needs != errors.Is(err, catalog.ErrNoValue) || !needs && err != nil {
			t.Errorf("%s, of which nothing is said: %v", p.Slug, err)
		}
	}
}

func TestF35_NoSettingMakesAnotherHostOfACheck(t *testing.T) {
	key := secret.FromString(checkKey)
	for _, c := range []struct {
		url    string
		config map[string]string
		want   error
	}{
		{"https://{shop}.example.com/x", nil, catalog.ErrNoValue},
		{"https://{shop}.example.com/x", map[string]string{"shop": "evil.example.org/"}, catalog.ErrUnfit},
		{"https://{shop}.example.com/x", map[string]string{"shop": "-acme"}, catalog.ErrUnfit},
		{"https://a.{shop}.example.com/x", map[string]string{"shop": strings.Repeat("a", 64)}, catalog.ErrUnfit},
		{"https://{domain}/x", map[string]string{"domain": "169.254.169.254"}, catalog.ErrUnfit},
		{"https://{domain}/x", map[string]string{"domain": "db.internal"}, catalog.ErrUnfit},
		{"https://{region}.example.com/x", map[string]string{"region": "evil.example.org#"}, catalog.ErrUnfit},
		{"https://{region}.example.com/x", map[string]string{"region": "ap"}, catalog.ErrUnfit},
		{"https://api.example.com/{project}/x", map[string]string{"project": ".."}, catalog.ErrUnfit},
		{"https://api.example.com/{nothing}/x", nil, catalog.ErrNoValue},
		// As a row in the table may have them, which nobody validated.
		{"https://127.0.0.1/x", nil, catalog.ErrUnfit},
		{"https://me@api.example.com/x", nil, catalog.ErrUnfit},
		{"https://{key}.example.com/x", nil, catalog.ErrUnfit},
		{"https://api.example.com/{x", nil, catalog.ErrUnfit},
		{"https://api.example.com/\r\nHost: evil", nil, catalog.ErrUnfit},
		{"http://api.example.com/x", nil, catalog.ErrUnfit},
		{"", nil, catalog.ErrUnfit},
	} {
		check := strictCheck(t, good)
		check.URL = c.url
		if ask, err := check.Ask(settings(), c.config, key); !errors.Is(err, c.want) {
			t.Errorf("%s %v: %s %v", c.url, c.config, ask.URL.Reveal(), err)
		} else if strings.Contains(err.Error(), "canary") {
			t.Errorf("the error repeats the key: %v", err)
		}
	}
}

func TestF38_AKeyThatDoesNotFitItsPlaceMakesNoRequest(t *testing.T) {
	for placement, keys := range map[catalog.Placement][]string{
		{In: "header", Name: "X-Key", Template: "{key}"}:           {"", "a\r\nX-Evil: 1", "a\nb", "a\x00", "é", " a", "a "},
		{In: "header", Name: "X-Key\r\nX-Evil", Template: "{key}"}: {"a"},
		{In: "header", Name: "X-Key", Template: "{key}\r\nX: 1"}:   {"a"},
		{In: "basic", Template: "{key}:"}:                          {"", "a:b", "a\nb"},
		{In: "basic", Template: "api:{key}\n"}:                     {"a"},
		{In: "path", Template: "/{key}"}:                           {"", "..", ".", "a\nb"},
		{In: "query", Name: "k", Template: "{key}"}:                {"", "a\nb"},
	} {
		for _, key := range keys {
			check := strictCheck(t, good)
			check.Placement, check.URL = placement, "https://api.example.com/x"
			if ask, err := check.Ask(nil, nil, secret.FromString(key)); !errors.Is(err, catalog.ErrUnfit) {
				t.Errorf("%+v %q: %q %v %v", placement, key, ask.URL.Reveal(), ask.Header, err)
			}
		}
	}
}

func TestBoundTellsApartWhereKeysGoAndNothingElse(t *testing.T) {
	type bound struct{ host, placement string }
	of := func(change func(c *catalog.Check, fields []catalog.ConfigField)) bound {
		check, fields := strictCheck(t, good), settings()
		check.URL = "https://{region}.{shop}.example.com/v1"
		change(&check, fields)
		host, placement := check.Bound(fields)
		return bound{host, placement}
	}
	same := of(func(*catalog.Check, []catalog.ConfigField) {})
	for name, change := range map[string]func(c *catalog.Check, fields []catalog.ConfigField){
		"path": func(c *catalog.Check, _ []catalog.ConfigField) {
			c.URL = "https://{region}.{shop}.example.com/v2?x={site}"
		},
		"usual port":     func(c *catalog.Check, _ []catalog.ConfigField) { c.URL = "https://{region}.{shop}.example.com:443/" },
		"rules":          func(c *catalog.Check, _ []catalog.ConfigField) { c.Valid, c.When = []int{204}, nil },
		"method, body":   func(c *catalog.Check, _ []catalog.ConfigField) { c.Method, c.Body = "GET", "" },
		"headers":        func(c *catalog.Check, _ []catalog.ConfigField) { c.Headers = nil },
		"case of a name": func(c *catalog.Check, _ []catalog.ConfigField) { c.Placement.Name = "x-KEY" },
		"labels":         func(_ *catalog.Check, f []catalog.ConfigField) { f[0].Label, f[0].Options[0].Label = "Land", "USA" },
		"another region": func(_ *catalog.Check, f []catalog.ConfigField) {
			f[0].Options = append(f[0].Options, catalog.Option{Value: "ap", Label: "AP"})
		},
		"a setting that it does not use": func(_ *catalog.Check, f []catalog.ConfigField) { f[1].Default = "a.example.com" },
	} {
		if of(change) != same {
			t.Errorf("%s: %v, %v", name, of(change), same)
		}
	}
	seen := map[bound]string{same: "as it was"}
	for name, change := range map[string]func(c *catalog.Check, fields []catalog.ConfigField){
		"host":                func(c *catalog.Check, _ []catalog.ConfigField) { c.URL = "https://{region}.example.com/v1" },
		"another setting":     func(c *catalog.Check, _ []catalog.ConfigField) { c.URL = "https://{region}.{dc}.example.com/v1" },
		"default in the host": func(_ *catalog.Check, f []catalog.ConfigField) { f[0].Default = "eu" },
		"place in the key": func(_ *catalog.Check, f []catalog.ConfigField) {
			f[3].DeriveFromKey = &catalog.Derivation{AfterLast: "@"}
		},
		"header":               func(c *catalog.Check, _ []catalog.ConfigField) { c.Placement.Name = "X-Other" },
		"template":             func(c *catalog.Check, _ []catalog.ConfigField) { c.Placement.Template = "{key}" },
		"setting in placement": func(c *catalog.Check, _ []catalog.ConfigField) { c.Placement.Template = "Key {key}{project}" },
		"query":                func(c *catalog.Check, _ []catalog.ConfigField) { c.Placement.In = "query" },
		"query in another case": func(c *catalog.Check, _ []catalog.ConfigField) {
			c.Placement.In, c.Placement.Name = "query", "x-key"
		},
		"length of a name": func(c *catalog.Check, _ []catalog.ConfigField) {
			c.Placement.Name, c.Placement.Template = "X-KeyK", "ey {key}"
		},
	} {
		b := of(change)
		if other, taken := seen[b]; taken {
			t.Errorf("%s is bound like %s: %v", name, other, b)
		}
		seen[b] = name
	}
}

func TestSentTellsApartAllThatIsSent(t *testing.T) {
	sent := func(change func(c *catalog.Check, fields []catalog.ConfigField)) string {
		check, fields := strictCheck(t, good), settings()
		check.Headers["X-Project"] = "{project}"
		change(&check, fields)
		return check.Sent(fields)
	}
	same := sent(func(*catalog.Check, []catalog.ConfigField) {})
	if got := sent(func(c *catalog.Check, _ []catalog.ConfigField) { c.Valid, c.Invalid, c.When = nil, nil, nil }); got != same {
		t.Error("rules are not sent")
	}
	for name, change := range map[string]func(c *catalog.Check, fields []catalog.ConfigField){
		"path":           func(c *catalog.Check, _ []catalog.ConfigField) { c.URL += "&y" },
		"method":         func(c *catalog.Check, _ []catalog.ConfigField) { c.Method = "GET" },
		"body":           func(c *catalog.Check, _ []catalog.ConfigField) { c.Body = "[]" },
		"header":         func(c *catalog.Check, _ []catalog.ConfigField) { c.Headers["Accept"] = "x" },
		"header's name":  func(c *catalog.Check, _ []catalog.ConfigField) { c.Headers["X"] = "y" },
		"placement":      func(c *catalog.Check, _ []catalog.ConfigField) { c.Placement.Template = "{key}" },
		"default within": func(_ *catalog.Check, f []catalog.ConfigField) { f[5].Default = "evil" },
	} {
		if sent(change) == same {
			t.Errorf("%s makes no difference", name)
		}
	}
}

func TestReachesNamesTheSettingsInTheRequest(t *testing.T) {
	check := strictCheck(t, good)
	check.Headers["X-Project"], check.Placement.Template = "{project}", "{site} {key}"
	for field, want := range map[string]bool{"shop": true, "project": true, "site": true, "region": false, "key": false, "nothing": false} {
		if check.Reaches(field) != want {
			t.Errorf("%s: %v", field, !want)
		}
	}
}

func TestAMistakeInASettingsDefinitionIsReportedWithItsField(t *testing.T) {
	if problems := catalog.ValidateFields(settings()); len(problems) > 0 {
		t.Fatal(problems)
	}
	option, shape, host := settings()[0], settings()[3], settings()[2]
	for name, c := range map[string]struct {
		field catalog.ConfigField
		edit  func(f *catalog.ConfigField)
		at    string
	}{
		"no name":                  {option, func(f *catalog.ConfigField) { f.Field = "" }, "field"},
		"capital":                  {option, func(f *catalog.ConfigField) { f.Field = "Region" }, "field"},
		"brace":                    {option, func(f *catalog.ConfigField) { f.Field = "a}b" }, "field"},
		"digit first":              {option, func(f *catalog.ConfigField) { f.Field = "1a" }, "field"},
		"the key's name":           {option, func(f *catalog.ConfigField) { f.Field = "key" }, "field"},
		"long name":                {option, func(f *catalog.ConfigField) { f.Field = strings.Repeat("a", 33) }, "field"},
		"no label":                 {option, func(f *catalog.ConfigField) { f.Label = "" }, "label"},
		"label of two lines":       {option, func(f *catalog.ConfigField) { f.Label = "a\nb" }, "label"},
		"long label":               {option, func(f *catalog.ConfigField) { f.Label = strings.Repeat("é", 61) }, "label"},
		"no description":           {option, func(f *catalog.ConfigField) { f.Description = "" }, "description"},
		"no constraint":            {option, func(f *catalog.ConfigField) { f.Options = nil }, ""},
		"two constraints":          {option, func(f *catalog.ConfigField) { f.Format = "hostname" }, ""},
		"unknown format":           {host, func(f *catalog.ConfigField) { f.Format = "regex" }, "format"},
		"one option":               {option, func(f *catalog.ConfigField) { f.Options = f.Options[:1] }, "options"},
		"option twice":             {option, func(f *catalog.ConfigField) { f.Options = []catalog.Option{{"us", "US"}, {"us", "US"}} }, "options[1].value"},
		"option with a space":      {option, func(f *catalog.ConfigField) { f.Options = []catalog.Option{{"u s", "US"}, {"eu", "EU"}} }, "options[0].value"},
		"option without label":     {option, func(f *catalog.ConfigField) { f.Options = []catalog.Option{{"us", ""}, {"eu", "EU"}} }, "options[0].label"},
		"default that is none":     {option, func(f *catalog.ConfigField) { f.Default = "ap" }, "options"},
		"default that is second":   {option, func(f *catalog.ConfigField) { f.Default = "eu" }, "options"},
		"default of another form":  {host, func(f *catalog.ConfigField) { f.Required, f.Default = false, "127.0.0.1" }, "default"},
		"example of another form":  {shape, func(f *catalog.ConfigField) { f.Example = "A" }, "example"},
		"no example":               {shape, func(f *catalog.ConfigField) { f.Example = "" }, "example"},
		"required with a default":  {option, func(f *catalog.ConfigField) { f.Required = true }, "required"},
		"derived from nothing":     {shape, func(f *catalog.ConfigField) { f.DeriveFromKey = &catalog.Derivation{} }, "derive_from_key.after_last"},
		"derived and required":     {shape, func(f *catalog.ConfigField) { f.DeriveFromKey = &catalog.Derivation{AfterLast: "-"} }, "required"},
		"shape of nothing":         {shape, parts(), "shapes[0].parts"},
		"part of nothing":          {shape, parts(catalog.Part{}), "shapes[0].parts[0]"},
		"part of two kinds":        {shape, parts(catalog.Part{Text: "a", Alphabet: "hex"}), "shapes[0].parts[0]"},
		"unknown alphabet":         {shape, parts(catalog.Part{Alphabet: "runes"}), "shapes[0].parts[0].alphabet"},
		"text with a control":      {shape, parts(catalog.Part{Text: "a\n"}), "shapes[0].parts[0]"},
		"length of a text":         {shape, parts(catalog.Part{Text: "a", Length: 1}), "shapes[0].parts[0]"},
		"length below zero":        {shape, parts(catalog.Part{Alphabet: "hex", Length: -1}), "shapes[0].parts[0]"},
		"length beyond all keys":   {shape, parts(catalog.Part{Alphabet: "hex", Length: 8193}), "shapes[0].parts[0]"},
		"two lengths":              {shape, parts(catalog.Part{Alphabet: "hex", Length: 1, MinLength: 1}), "shapes[0].parts[0].length"},
		"impossible range":         {shape, parts(catalog.Part{Alphabet: "hex", MinLength: 3, MaxLength: 2}), "shapes[0].parts[0].max_length"},
		"one group":                {shape, parts(catalog.Part{Alphabet: "hex", Groups: []int{1}}), "shapes[0].parts[0].groups"},
		"group of nothing":         {shape, parts(catalog.Part{Alphabet: "hex", Groups: []int{1, 0}}), "shapes[0].parts[0].groups"},
		"empty text among several": {shape, parts(catalog.Part{OneOf: []string{"a", ""}}), "shapes[0].parts[0].one_of"},
	} {
		f := c.field
		f.Shapes = slices.Clone(f.Shapes)
		c.edit(&f)
		if problems := f.Validate(); !slices.ContainsFunc(problems, func(p catalog.Problem) bool { return p.Field == c.at }) {
			t.Errorf("%s: nothing about %q: %v", name, c.at, problems)
		}
	}
	if problems := catalog.ValidateFields([]catalog.ConfigField{option, option}); len(problems) != 1 || problems[0].Field != "[1].field" {
		t.Errorf("%v", problems)
	}
	if problems := catalog.ValidateFields(slices.Repeat([]catalog.ConfigField{option}, 21)); problems[0].Field != "" {
		t.Errorf("%v", problems)
	}
}

// parts gives a field one shape of these parts.
func parts(parts ...catalog.Part) func(f *catalog.ConfigField) {
	return func(f *catalog.ConfigField) { f.Shapes = []catalog.Shape{{Parts: parts}} }
}

func TestNoReasonRepeatsWhatWasSent(t *testing.T) {
	const canary = "sk-canary-0123"
	f := catalog.ConfigField{
		Field: canary, Label: canary + "\n", Description: canary + "\n", Format: canary, Default: canary, Example: canary,
		Options: []catalog.Option{{canary + " ", canary + "\n"}}, Shapes: []catalog.Shape{{Name: canary + "\n", Parts: []catalog.Part{{Alphabet: canary}}}},
	}
	c := catalog.Check{
		Placement: catalog.Placement{In: canary, Name: canary, Template: canary}, Method: canary, URL: "https://" + canary + "/{" + canary + "}",
		Headers: map[string]string{canary + ":": canary + "\n"}, Body: canary,
		When: []catalog.Rule{{Verdict: canary, All: []catalog.Condition{{Path: canary + "$", Equals: []any{canary}, OneOf: []string{canary}}}}},
	}
	problems := append(catalog.ValidateFields([]catalog.ConfigField{f, f}), c.Validate(nil)...)
	for _, in := range []string{"header", "basic", "query", "path"} {
		c.Placement.In = in
		problems = append(problems, c.Validate([]catalog.ConfigField{f})...)
	}
	if text := fmt.Sprint(problems); len(problems) < 20 || strings.Contains(text, "canary") {
		t.Error(text)
	}
}

// FuzzHeaderTemplate: whatever a check that was taken makes of whatever key and
// setting, no header has a line break and the request goes to the host that the
// check names.
func FuzzHeaderTemplate(f *testing.F) {
	f.Add("header", "Authorization", "Bearer {key}", "https://{domain}/{project}", "{project}", "acme.example.com", "p", checkKey)
	f.Add("header", "X\r\nY", "{key}\r\n", "https://a.example.com/\r\n", "\r\n", "a.com", "\r\n", "a\r\nb")
	f.Add("basic", "", "{project}:{key}", "https://{shop}.example.com", "x", "127.0.0.1", "a:b", "c:d")
	f.Add("query", "k", "{key}", "https://a.example.com?x={project}", "x", "a@b.com", "&k=1#", "&=#")
	f.Add("path", "", "/x{key}", "https://a.example.com/{project}?x#y", "x", "", "..", "/../")
	f.Fuzz(func(t *testing.T, in, name, template, address, other, domain, project, key string) {
		check := catalog.Check{
			Placement: catalog.Placement{In: in, Name: name, Template: template}, Method: "GET", URL: address,
			Headers: map[string]string{"X-Other": other}, Valid: []int{200}, Invalid: []int{401},
		}
		sound := len(check.Validate(settings())) == 0
		ask, err := check.Ask(settings(), map[string]string{"domain": domain, "project": project, "shop": project}, secret.FromString(key))
		if err != nil {
			return // an unsound check may come out of a row that somebody edited
		}
		for name, value := range ask.Header {
			if strings.ContainsAny(name, "\r\n\x00 :") || bytes.ContainsAny(value.Reveal(), "\r\n\x00") {
				t.Errorf("%q: %q", name, value.Reveal())
			}
		}
		text := string(ask.URL.Reveal())
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "https" || u.Host != ask.Host || u.User != nil || u.Fragment != "" || strings.ContainsAny(text, "\r\n\x00 \\") {
			t.Errorf("%q: %v", text, err)
		}
		if _, ok := hostField().Check(ask.Host); !ok {
			t.Errorf("asks %q", ask.Host)
		}
		if sound && in == "header" && strings.Count(string(ask.Header[name].Reveal()), key) == 0 {
			t.Errorf("the key is not in %q", ask.Header[name].Reveal())
		}
	})
}

// FuzzBoundCheck: two checks that are bound alike send keys alike.
func FuzzBoundCheck(f *testing.F) {
	f.Add("https://a.example.com/x", "X", "{key}", "https://a.example.com/y", "x", "{key}")
	f.Add("https://a.example.com", "X1", ":a{key}", "https://a.example.com", "X", "1:a{key}")
	f.Fuzz(func(t *testing.T, url1, name1, template1, url2, name2, template2 string) {
		one := catalog.Check{URL: url1, Method: "GET", Placement: catalog.Placement{In: "header", Name: name1, Template: template1}}
		two := catalog.Check{URL: url2, Method: "GET", Placement: catalog.Placement{In: "header", Name: name2, Template: template2}}
		host1, placement1 := one.Bound(settings())
		host2, placement2 := two.Bound(settings())
		if host1 == "" || placement1 == "" {
			t.Error("bound to nothing")
		}
		if placement1 == placement2 && (!strings.EqualFold(name1, name2) || template1 != template2) {
			t.Errorf("%q %q and %q %q are one placement", name1, template1, name2, template2)
		}
		if (one.Sent(settings()) == two.Sent(settings())) && (url1 != url2 || template1 != template2) {
			t.Error("two requests are one")
		}
		asked1, err1 := one.Host(settings(), nil, secret.FromString(checkKey))
		asked2, err2 := two.Host(settings(), nil, secret.FromString(checkKey))
		if host1 == host2 && err1 == nil && err2 == nil && asked1 != asked2 {
			t.Errorf("%q and %q are bound alike", asked1, asked2)
		}
	})
}
