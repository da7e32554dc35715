package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"keyvend/infra/testbed"
)

// nodeClient is the official Node SDK, which needs a Node.js on the machine:
//
//	mkdir -p "$KEYVEND_TOOLS/node" && cp infra/e2e/node/package*.json "$KEYVEND_TOOLS/node" && npm ci --prefix "$KEYVEND_TOOLS/node"
func nodeClient() []guarantee {
	return []guarantee{{"the_official_Node_SDK_works_with_another_base_URL", nodeSDK}}
}

func nodeSDK(t *testing.T, k *target) {
	node := testbed.Command(t, "node")
	modules := filepath.Dir(filepath.Dir(testbed.Tool(t, "node/node_modules/@workos-inc/node")))
	shop := k.newShop(t)
	script := exec.CommandContext(t.Context(), node, filepath.Join("node", "pipes.cjs"))
	script.Env = append(os.Environ(), "NODE_PATH="+modules, "KEYVEND_URL="+k.url, "KEYVEND_API_KEY="+shop.key)
	if out, err := script.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
