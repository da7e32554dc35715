package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"keyvend/pkg/apikey"
	"keyvend/pkg/fault"
	"keyvend/pkg/table"
	"keyvend/pkg/table/tabletest"
	"keyvend/pkg/usage"
	"keyvend/pkg/vault"
)

const usedAccount = "data_installation_01ARZ3NDEKTSV4RRFFQ69G5FAV"

// part is one vend that nothing else is.
func part(n int) usage.Part {
	return usage.NewPart([]usage.Entry{{RequestID: fmt.Sprint("req_", n), APIKey: "api_key_1", At: start, Vended: n%2 == 0}})
}

func TestUsageRowsAreReadBackAndExpire(t *testing.T) {
	s, ctx := onBolt(t), t.Context()
	used, reads, err := s.AccountUsage(ctx, tenantID, usedAccount)
	must(t, err)
	used.Note(start)
	reads.Add(part(0), start)
	must(t, s.SaveUsed(ctx, used))
	must(t, s.SaveReads(ctx, reads))
	hour, err := s.UsageHour(ctx, tenantID, "data_integration_1", start, 3)
	must(t, err)
	hour.Add(part(0), start)
	must(t, s.SaveHour(ctx, hour))

	used, reads, err = s.AccountUsage(ctx, tenantID, usedAccount)
	if err != nil || !used.At.Equal(start) || len(reads.List) != 1 || reads.List[0].Count != 1 || reads.Add(part(0), start) {
		t.Errorf("%+v %+v %v", used, reads, err)
	}
	again, err := s.UsageHour(ctx, tenantID, "data_integration_1", start, 3)
	if err != nil || again.Vended != 1 || again.Revision != hour.Revision || again.Add(part(0), start) {
		t.Errorf("%+v %v", again, err)
	}
	for pk, kept := range map[table.Key]time.Duration{
		{PK: "L#" + tenantID + "#" + usedAccount, SK: "USED"}:                     400 * 24 * time.Hour,
		{PK: "L#" + tenantID + "#" + usedAccount, SK: "READS"}:                    90 * 24 * time.Hour,
		{PK: "L#" + tenantID + "#data_integration_1", SK: "HOUR#2026-03-01T12#3"}: 90 * 24 * time.Hour,
	} {
		found, err := s.engine.Get(ctx, pk)
		if err != nil || !found[pk].ExpiresAt.Equal(start.Add(kept)) {
			t.Errorf("%v: %+v %v", pk, found, err)
		}
	}
	other, _, err := s.AccountUsage(ctx, "tenant_other", usedAccount)
	if err != nil || !other.At.IsZero() {
		t.Errorf("F1: %+v %v", other, err)
	}
}

func TestAUsageRowThatHasHadItsTimeIsNothingAndIsWrittenOver(t *testing.T) {
	s, ctx := onBolt(t), t.Context()
	k := table.Key{PK: "L#" + tenantID + "#" + usedAccount, SK: "USED"}
	old := table.Item{Key: k, Revision: 7, Doc: []byte(`{"at":"2025-01-01T00:00:00Z"}`), ExpiresAt: start}
	must(t, s.engine.Write(ctx, table.Put(old, table.Absent)))
	used, _, err := s.AccountUsage(ctx, tenantID, usedAccount)
	if err != nil || !used.At.IsZero() || used.Revision != 7 {
		t.Fatalf("%+v %v", used, err)
	}
	if last, err := s.LastUsed(ctx, tenantID, []string{usedAccount}); err != nil || len(last) != 0 {
		t.Errorf("%v %v", last, err)
	}
	used.Note(start)
	must(t, s.SaveUsed(ctx, used))
	if last, err := s.LastUsed(ctx, tenantID, []string{usedAccount}); err != nil || !last[usedAccount].Equal(start) {
		t.Errorf("%v %v", last, err)
	}
}

func TestBudget_TheLastUseOfAPageOfAccountsIsOneRead(t *testing.T) {
	s, ctx := onBolt(t), t.Context()
	var ids []string
	for i := range 100 {
		ids = append(ids, fmt.Sprintf("data_installation_%03d", i))
		if i%10 == 0 {
			must(t, s.SaveUsed(ctx, &usage.Used{Tenant: tenantID, AccountID: ids[i], At: start}))
		}
	}
	before := s.faults.Calls(tabletest.Get)
	last, err := s.LastUsed(ctx, tenantID, ids)
	if n := s.faults.Calls(tabletest.Get) - before; err != nil || len(last) != 10 || n != 1 {
		t.Errorf("%d of %d in %d reads: %v", len(last), 10, n, err)
	}
}

func TestBudget_TheNamesOfAPIKeysAreOneReadAndADamagedRowKeepsNobodyFromTheOthers(t *testing.T) {
	s, ctx := onBolt(t), t.Context()
	ids := []string{"api_key_damaged", "api_key_gone", "api_key_other"}
	for i := range 20 {
		ids = append(ids, fmt.Sprintf("api_key_%02d", i))
		must(t, s.SaveAPIKey(ctx, &apikey.Key{Tenant: tenantID, ID: ids[i+3], Name: fmt.Sprint("name ", i)}))
	}
	must(t, s.SaveAPIKey(ctx, &apikey.Key{Tenant: "tenant_other", ID: "api_key_other", Name: "another tenant's"}))
	must(t, s.engine.Write(ctx, table.Put(table.Item{
		Key: table.Key{PK: "K#" + tenantID + "#api_key_damaged", SK: "APIKEY"}, Revision: 1, Doc: []byte(`{"name":1}`),
	}, table.Absent)))
	before := s.faults.Calls(tabletest.Get)
	names, err := s.APIKeyNames(ctx, tenantID, ids)
	if n := s.faults.Calls(tabletest.Get) - before; err != nil || len(names) != 20 || names["api_key_07"] != "name 7" || n != 1 {
		t.Errorf("%v in %d reads: %v", names, n, err)
	}
}

func TestHoursAreReadFromAnHourOnOverPagesAndShards(t *testing.T) {
	s, ctx := over(t, tabletest.NewMemory()), t.Context()
	for i := range 180 {
		for shard := range usage.Shards {
			must(t, s.SaveHour(ctx, &usage.Hour{Tenant: tenantID, IntegrationID: "in", Start: start.Add(-time.Duration(i) * time.Hour), Shard: shard, Vended: 1, Refused: i}))
		}
	}
	before := s.faults.Calls(tabletest.Query)
	rows, err := s.UsageHours(ctx, tenantID, "in", start.Add(-167*time.Hour))
	must(t, err)
	if n := s.faults.Calls(tabletest.Query) - before; len(rows) != 168*usage.Shards || n != 2 {
		t.Errorf("%d rows in %d pages", len(rows), n)
	}
	for _, row := range rows {
		if age := start.Sub(row.Start) / time.Hour; age < 0 || age > 167 || row.Vended != 1 || row.Refused != int(age) {
			t.Errorf("%+v", row)
		}
	}
}

func TestBothRowsOfTheFaultMatrixForUsage(t *testing.T) {
	s, ctx := onBolt(t), t.Context()
	hour := func() *usage.Hour {
		h, err := s.UsageHour(ctx, tenantID, "in", start, 0)
		must(t, err)
		return h
	}
	first, second := hour(), hour()
	first.Add(part(0), start)
	second.Add(part(1), start)
	s.faults.Fail(tabletest.Next(tabletest.Write))
	if err := s.SaveHour(ctx, first); fault.As(err).Kind != fault.Unavailable || first.Revision != 0 || hour().Vended != 0 {
		t.Errorf("not stored: %+v %v", first, err)
	}
	s.faults.FailStored(tabletest.Next(tabletest.Write))
	if err := s.SaveHour(ctx, first); fault.As(err).Kind != fault.Unavailable || hour().Vended != 1 {
		t.Errorf("stored: %+v %v", first, err)
	}
	if err := s.SaveHour(ctx, second); !errors.Is(err, vault.ErrChanged) || hour().Refused != 0 {
		t.Errorf("over another's: %v", err)
	}
}

func TestTheAuditPositionIsKeptAndSwapped(t *testing.T) {
	s, ctx := onBolt(t), t.Context()
	p, err := s.AuditPosition(ctx)
	must(t, err)
	stale := p
	p.From, p.To, p.Sum, p.Newest = 3, 9, []byte{1}, start
	must(t, s.SaveAuditPosition(ctx, &p))
	got, err := s.AuditPosition(ctx)
	if err != nil || got.From != 3 || got.To != 9 || string(got.Sum) != "\x01" || !got.Newest.Equal(start) || !got.Known.IsZero() || got.Revision != p.Revision {
		t.Errorf("%+v %v", got, err)
	}
	if err := s.SaveAuditPosition(ctx, &stale); !errors.Is(err, vault.ErrChanged) {
		t.Error(err)
	}
}
