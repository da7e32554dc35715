//go:build fakeproviders

// Package asker, in binaries for tests alone, asks fake providers instead of the
// real ones.
package asker

import (
	"crypto/x509"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"

	"keyvend/pkg/boot"
	"keyvend/pkg/outbound"
)

// FromEnv is a boot.Part. KEYVEND_FAKE_PROVIDERS is the address of the fake
// providers, KEYVEND_FAKE_PROVIDERS_CA the certificate that theirs are signed
// with.
func FromEnv(_ aws.Config, get func(string) string, p *boot.Parts) error {
	roots := x509.NewCertPool()
	if get("KEYVEND_FAKE_PROVIDERS") == "" || !roots.AppendCertsFromPEM([]byte(get("KEYVEND_FAKE_PROVIDERS_CA"))) {
		return errors.New("asker: KEYVEND_FAKE_PROVIDERS and KEYVEND_FAKE_PROVIDERS_CA are not both set")
	}
	p.Asker = outbound.NewFake(get("KEYVEND_FAKE_PROVIDERS"), roots)
	return nil
}
