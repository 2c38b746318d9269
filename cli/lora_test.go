package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adrg/xdg"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/server/api"
)

// adapters makes a data folder with the adapter style/dusk, and returns its path and that of another adapter.
func adapters(t *testing.T) (dusk, other string) {
	t.Helper()
	golden, err := filepath.Abs(filepath.Join("..", "inference", "testdata", "golden", "lora", "files"))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("COMFYUI_PATH", t.TempDir())
	xdg.Reload()
	t.Cleanup(xdg.Reload)
	folder := filepath.Join(xdg.DataHome, "kleinbild", "loras", "style")
	comfy := filepath.Join(os.Getenv("COMFYUI_PATH"), "models", "loras")
	for _, dir := range []string{folder, comfy} {
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	dusk = filepath.Join(folder, "dusk.safetensors")
	writeFile(t, dusk, string(readFile(t, filepath.Join(golden, "lokr-factorised-lycoris.safetensors"))))
	part := readFile(t, filepath.Join(golden, "with-text-encoder.safetensors"))
	writeFile(t, filepath.Join(comfy, "Part.safetensors"), string(part))
	writeFile(t, filepath.Join(comfy, "notes.txt"), "")
	return dusk, filepath.Join(golden, "split-qkv.safetensors")
}

func TestLoRANames(t *testing.T) {
	adapters(t)
	if got := mustMake(t, "lora", "list"); got.out != "style/dusk\nPart\ndemo-dusk\n" {
		t.Errorf("names:\n%s", got.out)
	}
	got := mustMake(t, "lora", "info", "Part", "-m", model(t, "distilled"))
	for _, want := range []string{"8 of 11", "text encoder", "kind", "LoRA", "rank", "4"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("%q is missing from:\n%s", want, got.out)
		}
	}
	var report loraReport
	text := mustMake(t, "lora", "info", "dusk", "--json", "-m", model(t, "distilled")).out
	if err := json.Unmarshal([]byte(text), &report); err != nil || report.Matched != 28 || report.Total != 28 ||
		report.Name != "style/dusk" || report.Kinds != "LoKr" || report.Problem != "" {
		t.Errorf("%v: %s", err, text)
	}
}

// TestLoRAs makes a picture with adapters from a flag and from the prompt, and repeats it.
func TestLoRAs(t *testing.T) {
	dusk, other := adapters(t)
	t.Chdir(t.TempDir())
	mustMake(t, small(t, "-p", "a fox", "-s", "1", "-o", "plain.png")...)
	got := mustMake(t, small(t, "-p", "a <lora:DUSK:0.8> fox <lora:nope:1>", "--lora", other+":-0.5", "--lora", "part",
		"-s", "1", "-o", "made.png")...)
	for _, want := range []string{"LoRA style/dusk at 0.8: 28 of 28 layers", "LoRA split-qkv at -0.5: 10 of 10 layers",
		"LoRA Part at 1: 8 of 11 layers", "<lora:nope:1> stays in the prompt as text"} {
		if !strings.Contains(got.err, want) {
			t.Errorf("%q is missing from:\n%s", want, got.err)
		}
	}
	info := mustMake(t, "info", "made.png").out
	if !strings.Contains(info, "dusk at 0.8 (SHA-256 d3fb81953e24") || strings.Contains(info, "style") ||
		!strings.Contains(info, "a fox <lora:nope:1>\n") {
		t.Errorf("recorded:\n%s", info)
	}
	// split-qkv is not in a folder for adapters. --like finds it beside the picture.
	like := []string{"generate", "--like", "made.png", "-o", "again.png", "-m", model(t, "distilled")}
	if got := call("", like...); got.code != exitFailure || !strings.Contains(errorLine(t, got), "split-qkv") ||
		!strings.Contains(got.err, "give it with --lora") ||
		!strings.Contains(got.err, "was not found in "+filepath.Dir(filepath.Dir(dusk))) {
		t.Errorf("a file that is gone: %d %s", got.code, got.err)
	}
	writeFile(t, "split-qkv.safetensors", string(readFile(t, other)))
	mustMake(t, like...)
	if !bytes.Equal(readFile(t, "made.png"), readFile(t, "again.png")) {
		t.Error("the repeated picture differs")
	}
	// A file that was renamed is found by its digest.
	renamed := filepath.Join(filepath.Dir(filepath.Dir(dusk)), "evening.safetensors")
	if err := os.Rename(dusk, renamed); err != nil {
		t.Fatal(err)
	}
	mustMake(t, like...)
	if !bytes.Equal(readFile(t, "made.png"), readFile(t, "again.png")) {
		t.Error("the picture repeated with a renamed file differs")
	}
	if err := os.Rename(renamed, dusk); err != nil {
		t.Fatal(err)
	}
	writeFile(t, dusk, string(readFile(t, other)))
	if got := call("", like...); got.code != exitFailure || !strings.Contains(errorLine(t, got), "d3fb81953e24") {
		t.Errorf("a file with another digest: %d %s", got.code, got.err)
	}
	// --lora replaces the adapters of --like; at strength 0 the picture is the plain one.
	mustMake(t, append(like, "--lora", other+":0", "-p", "a fox", "-o", "zero.png")...)
	pixels := func(path string) []byte {
		img, err := png.Decode(bytes.NewReader(readFile(t, path)))
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Appendf(nil, "%v", img)
	}
	if !bytes.Equal(pixels("zero.png"), pixels("plain.png")) {
		t.Error("strength 0 gives another picture than no adapter")
	}
}

// TestEarlierLoRAOfPEFT repeats pictures with two adapters of one name, as PEFT gives to all.
func TestEarlierLoRAOfPEFT(t *testing.T) {
	dusk, other := adapters(t)
	t.Chdir(t.TempDir())
	for name, path := range map[string]string{"one": dusk, "two": other} {
		dir := filepath.Join(filepath.Dir(dusk), name)
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, "adapter_model.safetensors"), string(readFile(t, path)))
	}
	for _, name := range []string{"one", "two"} {
		mustMake(t, small(t, "-p", "a fox", "--lora", "style/"+name+"/adapter_model", "-s", "1", "-o", name+".png")...)
		mustMake(t, "generate", "--like", name+".png", "-o", "again-"+name+".png", "-m", model(t, "distilled"))
		if !bytes.Equal(readFile(t, name+".png"), readFile(t, "again-"+name+".png")) {
			t.Errorf("%s: the repeated picture differs", name)
		}
	}
	if bytes.Equal(readFile(t, "one.png"), readFile(t, "two.png")) {
		t.Error("two adapters gave one picture")
	}
}

func TestLoRARefusals(t *testing.T) {
	_, other := adapters(t)
	t.Chdir(t.TempDir())
	writeFile(t, "cut.safetensors", string(readFile(t, other)[:1000]))
	for _, row := range []struct {
		value, want string
		code        int
	}{
		{"nope", "neither a file nor a name", exitUsage},
		{"nope.safetensors", "nope.safetensors", exitFailure},
		{other + ":11", `--lora: found "split-qkv" with strength 11`, exitUsage},
		{other + ":nan", "with strength NaN", exitUsage},
		{other + ":1e999", "with strength +Inf", exitUsage},
		{"cut.safetensors", "incomplete", exitFailure},
		{filepath.Join(filepath.Dir(other), "text-encoder-only.safetensors"), "text encoders only", exitFailure},
		{filepath.Join(model(t, "single"), "flux-2-klein-4b.safetensors"), "whole checkpoint", exitFailure},
	} {
		got := call("", small(t, "-p", "x", "--lora", row.value)...)
		if got.code != row.code || !strings.Contains(errorLine(t, got), row.want) {
			t.Errorf("%s: exit code %d, want %d; %s", row.value, got.code, row.code, got.err)
		}
	}
	if got := call("", small(t, "-p", "x", "-m", other)...); !strings.Contains(errorLine(t, got), "as its LoRA") {
		t.Errorf("an adapter as the model: %s", got.err)
	}
}

// TestRemoteLoRAs asks other computers for adapters that they do not have: one that has two, and an older one that
// takes none. No answer names this computer's folders.
func TestRemoteLoRAs(t *testing.T) {
	adapters(t)
	t.Chdir(t.TempDir())
	ownConfig(t)
	mustMake(t, small(t, "-p", "a fox", "--lora", "dusk:0.8", "-s", "1", "-o", "made.png")...)
	described := api.Engine{
		Program: api.Program, Version: "9.9", Protocol: api.Protocol, Features: []api.Feature{api.References},
		Model: api.Model{
			Name: "m", Digest: "d", Variant: inference.Distilled, Steps: 4, Guidance: 1, NativeSize: 1024,
			MaxSequenceLength: 512, TokenChannels: 128, MaxReferences: 4,
		},
	}
	older := described
	described.Features = append(described.Features, api.LoRAs)
	for _, row := range []struct {
		name   string
		engine api.Engine
		args   []string
		want   string
	}{
		{"older", older, []string{"-p", "x", "--lora", "dusk"}, "takes no LoRAs from here, want a newer version there"},
		{"older", older, []string{"--like", "made.png"}, "takes no LoRAs from here, want a newer version there"},
		{"newer", described, []string{"-p", "x", "--lora", "dusk"}, "the other computer has no LoRA of that name"},
		{"newer", described, []string{"--like", "made.png"}, "the other computer has no LoRA dusk, want the file"},
	} {
		reply := func(w http.ResponseWriter, value any) {
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(value); err != nil {
				t.Error(err)
			}
		}
		mux := http.NewServeMux()
		mux.HandleFunc(api.PathEngine, func(w http.ResponseWriter, _ *http.Request) { reply(w, row.engine) })
		mux.HandleFunc(api.PathLoRAs, func(w http.ResponseWriter, _ *http.Request) {
			reply(w, api.LoRAList{Object: "list", Data: []api.LoRA{{Name: "dawn"}, {Name: "demo-dawn"}}})
		})
		other := httptest.NewServer(mux)
		got := call("", append([]string{"generate", "--server", other.URL, "--token", "word", "-o", "x.png"}, row.args...)...)
		other.Close()
		if got.code == exitOK || !strings.Contains(got.err, row.want) || strings.Contains(got.err, "lora list") {
			t.Errorf("%s, %q: exit code %d, %s; want %q", row.name, row.args, got.code, got.err, row.want)
		}
	}
}

// TestRemoteLoRAsOfOneName repeats a picture on another computer that has two adapters with the last part of the name
// that the picture knows: the one with the picture's digest is asked for.
func TestRemoteLoRAsOfOneName(t *testing.T) {
	dusk, _ := adapters(t)
	t.Chdir(t.TempDir())
	ownConfig(t)
	mustMake(t, small(t, "-p", "a fox", "--lora", "dusk:0.8", "-s", "1", "-o", "made.png")...)
	info, err := inference.DescribeLoRA(t.Context(), inference.LoRA{Path: dusk})
	if err != nil {
		t.Fatal(err)
	}
	digests := map[string]string{"a/dusk": strings.Repeat("1", 64), "b/dusk": info.Digest}
	asked := ""
	mux := http.NewServeMux()
	reply := func(w http.ResponseWriter, value any) {
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(value); err != nil {
			t.Error(err)
		}
	}
	mux.HandleFunc(api.PathEngine, func(w http.ResponseWriter, _ *http.Request) {
		reply(w, api.Engine{
			Program: api.Program, Version: "9.9", Protocol: api.Protocol,
			Features: []api.Feature{api.References, api.LoRAs},
			Model: api.Model{
				Name: "m", Digest: "d", Variant: inference.Distilled, Steps: 4, Guidance: 1, NativeSize: 1024,
				MaxSequenceLength: 512, TokenChannels: 128, MaxReferences: 4,
			},
		})
	})
	mux.HandleFunc(api.PathLoRAs, func(w http.ResponseWriter, r *http.Request) {
		list := api.LoRAList{Object: "list", Data: []api.LoRA{{Name: "a/dusk"}, {Name: "b/dusk"}}}
		if name := r.URL.Query().Get(api.ParameterName); name != "" {
			fit := &api.LoRAFit{SHA256: digests[name], Matched: 28, Total: 28, Triggers: []string{}}
			list.Data = []api.LoRA{{Name: name, Fit: fit}}
		}
		reply(w, list)
	})
	mux.HandleFunc(api.PathGenerate, func(w http.ResponseWriter, r *http.Request) {
		asked = r.FormValue("loras")
		http.Error(w, "{}", http.StatusBadRequest)
	})
	other := httptest.NewServer(mux)
	defer other.Close()
	got := call("", "generate", "--server", other.URL, "--token", "word", "-o", "x.png", "--like", "made.png")
	if want := `"name":"b/dusk","strength":0.8`; !strings.Contains(asked, want) {
		t.Errorf("asked for %s, want %s; %s", asked, want, got.err)
	}
}

// TestSplitLoRA has the colons of drives, names and strengths.
func TestSplitLoRA(t *testing.T) {
	there := func(path string) bool { return path == "odd:1" }
	for _, row := range []struct {
		text     string
		windows  bool
		file     string
		strength float64
	}{
		{"dusk", false, "dusk", 1}, {"dusk:0.8", false, "dusk", 0.8}, {"dusk:-2", false, "dusk", -2},
		{"a/b.safetensors:.5", false, "a/b.safetensors", 0.5}, {"odd:1", false, "odd:1", 1}, {"odd:1:2", false, "odd:1", 2},
		{"dusk:night", false, "dusk:night", 1}, {"dusk:", false, "dusk:", 1}, {"", false, "", 1},
		{`C:\x.safetensors`, true, `C:\x.safetensors`, 1}, {`C:\x.safetensors:0.5`, true, `C:\x.safetensors`, 0.5},
		{"c:1", true, "c:1", 1}, {"c:1", false, "c", 1}, {"c:1:2", true, "c:1", 2},
	} {
		file, strength := splitLoRA(row.text, row.windows, there)
		if file != row.file || strength != row.strength {
			t.Errorf("%q: %q at %v, want %q at %v", row.text, file, strength, row.file, row.strength)
		}
	}
}
