package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// authority signs certificates of the tests.
type authority struct {
	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB, dir string) *authority {
	t.Helper()
	a := &authority{t: t, dir: dir, cert: &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the tests' authority"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, a.cert, a.cert, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	a.write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return a
}

func (a *authority) path(file string) string { return filepath.Join(a.dir, file) }

func (a *authority) write(file string, text []byte) {
	a.t.Helper()
	if err := os.WriteFile(a.path(file), text, 0o600); err != nil {
		a.t.Fatal(err)
	}
}

// sign writes NAME.crt, NAME.key, and both together as NAME.pem.
func (a *authority) sign(name string, until time.Time) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until,
		DNSNames: []string{name}, Subject: pkix.Name{CommonName: name},
	}
	if ip := net.ParseIP(name); ip != nil {
		leaf.DNSNames, leaf.IPAddresses = nil, []net.IP{ip}
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, a.cert, key.Public(), a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	secret, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	private := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})
	a.write(name+".crt", certificate)
	a.write(name+".key", private)
	a.write(name+".pem", append(certificate, private...))
}

// TestCertificates opens servers whose certificates are sound, of an unknown authority, for another name, or out of
// date.
func TestCertificates(t *testing.T) {
	a := newAuthority(t, t.TempDir())
	hour := time.Now().Add(time.Hour)
	a.sign("127.0.0.1", hour)
	a.sign("studio.lan", hour)
	a.sign("::1", time.Now().Add(-time.Hour))
	if err := os.Rename(a.path("::1.pem"), a.path("old.pem")); err != nil {
		t.Fatal(err)
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { status(w, 401, "no", "") })
	encrypted := func(file string) string {
		pair, err := tls.LoadX509KeyPair(a.path(file), a.path(file))
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewUnstartedServer(handler)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
		s.Config.ErrorLog = log.New(io.Discard, "", 0)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s.URL
	}
	plain := handle(t, handler)
	for _, row := range []struct{ name, address, ca, want string }{
		{"sound", encrypted("127.0.0.1.pem"), "ca.pem", "does not accept the token"},
		{"an unknown authority", encrypted("127.0.0.1.pem"), "", "a certificate of nobody whom this computer knows"},
		{"another name", encrypted("studio.lan.pem"), "ca.pem", "for another name, want the name that is in it: studio.lan"},
		{"out of date", encrypted("old.pem"), "ca.pem", "out of date, or this computer's clock is wrong"},
		{"none", "https" + strings.TrimPrefix(plain, "http"), "ca.pem", "does not encrypt, want a server that does"},
		{"asked without", "http" + strings.TrimPrefix(encrypted("127.0.0.1.pem"), "https"), "", "encrypts, want https://"},
		{"a file without certificates", plain, "127.0.0.1.key", "found none, want certificates in PEM form"},
		{"no file", plain, "gone.pem", "certificates: "},
	} {
		address, err := ParseAddress(row.address, false)
		if err != nil {
			t.Fatal(err)
		}
		opts := Options{Address: address, Token: token}
		if row.ca != "" {
			opts.CA = a.path(row.ca)
		}
		if _, err := open(t.Context(), opts, quick()); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %s", row.name, err, row.want)
		}
	}
}

// TestProxy checks that a proxy that does not answer is not taken for the server.
func TestProxy(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	proxy, err := url.Parse(gone.URL)
	if err != nil {
		t.Fatal(err)
	}
	address, err := ParseAddress("https://studio.lan", false)
	if err != nil {
		t.Fatal(err)
	}
	e := &Engine{address: address, limits: quick(), transport: newTransport(address, nil, quick())}
	e.transport.Proxy = http.ProxyURL(proxy)
	err = e.ask(t.Context())
	if err == nil || !strings.Contains(err.Error(), "studio.lan cannot be reached: the proxy that") {
		t.Errorf("%v, want the proxy to be named", err)
	}
}
