package server

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestTextPastSlowUploads checks that a request of 1 kB is served at once, however many slow uploads there are.
func TestTextPastSlowUploads(t *testing.T) {
	s := start(t, &fakeEngine{}, nil)
	contentType, body := formOf(t, prompt(), text("size", "64x64"))
	for i := range 40 {
		slow := s.dial(t)
		slow.send(headOf("/v1/generate", contentType, DefaultMaxBodyBytes, from(fmt.Sprintf("10.0.0.%d", i%8))))
		slow.send(string(body[:100]))
	}
	begun := time.Now()
	c := s.dial(t)
	c.send(headOf("/v1/generate", contentType, len(body)) + string(body))
	if status, _, text := c.answer(); status != 200 {
		t.Errorf("%d %.200s", status, text)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestSlowUploadsGiveWay fills the memory with uploads of many clients that are slow, but faster than the minimum rate.
// Another upload must get memory, because they are ended while it waits.
func TestSlowUploadsGiveWay(t *testing.T) {
	const most = 1 << 20
	s := start(t, &fakeEngine{}, func(o *Options, l *limits) {
		o.MaxBodyBytes = most
		l.hurried, l.hurriedRate = 100*time.Millisecond, 1<<30
	}, func(s *Server) { s.memory = newMemory(most) })
	contentType, body := formOf(t, prompt(), text("size", "64x64"), file("images", "a.png", make([]byte, most-1000)))
	var slow []*raw
	for i := range 8 {
		c := s.dial(t)
		c.send(headOf("/v1/generate", contentType, len(body), from(fmt.Sprintf("10.0.0.%d", i))))
		c.send(string(body[:most*3/4]))
		slow = append(slow, c)
	}
	eventually(t, "the memory is full", func() bool {
		s.memory.mu.Lock()
		defer s.memory.mu.Unlock()
		return len(s.memory.waiting) > 0
	})
	if held := s.memory.inUse(); held < s.memory.total-most || held > s.memory.total+most {
		t.Errorf("%d bytes in use, want about %d", held, s.memory.total)
	}
	photo := file("images", "a.png", append(pngOf(t, 64, 64, 1), make([]byte, most*3/4)...))
	if g := s.generateWith(t, prompt(), text("size", "64x64"), photo); g.status != 200 {
		t.Errorf("%d %s", g.status, g.body)
	}
	if status, _, text := slow[0].answer(); status != http.StatusRequestTimeout ||
		!strings.Contains(text, "while other requests waited") {
		t.Errorf("the first slow upload: %d %s", status, text)
	}
	for _, c := range slow {
		c.Close()
	}
	eventually(t, "all memory is free", func() bool { return s.memory.inUse() == 0 })
}

// TestCreepingUpload checks that a body below the minimum rate is refused with 408, although it never stops.
func TestCreepingUpload(t *testing.T) {
	s := start(t, &fakeEngine{}, func(_ *Options, l *limits) { l.stall, l.rate = 200*time.Millisecond, 100<<10 })
	contentType, body := formOf(t, prompt(), file("images", "a", make([]byte, 1<<20)))
	c := s.dial(t)
	c.send(headOf("/v1/generate", contentType, len(body)))
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		status, _, text := c.answer()
		if status != http.StatusRequestTimeout ||
			!strings.Contains(text, "it came too slowly, want at least 102400 bytes a second") {
			t.Errorf("%d %s", status, text)
		}
	}()
	begun := time.Now()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := 0; ; i += 100 { // 10 kB/s
		select {
		case <-answered:
			if took := time.Since(begun); took > 2*time.Second {
				t.Errorf("ended after %v", took)
			}
			return
		case <-tick.C:
			c.send(string(body[i : i+100]))
		}
	}
}

// TestUploadMemory checks that a body takes as much memory as is counted for it, as a file and as a data URI.
func TestUploadMemory(t *testing.T) {
	const size = 16 << 20
	s := start(t, &fakeEngine{}, nil)
	stats := func() (heap, total int64) {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc), int64(m.TotalAlloc)
	}
	uri := "data:image/png;base64," + base64.StdEncoding.EncodeToString(make([]byte, size))
	for _, row := range []struct {
		name string
		part part
	}{
		{"a file", file("images", "a.png", make([]byte, size))},
		{"a data URI", text("image_uris", `["`+uri+`"]`)},
		{"an escaped data URI", text("image_uris", `["`+strings.Replace(uri, "/", `\/`, 1)+`"]`)},
	} {
		contentType, body := formOf(t, row.part, prompt())
		c := s.dial(t)
		heap, total := stats()
		c.send(headOf("/v1/generate", contentType, len(body)))
		if _, err := c.Write(body[:len(body)-10]); err != nil {
			t.Fatal(err)
		}
		counted := int64(len(body) - 10 - uncountedBytes)
		eventually(t, "all has come", func() bool { return s.memory.inUse() == counted })
		heapThen, totalThen := stats()
		const others = 512 << 10 // for the connection and the other parts
		t.Logf("%s: %d counted, %d held, %d allocated", row.name, counted, heapThen-heap, totalThen-total)
		if held := heapThen - heap; held > counted+others {
			t.Errorf("%s: %d bytes are held, %d counted", row.name, held, counted)
		}
		if made := totalThen - total; made > counted+counted/10+others {
			t.Errorf("%s: %d bytes were allocated, %d counted", row.name, made, counted)
		}
		if held := heapThen - heap; held < size*3/4 {
			t.Errorf("%s: only %d bytes are held: the measurement is wrong", row.name, held)
		}
		runtime.KeepAlive(body)
		runtime.KeepAlive(uri)
		c.Close()
		eventually(t, "all memory is free", func() bool { return s.memory.inUse() == 0 })
	}

	body := []byte(`{"prompt": "x", "other": "` + strings.Repeat("y", maxJSONBytes-100) + `"}`)
	_, total := stats()
	v, err := readJSON(&http.Request{Header: http.Header{"Content-Type": {"application/json"}},
		Body: io.NopCloser(bytes.NewReader(body))})
	_, totalThen := stats()
	if made := totalThen - total; err != nil || made > jsonWeight*int64(len(body)) {
		t.Errorf("JSON: %d bytes are allocated for %d, want at most %d times as many; %v", made, len(body), jsonWeight, err)
	}
	runtime.KeepAlive(v)
}

// TestRefusalsAreSeen checks that a client that sends its whole body before it reads gets the answer, not a reset
// connection.
func TestRefusalsAreSeen(t *testing.T) {
	const size = 16 << 20
	engine := &fakeEngine{gate: make(chan struct{})}
	s := start(t, engine, func(o *Options, _ *limits) { o.QueueLimit, o.MaxBodyBytes = 1, 18<<20 })
	defer close(engine.gate)
	contentType, body := formOf(t, prompt(), file("images", "a.png", make([]byte, size)))
	bad, badBody := formOf(t, part{field: "image[x]", file: "a", data: make([]byte, size)})
	tooLarge := append(bytes.Clone(body[:len(body)/2]), make([]byte, 16<<20)...)
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(tooLarge), tooLarge)
	unsized := strings.ReplaceAll(headOf("/v1/generate", contentType, 0), "Content-Length: 0",
		"Transfer-Encoding: chunked")
	for _, row := range []struct {
		name, text string
		status     int
	}{
		{"no token", strings.ReplaceAll(headOf("/v1/generate", contentType, size), testToken, "x") + string(body[:size]),
			401},
		{"a website", headOf("/v1/generate", contentType, size, "Origin: https://evil.example") + string(body[:size]), 403},
		{"unknown path", headOf("/v1/other", contentType, size) + string(body[:size]), 404},
		{"too large", headOf("/v1/generate", contentType, len(tooLarge)) + string(tooLarge), 413},
		{"too large, without a length", unsized + chunked, 413},
		{"another type", headOf("/v1/generate", "text/plain", size) + string(body[:size]), 415},
		{"a file under another name", headOf("/v1/generate", bad, len(badBody)) + string(badBody), 422},
		{"a full queue", headOf("/v1/generate", contentType, size) + string(body[:size]), 429},
	} {
		if row.status == 429 {
			s.ask(t.Context(), t)
			eventually(t, "the run begins", func() bool { return engine.runs() == 1 })
			s.ask(t.Context(), t)
			eventually(t, "one waits", func() bool { return s.waitingPlaces() == 1 })
		}
		c := s.dial(t)
		if _, err := c.Write([]byte(row.text)); err != nil {
			t.Errorf("%s: the body is not taken: %v", row.name, err)
			continue
		}
		if status, _, text := c.answer(); status != row.status {
			t.Errorf("%s: %d %s, want %d", row.name, status, text, row.status)
		}
	}
}

// TestRefusedBodyNeverComes checks that the server does not wait for the announced body of a refused request.
func TestRefusedBodyNeverComes(t *testing.T) {
	s := start(t, &fakeEngine{}, func(_ *Options, l *limits) { l.drain = 100 * time.Millisecond })
	for _, row := range []struct {
		name, text string
		status     int
	}{
		{"no token, small", "POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n", 401},
		{"no token, large", "POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n\r\n", 401},
		{"no token, chunked", "POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", 401},
		{"no token, asks first", "POST /v1/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n" +
			"Expect: 100-continue\r\n\r\n", 401},
		{"a GET with a body", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n", 200},
	} {
		c := s.dial(t)
		c.send(row.text)
		if status, _, text := c.answer(); status != row.status {
			t.Errorf("%s: %d %s, want %d", row.name, status, text, row.status)
		}
		if !c.ended(3 * time.Second) {
			t.Errorf("%s: the connection stays open", row.name)
		}
	}
}

// TestContinue checks that a client that sends Expect: 100-continue gets an answer, and sends no body if it is refused.
func TestContinue(t *testing.T) {
	s := start(t, &fakeEngine{}, func(o *Options, _ *limits) { o.MaxBodyBytes = 1 << 20 })
	contentType, body := formOf(t, prompt(), text("size", "64x64"))
	const expect = "Expect: 100-continue"
	for _, row := range []struct {
		name, head string
		status     int
	}{
		{"no token", strings.ReplaceAll(headOf("/v1/generate", contentType, len(body), expect), testToken, "x"), 401},
		{"too large", headOf("/v1/generate", contentType, 2<<20, expect), 413},
		{"unknown path", headOf("/v1/other", contentType, len(body), expect), 404},
	} {
		c := s.dial(t)
		c.send(row.head)
		begun := time.Now()
		if status, _, text := c.answer(); status != row.status || time.Since(begun) > 500*time.Millisecond {
			t.Errorf("%s: %d %s after %v, want %d at once", row.name, status, text, time.Since(begun), row.status)
		}
	}
	c := s.dial(t)
	c.send(headOf("/v1/generate", contentType, len(body), expect))
	if line, err := c.in.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q %v", line, err)
	}
	_, _ = c.in.ReadString('\n')
	c.send(string(body))
	if status, _, text := c.answer(); status != 200 {
		t.Errorf("%d %.200s", status, text)
	}
}

// TestByteByByte sends a request in single bytes, and several requests at once. All are answered as usual.
func TestByteByByte(t *testing.T) {
	engine := &fakeEngine{}
	s := start(t, engine, nil)
	contentType, body := formOf(t, prompt(), text("size", "64x64"), file("images", "a.png", pngOf(t, 64, 64, 1)))
	whole := headOf("/v1/generate", contentType, len(body)) + string(body)
	c := s.dial(t)
	for i := range len(whole) {
		c.send(whole[i : i+1])
	}
	if status, _, text := c.answer(); status != 200 || len(engine.seen()[0].References()) != 1 {
		t.Errorf("%d %.200s", status, text)
	}
	const pipelined = 5
	c.send(strings.Repeat(whole, pipelined) + strings.ReplaceAll(whole, "/v1/generate", "/v1/other"))
	for i := range pipelined {
		if status, header, text := c.answer(); status != 200 || header.Get("Content-Type") != "image/png" {
			t.Errorf("request %d: %d %.200s", i, status, text)
		}
	}
	if status, _, text := c.answer(); status != 404 {
		t.Errorf("the last: %d %.200s", status, text)
	}
	if n := engine.runs(); n != pipelined+1 {
		t.Errorf("%d runs, want %d", n, pipelined+1)
	}
}

// TestFloodLeavesPlaces checks that one client cannot fill the queue.
func TestFloodLeavesPlaces(t *testing.T) {
	engine := &fakeEngine{gate: make(chan struct{})}
	s := start(t, engine, func(o *Options, _ *limits) { o.QueueLimit = 4 })
	contentType, body := formOf(t, prompt(), text("size", "64x64"))
	ask := func(client string) *raw {
		c := s.dial(t)
		c.send(headOf("/v1/generate", contentType, len(body), from(client)) + string(body))
		return c
	}
	flood := []*raw{ask("10.0.0.1")}
	eventually(t, "the run begins", func() bool { return engine.runs() == 1 })
	flood = append(flood, ask("10.0.0.1"), ask("10.0.0.1"))
	eventually(t, "two wait", func() bool { return s.waitingPlaces() == 2 })
	for range 3 {
		status, header, text := ask("10.0.0.1").answer()
		if status != 429 || header.Get("Retry-After") == "" ||
			!strings.Contains(text, "too many requests of this client wait") {
			t.Errorf("the flood: %d %s", status, text)
		}
	}
	other := ask("10.0.0.2")
	eventually(t, "another client waits", func() bool { return s.waitingPlaces() == 3 })
	close(engine.gate)
	for _, c := range append(flood, other) {
		if status, _, text := c.answer(); status != 200 {
			t.Errorf("%d %.200s", status, text)
		}
	}
	eventually(t, "nothing is held", func() bool { return s.queue.held() == 0 })
}

func TestClientOf(t *testing.T) {
	for _, row := range []struct{ address, forwarded, want string }{
		{"127.0.0.1:5", "", "127.0.0.1"},
		{"127.0.0.1:5", "10.0.0.1", "10.0.0.1"},
		{"[::1]:5", "10.0.0.1, 2001:db8::1", "2001:db8::1"},
		{"[::ffff:127.0.0.1]:5", "::ffff:10.0.0.1", "10.0.0.1"},
		{"127.0.0.1:5", "unknown", "127.0.0.1"},
		{"127.0.0.1:5", "x\r\n, ", "127.0.0.1"},
		{"10.1.1.1:5", "10.0.0.1", "10.1.1.1"},
		{"@", "10.0.0.1", "@"},
	} {
		r := &http.Request{RemoteAddr: row.address, Header: http.Header{}}
		if row.forwarded != "" {
			r.Header.Set("X-Forwarded-For", row.forwarded)
		}
		if have := clientOf(r); have != row.want {
			t.Errorf("%s %q: %s, want %s", row.address, row.forwarded, have, row.want)
		}
	}
}

// TestPipelinedAndGone sends many requests at once and leaves. The server must stop soon, when it notices that nobody
// reads its answers.
func TestPipelinedAndGone(t *testing.T) {
	engine := &fakeEngine{gate: make(chan struct{})}
	s := start(t, engine, nil)
	contentType, body := formOf(t, prompt(), text("size", "64x64"))
	c := s.dial(t)
	c.send(strings.Repeat(headOf("/v1/generate", contentType, len(body))+string(body), 200))
	eventually(t, "the first run begins", func() bool { return engine.runs() == 1 })
	c.Close()
	close(engine.gate)
	eventually(t, "the connection ends", func() bool {
		s.connections.mu.Lock()
		defer s.connections.mu.Unlock()
		return len(s.connections.open) == 0
	})
	if n := engine.runs(); n > 3 {
		t.Errorf("%d runs for a client that has left, want 3 at most", n)
	}
	if held := s.queue.held(); held != 0 {
		t.Errorf("%d places and bytes are left", held)
	}
}
