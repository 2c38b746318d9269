package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the prefix of the project's own imports.
const module = "github.com/kleinbild/kleinbild/"

// arrows lists, for each room, which other rooms it may import; a room covers the folders below it that have no
// row of their own. ARCHITECTURE.md draws the same picture.
var arrows = map[string][]string{
	".":          {"cli", "app", "client", "inference", "models"},
	"atomicfile": {},
	"app": {
		"atomicfile", "history", "app/dialog", "app/fynelog", "app/shell", "app/studio", "app/studio/compose",
		"app/studio/paint", "app/ui", "inference", "inference/picture", "assets/demo", "assets/look", "plain",
	},
	"app/ui":      {"assets/look", "plain"},
	"app/dialog":  {},
	"app/shell":   {"atomicfile"},
	"app/fynelog": {},
	"app/studio": {
		"app/studio/compose", "app/studio/paint", "atomicfile", "history", "inference", "inference/picture",
	},

	"app/studio/compose": {"app/studio/paint", "inference/picture"},
	"app/studio/paint":   {},

	"cli": {
		"atomicfile", "history", "inference", "inference/picture", "inference/checkpoint/synthetic", "server", "models",
		"assets/tokenizer", "plain", "client",
	},
	"client":     {"atomicfile", "inference", "inference/picture", "plain", "server/api"},
	"plain":      {},
	"server":     {"inference", "inference/picture", "plain", "server/api"},
	"server/api": {"inference"},
	"models":     {"atomicfile", "inference/checkpoint"},
	"history":    {"atomicfile", "inference/picture"},
	"inference": {
		"atomicfile", "inference/backend", "inference/checkpoint", "inference/checkpoint/convert",
		"inference/checkpoint/gguf", "inference/checkpoint/safetensors", "inference/cpu", "inference/checkpoint/synthetic",
		"inference/cpu/openblas", "inference/cuda", "inference/edit",
		"inference/flux2", "inference/lora", "inference/picture", "inference/qwen3", "inference/scheduler",
		"inference/taef2", "inference/tensor", "inference/tokenizer", "inference/upscale", "inference/vae",
		"kernels", "kernels/cu", "kernels/tune",
	},
	"inference/asktest":             {"inference"},
	"inference/goldentest":          {},
	"inference/tensor":              {},
	"inference/backend":             {"inference/tensor"},
	"inference/backend/backendtest": {"inference/backend", "inference/tensor"},
	"inference/checkpoint": {
		"atomicfile", "inference/checkpoint/gguf", "inference/checkpoint/mapped", "inference/checkpoint/pth",
		"inference/checkpoint/safetensors",
		"inference/tensor", "assets/demo",
	},
	"inference/checkpoint/pth":    {"inference/tensor"},
	"inference/checkpoint/gguf":   {"inference/checkpoint/chunked", "inference/checkpoint/mapped", "inference/tensor"},
	"inference/checkpoint/mapped": {"atomicfile", "inference/tensor"},
	"inference/checkpoint/safetensors": {
		"atomicfile", "inference/checkpoint/chunked", "inference/checkpoint/mapped", "inference/tensor",
	},
	"inference/checkpoint/chunked":  {},
	"inference/checkpoint/quantise": {"inference/tensor"},
	"inference/checkpoint/convert": {
		"atomicfile", "inference/checkpoint", "inference/checkpoint/chunked", "inference/checkpoint/gguf",
		"inference/checkpoint/quantise", "inference/checkpoint/safetensors", "inference/tensor",
	},
	"inference/checkpoint/synthetic": {"inference/checkpoint/safetensors", "inference/tensor", "assets/tokenizer"},
	"inference/tokenizer":            {"assets/tokenizer"},
	"inference/picture":              {"atomicfile"},
	"inference/edit":                 {"inference/picture"},
	"inference/scheduler":            {},
	"inference/qwen3":                {"inference/backend", "inference/tensor"},
	"inference/flux2":                {"inference/backend", "inference/tensor"},
	"inference/taef2":                {"inference/backend", "inference/tensor"},
	"inference/upscale":              {"inference/backend", "inference/tensor"},
	"inference/vae":                  {"inference/backend", "inference/tensor"},
	"inference/lora":                 {"atomicfile", "inference/checkpoint/safetensors", "inference/tensor"},
	"inference/cpu": {
		"inference/backend", "inference/cpu/matmul", "inference/cpu/simd", "inference/tensor",
	},
	"inference/cuda": {
		"inference/backend", "inference/cpu/simd", "inference/tensor", "kernels", "kernels/cu", "kernels/cu/gorgonia",
		"kernels/cu/purego", "kernels/ptxsim", "kernels/tune",
	},
	"inference/cpu/openblas": {},
	"inference/cpu/matmul":   {"inference/cpu/simd", "inference/tensor"},
	"inference/cpu/simd":     {"inference/tensor"},
	"kernels":                {"kernels/cu"},
	"kernels/tune":           {"atomicfile", "kernels", "kernels/cu"},
	"kernels/cu":             {},
	"kernels/cu/driver":      {"kernels/cu"},
	"kernels/cu/gorgonia":    {"kernels/cu", "kernels/cu/driver"},
	"kernels/cu/purego":      {"kernels/cu", "kernels/cu/driver"},
	"assets/demo":            {},
	"assets/tokenizer":       {},
	"assets/look":            {},
	"kernels/ptxsim":         {"kernels/cu", "kernels/ptxsim/ptx"},
	"kernels/ptxsim/ptx":     {},
}

// reserved says which rooms alone may import a package from outside. A room stands for those below it, except for those
// that refused names.
var reserved = map[string][]string{
	"fyne.io/fyne/v2":               {"app"},
	"github.com/go-gl/glfw":         {"app"},
	"go.etcd.io/bbolt":              {"history"},
	"github.com/nfnt/resize":        {"history"},
	"github.com/jezek/xgb":          {"app/shell"},
	"github.com/sqweek/dialog":      {"app/dialog"},
	"github.com/alecthomas/kong":    {"cli"},
	"github.com/mmcloughlin/avo":    {"inference/cpu/simd"},
	"github.com/kovidgoyal/imaging": {"inference/picture"},
	"github.com/gen2brain":          {"inference/picture"},
	"github.com/tetratelabs/wazero": {"inference/picture"},
	"gorgonia.org/cu":               {"kernels/cu/gorgonia"},
	"github.com/ebitengine/purego":  {"kernels/cu/purego", "inference/cpu/openblas"},
}

// refused names rooms that may not import a package though they lie below one that may.
var refused = map[string][]string{
	"app/studio": {"fyne.io/fyne/v2", "github.com/go-gl/glfw"},
}

// roomOf returns the row of arrows that a folder belongs to.
func roomOf(dir string) (string, bool) {
	for {
		if _, ok := arrows[dir]; ok {
			return dir, true
		}
		parent := filepath.ToSlash(filepath.Dir(dir))
		if parent == "." || parent == dir {
			return "", false
		}
		dir = parent
	}
}

// TestImportArrows reads the imports of every file that is not a test.
func TestImportArrows(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || d.Name() == "tools" || path != "." && strings.HasPrefix(d.Name(), ".")):
			return filepath.SkipDir
		case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		files++
		dir := filepath.ToSlash(filepath.Dir(path))
		room, ok := roomOf(dir)
		if !ok {
			t.Errorf("%s: %s has no row in arrows", path, dir)
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range file.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			checkImport(t, path, dir, room, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 20 {
		t.Errorf("read %d files, want the whole project", files)
	}
}

func checkImport(t *testing.T, path, dir, room, name string) {
	if name == "C" && room != "app" && room != "kernels/cu/gorgonia" {
		t.Errorf("%s: cgo, want it in app and kernels/cu/gorgonia only", path)
	}
	for outside, owners := range reserved {
		mine := slices.ContainsFunc(owners, func(owner string) bool {
			return room == owner || strings.HasPrefix(room, owner+"/")
		})
		if (name == outside || strings.HasPrefix(name, outside+"/")) && !mine {
			t.Errorf("%s imports %s, which only %s may", path, name, strings.Join(owners, " and "))
		}
	}
	for _, outside := range refused[room] {
		if name == outside || strings.HasPrefix(name, outside+"/") {
			t.Errorf("%s imports %s, which %s may not", path, name, room)
		}
	}
	target, own := strings.CutPrefix(name, module)
	if !own {
		return
	}
	to, ok := roomOf(target)
	if !ok {
		t.Errorf("%s imports %s, which has no row in arrows", path, name)
		return
	}
	if to != room && !slices.Contains(arrows[room], to) && !slices.Contains(arrows[room], target) {
		t.Errorf("%s: %s imports %s, want only %v", path, room, to, arrows[room])
	}
}
