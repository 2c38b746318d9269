package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// raw is a connection on which a test writes bytes that no client library would send.
type raw struct {
	net.Conn
	t  testing.TB
	in *bufio.Reader
}

func (s *running) dial(t testing.TB) *raw {
	t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &raw{conn, t, bufio.NewReader(conn)}
}

// headOf returns the head of a POST request with the token. more are further lines of it.
func headOf(path, contentType string, length int, more ...string) string {
	lines := []string{
		"POST " + path + " HTTP/1.1", "Host: localhost", "Authorization: Bearer " + testToken, "Content-Type: " + contentType,
		fmt.Sprintf("Content-Length: %d", length),
	}
	return strings.Join(append(lines, more...), "\r\n") + "\r\n\r\n"
}

// from returns the header with which a proxy on this machine names the client of a request.
func from(name string) string { return "X-Forwarded-For: " + name }

// send writes text. It ignores errors, because the server may have closed the connection.
func (c *raw) send(text string) { _, _ = io.WriteString(c, text) }

// answer reads one whole reply.
func (c *raw) answer() (status int, header http.Header, body string) {
	c.t.Helper()
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Errorf("no answer: %v", err)
		return 0, http.Header{}, ""
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		c.t.Errorf("answer %d: %v", response.StatusCode, err)
	}
	return response.StatusCode, response.Header, string(all)
}

// ended says whether the server closes the connection within the time patience.
func (c *raw) ended(patience time.Duration) bool {
	_ = c.SetReadDeadline(time.Now().Add(patience))
	_, err := io.Copy(io.Discard, c.in)
	timeout, ok := err.(net.Error)
	return !ok || !timeout.Timeout()
}
