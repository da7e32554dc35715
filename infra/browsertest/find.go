package browsertest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Node is something on the page as a screen reader tells it.
type Node struct {
	Role, Name, Description, Value string
	id                             cdp.BackendNodeID
	properties                     map[string]string
}

// Is is the value of a property such as "focused", "expanded" or "invalid", as
// JSON, "" when the node has none.
func (n Node) Is(property string) string { return n.properties[property] }

// All are the nodes of that role, and of that name if name is not "".
func (p *Page) All(role, name string) []Node {
	p.t.Helper()
	found, err := chromedp.Call(p.ctx, accessibility.QueryAXTree, accessibility.QueryAXTreeParams{
		BackendNodeID: p.document(), Role: role, AccessibleName: name,
	})
	if err != nil {
		return nil // the document was replaced meanwhile
	}
	var nodes []Node
	for _, n := range found.Nodes {
		if n.Ignored {
			continue
		}
		node := Node{text(n.Role), text(n.Name), text(n.Description), text(n.Value), n.BackendDOMNodeID, map[string]string{}}
		for _, property := range n.Properties {
			node.properties[string(property.Name)] = text(property.Value)
		}
		nodes = append(nodes, node)
	}
	return nodes
}

func text(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	return strings.Trim(string(v.Value), `"`)
}

// document is the root of the page's frame.
func (p *Page) document() cdp.BackendNodeID {
	p.t.Helper()
	depth, pierce := int64(1), false
	if p.frame != "" {
		depth, pierce = -1, true
	}
	got, err := chromedp.Call(p.ctx, dom.GetDocument, dom.GetDocumentParams{Depth: &depth, Pierce: &pierce})
	p.must("document", err)
	if p.frame == "" {
		return got.Root.BackendNodeID
	}
	if found := frameDocument(got.Root, p.frame); found != nil {
		return found.BackendNodeID
	}
	p.t.Fatalf("frame %s is gone", p.frame)
	return 0
}

func frameDocument(n *cdp.Node, frame cdp.FrameID) *cdp.Node {
	if n.ContentDocument != nil && n.FrameID == frame {
		return n.ContentDocument
	}
	for _, child := range append(append([]*cdp.Node{}, n.Children...), n.ShadowRoots...) {
		if found := frameDocument(child, frame); found != nil {
			return found
		}
	}
	return nil
}

// Find waits for the one node of that role and name.
func (p *Page) Find(role, name string) Node {
	p.t.Helper()
	var nodes []Node
	p.Wait(fmt.Sprintf("one %s %q", role, name), func() bool {
		nodes = p.All(role, name)
		return len(nodes) == 1
	})
	return nodes[0]
}

// Gone waits until there is no node of that role and name.
func (p *Page) Gone(role, name string) {
	p.t.Helper()
	p.Wait(fmt.Sprintf("no %s %q", role, name), func() bool { return len(p.All(role, name)) == 0 })
}

// Says waits until a text is to be read on the page.
func (p *Page) Says(text string) {
	p.t.Helper()
	p.Wait(fmt.Sprintf("%q", text), func() bool { return strings.Contains(p.Text(), text) })
}

// Click clicks with the mouse in the middle of the node of that role and name, once
// it stands still: what arrives on a page moves what is there.
func (p *Page) Click(role, name string) {
	p.t.Helper()
	var quad dom.Quad
	p.Wait(fmt.Sprintf("%s %q, and that it stands still", role, name), func() bool {
		before := quad
		quad = p.place(p.Find(role, name))
		return quad != nil && slices.Equal(quad, before)
	})
	p.must("click "+name, chromedp.Do(p.ctx, chromedp.MouseClickXY((quad[0]+quad[4])/2, (quad[1]+quad[5])/2)))
}

// place is where a node is seen, nil when it is not, or not any more.
func (p *Page) place(n Node) dom.Quad {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, dom.ScrollIntoViewIfNeeded, dom.ScrollIntoViewIfNeededParams{BackendNodeID: n.id}); err != nil {
		return nil
	}
	quads, err := chromedp.Call(p.ctx, dom.GetContentQuads, dom.GetContentQuadsParams{BackendNodeID: n.id})
	if err != nil || len(quads.Quads) == 0 {
		return nil
	}
	return quads.Quads[0]
}

// Fill types a text into the field of that name, in place of what it holds.
func (p *Page) Fill(role, name, text string) {
	p.t.Helper()
	p.Click(role, name)
	p.Press("Control+a")
	p.Type(text)
}

// Type types a text where the focus is.
func (p *Page) Type(text string) {
	p.t.Helper()
	if text == "" {
		p.Press("Delete")
		return
	}
	_, err := chromedp.Call(p.ctx, input.InsertText, input.InsertTextParams{Text: text})
	p.must("type", err)
}

// Paste pastes a text where the focus is, by way of the clipboard.
func (p *Page) Paste(text string) {
	p.t.Helper()
	_, err := chromedp.CallBrowser(p.ctx, browser.SetPermission, browser.SetPermissionParams{
		Permission: &browser.PermissionDescriptor{Name: "clipboard-write"}, Setting: browser.PermissionSettingGranted,
		BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID,
	})
	p.must("clipboard", err)
	p.Do(fmt.Sprintf("await navigator.clipboard.writeText(%q)", text))
	p.Press("Control+v")
}

// keys are those that Press knows by name.
var keys = map[string]string{
	"Tab": kb.Tab, "Enter": kb.Enter, "Escape": kb.Escape, "Space": " ", "Delete": kb.Delete,
	"ArrowDown": kb.ArrowDown, "ArrowUp": kb.ArrowUp, "ArrowLeft": kb.ArrowLeft,
}

// Press presses keys one after the other: "Tab", "Shift+Tab", "Control+a".
func (p *Page) Press(names ...string) {
	p.t.Helper()
	for _, name := range names {
		var options []chromedp.KeyOption
		var commands []string
		if rest, shift := strings.CutPrefix(name, "Shift+"); shift {
			name, options = rest, append(options, chromedp.KeyModifiers(chromedp.ModifierShift))
		}
		if rest, control := strings.CutPrefix(name, "Control+"); control {
			name, options = rest, append(options, chromedp.KeyModifiers(chromedp.ModifierCtrl))
			// Without a desktop no shortcut is anything but two keys.
			commands = map[string][]string{"a": {"selectAll"}, "v": {"paste"}}[name]
		}
		options = append(options, func(k *input.DispatchKeyEventParams) {
			if k.Type != kb.KeyUp {
				k.Commands = commands
			}
		})
		key, known := keys[name]
		if !known {
			key = name
		}
		p.must("press "+name, chromedp.Do(p.ctx, chromedp.KeyEvent(key, options...)))
	}
}

// Tab presses the Tab key so many times, as fast as can be.
func (p *Page) Tab(times int) {
	p.t.Helper()
	for range times {
		_, err := chromedp.Call(p.ctx, input.DispatchKeyEvent, input.DispatchKeyEventParams{
			Type: input.DispatchKeyEventTypeRawKeyDown, Key: "Tab", Code: "Tab", WindowsVirtualKeyCode: 9, NativeVirtualKeyCode: 9,
		})
		p.must("press Tab", err)
	}
}

// Focused is the node that has the focus, the document's when nothing has.
func (p *Page) Focused() Node {
	p.t.Helper()
	for _, n := range p.All("", "") {
		if n.Is("focused") == "true" && n.Role != "RootWebArea" {
			return n
		}
	}
	return Node{Role: "RootWebArea"}
}

// Picture is what is seen of the page, as a PNG.
func (p *Page) Picture() []byte {
	p.t.Helper()
	got, err := chromedp.Call(p.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{})
	p.must("picture", err)
	return got.Data
}
