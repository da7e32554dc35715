package boottest_test

import (
	"testing"

	"keyvend/pkg/boot/boottest"
)

func TestTheWholeFlowWorks(t *testing.T) {
	w := boottest.New(t, boottest.Config{})
	tenant := w.Tenant()
	token := w.Key(tenant, "vend", "manage")
	w.Register(token, "openai")
	if a := w.Upsert(token, "openai", "anna", "sk-canary-0123456789"); a.Text("api_key_last_4") != "6789" {
		t.Errorf("%s", a.Body)
	}
	if a := w.Vend(token, "openai", "anna"); a.Text("credential.value") != "sk-canary-0123456789" {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	w.Row(boottest.AccountRow(tenant, "anna", "openai", ""))
	if last := w.Audit.Last(); last.Outcome != "vended" || last.User != "anna" {
		t.Errorf("%+v", last)
	}
}
