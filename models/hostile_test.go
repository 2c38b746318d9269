package models

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// listing returns the description of a repository with the two files of small and the given ones.
func listing(files ...string) string {
	digest := strings.Repeat("a", 40)
	all := []string{
		`{"rfilename":"config.json","size":1,"blobId":"` + digest + `"}`,
		`{"rfilename":"weights/x.bin","size":1,"blobId":"` + digest + `"}`,
	}
	return `{"sha":"` + strings.Repeat("c", 40) + `","siblings":[` + strings.Join(append(all, files...), ",") + `]}`
}

// sibling returns one file for listing.
func sibling(name string, size string) string {
	text, _ := json.Marshal(name)
	return fmt.Sprintf(`{"rfilename":%s,"size":%s,"blobId":"%s"}`, text, size, strings.Repeat("b", 40))
}

// TestHostileListings lets hubs list files that would be written outside the folder, overwrite each other or fill the
// disk. Get returns an error after the request for the listing.
func TestHostileListings(t *testing.T) {
	const plain = "want a plain relative path"
	rows := []struct{ name, listing, want string }{
		{"a size beyond any disk", listing(sibling("weights/a.bin", "9223372036854775807")), "bytes, want 0 to"},
		{"sizes whose sum overflows", listing(sibling("weights/a.bin", "4611686018427387904"),
			sibling("weights/b.bin", "4611686018427387904")), "bytes, want 0 to"},
		{"a size that is a string", listing(sibling("weights/a.bin", `"1"`)), "want the description"},
		{"a size that overflows", listing(sibling("weights/a.bin", "9223372036854775808")), "want the description"},
		{"200 GB on a disk with 1 GiB", listing(sibling("weights/a.bin", "200000000000")), "GB are free, want"},
		{"the same file twice", listing(sibling("weights/x.bin", "1")), "weights/x.bin: is listed twice"},
		{"two names that differ in case", listing(sibling("weights/X.bin", "1")), "is listed twice"},
		{"600 files", listing(strings.Split(strings.Repeat(sibling("weights/%.bin", "1")+"\n", 600), "\n")[:600]...),
			"more than 500 files"},
		{"a digest that is not hexadecimal", listing(strings.Replace(sibling("weights/a.bin", "1"),
			strings.Repeat("b", 40), strings.Repeat("/", 40), 1)), "found no valid digest"},
		{"a commit that is not hexadecimal", strings.Replace(listing(), strings.Repeat("c", 40), strings.Repeat(".", 40), 1),
			"want its digest"},
		{"a name of 10,000 letters", listing(sibling("weights/"+strings.Repeat("a", 10_000)+".bin", "1")), plain},
		{"over the limit", `{"sha":"` + strings.Repeat("c", maxListBytes) + `"}`, "more than 2097152 bytes"},
		{"deep", `{"x":` + strings.Repeat("[", 500_000) + strings.Repeat("]", 500_000) + `}`, "want the description"},
		{"600,001 empty objects", `{"sha":"` + strings.Repeat("c", 40) + `","siblings":[` +
			strings.Repeat("{},", 600_000) + `{}]}`, "more than 10000 files"},
	}
	for _, name := range []string{
		"weights/..\\..\\x.bin", "weights/C:x.bin", "weights/.bin", "weights/nul.bin", "weights/COM1.bin",
		"weights/a\x00.bin", "weights/a\n.bin", "weights/ a.bin",
		"weights/a?.bin", "weights/a|b.bin", "weights/\u00e4\xff.bin", "weights/a:b.bin",
	} {
		rows = append(rows, struct{ name, listing, want string }{name, listing(sibling(name, "1")), plain})
	}
	for _, row := range rows {
		var asked atomic.Int32
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			fmt.Fprint(w, row.listing)
		}))
		opts := (&fakeHub{Server: server}).options(t)
		opts.patience.attempts = 1
		opts.freeBytes = func(string) (uint64, error) { return 1 << 30, nil }
		if row.name == "600 files" {
			row.listing = strings.ReplaceAll(row.listing, "%.bin", ".bin")
			for i := range 600 {
				row.listing = strings.Replace(row.listing, `weights/.bin`, fmt.Sprintf(`weights/%d.bin`, i), 1)
			}
		}
		if row.name == "weights/\u00e4\xff.bin" { // json.Marshal replaces the byte by U+FFFD, which makes a plain name
			row.want = ""
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Get(t.Context(), small(), opts)
		runtime.ReadMemStats(&after)
		server.Close()
		if err == nil || !strings.Contains(err.Error(), row.want) || len(err.Error()) > 1000 {
			t.Errorf("%.40q: %.300v, want %q", row.name, err, row.want)
		}
		if taken := (after.TotalAlloc - before.TotalAlloc) >> 20; taken > 200 {
			t.Errorf("%.40q: %d MB", row.name, taken)
		}
		if asked.Load() != 1 && row.want != "" {
			t.Errorf("%.40q: %d requests, want one, for the listing", row.name, asked.Load())
		}
	}
}

// TestEndlessReplies lets a hub send a listing that never ends, is a gigabyte long, or is a gzip bomb.
func TestEndlessReplies(t *testing.T) {
	bomb := func(w io.Writer) {
		z := gzip.NewWriter(w)
		_, _ = z.Write(make([]byte, 64<<20))
		_ = z.Close()
	}
	for _, row := range []struct {
		name   string
		answer http.HandlerFunc
		want   string
	}{
		{"never ends", func(w http.ResponseWriter, r *http.Request) {
			for block := bytes.Repeat([]byte(" "), 64<<10); r.Context().Err() == nil; {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}, "more than 2097152 bytes"},
		{"announces a gigabyte", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000000000")
			_, _ = w.Write(bytes.Repeat([]byte(" "), 3<<20))
		}, "more than 2097152 bytes"},
		{"a gzip bomb", func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Accept-Encoding") != "identity" {
				t.Errorf("Accept-Encoding %q, want identity", r.Header.Get("Accept-Encoding"))
			}
			w.Header().Set("Content-Encoding", "gzip")
			bomb(w)
		}, "want the description of a repository"},
	} {
		server := httptest.NewServer(row.answer)
		opts := (&fakeHub{Server: server}).options(t)
		opts.patience.attempts = 1
		if _, err := Get(t.Context(), small(), opts); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %.300v, want %q", row.name, err, row.want)
		}
		server.CloseClientConnections()
		server.Close()
	}
	// A bomb instead of a file: at most one byte more than the listed size is written, and nothing is unpacked.
	h, _ := smallHub(t)
	h.misbehave = sequence(func(_ int, w http.ResponseWriter, _ *http.Request, _ []byte) bool {
		w.Header().Set("Content-Encoding", "gzip")
		bomb(w)
		return true
	})
	opts := h.options(t)
	if _, err := Get(t.Context(), small(), opts); err == nil {
		t.Error("a bomb instead of a file: no error")
	}
	err := filepath.WalkDir(opts.Dir, func(path string, d fs.DirEntry, err error) error {
		if info, err := os.Stat(path); err == nil && info.Size() > 100_001 {
			t.Errorf("%s has %d bytes", path, info.Size())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFullDisk lets the disk fill up during a download, and resumes it after there is space again.
func TestFullDisk(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, errors.New("file too large")} {
		h, content := smallHub(t)
		opts := h.options(t)
		opts.Parallel = 1
		left := 60_000
		opts.write = func(f *os.File, b []byte) (int, error) {
			n := min(len(b), left)
			left -= n
			written, err := f.Write(b[:n])
			if err == nil && n < len(b) {
				err = &fs.PathError{Op: "write", Path: f.Name(), Err: cause}
			}
			return written, err
		}
		_, err := Get(t.Context(), small(), opts)
		var full *StorageError
		if !errors.As(err, &full) || !errors.Is(err, cause) || full.NeedBytes < 40_000 || full.NeedBytes > 40_200 ||
			full.Dir != opts.Dir {
			t.Fatalf("%v, want a StorageError with about 40,000 missing bytes", err)
		}
		text := err.Error()
		if !strings.Contains(text, "0.0 MB are missing; the files downloaded so far are kept") ||
			strings.Contains(text, "\n") {
			t.Errorf("%q", text)
		}
		seen := len(h.fileRequests())
		if seen > 2 {
			t.Errorf("%d requests on a full disk", seen)
		}
		left = 1 << 30
		dir, err := Get(t.Context(), small(), opts)
		if err != nil {
			t.Fatal(err)
		}
		have, err := os.ReadFile(filepath.Join(dir, "weights", "a.bin"))
		if err != nil || !bytes.Equal(have, content) {
			t.Errorf("%d bytes, %v", len(have), err)
		}
		for _, r := range h.fileRequests()[seen:] {
			if strings.HasSuffix(r.URL.Path, "a.bin") && offsetOf(r) < 59_000 {
				t.Errorf("resumes at %d, want at least 59,000", offsetOf(r))
			}
		}
	}
	// If the system does not report the free space, the download starts.
	h, _ := smallHub(t)
	opts := h.options(t)
	opts.freeBytes = func(string) (uint64, error) { return 0, errors.New("not known") }
	if _, err := Get(t.Context(), small(), opts); err != nil {
		t.Error(err)
	}
}

// childVariable is the environment variable that makes TestTwoProcesses the child process. Its value is the folder of
// models and the hub's address, on two lines.
const childVariable = "KLEINBILD_TEST_DOWNLOAD"

// TestTwoProcesses downloads one model in two processes. The second one returns ErrLocked while the first runs, and
// resumes the download after the first was killed.
func TestTwoProcesses(t *testing.T) {
	if value := os.Getenv(childVariable); value != "" {
		dir, hub, _ := strings.Cut(value, "\n")
		_, err := Get(context.Background(), small(), Options{Dir: dir, BaseURL: hub})
		t.Fatal("the child ended by itself:", err)
	}
	h, content := smallHub(t)
	stalled := make(chan struct{})
	var first atomic.Bool
	h.misbehave = func(w http.ResponseWriter, r *http.Request, content []byte) bool {
		if !strings.HasSuffix(r.URL.Path, "a.bin") || !first.CompareAndSwap(false, true) {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(content)))
		_, _ = w.Write(content[:70_000])
		_ = http.NewResponseController(w).Flush()
		close(stalled)
		<-r.Context().Done()
		return true
	}
	opts := h.options(t)
	child := exec.Command(os.Args[0], "-test.run=^TestTwoProcesses$")
	child.Env = append(os.Environ(), childVariable+"="+opts.Dir+"\n"+h.URL)
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = child.Wait()
		close(ended)
	}()
	defer child.Process.Kill()
	select {
	case <-stalled:
	case <-ended:
		t.Fatal("the child ended")
	}
	part := filepath.Join(opts.Dir, "small.part", "weights", "a.bin.part")
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if info, err := os.Stat(part); err == nil && info.Size() == 70_000 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the child has not written the file")
		}
	}
	if _, err := Get(t.Context(), small(), opts); !errors.Is(err, ErrLocked) {
		t.Errorf("beside another process: %v", err)
	}
	if err := Remove(opts.Dir, "small"); !errors.Is(err, ErrLocked) {
		t.Errorf("Remove beside another process: %v", err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
	seen := len(h.fileRequests())
	dir, err := Get(t.Context(), small(), opts)
	if err != nil {
		t.Fatal(err)
	}
	have, err := os.ReadFile(filepath.Join(dir, "weights", "a.bin"))
	if err != nil || !bytes.Equal(have, content) {
		t.Errorf("%d bytes, %v", len(have), err)
	}
	for _, r := range h.fileRequests()[seen:] {
		if strings.HasSuffix(r.URL.Path, "a.bin") && offsetOf(r) != 70_000 {
			t.Errorf("resumes at %d, want 70,000", offsetOf(r))
		}
	}
}
