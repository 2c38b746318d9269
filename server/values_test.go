package server

import (
	"context"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// TestJSONValues checks the error for each field of a JSON body with a value of another kind, and all values that mean
// a number.
func TestJSONValues(t *testing.T) {
	engine := &fakeEngine{}
	s := start(t, engine, nil)
	for _, row := range []struct {
		name, members string
		status        int
		want          string // the error's detail
	}{
		{"steps a word", `"steps": "abc"`, 422, `steps: found "abc", want a whole number from 1 to 1000`},
		{"steps in quotes", `"steps": "4"`, 422, `steps: found "4", want a whole number from 1 to 1000`},
		{"steps a fraction", `"steps": 4.5`, 422, `steps: found 4.5, want a whole number from 1 to 1000`},
		{"steps negative", `"steps": -1`, 422, `steps: found -1, want`},
		{"steps huge", `"steps": 1e400`, 422, `steps: found 1e400, want`},
		{"steps long", `"steps": ` + strings.Repeat("1", 100), 422, `steps: found ` + strings.Repeat("1", 40) + `…, want`},
		{"steps a boolean", `"steps": true`, 422, `steps: found true, want`},
		{"steps a list", `"steps": [4]`, 422, `steps: found an array, want`},
		{"steps an object", `"steps": {}`, 422, `steps: found an object, want`},
		{"steps whole", `"steps": 360.0`, 200, ""},
		{"steps whole, by exponent", `"steps": 3.6e2`, 200, ""},
		{"n whole", `"n": 1.0`, 200, ""},
		{"n a word", `"n": "many"`, 422, `n: found "many", want a whole number from 1 to 10`},
		{"n too many", `"n": 11`, 422, `n: found 11, want a whole number from 1 to 10`},
		{"seed whole", `"seed": 360.0`, 200, ""},
		{"seed the largest", `"seed": 18446744073709551615`, 200, ""},
		{"seed the largest, whole", `"seed": 18446744073709551615.00`, 200, ""},
		{"seed too large", `"seed": 18446744073709551616`, 422, `seed: `},
		{"seed a fraction", `"seed": 1.5`, 422, `seed: found 1.5, want a whole number`},
		{"seed in quotes", `"seed": "7"`, 422, `seed: found "7", want a whole number`},
		{"seed a list", `"seed": []`, 422, `seed: found an array, want a whole number`},
		{"guidance", `"guidance": 2`, 200, ""},
		{"guidance a word", `"guidance": "much"`, 422, `guidance: found "much", want a number from 0 to 100`},
		{"guidance too much", `"guidance": 1e3`, 422, `guidance: found 1000, want a number from 0 to 100`},
		{"stream a word", `"stream": "true"`, 422, `stream: found "true", want true or false`},
		{"stream a number", `"stream": 1`, 422, `stream: found 1, want true or false`},
		{"size a number", `"size": 64`, 422, `size: found 64, want a string`},
		{"size a list", `"size": [64, 64]`, 422, `size: found an array, want a string`},
		{"model an object", `"model": {"id": 1}`, 422, `model: found an object, want a string`},
		{"format a number", `"response_format": 1`, 422, `response_format: found 1, want `},
		{"every null", `"model": null, "n": null, "size": null, "response_format": null, "output_format": null,
			"stream": null, "seed": null, "steps": null, "guidance": null, "quality": null`, 200, ""},
		{"half a pair", `"prompt": "a \ud83e fox"`, 422, `prompt: found half of a surrogate pair`},
		{"a whole pair and U+FFFD", `"prompt": "\ud83e\udd8a \ufffd` + "\uFFFD" + `"`, 200, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			body := `{"size": "64x64", "prompt": "a fox", ` + row.members + `}`
			g := s.post(t, "/v1/images/generations", "application/json", []byte(body))
			if g.status != row.status || !strings.HasPrefix(g.detail(), row.want) {
				t.Errorf("%d %s, want %d %s", g.status, g.body, row.status, row.want)
			}
			if strings.Contains(g.detail(), "uint") || strings.Contains(g.detail(), "Go ") {
				t.Errorf("the language's words: %s", g.detail())
			}
		})
	}
	for _, row := range []struct {
		name, body string
		status     int
		want       string
	}{
		{"prompt null", `{"prompt": null}`, 422, "prompt: is required"},
		{"nothing", ``, 400, "JSON: found nothing, want an object"},
		{"null", ` null`, 400, "JSON: found null, want an object"},
		{"a list", `[1]`, 400, "JSON: found an array, want an object"},
		{"a number", `5`, 400, "JSON: found a number, want an object"},
		{"not UTF-8", "{\"prompt\": \"\xff\"}", 400, "JSON: found bytes that are not UTF-8"},
		{"names by their case", `{"Prompt": "x"}`, 422, "prompt: is required"},
	} {
		if g := s.post(t, "/v1/images/generations", "application/json", []byte(row.body)); g.status != row.status ||
			!strings.HasPrefix(g.detail(), row.want) {
			t.Errorf("%s: %d %s, want %d %s", row.name, g.status, g.body, row.status, row.want)
		}
	}
}

// TestFormNumbers checks that the texts that are integers in JSON are integers in a form.
func TestFormNumbers(t *testing.T) {
	engine := &fakeEngine{}
	s := start(t, engine, nil)
	g := s.generateWith(t, prompt(), text("size", "64x64"), text("seed", "360.0"), text("steps", "4.0"),
		text("guidance", "2.0"))
	if have := engine.seen(); g.status != 200 || have[0].Seed() != 360 || have[0].Steps() != 4 || have[0].Guidance() != 2 {
		t.Errorf("%d %s, %+v", g.status, g.body, have)
	}
}

// TestFormBooleans checks that 1 and 0 are not booleans, neither in a form nor in JSON.
func TestFormBooleans(t *testing.T) {
	s := start(t, &fakeEngine{}, nil)
	for content, status := range map[string]int{"true": 200, "false": 200, "": 200, "1": 422, "0": 422, "True": 422,
		"yes": 422} {
		contentType, body := formOf(t, prompt(), file("image", "x.png", pngOf(t, 64, 64, 1)), text("stream", content))
		if g := s.post(t, "/v1/images/edits", contentType, body); g.status != status {
			t.Errorf("%q: %d %s, want %d", content, g.status, g.body, status)
		}
	}
}

func TestWholeNumber(t *testing.T) {
	for text, want := range map[string]string{
		"360.0": "360", "3.6e2": "360", "1E2": "100", "-0": "0", "-0.0": "0", "-1.0": "-1", "7": "7", "": "", ".": ".",
		"1.": "1.", ".0": ".0",
		"1.5": "1.5", "1e400": "1e400", "1e99": "1e99", "0x1e3": "0x1e3", "nan": "nan", "Infinity": "Infinity",
		"1_0e1": "1_0e1", "abc": "abc",
		"18446744073709551615.0": "18446744073709551615",
	} {
		if have := wholeNumber(text); have != want {
			t.Errorf("%q: %q, want %q", text, have, want)
		}
	}
}

// TestDocumentFollowsOptions checks that the document has the token and the model names of the server's options.
func TestDocumentFollowsOptions(t *testing.T) {
	demo := false
	for _, row := range []struct {
		name   string
		change func(*Options, *limits)
		token  bool
		models string
	}{
		{"usual", nil, true, "flux2-klein-4b"},
		{"no token", func(o *Options, _ *limits) { o.Token = "" }, false, "flux2-klein-4b"},
		{"another name", func(o *Options, _ *limits) { o.ModelID = "my-klein" }, true, "my-klein"},
		{"the demo model", func(o *Options, _ *limits) {
			demo = true
			o.Open = func(context.Context) (Model, error) { return Model{Engine: &fakeEngine{}, Demo: demo}, nil }
		}, true, "flux2-klein-4b kleinbild-demo"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := start(t, &fakeEngine{}, row.change)
			served := s.get(t, "/openapi.json").body
			doc, err := openapi3.NewLoader().LoadFromData(served)
			if err != nil {
				t.Fatal(err)
			}
			if err := doc.Validate(t.Context()); err != nil {
				t.Fatal(err)
			}
			if have := len(doc.Security) > 0 && doc.Components.SecuritySchemes["token"] != nil; have != row.token ||
				strings.Contains(string(served), "token of the server") != row.token {
				t.Errorf("asks for a token: %v, want %v", have, row.token)
			}
			if !strings.Contains(string(served), `"maximum": 18446744073709551615`) {
				t.Error("the largest seed is not written in full")
			}
			for path, item := range doc.Paths.Map() {
				for method, operation := range item.Operations() {
					if have := operation.Responses.Value("401") != nil; have != (row.token && path != pathHealth) {
						t.Errorf("%s %s: knows 401: %v", method, path, have)
					}
				}
			}
			for _, name := range []string{"GenerateForm", "ImagesRequest", "ImagesForm"} {
				model := doc.Components.Schemas[name].Value.Properties["model"].Value
				var names []string
				for _, id := range model.Enum {
					if id != nil && id != "" {
						names = append(names, id.(string))
					}
				}
				if have := strings.Join(names, " "); have != row.models || len(names) > 0 && model.Default != names[0] {
					t.Errorf("%s: models %s, default %v, want %s", name, have, model.Default, row.models)
				}
			}
		})
	}
}
