package e2e

import (
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"keyvend/infra/testbed"
)

// nodeClient is the official Node SDK, which needs a Node.js on the machine:
//
//	mkdir -p "$KEYVEND_TOOLS/node" && cp infra/e2e/node/package*.json "$KEYVEND_TOOLS/node" && npm ci --prefix "$KEYVEND_TOOLS/node"
func nodeClient() []guarantee {
	return []guarantee{
		{"the_official_Node_SDK_works_with_another_base_URL", nodeSDK},
		{"the_README's_Node_lines_reach_keyvend", readmeNode},
	}
}

func nodeSDK(t *testing.T, k *target) {
	runNode(t, k, filepath.Join("node", "pipes.cjs"))
}

// readmeNode runs the JavaScript block of the README as printed, but for the
// port, and lists the integrations with what it made.
func readmeNode(t *testing.T, k *target) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, _ := strings.Cut(string(readme), "```js\n")
	block, _, _ = strings.Cut(block, "```")
	at, err := url.Parse(k.url)
	if err != nil {
		t.Fatal(err)
	}
	script := strings.Replace(block, "port: 8787", "port: "+at.Port(), 1) +
		"workos.pipes.listDataIntegrations().then((l) => { if (!Array.isArray(l.data)) throw new Error('no list'); });\n"
	runNode(t, k, "-e", script)
}

func runNode(t *testing.T, k *target, args ...string) {
	t.Helper()
	node := testbed.Command(t, "node")
	modules := filepath.Dir(filepath.Dir(testbed.Tool(t, "node/node_modules/@workos-inc/node")))
	script := exec.CommandContext(t.Context(), node, args...)
	script.Env = append(os.Environ(), "NODE_PATH="+modules, "KEYVEND_URL="+k.url, "KEYVEND_API_KEY="+k.newShop(t).key)
	if out, err := script.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
