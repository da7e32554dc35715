package catalog_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"keyvend/pkg/catalog"
)

func TestEveryProviderFileIsRight(t *testing.T) {
	for _, problem := range lint(readSchema(t), os.DirFS(".")) {
		t.Error(problem)
	}
}

func TestExampleInTheReadmeIsRight(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	example := regexp.MustCompile("(?s)```json\n(.*?)```").FindSubmatch(readme)
	if example == nil {
		t.Fatal("README.md has no example")
	}
	var p catalog.Provider
	if err := json.Unmarshal(example[1], &p); err != nil {
		t.Fatal(err)
	}
	for _, problem := range lint(readSchema(t), one(p.Slug, example[1])) {
		t.Error(problem)
	}
}

func TestMistakeInAProviderFileIsReportedWithFileAndField(t *testing.T) {
	good, err := os.ReadFile("providers/mailchimp.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ old, new, problem string }{
		"unknown field":            {`"slug"`, `"colour": "red", "slug"`, "colour: is not a known field"},
		"field in another case":    {`"category"`, `"Category"`, "Category: is not a known field"},
		"unknown field in a part":  {`{"text": "-us"}`, `{"text": "-us", "regex": "x"}`, "key_shapes[0].parts[1].regex: is not a known field"},
		"field twice":              {`"category": "email",`, `"category": "email", "category": "email",`, "category: stands there twice"},
		"inner field twice":        {`"required": false,`, `"required": false, "required": false,`, "config_fields[0].required: stands there twice"},
		"fields in another order":  {"\"name\": \"Mailchimp\",\n  \"category\": \"email\",", `"category": "email", "name": "Mailchimp",`, "name: the fields do not stand in the schema's order"},
		"empty optional field":     {`"key_shapes": [`, `"help": "", "key_shapes": [`, "help: has fewer"},
		"missing field":            {`"confidence": "medium"`, `"help": "Yes."`, "confidence: is missing"},
		"missing inner field":      {`"label": "Data center",`, ``, "config_fields[0].label: is missing"},
		"another slug":             {`"slug": "mailchimp"`, `"slug": "mailchump"`, "slug: is not the name of the file"},
		"impossible slug":          {`"slug": "mailchimp"`, `"slug": "Mail/Chimp"`, "slug: must match"},
		"address without TLS":      {`https://us1`, `http://us1`, "key_page: must match"},
		"address with a user":      {`https://us1`, `https://me@us1`, "key_page: must match"},
		"address with bad escape":  {`/account/api/`, `/account/%zz`, "key_page: is no address"},
		"wrong type":               {`"key_hint": `, `"key_hint": 7, "help": `, "key_hint: must be of type string"},
		"hint that is no sentence": {`such as -us21."`, `such as -us21"`, "key_hint: must match"},
		"markup":                   {`such as -us21.`, `such as <b>-us21</b>.`, "key_hint: must match"},
		"unknown category":         {`"email"`, `"e-mail"`, "category: must be one of"},
		"unknown auth method":      {`"api_key"`, `"password"`, "auth_methods[0]: must be one of"},
		"unknown alphabet":         {`"lower_hex"`, `"runes"`, "key_shapes[0].parts[0].alphabet: must be one of"},
		"part of two kinds":        {`{"text": "-us"}`, `{"text": "-us", "alphabet": "hex"}`, "key_shapes[0].parts[1]: must have exactly one of"},
		"empty part":               {`{"text": "-us"}`, `{}`, "key_shapes[0].parts[1]: must have exactly one of"},
		"two lengths":              {`"length": 32`, `"length": 32, "min_length": 3`, "key_shapes[0].parts[0]: may not be"},
		"length of a text":         {`{"text": "-us"}`, `{"text": "-us", "length": 3}`, "key_shapes[0].parts[1].length: needs alphabet"},
		"impossible range":         {`"min_length": 1`, `"min_length": 4`, "key_shapes[0].parts[2].max_length: is below min_length"},
		"length zero":              {`"length": 32`, `"length": 0`, "key_shapes[0].parts[0].length: must be at least 1"},
		"same shape twice":         {`"key_shapes": [`, `"key_shapes": [{"parts": [{"text": "a"}]}, {"parts": [{"text": "a"}]}, `, "key_shapes[1]: stands there twice"},
		"shape without parts":      {`"key_shapes": [`, `"key_shapes": [{"parts": []}, `, "key_shapes[0].parts: needs at least 1"},
		"example of another form":  {`"us21"`, `"eu21"`, "config_fields[0].example: does not pass"},
		"unchecked field":          {`"shapes": [`, `"shape": [`, "config_fields[0]: must have exactly one of"},
		"derived and required":     {`"required": false`, `"required": true`, "config_fields[0].required: the value comes from elsewhere"},
		"no pace":                  {`"checks_per_minute": 30`, `"checks_per_minute": 0`, "checks_per_minute: must be at least 1"},
		"pace of a flood":          {`"checks_per_minute": 30`, `"checks_per_minute": 601`, "checks_per_minute: must be at most 600"},
		"pace in pieces":           {`"checks_per_minute": 30`, `"checks_per_minute": 0.5`, "checks_per_minute: must be of type integer"},
		"check of a bad status":    {`"valid": [200]`, `"valid": [429]`, "check.valid[0]: This is a status"},
		"unknown field in a check": {`"method": "GET"`, `"methods": "GET"`, "check.methods: is not a known field"},
		"data behind the end":      {"\n}\n", "\n}\n{}", "is not one JSON value"},
		"no JSON":                  {`"slug":`, `slug:`, "is not one JSON value"},
	} {
		t.Run(name, func(t *testing.T) {
			bad := strings.Replace(string(good), c.old, c.new, 1)
			if bad == string(good) {
				t.Fatalf("%q is not in the file", c.old)
			}
			problems := strings.Join(lint(readSchema(t), one("mailchimp", []byte(bad))), "\n")
			if want := "providers/mailchimp.json: " + c.problem; !strings.Contains(problems, want) {
				t.Errorf("%q is not in the report:\n%s", want, problems)
			}
		})
	}
}

func TestTwoProvidersOfOneNameAreReported(t *testing.T) {
	fsys := one("exa", []byte(`{"slug": "exa", "name": "Exa"}`))
	fsys["providers/other.json"] = &fstest.MapFile{Data: []byte(`{"slug": "other", "name": "exa"}`)}
	problems := strings.Join(lint(readSchema(t), fsys), "\n")
	if !strings.Contains(problems, "providers/other.json: name: is that of providers/exa.json too") {
		t.Error(problems)
	}
}

func TestPaceOfAProviderWithoutACheckIsReported(t *testing.T) {
	problems := strings.Join(lint(readSchema(t), one("exa", []byte(`{"slug": "exa", "name": "Exa", "checks_per_minute": 10}`))), "\n")
	if !strings.Contains(problems, "providers/exa.json: checks_per_minute: there is no check") {
		t.Error(problems)
	}
}

func TestStrayFileAmongTheProvidersIsReported(t *testing.T) {
	fsys := fstest.MapFS{"providers/exa.yaml": &fstest.MapFile{}}
	if problems := lint(readSchema(t), fsys); len(problems) != 1 {
		t.Error(problems)
	}
}

func one(slug string, content []byte) fstest.MapFS {
	return fstest.MapFS{"providers/" + slug + ".json": &fstest.MapFile{Data: content}}
}

// lint returns all that is wrong with the folder providers in fsys.
func lint(s schema, fsys fs.FS) []string {
	entries, err := fs.ReadDir(fsys, "providers")
	if err != nil {
		return []string{err.Error()}
	}
	var problems []string
	fileOf := map[string]string{}
	for _, e := range entries {
		file := path.Join("providers", e.Name())
		content, err := fs.ReadFile(fsys, file)
		if err != nil || path.Ext(file) != ".json" {
			problems = append(problems, file+": is not a provider's file")
			continue
		}
		p, wrong := lintFile(s, strings.TrimSuffix(e.Name(), ".json"), content)
		if first, taken := fileOf[strings.ToLower(p.Name)]; taken {
			wrong = append(wrong, "name: is that of "+first+" too")
		}
		fileOf[strings.ToLower(p.Name)] = file
		for _, w := range wrong {
			problems = append(problems, file+": "+w)
		}
	}
	return problems
}

func lintFile(s schema, slug string, content []byte) (catalog.Provider, []string) {
	var p catalog.Provider
	var raw any
	if err := json.Unmarshal(content, &raw); err != nil {
		return p, []string{"is not one JSON value: " + err.Error()}
	}
	problems := append(repeated(content), s.validate(raw)...)
	strict := json.NewDecoder(bytes.NewReader(content))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&p); err != nil {
		return p, append(problems, err.Error())
	}
	problems = append(problems, unless(p.Slug == slug, "slug", "is not the name of the file")...)
	problems = append(problems, lintOrder(p, content)...)
	if u, err := url.Parse(p.KeyPage); err != nil || u.Scheme != "https" || u.Port() != "" || u.User != nil {
		problems = append(problems, "key_page: is no address that a browser can be sent to")
	}
	problems = append(problems, unless(p.Check != nil || p.PerMinute == 0, "checks_per_minute", "there is no check")...)
	problems = append(problems, lintShapes(p.KeyShapes, "key_shapes")...)
	seen := map[string]bool{}
	for i, f := range p.ConfigFields {
		at := fmt.Sprintf("config_fields[%d]", i)
		problems = append(problems, unless(!seen[f.Field], at+".field", "stands there twice")...)
		seen[f.Field] = true
		problems = append(problems, lintField(f, at)...)
	}
	for _, w := range catalog.ValidateFields(p.ConfigFields) {
		problems = append(problems, "config_fields"+w.Field+": "+w.Reason)
	}
	if p.Check != nil {
		for _, w := range p.Check.Validate(p.ConfigFields) {
			problems = append(problems, member("check", w.Field)+": "+w.Reason)
		}
	}
	return p, problems
}

func lintShapes(shapes []catalog.Shape, at string) []string {
	var problems []string
	for i, s := range shapes {
		for k, p := range s.Parts {
			here := fmt.Sprintf("%s[%d].parts[%d].max_length", at, i, k)
			problems = append(problems, unless(p.MaxLength == 0 || p.MinLength <= p.MaxLength, here, "is below min_length")...)
		}
	}
	return problems
}

func lintField(f catalog.ConfigField, at string) []string {
	problems := lintShapes(f.Shapes, at+".shapes")
	for name, value := range map[string]string{"default": f.Default, "example": f.Example} {
		if value == "" {
			continue
		}
		reason, ok := f.Check(value)
		problems = append(problems, unless(ok, at+"."+name, "does not pass the field's own check: %s", reason)...)
	}
	elsewhere := f.Default != "" || f.DeriveFromKey != nil
	problems = append(problems, unless(!f.Required || !elsewhere, at+".required", "the value comes from elsewhere, so no one is asked for it")...)
	if len(f.Options) > 0 {
		problems = append(problems, unless(f.Default == "" || f.Options[0].Value == f.Default, at+".options", "the default must come first")...)
	}
	return problems
}

// lintOrder reports the first member that stands elsewhere than in the form
// that encoding p gives.
func lintOrder(p catalog.Provider, content []byte) []string {
	var encoded, compact bytes.Buffer
	e := json.NewEncoder(&encoded)
	e.SetEscapeHTML(false)
	if err := errors.Join(e.Encode(p), json.Compact(&compact, content)); err != nil {
		return []string{err.Error()}
	}
	want, got := bytes.TrimSpace(encoded.Bytes()), compact.Bytes()
	same := 0
	for same < min(len(want), len(got)) && want[same] == got[same] {
		same++
	}
	if same == len(want) && same == len(got) {
		return nil
	}
	at := "the end"
	if name := regexp.MustCompile(`"(\w+)":`).FindSubmatch(want[max(0, bytes.LastIndexByte(want[:same], '"')):]); name != nil {
		at = string(name[1])
	}
	return []string{at + ": the fields do not stand in the schema's order, or one that is empty is not left out"}
}

// repeated returns the members that an object has twice, which decoding hides.
func repeated(content []byte) []string {
	d := json.NewDecoder(bytes.NewReader(content))
	var problems []string
	var value func(at string) error
	value = func(at string) error {
		token, err := d.Token()
		if err != nil {
			return err
		}
		seen := map[string]bool{}
		for i := 0; (token == json.Delim('{') || token == json.Delim('[')) && d.More(); i++ {
			here := fmt.Sprintf("%s[%d]", at, i)
			if token == json.Delim('{') {
				name, err := d.Token()
				if err != nil {
					return err
				}
				here = member(at, name.(string))
				problems = append(problems, unless(!seen[here], here, "stands there twice")...)
				seen[here] = true
			}
			if err := value(here); err != nil {
				return err
			}
		}
		if token == json.Delim('{') || token == json.Delim('[') {
			_, err = d.Token()
		}
		return err
	}
	if err := value(""); err != nil && !errors.Is(err, io.EOF) {
		problems = append(problems, err.Error())
	}
	return problems
}
