package server

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"image/png"
	"net/http"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/server/api"
)

func TestEngineIsDescribed(t *testing.T) {
	s := start(t, &fakeEngine{}, nil)
	g := s.get(t, api.PathEngine)
	var e api.Engine
	if err := json.Unmarshal(g.body, &e); err != nil || g.status != http.StatusOK {
		t.Fatal(g.status, err)
	}
	if e.Program != api.Program || e.Protocol != api.Protocol || e.Version != "1.2.3" || e.Model.Name != "fake" ||
		e.Model.NativeSize != 1024 || e.Model.Steps != 4 || e.Model.MaxReferences != inference.MaxReferences {
		t.Errorf("%s", g.body)
	}
	r, err := http.NewRequest(http.MethodGet, s.url(api.PathEngine), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer wrong")
	if g, err := s.send(r); err != nil || g.status != http.StatusUnauthorized || strings.Contains(string(g.body), "fake") {
		t.Errorf("with a wrong token: %d %s %v", g.status, g.body, err)
	}
	none := start(t, nil, func(o *Options, _ *limits) {
		o.Open = func(context.Context) (Model, error) { return Model{}, errors.New("none found") }
	})
	if g := none.get(t, api.PathEngine); g.status != http.StatusServiceUnavailable || g.header.Get("Retry-After") == "" {
		t.Errorf("without a model: %d %s", g.status, g.body)
	}
}

// TestEngineNamesNoFiles checks that the description of an engine has no path of the server's machine.
func TestEngineNamesNoFiles(t *testing.T) {
	const secret = "/home/ada/models"
	text, err := json.Marshal(api.ModelOf(inference.Info{
		Location: secret, Missing: &inference.NoModelError{}, Model: "m", Notices: []string{"a guess"},
	}))
	if err != nil || strings.Contains(string(text), secret) {
		t.Errorf("%s %v", text, err)
	}
}

func TestTokensOfAPrompt(t *testing.T) {
	s := start(t, &fakeEngine{}, nil)
	const kind = "application/json"
	for _, row := range []struct {
		name, kind, body string
		status           int
		want             string
	}{
		{"a prompt", kind, `{"prompt": "a red fox!!!"}`, 200, `{"count":12,"limit":512}`},
		{"an empty one", kind, `{"prompt": ""}`, 200, `{"count":9,"limit":512}`},
		{"none", kind, `{}`, 422, "prompt: want it"},
		{"another field", kind, `{"prompt": "a", "model": "b"}`, 422, "and no other field"},
		{"a number", kind, `{"prompt": 7}`, 422, "want a string"},
		{"a NUL", kind, `{"prompt": "a\u0000b"}`, 422, "found a NUL at byte 1"},
		{"too long", kind, `{"prompt": "` + strings.Repeat("a", 65<<10) + `"}`, 422, "at most 65536"},
		{"far too long", kind, `{"prompt": "` + strings.Repeat("a", 2<<20) + `"}`, 413, "JSON: found more than"},
		{"a list", kind, `[]`, 400, "want an object"},
		{"half", kind, `{"prompt": "a`, 400, "JSON: "},
		{"a form", "multipart/form-data; boundary=x", "--x--", 415, "want application/json"},
	} {
		if g := s.post(t, api.PathTokens, row.kind, []byte(row.body)); g.status != row.status ||
			!strings.Contains(string(g.body), row.want) {
			t.Errorf("%s: %d %.200s; want %d, %s", row.name, g.status, g.body, row.status, row.want)
		}
	}
	if strings.Contains(s.log.String(), "red fox") {
		t.Error("the log has a prompt")
	}
}

// eventsByName returns the names of the events of a stream in order, and the data of the events by name.
func eventsByName(t *testing.T, body []byte) (names []string, data map[string][]string) {
	t.Helper()
	data = map[string][]string{}
	for block := range strings.SplitSeq(string(body), "\n\n") {
		head, value, ok := strings.Cut(block, "\ndata: ")
		if name, event := strings.CutPrefix(head, "event: "); ok && event {
			names = append(names, name)
			data[name] = append(data[name], value)
		}
	}
	return names, data
}

func TestPreviewsOfAStream(t *testing.T) {
	engine := &fakeEngine{previews: true, gate: make(chan struct{})}
	s := start(t, engine, nil)
	contentType, body := formOf(t, prompt(), text("size", "64x64"), text("stream", "true"), text("previews", "true"))
	c := s.dial(t)
	c.send(headOf("/v1/generate", contentType, len(body)) + string(body))
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewReader(response.Body)
	name, previews := "", 0
	for name != api.EventPicture {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("after %d previews: %v", previews, err)
		}
		if text, ok := strings.CutPrefix(line, "event: "); ok {
			name = strings.TrimSpace(text)
		}
		text, ok := strings.CutPrefix(line, "data: ")
		if !ok || name != api.EventPreview {
			continue
		}
		var p api.Preview
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			t.Fatal(err)
		}
		file, err := base64.StdEncoding.DecodeString(p.Image)
		if err != nil {
			t.Fatal(err)
		}
		if img, err := png.Decode(
			bytes.NewReader(file),
		); err != nil || img.Bounds().Dx() != 16 || p.Total != 4 ||
			p.Step < 1 {
			t.Errorf("step %d of %d: %v", p.Step, p.Total, err)
		}
		if previews++; previews == 1 {
			close(engine.gate)
		}
	}
	g := s.generateWith(t, prompt(), text("size", "64x64"), text("stream", "true"))
	if _, data := eventsByName(t, g.body); len(data[api.EventPreview]) > 0 {
		t.Error("previews that nobody asked for")
	}
	g = s.generateWith(t, prompt(), text("size", "64x64"), text("previews", "true"))
	if g.status != 200 || !strings.Contains(g.header.Get("Warning"), "previews") {
		t.Errorf("without a stream: %d, Warning %q", g.status, g.header.Get("Warning"))
	}
	if g := s.generateWith(t, prompt(), text("previews", "perhaps")); g.status != 422 {
		t.Errorf("perhaps: %d", g.status)
	}
}

func TestEmptyPromptThatIsMeant(t *testing.T) {
	engine := &fakeEngine{}
	s := start(t, engine, nil)
	small := text("size", "64x64")
	for _, row := range []struct {
		name   string
		parts  []part
		status int
	}{
		{"meant", []part{text("prompt", ""), text("allow_empty_prompt", "true"), small}, 200},
		{"left out", []part{text("allow_empty_prompt", "true"), small}, 200},
		{"not meant", []part{text("prompt", ""), text("allow_empty_prompt", "false"), small}, 422},
		{"forgotten", []part{text("prompt", ""), small}, 422},
		{"neither", []part{text("allow_empty_prompt", "yes"), small}, 422},
	} {
		if g := s.generateWith(t, row.parts...); g.status != row.status {
			t.Errorf("%s: %d %s, want %d", row.name, g.status, g.body, row.status)
		}
	}
	for _, r := range engine.seen() {
		if r.Prompt() != "" {
			t.Errorf("the prompt %q", r.Prompt())
		}
	}
	body := []byte(`{"prompt": "", "allow_empty_prompt": true}`)
	if g := s.post(t, "/v1/images/generations", "application/json", body); g.status != 422 {
		t.Errorf("on OpenAI's path: %d", g.status)
	}
}

// TestRequestForAnotherModel sends requests that were made for another model than the one that the server has, before
// they wait or while they wait. No picture may be made of them.
func TestRequestForAnotherModel(t *testing.T) {
	engine := &fakeEngine{gate: make(chan struct{}), digest: "first"}
	s := start(t, engine, nil)
	g := s.generateWith(t, prompt(), text("model_digest", "second"))
	if g.status != http.StatusConflict || !strings.Contains(g.detail(), "another model than fake") {
		t.Errorf("%d %s", g.status, g.body)
	}
	answers := make(chan got, 1)
	go s.generateWith(t, prompt(), text("size", "64x64"))
	eventually(t, "the first is made", func() bool { return engine.runs() == 1 })
	go func() {
		answers <- s.generateWith(t, prompt(), text("size", "64x64"), text("model_digest", "first"), text("stream", "true"))
	}()
	eventually(t, "the second waits", func() bool { return s.waitingPlaces() == 1 })
	other := &fakeEngine{digest: "second"}
	s.mu.Lock()
	s.model = Model{Engine: other}
	s.mu.Unlock()
	engine.gate <- struct{}{}
	g = <-answers
	names, data := eventsByName(t, g.body)
	if names[len(names)-1] != api.EventError || !strings.Contains(data[api.EventError][0], `"status":409`) {
		t.Errorf("%s", g.body)
	}
	if other.runs() != 0 {
		t.Error("the other model has made a picture")
	}
}

// TestHealthTellsTheQueue asks for the health of a server with a picture under way and others that wait.
func TestHealthTellsTheQueue(t *testing.T) {
	engine := &fakeEngine{gate: make(chan struct{})}
	s := start(t, engine, func(o *Options, _ *limits) { o.QueueLimit = 7 })
	s.get(t, "/v1/models") // opens the model
	health := func() (h api.Health) {
		g := s.get(t, api.PathHealth)
		if err := json.Unmarshal(g.body, &h); err != nil || g.status != http.StatusOK {
			t.Fatalf("%d %s %v", g.status, g.body, err)
		}
		return h
	}
	if got, want := health(), (api.Health{Status: "ok", Places: 7}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	done := make(chan struct{})
	for range 3 {
		go func() {
			s.generateWith(t, prompt(), text("size", "64x64"))
			done <- struct{}{}
		}()
	}
	eventually(t, "two wait", func() bool { return engine.runs() == 1 && s.waitingPlaces() == 2 })
	if got, want := health(), (api.Health{Status: "ok", Running: 1, Waiting: 2, Places: 7}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	close(engine.gate)
	for range 3 {
		<-done
	}
}
