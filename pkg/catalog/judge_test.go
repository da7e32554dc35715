package catalog_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"keyvend/pkg/catalog"
)

// judged is a check with something of everything that reads an answer.
func judged(t testing.TB, rules string) catalog.Check {
	t.Helper()
	c := strictCheck(t, `{"placement": {"in": "header", "name": "X-Key", "template": "{key}"}, "method": "GET", "url": "https://api.example.com/me",
		"valid": [200, 204], "limited": [403], "invalid": [401, 404], "when": [`+rules+`]}`)
	if problems := c.Validate(nil); len(problems) > 0 {
		t.Fatal(problems)
	}
	return c
}

// means is what the check makes of an answer: "" is nothing.
func means(c catalog.Check, status int, contentType, body string) catalog.Verdict {
	verdict, ok := c.Judge(status, contentType, []byte(body))
	if ok != (verdict != "") {
		panic(fmt.Sprintf("%q, %v", verdict, ok))
	}
	return verdict
}

const okRule = `{"status": 200, "all": [{"path": "ok", "equals": false}], "verdict": "invalid"}`

func TestF33_WhatAnAnswerMeans(t *testing.T) {
	check := judged(t, okRule+`, {"status": 401, "all": [{"path": "error.code", "one_of": ["restricted", "scoped"]}], "verdict": "limited"},
		{"status": 401, "all": [{"path": "error.code", "equals": "restricted"}], "verdict": "valid"}, {"status": 422, "all": [{"path": "errors[].field", "exists": true}], "verdict": "invalid"}`)
	const html = "<!doctype html><html><body>Sign in</body></html>"
	for name, c := range map[string]struct {
		status int
		kind   string
		body   string
		want   catalog.Verdict
	}{
		"listed as valid":                       {status: 200, body: `{"ok":true}`, want: catalog.Valid},
		"listed, without a body":                {status: 204, want: catalog.Valid},
		"listed as limited":                     {status: 403, body: `{}`, want: catalog.Limited},
		"listed as invalid":                     {status: 401, body: `{"error":{"code":"unknown"}}`, want: catalog.Invalid},
		"listed as invalid, without a body":     {status: 401, want: catalog.Invalid},
		"a rule before the list":                {status: 200, body: `{"ok":false}`, want: catalog.Invalid},
		"the first rule that fits":              {status: 401, body: `{"error":{"code":"restricted"}}`, want: catalog.Limited},
		"a rule for an unlisted status":         {status: 422, body: `{"errors":[null,{"field":0}]}`, want: catalog.Invalid},
		"an unlisted status without that":       {status: 422, body: `{"errors":[{"field":null}]}`},
		"bad JSON meets no rule":                {status: 422, body: `{"errors":[{"field":1}]`},
		"two JSON values meet no rule":          {status: 422, body: `{"errors":[{"field":1}]}{}`},
		"bad JSON with a listed status":         {status: 200, body: `{"ok":fal`, want: catalog.Valid},
		"JSON under another type":               {status: 200, kind: "text/plain", body: `{"ok":false}`, want: catalog.Invalid},
		"a status of another rule":              {status: 401, body: `{"ok":false}`, want: catalog.Invalid},
		"unlisted":                              {status: 418, body: `{"ok":false}`},
		"rate limit, with Retry-After":          {status: 429, body: `{"ok":false}`},
		"the provider's bad day":                {status: 503, body: `{"ok":false}`},
		"a redirect":                            {status: 302, kind: "text/plain"},
		"a success that is a page, by type":     {status: 200, kind: "text/html", body: `{"ok":true}`},
		"a success that is a page, by look":     {status: 200, kind: "application/json", body: html},
		"a rule and a page":                     {status: 200, kind: "TEXT/HTML; charset=utf-8", body: `{"ok":false}`},
		"401 with a login page":                 {status: 401, kind: "text/html;charset=UTF-8", body: html},
		"403 with a captive portal":             {status: 403, kind: "", body: " \r\n\t" + html},
		"XHTML":                                 {status: 401, kind: "application/xhtml+xml", body: `<?xml version="1.0"?><!DOCTYPE html PUBLIC "x"><html/>`},
		"XHTML, by look":                        {status: 401, kind: "text/xml", body: `<?xml version="1.0"?>` + "\n<!-- x --><html xmlns='x'>"},
		"a page without html":                   {status: 403, body: "<HEAD><TITLE>Access Denied</TITLE></HEAD>"},
		"a comment":                             {status: 403, body: "<!-- blocked --><div>x</div>"},
		"a page with a byte order mark":         {status: 403, body: "\ufeff<h1>Forbidden</h1>"},
		"a page in UTF-16":                      {status: 403, body: utf16le("<html><body>Forbidden</body></html>")},
		"a page in UTF-16, without html":        {status: 403, body: utf16le("<h1>Forbidden</h1>")},
		"a page after text":                     {status: 403, body: "Forbidden\n<HTML>"},
		"text":                                  {status: 403, kind: "text/plain", body: "Forbidden", want: catalog.Limited},
		"XML that is no page":                   {status: 401, kind: "application/xml", body: `<?xml version="1.0"?><error><code>1</code></error>`, want: catalog.Invalid},
		"a tag far inside of JSON is no page":   {status: 401, body: `{"x":"` + strings.Repeat("x", 2000) + `<html>"}`, want: catalog.Invalid},
		"what is too large to look into":        {status: 422, body: `{"errors":[{"field":1}],"x":"` + strings.Repeat("x", 1<<20) + `"}`},
		"too large, with a listed status":       {status: 401, body: strings.Repeat("x", 1<<21), want: catalog.Invalid},
		"brackets without end, with a rule":     {status: 422, body: strings.Repeat("[", 1<<20)},
		"brackets that are closed, with a rule": {status: 422, body: strings.Repeat("[", 20000) + strings.Repeat("]", 20000)},
	} {
		if got := means(check, c.status, c.kind, c.body); got != c.want {
			t.Errorf("%s: %d %s %.60q is %q, want %q", name, c.status, c.kind, c.body, got, c.want)
		}
	}
}

func utf16le(text string) string {
	b := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune(text)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return string(b)
}

func TestStatusesThatSayNothingSayNothingEvenWhenTheyAreListed(t *testing.T) {
	for status := -1; status < 700; status++ {
		telling := status >= 200 && status < 300 || status >= 400 && status < 500 && !slices.Contains([]int{407, 408, 421, 425, 429, 451}, status)
		// As a row in the table may have it, which nobody validated.
		valid := catalog.Check{Valid: []int{status}, When: []catalog.Rule{{Status: status, All: []catalog.Condition{{Path: "a", Exists: true}}, Verdict: catalog.Invalid}}}
		for body, want := range map[string]catalog.Verdict{`{}`: catalog.Valid, `{"a":1}`: catalog.Invalid} {
			if got := means(valid, status, "", body); telling != (got == want) || !telling && got != "" {
				t.Errorf("%d %s: %q", status, body, got)
			}
		}
		invalid := catalog.Check{Invalid: []int{status}}
		if got := means(invalid, status, "", ""); (got == catalog.Invalid) != (telling && status >= 400) {
			t.Errorf("%d alone: %q", status, got)
		}
		// Validate takes what Judge believes, and nothing else.
		check := judged(t, okRule)
		check.Valid, check.Limited, check.Invalid = []int{status}, nil, []int{499}
		if status == 499 {
			check.Invalid = []int{401}
		}
		if sound := len(check.Validate(nil)) == 0; sound != telling {
			t.Errorf("Validate takes %d: %v", status, sound)
		}
	}
}

func TestRulesThatValidateRefusesAreMetByNothing(t *testing.T) {
	exists := []catalog.Condition{{Path: "a", Exists: true}}
	for name, rule := range map[string]catalog.Rule{
		"without conditions": {Status: 422, Verdict: catalog.Invalid},
		"unknown verdict":    {Status: 422, All: exists, Verdict: "unknown"},
		"no verdict":         {Status: 422, All: exists},
		"no test":            {Status: 422, All: []catalog.Condition{{Path: "a"}}, Verdict: catalog.Invalid},
		"no path":            {Status: 422, All: []catalog.Condition{{Exists: true}}, Verdict: catalog.Invalid},
		"object to equal":    {Status: 422, All: []catalog.Condition{{Path: "a", Equals: map[string]any{}}}, Verdict: catalog.Invalid},
		"list to equal":      {Status: 422, All: []catalog.Condition{{Path: "a", Equals: []any{1.0}}}, Verdict: catalog.Invalid},
	} {
		for _, body := range []string{`{"a":{}}`, `{"a":[1]}`, `{"a":1}`, `{"a":""}`} {
			if got := means(catalog.Check{When: []catalog.Rule{rule}}, 422, "", body); got != "" {
				t.Errorf("%s: %s is %s", name, body, got)
			}
		}
	}
}

func TestConditionsCompareValuesExactly(t *testing.T) {
	for _, c := range []struct {
		condition string
		met       []string
		unmet     []string
	}{
		{`{"path": "a", "equals": "x"}`, []string{`{"a":"x"}`, `{"a":"\u0078"}`, `{"a":1,"a":"x"}`}, []string{`{"a":"X"}`, `{"a":"x "}`, `{"A":"x"}`, `{"a":["x"]}`, `{"a":{"x":1}}`, `{"b":"x"}`, `{}`, `[]`, `"x"`, `{"a":null}`, ``}},
		{`{"path": "a", "equals": ""}`, []string{`{"a":""}`}, []string{`{}`, `{"a":null}`, `{"a":" "}`}},
		{`{"path": "a", "equals": false}`, []string{`{"a":false}`}, []string{`{}`, `{"a":null}`, `{"a":0}`, `{"a":"false"}`, `{"a":true}`}},
		{`{"path": "a", "equals": 1}`, []string{`{"a":1}`, `{"a":1.0}`, `{"a":10e-1}`, `{"a":0.1E+1}`}, []string{`{"a":"1"}`, `{"a":true}`, `{"a":-1}`, `{"a":1.0000000000000000000001}`, `{"a":1e1}`, `{"a":1e99999999999999999999}`, `{"a":[1]}`}},
		{`{"path": "a", "equals": 0}`, []string{`{"a":0}`, `{"a":-0.0}`, `{"a":0e999}`}, []string{`{"a":1e-999999}`, `{"a":false}`, `{"a":null}`, `{"a":""}`}},
		{`{"path": "a", "equals": -7.5}`, []string{`{"a":-7.5}`, `{"a":-750e-2}`}, []string{`{"a":7.5}`}},
		{`{"path": "a", "equals": 9007199254740991}`, []string{`{"a":9007199254740991}`, `{"a":9007199254740991.00}`}, []string{`{"a":9007199254740992}`, `{"a":9007199254740991.0001}`}},
		{`{"path": "a", "equals": 0.1}`, []string{`{"a":0.1}`}, []string{`{"a":0.1000000000000000055511151231257827}`}},
		{`{"path": "a", "one_of": ["x", "y"]}`, []string{`{"a":"y"}`}, []string{`{"a":"z"}`, `{"a":["x"]}`}},
		{`{"path": "a", "starts_with": "In"}`, []string{`{"a":"In"}`, `{"a":"Invalid"}`}, []string{`{"a":"in"}`, `{"a":""}`, `{"a":7}`}},
		{`{"path": "a", "exists": true}`, []string{`{"a":false}`, `{"a":0}`, `{"a":""}`, `{"a":[]}`}, []string{`{"a":null}`, `{}`}},
		{`{"path": "a.b", "equals": 1}`, []string{`{"a":{"b":1}}`}, []string{`{"a.b":1}`, `{"a":[{"b":1}]}`, `{"a":1}`}},
		{`{"path": "a[].b[]", "equals": 1}`, []string{`{"a":[{"b":[2]},{"b":[3,1]}]}`}, []string{`{"a":{"b":[1]}}`, `{"a":[{"b":1}]}`, `{"a":[]}`, `{"a[]":[{"b":[1]}]}`}},
	} {
		check := judged(t, `{"status": 422, "all": [`+c.condition+`], "verdict": "invalid"}`)
		for _, body := range c.met {
			if means(check, 422, "", body) != catalog.Invalid {
				t.Errorf("%s is not met by %s", c.condition, body)
			}
		}
		for _, body := range c.unmet {
			if means(check, 422, "", body) != "" {
				t.Errorf("%s is met by %s", c.condition, body)
			}
		}
	}
	both := judged(t, `{"status": 422, "all": [{"path": "a", "equals": 1}, {"path": "b", "equals": 2}], "verdict": "invalid"}`)
	for body, want := range map[string]catalog.Verdict{`{"a":1,"b":2}`: catalog.Invalid, `{"a":1}`: "", `{"b":2}`: ""} {
		if got := means(both, 422, "", body); got != want {
			t.Errorf("%s: %q", body, got)
		}
	}
}

// FuzzJudge: whatever is answered, a check says one of three things or nothing,
// the same each time, and never anything about a page or by a status that cannot.
func FuzzJudge(f *testing.F) {
	f.Add(200, "application/json", []byte(`{"ok":false,"error":"invalid_auth"}`), "ok", "x")
	f.Add(400, "", []byte(`{"errors":[{"extensions":{"code":"AUTHENTICATION_ERROR"}}]}`), "errors[].extensions.code", "AUTH")
	f.Add(401, "text/html", []byte("<html>"), "a", "")
	f.Add(403, "", []byte(" <!DOCTYPE HTML><p>"), "a.b[]", "1")
	f.Add(422, "application/json", []byte(`{"a":1e-99999999999}`), "a", "7")
	f.Add(200, "", []byte(strings.Repeat("[", 20000)), "a[].a[]", "")
	all := catalog.All()
	f.Fuzz(func(t *testing.T, status int, contentType string, body []byte, path, want string) {
		rules := []catalog.Rule{
			{Status: status, All: []catalog.Condition{{Path: path, StartsWith: want}}, Verdict: catalog.Limited},
			{Status: status, All: []catalog.Condition{{Path: path, Equals: float64(len(want))}}, Verdict: catalog.Valid},
			{Status: status, All: []catalog.Condition{{Path: path, Exists: true}}, Verdict: catalog.Invalid},
		}
		checks := []catalog.Check{{Valid: []int{status}, When: rules}, {Invalid: []int{status}, When: rules}}
		for _, p := range all {
			if p.Check != nil && len(p.Check.When) > 0 {
				checks = append(checks, *p.Check)
			}
		}
		for _, c := range checks {
			verdict, ok := c.Judge(status, contentType, body)
			again, _ := c.Judge(status, contentType, body)
			switch {
			case verdict != again:
				t.Errorf("%q, then %q", verdict, again)
			case ok != slices.Contains([]catalog.Verdict{catalog.Valid, catalog.Limited, catalog.Invalid}, verdict):
				t.Errorf("%q, %v", verdict, ok)
			case !ok:
			case status < 200 || status >= 500 || status/100 == 3 || status == 429:
				t.Errorf("%d is %s", status, verdict)
			case strings.HasPrefix(strings.ToLower(string(body)), "<html") || strings.HasPrefix(contentType, "text/html"):
				t.Errorf("a page is %s", verdict)
			case len(c.Valid)+len(c.Limited)+len(c.Invalid) == 0 && !json.Valid(body):
				t.Errorf("%q is %s by its body", body, verdict)
			}
		}
	})
}
