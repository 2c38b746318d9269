package server

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// connections bounds how many connections are open. A client may have half of what the others leave. One connection too
// many takes the place of one that has no request under way: of the client's own where the client has more than its
// share, else of the client that has most. Where there is none, the new one is answered with 503.
type connections struct {
	limit, spare int

	mu      sync.Mutex
	open    map[net.Conn]*connection
	shares  shares
	surplus int // of those that are open, beside the shares
}

type connection struct {
	client  string
	since   time.Time // of the last change
	waiting bool      // for a request, or its headers
	surplus bool      // it is one too many
}

func newConnections(limit, spare int) *connections {
	return &connections{limit: limit, spare: spare, open: map[net.Conn]*connection{}, shares: newShares()}
}

// changed is http.Server's ConnState.
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
		victim := client
		if c.shares.held[client] == 0 {
			victim = "" // who has none does not fit only where there are too many in all
		}
		fits = c.closeOne(victim)
	}
	switch {
	case fits:
		c.shares.take(client, 1)
	case c.surplus < c.spare:
		c.surplus++
	default:
		_ = conn.Close() // net/http then tells of its end
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

// closeOne closes the connection of victim that has waited longest; "" stands for whoever has most of those that wait.
func (c *connections) closeOne(victim string) bool {
	var oldest net.Conn
	for conn, known := range c.open {
		if !known.waiting || known.surplus || victim != "" && known.client != victim {
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

// isSurplus says whether a request came over a connection too many.
func (c *connections) isSurplus(conn net.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.open[conn]
	return known != nil && known.surplus
}

type connKey struct{}

// withConn is http.Server's ConnContext: handlers learn which connection a request came over.
func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// checkConnection refuses a request over a connection too many.
func (s *Server) checkConnection(r *http.Request) error {
	if conn, ok := r.Context().Value(connKey{}).(net.Conn); ok && s.connections.isSurplus(conn) {
		return &apiError{status: http.StatusServiceUnavailable, detail: "too many connections", retryAfter: 5 * time.Second, final: true}
	}
	return nil
}
