package client

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/server"
	"github.com/kleinbild/kleinbild/server/api"
)

// TestCutConnection cuts the connection after so many bytes, at each stage of a request. The client must say that it
// can be tried again, may not have sent the request twice, and must work again afterwards.
func TestCutConnection(t *testing.T) {
	engine := &counting{Engine: tiny(t, false)}
	address := serve(t, engine, nil).URL
	plainAsk := small("a red fox")
	plainAsk.Preview = true
	plainAsk.References = []inference.Source{photo(t, 64, 64, 3)}
	for _, row := range []struct {
		name     string
		up, down int
	}{
		{"before the first byte", 0, -1}, {"in the request's head", 100, -1}, {"in the form", 1500, -1},
		{"in the reference", 2500, -1}, {"before the reply", -1, 0}, {"in the reply's head", -1, 50},
		{"in the first event", -1, 400}, {"in the events", -1, 1500}, {"in the picture", -1, 20000},
	} {
		w := newWire(t, address)
		w.cutUp, w.cutDown = row.up, row.down
		remote := connect(t, w.url())
		req := resolve(t, plainAsk, remote)
		before, _, _ := engine.counts()
		w.broken.Store(true)
		_, err := remote.Generate(t.Context(), req, nil)
		var failure *Error
		if !errors.As(err, &failure) || !failure.Retry || !strings.Contains(err.Error(), "try again") {
			t.Errorf("%s: %v, want an error that can be tried again", row.name, err)
		}
		if after, _, _ := engine.counts(); after > before+1 {
			t.Errorf("%s: the server has begun %d runs", row.name, after-before)
		}
		w.broken.Store(false)
		if _, err := remote.Generate(t.Context(), req, nil); err != nil {
			t.Errorf("%s: afterwards: %v", row.name, err)
		}
	}
}

// TestStalledConnection checks that the client does not wait for ever for a connection that carries nothing any more.
func TestStalledConnection(t *testing.T) {
	address := serve(t, tiny(t, false), nil).URL
	for _, hold := range []int{0, 50, 400, 3000} {
		w := newWire(t, address)
		w.holdDown = hold
		l := quick()
		l.answer, l.silent, l.send = 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
		remote, err := connectWith(t, w.url(), token, l)
		if err != nil {
			t.Fatal(err)
		}
		w.broken.Store(true)
		begun := time.Now()
		_, err = remote.Generate(t.Context(), resolve(t, small("a"), remote), nil)
		if err == nil || !strings.Contains(err.Error(), "does not answer: try again") {
			t.Errorf("after %d bytes: %v", hold, err)
		}
		if took := time.Since(begun); took > 10*time.Second {
			t.Errorf("after %d bytes: it took %v", hold, took)
		}
	}
	// A server that accepts connections and reads nothing.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	deaf := quick()
	deaf.ask = 200 * time.Millisecond
	if _, err := connectWith(t, "http://"+l.Addr().String(), token, deaf); err == nil ||
		!strings.Contains(err.Error(), "does not answer") {
		t.Errorf("a deaf server: %v", err)
	}
}

// TestSlowConnection makes a picture over a connection that carries little at a time, for longer than it may be silent.
func TestSlowConnection(t *testing.T) {
	engine := tiny(t, false)
	w := newWire(t, serve(t, engine, nil).URL)
	w.each = 100 * time.Millisecond
	l := quick()
	l.silent, l.send = 2*time.Second, 2*time.Second
	remote, err := connectWith(t, w.url(), token, l)
	if err != nil {
		t.Fatal(err)
	}
	w.broken.Store(true)
	begun := time.Now()
	if _, err := remote.Generate(t.Context(), resolve(t, small("a"), remote), nil); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took < l.silent {
		t.Errorf("it took %v, which is less than the connection may be silent", took)
	}
}

// TestCancelElsewhere cancels at each stage. The call must return at once with the cause, and the server must end its
// run or give the request's place back.
func TestCancelElsewhere(t *testing.T) {
	cause := errors.New("the artist has changed her mind")
	ask := small("a")
	ask.Steps = new(500)
	for _, row := range []struct {
		name string
		when func(p inference.Progress) bool // nil: while the request waits for another's picture
	}{
		{"in the queue", nil},
		{"at the prompt", func(p inference.Progress) bool { return p.Stage == inference.StagePrompt }},
		{"in the steps", func(p inference.Progress) bool { return p.Stage == inference.StageSteps && p.Step > 2 }},
	} {
		engine := &counting{Engine: tiny(t, false)}
		address := serve(t, engine, nil).URL
		remote := connect(t, address)
		ctx, cancel := context.WithCancelCause(t.Context())
		if row.when == nil {
			engine.hold = make(chan struct{})
			other := connect(t, address)
			go other.Generate(t.Context(), resolve(t, small("other"), other), nil)
			eventually(t, "another picture is made", func() bool { began, _, _ := engine.counts(); return began == 1 })
		}
		var cancelled atomic.Int64
		stop := func() { cancelled.CompareAndSwap(0, time.Now().UnixNano()); cancel(cause) }
		_, err := remote.Generate(ctx, resolve(t, ask, remote), func(p inference.Progress) {
			if row.when == nil && p.Stage == inference.StageQueue || row.when != nil && row.when(p) {
				stop()
			}
		})
		if !errors.Is(err, cause) {
			t.Errorf("%s: %v, want the cause", row.name, err)
		}
		if took := time.Since(time.Unix(0, cancelled.Load())); took > 2*time.Second {
			t.Errorf("%s: it took %v", row.name, took)
		}
		if row.when == nil {
			eventually(t, "nobody waits", func() bool { return healthOf(t, address).Waiting == 0 })
			close(engine.hold)
			eventually(t, "the other picture is made", func() bool { _, ended, _ := engine.counts(); return ended == 1 })
			if began, _, _ := engine.counts(); began != 1 {
				t.Errorf("%s: the server has begun the run", row.name)
			}
			continue
		}
		eventually(t, row.name+": the run has ended", func() bool { _, _, n := engine.counts(); return n == 1 })
	}
	// Before the connection is there, and while the client waits to try again.
	remote := connect(t, serve(t, tiny(t, false), nil).URL)
	req := resolve(t, ask, remote)
	remote.address.url.Host = freePort(t)
	remote.limits.wait, remote.limits.mostWait = time.Hour, time.Hour
	ctx, cancel := context.WithCancelCause(t.Context())
	_, err := remote.Generate(ctx, req, func(inference.Progress) { cancel(cause) })
	if !errors.Is(err, cause) {
		t.Errorf("between two tries: %v", err)
	}
	if _, err := remote.Generate(ctx, req, nil); !errors.Is(err, cause) {
		t.Errorf("before it begins: %v", err)
	}
}

func healthOf(t testing.TB, address string) (h api.Health) {
	t.Helper()
	remote := &Engine{limits: quick()}
	var err error
	if remote.address, err = ParseAddress(address, false); err != nil {
		t.Fatal(err)
	}
	remote.transport = newTransport(remote.address, nil, remote.limits)
	defer remote.transport.CloseIdleConnections()
	if err := remote.getJSON(
		t.Context(),
		call{method: http.MethodGet, path: api.PathHealth},
		maxReplyBytes,
		&h,
	); err != nil {
		t.Fatal(err)
	}
	return h
}

// TestFullQueue sends a request to a server whose queue is really full, and to one that then shuts down.
func TestFullQueue(t *testing.T) {
	engine := &counting{Engine: tiny(t, false), hold: make(chan struct{})}
	address := serve(t, engine, func(o *server.Options) { o.QueueLimit = 1 }).URL
	done := make(chan error, 2)
	for range 2 {
		remote := connect(t, address)
		go func() {
			_, err := remote.Generate(t.Context(), resolve(t, small("a"), remote), nil)
			done <- err
		}()
	}
	eventually(t, "one is made, and one waits", func() bool {
		h := healthOf(t, address)
		return h.Running == 1 && h.Waiting == 1
	})
	remote := connect(t, address)
	remote.limits.mostWait = 20 * time.Millisecond
	told := make(chan struct{}, 1000)
	third := make(chan error, 1)
	go func() {
		_, err := remote.Generate(t.Context(), resolve(t, small("b"), remote), func(p inference.Progress) {
			if p.Stage == inference.StageQueue && p.Total == 0 {
				told <- struct{}{}
			}
		})
		third <- err
	}()
	<-told
	close(engine.hold)
	for _, c := range []chan error{done, done, third} {
		if err := <-c; err != nil {
			t.Error(err)
		}
	}
	if _, ended, _ := engine.counts(); ended != 3 {
		t.Errorf("%d pictures, want three", ended)
	}
}

// TestRestartedServer ends a server while a picture is made, and starts another one at the same address.
func TestRestartedServer(t *testing.T) {
	engine := &counting{Engine: tiny(t, false), hold: make(chan struct{})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	begin := func(l net.Listener) (end func() error) {
		s, err := server.New(server.Options{
			Open:  func(context.Context) (server.Model, error) { return server.Model{Engine: engine}, nil },
			Token: token, Grace: 50 * time.Millisecond,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx, l) }()
		return func() error { cancel(); return <-done }
	}
	end := begin(l)
	remote := connect(t, "http://"+address)
	req := resolve(t, small("a"), remote)
	result := make(chan error, 1)
	remote.limits.tries = 100 // the new server takes a moment
	go func() {
		_, err := remote.Generate(t.Context(), req, nil)
		result <- err
	}()
	eventually(t, "it runs", func() bool { began, _, _ := engine.counts(); return began == 1 })
	if err := end(); err != nil {
		t.Fatal(err)
	}
	// The server has said that it ends without the picture, so the request is sent again by itself.
	close(engine.hold)
	if l, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	end = begin(l)
	defer end()
	if err := <-result; err != nil {
		t.Errorf("after the restart: %v", err)
	}
	if began, ended, cancelled := engine.counts(); began != 2 || ended != 1 || cancelled != 1 {
		t.Errorf("%d runs, %d pictures, %d cancelled; want 2, 1, 1", began, ended, cancelled)
	}
}

// TestKilledServer ends a server without a word while a picture is made: the client cannot know what has become of it.
func TestKilledServer(t *testing.T) {
	engine := &counting{Engine: tiny(t, false), hold: make(chan struct{})}
	s := serve(t, engine, nil)
	remote := connect(t, s.URL)
	result := make(chan error, 1)
	go func() {
		_, err := remote.Generate(t.Context(), resolve(t, small("a"), remote), nil)
		result <- err
	}()
	eventually(t, "it runs", func() bool { began, _, _ := engine.counts(); return began == 1 })
	kill(s)
	if err := <-result; err == nil || !strings.Contains(err.Error(), "has cut the connection: try again") {
		t.Errorf("%v", err)
	}
	close(engine.hold)
	if began, _, _ := engine.counts(); began != 1 {
		t.Errorf("%d runs, want one", began)
	}
}

// kill closes a server and all of its connections.
func kill(s *httptest.Server) {
	s.Listener.Close()
	s.CloseClientConnections()
}

// TestAnotherModel replaces the model of a server between two pictures, and checks that the client learns of it.
func TestAnotherModel(t *testing.T) {
	first, second := tiny(t, false), tiny(t, true)
	var now atomic.Pointer[inference.Engine]
	now.Store(first)
	address := serve(t, first, func(o *server.Options) {
		o.Open = func(context.Context) (server.Model, error) { return server.Model{Engine: now.Load(), Demo: true}, nil }
	}).URL
	remote := connect(t, address)
	old := resolve(t, small("a"), remote)
	if _, err := remote.Generate(t.Context(), old, nil); err != nil {
		t.Fatal(err)
	}
	now.Store(second)
	eventually(t, "the client learns of it", func() bool {
		_, err := remote.Generate(t.Context(), old, nil)
		return err != nil && strings.Contains(err.Error(), "has another model than before")
	})
	if got, want := remote.Info().Digest, second.Info().Digest; got != want {
		t.Errorf("the model %s, want %s", got, want)
	}
	if _, err := remote.Generate(
		t.Context(),
		old,
		nil,
	); err == nil ||
		!strings.Contains(err.Error(), "than the request was made for") {
		t.Errorf("the old request: %v", err)
	}
	if _, err := remote.Generate(t.Context(), resolve(t, small("a"), remote), nil); err != nil {
		t.Errorf("a new request: %v", err)
	}
}
