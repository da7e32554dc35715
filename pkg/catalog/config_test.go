package catalog_test

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"keyvend/pkg/catalog"
)

func TestConfigValueIsTakenOnlyWhenItFitsItsField(t *testing.T) {
	long := strings.Repeat("a", catalog.MaxValue+1)
	for _, c := range []struct {
		slug, field, value string
		reason             string // "" when the value is taken
	}{
		{"mailgun", "api_host", "api.eu.mailgun.net", ""},
		{"mailgun", "api_host", "", ""},
		{"mailgun", "api_host", "evil.example.com", "Region must be one of these: api.mailgun.net, api.eu.mailgun.net."},
		{"mailgun", "api_host", "api.mailgun.net/", "Region must be one of these"},
		{"shopify", "shop", "acme-store", ""},
		{"shopify", "shop", "a", ""},
		{"shopify", "shop", strings.Repeat("a", 60), ""},
		{"shopify", "shop", strings.Repeat("a", 61), "Shop name does not have the right form, such as acme-store."},
		{"shopify", "shop", "", ""},
		{"shopify", "shop", "-acme", "does not have the right form"},
		{"shopify", "shop", "Acme", "does not have the right form"},
		{"shopify", "shop", "acme.myshopify.com", "does not have the right form"},
		{"shopify", "shop", "evil.example.com/#", "does not have the right form"},
		{"shopify", "shop", "acme\n", "Shop name has characters that cannot be used."},
		{"shopify", "shop", "acme\xff", "Shop name has characters that cannot be used."},
		{"shopify", "shop", long, "Shop name is too long: it has at most 255 characters."},
		{"grafana", "domain", "acme.grafana.net", ""},
		{"grafana", "domain", "https://acme.grafana.net/", "Host is not the name of a public host. Enter the name alone, in lower case, without https:// and without a path, such as acme.grafana.net."},
		{"gitlab-pat", "hostname", "", ""},
		{"mailchimp", "dc", "us21", ""},
		{"mailchimp", "dc", "us", "Data center does not have the right form"},
	} {
		p, _ := catalog.Lookup(c.slug)
		f, ok := p.Field(c.field)
		if !ok {
			t.Fatalf("%s has no field %s", c.slug, c.field)
		}
		reason, ok := f.Check(c.value)
		if ok != (c.reason == "") || !strings.Contains(reason, c.reason) || ok && reason != "" {
			t.Errorf("%s %s %.70q: %v %q, want %q", c.slug, c.field, c.value, ok, reason, c.reason)
		}
	}
}

func TestReasonNeverRepeatsTheValue(t *testing.T) {
	for _, p := range catalog.All() {
		for _, f := range p.ConfigFields {
			for _, value := range []string{"sk_canary_0000", "sk_canary_0000\n", strings.Repeat("sk-canary-", 40)} {
				if reason, ok := f.Check(value); ok || strings.Contains(reason, "canary") {
					t.Errorf("%s %s: %v %q", p.Slug, f.Field, ok, reason)
				}
			}
		}
	}
}

func TestF35_HostFieldTakesNamesOfPublicHostsOnly(t *testing.T) {
	f := hostField()
	for _, host := range []string{"gitlab.com", "gitlab.example.com", "a.b-c.d0.example.co", "xn--bcher-kva.example", "1.example.com"} {
		if reason, ok := f.Check(host); !ok {
			t.Errorf("%s: %s", host, reason)
		}
	}
	for _, host := range []string{
		"169.254.169.254", "127.0.0.1", "127.0.0.1:9001", "127.1", "[::1]", "::1", "::ffff:127.0.0.1", "0.0.0.0", "2130706433",
		"0x7f.1", "0x7f000001", "0177.0.0.1", "64:ff9b::7f00:1", "localhost", "localhost.", "a.localhost", "metadata.google.internal",
		"db.internal", "printer.local", "host.lan", "1.0.0.127.in-addr.arpa", "me@gitlab.com", "me:pw@gitlab.com", "gitlab。com", "gitlab．com",
		"ﬁgma.com", "gitlab.com.", ".gitlab.com", "git..lab.com", "gitlab", "-a.com", "a-.com", "a_b.com", "gitlab.com:443", "gitlab.com/",
		"gitlab.com?", "gitlab.com#", "https://gitlab.com", "git lab.com", "gitlab.com\r\nHost: x", "gitlab.com\x00", "GitLab.com", "%67itlab.com",
		strings.Repeat("a", 64) + ".com", strings.Repeat("a.", 126) + "com", "*.gitlab.com", ".", "..",
	} {
		if _, ok := f.Check(host); ok {
			t.Errorf("%q is taken", host)
		}
	}
}

func TestDerivedFieldComesFromTheKeyAndNothingElse(t *testing.T) {
	p, _ := catalog.Lookup("mailchimp")
	dc, _ := p.Field("dc")
	for key, want := range map[string]string{
		"00000000000000000000000000000000-us21":   "us21",
		"canary-with-hyphens-us5":                 "us5",
		"00000000000000000000000000000000":        "",
		"00000000000000000000000000000000-":       "",
		"00000000000000000000000000000000-canary": "",
		"00000000000000000000000000000000-us21\n": "",
		"0000-us21.evil.example/":                 "",
		"":                                        "",
	} {
		if got, ok := dc.Derive([]byte(key)); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", key, got, ok)
		}
	}
	shopify, _ := catalog.Lookup("shopify")
	shop, _ := shopify.Field("shop")
	if got, ok := shop.Derive([]byte("shpat_canary-us21")); ok {
		t.Errorf("a field that is not derived got %q", got)
	}
}

func FuzzHostField(f *testing.F) {
	for _, host := range []string{"gitlab.com", "127.0.0.1", "localhost", "a@b.com", "0x7f.1", "a.b:1", "ſ.com"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if _, ok := hostField().Check(host); !ok || host == "" {
			return
		}
		u, err := url.Parse("https://" + host + "/path")
		if err != nil || u.Host != host || u.Port() != "" || u.User != nil || u.Path != "/path" || strings.ToLower(host) != host {
			t.Errorf("%q makes the address %v, %v", host, u, err)
		}
		if _, err := netip.ParseAddr(host); err == nil {
			t.Errorf("%q is an address", host)
		}
	})
}

func hostField() catalog.ConfigField {
	return catalog.ConfigField{Field: "host", Label: "Host", Description: "The host.", Format: "hostname"}
}
