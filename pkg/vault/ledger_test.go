package vault_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"keyvend/pkg/audit"
	"keyvend/pkg/boot/boottest"
	"keyvend/pkg/ident"
	"keyvend/pkg/store"
	"keyvend/pkg/table"
	"keyvend/pkg/table/bolt"
	"keyvend/pkg/table/tabletest"
	"keyvend/pkg/vault"
)

// noon is ahead of the real time, by which an engine deletes what has expired.
var noon = time.Date(2090, 3, 1, 12, 0, 0, 0, time.UTC)

// engines are what usage rows are kept in by these tests.
var engines = map[string]func(t *testing.T) table.Table{
	"memory": func(*testing.T) table.Table { return tabletest.NewMemory() },
	"bolt": func(t *testing.T) table.Table {
		opened, err := bolt.Config{Now: func() time.Time { return noon }}.Open(filepath.Join(t.TempDir(), "keyvend.db"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = opened.Close() })
		return opened
	},
}

// writes is a table that counts what is written to each kind of row.
type writes struct {
	table.Table
	mu    sync.Mutex
	kinds map[string]int
}

func (w *writes) Write(ctx context.Context, ops ...table.Op) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, op := range ops {
		kind, _, _ := strings.Cut(op.Item.SK, "#")
		w.kinds[kind]++
	}
	return w.Table.Write(ctx, ops...)
}

// books is a ledger over a table with faults.
type books struct {
	*vault.Ledger
	store  *store.Store // beneath the faults
	faults *tabletest.Faulty
	writes *writes
	log    *bytes.Buffer
}

func newBooks(t *testing.T, engine table.Table) *books {
	t.Helper()
	clock := ident.Clock(func() time.Time { return noon })
	counted := &writes{Table: engine, kinds: map[string]int{}}
	b := &books{store: &store.Store{Table: engine, Clock: clock}, faults: tabletest.Faults(t, counted), writes: counted, log: &bytes.Buffer{}}
	b.Ledger = &vault.Ledger{
		Store: &store.Store{Table: b.faults, Clock: clock}, Clock: clock, Log: slog.New(slog.NewJSONHandler(b.log, nil)),
	}
	return b
}

// must enters lines, which has to succeed.
func (b *books) must(t *testing.T, lines [][]byte) vault.Entered {
	t.Helper()
	done, err := b.Enter(t.Context(), lines)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

const (
	aTenant       = "tenant_01ARZ3NDEKTSV4RRFFQ69G5FAV"
	aKey          = "api_key_01ARZ3NDEKTSV4RRFFQ69G5FAA"
	anAccount     = "data_installation_01ARZ3NDEKTSV4RRFFQ69G5FA"
	anIntegration = "data_integration_01ARZ3NDEKTSV4RRFFQ69G5FA"
)

// line is an audit line of the account and the integration of those numbers.
func line(account, integration int, at time.Time, outcome string) audit.Line {
	l := audit.Line{
		At: at, Tenant: aTenant, APIKey: aKey, Slug: "openai", User: "anna", Outcome: outcome,
		IntegrationID: fmt.Sprint(anIntegration, integration), RequestID: ident.Clock(nil).New(ident.RequestPrefix),
	}
	if outcome == "vended" || outcome == "needs_reauthorization" {
		l.AccountID = fmt.Sprint(anAccount, account)
	}
	return l
}

// counts is all that the rows say of some accounts and integrations.
func (b *books) counts(t *testing.T) map[string]any {
	t.Helper()
	all := map[string]any{}
	for i := range 4 {
		account, integration := fmt.Sprint(anAccount, i), fmt.Sprint(anIntegration, i)
		used, reads, err := b.store.AccountUsage(t.Context(), aTenant, account)
		if err != nil {
			t.Fatal(err)
		}
		if len(reads.List) > 0 {
			all[account], all[account+" used"] = reads.List, used.At
		}
		hours, err := b.store.UsageHours(t.Context(), aTenant, integration, noon.Add(-24*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		sums := map[time.Time][2]int{}
		for _, h := range hours {
			sums[h.Start] = [2]int{sums[h.Start][0] + h.Vended, sums[h.Start][1] + h.Refused}
		}
		if len(sums) > 0 {
			all[integration] = sums
		}
	}
	return all
}

// delivery is lines of three accounts, two integrations and two hours.
func delivery(t *testing.T) [][]byte {
	var lines []audit.Line
	for i := range 12 {
		lines = append(lines, line(i%3, i%2, noon.Add(-time.Duration(i)*7*time.Minute), "vended"))
	}
	for i := range 5 {
		lines = append(lines, line(i, i%2, noon.Add(-time.Minute), "frozen"))
	}
	return boottest.Lines(t, lines...)
}

func TestCountsAreExactWhereverADeliveryWasStoppedAndRepeated(t *testing.T) {
	lines := delivery(t)
	for name, engine := range engines {
		whole := newBooks(t, engine(t))
		whole.must(t, lines)
		n, want := whole.faults.Calls(tabletest.Write), whole.counts(t)
		if n != 11 { // two for each account, one for each hour of each integration
			t.Errorf("%d writes", n)
		}
		for write := 1; write <= n; write++ {
			for fault, script := range map[string]func(b *books, stop func()){
				"not stored":        func(b *books, _ func()) { b.faults.Fail(tabletest.Nth(tabletest.Write, write)) },
				"stored unanswered": func(b *books, _ func()) { b.faults.FailStored(tabletest.Nth(tabletest.Write, write)) },
				"stopped before":    func(b *books, stop func()) { b.faults.Before(tabletest.Nth(tabletest.Write, write), stop) },
				"stopped after":     func(b *books, stop func()) { b.faults.After(tabletest.Nth(tabletest.Write, write), stop) },
			} {
				t.Run(fmt.Sprintf("%s/write %d %s", name, write, fault), func(t *testing.T) {
					b := newBooks(t, engine(t))
					ctx, stop := context.WithCancel(t.Context())
					defer stop()
					script(b, stop)
					if _, err := b.Enter(ctx, lines); err == nil && fault != "stopped after" { // others may have been on their way
						t.Error("nobody hears of it")
					}
					b.must(t, lines)
					b.must(t, lines)
					if got := b.counts(t); !reflect.DeepEqual(got, want) {
						t.Errorf("%v\nwant %v", got, want)
					}
				})
			}
		}
	}
}

func TestCountsAreExactWhenDeliveriesComeAtTheSameTimeAndTwice(t *testing.T) {
	for name, engine := range engines {
		t.Run(name, func(t *testing.T) {
			b, sum := newBooks(t, engine(t)), newBooks(t, tabletest.NewMemory())
			var all [][]byte
			var wait sync.WaitGroup
			for range 12 {
				lines := delivery(t)
				all = append(all, lines...)
				for range 2 {
					wait.Go(func() {
						// As Lambda does: what lost too often comes again.
						for try := 0; ; try++ {
							if _, err := b.Enter(t.Context(), lines); err == nil {
								return
							} else if try == 20 {
								t.Error(err)
								return
							}
						}
					})
				}
			}
			wait.Wait()
			sum.must(t, all)
			got, want := b.counts(t), sum.counts(t)
			for i := range 3 { // whoever notes first is right for five minutes
				delete(got, fmt.Sprint(anAccount, i, " used"))
				delete(want, fmt.Sprint(anAccount, i, " used"))
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%v\nwant %v", got, want)
			}
		})
	}
}

func TestBudget_LastUseIsWrittenOnceInFiveMinutesOfVends(t *testing.T) {
	b := newBooks(t, tabletest.NewMemory())
	from := noon.Add(-time.Hour)
	for at := from; at.Before(noon); at = at.Add(20 * time.Second) {
		b.must(t, boottest.Lines(t, line(0, 0, at, "vended")))
	}
	if n := b.writes.kinds["USED"]; n != 12 {
		t.Errorf("%d writes within an hour", n)
	}
	b.must(t, boottest.Lines(t, line(0, 0, noon, "needs_reauthorization"), line(0, 0, noon.Add(time.Minute), "integrity")))
	if used, _, err := b.store.AccountUsage(t.Context(), aTenant, fmt.Sprint(anAccount, 0)); err != nil || !used.At.Equal(noon.Add(-5*time.Minute)) {
		t.Errorf("last used %v %v", used.At, err)
	}
}

func TestBudget_ARepeatWritesNothing(t *testing.T) {
	b, lines := newBooks(t, tabletest.NewMemory()), delivery(t)
	b.must(t, lines)
	before := b.faults.Calls(tabletest.Write)
	b.must(t, lines)
	if n := b.faults.Calls(tabletest.Write) - before; n != 0 {
		t.Errorf("%d writes", n)
	}
}

func TestALineIsCountedOnceThoughOneDeliveryHasItTwice(t *testing.T) {
	b := newBooks(t, tabletest.NewMemory())
	lines := boottest.Lines(t, line(0, 0, noon, "vended"))
	b.must(t, append(lines, lines...))
	_, reads, err := b.store.AccountUsage(t.Context(), aTenant, fmt.Sprint(anAccount, 0))
	if err != nil || len(reads.List) != 1 || reads.List[0].Count != 1 {
		t.Errorf("%+v %v", reads, err)
	}
}

func TestF4_F31_WhatIsNoLineOfOursIsSkippedAndTheRestGoesOn(t *testing.T) {
	good := line(0, 0, noon, "vended")
	spoiled := func(spoil func(*audit.Line)) []byte {
		l := good
		spoil(&l)
		return boottest.Lines(t, l)[0]
	}
	wrong := [][]byte{
		nil, []byte("sk-canary-pasted"), []byte(`{`), []byte(`{"log":"audit"}`), []byte(`[]`), []byte(`null`),
		bytes.Replace(boottest.Lines(t, good)[0], []byte(`"audit"`), []byte(`"other"`), 1),
		spoiled(func(l *audit.Line) { l.Tenant = "" }),
		spoiled(func(l *audit.Line) { l.Tenant = "tenant_1" }),
		spoiled(func(l *audit.Line) { l.Tenant = aTenant + "#x" }),
		spoiled(func(l *audit.Line) { l.Tenant = strings.ToLower(aTenant) }),
		spoiled(func(l *audit.Line) { l.APIKey = "" }),
		spoiled(func(l *audit.Line) { l.APIKey = "sk-canary-pasted" }),
		spoiled(func(l *audit.Line) { l.AccountID = "AUDIT" }),
		spoiled(func(l *audit.Line) { l.AccountID = fmt.Sprint(anAccount, "0#USED") }),
		spoiled(func(l *audit.Line) { l.IntegrationID = fmt.Sprint(anAccount, 1) }),
		spoiled(func(l *audit.Line) { l.RequestID = "" }),
		spoiled(func(l *audit.Line) { l.RequestID = "req_1" }),
		spoiled(func(l *audit.Line) { l.Outcome = "" }),
	}
	b := newBooks(t, tabletest.NewMemory())
	crafted := good
	crafted.User = `anna#USED","tenant":"` + aTenant + `","account_id":"` + fmt.Sprint(anAccount, 3)
	done := b.must(t, append(wrong, boottest.Lines(t, crafted)...))
	if done.Entered != 1 || done.Skipped != len(wrong) {
		t.Errorf("%+v of %d", done, len(wrong)+1)
	}
	counts := b.counts(t)
	if len(counts) != 3 || counts[fmt.Sprint(anAccount, 0)] == nil || counts[fmt.Sprint(anIntegration, 0)] == nil {
		t.Errorf("%v", counts)
	}
	if text := b.log.String(); !strings.Contains(text, fmt.Sprintf(`"skipped":%d`, len(wrong))) || strings.Contains(text, "canary") || strings.Contains(text, "anna") {
		t.Errorf("F45: %s", text)
	}
}

func TestLinesOfATimeThatIsNotKeptChangeNothing(t *testing.T) {
	for _, at := range []time.Time{noon.Add(time.Hour), noon.AddDate(1000, 0, 0), noon.Add(-vault.UsageLasts), {}} {
		b := newBooks(t, tabletest.NewMemory())
		b.must(t, boottest.Lines(t, line(0, 0, at, "vended")))
		if n := b.faults.Calls(tabletest.Write); n != 0 {
			t.Errorf("%v: %d writes", at, n)
		}
	}
}

func TestF31_ADamagedRowIsCountedOverAndTheOthersGoOn(t *testing.T) {
	b := newBooks(t, tabletest.NewMemory())
	b.must(t, delivery(t))
	account := fmt.Sprint(anAccount, 1)
	for _, sk := range []string{"USED", "READS"} {
		k := table.Key{PK: "L#" + aTenant + "#" + account, SK: sk}
		found, err := b.store.Table.Get(t.Context(), k)
		if err != nil || found[k].Revision == 0 {
			t.Fatal(found, err)
		}
		item := found[k]
		item.Revision, item.Doc = item.Revision+1, []byte("{nonsense")
		if err := b.store.Table.Write(t.Context(), table.Put(item, table.At(found[k].Revision))); err != nil {
			t.Fatal(err)
		}
	}
	b.must(t, boottest.Lines(t, line(1, 0, noon, "vended"), line(2, 0, noon, "vended")))
	used, reads, err := b.store.AccountUsage(t.Context(), aTenant, account)
	if err != nil || len(reads.List) != 1 || reads.List[0].Count != 1 || !used.At.Equal(noon) {
		t.Errorf("%+v %+v %v", used, reads, err)
	}
}

// What the rows hold of a line, and nothing else of it.
func TestRowsHoldIdsTimesAndCountsAlone(t *testing.T) {
	w := boottest.New(t, boottest.Config{})
	tenant := w.Tenant()
	token := w.Key(tenant, "vend", "manage")
	w.Register(token, "openai")
	w.Upsert(token, "openai", "anna|secretive", boottest.Canary+"1234")
	w.Vend(token, "openai", "anna|secretive")
	if _, err := w.App.Ledger()(t.Context(), boottest.Delivery(t, boottest.Lines(t, w.Audit.Lines()...)...)); err != nil {
		t.Fatal(err)
	}
	last := w.Audit.Last()
	rows := 0
	for _, id := range []string{last.AccountID, last.IntegrationID} {
		page, err := w.Engine.Query(t.Context(), table.Query{PK: "L#" + tenant + "#" + id, Limit: 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range page.Items {
			rows++
			if text := item.SK + string(item.Doc); strings.Contains(text, "secretive") || strings.Contains(text, "1234") || strings.Contains(text, last.RequestID) {
				t.Errorf("%s", text)
			}
			if !json.Valid(item.Doc) || item.ExpiresAt.IsZero() {
				t.Errorf("%+v", item)
			}
		}
	}
	if rows != 3 {
		t.Errorf("%d rows", rows)
	}
	a := w.Must(http.StatusOK, token, "GET", "/keyvend/accounts/"+last.AccountID+"/reads", "")
	if strings.Contains(a.Body, "secretive") || !strings.Contains(a.Body, `"count":1`) {
		t.Errorf("%s", a.Body)
	}
}
