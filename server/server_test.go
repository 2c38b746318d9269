package server

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"log/slog"
	"math/rand/v2"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

const testToken = "secret-of-the-tests"

// fakeEngine makes grey pictures of the right size and records its requests. If it has a gate, each run ends when it
// has received a value from the gate.
type fakeEngine struct {
	gate   chan struct{} // nil if runs end at once
	native int           // the native size; 1024 if 0
	digest string        // of the model
	fail   func(inference.Request) error
	// previews says that the engine makes previews after four steps if the request asks for them.
	previews bool
	noise    bool // makes pictures that do not compress

	mu       sync.Mutex
	requests []inference.Request
	stopped  int // how many runs ended with their context
	busy     bool
}

func (e *fakeEngine) Info() inference.Info {
	return inference.Info{
		Model: "fake", Digest: e.digest, Variant: inference.Distilled, NativeSize: cmp.Or(e.native, 1024), Steps: 4,
		Guidance: 1,
	}
}

func (e *fakeEngine) CountTokens(prompt string) (int, int, error) { return 9 + len(prompt)/4, 512, nil }

func (e *fakeEngine) Generate(ctx context.Context, req inference.Request,
	progress func(inference.Progress)) (*inference.Result, error) {
	e.mu.Lock()
	if e.busy {
		e.mu.Unlock()
		return nil, inference.ErrBusy
	}
	e.busy = true
	e.requests = append(e.requests, req)
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		e.busy = false
		e.mu.Unlock()
	}()
	if progress != nil {
		progress(inference.Progress{Stage: inference.StageSteps, Step: 1, Total: 4, Fraction: 0.5})
	}
	for step := 1; e.previews && req.Previews() && step <= 4; step++ {
		p := inference.Progress{Stage: inference.StageSteps, Step: step, Total: 4}
		if step < 4 {
			p.Preview = image.NewRGBA(image.Rect(0, 0, 16, 16))
		}
		progress(p)
	}
	if e.gate != nil {
		select {
		case <-e.gate:
		case <-ctx.Done():
			e.mu.Lock()
			e.stopped++
			e.mu.Unlock()
			return nil, context.Cause(ctx)
		}
	}
	if e.fail != nil {
		if err := e.fail(req); err != nil {
			return nil, err
		}
	}
	img := image.NewRGBA(image.Rect(0, 0, req.Size().Width, req.Size().Height))
	if e.noise {
		_, _ = rand.NewChaCha8([32]byte{}).Read(img.Pix)
	}
	return &inference.Result{
		Image: img, Workflow: inference.WorkflowOf(len(req.References())),
		Metadata: metadataOf(req),
	}, nil
}

func metadataOf(req inference.Request) picture.Metadata {
	return picture.Metadata{
		Prompt: req.Prompt(), Seed: req.Seed(), Steps: 4, Width: req.Size().Width, Height: req.Size().Height,
		MaxSequenceLength: 512,
	}
}

func (e *fakeEngine) seen() []inference.Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]inference.Request(nil), e.requests...)
}

func (e *fakeEngine) runs() int { return len(e.seen()) }

func (e *fakeEngine) cancelled() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stopped
}

// running is a server that listens on a free loopback port.
type running struct {
	*Server
	address string
	client  *http.Client
	log     *lockedBuffer
	stop    func() error // ends the context of Serve and waits until it has returned
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// shallow is a listener whose connections have small buffers for what is written.
type shallow struct{ net.Listener }

func (s shallow) Accept() (net.Conn, error) {
	conn, err := s.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(128 << 10)
	}
	return conn, err
}

func start(t testing.TB, engine Engine, change func(*Options, *limits), more ...func(*Server)) *running {
	t.Helper()
	log := &lockedBuffer{}
	opts := Options{
		Open: func(context.Context) (Model, error) { return Model{Engine: engine}, nil }, Version: "1.2.3", Token: testToken,
		Log: slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	fast := usualLimits
	fast.queued = 5 * time.Millisecond
	if change != nil {
		change(&opts, &fast)
	}
	s, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.limits = fast
	for _, f := range more {
		f(s)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, shallow{listener}) }()
	stop := sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	// With this time-out a client with Expect: 100-continue waits for the answer.
	transport := &http.Transport{ExpectContinueTimeout: time.Minute}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := stop(); err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return &running{s, listener.Addr().String(), &http.Client{Transport: &checked{t, transport},
		Timeout: 30 * time.Second}, log, stop}
}

// apiDocument returns the parsed openapi.json.
var apiDocument = sync.OnceValues(func() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromData(openAPIDocument)
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(context.Background())
})

var apiRouter = sync.OnceValues(func() (routers.Router, error) {
	doc, err := apiDocument()
	if err != nil {
		return nil, err
	}
	return gorillamux.NewRouter(doc)
})

// checked is a RoundTripper that checks every reply against openapi.json.
type checked struct {
	t    testing.TB
	base http.RoundTripper
}

func (c *checked) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := c.base.RoundTrip(r)
	if err != nil || strings.HasPrefix(response.Header.Get("Content-Type"), "text/event-stream") ||
		response.StatusCode == http.StatusNoContent {
		return response, err
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return response, err
	}
	response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	if err := validate(r, response, body); err != nil {
		c.t.Errorf("%s %s: %d: %v\n%.300s", r.Method, r.URL.Path, response.StatusCode, err, body)
	}
	return response, nil
}

func validate(r *http.Request, response *http.Response, body []byte) error {
	doc, err := apiDocument()
	if err != nil {
		return err
	}
	// 404 and 405 belong to no operation of the document: only the schema of the error is checked.
	if response.StatusCode == http.StatusNotFound || response.StatusCode == http.StatusMethodNotAllowed {
		var value any
		if err := json.Unmarshal(body, &value); err != nil {
			return err
		}
		return doc.Components.Schemas["Error"].Value.VisitJSON(value, openapi3.EnableJSONSchema2020())
	}
	router, err := apiRouter()
	if err != nil {
		return err
	}
	route, params, err := router.FindRoute(r)
	if err != nil {
		return nil // the request was refused before its path was looked at
	}
	return openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
		Status:                 response.StatusCode, Header: response.Header, Body: io.NopCloser(bytes.NewReader(body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
}

func init() {
	for _, name := range []string{formatPNG, formatJPEG, formatWebP} {
		openapi3filter.RegisterBodyDecoder("image/"+name, openapi3filter.FileBodyDecoder)
	}
}

// part is one part of a form. It is a file if its file name is not empty.
type part struct {
	field, text, file string
	data              []byte
}

func text(field, value string) part             { return part{field: field, text: value} }
func file(field, name string, data []byte) part { return part{field: field, file: name, data: data} }
func prompt() part                              { return text("prompt", "a fox") }

func formOf(t testing.TB, parts ...part) (contentType string, body []byte) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for _, p := range parts {
		var err error
		if p.file != "" {
			var f io.Writer
			if f, err = w.CreateFormFile(p.field, p.file); err == nil {
				_, err = f.Write(p.data)
			}
		} else {
			err = w.WriteField(p.field, p.text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return w.FormDataContentType(), b.Bytes()
}

// pngOf returns a PNG file whose top left pixel has the red level tag.
func pngOf(t testing.TB, width, height int, tag uint8) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := range width * height {
		img.SetRGBA(i%width, i/width, color.RGBA{tag, 0, 0, 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func dataURI(data []byte) string {
	return "data:image/png;base64," + base64.StdEncoding.EncodeToString(data)
}

// got is a reply with its whole body.
type got struct {
	status int
	header http.Header
	body   []byte
}

func (g got) detail() string {
	var e errorBody
	_ = json.Unmarshal(g.body, &e)
	return e.Detail
}

func (s *running) url(path string) string { return "http://" + s.address + path }

func (s *running) send(r *http.Request) (got, error) {
	if r.Header.Get("Authorization") == "" {
		r.Header.Set("Authorization", "Bearer "+testToken)
	}
	response, err := s.client.Do(r)
	if err != nil {
		return got{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return got{response.StatusCode, response.Header, body}, err
}

func (s *running) post(t testing.TB, path, contentType string, body []byte, header ...string) got {
	t.Helper()
	r, err := http.NewRequest(http.MethodPost, s.url(path), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	g, err := s.send(r)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func (s *running) generateWith(t testing.TB, parts ...part) got {
	t.Helper()
	contentType, body := formOf(t, parts...)
	return s.post(t, "/v1/generate", contentType, body)
}

func (s *running) get(t testing.TB, path string) got {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, s.url(path), nil)
	if err != nil {
		t.Fatal(err)
	}
	g, err := s.send(r)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// eventually waits until a condition holds that another goroutine brings about.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if is() {
			return
		}
	}
	t.Fatalf("did not come about: %s", what)
}

func TestDocument(t *testing.T) {
	if _, err := apiDocument(); err != nil {
		t.Fatal(err)
	}
	s := start(t, &fakeEngine{}, nil)
	served := s.get(t, "/openapi.json")
	var doc openapi3.T
	if err := json.Unmarshal(served.body, &doc); err != nil || served.status != http.StatusOK {
		t.Fatal(served.status, err)
	}
	if doc.Info.Version != "1.2.3" || doc.OpenAPI != "3.1.0" {
		t.Errorf("version %q, OpenAPI %q", doc.Info.Version, doc.OpenAPI)
	}
	// The document and the server know the same paths and methods.
	for pattern := range s.routes() {
		method, path, _ := strings.Cut(strings.Replace(pattern, "...}", "}", 1), " ")
		if item := doc.Paths.Value(path); item == nil || item.GetOperation(method) == nil {
			t.Errorf("the document lacks %s", pattern)
		}
	}
	if have, want := len(doc.Paths.Map()), len(s.routes()); have != want {
		t.Errorf("the document has %d paths, the server %d", have, want)
	}
}

func TestModelsAndHealth(t *testing.T) {
	var opened atomic.Pointer[Model]
	s := start(t, nil, func(o *Options, _ *limits) {
		o.ModelID = "my-klein"
		o.Open = func(context.Context) (Model, error) {
			if m := opened.Load(); m != nil {
				return *m, nil
			}
			return Model{}, errors.New("none found")
		}
	})
	ids := func() string {
		var list modelList
		if err := json.Unmarshal(s.get(t, "/v1/models").body, &list); err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, m := range list.Data {
			all = append(all, m.ID)
		}
		return strings.Join(all, " ")
	}
	if g := s.get(t, "/healthz"); g.status != http.StatusServiceUnavailable || g.detail() != "no model" {
		t.Errorf("health: %d %s", g.status, g.body)
	}
	if g := s.generateWith(t, prompt()); g.status != http.StatusServiceUnavailable ||
		!strings.Contains(g.detail(), "none found") || g.header.Get("Retry-After") == "" {
		t.Errorf("generate: %d %.200s", g.status, g.body)
	}
	if have := ids(); have != "" {
		t.Errorf("models %q, want none", have)
	}
	// A model that appears later is found without a restart.
	opened.Store(&Model{Engine: &fakeEngine{}, Demo: true})
	s.mu.Lock()
	s.lastOpen = time.Time{}
	s.mu.Unlock()
	if have := ids(); have != "my-klein kleinbild-demo" {
		t.Errorf("models %q", have)
	}
	if g := s.get(t, "/healthz"); g.status != http.StatusOK {
		t.Errorf("health: %d %s", g.status, g.body)
	}
	for _, name := range []string{"", "my-klein", "kleinbild-demo"} {
		g := s.generateWith(t, prompt(), text("model", name))
		if g.status != http.StatusOK || g.header.Get("X-Model") != "kleinbild-demo" {
			t.Errorf("model %q: %d, X-Model %q", name, g.status, g.header.Get("X-Model"))
		}
	}
	g := s.generateWith(t, prompt(), text("model", "flux2-klein-4b"))
	if g.status != http.StatusUnprocessableEntity ||
		g.detail() != `model: "flux2-klein-4b", want my-klein or kleinbild-demo` {
		t.Errorf("%d %s", g.status, g.body)
	}
}

func TestPathsAndMethods(t *testing.T) {
	s := start(t, &fakeEngine{}, nil)
	for _, row := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/", 404, ""},
		{"POST", "/v1/generate/", 404, ""},
		{"GET", "/v1/../healthz", 404, ""},
		{"GET", "/v1/generate", 405, "POST"},
		{"OPTIONS", "/v1/generate", 405, "POST"},
		{"POST", "/v1//generate", 404, ""},
		{"DELETE", "/v1/models", 405, "GET, HEAD"},
		{"PROPFIND", "/healthz", 405, "GET, HEAD"},
		{"HEAD", "/v1/models", 200, ""},
		{"GET", "/v1/models/", 404, ""},
		{"GET", "/v1/models/owner/name", 404, ""},
		{"POST", "/v1/models/owner%2Fname", 405, "GET, HEAD"},
		{"GET", "/openapi.json", 200, ""},
	} {
		r, err := http.NewRequest(row.method, s.url("/"), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL = &url.URL{Scheme: "http", Host: s.address, Opaque: row.path} // sent unchanged
		g, err := s.send(r)
		if err != nil || g.status != row.status || g.header.Get("Allow") != row.allow {
			t.Errorf("%s %s: %d, Allow %q, %v; want %d, %q", row.method, row.path, g.status, g.header.Get("Allow"), err,
				row.status, row.allow)
		}
		if location := g.header.Get("Location"); location != "" {
			t.Errorf("%s %s: redirected to %s", row.method, row.path, location)
		}
		if row.status != 200 && g.detail() == "" {
			t.Errorf("%s %s: no detail in %q", row.method, row.path, g.body)
		}
	}
}

// TestPanicOfTheEngine checks that a request fails with 500 if the engine panics, and that the next one succeeds.
func TestPanicOfTheEngine(t *testing.T) {
	broken := true
	s := start(t, &fakeEngine{fail: func(inference.Request) error {
		if broken {
			panic("out of range")
		}
		return nil
	}}, nil)
	for _, accept := range []string{"image/png", "text/event-stream"} {
		contentType, body := formOf(t, prompt())
		g := s.post(t, "/v1/generate", contentType, body, "Accept", accept)
		if accept == "image/png" && (g.status != 500 || strings.Contains(string(g.body), "out of range")) {
			t.Errorf("%s: %d %s", accept, g.status, g.body)
		}
		if accept == "text/event-stream" && !strings.Contains(string(g.body),
			"event: error\ndata: {\"status\":500,\"detail\":\"internal error") {
			t.Errorf("%s: %s", accept, g.body)
		}
	}
	broken = false
	if g := s.generateWith(t, prompt()); g.status != 200 {
		t.Errorf("after the panic: %d %s", g.status, g.body)
	}
	if !strings.Contains(s.log.String(), "out of range") {
		t.Error("the log lacks the panic")
	}
}

func TestErrorOfTheEngine(t *testing.T) {
	s := start(t, &fakeEngine{fail: func(inference.Request) error { return fmt.Errorf("vae: conv_in: out of memory") }},
		nil)
	if g := s.generateWith(t, prompt()); g.status != 500 || g.detail() != "vae: conv_in: out of memory" {
		t.Errorf("%d %s", g.status, g.body)
	}
}
