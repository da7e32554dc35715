package store_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"keyvend/pkg/event"
	"keyvend/pkg/store"
	"keyvend/pkg/table"
	"keyvend/pkg/table/tabletest"
	"keyvend/pkg/vault"
)

func happened(user string, at time.Time) vault.StoredEvent {
	a := newAccount("openai", user, "")
	return vault.StoredEvent{Tenant: tenantID, Event: event.Note(event.Connected, a, at, event.System(), "")}
}

func TestAnEventIsStoredOnceAndKeepsItsMark(t *testing.T) {
	s := onBolt(t)
	e := happened("u", start)
	first, err := s.StoreEvent(t.Context(), e)
	if err != nil || first.Revision == 0 || !first.SentAt.IsZero() {
		t.Fatalf("%+v %v", first, err)
	}
	marked := first
	marked.SentAt = start.Add(time.Second)
	if err := s.MarkSent(t.Context(), marked); err != nil {
		t.Fatal(err)
	}
	if again, err := s.StoreEvent(t.Context(), e); err != nil || !again.SentAt.Equal(marked.SentAt) || again.Event.ID != e.Event.ID {
		t.Errorf("%+v %v", again, err)
	}
	other := first
	other.SentAt = start.Add(time.Minute)
	if err := s.MarkSent(t.Context(), other); !errors.Is(err, vault.ErrChanged) {
		t.Errorf("a mark over another's: %v", err)
	}
}

func TestEventsLieInThePartitionOfTheirDayAndExpireAfterThirtyDays(t *testing.T) {
	s := onBolt(t)
	late := time.Date(2026, 2, 28, 23, 59, 59, 999e6, time.UTC)
	for _, e := range []vault.StoredEvent{happened("u", late), happened("u", late.Add(time.Millisecond))} {
		if _, err := s.StoreEvent(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		at, _ := event.Time(e.Event.ID)
		k := table.Key{PK: "E#" + tenantID + "#" + at.Format(time.DateOnly), SK: e.Event.ID}
		found, err := s.engine.Get(t.Context(), k)
		if err != nil || !found[k].ExpiresAt.Equal(at.Add(event.Lasts).Truncate(time.Second)) {
			t.Errorf("%v: %+v %v", k, found, err)
		}
	}
}

func TestADayIsReadPageByPageInBothDirections(t *testing.T) {
	s := onBolt(t)
	var want []string
	for i := range 7 {
		e := happened("u", start.Add(time.Duration(i)*time.Minute))
		want = append(want, e.Event.ID)
		if _, err := s.StoreEvent(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	for _, descending := range []bool{false, true} {
		r := vault.EventRange{Day: start.Truncate(24 * time.Hour), Descending: descending, Limit: 3}
		var got []string
		for {
			page, next, err := s.EventsOn(t.Context(), tenantID, r)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				got = append(got, e.ID)
			}
			if next == "" {
				break
			}
			r.After = next
		}
		if descending {
			slices.Reverse(got)
		}
		if !slices.Equal(got, want) {
			t.Errorf("descending %v: %v", descending, got)
		}
	}
	if page, _, err := s.EventsOn(t.Context(), "tenant_other", vault.EventRange{Day: start.Truncate(24 * time.Hour), Limit: 3}); len(page) > 0 || err != nil {
		t.Errorf("F1: %v %v", page, err)
	}
}

func TestWhatIsNoEventIsNotStored(t *testing.T) {
	s := onBolt(t)
	e := happened("u", start)
	e.Event.ID = "event_1"
	if _, err := s.StoreEvent(t.Context(), e); err == nil {
		t.Error("stored")
	}
	if s.MarkSent(t.Context(), e) == nil || s.SaveRemark(t.Context(), tenantID, e.Event) == nil {
		t.Error("stored")
	}
}

func TestBothRowsOfTheFaultMatrixForAnEvent(t *testing.T) {
	s := onBolt(t)
	e := happened("u", start)
	s.faults.Fail(tabletest.Next(tabletest.Write))
	if stored, err := s.StoreEvent(t.Context(), e); err == nil || stored.Revision != 0 {
		t.Errorf("%+v %v", stored, err)
	}
	s.faults.FailStored(tabletest.Next(tabletest.Write))
	if _, err := s.StoreEvent(t.Context(), e); err == nil {
		t.Error("no error")
	}
	if stored, err := s.StoreEvent(t.Context(), e); err != nil || !stored.SentAt.IsZero() {
		t.Errorf("%+v %v", stored, err)
	}
}

// change is a change of an account's row as a feed has it.
func change(t *testing.T, s stores, do func()) table.Change {
	t.Helper()
	memory := s.engine.(*tabletest.Memory)
	feed := memory.Feed()
	do()
	changes, err := feed.Changes(t.Context(), 10)
	if err != nil || len(changes) != 1 {
		t.Fatalf("%v %v", changes, err)
	}
	if err := feed.Acknowledge(t.Context(), changes[0]); err != nil {
		t.Fatal(err)
	}
	return changes[0]
}

func TestAChangeOfAnAccountIsACommitWithBothRowsAndNoOtherRowIs(t *testing.T) {
	s := over(t, tabletest.NewMemory())
	a := newAccount("openai", "auth0|a#%", "org:1")
	a.ID, a.IntegrationID = "data_installation_01KJMBRG2V0000000000000001", "data_integration_01KJMBRG2V0000000000000002"
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	made, ok, err := store.Commit(change(t, s, func() { must(s.SaveAccount(t.Context(), a)) }))
	if err != nil || !ok || made.Tenant != tenantID || made.Before != nil || made.After.ID != a.ID || made.After.Slug != "openai" ||
		made.After.Owner != a.Owner || made.After.Revision != a.Revision || made.ChangeID == "" {
		t.Errorf("%+v %v %v", made, ok, err)
	}
	before := a.Revision
	changed, _, err := store.Commit(change(t, s, func() { must(s.SaveAccount(t.Context(), a)) }))
	if err != nil || changed.Before.Revision != before || changed.After.Revision <= before || changed.Row != made.Row {
		t.Errorf("%+v %v", changed, err)
	}
	gone, _, err := store.Commit(change(t, s, func() { must(s.DeleteAccount(t.Context(), a)) }))
	if err != nil || gone.Before == nil || gone.After != nil || gone.Row != made.Row {
		t.Errorf("%+v %v", gone, err)
	}
	other := change(t, s, func() { must(s.SaveIntegration(t.Context(), newIntegration("openai"))) })
	if c, ok, err := store.Commit(other); ok || err != nil {
		t.Errorf("%+v %v", c, err)
	}
}

func TestF31_AChangeThatIsNoAccountsNamesItsKeyAndRevisionAndQuotesNothing(t *testing.T) {
	k := table.Key{PK: "U#" + tenantID + "#u", SK: "ACCOUNT#openai#"}
	for _, doc := range []string{`{`, `[]`, `{}`, `{"id":"sk-canary-pasted"}`, `{"created_at":"sk-canary-pasted"}`, `null`} {
		for _, c := range []table.Change{
			{ID: "1", Key: k, New: &table.Item{Key: k, Revision: 5, Doc: []byte(doc)}},
			{ID: "1", Key: k, Old: &table.Item{Key: k, Revision: 5, Doc: []byte(doc)}},
		} {
			_, ok, err := store.Commit(c)
			var poison *store.PoisonError
			if ok || err == nil || !errors.As(err, &poison) || poison.Key != k || poison.Revision != 5 {
				t.Errorf("%s: %v %v", doc, ok, err)
				continue
			}
			if strings.Contains(err.Error(), "canary") {
				t.Errorf("F45: %v", err)
			}
		}
	}
}

func TestF31_AnEventIsStoredOverADamagedRow(t *testing.T) {
	for _, doc := range []string{`{`, `{}`, `{"event":1}`, `{"event":{"id":"event_other"}}`} {
		s := onBolt(t)
		e := happened("u", start)
		first, err := s.StoreEvent(t.Context(), e)
		if err != nil {
			t.Fatal(err)
		}
		at, _ := event.Time(e.Event.ID)
		k := table.Key{PK: "E#" + tenantID + "#" + at.Format(time.DateOnly), SK: e.Event.ID}
		if err := s.engine.Write(t.Context(), table.Put(table.Item{Key: k, Revision: first.Revision + 1, Doc: []byte(doc)}, table.At(first.Revision))); err != nil {
			t.Fatal(err)
		}
		stored, err := s.StoreEvent(t.Context(), e)
		if err != nil || stored.Event.ID != e.Event.ID || !stored.SentAt.IsZero() {
			t.Fatalf("over %s: %+v %v", doc, stored, err)
		}
		if err := s.MarkSent(t.Context(), stored); err != nil {
			t.Errorf("over %s, its mark: %v", doc, err)
		}
	}
}
