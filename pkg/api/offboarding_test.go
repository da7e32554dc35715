package api_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/catalog"
	"keyvend/pkg/health"
	"keyvend/pkg/operator"
	"keyvend/pkg/table"
	"keyvend/pkg/table/tabletest"
)

func offboarded(t *testing.T) (w *boottest.World, token string) {
	t.Helper()
	w = boottest.New(t, boottest.Config{})
	token = w.Key(w.Tenant(), "vend", "manage")
	w.Register(token, "openai")
	w.Register(token, "linear")
	for _, slug := range []string{"openai", "linear"} {
		for _, owner := range []string{`"user_id":"anna"`, `"user_id":"anna","organization_id":"org_1"`, `"user_id":"bob","organization_id":"org_1"`, `"user_id":"bob","organization_id":"org_2"`} {
			w.Must(http.StatusOK, token, "PUT", "/data-integrations/"+slug+"/api-key", `{`+owner+`,"secret":"`+boottest.Canary+`0123456789"}`)
		}
	}
	return w, token
}

// vends says for whom there is a key, by slug and owner.
func vends(w *boottest.World, token, slug, owner string) bool {
	return w.Must(http.StatusOK, token, "POST", "/data-integrations/"+slug+"/credentials", `{`+owner+`}`).Text("active") == "true"
}

func TestAnOffboardedUserIsGoneAtOnceAndTheOthersStay(t *testing.T) {
	w, token := offboarded(t)
	for range 2 { // idempotent
		w.Must(http.StatusAccepted, token, "DELETE", "/keyvend/users/anna", "")
	}
	for _, owner := range []string{`"user_id":"anna"`, `"user_id":"anna","organization_id":"org_1"`} {
		if vends(w, token, "openai", owner) || vends(w, token, "linear", owner) {
			t.Errorf("{%s} still vends", owner)
		}
	}
	if !vends(w, token, "openai", `"user_id":"bob","organization_id":"org_1"`) {
		t.Error("another user lost his key")
	}
	w.Clock.Pass(time.Second)
	w.Upsert(token, "openai", "anna", boottest.Canary+"new-0123456789")
	w.Clock.Pass(time.Hour)
	for range 3 {
		if _, err := w.App.Sweep(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if !vends(w, token, "openai", `"user_id":"anna"`) {
		t.Error("what the user brought afterwards is gone")
	}
}

func TestAnOffboardedOrganizationIsGoneAtOnceAndItsRowsAfterTheSweep(t *testing.T) {
	w, token := offboarded(t)
	w.Must(http.StatusOK, token, "PUT", "/organizations/org_1/data_integration_configurations/linear", `{"enabled":false}`)
	before := w.Must(http.StatusOK, token, "GET", "/user_management/users/bob/connected_accounts/openai?organization_id=org_1", "").Text("id")
	for range 2 {
		w.Must(http.StatusAccepted, token, "DELETE", "/keyvend/organizations/org_1", "")
	}
	for _, owner := range []string{`"user_id":"anna","organization_id":"org_1"`, `"user_id":"bob","organization_id":"org_1"`} {
		if vends(w, token, "openai", owner) || vends(w, token, "linear", owner) { // its switch is gone too
			t.Errorf("{%s} still vends", owner)
		}
	}
	w.Must(http.StatusNotFound, token, "GET", "/user_management/users/bob/connected_accounts/openai?organization_id=org_1", "")
	for _, owner := range []string{`"user_id":"anna"`, `"user_id":"bob","organization_id":"org_2"`} {
		if !vends(w, token, "openai", owner) {
			t.Errorf("{%s} lost the key", owner)
		}
	}
	// In the very same millisecond a key may come back: it is a new account, and stays.
	again := w.Must(http.StatusOK, token, "PUT", "/data-integrations/openai/api-key", `{"user_id":"bob","organization_id":"org_1","secret":"`+boottest.Canary+`again-0123"}`).Text("id")
	if again == before {
		t.Error("the old id came back")
	}
	w.Clock.Pass(time.Hour)
	for range 3 {
		if _, err := w.App.Sweep(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if !vends(w, token, "openai", `"user_id":"bob","organization_id":"org_1"`) {
		t.Error("the new account is gone")
	}
	if jobs, err := w.Store.Removals(t.Context()); err != nil || len(jobs) != 0 {
		t.Errorf("%d jobs are left, %v", len(jobs), err)
	}
}

func TestOffboardingEndsTheWidgetTokensOfWhoLeavesAndOfNobodyElse(t *testing.T) {
	for path, ends := range map[string][]string{
		"/keyvend/users/anna":            {"anna", "anna org_1", "anna org_2"},
		"/keyvend/organizations/org_1":   {"anna org_1", "bob org_1"},
		"/keyvend/users/nobody":          nil,
		"/keyvend/organizations/nothing": nil,
	} {
		t.Run(path, func(t *testing.T) {
			a := newWidgeted(t, boottest.Config{})
			session := a.Session(a.Key(a.tenant, "manage"))
			tokens := map[string]string{}
			for _, whose := range []string{"anna", "anna org_1", "anna org_2", "bob", "bob org_1", "bob org_2"} {
				user, organization, _ := strings.Cut(whose, " ")
				tokens[whose] = a.WidgetToken(session, user, organization)
			}
			for range 2 { // idempotent
				a.Must(202, a.token, "DELETE", path, "")
			}
			for whose, token := range tokens {
				want := 200
				if slices.Contains(ends, whose) {
					want = 403
				}
				if got := a.browse(token, "GET", mine, ""); got.Status != want {
					t.Errorf("%s: %d %s", whose, got.Status, got.Body)
				}
				// Another one holds from the same moment on.
				user, organization, _ := strings.Cut(whose, " ")
				if got := a.browse(a.WidgetToken(session, user, organization), "GET", mine, ""); got.Status != 200 {
					t.Errorf("%s, again: %d %s", whose, got.Status, got.Body)
				}
			}
			a.Must(200, session, "GET", "/data-integrations", "")
		})
	}
}

func TestThatAUserLeftIsRememberedForAsLongAsHisTokensCouldLive(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	a.Must(202, a.token, "DELETE", "/keyvend/users/anna", "")
	for _, c := range []struct {
		tells string
		lasts bool
	}{{"it outlives every token", true}, {"and ends", false}} {
		if got := a.Item(boottest.DepartureRow(a.tenant, "anna")).ExpiresAt.After(a.Clock.Now().Add(time.Hour)); got != c.lasts {
			t.Errorf("%s: %v", c.tells, got)
		}
		a.Clock.Pass(2 * time.Hour)
	}
}

// F27: what is written, and what is answered.
func TestF27_OffboardingAUserIsWholeOrNotAndCanBeAskedForAgain(t *testing.T) {
	for name, fault := range map[string]func(*tabletest.Faulty){
		"not stored":           func(f *tabletest.Faulty) { f.Fail(tabletest.Next(tabletest.Write)) },
		"stored, not answered": func(f *tabletest.Faulty) { f.FailStored(tabletest.Next(tabletest.Write)) },
	} {
		t.Run(name, func(t *testing.T) {
			a := newWidgeted(t, boottest.Config{})
			fault(a.Table)
			a.Must(503, a.token, "DELETE", "/keyvend/users/anna", "")
			stored := name != "not stored"
			if a.Has(boottest.DepartureRow(a.tenant, "anna")) != stored {
				t.Errorf("the departure is stored: %v", !stored)
			}
			if jobs, err := a.Store.Removals(t.Context()); err != nil || len(jobs) > 0 != stored {
				t.Errorf("%d jobs, %v", len(jobs), err)
			}
			if got := a.browse(a.anna, "GET", mine, ""); got.Status == 200 == stored {
				t.Errorf("%d %s", got.Status, got.Body)
			}
			a.Must(202, a.token, "DELETE", "/keyvend/users/anna", "")
			if got := a.browse(a.anna, "GET", mine, ""); got.Status != 403 {
				t.Errorf("%d %s", got.Status, got.Body)
			}
		})
	}
}

// TestAQueryThatCannotBeReadActsOnNobody: to drop an organization that cannot be
// read is to disconnect the wrong account.
func TestAQueryThatCannotBeReadActsOnNobody(t *testing.T) {
	w, token := offboarded(t)
	const path = "/user_management/users/anna/connected_accounts/openai"
	for _, query := range []string{"?organization_id=%zz", "?x=1;organization_id=org_1", "?organization_id=org_1&organization_id=org_2", "?organization_id="} {
		for _, method := range []string{"GET", "DELETE"} {
			w.Must(http.StatusUnprocessableEntity, token, method, path+query, "")
		}
	}
	if !vends(w, token, "openai", `"user_id":"anna"`) || !vends(w, token, "openai", `"user_id":"anna","organization_id":"org_1"`) {
		t.Error("an account is gone")
	}
	w.Must(http.StatusUnprocessableEntity, token, "GET", "/data-integrations?limit=%zz", "")
	w.Must(http.StatusUnprocessableEntity, token, "GET", "/keyvend/accounts?user_id=%zz", "")
}

func TestADamagedAccountIsReplacedDisconnectedAndNeverVended(t *testing.T) {
	w := boottest.New(t, boottest.Config{})
	tenant := w.Tenant()
	token := w.Key(tenant, "vend", "manage")
	w.Register(token, "openai")
	for _, user := range []string{"anna", "bob"} {
		w.Upsert(token, "openai", user, boottest.Canary+"0123456789")
		w.WriteDoc(boottest.AccountRow(tenant, user, "openai", ""), []byte(`{"state":1}`)) // decodes to nothing
		w.Must(http.StatusInternalServerError, token, "POST", "/data-integrations/openai/credentials", `{"user_id":"`+user+`"}`)
	}
	if listed := w.Must(http.StatusOK, token, "GET", "/keyvend/accounts", ""); listed.Text("data") != "[]" {
		t.Errorf("listed: %s", listed.Text("data"))
	}
	w.Upsert(token, "openai", "anna", boottest.Canary+"new-0123456789")
	if !vends(w, token, "openai", `"user_id":"anna"`) {
		t.Error("what was stored anew does not vend")
	}
	w.Must(http.StatusNoContent, token, "DELETE", "/user_management/users/bob/connected_accounts/openai", "")
	if vends(w, token, "openai", `"user_id":"bob"`) {
		t.Error("vended after all")
	}
}

func TestADamagedRowTellsNothingToWhoeverIsNobody(t *testing.T) {
	w := boottest.New(t, boottest.Config{})
	tenant := w.Tenant()
	token := w.Key(tenant, "vend", "manage")
	w.Register(token, "openai")
	w.WriteDoc(boottest.IntegrationRow(tenant, "openai"), []byte(`{"enabled":1}`))
	w.Must(http.StatusInternalServerError, token, "GET", "/data-integrations/openai", "")
	revoked := w.Operate(operator.Request{Action: operator.ListAPIKeys, Tenant: tenant}).APIKeys[0].ID
	w.Operate(operator.Request{Action: operator.RevokeAPIKey, Tenant: tenant, APIKey: revoked})
	w.Must(http.StatusUnauthorized, token, "GET", "/data-integrations/openai", "")

	other := w.Key(tenant, "read")
	key := w.Operate(operator.Request{Action: operator.ListAPIKeys, Tenant: tenant}).APIKeys
	for _, k := range key {
		w.WriteDoc(boottest.APIKeyRow(tenant, k.ID), []byte(`{"scopes":1}`))
	}
	w.Must(http.StatusUnauthorized, other, "GET", "/data-integrations", "")
}

// during has do done while a provider is asked for the first time about a key that
// is being saved.
func (a acme) during(do func()) {
	a.Must(200, a.token, "PATCH", "/keyvend/integrations/openai", `{"verify_on_save":"warn"}`)
	asked := false
	a.Providers.Answer(func(catalog.Ask) (health.Answer, error) {
		if !asked {
			asked = true
			do()
			a.Clock.Pass(2 * time.Second)
		}
		return boottest.Says(http.StatusOK, `{}`), nil
	})
}

func TestAKeyThatIsBeingSavedDoesNotOutliveItsUsersOffboarding(t *testing.T) {
	for path, organization := range map[string]string{"/keyvend/users/carl": "", "/keyvend/organizations/org_1": "org_1"} {
		for _, before := range []string{"", "asked " + boottest.Canary + "before-0123456789", "asked ", boottest.Canary + "before-0123456789"} {
			t.Run(path+" with "+before, func(t *testing.T) {
				before, asked := strings.CutPrefix(before, "asked ")
				a := newWidgeted(t, boottest.Config{})
				owner := `"user_id":"carl"`
				if organization != "" {
					owner += `,"organization_id":"` + organization + `"`
				}
				token := a.WidgetToken(a.token, "carl", organization)
				save := func(token string) boottest.Answer {
					return a.browse(token, "PUT", myKey, `{"secret":"`+boottest.Canary+`late-0123456789"}`)
				}
				if before != "" {
					a.Must(200, a.token, "PUT", "/data-integrations/openai/api-key", `{`+owner+`,"secret":"`+before+`"}`)
				}
				a.Clock.Pass(time.Second)
				leave := func() { a.Must(202, a.token, "DELETE", path, "") }
				if asked {
					a.during(leave)
				} else { // before anything of what is saved is made
					a.Table.After(tabletest.Next(tabletest.Get), func() { leave(); a.Clock.Pass(2 * time.Second) })
				}
				if got := save(token); before != "" && organization == "" && got.Code() != "invalid_widget_token" {
					t.Errorf("whoever loses his row decides anew, without a right to: %d %s", got.Status, got.Body)
				}
				if _, err := a.App.Sweep(t.Context(), nil); err != nil {
					t.Fatal(err)
				}
				if vends(a.World, a.token, "openai", owner) {
					t.Error("the key of whoever left is vended")
				}
				// What comes later stays.
				if got := save(a.WidgetToken(a.token, "carl", organization)); got.Status != 200 {
					t.Fatalf("%d %s", got.Status, got.Body)
				}
				for range 4 {
					a.Clock.Pass(time.Hour)
					if _, err := a.App.Sweep(t.Context(), nil); err != nil {
						t.Fatal(err)
					}
				}
				if !vends(a.World, a.token, "openai", owner) {
					t.Error("what the user brought afterwards is gone")
				}
				if jobs, err := a.Store.Removals(t.Context()); err != nil || len(jobs) != 0 {
					t.Errorf("%d jobs are left, %v", len(jobs), err)
				}
			})
		}
	}
}

func TestAKeyThatIsBeingReplacedDoesNotOutliveItsDisconnection(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	id := a.Upsert(a.token, "openai", "anna", boottest.Canary+"before-0123456789").Text("id")
	a.during(func() {
		if got := a.browse(a.anna, "DELETE", myAccounts+id, ""); got.Status >= 300 {
			t.Errorf("%d %s", got.Status, got.Body)
		}
	})
	if got := a.browse(a.anna, "PUT", myKey, `{"secret":"`+boottest.Canary+`late-0123456789"}`); got.Status != 404 || !strings.Contains(got.Text("message"), "Reload the page") {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if vends(a.World, a.token, "openai", `"user_id":"anna"`) {
		t.Error("the key came back")
	}
}

func TestWhoIsRevokedMeanwhileDecidesNothingAnew(t *testing.T) {
	a := newWidgeted(t, boottest.Config{})
	revoked := a.Key(a.tenant, "manage")
	a.during(func() {
		a.Upsert(a.token, "openai", "anna", boottest.Canary+"other-0123456789")
		a.Must(204, a.token, "DELETE", "/keyvend/api_keys/"+keyIDOf(revoked), "")
	})
	a.Must(401, revoked, "PUT", "/data-integrations/openai/api-key", `{"user_id":"anna","secret":"`+boottest.Canary+`late-0123456789"}`)
	if got := a.Vend(a.token, "openai", "anna").Text("credential.value"); got != boottest.Canary+"other-0123456789" {
		t.Errorf("vended %q", got)
	}
}

// storing chooses the write that stores a user's account.
func storing(user string) tabletest.When {
	return func(c tabletest.Call) bool {
		return c.Method == tabletest.Write && slices.ContainsFunc(c.Ops, func(op table.Op) bool {
			return op.Kind == table.KindPut && strings.HasPrefix(op.Item.PK, "U#") && strings.HasSuffix(op.Item.PK, "#"+user)
		})
	}
}

// deleting chooses the deletion of a user's account.
func deleting(user string) tabletest.When {
	return func(c tabletest.Call) bool {
		return c.Method == tabletest.Write && c.Ops[0].Kind == table.KindDelete &&
			strings.HasPrefix(c.Ops[0].Item.PK, "U#") && strings.HasSuffix(c.Ops[0].Item.PK, "#"+user)
	}
}

// An account is left that could not be deleted; then the user comes back.
func TestAKeyOfAUserWhoCameBackIsANewAccountAndStays(t *testing.T) {
	w, token := offboarded(t)
	old := w.Upsert(token, "openai", "carl", boottest.Canary+"0123456789").Text("id")
	w.Clock.Pass(time.Second)
	w.Table.Fail(deleting("carl"))
	w.Must(http.StatusServiceUnavailable, token, "DELETE", "/keyvend/users/carl", "")
	fresh := w.Upsert(token, "openai", "carl", boottest.Canary+"new-0123456789").Text("id") // in the same millisecond
	if fresh == old {
		t.Error("the old account goes on")
	}
	again := w.Upsert(token, "openai", "carl", boottest.Canary+"newer-0123456789").Text("id")
	if again != fresh {
		t.Error("the new account does not go on")
	}
	for range 20 {
		if _, err := w.App.Sweep(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		w.Clock.Pass(time.Minute)
	}
	if !vends(w, token, "openai", `"user_id":"carl"`) {
		t.Error("the key of the user who came back is gone")
	}
}

// What is being stored when its user or organization leaves is not stored, for good:
// nobody who asked before may be taken for one who came back.
func TestAKeyThatIsBeingStoredWhenItsOwnerLeavesIsRefused(t *testing.T) {
	first, second := `{"user_id":"carl","secret":"`+boottest.Canary+`0123456789"}`, `{"user_id":"carl","secret":"`+boottest.Canary+`second-0123456789"}`
	const key = "/data-integrations/openai/api-key"
	for name, c := range map[string]struct {
		before             bool // carl has an account already
		method, path, body string
	}{
		"first key":                      {false, "PUT", key, second},
		"first key, added":               {false, "POST", key, second},
		"another key":                    {true, "PUT", key, second},
		"first key, with an integration": {false, "PUT", "/data-integrations/openai", `{"api_key":` + second + `}`},
		"another, with an integration":   {true, "PUT", "/data-integrations/openai", `{"api_key":` + second + `}`},
		"first, with a new integration":  {false, "POST", "/data-integrations", `{"provider":"anthropic","enabled":true,"auth_methods":["api_key"],"api_key":` + second + `}`},
	} {
		t.Run(name, func(t *testing.T) {
			w, token := offboarded(t)
			if c.before {
				w.Must(http.StatusOK, token, "PUT", key, first)
			}
			w.Clock.Pass(time.Second)
			w.Table.Before(storing("carl"), func() {
				w.Must(http.StatusAccepted, token, "DELETE", "/keyvend/users/carl", "")
				w.Clock.Pass(time.Second)
			})
			if got := w.Must(http.StatusUnprocessableEntity, token, c.method, c.path, c.body); !strings.Contains(got.Text("message"), "offboarded") {
				t.Errorf("%s", got.Body)
			}
			if w.Do(token, "POST", "/data-integrations/openai/credentials", `{"user_id":"carl"}`).Text("active") == "true" {
				t.Error("the key is vended")
			}
			if got := w.Do(token, "POST", "/data-integrations/anthropic/credentials", `{"user_id":"carl"}`).Text("active"); got == "true" {
				t.Error("the key is vended")
			}
			w.Must(http.StatusOK, token, "PUT", key, second) // he comes back
			if !vends(w, token, "openai", `"user_id":"carl"`) {
				t.Error("what the user brought afterwards is not vended")
			}
		})
	}
}

func TestAKeyThatIsReplacedInAnOrganizationThatLeavesIsRefused(t *testing.T) {
	w, token := offboarded(t)
	w.Table.Before(storing("bob"), func() {
		w.Clock.Pass(time.Second)
		w.Must(http.StatusAccepted, token, "DELETE", "/keyvend/organizations/org_1", "")
		if _, err := w.App.Sweep(t.Context(), nil); err != nil {
			t.Error(err)
		}
	})
	const owner = `"user_id":"bob","organization_id":"org_1"`
	w.Must(http.StatusUnprocessableEntity, token, "PUT", "/data-integrations/openai/api-key", `{`+owner+`,"secret":"`+boottest.Canary+`late-0123456789"}`)
	if vends(w, token, "openai", owner) {
		t.Error("the key is vended")
	}
}

// It is stored after the user's accounts were listed and before they are deleted.
func TestAKeyThatIsReplacedWhileItsUsersAccountsAreDeletedGoesWithThem(t *testing.T) {
	w, token := offboarded(t)
	w.Upsert(token, "openai", "carl", boottest.Canary+"0123456789")
	w.Clock.Pass(time.Second)
	left, listed, stored := make(chan boottest.Answer, 1), make(chan struct{}), make(chan struct{})
	w.Table.Before(deleting("carl"), func() { close(listed); <-stored })
	w.Table.Before(storing("carl"), func() {
		go func() { left <- w.Do(token, "DELETE", "/keyvend/users/carl", "") }()
		<-listed
	})
	w.Table.After(storing("carl"), func() { close(stored) })
	w.Upsert(token, "openai", "carl", boottest.Canary+"second-0123456789")
	if got := <-left; got.Status != http.StatusAccepted {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	if vends(w, token, "openai", `"user_id":"carl"`) {
		t.Error("the key is vended")
	}
}

func TestToOffboardAgainMakesNoOtherJob(t *testing.T) {
	w, token := offboarded(t)
	for range 5 {
		w.Must(http.StatusAccepted, token, "DELETE", "/keyvend/users/anna", "")
		w.Must(http.StatusAccepted, token, "DELETE", "/keyvend/organizations/org_1", "")
		w.Must(http.StatusAccepted, token, "DELETE", "/keyvend/organizations/anna", "")
		w.Clock.Pass(time.Minute)
		if _, err := w.App.Sweep(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	jobs, err := w.Store.Removals(t.Context())
	if err != nil || len(jobs) != 3 {
		t.Fatalf("%d jobs, %v", len(jobs), err)
	}
	if last := w.Clock.Now().Add(-2 * time.Minute); jobs[0].RemovedAt.Before(last) {
		t.Errorf("a job covers until %v only", jobs[0].RemovedAt)
	}
}

func TestToOffboardAgainByASlowClockBringsNothingBack(t *testing.T) {
	w, token := offboarded(t)
	departed := func() (at []time.Time) {
		jobs, err := w.Store.Removals(t.Context())
		if err != nil || len(jobs) != 2 {
			t.Fatalf("%d jobs, %v", len(jobs), err)
		}
		return []time.Time{jobs[0].RemovedAt, jobs[1].RemovedAt}
	}
	offboard := func() {
		w.Must(http.StatusAccepted, token, "DELETE", "/keyvend/users/anna", "")
		w.Must(http.StatusAccepted, token, "DELETE", "/keyvend/organizations/org_1", "")
	}
	offboard()
	before := departed()
	w.Clock.Pass(-time.Second)
	offboard()
	if after := departed(); !slices.Equal(before, after) {
		t.Errorf("%v became %v", before, after)
	}
	if vends(w, token, "openai", `"user_id":"bob","organization_id":"org_1"`) {
		t.Error("a key of the organization is back")
	}
}
