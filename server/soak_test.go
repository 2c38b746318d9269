package server

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/tools/soak/clients"
)

// TestSoak runs polite and rude clients for some seconds (make soak runs them against the program, for any time). Every
// polite client must be served, and nothing must be left of the rude ones.
func TestSoak(t *testing.T) {
	engine := &fakeEngine{native: 64}
	s := start(t, engine, func(o *Options, l *limits) {
		o.AllowRemoteURIs, o.MaxBodyBytes = true, 4<<20
		l.header, l.idle, l.stall, l.drain = 500*time.Millisecond, time.Second, 500*time.Millisecond, 500*time.Millisecond
		l.hurried = 200 * time.Millisecond
	}, func(s *Server) { s.memory = newMemory(4 << 20) })
	s.get(t, "/v1/models")
	s.client.Transport.(*checked).base.(*http.Transport).CloseIdleConnections()
	before := runtime.NumGoroutine()
	load := clients.Load{
		Address: s.address, Token: testToken, Polite: 8, Rude: 6, Requests: 20000, Pause: 20 * time.Millisecond,
		Hold: 600 * time.Millisecond, Patience: 20 * time.Second, Bytes: 2 << 20, Together: 200 * time.Millisecond,
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	report, err := load.Run(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	_, _ = report.WriteTo(&table)
	t.Log("\n" + table.String())
	if len(report.Faults) > 0 || report.Served < 20 {
		t.Errorf("%d requests of polite clients were served, and these were not: %q", report.Served, report.Faults)
	}
	if n := report.Answers[http.StatusInternalServerError]; n > 0 {
		t.Errorf("%d internal errors", n)
	}
	eventually(t, "no memory is in use", func() bool {
		return s.memory.inUse() == 0 && s.queue.held() == 0 &&
			s.decoderIsFree()
	})
	eventually(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= before })
	eventually(t, "no connection is counted", func() bool {
		s.connections.mu.Lock()
		defer s.connections.mu.Unlock()
		return len(s.connections.open) == 0 && s.connections.shares.total == 0 && s.connections.surplus == 0
	})
}
