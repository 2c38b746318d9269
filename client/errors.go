package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/kleinbild/kleinbild/plain"
)

// Error says in a sentence what is wrong with another computer, or with the way to it.
type Error struct {
	Host string // its name and port
	Text string // the rest of the sentence
	// Retry says that the same request may succeed later. No picture of it has come, but it may have been made.
	Retry bool

	after time.Duration // the time that the server wants to pass before the next try; 0 for none
	again again
}

// again says whether a request may be sent again by itself.
type again int

const (
	never   again = iota // it failed for good, or it may have been made
	unsent               // it did not reach a server
	refused              // the server could not take it (503), and has said that it makes nothing of it
	queued               // the server's queue is full (429)
)

func (e *Error) Error() string {
	text := fmt.Sprintf("client: %s %s", e.Host, e.Text)
	if e.Retry {
		text += ": try again"
	}
	return text
}

// Retryable says that the same request may succeed later; see inference.Retryable.
func (e *Error) Retryable() bool { return e.Retry }

// errSilent is the cause of a context that ended because a server did not answer, or did not take what was sent.
var errSilent = errors.New("no answer in time")

// clean returns at most n runes of text, without characters that would change what is around them where it is shown.
func clean(text string, n int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if utf8.RuneCountInString(text) > n {
		text = string([]rune(text)[:n]) + "…"
	}
	return plain.Printable(strings.Join(strings.Fields(text), " "))
}

// noKleinbild is the sentence about a server of another kind.
const noKleinbild = "answers, but is no Kleinbild server"

// Error numbers of sockets on Windows.
const (
	wsaRefused     = syscall.Errno(10061)
	wsaUnreachable = syscall.Errno(10065)
)

// connectionError turns an error of the connection into a sentence. connected says that there was a connection, over
// which a part of the request may have been sent.
func (e *Engine) connectionError(err error, connected bool) *Error {
	failure := &Error{Host: e.address.Host(), Retry: true}
	if !connected {
		failure.again = unsent
	}
	var (
		unknown   x509.UnknownAuthorityError
		name      x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		dns       *net.DNSError
		network   net.Error
		operation *net.OpError
		permanent = func(format string, args ...any) {
			failure.Text, failure.Retry, failure.again = fmt.Sprintf(format, args...), false, never
		}
	)
	switch {
	case errors.As(err, &unknown):
		permanent("has a certificate of nobody whom this computer knows, want one of a known authority, " +
			"or the file with the authority's certificate")
	case errors.As(err, &name):
		permanent("has a certificate for another name, want the name that is in it: %s", clean(certified(name), maxTextRunes))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		permanent("has a certificate that is out of date, or this computer's clock is wrong")
	case errors.As(err, &invalid):
		permanent("has a certificate that cannot be used: %s", clean(invalid.Error(), maxDetailRunes))
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		permanent("does not encrypt, want a server that does, or http:// in its address")
	case errors.Is(err, errSilent):
		failure.Text = "does not answer"
	case strings.Contains(err.Error(), "malformed HTTP"):
		permanent(noKleinbild)
	case connected:
		failure.Text = "has cut the connection"
	case errors.As(err, &operation) && operation.Op == "proxyconnect":
		failure.Text = "cannot be reached: the proxy that this computer's environment names does not answer"
	case errors.As(err, &dns) && dns.IsNotFound:
		permanent("is no name of a computer that this one can find")
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, wsaRefused):
		failure.Text = "does not answer: no server runs there, or it has another port"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH), errors.Is(err, wsaUnreachable):
		failure.Text = "cannot be reached from this network"
	case errors.As(err, &network) && network.Timeout():
		failure.Text = "does not answer in time"
	default:
		failure.Text = "cannot be reached: " + clean(plain.Text(err), maxDetailRunes)
	}
	return failure
}

// certified returns the names that the certificate is for.
func certified(err x509.HostnameError) string {
	names := err.Certificate.DNSNames
	for _, ip := range err.Certificate.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}
