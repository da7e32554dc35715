package fakeprovider_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/infra/fakeprovider"
	"keyvend/pkg/catalog"
	"keyvend/pkg/health"
	"keyvend/pkg/secret"
)

// ways are the ways to ask a kit: in this process, and over TLS by a client
// that is bounded as keyvend's.
func ways(t *testing.T, kit *fakeprovider.Kit) map[string]health.Asker {
	t.Helper()
	return map[string]health.Asker{"in process": kit.Asker(nil), "over TLS": overTLS{serve(t, kit).Client()}}
}

func serve(t *testing.T, kit *fakeprovider.Kit) *fakeprovider.Server {
	t.Helper()
	server, err := kit.Serve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return server
}

// overTLS asks with a real client.
type overTLS struct{ client *http.Client }

// most is how much of an answer is read.
const most = 64 << 10

// Ask implements health.Asker.
func (o overTLS) Ask(ctx context.Context, ask catalog.Ask) (health.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, ask.Method, string(ask.URL.Reveal()), strings.NewReader(ask.Body))
	if err != nil {
		return health.Answer{}, err
	}
	for name, value := range ask.Header {
		r.Header.Set(name, string(value.Reveal()))
	}
	answer, err := o.client.Do(r)
	if ctx.Err() != nil {
		return health.Answer{}, health.ErrTimeout
	}
	if err != nil {
		return health.Answer{}, health.ErrUnreachable
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, most+1))
	if err != nil {
		return health.Answer{}, health.ErrUnreachable
	}
	if len(body) > most {
		body = nil
	}
	seconds, _ := strconv.Atoi(answer.Header.Get("Retry-After"))
	return health.Answer{
		Status:      answer.StatusCode,
		ContentType: answer.Header.Get("Content-Type"),
		RetryAfter:  time.Duration(seconds) * time.Second,
		Body:        body,
	}, nil
}

// patience is how long the tests wait for fakes that answer; the test of slow
// keys alone waits in vain.
const patience = 10 * time.Second

// ask makes a fake's check out for a key and asks it.
func ask(t *testing.T, asker health.Asker, f fakeprovider.Fake, key string, config map[string]string) (health.Answer, error) {
	t.Helper()
	made, err := f.Check.Ask(f.ConfigFields, config, secret.FromString(key))
	if err != nil {
		t.Fatal(err)
	}
	return asker.Ask(t.Context(), made)
}

// verdictOn asks and reads the answer by the fake's own rules.
func verdictOn(t *testing.T, asker health.Asker, f fakeprovider.Fake, key string, config map[string]string) catalog.Verdict {
	t.Helper()
	answer, err := ask(t, asker, f, key, config)
	if err != nil {
		t.Fatal(err)
	}
	return read(f.Check, answer)
}

func TestEveryFakeHasASoundDefinition(t *testing.T) {
	for _, f := range fakeprovider.All() {
		if problems := append(catalog.ValidateFields(f.ConfigFields), f.Check.Validate(f.ConfigFields)...); len(problems) > 0 {
			t.Errorf("%s: %+v", f.Name, problems)
		}
		if catalog.Has(f.Slug()) {
			t.Errorf("%s is in the catalog", f.Slug())
		}
	}
}

// style is what tells one way of taking keys from another.
func style(p catalog.Placement) string {
	user, _, _ := strings.Cut(p.Template, ":")
	switch {
	case p.In == catalog.InBasic:
		return fmt.Sprint("basic, the key as the user: ", strings.Contains(user, "{key}"))
	case p.In == catalog.InHeader:
		return fmt.Sprint("header, with a scheme: ", p.Template != "{key}", ", Authorization: ", strings.EqualFold(p.Name, "Authorization"))
	}
	return p.In
}

func TestEveryStyleOfTheCatalogHasAFake(t *testing.T) {
	styles := map[string]bool{}
	for _, f := range fakeprovider.All() {
		styles[style(f.Check.Placement)] = true
	}
	for _, p := range catalog.All() {
		if p.Check != nil && !styles[style(p.Check.Placement)] {
			t.Errorf("%s: no fake takes the key as %+v says", p.Slug, p.Check.Placement)
		}
	}
}

// said is what is expected of a key.
type said struct {
	status     int
	verdict    catalog.Verdict // "" is none
	page       bool            // of HTML
	retryAfter time.Duration
	cut        bool // the body is too long to be read
}

// keys are one of each kind.
func keys() map[string]said {
	return map[string]said{
		"fake-valid-0001":           {status: 200, verdict: catalog.Valid},
		"sk-canary-fake-valid-0001": {status: 200, verdict: catalog.Valid},
		"fake-limited-0001":         {status: 403, verdict: catalog.Limited},
		"fake-revoked-0001":         {status: 401, verdict: catalog.Invalid},
		"fake-revoked-after-0-x":    {status: 401, verdict: catalog.Invalid},
		"fake-revoked-after-99-x":   {status: 200, verdict: catalog.Valid},
		"fake-ratelimited-0001":     {status: 429, retryAfter: 30 * time.Second},
		"fake-lying-0001":           {status: 200, page: true},
		"fake-lying-401-0001":       {status: 401, page: true},
		"fake-lying-403-0001":       {status: 403, page: true},
		"fake-error-0001":           {status: 500},
		"fake-flaky-0001":           {status: 503},
		"fake-redirect-0001":        {status: 307, page: true},
		"fake-endless-0001":         {status: 200, verdict: catalog.Valid, cut: true},

		// What the kit does not know.
		"fake-valid-":            {status: 401, verdict: catalog.Invalid},
		"fake-revoked-after-x-1": {status: 401, verdict: catalog.Invalid},
		"fake-revoked-after--1":  {status: 401, verdict: catalog.Invalid},
		"fake-good-0001":         {status: 401, verdict: catalog.Invalid},
		"sk-canary-0001":         {status: 401, verdict: catalog.Invalid},
		"valid-0001":             {status: 401, verdict: catalog.Invalid},
	}
}

func TestKeysAreAnsweredAsTheirTextSaysByEveryFakeInEveryWay(t *testing.T) {
	for _, f := range fakeprovider.All() {
		inProcess, overTheWire := &fakeprovider.Kit{}, &fakeprovider.Kit{}
		askers := []health.Asker{inProcess.Asker(nil), overTLS{serve(t, overTheWire).Client()}}
		for key, want := range keys() {
			if len(f.Check.Valid) == 0 && want.verdict != "" {
				want.status = http.StatusOK // the body alone tells
				if want.cut {
					want.verdict = ""
				}
			}
			var answers [2]health.Answer
			for i, asker := range askers {
				answer, err := ask(t, asker, f, key, nil)
				if err != nil || answer.Status != want.status || answer.RetryAfter != want.retryAfter {
					t.Errorf("%s, %s: %d %v %v", f.Name, key, answer.Status, answer.RetryAfter, err)
				}
				if got := read(f.Check, answer); got != want.verdict {
					t.Errorf("%s, %s: the verdict is %q", f.Name, key, got)
				}
				if page := strings.HasPrefix(answer.ContentType, "text/html"); page != want.page {
					t.Errorf("%s, %s: %s", f.Name, key, answer.ContentType)
				}
				answers[i] = answer
			}
			if fmt.Sprint(answers[0]) != fmt.Sprint(answers[1]) {
				t.Errorf("%s, %s: %+v in process, %+v over TLS", f.Name, key, answers[0], answers[1])
			}
		}
		for _, kit := range []*fakeprovider.Kit{inProcess, overTheWire} {
			if asked := kit.Asked(f); asked.Count != len(keys()) || asked.Odd != 0 {
				t.Errorf("%s: %d asks, %d of them odd", f.Name, asked.Count, asked.Odd)
			}
		}
	}
}

func TestSlowKeysTakeTheirTime(t *testing.T) {
	f := fakeprovider.Bearer()
	for way, asker := range ways(t, &fakeprovider.Kit{Slow: time.Millisecond}) {
		if got := verdictOn(t, asker, f, "fake-slow-0001", nil); got != catalog.Valid {
			t.Errorf("%s: in the end they are %q", way, got)
		}
	}
	// By default they take longer than anyone waits: here the asker itself, then
	// who asks it.
	made, err := f.Check.Ask(nil, nil, secret.FromString("fake-slow-0001"))
	if err != nil {
		t.Fatal(err)
	}
	kit := &fakeprovider.Kit{Patience: time.Millisecond}
	if _, err := kit.Asker(nil).Ask(t.Context(), made); !errors.Is(err, health.ErrTimeout) {
		t.Error(err)
	}
	for way, asker := range ways(t, &fakeprovider.Kit{}) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := asker.Ask(ctx, made); !errors.Is(err, health.ErrTimeout) {
			t.Errorf("%s: %v", way, err)
		}
		cancel()
	}
}

func TestWhoHasGivenUpIsNotAsked(t *testing.T) {
	kit, f := &fakeprovider.Kit{}, fakeprovider.Bearer()
	made, err := f.Check.Ask(nil, nil, secret.FromString("fake-valid-0001"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := kit.Asker(nil).Ask(ctx, made); !errors.Is(err, health.ErrTimeout) || kit.Asked(f).Count != 0 {
		t.Error(err, kit.Asked(f).Count)
	}
}

func TestFlakyKeysFailByTurns(t *testing.T) {
	for way, asker := range ways(t, &fakeprovider.Kit{}) {
		for _, want := range []int{503, 200, 503, 200} {
			if answer, err := ask(t, asker, fakeprovider.Query(), "fake-flaky-"+strings.Fields(way)[0], nil); err != nil || answer.Status != want {
				t.Errorf("%s: %d %v instead of %d", way, answer.Status, err, want)
			}
		}
	}
}

func TestKeysAreUnknownInTheOtherRegion(t *testing.T) {
	f := fakeprovider.Region()
	for way, asker := range ways(t, &fakeprovider.Kit{}) {
		for _, row := range []struct {
			key, region string
			want        catalog.Verdict
		}{
			{"fake-valid-0001", "", catalog.Valid}, // the default is us
			{"fake-valid-0001", "us", catalog.Valid},
			{"fake-valid-us-0001", "us", catalog.Valid},
			{"fake-valid-0001", "eu", catalog.Invalid},
			{"fake-valid-eu-0001", "eu", catalog.Valid},
			{"fake-valid-eu-0001", "us", catalog.Invalid},
			{"fake-valid-eu-0001", "", catalog.Invalid},
			{"fake-limited-eu-0001", "eu", catalog.Limited},
		} {
			if got := verdictOn(t, asker, f, row.key, map[string]string{"region": row.region}); got != row.want {
				t.Errorf("%s: %s in %q is %q", way, row.key, row.region, got)
			}
		}
		if got := verdictOn(t, asker, fakeprovider.Bearer(), "fake-valid-eu-0001", nil); got != catalog.Valid {
			t.Errorf("%s: elsewhere there are no regions, and it is %q", way, got)
		}
	}
}

func TestKeysCanBeRevokedLaterAndRestored(t *testing.T) {
	const valid, limited, revoked, after = "fake-valid-0001", "fake-limited-0001", "fake-revoked-0001", "fake-revoked-after-2-0001"
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	kit := &fakeprovider.Kit{Now: func() time.Time { return now }}
	asker := kit.Asker(nil)
	expect := func(when, key string, want ...catalog.Verdict) {
		t.Helper()
		for i, w := range want {
			// A key is one key for all fakes.
			f := fakeprovider.All()[i%len(fakeprovider.All())]
			if got := verdictOn(t, asker, f, key, nil); got != w {
				t.Errorf("%s: ask %d about %s is answered %q", when, i+1, key, got)
			}
		}
	}
	expect("at first", valid, catalog.Valid)
	kit.Revoke(valid)
	expect("revoked", valid, catalog.Invalid, catalog.Invalid)
	expect("another was revoked", "fake-valid-0002", catalog.Valid)
	kit.Restore(valid)
	expect("restored", valid, catalog.Valid)
	kit.RevokeAfter(valid, 2)
	expect("after two asks", valid, catalog.Valid, catalog.Valid, catalog.Invalid, catalog.Invalid)
	kit.Restore(valid)
	kit.RevokeAt(valid, now.Add(time.Minute))
	expect("a minute before", valid, catalog.Valid)
	now = now.Add(time.Minute)
	expect("at the minute", valid, catalog.Invalid)

	kit.Revoke(limited)
	expect("revoked", limited, catalog.Invalid)
	kit.Restore(limited)
	expect("restored", limited, catalog.Limited)

	expect("by its text", revoked, catalog.Invalid)
	kit.Restore(revoked)
	expect("restored", revoked, catalog.Valid)
	expect("by its text", after, catalog.Valid, catalog.Valid, catalog.Invalid)
	kit.Restore(after)
	expect("restored", after, catalog.Valid)

	kit.Restore("sk-canary-0001")
	expect("a text that is no key", "sk-canary-0001", catalog.Invalid)
}

func TestAFakeThatIsDownHangsUp(t *testing.T) {
	kit := &fakeprovider.Kit{}
	down, up := fakeprovider.Header(), fakeprovider.Bearer()
	for way, asker := range ways(t, kit) {
		if got := verdictOn(t, asker, down, "fake-valid-0001", nil); got != catalog.Valid {
			t.Errorf("%s: %q before", way, got)
		}
		kit.Down(down)
		for _, key := range []string{"fake-valid-0001", "fake-revoked-0001", "fake-slow-0001", "sk-canary-0001"} {
			if _, err := ask(t, asker, down, key, nil); !errors.Is(err, health.ErrUnreachable) {
				t.Errorf("%s: %s: %v", way, key, err)
			}
		}
		if got := verdictOn(t, asker, up, "fake-valid-0001", nil); got != catalog.Valid {
			t.Errorf("%s: another is down too: %q", way, got)
		}
		kit.Up(down)
		if got := verdictOn(t, asker, down, "fake-valid-0001", nil); got != catalog.Valid {
			t.Errorf("%s: %q afterwards", way, got)
		}
	}
}

func TestAskedTellsHowOftenAndAboutWhichKeys(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	kit := &fakeprovider.Kit{Now: func() time.Time { return now }}
	f, asker := fakeprovider.BasicUser(), kit.Asker(nil)
	for i, pause := range []int{0, 300, 300, 300, 5000, 999, 2000} { // in milliseconds
		now = now.Add(time.Duration(pause) * time.Millisecond)
		verdictOn(t, asker, f, []string{"fake-valid-0001", "fake-limited-0002"}[i%2], nil)
	}
	asked := kit.Asked(f)
	if asked.Count != 7 || asked.Of("fake-valid-0001") != 4 || asked.Of("fake-limited-0002") != 3 || asked.Of("fake-valid-0003") != 0 {
		t.Errorf("%+v", asked)
	}
	if len(asked.Keys) != 2 || asked.Keys[0].Last4 != "0001" || asked.Keys[1].Last4 != "0002" || len(asked.Keys[0].Hash) != 64 {
		t.Errorf("%+v", asked.Keys)
	}
	if text := fmt.Sprintf("%+v %+v", asked, kit); strings.Contains(text, "fake-valid") {
		t.Error("a key is kept:", text)
	}
	for window, want := range map[time.Duration]int{
		time.Millisecond: 1, 300 * time.Millisecond: 1, 301 * time.Millisecond: 2,
		900 * time.Millisecond: 3, time.Second: 4, 5900 * time.Millisecond: 4, 5901 * time.Millisecond: 5, time.Minute: 7,
	} {
		if got := asked.Peak(window); got != want {
			t.Errorf("%d in %v instead of %d", got, window, want)
		}
	}
	if verdictOn(t, asker, f, "fake-valid-0001", nil); asked.Of("fake-valid-0001") != 4 {
		t.Error("what was told changed afterwards")
	}
	if other := kit.Asked(fakeprovider.Path()); other.Count != 0 || other.Peak(time.Hour) != 0 {
		t.Errorf("%+v", other)
	}
}

func TestWhatTheCheckDoesNotDescribeIsOddAndNoVerdict(t *testing.T) {
	kit := &fakeprovider.Kit{}
	client := serve(t, kit).Client()
	const key = "fake-valid-0001"
	basic := func(user, password string) func(*http.Request) {
		return func(r *http.Request) { r.SetBasicAuth(user, password) }
	}
	set := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[name] = values }
	}
	both := func(do ...func(*http.Request)) func(*http.Request) {
		return func(r *http.Request) {
			for _, d := range do {
				d(r)
			}
		}
	}
	const graph = `{"query":"{ viewer { id } }"}`
	jsonType, version := set("Content-Type", "application/json"), set("Fake-Version", "2026-01-01")
	for _, row := range []struct {
		fake               fakeprovider.Fake
		method, path, body string
		send               func(*http.Request)
		status             int
	}{
		{fakeprovider.Bearer(), "GET", "/v1/account", "", set("Authorization"), 401},
		{fakeprovider.Bearer(), "GET", "/v1/account", "", set("Authorization", key), 401},
		{fakeprovider.Bearer(), "GET", "/v1/account", "", set("Authorization", "Bearer "+key, "Bearer "+key), 401},
		{fakeprovider.Bearer(), "GET", "/v1/account?api_key=" + key, "", set("Authorization"), 401},
		{fakeprovider.Bearer(), "GET", "/v1/account?x=1", "", set("Authorization", "Bearer "+key), 404},
		{fakeprovider.Bearer(), "GET", "/v1/keys", "", set("Authorization", "Bearer "+key), 404},
		{fakeprovider.Bearer(), "POST", "/v1/account", "", set("Authorization", "Bearer "+key), 404},
		{fakeprovider.Bearer(), "GET", "/v1/account", "body", set("Authorization", "Bearer "+key), 404},
		{fakeprovider.Header(), "GET", "/v1/account", "", set("X-Api-Key", key), 404},
		{fakeprovider.Header(), "GET", "/v1/account", "", both(version, set("Authorization", key)), 401},
		{fakeprovider.BasicUser(), "GET", "/v1/account", "", basic("api", key), 401},
		{fakeprovider.BasicUser(), "GET", "/v1/account", "", set("Authorization", "Bearer "+key), 401},
		{fakeprovider.BasicPassword(), "GET", "/v1/account", "", basic(key, ""), 401},
		{fakeprovider.Query(), "GET", "/v1/account?api_key=" + key, "", set("X"), 404},
		{fakeprovider.Query(), "GET", "/v1/account?fields=id&api_key=" + key + "&api_key=" + key, "", set("X"), 401},
		{fakeprovider.Path(), "GET", "/" + key + "/v1/account", "", set("X"), 401},
		{fakeprovider.Path(), "GET", "/bot" + key, "", set("X"), 401},
		{fakeprovider.Path(), "GET", "/bot" + key + "/v1", "", set("X"), 404},
		{fakeprovider.GraphQL(), "POST", "/v1/account", graph, both(jsonType, set("Authorization", "Bearer "+key)), 200},
		{fakeprovider.GraphQL(), "POST", "/v1/account", graph + " ", both(jsonType, set("Authorization", key)), 404},
		{fakeprovider.GraphQL(), "POST", "/v1/account", graph, set("Authorization", key), 404},
		{fakeprovider.Region(), "GET", "/v1/account", "", set("Authorization"), 401},
	} {
		before := kit.Asked(row.fake).Odd
		r, err := http.NewRequest(row.method, "https://"+row.fake.Hosts[0]+row.path, strings.NewReader(row.body))
		if err != nil {
			t.Fatal(err)
		}
		row.send(r)
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != row.status || kit.Asked(row.fake).Odd != before+1 {
			t.Errorf("%s: %s %s is answered %d %s %v, %d odd", row.fake.Name, row.method, row.path, answer.StatusCode, body, err, kit.Asked(row.fake).Odd-before)
		}
		got := read(row.fake.Check, health.Answer{Status: answer.StatusCode, ContentType: answer.Header.Get("Content-Type"), Body: body})
		if got != "" && got != catalog.Invalid {
			t.Errorf("%s: %s %s makes the key %s", row.fake.Name, row.method, row.path, got)
		}
	}
}

func TestWhoFollowsARedirectIsFoundOut(t *testing.T) {
	kit, f := &fakeprovider.Kit{}, fakeprovider.Bearer()
	client := serve(t, kit).Client()
	asker := overTLS{client}
	if answer, err := ask(t, asker, f, "fake-redirect-0001", nil); err != nil || answer.Status != http.StatusTemporaryRedirect || kit.Asked(f).Odd != 0 {
		t.Error(answer.Status, err, kit.Asked(f).Odd)
	}
	client.CheckRedirect = nil
	if _, err := ask(t, asker, f, "fake-redirect-0001", nil); err != nil || kit.Asked(f).Odd != 1 {
		t.Error(err, kit.Asked(f).Odd)
	}
}

// elsewhere is an asker for what no fake is asked.
type elsewhere struct{ asked []string }

func (e *elsewhere) Ask(_ context.Context, ask catalog.Ask) (health.Answer, error) {
	e.asked = append(e.asked, ask.Host)
	return health.Answer{Status: http.StatusTeapot}, nil
}

func TestOtherHostsAreForTheNextAsker(t *testing.T) {
	kit, next := &fakeprovider.Kit{}, &elsewhere{}
	hosts := []string{"api.acme.example", "fake-providers.example", "other.fake-providers.example", "bearer.fake-providers.example.acme.example", "xbearer.fake-providers.example"}
	for _, host := range hosts {
		made := catalog.Ask{Method: "GET", Host: host, URL: secret.FromString("https://" + host + "/")}
		if answer, err := kit.Asker(next).Ask(t.Context(), made); err != nil || answer.Status != http.StatusTeapot {
			t.Error(host, answer, err)
		}
		if _, err := kit.Asker(nil).Ask(t.Context(), made); !errors.Is(err, health.ErrUnreachable) {
			t.Error(host, err)
		}
	}
	if !slices.Equal(next.asked, hosts) {
		t.Error(next.asked)
	}
	verdictOn(t, kit.Asker(next), fakeprovider.Bearer(), "fake-valid-0001", nil)
	if len(next.asked) != len(hosts) {
		t.Error("next was asked about a fake")
	}
}

func TestTheServersAuthorityCertifiesTheFakesAndNobodyElse(t *testing.T) {
	server := serve(t, &fakeprovider.Kit{})
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(server.CA) || strings.Contains(string(server.CA), "PRIVATE") {
		t.Fatalf("%s", server.CA)
	}
	for _, f := range fakeprovider.All() {
		for _, host := range f.Hosts {
			conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: roots, ServerName: host}}).DialContext(t.Context(), "tcp", server.Addr)
			if err != nil {
				t.Errorf("%s: %v", host, err)
				continue
			}
			conn.Close()
		}
	}
	if conn, err := tls.Dial("tcp", server.Addr, &tls.Config{RootCAs: roots, ServerName: "api.acme.example"}); err == nil {
		conn.Close()
		t.Error("another host is certified")
	}
	authority := parse(t, server.CA)
	if !slices.Equal(authority.PermittedDNSDomains, []string{fakeprovider.Domain}) || !authority.PermittedDNSDomainsCritical {
		t.Errorf("whoever trusts the authority trusts it for %q", authority.PermittedDNSDomains)
	}
}

func TestTheServersClientReachesNothingButTheFakes(t *testing.T) {
	server := serve(t, &fakeprovider.Kit{})
	for _, url := range []string{"https://api.acme.example/", "https://fake-providers.example/", "https://other.fake-providers.example/", "http://" + server.Addr + "/"} {
		if answer, err := server.Client().Get(url); err == nil || !strings.Contains(err.Error(), "there is no fake provider at") {
			t.Error(url, answer, err)
		}
	}
}

func TestAHostThatIsNoFakesIsRefused(t *testing.T) {
	client := serve(t, &fakeprovider.Kit{}).Client()
	r, err := http.NewRequest("GET", "https://"+fakeprovider.Bearer().Hosts[0]+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "api.acme.example"
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusMisdirectedRequest {
		t.Error(answer.Status)
	}
}

func TestAClosedServerIsUnreachableAndCutsOffWhoWaits(t *testing.T) {
	asked := make(chan struct{}, 1)
	kit := &fakeprovider.Kit{Now: func() time.Time { asked <- struct{}{}; return time.Now() }}
	f, server := fakeprovider.Bearer(), serve(t, kit)
	asker := overTLS{server.Client()}
	ended := make(chan error, 1)
	go func() {
		made, _ := f.Check.Ask(nil, nil, secret.FromString("fake-slow-0001"))
		_, err := asker.Ask(context.Background(), made)
		ended <- err
	}()
	<-asked
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, health.ErrUnreachable) {
		t.Error(err)
	}
	if _, err := ask(t, asker, f, "fake-valid-0001", nil); !errors.Is(err, health.ErrUnreachable) {
		t.Error(err)
	}
}

func TestAServerEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	server, err := (&fakeprovider.Kit{}).Serve(ctx)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	for deadline := time.Now().Add(patience); ; {
		_, err := ask(t, overTLS{server.Client()}, fakeprovider.Bearer(), "fake-valid-0001", nil)
		if errors.Is(err, health.ErrUnreachable) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("it goes on")
		}
	}
}

func TestManyMayAskAndControlAtOnce(t *testing.T) {
	kit := &fakeprovider.Kit{}
	askers := ways(t, kit)
	var group sync.WaitGroup
	const each = 20
	for _, asker := range askers {
		for _, f := range fakeprovider.All() {
			group.Go(func() {
				for i := range each {
					key := fmt.Sprint("fake-valid-", i)
					kit.Revoke(key)
					_, _ = ask(t, asker, f, key, nil)
					kit.Restore(key)
					kit.Asked(f).Peak(time.Second)
					kit.Down(fakeprovider.Path())
					kit.Up(fakeprovider.Path())
				}
			})
		}
	}
	group.Wait()
	for _, f := range fakeprovider.All() {
		asked := kit.Asked(f)
		counted := 0
		for _, k := range asked.Keys {
			counted += k.Count
		}
		// The one that is down at times may see a client try again.
		again := f.Name == fakeprovider.Path().Name && asked.Count > each*len(askers)
		if asked.Count != each*len(askers) && !again || asked.Count != counted || asked.Odd != 0 || len(asked.Keys) != each {
			t.Errorf("%s: %d asks, %d of keys", f.Name, asked.Count, counted)
		}
	}
}

// read is the verdict by a check's rules on an answer, as the catalog's page
// tells it: the rules in when, then the statuses; a page of HTML says nothing.
func read(c catalog.Check, a health.Answer) catalog.Verdict {
	if !strings.HasPrefix(a.ContentType, "application/json") {
		return ""
	}
	var body struct {
		Data   struct{ Viewer struct{ ID string } }
		Errors []struct{ Extensions struct{ Code string } }
	}
	_ = json.Unmarshal(a.Body, &body)
	for _, rule := range c.When { // of the one fake that has any
		exists := rule.All[0].Exists && body.Data.Viewer.ID != ""
		equals := len(body.Errors) > 0 && rule.All[0].Equals == body.Errors[0].Extensions.Code
		if rule.Status == a.Status && (exists || equals) {
			return rule.Verdict
		}
	}
	switch {
	case slices.Contains(c.Valid, a.Status):
		return catalog.Valid
	case slices.Contains(c.Limited, a.Status):
		return catalog.Limited
	case slices.Contains(c.Invalid, a.Status):
		return catalog.Invalid
	}
	return ""
}

func parse(t *testing.T, certificate []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(certificate)
	parsed, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}
