package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/audit"
	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/operator"
	"keyvend/pkg/table/tabletest"
)

// enters brings the audit lines so far to the ledger.
func (a acme) enters(t *testing.T) {
	t.Helper()
	a.entersLines(t, a.Audit.Lines()...)
}

func (a acme) entersLines(t *testing.T, lines ...audit.Line) {
	t.Helper()
	e := boottest.Delivery(t, boottest.Lines(t, lines...)...)
	if _, err := a.App.Ledger()(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

func (a acme) reads(t *testing.T, account string) []string {
	t.Helper()
	got := a.Must(http.StatusOK, a.token, "GET", "/keyvend/accounts/"+account+"/reads", "")
	var list struct {
		Object   string
		Data     []map[string]any
		Metadata map[string]any `json:"list_metadata"`
	}
	if err := json.Unmarshal([]byte(got.Body), &list); err != nil || list.Object != "list" || list.Data == nil || len(list.Metadata) != 2 {
		t.Fatalf("%s %v", got.Body, err)
	}
	var rows []string
	for _, r := range list.Data {
		if len(r) != 4 {
			t.Errorf("%v", r)
		}
		rows = append(rows, fmt.Sprint(r["api_key_id"], " ", r["window_start"], " ", r["count"], " ", r["last_read_at"]))
	}
	return rows
}

func TestTheReadsOfAnAccountSayWhichAPIKeyReadItWhenAndHowOften(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	second := a.Key(a.tenant, "vend")
	if got := a.reads(t, a.account); len(got) != 0 {
		t.Errorf("before any: %v", got)
	}
	a.vends(t, key) // 12:00:00
	a.Clock.Pass(90 * time.Second)
	a.vends(t, key)
	a.Clock.Pass(time.Second)
	a.Vend(second, "openai", "anna") // 12:01:31
	a.Vend(a.token, "openai", "bob") // nothing there
	a.Clock.Pass(4 * time.Minute)
	a.vends(t, key) // 12:05:31
	a.enters(t)
	first, other := keyIDOf(a.token), keyIDOf(second)
	want := []string{
		first + " 2026-03-01T12:05:00.000Z 1 2026-03-01T12:05:31.000Z",
		other + " 2026-03-01T12:00:00.000Z 1 2026-03-01T12:01:31.000Z",
		first + " 2026-03-01T12:00:00.000Z 2 2026-03-01T12:01:30.000Z",
	}
	if got := a.reads(t, a.account); !slices.Equal(got, want) {
		t.Errorf("%s\nwant %s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestReadsAreTheNewestTwenty(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	for range 23 {
		a.vends(t, key)
		a.entersLines(t, a.Audit.Last())
		a.Clock.Pass(5 * time.Minute)
	}
	if got := a.reads(t, a.account); len(got) != 20 || !strings.Contains(got[0], "T13:50:00.000Z") || !strings.Contains(got[19], "T12:15:00.000Z") {
		t.Errorf("%d: %v", len(got), got)
	}
}

func TestTheReadsOfAnAccountAreWhereTheAccountIs(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.vends(t, key)
	a.enters(t)
	path := "/keyvend/accounts/" + a.account + "/reads"
	_, tokenB := a.other()
	for name, got := range map[string]boottest.Answer{
		"F1: another tenant": a.Do(tokenB, "GET", path, ""),
		"no such account":    a.Do(a.token, "GET", "/keyvend/accounts/data_installation_01ARZ3NDEKTSV4RRFFQ69G5FAV/reads", ""),
		"no account's id":    a.Do(a.token, "GET", "/keyvend/accounts/READS/reads", ""),
	} {
		if got.Status != http.StatusNotFound || got.Code() != "not_found" {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
	a.Must(http.StatusForbidden, a.Key(a.tenant, "vend"), "GET", path, "")
	a.Must(http.StatusOK, a.Key(a.tenant, "read"), "GET", path, "")
	a.Must(http.StatusNoContent, a.token, "DELETE", "/user_management/users/anna/connected_accounts/openai", "")
	a.Must(http.StatusNotFound, a.token, "GET", path, "")
}

func TestLastUseIsToldWithAnAccountAndNullBefore(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	bob := a.Upsert(a.token, "openai", "bob", key).Text("id")
	told := func() map[string]any {
		t.Helper()
		all := map[string]any{}
		var list struct{ Data []map[string]any }
		if err := json.Unmarshal([]byte(a.Must(http.StatusOK, a.token, "GET", "/keyvend/accounts", "").Body), &list); err != nil {
			t.Fatal(err)
		}
		for _, row := range list.Data {
			at, there := row["last_used_at"]
			if !there {
				t.Errorf("%v", row)
			}
			all[fmt.Sprint(row["id"])] = at
			for _, method := range []string{"GET", "PATCH"} {
				if got := a.Must(http.StatusOK, a.token, method, "/keyvend/accounts/"+fmt.Sprint(row["id"]), "{}").Text("last_used_at"); at != nil && got != at || at == nil && got != "" {
					t.Errorf("%s says %q, the list %v", method, got, at)
				}
			}
		}
		return all
	}
	if got := told(); len(got) != 2 || got[a.account] != nil || got[bob] != nil {
		t.Errorf("before: %v", got)
	}
	a.vends(t, key)
	a.enters(t)
	a.Clock.Pass(4 * time.Minute)
	a.vends(t, key)
	a.entersLines(t, a.Audit.Last())
	if got := told(); got[a.account] != "2026-03-01T12:00:00.000Z" || got[bob] != nil {
		t.Errorf("within five minutes: %v", got)
	}
	a.Clock.Pass(time.Minute)
	a.vends(t, key)
	a.entersLines(t, a.Audit.Last())
	if got := told(); got[a.account] != "2026-03-01T12:05:00.000Z" || got[bob] != nil {
		t.Errorf("after five minutes: %v", got)
	}
}

func TestBudget_HealthAndLastUseAreOneMoreReadEachForAPageOfAccounts(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	for i := range 30 {
		a.Upsert(a.token, "openai", fmt.Sprint("user", i), key)
	}
	before := calls(a)
	a.Must(http.StatusOK, a.token, "GET", "/keyvend/accounts?limit=30", "")
	// The caller's rows, the accounts' rows, their checks, their last use.
	if after := calls(a); after[0] != before[0]+4 || after[2] != before[2] {
		t.Errorf("calls %v, then %v", before, after)
	}
}

func TestTheUsageOfAnIntegrationIsEveryHourNewestFirst(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	const path = "/keyvend/integrations/openai/usage"
	a.vends(t, key)
	a.Vend(a.token, "openai", "bob")
	a.Clock.Pass(2 * time.Hour)
	a.vends(t, key)
	a.vends(t, key)
	a.Must(http.StatusOK, a.token, "PUT", "/keyvend/freeze", `{"reason":"why"}`)
	a.Vend(a.token, "openai", "anna")
	a.Vend(a.token, "stripe", "anna") // of no integration
	a.enters(t)
	a.enters(t)
	type hour struct {
		Hour            string
		Vended, Refused int
	}
	ask := func(query string) []hour {
		t.Helper()
		var list struct {
			Object string
			Data   []hour
		}
		got := a.Must(http.StatusOK, a.token, "GET", path+query, "")
		if err := json.Unmarshal([]byte(got.Body), &list); err != nil || list.Object != "list" {
			t.Fatalf("%s %v", got.Body, err)
		}
		return list.Data
	}
	want := []hour{{"2026-03-01T14:00:00.000Z", 2, 1}, {"2026-03-01T13:00:00.000Z", 0, 0}, {"2026-03-01T12:00:00.000Z", 1, 1}, {"2026-03-01T11:00:00.000Z", 0, 0}}
	if got := ask("?hours=4"); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if got := ask("?hours=1"); !slices.Equal(got, want[:1]) {
		t.Errorf("%v", got)
	}
	if got := ask(""); len(got) != 24 || got[23].Hour != "2026-02-28T15:00:00.000Z" {
		t.Errorf("%v", got)
	}
	if got := ask("?hours=168"); len(got) != 168 {
		t.Errorf("%d", len(got))
	}
	for _, query := range []string{"0", "169", "-1", "", "ten", "1.5"} {
		if got := a.Do(a.token, "GET", path+"?hours="+query, ""); got.Status != http.StatusUnprocessableEntity || got.Code() != "invalid_request_parameters" {
			t.Errorf("%q: %d %s", query, got.Status, got.Body)
		}
	}
	a.Must(http.StatusNotFound, a.token, "GET", "/keyvend/integrations/stripe/usage", "")
	_, tokenB := a.other()
	if got := a.Must(http.StatusOK, tokenB, "GET", path+"?hours=4", ""); strings.Contains(got.Body, `"vended":1`) || strings.Contains(got.Body, `"vended":2`) {
		t.Errorf("F1: %s", got.Body)
	}
	// A new registration begins at nothing.
	a.Must(http.StatusNoContent, a.token, "DELETE", "/data-integrations/openai", "")
	a.Register(a.token, "openai")
	if got := ask("?hours=1"); got[0].Vended != 0 {
		t.Errorf("%v", got)
	}
}

func TestF12_WithoutTheTableUsageIs503(t *testing.T) {
	for path, call := range map[string]tabletest.Method{
		"/keyvend/integrations/openai/usage": tabletest.Query, "/keyvend/accounts/%s/reads": tabletest.Query, "/keyvend/accounts": tabletest.Query,
	} {
		a := newAcme(t, boottest.Config{})
		a.Table.Fail(tabletest.Next(call))
		busy(t, a.Do(a.token, "GET", strings.Replace(path, "%s", a.account, 1), ""), "service_unavailable")
	}
	for _, path := range []string{"/keyvend/accounts/%s/reads", "/keyvend/accounts/%s", "/keyvend/accounts"} {
		a := newAcme(t, boottest.Config{})
		a.Table.Fail(func(c tabletest.Call) bool { return c.Method == tabletest.Get && strings.HasPrefix(c.Keys[0].PK, "L#") })
		busy(t, a.Do(a.token, "GET", strings.Replace(path, "%s", a.account, 1), ""), "service_unavailable")
	}
}

func TestAUserIsToldWithWhichOfTheProductsAPIKeysHisKeyWasReadAndNothingElseOfThem(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	path := itsReads + a.account + "/reads"
	if got := a.browse(a.anna, "GET", path, ""); got.Status != 200 || !strings.Contains(got.Body, `"data":[]`) {
		t.Errorf("before any: %d %s", got.Status, got.Body)
	}
	issued, err := a.App.Tenants()(t.Context(), operator.Request{Action: operator.IssueAPIKey, Tenant: a.tenant, Name: "Nightly import", Scopes: []string{"vend"}})
	if err != nil {
		t.Fatal(err)
	}
	a.Vend(issued.Token, "openai", "anna") // 12:00:00
	a.Clock.Pass(time.Second)
	a.vends(t, key)
	a.enters(t)
	// A key of which there is no row any more.
	lost := a.Audit.Last()
	lost.APIKey, lost.RequestID, lost.At = "api_key_01KJMMA2G0E8CREG05T91RTXB4", "req_01KJMMA2G0E8CREG05T91RTXB4", lost.At.Add(time.Second)
	a.entersLines(t, lost)
	before := a.Table.Calls(tabletest.Get)
	var list struct{ Data []map[string]any }
	got := a.browse(a.anna, "GET", path, "")
	if err := json.Unmarshal([]byte(got.Body), &list); err != nil || got.Status != 200 {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	if calls := a.Table.Calls(tabletest.Get) - before; calls > 4 {
		t.Errorf("%d reads of the table", calls)
	}
	want := []map[string]any{
		{"api_key_id": lost.APIKey, "api_key_name": nil, "window_start": "2026-03-01T12:00:00.000Z", "count": 1.0, "last_read_at": "2026-03-01T12:00:02.000Z"},
		{"api_key_id": keyIDOf(a.token), "api_key_name": "test", "window_start": "2026-03-01T12:00:00.000Z", "count": 1.0, "last_read_at": "2026-03-01T12:00:01.000Z"},
		{"api_key_id": issued.APIKey.ID, "api_key_name": "Nightly import", "window_start": "2026-03-01T12:00:00.000Z", "count": 1.0, "last_read_at": "2026-03-01T12:00:00.000Z"},
	}
	if !slices.EqualFunc(list.Data, want, maps.Equal) {
		t.Errorf("%v\nwant %v", list.Data, want)
	}
}
