package server

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/kleinbild/kleinbild/server/api"
)

// handler answers a request, or returns the error that is then sent to the client.
type handler func(*reply, *http.Request) error

// ServeHTTP makes a handler a value that http.ServeMux keeps. It is never called: dispatch asks the mux for the handler
// of a request and calls that one itself, since it needs the error.
func (handler) ServeHTTP(http.ResponseWriter, *http.Request) {}

// pathHealth is the path of the health check, which says only whether pictures can be made.
const pathHealth = api.PathHealth

// routes returns the API's handlers by their patterns for http.ServeMux, in which GET includes HEAD.
func (s *Server) routes() map[string]handler {
	return map[string]handler{
		"GET " + pathHealth:           s.health,
		"GET " + api.PathDocument:     s.openAPI,
		"GET " + api.PathEngine:       s.engine,
		"POST " + api.PathTokens:      s.tokens,
		"GET " + pathModels:           s.models,
		"GET " + pathModel:            s.oneModel,
		"GET " + pathLoRAs:            s.listLoRAs,
		"POST " + api.PathGenerate:    s.generate,
		"POST /v1/images/generations": s.imageGenerations,
		"POST /v1/images/edits":       s.imageEdits,
	}
}

// Handler returns the handler of the whole API, with its checks of Host, Origin and token.
func (s *Server) Handler() http.Handler {
	routes := http.NewServeMux()
	for pattern, handle := range s.routes() {
		routes.Handle(pattern, handle)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := newReply(w, s.limits)
		out.watch(r)
		err := s.guarded(out, r, routes)
		whole := err == nil || s.fail(out, r, err)
		out.unwatch(r)
		s.logRequest(out, r)
		s.turns.Add(-out.turns)
		if !whole {
			panic(http.ErrAbortHandler) // net/http then closes the connection
		}
	})
}

// guarded calls dispatch and turns a panic into an error: one request must not end the program.
func (s *Server) guarded(w *reply, r *http.Request, routes *http.ServeMux) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic", "route", w.route, "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = errorf(http.StatusInternalServerError, "internal error; the server's log has more")
		}
	}()
	return s.dispatch(w, r, routes)
}

func (s *Server) dispatch(w *reply, r *http.Request, routes *http.ServeMux) error {
	if err := s.checkConnection(r); err != nil {
		return err
	}
	open := r.URL.Path == pathHealth // load balancers send no token, and in HTTP/1.0 no Host
	if !open {
		if err := s.checkHost(r); err != nil {
			return err
		}
	}
	if preflight, err := s.checkOrigin(w, r); preflight || err != nil {
		return err
	}
	if !open {
		if err := s.checkToken(w, r); err != nil {
			return err
		}
	}
	found, pattern := routes.Handler(r)
	handle, ok := found.(handler)
	if !ok {
		return unmatched(w, r, found)
	}
	_, w.route, _ = strings.Cut(pattern, " ")
	return handle(w, r)
}

// unmatched returns the error of a request that no route matches. refusal is what http.ServeMux would answer: an Allow
// header if the path has other methods, a redirect if the path is not in its shortest form.
func unmatched(w *reply, r *http.Request, refusal http.Handler) error {
	answer := headersOnly{}
	refusal.ServeHTTP(answer, r)
	allow := answer.Header().Get("Allow")
	if allow == "" {
		return errNoPath()
	}
	w.Header().Set("Allow", allow)
	return errorf(http.StatusMethodNotAllowed, "method %s, want %s", printable(r.Method), allow)
}

func errNoPath() error {
	return errorf(http.StatusNotFound, "no such path; GET /openapi.json describes the paths that there are")
}

// headersOnly is a ResponseWriter that discards the status and the body.
type headersOnly http.Header

func (h headersOnly) Header() http.Header          { return http.Header(h) }
func (headersOnly) Write(body []byte) (int, error) { return len(body), nil }
func (headersOnly) WriteHeader(int)                {}
