package vault_test

import (
	"fmt"
	"testing"

	"keyvend/pkg/boot/boottest"
)

// An import takes the provider's slots of hours. Who comes then is looked at soon,
// and who imports can have looks of his own all the while.
func TestAnImportOfOneTenantDoesNotPutOffTheFirstLooksOfOthers(t *testing.T) {
	const imported = 1500
	s := newStreet(t, map[string]int{"importer": 1, "newcomer": 1})
	for i := range imported {
		s.Upsert(s.tokens["importer"], "stripe", fmt.Sprint("imported", i), boottest.Canary+"imported-0123456789")
	}
	s.follow()
	s.rounds(2)
	const few = 5
	var ids []string
	for i := range few {
		ids = append(ids, s.Upsert(s.tokens["newcomer"], "stripe", fmt.Sprint("new", i), boottest.Canary+"new-0123456789").Text("id"))
	}
	s.follow()
	made := s.rounds(10)
	if made > 10*60 {
		t.Errorf("the provider was asked %d times in 10 minutes", made)
	}
	for i, id := range ids {
		a := s.Must(200, s.tokens["newcomer"], "GET", "/keyvend/accounts/"+id, "")
		if a.Text("health.verdict") != "valid" {
			t.Errorf("key %d of who came after an import was not looked at in 10 minutes; the next look is at %s", i, a.Text("health.next_check_at"))
		}
	}
	if got := s.look("importer", 0); got != "works" {
		t.Errorf("a look that the importer asks for is %s", got)
	}
}

// What goes in front is a part of what each tenant has for looks that people ask
// for, so that an import leaves all of them room.
func TestAnImportLeavesRoomForTheLooksThatPeopleAskFor(t *testing.T) {
	s := newStreet(t, map[string]int{"importer": 30, "other": 30})
	for i := range 600 {
		s.Upsert(s.tokens["importer"], "stripe", fmt.Sprint("imported", i), boottest.Canary+"imported-0123456789")
	}
	s.follow()
	s.rounds(3)
	for _, tenant := range []string{"importer", "other"} {
		began := s.Clock.Now()
		for i := range 30 {
			if got := s.look(tenant, i); got != "works" {
				t.Errorf("%s%d: %s", tenant, i, got)
			}
		}
		if took := s.Clock.Now().Sub(began); took.Minutes() > 15 {
			t.Errorf("30 looks that %s asked for took %v", tenant, took)
		}
	}
}
