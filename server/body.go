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

	"github.com/kleinbild/kleinbild/inference"
)

// form is a multipart/form-data body.
type form struct {
	values  values
	uploads []upload  // in the order in which they came
	uris    []*source // the pictures of image_uris
	urisErr error     // says what is wrong with image_uris, if anything
	mask    *source   // the mask's file or address, nil if there is none
	maskErr error     // says what is wrong with the text of the mask, if anything
}

// incoming is the body of a request while it is read. For each byte that arrives it counts weight bytes in the
// request's lease. Before each read it sets the connection's read deadline, from the rates in limits.
type incoming struct {
	s       *Server
	ctx     context.Context
	control *http.ResponseController
	body    io.ReadCloser
	left    int64 // how many bytes the body may still have; one byte more is read, to see that it is too long
	weight  int64
	lease   *lease
	pace    *pace
	err     error // the first error; all later reads return it
	// shortened says that the last read had the shorter deadline, because another request waited for the memory.
	shortened bool

	mu      sync.Mutex // guards the fields below
	over    bool       // the body is no longer read
	until   time.Time  // the deadline of the present read; zero if no read is under way
	pressed bool       // another request waits for the memory that this body holds
}

// withBody calls read, which reads the body of r, within the limits of size, time and memory and until ctx ends. It
// returns the lease that holds the memory of the body. The caller must end the lease as soon as it no longer needs the
// bytes. If withBody returns an error, there is no lease to end.
func (s *Server) withBody(
	ctx context.Context, w *reply, r *http.Request, weight int64, read func(*http.Request) error,
) (*lease, error) {
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
	defer func() { // this also runs after a panic, which becomes a 500
		held.onHurry(nil)
		in.end()
		if !whole {
			held.end()
		}
	}()
	err := read(r)
	if err == nil {
		// net/http notices that a client has left only after the body has been read to its end.
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
	if in.shortened {
		in.shortened = false
		in.pace.excuse(in.s.limits.stall - in.s.limits.hurried) // give back the time that the shorter deadline took
	}
	in.wait(in.pace.moved(0, rate, stall), false) // before the check below: from here on hurry can shorten this deadline
	if in.s.memory.hurried(in.lease) {
		in.shortened = true
		stall, rate = in.s.limits.hurried, in.s.limits.hurriedRate
		in.wait(in.pace.moved(0, rate, stall), true)
	}
	n, err := in.body.Read(p)
	in.readEnded()
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
		// The deadline may have passed because the context ended. If the server is shutting down, the context's
		// cause is an apiError.
		if closed, ok := errors.AsType[*apiError](context.Cause(in.ctx)); ok {
			err = closed
		}
	}
	in.err = err
	return n, err
}

// tooSlow returns the error for a body whose deadline has passed.
func (in *incoming) tooSlow() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.pressed {
		return errorf(http.StatusRequestTimeout, "body: it came too slowly while other requests waited for its memory, "+
			"want at least %d bytes a second", in.s.limits.hurriedRate)
	}
	return errorf(http.StatusRequestTimeout,
		"body: it came too slowly, want at least %d bytes a second and all of it within %s",
		in.s.limits.rate, in.s.limits.body)
}

// wait sets the deadline of the read that follows. pressed says whether another request waits for the memory.
func (in *incoming) wait(until time.Time, pressed bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.until, in.pressed = until, pressed
	if in.ctx.Err() == nil { // otherwise interrupt has set the deadline
		_ = in.control.SetReadDeadline(until)
	}
}

// readEnded records that no read is under way.
func (in *incoming) readEnded() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.until = time.Time{}
}

// hurry shortens the deadline of the present read. It is called when another request begins to wait for the memory.
func (in *incoming) hurry() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if sooner := time.Now().Add(in.s.limits.hurried); in.ctx.Err() == nil && sooner.Before(in.until) {
		in.until, in.pressed = sooner, true
		_ = in.control.SetReadDeadline(sooner)
	}
}

// interrupt makes the present read and all later ones fail.
func (in *incoming) interrupt() {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.over {
		_ = in.control.SetReadDeadline(time.Now())
	}
}

// end makes sure that interrupt no longer changes the connection's deadline.
func (in *incoming) end() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.over = true
}

func (in *incoming) Close() error { return in.body.Close() }

// readForm reads a multipart/form-data body.
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
			return nil, errorf(http.StatusBadRequest, "multipart: more than %d parts, want at most that", maxParts)
		}
		if err := f.add(part); err != nil {
			return nil, err
		}
	}
}

// add reads one part into the form. It refuses a file whose name is not that of a picture: if the server ignored the
// file, the client would get another picture than it asked for.
func (f *form) add(part *multipart.Part) error {
	name := part.FormName()
	if name == "" {
		return errorf(http.StatusBadRequest, "multipart: a part has no name")
	}
	if name == fieldMask {
		return f.addMask(part)
	}
	number, isPicture := pictureName(name)
	if isPicture || isFile(part) {
		u := upload{name: printable(name), number: number}
		var err error
		switch {
		case !isPicture:
			_, err = u.data.ReadFrom(io.LimitReader(part, 1)) // one byte tells it from a browser's empty file field
		case len(f.uploads) >= inference.MaxReferences:
			_, err = io.Copy(io.Discard, part) // the check of the request refuses it later, with the number of pictures
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
		case slices.Contains(generateFields, name) || slices.Contains(editsFields, name):
			return invalid(name, "found a file, want text (with curl: -F '%s=<FILE')", name)
		}
		return invalid(printable(name), "found a file, "+
			"want pictures as image, images, image[], images[], image[N] or images[N], a mask as mask, and no other files")
	}
	if name == fieldImageURIs {
		return f.addURIs(part)
	}
	text, err := io.ReadAll(io.LimitReader(part, maxFieldBytes+1))
	switch {
	case err != nil:
		return malformed("multipart", err)
	case len(text) > maxFieldBytes:
		return invalid(printable(name), "more than %d bytes, want at most that", maxFieldBytes)
	}
	_, repeated := f.values[name]
	f.values[name] = value{name: printable(name), text: string(text), repeated: repeated}
	return nil
}

// isFile says whether a part was sent as a file: it has a file name, or the content type of a picture or of bytes.
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
			"JSON: found more than %d bytes, want at most that; send pictures as files to /v1/images/edits or /v1/generate",
			maxJSONBytes)
	}
	return parseJSON(text)
}

// malformed returns the error for a body that cannot be read or parsed. Errors about the body's limits stay as they
// are; all others become a 400. what names the format.
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
