//go:build unix

package cli

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/adrg/xdg"

	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/plain"
)

// hostile is text that sets the clipboard (OSC 52), makes a link (OSC 8) and a title, sets colours in C1, changes the
// direction of text, and ends with a line that looks like the program's own. It is a valid file name.
const hostile = "fox\x1b]52;c;cm0gLXJm\a\x1b]8;;mailto:x\x1b\\\x1b]0;title\a\u009b31m" +
	"\u202egnp.exe\u2066\x7f\x9b2J\r\nkleinbild: all is well"

// checkQuiet fails if text drives a terminal, or has the last line of hostile as a line of its own.
func checkQuiet(t *testing.T, what, text string) {
	t.Helper()
	for i, r := range text {
		if r != '\n' && plain.DrivesTerminal(r) || r == utf8.RuneError && !strings.HasPrefix(text[i:], "\uFFFD") {
			t.Errorf("%s: byte %d drives a terminal: %q", what, i, text)
			return
		}
	}
	if strings.Contains(text, "\nkleinbild: all is well") {
		t.Errorf("%s: a line that is not the program's: %q", what, text)
	}
}

// ownHome gives the test folders of its own for all folders that XDG names.
func ownHome(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	for _, name := range []string{"XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "HF_HUB_CACHE", "HF_HOME",
		"KLEINBILD_MODEL", "COMFYUI_PATH"} {
		t.Setenv(name, "")
	}
	xdg.Reload()
	t.Cleanup(xdg.Reload)
	return home
}

// safetensorsOf returns a safetensors file that has only a header.
func safetensorsOf(t *testing.T, header any) string {
	t.Helper()
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	return string(binary.LittleEndian.AppendUint64(nil, uint64(len(text)))) + string(text)
}

// TestNothingDrivesTheTerminal puts hostile text into everything that strangers may have written.
func TestNothingDrivesTheTerminal(t *testing.T) {
	home := ownHome(t)
	t.Chdir(t.TempDir())
	var made bytes.Buffer
	valid := strings.ToValidUTF8(hostile, "?")
	meta := picture.Metadata{
		Prompt: valid, Model: valid, Variant: "distilled", ModelDigest: valid, Precision: "float32", Device: valid,
		Version: valid,
		Width:   64, Height: 64, Steps: 1, Guidance: 1, References: []picture.ReferenceFile{{Path: valid, SHA256: valid}},
	}
	if err := picture.EncodePNG(&made, image.NewRGBA(image.Rect(0, 0, 64, 64)), meta); err != nil {
		t.Fatal(err)
	}
	writeFile(t, "made.png", made.String())
	writeFile(t, hostile+".png", "no picture")
	writeFile(t, "metadata.safetensors", safetensorsOf(t, map[string]any{"__metadata__": map[string]string{valid: valid}}))
	writeFile(t, "tensor.safetensors", safetensorsOf(t,
		map[string]any{valid: map[string]any{"dtype": valid, "shape": []int{1}, "data_offsets": []int{0, 4}}}))
	writeFile(t, "web.safetensors", "<html>"+hostile)
	config := filepath.Join(t.TempDir(), "model")
	if err := os.CopyFS(config, os.DirFS(model(t, "distilled"))); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(config, "model_index.json"), fmt.Sprintf(`{"_class_name": %s}`, mustJSON(t, valid)))
	own := filepath.Join(home, ".local", "share", "kleinbild", "models", hostile)
	broken := filepath.Join(home, ".cache", "huggingface", "hub", "models--x--FLUX.2-klein-4B", "snapshots", hostile)
	for _, dir := range []string{own, broken} {
		if err := os.CopyFS(dir, os.DirFS(config)); err != nil {
			t.Fatal(err)
		}
	}
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.Contains(r.URL.Path, "FLUX.2-klein-4B"): // the body of an error
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, hostile)
		default: // names and digests in the list of files
			digest := strings.Repeat("a", 40)
			_ = json.NewEncoder(w).Encode(map[string]any{"sha": commit, "siblings": []map[string]any{
				{"rfilename": "model_index.json", "size": 1, "blobId": digest},
				{"rfilename": "scheduler/x.json", "size": 1, "blobId": digest},
				{"rfilename": "tokenizer/" + valid, "size": -1},
			}})
		}
	}))
	defer hub.Close()

	for _, row := range []struct {
		name string
		args []string
		want string // a part of the output, to show that it contains the hostile text
	}{
		{"metadata of a picture", []string{"info", "made.png"}, `fox\x1b]52;c;`},
		{"name of a file", []string{"info", hostile + ".png"}, `fox\x1b]52;c;`},
		{"a picture to repeat", []string{"generate", "--like", "made.png", "-m", model(t, "distilled")}, `fox\x1b]52;c;`},
		{"metadata of weights", []string{"generate", "-p", "x", "-m", "metadata.safetensors"}, "metadata.safetensors"},
		{"name of a tensor", []string{"generate", "-p", "x", "-m", "tensor.safetensors"}, "tensor.safetensors"},
		{"a web page for weights", []string{"generate", "-p", "x", "-m", "web.safetensors"}, "web.safetensors"},
		{"a config", []string{"generate", "-p", "x", "-m", config}, `gnp.exe`},
		{"names of models", []string{"models", "list"}, `fox\x1b]52;c;`},
		{"names of models, to doctor", []string{"doctor", "-m", "demo"}, `fox\x1b]52;c;`},
		{"a hub's error", []string{"models", "get", "--base-url", hub.URL}, "status 404"},
		{"a hub's listing", []string{"models", "get", "flux2-klein-base-4b", "--base-url", hub.URL}, "gnp.exe"},
		{"an argument", []string{"models", "verify", hostile}, "kleinbild: "},
		{"an unknown flag", []string{"info", "--" + hostile}, "unknown flag"},
		{"the end of a prompt", []string{"tokens", "-m", model(t, "distilled"), "-p", valid, "--max-sequence-length", "1"},
			"cut off"},
		{"a server's name", []string{"serve", "--no-auth", "--listen", hostile}, "want ADDRESS:PORT"},
	} {
		got := call("", row.args...)
		checkQuiet(t, row.name+", standard output", got.out)
		checkQuiet(t, row.name+", standard error", got.err)
		if !strings.Contains(got.out+got.err, row.want) {
			t.Errorf("%s: nothing like %q in %q, %q", row.name, row.want, got.out, got.err)
		}
	}

	// JSON contains every character, as an escape if it drives a terminal.
	got := mustMake(t, "info", "--json", "made.png")
	checkQuiet(t, "info --json", got.out)
	var read picture.Metadata
	if err := json.Unmarshal([]byte(got.out), &read); err != nil || read.Prompt != valid || read.Device != valid {
		t.Errorf("%v: %q, want %q", err, read.Prompt, valid)
	}
	got = mustMake(t, "models", "list", "--json")
	checkQuiet(t, "models list --json", got.out)
	var rows []modelRow
	if err := json.Unmarshal([]byte(got.out), &rows); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, r := range rows {
		found = found || string(r.PathBytes) == own
	}
	if !found {
		t.Errorf("no path_base64 of %q", own)
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestPathsOnATerminal checks that a program gets the bytes of a path, and a terminal gets escapes for what cannot be
// shown.
func TestPathsOnATerminal(t *testing.T) {
	ownHome(t)
	t.Chdir(t.TempDir())
	name := hostile + ".png"
	if got := mustMake(t, small(t, "-p", "x", "-o", name)...); got.out != name+"\n" {
		t.Errorf("%q, want the bytes of the path", got.out)
	}
	screen, terminal := openTerminal(t)
	said := make(chan string)
	go func() {
		all := make([]byte, 0, 1<<16)
		for buffer := make([]byte, 4096); ; {
			n, err := screen.Read(buffer)
			all = append(all, buffer[:n]...)
			if err != nil {
				said <- string(all)
				return
			}
		}
	}()
	if code := Main(small(t, "-p", "x", "-o", name),
		Streams{In: strings.NewReader(""), Out: terminal, Err: terminal}); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if code := Main([]string{"info", name}, Streams{In: strings.NewReader(""), Out: terminal,
		Err: terminal}); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	ownConfig(t)
	token, err := serveCommand{}.token(t.Context(), withSafeWriters(Streams{Out: terminal, Err: terminal}))
	if err != nil {
		t.Error(err)
	}
	terminal.Close()
	text := <-said
	if !strings.Contains(text, "token: "+token+" (kept in ") {
		t.Errorf("a new token is not shown: %q", text)
	}
	for _, raw := range []string{"\x1b]", "\u009b", "\u202e", "\x9b2J", "\nkleinbild: all is well"} {
		if strings.Contains(text, raw) {
			t.Errorf("%q reaches the terminal: %q", raw, text)
		}
	}
	if !strings.Contains(text, plain.Printable(name)+"\r\n") || !strings.Contains(text, "text tokens  512\r\n") {
		t.Errorf("%q, want %q and the rows of info", text, plain.Printable(name))
	}
}

// TestLogsAreQuiet checks that text of clients is escaped in logs, and that a log in JSON is valid JSON.
func TestLogsAreQuiet(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		s := serve(t, t.TempDir(), "-m", model(t, "distilled"), "--token", "mine", "--log-format", format, "--log-prompts")
		valid := strings.ToValidUTF8(hostile, "?")
		body := fmt.Sprintf(`{"prompt": %s, "size": "64x64", "steps": 1, "user": %s}`, mustJSON(t, valid), mustJSON(t, valid))
		if status, reply := s.fetch(t, "POST", "/v1/images/generations", "mine", strings.NewReader(body)); status != 200 {
			t.Errorf("%d %.200s", status, reply)
		}
		_, _ = s.fetch(t, "GET", "/v1/models/%1b%5d52;c;x%07%c2%9b%e2%80%ae", "mine", nil)
		_, said := s.end(t)
		checkQuiet(t, format, said)
		if strings.Contains(said, "mine") || !strings.Contains(said, "gnp.exe") {
			t.Errorf("%s", said)
		}
		found := false
		for line := range strings.Lines(said) {
			if !strings.HasPrefix(line, "{") {
				continue
			}
			var record struct{ Prompt string }
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Errorf("%v: %s", err, line)
			}
			found = found || record.Prompt == strings.ReplaceAll(valid, "\r\n", "\n")
		}
		if format == "json" && !found {
			t.Errorf("no record has the prompt: %s", said)
		}
	}
}

// TestClosedPipe checks that there is no message if the reader of standard output, such as head, ends early.
func TestClosedPipe(t *testing.T) {
	t.Chdir(t.TempDir())
	mustMake(t, small(t, "-p", strings.Repeat("x", 200), "-o", "x.png")...)
	cmd := program(t, "info", "x.png")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = writer, &said
	err = cmd.Run()
	writer.Close()
	if exit, ok := err.(*exec.ExitError); !ok || !strings.Contains(exit.String(), "broken pipe") || said.Len() > 0 {
		t.Errorf("%v: %s, want an end by SIGPIPE", err, &said)
	}
}
