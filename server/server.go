// Package server is the HTTP API: requests in the shape of the hosted Klein API and of OpenAI's image API go in, PNG
// pictures and JSON come out, made by one engine, one at a time.
//
// Refused before a body is read: requests that a website sent or whose Host is a name that the server does not know
// (403), requests without the token (401), unknown paths and methods (404, 405). Only GET /healthz needs neither Host nor
// token. Refused before anything is computed:
// bodies over the limit (413), what is not a picture (415), values out of range (422), a full queue (429). It never logs
// prompts unless asked, never a token, and connects nowhere unless Options.AllowRemoteURIs is set.
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

	"kleinbild/inference"
)

// Engine is what makes the pictures; *inference.Engine is one.
type Engine interface {
	Info() inference.Info
	Generate(context.Context, inference.Request, func(inference.Progress)) (*inference.Result, error)
}

// Model is an engine that is ready, and whether it is the demo model that the program carries.
type Model struct {
	Engine Engine
	Demo   bool
}

// Names of models.
const (
	DefaultModelID = "flux2-klein-4b"
	DemoModelID    = "kleinbild-demo"
)

// Options say what to serve and to whom. Zero values of numbers mean the defaults below.
type Options struct {
	// Open returns the model. Where it fails, requests for pictures get its error with 503, and it is called again for
	// later ones, as it is where the model is the demo model: one downloaded meanwhile is taken without a restart. Its
	// context ends with the server.
	Open func(context.Context) (Model, error)
	// Opened is a model that Open has given already; none where its Engine is nil.
	Opened  Model
	ModelID string // the name that any model answers to; DefaultModelID where empty
	// ModelAliases are more names of the same model, for clients that ask for one of another service's.
	ModelAliases []string
	Version      string // of the program, for the pictures' metadata and the API's document
	// Token must come with every request but /healthz; "" asks for none.
	Token string
	// Hosts are names, beside localhost and IP addresses, that a request's Host may have.
	Hosts []string
	// Origins are websites ("https://paint.example") whose scripts may use the API.
	Origins []string
	// AllowRemoteURIs lets image_uris name http and https URLs on public addresses.
	AllowRemoteURIs bool
	QueueLimit      int           // waiting pictures
	MaxBodyBytes    int64         // of one request
	Grace           time.Duration // for the picture under way when Serve's context ends
	Log             *slog.Logger  // none where nil
	LogPrompts      bool
}

// Server answers requests; New makes one.
type Server struct {
	opts        Options
	limits      limits
	log         *slog.Logger
	queue       *queue
	memory      *memory             // of what clients send
	decodes     *semaphore.Weighted // a reference of 100 megapixels takes up to 1.3 GB while it is decoded
	decoders    *slots              // those that wait for a place in decodes, one of each client
	remote      *remote
	connections *connections
	started     time.Time
	turns       sync.WaitGroup  // requests that have had a turn, until their client has the reply
	accepting   context.Context // until the server begins to end
	refuse      func()

	mu       sync.Mutex // guards the rest; held for moments only
	life     context.Context
	model    Model
	openErr  error
	lastOpen time.Time
	opening  chan struct{} // closed when the opening under way is over; nil while there is none
}

// New returns a server with its options completed; nothing is opened yet.
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
	accepting, refuse := context.WithCancel(context.Background())
	s := &Server{
		accepting: accepting, refuse: refuse, opts: opts, limits: usualLimits, log: opts.Log, queue: newQueue(opts.QueueLimit),
		memory:  newMemory(max(opts.MaxBodyBytes, fetchBytes)),
		decodes: semaphore.NewWeighted(1), decoders: newSlots(maxConnections, 1), remote: newRemote(),
		connections: newConnections(maxConnections, spareConnections), started: time.Now(), life: context.Background(),
	}
	if opts.Opened.Engine != nil {
		s.model, s.lastOpen = opts.Opened, time.Now()
	}
	return s, nil
}

// errShutdown is the cause of a run that was cancelled because the server ends.
var errShutdown = errors.New("server: shutting down")

// Serve answers on listener until ctx ends. Then waiting requests are refused with 503, and the picture under way has
// Options.Grace to be finished before it is cancelled. Requests that have no turn, such as uploads, keep nothing from ending.
// It returns nil after an orderly end.
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
		// net/http would answer "OPTIONS *" past the guards.
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
	s.refuse()
	ending, end := context.WithCancel(context.Background())
	defer end()
	go func() {
		s.finishTurns(cancel)
		time.AfterFunc(farewellWait, end)
	}()
	err := web.Shutdown(ending) // it closes the listener at once, and waits for the connections in use
	if errors.Is(err, context.Canceled) {
		err = nil // who is left has been told, or does not listen
	}
	return errors.Join(err, web.Close())
}

// finishTurns returns when the picture under way has reached its client, or was cancelled after the grace.
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

// within waits for done, d at most.
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

// openModel returns the model. It is opened where that has not succeeded yet, and asked for again while it is the demo
// model, which serves for want of another. One opening at a time is under way; who waits for it leaves when ctx ends.
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

// knownModel returns the model that was opened last, and looks for none.
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

// keepOpening tries until there is a model or ctx ends, so that a server whose model came later, and which nobody asks for
// pictures before its health is good, gets well by itself.
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

// modelIDs are the names that requests may use, the usual one first.
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

// servedBy is what X-Model says.
func (s *Server) servedBy(m Model) string {
	if m.Demo {
		return DemoModelID
	}
	return s.opts.ModelID
}

// health tells what is known already: anybody may ask, as often as they like, so that asking must cost nothing.
func (s *Server) health(w *reply, _ *http.Request) error {
	if s.queue.isClosed() {
		return errClosed()
	}
	if _, err := s.knownModel(); err != nil {
		// Anybody may ask, so that the error, which names folders, stays inside.
		return &apiError{status: http.StatusServiceUnavailable, detail: "no model", retryAfter: 10 * time.Second}
	}
	return w.json(http.StatusOK, map[string]string{"status": "ok"})
}
