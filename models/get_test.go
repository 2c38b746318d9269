package models

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
)

const weights = "owner/small/weights/a.bin"

// smallHub starts a hub with the model of small, whose weights have 100 kB. It returns the weights.
func smallHub(t *testing.T) (h *fakeHub, content []byte) {
	h = newFakeHub(t)
	h.add("owner/small/config.json", 100)
	h.add("owner/small/README.md", 5000) // not part of the model
	return h, h.add(weights, 100_000)
}

// TestGetWholeModel downloads a checkpoint in the layout of the real repository, from a hub that redirects to another
// host for large files, and opens it.
func TestGetWholeModel(t *testing.T) {
	tiny := filepath.Join(t.TempDir(), "tiny")
	if err := synthetic.WriteTiny(tiny, synthetic.TinyDistilled()); err != nil {
		t.Fatal(err)
	}
	h := newFakeHub(t)
	const repository = "black-forest-labs/FLUX.2-klein-4B"
	h.addDir(t, repository, tiny)
	h.add(repository+"/flux-2-klein-4b.safetensors", 4<<20)
	h.add(repository+"/README.md", 10)
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		elsewhere.Add(1)
		if r.Header.Get("Authorization") != "" {
			t.Error("the token went to another host")
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(h.files[r.URL.Query().Get("name")]))
	}))
	defer other.Close()
	h.misbehave = func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		if r.Header.Get("Authorization") != "Bearer hf_secret" {
			t.Error("the hub did not get the token")
		}
		if len(content) < 1<<10 {
			return false
		}
		name := strings.Replace(strings.TrimPrefix(r.URL.Path, "/"), "/resolve/"+h.commit, "", 1)
		http.Redirect(w, r, strings.Replace(other.URL, "127.0.0.1", "localhost", 1)+"/?name="+name, http.StatusFound)
		return true
	}
	m, err := Find("flux2-klein-4b")
	if err != nil {
		t.Fatal(err)
	}
	opts := h.options(t)
	opts.Token, opts.Parallel = "hf_secret", 3
	var last Progress
	opts.Progress = func(p Progress) {
		if p.DoneBytes < last.DoneBytes || p.DoneBytes > p.TotalBytes {
			t.Errorf("progress %+v after %+v", p, last)
		}
		last = p
	}
	dir, err := Get(context.Background(), m, opts)
	if err != nil {
		t.Fatal(err)
	}
	if dir != filepath.Join(opts.Dir, "flux2-klein-4b") || last.DoneBytes != last.TotalBytes || last.TotalBytes == 0 {
		t.Errorf("%s, %+v", dir, last)
	}
	c, err := checkpoint.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if elsewhere.Load() == 0 || h.most > 3 {
		t.Errorf("%d requests elsewhere, %d at once", elsewhere.Load(), h.most)
	}
	expectFiles(t, opts.Dir, dir, tiny)
	if damaged, err := Verify(context.Background(), dir, nil); err != nil || len(damaged) != 0 {
		t.Errorf("Verify: %v %v", damaged, err)
	}
	before := h.total()
	if _, err := Get(context.Background(), m, opts); !errors.Is(err, ErrInstalled) || h.total() != before {
		t.Errorf("again: %v, %d more requests", err, h.total()-before)
	}
}

// expectFiles checks that the folder dir contains the files of the folder want and the manifest, and that the folder
// models contains no other folders.
func expectFiles(t *testing.T, models, dir, want string) {
	t.Helper()
	list := func(dir string) (files []string) {
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				relative, _ := filepath.Rel(dir, path)
				files = append(files, relative)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return files
	}
	got, expected := list(dir), append(list(want), manifestName)
	slices.Sort(got)
	slices.Sort(expected)
	if !slices.Equal(got, expected) {
		t.Errorf("files %q, want %q", got, expected)
	}
	entries, err := os.ReadDir(models)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() != filepath.Base(dir) && !strings.HasSuffix(e.Name(), ".lock") {
			t.Errorf("found %s", e.Name())
		}
	}
}

// misbehaviour answers a request for a file with the given content, or returns false to let the hub answer it.
type misbehaviour = func(w http.ResponseWriter, r *http.Request, content []byte) bool

// numbered is a misbehaviour that also gets the number of the request, from 0.
type numbered = func(n int, w http.ResponseWriter, r *http.Request, content []byte) bool

// sequence returns a misbehaviour that calls answer for requests for the weights, with their numbers.
func sequence(answer numbered) misbehaviour {
	var n atomic.Int32
	return func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		if !strings.HasSuffix(r.URL.Path, "a.bin") {
			return false
		}
		return answer(int(n.Add(1))-1, w, r, content)
	}
}

// sendRaw writes a reply whose header need not match its body, and closes the connection.
func sendRaw(w http.ResponseWriter, head string, body []byte) {
	conn, buffer, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	defer conn.Close()
	fmt.Fprintf(buffer, "HTTP/1.1 %s\r\nConnection: close\r\n\r\n", head)
	_, _ = buffer.Write(body)
	_ = buffer.Flush()
}

// offsetOf returns the first byte that a request asks for.
func offsetOf(r *http.Request) int {
	text := strings.TrimSuffix(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-")
	n, _ := strconv.Atoi(text)
	return n
}

func TestGetFromBadServers(t *testing.T) {
	for _, row := range []struct {
		name   string
		answer numbered
		want   string // part of the error; "" if the download must succeed
	}{
		{"cuts every connection after 9,000 bytes", func(_ int, w http.ResponseWriter, r *http.Request, content []byte) bool {
			at := offsetOf(r)
			rest := content[at:]
			if len(rest) < 10_000 {
				return false
			}
			status := "200 OK"
			if at > 0 {
				status = fmt.Sprintf("206 Partial Content\r\nContent-Range: bytes %d-%d/%d", at, len(content)-1, len(content))
			}
			sendRaw(w, fmt.Sprintf("%s\r\nContent-Length: %d", status, len(rest)), rest[:9_000])
			return true
		}, ""},
		{"sends no body three times", func(n int, w http.ResponseWriter, _ *http.Request, content []byte) bool {
			if n < 3 {
				sendRaw(w, fmt.Sprintf("200 OK\r\nContent-Length: %d", len(content)), nil)
			}
			return n < 3
		}, ""},
		{"never sends a body", func(_ int, w http.ResponseWriter, _ *http.Request, content []byte) bool {
			sendRaw(w, fmt.Sprintf("200 OK\r\nContent-Length: %d", len(content)), nil)
			return true
		}, "weights/a.bin: given up after 4 attempts: "},
		{"announces too much", func(n int, w http.ResponseWriter, _ *http.Request, content []byte) bool {
			if n == 0 {
				sendRaw(w, fmt.Sprintf("200 OK\r\nContent-Length: %d", len(content)+5), content)
			}
			return n == 0
		}, ""},
		{"announces too little", func(n int, w http.ResponseWriter, _ *http.Request, content []byte) bool {
			if n == 0 {
				sendRaw(w, fmt.Sprintf("200 OK\r\nContent-Length: %d", len(content)-5), content)
			}
			return n == 0
		}, ""},
		{"announces nothing and sends too much", func(n int, w http.ResponseWriter, _ *http.Request, content []byte) bool {
			if n == 0 {
				sendRaw(w, "200 OK", append(slices.Clone(content), "more"...))
			}
			return n == 0
		}, ""},
		{"announces nothing and sends too little", func(n int, w http.ResponseWriter, r *http.Request, content []byte) bool {
			if n == 0 {
				sendRaw(w, "200 OK", content[:50_000])
			} else if offsetOf(r) != 50_000 {
				t.Errorf("resumes at %d, want 50,000", offsetOf(r))
			}
			return n == 0
		}, ""},
		{"never ends", func(_ int, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			block := make([]byte, 1<<20)
			for range 64 {
				if _, err := w.Write(block); err != nil {
					return true
				}
			}
			return true
		}, "the server sends more than the 100000 bytes that it lists"},
		{"does not support ranges", func(n int, w http.ResponseWriter, r *http.Request, content []byte) bool {
			if n == 0 {
				sendRaw(w, fmt.Sprintf("200 OK\r\nContent-Length: %d", len(content)), content[:70_000])
			} else {
				_, _ = w.Write(content)
			}
			return true
		}, ""},
		{"sends another range", func(n int, w http.ResponseWriter, _ *http.Request, content []byte) bool {
			switch n {
			case 0:
				sendRaw(w, fmt.Sprintf("200 OK\r\nContent-Length: %d", len(content)), content[:70_000])
			case 1:
				sendRaw(w, "206 Partial Content\r\nContent-Range: bytes 10-30009/100000\r\nContent-Length: 30000",
					content[10:30_010])
			}
			return n < 2
		}, ""},
		{"does not have the range any more", func(n int, w http.ResponseWriter, _ *http.Request, content []byte) bool {
			switch n {
			case 0:
				sendRaw(w, fmt.Sprintf("200 OK\r\nContent-Length: %d", len(content)), content[:70_000])
			case 1:
				http.Error(w, "", http.StatusRequestedRangeNotSatisfiable)
			}
			return n < 2
		}, ""},
		{"damages a byte once", func(n int, w http.ResponseWriter, _ *http.Request, content []byte) bool {
			if n == 0 {
				bad := slices.Clone(content)
				bad[77_777] ^= 1
				_, _ = w.Write(bad)
			}
			return n == 0
		}, ""},
		{"changes the file after half of it", func(n int, w http.ResponseWriter, r *http.Request, content []byte) bool {
			if n == 0 {
				sendRaw(w, fmt.Sprintf("200 OK\r\nContent-Length: %d", len(content)), content[:50_000])
				return true
			}
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(bytes.Repeat([]byte("x"), len(content))))
			return true
		}, "weights/a.bin: the server sends another file than it lists: SHA-256 is "},
		{"stalls once", func(n int, w http.ResponseWriter, r *http.Request, content []byte) bool {
			if n == 0 {
				w.Header().Set("Content-Length", strconv.Itoa(len(content)))
				_, _ = w.Write(content[:30_000])
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			}
			return n == 0
		}, ""},
		{"stalls every time", func(_ int, _ http.ResponseWriter, r *http.Request, _ []byte) bool {
			<-r.Context().Done()
			return true
		}, "given up after 4 attempts: the server sent nothing for too long"},
		{"is slow", func(_ int, w http.ResponseWriter, _ *http.Request, content []byte) bool {
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			for part := range slices.Chunk(content, 10_000) {
				_, _ = w.Write(part)
				_ = http.NewResponseController(w).Flush()
				time.Sleep(30 * time.Millisecond) // ten parts take longer than patience.stall, each part less
			}
			return true
		}, ""},
		{"is busy three times", func(n int, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			if n < 3 {
				w.Header().Set("Retry-After", "0")
				http.Error(w, "", []int{429, 503, 500}[n])
			}
			return n < 3
		}, ""},
		{"is always busy", func(_ int, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			http.Error(w, "", http.StatusServiceUnavailable)
			return true
		}, "status 503 Service Unavailable"},
		{"limits the rate of requests", func(_ int, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			http.Error(w, "", http.StatusTooManyRequests)
			return true
		}, "given up after 4 attempts"},
		{"has no such file", func(_ int, w http.ResponseWriter, r *http.Request, _ []byte) bool {
			http.NotFound(w, r)
			return true
		}, "status 404 Not Found"},
		{"refuses", func(_ int, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			http.Error(w, "", http.StatusForbidden)
			return true
		}, "owner/small: access refused; agree to its licence at "},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			h, content := smallHub(t)
			h.misbehave = sequence(row.answer)
			opts := h.options(t)
			dir, err := Get(context.Background(), small(), opts)
			if row.want != "" {
				if err == nil || !strings.Contains(err.Error(), row.want) || !strings.HasPrefix(err.Error(), "models: ") {
					t.Errorf("error %v, want %s", err, row.want)
				}
				if _, err := os.Stat(filepath.Join(opts.Dir, "small")); err == nil {
					t.Error("the model has its final name")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(dir, "weights", "a.bin"))
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%d bytes, want the hub's %d; %v", len(got), len(content), err)
			}
		})
	}
}

// TestRequestsByStatus counts the requests for a file: permanent errors are not tried again.
func TestRequestsByStatus(t *testing.T) {
	for status, want := range map[int]int{401: 1, 403: 1, 404: 1, 410: 1, 503: 4, 429: 4, 408: 4} {
		h, _ := smallHub(t)
		requests := 0
		h.misbehave = sequence(func(n int, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
			requests = n + 1
			http.Error(w, "", status)
			return true
		})
		_, err := Get(context.Background(), small(), h.options(t))
		if err == nil || requests != want {
			t.Errorf("status %d: %d requests, want %d; %v", status, requests, want, err)
		}
		var access *AccessError
		if errors.As(err, &access) != (status == 401 || status == 403) {
			t.Errorf("status %d: %v", status, err)
		}
	}
}

// TestRetryAfter checks that the next request waits for as long as the header Retry-After says.
func TestRetryAfter(t *testing.T) {
	h, _ := smallHub(t)
	h.misbehave = sequence(func(n int, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		if n == 0 {
			w.Header().Set("Retry-After", "1")
			http.Error(w, "", http.StatusTooManyRequests)
		}
		return n == 0
	})
	opts := h.options(t)
	opts.patience.most = time.Minute
	start := time.Now()
	if _, err := Get(context.Background(), small(), opts); err != nil || time.Since(start) < time.Second {
		t.Errorf("%v after %v", err, time.Since(start))
	}
}

// TestCancelAndResume cancels a download: the bytes stay, and the next Get requests only the rest.
func TestCancelAndResume(t *testing.T) {
	h, content := smallHub(t)
	ctx, cancel := context.WithCancel(context.Background())
	h.misbehave = sequence(func(n int, w http.ResponseWriter, r *http.Request, content []byte) bool {
		if n == 0 {
			w.Header().Set("Content-Length", strconv.Itoa(len(content)))
			_, _ = w.Write(content[:60_000])
			_ = http.NewResponseController(w).Flush()
			time.Sleep(20 * time.Millisecond)
			cancel()
			<-r.Context().Done()
		}
		return n == 0
	})
	opts := h.options(t)
	if _, err := Get(ctx, small(), opts); !errors.Is(err, context.Canceled) {
		t.Fatalf("%v", err)
	}
	part := filepath.Join(opts.Dir, "small.part", "weights", "a.bin.part")
	info, err := os.Stat(part)
	if err != nil || info.Size() == 0 || info.Size() > 60_000 {
		t.Fatalf("%v %v", info, err)
	}
	seen := len(h.fileRequests())
	var first Progress
	opts.Progress = func(p Progress) {
		if first == (Progress{}) {
			first = p
		}
	}
	dir, err := Get(context.Background(), small(), opts)
	if err != nil {
		t.Fatal(err)
	}
	later := h.fileRequests()[seen:]
	if len(later) != 1 || offsetOf(later[0]) != int(info.Size()) {
		t.Errorf("%d requests, range %q, want one from %d", len(later), later[0].Header.Get("Range"), info.Size())
	}
	if first.DoneBytes < info.Size() {
		t.Errorf("progress begins at %d bytes, want at least %d", first.DoneBytes, info.Size())
	}
	if got, err := os.ReadFile(filepath.Join(dir, "weights", "a.bin")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestNewCommit changes the repository after an interrupted download: only unchanged files are kept.
func TestNewCommit(t *testing.T) {
	h, _ := smallHub(t)
	h.add("owner/small/weights/b.bin", 50_000)
	stop := true
	h.misbehave = func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		if !stop || !strings.HasSuffix(r.URL.Path, "a.bin") {
			return false
		}
		sendRaw(w, fmt.Sprintf("200 OK\r\nContent-Length: %d", len(content)), content[:100])
		return true
	}
	opts := h.options(t)
	opts.Parallel = 1
	opts.patience.attempts = 1
	_, err := Get(context.Background(), small(), opts)
	if err == nil {
		t.Fatal("no error")
	}
	stop = false
	opts.patience.attempts = 3
	h.commit = strings.Repeat("d", 40)
	changed := h.add(weights, 90_000)
	delete(h.files, "owner/small/weights/b.bin")
	dir, err := Get(context.Background(), small(), opts)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "weights", "a.bin")); err != nil || !bytes.Equal(got, changed) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "weights")); err != nil || len(entries) != 1 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestGetRefuses(t *testing.T) {
	h, _ := smallHub(t)
	opts := h.options(t)
	asks := small()
	asks.Licence = nonCommercial
	var licence *LicenceError
	if _, err := Get(context.Background(), asks, opts); !errors.As(err, &licence) || h.total() != 0 {
		t.Errorf("licence: %v, %d requests", err, h.total())
	}
	opts.freeBytes = func(string) (uint64, error) { return spareBytes + 50_000, nil }
	_, err := Get(context.Background(), small(), opts)
	if err == nil || !strings.Contains(err.Error(), "GB are free, want ") || len(h.fileRequests()) != 0 {
		t.Errorf("disk: %v, %d requests", err, len(h.fileRequests()))
	}
	opts.freeBytes = nil
	unlock, err := lock(opts.Dir, "small")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Get(context.Background(), small(), opts); !errors.Is(err, ErrLocked) {
		t.Errorf("lock: %v", err)
	}
	if err := Remove(opts.Dir, "small"); !errors.Is(err, ErrLocked) {
		t.Errorf("lock: Remove: %v", err)
	}
	unlock()
	larger := small()
	larger.sources[0].files = append(larger.sources[0].files, pattern{path: "vae/*.safetensors"})
	_, err = Get(context.Background(), larger, opts)
	if err == nil || !strings.Contains(err.Error(), "owner/small: found no file vae/*.safetensors") {
		t.Errorf("missing file: %v", err)
	}
	for _, base := range []string{"ftp://example.com", "example.com", "http://", "://"} {
		opts.BaseURL = base
		if _, err := Get(context.Background(), small(), opts); err == nil || !strings.Contains(err.Error(), "base URL") {
			t.Errorf("%s: %v", base, err)
		}
	}
	opts.BaseURL, opts.Token = "http://hub.example", "hf_secret"
	_, err = Get(context.Background(), small(), opts)
	if err == nil || !strings.Contains(err.Error(), "a token is sent over https only") {
		t.Errorf("a token over http: %v", err)
	}
}

// TestBadListings lets a hub list files with invalid paths, sizes or digests: Get returns an error.
func TestBadListings(t *testing.T) {
	digest := strings.Repeat("a", 40)
	good := `{"rfilename": "config.json", "size": 1, "blobId": "` + digest + `"}`
	// with returns a listing of the file config.json and one more file.
	with := func(file string) string {
		return `{"sha": "` + strings.Repeat("c", 40) + `", "siblings": [` + good + `, {` + file + `}]}`
	}
	withName := func(name string) string {
		return with(`"rfilename": "` + name + `", "size": 1, "blobId": "` + digest + `"`)
	}
	for _, row := range []struct{ name, listing, want string }{
		{"no JSON", "<html>", "want the description of a repository"},
		{"no commit", `{"siblings": [` + good + `]}`, "commit"},
		{"a commit that is a path", `{"sha": "../../x", "siblings": [` + good + `]}`, "commit"},
		{"a path out of the folder", withName("weights/.."), "found no file"},
		{"a hidden file", withName("weights/.bin"), "want a plain relative path"},
		{"a drive", withName("weights/C:x.bin"), "want a plain relative path"},
		{"a backslash", withName(`weights/..\\x.bin`), "want a plain relative path"},
		{"a negative size", with(`"rfilename": "weights/a.bin", "size": -1, "blobId": "` + digest + `"`),
			"-1 bytes, want 0 to"},
		{"no digest", with(`"rfilename": "weights/a.bin", "size": 1`), "found no valid digest"},
	} {
		t.Run(row.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprint(w, row.listing)
			}))
			defer server.Close()
			opts := (&fakeHub{Server: server}).options(t)
			opts.patience.attempts = 1
			if _, err := Get(context.Background(), small(), opts); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%v, want %s", err, row.want)
			}
		})
	}
}

func TestCatalogue(t *testing.T) {
	for _, m := range Catalogue() {
		got, err := Find(m.Name)
		if err != nil || got.Title != m.Title || !validPath(m.Name) || m.SizeBytes < 1e9 || m.Licence.Name == "" ||
			m.Licence.URL == "" {
			t.Errorf("%+v %v", m, err)
		}
		if ask := strings.Contains(m.Name, "9b"); m.Licence.Ask != ask {
			t.Errorf("%s: asks %v, want %v", m.Name, m.Licence.Ask, ask)
		}
	}
	if _, err := Find("flux3"); err == nil || !strings.Contains(err.Error(), "want one of flux2-klein-4b, ") {
		t.Error(err)
	}
}
