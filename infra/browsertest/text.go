package browsertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
)

// For pages that are not ours, and name their parts less well, there are ways to
// find things by their text and by CSS selectors.

// Asked is what the tab has asked for so far, as "GET https://…".
func (p *Page) Asked() (asked []string) {
	for _, r := range p.Requests() {
		asked = append(asked, r.Method+" "+r.URL)
	}
	return asked
}

// ClickText clicks on the button, link or item of a menu that has exactly that
// text: of several on the last in the document, which is where dialogs are.
func (p *Page) ClickText(text string) {
	p.t.Helper()
	path := `(//*[self::button or self::a or @role="menuitem"][normalize-space()=` + quoted(text) + `])[last()]`
	act(p, "click on "+text, chromedp.Click(chromedp.Search(path), chromedp.NodeVisible))
}

// ClickOn clicks on what a CSS selector finds first.
func (p *Page) ClickOn(selector string) {
	p.t.Helper()
	act(p, "click on "+selector, chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// TypeInto types text into the field that a CSS selector finds first, in the place
// of what is there. A dialog that is just opening takes the first letters for
// itself; then it is typed again.
func (p *Page) TypeInto(selector, text string) {
	p.t.Helper()
	field := "document.querySelector(`" + selector + "`)"
	for range 5 {
		act(p, "type into "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
		act(p, "type into "+selector, chromedp.Evaluate[chromedp.Void](field+".select()"))
		act(p, "type into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
		if Eval[string](p, field+".value") == text {
			return
		}
	}
	p.t.Fatalf("%s does not hold what was typed", selector)
}

// Shows waits until the page shows a text, as its style has it.
func (p *Page) Shows(text string) {
	p.t.Helper()
	p.until("the page shows "+text, `document.body?.innerText.includes(`+quoted(text)+`)`)
}

// ShowsOneOf waits until the page shows one of some texts, and returns the first of
// those that it shows.
func (p *Page) ShowsOneOf(texts ...string) (shown string) {
	p.t.Helper()
	p.Wait(fmt.Sprintf("one of %q", texts), func() bool {
		all := Eval[string](p, `document.body?.innerText ?? ""`)
		i := slices.IndexFunc(texts, func(text string) bool { return strings.Contains(all, text) })
		if i >= 0 {
			shown = texts[i]
		}
		return i >= 0
	})
	return shown
}

// Hides waits until the page shows a text no more.
func (p *Page) Hides(text string) {
	p.t.Helper()
	p.until("the page shows no "+text, `document.body?.innerText.includes(`+quoted(text)+`) === false`)
}

// Lacks waits until a CSS selector finds nothing.
func (p *Page) Lacks(selector string) {
	p.t.Helper()
	p.until("there is no "+selector, `document.querySelector(`+"`"+selector+"`"+`) === null`)
}

func (p *Page) until(what, expression string) {
	p.t.Helper()
	act(p, what, chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(patience)))
}

// act does something in the tab, within the patience that there is.
func act[T any](p *Page, what string, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		p.t.Fatalf("%s: %v\nthe page says\n%s\nand the console\n%v", what, err, p.Text(), p.Console())
	}
	return value
}

// quoted is a text as JavaScript and XPath take it: none of ours has quotes.
func quoted(text string) string { return `"` + text + `"` }
