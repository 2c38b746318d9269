package server

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// offline returns a server whose handler is called without a network. It is the same one in the whole process.
var offline = sync.OnceValue(func() *Server {
	s, err := New(Options{Open: func(context.Context) (Model, error) {
		return Model{Engine: &fakeEngine{native: 64}},
			nil
	}})
	if err != nil {
		panic(err)
	}
	return s
})

// sound says whether a reply is a picture, or an error of the client's (4xx) with its JSON. It does not check the reply
// against openapi.json, which would take a hundred times as long.
func sound(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	var e errorBody
	switch strict := json.NewDecoder(w.Body); {
	case w.Code == http.StatusOK:
	case w.Code < 400 || w.Code >= 500:
		t.Errorf("status %d: %s", w.Code, w.Body)
	default:
		strict.DisallowUnknownFields()
		if err := strict.Decode(&e); err != nil || e.Detail == "" {
			t.Errorf("status %d: %v, detail %q", w.Code, err, e.Detail)
		}
	}
}

func post(s *Server, path, contentType string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1"+path, bytes.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	return w
}

func FuzzFields(f *testing.F) {
	f.Add("a fox", "", "square", "1", "2", "1.5", "", "")
	f.Add("狐\x00", "flux2-klein-4b", "", "-1", "1e3", "nan", "64x64", `["data:image/png;base64,AAAA"]`)
	f.Add("x", "x", "match", "0x10", "+1", "1e400", "match", `["http://[::1]:99999/", null]`)
	f.Fuzz(func(t *testing.T, prompt, model, aspect, seed, steps, guidance, size, uris string) {
		contentType, body := formOf(t, text(fieldPrompt, prompt), text(fieldModel, model), text(fieldAspectRatio, aspect),
			text(fieldSeed, seed),
			text(fieldSteps, steps), text(fieldGuidance, guidance), text(fieldSize, size), text(fieldImageURIs, uris))
		sound(t, post(offline(), "/v1/generate", contentType, body))
		ask, err := json.Marshal(map[string]any{"prompt": prompt, "model": model, "size": size,
			"seed": json.RawMessage(number(seed))})
		if err == nil {
			sound(t, post(offline(), "/v1/images/generations", "application/json", ask))
		}
	})
}

// number returns text if it is valid JSON, otherwise 0.
func number(text string) string {
	if json.Valid([]byte(text)) {
		return text
	}
	return "0"
}

func FuzzMultipart(f *testing.F) {
	const boundary = "multipart/form-data; boundary=b"
	for _, body := range []string{
		"--b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\nx\r\n--b--\r\n",
		"--b\r\nContent-Disposition: form-data; name=\"images\"; filename=\"a\"\r\n\r\n\x89PNG\r\n\x1a\n" +
			"\r\n--b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n" +
			"Content-Transfer-Encoding: quoted-printable\r\n\r\n=41=\r\n--b--",
		"--b\nContent-Disposition: form-data; name*=utf-8''prompt\n\nx\n--b--",
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range []string{"/v1/generate", "/v1/images/edits"} {
			sound(t, post(offline(), path, boundary, body))
		}
	})
}
