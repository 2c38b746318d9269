package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/plain"
	"github.com/kleinbild/kleinbild/server/api"
)

// apiError is an error as the client sees it: {"detail": …} with a status.
type apiError struct {
	status     int
	detail     string
	field      string        // the form field or JSON key at fault, if any
	retryAfter time.Duration // 0 for no Retry-After header
	final      bool          // the server closes the connection after it
	cause      error         // the error that detail describes, nil if there is none
}

func (e *apiError) Error() string { return e.detail }

// Unwrap returns the error that detail describes, nil if there is none.
func (e *apiError) Unwrap() error { return e.cause }

// retrySeconds returns the value of Retry-After, 0 for none.
func (e *apiError) retrySeconds() int {
	if e.retryAfter <= 0 {
		return 0
	}
	return int(max(e.retryAfter.Seconds(), 1))
}

func errorf(status int, format string, args ...any) *apiError {
	return &apiError{status: status, detail: fmt.Sprintf(format, args...)}
}

// invalid returns a 422 for a field whose value cannot be used.
func invalid(field, format string, args ...any) *apiError {
	detail := field + ": " + fmt.Sprintf(format, args...)
	return &apiError{status: http.StatusUnprocessableEntity, detail: detail, field: field}
}

// statusClientClosed is the status in the log for a request whose client has left, or does not read the reply. It is
// never sent.
const statusClientClosed = 499

// errNotRead is wrapped by the errors of writing a reply: the client has left, or reads too slowly. It tells them from
// the errors of reading a body, which may be the same time-outs of the connection.
var errNotRead = errors.New("the client does not read the reply")

// asAPIError returns the error that the client sees for err.
func asAPIError(r *http.Request, err error) *apiError {
	var own *apiError
	var tooLarge *http.MaxBytesError
	var network net.Error
	switch {
	case errors.Is(err, errNotRead):
		return errorf(statusClientClosed, "the client did not read the reply")
	case errors.As(err, &own):
		return own
	case errors.As(err, &tooLarge):
		return errorf(http.StatusRequestEntityTooLarge, "body: more than %d bytes, want at most that", tooLarge.Limit)
	case errors.As(err, &network) && network.Timeout():
		// This case comes before the check of the context, which net/http cancels after a timeout.
		return errorf(http.StatusRequestTimeout, "the connection was too slow")
	case errors.Is(context.Cause(r.Context()), errShutdown):
		return errClosed()
	case r.Context().Err() != nil:
		return errorf(statusClientClosed, "the client closed the connection")
	case errors.Is(err, inference.ErrBusy), errors.Is(err, inference.ErrClosed):
		return &apiError{status: http.StatusServiceUnavailable, detail: err.Error(), retryAfter: time.Second}
	}
	return errorf(http.StatusInternalServerError, "%s", err)
}

// errorBody is the JSON of an error. OpenAI's clients read Error, which is sent on OpenAI's paths only.
type errorBody struct {
	Detail string       `json:"detail"`
	Error  *openAIError `json:"error,omitempty"`
}

type openAIError struct {
	Message string  `json:"message"`
	Type    string  `json:"type"`
	Param   *string `json:"param"`
	Code    *string `json:"code"`
}

// isOpenAI says whether the path of r is one of OpenAI's API.
func isOpenAI(r *http.Request) bool {
	return strings.HasPrefix(r.URL.Path, "/v1/images/") || strings.HasPrefix(r.URL.Path, "/v1/models")
}

func bodyOf(r *http.Request, e *apiError) errorBody {
	body := errorBody{Detail: e.detail}
	if isOpenAI(r) {
		body.Error = &openAIError{Message: e.detail, Type: "invalid_request_error"}
		if e.status >= 500 {
			body.Error.Type = "server_error"
		}
		if e.field != "" {
			body.Error.Param = &e.field
		}
	}
	return body
}

// fail sends an error to the client: as an event if the reply is a stream that has begun, otherwise as JSON. It returns
// false if neither is possible, because part of another reply was sent or the client has left. The caller must then
// abort the connection: half a picture must not look like a whole one, and net/http must not send an empty 200.
func (s *Server) fail(w *reply, r *http.Request, err error) bool {
	e := asAPIError(r, err)
	w.failure = e
	switch {
	case e.status == statusClientClosed:
		w.status = e.status
		return false
	case w.events && isOpenAI(r):
		_ = w.event("error", struct {
			Type  string       `json:"type"`
			Error *openAIError `json:"error"`
		}{"error", bodyOf(r, e).Error})
	case w.events:
		_ = w.event(api.EventError, api.Failure{Status: e.status, Detail: e.detail, RetryAfter: e.retrySeconds()})
	case w.status != 0:
		return false
	default:
		if seconds := e.retrySeconds(); seconds > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(seconds))
		}
		w.refuse(r, e.final || e.status == http.StatusRequestTimeout, func() { _ = w.json(e.status, bodyOf(r, e)) })
	}
	return true
}

func (s *Server) logRequest(w *reply, r *http.Request) {
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("method", printable(r.Method)), slog.String("route", w.route), slog.Int("status", w.status),
		slog.Float64("seconds", time.Since(w.start).Seconds()), slog.String("client", clientOf(r)),
	}
	if w.failure != nil {
		attrs = append(attrs, slog.Int("failure", w.failure.status))
		if w.failure.status >= 500 {
			level = slog.LevelError
			attrs = append(attrs, slog.String("error", w.failure.detail))
		}
	}
	s.log.LogAttrs(context.Background(), level, "request", append(attrs, w.attrs...)...)
}

// reply is the response to a request. It records what was sent, and sets a deadline for each write.
type reply struct {
	http.ResponseWriter
	control  *http.ResponseController
	limits   limits
	pace     *pace
	incoming *watchedBody // nil if the request has no body
	start    time.Time
	status   int  // 0 if nothing was sent yet
	events   bool // a stream of server-sent events has begun
	route    string
	failure  *apiError
	attrs    []slog.Attr // attributes for the log
	turns    int         // how many turns on the engine the request has had
}

func newReply(w http.ResponseWriter, l limits) *reply {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	return &reply{ResponseWriter: w, control: http.NewResponseController(w), limits: l, start: time.Now()}
}

// Unwrap lets http.ResponseController reach the connection.
func (w *reply) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *reply) WriteHeader(status int) {
	w.status = status
	w.patience()
	w.ResponseWriter.WriteHeader(status)
}

// patience starts the pace anew, at the beginning of a reply and of each event, because the server did not wait for the
// client in between. The error is ignored: a ResponseWriter of a test has no deadlines.
func (w *reply) patience() {
	w.pace = newPace(w.limits.stall, 0)
	_ = w.control.SetWriteDeadline(w.pace.due)
}

// Write sends p. It fails if the client does not take the bytes at the minimum rate of limits. The header must have
// been sent.
func (w *reply) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		var k int
		k, err = w.ResponseWriter.Write(p[:min(len(p), writeChunk)])
		n, p = n+k, p[k:]
		_ = w.control.SetWriteDeadline(w.pace.moved(k, w.limits.rate, w.limits.stall))
	}
	return n, notRead(err)
}

// flush sends what Write has left in buffers.
func (w *reply) flush() error { return notRead(w.control.Flush()) }

// notRead returns err, an error of writing a reply, as one that wraps errNotRead.
func notRead(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", errNotRead, err)
}

// filePlace is the placeholder of a file in values that are sent as JSON. fill replaces it by the file's base64 while
// it writes, so that the base64 is never in memory as a whole.
const filePlace = "\x00file\x00"

// filePlaceJSON is filePlace as encoding/json writes it.
var filePlaceJSON = []byte(`\u0000file\u0000`)

// fill writes text, with the base64 of files in place of the placeholders.
func (w *reply) fill(text []byte, files ...[]byte) error {
	out := bufio.NewWriterSize(w, writeChunk)
	for i, part := range bytes.SplitN(text, filePlaceJSON, len(files)+1) {
		if i > 0 {
			encoder := base64.NewEncoder(base64.StdEncoding, out)
			if _, err := encoder.Write(files[i-1]); err != nil {
				return err
			}
			if err := encoder.Close(); err != nil {
				return err
			}
		}
		if _, err := out.Write(part); err != nil {
			return err
		}
	}
	return out.Flush()
}

// json sends v as JSON, with the base64 of files in place of each filePlace.
func (w *reply) json(status int, v any, files ...[]byte) error {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	size := body.Len() - len(files)*len(filePlaceJSON)
	for _, file := range files {
		size += base64.StdEncoding.EncodedLen(len(file))
	}
	w.head(status, "application/json", size)
	return w.fill(body.Bytes(), files...)
}

func (w *reply) body(status int, contentType string, data []byte) error {
	w.head(status, contentType, len(data))
	_, err := w.Write(data)
	return err
}

func (w *reply) head(status int, contentType string, size int) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(size))
	w.WriteHeader(status)
}

// printable replaces control characters, and marks that change the direction of text, in text that a client has sent,
// because the text reaches logs and terminals.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if plain.DrivesTerminal(r) {
			return '\uFFFD'
		}
		return r
	}, text)
}

// clientOf returns the name of the client that sent a request: its address without the port. All shares are counted by
// this name. If the request comes from this machine, it may come from a proxy, and the last address in X-Forwarded-For
// is the client: a program on this machine could use any loopback address anyway. The headers of other machines are not
// trusted.
func clientOf(r *http.Request) string {
	host := hostOf(r.RemoteAddr)
	if ip, err := netip.ParseAddr(host); err != nil || !ip.Unmap().IsLoopback() {
		return host
	}
	forwarded := r.Header.Values("X-Forwarded-For")
	if len(forwarded) == 0 {
		return host
	}
	last := forwarded[len(forwarded)-1]
	ip, err := netip.ParseAddr(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:]))
	if err != nil {
		return host
	}
	return ip.Unmap().WithZone("").String()
}

// hostOf returns an address without its port.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}
