package widget_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"keyvend/infra/browsertest"
)

// The page about the widget, and what it names.
const docs = "../../pkg/web/widget.md"

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// examples are the page's blocks of code by language, with the addresses of k.
func examples(t *testing.T, k *keyvend) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	for _, block := range regexp.MustCompile("(?s)```([a-z]+)\n(.*?)```").FindAllStringSubmatch(read(t, docs), -1) {
		text := strings.NewReplacer("https://keyvend.example", k.url, "/embed/TENANT", embedPath).Replace(block[2])
		found[block[1]] = append(found[block[1]], text)
	}
	if len(found["html"]) != 1 || len(found["js"]) != 4 || len(found["css"]) != 1 {
		t.Fatalf("the page has other examples: %d html, %d js, %d css", len(found["html"]), len(found["js"]), len(found["css"]))
	}
	return found
}

func TestTheExamplesOfTheWidgetsPageWork(t *testing.T) {
	k := newKeyvend(t)
	k.offer("openai", nil)
	code := examples(t, k)
	token := k.token(time.Hour)
	k.mu.Lock()
	k.pages["/your/token/endpoint"] = token
	k.mu.Unlock()
	p := browsertest.Open(t)
	p.Visit(k.page("/docs", code["html"][0], strings.Join(code["js"][:3], "\n")))
	p.Says("Verbindungen")
	p.Click("button", "Verbinden: OpenAI")
	p.Find("dialog", "OpenAI verbinden")
	k.answer(putPath, 422, `{"message":"No.","code":"key_refused"}`)
	p.Paste(openAIKey)
	p.Press("Enter")
	p.Says("Der Anbieter lehnt diesen Schlüssel ab.")
	k.answer(putPath, 0, "")
	p.Paste(openAIKey)
	p.Press("Enter")
	p.Wait("the event", func() bool { return browsertest.Eval[string](p, `document.title`) == "openai is connected" })
	p.Do(`const s = new CSSStyleSheet(); s.replaceSync(` + quoted(code["css"][0]) + `); document.adoptedStyleSheets = [s]`)
	if looks := pipes[string](p, `(() => { const s = getComputedStyle(e.shadowRoot.querySelector("button")); return s.borderRadius + s.fontFamily; })()`); looks != "2pxGeorgia, serif" {
		t.Errorf("it looks %s", looks)
	}

	p.Visit(k.page("/docs-frame", `<iframe title="Connections"></iframe>`, code["js"][3]))
	frame := p.Frame(embedPath)
	frame.Find("button", "Replace key: OpenAI")
	p.Wait("a frame that is high enough", func() bool {
		return browsertest.Eval[bool](frame, `document.documentElement.scrollHeight <= innerHeight`)
	})
}

// names are what a text has of a pattern, without repetitions.
func names(text, pattern string) []string {
	found := regexp.MustCompile(pattern).FindAllString(text, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

func TestTheWidgetsPageNamesAllThereIs(t *testing.T) {
	page := read(t, docs)
	var code strings.Builder
	for _, name := range []string{"element", "style", "list", "dialog", "form"} {
		code.WriteString(read(t, source+"/"+name+".js"))
	}
	embed := read(t, files+"/embed/main.js")
	for what, both := range map[string][2][]string{
		"custom properties": {names(code.String(), `--keyvend-[a-z-]+`), names(page, `--keyvend-[a-z-]+`)},
		"events":            {names(code.String(), `keyvend-(?:connected|disconnected|expired)`), names(page, `keyvend-(?:connected|disconnected|expired)`)},
		"messages":          {names(embed, `keyvend:[a-z-]+`), names(page, `keyvend:[a-z-]+`)},
	} {
		if !slices.Equal(both[0], both[1]) || len(both[0]) == 0 {
			t.Errorf("%s: there are %v, and the page names %v", what, both[0], both[1])
		}
	}
	for pattern, form := range map[string]string{`getAttribute\("([a-z-]+)"\)`: "| `%s` |", `\n  set (\w+)\(`: "| `%s` |", `part: "([a-z]+)"`: "`%s`"} {
		for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(code.String(), -1) {
			named := strings.Replace(form, "%s", found[1], 1)
			if !strings.Contains(page, named) && !strings.Contains(page, "::part("+found[1]+")") && !strings.HasPrefix(found[1], "aria-") {
				t.Errorf("the page does not name %s", found[1])
			}
		}
	}
	if !strings.Contains(read(t, "../../README.md"), "(pkg/web/widget.md)") {
		t.Error("the README does not lead to the page")
	}
}
