package integration_test

import (
	"crypto/sha256"
	"slices"
	"testing"
	"time"

	"keyvend/pkg/catalog"
	"keyvend/pkg/integration"
	"keyvend/pkg/secret"
)

// hasher stands in for a tenant's key.
type hasher string

func (h hasher) MAC(use string, parts ...[]byte) []byte {
	sum := sha256.Sum256(slices.Concat(append([][]byte{[]byte(h), []byte(use)}, parts...)...))
	return sum[:]
}

// none makes no MACs, as a key that failed.
type none struct{}

func (none) MAC(string, ...[]byte) []byte { return nil }

func custom() *integration.Integration {
	return &integration.Integration{ID: "a", Tenant: "t", Slug: "acme", Name: "Acme", Custom: &integration.CustomProvider{
		ConfigFields: []catalog.ConfigField{{Field: "region", Default: "us"}},
		Check: &catalog.Check{
			URL: "https://{region}.example.com/me", Method: "GET", Valid: []int{200},
			Placement: catalog.Placement{In: "header", Name: "X-Key", Template: "{key}"},
		},
	}}
}

func TestF61_ACheckIsVouchedForOnlyAsItWasSet(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(in *integration.Integration)
		key  integration.MACer
		want bool
	}{
		"as it was":               {func(*integration.Integration) {}, hasher("k"), true},
		"another rule":            {func(in *integration.Integration) { in.Custom.Check.Valid = []int{204} }, hasher("k"), true},
		"another host":            {func(in *integration.Integration) { in.Custom.Check.URL = "https://evil.example.org/me" }, hasher("k"), false},
		"another path":            {func(in *integration.Integration) { in.Custom.Check.URL += "/x" }, hasher("k"), false},
		"another method":          {func(in *integration.Integration) { in.Custom.Check.Method = "POST" }, hasher("k"), false},
		"another placement":       {func(in *integration.Integration) { in.Custom.Check.Placement.Name = "X" }, hasher("k"), false},
		"another default":         {func(in *integration.Integration) { in.Custom.ConfigFields[0].Default = "evil" }, hasher("k"), false},
		"another integration":     {func(in *integration.Integration) { in.ID = "b" }, hasher("k"), false},
		"another tenant":          {func(in *integration.Integration) { in.Tenant = "u" }, hasher("k"), false},
		"another tenant's key":    {func(*integration.Integration) {}, hasher("l"), false},
		"no MAC":                  {func(in *integration.Integration) { in.Custom.CheckMAC = nil }, hasher("k"), false},
		"no MAC, and a bad key":   {func(in *integration.Integration) { in.Custom.CheckMAC = nil }, none{}, false},
		"no check":                {func(in *integration.Integration) { in.Custom.Check = nil }, hasher("k"), true},
		"provider of the catalog": {func(in *integration.Integration) { in.Custom = nil }, hasher("k"), true},
	} {
		in := custom()
		in.Vouch(hasher("k"))
		c.edit(in)
		if got := in.Vouched(c.key); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestProviderIsWhatTheCatalogOrTheTenantSays(t *testing.T) {
	in := custom()
	in.Custom.KeyHint, in.Custom.HelpURL = "A key.", "https://example.com"
	if p := in.Provider(); p.Name != "Acme" || p.KeyHint != "A key." || p.KeyPage != "https://example.com" || p.Check == nil || len(p.ConfigFields) != 1 {
		t.Errorf("%+v", p)
	}
	if p := (&integration.Integration{Slug: "openai", Name: "x"}).Provider(); p.Name != "OpenAI" {
		t.Errorf("%+v", p)
	}
	if p := (&integration.Integration{Slug: "no-longer-there", Name: "Old"}).Provider(); p.Name != "Old" || p.Check != nil {
		t.Errorf("%+v", p)
	}
}

func TestOnInvalidIsRefuseUnlessTheCatalogIsLessSureOfItsCheck(t *testing.T) {
	catalogs := func(slug string) *integration.Integration { return &integration.Integration{Slug: slug} }
	for name, c := range map[string]struct {
		in   *integration.Integration
		want integration.OnInvalid
	}{
		"custom":                  {custom(), integration.Refuse},
		"high confidence":         {catalogs("stripe"), integration.Refuse},
		"medium confidence":       {catalogs("mailgun"), integration.Advise},
		"low confidence":          {catalogs("paddle"), integration.Advise},
		"no longer there":         {catalogs("no-longer-there"), integration.Advise},
		"custom, under that name": {func() *integration.Integration { in := custom(); in.Slug = "mailgun"; return in }(), integration.Refuse},
	} {
		if got := c.in.OnInvalid(); got != c.want {
			t.Errorf("%s: %s", name, got)
		}
		for _, set := range []integration.OnInvalid{integration.Refuse, integration.Advise} {
			if c.in.Policy.OnInvalid = set; c.in.OnInvalid() != set {
				t.Errorf("%s, set to %s: %s", name, set, c.in.OnInvalid())
			}
		}
	}
}

func TestAnIntervalIsMinutesOrHoursOrOff(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 24 * time.Hour, "off": 0, "15m": 15 * time.Minute, "90m": 90 * time.Minute, "1h": time.Hour, "720h": 720 * time.Hour, "43200m": 720 * time.Hour,
	} {
		i := integration.Interval(text)
		if got := i.Every(); got != want || !i.OrDefault().Known() {
			t.Errorf("%q: %v", text, got)
		}
	}
	for _, text := range []string{"", "14m", "0h", "721h", "43201m", "1d", "h", "m", "-24h", "+24h", "024h", "24", "24H", "1h30m", " 24h", "1e3m", "Off", "99999999999999999999h", "2４h"} {
		if integration.Interval(text).Known() {
			t.Errorf("%q is an interval", text)
		}
	}
}

func TestF60_OnlyTheCatalogFindsSettingsInKeys(t *testing.T) {
	in := custom()
	in.Custom.ConfigFields[0].DeriveFromKey = &catalog.Derivation{AfterLast: "-"}
	p := in.Provider()
	ask, err := p.Check.Ask(p.ConfigFields, nil, secret.FromString("key-eu"))
	if err != nil || ask.Host != "us.example.com" {
		t.Errorf("asked %q: %v", ask.Host, err)
	}
	if in.Custom.ConfigFields[0].DeriveFromKey == nil {
		t.Error("what is stored was changed, and with it what secrets are bound to")
	}
}
