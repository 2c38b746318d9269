package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/server/api"
)

// ask sends a request for a picture in the background.
func (s *running) ask(ctx context.Context, t testing.TB, header ...string) <-chan got {
	t.Helper()
	contentType, body := formOf(t, prompt(), text("size", "64x64"))
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url("/v1/generate"), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
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

func (s *running) waitingPlaces() int {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return len(s.queue.waiting)
}

func TestClientLeaves(t *testing.T) {
	engine := &fakeEngine{gate: make(chan struct{})}
	s := start(t, engine, nil)
	running, leaveRun := context.WithCancel(context.Background())
	waiting, leaveQueue := context.WithCancel(context.Background())
	defer leaveRun()
	defer leaveQueue()
	runs := s.ask(running, t)
	eventually(t, "the run begins", func() bool { return engine.runs() == 1 })
	waits := s.ask(waiting, t)
	stays := s.ask(context.Background(), t)
	eventually(t, "two wait", func() bool { return s.waitingPlaces() == 2 })
	// The waiting client leaves first. If the run stopped first, the waiting request could get its turn before the server
	// notices that the client is gone.
	leaveQueue()
	<-waits
	eventually(t, "one waits", func() bool { return s.waitingPlaces() == 1 })
	leaveRun()
	<-runs
	eventually(t, "the run stops", func() bool { return engine.cancelled() == 1 })
	close(engine.gate)
	if g := <-stays; g.status != 200 {
		t.Errorf("the one that stayed: %d %s", g.status, g.body)
	}
	if n := engine.runs(); n != 2 {
		t.Errorf("%d runs, want 2: the one that left its place had none", n)
	}
	eventually(t, "the log says 499", func() bool { return strings.Count(s.log.String(), "status=499") == 2 })
}

// TestHalfClosed checks that a client that has closed its side of the connection counts as gone, as always in net/http.
func TestHalfClosed(t *testing.T) {
	engine := &fakeEngine{gate: make(chan struct{})}
	s := start(t, engine, nil)
	contentType, body := formOf(t, prompt())
	head := func(length int) string {
		return fmt.Sprintf("POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"+
			"Content-Type: %s\r\nContent-Length: %d\r\n\r\n", testToken, contentType, length)
	}
	send := func(text string) (reply string) {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, text)
		conn.(*net.TCPConn).CloseWrite()
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		all, err := io.ReadAll(conn)
		if err != nil {
			t.Errorf("the connection stays open: %v", err)
		}
		return string(all)
	}
	if have := send(head(len(body)) + string(body[:len(body)/2])); !strings.HasPrefix(have, "HTTP/1.1 400 ") {
		t.Errorf("half a body: %q", have)
	}
	send(head(len(body)) + string(body))
	if engine.runs() != engine.cancelled() {
		t.Errorf("%d runs, %d stopped", engine.runs(), engine.cancelled())
	}
	close(engine.gate)
	if g := s.generateWith(t, prompt()); g.status != 200 {
		t.Errorf("afterwards: %d %s", g.status, g.body)
	}
}

func TestQueueFull(t *testing.T) {
	engine := &fakeEngine{gate: make(chan struct{})}
	s := start(t, engine, func(o *Options, _ *limits) { o.QueueLimit = 1 })
	first := s.ask(context.Background(), t)
	eventually(t, "the run begins", func() bool { return engine.runs() == 1 })
	second := s.ask(context.Background(), t)
	eventually(t, "one waits", func() bool { return s.waitingPlaces() == 1 })
	g := s.generateWith(t, prompt())
	if g.status != 429 || g.header.Get("Retry-After") == "" || g.detail() != "the queue is full" {
		t.Errorf("%d %v %s", g.status, g.header, g.body)
	}
	close(engine.gate)
	if a, b := <-first, <-second; a.status != 200 || b.status != 200 {
		t.Errorf("%d and %d", a.status, b.status)
	}
}

func TestShutdownFinishes(t *testing.T) {
	engine := &fakeEngine{gate: make(chan struct{})}
	s := start(t, engine, nil)
	runs := s.ask(context.Background(), t)
	eventually(t, "the run begins", func() bool { return engine.runs() == 1 })
	waits := s.ask(context.Background(), t)
	eventually(t, "one waits", func() bool { return s.waitingPlaces() == 1 })
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	if g := <-waits; g.status != 503 || g.header.Get("Retry-After") == "" {
		t.Errorf("the waiting one: %d %s", g.status, g.body)
	}
	close(engine.gate)
	if g := <-runs; g.status != 200 {
		t.Errorf("the running one: %d %s", g.status, g.body)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", s.address); err == nil {
		t.Error("the port is still open")
	}
}

func TestShutdownCancels(t *testing.T) {
	engine := &fakeEngine{gate: make(chan struct{})} // never lets a run go on
	s := start(t, engine, func(o *Options, _ *limits) { o.Grace = 20 * time.Millisecond })
	runs := s.ask(context.Background(), t)
	streams := s.ask(context.Background(), t, "Accept", "text/event-stream")
	eventually(t, "one runs, one waits", func() bool { return engine.runs() == 1 && s.waitingPlaces() == 1 })
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	a, b := <-runs, <-streams
	if a.status != 503 && b.status != 503 {
		t.Errorf("%d and %d, want one 503", a.status, b.status)
	}
	for _, g := range []got{a, b} {
		if g.status != 503 && !strings.Contains(string(g.body), `"status":503`) {
			t.Errorf("%d %s", g.status, g.body)
		}
	}
	if engine.cancelled() != 1 {
		t.Errorf("%d runs stopped, want 1", engine.cancelled())
	}
}

// TestShutdownWithRudeClients checks that neither an upload that has stopped nor a connection without a request delays
// the shutdown, however long the grace is.
func TestShutdownWithRudeClients(t *testing.T) {
	s := start(t, &fakeEngine{}, func(o *Options, _ *limits) { o.Grace = time.Minute })
	for _, begin := range []string{
		"", "GET /heal", "POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + testToken +
			"\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000\r\n\r\n--b\r\n",
	} {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, begin)
	}
	if g := s.generateWith(t, prompt(), text("size", "64x64")); g.status != 200 {
		t.Errorf("%d %s", g.status, g.body)
	}
	begin := time.Now()
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("the end took %v", took)
	}
}

// TestShutdownEndsUploads checks that uploads do not delay the shutdown, and that their clients get an error.
func TestShutdownEndsUploads(t *testing.T) {
	s := start(t, &fakeEngine{}, nil)
	contentType, body := formOf(t, prompt(), file("images", "a", make([]byte, 1<<20)))
	var slow []*raw
	for range 3 {
		c := s.dial(t)
		c.send(headOf("/v1/generate", contentType, len(body)) + string(body[:500_000]))
		slow = append(slow, c)
	}
	eventually(t, "all are on their way", func() bool { return s.memory.inUse() > 1_000_000 })
	begun := time.Now()
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	if took := time.Since(begun); took > 3*time.Second {
		t.Errorf("it took %v", took)
	}
	for _, c := range slow {
		if status, header, text := c.answer(); status != 503 || header.Get("Retry-After") == "" {
			t.Errorf("%d %s", status, text)
		}
	}
	if s.memory.inUse() != 0 {
		t.Errorf("%d bytes are left", s.memory.inUse())
	}
}

// events splits a stream into the names and the data of its events.
func events(t testing.TB, stream []byte) (names []string, data []json.RawMessage) {
	t.Helper()
	lines := bufio.NewScanner(bytes.NewReader(stream))
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			names = append(names, name)
		} else if text, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			data = append(data, json.RawMessage(text))
		} else if lines.Text() != "" && lines.Text() != ":" {
			t.Errorf("line %q", lines.Text())
		}
	}
	if len(names) != len(data) {
		t.Errorf("%d names, %d data", len(names), len(data))
	}
	return names, data
}

func TestEvents(t *testing.T) {
	engine := &fakeEngine{gate: make(chan struct{})}
	s := start(t, engine, func(_ *Options, l *limits) { l.silent = time.Millisecond })
	first := s.ask(context.Background(), t)
	eventually(t, "the run begins", func() bool { return engine.runs() == 1 })
	streams := s.ask(context.Background(), t, "Accept", "text/html, text/event-stream;q=0.5")
	eventually(t, "one waits", func() bool { return s.waitingPlaces() == 1 })
	time.Sleep(20 * time.Millisecond) // enough for some queued events
	close(engine.gate)
	<-first
	g := <-streams
	if g.status != 200 || g.header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %v", g.status, g.header)
	}
	names, data := events(t, g.body)
	if len(names) < 2 || names[0] != "queued" || string(data[0]) != `{"before":1}` || names[len(names)-1] != "picture" {
		t.Fatalf("%q %.200s", names, data)
	}
	if !strings.Contains(strings.Join(names, " "), "progress") {
		t.Errorf("no progress in %q", names)
	}
	var last struct {
		api.Picture
		Image []byte `json:"image"`
	}
	if err := json.Unmarshal(data[len(data)-1], &last); err != nil {
		t.Fatal(err)
	}
	meta, err := picture.ReadMetadata(bytes.NewReader(last.Image))
	if err != nil || meta.Seed != last.Seed || last.Resolution != "64x64" || last.Workflow != inference.TextToImage ||
		last.Model != "flux2-klein-4b" {
		t.Errorf("%+v %v", last.Picture, err)
	}
	if !bytes.Contains(g.body, []byte("\n:\n")) {
		t.Error("no comment was sent between events")
	}
}

// TestSlowClients checks that connections that send little or nothing are closed, and do not delay others meanwhile.
func TestSlowClients(t *testing.T) {
	s := start(t, &fakeEngine{}, func(_ *Options, l *limits) {
		l.header, l.stall, l.body = 150*time.Millisecond, 150*time.Millisecond, 400*time.Millisecond
	})
	contentType, body := formOf(t, prompt())
	head := fmt.Sprintf("POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: %s\r\nContent-Length: %d\r\n\r\n", testToken, contentType, len(body))
	for _, row := range []struct {
		name, begin, drip string
		want              string
	}{
		{"headers that never end", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n", "X: y\r\n", ""},
		{"half a request line", "GET /hea", "", ""},
		{"nothing", "", "", ""},
		{"no body", head, "", "HTTP/1.1 408 "},
		{"a body that drips", head, string(body[:1]), "HTTP/1.1 408 "},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			conn, err := net.Dial("tcp", s.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprint(conn, row.begin)
			stop := make(chan struct{})
			var drips sync.WaitGroup
			drips.Go(func() {
				for range 200 {
					select {
					case <-stop:
						return
					case <-time.After(20 * time.Millisecond):
						if _, err := conn.Write([]byte(row.drip)); err != nil {
							return
						}
					}
				}
			})
			if g := s.generateWith(t, prompt(), text("size", "64x64")); g.status != 200 {
				t.Errorf("another client meanwhile: %d %s", g.status, g.body)
			}
			_ = conn.SetReadDeadline(time.Now().Add(3 * time.Second))
			all, err := io.ReadAll(conn)
			if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
				t.Error("the connection stays open")
			}
			if !strings.HasPrefix(string(all), row.want) {
				t.Errorf("reply %q, want %q", all, row.want)
			}
			close(stop)
			drips.Wait()
		})
	}
}

func TestHugeHeader(t *testing.T) {
	s := start(t, &fakeEngine{}, nil)
	r, err := http.NewRequest(http.MethodGet, s.url("/healthz"), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Long", strings.Repeat("x", 2*maxHeaderBytes))
	response, err := (&http.Client{}).Do(r)
	if err != nil || response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%v %v", response, err)
	}
}

// TestManyWaitingClients lets hundreds of clients wait at once. Each must take little memory, and leave none.
func TestManyWaitingClients(t *testing.T) {
	const clients = 300
	engine := &fakeEngine{gate: make(chan struct{})}
	s := start(t, engine, func(o *Options, _ *limits) { o.QueueLimit = 2 * clients; o.Log = nil })
	held := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapInuse + m.StackInuse
	}
	// The difference contains the memory of both ends of a connection. It must grow in proportion to the number of
	// clients.
	first := s.ask(context.Background(), t)
	eventually(t, "the run begins", func() bool { return engine.runs() == 1 })
	before, goroutines := held(), runtime.NumGoroutine()
	replies := make([]<-chan got, clients)
	for i := range replies {
		replies[i] = s.ask(context.Background(), t)
	}
	eventually(t, "all wait", func() bool { return s.waitingPlaces() == clients })
	during := held()
	// Both ends of a connection have buffers of 4 kB for reading and writing, and three goroutines of 8 kB at most.
	if each := (int64(during) - int64(before)) / clients; each > 100<<10 {
		t.Errorf("a waiting client holds %d kB, want at most 100", each>>10)
	}
	time.Sleep(50 * time.Millisecond)
	if later := held(); later > during+4<<20 {
		t.Errorf("waiting alone took another %d MB", (later-during)>>20)
	}
	close(engine.gate)
	<-first
	for i, reply := range replies {
		if g := <-reply; g.status != 200 {
			t.Fatalf("client %d: %d %s", i, g.status, g.body)
		}
	}
	if n := engine.runs(); n != clients+1 {
		t.Errorf("%d runs, want %d", n, clients+1)
	}
	s.client.Transport.(*checked).base.(*http.Transport).CloseIdleConnections()
	eventually(t, "the goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
	if after := held(); after > before+8<<20 {
		t.Errorf("%d MB are left", (after-before)>>20)
	}
}
