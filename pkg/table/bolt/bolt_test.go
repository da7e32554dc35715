package bolt_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"keyvend/pkg/table"
	"keyvend/pkg/table/bolt"
	"keyvend/pkg/table/tabletest"
)

// writerEnv makes this test binary a process that writes to the file it names
// until it is killed.
const writerEnv = "KEYVEND_TEST_BOLT_WRITER"

func TestMain(m *testing.M) {
	if path := os.Getenv(writerEnv); path != "" {
		if err := writeForever(path); err != nil {
			fmt.Println("error", err)
		}
		os.Exit(1)
	}
	m.Run()
}

func open(t *testing.T, path string) *bolt.Table {
	t.Helper()
	return openWith(t, bolt.Config{}, path)
}

func openWith(t *testing.T, c bolt.Config, path string) *bolt.Table {
	t.Helper()
	tb, err := c.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tb.Close() })
	return tb
}

func file(t *testing.T) string { return filepath.Join(t.TempDir(), "data") }

func row(pk, sk string, revision int64) table.Item {
	return table.Item{
		Key:      table.Key{PK: pk, SK: sk},
		Revision: revision,
		Doc:      fmt.Appendf(nil, "%s %s %d", pk, sk, revision),
		Index:    map[string]table.Key{tabletest.Index: {PK: "all", SK: pk + sk}},
	}
}

func TestConformance(t *testing.T) {
	tabletest.Run(t, func(t *testing.T) table.Table { return open(t, file(t)) })
}

func TestConformanceWithLaggingIndexes(t *testing.T) {
	tabletest.Run(t, func(t *testing.T) table.Table { return tabletest.Lag(open(t, file(t))) })
}

func TestWhatWasWrittenIsThereAfterReopening(t *testing.T) {
	path := file(t)
	first := open(t, path)
	if err := first.Write(t.Context(), table.Put(row("p", "a", 1), table.Absent)); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := open(t, path)
	found, err := second.Get(t.Context(), table.Key{PK: "p", SK: "a"})
	if err != nil || len(found) != 1 {
		t.Fatalf("found %v, %v", found, err)
	}
	page, err := second.Query(t.Context(), table.Query{Index: tabletest.Index, PK: "all", Limit: 10})
	if err != nil || len(page.Items) != 1 {
		t.Fatalf("index %v, %v", page, err)
	}
}

func TestCountIsOfItemsAndEntriesUnderAPrefixAndChangesNothing(t *testing.T) {
	path := file(t)
	tb := open(t, path)
	for _, pk := range []string{"p", "p#1", "p#2", "q"} {
		if err := tb.Write(t.Context(), table.Put(row(pk, "a", 1), table.Absent), table.Put(row(pk, "b", 1), table.Absent)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tb.Write(t.Context(), table.Delete(table.Key{PK: "p#1", SK: "b"}, table.Present)); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Count(path, ""); !errors.Is(err, bolt.ErrInUse) {
		t.Errorf("of a file in use: %v", err)
	}
	if err := tb.Close(); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for prefix, want := range map[string]map[string]int{
		"p#":  {"": 3, tabletest.Index: 0},
		"p":   {"": 5, tabletest.Index: 0},
		"":    {"": 7, tabletest.Index: 7},
		"all": {"": 0, tabletest.Index: 7},
	} {
		if got, err := bolt.Count(path, prefix); err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: %v %v", prefix, got, err)
		}
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Error("the file was changed")
	}
	if _, err := bolt.Count(file(t), ""); err == nil {
		t.Error("there is no such file")
	}
}

func TestAFileInUseIsRefusedByName(t *testing.T) {
	path := file(t)
	open(t, path)
	_, err := bolt.Open(path)
	if !errors.Is(err, bolt.ErrInUse) || !strings.Contains(err.Error(), path) {
		t.Fatalf("error = %v, want ErrInUse and the path", err)
	}
}

func TestTheFileIsReadByItsOwnerOnly(t *testing.T) {
	path := file(t)
	open(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
}

func TestAFileOfAnotherFormatIsRefused(t *testing.T) {
	path := file(t)
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	change(t, path, "meta", "format", "3")
	if _, err := bolt.Open(path); err == nil || !strings.Contains(err.Error(), "format") {
		t.Fatalf("error = %v, want one about the format", err)
	}
	if _, err := bolt.Open(t.TempDir()); err == nil {
		t.Fatal("a folder was opened as a file")
	}
}

func TestAFileOfTheFormatBeforeIsReadAndBecomesOneOfThis(t *testing.T) {
	path := file(t)
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	old := table.Item{Key: table.Key{PK: "p", SK: "a"}, Revision: 7, Doc: []byte("old"), Index: map[string]table.Key{tabletest.Index: {PK: "i", SK: "j"}}}
	err = db.Update(func(tx *bbolt.Tx) error {
		for bucket, entries := range map[string][2]string{
			"meta":       {"format", "1"},
			"items":      {"p\x00a", "\x01\x07\x01\x04list\x01i\x01jold"},
			"index.list": {"i\x00j\x00p\x00a", ""},
		} {
			b, err := tx.CreateBucket([]byte(bucket))
			if err != nil {
				return err
			}
			if err := b.Put([]byte(entries[0]), []byte(entries[1])); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		tb := open(t, path)
		found, err := tb.Get(t.Context(), old.Key)
		if err != nil || !reflect.DeepEqual(found[old.Key], old) {
			t.Fatalf("found %v, %v; want %v", found, err, old)
		}
		page, err := tb.Query(t.Context(), table.Query{Index: tabletest.Index, PK: "i", Limit: 1})
		if err != nil || len(page.Items) != 1 {
			t.Fatalf("index %v, %v", page, err)
		}
		if err := tb.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestF11_CorruptItemsAreNamedBesideTheOthers(t *testing.T) {
	tabletest.RunCorrupt(t, func(t *testing.T) (table.Table, func(...table.Key) table.Table) {
		path := file(t)
		first := open(t, path)
		return first, func(keys ...table.Key) table.Table {
			if err := first.Close(); err != nil {
				t.Fatal(err)
			}
			for _, k := range keys {
				change(t, path, "items", k.PK+"\x00"+k.SK, "\x01\x01\x09")
			}
			return open(t, path)
		}
	})
}

func TestADamagedRecordIsCorruptAndNotAbsent(t *testing.T) {
	path := file(t)
	first := open(t, path)
	item := row("p", "a", 1)
	if err := first.Write(t.Context(), table.Put(item, table.Absent), table.Put(row("p", "b", 1), table.Absent)); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	change(t, path, "items", "p\x00a", "\x01\x01\x09")
	tb := open(t, path)
	if found, err := tb.Get(t.Context(), item.Key); !errors.Is(err, table.ErrCorrupt) || len(found) != 0 {
		t.Errorf("Get: %v, %v; want nothing and ErrCorrupt", found, err)
	}
	if page, err := tb.Query(t.Context(), table.Query{PK: "p", Limit: 10}); !errors.Is(err, table.ErrCorrupt) || len(page.Items) != 1 {
		t.Errorf("Query: %v, %v; want its neighbour and ErrCorrupt", page, err)
	}
	if err := tb.Write(t.Context(), table.Put(item, table.Absent)); !errors.Is(err, table.ErrCorrupt) {
		t.Errorf("Write: %v, want ErrCorrupt", err)
	}
	if _, err := tb.Get(t.Context(), table.Key{PK: "p", SK: "b"}); err != nil {
		t.Errorf("its neighbour: %v", err)
	}
}

// change writes one entry of the file behind the engine's back.
func change(t *testing.T, path, bucket, key, value string) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.Bucket([]byte(bucket)).Put([]byte(key), []byte(value)) })
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestAClosedTableIsUnavailable(t *testing.T) {
	tb := open(t, file(t))
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := int64(1); ; i++ {
				err := tb.Write(t.Context(), table.Put(row("p", fmt.Sprint(n, ".", i), i), table.Absent))
				if errors.Is(err, table.ErrUnavailable) {
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	if err := tb.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if _, err := tb.Get(t.Context(), table.Key{PK: "p", SK: "a"}); !errors.Is(err, table.ErrUnavailable) {
		t.Errorf("Get: %v, want ErrUnavailable", err)
	}
	if err := tb.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
}

const (
	killWriters = 4
	killAfter   = 200 // acknowledged writes
)

// writeForever raises one row of each writer, together with a second one in the
// same transaction, and prints each write once it was acknowledged.
func writeForever(path string) error {
	tb, err := bolt.Open(path)
	if err != nil {
		return err
	}
	if _, err := tb.Feed(context.Background()); err != nil {
		return err
	}
	failed := make(chan error)
	for w := range killWriters {
		go func() {
			for n := int64(1); ; n++ {
				condition := table.At(n - 1)
				if n == 1 {
					condition = table.Absent
				}
				err := tb.Write(context.Background(),
					table.Put(row("p", fmt.Sprint("w", w), n), condition),
					table.Put(row("q", fmt.Sprintf("w%d-%08d", w, n), n), table.Absent))
				if err != nil {
					failed <- err
					return
				}
				fmt.Println("stored", w, n)
			}
		}()
	}
	return <-failed
}

func TestKillingAWriterLosesNothingThatWasAcknowledged(t *testing.T) {
	path := file(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), writerEnv+"="+path)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[int]int64{}
	lines := 0
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		var w int
		var n int64
		if _, err := fmt.Sscanf(scanner.Text(), "stored %d %d", &w, &n); err != nil {
			t.Errorf("the writer says %q", scanner.Text())
			break
		}
		acknowledged[w] = n
		// What still comes after the kill was acknowledged before it.
		if lines++; lines == killAfter {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // its error is that it was killed
	if lines < killAfter {
		t.Fatalf("%d writes were acknowledged, want at least %d", lines, killAfter)
	}
	tb := open(t, path)
	total := int64(0)
	for w, n := range acknowledged {
		total += checkWriter(t, tb, w, n)
	}
	if got := countIndex(t, tb); got != total {
		t.Errorf("the index holds %d items, want %d", got, total)
	}
	checkFeed(t, tb)
}

// checkFeed finds one change for every write that is stored, and no other.
func checkFeed(t *testing.T, tb *bolt.Table) {
	t.Helper()
	feed := feedOf(t, tb)
	raised, rows := map[string]int64{}, 0
	for changes := read(t, feed); len(changes) > 0; changes = read(t, feed) {
		for _, c := range changes {
			if c.Key.PK == "q" {
				rows++
				continue
			}
			if raised[c.Key.SK]++; c.New == nil || c.New.Revision != raised[c.Key.SK] {
				t.Fatalf("change %d of %v is to %v", raised[c.Key.SK], c.Key, c.New)
			}
		}
		if err := feed.Acknowledge(t.Context(), changes[len(changes)-1]); err != nil {
			t.Fatal(err)
		}
	}
	total := int64(0)
	for sk, n := range raised {
		k := table.Key{PK: "p", SK: sk}
		found, err := tb.Get(t.Context(), k)
		if err != nil || found[k].Revision != n {
			t.Errorf("%s: %d changes, revision %d: %v", sk, n, found[k].Revision, err)
		}
		total += n
	}
	if int64(rows) != total {
		t.Errorf("%d changes of rows beside %d: half of a transaction", rows, total)
	}
}

// checkWriter finds all of a writer's rows and returns their number.
func checkWriter(t *testing.T, tb *bolt.Table, w int, acknowledged int64) int64 {
	t.Helper()
	k := table.Key{PK: "p", SK: fmt.Sprint("w", w)}
	found, err := tb.Get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	n := found[k].Revision
	// One more may be stored whose answer the kill cut off.
	if n != acknowledged && n != acknowledged+1 {
		t.Errorf("writer %d: revision %d, acknowledged %d", w, n, acknowledged)
	}
	rows := int64(0)
	q := table.Query{PK: "q", Prefix: k.SK + "-", Limit: table.MaxPage}
	for {
		page, err := tb.Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		rows += int64(len(page.Items))
		if q.After = page.After; q.After == "" {
			break
		}
	}
	if rows != n {
		t.Errorf("writer %d: %d rows beside revision %d: half of a transaction", w, rows, n)
	}
	return rows + 1
}

func countIndex(t *testing.T, tb *bolt.Table) int64 {
	t.Helper()
	n := int64(0)
	q := table.Query{Index: tabletest.Index, PK: "all", Limit: table.MaxPage}
	for {
		page, err := tb.Query(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		n += int64(len(page.Items))
		if q.After = page.After; q.After == "" {
			return n
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, writers := range []int{1, 16} {
		b.Run(fmt.Sprint(writers, " writers"), func(b *testing.B) {
			tb, err := bolt.Open(filepath.Join(b.TempDir(), "data"))
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = tb.Close() }()
			work := make(chan int)
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					for n := range work {
						if err := tb.Write(b.Context(), table.Put(row("p", fmt.Sprint(n), 1), table.Absent)); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for n := 0; b.Loop(); n++ {
				work <- n
			}
			close(work)
			wg.Wait()
		})
	}
}
