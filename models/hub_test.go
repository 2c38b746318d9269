package models

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeHub is a hub on a loopback port that can answer requests wrongly.
type fakeHub struct {
	*httptest.Server
	commit string
	// misbehave is nil, or answers requests for files instead of the hub.
	misbehave misbehaviour
	gated     string // a repository that wants a token

	mu       sync.Mutex
	files    map[string][]byte // by repository/path
	requests []*http.Request
	active   int // requests for files that are being answered
	most     int // the maximum of active
}

func newFakeHub(t *testing.T) *fakeHub {
	t.Helper()
	h := &fakeHub{commit: strings.Repeat("c", 40), files: map[string][]byte{}}
	h.Server = httptest.NewServer(h)
	t.Cleanup(h.Close)
	return h
}

// add stores random bytes as the file name, which is repository/path, and returns them.
func (h *fakeHub) add(name string, size int) []byte {
	r := rand.New(rand.NewPCG(uint64(len(name)), uint64(size)))
	data := make([]byte, size)
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	h.files[name] = data
	return data
}

// addDir stores the files of a folder as a repository.
func (h *fakeHub) addDir(t *testing.T, repository, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		h.files[repository+"/"+filepath.ToSlash(relative)] = data
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (h *fakeHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.requests = append(h.requests, r)
	h.mu.Unlock()
	if h.gated != "" && strings.Contains(r.URL.Path, "/"+h.gated+"/") && r.Header.Get("Authorization") == "" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if rest, ok := strings.CutPrefix(r.URL.Path, "/api/models/"); ok {
		h.list(w, strings.TrimSuffix(rest, "/revision/main"))
		return
	}
	repository, path, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/resolve/"+h.commit+"/")
	content, there := h.files[repository+"/"+path]
	if !ok || !there {
		http.NotFound(w, r)
		return
	}
	h.mu.Lock()
	h.active++
	h.most = max(h.most, h.active)
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		h.active--
		h.mu.Unlock()
	}()
	if h.misbehave != nil && h.misbehave(w, r, content) {
		return
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// list writes the description of a repository. Files from 1 KiB on are large ones (git LFS).
func (h *fakeHub) list(w http.ResponseWriter, repository string) {
	type lfs struct {
		SHA256 string `json:"sha256"`
		Size   int    `json:"size"`
	}
	type sibling struct {
		Name   string `json:"rfilename"`
		Size   int    `json:"size"`
		BlobID string `json:"blobId"`
		LFS    *lfs   `json:"lfs,omitempty"`
	}
	var siblings []sibling
	for name, data := range h.files {
		path, ok := strings.CutPrefix(name, repository+"/")
		if !ok {
			continue
		}
		sum := sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(data)), data...))
		s := sibling{Name: path, Size: len(data), BlobID: hex.EncodeToString(sum[:])}
		if len(data) >= 1<<10 {
			sum := sha256.Sum256(data)
			s.LFS = &lfs{hex.EncodeToString(sum[:]), len(data)}
		}
		siblings = append(siblings, s)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"sha": h.commit, "siblings": siblings})
}

// fileRequests returns the requests for files so far.
func (h *fakeHub) fileRequests() (list []*http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.requests {
		if strings.Contains(r.URL.Path, "/resolve/") {
			list = append(list, r)
		}
	}
	return list
}

// total returns the number of requests so far.
func (h *fakeHub) total() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.requests)
}

// small is a model of two files.
func small() Model {
	patterns := []pattern{{path: "config.json"}, {path: "weights/*.bin"}}
	return Model{Name: "small", Licence: apache, sources: []source{{repository: "owner/small", files: patterns}}}
}

// options of a download that is not patient at all. The hub is complete from here on.
func (h *fakeHub) options(t *testing.T) Options {
	// ServeHTTP takes this lock before it reads the hub's fields. A request of another process would otherwise be
	// ordered by nothing behind the test that filled them.
	h.mu.Lock()
	defer h.mu.Unlock()
	return Options{
		Dir: filepath.Join(t.TempDir(), "models"), BaseURL: h.URL,
		patience: patience{attempts: 4, first: time.Millisecond, most: 5 * time.Millisecond, stall: 150 * time.Millisecond},
	}
}
