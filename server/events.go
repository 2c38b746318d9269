package server

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"kleinbild/inference"
)

// wantsEvents says whether the client asks for server-sent events.
func wantsEvents(r *http.Request) bool {
	for _, header := range r.Header.Values("Accept") {
		for item := range strings.SplitSeq(header, ",") {
			if kind, _, err := mime.ParseMediaType(item); err == nil && kind == "text/event-stream" {
				return true
			}
		}
	}
	return false
}

// event sends one server-sent event; the first begins the reply.
func (w *reply) event(name string, v any) error {
	if !w.events {
		w.Header().Set("Content-Type", "text/event-stream")
		w.Header().Set("X-Accel-Buffering", "no") // proxies must not hold events back
		w.events = true
		w.WriteHeader(http.StatusOK)
	}
	data, err := json.Marshal(v) // one line: JSON escapes line ends
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if name != "" {
		fmt.Fprintf(&b, "event: %s\n", name)
	}
	fmt.Fprintf(&b, "data: %s\n\n", data)
	if _, err := w.Write(b.Bytes()); err != nil {
		return err
	}
	return w.control.Flush()
}

// queuedEvent, progressEvent and pictureEvent are the events of POST /v1/generate; the last one is picture or error.
type queuedEvent struct {
	Before int `json:"before"` // pictures that are made first
}

type progressEvent struct {
	Stage     inference.Stage `json:"stage"`
	Step      int             `json:"step"`
	Total     int             `json:"total"`
	Fraction  float64         `json:"fraction"` // of the whole run
	Elapsed   float64         `json:"elapsed"`  // seconds
	Remaining float64         `json:"remaining"`
}

type pictureEvent struct {
	ID             string             `json:"id"`
	Seconds        float64            `json:"seconds"`
	Resolution     string             `json:"resolution"`
	Model          string             `json:"model"`
	Workflow       inference.Workflow `json:"workflow"`
	ReferenceCount int                `json:"reference_count"`
	Seed           uint64             `json:"seed"`
	Image          string             `json:"image"` // the PNG file in base64
}

func newProgressEvent(p inference.Progress) progressEvent {
	return progressEvent{p.Stage, p.Step, p.Total, p.Fraction, p.Elapsed.Seconds(), p.Remaining.Seconds()}
}

func newPictureEvent(m *made) pictureEvent {
	n := len(m.request.References)
	return pictureEvent{
		m.id, m.took.Seconds(), m.request.Size.String(), m.model, inference.WorkflowOf(n), n, m.request.Seed,
		base64.StdEncoding.EncodeToString(m.png),
	}
}

func (s *Server) streamGenerate(w *reply, r *http.Request, j *job) error {
	m, err := s.makeWatched(w, r, j, func(before int) error {
		return w.event("queued", queuedEvent{before})
	}, func(p inference.Progress) error {
		return w.event("progress", newProgressEvent(p))
	})
	if err != nil {
		return err
	}
	return w.event("picture", newPictureEvent(m))
}

// makeWatched is make with events on the way, which this goroutine alone writes. A client that reads slowly misses
// progress: the engine never waits for it.
func (s *Server) makeWatched(w *reply, r *http.Request, j *job, queued func(int) error, progress func(inference.Progress) error) (*made, error) {
	type outcome struct {
		m        *made
		err      error
		panicked string
	}
	place := make(chan int, 1)
	latest := make(chan inference.Progress, 1)
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if p := recover(); p != nil {
				o.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
			done <- o
		}()
		o.m, o.err = s.make(w, r, j, watcher{
			queued:   func(before int) error { replace(place, before); return nil },
			progress: func(p inference.Progress) { replace(latest, p) },
		})
	}()
	silence := time.NewTicker(s.limits.silent)
	defer silence.Stop()
	var lost error // of the connection; the request's context ends the run
	for {
		var err error
		select {
		case before := <-place:
			err = queued(before)
		case p := <-latest:
			err = progress(p)
		case <-silence.C:
			err = w.comment()
		case o := <-done:
			if o.panicked != "" {
				panic(o.panicked)
			}
			if o.err == nil {
				o.err = lost
			}
			return o.m, o.err
		}
		if lost == nil {
			lost = err
		}
	}
}

// replace puts v where the only sender's last value may still lie.
func replace[T any](c chan T, v T) {
	select {
	case <-c:
	default:
	}
	c <- v
}

// comment is an event that clients pass over.
func (w *reply) comment() error {
	if !w.events {
		return nil
	}
	if _, err := w.Write([]byte(":\n\n")); err != nil {
		return err
	}
	return w.control.Flush()
}
