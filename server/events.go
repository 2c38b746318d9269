package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"mime"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"kleinbild/inference"
)

const eventStream = "text/event-stream"

// wantsEvents says whether the reply is a stream of events: the field stream decides, and without it an Accept that
// prefers events to contentType, the kind of reply that the path has otherwise.
func wantsEvents(r *http.Request, stream *bool, contentType string) bool {
	if stream != nil {
		return *stream
	}
	accept := r.Header.Values("Accept")
	return quality(accept, eventStream) > quality(accept, contentType)
}

// quality is how much Accept headers want a kind of content, 0 to 1: what names it best decides. Without a header all
// kinds are as welcome.
func quality(accept []string, contentType string) float64 {
	if len(accept) == 0 {
		return 1
	}
	main, _, _ := strings.Cut(contentType, "/")
	best, q := 0, 0.0
	for item := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, params, err := mime.ParseMediaType(item)
		if err != nil {
			continue
		}
		precision := map[string]int{contentType: 3, main + "/*": 2, "*/*": 1}[kind]
		if precision <= best {
			continue
		}
		best, q = precision, 1
		if text, ok := params["q"]; ok {
			if q, err = strconv.ParseFloat(text, 64); err != nil || !(q >= 0 && q <= 1) {
				q = 0
			}
		}
	}
	return q
}

// begin sends the headers of a stream, so that neither client nor proxy takes a long wait for a dead connection.
func (w *reply) begin() error {
	if w.events {
		return nil
	}
	w.Header().Set("Content-Type", eventStream)
	w.Header().Set("X-Accel-Buffering", "no") // proxies must not hold events back
	w.events = true
	w.WriteHeader(http.StatusOK)
	return w.control.Flush()
}

// event sends one server-sent event, with files in the places of its filePlace; the first begins the reply.
func (w *reply) event(name string, v any, files ...[]byte) error {
	if err := w.begin(); err != nil {
		return err
	}
	w.patience()
	data, err := json.Marshal(v) // one line: JSON escapes line ends
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if name != "" {
		fmt.Fprintf(&b, "event: %s\n", name)
	}
	fmt.Fprintf(&b, "data: %s\n\n", data)
	if err := w.fill(b.Bytes(), files...); err != nil {
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
	Image          string             `json:"image"` // the file in base64
}

func newProgressEvent(p inference.Progress) progressEvent {
	return progressEvent{p.Stage, p.Step, p.Total, p.Fraction, p.Elapsed.Seconds(), p.Remaining.Seconds()}
}

func newPictureEvent(m *made) pictureEvent {
	n := len(m.request.References())
	return pictureEvent{
		m.id, m.took.Seconds(), m.request.Size().String(), m.model, inference.WorkflowOf(n), n, m.request.Seed(),
		filePlace,
	}
}

func (s *Server) streamGenerate(w *reply, r *http.Request, j *job) error {
	m, err := s.makeWatched(w, r, j, reporter{
		queued:   func(before int) error { return w.event("queued", queuedEvent{before}) },
		progress: func(p inference.Progress) error { return w.event("progress", newProgressEvent(p)) },
	})
	if err != nil {
		return err
	}
	return w.event("picture", newPictureEvent(m), m.file)
}

// reporter writes what happens on the way to a picture.
type reporter struct {
	queued   func(before int) error
	progress func(inference.Progress) error
	partial  func(preview *image.RGBA) error // of each preview that the job asks for; nil where it asks for none
}

// makeWatched is make with events on the way, which this goroutine alone writes. A client that reads slowly misses
// progress: the engine never waits for it.
func (s *Server) makeWatched(w *reply, r *http.Request, j *job, report reporter) (*made, error) {
	type outcome struct {
		m        *made
		err      error
		panicked string
	}
	place := make(chan int, 1)
	latest := make(chan inference.Progress, 1)
	partials := make(chan *image.RGBA, maxPartials) // holds all of them
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
			queued: func(before int) error { replace(place, before); return nil },
			progress: func(p inference.Progress) {
				if p.Preview != nil && partialDue(p.Step, p.Total, j.partials) {
					partials <- p.Preview
				}
				replace(latest, p)
			},
		})
	}()
	silence := time.NewTicker(s.limits.silent)
	defer silence.Stop()
	var lost error // of the connection; the request's context ends the run
	for {
		var err error
		select {
		case before := <-place:
			err = report.queued(before)
		case p := <-latest:
			err = report.progress(p)
		case preview := <-partials:
			err = report.partial(preview)
		case <-silence.C:
			err = w.comment()
		case o := <-done:
			if o.panicked != "" {
				panic(o.panicked)
			}
			for o.err == nil && lost == nil && len(partials) > 0 {
				lost = report.partial(<-partials)
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

// partialDue says whether the preview after a step is one of wanted ones, which are spread evenly over the steps before
// the last.
func partialDue(step, steps, wanted int) bool {
	before := steps - 1
	if step < 1 || step > before {
		return false
	}
	wanted = min(wanted, before)
	return step*wanted/before > (step-1)*wanted/before
}

// replace puts v where the only sender's last value may still lie.
func replace[T any](c chan T, v T) {
	select {
	case <-c:
	default:
	}
	c <- v
}

// comment is an event that clients pass over: a sign of life. It begins the stream, too.
func (w *reply) comment() error {
	if err := w.begin(); err != nil {
		return err
	}
	w.patience()
	if _, err := w.Write([]byte(":\n\n")); err != nil {
		return err
	}
	return w.control.Flush()
}
