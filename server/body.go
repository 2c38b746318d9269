package server

import (
	"context"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Limits of a form: parts in all, and bytes of a part that is no picture.
const (
	maxParts      = 64
	maxFieldBytes = 64 << 10
)

// form is a multipart/form-data body.
type form struct {
	values  values
	uploads []upload // in the order in which they came
}

// withBody reads the request's body with read, within the limits of size, time and memory. Memory is reserved until
// done is called, which the caller does as soon as the body's bytes are no longer needed.
func (s *Server) withBody(w *reply, r *http.Request, read func(*http.Request) error) (done func(), err error) {
	size := r.ContentLength
	if size > s.opts.MaxBodyBytes {
		return nil, &http.MaxBytesError{Limit: s.opts.MaxBodyBytes}
	}
	if size < 0 {
		size = s.opts.MaxBodyBytes
	}
	ctx, cancel := context.WithTimeout(r.Context(), bodyWait)
	defer cancel()
	if err := s.bodies.Acquire(ctx, size); err != nil {
		return nil, &apiError{status: http.StatusServiceUnavailable, detail: "too many uploads at once", retryAfter: 10 * time.Second}
	}
	patient := &patientReader{control: w.control, body: r.Body, stall: s.limits.stall, end: time.Now().Add(s.limits.body)}
	r.Body = http.MaxBytesReader(w.ResponseWriter, patient, s.opts.MaxBodyBytes)
	err = read(r)
	if err == nil {
		// A client's farewell is noticed only once its body has been read to the end.
		_, err = io.Copy(io.Discard, r.Body)
	}
	if err != nil {
		// The deadline stays: net/http reads on a little before it replies.
		s.bodies.Release(size)
		return nil, err
	}
	_ = w.control.SetReadDeadline(time.Time{})
	return func() { s.bodies.Release(size) }, nil
}

// patientReader moves the read deadline with the bytes that come.
type patientReader struct {
	control *http.ResponseController
	body    io.ReadCloser
	stall   time.Duration
	end     time.Time
}

func (p *patientReader) Read(b []byte) (int, error) {
	deadline := time.Now().Add(p.stall)
	if deadline.After(p.end) {
		deadline = p.end
	}
	_ = p.control.SetReadDeadline(deadline)
	return p.body.Read(b)
}

func (p *patientReader) Close() error { return p.body.Close() }

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
		data, err := io.ReadAll(part)
		switch {
		case err != nil:
			return malformed("multipart", err)
		case len(data) == 0 && part.FileName() == "": // a browser sends its empty file field, too
			return nil
		case isPicture:
			f.uploads = append(f.uploads, upload{printable(name), number, data})
			return nil
		case changesPicture[name] == noMask:
			return invalid(name, "%s", noMask)
		case slices.Contains(generateFields, name) || slices.Contains(imagesFields, name):
			return invalid(name, "found a file, want text (with curl: -F '%s=<FILE')", name)
		}
		return invalid(printable(name), "found a file, want pictures as image, images, image[], images[], image[N] or images[N], and no other files")
	}
	limit := int64(maxFieldBytes)
	if name == fieldImageURIs { // whole pictures; the body's limit holds
		limit = 1 << 40
	}
	text, err := io.ReadAll(io.LimitReader(part, limit+1))
	switch {
	case err != nil:
		return malformed("multipart", err)
	case int64(len(text)) > limit:
		return invalid(printable(name), "more than %d bytes", limit)
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
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, malformed("JSON", err)
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
