// Package client is an engine behind another computer's HTTP API: an inference.Generator that sends requests to a
// kleinbild serve. What enters are requests as every engine gets them; what leaves are pictures as if they had been
// made here, with the same pixels and the same metadata. Nothing is kept on the other computer.
//
// The package trusts no server: what it reads has limits (limits.go), and is checked.
package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"sync"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/server/api"
)

// Options say which server to use, and how.
type Options struct {
	Address Address
	Token   string // "" for none
	// CA is the path of a file with certificates in PEM form: authorities that are trusted beside the system's. "" for
	// none.
	CA      string
	Version string // of this program, which the server is told
}

// Engine is the engine of another computer. It makes one picture at a time.
type Engine struct {
	address Address
	token   string
	version string
	limits  limits

	transport *http.Transport // for questions
	fresh     *http.Transport // for pictures: each request has a connection of its own

	busy    sync.Mutex      // held by Generate
	life    context.Context // ends with Close
	endLife context.CancelFunc

	mu       sync.Mutex // guards the fields below
	info     inference.Info
	most     int // how many references the server takes
	features []api.Feature
	counted  counted
	closed   bool
}

// counted is the last answer of CountTokens.
type counted struct {
	known        bool
	prompt       string
	count, limit int
}

var _ inference.Generator = (*Engine)(nil)

// Open asks the server for its engine. The error says in one sentence why the server cannot be used.
func Open(ctx context.Context, opts Options) (*Engine, error) { return open(ctx, opts, usualLimits) }

func open(ctx context.Context, opts Options, l limits) (*Engine, error) {
	if err := checkToken(opts.Token); err != nil {
		return nil, err
	}
	roots, err := readRoots(opts.CA)
	if err != nil {
		return nil, err
	}
	e := &Engine{address: opts.Address, token: opts.Token, version: opts.Version, limits: l}
	e.transport, e.fresh = newTransport(e.address, roots, l), newTransport(e.address, roots, l)
	e.fresh.DisableKeepAlives = true
	e.life, e.endLife = context.WithCancel(context.Background())
	if err := e.ask(ctx); err != nil {
		_ = e.Close()
		return nil, err
	}
	return e, nil
}

// ask asks for the description of the engine and stores it.
func (e *Engine) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, e.limits.ask, errSilent)
	defer cancel()
	var described api.Engine
	err := e.getJSON(ctx, call{method: http.MethodGet, path: api.PathEngine}, maxReplyBytes, &described)
	var other *Error
	switch {
	case errors.Is(err, errSilent):
		return e.connectionError(err, false)
	case errors.As(err, &other) && other.Text == noKleinbild:
		return e.otherServer(ctx)
	case err != nil:
		return err
	case described.Program != api.Program:
		return e.failf(noKleinbild)
	case described.Protocol != api.Protocol:
		return e.failf("runs Kleinbild %s, which this version does not understand: want the same version on both computers",
			clean(described.Version, maxTextRunes))
	}
	info, err := checkModel(described.Model)
	if err != nil {
		return e.failf("describes its engine so that it cannot be used: %w", err)
	}
	info.Remote = e.address.Host()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.info, e.most, e.features = info, described.Model.MaxReferences, described.Features
	e.counted = counted{}
	return nil
}

// otherServer returns the error for a server without the path of the engine: it may be an older Kleinbild.
func (e *Engine) otherServer(ctx context.Context) error {
	var document struct {
		Info struct {
			Title, Version string
		}
	}
	err := e.getJSON(ctx, call{method: http.MethodGet, path: api.PathDocument}, maxDocumentBytes, &document)
	if err != nil || document.Info.Title != api.Title {
		return e.failf(noKleinbild)
	}
	return e.failf("runs Kleinbild %s, which cannot be used from here yet: want the same version on both computers",
		clean(document.Info.Version, maxTextRunes))
}

// failf returns an error about the server that trying again does not mend.
func (e *Engine) failf(format string, args ...any) *Error {
	return &Error{Host: e.address.Host(), Text: fmt.Errorf(format, args...).Error()}
}

// checkModel returns the description of a model if an engine can be described like that.
func checkModel(m api.Model) (inference.Info, error) {
	whole := func(name string, v, low, high int) error {
		if v < low || v > high {
			return fmt.Errorf("%s is %d, want %d to %d", name, v, low, high)
		}
		return nil
	}
	err := errors.Join(
		whole("the number of steps", m.Steps, 1, inference.MaxSteps),
		whole("the native size", m.NativeSize, 0, maxNativeSide),
		whole("the number of text tokens", m.MaxSequenceLength, 1, inference.MaxSequenceLength),
		whole("the number of channels", m.TokenChannels, 1, maxNativeSide),
		whole("the number of references", m.MaxReferences, 0, maxCount),
	)
	_, unknown := inference.ParseVariant(string(m.Variant))
	switch {
	case err != nil:
		return inference.Info{}, err
	case !(m.Guidance >= inference.MinGuidance && m.Guidance <= inference.MaxGuidance): // NaN is refused too
		return inference.Info{}, fmt.Errorf("the guidance is %v, want %d to %d",
			m.Guidance, inference.MinGuidance, inference.MaxGuidance)
	case unknown != nil || m.Variant == "":
		return inference.Info{}, fmt.Errorf("the variant is %q", clean(string(m.Variant), maxTextRunes))
	case !m.Costs.Valid():
		return inference.Info{}, errors.New("the costs are no numbers")
	case m.Digest == "" || len(m.Digest) > maxTextRunes:
		return inference.Info{}, errors.New("the model has no digest")
	case m.SizeBytes < 0:
		return inference.Info{}, errors.New("the model has no size")
	}
	for _, text := range []*string{
		&m.Name, &m.Layout, &m.Family, &m.Device, (*string)(&m.Precision), &m.Weights, (*string)(&m.Quality),
	} {
		*text = clean(*text, maxTextRunes)
	}
	m.Notices = m.Notices[:min(len(m.Notices), maxNotices)]
	for i := range m.Notices {
		m.Notices[i] = clean(m.Notices[i], maxDetailRunes)
	}
	return m.Info(), nil
}

// getJSON sends a request and reads the JSON of its reply, of most bytes at most, into value.
func (e *Engine) getJSON(ctx context.Context, c call, most int64, value any) error {
	c.accept = "application/json"
	r, err := e.do(ctx, c)
	if err != nil {
		return err
	}
	defer r.Close()
	if r.StatusCode != http.StatusOK {
		return e.statusError(ctx, r)
	}
	text, err := io.ReadAll(io.LimitReader(r, most+1))
	switch {
	case err != nil:
		return e.readError(ctx, r, err)
	case int64(len(text)) > most || json.Unmarshal(text, value) != nil:
		return e.failf(noKleinbild)
	}
	return nil
}

// Info describes the engine, as it was when the server was last asked.
func (e *Engine) Info() inference.Info {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.info
}

// Work estimates the arithmetic of a request from the description of the engine.
func (e *Engine) Work(req inference.Request) float64 { return e.Info().Work(req) }

// CountTokens asks the server how many tokens a prompt takes. It waits for a limited time, and ends with Close.
func (e *Engine) CountTokens(prompt string) (count, limit int, err error) {
	e.mu.Lock()
	last := e.counted
	e.mu.Unlock()
	if last.known && last.prompt == prompt {
		return last.count, last.limit, nil
	}
	body, err := json.Marshal(api.TokensAsked{Prompt: markedText(prompt)})
	if err != nil {
		return 0, 0, err
	}
	ctx, cancel := context.WithTimeoutCause(e.life, e.limits.ask, errSilent)
	defer cancel()
	var answer api.Tokens
	asked := call{method: http.MethodPost, path: api.PathTokens, contentType: "application/json", body: body}
	err = e.getJSON(ctx, asked, maxReplyBytes, &answer)
	switch {
	case e.life.Err() != nil:
		return 0, 0, inference.ErrClosed
	case errors.Is(err, errSilent):
		return 0, 0, e.connectionError(err, true)
	case err != nil:
		return 0, 0, err
	case answer.Count < 0 || answer.Count > maxCount || answer.Limit < 0 || answer.Limit > maxCount:
		return 0, 0, e.failf("counts %d of %d tokens, which cannot be", answer.Count, answer.Limit)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.counted = counted{true, prompt, answer.Count, answer.Limit}
	return answer.Count, answer.Limit, nil
}

// Close waits until Generate has returned and closes all connections.
func (e *Engine) Close() error {
	e.endLife()
	e.busy.Lock()
	defer e.busy.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
	e.transport.CloseIdleConnections()
	e.fresh.CloseIdleConnections()
	return nil
}

// within returns v, or the nearest number that lies between low and high; low for NaN.
func within(v, low, high float64) float64 {
	if math.IsNaN(v) {
		return low
	}
	return min(max(v, low), high)
}
