// Package clients plays the clients of a server under load: polite ones, which want pictures and come again when they
// are told to, and rude ones, which do all that a client should not. It connects to the server's address only.
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

// Load says what to play.
type Load struct {
	Address string // of the server, on this machine
	Token   string
	Polite  int
	Rude    int
	// Requests is the most that all clients may send together, however fast they are answered.
	Requests int64
	Pause    time.Duration // of a client after each thing it does, half as long to twice as long
	Hold     time.Duration // how long a rude client holds on to what it does not let go
	Patience time.Duration // of a polite client with one request, all tries together
	Bytes    int           // of large uploads
	// Together is how often the rude clients all do the same thing, another each time, for a third of that time.
	Together time.Duration

	begun time.Time
}

// client is one of them. Each has an address of its own, as programs on different machines have.
type client struct {
	*Load
	name  string // an address of 127/8 on Linux, where this machine has them all
	r     *rand.Rand
	turn  int // of rude things, so that each is done
	count *counts
}

// Run plays until ctx ends, and then waits for the clients.
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
			Load: l, name: fmt.Sprintf("127.%d.%d.%d", kind, i/250, i%250+1),
			r: rand.New(rand.NewPCG(uint64(kind), uint64(i))), turn: 3 * i, count: count,
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

// identify says whose request it is where the address does not.
func (c *client) identify(h http.Header) {
	h.Set("Authorization", "Bearer "+c.Token)
	if runtime.GOOS != "linux" {
		h.Set("X-Forwarded-For", c.name)
	}
}

// counts are shared by all clients.
type counts struct {
	mu     sync.Mutex
	left   int64
	stop   func()
	report *Report
}

// request counts one that is sent.
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

func (c *counts) answer(status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Answers[status]++
}
