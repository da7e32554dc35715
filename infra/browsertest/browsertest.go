// Package browsertest drives a real Chromium as people use it: it finds things by
// role and name, as a screen reader tells them, clicks where they are, types and
// presses keys. It is imported by tests only.
//
// A machine without Chromium fails these tests where the environment variable CI
// is set, and skips them with a printed reason elsewhere.
package browsertest

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"keyvend/infra/testbed"
)

// patience is how long something may take to appear; a loaded machine is slow.
const patience = 90 * time.Second

// programs are the names under which Chromium is looked for.
var programs = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"}

// started is the one browser of a test process.
var started struct {
	once sync.Once
	ctx  context.Context
	stop context.CancelFunc
	err  error
}

// Main runs a package's tests and then stops the browser:
//
//	func TestMain(m *testing.M) { browsertest.Main(m) }
func Main(m *testing.M) {
	defer func() {
		if started.stop != nil {
			started.stop()
		}
	}()
	testbed.Main(m)
}

func start(t testing.TB) context.Context {
	t.Helper()
	path := ""
	for _, name := range programs {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		testbed.Missing(t, "Chromium is not installed: none of %v is on the PATH", programs)
	}
	started.once.Do(func() {
		options := append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath(path),
			chromedp.NoSandbox, // a container's root has none; the pages are the tests' own
			chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
			chromedp.Flag("hide-scrollbars", false), // what scrolls sideways has to show
			chromedp.WSURLReadTimeout(patience),
		)
		allocator, free := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, cancel := chromedp.NewContext(allocator)
		started.ctx, started.stop = ctx, func() { cancel(); free() }
		started.err = chromedp.Do(ctx)
	})
	if started.err != nil {
		t.Fatalf("browsertest: %v", started.err)
	}
	return started.ctx
}

// Page is a tab with storage of its own, or one frame in it. It ends with its
// test.
type Page struct {
	t     testing.TB
	ctx   context.Context
	frame cdp.FrameID // "": the tab's main frame
	seen  *seen
}

// seen is what a tab did.
type seen struct {
	mu       sync.Mutex
	console  []string
	requests []Request
	byID     map[network.RequestID]int
}

// Request is one that a tab made.
type Request struct {
	Method, URL, Body string
	Headers           map[string]any
	Status            int // of the answer; 0: there is none yet
}

// Open opens a tab of 800 by 900 pixels.
func Open(t testing.TB) *Page {
	t.Helper()
	p := &Page{t: t, seen: &seen{byID: map[network.RequestID]int{}}}
	ctx, cancel := chromedp.NewContext(start(t), chromedp.WithNewBrowserContext(), chromedp.WithListener(p.seen.note))
	t.Cleanup(cancel)
	p.ctx = ctx
	p.must("open", chromedp.Do(ctx))
	p.Resize(800, 900)
	return p
}

func (s *seen) note(event any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		text := string(e.Type)
		for _, arg := range e.Args {
			text += " " + arg.Description + string(arg.Value)
		}
		s.console = append(s.console, text)
	case *runtime.EventExceptionThrown:
		s.console = append(s.console, "exception "+e.ExceptionDetails.Text+" "+e.ExceptionDetails.Exception.Description)
	case *log.EventEntryAdded:
		s.console = append(s.console, string(e.Entry.Level)+" "+e.Entry.Text)
	case *network.EventRequestWillBeSent:
		var body strings.Builder
		for _, piece := range e.Request.PostDataEntries {
			body.Write(piece.Bytes)
		}
		s.byID[e.RequestID] = len(s.requests)
		s.requests = append(s.requests, Request{e.Request.Method, e.Request.URL + e.Request.URLFragment, body.String(), e.Request.Headers, 0})
	case *network.EventResponseReceived:
		if i, asked := s.byID[e.RequestID]; asked {
			s.requests[i].Status = int(e.Response.Status)
		}
	}
}

// Console is all that the tab wrote to the console, and what it threw.
func (p *Page) Console() []string {
	p.seen.mu.Lock()
	defer p.seen.mu.Unlock()
	return append([]string{}, p.seen.console...)
}

// Requests are all that the tab made.
func (p *Page) Requests() []Request {
	p.seen.mu.Lock()
	defer p.seen.mu.Unlock()
	return append([]Request{}, p.seen.requests...)
}

func (p *Page) must(what string, err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

// Visit loads a page.
func (p *Page) Visit(url string) {
	p.t.Helper()
	p.must("visit "+url, chromedp.Do(p.ctx, chromedp.Navigate(url)))
}

// Before has a script run in each document that the tab loads from now on, before
// the document's own.
func (p *Page) Before(script string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script})
	p.must("before", err)
}

// Resize sets the size of what is seen of the page, in CSS pixels.
func (p *Page) Resize(width, height int64) {
	p.t.Helper()
	p.must("resize", chromedp.Do(p.ctx, chromedp.EmulateViewport(width, height)))
}

// Prefer sets what the user's system says: the color scheme "light" or "dark", and
// whether motion is to be reduced.
func (p *Page) Prefer(scheme string, still bool) {
	p.t.Helper()
	motion := "no-preference"
	if still {
		motion = "reduce"
	}
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{
		{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: motion},
	}})
	p.must("prefer "+scheme, err)
}

// Live sets the user's locale, such as de-DE, and time zone, such as Europe/Berlin.
func (p *Page) Live(locale, zone string) {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetLocaleOverride, emulation.SetLocaleOverrideParams{Locale: locale})
	p.must("live in "+locale, err)
	_, err = chromedp.Call(p.ctx, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: zone})
	p.must("live in "+zone, err)
}

// Frame is the frame whose address has this text in it. It has to share the tab's
// site.
func (p *Page) Frame(part string) *Page {
	p.t.Helper()
	var found cdp.FrameID
	p.Wait("a frame of "+part, func() bool {
		tree, err := chromedp.Call(p.ctx, page.GetFrameTree, cdp.Empty{})
		p.must("frames", err)
		for _, child := range tree.FrameTree.ChildFrames {
			if strings.Contains(child.Frame.URL, part) {
				found = child.Frame.ID
			}
		}
		return found != ""
	})
	return &Page{p.t, p.ctx, found, p.seen}
}

// Wait waits until done. What there is to wait for happens in another process, so
// it is looked for again and again.
func (p *Page) Wait(what string, done func() bool) {
	p.t.Helper()
	for deadline, pause := time.Now().Add(patience), soon; !done(); pause = later(pause) {
		time.Sleep(pause)
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: not within %v; the page says\n%s\nand the console\n%s", what, patience, p.Text(), strings.Join(p.Console(), "\n"))
		}
	}
}

// Looking costs the browser time that it needs for what is waited for, so the
// pauses between looks grow.
const (
	soon   = 10 * time.Millisecond
	seldom = 200 * time.Millisecond
)

func later(pause time.Duration) time.Duration { return min(pause*3/2, seldom) }

// Until is Page.Wait for what no page shows.
func Until(t testing.TB, what string, done func() bool) {
	t.Helper()
	for deadline, pause := time.Now().Add(patience), soon; !done(); pause = later(pause) {
		time.Sleep(pause)
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// Text is what is to be read on the page, shadow trees included.
func (p *Page) Text() string {
	return Eval[string](p, `(() => {
		const text = (node) => [...(node.shadowRoot ?? node).childNodes].map((child) =>
			child.nodeType === 3 ? child.data :
			child.nodeType !== 1 || ["STYLE", "SCRIPT"].includes(child.tagName) || !child.checkVisibility() ? "" : text(child)
		).join(" ").replace(/\s+/g, " ").trim();
		return text(document.body);
	})()`)
}

// Eval is the value of a JavaScript expression in the page, awaited if it is a
// promise.
func Eval[T any](p *Page, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise, p.inFrame))
	if err != nil {
		p.t.Fatalf("%.200s: %v", expression, err)
	}
	return value
}

// Do evaluates for effect.
func (p *Page) Do(expression string) {
	p.t.Helper()
	_ = Eval[bool](p, "(async () => { "+expression+"; return true; })()")
}

// inFrame sends an expression to the page's frame: to a world of its own there, in
// which the document is the same.
func (p *Page) inFrame(e *runtime.EvaluateParams) {
	if p.frame == "" {
		return
	}
	world, err := chromedp.Call(p.ctx, page.CreateIsolatedWorld, page.CreateIsolatedWorldParams{FrameID: p.frame})
	p.must("frame", err)
	e.ContextID = world.ExecutionContextID
}

// String is for messages.
func (r Request) String() string { return fmt.Sprintf("%s %s %s", r.Method, r.URL, r.Body) }
