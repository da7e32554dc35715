package event_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/event"
	"keyvend/pkg/integration"
)

var update = flag.Bool("update", false, "write the golden files anew")

// at is a moment of the tests, seconds after the first.
func at(seconds int) time.Time {
	return time.Date(2026, 3, 1, 12, 0, seconds, 123e6, time.UTC)
}

// canaries are what no event may hold.
var canaries = []string{"sk-canary-event", "ary1", "canary-mac", "canary-print", "canary-meta", "canary-config"}

// stored is a connected account with a key, at its first revision.
func stored() *account.Account {
	return &account.Account{
		ID: "data_installation_01KJMBRG2V0000000000000001", Tenant: "tenant_01KJMBRG2V0000000000000002",
		IntegrationID: "data_integration_01KJMBRG2V0000000000000003", Slug: "openai",
		Owner: account.User("auth0|7", ""), AuthMethod: integration.APIKey, State: account.Connected,
		Secrets: map[account.Slot]account.Secret{account.Current: {
			ID: "01KJMBRG2V0000000000000004", Sealed: []byte("sk-canary-event"), MAC: []byte("canary-mac"),
			Last4: "ary1", Fingerprint: []byte("canary-print"), CreatedAt: at(0),
		}},
		Metadata: map[string]string{"note": "canary-meta"}, Config: map[string]string{"region": "canary-config"},
		CreatedAt: at(0), UpdatedAt: at(0), ChangedBy: "api_key_01KJMBRG2V0000000000000005", Revision: 1772366400123456,
	}
}

// changed is a after one more change.
func changed(a *account.Account, seconds int, do func(*account.Account)) *account.Account {
	next := *a
	next.Secrets = map[account.Slot]account.Secret{account.Current: a.Secrets[account.Current]}
	next.Revision++
	next.UpdatedAt = at(seconds)
	do(&next)
	return &next
}

func rotated(a *account.Account) {
	s := a.Secrets[account.Current]
	s.ID = "01KJMBRG2V0000000000000006"
	a.Secrets[account.Current] = s
}

func inState(s account.State) func(*account.Account) {
	return func(a *account.Account) { a.State = s }
}

// renewed is the account that took the place of a dead one.
func renewed(dead *account.Account) *account.Account {
	return changed(dead, 9, func(a *account.Account) {
		a.ID, a.IntegrationID, a.CreatedAt = "data_installation_01KJMBRG2V0000000000000007", "data_integration_01KJMBRG2V0000000000000008", at(9)
		rotated(a)
	})
}

func names(events []event.Event) []event.Name {
	var all []event.Name
	for _, e := range events {
		all = append(all, e.Name)
	}
	return all
}

func TestEveryChangeOfAnAccountTellsWhatHappenedAndNothingElse(t *testing.T) {
	first := stored()
	needing := changed(first, 1, inState(account.NeedsReauthorization))
	for what, c := range map[string]struct {
		before, after *account.Account
		want          []event.Name
	}{
		"the first key": {nil, first, []event.Name{event.Connected}},
		"another key":   {first, changed(first, 1, rotated), []event.Name{event.Rotated}},
		"another key where the old one no longer worked": {needing, changed(needing, 2, func(a *account.Account) {
			rotated(a)
			a.State = account.Connected
		}), []event.Name{event.Rotated}},
		"the key stopped working": {first, needing, []event.Name{event.ReauthorizationNeeded}},
		"the key works again":     {needing, changed(needing, 2, inState(account.Connected)), []event.Name{event.Recovered}},
		"metadata":                {first, changed(first, 1, func(a *account.Account) { a.Metadata = nil }), nil},
		"nothing":                 {first, first, nil},
		"the account was deleted": {first, nil, []event.Name{event.Disconnected}},
		"deleted after it failed": {needing, nil, []event.Name{event.Disconnected}},
		"a new registration's account over a dead row": {first, renewed(first), []event.Name{event.Disconnected, event.Connected}},
		"no row before and after":                      {nil, nil, nil},
	} {
		if got := names(event.Of(c.before, c.after, at(5))); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", what, got, c.want)
		}
	}
}

func TestADeadRowsSuccessorIsToldBehindTheDeadAccountAndUnderAnotherID(t *testing.T) {
	dead := stored()
	next := renewed(dead)
	events := event.Of(dead, next, at(20))
	if len(events) != 2 || events[0].Data.Account.ID != dead.ID || events[1].Data.Account.ID != next.ID ||
		events[0].Data.Account.DataIntegrationID != dead.IntegrationID || events[0].ID >= events[1].ID {
		t.Errorf("%+v", events)
	}
}

func TestTheSameChangeGivesTheSameEventsAndAnotherChangeOthers(t *testing.T) {
	first := stored()
	seen := map[string]string{}
	for what, c := range map[string][2]*account.Account{
		"connected":    {nil, first},
		"rotated":      {first, changed(first, 1, rotated)},
		"needing":      {first, changed(first, 1, inState(account.NeedsReauthorization))},
		"later":        {first, changed(changed(first, 1, rotated), 2, inState(account.NeedsReauthorization))},
		"disconnected": {first, nil},
		"another's":    {nil, changed(first, 0, func(a *account.Account) { a.ID = "data_installation_01KJMBRG2V0000000000000009" })},
	} {
		one, two := event.Of(c[0], c[1], at(5)), event.Of(c[0], c[1], at(5))
		a, _ := json.Marshal(one)
		b, _ := json.Marshal(two)
		if !bytes.Equal(a, b) {
			t.Errorf("%s: %s and %s", what, a, b)
		}
		if other, twice := seen[one[0].ID]; twice {
			t.Errorf("%s has the id of %s", what, other)
		}
		seen[one[0].ID] = what
	}
}

func TestAnAccountsEventsAreInOrderHoweverCoarseTheFeedsClock(t *testing.T) {
	first := stored()
	second := changed(first, 40, rotated)
	minute := at(40).Truncate(time.Minute)
	ids := []string{event.Of(nil, first, minute)[0].ID, event.Of(first, second, minute)[0].ID, event.Of(second, nil, minute)[0].ID}
	if !slices.IsSorted(ids) {
		t.Errorf("%v", ids)
	}
	if late := event.Of(second, nil, at(55))[0]; late.CreatedAt != "2026-03-01T12:00:55.123Z" {
		t.Errorf("the feed's own time is not taken: %s", late.CreatedAt)
	}
	gone := event.Of(second, nil, at(55))[0]
	if gone.Data.Account.Revision <= second.Revision {
		t.Errorf("a consumer drops %+v", gone.Data.Account)
	}
}

func TestAnEventsIDTellsItsTimeAndFloorsBoundIt(t *testing.T) {
	e := event.Of(nil, stored(), at(0))[0]
	when, ok := event.Time(e.ID)
	if !ok || !when.Equal(at(0)) {
		t.Errorf("%v %v", when, ok)
	}
	if e.ID <= event.Floor(at(0)) || e.ID >= event.Floor(at(0).Add(time.Millisecond)) {
		t.Errorf("%s is not behind %s", e.ID, event.Floor(at(0)))
	}
	for _, wrong := range []string{"", "event_", "01KJMBRG2V0000000000000001", "req_01KJMBRG2V0000000000000001"} {
		if _, ok := event.Time(wrong); ok {
			t.Errorf("%q is an event", wrong)
		}
	}
}

func TestAnEventNamesWhoDidItAsTheContractHasIt(t *testing.T) {
	for want, c := range map[string]struct {
		by string
		in account.Place
	}{
		`{"id":"api_key_1","source":"api","name":null}`:       {"api_key_1", account.InAPI},
		`{"id":"api_key_1","source":"dashboard","name":null}`: {"api_key_1", account.InDashboard},
		`{"id":"anna","source":"api","name":null}`:            {"anna", account.InWidget},
		`{"id":"keyvend","source":"system","name":null}`:      {"", account.InAPI},
	} {
		told := event.Of(nil, changed(stored(), 0, func(a *account.Account) { a.ChangedBy, a.ChangedIn = c.by, c.in }), at(5))
		if got, err := json.Marshal(told[0].Context.Actor); err != nil || string(got) != want {
			t.Errorf("%+v: %s %v, want %s", c, got, err, want)
		}
	}
}

// examples is one event of each name.
func examples() map[event.Name]event.Event {
	first := stored()
	inOrg := changed(first, 1, func(a *account.Account) { a.Owner = account.User("auth0|7", "org_1") })
	needing := changed(first, 1, inState(account.NeedsReauthorization))
	reason, org := "The provider refused this key.", "org_1"
	one := func(before, after *account.Account) event.Event { return event.Of(before, after, at(30))[0] }
	return map[event.Name]event.Event{
		event.Connected:             one(nil, first),
		event.Rotated:               one(inOrg, changed(inOrg, 2, rotated)),
		event.ReauthorizationNeeded: one(first, changed(needing, 1, func(a *account.Account) { a.ChangedBy, a.StateReason = "", account.Refused })),
		event.Recovered:             one(needing, changed(needing, 2, func(a *account.Account) { a.ChangedBy, a.State = "", account.Connected })),
		event.Disconnected:          one(first, nil),
		event.Expiring:              event.Note(event.Expiring, first, at(30), event.System(), ""),
		event.ConnectionFailed: event.Fail(event.Failure{
			DataIntegrationID: first.IntegrationID, ProviderSlug: "openai", UserID: "auth0|7", OrganizationID: &org,
			ErrorCode: "key_refused", ErrorReason: &reason,
		}, at(30), event.By("api_key_01KJMBRG2V0000000000000005", account.InAPI)),
	}
}

func TestEveryEventIsItsGoldenFile(t *testing.T) {
	all := examples()
	if len(all) != len(event.Names()) {
		t.Errorf("%d examples of %d names", len(all), len(event.Names()))
	}
	for _, name := range event.Names() {
		e, ok := all[name]
		if !ok || e.Name != name {
			t.Errorf("no example of %s: %v", name, e.Name)
			continue
		}
		got, err := json.MarshalIndent(e, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", string(name)+".json")
		if *update {
			if err := os.WriteFile(file, append(got, '\n'), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file) // #nosec G304 -- a file of this test
		if err != nil || !bytes.Equal(append(got, '\n'), want) {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
}

func TestF45_NoEventHoldsASecretItsLastFourOrWhatIsKeptBesideIt(t *testing.T) {
	for name, e := range examples() {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		for _, canary := range canaries {
			if strings.Contains(string(text), canary) {
				t.Errorf("%s holds %s: %s", name, canary, text)
			}
		}
	}
}

func TestAnEventThatIsReadAgainIsTheSame(t *testing.T) {
	for name, e := range examples() {
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		var back event.Event
		if err := json.Unmarshal(text, &back); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again, _ := json.Marshal(back)
		if !bytes.Equal(text, again) || back.Data.User() != e.Data.User() {
			t.Errorf("%s\n%s\n%s", name, text, again)
		}
	}
	for _, wrong := range []string{`{"data":{}}`, `{"data":{"object":"other"}}`, `{"data":[]}`, `{"data":{"object":1}}`} {
		var e event.Event
		if err := json.Unmarshal([]byte(wrong), &e); err == nil {
			t.Errorf("%s is an event: %+v", wrong, e)
		}
	}
}
