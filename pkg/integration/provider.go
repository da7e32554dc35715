package integration

import (
	"crypto/hmac"
	"slices"
	"strconv"
	"strings"
	"time"

	"keyvend/pkg/catalog"
)

// CustomProvider is a provider that the tenant defined itself.
type CustomProvider struct {
	KeyHint      string                `json:"key_hint,omitempty"` // which key to bring
	HelpURL      string                `json:"help_url,omitempty"` // https address of a page that helps to get one
	ConfigFields []catalog.ConfigField `json:"config_fields,omitempty"`
	// Check says how a key is checked; nil: it is not. Host and placement are
	// part of each secret's binding from when they are set, and never change.
	Check *catalog.Check `json:"check,omitempty"`
	// CheckMAC is over all that a check sends, under the tenant's ingest key:
	// who can write the table cannot have the next key sent elsewhere.
	CheckMAC []byte `json:"check_mac,omitempty"`
}

// Bound are host and placement of the check as secrets are bound to them, ""
// while there is none.
func (c *CustomProvider) Bound() (host, placement string) {
	if c.Check == nil {
		return "", ""
	}
	return c.Check.Bound(c.ConfigFields)
}

// Provider is what the integration is about, whether the catalog or the tenant
// says it. A provider that the catalog no longer has is known by name only.
func (in *Integration) Provider() catalog.Provider {
	if in.Custom == nil {
		if p, ok := catalog.Lookup(in.Slug); ok {
			return p
		}
		return catalog.Provider{Slug: in.Slug, Name: in.Name}
	}
	return catalog.Provider{
		Slug:         in.Slug,
		Name:         in.Name,
		AuthMethods:  []string{string(in.AuthMethod)},
		KeyPage:      in.Custom.HelpURL,
		KeyHint:      in.Custom.KeyHint,
		ConfigFields: underived(in.Custom.ConfigFields),
		Check:        in.Custom.Check,
	}
}

// underived are the fields of a custom provider. The catalog alone may have values
// found in keys: who defines a field that only some keys have a value for learns
// from each check that is made, or not, how a key goes on.
func underived(fields []catalog.ConfigField) []catalog.ConfigField {
	fields = slices.Clone(fields)
	for i := range fields {
		fields[i].DeriveFromKey = nil
	}
	return fields
}

// MACer makes MACs under a tenant's key, as seal.IngestKey does.
type MACer interface {
	MAC(use string, parts ...[]byte) []byte
}

// OnInvalid is what becomes of keys that the provider refuses: what the tenant
// set, else Refuse, but Advise where the catalog is less sure of its check.
func (in *Integration) OnInvalid() OnInvalid {
	switch {
	case in.Policy.OnInvalid != "":
		return in.Policy.OnInvalid
	case in.Custom != nil || in.Provider().Trusted():
		return Refuse
	}
	return Advise
}

// Vouch sets the MAC of a custom provider's check.
func (in *Integration) Vouch(key MACer) { in.Custom.CheckMAC = in.checkMAC(key) }

// Vouched reports whether the check is one that the tenant set over the API: no
// key may be sealed for or sent to another. The catalog's checks are ours.
func (in *Integration) Vouched(key MACer) bool {
	if in.Custom == nil || in.Custom.Check == nil {
		return true
	}
	want := in.checkMAC(key)
	return len(want) > 0 && hmac.Equal(want, in.Custom.CheckMAC)
}

func (in *Integration) checkMAC(key MACer) []byte {
	return key.MAC("custom check", []byte(in.Tenant), []byte(in.ID), []byte(in.Custom.Check.Sent(in.Custom.ConfigFields)))
}

// Policy says when keys are checked and what becomes of those that are refused.
type Policy struct {
	VerifyOnSave  Verify    `json:"verify_on_save,omitempty"`
	OnInvalid     OnInvalid `json:"on_invalid,omitempty"` // "": Integration.OnInvalid says
	CheckInterval Interval  `json:"check_interval,omitempty"`
}

// CheckEvery is how often the integration's keys are checked, 0 when they are
// not.
func (in *Integration) CheckEvery() time.Duration {
	if !in.Enabled {
		return 0
	}
	return in.Policy.CheckInterval.Every()
}

// Verify says whether a key's provider is asked before the key is stored.
type Verify string

// The values of Verify. The zero value is NoVerify.
const (
	NoVerify Verify = "off"
	Warn     Verify = "warn"    // the key is stored whatever was answered, and the answer told
	Require  Verify = "require" // a key that the provider refuses is not stored
)

// OrDefault is NoVerify for the zero value.
func (v Verify) OrDefault() Verify {
	if v == "" {
		return NoVerify
	}
	return v
}

// Known reports whether v is one of the values.
func (v Verify) Known() bool { return v == NoVerify || v == Warn || v == Require }

// OnInvalid is what vending does about a key that its provider refuses.
type OnInvalid string

// The values of OnInvalid.
const (
	Refuse OnInvalid = "refuse" // the account needs reauthorization: nothing is vended
	Advise OnInvalid = "advise" // the key is vended as before; events and the account tell
)

// Known reports whether o is one of the values.
func (o OnInvalid) Known() bool { return o == Refuse || o == Advise }

// Interval is how often a key is checked: "off", or a whole number of minutes
// or hours such as "90m" or "24h", from 15 minutes to 30 days. The zero value
// is "24h".
type Interval string

// Off stands for no scheduled checks.
const Off Interval = "off"

const (
	defaultInterval Interval = "24h"
	leastInterval            = 15 * time.Minute
	mostInterval             = 30 * 24 * time.Hour
)

// OrDefault is "24h" for the zero value.
func (i Interval) OrDefault() Interval {
	if i == "" {
		return defaultInterval
	}
	return i
}

// Known reports whether i is a value that an interval may have.
func (i Interval) Known() bool {
	if i == Off {
		return true
	}
	_, ok := i.parse()
	return ok
}

// Every is the time from one check to the next, 0 when there are none.
func (i Interval) Every() time.Duration {
	d, _ := i.OrDefault().parse()
	return d
}

func (i Interval) parse() (time.Duration, bool) {
	digits, unit := string(i), time.Minute
	if hours, ok := strings.CutSuffix(digits, "h"); ok {
		digits, unit = hours, time.Hour
	} else if digits, ok = strings.CutSuffix(digits, "m"); !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	d := time.Duration(n) * unit
	if err != nil || digits[0] == '0' || d < leastInterval || d > mostInterval {
		return 0, false
	}
	return d, true
}
