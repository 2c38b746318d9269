package server

import (
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"kleinbild/inference"
)

// form is a multipart/form-data body.
type form struct {
	values  values
	uploads []upload  // in the order in which they came
	uris    []*source // of image_uris
	urisErr error
}

// incoming is a request's body on its way. It counts the bytes in the request's lease, weight for each, and moves the
// connection's deadline at the pace of limits.
type incoming struct {
	s       *Server
	ctx     context.Context
	control *http.ResponseController
	body    io.ReadCloser
	left    int64 // bytes that the body may still have; one more is read
	weight  int64
	lease   *lease
	pace    *pace
	err     error // sticks
	cut     bool  // the last read had the patience of one that others wait for

	mu      sync.Mutex // guards the rest
	over    bool       // nothing more is read
	until   time.Time  // the deadline of the read under way; zero between two
	pressed bool       // others wait for the memory
}

// withBody reads the request's body with read until ctx ends, within the limits of size, time and memory. The bytes
// count in the lease, which the caller ends as soon as they are no longer needed; after an error nothing is held.
func (s *Server) withBody(ctx context.Context, w *reply, r *http.Request, weight int64, read func(*http.Request) error) (*lease, error) {
	if r.ContentLength > s.opts.MaxBodyBytes {
		return nil, &http.MaxBytesError{Limit: s.opts.MaxBodyBytes}
	}
	held := s.memory.lease(clientOf(r))
	in := &incoming{
		s: s, ctx: ctx, control: w.control, body: r.Body, left: s.opts.MaxBodyBytes, weight: weight, lease: held,
		pace: newPace(s.limits.stall, s.limits.body),
	}
	r.Body = in
	held.onHurry(in.hurry)
	defer context.AfterFunc(ctx, in.interrupt)()
	whole := false
	defer func() { // also where a panic passes, which becomes a 500
		held.onHurry(nil)
		in.end()
		if !whole {
			held.end()
		}
	}()
	err := read(r)
	if err == nil {
		// A client's farewell is noticed only once its body has been read to the end.
		_, err = io.Copy(io.Discard, r.Body)
	}
	if err != nil {
		return nil, err
	}
	whole = true
	in.end()
	_ = w.control.SetReadDeadline(time.Time{})
	return held, nil
}

func (in *incoming) Read(p []byte) (int, error) {
	if in.err != nil {
		return 0, in.err
	}
	if int64(len(p)) > in.left+1 {
		p = p[:in.left+1]
	}
	stall, rate := in.s.limits.stall, in.s.limits.rate
	if in.cut {
		in.cut = false
		in.pace.excuse(in.s.limits.stall - in.s.limits.hurried) // the patience that hurry took
	}
	in.wait(in.pace.moved(0, rate, stall), false) // first: from here on hurry finds a deadline to shorten
	if in.s.memory.hurried(in.lease) {
		in.cut = true
		stall, rate = in.s.limits.hurried, in.s.limits.hurriedRate
		in.wait(in.pace.moved(0, rate, stall), true)
	}
	n, err := in.body.Read(p)
	in.rested()
	in.pace.moved(n, rate, stall)
	if in.left -= int64(n); in.left < 0 {
		n, err = 0, &http.MaxBytesError{Limit: in.s.opts.MaxBodyBytes}
	} else if n > 0 {
		before := time.Now()
		if taken := in.lease.take(in.ctx, int64(n)*in.weight, in.s.limits.memory); taken != nil {
			n, err = 0, taken
		}
		in.pace.excuse(time.Since(before))
	}
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		err = in.tooSlow()
		// The context ends with any error of the connection, too, but not with this cause.
		if closed, ok := errors.AsType[*apiError](context.Cause(in.ctx)); ok {
			err = closed
		}
	}
	in.err = err
	return n, err
}

// tooSlow is the error of a body whose deadline has passed.
func (in *incoming) tooSlow() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.pressed {
		return errorf(http.StatusRequestTimeout, "body: it came too slowly while others waited for the memory that it held, "+
			"want at least %d bytes a second then", in.s.limits.hurriedRate)
	}
	return errorf(http.StatusRequestTimeout, "body: it came too slowly, want at least %d bytes a second and all of it within %s",
		in.s.limits.rate, in.s.limits.body)
}

// wait sets the deadline of a read. pressed says whether others wait for the memory.
func (in *incoming) wait(until time.Time, pressed bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.until, in.pressed = until, pressed
	if in.ctx.Err() == nil { // else interrupt has set it
		_ = in.control.SetReadDeadline(until)
	}
}

// rested says that no read is under way.
func (in *incoming) rested() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.until = time.Time{}
}

// hurry shortens the deadline of a read under way: it was set when nobody waited for the memory.
func (in *incoming) hurry() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if sooner := time.Now().Add(in.s.limits.hurried); in.ctx.Err() == nil && sooner.Before(in.until) {
		in.until, in.pressed = sooner, true
		_ = in.control.SetReadDeadline(sooner)
	}
}

// interrupt ends the read under way and all others.
func (in *incoming) interrupt() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.over {
		_ = in.control.SetReadDeadline(time.Now())
	}
}

// end leaves the connection's deadline to others.
func (in *incoming) end() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.over = true
}

func (in *incoming) Close() error { return in.body.Close() }

// readForm reads a form.
func readForm(r *http.Request) (*form, error) {
	parts, err := r.MultipartReader()
	switch {
	case errors.Is(err, http.ErrNotMultipart):
		return nil, errorf(http.StatusUnsupportedMediaType, "Content-Type: want multipart/form-data")
	case err != nil:
		return nil, malformed("multipart", err)
	}
	f := &form{values: values{}}
	for n := 0; ; n++ {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) && n > 0 {
			return f, nil
		}
		if err != nil {
			return nil, malformed("multipart", err)
		}
		if n == maxParts {
			return nil, errorf(http.StatusBadRequest, "multipart: more than %d parts", maxParts)
		}
		if err := f.add(part); err != nil {
			return nil, err
		}
	}
}

// add takes a part. A file under a name that is none of a picture's is refused: passed over it would give another
// picture than was asked for.
func (f *form) add(part *multipart.Part) error {
	name := part.FormName()
	if name == "" {
		return errorf(http.StatusBadRequest, "multipart: a part has no name")
	}
	number, isPicture := pictureName(name)
	if isPicture || isFile(part) {
		u := upload{name: printable(name), number: number}
		var err error
		switch {
		case !isPicture:
			_, err = u.data.ReadFrom(io.LimitReader(part, 1)) // enough to tell a browser's empty file field
		case len(f.uploads) >= inference.MaxReferences:
			_, err = io.Copy(io.Discard, part) // counted, and refused with their number
			u.data.size = -1
		default:
			_, err = u.data.ReadFrom(part)
		}
		switch {
		case err != nil && err != io.EOF:
			return malformed("multipart", err)
		case u.data.size == 0 && part.FileName() == "":
			return nil
		case isPicture:
			f.uploads = append(f.uploads, u)
			return nil
		case changesPicture[name] == noMask:
			return invalid(name, "%s", noMask)
		case slices.Contains(generateFields, name) || slices.Contains(imagesFields, name):
			return invalid(name, "found a file, want text (with curl: -F '%s=<FILE')", name)
		}
		return invalid(printable(name), "found a file, want pictures as image, images, image[], images[], image[N] or images[N], and no other files")
	}
	if name == fieldImageURIs {
		return f.addURIs(part)
	}
	text, err := io.ReadAll(io.LimitReader(part, maxFieldBytes+1))
	switch {
	case err != nil:
		return malformed("multipart", err)
	case len(text) > maxFieldBytes:
		return invalid(printable(name), "more than %d bytes", maxFieldBytes)
	}
	_, twice := f.values[name]
	f.values[name] = value{name: printable(name), text: string(text), twice: twice}
	return nil
}

// isFile says whether a part was sent as a file: with a file's name, or as a picture or bytes.
func isFile(part *multipart.Part) bool {
	_, params, err := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
	if _, named := params["filename"]; err == nil && named {
		return true
	}
	kind, _, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
	return err == nil && (strings.HasPrefix(kind, "image/") || kind == "application/octet-stream")
}

// readJSON reads a JSON object.
func readJSON(r *http.Request) (values, error) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, errorf(http.StatusUnsupportedMediaType, "Content-Type: want application/json")
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, maxJSONBytes+1))
	switch {
	case err != nil:
		return nil, malformed("JSON", err)
	case len(text) > maxJSONBytes:
		return nil, errorf(http.StatusRequestEntityTooLarge,
			"JSON: more than %d bytes, want at most that; pictures go as files to /v1/images/edits or /v1/generate", maxJSONBytes)
	}
	return parseJSON(text)
}

// malformed keeps what the body's limits said, and calls the rest a broken body.
func malformed(what string, err error) error {
	var own *apiError
	var tooLarge *http.MaxBytesError
	var timeout interface{ Timeout() bool }
	if errors.As(err, &own) || errors.As(err, &tooLarge) || errors.As(err, &timeout) && timeout.Timeout() {
		return err
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errorf(http.StatusBadRequest, "%s: the body ends too early", what)
	}
	return errorf(http.StatusBadRequest, "%s: %s", what, err)
}
