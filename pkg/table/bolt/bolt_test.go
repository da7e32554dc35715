package bolt_test

import (
	"path/filepath"
	"testing"

	"keyvend/pkg/table"
	"keyvend/pkg/table/bolt"
	"keyvend/pkg/table/tabletest"
)

func open(t *testing.T, path string) *bolt.Table {
	t.Helper()
	tb, err := bolt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tb.Close() })
	return tb
}

func TestConformance(t *testing.T) {
	tabletest.Run(t, func(t *testing.T) table.Table { return open(t, filepath.Join(t.TempDir(), "data")) })
}

func TestConformanceWithLaggingIndexes(t *testing.T) {
	tabletest.Run(t, func(t *testing.T) table.Table {
		return tabletest.Lag(open(t, filepath.Join(t.TempDir(), "data")))
	})
}
