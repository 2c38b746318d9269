// Package server is the HTTP API. It accepts requests in the formats of the hosted Klein API and of OpenAI's image API,
// and answers with pictures (PNG, JPEG or WebP), JSON, and streams of events. One engine makes all pictures, one at a
// time.
//
// Before it reads a body, the server refuses requests that a website sent or whose Host is a name that it does not know
// (403), requests without the token (401), and unknown paths and methods (404, 405). Only GET /healthz needs neither a
// known Host nor a token. Before it computes anything, it refuses bodies over the limit (413), files that are not
// pictures (415), values out of range (422), and requests for which the queue has no place (429). It logs prompts only
// if Options.LogPrompts is set, never logs the token, and connects to other machines only if Options.AllowRemoteURIs is
// set.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/server/api"
)

// Engine makes the pictures: what the server needs of an inference.Generator.
type Engine interface {
	Info() inference.Info
	CountTokens(prompt string) (count, limit int, err error)
	Generate(context.Context, inference.Request, func(inference.Progress)) (*inference.Result, error)
}

// Model is an open engine. Demo says that its model is the demo model, which is part of the program.
type Model struct {
	Engine Engine
	Demo   bool
}

// Names of models.
const (
	DefaultModelID = "flux2-klein-4b"
	DemoModelID    = "kleinbild-demo"
)

// Options say what to serve and to whom. A number that is 0 means its default.
type Options struct {
	// Open returns the model. If it fails, requests for pictures get its error with 503. It is called again for later
	// requests if it has failed or has returned the demo model, so that a model that was downloaded meanwhile is used
	// without a restart. Its context ends with the server.
	Open func(context.Context) (Model, error)
	// Opened is a model that Open has returned before New was called. There is none if its Engine is nil.
	Opened  Model
	ModelID string // the name of the model in requests, whichever model it is; DefaultModelID if empty
	// ModelAliases are more names of the same model, for clients that ask for a model of another service.
	ModelAliases []string
	Version      string // the program's version, for the pictures' metadata and the API's document
	// Token must come with every request but GET /healthz. If it is "", no token is needed.
	Token string
	// Hosts are the names that a request's Host may have, beside localhost and IP addresses.
	Hosts []string
	// Origins are websites ("https://paint.example") whose scripts may use the API.
	Origins []string
	// AllowRemoteURIs allows http and https URLs on public addresses in image_uris.
	AllowRemoteURIs bool
	QueueLimit      int           // how many requests may wait
	MaxBodyBytes    int64         // the largest body of a request
	Grace           time.Duration // how long the picture under way may take after Serve's context has ended
	Log             *slog.Logger  // nil for no log
	LogPrompts      bool
}

// Server answers requests. New returns one.
type Server struct {
	opts    Options
	limits  limits
	log     *slog.Logger
	queue   *queue
	memory  *memory             // the budget for uploads and fetched references
	decodes *semaphore.Weighted // of size 1: a reference of 100 megapixels takes up to 1.3 GB while it is decoded
	// decoders has one slot for each client. The holder of a slot waits for decodes, or decodes.
	decoders    *slots
	remote      *remote
	connections *connections
	started     time.Time
	turns       sync.WaitGroup  // counts the turns of requests whose reply is not complete yet
	accepting   context.Context // ends when the server begins to shut down
	// stopAccepting ends accepting.
	stopAccepting func()

	mu       sync.Mutex      // guards the fields below; never held for long
	life     context.Context // the parent of the requests' contexts
	model    Model
	openErr  error
	lastOpen time.Time     // when the last call of Options.Open returned
	opening  chan struct{} // closed when the present call of Options.Open returns; nil if there is none
}

// New returns a server for opts, with defaults for what they leave out. It opens no model.
func New(opts Options) (*Server, error) {
	if opts.ModelID == "" {
		opts.ModelID = DefaultModelID
	}
	if opts.QueueLimit == 0 {
		opts.QueueLimit = DefaultQueueLimit
	}
	if opts.MaxBodyBytes == 0 {
		opts.MaxBodyBytes = DefaultMaxBodyBytes
	}
	if opts.Grace == 0 {
		opts.Grace = DefaultGrace
	}
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.MaxBodyBytes > mostBodyBytes {
		return nil, fmt.Errorf("server: body limit of %d bytes, want at most %d", opts.MaxBodyBytes, mostBodyBytes)
	}
	accepting, stopAccepting := context.WithCancel(context.Background())
	s := &Server{
		accepting: accepting, stopAccepting: stopAccepting, opts: opts, limits: usualLimits, log: opts.Log,
		queue: newQueue(opts.QueueLimit), memory: newMemory(max(opts.MaxBodyBytes, fetchBytes)),
		decodes: semaphore.NewWeighted(1), decoders: newSlots(maxConnections, 1), remote: newRemote(),
		connections: newConnections(maxConnections, spareConnections), started: time.Now(), life: context.Background(),
	}
	if opts.Opened.Engine != nil {
		s.model, s.lastOpen = opts.Opened, time.Now()
	}
	return s, nil
}

// errShutdown is the cause with which the contexts of requests end if the server shuts down before their pictures are
// done.
var errShutdown = errors.New("server: shutting down")

// Serve answers requests on listener until ctx ends. Then it refuses waiting requests with 503, and cancels the picture
// under way if that is not finished within Options.Grace. Requests without a turn, such as uploads, do not delay the
// shutdown. Serve returns nil after an orderly shutdown, EndsWithin beyond the grace at the latest.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	base, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(errShutdown)
	web := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: s.limits.header,
		IdleTimeout:       s.limits.idle,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       withConn,
		ConnState:         s.connections.changed,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		// net/http would answer "OPTIONS *" without the checks of this package.
		DisableGeneralOptionsHandler: true,
	}
	s.mu.Lock()
	s.life = base
	s.mu.Unlock()
	go s.keepOpening(ctx)
	failed := make(chan error, 1)
	go func() { failed <- web.Serve(listener) }()
	select {
	case err := <-failed:
		return fmt.Errorf("server: %w", err)
	case <-ctx.Done():
	}
	s.log.Info("shutting down", "grace", s.opts.Grace)
	s.queue.close()
	s.stopAccepting()
	ending, end := context.WithCancel(context.Background())
	defer end()
	go func() {
		s.finishTurns(cancel)
		time.AfterFunc(farewellWait, end)
	}()
	err := web.Shutdown(ending) // closes the listener at once, and waits for connections with a request
	if errors.Is(err, context.Canceled) {
		err = nil // the clients that are left were sent an error, or do not read it
	}
	return errors.Join(err, web.Close())
}

// finishTurns waits until the client has the picture under way. If the picture is not finished within the grace, it
// calls cancel and waits until the engine has stopped. Both waits are bounded.
func (s *Server) finishTurns(cancel context.CancelCauseFunc) {
	if within(s.opts.Grace, s.queue.ended) {
		delivered := make(chan struct{})
		go func() {
			s.turns.Wait()
			close(delivered)
		}()
		within(deliverWait, delivered)
		return
	}
	cancel(errShutdown)
	within(cancelWait, s.queue.ended)
}

// within waits until done is closed, at most for the time d. It returns false if that has passed.
func within(d time.Duration, done <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// openModel returns the model. If there is none yet, or only the demo model, it has Options.Open called first, unless
// the last call was less than retryOpen ago. One call is under way at a time, and all requests wait for the same one.
// The wait ends when ctx ends, and after openPatience if the demo model can serve the request.
func (s *Server) openModel(ctx context.Context) (Model, error) {
	s.mu.Lock()
	settled := s.model.Engine != nil && !s.model.Demo
	due := s.lastOpen.IsZero() || time.Since(s.lastOpen) > retryOpen
	if !settled && due && s.opening == nil {
		s.opening = make(chan struct{})
		go s.open(s.life, s.opening)
	}
	opening, demo := s.opening, s.model.Demo
	s.mu.Unlock()
	if opening != nil {
		var enough <-chan time.Time
		if demo {
			enough = time.After(openPatience)
		}
		select {
		case <-opening:
		case <-enough:
		case <-ctx.Done():
			return Model{}, context.Cause(ctx)
		}
	}
	return s.knownModel()
}

// open calls Options.Open, stores what it returns, and closes over.
func (s *Server) open(ctx context.Context, over chan struct{}) {
	var m Model
	err := errors.New("opening it failed; the server's log has more")
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("panic", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.openErr = err; err == nil {
			s.model = m
		}
		s.lastOpen, s.opening = time.Now(), nil
		close(over)
	}()
	m, err = s.opts.Open(ctx)
}

// knownModel returns the model that was opened last. It opens none.
func (s *Server) knownModel() (Model, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.model.Engine != nil {
		return s.model, nil
	}
	detail := "no model: it is being opened"
	if s.openErr != nil {
		detail = "no model: " + s.openErr.Error()
	}
	return Model{}, &apiError{status: http.StatusServiceUnavailable, detail: detail, retryAfter: time.Minute}
}

// keepOpening calls openModel until there is a model or ctx ends. A model may come after the server has started;
// without this loop the health check would stay bad until the first request for a picture, and a load balancer would
// send none.
func (s *Server) keepOpening(ctx context.Context) {
	tick := time.NewTicker(s.limits.reopen)
	defer tick.Stop()
	for {
		if _, err := s.openModel(ctx); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// modelIDs returns the names of the model that requests may use, Options.ModelID first.
func (s *Server) modelIDs(m Model) []string {
	ids := append([]string{s.opts.ModelID}, s.opts.ModelAliases...)
	if m.Demo {
		ids = append(ids, DemoModelID)
	}
	var once []string
	for _, id := range ids {
		if !slices.Contains(once, id) {
			once = append(once, id)
		}
	}
	return once
}

// servedBy returns the name of the model for the header X-Model.
func (s *Server) servedBy(m Model) string {
	if m.Demo {
		return DemoModelID
	}
	return s.opts.ModelID
}

// health answers GET /healthz from what is known, and opens no model: anybody may ask as often as they like, so that an
// answer must cost nothing. The length of the queue lets a load balancer choose among several servers.
func (s *Server) health(w *reply, _ *http.Request) error {
	if s.queue.isClosed() {
		return errClosed()
	}
	m, err := s.knownModel()
	if err != nil {
		// Anybody may ask, so that the answer does not contain the error, which names folders.
		return &apiError{status: http.StatusServiceUnavailable, detail: "no model", retryAfter: 10 * time.Second}
	}
	running, waiting := s.queue.length()
	return w.json(http.StatusOK, api.Health{
		Status: "ok", Demo: m.Demo, Running: running, Waiting: waiting, Places: s.queue.limit,
	})
}
