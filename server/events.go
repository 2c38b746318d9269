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

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/server/api"
)

const eventStream = "text/event-stream"

// wantsEvents says whether the reply is a stream of events. The field stream decides. If it is not given, the reply is
// a stream if the Accept header prefers events to contentType, the path's other kind of reply.
func wantsEvents(r *http.Request, stream *bool, contentType string) bool {
	if stream != nil {
		return *stream
	}
	accept := r.Header.Values("Accept")
	return quality(accept, eventStream) > quality(accept, contentType)
}

// quality returns how much Accept headers want a kind of content, from 0 to 1. The most precise entry decides. If there
// is no header, all kinds are equal.
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

// begin sends the headers of a stream at once, so that clients and proxies know that the connection is alive.
func (w *reply) begin() error {
	if w.events {
		return nil
	}
	w.Header().Set("Content-Type", eventStream)
	w.Header().Set("X-Accel-Buffering", "no") // tells nginx to pass events on at once
	w.events = true
	w.WriteHeader(http.StatusOK)
	return w.flush()
}

// event sends one server-sent event, with files in place of each filePlace. The first event begins the reply.
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
	return w.flush()
}

func newPictureEvent(m *finishedPicture) api.Picture {
	n := len(m.request.References())
	return api.Picture{
		ID: m.id, Seconds: m.took.Seconds(), Resolution: m.request.PictureSize().String(), Model: m.model,
		Workflow: inference.WorkflowOf(n), ReferenceCount: n, Seed: m.request.Seed(),
		Truncated: m.truncated, Stages: api.StagesOf(m.timings), Changed: m.changed,
		Image: filePlace,
	}
}

func (s *Server) streamGenerate(w *reply, r *http.Request, req *apiRequest) error {
	report := reporter{
		queued:   func(before int) error { return w.event(api.EventQueued, api.Queued{Before: before}) },
		progress: func(p inference.Progress) error { return w.event(api.EventProgress, api.ProgressOf(p)) },
	}
	if req.previews {
		req.checked = req.checked.WithPreviews()
		report.preview = func(p inference.Progress) error {
			var file bytes.Buffer
			if err := previewEncoder.Encode(&file, p.Preview); err != nil {
				return err
			}
			return w.event(api.EventPreview, api.Preview{Step: p.Step, Total: p.Total, Image: filePlace}, file.Bytes())
		}
	}
	m, err := s.makeWatched(w, r, req, report)
	if err != nil {
		return err
	}
	return w.event(api.EventPicture, newPictureEvent(m), m.file)
}

// reporter has functions that write the events while a picture is made.
type reporter struct {
	queued   func(before int) error
	progress func(inference.Progress) error
	partial  func(preview *image.RGBA) error // nil if the path has no such previews
	preview  func(inference.Progress) error  // is called with previews; nil if the request asks for none
}

// makeWatched calls make and writes events meanwhile, all of them from this goroutine. A client that reads slowly
// misses progress events: the engine never waits for it.
func (s *Server) makeWatched(w *reply, r *http.Request, req *apiRequest, report reporter) (*finishedPicture, error) {
	type outcome struct {
		m        *finishedPicture
		err      error
		panicked string
	}
	place := make(chan int, 1)
	latest := make(chan inference.Progress, 1)
	partials := make(chan *image.RGBA, maxPartials) // has room for all previews of a picture
	preview := make(chan inference.Progress, 1)
	done := make(chan outcome, 1)
	go func() {
		var o outcome
		defer func() {
			if p := recover(); p != nil {
				o.panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
			done <- o
		}()
		o.m, o.err = s.make(w, r, req, watcher{
			queued: func(before int) error { replace(place, before); return nil },
			progress: func(p inference.Progress) {
				if p.Preview != nil && partialDue(p.Step, p.Total, req.partials) {
					partials <- p.Preview
				}
				if p.Preview != nil && report.preview != nil {
					replace(preview, p)
				}
				replace(latest, p)
			},
		})
	}()
	silence := time.NewTicker(s.limits.silent)
	defer silence.Stop()
	var lost error // the first error of report; if a write failed, the request's context ends, and so does the run
	for {
		var err error
		select {
		case before := <-place:
			err = report.queued(before)
		case p := <-latest:
			err = report.progress(p)
		case image := <-partials:
			err = report.partial(image)
		case p := <-preview:
			err = report.preview(p)
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

// partialDue says whether the preview after step is sent. The wanted previews are spread evenly over all steps but the
// last.
func partialDue(step, steps, wanted int) bool {
	before := steps - 1
	if step < 1 || step > before {
		return false
	}
	wanted = min(wanted, before)
	return step*wanted/before > (step-1)*wanted/before
}

// replace sends v on c, which has room for one value and no other sender. It drops a value that was not received.
func replace[T any](c chan T, v T) {
	select {
	case <-c:
	default:
	}
	c <- v
}

// comment sends an event that clients ignore, to show that the connection is alive. It begins the stream if necessary.
func (w *reply) comment() error {
	if err := w.begin(); err != nil {
		return err
	}
	w.patience()
	if _, err := w.Write([]byte(":\n\n")); err != nil {
		return err
	}
	return w.flush()
}
