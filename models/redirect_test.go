package models

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestRedirects follows redirects from a server that gets a token to other servers.
func TestRedirects(t *testing.T) {
	got := "" // the Authorization header of the last request
	end := func(w http.ResponseWriter, r *http.Request) { got = "token " + r.Header.Get("Authorization") }
	plain, secure := httptest.NewServer(http.HandlerFunc(end)), httptest.NewTLSServer(http.HandlerFunc(end))
	defer plain.Close()
	defer secure.Close()
	hop := ""
	redirect := func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/end":
			end(w, r)
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		case "/there-and-back":
			http.Redirect(w, r, hop+"/end", http.StatusFound)
		default:
			http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusTemporaryRedirect)
		}
	}
	from := httptest.NewServer(http.HandlerFunc(redirect))
	fromSecure := httptest.NewTLSServer(http.HandlerFunc(redirect))
	defer from.Close()
	defer fromSecure.Close()
	hop = from.URL
	back := httptest.NewServer(http.HandlerFunc(redirect))
	defer back.Close()
	for _, row := range []struct{ name, address, want, problem string }{
		{"the same server", from.URL + "/?to=/end", "token Bearer secret", ""},
		{"another port", from.URL + "/?to=" + plain.URL, "token ", ""},
		{"another host name", from.URL + "/?to=" + strings.Replace(plain.URL, "127.0.0.1", "localhost", 1), "token ", ""},
		{"to https on another port", from.URL + "/?to=" + secure.URL, "token ", ""},
		{"https, the same server", fromSecure.URL + "/?to=/end", "token Bearer secret", ""},
		{"https, another port", fromSecure.URL + "/?to=" + secure.URL, "token ", ""},
		{"https to http", fromSecure.URL + "/?to=" + plain.URL, "", "want https"},
		{"in a circle", from.URL + "/round", "", "10 redirects"},
		{"to another server and back", from.URL + "/?to=" + back.URL + "/there-and-back", "token Bearer secret", ""},
	} {
		got = ""
		request, err := http.NewRequest(http.MethodGet, row.address, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Authorization", "Bearer secret")
		client := fromSecure.Client() // trusts the certificate of both servers with https
		client.CheckRedirect = checkRedirect
		response, err := client.Do(request)
		if err == nil {
			response.Body.Close()
		}
		if got != row.want {
			t.Errorf("%s: got %q, want %q", row.name, got, row.want)
		}
		if row.problem == "" && err != nil || row.problem != "" &&
			(err == nil || !strings.Contains(err.Error(), row.problem) || !isPermanent(err)) {
			t.Errorf("%s: error %v, want %q", row.name, err, row.problem)
		}
	}
}
