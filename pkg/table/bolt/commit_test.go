package bolt

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"

	"keyvend/pkg/table"
)

// TestAWriteCostsTheSameHoweverMuchWasDeletedBefore counts what one small write
// writes to the file: a table from which 100,000 accounts went has to go on as
// fast as a new one.
func TestAWriteCostsTheSameHoweverMuchWasDeletedBefore(t *testing.T) {
	opened, err := Open(filepath.Join(t.TempDir(), "keyvend.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	write := func(ops ...table.Op) {
		t.Helper()
		if err := opened.Write(t.Context(), ops...); err != nil {
			t.Fatal(err)
		}
	}
	revision := int64(0)
	one := func() int64 {
		before := opened.db.Stats().TxStats
		condition := table.Present
		if revision == 0 {
			condition = table.Absent
		}
		revision++
		write(table.Put(table.Item{Key: table.Key{PK: "p", SK: "one"}, Revision: revision, Doc: []byte("small")}, condition))
		after := opened.db.Stats().TxStats
		return after.GetPageAlloc() - before.GetPageAlloc()
	}
	one()
	small := one()

	const writes, each = 40, 25
	large := bytes.Repeat([]byte("x"), 12<<10)
	key := func(w, i int) table.Key { return table.Key{PK: "many", SK: fmt.Sprintf("%d-%d", w, i)} }
	for w := range writes {
		var ops []table.Op
		for i := range each {
			ops = append(ops, table.Put(table.Item{Key: key(w, i), Revision: 1, Doc: large}, table.Absent))
		}
		write(ops...)
	}
	for w := range writes {
		var ops []table.Op
		for i := range each {
			ops = append(ops, table.Delete(key(w, i), table.Present))
		}
		write(ops...)
	}
	one()
	if free := opened.db.Stats().FreePageN; free < writes*each {
		t.Fatalf("only %d pages are free: this test sees nothing", free)
	}
	if got := one(); got > small {
		t.Errorf("a small write takes %d bytes of pages, and took %d before", got, small)
	}
}
