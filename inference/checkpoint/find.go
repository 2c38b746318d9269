package checkpoint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/adrg/xdg"

	"kleinbild/inference/checkpoint/safetensors"
)

// ModelVariable is the environment variable that names a model.
const ModelVariable = "KLEINBILD_MODEL"

// DefaultName is the folder under ModelsDir that is looked at first.
const DefaultName = "flux2-klein-4b"

// repositories are the models on Hugging Face that are looked for in its cache, first come, first served.
var repositories = []string{
	"black-forest-labs/FLUX.2-klein-4B", "black-forest-labs/FLUX.2-klein-base-4B",
	"black-forest-labs/FLUX.2-klein-9B", "black-forest-labs/FLUX.2-klein-base-9B",
}

// Place is somewhere a model was looked for in vain.
type Place struct {
	// Where is a folder.
	Where string
	// Reason says why it does not serve.
	Reason string
}

// What is said of a place where nobody has put anything.
const (
	placeAbsent   = "is not there"
	placeNoModels = "holds no models"
	placeNoFamily = "holds no FLUX.2 [klein]"
)

// Empty says that nothing there is wrong: there just is no model.
func (p Place) Empty() bool {
	return p.Reason == placeAbsent || p.Reason == placeNoModels || p.Reason == placeNoFamily
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
// ModelsDir, the Hugging Face cache, ComfyUI. The first three name a spec as Open takes it, and an empty one is passed
// over; one that names something that is not there is an error, since another model would be a surprise. In the other
// places anything that does not open is passed over, and tried says why.
//
// The error is a *NotFoundError when nothing was found. When ctx ends it is its cause, at once.
func Find(ctx context.Context, explicit string, env func(string) string, setting string) (spec string, tried []Place, err error) {
	type result struct {
		spec  string
		tried []Place
	}
	r, err := Interruptible(ctx, func() (r result, err error) {
		r.spec, r.tried, err = findNow(ctx, explicit, env, setting)
		return r, err
	}, func(result) {})
	return r.spec, r.tried, err
}

func findNow(ctx context.Context, explicit string, env func(string) string, setting string) (spec string, tried []Place, err error) {
	for _, named := range []struct{ by, spec string }{
		{"--model", explicit},
		{"$" + ModelVariable, env(ModelVariable)},
		{"model in the settings", setting},
	} {
		if named.spec == "" {
			continue
		}
		spec, err := resolve(ctx, named.spec, env)
		if err != nil {
			return "", nil, fmt.Errorf("%s: %w", named.by, err)
		}
		return spec, nil, nil
	}
	for dir := range usable(ctx, env, &tried) {
		return dir, tried, nil
	}
	if ctx.Err() != nil {
		return "", nil, context.Cause(ctx)
	}
	return "", tried, &NotFoundError{tried, DownloadCommand}
}

// Search lists the models in the usual places that open, in the order in which Find takes them, each once, and what was
// passed over. When ctx ends the error is its cause, at once.
func Search(ctx context.Context, env func(string) string) (specs []string, tried []Place, err error) {
	type result struct {
		specs []string
		tried []Place
	}
	r, err := Interruptible(ctx, func() (r result, err error) {
		r.specs, r.tried, err = search(ctx, env)
		return r, err
	}, func(result) {})
	return r.specs, r.tried, err
}

func search(ctx context.Context, env func(string) string) (specs []string, tried []Place, err error) {
	for spec := range usable(ctx, env, &tried) {
		if !slices.Contains(specs, spec) {
			specs = append(specs, spec)
		}
	}
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	return specs, tried, nil
}

// usable gives the models in the usual places as it finds them, and notes in tried what does not serve. It ends when ctx
// does.
func usable(ctx context.Context, env func(string) string, tried *[]Place) iter.Seq[string] {
	ctx = safetensors.WithBudget(ctx, maxSearchBytes)
	return func(yield func(string) bool) {
		for dir := range usableInModelsDir(ctx, ModelsDir(), tried) {
			if !yield(dir) {
				return
			}
		}
		for _, hub := range hubs(env) {
			for dir := range usableInHub(ctx, hub, tried) {
				if !yield(dir) {
					return
				}
			}
		}
		for _, comfyUI := range comfyUIs(env) {
			if ctx.Err() != nil {
				return
			}
			for _, spec := range usableInComfyUI(ctx, comfyUI, tried) {
				if !yield(spec) {
					return
				}
			}
		}
	}
}

// serves says whether the model at dir can be used, and notes in tried why not. more is false where there is no use in
// looking at others.
func serves(ctx context.Context, dir string, tried *[]Place) (ok, more bool) {
	err := opens(ctx, dir)
	if ctx.Err() != nil {
		return false, false
	}
	if err != nil {
		*tried = append(*tried, Place{dir, err.Error()})
	}
	return err == nil, !errors.Is(err, safetensors.ErrBudget)
}

// usableInModelsDir gives the models in dir that open, the default one first.
func usableInModelsDir(ctx context.Context, dir string, tried *[]Place) iter.Seq[string] {
	return func(yield func(string) bool) {
		list, err := readDir(dir, maxListed)
		if errors.Is(err, fs.ErrNotExist) {
			*tried = append(*tried, Place{dir, placeAbsent})
			return
		}
		if err != nil {
			*tried = append(*tried, Place{dir, err.Error()})
			return
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
			found = true
			ok, more := serves(ctx, path, tried)
			if ok && !yield(path) || !more {
				return
			}
		}
		if !found {
			*tried = append(*tried, Place{dir, placeNoModels})
		}
	}
}

func isDefault(e fs.DirEntry) int {
	if e.Name() == DefaultName {
		return 1
	}
	return 0
}

// hubs lists where Hugging Face's tools keep what they download. They use the first that is set; a model left under another
// serves as well.
func hubs(env func(string) string) []string {
	var list []string
	add := func(parts ...string) {
		parts[0] = ExpandHome(parts[0])
		if dir := filepath.Join(parts...); parts[0] != "" && !slices.Contains(list, dir) {
			list = append(list, dir)
		}
	}
	add(env("HF_HUB_CACHE"))
	add(env("HUGGINGFACE_HUB_CACHE")) // its older name
	add(env("HF_HOME"), "hub")
	add(env("XDG_CACHE_HOME"), "huggingface", "hub")
	add(xdg.Home, ".cache", "huggingface", "hub")
	return list
}

// usableInHub gives the snapshots of the published repositories that have a usable one, and of others that are called after the
// family.
func usableInHub(ctx context.Context, hub string, tried *[]Place) iter.Seq[string] {
	return func(yield func(string) bool) {
		found := false
		for _, dir := range repositoriesIn(hub) {
			found = true
			snapshot, err := snapshotOf(ctx, dir)
			if err != nil {
				*tried = append(*tried, Place{dir, strings.TrimPrefix(err.Error(), "checkpoint: "+dir+": ")})
				continue
			}
			ok, more := serves(ctx, snapshot, tried)
			if ok && !yield(snapshot) || !more {
				return
			}
		}
		if !found {
			reason := placeNoFamily
			if !exists(hub) {
				reason = placeAbsent
			}
			*tried = append(*tried, Place{hub, reason})
		}
	}
}

// repositoriesIn lists the folders of this family's models in a cache, the published ones first.
func repositoriesIn(hub string) (dirs []string) {
	for _, repository := range repositories {
		if dir := filepath.Join(hub, hubPrefix+strings.ReplaceAll(repository, "/", "--")); exists(dir) {
			dirs = append(dirs, dir)
		}
	}
	list, _ := readDir(hub, maxListed)
	for _, e := range list {
		dir := filepath.Join(hub, e.Name())
		if strings.HasPrefix(e.Name(), hubPrefix) && strings.Contains(strings.ToLower(e.Name()), "klein") && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// DownloadCommand is what a user types to get the default model to where it is found.
const DownloadCommand = "kleinbild models get " + DefaultName
