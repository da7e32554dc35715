package catalog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fixture is an answer of the shape that a provider is known to give, with what
// it means. testdata/answers has a list of them for each provider.
type fixture struct {
	Status      int             `json:"status"`
	ContentType string          `json:"content_type"`
	Body        json.RawMessage `json:"body"`    // a text stands for itself, other JSON for its encoding
	Verdict     Verdict         `json:"verdict"` // "": nothing
	Note        string          `json:"note"`
}

func (f fixture) body() []byte {
	var text string
	if json.Unmarshal(f.Body, &text) == nil {
		return []byte(text)
	}
	return f.Body
}

const answers = "testdata/answers"

func readFixtures(t *testing.T, slug string) []fixture {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(answers, slug+".json"))
	if err != nil {
		t.Fatalf("%v: a provider with a check needs answers to it", err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var fixtures []fixture
	if err := d.Decode(&fixtures); err != nil {
		t.Fatalf("%s: %v", slug, err)
	}
	return fixtures
}

// checked are the providers with a check.
func checked(t *testing.T) []Provider {
	t.Helper()
	all := slices.DeleteFunc(All(), func(p Provider) bool { return p.Check == nil })
	if len(all) < 90 {
		t.Fatalf("%d providers have a check", len(all))
	}
	return all
}

func TestF33_EveryProvidersAnswersMeanWhatTheirFixturesSay(t *testing.T) {
	for _, p := range checked(t) {
		for i, f := range readFixtures(t, p.Slug) {
			got, ok := p.Check.Judge(f.Status, f.ContentType, f.body())
			if got != f.Verdict || ok != (f.Verdict != "") {
				t.Errorf("%s[%d], %s: %d %s is %q, want %q", p.Slug, i, f.Note, f.Status, f.Body, got, f.Verdict)
			}
		}
	}
}

func TestEveryRuleHasAnswersThatMeetAndMissIt(t *testing.T) {
	for _, p := range checked(t) {
		for _, gap := range gaps(*p.Check, readFixtures(t, p.Slug)) {
			t.Errorf("%s/%s.json: %s", answers, p.Slug, gap)
		}
	}
}

func TestAnswersBelongToProvidersWithACheck(t *testing.T) {
	files, err := os.ReadDir(answers)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		slug, _ := strings.CutSuffix(file.Name(), ".json")
		if p, ok := Lookup(slug); !ok || p.Check == nil {
			t.Errorf("%s: there is no such check", file.Name())
		}
	}
}

// gaps says which parts of a check no fixture shows at work, and which fixtures
// show nothing.
func gaps(c Check, fixtures []fixture) []string {
	var all []string
	unless := func(ok bool, format string, args ...any) {
		if !ok {
			all = append(all, fmt.Sprintf(format, args...))
		}
	}
	shown := map[string]bool{}
	for _, f := range fixtures {
		shown[decider(c, f)] = true
	}
	for verdict, statuses := range map[Verdict][]int{Valid: c.Valid, Limited: c.Limited, Invalid: c.Invalid} {
		for _, status := range statuses {
			unless(shown[fmt.Sprint(verdict, " ", status)], "no answer is %s by its status %d", verdict, status)
		}
	}
	for i, rule := range c.When {
		unless(shown[fmt.Sprint("when ", i)], "no answer meets when[%d]", i)
		for k, condition := range rule.All {
			misses := func(f fixture) bool { return f.misses(rule, k) }
			unless(slices.ContainsFunc(fixtures, misses), "no answer fails by when[%d].all[%d] alone", i, k)
			for _, text := range condition.OneOf {
				only := Condition{Path: condition.Path, Equals: text}
				meets := func(f fixture) bool { return decider(c, f) == fmt.Sprint("when ", i) && f.meets(only) }
				unless(slices.ContainsFunc(fixtures, meets), "no answer meets when[%d].all[%d] by %q", i, k, text)
			}
		}
	}
	seen := map[string]bool{}
	for i, f := range fixtures {
		about := func(r Rule) bool { return r.Status == f.Status }
		unless(f.Verdict != "" || slices.ContainsFunc(c.When, about), "[%d] says nothing, as every answer of %d does", i, f.Status)
		look := fmt.Sprint(f.Status, f.ContentType, string(f.body()))
		unless(!seen[look], "[%d] stands there twice", i)
		unless(f.Note != "", "[%d] has no note", i)
		seen[look] = true
	}
	return all
}

// decider is what in the check gives the verdict on f: "when 0", "valid 200", or
// "" for nothing.
func decider(c Check, f fixture) string {
	verdict, ok := c.Judge(f.Status, f.ContentType, f.body())
	if !ok {
		return ""
	}
	for i, rule := range c.When {
		if rule.Status == f.Status && !slices.ContainsFunc(rule.All, func(c Condition) bool { return !f.meets(c) }) {
			return fmt.Sprint("when ", i)
		}
	}
	return fmt.Sprint(verdict, " ", f.Status)
}

func (f fixture) meets(c Condition) bool {
	answer, ok := decodeAnswer(f.body())
	return ok && c.met(answer)
}

// misses reports whether f fails the rule by one of its conditions alone.
func (f fixture) misses(rule Rule, condition int) bool {
	_, isJSON := decodeAnswer(f.body())
	if f.Status != rule.Status || !isJSON {
		return false
	}
	for i, c := range rule.All {
		if f.meets(c) == (i == condition) {
			return false
		}
	}
	return true
}

func TestAGapInTheAnswersIsNoticed(t *testing.T) {
	check := Check{Valid: []int{200}, Invalid: []int{401}, When: []Rule{
		{403, []Condition{{Path: "a", Equals: "x"}, {Path: "b", OneOf: []string{"y", "z"}}}, Invalid},
	}}
	whole := []fixture{
		{200, "", json.RawMessage(`""`), Valid, "n"},
		{401, "", json.RawMessage(`{}`), Invalid, "n"},
		{403, "", json.RawMessage(`{"a": "x", "b": "y"}`), Invalid, "n"},
		{403, "", json.RawMessage(`{"a": "x", "b": "z"}`), Invalid, "n"},
		{403, "", json.RawMessage(`{"a": "x"}`), "", "n"},
		{403, "", json.RawMessage(`{"b": "y"}`), "", "n"},
	}
	if found := gaps(check, whole); len(found) > 0 {
		t.Fatal(found)
	}
	for i, want := range []string{
		"no answer is valid by its status 200", "no answer is invalid by its status 401",
		`no answer meets when[0].all[1] by "y"`, `no answer meets when[0].all[1] by "z"`,
		"no answer fails by when[0].all[1] alone", "no answer fails by when[0].all[0] alone",
	} {
		if found := gaps(check, slices.Delete(slices.Clone(whole), i, i+1)); !slices.Equal(found, []string{want}) {
			t.Errorf("without [%d]: %q", i, found)
		}
	}
	if found := gaps(check, whole[:2]); !slices.Contains(found, "no answer meets when[0]") {
		t.Errorf("%q", found)
	}
	for _, more := range []struct {
		fixture
		want string
	}{
		{fixture{404, "", json.RawMessage(`{}`), "", "n"}, "[6] says nothing, as every answer of 404 does"},
		{fixture{401, "", json.RawMessage(`{}`), Invalid, "n"}, "[6] stands there twice"},
		{fixture{401, "", json.RawMessage(`[]`), Invalid, ""}, "[6] has no note"},
	} {
		if found := gaps(check, append(slices.Clone(whole), more.fixture)); !slices.Equal(found, []string{more.want}) {
			t.Errorf("%q, want %q", found, more.want)
		}
	}
}

// page is what a captive portal, a login or a block page looks like.
const page = "\n<!DOCTYPE html>\n<html><head><title>Sign in to continue</title></head><body>403 Forbidden</body></html>"

func TestF33_NoProvidersKeyIsJudgedByAnythingButItsProvider(t *testing.T) {
	for _, p := range checked(t) {
		silent := func(status int, contentType, body string) {
			t.Helper()
			if verdict, ok := p.Check.Judge(status, contentType, []byte(body)); ok {
				t.Errorf("%s: %d %s %.60q is %s", p.Slug, status, contentType, body, verdict)
			}
		}
		fixtures := readFixtures(t, p.Slug)
		for _, f := range fixtures { // whatever an answer would mean, a page or a bad day does not
			silent(f.Status, "text/html; charset=utf-8", string(f.body()))
			silent(f.Status, f.ContentType, page)
			silent(f.Status, "", page)
			for _, status := range []int{0, 100, 301, 302, 307, 407, 408, 421, 425, 429, 451, 500, 502, 503, 504, 530} {
				silent(status, f.ContentType, string(f.body()))
			}
		}
		for status := 200; status < 500; status++ {
			if !p.Check.speaksOf(status) {
				silent(status, "application/json", `{"ok":false,"valid":false,"error":"invalid_auth","message":"Unauthorized"}`)
			}
		}
		// A rule that looks into the body believes no other kind of body.
		for _, rule := range p.Check.When {
			for _, body := range []string{
				"", " ", "null", "0", `""`, "[]", "{}", "true", "Forbidden", `{"ok":`, `{"ok":false}{}`, `{"ok":"false"}`, `{"ok":0,"valid":1,"error":7,"message":[]}`,
				`{"data":[],"error":{},"errors":{},"detail":null,"result":[]}`, `{"errors":[[],{},null,{"extensions":[]}]}`, "\xff\xfe", strings.Repeat("[", 1<<20), strings.Repeat(`{"data":`, 1<<17),
			} {
				if got, ok := p.Check.Judge(rule.Status, "application/json", []byte(body)); ok && !p.Check.lists(rule.Status) {
					t.Errorf("%s: %d %.60q is %s", p.Slug, rule.Status, body, got)
				}
			}
		}
	}
}

// lists reports whether a status alone gives a verdict.
func (c Check) lists(status int) bool {
	_, ok := c.judgeStatus(status)
	return ok
}

// speaksOf reports whether a rule or a list names the status.
func (c Check) speaksOf(status int) bool {
	return c.lists(status) || slices.ContainsFunc(c.When, func(r Rule) bool { return r.Status == status })
}
