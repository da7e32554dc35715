package widget_test

import (
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"keyvend/infra/testbed"
)

// budget is how many bytes all that a page loads for the widget may have, each file
// compressed as it is served.
const budget = 30 << 10

func TestTheWidgetIsSmall(t *testing.T) {
	total := 0
	count := func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		var packed bytes.Buffer
		w, _ := gzip.NewWriterLevel(&packed, gzip.BestCompression) // a level that there is
		_, _ = w.Write(text)
		_ = w.Close() // a buffer takes everything
		t.Logf("%6d %s", packed.Len(), filepath.Base(name))
		total += packed.Len()
		return nil
	}
	for _, name := range []string{source, files + "/embed", files + "/widget.js", files + "/dom.js"} {
		if err := filepath.WalkDir(name, count); err != nil {
			t.Fatal(err)
		}
	}
	if total > budget || total < 10<<10 {
		t.Errorf("the widget has %d bytes, %d are allowed", total, budget)
	}
}

func TestTheTypesAreRight(t *testing.T) {
	node := testbed.Command(t, "node")
	compiler := testbed.Tool(t, "web/node_modules/typescript/bin/tsc")
	if out, err := exec.CommandContext(t.Context(), node, compiler, "-p", "tsconfig.json").CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
