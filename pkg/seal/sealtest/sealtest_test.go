package sealtest

import (
	"testing"

	"keyvend/pkg/seal"
)

func TestTheScriptedWrapperKeepsTheContract(t *testing.T) {
	Run(t, func() func(t *testing.T) seal.Wrapper {
		shared := NewWrapper(t)
		shared.harmless = true
		return func(*testing.T) seal.Wrapper { return shared }
	}())
}
