package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestTokens(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, row := range []struct {
		name, in string
		args     []string
		want     []string // parts of standard output
	}{
		{"template and padding", "", []string{"-p", "hi"}, []string{" of 512 tokens\n"}},
		{"empty prompt", "", []string{"-p", ""}, []string{" of 512 tokens\n"}},
		{"standard input", "hi\n", []string{"-p", "-"}, []string{" of 512 tokens\n"}},
		{"a folder with just a tokenizer", "", []string{"-p", "hi", "-m", filepath.Join(model(t, "distilled"), "tokenizer")},
			[]string{" of 512 tokens\n"}},
		{"a tokenizer.json", "", []string{"-p", "hi", "-m",
			filepath.Join(model(t, "distilled"), "tokenizer", "tokenizer.json")}, []string{" of 512 tokens\n"}},
		{"fewer tokens", "", []string{"-p", "hi", "--max-sequence-length", "40"}, []string{" of 40 tokens\n"}},
		{"cut off", "", []string{"-p", "a red fox in the snow", "--max-sequence-length", "5"},
			[]string{"5 of 5 tokens\n", "cut off: \"", "snow\"\n"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := call(row.in, append([]string{"tokens", "-m", model(t, "distilled")}, row.args...)...)
			for _, want := range row.want {
				if got.code != exitOK || got.err != "" || !strings.Contains(got.out, want) {
					t.Errorf("exit code %d, out %q, err %q; want %q", got.code, got.out, got.err, want)
				}
			}
			if strings.Contains(got.out, "cut off") != (row.name == "cut off") {
				t.Errorf("out %q", got.out)
			}
		})
	}
}

func TestTokensJSON(t *testing.T) {
	args := []string{"tokens", "--json", "-m", filepath.Join(model(t, "distilled"), "tokenizer")}
	lines := func(in string, more ...string) (all []tokenLine) {
		t.Helper()
		got := call(in, append(args, more...)...)
		if got.code != exitOK {
			t.Fatal(got.err)
		}
		for line := range strings.Lines(got.out) {
			var x struct {
				IDs       []int32
				Count     int
				Truncated bool
			}
			if err := json.Unmarshal([]byte(line), &x); err != nil || x.IDs == nil {
				t.Fatalf("%q: %v", line, err)
			}
			all = append(all, tokenLine(x))
		}
		return all
	}
	in := "{\"prompt\": \"hi\"}\n\n{\"prompt\": \"\"}\n{\"prompt\": \"" + strings.Repeat("fox ", 600) + "\"}"
	all := lines(in)
	if len(all) != 3 {
		t.Fatalf("%d lines, want 3", len(all))
	}
	for i, want := range []struct{ truncated bool }{{false}, {false}, {true}} {
		if x := all[i]; len(x.IDs) != 512 || x.Truncated != want.truncated || (x.Count == 512) != want.truncated {
			t.Errorf("line %d: %d ids, count %d, truncated %v", i+1, len(x.IDs), x.Count, x.Truncated)
		}
	}
	raw := lines(in, "--raw")
	for i, x := range raw {
		if len(x.IDs) != x.Count || x.Truncated || i < 2 && x.Count >= all[i].Count {
			t.Errorf("raw line %d: %d ids, count %d of %d, truncated %v", i+1, len(x.IDs), x.Count, all[i].Count, x.Truncated)
		}
	}
	if raw[1].Count != 0 {
		t.Errorf("the empty prompt has %d raw tokens", raw[1].Count)
	}
	if one := lines("", "-p", "hi", "--raw"); len(one) != 1 || one[0].Count != raw[0].Count {
		t.Errorf("-p with --json: %+v", one)
	}

	for _, row := range []struct{ name, in, want string }{
		{"not JSON", "{\"prompt\": \"a\"}\nhello\n", "line 2"},
		{"no prompt", "{\"promt\": \"a\"}\n", "line 1: no prompt"},
		{"prompt no string", "{\"prompt\": 5}\n", "line 1"},
	} {
		got := call(row.in, args...)
		if got.code != exitFailure || !strings.Contains(got.err, row.want) || strings.Count(got.err, "\n") != 1 {
			t.Errorf("%s: exit code %d: %s, want %q", row.name, got.code, got.err, row.want)
		}
	}
}

// TestTokensOfPrompts checks that a prompt on standard input gives the same ids whatever its line ends and its byte
// order mark, and that --json keeps carriage returns.
func TestTokensOfPrompts(t *testing.T) {
	tokens := func(in string, args ...string) string {
		t.Helper()
		got := call(in, append([]string{"tokens", "--raw", "-m", model(t, "distilled")}, args...)...)
		if got.code != exitOK {
			t.Fatal(got.err)
		}
		return got.out
	}
	want := tokens("", "-p", "a house\nin snow")
	for _, in := range []string{"\uFEFFa house\nin snow", "a house\r\nin snow\r\n", "a house\rin snow\r",
		"\uFEFFa house\r\nin snow\n"} {
		if got := tokens(in, "-p", "-"); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	plain, carriage := tokens(`{"prompt": "a\nb"}`, "--json"), tokens("\uFEFF{\"prompt\": \"a\\r\\nb\"}\r\n", "--json")
	if plain == carriage {
		t.Errorf("%s for a line end and for a carriage return and a line end", plain)
	}
	if got := call("{\"prompt\": \"caf\xe9\"}\n", "tokens", "--json", "-m",
		model(t, "distilled")); got.code != exitFailure || !strings.Contains(got.err, "not UTF-8") {
		t.Errorf("exit code %d: %s", got.code, got.err)
	}
}

// TestTokensOfIndex checks that a lower number of tokens in model_index.json holds for each command that reads a
// prompt.
func TestTokensOfIndex(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "m")
	if err := os.CopyFS(dir, os.DirFS(model(t, "distilled"))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model_index.json")
	text := strings.Replace(string(readFile(t, path)), "{", `{"max_sequence_length": 48,`, 1)
	writeFile(t, path, text)
	if got := mustMake(t, "tokens", "-m", dir, "-p", "hi"); !strings.Contains(got.out, " of 48 tokens\n") {
		t.Errorf("%q", got.out)
	}
	if got := mustMake(t, "tokens", "-m", dir, "-p", "hi", "--max-sequence-length", "500"); !strings.Contains(got.out,
		" of 48 tokens\n") {
		t.Errorf("%q", got.out)
	}
}

func TestVersion(t *testing.T) {
	if got := call("", "version"); got != (outcome{0, "kleinbild " + Version + "\n", ""}) {
		t.Errorf("%+v", got)
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}, {"generate", "--help"}} {
		if got := call("", args...); got.code != exitOK || !strings.Contains(got.out, "Usage: kleinbild") || got.err != "" {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

func TestDoctor(t *testing.T) {
	got := mustMake(t, "doctor", "-m", model(t, "distilled"))
	for _, want := range []string{"version", Version, runtime.GOOS, "threads", "GB free", "graphics",
		"kernels are launched through", "distilled", "ready to make pictures"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("doctor lacks %q:\n%s", want, got.out)
		}
	}
	got = mustMake(t, "doctor", "-m", strings.Join([]string{
		filepath.Join(model(t, "single"), "qwen_3_4b.safetensors"),
		filepath.Join(model(t, "single"), "flux2-vae.safetensors"),
		filepath.Join(model(t, "single"), "flux-2-klein-4b.safetensors"), filepath.Join(model(t, "distilled"), "tokenizer"),
	}, ","))
	if !strings.Contains(got.out, "choose the variant base if that is wrong") {
		t.Errorf("there is no note about a guess:\n%s", got.out)
	}
	got = call("", "doctor", "-m", t.TempDir())
	if got.code != exitFailure || !strings.Contains(got.out, "memory") || !strings.Contains(got.err, "no usable model") {
		t.Errorf("no model: %+v", got)
	}
}

func TestBenchCheckpointRefusesWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "precious"), "x")
	got := call("", "bench", "checkpoint", dir)
	if line := errorLine(t, got); got.code != exitFailure || !strings.Contains(line, dir) ||
		!strings.Contains(line, "already exists") {
		t.Errorf("%d %s", got.code, line)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("the folder holds %v %v", list, err)
	}
}

// TestBuiltInTokenizer checks that a checkpoint written by bench has the tokenizer that is part of the program.
func TestBuiltInTokenizer(t *testing.T) {
	files, err := qwen3Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, files); err != nil {
		t.Fatal(err)
	}
	// Diffusers fails without a chat template and the class of the tokenizer.
	for name, part := range map[string]string{
		"chat_template.jinja": "<|im_start|>assistant\\n", "tokenizer_config.json": `"Qwen2Tokenizer"`,
	} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !strings.Contains(string(text), part) {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
	if got := mustMake(t, "tokens", "--raw", "-m", dir, "-p", "Hello world"); got.out != "9707 1879\n" {
		t.Errorf("ids %q, want Qwen3's", got.out)
	}
}
