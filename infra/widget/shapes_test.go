package widget_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"keyvend/pkg/catalog"
)

//go:generate go test -run TestTheWidgetKnowsTheCatalogsShapes -update .

var update = flag.Bool("update", false, "write what is made from the catalog anew")

const shapesHead = `// Made from the catalog: go generate ./infra/widget

/**
 * A form of a provider's keys: how long the fixed text is that they begin with,
 * and the whole of it.
 *
 * @typedef {[number, RegExp]} Form
 */

/**
 * The providers whose keys have a form: slug, name, how well it is attested (2 is
 * best), and the forms.
 *
 * @type {[string, string, number, Form[]][]}
 */
export const SHAPES = [
`

func TestTheWidgetKnowsTheCatalogsShapes(t *testing.T) {
	const file = source + "/shapes.js"
	want := shapesScript(catalog.All())
	if *update {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the catalog says: go generate ./infra/widget", file)
	}
}

func shapesScript(providers []catalog.Provider) []byte {
	b := bytes.NewBufferString(shapesHead)
	for _, p := range providers {
		if len(p.KeyShapes) == 0 {
			continue
		}
		forms := make([]string, len(p.KeyShapes))
		for i, s := range p.KeyShapes {
			forms[i] = fmt.Sprintf("[%d, /^%s$/]", s.Beginning(), expression(s))
		}
		slug, _ := json.Marshal(p.Slug)
		name, _ := json.Marshal(p.Name)
		sure := slices.Index([]string{"low", "medium", "high"}, p.Confidence)
		fmt.Fprintf(b, "  [%s, %s, %d, [%s]],\n", slug, name, sure, strings.Join(forms, ", "))
	}
	b.WriteString("];\n")
	return b.Bytes()
}

// classes are the catalog's alphabets, as the inside of a class.
var classes = map[string]string{
	"digits": `\d`, "lower_hex": `\da-f`, "upper_hex": `\dA-F`, "hex": `\da-fA-F`,
	"lower_letters": `a-z`, "upper_letters": `A-Z`, "letters": `a-zA-Z`,
	"lower_alphanumeric": `a-z\d`, "upper_alphanumeric": `A-Z\d`, "alphanumeric": `a-zA-Z\d`,
	"base64": `\w+/=`, "base64url": `\w\-`, "visible": `!-~`,
}

// expression is the JavaScript regular expression that says what s says.
func expression(s catalog.Shape) string {
	var b strings.Builder
	for _, p := range s.Parts {
		piece := partExpression(p)
		if p.Optional {
			piece = "(?:" + piece + ")?"
		}
		b.WriteString(piece)
	}
	return b.String()
}

func partExpression(p catalog.Part) string {
	if p.Text != "" {
		return quoteMeta(p.Text)
	}
	if len(p.OneOf) > 0 {
		quoted := make([]string, len(p.OneOf))
		for i, o := range p.OneOf {
			quoted[i] = quoteMeta(o)
		}
		return "(?:" + strings.Join(quoted, "|") + ")"
	}
	class := "[" + classes[p.Alphabet] + regexp.MustCompile(`[\]\\^/-]`).ReplaceAllString(p.Extra, `\$0`) + "]"
	class = strings.ReplaceAll(class, `[\d]`, `\d`)
	if len(p.Groups) > 0 {
		groups := make([]string, len(p.Groups))
		for i, n := range p.Groups {
			groups[i] = fmt.Sprintf("%s{%d}", class, n)
		}
		return strings.Join(groups, "-")
	}
	switch least := max(p.MinLength, 1); {
	case p.Length > 0:
		return fmt.Sprintf("%s{%d}", class, p.Length)
	case p.MaxLength > 0:
		return fmt.Sprintf("%s{%d,%d}", class, least, p.MaxLength)
	case least == 1:
		return class + "+"
	default:
		return fmt.Sprintf("%s{%d,}", class, least)
	}
}

func quoteMeta(s string) string {
	return regexp.MustCompile(`[.*+?^${}()|[\]\\/]`).ReplaceAllString(s, `\$0`)
}
