// Package outbound asks providers whether a key works. It is the only way in
// which keyvend calls a host that someone else named, so it reaches nothing but
// the public internet, and tells nothing but what a check is made of.
//
// An ask is one connection, one request and one answer, written and read here:
// a client with a pool could mix the requests of two keys, follows redirects,
// sends again, and logs what a server says unasked. HTTP/1.1 is all it speaks;
// HTTP/2 gains one request nothing and lets a server send much besides answers.
package outbound

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"

	"keyvend/pkg/catalog"
	"keyvend/pkg/health"
)

const defaultTimeout = 5 * time.Second

// Config is what may be chosen; where a Client may go is not.
type Config struct {
	Timeout time.Duration // of an ask as a whole; 0 is 5 s. A context may end it earlier
}

// Client asks providers. It keeps nothing from one ask to the next.
type Client struct {
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	roots   *x509.CertPool // nil: the system's
	timeout time.Duration
	now     func() time.Time
}

var _ health.Asker = (*Client)(nil)

// New makes a Client that reaches public addresses only.
func New(c Config) *Client {
	if c.Timeout == 0 {
		c.Timeout = defaultTimeout
	}
	return &Client{dial: guarded().DialContext, timeout: c.Timeout, now: time.Now}
}

// Ask implements health.Asker. Of an answer that is compressed, or whose body is
// longer than 64 KiB, it tells everything but the body, as if it were empty. An
// ask that catalog would not have made is health.ErrNotPublic for its host, and
// health.ErrUnreachable with catalog.ErrUnfit for anything else. No error holds
// a part of the ask or of the answer.
func (c *Client) Ask(ctx context.Context, ask catalog.Ask) (health.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	request, err := makeRequest(ctx, ask)
	if err != nil {
		return health.Answer{}, err
	}
	conn, err := c.connect(ctx, ask.Host)
	if err != nil {
		return health.Answer{}, err
	}
	// The connection below is what is closed: TLS would wait to say goodbye.
	hangUp := func() { _ = conn.NetConn().Close() }
	defer hangUp()
	defer context.AfterFunc(ctx, hangUp)()

	if err := request.Write(conn); err != nil {
		return health.Answer{}, failed(ctx, "http", err)
	}
	answer, err := readAnswer(conn, request, c.now)
	if err != nil {
		return health.Answer{}, failed(ctx, "http", err)
	}
	return answer, nil
}

func (c *Client) connect(ctx context.Context, host string) (*tls.Conn, error) {
	raw, err := c.dial(ctx, "tcp", net.JoinHostPort(host, "443"))
	if err != nil {
		return nil, failed(ctx, "connect", err)
	}
	conn := tls.Client(raw, &tls.Config{
		ServerName: host,
		RootCAs:    c.roots,
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
	})
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, failed(ctx, "tls", err)
	}
	return conn, nil
}

// failed is what may be said of err, which can hold the key or bytes of the
// answer: one of health's errors, and the step at which it happened.
func failed(ctx context.Context, step string, err error) error {
	for _, plain := range []error{health.ErrNotPublic, health.ErrOversized} {
		if errors.Is(err, plain) {
			return plain
		}
	}
	if lookup := (*net.DNSError)(nil); errors.As(err, &lookup) {
		step = "dns"
	}
	if timeout := net.Error(nil); ctx.Err() != nil || errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("%w: %s", health.ErrTimeout, step)
	}
	return fmt.Errorf("%w: %s", health.ErrUnreachable, step)
}
