package server

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// watchedBody knows how far a request's body was read.
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

// watch begins with a request's body: until a handler reads it, it has a deadline, since net/http waits for bodies that
// nobody reads.
func (w *reply) watch(r *http.Request) {
	if r.ContentLength == 0 {
		return
	}
	w.incoming = &watchedBody{ReadCloser: r.Body}
	r.Body = w.incoming
	_ = w.control.SetReadDeadline(time.Now().Add(w.limits.drain))
}

// unwatch gives net/http its own body back, by whose kind it decides what to do with the rest.
func (w *reply) unwatch(r *http.Request) {
	if w.incoming != nil {
		r.Body = w.incoming.ReadCloser
	}
}

// refuse answers a request by send, and sees to it that a client that sends all of its body before it reads gets the
// answer: a connection that is closed with unread bytes is reset, and the answer lost. Bodies are read only where that
// ends soon, and never for a client that waits for 100 Continue. With final the connection ends at once: its client was
// too slow, or the server ends.
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
		// net/http closes the connection, and reads a little before that.
		_ = w.control.SetReadDeadline(time.Now().Add(min(time.Second, w.limits.drain)))
		send()
	case 0 < r.ContentLength && r.ContentLength <= drainFirst:
		// net/http reads it before it answers, and the connection stays.
		_ = w.control.SetReadDeadline(time.Now().Add(w.limits.drain))
		send()
	default:
		w.Header().Set("Connection", "close")
		_ = w.control.EnableFullDuplex() // or net/http would not let the body be read after the answer
		send()
		_ = w.control.Flush()
		_ = w.control.SetReadDeadline(time.Now().Add(w.limits.drain))
		_, _ = io.CopyN(io.Discard, body, drainBytes)
	}
}
