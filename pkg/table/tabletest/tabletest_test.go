package tabletest

import (
	"testing"

	"keyvend/pkg/table"
)

func TestMemoryConforms(t *testing.T) {
	Run(t, func(*testing.T) table.Table { return NewMemory() })
}

func TestLaggingIndexesConformOnceSettled(t *testing.T) {
	Run(t, func(*testing.T) table.Table { return Lag(NewMemory()) })
}

func TestFaultlessFaultsConform(t *testing.T) {
	Run(t, func(t *testing.T) table.Table { return Faults(t, NewMemory()) })
}
