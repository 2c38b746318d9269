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

// TestPreflightHeaders checks that scripts of allowed websites may send the headers of OpenAI's libraries, and no
// unknown ones.
func TestPreflightHeaders(t *testing.T) {
	s := start(t, &fakeEngine{}, func(o *Options, _ *limits) { o.Origins = []string{"https://paint.example"} })
	for _, row := range []struct{ name, asked, want string }{
		{"none", "", "authorization, content-type"},
		{"the API's own", "authorization,content-type", "authorization, content-type"},
		{"openai-node", "authorization,content-type,x-stainless-arch,x-stainless-os,x-stainless-retry-count," +
			"x-stainless-timeout",
			"authorization, content-type, x-stainless-arch, x-stainless-os, x-stainless-retry-count, x-stainless-timeout"},
		{"organisations", "OpenAI-Organization, OpenAI-Project, openai-beta",
			"authorization, content-type, openai-organization, openai-project, openai-beta"},
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

// TestNoHost checks that only /healthz is answered without a Host: load balancers ask for it in HTTP/1.0.
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
		if err != nil || !strings.HasPrefix(string(reply), "HTTP/1.0 "+row.status) &&
			!strings.HasPrefix(string(reply), "HTTP/1.1 "+row.status) {
			t.Errorf("%q: %q %v, want %s", row.request, reply, err, row.status)
		}
	}
}

// TestRequestForms sends requests that Go's client cannot send: each way to write a Host, and request targets with a
// host.
func TestRequestForms(t *testing.T) {
	s := start(t, &fakeEngine{}, func(o *Options, _ *limits) { o.Hosts = []string{"studio.lan"} })
	bearer := "Authorization: Bearer " + testToken + "\r\n"
	get := func(target, header string) string { return "GET " + target + " HTTP/1.1\r\n" + header + bearer }
	for _, row := range []struct{ name, request, status string }{
		{"address", get("/v1/models", "Host: 127.0.0.1:7820\r\n"), "200"},
		{"IPv6 without port", get("/v1/models", "Host: [::1]\r\n"), "200"},
		{"IPv6 with a zone", get("/v1/models", "Host: [fe80::1%25eth0]:7820\r\n"), "200"},
		{"upper case", get("/v1/models", "Host: LOCALHOST:7820\r\n"), "200"},
		{"trailing dot", get("/v1/models", "Host: localhost.:7820\r\n"), "403"},
		{"trailing dot of a rebound name", get("/v1/models", "Host: evil.example.\r\n"), "403"},
		{"trailing dot of an address", get("/v1/models", "Host: 127.0.0.1.\r\n"), "403"},
		{"name in brackets", get("/v1/models", "Host: [evil.example]:7820\r\n"), "403"},
		{"address in half a bracket", get("/v1/models", "Host: 127.0.0.1]\r\n"), "403"},
		{"number for an address", get("/v1/models", "Host: 2130706433\r\n"), "403"},
		{"user before an address", get("/v1/models", "Host: evil.example@127.0.0.1\r\n"), "400"},
		{"user before localhost", get("/v1/models", "Host: x@localhost\r\n"), "400"},
		{"two ports", get("/v1/models", "Host: 127.0.0.1:80:80\r\n"), "403"},
		{"empty", get("/v1/models", "Host:\r\n"), "403"},
		{"two hosts", get("/v1/models", "Host: localhost\r\nHost: evil.example\r\n"), "400"},
		{"the same host twice", get("/v1/models", "Host: localhost\r\nHost: localhost\r\n"), "400"},
		{"none", get("/v1/models", ""), "400"},
		{"absolute target of another", get("http://evil.example/v1/models", "Host: localhost\r\n"), "403"},
		// RFC 9112: if the request target names a host, Host is ignored.
		{"absolute target of this one", get("http://localhost/v1/models", "Host: evil.example\r\n"), "200"},
		{"absolute target with a user", get("http://localhost@evil.example/v1/models", "Host: localhost\r\n"), "403"},
		{"absolute target, health", get("http://evil.example/healthz", "Host: localhost\r\n"), "200"},
		{"path with two slashes", get("//evil.example/v1/models", "Host: localhost\r\n"), "404"},
		{"dots in the path", get("/healthz/../v1/models", "Host: evil.example\r\n"), "403"},
		{"escaped path", get("/%76%31/models", "Host: evil.example\r\n"), "403"},
		{"options of the server", "OPTIONS * HTTP/1.1\r\nHost: evil.example\r\n", "403"},
		{"options of the server, no token", "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n", "401"},
		{"tunnel", "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n" + bearer, "403"},
		{"null origin", get("/healthz", "Host: localhost\r\nOrigin: null\r\n"), "403"},
		{"empty origin", get("/healthz", "Host: localhost\r\nOrigin:\r\n"), "403"},
		{"same site", get("/healthz", "Host: localhost\r\nSec-Fetch-Site: same-site\r\n"), "403"},
		{"two sites", get("/healthz", "Host: localhost\r\nSec-Fetch-Site: none\r\nSec-Fetch-Site: cross-site\r\n"), "403"},
		{"upgrade", get("/v1/models", "Host: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n"), "200"},
	} {
		conn, err := net.Dial("tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprint(conn, row.request+"Connection: close\r\n\r\n")
		reply, err := io.ReadAll(conn)
		conn.Close()
		if err != nil || !strings.HasPrefix(string(reply), "HTTP/1.1 "+row.status) {
			t.Errorf("%s: %.60q %v, want %s", row.name, reply, err, row.status)
		}
	}
}
