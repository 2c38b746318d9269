package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"github.com/adrg/xdg"
)

// ModelVariable is the environment variable that names a model.
const ModelVariable = "KLEINBILD_MODEL"

// defaultName is the folder under ModelsDir that is looked at first.
const defaultName = "flux2-klein-4b"

// repositories are the models on Hugging Face that are looked for in its cache, first come, first served.
var repositories = []string{"black-forest-labs/FLUX.2-klein-4B", "black-forest-labs/FLUX.2-klein-base-4B"}

// Place is somewhere a model was looked for in vain.
type Place struct {
	// Where is a folder.
	Where string
	// Reason says why it does not serve.
	Reason string
}

// NotFoundError says that there is no model in any of the usual places. Its text is one line; a program with room to spare
// prints Tried and Command on lines of their own.
type NotFoundError struct {
	Tried []Place
	// Command downloads the default model to where it is found next time.
	Command string
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("checkpoint: %s; get one with: %s", e.Search(), e.Command)
}

// Search says where a model was looked for.
func (e *NotFoundError) Search() string {
	var places []string
	for _, p := range e.Tried {
		places = append(places, fmt.Sprintf("%s (%s)", p.Where, p.Reason))
	}
	return fmt.Sprintf("no model found: not by --model, not by $%s, not in the settings, not in %s", ModelVariable, strings.Join(places, ", not in "))
}

// ModelsDir is where the app keeps models, each in a folder of its own: kleinbild/models in the user's data folder
// (~/.local/share on Linux, %LOCALAPPDATA% on Windows).
func ModelsDir() string { return filepath.Join(xdg.DataHome, "kleinbild", "models") }

// Find looks for a model: explicit (the command line's --model), $KLEINBILD_MODEL, the user's setting, the folders in
// ModelsDir, the Hugging Face cache. The first three name a spec as Open takes it, and an empty one is passed over; one
// that names something that is not there is an error, since another model would be a surprise. In the last two
// places anything that does not open is passed over, and tried says why.
//
// The error is a *NotFoundError when nothing was found.
func Find(explicit string, env func(string) string, setting string) (spec string, tried []Place, err error) {
	for _, named := range []struct{ by, spec string }{
		{"--model", explicit},
		{"$" + ModelVariable, env(ModelVariable)},
		{"model in the settings", setting},
	} {
		if named.spec == "" {
			continue
		}
		if missing := missingFile(named.spec); named.spec != Demo && missing != "" {
			return "", nil, fmt.Errorf("%s: %s: does not exist", named.by, missing)
		}
		return named.spec, nil, nil
	}
	if dir := findInModelsDir(ModelsDir(), &tried); dir != "" {
		return dir, tried, nil
	}
	for _, hub := range hubs(env) {
		if dir := findInHub(hub, &tried); dir != "" {
			return dir, tried, nil
		}
	}
	return "", tried, &NotFoundError{tried, DownloadCommand()}
}

// missingFile returns the first file of spec that is not there.
func missingFile(spec string) string {
	if exists(spec) {
		return ""
	}
	for item := range strings.SplitSeq(spec, ",") {
		if item = strings.TrimSpace(item); item != "" && !exists(item) {
			return item
		}
	}
	return ""
}

// opens returns why the model at dir cannot be used, nil when it can.
func opens(dir string) error {
	c, err := open(dir)
	if err != nil {
		return err
	}
	return c.Close()
}

// findInModelsDir returns the first model in dir that opens.
func findInModelsDir(dir string, tried *[]Place) string {
	list, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		*tried = append(*tried, Place{dir, "is not there"})
		return ""
	}
	if err != nil {
		*tried = append(*tried, Place{dir, err.Error()})
		return ""
	}
	slices.SortStableFunc(list, func(a, b fs.DirEntry) int {
		return isDefault(b) - isDefault(a)
	})
	found := false
	for _, e := range list {
		path := filepath.Join(dir, e.Name())
		if info, err := os.Stat(path); err != nil || !info.IsDir() || strings.Contains(e.Name(), ".part") {
			continue
		}
		if err := opens(path); err != nil {
			*tried = append(*tried, Place{path, err.Error()})
			found = true
			continue
		}
		return path
	}
	if !found {
		*tried = append(*tried, Place{dir, "holds no models"})
	}
	return ""
}

func isDefault(e fs.DirEntry) int {
	if e.Name() == defaultName {
		return 1
	}
	return 0
}

// hubs lists where Hugging Face's tools keep what they download. They use the first that is set; a model left under another
// serves as well.
func hubs(env func(string) string) []string {
	var list []string
	add := func(parts ...string) {
		if dir := filepath.Join(parts...); parts[0] != "" && !slices.Contains(list, dir) {
			list = append(list, dir)
		}
	}
	add(env("HF_HUB_CACHE"))
	add(env("HF_HOME"), "hub")
	add(env("XDG_CACHE_HOME"), "huggingface", "hub")
	add(xdg.Home, ".cache", "huggingface", "hub")
	return list
}

// findInHub returns the snapshot that refs/main names of the first repository that has a usable one.
func findInHub(hub string, tried *[]Place) string {
	found := false
	for _, repository := range repositories {
		dir := filepath.Join(hub, "models--"+strings.ReplaceAll(repository, "/", "--"))
		if !exists(dir) {
			continue
		}
		found = true
		commit, err := os.ReadFile(filepath.Join(dir, "refs", "main"))
		if err != nil {
			*tried = append(*tried, Place{dir, "refs/main is missing: the download is not complete"})
			continue
		}
		snapshot := filepath.Join(dir, "snapshots", filepath.Base(strings.TrimSpace(string(commit))))
		if err := opens(snapshot); err != nil {
			*tried = append(*tried, Place{snapshot, err.Error()})
			continue
		}
		return snapshot
	}
	if !found {
		reason := "holds no FLUX.2 [klein] 4B"
		if !exists(hub) {
			reason = "is not there"
		}
		*tried = append(*tried, Place{hub, reason})
	}
	return ""
}

// DownloadCommand is what a user types to get the default model to where it is found, for the shell of this system.
func DownloadCommand() string {
	dir := filepath.Join(ModelsDir(), defaultName)
	if strings.ContainsAny(dir, " '\"$&()[]{};*?!`<>|#~^%") {
		if runtime.GOOS == "windows" {
			dir = `"` + dir + `"`
		} else {
			dir = "'" + strings.ReplaceAll(dir, "'", `'\''`) + "'"
		}
	}
	return "hf download " + repositories[0] + " --local-dir " + dir
}
