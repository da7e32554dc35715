package widget_test

import (
	"bytes"
	"image/png"
	"os"
	"testing"

	"keyvend/infra/browsertest"
)

//go:generate go test -run TestTheReadmesPicturesAreThere -update .

// pictures are those of the README, made by go generate. They depend on a machine's
// fonts, so nobody compares them.
var pictures = map[string]func(*keyvend, *browsertest.Page){
	"pictures/list.png": func(k *keyvend, p *browsertest.Page) {
		p.Resize(640, 640)
		p.Prefer("light", true)
		p.Visit(k.element(""))
		p.Click("button", "Who used it: OpenAI")
		p.Says("12 times")
	},
	"pictures/form.png": func(k *keyvend, p *browsertest.Page) {
		p.Resize(640, 560)
		p.Prefer("dark", true)
		p.Visit(k.element(""))
		p.Click("button", "Connect: Datadog")
		p.Find("dialog", "Connect Datadog")
		p.Paste(`DD_API_KEY="0123456789abcdef0123456789abcdef"`)
		p.Says("was left out")
	},
}

func TestTheReadmesPicturesAreThere(t *testing.T) {
	for name, pose := range pictures {
		if *update {
			p := browsertest.Open(t)
			p.Live("en-GB", "Europe/Berlin")
			pose(furnished(t), p)
			// The widget alone.
			p.Do(`document.querySelector("h1").remove(); document.body.style.margin = 0; document.documentElement.style.overflow = "hidden"; document.querySelector("keyvend-pipes").shadowRoot.activeElement?.blur(); scrollTo(0, 0)`)
			if err := os.WriteFile(name, p.Picture(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := png.DecodeConfig(bytes.NewReader(text)); err != nil || len(text) > 100<<10 {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
	}
}
