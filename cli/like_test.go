package cli

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/adrg/xdg"

	"github.com/kleinbild/kleinbild/inference/picture"
)

func TestLikeRepeats(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "one.png", 80, 64)
	writePicture(t, "two.png", 64, 96)
	for _, row := range []struct {
		name string
		args []string
	}{
		{"text alone", []string{"-p", "a fox, \"quoted\" ≤ <b>", "-s", "18446744073709551615"}},
		{"fewer tokens", []string{"-p", "a fox", "--max-sequence-length", "40"}},
		{"bf16", []string{"-p", "a fox", "--precision", "bf16"}},
		{"a base model's guidance", []string{"-p", "a fox", "-m", model(t, "base"), "--guidance", "2.5"}},
		{"said to be a base model", []string{"-p", "a fox", "--variant", "base"}},
		{"references", []string{"-p", "a fox", "-i", "one.png", "-i", "two.png"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			args := append([]string{"generate", "--size", "64x80", "--steps", "2", "-o", "made.png", "-m",
				model(t, "distilled")}, row.args...)
			mustMake(t, args...)
			want := readFile(t, "made.png")
			again := []string{"generate", "--like", "made.png", "-o", "again.png", "-m", model(t, "distilled")}
			if strings.Contains(row.name, "base model's") {
				again[len(again)-1] = model(t, "base")
			}
			got := mustMake(t, again...)
			if !bytes.Equal(want, readFile(t, "again.png")) {
				t.Errorf("another file than the one repeated; %s", got.err)
			}
			if strings.Contains(got.err, "may differ") {
				t.Errorf("a warning: %s", got.err)
			}
		})
	}
}

func TestLikeChanges(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "one.png", 80, 64)
	mustMake(t, small(t, "-p", "a fox", "-s", "3", "-i", "one.png", "-o", "made.png")...)
	like := func(args ...string) outcome {
		return call("", append([]string{"generate", "--like", "made.png", "-o", "x.png", "-m", model(t, "distilled")},
			args...)...)
	}

	// Other flags change only what they name.
	if got := like("-s", "4", "-a", "match"); got.code != exitOK {
		t.Fatal(got.err)
	}
	var meta struct {
		Prompt        string
		Seed          uint64
		Width, Height int
		References    []struct{ Path, SHA256 string }
	}
	if err := json.Unmarshal([]byte(mustMake(t, "info", "--json", "x.png").out), &meta); err != nil {
		t.Fatal(err)
	}
	if meta.Prompt != "a fox" || meta.Seed != 4 || meta.Width != 80 || meta.Height != 64 || len(meta.References) != 1 ||
		meta.References[0].Path != "one.png" {
		t.Errorf("%+v", meta)
	}

	// References are read from their old paths, unless -i gives new ones.
	if err := os.Rename("one.png", "moved.png"); err != nil {
		t.Fatal(err)
	}
	if got := like(); got.code != exitFailure || !strings.Contains(errorLine(t, got), "one.png") ||
		!strings.Contains(got.err, "give it again with -i") {
		t.Errorf("reference gone: %d %s", got.code, got.err)
	}
	writePicture(t, "one.png", 80, 80)
	before := readFile(t, "x.png")
	got := like()
	if line := errorLine(t, got); got.code != exitFailure || !strings.Contains(line, "one.png") ||
		!strings.Contains(line, "has changed") || !strings.Contains(line, "-i") {
		t.Errorf("reference changed: %d %s", got.code, line)
	}
	if !bytes.Equal(before, readFile(t, "x.png")) {
		t.Error("the refused run replaced its output")
	}
	if got := like("-i", "moved.png"); got.code != exitOK {
		t.Errorf("reference given again: %s", got.err)
	}
	if got := like(); got.code != exitOK {
		t.Errorf("reference found where it was given again: %s", got.err)
	}

	// With another model the picture is another one, and a note names both models.
	if got := call("", "generate", "--like", "made.png", "-i", "moved.png", "-o", "x.png", "-m",
		model(t, "base")); got.code != exitOK || !strings.Contains(got.err, "made with model distilled") {
		t.Errorf("another model: %d %s", got.code, got.err)
	}
}

// TestReferencesAreFound checks where --like finds the references of a picture, whose metadata has only base names: at
// the remembered paths, beside the picture, or in the working directory. If the paths cannot be remembered, the picture
// is made nevertheless.
func TestReferencesAreFound(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, folder := range []string{"photos", "results", "elsewhere"} {
		if err := os.Mkdir(folder, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	home := func(path string) {
		t.Helper()
		t.Setenv("XDG_DATA_HOME", path)
		t.Setenv("LOCALAPPDATA", path)
		xdg.Reload()
	}
	t.Cleanup(xdg.Reload)
	home(filepath.Join(dir, "data"))
	ref, made := filepath.Join("photos", "garden.png"), filepath.Join("results", "made.png")
	writePicture(t, ref, 80, 64)
	got := mustMake(t, small(t, "-p", "a fox", "-s", "3", "-i", ref, "-o", made, "--json")...)
	if file := readFile(t, made); bytes.Contains(file, []byte("photos")) || strings.Contains(got.out, "photos") ||
		!strings.Contains(got.out, `"path":"garden.png"`) {
		t.Errorf("the picture or the report names the folder: %s", got.out)
	}
	if got := mustMake(t, "info", made); strings.Contains(got.out, "photos") || !strings.Contains(got.out, "garden.png") {
		t.Errorf("info: %s", got.out)
	}
	want := readFile(t, made)
	like := func(name string) {
		t.Helper()
		got := call("", "generate", "--like", made, "-o", filepath.Join("elsewhere", "again.png"), "-m",
			model(t, "distilled"))
		if got.code != exitOK || !bytes.Equal(want, readFile(t, filepath.Join("elsewhere", "again.png"))) {
			t.Errorf("%s: exit code %d: %s", name, got.code, got.err)
		}
	}
	like("remembered")
	home(filepath.Join(dir, "nothing remembered"))
	if got := call("", "generate", "--like", made, "-o", "x.png", "-m", model(t, "distilled")); got.code != exitFailure ||
		!strings.Contains(errorLine(t, got), "give it again with -i") {
		t.Errorf("not remembered: %d %s", got.code, got.err)
	}
	if err := os.Rename(ref, filepath.Join("results", "garden.png")); err != nil {
		t.Fatal(err)
	}
	like("beside the picture")
	if err := os.Rename(filepath.Join("results", "garden.png"), "garden.png"); err != nil {
		t.Fatal(err)
	}
	home(filepath.Join(dir, "nothing remembered again"))
	like("here")

	// If the history cannot be written or is damaged, there is a note, and the picture is made.
	writeFile(t, "file", "x")
	home(filepath.Join(dir, "file"))
	got = mustMake(t, small(t, "-p", "a fox", "-i", "garden.png", "-o", "y.png")...)
	if !strings.Contains(got.err, "note: the paths of the references could not be remembered") || got.out != "y.png\n" {
		t.Errorf("out %q, err %q", got.out, got.err)
	}
	home(filepath.Join(dir, "damaged"))
	if err := os.MkdirAll(filepath.Dir(HistoryFile()), 0o777); err != nil {
		t.Fatal(err)
	}
	writeFile(t, HistoryFile(), strings.Repeat("damaged", 10000))
	got = mustMake(t, small(t, "-p", "a fox", "-i", "garden.png", "-o", "y.png")...)
	if !strings.Contains(got.err, "could not be remembered") || len(readFile(t, HistoryFile())) != 70000 {
		t.Errorf("err %q; only the window may set a damaged history aside", got.err)
	}
}

// TestLikeOfStrangeFiles checks that the metadata of a picture is checked as if a user had typed it.
func TestLikeOfStrangeFiles(t *testing.T) {
	t.Chdir(t.TempDir())
	sound := picture.Metadata{
		Prompt: "x", Steps: 1, Guidance: 1, Width: 64, Height: 64, Model: "distilled", Variant: "distilled",
		Precision: "float32", MaxSequenceLength: 32,
	}
	for _, row := range []struct {
		name   string
		change func(*picture.Metadata)
		want   string // the error, "" if the picture can be repeated
	}{
		{"sound", func(*picture.Metadata) {}, ""},
		{"no text tokens", func(m *picture.Metadata) { m.MaxSequenceLength = 0 }, ""},
		{"text tokens", func(m *picture.Metadata) { m.MaxSequenceLength = -1 }, "want 1 to 512"},
		{"steps", func(m *picture.Metadata) { m.Steps = 1 << 40 },
			"like.png: steps: found 1099511627776, want a whole number from 1 to 1000"},
		{"guidance", func(m *picture.Metadata) { m.Guidance = 1e300 }, "want a number from 0 to 100"},
		{"size", func(m *picture.Metadata) { m.Width = -64 }, "like.png: size: found -64x64"},
		{"large size", func(m *picture.Metadata) { m.Width, m.Height = 1<<20, 1<<20 },
			"want each side a multiple of 16 from 64 to 2048"},
		{"variant", func(m *picture.Metadata) { m.Variant = "turbo" }, "want distilled, base or kv"},
		{"precision", func(m *picture.Metadata) { m.Precision = "int4" }, "want auto, float32, bf16, int8 or fp8"},
		{"control characters", func(m *picture.Metadata) { m.Device = "\x1b]0;title\a\n" }, ""},
		{"five references", func(m *picture.Metadata) { m.References = make([]picture.ReferenceFile, 5) },
			"5 reference pictures"},
		{"a reference without a path", func(m *picture.Metadata) { m.References = make([]picture.ReferenceFile, 1) },
			"give it again with -i"},
		{"a prompt with a NUL", func(m *picture.Metadata) { m.Prompt = "a\x00b" }, "NUL at byte 1"},
	} {
		t.Run(row.name, func(t *testing.T) {
			meta := sound
			row.change(&meta)
			var file bytes.Buffer
			if err := picture.EncodePNG(&file, image.NewRGBA(image.Rect(0, 0, 64, 64)), meta); err != nil {
				t.Fatal(err)
			}
			writeFile(t, "like.png", file.String())
			got := call("", "generate", "--like", "like.png", "-m", model(t, "distilled"), "-o", "x.png")
			if (got.code == exitOK) != (row.want == "") || !strings.Contains(got.err, row.want) ||
				strings.ContainsAny(got.err, "\x1b\a") {
				t.Errorf("exit code %d: %q, want %q", got.code, got.err, row.want)
			}
		})
	}
}

func TestInfo(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "ref.png", 64, 64)
	mustMake(t, small(t, "-p", "one\ttab\nand \x1b[31mred", "-s", "3", "-i", "ref.png", "-o", "made.png")...)
	got := mustMake(t, "info", "made.png")
	for _, want := range []string{"seed", "3\n", "64x64", "distilled", "float32", "image 1", "ref.png", "SHA-256",
		Version} {
		if !strings.Contains(got.out, want) {
			t.Errorf("info lacks %q:\n%s", want, got.out)
		}
	}
	// The file may come from a stranger: its metadata must not drive the terminal.
	if strings.Contains(got.out, "\x1b") || strings.Count(got.out, "\n") != 12 {
		t.Errorf("control characters reach the terminal: %q", got.out)
	}
	var meta map[string]any
	if err := json.Unmarshal([]byte(mustMake(t, "info", "--json", "made.png").out), &meta); err != nil ||
		meta["prompt"] != "one\ttab\nand \x1b[31mred" {
		t.Errorf("%v %v", meta, err)
	}
	for _, path := range []string{"ref.png", "gone.png", "."} {
		if got := call("", "info", path); got.code != exitFailure || !strings.Contains(errorLine(t, got), path) {
			t.Errorf("info %s: %d %s", path, got.code, got.err)
		}
	}
}

// TestInfoOfOthers checks that info shows the settings of other programs, with a note for each that was changed or
// ignored, and that such a picture cannot be repeated.
func TestInfoOfOthers(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "plain.png", 64, 64)
	file := readFile(t, "plain.png")
	text := "parameters\x00a fox\nNegative prompt: blur\nSteps: 20, Sampler: Euler a, Seed: 7, " +
		"Size: 100x64, Model: \x1b[31m"
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(text)))
	chunk = append(append(chunk, "tEXt"...), text...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
	const header = 33 // bytes of the signature and of IHDR
	writeFile(t, "other.png", string(slices.Concat(file[:header], chunk, file[header:])))
	got := mustMake(t, "info", "other.png")
	for _, want := range []string{"AUTOMATIC1111", "a fox", "negative prompt", "blur", "seed", "7\n", "96x64",
		"size 100x64 becomes 96x64", "steps", "20\n", "Sampler Euler a", "ignored", "Model "} {
		if !strings.Contains(got.out, want) {
			t.Errorf("info lacks %q:\n%s", want, got.out)
		}
	}
	if strings.Contains(got.out, "\x1b") {
		t.Errorf("control characters reach the terminal: %q", got.out)
	}
	var report struct {
		Program, Prompt      string
		Seed                 *uint64
		Steps, Width, Height int
		Notes, Ignored       []string
	}
	if err := json.Unmarshal([]byte(mustMake(t, "info", "--json", "other.png").out), &report); err != nil ||
		report.Prompt != "a fox" || report.Seed == nil || *report.Seed != 7 || report.Width != 96 ||
		len(report.Notes) != 1 || len(report.Ignored) != 3 {
		t.Errorf("%+v, %v", report, err)
	}
	if got := call("", "generate", "--like", "other.png", "-m", model(t, "distilled")); got.code != exitFailure ||
		!strings.Contains(errorLine(t, got), "kleinbild info") {
		t.Errorf("like: %d %s", got.code, got.err)
	}
}
