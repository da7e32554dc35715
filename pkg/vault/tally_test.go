package vault_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/table"
	"keyvend/pkg/table/tabletest"
)

func (c *clinic) put(user string) boottest.Answer {
	return c.Do(c.token, "PUT", "/data-integrations/acme/api-key", `{"user_id":"`+user+`","secret":"`+key+`"}`)
}

// Whoever guesses sends everything at the same moment, to several processes.
func TestSavesAtTheSameMomentAreEachCounted(t *testing.T) {
	c := newClinic(t)
	c.define(`{"verify_on_save":"require"}`)
	c.Providers.Say(http.StatusUnauthorized, `{}`)
	c.put("anna")
	c.Table.Before(countingVerifications(c.tenant), func() { c.put("anna") })
	for range 5 {
		c.put("anna")
	}
	if asked := len(c.Providers.Asked()); asked != 5 {
		t.Errorf("%d keys of one user were verified within ten minutes, want 5", asked)
	}
}

func countingVerifications(tenant string) tabletest.When {
	return func(c tabletest.Call) bool {
		return c.Method == tabletest.Write && c.Ops[0].Item.PK == "V#"+tenant
	}
}

// Others of the tenant save keys at the same time, again and again.
func TestASaveThatHasToBeCountedAgainIsCountedOnce(t *testing.T) {
	c := newClinic(t)
	c.define(`{"verify_on_save":"require"}`)
	others, last := 0, 0
	busy := func(call tabletest.Call) bool { // each time that anna is about to be counted
		if !countingVerifications(c.tenant)(call) || call.Ops[0].Item.SK != "TENANT" || call.N == last || others%2 == 1 {
			return false
		}
		last = call.N
		return true
	}
	for range 5 {
		c.Table.Before(busy, func() {
			others++
			c.put(fmt.Sprint("other", others))
			others++
		})
	}
	if a := c.put("anna"); a.Status != http.StatusOK || others != 10 {
		t.Errorf("%d %s, after %d others", a.Status, a.Body, others/2)
	}
	for i := range 5 {
		want := http.StatusOK
		if i == 4 {
			want = http.StatusTooManyRequests
		}
		if a := c.put("anna"); a.Status != want {
			t.Errorf("save %d: %d %s", i+2, a.Status, a.Body)
		}
	}
}

func TestADamagedCountOfVerificationsIsBegunAnew(t *testing.T) {
	c := newClinic(t)
	c.define(`{"verify_on_save":"require"}`)
	c.put("anna")
	c.WriteDoc(table.Key{PK: "V#" + c.tenant, SK: "TENANT"}, []byte(`"x"`))
	if a := c.put("anna"); a.Status != http.StatusOK {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	if row := c.Row(table.Key{PK: "V#" + c.tenant, SK: "TENANT"}); !strings.Contains(fmt.Sprint(row), "times") {
		t.Errorf("%v", row)
	}
}
