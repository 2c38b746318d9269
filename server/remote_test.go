package server

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestPublic(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "172.32.0.1": true, "100.63.0.1": true,
		"127.0.0.1": false, "127.8.8.8": false, "::1": false, "0.0.0.0": false, "0.1.2.3": false, "::": false,
		"10.1.2.3": false, "172.16.0.1": false, "192.168.0.1": false, "fd00::1": false, "fe80::1": false,
		"fe80::1%eth0":    false,
		"169.254.169.254": false, "100.64.0.1": false, "224.0.0.1": false, "ff02::1": false, "255.255.255.255": false,
		"240.0.0.1": false, "192.0.0.1": false, "198.18.0.1": false, "203.0.113.9": false,
		"::ffff:127.0.0.1": false, "::ffff:10.0.0.1": false, "::ffff:8.8.8.8": true, "::127.0.0.1": false,
		"64:ff9b::7f00:1": false, "2002:7f00:1::": false, "2001:db8::1": false, "2001:0:7f00:1::": false, "fec0::1": false,
	} {
		if have := public(netip.MustParseAddr(address)); have != want {
			t.Errorf("%s: public %v, want %v", address, have, want)
		}
	}
}

// loopbackOnly allows 127.0.0.1, where the tests' own servers listen, and no other address.
func loopbackOnly(ip netip.Addr) bool { return ip == netip.MustParseAddr("127.0.0.1") }

func TestRemoteReferences(t *testing.T) {
	small := pngOf(t, 64, 64, 9)
	mux := http.NewServeMux()
	files := httptest.NewServer(mux)
	defer files.Close()
	port := files.URL[strings.LastIndex(files.URL, ":"):]
	mux.HandleFunc("/a.png", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
			t.Errorf("headers %v", r.Header)
		}
		_, _ = w.Write(small)
	})
	mux.Handle("/moved", http.RedirectHandler("/a.png", http.StatusFound))
	mux.Handle("/inside", http.RedirectHandler("http://127.0.0.2"+port+"/a.png", http.StatusFound))
	mux.Handle("/file", http.RedirectHandler("file:///etc/passwd", http.StatusFound))
	mux.Handle("/loop", http.RedirectHandler("/loop", http.StatusFound))
	mux.HandleFunc("/gone", http.NotFound)
	mux.HandleFunc("/page", func(w http.ResponseWriter,
		_ *http.Request) {
		fmt.Fprint(w, "<html>no picture at all</html>")
	})
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) {
		block := bytes.Repeat([]byte{0}, 1<<20)
		for range fetchBytes>>20 + 2 {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100000")
		_, _ = w.Write(small)
	})
	mux.HandleFunc("/slow", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })

	engine := &fakeEngine{}
	s := start(t, engine, func(o *Options, _ *limits) { o.AllowRemoteURIs = true })
	ask := func(address string) got {
		return s.generateWith(t, prompt(), text("size", "64x64"), text("image_uris", `["`+address+`"]`))
	}
	// Without loopbackOnly no address of this machine can be reached.
	for _, host := range []string{"127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433",
		"0x7f.1"} {
		if g := ask("http://" + host + port + "/a.png"); g.status != 422 || engine.runs() != 0 {
			t.Errorf("%s: %d %s", host, g.status, g.body)
		}
	}
	s.remote.allowed = loopbackOnly
	for _, row := range []struct {
		path   string
		status int
		want   string
	}{
		{"/a.png", 200, ""},
		{"/moved", 200, ""},
		{"/inside", 422, "image_uris[0]: the address is not public"},
		{"/file", 422, "cannot be fetched"},
		{"/loop", 422, "cannot be fetched"},
		{"/gone", 422, "cannot be fetched: status 404"},
		{"/page", 415, "image_uris[0]: picture: "},
		{"/huge", 413, "more than 67108864 bytes"},
		{"/cut", 422, "cannot be fetched whole"},
		{"/slow", 422, "cannot be fetched: the server sends too slowly"},
	} {
		if row.path == "/slow" {
			s.limits.fetch = 200 * time.Millisecond
		}
		if g := ask(files.URL + row.path); g.status != row.status || !strings.Contains(g.detail(), row.want) {
			t.Errorf("%s: %d %.200s; want %d %s", row.path, g.status, g.body, row.status, row.want)
		}
	}
	if refs := engine.seen()[0].References(); len(refs) != 1 || refs[0].Image.Pix[0] != 9 {
		t.Errorf("references %v", refs)
	}
}

// TestRemoteLimits checks that fetched files count in the memory for uploads, that only a few fetches are under way,
// and that one client does not have all of them.
func TestRemoteLimits(t *testing.T) {
	const size = 1 << 20
	served := make(chan struct{})
	var under, most atomic.Int64
	files := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		most.Store(max(most.Load(), under.Add(1)))
		defer under.Add(-1)
		w.Header().Set("Content-Length", strconv.Itoa(size))
		switch r.URL.Path {
		case "/creep":
			for r.Context().Err() == nil {
				_, _ = w.Write(make([]byte, 100))
				_ = http.NewResponseController(w).Flush()
				time.Sleep(5 * time.Millisecond)
			}
		default:
			_, _ = w.Write(make([]byte, size*3/4))
			_ = http.NewResponseController(w).Flush()
			select {
			case <-served:
			case <-r.Context().Done():
			}
			_, _ = w.Write(make([]byte, size/4))
		}
	}))
	defer files.Close()
	ask := func(s *running, client, path string) <-chan got {
		contentType, body := formOf(t, prompt(), text("size", "64x64"), text("image_uris", `["`+files.URL+path+`"]`))
		r, err := http.NewRequest(http.MethodPost, s.url("/v1/generate"), bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("X-Forwarded-For", client)
		done := make(chan got, 1)
		go func() {
			g, _ := s.send(r)
			done <- g
		}()
		return done
	}
	strict := start(t, &fakeEngine{}, func(o *Options, l *limits) {
		o.AllowRemoteURIs = true
		l.stall, l.rate = 200*time.Millisecond, 50<<10
	}, func(s *Server) { s.remote.allowed = loopbackOnly })
	if g := <-ask(strict, "10.0.0.1", "/creep"); g.status != 422 ||
		!strings.Contains(g.detail(), "cannot be fetched whole: the server sends too slowly") {
		t.Errorf("a slow client: %d %s", g.status, g.body)
	}

	s := start(t, &fakeEngine{}, func(o *Options, l *limits) {
		o.AllowRemoteURIs = true
		l.fetchQueue, l.memory = 300*time.Millisecond, 300*time.Millisecond
	}, func(s *Server) { s.memory, s.remote.allowed = newMemory(size), loopbackOnly })
	const flood = 12
	replies := make(chan got, flood)
	for range flood {
		reply := ask(s, "10.0.0.1", "/file")
		go func() { replies <- <-reply }()
	}
	eventually(t, "one client has its share", func() bool { return under.Load() == maxFetches/2 })
	other := ask(s, "10.0.0.2", "/file")
	eventually(t, "another has as much as it asks for", func() bool {
		s.memory.mu.Lock()
		defer s.memory.mu.Unlock()
		return s.memory.shares.held["10.0.0.2"] >= size*3/4-uncountedBytes
	})
	if used := s.memory.inUse(); used > s.memory.total+size {
		t.Errorf("%d bytes in use, want at most %d", used, s.memory.total+size)
	}
	// One request of the first client has the memory that it needs. Its others wait for memory or for a slot, and get an
	// error in time.
	if g := <-replies; g.status != 503 || g.header.Get("Retry-After") == "" {
		t.Errorf("a request of the first client: %d %s", g.status, g.body)
	}
	close(served)
	if g := <-other; g.status != 415 { // the file is not a picture
		t.Errorf("the other client: %d %s", g.status, g.body)
	}
	if most.Load() > maxFetches {
		t.Errorf("%d fetches at once, want at most %d", most.Load(), maxFetches)
	}
	for range flood - 1 {
		<-replies
	}
	eventually(t, "all memory is free", func() bool { return s.memory.inUse() == 0 })
}

// TestRemoteIgnoresProxies checks that a proxy from the environment is not used: it would connect without the check.
func TestRemoteIgnoresProxies(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter,
		*http.Request) {
		t.Error("the proxy was asked")
	}))
	defer proxy.Close()
	t.Setenv("HTTP_PROXY", proxy.URL)
	t.Setenv("ALL_PROXY", proxy.URL)
	r := newRemote()
	if _, err := r.fetch(t.Context(), usualLimits, "x", &url.URL{Scheme: "http", Host: "192.168.77.1", Path: "/"},
		newMemory(fetchBytes).lease("a")); err == nil || !strings.Contains(err.Error(), "not public") {
		t.Error(err)
	}
}
