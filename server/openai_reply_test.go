package server

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	_ "image/jpeg"
	_ "image/png"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	_ "golang.org/x/image/webp"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// shapeOf lists the keys of a JSON object in order, with the keys of inner objects in brackets.
func shapeOf(t testing.TB, text []byte) string {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(text, &members); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	var keys []string
	for key, raw := range members {
		if raw[0] == '{' {
			key += "(" + shapeOf(t, raw) + ")"
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return strings.Join(keys, " ")
}

const (
	usageShape     = "usage(input_tokens input_tokens_details(image_tokens text_tokens) output_tokens total_tokens)"
	partialShape   = "b64_json background created_at output_format partial_image_index quality size type"
	completedShape = "b64_json background created_at output_format quality size type " + usageShape
)

// previewing returns an engine of four steps with a preview after each step but the last.
func previewing() *fakeEngine { return &fakeEngine{previews: true} }

// TestImageStreams checks that the events and all of their fields are those that OpenAI documents, because its
// libraries accept no others.
func TestImageStreams(t *testing.T) {
	s := start(t, previewing(), nil)
	edit := []part{prompt(), file("image", "x.png", pngOf(t, 128, 64, 1)), text("stream", "true")}
	for _, row := range []struct {
		name, path, body string
		parts            []part
		want             string // p for a preview, c for a finished picture
		size, format     string
		inputs           int
	}{
		{"one", "/v1/images/generations", `{"prompt": "x", "stream": true, "size": "64x64"}`, nil, "c", "64x64", "png", 512},
		{"no previews", "/v1/images/generations", `{"prompt": "x", "stream": true, "size": "64x64", "partial_images": 0}`,
			nil, "c", "64x64", "png", 512},
		{"two previews of two", "/v1/images/generations",
			`{"prompt": "x", "n": 2, "stream": true, "size": "64x80", "partial_images": 2}`, nil, "ppcppc", "64x80", "png", 512},
		{"three previews, JPEG", "/v1/images/generations",
			`{"prompt": "x", "stream": true, "size": "64x64", "partial_images": 3, "output_format": "jpeg"}`, nil, "pppc",
			"64x64", "jpeg", 512},
		{"a preview, WebP", "/v1/images/generations",
			`{"prompt": "x", "stream": true, "size": "64x64", "partial_images": 1, "output_format": "webp"}`, nil, "pc",
			"64x64", "webp", 512},
		{"edit", "/v1/images/edits", "", append(edit, text("partial_images", "1")), "pc", "128x64", "png", 512 + 32},
	} {
		t.Run(row.name, func(t *testing.T) {
			contentType, body := "application/json", []byte(row.body)
			kind := "image_generation"
			if row.parts != nil {
				contentType, body = formOf(t, row.parts...)
				kind = "image_edit"
			}
			g := s.post(t, row.path, contentType, body)
			if g.header.Get("Content-Type") != "text/event-stream" {
				t.Fatalf("%d %s", g.status, g.body)
			}
			names, data := events(t, g.body)
			have, previews := "", 0
			for i, name := range names {
				var event struct {
					partialEvent
					B64JSON []byte `json:"b64_json"`
					Usage   usage
				}
				if err := json.Unmarshal(data[i], &event); err != nil {
					t.Fatal(err)
				}
				_, format, err := image.Decode(bytes.NewReader(event.B64JSON))
				if err != nil || format != row.format || event.OutputFormat != format || event.Size != row.size ||
					event.Type != name ||
					event.Background != "opaque" || event.Quality != "auto" || event.CreatedAt == 0 {
					t.Errorf("%s %s, %v: %+v", format, row.size, err, event.imageEvent)
				}
				config, _, err := image.DecodeConfig(bytes.NewReader(event.B64JSON))
				if size := fmt.Sprintf("%dx%d", config.Width, config.Height); err != nil || size != row.size {
					t.Errorf("size %s, %v", size, err)
				}
				switch name {
				case kind + ".partial_image":
					have += "p"
					if shape := shapeOf(t, data[i]); shape != partialShape || event.PartialImageIndex != previews {
						t.Errorf("preview %d: %s", event.PartialImageIndex, shape)
					}
					previews++
				case kind + ".completed":
					have += "c"
					previews = 0
					if shape := shapeOf(t, data[i]); shape != completedShape {
						t.Errorf("%s", shape)
					}
					if u := event.Usage; u.InputTokens != row.inputs || u.InputDetails.TextTokens != 512 ||
						u.TotalTokens != u.InputTokens+u.OutputTokens {
						t.Errorf("%+v", u)
					}
				default:
					t.Errorf("event %s", name)
				}
			}
			if have != row.want {
				t.Errorf("events %s, want %s", have, row.want)
			}
		})
	}
}

// TestImageStreamError checks that OpenAI's libraries can recognise an error in a stream.
func TestImageStreamError(t *testing.T) {
	s := start(t, &fakeEngine{fail: func(inference.Request) error { return fmt.Errorf("out of memory") }}, nil)
	g := s.post(t, "/v1/images/generations", "application/json",
		[]byte(`{"prompt": "x", "stream": true, "size": "64x64"}`))
	names, data := events(t, g.body)
	want := `{"type":"error","error":{"message":"out of memory","type":"server_error","param":null,"code":null}}`
	if !reflect.DeepEqual(names, []string{"error"}) || string(data[0]) != want {
		t.Errorf("%d %s", g.status, g.body)
	}
}

// TestImagesReply checks all fields of a reply, in each picture format, with base64 and with data URLs.
func TestImagesReply(t *testing.T) {
	s := start(t, previewing(), nil)
	for _, row := range []struct {
		name, members, format string
		url                   bool
		warning               string
	}{
		{"usual", ``, "png", false, ""},
		{"URL", `, "response_format": "url"`, "png", true, ""},
		{"JPEG", `, "output_format": "jpeg", "output_compression": 50`, "jpeg", false, ""},
		{"JPEG of no quality", `, "output_format": "jpeg", "output_compression": 0`, "jpeg", false, ""},
		{"WebP by URL", `, "output_format": "webp", "response_format": "url"`, "webp", true, ""},
		{"WebP without loss", `, "output_format": "webp", "output_compression": 50`, "webp", false, "output_compression"},
		{"previews without a stream", `, "partial_images": 2`, "png", false, "partial_images"},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := s.post(t, "/v1/images/generations", "application/json",
				[]byte(`{"prompt": "x", "n": 2, "size": "64x80"`+row.members+`}`))
			if have := shapeOf(t, g.body); have != "background created data output_format size "+usageShape {
				t.Fatalf("%d %s", g.status, have)
			}
			if have := g.header.Get("Warning"); !strings.Contains(have, row.warning) || (have == "") != (row.warning == "") {
				t.Errorf("Warning %q", have)
			}
			var reply imagesReply
			if err := json.Unmarshal(g.body, &reply); err != nil || len(reply.Data) != 2 {
				t.Fatalf("%d pictures, %v", len(reply.Data), err)
			}
			if reply.OutputFormat != row.format || reply.Size != "64x80" || reply.Usage.OutputTokens != 2*4*5 ||
				reply.Background != "opaque" {
				t.Errorf("%+v", reply)
			}
			for _, item := range reply.Data {
				text := item.B64JSON
				if row.url {
					var ok bool
					if text, ok = strings.CutPrefix(item.URL, "data:image/"+row.format+";base64,"); !ok || item.B64JSON != "" {
						t.Fatalf("%.40s", item.URL)
					}
				}
				data, err := base64.StdEncoding.DecodeString(text)
				if err != nil {
					t.Fatal(err)
				}
				if _, format, err := image.Decode(bytes.NewReader(data)); err != nil || format != row.format {
					t.Errorf("%s %v", format, err)
				}
				if meta, err := picture.ReadMetadata(bytes.NewReader(data)); err != nil || meta.Prompt != "x" || meta.Width != 64 {
					t.Errorf("metadata %+v, %v", meta, err)
				}
			}
		})
	}
	contentType, body := formOf(t, prompt(), text("size", "64x64"), text("output_format", "jpeg"))
	g := s.post(t, "/v1/generate", contentType, body)
	if _, format, err := image.Decode(bytes.NewReader(g.body)); err != nil || format != "jpeg" ||
		g.header.Get("Content-Type") != "image/jpeg" {
		t.Errorf("%s %v: %d %v", format, err, g.status, g.header)
	}
}

// TestLongPromptInAJPEG checks that a prompt that does not fit into the metadata is refused before anything is
// computed.
func TestLongPromptInAJPEG(t *testing.T) {
	s := start(t, previewing(), nil)
	long := strings.Repeat("雪", inference.MaxPromptBytes/3)
	for format, want := range map[string]int{"png": 200, "webp": 200, "jpeg": 422} {
		contentType, body := formOf(t, text("prompt", long), text("size", "64x64"), text("output_format", format))
		g := s.post(t, "/v1/generate", contentType, body)
		if g.status != want || want == 422 && !strings.Contains(string(g.body), "metadata of a JPEG") {
			t.Errorf("%s: %d %.200s", format, g.status, g.body)
		}
	}
}

// TestCompression checks that a lower quality gives a smaller JPEG.
func TestCompression(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 64, 64))
	for i := range img.Pix {
		img.Pix[i] = uint8(i * i >> 3)
	}
	size := func(quality int) int {
		var b bytes.Buffer
		if err := (format{formatJPEG, quality}).encode(&b, img, metadataOf(inference.Request{})); err != nil {
			t.Fatal(err)
		}
		return b.Len()
	}
	if low, usual, high := size(0), size(50), size(100); low >= usual || usual >= high {
		t.Errorf("%d, %d, %d bytes", low, usual, high)
	}
}

// TestWhoGetsEvents checks that the field stream decides, and without it the Accept header.
func TestWhoGetsEvents(t *testing.T) {
	s := start(t, &fakeEngine{}, nil)
	for _, row := range []struct {
		accept, stream string
		want           bool
	}{
		{"", "", false},
		{"*/*", "", false},
		{"application/json", "", false},
		{"application/json, text/event-stream", "", false},
		{"text/event-stream", "", true},
		{"text/event-stream, */*;q=0.1", "", true},
		{"text/event-stream;q=0.5, application/json;q=0.9", "", false},
		{"text/event-stream;q=0.9, application/*;q=0.5", "", true},
		{"text/event-stream;q=0", "", false},
		{"text/*", "", true},
		{"text/event-stream;q=abc", "", false},
		{"application/json", `, "stream": true`, true},
		{"text/event-stream", `, "stream": false`, false},
		{"text/event-stream", `, "stream": null`, true},
	} {
		g := s.post(t, "/v1/images/generations", "application/json",
			[]byte(`{"prompt": "x", "size": "64x64"`+row.stream+`}`), "Accept", row.accept)
		if have := g.header.Get("Content-Type") == "text/event-stream"; have != row.want || g.status != 200 {
			t.Errorf("Accept %q%s: %d, events %v, want %v", row.accept, row.stream, g.status, have, row.want)
		}
	}
	for stream, want := range map[string]bool{"true": true, "false": false} {
		contentType, body := formOf(t, prompt(), text("size", "64x64"), text("stream", stream))
		g := s.post(t, "/v1/generate", contentType, body)
		if have := g.header.Get("Content-Type") == "text/event-stream"; have != want {
			t.Errorf("/v1/generate, stream %s: %v", stream, have)
		}
	}
}

func TestPartialDue(t *testing.T) {
	for _, row := range []struct {
		steps, wanted int
		want          string // the steps whose previews are sent
	}{
		{4, 0, "[]"}, {4, 1, "[3]"}, {4, 2, "[2 3]"}, {4, 3, "[1 2 3]"}, {1, 3, "[]"}, {2, 3, "[1]"}, {3, 3, "[1 2]"},
		{50, 3, "[17 33 49]"},
	} {
		have := []int{}
		for step := range row.steps + 1 {
			if partialDue(step, row.steps, row.wanted) {
				have = append(have, step)
			}
		}
		if fmt.Sprint(have) != row.want {
			t.Errorf("%d of %d steps: %v, want %s", row.wanted, row.steps, have, row.want)
		}
	}
}

// TestModelNames checks that an alias of the model is listed, found and accepted like its name.
func TestModelNames(t *testing.T) {
	s := start(t, &fakeEngine{}, func(o *Options, _ *limits) {
		o.ModelAliases = []string{"gpt-image-1", "black-forest/klein", DefaultModelID}
	})
	var list modelList
	if err := json.Unmarshal(s.get(t, "/v1/models").body, &list); err != nil || len(list.Data) != 3 {
		t.Fatalf("%+v %v", list, err)
	}
	for _, item := range list.Data {
		g := s.get(t, "/v1/models/"+strings.ReplaceAll(item.ID, "/", "%2F"))
		var one modelItem
		if err := json.Unmarshal(g.body, &one); err != nil || one != item {
			t.Errorf("%s: %d %s", item.ID, g.status, g.body)
		}
		if g := s.generateWith(t, prompt(), text("size", "64x64"), text("model", item.ID)); g.status != 200 ||
			g.header.Get("X-Model") != DefaultModelID {
			t.Errorf("%s: %d %s", item.ID, g.status, g.header.Get("X-Model"))
		}
	}
	for path, want := range map[string]string{"/v1/models/dall-e-3": `model: "dall-e-3" is not served`,
		"/v1/models/": "no such path"} {
		g := s.get(t, path)
		var e errorBody
		if err := json.Unmarshal(g.body, &e); err != nil || g.status != http.StatusNotFound ||
			!strings.Contains(e.Detail, want) || e.Error == nil {
			t.Errorf("%s: %d %s", path, g.status, g.body)
		}
	}
	if !bytes.Contains(s.get(t, "/openapi.json").body, []byte(`"gpt-image-1"`)) {
		t.Error("the document lacks an alias")
	}
}

// TestManyPictures checks that each picture of a request has a turn of its own, so that other requests have turns in
// between, and that a queue that has become full meanwhile does not refuse the remaining pictures.
func TestManyPictures(t *testing.T) {
	engine := &fakeEngine{gate: make(chan struct{})}
	s := start(t, engine, func(o *Options, _ *limits) { o.QueueLimit = 1 })
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	many := s.askImages(ctx, t, 3)
	eventually(t, "the first picture begins", func() bool { return engine.runs() == 1 })
	other := s.ask(context.Background(), t)
	eventually(t, "another waits", func() bool { return s.waitingPlaces() == 1 })
	engine.gate <- struct{}{} // ends the first picture; the other request has its turn now, and the second picture waits
	eventually(t, "the other begins", func() bool { return engine.runs() == 2 && s.waitingPlaces() == 1 })
	if g := s.generateWith(t, prompt()); g.status != http.StatusTooManyRequests {
		t.Errorf("a third request: %d %s", g.status, g.body)
	}
	close(engine.gate)
	if g := <-other; g.status != 200 {
		t.Errorf("the other: %d %s", g.status, g.body)
	}
	g := <-many
	if files := images(t, g); len(files) != 3 {
		t.Errorf("%d pictures, want 3", len(files))
	}
	var seeds []uint64
	for _, request := range engine.seen() {
		if request.Prompt() == "many" {
			seeds = append(seeds, request.Seed())
		}
	}
	if fmt.Sprint(seeds) != "[7 8 9]" {
		t.Errorf("seeds %v", seeds)
	}
}

// TestManyPicturesCancelled checks that the remaining pictures of a client that has left are not made.
func TestManyPicturesCancelled(t *testing.T) {
	engine := &fakeEngine{gate: make(chan struct{})}
	s := start(t, engine, nil)
	ctx, leave := context.WithCancel(context.Background())
	many := s.askImages(ctx, t, 5)
	eventually(t, "the first picture begins", func() bool { return engine.runs() == 1 })
	engine.gate <- struct{}{}
	eventually(t, "the second picture begins", func() bool { return engine.runs() == 2 })
	leave()
	<-many
	eventually(t, "the second run stops", func() bool { return engine.cancelled() == 1 })
	close(engine.gate)
	if g := s.generateWith(t, prompt()); g.status != 200 || engine.runs() != 3 {
		t.Errorf("afterwards: %d, %d runs", g.status, engine.runs())
	}
}

// askImages sends a request for n pictures in the background.
func (s *running) askImages(ctx context.Context, t testing.TB, n int) <-chan got {
	t.Helper()
	body := fmt.Sprintf(`{"prompt": "many", "n": %d, "seed": 7, "size": "64x64"}`, n)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url("/v1/images/generations"), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	done := make(chan got, 1)
	go func() {
		g, err := s.send(r)
		if err != nil {
			g.body = []byte(err.Error())
		}
		done <- g
	}()
	return done
}
