package server

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// connections bounds how many connections are open. A client may have half of those that the other clients leave. If a
// new connection is one too many, it replaces a connection that has no request under way: one of the same client if
// that client has any, otherwise one of the client that has most. If there is none to replace, the new connection is a
// surplus connection, whose request is answered with 503.
type connections struct {
	limit int // of all connections but surplus ones
	spare int // of surplus connections

	mu      sync.Mutex
	open    map[net.Conn]*connection
	shares  shares
	surplus int // how many surplus connections are open; shares does not count them
}

type connection struct {
	client  string
	since   time.Time // when waiting changed last
	waiting bool      // no request is under way: the client has sent none, or not all of its headers
	surplus bool
}

func newConnections(limit, spare int) *connections {
	return &connections{limit: limit, spare: spare, open: map[net.Conn]*connection{}, shares: newShares()}
}

// changed is called as http.Server's ConnState.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew:
		c.add(conn)
	case http.StateActive, http.StateIdle:
		if known := c.open[conn]; known != nil {
			known.waiting, known.since = state == http.StateIdle, time.Now()
		}
	case http.StateClosed, http.StateHijacked:
		if known := c.open[conn]; known != nil {
			c.remove(conn, known)
		}
	}
}

func (c *connections) add(conn net.Conn) {
	client := hostOf(conn.RemoteAddr().String())
	fits := c.shares.fits(client, 1, int64(c.limit))
	if !fits {
		of := client
		if c.shares.held[client] == 0 {
			of = "" // a client without connections is within its share, so there are too many in all
		}
		fits = c.closeOne(of)
	}
	switch {
	case fits:
		c.shares.take(client, 1)
	case c.surplus < c.spare:
		c.surplus++
	default:
		_ = conn.Close() // net/http then reports StateClosed
		return
	}
	c.open[conn] = &connection{client: client, since: time.Now(), waiting: true, surplus: !fits}
}

func (c *connections) remove(conn net.Conn, known *connection) {
	delete(c.open, conn)
	if known.surplus {
		c.surplus--
	} else {
		c.shares.take(known.client, -1)
	}
}

// closeOne closes the connection of client that has waited longest for a request. If client is "", it takes the client
// that has most connections among those with a waiting one. It returns false if no connection waits.
func (c *connections) closeOne(client string) bool {
	var oldest net.Conn
	for conn, known := range c.open {
		if !known.waiting || known.surplus || client != "" && known.client != client {
			continue
		}
		if oldest == nil {
			oldest = conn
			continue
		}
		other := c.open[oldest]
		have, had := c.shares.held[known.client], c.shares.held[other.client]
		if have > had || have == had && known.since.Before(other.since) {
			oldest = conn
		}
	}
	if oldest == nil {
		return false
	}
	c.remove(oldest, c.open[oldest])
	_ = oldest.Close()
	return true
}

// isSurplus says whether conn is a surplus connection.
func (c *connections) isSurplus(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.open[conn]
	return known != nil && known.surplus
}

type connKey struct{}

// withConn is called as http.Server's ConnContext. It puts the connection into the context of its requests.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// checkConnection refuses a request that came over a surplus connection.
func (s *Server) checkConnection(r *http.Request) error {
	if conn, ok := r.Context().Value(connKey{}).(net.Conn); ok && s.connections.isSurplus(conn) {
		return &apiError{
			status: http.StatusServiceUnavailable, detail: "too many connections", retryAfter: 5 * time.Second, final: true,
		}
	}
	return nil
}
