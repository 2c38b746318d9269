package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unicode"

	"github.com/kleinbild/kleinbild/atomicfile"
)

// newTransport returns a transport that speaks HTTP/1.1 to one address: a request that is cancelled then closes its
// connection, by which the server sees it.
func newTransport(address Address, roots *x509.CertPool, limits limits) *http.Transport {
	dialer := &net.Dialer{Timeout: limits.connect}
	if address.url.Scheme == "http" && !address.Open() {
		dialer.ControlContext = func(_ context.Context, _, to string, _ syscall.RawConn) error { return checkLoopback(to) }
	}
	transport := &http.Transport{
		DialContext: dialer.DialContext, TLSHandshakeTimeout: limits.connect,
		TLSClientConfig:        &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		MaxResponseHeaderBytes: maxHeaderBytes,
		DisableCompression:     true, // a small reply could become a large one
		IdleConnTimeout:        time.Minute,
	}
	if address.url.Scheme == "https" { // a proxy would read what is not encrypted
		transport.Proxy = http.ProxyFromEnvironment
	}
	return transport
}

// readRoots returns the authorities that the system trusts, and those in a file; nil for the system's alone.
func readRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	text, err := atomicfile.Read(file, maxCertificateBytes)
	if err != nil {
		return nil, fmt.Errorf("client: certificates: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("client: certificates: %s: found none, want certificates in PEM form", file)
	}
	return roots, nil
}

// checkToken says whether text can be a token; the error does not repeat it.
func checkToken(text string) error {
	bad := func(r rune) bool { return !unicode.IsPrint(r) || unicode.IsSpace(r) }
	if len(text) > maxTokenBytes || strings.ContainsFunc(text, bad) || strings.ToValidUTF8(text, "") != text {
		return errors.New("client: the token is none, want one word of letters, digits and signs")
	}
	return nil
}

// call is one request to the server.
type call struct {
	method, path string
	query        url.Values // nil for none
	contentType  string
	body         []byte
	accept       string
	fresh        bool // over a connection of its own, so that what has reached the server is known
}

// reply is the beginning of a reply. The caller closes it.
type reply struct {
	*http.Response
	watch *watchdog
	end   context.CancelCauseFunc
}

// Close ends the connection, unless the reply has been read to its end.
func (r *reply) Close() error {
	r.watch.stop()
	err := r.Body.Close()
	r.end(nil)
	return err
}

// Read reads the body of the reply, and waits for silent at most. It reads little at a time: net/http returns only when
// it has all that was asked for, up to a whole chunk, which takes long over a slow connection.
func (r *reply) Read(p []byte) (int, error) {
	const most = 4 << 10
	r.watch.allow(r.watch.limits.silent)
	return r.Body.Read(p[:min(len(p), most)])
}

// do sends a request and returns the beginning of the reply. The error is a context's cause or an *Error.
func (e *Engine) do(ctx context.Context, c call) (*reply, error) {
	inner, end := context.WithCancelCause(ctx)
	watch := newWatchdog(e.limits, func() { end(errSilent) })
	connected := false
	traced := httptrace.WithClientTrace(inner, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected = true },
	})
	address := e.address.path(c.path)
	if c.query != nil {
		address += "?" + c.query.Encode()
	}
	request, err := http.NewRequestWithContext(traced, c.method, address, nil)
	if err != nil {
		end(nil)
		return nil, &Error{Host: e.address.Host(), Text: "has an address that cannot be used"}
	}
	if c.body != nil {
		// Without GetBody the transport cannot send the body a second time by itself.
		request.Body, request.ContentLength = &sending{rest: c.body, watch: watch}, int64(len(c.body))
		request.Header.Set("Content-Type", c.contentType)
	}
	if e.token != "" {
		request.Header.Set("Authorization", "Bearer "+e.token)
	}
	request.Header.Set("Accept", c.accept)
	request.Header.Set("User-Agent", "github.com/kleinbild/kleinbild/"+e.version)
	transport := e.transport
	if c.fresh {
		transport = e.fresh
	}
	watch.allow(e.limits.connect*2 + e.limits.send)
	if c.body == nil {
		watch.allow(e.limits.connect*2 + e.limits.ask)
	}
	// RoundTrip follows no redirects: they would lead the token elsewhere.
	response, err := transport.RoundTrip(request)
	if err != nil {
		watch.stop()
		cause := context.Cause(inner)
		end(nil)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if errors.Is(cause, errSilent) {
			err = errSilent
		}
		return nil, e.connectionError(err, connected)
	}
	return &reply{response, watch, end}, nil
}

// readError turns an error of reading a reply into a context's cause or an *Error.
func (e *Engine) readError(ctx context.Context, r *reply, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	if r.watch.barked.Load() {
		err = errSilent
	}
	return e.connectionError(err, true)
}

// sending is the body of a request. It tells the watchdog whenever bytes are taken.
type sending struct {
	rest  []byte
	watch *watchdog
}

func (s *sending) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		s.watch.allow(s.watch.limits.answer)
		return 0, io.EOF
	}
	n := copy(p, s.rest)
	if s.rest = s.rest[n:]; len(s.rest) == 0 {
		s.watch.allow(s.watch.limits.answer)
	} else {
		s.watch.allow(s.watch.limits.send)
	}
	return n, nil
}

func (s *sending) Close() error { return nil }

// watchdog calls a function if nothing happens for too long.
type watchdog struct {
	limits limits
	timer  *time.Timer
	barked atomic.Bool
}

func newWatchdog(l limits, bark func()) *watchdog {
	w := &watchdog{limits: l}
	w.timer = time.AfterFunc(time.Hour, func() {
		w.barked.Store(true)
		bark()
	})
	return w
}

// allow lets the time d pass from now on.
func (w *watchdog) allow(d time.Duration) { w.timer.Reset(d) }

func (w *watchdog) stop() { w.timer.Stop() }
