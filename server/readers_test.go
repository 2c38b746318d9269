package server

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// askTen asks for ten pictures that do not compress, 2 MB in base64. That is more than the buffers of a connection hold
// if nobody reads.
func (c *raw) askTen(stream bool) {
	_ = c.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	body := fmt.Sprintf(`{"prompt": "x", "n": 10, "size": "192x192", "stream": %v}`, stream)
	c.send(headOf("/v1/images/generations", "application/json", len(body)) + body)
}

// TestUnreadReplies checks that the server closes the connection of a client that does not read its reply, or reads it
// too slowly, that the engine works for others meanwhile, and that nothing is left.
func TestUnreadReplies(t *testing.T) {
	engine := &fakeEngine{noise: true}
	s := start(t, engine, func(_ *Options, l *limits) { l.stall, l.rate = 300*time.Millisecond, 1<<20 })
	s.generateWith(t, prompt(), text("size", "64x64"))
	for _, row := range []struct {
		name   string
		stream bool
		creep  int // bytes read every 10 ms
	}{
		{"a stream that is never read", true, 0},
		{"a stream that is read at a creep", true, 100},
		{"a reply that is never read", false, 0},
		{"a reply that is read at a creep", false, 100},
	} {
		before := runtime.NumGoroutine()
		failed := strings.Count(s.log.String(), "failure=")
		c := s.dial(t)
		c.askTen(row.stream)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range 1000 {
				if n, err := io.CopyN(io.Discard, c, int64(row.creep)); n < int64(row.creep) || err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond)
				if row.creep == 0 && strings.Count(s.log.String(), "route=/v1/images/generations") > 0 {
					return
				}
			}
		}()
		eventually(t, "it runs", func() bool { return engine.runs() > 1 })
		if g := s.generateWith(t, prompt(), text("size", "64x64")); g.status != 200 {
			t.Errorf("%s: another client meanwhile: %d %s", row.name, g.status, g.body)
		}
		eventually(t, row.name+": it is cut off", func() bool {
			return strings.Count(s.log.String(), "failure=") > failed && s.queue.held() == 0
		})
		if log := s.log.String(); strings.Contains(log, "failure=408") || !strings.Contains(log, "failure=499") {
			t.Errorf("%s: it is logged as another failure than 499:\n%s", row.name, log)
		}
		c.Close()
		<-done
		s.client.Transport.(*checked).base.(*http.Transport).CloseIdleConnections()
		eventually(t, row.name+": the goroutines end", func() bool { return runtime.NumGoroutine() <= before })
	}
}

// TestUnreadRepliesCount checks that pictures that a client does not read count for the client until its connection is
// closed. Meanwhile it gets no more pictures, and others do.
func TestUnreadRepliesCount(t *testing.T) {
	engine := &fakeEngine{noise: true}
	const pictures = 10 * 192 * 192 * pixelBytes
	s := start(t, engine, nil, func(s *Server) { s.queue.mostBytes = 3 * pictures })
	c := s.dial(t)
	c.askTen(false)
	eventually(t, "its pictures are made", func() bool { return engine.runs() == 10 && s.waitingPlaces() == 0 })
	ask := func(client string) (int, string) {
		more := s.dial(t)
		body := `{"prompt": "x", "n": 10, "size": "192x192"}`
		more.send(headOf("/v1/images/generations", "application/json", len(body), from(client)) + body)
		status, _, text := more.answer()
		return status, text
	}
	if status, text := ask("127.0.0.1"); status != 429 ||
		!strings.Contains(text, "too many pictures of this client wait to be made or read") {
		t.Errorf("the same client: %d %.200s", status, text)
	}
	if status, text := ask("10.0.0.2"); status != 200 {
		t.Errorf("another: %d %.200s", status, text)
	}
	c.Close()
	eventually(t, "nothing is held", func() bool { return s.queue.held() == 0 })
	if status, text := ask("127.0.0.1"); status != 200 {
		t.Errorf("afterwards: %d %.200s", status, text)
	}
}

// TestIdleConnections checks that the server closes a connection without a request.
func TestIdleConnections(t *testing.T) {
	s := start(t, &fakeEngine{}, func(_ *Options, l *limits) { l.idle = 50 * time.Millisecond })
	eventually(t, "the model is open", func() bool { return s.get(t, "/healthz").status == 200 })
	c := s.dial(t)
	c.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if status, _, _ := c.answer(); status != 200 {
		t.Errorf("status %d", status)
	}
	c.send("GE")
	if !c.ended(3 * time.Second) {
		t.Error("the connection stays open")
	}
}
