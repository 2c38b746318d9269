package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// pictureHeaders are the headers of a reply that describe its picture.
var pictureHeaders = []string{
	"X-Generation-Id", "X-Generation-Time", "X-Resolution", "X-Model", "X-Workflow", "X-Reference-Count", "X-Seed",
	headerLoRAs,
}

// finishedPicture is a picture and what a reply says of it.
type finishedPicture struct {
	id      string
	file    []byte
	took    time.Duration // how long the engine computed, without the time in the queue
	model   string
	request inference.Request
	usage   usage

	truncated string // the end of the prompt that the model did not read
	timings   []inference.Timing
	changed   float64 // the share of the pixels that were made
}

func (m *finishedPicture) setHeaders(h http.Header) {
	h.Set("X-Generation-Id", m.id)
	h.Set("X-Generation-Time", strconv.FormatFloat(m.took.Seconds(), 'f', 3, 64))
	h.Set("X-Resolution", m.request.PictureSize().String())
	h.Set("X-Model", m.model)
	h.Set("X-Workflow", string(inference.WorkflowOf(len(m.request.References()))))
	if n := len(m.request.References()); n > 0 {
		h.Set("X-Reference-Count", strconv.Itoa(n))
	}
	h.Set("X-Seed", strconv.FormatUint(m.request.Seed(), 10))
}

// generate is POST /v1/generate.
func (s *Server) generate(w *reply, r *http.Request) error {
	req, err := s.accept(w, r, formWeight, func(r *http.Request) (*apiRequest, error) {
		f, err := readForm(r)
		if err != nil {
			return nil, err
		}
		return f.parse(s.opts.AllowRemoteURIs)
	})
	if err != nil {
		return err
	}
	defer req.admission.end()
	if wantsEvents(r, req.stream, req.format.contentType()) {
		return s.streamGenerate(w, r, req)
	}
	if req.previews {
		req.warn(w.Header(), fieldPreviews)
	}
	m, err := s.make(w, r, req, watcher{})
	if err != nil {
		return err
	}
	m.setHeaders(w.Header())
	return w.body(http.StatusOK, req.format.contentType(), m.file)
}

// accept reads a request, checks everything that can be checked before computing, admits the request to the queue, and
// prepares its references. Each byte of the body counts as weight bytes of memory. The caller must end the request's
// admission.
func (s *Server) accept(
	w *reply, r *http.Request, weight int64, read func(*http.Request) (*apiRequest, error),
) (*apiRequest, error) {
	client := clientOf(r)
	if err := s.queue.room(client); err != nil {
		return nil, err
	}
	ctx, leave := s.whileOpen(r.Context())
	defer leave()
	var req *apiRequest
	held, err := s.withBody(ctx, w, r, weight, func(r *http.Request) (err error) {
		req, err = read(r)
		return err
	})
	if err != nil {
		return nil, err
	}
	defer held.end()
	if err := s.findLoRAs(ctx, req); err != nil {
		return nil, err
	}
	req.warn(w.Header())
	m, err := s.openModel(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.checkModel(req.model, m); err != nil {
		return nil, err
	}
	if err := req.checkDigest(m.Engine.Info()); err != nil {
		return nil, err
	}
	if err := setLoRAs(ctx, w, req, m); err != nil {
		return nil, err
	}
	if s.opts.LogPrompts {
		w.attrs = append(w.attrs, slog.String("prompt", req.checked.Prompt()))
	}
	if req.admission, err = s.queue.admit(client, req.holds(m.Engine.Info())); err != nil {
		return nil, err
	}
	kept := false
	defer func() { // this also runs after a panic, which becomes a 500
		if !kept {
			req.admission.end()
		}
	}()
	if err := s.prepare(ctx, req, held); err != nil {
		return nil, err
	}
	if err := req.admitEdit(m.Engine.Info()); err != nil {
		return nil, err
	}
	req.warn(w.Header())
	kept = true
	return req, nil
}

// whileOpen returns a context that ends with ctx, or when the server begins to end: the queue refuses requests from
// then on.
func (s *Server) whileOpen(ctx context.Context) (open context.Context, leave func()) {
	open, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(s.accepting, func() { cancel(errClosed()) })
	return open, func() {
		stop()
		cancel(nil)
	}
}

// holds returns the most memory that a request takes once it is admitted: for its references, and for the files of its
// pictures. A stream holds one picture at a time. info describes the model that makes them: it decides the size of a
// picture for which the request names only an aspect ratio. The size of an edited picture is known once image 1 has
// been read.
func (req *apiRequest) holds(info inference.Info) int64 {
	if bytes, ok := req.editHolds(info); ok {
		return bytes
	}
	pixels := info.NativeSize * info.NativeSize
	if size, known := req.checked.Size(info); known {
		pixels = size.Width * size.Height
	}
	return int64(len(req.checked.References()))*referenceBytes + int64(req.pictureCount())*int64(pixels)*pixelBytes
}

// pictureCount returns how many pictures the request holds at a time.
func (req *apiRequest) pictureCount() int {
	if req.stream != nil && *req.stream {
		return 1
	}
	return req.n
}

func (s *Server) checkModel(name string, m Model) error {
	if ids := s.modelIDs(m); name != "" && !slices.Contains(ids, name) {
		return invalid(fieldModel, "%s, want %s", quote(name), strings.Join(ids, " or "))
	}
	return nil
}

// checkDigest refuses a request that was made for another model than the one that info describes.
func (req *apiRequest) checkDigest(info inference.Info) error {
	if req.digest == "" || req.digest == info.Digest {
		return nil
	}
	return &apiError{
		status: http.StatusConflict,
		field:  fieldModelDigest,
		detail: fmt.Sprintf(
			"%s: the request is for another model than %s, which is served now",
			fieldModelDigest,
			info.Model,
		),
	}
}

// prepare fetches and decodes the references and the mask one at a time. held is the lease for the request's body.
func (s *Server) prepare(ctx context.Context, req *apiRequest, held *lease) (err error) {
	for _, src := range req.sources {
		src.server, src.held = s, held
	}
	if req.ask.Edit != nil && req.ask.Edit.NeedsOriginal() && len(req.sources) > 0 {
		req.sources[0].admit = req.admitOriginal
	}
	if req.mask != nil {
		req.mask.server, req.mask.held = s, held
	}
	req.checked, err = req.checked.Read(ctx, 1)
	return req.fieldError(err)
}

// Open fetches and decodes the picture, and frees its bytes.
func (src *source) Open(ctx context.Context) (inference.Reference, error) {
	var ref inference.Reference
	err := src.take(ctx, func(file []byte) (err error) {
		ref.Reference, err = picture.Decode(ctx, file)
		return err
	})
	return ref, err
}

// take fetches the file, has decode decode it when that is its turn, and frees its bytes.
func (src *source) take(ctx context.Context, decode func(file []byte) error) error {
	s, held := src.server, src.held
	if src.url != nil {
		var err error
		if src.data, err = s.remote.fetch(ctx, s.limits, src.field, src.url, held); err != nil {
			return err
		}
	}
	size := src.data.size
	if err := s.decode(ctx, held.client, &src.data, decode); err != nil {
		if busy, ok := errors.AsType[*apiError](err); ok {
			return busy
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if unfit, ok := errors.AsType[inference.FieldError](err); ok {
			return refusal(unfit, src.field, unfit.Want)
		}
		status := http.StatusUnsupportedMediaType
		if errors.Is(err, picture.ErrSize) {
			status = http.StatusUnprocessableEntity
		}
		return &apiError{status: status, detail: src.field + ": " + err.Error(), field: src.field, cause: err}
	}
	if src.url != nil {
		held.shrink(int64(size))
	}
	return nil
}

// watcher has functions that make calls. They may be nil.
type watcher struct {
	queued   func(before int) error // called at once and then repeatedly, while the request waits
	progress func(inference.Progress)
}

// make waits for a turn and makes one picture. It stops when the client goes away.
func (s *Server) make(w *reply, r *http.Request, req *apiRequest, watch watcher) (*finishedPicture, error) {
	ctx := r.Context()
	queued := time.Now()
	place, err := req.admission.join()
	if err != nil {
		return nil, err
	}
	result, m, err := s.run(ctx, w, place, req, watch)
	if err != nil {
		return nil, err
	}
	meta := result.Metadata
	meta.Version = s.opts.Version
	var file bytes.Buffer
	if err := req.format.encode(&file, result.Image, meta); err != nil {
		return nil, err
	}
	m.file, m.usage = file.Bytes(), usageOf(m.request, meta)
	w.attrs = append(w.attrs, slog.Group("picture",
		"id", m.id, "workflow", inference.WorkflowOf(len(m.request.References())), "size", m.request.PictureSize().String(),
		"steps", meta.Steps, "engine_seconds", m.took.Seconds(),
		"waited_seconds", (time.Since(queued)-m.took).Seconds()))
	return m, nil
}

// run waits for the turn of place, computes the picture, and gives place back in any case.
func (s *Server) run(
	ctx context.Context, w *reply, place *ticket, req *apiRequest, watch watcher,
) (*inference.Result, *finishedPicture, error) {
	defer place.leave()
	if err := await(ctx, place, s.limits.queued, watch.queued); err != nil {
		return nil, nil, err
	}
	w.turns++
	s.turns.Add(1)
	model, err := s.openModel(ctx)
	if err != nil {
		return nil, nil, err
	}
	// The model may have changed since the request came, and with it the size of the pictures.
	info := model.Engine.Info()
	if err := req.checkDigest(info); err != nil {
		return nil, nil, err
	}
	if err := req.admission.hold(req.holds(info)); err != nil {
		return nil, nil, err
	}
	if req.request, err = req.checked.Resolve(info); err != nil {
		return nil, nil, req.fieldError(err)
	}
	start := time.Now()
	result, err := model.Engine.Generate(ctx, req.request, watch.progress)
	if err != nil {
		return nil, nil, err
	}
	m := &finishedPicture{
		id: uuid.NewString(), took: time.Since(start), model: s.servedBy(model), request: req.request,
		truncated: result.Truncated, timings: result.Timings, changed: 1,
	}
	if result.Edited != nil {
		m.changed = result.Edited.Changed
	}
	return result, m, nil
}

// await waits for the turn of place. Meanwhile it calls queued at once, and then at the interval every, with the number
// of pictures that are made first.
func await(ctx context.Context, place *ticket, every time.Duration, queued func(int) error) error {
	if queued == nil {
		return place.wait(ctx)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if before := place.position(); before > 0 {
			if err := queued(before); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-place.turn:
			return place.check()
		case <-tick.C:
		}
	}
}
