package widget_test

import (
	"testing"

	"keyvend/infra/browsertest"
)

// source is where the files lie that are tested here, and files all for browsers.
const (
	files  = "../../pkg/web/files"
	source = files + "/widget"
)

func TestMain(m *testing.M) { browsertest.Main(m) }
