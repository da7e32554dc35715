package dashboard_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestAccountsAreFoundByExactFiltersAndPageByPage(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := s.signedIn()
	s.at(p, "accounts")
	p.Says("No account is connected yet.")
	s.connect("openai")
	s.connect("linear")
	for i := range 30 {
		s.store("openai", fmt.Sprintf("user_%02d", i), "sk-canary-of-somebody")
	}
	s.store("linear", "auth0|anna@example.com", "lin_api_canary-of-anna", object{"organization_id": "org_1"})
	p.Click("link", "See the integrations")
	p.Click("link", "Accounts")
	p.Find("link", "user_29")
	p.Click("link", "Older")
	p.Find("link", "user_00")
	p.Gone("link", "user_29")
	p.Click("link", "Newer")
	p.Find("link", "user_29")

	p.Fill("textbox", "Organization id (optional)", "org_1")
	p.Click("button", "Filter")
	p.Find("link", "auth0|anna@example.com")
	p.Gone("link", "user_29")
	p.Click("checkbox", "In no organization")
	if held := p.Find("textbox", "Organization id (optional)").Value; held != "" {
		t.Errorf("accounts in no organization, and in %q", held)
	}
	p.Click("button", "Filter")
	p.Find("link", "user_29")
	p.Gone("link", "auth0|anna@example.com")
	if p.Find("checkbox", "In no organization").Is("checked") != "true" {
		t.Error("the filter is not shown")
	}
	p.Click("link", "Show all")
	p.Find("link", "auth0|anna@example.com")
	p.Fill("textbox", "User id (optional)", "user_07")
	p.Fill("textbox", "Provider's slug (optional)", "openai")
	choose(t, p, "State", "Connected")
	p.Click("button", "Filter")
	p.Gone("link", "user_08")
	p.Find("link", "user_07")
	p.Fill("textbox", "User id (optional)", "user_0")
	p.Click("button", "Filter")
	p.Says("No account is like that.")
	p.Fill("textbox", "User id (optional)", "no id")
	p.Click("button", "Filter")
	p.Says("This page cannot be shown")
}

func TestAnAccountTellsWhetherItsKeyWorksAndWhatToDoWhenNot(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.fake()
	key := "fake-valid-" + s.tenant // the fakes are the same for all tests
	id := s.store("fake-bearer", "user_1", key, object{"metadata": object{"plan": "pro"}})
	s.vend("fake-bearer", "user_1")
	p := s.signedIn()
	s.at(p, "accounts/"+id)
	p.Find("heading", "user_1 at fake-bearer")
	p.Says("Nobody has looked at this key yet.")
	if name, value := p.Find("textbox", "Name").Value, p.Find("textbox", "Value (optional)").Value; name != "plan" || value != "pro" {
		t.Errorf("the metadata is %q: %q", name, value)
	}
	p.Says("ends in •••• " + key[len(key)-4:])
	p.Click("button", "Check now")
	p.Says("Looked at a moment ago: The key works.")
	if focus := p.Focused().Name; focus != "Check now" {
		t.Errorf("the focus is on %q", focus)
	}
	p.Find("image", "The last 1 look, oldest first: works.")
	p.Says("somebody asked for it")

	s.fakes.Revoke(key)
	s.send("POST", "/keyvend/reports", object{"slug": "fake-bearer", "user_id": "user_1", "status": 401})
	p.Wait("the account needs a new key", func() bool { return s.send("GET", "/keyvend/accounts/"+id, nil)["state"] != "connected" })
	s.at(p, "accounts")
	p.Says("Needs a new key")
	p.Click("link", "user_1")
	p.Says("This account needs a new key, and nothing is vended for it until then. The provider refuses this key.")
	p.Says("a backend said that it was refused")
	p.Wait("the read shows", func() bool {
		s.at(p, "accounts")
		p.Find("heading", "Accounts")
		s.at(p, "accounts/"+id)
		p.Find("heading", "user_1 at fake-bearer")
		return strings.Contains(p.Text(), "1 time")
	})
	p.Says("backend api_key_")

	s.at(p, "integrations/fake-bearer")
	p.Find("image", "Health by the hour: 1 stopped working, 0 worked again, at most 1 in an hour.")
	p.Find("image", "Vends by the hour: 1 vended, 0 refused, at most 1 in an hour.")
	p.Says("Need a new key")

	s.at(p, "accounts/"+id)
	p.Click("button", "Disconnect")
	p.Says("At the provider nothing happens")
	p.Click("button", "Cancel")
	p.Click("button", "Disconnect")
	p.Press("Enter") // which leaves: Cancel has the focus
	p.Gone("dialog", "")
	p.Click("button", "Disconnect")
	p.Click("button", "Disconnect")
	p.Says("user_1 is disconnected from fake-bearer.")
	p.Says("No account of fake-bearer is connected.")
	if strings.Contains(p.Text(), key) {
		t.Error("the key is shown")
	}
}

func TestOrganizationsSwitches(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.connect("openai")
	s.connect("linear")
	s.send("PUT", "/data-integrations/linear", object{"enabled": false})
	p := s.signedIn()
	s.at(p, "organizations")
	p.Fill("textbox", "Organization id", "acme|1")
	p.Press("Enter")
	p.Find("heading", "Organization acme|1")
	p.Says("Off for everyone")
	p.Click("switch", "OpenAI for acme|1")
	p.Says("OpenAI is not allowed any more for acme|1.")
	for _, row := range s.send("GET", "/organizations/acme%7C1/data_integration_configurations", nil)["data"].([]any) {
		if row.(object)["enabled"] != false {
			t.Errorf("allowed: %v", row)
		}
	}
	p.Click("switch", "OpenAI for acme|1")
	p.Says("OpenAI is allowed for acme|1.")
	p.Click("button", "Freeze organization acme|1")
	p.Fill("textbox", "Reason", "they asked for it")
	p.Click("button", "Freeze")
	p.Says("they asked for it")
	p.Click("button", "Unfreeze organization acme|1")
	p.Says("Vending goes on.")
	s.at(p, "organizations")
	p.Fill("textbox", "Organization id", "org/../x <b>")
	p.Press("Enter")
	p.Says("This is no organization's id. One has 1 to 128 printable ASCII characters")
	p.Find("heading", "Organizations")
	s.at(p, "organizations/a%2Fb")
	p.Says("This is no organization's id.")
	p.Click("link", "Choose another")
	p.Find("heading", "Organizations")
}

func TestEventsAppearByThemselves(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.connect("openai")
	p := s.signedIn()
	s.at(p, "events")
	p.Says("Nothing has happened within the last 30 days.")
	s.store("openai", "user_1", "sk-canary-of-user-1", object{"organization_id": "org_1"})
	s.store("openai", "user_2", "sk-canary-of-user-2")
	p.Find("link", "user_2")
	p.Says("new event")
	s.at(p, "events?organization_id=org_1&events=pipes.connected_account.connected")
	p.Find("link", "user_1")
	p.Gone("link", "user_2")
	if p.Find("textbox", "Organization id (optional)").Value != "org_1" || p.Find("checkbox", "Connected").Is("checked") != "true" {
		t.Error("the filter is not shown")
	}
	p.Click("checkbox", "Connected")
	p.Click("checkbox", "Key replaced")
	p.Click("button", "Filter")
	p.Says("No event of the last 30 days is like that.")
	s.store("openai", "user_1", "sk-canary-of-user-3", object{"organization_id": "org_1"})
	p.Find("link", "user_1")
}

func TestEventsTellWhoDidItByName(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.fake()
	own := s.backend
	s.backend = s.issue("the sign-up page", "manage")
	id := s.store("fake-bearer", "user_1", "sk-canary-fake-valid-0001")
	s.backend = own
	p := s.signedIn()
	s.at(p, "events")
	p.Says("the sign-up page")
	s.at(p, "accounts/"+id)
	p.Click("button", "Ask for a new key")
	p.Click("button", "Ask for a new key")
	p.Says("The user is asked for a new key.")
	s.send("DELETE", "/user_management/users/user_1/connected_accounts/fake-bearer", nil)
	s.at(p, "events")
	p.Says("desk , in the dashboard")
	p.Says("keyvend itself")
}

func TestWhatStandsBesideAKeyIsChangedAndWhatItIsUsedWithIsNot(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.send("POST", "/data-integrations", object{"provider": "acme", "auth_methods": []string{"api_key"}, "enabled": true, "custom_provider": object{"name": "Acme"}})
	field := func(name, label string) object {
		return object{"field": name, "label": label, "description": label + ".", "required": false, "options": []object{{"value": "eu", "label": "Europe"}, {"value": "us", "label": "America"}}}
	}
	s.send("PATCH", "/keyvend/integrations/acme", object{
		"config_fields": []object{field("region", "Region"), field("team", "Team")},
		"check":         object{"placement": object{"in": "header", "name": "X-Key", "template": "{key}"}, "method": "GET", "url": "https://{region}.acme.example/me", "valid": []int{200}, "invalid": []int{401}},
	})
	id := s.store("acme", "user_1", "sk-canary-of-user-1", object{"config": object{"region": "eu"}, "metadata": object{"plan": "pro"}})
	p := s.signedIn()
	s.at(p, "accounts/"+id)
	p.Find("heading", "user_1 at acme")
	p.Says("Settings of the key The key is used with them, so they change together with it: in the widget, or with PUT …/api-key. Region eu Team none")
	if fields := p.All("textbox", ""); len(fields) != 2 { // the name and the value of what stands beside it
		t.Errorf("what a key is used with can be changed: %v", fields)
	}
	p.Click("button", "Add entry")
	p.Type("owner")
	p.Press("Tab")
	p.Type("anna")
	p.Click("button", "Save metadata")
	p.Says("The metadata is saved.")
	got := s.send("GET", "/keyvend/accounts/"+id, nil)
	if said := fmt.Sprint(got["config"], got["metadata"]); said != "map[region:eu] map[owner:anna plan:pro]" {
		t.Errorf("saved: %s", said)
	}
}

func TestAnAccountsStateIsSetByHand(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.connect("openai")
	id := s.store("openai", "user_1", "sk-canary-of-user-1", object{"organization_id": "org_1"})
	p := s.signedIn()
	s.at(p, "accounts/"+id)
	for _, turn := range []struct{ button, says, state string }{
		{"Ask for a new key", "The user is asked for a new key.", "needs_reauthorization"},
		{"Vend this key again", "The stored key is vended again.", "connected"},
	} {
		p.Click("button", turn.button)
		p.Find("dialog", turn.button+"?")
		p.Press("Tab", "Tab") // to Cancel, and round to what it asks
		p.Press("Escape")
		p.Gone("dialog", "")
		p.Press("Enter") // the focus is back on the button
		p.Find("dialog", turn.button+"?")
		p.Click("button", turn.button)
		p.Says(turn.says)
		if state := s.send("GET", "/keyvend/accounts/"+id, nil)["state"]; state != turn.state {
			t.Errorf("%s: the state is %v", turn.button, state)
		}
	}
}

func TestOffboardingTakesAllOfAUserOrAnOrganizationAndWantsItsID(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.connect("openai")
	s.connect("linear")
	s.store("openai", "user_1", "sk-canary-of-user-1")
	s.store("linear", "user_1", "lin_api_canary-of-user-1", object{"organization_id": "org_1"})
	s.store("openai", "user_2", "sk-canary-of-user-2", object{"organization_id": "org_1"})
	s.store("openai", "user_3", "sk-canary-of-user-3")
	p := s.signedIn()
	vends := func(slug, user, organization any) any {
		return s.send("POST", "/data-integrations/"+slug.(string)+"/credentials", object{"user_id": user, "organization_id": organization})["active"]
	}
	for _, leaver := range []struct{ place, who, id, vends string }{
		{"accounts?user_id=user_1", "user", "user_1", "false false true true"},
		{"organizations/org_1", "organization", "org_1", "false false false true"},
	} {
		s.at(p, leaver.place)
		p.Click("button", "Offboard "+leaver.who+" "+leaver.id)
		field := "Write the " + leaver.who + "'s id, " + leaver.id + ", to take all away"
		p.Fill("textbox", field, "user")
		p.Click("button", "Offboard")
		p.Says("This is not the id. Write " + leaver.id + ".")
		p.Fill("textbox", field, leaver.id)
		p.Press("Enter")
		p.Says("All of " + leaver.who + " " + leaver.id + " is taken away.")
		got := fmt.Sprint(vends("openai", "user_1", nil), " ", vends("linear", "user_1", "org_1"), " ", vends("openai", "user_2", "org_1"), " ", vends("openai", "user_3", nil))
		if got != leaver.vends {
			t.Errorf("without %s keys are vended so: %s", leaver.id, got)
		}
	}
}

func TestWhoReadAKeyIsToldByTheNamesOfTheAPIKeys(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.connect("openai")
	id := s.store("openai", "user_1", "sk-canary-of-user-1")
	own := s.backend
	s.backend = s.issue("the nightly job", "vend")
	s.vend("openai", "user_1")
	s.backend = own
	for i := range 101 { // more than one page of keys that are newer
		s.issue(fmt.Sprintf("other %d", i), "read")
	}
	p := s.signedIn()
	p.Wait("the read", func() bool { return len(s.send("GET", "/keyvend/accounts/"+id+"/reads", nil)["data"].([]any)) > 0 })
	s.at(p, "accounts/"+id)
	p.Says("the nightly job api_key_")
	p.Says("1 time")
}
