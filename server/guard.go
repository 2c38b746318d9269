package server

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// checkHost refuses DNS rebinding: the name of a website suddenly resolves to this machine, and the browser still sends
// that name as Host. An IP address cannot be rebound, so that any IP address is accepted.
func (s *Server) checkHost(r *http.Request) error {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") { // IPv6 without a port
		host = strings.TrimSuffix(inner, "]")
	}
	if _, err := netip.ParseAddr(host); err == nil || strings.EqualFold(host, "localhost") {
		return nil
	}
	if slices.ContainsFunc(s.opts.Hosts, func(h string) bool { return strings.EqualFold(h, host) }) {
		return nil
	}
	return errorf(http.StatusForbidden,
		"Host: not a name of this server, want an IP address, localhost or a name given with --allow-host")
}

// checkOrigin refuses a request that a browser sends for a website, unless the website is allowed. It answers the
// preflight request of an allowed website itself, because a preflight carries no token; preflight is then true.
func (s *Server) checkOrigin(w *reply, r *http.Request) (preflight bool, err error) {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		// Browsers send no Origin with simple GET requests, but they send Sec-Fetch-Site.
		for _, site := range r.Header.Values("Sec-Fetch-Site") {
			if site != "" && site != "none" && site != "same-origin" {
				return false, errorf(http.StatusForbidden, "Sec-Fetch-Site: websites may not use this server")
			}
		}
		return false, nil
	}
	if len(origins) > 1 || !slices.Contains(s.opts.Origins, origins[0]) {
		return false, errorf(http.StatusForbidden,
			"Origin: not a website that may use this server, want one given with --allow-origin")
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origins[0])
	h.Add("Vary", "Origin")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	exposed := append(slices.Clone(pictureHeaders), "Warning", "Retry-After")
	h.Set("Access-Control-Expose-Headers", strings.Join(exposed, ", "))
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false, nil
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	h.Set("Access-Control-Allow-Headers", allowedHeaders(r.Header.Values("Access-Control-Request-Headers")))
	h.Add("Vary", "Access-Control-Request-Headers")
	h.Set("Access-Control-Max-Age", "600")
	w.WriteHeader(http.StatusNoContent)
	return true, nil
}

// headersOfClients are the headers that scripts may send beside the two that the API reads. None of them changes a
// reply. They are allowed because a browser does not send a request at all if one of its headers is not allowed.
var headersOfClients = []string{
	"accept", "accept-language", "cache-control", "content-language", "idempotency-key", "last-event-id", "pragma",
	"priority", "traceparent", "tracestate", "user-agent", "x-request-id", "x-requested-with",
}

// prefixesOfClients are the prefixes of headers in which client libraries of OpenAI and Stainless describe themselves.
var prefixesOfClients = []string{"x-stainless-", "openai-", "x-openai-"}

// headerName matches the name of one header that the reply may repeat.
var headerName = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)

// allowedHeaders returns the value of Access-Control-Allow-Headers: the two headers that the API reads, and those of
// asked that client libraries send.
func allowedHeaders(asked []string) string {
	allowed := []string{"authorization", "content-type"}
	for name := range strings.SplitSeq(strings.Join(asked, ","), ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		known := slices.Contains(headersOfClients, name) ||
			slices.ContainsFunc(prefixesOfClients, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
		if known && headerName.MatchString(name) && !slices.Contains(allowed, name) {
			allowed = append(allowed, name)
		}
	}
	return strings.Join(allowed, ", ")
}

// checkToken compares digests of the tokens, so that the time of the comparison tells neither the bytes nor the length
// of the server's token.
func (s *Server) checkToken(w *reply, r *http.Request) error {
	if s.opts.Token == "" {
		return nil
	}
	headers := r.Header.Values("Authorization")
	scheme, token := "", ""
	if len(headers) == 1 {
		scheme, token, _ = strings.Cut(headers[0], " ")
	}
	have, want := sha256.Sum256([]byte(strings.TrimSpace(token))), sha256.Sum256([]byte(s.opts.Token))
	if subtle.ConstantTimeCompare(have[:], want[:]) == 1 && strings.EqualFold(scheme, "Bearer") {
		return nil
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="kleinbild"`)
	return errorf(http.StatusUnauthorized,
		"Authorization: missing or wrong, want Bearer and the token in the file that kleinbild serve names when it starts")
}
