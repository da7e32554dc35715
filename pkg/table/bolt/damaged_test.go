package bolt_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"keyvend/pkg/table"
	"keyvend/pkg/table/bolt"
)

// written is a file with some pages in it.
func written(t *testing.T) []byte {
	t.Helper()
	_, closed := twice(t)
	return closed
}

// twice is a file with some pages in it as a killed process leaves it, and as
// one does that closes it.
func twice(t *testing.T) (killed, closed []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "table.db")
	tb, err := bolt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		item := table.Item{Key: table.Key{PK: "p", SK: fmt.Sprintf("s%02d", i)}, Revision: 1, Doc: bytes.Repeat([]byte("x"), 9000)}
		if err := tb.Write(t.Context(), table.Put(item, table.Absent)); err != nil {
			t.Fatal(err)
		}
	}
	if killed, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	if err := tb.Close(); err != nil {
		t.Fatal(err)
	}
	if closed, err = os.ReadFile(path); err != nil {
		t.Fatal(err)
	}
	return killed, closed
}

func TestATruncatedFileIsRefusedAsDamaged(t *testing.T) {
	whole := written(t)
	for _, size := range []int{1, 15, 1000, 4096, 5000, 8192, 12288, 16384, 32768, 65536, len(whole) / 2} {
		path := filepath.Join(t.TempDir(), "table.db")
		if err := os.WriteFile(path, whole[:size], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := bolt.Open(path); !errors.Is(err, bolt.ErrDamaged) {
			t.Errorf("%d of %d bytes: %v", size, len(whole), err)
		}
	}
}

func TestWhatIsNoFileOfThisPackageIsRefusedAsDamaged(t *testing.T) {
	whole := written(t)
	for name, content := range map[string][]byte{
		"text":                      []byte("this is no database"),
		"much text":                 bytes.Repeat([]byte("this is no database\n"), 5000),
		"zeros":                     make([]byte, 1<<16),
		"nothing behind the header": append(bytes.Clone(whole[:8192]), make([]byte, len(whole)-8192)...),
	} {
		path := filepath.Join(t.TempDir(), "table.db")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := bolt.Open(path); !errors.Is(err, bolt.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, content) {
			t.Errorf("%s: the file was changed", name)
		}
	}
}

func TestAPageOfNonsenseIsAnErrorAndNeverAPanic(t *testing.T) {
	killed, closed := twice(t)
	for name, whole := range map[string][]byte{"killed": killed, "closed": closed} {
		for at := 0; at < len(whole); at += 4096 {
			for _, filling := range []byte{0, 0xff} {
				spoiled := bytes.Clone(whole)
				copy(spoiled[at:], bytes.Repeat([]byte{filling}, 4096))
				for _, err := range useAll(t, spoiled) {
					if err != nil && !errors.Is(err, bolt.ErrDamaged) && !errors.Is(err, table.ErrCorrupt) &&
						!errors.Is(err, table.ErrUnavailable) && !errors.Is(err, table.ErrCondition) {
						t.Errorf("%s, page %d: %v", name, at/4096, err)
					}
				}
			}
		}
	}
}

// useAll makes one call of each kind on a file with that content, if it opens.
func useAll(t *testing.T, content []byte) []error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "table.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	tb, err := bolt.Open(path)
	if err != nil {
		return []error{err}
	}
	item := table.Item{Key: table.Key{PK: "p", SK: "s05"}, Revision: 2, Doc: []byte("x")}
	_, getErr := tb.Get(t.Context(), item.Key)
	_, queryErr := tb.Query(t.Context(), table.Query{PK: "p", Limit: 100})
	writeErr := tb.Write(t.Context(), table.Put(item, table.Present))
	_ = tb.Close()
	return []error{getErr, queryErr, writeErr}
}
