package server

import (
	"bytes"
	"encoding/json"
	"image/png"
	"net/http"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// images decodes a reply in OpenAI's format.
func images(t testing.TB, g got) (files [][]byte) {
	t.Helper()
	var reply struct {
		Created int64
		Data    []struct {
			B64JSON []byte `json:"b64_json"`
		}
	}
	if err := json.Unmarshal(g.body, &reply); err != nil || g.status != http.StatusOK || reply.Created == 0 {
		t.Fatalf("%d %.300s: %v", g.status, g.body, err)
	}
	for _, item := range reply.Data {
		files = append(files, item.B64JSON)
	}
	return files
}

func TestImageGenerations(t *testing.T) {
	engine := &fakeEngine{}
	s := start(t, engine, nil)
	for _, row := range []struct {
		name, body string
		n          int
		size       string
	}{
		{"just a prompt", `{"prompt": "a fox"}`, 1, "1024x1024"},
		// The requests of client libraries, which send null for fields that are not set.
		{"every field", `{"prompt": "a fox", "model": "flux2-klein-4b", "n": 2, "size": "1536x1024",
			"quality": "auto", "background": "auto", "moderation": "low", "output_format": "png",
			"output_compression": 100, "style": null, "user": "me", "response_format": "b64_json"}`, 2, "1536x1024"},
		{"nulls", `{"prompt": "a fox", "n": null, "size": null, "model": null, "response_format": null,
			"stream": null, "output_format": null}`, 1, "1024x1024"},
		{"size auto", `{"prompt": "a fox", "size": "auto"}`, 1, "1024x1024"},
		{"this server's own", `{"prompt": "a fox", "seed": 7, "steps": 3, "guidance": 2, "size": "64x64"}`, 1, "64x64"},
	} {
		t.Run(row.name, func(t *testing.T) {
			files := images(t, s.post(t, "/v1/images/generations", "application/json; charset=utf-8", []byte(row.body)))
			if len(files) != row.n {
				t.Fatalf("%d pictures, want %d", len(files), row.n)
			}
			seeds := map[uint64]bool{}
			for _, file := range files {
				config, err := png.DecodeConfig(bytes.NewReader(file))
				meta, errMeta := picture.ReadMetadata(bytes.NewReader(file))
				if have := (picture.Size{Width: config.Width, Height: config.Height}).String(); err != nil || errMeta != nil ||
					have != row.size {
					t.Errorf("size %s, %v, %v; want %s", have, err, errMeta, row.size)
				}
				seeds[meta.Seed] = true
			}
			if len(seeds) != row.n {
				t.Errorf("%d seeds for %d pictures", len(seeds), row.n)
			}
		})
	}
	last := engine.seen()[engine.runs()-1]
	if last.Seed() != 7 || last.Steps() != 3 || last.Guidance() != 2 {
		t.Errorf("%+v", last)
	}
}

func TestImageGenerationsRefuses(t *testing.T) {
	s := start(t, &fakeEngine{}, nil)
	for _, row := range []struct {
		name, contentType, body string
		status                  int
		want, param             string
	}{
		{"a form", "multipart/form-data; boundary=x", "--x--", 415, "want application/json", ""},
		{"no JSON", "application/json", "prompt=x", 400, "JSON: ", ""},
		{"cut JSON", "application/json", `{"prompt": "x"`, 400, "JSON: ", ""},
		{"an array", "application/json", `[]`, 400, "JSON: ", ""},
		{"no prompt", "application/json", `{}`, 422, "prompt: is required", "prompt"},
		{"prompt a number", "application/json", `{"prompt": 5}`, 422, "prompt: found 5, want a string", "prompt"},
		{"another model", "application/json", `{"prompt": "x", "model": "dall-e-3"}`, 422,
			`model: "dall-e-3", want flux2-klein-4b`, "model"},
		{"n", "application/json", `{"prompt": "x", "n": 11}`, 422, "n: found 11, want a whole number from 1 to 10", "n"},
		{"size", "application/json", `{"prompt": "x", "size": "1000x1000"}`, 422, "size: ", "size"},
		{"file", "application/json", `{"prompt": "x", "response_format": "file"}`, 422,
			`response_format: found "file", want b64_json or url`, "response_format"},
		{"gif", "application/json", `{"prompt": "x", "output_format": "gif"}`, 422,
			`output_format: found "gif", want png or jpeg or webp`, "output_format"},
		{"compression", "application/json", `{"prompt": "x", "output_compression": 101}`, 422,
			"output_compression: found 101, want a whole number from 0 to 100", "output_compression"},
		{"partial images", "application/json", `{"prompt": "x", "stream": true, "partial_images": 4}`, 422,
			"partial_images: found 4, want a whole number from 0 to 3", "partial_images"},
		{"seed", "application/json", `{"prompt": "x", "seed": -2}`, 422, "seed: ", "seed"},
		{"steps", "application/json", `{"prompt": "x", "steps": 0}`, 422, "steps: ", "steps"},
		{"guidance", "application/json", `{"prompt": "x", "guidance": 1000}`, 422, "guidance: ", "guidance"},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := s.post(t, "/v1/images/generations", row.contentType, []byte(row.body))
			var e errorBody
			if err := json.Unmarshal(g.body, &e); err != nil || g.status != row.status || !strings.Contains(e.Detail, row.want) {
				t.Fatalf("%d %s; want %d %s", g.status, g.body, row.status, row.want)
			}
			if e.Error == nil || e.Error.Message != e.Detail || e.Error.Type != "invalid_request_error" ||
				(e.Error.Param == nil) != (row.param == "") {
				t.Errorf("%s", g.body)
			}
		})
	}
	// Errors on other paths have the hosted API's format only.
	if g := s.generateWith(t); strings.Contains(string(g.body), `"error"`) {
		t.Errorf("%s", g.body)
	}
}

func TestImageEdits(t *testing.T) {
	engine := &fakeEngine{}
	s := start(t, engine, nil)
	a, b := file("image[]", "a.png", pngOf(t, 64, 80, 1)), file("image[]", "b.png", pngOf(t, 96, 64, 2))
	single := file("image", "a.png", pngOf(t, 64, 80, 1))
	for _, row := range []struct {
		name   string
		parts  []part
		status int
		want   string // the size of the picture, or a part of the error's detail
	}{
		{"one", []part{prompt(), single}, 200, "64x80"},
		{"two, as arrays", []part{prompt(), a, b, text("n", "2"), text("seed", "5"), text("quality", "high")}, 200, "64x80"},
		{"with a size", []part{prompt(), b, text("size", "128x128"), text("steps", "2"), text("guidance", "1.5")}, 200,
			"128x128"},
		{"none", []part{prompt()}, 422, "image: is required"},
		{"five", []part{prompt(), a, a, a, a, a}, 422, "image: found 5 reference pictures, want at most 4"},
		{"n", []part{prompt(), single, text("n", "many")}, 422, `n: found "many"`},
		{"steps", []part{prompt(), single, text("steps", "many")}, 422, `steps: found "many"`},
		{"no picture", []part{prompt(), file("image", "a", []byte("x"))}, 415, "image[0]: picture: "},
	} {
		t.Run(row.name, func(t *testing.T) {
			contentType, body := formOf(t, row.parts...)
			g := s.post(t, "/v1/images/edits", contentType, body)
			if g.status != row.status {
				t.Fatalf("%d %s, want %d", g.status, g.body, row.status)
			}
			if g.status != 200 {
				if !strings.Contains(g.detail(), row.want) {
					t.Errorf("%s, want %s", g.body, row.want)
				}
				return
			}
			for _, file := range images(t, g) {
				config, err := png.DecodeConfig(bytes.NewReader(file))
				if have := (picture.Size{Width: config.Width, Height: config.Height}).String(); err != nil || have != row.want {
					t.Errorf("size %s, %v; want %s", have, err, row.want)
				}
			}
		})
	}
	if two := engine.seen()[2]; len(two.References()) != 2 || two.Seed() != 6 || two.References()[1].Image.Pix[0] != 2 {
		t.Errorf("the second of two edits: seed %d, %d references", two.Seed(), len(two.References()))
	}
}
