package browsertest

import (
	"os"
	"testing"

	"github.com/chromedp/chromedp"

	"keyvend/infra/testbed"
)

// Axe is axe-core, as text.
func Axe(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile(testbed.Tool(t, "web/node_modules/axe-core/axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Findings are what axe-core has to say about the page as it is, "" when nothing.
func (p *Page) Findings(axe string) string {
	p.t.Helper()
	if !Eval[bool](p, `"axe" in window`) {
		// By way of the debugger, which no policy of the page binds.
		act(p, "axe-core", chromedp.Evaluate[chromedp.Void](axe+";undefined"))
	}
	return Eval[string](p, `axe.run(document, {resultTypes: ["violations"]}).then(({violations}) =>
		violations.map((v) => v.id + ": " + v.nodes.map((n) => n.target.join(" ") + " " + n.failureSummary).join("; ")).join("\n"))`)
}
