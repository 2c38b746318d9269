//go:build unix

package cli

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// hubOf serves the tiny checkpoint as each of the catalogue's Diffusers repositories. While slow is set, it sends large
// files in small pieces.
func hubOf(t *testing.T, dir string) (url string, slow, bytesSent *atomic.Int64) {
	t.Helper()
	slow, bytesSent = &atomic.Int64{}, &atomic.Int64{}
	files := map[string][]byte{}
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
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		files[name] = data
		git := sha1.Sum(append(fmt.Appendf(nil, "blob %d\x00", len(data)), data...))
		s := sibling{Name: name, Size: len(data), BlobID: hex.EncodeToString(git[:])}
		if strings.HasSuffix(name, ".safetensors") {
			sum := sha256.Sum256(data)
			s.LFS = &lfs{hex.EncodeToString(sum[:]), len(data)}
		}
		siblings = append(siblings, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			_ = json.NewEncoder(w).Encode(map[string]any{"sha": commit, "siblings": siblings})
			return
		}
		_, name, _ := strings.Cut(r.URL.Path, "/resolve/"+commit+"/")
		data, ok := files[name]
		if !ok {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(&dripping{w, slow, bytesSent}, r, "", time.Time{}, bytes.NewReader(data))
	}))
	t.Cleanup(server.Close)
	return server.URL, slow, bytesSent
}

type dripping struct {
	http.ResponseWriter
	slow, sent *atomic.Int64
}

func (d *dripping) Write(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		piece := p
		if pause := time.Duration(d.slow.Load()); pause > 0 {
			piece = p[:min(len(p), 8<<10)]
			time.Sleep(pause)
		}
		var k int
		k, err = d.ResponseWriter.Write(piece)
		if d.slow.Load() > 0 {
			err = http.NewResponseController(d.ResponseWriter).Flush()
		}
		d.sent.Add(int64(k))
		n, p = n+k, p[k:]
	}
	return n, err
}

// commit is the newest commit of every repository of the hub in these tests.
const commit = "abababababababababababababababababababab"

// TestModelsGet downloads a model with a command that is interrupted and killed on the way, and uses the model.
func TestModelsGet(t *testing.T) {
	home := t.TempDir()
	url, slow, sent := hubOf(t, model(t, "distilled"))
	get := func(more ...string) []string {
		return append([]string{"models", "get", "--base-url", url, "-j", "2"}, more...)
	}
	partial := func() (size int64) {
		_ = filepath.WalkDir(filepath.Join(home, ".local", "share", "kleinbild", "models"),
			func(path string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					if info, err := d.Info(); err == nil {
						size += info.Size()
					}
				}
				return nil
			})
		return size
	}

	slow.Store(int64(5 * time.Millisecond))
	for _, signal := range []os.Signal{os.Interrupt, os.Kill} {
		cmd := inHome(program(t, get()...), home)
		var said bytes.Buffer
		cmd.Stderr = &said
		before := sent.Load()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Second); sent.Load() < before+100_000 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); signal == os.Interrupt &&
			(code != exitInterrupt || !strings.Contains(said.String(), "resumes the download")) {
			t.Errorf("exit code %d: %s", code, said.String())
		}
		if partial() == 0 {
			t.Errorf("%v: nothing is kept", signal)
		}
	}
	slow.Store(0)
	kept, before := partial(), sent.Load()
	cmd := inHome(program(t, get()...), home)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, said.String())
	}
	dir := filepath.Join(home, ".local", "share", "kleinbild", "models", "flux2-klein-4b")
	if string(out) != dir+"\n" || !strings.Contains(said.String(), "licence: Apache-2.0") {
		t.Errorf("out %q, err %q", out, said.String())
	}
	var total int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, _ error) error {
		if info, err := d.Info(); err == nil && !d.IsDir() {
			total += info.Size()
		}
		return nil
	})
	if came := sent.Load() - before; came > total-kept/2 {
		t.Errorf("%d of %d bytes came again, %d were there", came, total, kept)
	}

	for _, row := range []struct {
		args, in string
		code     int
		out, err string
	}{
		{"models get --base-url " + url, "", exitFailure, "", "is already installed"},
		{"models path", "", exitOK, dir + "\n", ""},
		{"models path flux2-klein-4b", "", exitOK, dir + "\n", ""},
		{"models path flux2-klein-9b", "", exitFailure, "", "get it with: kleinbild models get flux2-klein-9b"},
		{"models list", "", exitOK, "Apache-2.0                   " + dir + "\n", ""},
		{"models list --json", "", exitOK, `"path": "` + dir + `"`, ""},
		{"models verify", "", exitOK, dir + "\n", ""},
		{"generate -p fox --size 64x64 --steps 1 -o " + home + "/x.png", "", exitOK, home + "/x.png\n", "flux2-klein-4b"},
		{"models get flux3", "", exitUsage, "", "want one of flux2-klein-4b, "},
		{"models get -j 0", "", exitUsage, "", "--jobs 0, want 1 to 16"},
		{"models get flux2-klein-9b --base-url " + url, "no\n", exitFailure, "", "FLUX Non-Commercial License"},
		{"models get flux2-klein-9b --base-url " + url, "", exitFailure, "", "has to be accepted first"},
		{"models get flux2-klein-9b --base-url " + url, "yes\n", exitOK, "flux2-klein-9b\n", "Do you agree to its licence?"},
		{"models get flux2-klein-base-9b --accept-licence --base-url " + url, "", exitOK, "flux2-klein-base-9b\n", ""},
		{"models rm flux2-klein-9b", "", exitOK, "", ""},
		{"models rm flux2-klein-9b", "", exitFailure, "", "is not installed"},
		{"models rm ../models", "", exitFailure, "", "want the name of a folder"},
	} {
		t.Run(row.args, func(t *testing.T) {
			cmd := inHome(program(t, strings.Fields(row.args)...), home)
			var out, said bytes.Buffer
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(row.in), &out, &said
			_ = cmd.Run() // the exit code is checked below
			if code := cmd.ProcessState.ExitCode(); code != row.code || !strings.Contains(out.String(), row.out) ||
				!strings.Contains(said.String(), row.err) {
				t.Errorf("exit code %d, out %q, err %q; want %d, %q, %q", code, out.String(), said.String(), row.code, row.out,
					row.err)
			}
		})
	}

	weights := filepath.Join(dir, "vae", "diffusion_pytorch_model.safetensors")
	data := readFile(t, weights)
	data[len(data)-1] ^= 1
	writeFile(t, weights, string(data))
	cmd = inHome(program(t, "models", "verify"), home)
	text, _ := cmd.CombinedOutput()
	if cmd.ProcessState.ExitCode() != exitFailure ||
		!strings.Contains(string(text), "vae/diffusion_pytorch_model.safetensors: SHA-256 is ") {
		t.Errorf("%s", text)
	}
}
