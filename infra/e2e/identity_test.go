package e2e

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// identities are about the names that a tenant gives its users and
// organizations.
func identities() []guarantee {
	return []guarantee{
		{"F4_names_are_kept_apart_byte_for_byte", keptApart},
		{"F4_names_that_could_be_taken_for_others_are_refused", refusedNames},
	}
}

// percent encodes every byte, as strict clients encode all but letters.
func percent(name string) string {
	var b strings.Builder
	for i := range len(name) {
		fmt.Fprintf(&b, "%%%02X", name[i])
	}
	return b.String()
}

func keptApart(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.register("openai")
	names := []string{
		"auth0|65f", "auth0:65f", "us-east-1:0a-b", "a@b.co", "A", "a", "x=y~z,w+v", "x=y~z,w-v", "user", "user_", "...", "-", "none",
		"ACCOUNT", `"quoted"`, "{curly}", "a&b;c", "$ref", "'", "<b>", "!*()[]^`", strings.Repeat("n", 128), strings.Repeat("n", 127),
	}
	secrets := map[string]string{}
	for _, name := range names {
		secrets["user "+name], secrets["organization "+name] = newSecret(), newSecret()
		a := shop.upsert("openai", m{"user_id": name, "secret": secrets["user "+name]})
		if a.text("user_id") != name {
			t.Errorf("%q came back as %q", name, a.text("user_id"))
		}
		a = shop.upsert("openai", m{"user_id": "somebody", "organization_id": name, "secret": secrets["organization "+name]})
		if a.text("organization_id") != name {
			t.Errorf("%q came back as %q", name, a.text("organization_id"))
		}
	}
	ids := map[string]bool{}
	for _, name := range names {
		shop.vends("openai", m{"user_id": name}, secrets["user "+name])
		shop.vends("openai", m{"user_id": "somebody", "organization_id": name}, secrets["organization "+name])
		for _, path := range []string{
			connected(name, "openai", ""),
			"/user_management/users/" + percent(name) + "/connected_accounts/openai",
		} {
			a := shop.do("GET", path, nil).is(200)
			ids[a.text("id")] = true
			if a.text("user_id") != name || a.text("api_key_last_4") != last4(secrets["user "+name]) {
				t.Errorf("%v: the account of %q", a, a.text("user_id"))
			}
		}
		a := shop.do("GET", connected("somebody", "openai", name), nil).is(200)
		if a.text("organization_id") != name || a.text("api_key_last_4") != last4(secrets["organization "+name]) {
			t.Errorf("%v: the account in %q", a, a.text("organization_id"))
		}
		row := shop.do("GET", dataProviders(name, ""), nil).is(200).row("openai")
		if account, _ := row["connected_account"].(map[string]any); account["user_id"] != name {
			t.Errorf("data_providers of %q shows the account of %v", name, account["user_id"])
		}
	}
	if len(ids) != len(names) {
		t.Errorf("%d names have %d accounts", len(names), len(ids))
	}
	// One goes, the others stay.
	shop.do("DELETE", connected("a", "openai", ""), nil).is(204)
	shop.vends("openai", m{"user_id": "a"}, "")
	shop.vends("openai", m{"user_id": "A"}, secrets["user A"])
	shop.vends("openai", m{"user_id": "somebody", "organization_id": "a"}, secrets["organization a"])
}

func refusedNames(t *testing.T, k *target) {
	shop, secret, before := stocked(t, k)
	for _, name := range []string{
		"a#b", "a/b", `a\b`, "..", ".", "T#1", "a?b", "a%b", "%41", "%2F", strings.Repeat("n", 129), " ", "a b", " ada", "ada ", "é", "ａda", "a\tb", "a\nb", "a\x00",
	} {
		for field, a := range map[string]answer{
			"user_id, upsert":         shop.do("PUT", "/data-integrations/openai/api-key", m{"user_id": name, "secret": newSecret()}),
			"user_id, vend":           shop.do("POST", "/data-integrations/openai/credentials", m{"user_id": name}),
			"organization_id, upsert": shop.do("PUT", "/data-integrations/openai/api-key", m{"user_id": "ada", "organization_id": name, "secret": newSecret()}),
			"organization_id, vend":   shop.do("POST", "/data-integrations/openai/credentials", m{"user_id": "ada", "organization_id": name}),
			"organization_id, query":  shop.do("GET", "/user_management/users/ada/connected_accounts/openai?organization_id="+percent(name), nil),
		} {
			if a.status != 422 || !strings.Contains(a.text("message"), strings.Split(field, ",")[0]) {
				t.Errorf("%q as %s: %v: %s", name, field, a, a.body)
			}
		}
		// In a path a gateway may answer before keyvend can: it has to be a refusal.
		path := "/user_management/users/" + percent(name) + "/connected_accounts/openai"
		a := shop.raw(request{method: "GET", path: path, header: http.Header{"Authorization": {"Bearer " + shop.key}}}, path)
		if !slices.Contains([]int{400, 404, 422}, a.status) || a.text("message") == "" {
			t.Errorf("%q in a path: %v: %q", name, a, a.body)
		}
	}
	shop.intact(secret, before)
}

// The parts of an API key behind its prefix: version 1, tenant 16, key id 16,
// random 22, tag 16, checksum 4.
const keyPrefix = "sk_kv_"

// splice is the key a with its bytes from..to taken from b, and a checksum that
// fits.
func splice(a, b string, from, to int) string {
	raw, other := unpack(a), unpack(b)
	copy(raw[from:to], other[from:to])
	return pack(raw)
}

// forge is a key that differs in its random part.
func forge(key string) string {
	raw := unpack(key)
	raw[40] ^= 1
	return pack(raw)
}

func unpack(key string) []byte {
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(key, keyPrefix))
	if err != nil {
		panic(err) // the suite no longer knows the form of an API key
	}
	return raw
}

func pack(raw []byte) string {
	signed := raw[:len(raw)-4]
	raw = binary.BigEndian.AppendUint32(slices.Clone(signed), crc32.ChecksumIEEE(signed))
	return keyPrefix + base64.RawURLEncoding.EncodeToString(raw)
}

// refusals are about requests without a valid API key.
func refusals() []guarantee {
	return []guarantee{{"F41_anything_but_one_bearer_key_in_one_header_is_401", badKeys}}
}

func badKeys(t *testing.T, k *target) {
	shop, secret, _ := stocked(t, k)
	key := shop.key
	other := shop.with("manage", "vend").key
	before := k.storedOf(t, shop.tenant)
	for name, headers := range map[string][]string{
		"no key":                 nil,
		"an empty header":        {""},
		"a scheme and no key":    {"Bearer"},
		"a scheme and a space":   {"Bearer "},
		"no scheme":              {key},
		"lower-case scheme":      {"bearer " + key},
		"upper-case scheme":      {"BEARER " + key},
		"another scheme":         {"Basic " + key},
		"basic, as some APIs":    {"Basic " + base64.StdEncoding.EncodeToString([]byte(key+":"))},
		"two spaces":             {"Bearer  " + key},
		"a tab":                  {"Bearer\t" + key},
		"a space and a tab":      {"Bearer \t" + key},
		"two keys in one header": {"Bearer " + key + ", Bearer " + key},
		"two keys with a comma":  {"Bearer " + key + "," + other},
		"two headers":            {"Bearer " + key, "Bearer " + key},
		"two tenants' headers":   {"Bearer " + other, "Bearer " + key},
		"quotes":                 {`Bearer "` + key + `"`},
		"one character less":     {"Bearer " + key[:len(key)-1]},
		"one character more":     {"Bearer " + key + "A"},
		"another last character": {"Bearer " + key[:len(key)-1] + map[bool]string{true: "B", false: "A"}[key[len(key)-1] == 'A']},
		"no prefix":              {"Bearer " + strings.TrimPrefix(key, keyPrefix)},
		"another prefix":         {"Bearer sk_live_" + strings.TrimPrefix(key, keyPrefix)},
		"forged":                 {"Bearer " + forge(key)},
		"half a key":             {"Bearer " + key[:40]},
		"a long key":             {"Bearer " + keyPrefix + strings.Repeat("A", 4000)},
		"a secret":               {"Bearer " + secret},
	} {
		for _, r := range []request{
			{method: "GET", path: "/data-integrations"},
			{method: "GET", path: dataProviders("ada", "")},
			{method: "PUT", path: "/data-integrations/openai/api-key", body: m{"user_id": "ada", "secret": newSecret()}},
			{method: "POST", path: "/data-integrations/openai/credentials", body: m{"user_id": "ada"}},
			{method: "DELETE", path: "/data-integrations/openai"},
		} {
			r.header = http.Header{}
			if headers != nil {
				r.header["Authorization"] = headers
			}
			if a := shop.send(r); a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("%s: %v: %s", name, a, a.body)
			}
		}
	}
	nobody := client{t: t, target: k}
	for _, query := range []string{"api_key", "access_token", "authorization", "Authorization", "key", "token"} {
		nobody.do("POST", "/data-integrations/openai/credentials?"+query+"="+key, m{"user_id": "ada", query: key}).is(401)
	}
	nobody.do("POST", "/data-integrations/openai/credentials", m{"user_id": "ada"}, "X-Api-Key", key, "Cookie", "token="+key).is(401)
	// A path that is not there and a method that is not taken are told to anyone.
	nobody.do("GET", "/no/such/path", nil).is(404, "not_found")
	nobody.do("PATCH", "/data-integrations", nil).is(405)
	nobody.do("GET", "/healthz", nil).is(200)
	shop.intact(secret, before)
	if strings.Contains(string(k.written(t)), key[len(keyPrefix)+44:]) {
		t.Error("an API key was written to a log")
	}
}

// secretSizes are about the secrets themselves.
func secretSizes() []guarantee {
	return []guarantee{{"F53_F38_secrets_come_back_byte_for_byte_or_are_refused", sizes}}
}

func sizes(t *testing.T, k *target) {
	shop := k.newShop(t)
	shop.register("openai")
	filled := func(size int) string {
		return canary + strings.Repeat("x", size-len(canary)-4) + fmt.Sprintf("%04d", size%10000)
	}
	for _, secret := range []string{
		"x", "canary7", "canary-8", filled(100), filled(4096), filled(8 << 10),
		`canary "quotes" \back\ <tags> & %41 end`,
		"canary!#$%&'()*+,-./:;<=>?@[]^_`{|}~",
	} {
		a := shop.upsert("openai", m{"user_id": "ada", "secret": secret})
		var want any
		if len(secret) >= 8 {
			want = last4(secret)
		}
		if a.field("api_key_last_4") != want {
			t.Errorf("%d bytes: last four %v, want %v", len(secret), a.field("api_key_last_4"), want)
		}
		shop.vends("openai", m{"user_id": "ada"}, secret)
		row := shop.do("GET", dataProviders("ada", ""), nil).is(200).row("openai")
		if account, _ := row["connected_account"].(map[string]any); account["api_key_last_4"] != want {
			t.Errorf("%d bytes: data_providers shows %v", len(secret), account["api_key_last_4"])
		}
	}
	kept := newSecret()
	shop.upsert("openai", m{"user_id": "ada", "secret": kept})
	before := k.storedOf(t, shop.tenant)
	for name, secret := range map[string]string{
		"8 KiB and one": filled(8<<10 + 1), "60 KiB": filled(60 << 10), "empty": "", "a space": " ", "a newline at the end": "sk-canary-1234\n",
		"CR LF": "sk-canary\r\nX-Evil: 1", "NUL": "sk-canary\x00", "a tab": "sk-canary\t1", "DEL": "sk-canary\x7f", "non-ASCII": "sk-canary-ö", "an emoji": "sk-canary-🔑",
	} {
		a := shop.do("PUT", "/data-integrations/openai/api-key", m{"user_id": "ada", "secret": secret})
		if a.status != 422 || !strings.Contains(a.text("message"), "secret") {
			t.Errorf("%s: %v: %s", name, a, a.body)
		}
	}
	inline := func(secret string) answer {
		return shop.do("PUT", "/data-integrations/openai", m{"api_key": m{"user_id": "ada", "secret": secret}})
	}
	inline("four").is(422)
	k.unchanged(t, shop.tenant, before)
	shop.vends("openai", m{"user_id": "ada"}, kept)
	inline("canar").is(200)
	shop.vends("openai", m{"user_id": "ada"}, "canar")
}
