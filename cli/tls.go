package cli

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/kleinbild/kleinbild/atomicfile"
)

const (
	// maxCertificateBytes bounds a file with a certificate or a key: a chain of four has 10 kB.
	maxCertificateBytes = 1 << 20
	// certificateAge is how long a certificate is used before the server looks whether its files have changed.
	certificateAge = 30 * time.Second
)

// certificate is the server's certificate in two files. It is read again after the files have changed, as they do when
// it is renewed.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	changed [2]time.Time // when the files were changed last
	checked time.Time
}

// newCertificate reads the certificate for the first time.
func newCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{
		certFile: certFile,
		keyFile:  keyFile,
		log:      log,
		checked:  time.Now(),
		changed:  changedAt(certFile, keyFile),
	}
	var err error
	c.pair, err = c.read()
	return c, err
}

func (c *certificate) read() (*tls.Certificate, error) {
	cert, err := atomicfile.Read(c.certFile, maxCertificateBytes)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert: %w", err)
	}
	key, err := atomicfile.Read(c.keyFile, maxCertificateBytes)
	if err != nil {
		return nil, fmt.Errorf("--tls-key: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("--tls-cert %s with --tls-key %s: %w; want a certificate and its key in PEM form",
			c.certFile, c.keyFile, err)
	}
	return &pair, nil
}

// changedAt returns when two files were changed last, a zero time if that is not known.
func changedAt(files ...string) (at [2]time.Time) {
	for i, file := range files {
		if info, err := os.Stat(file); err == nil {
			at[i] = info.ModTime()
		}
	}
	return at
}

// get returns the certificate for a handshake. If the new files cannot be used, for example because only one of them is
// there yet, the old certificate stays.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.checked) < certificateAge {
		return c.pair, nil
	}
	c.checked = time.Now()
	changed := changedAt(c.certFile, c.keyFile)
	if changed == c.changed {
		return c.pair, nil
	}
	pair, err := c.read()
	if err != nil {
		c.log.Error("the new certificate cannot be used; the old one stays", "error", err)
		return c.pair, nil
	}
	c.pair, c.changed = pair, changed
	c.log.Info("the certificate was read again", "file", c.certFile)
	return c.pair, nil
}

// encrypted returns a listener whose connections are encrypted. They speak HTTP/1.1: the server's limits count
// connections, and HTTP/2 would put any number of requests on one.
func (c *certificate) encrypted(l net.Listener) net.Listener {
	return tls.NewListener(l, &tls.Config{
		GetCertificate: c.get, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12,
	})
}
