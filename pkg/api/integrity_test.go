package api_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/account"
	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/operator"
	"keyvend/pkg/seal"
	"keyvend/pkg/seal/sealtest"
	"keyvend/pkg/secret"
	"keyvend/pkg/table"
	"keyvend/pkg/vault"
)

// fixedSentence is what a client is told of what only an operator can mend.
const fixedSentence = "Something went wrong on our side. Try again; if it keeps failing, look for the request id in the logs."

// refusesBroken fails the test unless a vend says nothing but the fixed
// sentence, and audit and log say that something was tampered with.
func (a acme) refusesBroken(t *testing.T, token, slug, body string) {
	t.Helper()
	alarms := len(a.Log.Alarms())
	got := a.Do(token, "POST", "/data-integrations/"+slug+"/credentials", body)
	if got.Status != http.StatusInternalServerError || got.Text("message") != fixedSentence || got.Code() != "" {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if got.Header.Get("X-Request-ID") == "" {
		t.Error("no request id")
	}
	if last := a.Audit.Last(); last.Outcome != "integrity" || last.Tenant == "" || last.RequestID != got.Header.Get("X-Request-ID") {
		t.Errorf("audit: %+v", last)
	}
	if raised := a.Log.Alarms()[alarms:]; !slices.Contains(raised, "integrity") {
		t.Errorf("alarms: %v", raised)
	}
}

func TestF2_ACiphertextMovedToAnotherRowDoesNotOpen(t *testing.T) {
	const hers = boottest.Canary + "of-another"
	for name, c := range map[string]struct {
		put  func(a acme) (k table.Key, token string) // makes the other row
		slug string
		body string
	}{
		"user": {slug: "openai", body: `{"user_id":"bob"}`, put: func(a acme) (table.Key, string) {
			a.Upsert(a.token, "openai", "bob", hers)
			return boottest.AccountRow(a.tenant, "bob", "openai", ""), a.token
		}},
		"provider": {slug: "stripe", body: `{"user_id":"anna"}`, put: func(a acme) (table.Key, string) {
			a.Register(a.token, "stripe")
			a.Upsert(a.token, "stripe", "anna", hers)
			return boottest.AccountRow(a.tenant, "anna", "stripe", ""), a.token
		}},
		"organization": {slug: "openai", body: `{"user_id":"anna","organization_id":"org"}`, put: func(a acme) (table.Key, string) {
			a.Must(http.StatusOK, a.token, "PUT", "/data-integrations/openai/api-key", `{"user_id":"anna","organization_id":"org","secret":"`+hers+`"}`)
			return boottest.AccountRow(a.tenant, "anna", "openai", "org"), a.token
		}},
		"tenant": {slug: "openai", body: `{"user_id":"anna"}`, put: func(a acme) (table.Key, string) {
			tenant, token := a.other()
			a.Upsert(token, "openai", "anna", hers)
			return boottest.AccountRow(tenant, "anna", "openai", ""), token
		}},
		"registration": {slug: "openai", body: `{"user_id":"anna"}`, put: func(a acme) (table.Key, string) {
			old := a.Row(boottest.AccountRow(a.tenant, "anna", "openai", ""))
			a.Must(http.StatusNoContent, a.token, "DELETE", "/data-integrations/openai", "")
			a.Register(a.token, "openai")
			a.Upsert(a.token, "openai", "anna", hers)
			a.Write(boottest.AccountRow(a.tenant, "copy", "openai", ""), old)
			return boottest.AccountRow(a.tenant, "anna", "openai", ""), a.token
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAcme(t, boottest.Config{})
			from := a.Row(boottest.AccountRow(a.tenant, "anna", "openai", ""))
			k, token := c.put(a)
			a.Edit(k, func(r boottest.Row) { r["secrets"] = from["secrets"] })
			a.refusesBroken(t, token, c.slug, c.body)
			// The whole row copied: dead, or it does not open either.
			a.Write(k, from)
			if got := a.Do(token, "POST", "/data-integrations/"+c.slug+"/credentials", c.body); strings.Contains(got.Body, boottest.Canary) {
				t.Errorf("%d %s", got.Status, got.Body)
			}
		})
	}
}

func TestF59_F61_AnyEditOfASecretsRowIsAnError(t *testing.T) {
	current := func(r boottest.Row) boottest.Row { return r.In("secrets").In("current") }
	for name, edit := range map[string]func(r boottest.Row, older boottest.Row){
		"last four":           func(r, _ boottest.Row) { current(r)["last_4"] = "0000" },
		"fingerprint":         func(r, _ boottest.Row) { current(r)["fingerprint"] = "AAAA" },
		"expiry":              func(r, _ boottest.Row) { current(r)["expires_at"] = "2099-01-01T00:00:00Z" },
		"secret id":           func(r, _ boottest.Row) { current(r)["id"] = "01ARZ3NDEKTSV4RRFFQ69G5FAV" },
		"no secret id":        func(r, _ boottest.Row) { delete(current(r), "id") },
		"older secret id":     func(r, older boottest.Row) { current(r)["id"] = current(older)["id"] },
		"older ciphertext":    func(r, older boottest.Row) { current(r)["sealed"] = current(older)["sealed"] },
		"older MAC":           func(r, older boottest.Row) { current(r)["mac"] = current(older)["mac"] },
		"no MAC":              func(r, _ boottest.Row) { delete(current(r), "mac") },
		"no ciphertext":       func(r, _ boottest.Row) { delete(current(r), "sealed") },
		"no secret":           func(r, _ boottest.Row) { r["secrets"] = boottest.Row{} },
		"secret in no slot":   func(r, _ boottest.Row) { r["secrets"] = boottest.Row{"staged": current(r)} },
		"config added":        func(r, _ boottest.Row) { r["config"] = boottest.Row{"host": "evil.example.com"} },
		"F9 unknown version":  func(r, _ boottest.Row) { current(r)["sealed"] = patched(r, 0, 0xff) },
		"F9 unknown KEM":      func(r, _ boottest.Row) { current(r)["sealed"] = patched(r, 2, 0xff) },
		"F9 unknown flags":    func(r, _ boottest.Row) { current(r)["sealed"] = patched(r, 23, 0xff) },
		"F9 key version gone": func(r, _ boottest.Row) { current(r)["sealed"] = patched(r, 6, 2) },
		"last byte":           func(r, _ boottest.Row) { current(r)["sealed"] = patched(r, -1, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			a := newAcme(t, boottest.Config{})
			k := boottest.AccountRow(a.tenant, "anna", "openai", "")
			older := a.Row(k)
			a.Clock.Pass(time.Second)
			a.Upsert(a.token, "openai", "anna", boottest.Canary+"rotated-0123")
			a.Edit(k, func(r boottest.Row) { edit(r, older) })
			unwraps := a.Wrapper.Unwraps()
			a.refusesBroken(t, a.token, "openai", `{"user_id":"anna"}`)
			if n := a.Wrapper.Unwraps() - unwraps; n > 1 {
				t.Errorf("%d unwraps: a storm", n)
			}
			// What is broken is mended by bringing the key again.
			a.Upsert(a.token, "openai", "anna", key)
			a.vends(t, key)
		})
	}
}

// patched is the ciphertext of a row with one byte changed by bits.
func patched(r boottest.Row, at int, bits byte) string {
	text, _ := r.In("secrets").In("current")["sealed"].(string)
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return ""
	}
	if at < 0 {
		at += len(raw)
	}
	raw[at] ^= bits
	return base64.StdEncoding.EncodeToString(raw)
}

func TestF3_F57_SwappedKeyMaterialIsRefusedBeforeAnythingIsSealedOrOpened(t *testing.T) {
	keys := func(r boottest.Row) boottest.Row { return r.In("keys") }
	for name, edit := range map[string]func(a acme, tenantB string){
		"all of another tenant's": func(a acme, b string) {
			material := a.Row(boottest.TenantRow(b))["keys"]
			a.Edit(boottest.TenantRow(a.tenant), func(r boottest.Row) { r["keys"] = material })
			a.WriteDoc(boottest.SealBlobRow(a.tenant), a.Item(boottest.SealBlobRow(b)).Doc)
		},
		"another tenant's ingest blob": func(a acme, b string) {
			blob := keys(a.Row(boottest.TenantRow(b)))["ingest_blob"]
			a.Edit(boottest.TenantRow(a.tenant), func(r boottest.Row) { keys(r)["ingest_blob"] = blob })
			breakSealHash(a)
		},
		"F57 another public key": func(a acme, b string) {
			public := keys(a.Row(boottest.TenantRow(b)))["public_keys"]
			a.Edit(boottest.TenantRow(a.tenant), func(r boottest.Row) { keys(r)["public_keys"] = public })
		},
		"another version": func(a acme, _ string) {
			a.Edit(boottest.TenantRow(a.tenant), func(r boottest.Row) {
				keys(r)["version"] = 2
				for _, name := range []string{"public_keys", "seal_hashes"} {
					byVersion := keys(r).In(name)
					byVersion["2"] = byVersion["1"]
				}
			})
		},
		"the seal blob in the ingest blob's place": func(a acme, _ string) {
			var row struct {
				Blob []byte `json:"blob"`
			}
			_ = json.Unmarshal(a.Item(boottest.SealBlobRow(a.tenant)).Doc, &row)
			a.Edit(boottest.TenantRow(a.tenant), func(r boottest.Row) {
				keys(r)["ingest_blob"] = base64.StdEncoding.EncodeToString(row.Blob)
			})
			breakSealHash(a)
		},
		"no key material": func(a acme, _ string) {
			a.Edit(boottest.TenantRow(a.tenant), func(r boottest.Row) { r["keys"] = boottest.Row{} })
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAcme(t, boottest.Config{})
			tenantB, _ := a.other()
			edit(a, tenantB)
			for _, process := range []string{"warm", "cold"} {
				before := a.Item(boottest.AccountRow(a.tenant, "anna", "openai", ""))
				got := a.Vend(a.token, "openai", "anna")
				if got.Status != http.StatusInternalServerError || got.Text("message") != fixedSentence {
					t.Errorf("%s vend: %d %s", process, got.Status, got.Body)
				}
				got = a.Do(a.token, "PUT", "/data-integrations/openai/api-key", `{"user_id":"anna","secret":"`+key+`2"}`)
				if got.Status != http.StatusInternalServerError || got.Text("message") != fixedSentence {
					t.Errorf("%s upsert: %d %s", process, got.Status, got.Body)
				}
				if a.Item(before.Key).Revision != before.Revision {
					t.Errorf("%s: a key was sealed and stored", process)
				}
				a.Handler = a.App.Whole()
			}
			if len(a.Log.Alarms()) == 0 {
				t.Error("no alarm")
			}
		})
	}
}

// breakSealHash makes the seal blob fail too, so that the functions that open
// show the same as those that seal.
func breakSealHash(a acme) {
	a.Edit(boottest.TenantRow(a.tenant), func(r boottest.Row) {
		r.In("keys").In("seal_hashes")["1"] = "AAAA"
	})
}

func TestF3_ASealBlobOfAnotherTenantIsRefused(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	tenantB, _ := a.other()
	for name, doc := range map[string][]byte{
		"another tenant's": a.Item(boottest.SealBlobRow(tenantB)).Doc,
		"empty":            []byte(`{}`),
		"one bit":          flipped(a.Item(boottest.SealBlobRow(a.tenant)).Doc),
	} {
		a.Handler = a.App.Whole()
		a.WriteDoc(boottest.SealBlobRow(a.tenant), doc)
		if got := a.Vend(a.token, "openai", "anna"); got.Status != http.StatusInternalServerError || got.Text("message") != fixedSentence {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
}

func flipped(doc []byte) []byte {
	doc = append([]byte(nil), doc...)
	at := len(doc) / 2
	if doc[at] == 'A' {
		doc[at] = 'B'
	} else {
		doc[at] = 'A'
	}
	return doc
}

func TestF56_APlantedSecretDoesNotOpen(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	tenantB, _ := a.other()
	ring := seal.NewRing(a.Wrapper, seal.Config{App: "keyvend", Environment: "test", KeyID: "fake"})
	view, err := a.Store.Load(t.Context(), vault.Target{Tenant: a.tenant, Slug: "openai", User: "anna"})
	if err != nil {
		t.Fatal(err)
	}
	viewB, err := a.Store.Load(t.Context(), vault.Target{Tenant: tenantB})
	if err != nil {
		t.Fatal(err)
	}
	// The public key and the binding are no secrets: anyone can seal for anna.
	ingest, err := ring.Ingest(t.Context(), view.Tenant.Keys)
	if err != nil {
		t.Fatal(err)
	}
	ingestB, err := ring.Ingest(t.Context(), viewB.Tenant.Keys)
	if err != nil {
		t.Fatal(err)
	}
	stored := view.Account.Secrets[account.Current]
	header, err := seal.ParseHeader(stored.Sealed)
	if err != nil {
		t.Fatal(err)
	}
	binding := account.Binding(view.Integration, account.User("anna", ""))
	cover := stored.Cover(account.Current, &account.Account{})
	planted, err := ingest.Seal(binding, header.SecretID, cover, secret.FromString("planted"))
	if err != nil {
		t.Fatal(err)
	}
	bindingB := binding
	bindingB.Tenant = tenantB
	ofB, err := ingestB.Seal(bindingB, header.SecretID, cover, secret.FromString("planted"))
	if err != nil {
		t.Fatal(err)
	}
	for name, mac := range map[string][]byte{
		"no MAC": nil, "zeros": make([]byte, 32), "the MAC of the secret before": stored.MAC, "a MAC of another tenant": ofB.MAC,
	} {
		a.Edit(boottest.AccountRow(a.tenant, "anna", "openai", ""), func(r boottest.Row) {
			current := r.In("secrets").In("current")
			current["sealed"] = base64.StdEncoding.EncodeToString(planted.Secret)
			current["mac"] = base64.StdEncoding.EncodeToString(mac)
		})
		if got := a.Vend(a.token, "openai", "anna"); strings.Contains(got.Body, "planted") {
			t.Fatalf("%s: vended", name)
		}
		a.refusesBroken(t, a.token, "openai", `{"user_id":"anna"}`)
	}
}

func TestF58_AForgedAPIKeyRowVendsNothing(t *testing.T) {
	for name, edit := range map[string]func(a acme, token string) string{
		"vend added":   setScopes("manage", "vend"),
		"vend alone":   setScopes("vend"),
		"fewer scopes": setScopes("read"),
		"expiry removed": func(a acme, token string) string {
			return a.editKey(token, func(r boottest.Row) { delete(r, "expires_at") })
		},
		"expiry later": func(a acme, token string) string {
			return a.editKey(token, func(r boottest.Row) { r["expires_at"] = "2099-01-01T00:00:00Z" })
		},
		"no proof": func(a acme, token string) string {
			return a.editKey(token, func(r boottest.Row) { delete(r, "row_mac") })
		},
		"proof of a vend key": borrowProof,
		"moved to another tenant": func(a acme, token string) string {
			tenantB, _ := a.other()
			forged := forge(t, token, tenantB, "")
			a.Write(boottest.APIKeyRow(tenantB, keyIDOf(forged)), a.Row(boottest.APIKeyRow(a.tenant, keyIDOf(token))))
			return forged
		},
		"moved to another id": func(a acme, token string) string {
			a.Write(boottest.APIKeyRow(a.tenant, keyIDOf(a.token)), a.Row(boottest.APIKeyRow(a.tenant, keyIDOf(token))))
			return a.token
		},
		"made up": func(a acme, token string) string {
			a.Write(boottest.APIKeyRow(a.tenant, keyIDOf(token)), boottest.Row{"name": "x", "scopes": []string{"manage", "vend"}})
			return token
		},
		"revocation erased": func(a acme, token string) string {
			a.Operate(operator.Request{Action: operator.RevokeAPIKey, Tenant: a.tenant, APIKey: keyIDOf(token)})
			return a.editKey(token, func(r boottest.Row) { delete(r, "revoked_at") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAcme(t, boottest.Config{})
			expires := a.Clock.Now().Add(time.Hour)
			token := a.Operate(operator.Request{
				Action: operator.IssueAPIKey, Tenant: a.tenant, Name: "x", Scopes: []string{"manage"}, ExpiresAt: &expires,
			}).Token
			forged := edit(a, token)
			for _, got := range []boottest.Answer{
				a.Vend(forged, "openai", "anna"),
				a.Do(forged, "GET", "/data-integrations", ""),
				a.Do(forged, "DELETE", "/data-integrations/openai", ""),
			} {
				if got.Status != http.StatusUnauthorized {
					t.Errorf("%d %s", got.Status, got.Body)
				}
			}
		})
	}
}

func TestF58_AVendKeyWithoutItsSecondProofDoesNotVend(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	for name, edit := range map[string]func(boottest.Row){
		"none":        func(r boottest.Row) { delete(r, "vend_mac") },
		"the first's": func(r boottest.Row) { r["vend_mac"] = r["row_mac"] },
		"of another key": func(r boottest.Row) {
			r["vend_mac"] = a.Row(boottest.APIKeyRow(a.tenant, keyIDOf(a.token)))["vend_mac"]
		},
	} {
		token := a.editKey(a.Key(a.tenant, "vend", "manage"), edit)
		if got := a.Vend(token, "openai", "anna"); got.Status != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, got.Status, got.Body)
		}
	}
}

// editKey edits the row of an API key and returns its token.
func (a acme) editKey(token string, edit func(boottest.Row)) string {
	a.Edit(boottest.APIKeyRow(a.tenant, keyIDOf(token)), edit)
	return token
}

func setScopes(scopes ...string) func(a acme, token string) string {
	return func(a acme, token string) string {
		return a.editKey(token, func(r boottest.Row) { r["scopes"] = scopes })
	}
}

func borrowProof(a acme, token string) string {
	vending := a.Row(boottest.APIKeyRow(a.tenant, keyIDOf(a.token)))
	return a.editKey(token, func(r boottest.Row) {
		r["scopes"], r["vend_mac"], r["row_mac"] = vending["scopes"], vending["vend_mac"], vending["row_mac"]
	})
}

func TestF17_KeysThatKMSRefusesAreAnAlarmAndNoAnswer(t *testing.T) {
	a := newAcme(t, boottest.Config{})
	a.Handler = a.App.Whole()
	a.Wrapper.Always(sealtest.Fail(seal.ErrRefused))
	if got := a.Vend(a.token, "openai", "anna"); got.Status != http.StatusInternalServerError || got.Text("message") != fixedSentence {
		t.Errorf("%d %s", got.Status, got.Body)
	}
	if len(a.Log.Alarms()) == 0 {
		t.Error("no alarm")
	}
	a.Wrapper.Always(nil)
	a.Clock.Pass(6 * time.Second) // a refusal is remembered for five
	a.vends(t, key)
}
