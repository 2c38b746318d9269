package models

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
)

func TestExtras(t *testing.T) {
	for _, m := range Extras() {
		got, err := Find(m.Name)
		if err != nil || got.Title != m.Title || !validPath(m.Name) || m.SizeBytes < 1e6 || m.Licence.Name == "" ||
			m.Licence.URL == "" || !m.Extra() {
			t.Errorf("%+v %v", m, err)
		}
	}
	for _, m := range Catalogue() {
		if m.Extra() {
			t.Errorf("%s passes for an extra", m.Name)
		}
	}
}

// TestExtraIsNoModel checks that a downloaded extra is not among the models.
func TestExtraIsNoModel(t *testing.T) {
	dir := t.TempDir()
	extra := filepath.Join(dir, checkpoint.PreviewName)
	if err := os.Mkdir(extra, 0o700); err != nil {
		t.Fatal(err)
	}
	list, err := List(t.Context(), dir, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		if i.Path == extra {
			t.Errorf("%+v is among the models", i)
		}
	}
	if path, err := Path(dir, checkpoint.PreviewName); err != nil || path != extra {
		t.Errorf("%s, %v", path, err)
	}
}

// TestUpscalersAreFound checks that the engine looks for the networks that are downloaded, by the same names.
func TestUpscalersAreFound(t *testing.T) {
	var names []string
	for _, u := range upscalers {
		m := u.model()
		names = append(names, m.Name)
		f := m.sources[0].release.file
		if err := f.check(); err != nil || f.to != checkpoint.UpscalerFile(m.Name) {
			t.Errorf("%+v: %v", f, err)
		}
	}
	if !slices.Equal(names, checkpoint.Upscalers) {
		t.Errorf("%q, want %q", names, checkpoint.Upscalers)
	}
}

// TestGetRelease downloads a file of a release, which comes from another server than the hub: that server does not get
// the token, and the file must have the digest that the program knows.
func TestGetRelease(t *testing.T) {
	h := newFakeHub(t)
	content := bytes.Repeat([]byte("upscaler"), 40_000)
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the token went to the server of the release")
		}
		if status != http.StatusOK {
			w.WriteHeader(status)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}))
	defer server.Close()
	sum := sha256.Sum256(content)
	u := upscaler{"small", "a small one", "v1", "a.pth", int64(len(content)), hex.EncodeToString(sum[:])}
	m := u.model()
	m.sources[0].release.address = server.URL + "/v1/a.pth"
	opts := h.options(t)
	opts.Token = "hf_secret"
	dir, err := Get(t.Context(), m, opts)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "small.pth")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if damaged, err := Verify(t.Context(), dir, nil); err != nil || len(damaged) != 0 {
		t.Errorf("Verify: %v %v", damaged, err)
	}
	if h.total() != 0 {
		t.Errorf("%d requests to the hub", h.total())
	}

	content = append([]byte("X"), content[1:]...)
	for _, row := range []struct {
		status int
		want   string
	}{
		{http.StatusOK, "SHA-256 is "}, {http.StatusForbidden, "status 403"}, {http.StatusNotFound, "status 404"},
	} {
		status = row.status
		opts.Dir = t.TempDir()
		if _, err := Get(t.Context(), m, opts); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("status %d: %v, want %s", row.status, err, row.want)
		}
		if _, err := os.Stat(filepath.Join(opts.Dir, "small")); err == nil {
			t.Errorf("status %d: a model appeared", row.status)
		}
	}
}
