// Command asker asks a fake provider once: asker ADDRESS ROOTS.PEM HOST. It can
// be built with the tag of fakes only.
package main

import (
	"context"
	"crypto/x509"
	"fmt"
	"os"

	"keyvend/pkg/catalog"
	"keyvend/pkg/outbound"
	"keyvend/pkg/secret"
)

func main() {
	address, file, host := os.Args[1], os.Args[2], os.Args[3]
	certificates, err := os.ReadFile(file)
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificates)
	ask := catalog.Ask{Method: "GET", Host: host, URL: secret.FromString("https://" + host + "/v1/me")}
	answer, err := outbound.NewFake(address, roots).Ask(context.Background(), ask)
	fmt.Println(answer.Status, err)
}
