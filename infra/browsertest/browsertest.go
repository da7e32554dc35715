// Package browsertest drives a real Chromium, headless, for tests of what browsers
// are served. It is imported by tests only.
//
// A Chromium that is not installed is a failure where the environment variable CI is
// set, and a skip with a printed reason elsewhere.
package browsertest

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"keyvend/infra/testbed"
)

// patience bounds each wait for a page; a loaded machine is slow.
const patience = 20 * time.Second

// Page is a tab of a browser of its own.
type Page struct {
	t   testing.TB
	ctx context.Context

	mu    sync.Mutex
	asked []string
	said  []string
}

// Open starts a browser with nothing in it, which ends with the test. No name but
// those of this machine resolves in it.
func Open(t testing.TB) *Page {
	t.Helper()
	allocator, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(chromium(t)),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true), chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"),
	)
	t.Cleanup(stop)
	p := &Page{t: t}
	var end context.CancelFunc
	p.ctx, end = chromedp.NewContext(allocator, chromedp.WithListener(p.hear))
	t.Cleanup(end)
	// This starts the browser, which lives as long as the context: it has no end.
	if err := chromedp.Do(p.ctx); err != nil {
		t.Fatalf("the browser does not start: %v", err)
	}
	if _, err := chromedp.Call(p.ctx, network.Enable, network.EnableParams{}); err != nil {
		t.Fatal(err)
	}
	return p
}

func chromium(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	testbed.Missing(t, "no Chromium is installed, under any of its names")
	return ""
}

// hear notes what the page asks for and what the browser says of it.
func (p *Page) hear(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		p.asked = append(p.asked, e.Request.Method+" "+e.Request.URL)
	case *log.EventEntryAdded:
		p.said = append(p.said, fmt.Sprint(e.Entry.Level, ": ", e.Entry.Text, " ", e.Entry.URL))
	case *runtime.EventExceptionThrown:
		said := "exception: " + e.ExceptionDetails.Text
		if thrown := e.ExceptionDetails.Exception; thrown != nil {
			said += " " + thrown.Description
		}
		p.said = append(p.said, said)
	case *runtime.EventConsoleAPICalled:
		for _, argument := range e.Args {
			p.said = append(p.said, fmt.Sprint("console ", e.Type, ": ", string(argument.Value), argument.Description))
		}
	}
}

// Asked is what the page has asked for so far, as "GET https://…".
func (p *Page) Asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.asked...)
}

// Said is what the browser has said so far: errors, refusals of its policies, what
// was written to the console.
func (p *Page) Said() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.said...)
}

// Go opens an address and waits until it is loaded.
func (p *Page) Go(url string) {
	p.t.Helper()
	do(p, "open "+url, chromedp.Navigate(url))
}

// Click clicks on the button, link or item of a menu that has exactly that text: of
// several on the last in the document, which is where dialogs are.
func (p *Page) Click(text string) {
	p.t.Helper()
	do(p, "click on "+text, chromedp.Click(chromedp.Search(`(//*[self::button or self::a or @role="menuitem"][normalize-space()=`+quoted(text)+`])[last()]`), chromedp.NodeVisible))
}

// ClickOn clicks on what a CSS selector finds first.
func (p *Page) ClickOn(selector string) {
	p.t.Helper()
	do(p, "click on "+selector, chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// Type types text into the field that a CSS selector finds first, in the place of
// what is there. A dialog that is just opening takes the first letters for itself;
// then it is typed again.
func (p *Page) Type(selector, text string) {
	p.t.Helper()
	field := `document.querySelector(` + "`" + selector + "`" + `)`
	for range 5 {
		do(p, "type into "+selector, chromedp.WaitVisible(chromedp.CSS(selector)))
		do(p, "type into "+selector, chromedp.Evaluate[chromedp.Void](field+".select()"))
		do(p, "type into "+selector, chromedp.SendKeys(chromedp.CSS(selector), text))
		if Eval[string](p, field+".value") == text {
			return
		}
	}
	p.t.Fatalf("%s does not hold what was typed\n%s", selector, p.state())
}

// Await waits until the page shows a text.
func (p *Page) Await(text string) {
	p.t.Helper()
	p.Until("the page shows "+text, `document.body?.innerText.includes(`+quoted(text)+`)`)
}

// Gone waits until the page shows a text no more.
func (p *Page) Gone(text string) {
	p.t.Helper()
	p.Until("the page shows no "+text, `document.body?.innerText.includes(`+quoted(text)+`) === false`)
}

// Until waits until an expression in the page is true.
func (p *Page) Until(what, expression string) {
	p.t.Helper()
	do(p, what, chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingInterval(20*time.Millisecond)))
}

// Eval is what an expression in the page comes to, or the promise that it is.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	return do(p, "evaluate "+expression, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
}

// Text is all text that the page shows.
func (p *Page) Text() string {
	p.t.Helper()
	return Eval[string](p, "document.body.innerText")
}

// do runs an action, or fails the test with all that is known of the page.
func do[T any](p *Page, what string, action chromedp.Action[T]) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		p.t.Fatalf("%s: %v\n%s", what, err, p.state())
	}
	return value
}

// state is for the message of a failure.
func (p *Page) state() string {
	ctx, cancel := context.WithTimeout(p.ctx, time.Second)
	defer cancel()
	text, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText")) // for people only
	return fmt.Sprintf("the page shows:\n%s\nthe browser said:\n%s\nit asked for:\n%s", text, strings.Join(p.Said(), "\n"), strings.Join(p.Asked(), "\n"))
}

// quoted is a text as JavaScript and XPath take it: none of ours has quotes.
func quoted(text string) string { return `"` + text + `"` }
