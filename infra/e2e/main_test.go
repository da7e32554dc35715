package e2e

import (
	"os"
	"slices"
	"testing"

	"keyvend/infra/testbed"
)

func TestMain(m *testing.M) {
	defer func() { _ = os.RemoveAll(built) }() // "" when nothing was compiled
	testbed.Main(m)
}

func TestInProcess(t *testing.T) {
	t.Parallel()
	hold(t, inProcess(t, nil), slices.Concat(everywhere(), ownWidget()))
}

func TestLocal(t *testing.T) {
	t.Parallel()
	p := startLocal(t, t.TempDir())
	hold(t, p.target(), slices.Concat(everywhere(), nodeClient(), browsers(), ownWidget()))
}

func TestLambda(t *testing.T) {
	t.Parallel()
	f := deploy(t, fleetConfig{})
	hold(t, f.target(), slices.Concat(everywhere(), nodeClient(), browsers(), ownWidget(), frames()))
	t.Run("no_function_was_refused_by_its_role", func(t *testing.T) {
		if denied := f.stack.Denied(); len(denied) > 0 {
			t.Errorf("%v", denied)
		}
	})
}
