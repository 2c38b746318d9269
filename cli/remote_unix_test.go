//go:build unix

package cli

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io/fs"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestGenerateElsewhere makes pictures on a server in another process. They must be the files that this process makes,
// and the server must keep nothing of them.
func TestGenerateElsewhere(t *testing.T) {
	t.Chdir(t.TempDir())
	ownConfig(t)
	home := t.TempDir()
	s := serve(t, home, "-m", model(t, "distilled"), "--precision", "float32", "--token", "word")
	before := filesOf(t, home)
	writePicture(t, "secret-photo.png", 101, 83)
	there := func(more ...string) []string {
		return append(
			[]string{"generate", "--server", s.address, "--token", "word", "--size", "64x64", "--steps", "1"},
			more...)
	}
	for name, more := range map[string][]string{
		"text": {"-p", "a private wish", "-s", "7"}, "edit": {"-p", "winter", "-s", "8", "-i", "secret-photo.png"},
		"like": {"--like", "edit-there.png"},
	} {
		if name != "like" {
			mustMake(t, small(t, append(more, "-o", name+"-here.png")...)...)
			got := mustMake(t, there(append(more, "-o", name+"-there.png")...)...)
			if !strings.Contains(got.err, " of "+strings.TrimPrefix(s.address, "http://")) {
				t.Errorf("%s: the note does not name the other computer: %s", name, got.err)
			}
			if !bytes.Equal(readFile(t, name+"-here.png"), readFile(t, name+"-there.png")) {
				t.Errorf("%s: another file than here", name)
			}
		}
	}
	mustMake(t, "generate", "--server", s.address, "--token", "word", "--like", "edit-there.png", "-o", "again.png")
	if !bytes.Equal(readFile(t, "again.png"), readFile(t, "edit-there.png")) {
		t.Error("--like: another file")
	}
	if file := readFile(
		t,
		"edit-there.png",
	); bytes.Contains(file, []byte("127.0.0.1")) ||
		bytes.Contains(file, []byte("word")) {
		t.Error("the picture names the server, or its token")
	}
	mustMake(t, there("-p", "two", "-s", "1", "-n", "2", "-o", "two.png")...)
	got := call("", "generate", "--server", s.address, "--token", "wrong", "-p", "x")
	if got.code != exitFailure || !strings.Contains(errorLine(t, got), "does not accept the token") {
		t.Errorf("a wrong token: %d %s", got.code, got.err)
	}
	if after := filesOf(t, home); after != before {
		t.Errorf("the server has written files:\n%s\nbefore:\n%s", after, before)
	}
	if _, said := s.end(t); strings.Contains(said, "private wish") || strings.Contains(said, "secret-photo") {
		t.Errorf("the server's log: %s", said)
	}
}

// filesOf lists all files below a folder.
func filesOf(t *testing.T, dir string) string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(list, "\n")
}

// TestServeEncrypted serves with a certificate of an authority of the test, renews it, and breaks it.
func TestServeEncrypted(t *testing.T) {
	t.Chdir(t.TempDir())
	ownConfig(t)
	writeCertificate(t, "localhost", time.Now().Add(time.Hour))
	s := serve(
		t,
		t.TempDir(),
		"-m",
		model(t, "distilled"),
		"--token",
		"word",
		"--tls-cert",
		"cert.pem",
		"--tls-key",
		"key.pem",
	)
	if !strings.HasPrefix(s.address, "https://127.0.0.1:") {
		t.Fatalf("the address %s", s.address)
	}
	at := "https://localhost:" + s.address[strings.LastIndexByte(s.address, ':')+1:]
	ask := func(more ...string) outcome {
		return call(
			"",
			append([]string{"generate", "--token", "word", "-p", "x", "--size", "64x64", "--steps", "1", "-s", "1",
				"-o", "x.png"}, more...)...)
	}
	if got := ask("--server", at, "--ca", "ca.pem"); got.code != exitOK {
		t.Errorf("%d %s", got.code, got.err)
	}
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"an unknown authority", []string{"--server", at}, "has a certificate of nobody whom this computer knows"},
		{"another name", []string{"--server", s.address, "--ca", "ca.pem"}, "has a certificate for another name"},
		{"plain", []string{"--server", "http" + strings.TrimPrefix(at, "https")}, "encrypts, want https:// in its address"},
		{"no authority", []string{"--server", at, "--ca", "key.pem"}, "found none, want certificates in PEM form"},
		{"no file", []string{"--server", at, "--ca", "gone.pem"}, "gone.pem is not there"},
	} {
		got := ask(row.args...)
		if line := errorLine(t, got); got.code != exitFailure || !strings.Contains(line, row.want) {
			t.Errorf("%s: %d %s", row.name, got.code, line)
		}
	}
	for _, args := range [][]string{{"--tls-cert", "cert.pem"}, {"--tls-key", "key.pem"}} {
		if got := call("", append([]string{"serve"}, args...)...); got.code != exitUsage {
			t.Errorf("%q: %d %s", args, got.code, got.err)
		}
	}
	got := call("", "serve", "--tls-cert", "key.pem", "--tls-key", "key.pem")
	if line := errorLine(t, got); got.code != exitFailure || !strings.Contains(line, "want a certificate and its key") {
		t.Errorf("%d %s", got.code, line)
	}
}

// TestRenewedCertificate checks that new files are used without a restart, and that broken ones are not.
func TestRenewedCertificate(t *testing.T) {
	t.Chdir(t.TempDir())
	writeCertificate(t, "localhost", time.Now().Add(time.Hour))
	var log bytes.Buffer
	c, err := newCertificate("cert.pem", "key.pem", slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	serial := func() string {
		t.Helper()
		c.checked = time.Time{}
		pair, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(pair.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		return leaf.SerialNumber.String()
	}
	first := serial()
	if again := serial(); again != first {
		t.Error("another certificate without a change")
	}
	writeFile(t, "cert.pem", "half a certif")
	later := time.Now().Add(time.Minute)
	if err := os.Chtimes("cert.pem", later, later); err != nil {
		t.Fatal(err)
	}
	if broken := serial(); broken != first || !strings.Contains(log.String(), "the old one stays") {
		t.Errorf("a broken file: %s, %s", broken, log.String())
	}
	writeCertificate(t, "localhost", time.Now().Add(time.Hour))
	if second := serial(); second == first {
		t.Error("the renewed certificate is not used")
	}
}

// writeCertificate writes ca.pem, and cert.pem with key.pem for a name.
func writeCertificate(t *testing.T, name string, until time.Time) {
	t.Helper()
	newKey := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	write := func(file, kind string, der []byte) {
		writeFile(t, file, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
	}
	authority := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "the test's authority"}, NotAfter: until, IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	authorityKey, key := newKey(), newKey()
	der, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		t.Fatal(err)
	}
	write("ca.pem", "CERTIFICATE", der)
	leaf := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), NotAfter: until, DNSNames: []string{name}}
	if ip := net.ParseIP(name); ip != nil {
		leaf.DNSNames, leaf.IPAddresses = nil, []net.IP{ip}
	}
	if der, err = x509.CreateCertificate(rand.Reader, leaf, authority, key.Public(), authorityKey); err != nil {
		t.Fatal(err)
	}
	write("cert.pem", "CERTIFICATE", der)
	if der, err = x509.MarshalECPrivateKey(key); err != nil {
		t.Fatal(err)
	}
	write("key.pem", "EC PRIVATE KEY", der)
}
