package server

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"time"
)

// Limits of a form: parts in all, and bytes of a part that is no picture.
const (
	maxParts      = 64
	maxFieldBytes = 64 << 10
)

// form is a multipart/form-data body.
type form struct {
	values map[string]string
	files  [][]byte // in the order in which they came
	masked bool     // there is a picture called mask
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

// readForm reads a form; the parts called one of fileFields are files, the rest are text.
func readForm(r *http.Request, fileFields ...string) (*form, error) {
	parts, err := r.MultipartReader()
	switch {
	case errors.Is(err, http.ErrNotMultipart):
		return nil, errorf(http.StatusUnsupportedMediaType, "Content-Type: want multipart/form-data")
	case err != nil:
		return nil, malformed("multipart", err)
	}
	f := &form{values: map[string]string{}}
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
		if err := f.add(part, fileFields); err != nil {
			return nil, err
		}
	}
}

func (f *form) add(part *multipart.Part, fileFields []string) error {
	name := part.FormName()
	if name == "" {
		return errorf(http.StatusBadRequest, "multipart: a part has no name")
	}
	if slices.Contains(fileFields, name) {
		data, err := io.ReadAll(part)
		if err != nil {
			return malformed("multipart", err)
		}
		switch {
		case len(data) == 0 && part.FileName() == "": // a browser sends its empty file field too
		case name == fieldMask:
			f.masked = true
		default:
			f.files = append(f.files, data)
		}
		return nil
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
	if _, twice := f.values[name]; twice {
		return invalid(printable(name), "given twice")
	}
	f.values[name] = string(text)
	return nil
}

// readJSON reads a JSON object into v.
func readJSON(r *http.Request, v any) error {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return errorf(http.StatusUnsupportedMediaType, "Content-Type: want application/json")
	}
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return malformed("JSON", err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) && kind.Field != "" {
			return invalid(kind.Field, "found a %s, want a %s", kind.Value, kind.Type)
		}
		return errorf(http.StatusBadRequest, "JSON: %s", err)
	}
	return nil
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
