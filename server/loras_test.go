package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/adrg/xdg"

	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/server/api"
)

// fakeAdapting is an engine that takes adapters: of each 3 of 4 layers fit, except for one that does not fit, and those
// in the folder peft, which are really opened.
type fakeAdapting struct{ *fakeEngine }

func (fakeAdapting) LoRA(ctx context.Context, l inference.LoRA) (inference.LoRAInfo, error) {
	if strings.HasPrefix(l.Name, "peft/") {
		return inference.DescribeLoRA(ctx, l)
	}
	if l.Name == "bad" {
		return inference.LoRAInfo{}, errors.New("lora: " + l.Path + ": found nothing")
	}
	return inference.LoRAInfo{Name: l.Name, Matched: 3, Total: 4}, nil
}

func (a fakeAdapting) Info() inference.Info {
	i := a.fakeEngine.Info()
	i.Digest = "0123"
	return i
}

// loraFolder makes a data folder, and returns the path of its folder for adapters, which is not there yet.
func loraFolder(t *testing.T) string {
	t.Helper()
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	t.Setenv("COMFYUI_PATH", t.TempDir())
	xdg.Reload()
	t.Cleanup(xdg.Reload)
	return filepath.Join(xdg.DataHome, "kleinbild", "loras")
}

// TestLoRAConfigErrors checks that errors about PEFT's config beside an adapter name the config, and no folder.
func TestLoRAConfigErrors(t *testing.T) {
	peft := filepath.Join(loraFolder(t), "peft")
	adapter, err := os.ReadFile(filepath.Join("..", "inference", "testdata", "golden", "lora", "files",
		"split-qkv.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]string{"text": "[", "alpha": `{"lora_alpha": -1}`, "folder": ""} {
		dir := filepath.Join(peft, name)
		beside := filepath.Join(dir, "adapter_config.json")
		err := os.MkdirAll(dir, 0o777)
		if err == nil && config == "" {
			err = os.Mkdir(beside, 0o777)
		} else if err == nil {
			err = os.WriteFile(beside, []byte(config), 0o666)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "adapter_model.safetensors"), adapter, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
		s := start(t, fakeAdapting{&fakeEngine{}}, nil)
		lora := "peft/" + name + "/adapter_model"
		described := s.get(t, pathLoRAs+"?name="+url.QueryEscape(lora))
		asked := s.generateWith(t, prompt(), text("loras", `[{"name": "`+lora+`"}]`))
		if described.status != http.StatusOK || asked.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: status %d of the description, %d of the picture", name, described.status, asked.status)
		}
		for _, body := range []string{string(described.body), string(asked.body)} {
			if !strings.Contains(body, "lora: "+lora+": ") || !strings.Contains(body, " adapter_config.json: ") ||
				strings.Contains(body, xdg.DataHome) || strings.Contains(body, "loras/peft") {
				t.Errorf("%s: %s", name, body)
			}
		}
	}
}

func TestLoRAs(t *testing.T) {
	folder := loraFolder(t)
	if err := os.MkdirAll(filepath.Join(folder, "style"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"style/dusk", "bad"} {
		if err := os.WriteFile(filepath.Join(folder, filepath.FromSlash(name)+".safetensors"), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	engine := fakeAdapting{&fakeEngine{}}
	s := start(t, engine, nil)
	g := s.get(t, pathLoRAs)
	var list api.LoRAList
	if err := json.Unmarshal(g.body, &list); err != nil || len(list.Data) != 3 || list.Data[0].Name != "bad" ||
		list.Data[1].Name != "style/dusk" || list.Data[2].Name != "demo-dusk" || list.Data[1].Fit != nil ||
		strings.Contains(string(g.body), "safetensors") {
		t.Errorf("the list: %v %s", err, g.body)
	}
	for name, want := range map[string]string{
		"dusk": `200 {"name":"style/dusk","fit":{`, "style/dusk": `"matched":3,"total":4`,
		"bad": `"problem":"lora: bad: found nothing"`, "nope": `422 {`, "": `422 {`, "../loras/bad": `422 {`,
	} {
		g := s.get(t, pathLoRAs+"?name="+url.QueryEscape(name))
		if got := fmt.Sprint(g.status, " ", string(g.body)); !strings.Contains(strings.ReplaceAll(got,
			`{"object":"list","data":[`, ""), want) || strings.Contains(got, xdg.DataHome) {
			t.Errorf("one by name, %q: %s, want %s", name, got, want)
		}
	}
	for _, row := range []struct {
		name, loras, prompt string
		status              int
		want                string // of the header, the warning or the error
		strengths           []float64
		left                string // of the prompt
	}{
		{"by name", `[{"name": "style/dusk", "strength": -0.5}]`, "x", 200, "style/dusk=3/4", []float64{-0.5}, "x"},
		{"without a strength", `[{"name": "dusk"}]`, "x", 200, "style/dusk=3/4", []float64{1}, "x"},
		{"none", `[]`, "x", 200, "", nil, "x"},
		{"in the prompt", "", "a <lora:dusk:0.8> x", 200, "style/dusk=3/4", []float64{0.8}, "a x"},
		{"unknown in the prompt", "", "a <lora:nope> x", 200, "<lora:nope>", nil, "a <lora:nope> x"},
		{"no number in the prompt", "", "<lora:dusk:x>", 200, "<lora:dusk:x>", nil, "<lora:dusk:x>"},
		{"a path", `[{"name": "` + filepath.ToSlash(folder) + `/style/dusk"}]`, "x", 422, "is not here", nil, ""},
		{"a way out", `[{"name": "../loras/style/dusk"}]`, "x", 422, "is not here", nil, ""},
		{"another field", `[{"name": "dusk", "path": "/etc/passwd"}]`, "x", 422, "want a JSON array", nil, ""},
		{"no name", `[{"strength": 1}]`, "x", 422, "found no name", nil, ""},
		{"no array", `dusk`, "x", 422, `loras: found "dusk"`, nil, ""},
		{"too strong", `[{"name": "dusk", "strength": 10.5}]`, "x", 422, "with strength 10.5", nil, ""},
		{"too strong in the prompt", ``, "<lora:dusk:99>", 422, "with strength 99", nil, ""},
		{"too many", "[" + strings.Repeat(`{"name": "dusk"},`, 16) + `{"name": "dusk"}]`, "x", 422, "found 17", nil, ""},
		{"does not fit", `[{"name": "bad"}]`, "x", 422, "loras: lora: bad: found nothing", nil, ""},
	} {
		before := engine.runs()
		parts := []part{text("prompt", row.prompt)}
		if row.loras != "" {
			parts = append(parts, text("loras", row.loras))
		}
		g := s.generateWith(t, parts...)
		got := g.header.Get(headerLoRAs) + g.header.Get("Warning")
		if g.status != http.StatusOK {
			got = string(g.body)
			if strings.Contains(strings.ReplaceAll(got, row.prompt, ""), xdg.DataHome) && row.name != "a path" {
				t.Errorf("%s: a path in %s", row.name, got)
			}
		}
		if g.status != row.status || !strings.Contains(strings.ReplaceAll(got, `\"`, `"`), row.want) {
			t.Errorf("%s: %d %s, want %d %q", row.name, g.status, got, row.status, row.want)
			continue
		}
		if row.status != http.StatusOK {
			continue
		}
		seen := engine.seen()[before]
		var strengths []float64
		for _, l := range seen.LoRAs() {
			strengths = append(strengths, l.Strength)
		}
		if len(strengths) != len(row.strengths) || len(strengths) > 0 && strengths[0] != row.strengths[0] ||
			seen.Prompt() != row.left {
			t.Errorf("%s: strengths %v and prompt %q, want %v and %q", row.name, strengths, seen.Prompt(), row.strengths,
				row.left)
		}
	}
	// Another Kleinbild's prompt stays as it is.
	before := engine.runs()
	g = s.generateWith(t, text("prompt", "<lora:dusk>"), text("model_digest", engine.Info().Digest))
	if g.status != http.StatusOK || engine.seen()[before].Prompt() != "<lora:dusk>" || g.header.Get(headerLoRAs) != "" {
		t.Errorf("another Kleinbild's prompt: %d, adapters %q, %s", g.status, g.header.Get(headerLoRAs), g.body)
	}
	// An engine that takes no adapters refuses them.
	plain := start(t, &fakeEngine{}, nil)
	if g := plain.generateWith(t, prompt(), text("loras", `[{"name": "dusk"}]`)); g.status != 422 {
		t.Errorf("an engine without adapters: %d %s", g.status, g.body)
	}
}
