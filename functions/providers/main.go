// Command providers is the Lambda that registers and removes a tenant's data integrations.
package main

import (
	"context"

	"keyvend/pkg/boot"
	"keyvend/pkg/serve"
)

func main() {
	app := boot.MustFromEnv(context.Background())
	serve.Lambda(app.Providers())
}
