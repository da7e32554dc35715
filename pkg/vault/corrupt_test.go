package vault_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/event"
	"keyvend/pkg/table"
	"keyvend/pkg/table/tabletest"
)

// spoil makes a row such as the engine cannot read.
func (c *clinic) spoil(pk, sk string) {
	c.t.Helper()
	k := table.Key{PK: pk, SK: sk}
	if found, err := c.Engine.Get(c.t.Context(), k); err != nil || len(found) != 1 {
		c.t.Fatalf("%v: %v, %v", k, found, err)
	}
	c.Engine.(*tabletest.Memory).Spoil(k)
}

// A row that the engine itself cannot read, after a hand edit or a bad restore, is
// its tenant's trouble alone.
func TestF31_ARowThatTheEngineCannotReadStopsNobodyElsesChecks(t *testing.T) {
	for name, row := range map[string]func(other string) (pk, sk string){
		"an integration": func(other string) (string, string) { return "I#" + other, "INTEGRATION#beta" },
		"a check":        func(other string) (string, string) { return "C#" + other + "#mallory", "CHECK#beta#" },
		"an account":     func(other string) (string, string) { return "U#" + other + "#mallory", "ACCOUNT#beta#" },
	} {
		t.Run(name, func(t *testing.T) {
			c := newClinic(t)
			other := c.Tenant()
			token := c.Key(other, "vend", "manage")
			c.Must(http.StatusCreated, token, "POST", "/data-integrations", `{"provider":"beta","enabled":true,"auth_methods":["api_key"],"custom_provider":{"name":"Beta"}}`)
			c.Must(http.StatusOK, token, "PATCH", "/keyvend/integrations/beta", strings.ReplaceAll(acmeCheck, "acme", "beta"))
			c.Upsert(token, "beta", "mallory", key)
			var ids []string
			for i := range 10 {
				ids = append(ids, c.connect(fmt.Sprint("user", i)))
			}
			c.follow()
			c.spoil(row(other))
			c.rounds(3)
			c.Clock.Pass(40 * time.Hour)
			c.rounds(10)
			for _, id := range ids {
				c.expect(id, "connected", "valid", "works")
			}
		})
	}
}

func TestF31_ARowThatTheEngineCannotReadIsLeftOutOfAListAndItsUserStoresAKeyAnew(t *testing.T) {
	c := newClinic(t)
	anna, bob := c.connect("anna"), c.connect("bob")
	c.spoil("U#"+c.tenant+"#anna", "ACCOUNT#acme#")
	list := c.Must(http.StatusOK, c.token, "GET", "/keyvend/accounts", "").Body
	if strings.Contains(list, anna) || !strings.Contains(list, bob) {
		t.Errorf("the list is %s, want bob's account alone", list)
	}
	if c.Vend(c.token, "acme", "bob").Status != http.StatusOK || c.Vend(c.token, "acme", "anna").Status == http.StatusOK {
		t.Error("bob's key is not vended, or anna's is")
	}
	c.Upsert(c.token, "acme", "anna", key)
	if a := c.Vend(c.token, "acme", "anna"); a.Status != http.StatusOK {
		t.Errorf("the key that was stored anew: %d %s", a.Status, a.Body)
	}
}

func TestF31_ARowThatTheEngineCannotReadGoesWithItsIntegration(t *testing.T) {
	c := newClinic(t)
	c.connect("anna")
	c.connect("bob")
	c.spoil("U#"+c.tenant+"#anna", "ACCOUNT#acme#")
	c.Must(http.StatusNoContent, c.token, "DELETE", "/data-integrations/acme", "")
	c.rounds(1)
	for _, i := range c.Engine.(*tabletest.Memory).Items() {
		if strings.HasPrefix(i.PK, "U#") {
			t.Errorf("%v is still there", i.Key)
		}
	}
}

func TestF31_AKeyStoredOverADamagedRowIsToldOfAndChecked(t *testing.T) {
	c := newClinic(t)
	c.connect("anna")
	c.rounds(3)
	c.WriteDoc(boottest.AccountRow(c.tenant, "anna", "acme", ""), []byte(`{`))
	c.follow()
	id := c.connect("anna")
	c.Providers.Say(http.StatusUnauthorized, `{}`)
	c.rounds(12) // two looks, minutes apart
	c.expect(id, "needs_reauthorization", "invalid", "refused")
	if !slices.ContainsFunc(c.told(), func(e event.Event) bool { return e.Name == event.Connected && e.Data.Account.ID == id }) {
		t.Errorf("nothing tells of %s: %+v", id, c.told())
	}
}
