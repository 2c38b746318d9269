package server

import (
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestConnectionLimit checks that connections without a request are closed for new ones, and that a new connection is
// answered with 503 if all others have a request.
func TestConnectionLimit(t *testing.T) {
	engine := &fakeEngine{gate: make(chan struct{})}
	s := start(t, engine, nil, func(s *Server) { s.connections = newConnections(8, 2) })
	var idle []*raw
	for range 30 {
		c := s.dial(t)
		c.send("GET /hea")
		idle = append(idle, c)
	}
	if g := s.get(t, "/v1/models"); g.status != 200 {
		t.Errorf("past idle connections: %d %s", g.status, g.body)
	}
	if !idle[0].ended(3 * time.Second) {
		t.Error("the first of the idle connections is still open")
	}
	// One client may have requests under way on half of the connections.
	contentType, body := formOf(t, prompt(), text("size", "64x64"))
	whole := headOf("/v1/generate", contentType, len(body)) + string(body)
	busy := func() int {
		s.connections.mu.Lock()
		defer s.connections.mu.Unlock()
		n := 0
		for _, c := range s.connections.open {
			if !c.waiting && !c.surplus {
				n++
			}
		}
		return n
	}
	s.client.Transport.(*checked).base.(*http.Transport).CloseIdleConnections()
	var working []*raw
	for i := range 4 {
		c := s.dial(t)
		c.send(whole)
		working = append(working, c)
		eventually(t, "it works", func() bool { return busy() == i+1 })
	}
	more := s.dial(t)
	more.send(whole)
	status, header, text := more.answer()
	if status != http.StatusServiceUnavailable || header.Get("Retry-After") == "" ||
		!strings.Contains(text, "too many connections") {
		t.Errorf("one too many: %d %s", status, text)
	}
	if !more.ended(3 * time.Second) {
		t.Error("one too many: the connection stays open")
	}
	close(engine.gate)
	for _, c := range working {
		if status, _, text := c.answer(); status != 200 {
			t.Errorf("%d %.200s", status, text)
		}
		c.Close()
	}
	eventually(t, "there is room again", func() bool {
		g := s.get(t, "/v1/models")
		return g.status == 200
	})
}

// conn is a connection of which only the remote address and Close are used.
type conn struct {
	net.Conn
	client string
	closed bool
}

func (c *conn) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(c.client), Port: 1} }
func (c *conn) Close() error         { c.closed = true; return nil }

// TestConnectionShares checks that many connections from one address, idle or busy, leave connections to other clients,
// and that those of this address are closed first.
func TestConnectionShares(t *testing.T) {
	c := newConnections(16, 4)
	open := func(client string, state http.ConnState) *conn {
		new := &conn{client: client}
		c.changed(new, http.StateNew)
		if !new.closed && state != http.StateNew {
			c.changed(new, state)
		}
		return new
	}
	// The connections of others stay while a client has no more than its share.
	idle := []*conn{}
	for range 8 {
		idle = append(idle, open("10.0.0.8", http.StateIdle))
	}
	for range 5 {
		idle = append(idle, open("10.0.0.9", http.StateActive))
	}
	for i, other := range idle[:8] {
		if other.closed {
			t.Errorf("idle connection %d of another client was closed while there was room", i)
		}
	}
	for _, other := range idle {
		c.changed(other, http.StateClosed)
	}
	var flood []*conn
	for range 20 {
		flood = append(flood, open("10.0.0.1", http.StateActive))
	}
	surplus, refused := 0, 0
	for _, f := range flood {
		switch {
		case f.closed:
			refused++
		case c.isSurplus(f):
			surplus++
		}
	}
	if surplus != 4 || refused != 8 {
		t.Errorf("of 20 connections at work %d are surplus and %d refused, want 4 and 8", surplus, refused)
	}
	for range 30 {
		open("10.0.0.2", http.StateNew)
	}
	if n := c.shares.held["10.0.0.2"]; n > 4 {
		t.Errorf("one client has %d idle connections, want at most 4", n)
	}
	if polite := open("10.0.0.3", http.StateActive); polite.closed || c.isSurplus(polite) {
		t.Error("a third client finds no room")
	}
	if n := len(c.open); n > 20 {
		t.Errorf("%d connections are open, want at most 20", n)
	}
	for conn := range c.open {
		c.changed(conn, http.StateClosed)
	}
	if c.surplus != 0 || c.shares.total != 0 || len(c.shares.held) != 0 {
		t.Errorf("%d connections are counted, want none", c.shares.total)
	}
}
