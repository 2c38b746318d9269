// Package clients plays the clients of a server under load. Polite clients ask for pictures and retry when the server
// tells them to. Rude clients do everything that a client should not do. All of them connect to the server's address
// only.
package clients

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"time"
)

// Load describes the clients.
type Load struct {
	Address string // of the server, which must run on this machine
	Token   string
	Polite  int // number of clients
	Rude    int // number of clients
	// Requests is the most that all clients together send, however fast they are answered.
	Requests int64
	Pause    time.Duration // between two actions of a client; it varies from half to twice this time
	Hold     time.Duration // how long a rude client keeps what it should release
	Patience time.Duration // how long a polite client tries to get one picture, including retries
	Bytes    int           // size of large uploads
	// Together is a period. In its first third all rude clients do the same thing, which differs from period to period.
	Together time.Duration

	begun time.Time
}

// client is one client. Each has an address of its own, like programs on different machines.
type client struct {
	*Load
	name  string // its address: on Linux one of 127/8, all of which belong to this machine
	r     *rand.Rand
	turn  int // index of the next rude thing
	count *counts
}

// Run plays the clients until ctx ends and then waits for them. It returns an error only for an invalid address.
func (l *Load) Run(ctx context.Context) (*Report, error) {
	address, err := netip.ParseAddrPort(l.Address)
	if err != nil || !address.Addr().IsLoopback() {
		return nil, fmt.Errorf("clients: address %q, want one of this machine with a port", l.Address)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	l.begun = time.Now()
	count := &counts{left: l.Requests, stop: stop, report: newReport()}
	var all sync.WaitGroup
	start := func(kind, i int, do func(*client, context.Context)) {
		c := &client{
			Load: l, name: fmt.Sprintf("127.%d.%d.%d", kind, i/250, i%250+1), r: rand.New(rand.NewPCG(uint64(kind), uint64(i))),
			turn: 3 * i, count: count,
		}
		all.Go(func() {
			for ctx.Err() == nil {
				do(c, ctx)
				c.sleep(ctx, c.Pause/2+time.Duration(c.r.Int64N(int64(c.Pause)*3/2+1)))
			}
		})
	}
	for i := range l.Polite {
		start(1, i, (*client).wantPicture)
	}
	for i := range l.Rude {
		start(2, i, (*client).beRude)
	}
	all.Wait()
	return count.report, nil
}

// sleep waits for d or until ctx ends.
func (c *client) sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// dial connects from the client's own address.
func (c *client) dial(ctx context.Context) (net.Conn, error) {
	d := net.Dialer{Timeout: 10 * time.Second}
	if runtime.GOOS == "linux" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(c.name)}
	}
	return d.DialContext(ctx, "tcp", c.Address)
}

// identify sets the token, and on systems where the connection's address does not identify the client, its address.
func (c *client) identify(h http.Header) {
	h.Set("Authorization", "Bearer "+c.Token)
	if runtime.GOOS != "linux" {
		h.Set("X-Forwarded-For", c.name)
	}
}

// counts is shared by all clients.
type counts struct {
	mu     sync.Mutex
	left   int64 // requests that may still be sent
	stop   func()
	report *Report
}

// request counts a request before it is sent; rude is the name of the rude thing, or "".
func (c *counts) request(rude string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Requests++
	if rude != "" {
		c.report.Rude[rude]++
	}
	if c.left--; c.left <= 0 {
		c.stop()
	}
}

// answer counts an answer by its status.
func (c *counts) answer(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Answers[status]++
}
