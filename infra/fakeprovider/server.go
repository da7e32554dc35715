package fakeprovider

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"time"
)

// certified is how long the certificates of a server hold.
const certified = 7 * 24 * time.Hour

// Server is a kit behind TLS on the loopback interface.
type Server struct {
	Addr string // HOST:PORT that stands for port 443 of all fakes' hosts
	CA   []byte // PEM of the authority that certifies these hosts, and could no other

	roots *x509.CertPool
	http  *http.Server
	ended chan struct{}
}

// Serve starts a server on a free port. It ends with ctx, or by Close.
func (k *Kit) Serve(ctx context.Context) (*Server, error) {
	authority, certificate, err := certify()
	if err != nil {
		return nil, fmt.Errorf("fakeprovider: make a certificate: %w", err)
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("fakeprovider: listen: %w", err)
	}
	s := &Server{
		Addr:  l.Addr().String(),
		CA:    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority.Raw}),
		roots: x509.NewCertPool(),
		http: &http.Server{
			Handler:           k,
			ReadHeaderTimeout: 10 * time.Second,
			ErrorLog:          log.New(io.Discard, "", 0), // of clients that hang up
			TLSConfig:         &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}},
			Protocols:         new(http.Protocols),
		},
		ended: make(chan struct{}),
	}
	s.roots.AddCert(authority)
	s.http.Protocols.SetHTTP1(true) // HTTP/2 has no way to hang up on one request
	go func() {
		defer close(s.ended)
		_ = s.http.ServeTLS(l, "", "") // ends with Close
	}()
	context.AfterFunc(ctx, func() { _ = s.Close() })
	return s, nil
}

// Close ends the server and hangs up on whoever waits for an answer.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.ended
	return err
}

// Client is a client for which the server is all of the internet. It follows no
// redirect, as keyvend does not.
func (s *Server) Client() *http.Client {
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		if _, found := at(addr); !found {
			return nil, errors.New("fakeprovider: there is no fake provider at " + addr)
		}
		return (&net.Dialer{}).DialContext(ctx, network, s.Addr)
	}
	return &http.Client{
		Transport:     &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.roots}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// certify makes an authority, whose own key is gone when this returns, and a
// certificate of it for all hosts.
func certify() (authority *x509.Certificate, certificate tls.Certificate, err error) {
	now := time.Now()
	root := &x509.Certificate{
		SerialNumber:                big.NewInt(1),
		Subject:                     pkix.Name{CommonName: "keyvend's fake providers"},
		NotBefore:                   now.Add(-time.Hour),
		NotAfter:                    now.Add(certified),
		IsCA:                        true,
		BasicConstraintsValid:       true,
		KeyUsage:                    x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true,
		PermittedDNSDomains:         []string{Domain},
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: Domain},
		NotBefore:    root.NotBefore,
		NotAfter:     root.NotAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, f := range All() {
		leaf.DNSNames = append(leaf.DNSNames, f.Hosts...)
	}
	rootKey, rootErr := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	leafKey, leafErr := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err := errors.Join(rootErr, leafErr); err != nil {
		return nil, tls.Certificate{}, err
	}
	rootDER, rootErr := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	leafDER, leafErr := x509.CreateCertificate(rand.Reader, leaf, root, leafKey.Public(), rootKey)
	if err := errors.Join(rootErr, leafErr); err != nil {
		return nil, tls.Certificate{}, err
	}
	authority, err = x509.ParseCertificate(rootDER)
	return authority, tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: leafKey}, err
}
