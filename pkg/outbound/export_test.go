package outbound

import (
	"context"
	"crypto/x509"
	"net"
	"time"
)

// Dial is how a Client connects.
type Dial = func(ctx context.Context, network, address string) (net.Conn, error)

// NewVia makes a Client that connects in another way.
func NewVia(dial Dial, roots *x509.CertPool, timeout time.Duration, now func() time.Time) *Client {
	return &Client{dial: dial, roots: roots, timeout: timeout, now: now}
}

// Dial connects as an ask does.
func (c *Client) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return c.dial(ctx, network, address)
}

// Guarded is the dialer of a Client that New makes.
var Guarded = guarded

// The limits of an answer.
const (
	MaxHeader = maxHeader
	MaxBody   = maxBody
)
