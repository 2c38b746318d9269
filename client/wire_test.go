package client

import (
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// wire is a connection to a server that a test can cut, stall or slow down. Numbers of bytes count from the beginning
// of each connection; -1 is never.
type wire struct {
	net.Listener
	to             string
	cutUp, cutDown int           // closes the connection after so many bytes to, or from, the server
	holdDown       int           // passes nothing on after so many bytes from the server
	each           time.Duration // passes 512 bytes on at a time, with this pause
	broken         atomic.Bool   // only then is anything of this done
	over           chan struct{} // closed at the end of the test

	mu    sync.Mutex
	conns []net.Conn
}

func newWire(t testing.TB, server string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{
		Listener: l,
		to:       strings.TrimPrefix(server, "http://"),
		cutUp:    -1,
		cutDown:  -1,
		holdDown: -1,
		over:     make(chan struct{}),
	}
	go w.run()
	t.Cleanup(func() {
		l.Close()
		close(w.over)
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, c := range w.conns {
			c.Close()
		}
	})
	return w
}

func (w *wire) url() string { return "http://" + w.Addr().String() }

func (w *wire) run() {
	for {
		down, err := w.Accept()
		if err != nil {
			return
		}
		up, err := net.Dial("tcp", w.to)
		if err != nil {
			down.Close()
			continue
		}
		w.mu.Lock()
		w.conns = append(w.conns, down, up)
		w.mu.Unlock()
		both := func() { up.Close(); down.Close() }
		go w.pass(up, down, w.cutUp, -1, both)
		go w.pass(down, up, w.cutDown, w.holdDown, both)
	}
}

func (w *wire) pass(to, from net.Conn, cut, hold int, end func()) {
	defer end()
	broken := w.broken.Load()
	buffer := make([]byte, 512)
	for passed := 0; ; {
		n := len(buffer)
		if broken && cut >= 0 {
			n = min(n, cut-passed)
		}
		if n == 0 {
			return
		}
		got, err := from.Read(buffer[:n])
		if broken && hold >= 0 && passed+got > hold {
			_, _ = io.Copy(io.Discard, from)
			<-w.over // not to close the connection
			return
		}
		if _, failed := to.Write(buffer[:got]); err != nil || failed != nil {
			return
		}
		if passed += got; broken && w.each > 0 {
			time.Sleep(w.each)
		}
	}
}
