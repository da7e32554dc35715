// Command tenants is the Lambda with which an operator makes tenants and API
// keys. It has no HTTP trigger: IAM decides who may invoke it.
package main

import (
	"context"

	"keyvend/pkg/boot"
	"keyvend/pkg/serve"
)

func main() {
	app := boot.MustFromEnv(context.Background())
	serve.Event(app.Tenants())
}
