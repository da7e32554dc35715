//go:build fakeproviders

package outbound

import (
	"context"
	"crypto/x509"
	"net"
	"net/netip"
	"time"

	"keyvend/pkg/health"
)

// NewFake makes an Asker for end-to-end tests, which sends every ask to one
// address on loopback ("127.0.0.1:8443") whatever its host, over TLS under the
// host's name: the certificate has to be for the host and from roots. No binary
// that ships has it, since none is built with the tag.
func NewFake(address string, roots *x509.CertPool) health.Asker {
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		if to, err := netip.ParseAddrPort(address); err != nil || !to.Addr().IsLoopback() {
			return nil, health.ErrNotPublic
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	return &Client{dial: dial, roots: roots, timeout: defaultTimeout, now: time.Now}
}
