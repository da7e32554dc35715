package vault_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/ident"
	"keyvend/pkg/table"
	"keyvend/pkg/table/bolt"
	"keyvend/pkg/table/tabletest"
)

// embedded is the engine for tests with thousands of accounts. Nothing expires in it
// by the clock of this machine, which is far from the simulated one.
func embedded(t *testing.T) table.Table {
	t.Helper()
	opened, err := bolt.Config{Now: func() time.Time { return time.Unix(0, 0) }}.Open(filepath.Join(t.TempDir(), "keyvend.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	return opened
}

// crowd gives n users an account of openai each, copies of one that came through
// the front door: user0000 and so on, every tenth in the organization "org". It
// returns their ids, sorted.
func (a acme) crowd(n int) (ids []string) {
	a.t.Helper()
	a.Upsert(a.token, "openai", "model", key)
	models, err := a.Store.AccountsOf(a.t.Context(), a.tenant, "model")
	if err != nil || len(models) != 1 {
		a.t.Fatalf("%d %v", len(models), err)
	}
	var wait sync.WaitGroup
	slots := make(chan struct{}, 32) // writes at the same time share a commit
	for i := range n {
		next := *models[0]
		next.ID, next.Owner, next.Revision = ident.Clock(a.Clock.Now).New(ident.AccountPrefix), account.User(fmt.Sprintf("user%04d", i), ""), 0
		if i%10 == 0 {
			next.Owner.Organization = "org"
		}
		ids = append(ids, next.ID)
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			if err := a.Store.SaveAccount(a.t.Context(), &next); err != nil {
				a.t.Error(err)
			}
		})
	}
	wait.Wait()
	a.Must(http.StatusNoContent, a.token, "DELETE", "/user_management/users/model/connected_accounts/openai", "")
	slices.Sort(ids)
	return ids
}

// cost is what an answer took of the table.
type cost struct{ calls, rows int }

// meter is a table that counts.
type meter struct {
	table.Table
	mu   sync.Mutex
	took cost
}

func (m *meter) add(rows int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.took.calls++
	m.took.rows += rows
}

func (m *meter) Get(ctx context.Context, keys ...table.Key) (map[table.Key]table.Item, error) {
	m.add(len(keys))
	return m.Table.Get(ctx, keys...)
}

func (m *meter) Query(ctx context.Context, q table.Query) (table.Page, error) {
	page, err := m.Table.Query(ctx, q)
	m.add(len(page.Items))
	return page, err
}

func (m *meter) Write(ctx context.Context, ops ...table.Op) error {
	m.add(len(ops))
	return m.Table.Write(ctx, ops...)
}

// of is what do takes.
func (m *meter) of(do func()) cost {
	m.took = cost{}
	do()
	return m.took
}

// listing is a page of GET /keyvend/accounts.
type listing struct {
	Data     []struct{ ID string }
	Metadata struct{ Before, After string } `json:"list_metadata"`
}

func (a acme) list(query string) (l listing) {
	a.t.Helper()
	answer := a.Must(http.StatusOK, a.token, "GET", "/keyvend/accounts?"+query, "")
	if err := json.Unmarshal([]byte(answer.Body), &l); err != nil {
		a.t.Fatal(err)
	}
	return l
}

func TestF50_APageOfAccountsCostsTheSameFromTheFirstToTheLast(t *testing.T) {
	m := &meter{Table: embedded(t)}
	a := newAcme(t, boottest.Config{Engine: m})
	all := a.crowd(1000)
	for _, order := range []string{"asc", "desc", "normal"} {
		for _, filter := range []string{"", "&integration=openai", "&state=connected", "&integration=openai&state=connected"} {
			query := "limit=100&order=" + order + filter
			t.Run(query, func(t *testing.T) {
				ids, costs := a.walk(m, query)
				if order != "asc" {
					slices.Reverse(ids)
				}
				if !slices.Equal(ids, all) {
					t.Errorf("%d accounts are listed in the order of their ids, and there are %d", len(ids), len(all))
				}
				for i, c := range costs {
					if c.calls != costs[0].calls || c.rows > costs[0].rows {
						t.Errorf("page %d of %d took %+v, the first %+v", i, len(costs), c, costs[0])
					}
				}
			})
		}
	}
}

// walk follows the cursors of a listing from its first page to its last.
func (a acme) walk(m *meter, query string) (ids []string, costs []cost) {
	a.t.Helper()
	for cursor := ""; ; {
		var page listing
		costs = append(costs, m.of(func() { page = a.list(query + cursor) }))
		for _, row := range page.Data {
			ids = append(ids, row.ID)
		}
		next, parameter := page.Metadata.After, "&after="
		if strings.Contains(query, "order=normal") {
			next, parameter = page.Metadata.Before, "&before="
		}
		if next == "" {
			return ids, costs
		}
		if cursor = parameter + next; len(costs) > 1000 {
			a.t.Fatal("the listing does not end")
		}
	}
}

// A filter that few match reads a bounded number of rows for a page, wherever
// that lies and however few it finds: the next page goes on.
func TestF50_AFilterThatFewMatchCostsABoundedNumberOfCallsAPage(t *testing.T) {
	m := &meter{Table: embedded(t)}
	a := newAcme(t, boottest.Config{Engine: m})
	const n = 1500
	a.crowd(n)
	first := m.of(func() { a.list("limit=10") })
	for query, want := range map[string]int{
		"limit=10&organization_id=org":          n / 10,
		"limit=100&organization_id=org":         n / 10,
		"limit=100&organization_id=":            n - n/10,
		"limit=10&organization_id=nobody":       0,
		"limit=1&state=needs_reauthorization":   0,
		"limit=100&state=needs_reauthorization": 0,
		"limit=10&user_id=user0001":             1,
	} {
		ids, costs := a.walk(m, query)
		if once := slices.Compact(slices.Sorted(slices.Values(ids))); len(ids) != want || len(once) != want {
			t.Errorf("%s: %d accounts, %d different ones, want %d", query, len(ids), len(once), want)
		}
		for i, c := range costs {
			if c.calls > 10*first.calls || c.rows > 10_000 {
				t.Errorf("%s: page %d took %+v", query, i, c)
			}
		}
		if most := n/900 + n/50; len(costs) > most {
			t.Errorf("%s: %d pages", query, len(costs))
		}
	}
}

// What was listed a moment ago is gone from the lists at once, although its rows
// are there: the pages that are left are few, each bounded, and all empty.
func TestF50_AfterItsRemovalNoAccountIsListedAndThePagesAreFew(t *testing.T) {
	m := &meter{Table: embedded(t)}
	a := newAcme(t, boottest.Config{Engine: m})
	const n = 1500
	a.crowd(n)
	a.remove()
	for _, query := range []string{"limit=1", "limit=10", "limit=100&order=asc", "limit=10&integration=openai"} {
		ids, costs := a.walk(m, query)
		if len(ids) != 0 || len(costs) > n/900+1 {
			t.Errorf("%s: %d accounts on %d pages", query, len(ids), len(costs))
		}
	}
}

func TestF50_RemovingCostsTheSameHoweverManyAccountsThereAre(t *testing.T) {
	for path, want := range map[string]int{
		"/data-integrations/openai":  http.StatusNoContent,
		"/keyvend/organizations/org": http.StatusAccepted,
	} {
		var costs []cost
		for _, n := range []int{0, 500} {
			m := &meter{Table: tabletest.NewMemory()}
			a := newAcme(t, boottest.Config{Engine: m})
			a.crowd(n)
			costs = append(costs, m.of(func() { a.Must(want, a.token, "DELETE", path, "") }))
		}
		if costs[0] != costs[1] {
			t.Errorf("DELETE %s takes %+v with no account, %+v with 500", path, costs[0], costs[1])
		}
	}
}

// Who disconnects and connects again has an account of another id in the same row,
// and an index may show it at both for a while.
func TestF50_WhileAnIndexShowsAccountsWhereTheyWereEachIsListedOnceInOrderAndOffboarded(t *testing.T) {
	m := &meter{Table: tabletest.Trail(tabletest.NewMemory())}
	a := newAcme(t, boottest.Config{Engine: m})
	var ids []string
	const users = 12
	for round := range 4 {
		for i := range users {
			user := fmt.Sprint("user", i)
			if round > 0 {
				a.Must(http.StatusNoContent, a.token, "DELETE", "/user_management/users/"+user+"/connected_accounts/openai?organization_id=org", "")
			}
			id := a.Must(http.StatusOK, a.token, "PUT", "/data-integrations/openai/api-key",
				fmt.Sprintf(`{"user_id":%q,"organization_id":"org","secret":%q}`, user, key)).Text("id")
			if round == 3 {
				ids = append(ids, id)
			}
		}
	}
	slices.Sort(ids)
	for _, limit := range []int{1, 5, 13, 100} {
		for _, filter := range []string{"", "&integration=openai", "&organization_id=org"} {
			for _, order := range []string{"asc", "desc"} {
				query := fmt.Sprintf("limit=%d&order=%s%s", limit, order, filter)
				got, _ := a.walk(m, query)
				if order == "desc" {
					slices.Reverse(got)
				}
				if !slices.Equal(got, ids) {
					t.Errorf("%s lists %d accounts of %d: %v", query, len(got), len(ids), got)
				}
			}
		}
	}
	a.Must(http.StatusAccepted, a.token, "DELETE", "/keyvend/organizations/org", "")
	a.finish()
	if left, _ := a.walk(m, "limit=100"); len(left) != 0 {
		t.Errorf("%d accounts are left", len(left))
	}
	if alarms := a.Log.Alarms(); len(alarms) != 0 {
		t.Errorf("alarms: %v", alarms)
	}
}

func TestF50_WhileAnIndexShowsAccountsWhereTheyWereTheirIntegrationIsRemoved(t *testing.T) {
	a := newAcme(t, boottest.Config{Engine: tabletest.Trail(tabletest.NewMemory())})
	const users = 12
	for range 4 {
		for i := range users {
			a.Upsert(a.token, "openai", fmt.Sprint("user", i), key)
			a.Must(http.StatusNoContent, a.token, "DELETE", fmt.Sprintf("/user_management/users/user%d/connected_accounts/openai", i), "")
			a.Upsert(a.token, "openai", fmt.Sprint("user", i), key)
		}
	}
	a.remove()
	a.finish()
	for i := range users {
		if a.hasAccount(fmt.Sprint("user", i)) {
			t.Errorf("the account of user%d is left", i)
		}
	}
	if alarms := a.Log.Alarms(); len(alarms) != 0 {
		t.Errorf("alarms: %v", alarms)
	}
}
