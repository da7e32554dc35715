// Command vend is the Lambda that hands a stored key to the tenant's backend.
package main

import (
	"context"

	"keyvend/pkg/boot"
	"keyvend/pkg/boot/checkqueue"
	"keyvend/pkg/serve"
)

func main() {
	app := boot.MustFromEnv(context.Background(), checkqueue.FromEnv)
	serve.Lambda(app.Vend())
}
