package server

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestGuards(t *testing.T) {
	s := start(t, &fakeEngine{}, func(o *Options, _ *limits) {
		o.Hosts = []string{"studio.lan"}
		o.Origins = []string{"https://paint.example"}
	})
	bearer := []string{"Authorization", "Bearer " + testToken}
	with := func(more ...string) []string { return append(more, bearer...) }
	for _, row := range []struct {
		name, host, path string
		header           []string
		status           int
	}{
		{"token", "", "/v1/models", with(), 200},
		{"scheme in other letters", "", "/v1/models", []string{"Authorization", "bearer " + testToken}, 200},
		{"no token", "", "/v1/models", nil, 401},
		{"no token, document", "", "/openapi.json", nil, 401},
		{"no token, unknown path", "", "/x", nil, 401},
		{"no token, health", "", "/healthz", nil, 200},
		{"wrong token", "", "/v1/models", []string{"Authorization", "Bearer x" + testToken}, 401},
		{"part of the token", "", "/v1/models", []string{"Authorization", "Bearer " + testToken[:5]}, 401},
		{"no scheme", "", "/v1/models", []string{"Authorization", testToken}, 401},
		{"basic", "", "/v1/models", []string{"Authorization", "Basic " + testToken}, 401},
		{"two tokens", "", "/v1/models", with("Authorization", "Bearer x"), 401},
		{"token in the query", "", "/v1/models?token=" + testToken, nil, 401},

		{"localhost", "localhost:7820", "/v1/models", with(), 200},
		{"localhost in other letters", "LocalHost", "/v1/models", with(), 200},
		{"IPv6", "[::1]:7820", "/v1/models", with(), 200},
		{"IPv4 of the network", "192.168.1.5:7820", "/v1/models", with(), 200},
		{"allowed name", "Studio.lan:7820", "/v1/models", with(), 200},
		{"rebound name", "evil.example:7820", "/v1/models", with(), 403},
		{"rebound name, health", "evil.example", "/healthz", nil, 200},
		{"rebound name, like health", "evil.example", "/healthz/", with(), 403},
		{"rebound name, document", "evil.example", "/openapi.json", with(), 403},
		{"rebound name, website, health", "evil.example", "/healthz", []string{"Origin", "http://evil.example"}, 403},
		{"name that begins like an address", "127.0.0.1.evil.example", "/v1/models", with(), 403},
		{"name that begins like localhost", "localhost.evil.example", "/v1/models", with(), 403},

		{"website", "", "/v1/models", with("Origin", "https://evil.example"), 403},
		{"website, health", "", "/healthz", []string{"Origin", "https://evil.example"}, 403},
		{"null origin", "", "/v1/models", with("Origin", "null"), 403},
		{"own address as origin", "", "/v1/models", with("Origin", "http://127.0.0.1:7820"), 403},
		{"allowed website", "", "/v1/models", with("Origin", "https://paint.example"), 200},
		{"allowed website without token", "", "/v1/models", []string{"Origin", "https://paint.example"}, 401},
		{"allowed website, other scheme", "", "/v1/models", with("Origin", "http://paint.example"), 403},
		{"picture in a website", "", "/v1/models", with("Sec-Fetch-Site", "cross-site"), 403},
		{"typed by the user", "", "/v1/models", with("Sec-Fetch-Site", "none"), 200},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, err := http.NewRequest(http.MethodGet, s.url(row.path), nil)
			if err != nil {
				t.Fatal(err)
			}
			if row.host != "" {
				r.Host = row.host
			}
			for i := 0; i < len(row.header); i += 2 {
				r.Header.Add(row.header[i], row.header[i+1])
			}
			response, err := s.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != row.status {
				t.Errorf("status %d, want %d", response.StatusCode, row.status)
			}
			if have := response.Header.Get("WWW-Authenticate"); (have != "") != (row.status == 401) {
				t.Errorf("WWW-Authenticate %q", have)
			}
			allowed := strings.Contains(strings.Join(row.header, " "), "https://paint.example")
			if have := response.Header.Get("Access-Control-Allow-Origin"); (have != "") != allowed {
				t.Errorf("Access-Control-Allow-Origin %q", have)
			}
		})
	}
}

func TestPreflight(t *testing.T) {
	s := start(t, &fakeEngine{}, func(o *Options, _ *limits) { o.Origins = []string{"https://paint.example"} })
	for origin, status := range map[string]int{"https://paint.example": 204, "https://evil.example": 403} {
		r, err := http.NewRequest(http.MethodOptions, s.url("/v1/generate"), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", "POST")
		response, err := s.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != status || (response.Header.Get("Access-Control-Allow-Headers") != "") != (status == 204) {
			t.Errorf("%s: %d %v", origin, response.StatusCode, response.Header)
		}
	}
}

// TestPreflightHeaders: scripts of allowed websites may send what the libraries of OpenAI send, and nothing that is unknown.
func TestPreflightHeaders(t *testing.T) {
	s := start(t, &fakeEngine{}, func(o *Options, _ *limits) { o.Origins = []string{"https://paint.example"} })
	for _, row := range []struct{ name, asked, want string }{
		{"none", "", "authorization, content-type"},
		{"the API's own", "authorization,content-type", "authorization, content-type"},
		{"openai-node", "authorization,content-type,x-stainless-arch,x-stainless-os,x-stainless-retry-count,x-stainless-timeout",
			"authorization, content-type, x-stainless-arch, x-stainless-os, x-stainless-retry-count, x-stainless-timeout"},
		{"organisations", "OpenAI-Organization, OpenAI-Project, openai-beta", "authorization, content-type, openai-organization, openai-project, openai-beta"},
		{"once each", "accept, Accept,accept", "authorization, content-type, accept"},
		{"unknown ones", "x-stainless, cookie, x-evil, accept", "authorization, content-type, accept"},
		{"no name", "x-stainless-a b, x-stainless-\u00e4, openai-" + strings.Repeat("x", 100), "authorization, content-type"},
	} {
		for origin, status := range map[string]int{"https://paint.example": 204, "https://evil.example": 403} {
			r, err := http.NewRequest(http.MethodOptions, s.url("/v1/images/generations"), nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Origin", origin)
			r.Header.Set("Access-Control-Request-Method", "POST")
			if row.asked != "" {
				r.Header.Set("Access-Control-Request-Headers", row.asked)
			}
			response, err := s.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			want := row.want
			if status != 204 {
				want = ""
			}
			if have := response.Header.Get("Access-Control-Allow-Headers"); response.StatusCode != status || have != want {
				t.Errorf("%s, %s: %d %q, want %d %q", row.name, origin, response.StatusCode, have, status, want)
			}
		}
	}
}

func TestNoTokenAsked(t *testing.T) {
	s := start(t, &fakeEngine{}, func(o *Options, _ *limits) { o.Token = "" })
	response, err := s.client.Get(s.url("/v1/models"))
	if err != nil || response.StatusCode != 200 {
		t.Errorf("%v %v", response, err)
	}
}

// TestNoHost: load balancers ask for health in HTTP/1.0 without Host; nothing else is answered so.
func TestNoHost(t *testing.T) {
	s := start(t, &fakeEngine{}, nil)
	for _, row := range []struct{ request, status string }{
		{"GET /healthz HTTP/1.0\r\n\r\n", "200"},
		{"HEAD /healthz HTTP/1.0\r\n\r\n", "200"},
		{"GET /healthz HTTP/1.1\r\nHost: lb.internal\r\nConnection: close\r\n\r\n", "200"},
		{"POST /healthz HTTP/1.0\r\nContent-Length: 0\r\n\r\n", "405"},
		{"GET /v1/models HTTP/1.0\r\nAuthorization: Bearer " + testToken + "\r\n\r\n", "403"},
		{"GET /openapi.json HTTP/1.0\r\nAuthorization: Bearer " + testToken + "\r\n\r\n", "403"},
		{"GET /v1/../healthz HTTP/1.0\r\n\r\n", "403"},
	} {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprint(conn, row.request)
		reply, err := io.ReadAll(conn)
		conn.Close()
		if err != nil || !strings.HasPrefix(string(reply), "HTTP/1.0 "+row.status) && !strings.HasPrefix(string(reply), "HTTP/1.1 "+row.status) {
			t.Errorf("%q: %q %v, want %s", row.request, reply, err, row.status)
		}
	}
}
