package session_test

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"keyvend/pkg/apikey"
	"keyvend/pkg/seal"
	"keyvend/pkg/session"
	"keyvend/pkg/tenant"
)

// keys are a tenant's, made of a name.
type keys string

func (k keys) private(kind seal.TokenKind) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(string(k) + string(kind)))
	return ed25519.NewKeyFromSeed(seed[:])
}

func (k keys) Sign(kind seal.TokenKind, message []byte) []byte {
	return ed25519.Sign(k.private(kind), message)
}

func (k keys) Signed(kind seal.TokenKind, message, signature []byte) bool {
	return ed25519.Verify(k.private(kind).Public().(ed25519.PublicKey), message, signature)
}

const acme = keys("acme")

var now = time.Date(2026, 3, 1, 12, 0, 0, 7e6, time.UTC)

func claims() session.Claims {
	return session.Claims{
		Tenant: "tenant_01ARZ3NDEKTSV4RRFFQ69G5FAV", APIKey: "api_key_01ARZ3NDEKTSV4RRFFQ69G5FAV",
		Epoch: 3, IssuedAt: now, ExpiresAt: now.Add(time.Hour).Truncate(time.Second), ID: "01ARZ3NDEKTSV4RRFFQ69G5FAV",
		User: "anna", Organization: "org_1", Permissions: []session.Permission{session.ManagePipes},
	}
}

func signed(t testing.TB, kind seal.TokenKind, c session.Claims) string {
	t.Helper()
	text, err := session.Sign(kind, c, acme)
	if err != nil {
		t.Fatal(err)
	}
	return string(text.Reveal())
}

func TestATokenStatesWhatWasSigned(t *testing.T) {
	dashboard := claims()
	dashboard.User, dashboard.Organization, dashboard.Permissions = "", "", nil
	dashboard.Scopes, dashboard.KeyExpiresAt = []apikey.Scope{apikey.Manage, apikey.Read}, now.Add(time.Minute)
	for kind, c := range map[seal.TokenKind]session.Claims{seal.WidgetToken: claims(), seal.DashboardSession: dashboard} {
		token, ok := session.Parse(kind, signed(t, kind, c))
		if !ok || !token.Genuine(acme) || token.Kind() != kind || !reflect.DeepEqual(token.Claims(), c) {
			t.Errorf("%s: %v %+v", kind, ok, token.Claims())
		}
		if token.TenantID() != c.Tenant || token.KeyID() != c.APIKey {
			t.Errorf("%s: %s %s", kind, token.TenantID(), token.KeyID())
		}
		if token.Genuine(keys("globex")) {
			t.Errorf("%s: another tenant proves it", kind)
		}
	}
}

// atob is what the official widget reads claims with: base64 with + and /, padding
// or not.
func atob(t testing.TB, text string) []byte {
	t.Helper()
	b, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		t.Fatalf("atob(%q): %v", text, err)
	}
	return b
}

func TestTheOfficialWidgetReadsTheClaimsOfEveryUser(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := claims()
		// Also what no id may have: what is signed need not be what is let in.
		c.User = rapid.OneOf(rapid.StringMatching(`[!-~]{0,128}`), rapid.String()).Draw(r, "user")
		c.Organization = rapid.StringMatching(`[>?~|:@+=,\x7f]{0,128}`).Draw(r, "organization")
		if !strings.Contains(c.User, "\ufffd") { // what is no UTF-8 becomes that
			text := signed(t, seal.WidgetToken, c)
			payload := atob(t, strings.Split(text, ".")[1])
			for _, b := range payload {
				if b >= 0x7f {
					r.Fatalf("a byte that is no ASCII: %q", payload)
				}
			}
			var seen struct {
				Sub         string
				OrgID       string `json:"org_id"`
				Exp         int64
				Permissions []string
			}
			if err := json.Unmarshal(payload, &seen); err != nil {
				r.Fatal(err)
			}
			if seen.Sub != c.User || seen.OrgID != c.Organization || seen.Exp != c.ExpiresAt.Unix() || len(seen.Permissions) != 1 {
				r.Fatalf("%+v of %+v", seen, c)
			}
			token, ok := session.Parse(seal.WidgetToken, text)
			if !ok || !token.Genuine(acme) || token.Claims().User != c.User {
				r.Fatalf("%v %q", ok, token.Claims().User)
			}
		}
	})
}

// jws is a token of any header and claims, signed as such.
func jws(header, payload string, kind seal.TokenKind) string {
	encode := base64.RawURLEncoding.EncodeToString
	message := encode([]byte(header)) + "." + encode([]byte(payload))
	return message + "." + encode(acme.Sign(kind, []byte(message)))
}

func TestF47_OnlyTheOneFormOfItsKindIsAToken(t *testing.T) {
	good := signed(t, seal.WidgetToken, claims())
	parts := strings.Split(good, ".")
	payload, _ := base64.RawURLEncoding.DecodeString(parts[1])
	header := func(text string) string { return jws(text, string(payload), seal.WidgetToken) }
	edited := func(from, to string) string {
		return jws(`{"alg":"EdDSA","typ":"keyvend-widget+jwt"}`, strings.Replace(string(payload), from, to, 1), seal.WidgetToken)
	}
	if header(`{"alg":"EdDSA","typ":"keyvend-widget+jwt"}`) != good || edited("", "") != good {
		t.Fatal("this test makes other tokens than it means to")
	}
	for name, text := range map[string]string{
		"nothing":                    "",
		"no algorithm":               base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".",
		"no algorithm, signed":       header(`{"alg":"none","typ":"keyvend-widget+jwt"}`),
		"another algorithm":          header(`{"alg":"HS256","typ":"keyvend-widget+jwt"}`),
		"an algorithm of Go's":       header(`{"alg":"ES256","typ":"keyvend-widget+jwt"}`),
		"a key to check it with":     header(`{"alg":"EdDSA","typ":"keyvend-widget+jwt","jwk":{}}`),
		"the header spelt otherwise": header(`{"typ":"keyvend-widget+jwt","alg":"EdDSA"}`),
		"the other kind's header":    header(`{"alg":"EdDSA","typ":"keyvend-dashboard+jwt"}`),
		"the other kind":             signed(t, seal.DashboardSession, claims()),
		"the other audience":         edited("keyvend-widget", "keyvend-dashboard"),
		"another issuer":             edited(`"iss":"keyvend"`, `"iss":"other"`),
		"no tenant":                  edited("tenant_01", "tenant_"),
		"an API key that is none":    edited("api_key_01", "api_key_#1"),
		"claims that are a list":     jws(`{"alg":"EdDSA","typ":"keyvend-widget+jwt"}`, "[]", seal.WidgetToken),
		"claims that are no JSON":    jws(`{"alg":"EdDSA","typ":"keyvend-widget+jwt"}`, "{", seal.WidgetToken),
		"two parts":                  parts[0] + "." + parts[1],
		"no signature":               parts[0] + "." + parts[1] + ".",
		"four parts":                 good + ".x",
		"padding":                    good + "==",
		"a line break":               good + "\n",
		"a line break within":        good[:len(good)-4] + "\n" + good[len(good)-4:],
		"spaces":                     " " + good,
		"too long":                   good[:len(good)-86] + strings.Repeat("A", 5000),
		"an API key":                 "sk_kv_AAAA",
	} {
		if token, ok := session.Parse(seal.WidgetToken, text); ok && token.Genuine(acme) {
			t.Errorf("%s is taken: %s", name, text)
		}
	}
}

func TestF47_EveryChangedCharacterIsNoGenuineToken(t *testing.T) {
	good := signed(t, seal.WidgetToken, claims())
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := range good {
		at := max(0, strings.IndexByte(alphabet, good[i]))
		for _, c := range []byte{alphabet[(at+1)%64], alphabet[(at+32)%64], '.', '='} {
			if c == good[i] {
				continue
			}
			if token, ok := session.Parse(seal.WidgetToken, good[:i]+string(c)+good[i+1:]); ok && token.Genuine(acme) {
				t.Fatalf("character %d as %q", i, c)
			}
		}
	}
}

func TestATokenHoldsForItsHourItsTenantsEpochAndUntilItIsEnded(t *testing.T) {
	for name, c := range map[string]struct {
		at     time.Duration // after it was issued
		change func(*session.Claims, *tenant.Tenant)
		since  time.Duration // when those from before were ended, after it was issued; 0: never
		lives  bool
	}{
		"at once":                          {0, nil, 0, true},
		"in its last second":               {time.Hour - time.Second, nil, 0, true},
		"after an hour":                    {time.Hour, nil, 0, false},
		"F21 a day later":                  {24 * time.Hour, nil, 0, false},
		"F21 with the clock set back":      {-24 * time.Hour, nil, 0, false},
		"minted by a clock a little ahead": {-4 * time.Second, nil, 0, true},
		"longer than an hour":              {0, func(c *session.Claims, _ *tenant.Tenant) { c.ExpiresAt = now.Add(2 * time.Hour) }, 0, false},
		"another epoch":                    {0, func(_ *session.Claims, t *tenant.Tenant) { t.Epoch++ }, 0, false},
		"an epoch to come":                 {0, func(_ *session.Claims, t *tenant.Tenant) { t.Epoch-- }, 0, false},
		"others ended before":              {0, nil, -time.Millisecond, true},
		"ended since":                      {0, nil, time.Millisecond, false},
	} {
		t.Run(name, func(t *testing.T) {
			stated, of := claims(), &tenant.Tenant{Epoch: 3}
			if c.change != nil {
				c.change(&stated, of)
			}
			var since time.Time
			if c.since != 0 {
				since = stated.IssuedAt.Add(c.since)
			}
			if got := stated.Lives(now.Add(c.at), of, since); got != c.lives {
				t.Errorf("it lives: %v", got)
			}
		})
	}
}

func TestF45_ATokenPrintsNothingOfItsSignature(t *testing.T) {
	text := signed(t, seal.WidgetToken, claims())
	token, _ := session.Parse(seal.WidgetToken, text)
	raw, _ := base64.RawURLEncoding.DecodeString(text[strings.LastIndexByte(text, '.')+1:])
	holder := struct{ token session.Token }{token}
	for _, printed := range []string{fmt.Sprintf("%v %+v %#v %s %x", token, token, token, token, token), fmt.Sprintf("%v %+v %#v", holder, holder, holder)} {
		for _, form := range []string{string(raw), fmt.Sprint(raw)[1:40], fmt.Sprintf("%x", raw), text[len(text)-40:]} {
			if strings.Contains(printed, form) {
				t.Errorf("%s", printed)
			}
		}
	}
}

// FuzzWidgetToken: nothing that is made up panics or is taken, and what is taken is
// what was signed.
func FuzzWidgetToken(f *testing.F) {
	good := signed(f, seal.WidgetToken, claims())
	f.Add(good)
	f.Add(signed(f, seal.DashboardSession, claims()))
	f.Add(good[:len(good)-1])
	f.Add(jws(`{"alg":"EdDSA","typ":"keyvend-widget+jwt"}`, `{"iss":"keyvend","aud":"keyvend-widget","iat":1e300,"exp":-1}`, seal.WidgetToken))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		token, ok := session.Parse(seal.WidgetToken, text)
		if !ok {
			return
		}
		_ = token.Claims().Lives(now, &tenant.Tenant{}, time.Time{})
		if token.Genuine(acme) && text != good {
			t.Fatalf("forged: %q", text)
		}
		if token.Genuine(keys("globex")) {
			t.Fatalf("another tenant's: %q", text)
		}
	})
}
