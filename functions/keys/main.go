// Command keys is the Lambda that stores the keys that users bring.
package main

import (
	"context"

	"keyvend/pkg/boot"
	"keyvend/pkg/serve"
)

func main() {
	app := boot.MustFromEnv(context.Background())
	serve.Lambda(app.Keys())
}
