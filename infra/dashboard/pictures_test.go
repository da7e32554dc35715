package dashboard_test

import (
	"bytes"
	"flag"
	"fmt"
	"image/png"
	"os"
	"testing"

	"keyvend/infra/browsertest"
)

//go:generate go test -run TestTheReadmesPicturesAreThere -update .

var update = flag.Bool("update", false, "make the pictures anew")

// pictures are the README's, made by go generate. They depend on a machine's fonts
// and on the time, so nobody compares them.
var pictures = map[string]func(*shop, *browsertest.Page){
	"pictures/integration.png": func(s *shop, p *browsertest.Page) {
		p.Resize(1120, 760)
		p.Prefer("dark", true)
		p.Do(aDay)
		s.at(p, "integrations/fake-bearer")
		p.Find("image", "Health by the hour: 1 stopped working, 0 worked again, at most 1 in an hour.")
		p.Says("refused")
	},
}

// aDay makes a day of the tenant's one hour: whoever is new to keyvend has none to
// show.
const aDay = `
	const real = window.fetch;
	window.fetch = async (address, asked) => {
		const answer = await real(address, asked);
		if (!new URL(address).pathname.endsWith("/usage")) return answer;
		const body = await answer.json();
		body.data.forEach((hour, i) => Object.assign(hour, { vended: Math.round(60 + 45 * Math.sin(i / 3.5)), refused: i % 7 === 2 ? 3 : 0 }));
		return new Response(JSON.stringify(body), answer);
	};`

// posed is a tenant whose pages have something to show.
func posed(t *testing.T) *shop {
	s := open(t)
	s.fake()
	for _, slug := range []string{"openai", "linear", "stripe"} {
		s.connect(slug)
	}
	key := func(i int) string { return fmt.Sprintf("fake-valid-%d-%s", i, s.tenant) }
	for i := range 5 {
		id := s.store("fake-bearer", fmt.Sprintf("user_%d", i), key(i))
		s.send("POST", "/keyvend/accounts/"+id+"/check", nil)
		s.store("openai", fmt.Sprintf("user_%d", i), fmt.Sprintf("sk-canary-of-user-%d", i))
	}
	s.store("linear", "user_1", "lin_api_canary-of-user-1")
	s.send("PUT", "/data-integrations/stripe", object{"enabled": false})
	for i := range 24 {
		s.vend("fake-bearer", fmt.Sprintf("user_%d", i%4))
	}
	s.fakes.Revoke(key(4))
	s.send("POST", "/keyvend/reports", object{"slug": "fake-bearer", "user_id": "user_4", "status": 401})
	browsertest.Until(t, "a key that needs replacing", func() bool {
		return len(s.send("GET", "/keyvend/accounts?state=needs_reauthorization", nil)["data"].([]any)) == 1
	})
	s.vend("fake-bearer", "user_4")
	browsertest.Until(t, "counts", func() bool {
		hours := s.send("GET", "/keyvend/integrations/fake-bearer/usage", nil)["data"].([]any)
		vended := 0.0
		for _, hour := range hours {
			vended += hour.(object)["vended"].(float64) + hour.(object)["refused"].(float64)
		}
		return vended == 25
	})
	return s
}

func TestTheReadmesPicturesAreThere(t *testing.T) {
	for name, pose := range pictures {
		if *update {
			s := posed(t)
			p := s.signedIn()
			p.Live("en-GB", "Europe/Berlin")
			pose(s, p)
			p.Do(`document.activeElement.blur(); document.documentElement.style.overflow = "hidden"; scrollTo(0, 0)`)
			if err := os.WriteFile(name, p.Picture(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := png.DecodeConfig(bytes.NewReader(text)); err != nil || len(text) > 200<<10 {
			t.Errorf("%s: %d bytes, %v", name, len(text), err)
		}
	}
}
