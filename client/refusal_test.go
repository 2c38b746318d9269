package client

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/server"
	"github.com/kleinbild/kleinbild/server/api"
)

// front stands before a real server and answers requests for pictures in its place for as long as answer says so.
func front(t testing.TB, engine server.Engine, answer func(n int, w http.ResponseWriter) bool) string {
	t.Helper()
	behind, err := url.Parse(serve(t, engine, nil).URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(behind)
	var asked atomic.Int32
	return handle(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == api.PathGenerate && answer(int(asked.Add(1)), w) {
			return
		}
		proxy.ServeHTTP(w, r)
	})
}

func status(w http.ResponseWriter, code int, detail, retry string) {
	w.Header().Set("Content-Type", "application/json")
	if retry != "" {
		w.Header().Set("Retry-After", retry)
	}
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"detail": %q}`, detail)
}

// TestRefusals has a server refuse requests. The client waits for a full queue, tries a few times where the server says
// that it cannot yet, and gives up at once where trying again does not help.
func TestRefusals(t *testing.T) {
	for _, row := range []struct {
		name   string
		status int
		times  int // how many requests are answered like that
		want   string
		asked  int
	}{
		{"a full queue", 429, 12, "", 13},
		{"shutting down for a moment", 503, 3, "", 4},
		{"shutting down", 503, 1000, "cannot make pictures now: because: try again", 5},
		{"a lost server behind a proxy", 502, 1, "has lost the computer that was to make the picture: try again", 1},
		{"a proxy that waited too long", 504, 1, "has lost the computer that was to make the picture: try again", 1},
		{"another token", 401, 1, "does not accept the token, want the one in the file", 1},
		{"a name that it does not know", 403, 1, "does not let this computer in: because", 1},
		{"a bad value", 422, 1, "refuses the request: because", 1},
		{"too large", 413, 1, "refuses the request: because", 1},
		{"too slow", 408, 1, "has waited for the request for too long: because: try again", 1},
		{"a failure", 500, 1, "could not make the picture: because", 1},
		{"another path", 404, 1, "answers, but is no Kleinbild server", 1},
	} {
		engine := &counting{Engine: tiny(t, false)}
		asked := 0
		remote := connect(t, front(t, engine, func(n int, w http.ResponseWriter) bool {
			asked = n
			if n <= row.times {
				status(w, row.status, "because", "")
			}
			return n <= row.times
		}))
		waited := 0
		_, err := remote.Generate(t.Context(), resolve(t, small("a"), remote), func(p inference.Progress) {
			if p.Stage == inference.StageQueue {
				waited++
			}
		})
		if row.want == "" && err != nil || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
			t.Errorf("%s: %v, want %q", row.name, err, row.want)
		}
		if asked != row.asked || waited != asked-1 {
			t.Errorf("%s: %d requests, and told of waiting %d times; want %d", row.name, asked, waited, row.asked)
		}
	}
}

// TestRetryAfter checks that the client waits as long as the server asks for, within its limits.
func TestRetryAfter(t *testing.T) {
	var times []time.Time
	remote := connect(t, front(t, tiny(t, false), func(n int, w http.ResponseWriter) bool {
		times = append(times, time.Now())
		if n == 1 {
			status(w, 429, "full", "1")
		}
		return n == 1
	}))
	remote.limits.mostWait = time.Minute
	if _, err := remote.Generate(t.Context(), resolve(t, small("a"), remote), nil); err != nil || len(times) != 2 {
		t.Fatal(err, times)
	}
	if d := times[1].Sub(times[0]); d < time.Second {
		t.Errorf("it waited for %v, want a second", d)
	}
	for text, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "-5": 0, "NaN": 0, "1e300": maxSeconds * time.Second, "soon": 0,
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}}); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
