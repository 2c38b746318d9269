package server

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// watchedBody is a request's body that records whether reading it has begun, and whether it was read to its end.
type watchedBody struct {
	io.ReadCloser
	began, ended bool
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.began = true
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err == io.EOF
	return n, err
}

// watch records from now on how far the body of r is read. It also sets a read deadline, which holds until a handler
// reads the body: net/http itself waits for a body that no handler reads.
func (w *reply) watch(r *http.Request) {
	if r.ContentLength == 0 {
		return
	}
	w.incoming = &watchedBody{ReadCloser: r.Body}
	r.Body = w.incoming
	_ = w.control.SetReadDeadline(time.Now().Add(w.limits.drain))
}

// unwatch puts net/http's own body back into r. net/http looks at its type to decide what to do with unread bytes.
func (w *reply) unwatch(r *http.Request) {
	if w.incoming != nil {
		r.Body = w.incoming.ReadCloser
	}
}

// refuse calls send, which answers the request with an error. Many clients send the whole body before they read the
// answer; if the server closed a connection with unread bytes, the system would reset it and the client would lose the
// answer. So refuse reads the rest of the body, for a limited time and up to a limited length. It reads nothing from a
// client that waits for 100 Continue. If final is set, the connection is closed at once: the client was too slow, or
// the server is shutting down.
func (w *reply) refuse(r *http.Request, final bool, send func()) {
	body := w.incoming
	w.unwatch(r)
	switch {
	case final:
		w.Header().Set("Connection", "close")
		if body != nil && !body.ended {
			_ = w.control.SetReadDeadline(time.Now())
		}
		send()
	case body == nil || body.ended:
		send()
	case !body.began && strings.EqualFold(r.Header.Get("Expect"), "100-continue"):
		// net/http closes the connection after it has read a little of the body.
		_ = w.control.SetReadDeadline(time.Now().Add(min(time.Second, w.limits.drain)))
		send()
	case 0 < r.ContentLength && r.ContentLength <= drainFirst:
		// net/http reads the body before it answers, and keeps the connection.
		_ = w.control.SetReadDeadline(time.Now().Add(w.limits.drain))
		send()
	default:
		w.Header().Set("Connection", "close")
		_ = w.control.EnableFullDuplex() // without it net/http does not allow reading the body after the answer
		send()
		_ = w.control.Flush()
		_ = w.control.SetReadDeadline(time.Now().Add(w.limits.drain))
		_, _ = io.CopyN(io.Discard, body, drainBytes)
	}
}
