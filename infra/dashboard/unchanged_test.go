package dashboard_test

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"keyvend/infra/browsertest"
)

// awkward are texts that a control shows otherwise than they are, or that may be
// taken for several.
func awkward() map[string]string {
	return map[string]string{
		"equal signs":    "=a=b = c =",
		"one equal sign": "a=1",
		"line breaks":    "one\ntwo\n\nfour",
		"returns":        "one\r\ntwo\rthree\n",
		"blanks around":  "  a  b\t ",
		"a line break":   "\n",
		"commas":         "a, b,,c;",
		"nothing":        "",
		"no Latin":       "\ufeffключ 鍵 مفتاح 🔑\u2028\u202e",
		"markup":         `<b>"a"</b> & 'b' \n`,
		"500 characters": strings.Repeat("0123456789", 50),
		"a name of JS":   "__proto__",
		"a path":         "a_b.c-d[].e",
		"equals, commas": strings.Repeat("=,", 30),
	}
}

// members are the texts of a custom provider's definition: each puts one in.
func members() map[string]func(definition object, text string) {
	field := func(d object, i int) object { return d["config_fields"].([]object)[i] }
	check := func(d object) object { return d["check"].(object) }
	condition := func(d object, i int) object { return check(d)["when"].([]object)[0]["all"].([]object)[i] }
	all := map[string]func(object, string){
		"key_hint":       func(d object, text string) { d["key_hint"] = text },
		"help_url":       func(d object, text string) { d["help_url"] = "https://acme.example/keys?of=" + text },
		"option's value": func(d object, text string) { field(d, 0)["options"].([]object)[0]["value"] = text },
		"option's label": func(d object, text string) { field(d, 0)["options"].([]object)[1]["label"] = text },
		"shape's characters": func(d object, text string) {
			field(d, 1)["shapes"].([]object)[0]["parts"].([]object)[0]["extra"] = text
		},
		"shape's name":  func(d object, text string) { field(d, 2)["shapes"].([]object)[0]["name"] = text },
		"shape's text":  func(d object, text string) { field(d, 2)["shapes"].([]object)[0]["parts"].([]object)[0]["text"] = text },
		"example":       func(d object, text string) { field(d, 1)["example"] = text },
		"default":       func(d object, text string) { field(d, 1)["default"] = text },
		"name":          func(d object, text string) { d["name"] = text },
		"url":           func(d object, text string) { check(d)["url"] = "https://api.acme.example/me?of=" + text },
		"header":        func(d object, text string) { check(d)["headers"].(object)["X-Of"] = text },
		"header's name": func(d object, text string) { check(d)["headers"].(object)[text] = "1" },
		"body":          func(d object, text string) { check(d)["body"] = text },
		"equals":        func(d object, text string) { condition(d, 0)["equals"] = text },
		"one_of":        func(d object, text string) { condition(d, 1)["one_of"] = []string{text, "x"} },
		"one_of, last":  func(d object, text string) { condition(d, 1)["one_of"] = []string{"x", text} },
		"starts_with":   func(d object, text string) { condition(d, 2)["starts_with"] = text },
		"path":          func(d object, text string) { condition(d, 3)["path"] = text },
	}
	for i := range 3 {
		all[fmt.Sprintf("label %d", i)] = func(d object, text string) { field(d, i)["label"] = text }
		all[fmt.Sprintf("description %d", i)] = func(d object, text string) { field(d, i)["description"] = text }
	}
	return all
}

// definition is what a custom provider may say, without a text that is awkward.
func definition() object {
	one := func(name string, more object) object {
		f := object{"field": name, "label": "L", "description": "D.", "required": false}
		maps.Copy(f, more)
		return f
	}
	return object{
		"config_fields": []object{
			one("tier", object{"options": []object{{"value": "eu", "label": "EU"}, {"value": "us", "label": "US"}}}),
			one("shop", object{"example": "ab", "shapes": []object{{"parts": []object{{"alphabet": "visible"}}}}}),
			one("odd", object{"example": "ab-1", "shapes": []object{{"parts": []object{{"text": "ab-", "optional": true}, {"alphabet": "digits"}}}, {"parts": []object{{"alphabet": "visible", "length": 4}}}, {"parts": []object{{"alphabet": "digits", "groups": []int{2, 2}}}}}}),
			one("long", object{"example": "ab", "shapes": []object{{"parts": []object{{"alphabet": "letters", "extra": "=,", "max_length": 255}}}}}),
			one("named", object{"example": "12", "shapes": []object{{"name": "two digits", "parts": []object{{"alphabet": "digits", "length": 2}}}}}),
		},
		"check": object{
			"placement": object{"in": "basic", "template": " {key} : "}, "method": "POST", "url": "https://api.acme.example/me",
			"headers": object{"X-Of": "1", "5": "five"}, "body": " ", "valid": []int{203, 200}, "limited": []int{403}, "invalid": []int{401},
			"when": []object{
				{"status": 400, "verdict": "invalid", "all": []object{
					{"path": "a", "equals": "a"}, {"path": "b", "one_of": []string{"b"}}, {"path": "c", "starts_with": "c"}, {"path": "d", "exists": true}, {"path": "e", "equals": -1.5},
				}},
				{"status": 400, "verdict": "limited", "all": []object{{"path": "f[].g", "equals": false}, {"path": "h", "equals": 9007199254740991}, {"path": "i", "equals": 1e-300}}},
			},
		},
	}
}

func TestAFormThatIsSavedUnchangedChangesNothing(t *testing.T) {
	t.Parallel()
	s := open(t)
	p := s.signedIn()
	held := map[string]bool{} // members that took an awkward text
	saved := map[string]bool{}
	for i, name := range slices.Sorted(maps.Keys(awkward())) {
		slug := fmt.Sprintf("acme-%d", i)
		account := s.furnishWith(slug, awkward()[name], held)
		s.unchanged(t, p, name, "integrations/"+slug, saved, "/keyvend/integrations/"+slug, "/data-integrations/"+slug)
		s.unchanged(t, p, name, "accounts/"+account, saved, "/keyvend/accounts/"+account)
	}
	s.send("PUT", "/keyvend/settings", object{"allowed_origins": []string{"https://b.example.com", "https://a.example.com:8443", "http://localhost:3000"}})
	s.unchanged(t, p, "origins", "settings", saved, "/keyvend/settings")
	for member := range members() {
		if !held[member] {
			t.Errorf("no awkward text was ever in %s", member)
		}
	}
	if got := slices.Sorted(maps.Keys(saved)); !slices.Equal(got, []string{"Save checks", "Save description", "Save metadata", "Save origins", "Save provider"}) {
		t.Errorf("saved: %q", got)
	}
}

// furnishWith makes a provider and an account that have a text wherever the API takes
// it, notes where it did, and returns the account's id.
func (s *shop) furnishWith(slug, text string, held map[string]bool) string {
	s.t.Helper()
	s.send("POST", "/data-integrations", object{"provider": slug, "auth_methods": []string{"api_key"}, "custom_provider": object{"name": "Acme"}, "enabled": true})
	s.try("PUT", "/data-integrations/"+slug, object{"description": text})
	path := "/keyvend/integrations/" + slug
	s.send("PATCH", path, definition())
	taken := []string{}
	for _, member := range slices.Sorted(maps.Keys(members())) {
		d := definition()
		for _, name := range append(slices.Clone(taken), member) {
			members()[name](d, text)
		}
		if _, status, _ := s.try("PATCH", path, d); status == 200 {
			taken = append(taken, member)
			held[member] = held[member] || text != ""
		}
	}
	s.send("PATCH", path, object{"verify_on_save": "warn", "on_invalid": "advise", "check_interval": "90m"})
	account := s.store(slug, "user_1", "sk-canary-of-user-1", object{"metadata": object{"plain": strings.ReplaceAll(text, "\r", ""), " spaced ": "x", " ": " ", "a=b": "", "5": "5", "a\nb": "c\nd"}})
	metadata := object{text: text, text + " ": "1", " " + text: "2"}
	s.try("PATCH", "/keyvend/accounts/"+account, object{"metadata": metadata})
	for _, field := range []string{"tier", "shop", "odd", "long"} {
		config := object{"long": "a=,", field: text}
		s.try("PATCH", "/keyvend/accounts/"+account, object{"config": config})
	}
	fields := s.send("GET", path, nil)["config_fields"].([]any)
	s.send("PATCH", path, object{"config_fields": slices.DeleteFunc(fields, func(f any) bool { return f.(object)["field"] == "long" })})
	return account
}

// unchanged saves every form of a page as it is, and compares what the API says
// before and after.
func (s *shop) unchanged(t *testing.T, p *browsertest.Page, what, place string, saved map[string]bool, paths ...string) {
	t.Helper()
	stored := func() []object {
		all := []object{}
		for _, path := range paths {
			said := s.send("GET", path, nil)
			delete(said, "updated_at")
			all = append(all, said)
		}
		return all
	}
	before := stored()
	s.at(p, place)
	const buttons = `[...document.querySelectorAll("#main form button[type=submit]")].map((b) => b.textContent).filter((text) => text.startsWith("Save"))`
	p.Wait("a form", func() bool { return len(browsertest.Eval[[]string](p, buttons)) > 0 })
	for _, button := range browsertest.Eval[[]string](p, buttons) {
		p.Do(`for (const d of document.querySelectorAll("details")) d.open = true`)
		says := map[string]string{
			"Save description": "The description is saved.", "Save checks": "Saved: how keys are checked.", "Save provider": "The provider is saved.",
			"Save metadata": "The metadata is saved.", "Save origins": "The origins are saved.",
		}[button]
		p.Click("button", button)
		p.Wait(what+": "+button, func() bool { return strings.Contains(p.Text(), says) })
		saved[button] = true
	}
	for i, after := range stored() {
		for member, was := range before[i] {
			if is := after[member]; !reflect.DeepEqual(is, was) {
				t.Errorf("%s: %s of %s was\n%q\nand is\n%q", what, member, paths[i], was, is)
			}
		}
	}
}

func TestWhatStandsBesideAChangeIsKeptAsItIs(t *testing.T) {
	t.Parallel()
	s := open(t)
	s.send("POST", "/data-integrations", object{"provider": "acme", "auth_methods": []string{"api_key"}, "custom_provider": object{"name": "Acme"}})
	d := definition()
	d["key_hint"] = "one\ntwo"
	d["config_fields"] = d["config_fields"].([]object)[4:]
	d["config_fields"] = append(d["config_fields"].([]object), object{"field": "tier", "label": "Tier", "description": "D.", "required": false, "options": []object{{"value": "t=1", "label": "= 1"}, {"value": "=", "label": "a = b"}}})
	condition := d["check"].(object)["when"].([]object)[0]["all"].([]object)[1]
	condition["one_of"] = []string{"", "a\nb"}
	before := s.send("PATCH", "/keyvend/integrations/acme", d)
	p := s.signedIn()
	s.at(p, "integrations/acme")
	p.Says("Change the definition")
	p.Do(`for (const d of document.querySelectorAll("details")) d.open = true`)
	p.Do(`{
		const labelled = (text, i = 0) => document.getElementById([...document.querySelectorAll("label")].filter((l) => l.textContent === text)[i].htmlFor);
		const type = (field, text) => { field.value += text; field.dispatchEvent(new Event("input", { bubbles: true })); };
		type(labelled("Label"), "!");
		type(labelled("The list (optional)", 1), "\nnew=3 = New\n=1=");
		type(labelled("Where in the body", 1), "b");
	}`)
	p.Click("button", "Save provider")
	p.Says("The provider is saved.")
	after := s.send("GET", "/keyvend/integrations/acme", nil)
	fields := before["config_fields"].([]any)
	fields[0].(object)["label"] = "L!"
	fields[1].(object)["options"] = append(fields[1].(object)["options"].([]any), object{"value": "new=3", "label": "New"}, object{"value": "=1=", "label": "=1="})
	before["check"].(object)["when"].([]any)[0].(object)["all"].([]any)[1].(object)["path"] = "bb"
	for _, member := range []string{"key_hint", "config_fields", "check"} {
		if !reflect.DeepEqual(before[member], after[member]) {
			t.Errorf("%s was to be\n%q\nand is\n%q", member, before[member], after[member])
		}
	}
}
