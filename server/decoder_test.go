package server

import (
	"bytes"
	"context"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/tools/soak/clients"
)

// slowPicture returns a picture that takes a decoder at least half a second. During the last scans it reads no input.
func slowPicture() []byte { return clients.EmptyScans(6000, 15) }

func (s *running) decoderIsFree() bool {
	free := s.decodes.TryAcquire(1)
	if free {
		s.decodes.Release(1)
	}
	return free
}

// askWith sends a request with a reference picture in the background.
func (s *running) askWith(ctx context.Context, t *testing.T, picture []byte) <-chan got {
	t.Helper()
	contentType, body := formOf(t, prompt(), text("size", "64x64"), file("image", "x", picture))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url("/v1/generate"), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	done := make(chan got, 1)
	go func() {
		g, err := s.send(r)
		if err != nil {
			g.body = []byte(err.Error())
		}
		done <- g
	}()
	return done
}

// TestClientLeavesTheDecoder checks that the decoder stops when its client leaves, and that no other decoder begins
// before.
func TestClientLeavesTheDecoder(t *testing.T) {
	s := start(t, &fakeEngine{}, nil)
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	left := s.askWith(ctx, t, slowPicture())
	eventually(t, "the decoder begins", func() bool { return !s.decoderIsFree() })
	leave()
	<-left
	eventually(t, "the decoder ends", s.decoderIsFree)
	stacks := make([]byte, 1<<20)
	if stacks = stacks[:runtime.Stack(stacks, true)]; bytes.Contains(stacks, []byte("picture.prepare(")) {
		t.Errorf("a decoder runs on after its place was given back:\n%s", stacks)
	}
	eventually(t, "the log says 499", func() bool { return strings.Contains(s.log.String(), "status=499") })
}

// TestWaitingForTheDecoder checks how long a request waits while other pictures are decoded, and that it may leave
// meanwhile.
func TestWaitingForTheDecoder(t *testing.T) {
	s := start(t, &fakeEngine{}, func(_ *Options, l *limits) { l.decoder = 50 * time.Millisecond })
	small := pngOf(t, 64, 64, 1)
	if err := s.decodes.Acquire(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	g := <-s.askWith(t.Context(), t, small)
	if g.status != 503 || g.header.Get("Retry-After") != "10" || !strings.Contains(string(g.body), "too many pictures") {
		t.Errorf("%d %v %s, want a 503 with Retry-After", g.status, g.header, g.body)
	}
	s.decodes.Release(1)

	s = start(t, &fakeEngine{}, nil)
	if err := s.decodes.Acquire(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	left := s.askWith(ctx, t, small)
	eventually(t, "it waits", func() bool {
		stacks := make([]byte, 1<<20)
		return bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte("server.(*Server).decode("))
	})
	leave()
	<-left
	eventually(t, "the log says 499", func() bool { return strings.Contains(s.log.String(), "status=499") })
	s.decodes.Release(1)
	if g := <-s.askWith(t.Context(), t, small); g.status != 200 {
		t.Errorf("afterwards: %d %s", g.status, g.body)
	}
}

// TestDecoderFlood checks that only one picture of each client waits for the decoder, so that another client's picture
// is the next.
func TestDecoderFlood(t *testing.T) {
	engine := &fakeEngine{}
	s := start(t, engine, nil)
	if err := s.decodes.Acquire(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	waiting := func() int64 {
		s.decoders.mu.Lock()
		defer s.decoders.mu.Unlock()
		return s.decoders.shares.total
	}
	ask := func(client string, tag uint8) *raw {
		contentType, body := formOf(t, prompt(), text("size", "64x64"), file("image", "x", pngOf(t, 64, 64, tag)))
		c := s.dial(t)
		c.send(headOf("/v1/generate", contentType, len(body), from(client)) + string(body))
		return c
	}
	var all []*raw
	for range 5 {
		all = append(all, ask("10.0.0.1", 1))
	}
	eventually(t, "five are let in", func() bool { return s.queue.held() > 0 && waiting() == 1 })
	all = append(all, ask("10.0.0.2", 2))
	eventually(t, "two clients wait", func() bool { return waiting() == 2 })
	s.decodes.Release(1)
	for _, c := range all {
		if status, _, text := c.answer(); status != 200 {
			t.Errorf("%d %.200s", status, text)
		}
	}
	for i, request := range engine.seen() {
		if request.References()[0].Image.Pix[0] == 2 && i > 2 {
			t.Errorf("the other client's picture is number %d", i)
		}
	}
}
