package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/server/api"
)

// Generate makes the picture that req asks for on the other computer. If ctx is cancelled, the connection is closed, by
// which the server ends its run, and the cause is returned; a second caller gets inference.ErrBusy.
//
// A request is sent again by itself only if no picture can have come of it: if it did not reach a server, or if the
// server has answered that it cannot take it. While it waits for that, progress tells inference.StageQueue. After any
// other fault the error says that the caller can try again.
func (e *Engine) Generate(
	ctx context.Context, req inference.Request, progress func(inference.Progress),
) (*inference.Result, error) {
	if !e.busy.TryLock() {
		return nil, inference.ErrBusy
	}
	defer e.busy.Unlock()
	e.mu.Lock()
	closed, features := e.closed, e.features
	e.mu.Unlock()
	if closed {
		return nil, inference.ErrClosed
	}
	if err := e.check(req); err != nil {
		return nil, err
	}
	if progress == nil {
		progress = func(inference.Progress) {}
	}
	previews := req.Previews() && hasFeature(features, api.Previews)
	contentType, body, err := encode(req, previews)
	if err != nil {
		return nil, err
	}
	send := call{
		method: http.MethodPost, path: api.PathGenerate, contentType: contentType, body: body,
		accept: "text/event-stream", fresh: true,
	}
	begun := time.Now()
	for tries := 1; ; tries++ {
		result, err := e.try(ctx, send, req, progress)
		var failure *Error
		if err == nil || !errors.As(err, &failure) {
			return result, err
		}
		switch {
		case failure.again == queued && time.Since(begun) < e.limits.busy:
			tries-- // whoever waits for others is not refused for good
		case (failure.again == unsent || failure.again == refused) && tries < e.limits.tries:
		default:
			return nil, err
		}
		progress(inference.Progress{Stage: inference.StageQueue})
		if err := e.pause(ctx, failure, tries); err != nil {
			return nil, err
		}
	}
}

func hasFeature(features []api.Feature, want api.Feature) bool {
	for _, f := range features {
		if f == want {
			return true
		}
	}
	return false
}

// pause waits before the next try: for the time that the server has asked for, or longer from try to try.
func (e *Engine) pause(ctx context.Context, failure *Error, tries int) error {
	wait := failure.after
	if wait == 0 {
		wait = e.limits.wait * time.Duration(max(tries, 1))
	}
	timer := time.NewTimer(min(max(wait, e.limits.leastWait), e.limits.mostWait))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// try sends the request once. The error is a context's cause or an *Error.
func (e *Engine) try(
	ctx context.Context, send call, req inference.Request, progress func(inference.Progress),
) (*inference.Result, error) {
	r, err := e.do(ctx, send)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if r.StatusCode != http.StatusOK {
		err := e.statusError(ctx, r)
		if r.StatusCode == http.StatusConflict {
			err = e.changed(ctx, err)
		}
		return nil, err
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "text/event-stream" {
		return nil, e.failf(noKleinbild)
	}
	stream := newEvents(r, pictureEventBytes(req), previewEventBytes(req))
	now := inference.Progress{}
	for {
		event, err := stream.next()
		switch {
		case errors.Is(err, errTooLong):
			return nil, e.failf("sends more than a picture of %v can have", req.PictureSize())
		case err != nil:
			return nil, e.readError(ctx, r, err)
		}
		switch event.name {
		case api.EventQueued:
			var q api.Queued
			if json.Unmarshal(event.data, &q) == nil {
				progress(inference.Progress{Stage: inference.StageQueue, Total: count(q.Before)})
			}
		case api.EventProgress:
			var p api.Progress
			if json.Unmarshal(event.data, &p) == nil && known(p.Stage) {
				now = progressOf(p)
				progress(now)
			}
		case api.EventPreview:
			// A preview that cannot be shown is left out: it takes nothing from the picture.
			if step, total, img := previewOf(event.data, req.PictureSize()); img != nil {
				with := now
				with.Stage, with.Step, with.Total, with.Preview = inference.StageSteps, step, total, img
				progress(with)
			}
		case api.EventPicture:
			result, err := resultOf(ctx, event.data, req)
			if err != nil {
				return nil, e.failf("has sent no picture that can be used: %w", err)
			}
			return result, nil
		case api.EventError:
			var f api.Failure
			if json.Unmarshal(event.data, &f) != nil {
				return nil, e.failf("has failed without saying why")
			}
			var err error = e.failure(f.Status, f.Detail, seconds(float64(f.RetryAfter)))
			if f.Status == http.StatusConflict {
				err = e.changed(ctx, err)
			}
			return nil, err
		}
	}
}

// statusError turns a reply that is no success into an *Error, or returns a context's cause.
func (e *Engine) statusError(ctx context.Context, r *reply) error {
	text, err := io.ReadAll(io.LimitReader(r, maxReplyBytes))
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var body struct{ Detail string }
	isJSON := json.Unmarshal(text, &body) == nil && body.Detail != ""
	switch {
	case r.StatusCode >= 300 && r.StatusCode < 400:
		return e.failf("leads to another address, %s: want that address", clean(r.Header.Get("Location"), maxTextRunes))
	case r.StatusCode == http.StatusBadRequest && strings.Contains(string(text), "HTTP request to an HTTPS server"):
		return e.failf("encrypts, want https:// in its address")
	case !isJSON && r.StatusCode != http.StatusTooManyRequests && r.StatusCode < 500 &&
		r.StatusCode != http.StatusUnauthorized && r.StatusCode != http.StatusForbidden:
		return e.failf(noKleinbild)
	case r.StatusCode == http.StatusNotFound, r.StatusCode == http.StatusMethodNotAllowed:
		return e.failf(noKleinbild)
	}
	return e.failure(r.StatusCode, body.Detail, retryAfter(r.Header))
}

// retryAfter returns what Retry-After says, 0 if it says nothing.
func retryAfter(header http.Header) time.Duration {
	seconds, err := strconv.ParseFloat(header.Get("Retry-After"), 64)
	if err != nil {
		return 0
	}
	return time.Duration(within(seconds, 0, maxSeconds) * float64(time.Second))
}

// failure returns the error for a status, which a reply or an event has told with a sentence.
func (e *Engine) failure(status int, detail string, after time.Duration) *Error {
	f := &Error{Host: e.address.Host(), after: after}
	detail = clean(detail, maxDetailRunes)
	said := func(text string) string {
		if detail == "" {
			return text
		}
		return text + ": " + detail
	}
	switch status {
	case http.StatusUnauthorized:
		f.Text = "does not accept the token, want the one in the file that kleinbild serve names there when it starts"
		if e.token == "" {
			f.Text = "asks for a token, want the one in the file that kleinbild serve names there when it starts"
		}
	case http.StatusForbidden:
		f.Text = said("does not let this computer in")
	case http.StatusTooManyRequests:
		f.Text, f.Retry, f.again = said("is busy"), true, queued
	case http.StatusServiceUnavailable:
		f.Text, f.Retry, f.again = said("cannot make pictures now"), true, refused
	case http.StatusBadGateway, http.StatusGatewayTimeout:
		// A proxy has lost the server behind it, perhaps in the middle of the run.
		f.Text, f.Retry = "has lost the computer that was to make the picture", true
	case http.StatusRequestTimeout:
		f.Text, f.Retry = said("has waited for the request for too long"), true
	case http.StatusInternalServerError:
		f.Text = said("could not make the picture")
	default:
		f.Text = said("refuses the request")
	}
	return f
}

// changed asks for the description of the engine again, because the server has another model than it had, and returns
// the error that says so. If it cannot be asked, it returns err.
func (e *Engine) changed(ctx context.Context, err error) error {
	before := e.Info()
	if e.ask(ctx) != nil {
		return err
	}
	after := e.Info()
	if after.Digest == before.Digest {
		return err
	}
	return &Error{
		Host: e.address.Host(), Text: "has another model than before, " + after.Model + ", and no picture was made",
		Retry: true,
	}
}
