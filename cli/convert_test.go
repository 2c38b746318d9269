package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adrg/xdg"
)

// TestConvertAndQuality converts the demo model's transformer, compares it with the original, and reads the table and
// the JSON.
func TestConvertAndQuality(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.gguf")
	got := mustMake(t, "models", "convert", "-m", "demo", "--to", "q8_0", path)
	if strings.TrimSpace(got.out) != path || !strings.Contains(got.err, "-m "+path+",demo") {
		t.Errorf("output %q and %q, want the path, and how to use the file", got.out, got.err)
	}
	compare := []string{"bench", "quality", "-m", "demo", "-m", path + ",demo", "--size", "64x64", "-s", "1",
		"--device", "cpu", "--precision", "float32", "-p", "a red house"}
	lines := strings.Split(strings.TrimSpace(mustMake(t, append(compare, "--json")...).out), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines, want one for each model: %q", len(lines), lines)
	}
	var q struct {
		Model      string
		Embeds     float64
		Velocities []float64
		PSNR       *float64
	}
	if err := json.Unmarshal([]byte(lines[0]), &q); err != nil || q.PSNR != nil || len(q.Velocities) != 1 {
		t.Errorf("%s: %v, want a model without distance from itself", lines[0], err)
	}
	if err := json.Unmarshal([]byte(lines[1]), &q); err != nil || q.PSNR == nil || *q.PSNR < 45 ||
		q.Model != path+",demo" ||
		!(q.Velocities[0] > 0.001 && q.Velocities[0] < 0.02) {
		t.Errorf("%s: %v, want a small distance", lines[1], err)
	}
	table := mustMake(t, compare...).out
	if rows := strings.Split(strings.TrimSpace(table), "\n"); len(rows) != 4 || !strings.Contains(rows[2], "| equal |") ||
		strings.Count(rows[0], "|") != strings.Count(rows[3], "|") {
		t.Errorf("table\n%s\nwant a head and a row for each model", table)
	}
}

// TestHowToUse follows what convert says about the use of a file, for each form of a model that people name: the list
// must be a model with the new weights.
func TestHowToUse(t *testing.T) {
	single, dir := model(t, "single"), t.TempDir()
	flux, qwen := filepath.Join(single, "flux-2-klein-4b.safetensors"), filepath.Join(single, "qwen_3_4b.safetensors")
	vae := filepath.Join(single, "flux2-vae.safetensors")
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("COMFYUI_PATH", dir)
	xdg.Reload()
	t.Cleanup(xdg.Reload)
	for under, path := range map[string]string{"diffusion_models": flux, "text_encoders": qwen, "vae": vae} {
		folder := filepath.Join(dir, "models", under)
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(folder, filepath.Base(path)), string(readFile(t, path)))
	}
	tokenizer := filepath.Join(model(t, "distilled"), "tokenizer", "tokenizer.json")
	for _, row := range []struct{ name, model, want string }{
		{"a folder", model(t, "distilled"), "," + model(t, "distilled")},
		{"a name of single files", "flux-2-klein-4b", "qwen_3_4b.safetensors,"},
		{"a list of files", strings.Join([]string{flux, qwen, vae}, ","), "," + qwen + "," + vae},
		{"the network alone", flux, ""},
	} {
		path := filepath.Join(t.TempDir(), "x.gguf")
		got := mustMake(t, "models", "convert", "-m", row.model, "--to", "q8_0", path)
		_, spec, found := strings.Cut(strings.TrimSpace(got.err), "use it with: -m ")
		if row.want == "" {
			if found || !strings.Contains(got.err, "use it in place of the transformer") {
				t.Errorf("%s: says %q", row.name, got.err)
			}
			continue
		}
		if !strings.HasPrefix(spec, path) || !strings.Contains(spec, row.want) {
			t.Errorf("%s: says %q, want a list with %q", row.name, got.err, row.want)
		}
		if made := mustMake(t, "doctor", "-m", spec+","+tokenizer, "--device", "cpu"); !strings.Contains(made.out, "Q8_0") {
			t.Errorf("%s: %s", row.name, made.out)
		}
	}
}

func TestConvertMistakes(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "there.gguf")
	if err := os.WriteFile(there, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		args string
		code int
		want string
	}{
		{"models convert -m demo --to q9 " + there, exitUsage, "Q8_0, int8, fp8"},
		{"models convert -m demo --to fp8 " + there, exitUsage, "ends in .safetensors"},
		{"models convert -m demo --to q8_0 --weighted " + there, exitUsage, "one formula"},
		{"models convert -m demo --to q4_k --plain --weighted " + there, exitUsage, "--plain"},
		{"models convert -m demo --to q4_k --part vae " + there, exitUsage, "text-encoder"},
		{"models convert -m demo --to q4_k", exitUsage, "<file>"},
		{"models convert -m demo " + there, exitUsage, "--to"},
		{"models convert -m demo --to q4_k " + there, exitFailure, "exists already"},
		{"models convert -m " + dir + "/absent --to q4_k " + dir + "/x.gguf", exitFailure, "absent"},
		{"bench quality -m demo", exitUsage, "at least two"},
		{"bench quality -m demo -m demo --steps 9999", exitUsage, "--steps"},
		{"bench quality -m demo -m demo --size 65x64", exitUsage, "multiples of 16"},
		{"bench quality -m demo -m demo -m demo --precision float32,int8", exitUsage, "one for each"},
		{"bench quality -m demo -m demo --precision float32,int4", exitUsage, "int4"},
		{"bench quality -m demo -m demo --device gpu", exitUsage, "gpu"},
	} {
		got := call("", strings.Fields(row.args)...)
		if got.code != row.code || !strings.Contains(got.err, row.want) || strings.Count(got.err, "\n") != 1 {
			t.Errorf("%s: exit code %d, %q, want %d and one line with %q", row.args, got.code, got.err, row.code, row.want)
		}
	}
	if text, err := os.ReadFile(there); err != nil || string(text) != "mine" {
		t.Errorf("the file holds %q, want what it held (%v)", text, err)
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("%d files stay, want one", len(list))
	}
}
