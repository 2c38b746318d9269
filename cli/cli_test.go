package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/adrg/xdg"

	"github.com/kleinbild/kleinbild/inference/checkpoint/synthetic"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// asProgram is an environment variable that makes the test binary behave as the program, for tests that need a process
// of their own.
const asProgram = "KLEINBILD_TEST_AS_PROGRAM"

// tiny writes the tiny checkpoints once for all tests.
var tiny = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "kleinbild-cli-")
	if err != nil {
		return "", err
	}
	return dir, errors.Join(
		synthetic.WriteTiny(filepath.Join(dir, "distilled"), synthetic.TinyDistilled()),
		synthetic.WriteTiny(filepath.Join(dir, "base"), synthetic.TinyBase()),
		synthetic.WriteSingleFiles(context.Background(), filepath.Join(dir, "single"), synthetic.TinyDistilled()),
	)
})

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(Main(os.Args[1:], Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
	}
	// The tests must not use the user's own data.
	home, err := os.MkdirTemp("", "kleinbild-cli-home-")
	if err != nil {
		panic(err)
	}
	os.Setenv("XDG_DATA_HOME", home)
	xdg.Reload()
	code := m.Run()
	os.RemoveAll(home)
	if dir, err := tiny(); err == nil {
		os.RemoveAll(dir)
	}
	os.Exit(code)
}

func model(t testing.TB, name string) string {
	t.Helper()
	dir, err := tiny()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

// outcome is the exit code and the output of a call of Main.
type outcome struct {
	code     int
	out, err string
}

// call runs the command line. It does so in an empty working directory, unless the test has changed the working
// directory already.
func call(in string, args ...string) outcome {
	var out, stderr bytes.Buffer
	code := Main(args, Streams{In: strings.NewReader(in), Out: &out, Err: &stderr})
	return outcome{code, out.String(), stderr.String()}
}

// small returns flags for a picture that takes a fraction of a second.
func small(t testing.TB, more ...string) []string {
	return append([]string{"generate", "-m", model(t, "distilled"), "--precision", "float32", "--size", "64x64",
		"--steps", "1"}, more...)
}

func mustMake(t *testing.T, args ...string) outcome {
	t.Helper()
	got := call("", args...)
	if got.code != exitOK {
		t.Fatalf("%q: exit code %d: %s", args, got.code, got.err)
	}
	return got
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
}

// names lists the files in the working directory.
func names(t *testing.T) []string {
	t.Helper()
	list, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range list {
		all = append(all, e.Name())
	}
	return all
}

// writePicture writes a reference of width × height pixels.
func writePicture(t *testing.T, path string, width, height int) {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.Set(x, y, color.RGBA{uint8(x * 3), uint8(y * 2), uint8(x + y), 255})
		}
	}
	var data bytes.Buffer
	if err := png.Encode(&data, img); err != nil {
		t.Fatal(err)
	}
	writeFile(t, path, data.String())
}

// errorLine checks that standard error is one line that begins with the name of the program, and returns it.
func errorLine(t *testing.T, got outcome) string {
	t.Helper()
	line, rest, _ := strings.Cut(got.err, "\n")
	if got.out != "" || rest != "" || !strings.HasPrefix(line, "kleinbild: ") {
		t.Errorf("out %q, err %q, want one line on standard error", got.out, got.err)
	}
	return line
}

func TestGenerateOutput(t *testing.T) {
	t.Chdir(t.TempDir())
	got := mustMake(t, small(t, "-p", "a red fox", "-s", "7", "-o", "fox.png")...)
	if got.out != "fox.png\n" {
		t.Errorf("standard output %q, want the path alone", got.out)
	}
	// Without a terminal there are lines of text, no bar and no control characters.
	for _, want := range []string{"seed 7: prompt\n", "seed 7: step 1/1", "seed 7: decode\n"} {
		if !strings.Contains(got.err, want) {
			t.Errorf("progress lacks %q:\n%s", want, got.err)
		}
	}
	if strings.ContainsAny(got.err, "\r\x1b") {
		t.Errorf("control characters in %q", got.err)
	}
	if img, err := png.Decode(bytes.NewReader(readFile(t, "fox.png"))); err != nil ||
		img.Bounds() != image.Rect(0, 0, 64, 64) {
		t.Errorf("fox.png: %v %v", img, err)
	}

	got = mustMake(t, small(t, "-p", "a red fox", "-s", "7", "--json", "-o", "again.png")...)
	var rep struct {
		Path, Workflow, Prompt, Version string
		Seed                            uint64
		Seconds                         float64
		Stages                          map[string]float64
	}
	if err := json.Unmarshal([]byte(got.out), &rep); err != nil || strings.Count(got.out, "\n") != 1 {
		t.Fatalf("%q: %v, want one line of JSON", got.out, err)
	}
	if rep.Path != "again.png" || rep.Workflow != "t2i" || rep.Prompt != "a red fox" || rep.Version != Version ||
		rep.Seed != 7 || rep.Seconds <= 0 || len(rep.Stages) != 3 {
		t.Errorf("report %+v", rep)
	}
	if !bytes.Equal(readFile(t, "fox.png"), readFile(t, "again.png")) {
		t.Error("the same command gave another file")
	}
}

func TestGenerateNames(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"by seed", []string{"-s", "5"}, "kleinbild-5.png\n"},
		{"numbered where that exists", []string{"-s", "5"}, "kleinbild-5-2.png\n"},
		{"seeds count up", []string{"-s", "5", "-n", "2"}, "kleinbild-5-3.png\nkleinbild-6.png\n"},
		{"a name for several", []string{"-s", "8", "-n", "2", "-o", "a.b.png"}, "a.b-8.png\na.b-9.png\n"},
		{"the last seed and the first", []string{"-s", "18446744073709551615", "-n", "2"},
			"kleinbild-18446744073709551615.png\nkleinbild-0.png\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := mustMake(t, small(t, append([]string{"-p", "x"}, row.args...)...)...); got.out != row.want {
				t.Errorf("paths %q, want %q", got.out, row.want)
			}
		})
	}
	if !bytes.Equal(readFile(t, "kleinbild-5.png"), readFile(t, "kleinbild-5-3.png")) ||
		bytes.Equal(readFile(t, "kleinbild-5.png"), readFile(t, "kleinbild-6.png")) {
		t.Error("a seed does not decide the picture")
	}
}

func TestGeneratePrompts(t *testing.T) {
	t.Chdir(t.TempDir())
	long := strings.Repeat("many words ", 600)
	for _, row := range []struct {
		name, flag, in, want string
		truncated            bool
	}{
		{"empty", "--prompt=", "", "", false},
		{"begins with a dash", "--prompt=-5 degrees", "", "-5 degrees", false},
		{"standard input", "--prompt=-", "a fox\non snow\r\n", "a fox\non snow", false},
		{"byte order mark and Windows' line ends", "--prompt=-", "\uFEFFa fox\r\non snow\r\n", "a fox\non snow", false},
		{"Windows' line ends in an argument", "--prompt=a fox\r\non snow", "", "a fox\non snow", false},
		{"too long", "--prompt=" + long, "", long, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := call(row.in, small(t, row.flag, "-o", "x.png")...)
			if got.code != exitOK {
				t.Fatal(got.err)
			}
			m, err := picture.ReadMetadataFile("x.png")
			if err != nil || m.Prompt != row.want {
				t.Errorf("prompt %.40q, %v, want %.40q", m.Prompt, err, row.want)
			}
			if strings.Contains(got.err, "cut off") != row.truncated {
				t.Errorf("truncated %v: %s", row.truncated, got.err)
			}
		})
	}
}

func TestGenerateSizes(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "a.png", 100, 70)
	writePicture(t, "b.png", 64, 128)
	// These are the shapes of a model for pictures of 128 pixels, which are small.
	spec := synthetic.TinyDistilled()
	spec.VAE.SampleSize = 128
	if err := synthetic.WriteTiny("m128", spec); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"default", nil, "160x96"},
		{"square", []string{"-a", "square"}, "128x128"},
		{"wide", []string{"-a", "wide"}, "192x80"},
		{"a ratio", []string{"-a", "21:9"}, "192x80"},
		{"in capitals", []string{"-a", "Photo V"}, "96x144"},
		{"exact", []string{"--size", "64X80"}, "64x80"},
		{"match", []string{"-a", "match", "-i", "a.png", "-i", "b.png"}, "96x64"},
	} {
		t.Run(row.name, func(t *testing.T) {
			mustMake(t, append([]string{"generate", "-m", "m128", "--steps", "1", "-p", "x", "-o", "x.png"}, row.args...)...)
			m, err := picture.ReadMetadataFile("x.png")
			if have := fmt.Sprintf("%dx%d", m.Width, m.Height); err != nil || have != row.want {
				t.Errorf("size %s, %v, want %s", have, err, row.want)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	t.Chdir(t.TempDir())
	writePicture(t, "ref.png", 64, 64)
	writePicture(t, "ref-3.png", 64, 64)
	before := readFile(t, "ref-3.png")
	for _, row := range []struct {
		name, args string
		want       []string
	}{
		{"unknown command", "frob", []string{"frob"}},
		{"unknown flag", "generate -p x --frob", []string{"--frob"}},
		{"no prompt", "generate", []string{"-p TEXT", "--like"}},
		{"aspect", "generate -p x -a sqare", []string{`"sqare"`,
			"square, landscape, portrait, photo, photo_v, standard, standard_v, wide, match"}},
		{"match without a reference", "generate -p x -a match",
			[]string{"-i", "found none, want at least one to match the size of"}},
		{"size", "generate -p x --size 65x64", []string{"65", "a multiple of 16 from 64 to 2048", "nearest size is 64x64"}},
		{"size no size", "generate -p x --size big", []string{`"big"`, "WIDTHxHEIGHT"}},
		{"size and aspect", "generate -p x --size 64x64 -a wide", []string{"--size", "an aspect ratio as well"}},
		{"steps 0", "generate -p x --steps 0", []string{"--steps: found 0", "1 to 1000"}},
		{"steps negative", "generate -p x --steps -1", []string{"--steps", "1 to 1000"}},
		{"steps no number", "generate -p x --steps four", []string{"four", "1 to 1000"}},
		{"guidance negative", "generate -p x --guidance=-1", []string{"-1", "0 to 100"}},
		{"guidance too large", "generate -p x --guidance=101", []string{"101", "0 to 100"}},
		{"guidance no number", "generate -p x --guidance NaN", []string{"NaN", "0 to 100"}},
		{"seed negative", "generate -p x -s -2", []string{"--seed", "-2", "0 to 18446744073709551615, or -1"}},
		{"seed without a value", "generate -p x -s -n 2", []string{"--seed", "0 to 18446744073709551615"}},
		{"ratio far from all", "generate -p x -a 3:1", []string{`"3:1"`, "square, landscape"}},
		{"prompt in Latin-1", "generate -p caf\xe9", []string{"byte 0xe9 at byte 3", "UTF-8"}},
		{"tokens' prompt in Latin-1", "tokens -p caf\xe9", []string{"byte 0xe9 at byte 3", "UTF-8"}},
		{"seed 2^64", "generate -p x -s 18446744073709551616", []string{"18446744073709551616", "0 to 18446744073709551615"}},
		{"count 0", "generate -p x -n 0", []string{"--count 0", "1 to 1000"}},
		{"sequence length 0", "generate -p x --max-sequence-length 0", []string{"1 to 512"}},
		{"sequence length 513", "generate -p x --max-sequence-length 513", []string{"513", "1 to 512"}},
		{"tokens' sequence length", "tokens -p x --max-sequence-length=-1", []string{"-1", "1 to 512"}},
		{"precision", "generate -p x --precision fp16", []string{`"fp16"`, "auto, float32, bf16, int8 or fp8"}},
		{"device", "generate -p x --device gpu", []string{`"gpu"`, "auto, cpu or cuda"}},
		{"variant", "generate -p x --variant turbo", []string{`"turbo"`, "distilled, base or kv"}},
		{"five pictures", "generate -p x -i ref.png -i ref.png -i ref.png -i ref.png -i ref.png",
			[]string{"5 reference pictures", "at most 4"}},
		{"output is a reference", "generate -p x -i ref.png -o ./ref.png", []string{"ref.png", "not overwritten"}},
		{"one of several outputs is a reference", "generate -p x -i ref-3.png -s 2 -n 2 -o ref.png",
			[]string{"ref-3.png", "not overwritten"}},
		{"several pictures on standard output", "generate -p x -o - -n 2", []string{"-o -", "one picture"}},
		{"picture and JSON on standard output", "generate -p x -o - --json", []string{"-o -", "--json"}},
		{"tokens without a prompt", "tokens", []string{"-p TEXT", "--json"}},
		{"info without a file", "info", []string{"file"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			args := strings.Fields(row.args)
			if args[0] == "generate" {
				args = append(args, "-m", model(t, "distilled"))
			}
			got := call("", args...)
			line := errorLine(t, got)
			for _, want := range row.want {
				if got.code != exitUsage || !strings.Contains(line, want) {
					t.Errorf("exit code %d: %s; want %d and %q", got.code, line, exitUsage, want)
				}
			}
		})
	}
	if !bytes.Equal(before, readFile(t, "ref-3.png")) || len(names(t)) != 2 {
		t.Errorf("files changed: %v", names(t))
	}
}

func TestFailuresBeforeComputing(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "file", "x")
	writeFile(t, "text.png", "this is no picture")
	writeFile(t, "empty.png", "")
	writeFile(t, "old.png", "precious")
	writePicture(t, "narrow.png", 32, 300)
	writePicture(t, "long.png", 64, 600)
	writePicture(t, "plain.png", 64, 64)
	if err := os.Mkdir("folder", 0o777); err != nil {
		t.Fatal(err)
	}
	before := names(t)
	for _, row := range []struct {
		name, args string
		want       []string
	}{
		{"output in a missing folder", "-o gone/x.png", []string{"gone/x.png", "does not exist"}},
		{"output under a file", "-o file/x.png", []string{"file/x.png"}},
		{"output a folder", "-o folder", []string{"folder", "want the name of a file"}},
		{"output of another format", "-o x.bmp", []string{"x.bmp", ".png"}},
		{"prompt too long for a JPEG", "-o x.jpg -p " + strings.Repeat("x", 65000), []string{"x.jpg", ".png takes more"}},
		{"reference missing", "-i gone.png", []string{"gone.png"}},
		{"reference a text", "-i text.png -o old.png", []string{"text.png", `begins with "this is `, "want PNG"}},
		{"reference empty", "-i empty.png", []string{"empty.png", "an empty file, want PNG"}},
		{"reference too small", "-i narrow.png", []string{"narrow.png", "32x300", "at least 64"}},
		{"reference too long", "-i long.png", []string{"long.png", "at most 8:1"}},
		{"like a picture of another program", "--like plain.png", []string{"plain.png", "no Kleinbild metadata"}},
		{"like no picture", "--like text.png", []string{"text.png", "PNG"}},
		{"like a folder", "--like folder", []string{"folder", "found a folder"}},
		{"noise no safetensors", "--noise text.png -o old.png", []string{"text.png", "safetensors"}},
		{"noise a folder", "--noise folder", []string{"folder", "found a folder"}},
		{"model missing", "-m gone", []string{"model: gone: does not exist"}},
		{"model a text", "-m text.png -o old.png", []string{"text.png"}},
		{"model an empty folder", "-m folder", []string{"folder", "model_index.json"}},
		{"model one file of three", "-m " + filepath.Join(model(t, "single"), "flux2-vae.safetensors"),
			[]string{"no transformer among"}},
		{"GPU", "--device cuda", []string{"--device cpu"}},
		{"float32 on a GPU", "--device sim --precision float32", []string{"device sim: it computes in bf16", "--device cpu"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			args := strings.Fields("generate -p x " + row.args)
			if !slices.Contains(args, "-m") {
				args = append(args, "-m", model(t, "distilled"))
			}
			got := call("", args...)
			line := filepath.ToSlash(errorLine(t, got))
			for _, want := range row.want {
				if got.code != exitFailure || !strings.Contains(line, want) {
					t.Errorf("exit code %d: %s; want %d and %q", got.code, line, exitFailure, want)
				}
			}
		})
	}
	if after := names(t); !slices.Equal(before, after) || string(readFile(t, "old.png")) != "precious" {
		t.Errorf("files before %v, after %v", before, after)
	}
}
