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

	"github.com/kleinbild/kleinbild/inference/checkpoint/mapped"
)

// ModelVariable is the environment variable with the spec of a model.
const ModelVariable = "KLEINBILD_MODEL"

// DefaultName is the folder in ModelsDir that is searched first.
const DefaultName = "flux2-klein-4b"

// repositories are the published models, by their ids on Hugging Face. In its cache they are searched in this order.
var repositories = []string{
	"black-forest-labs/FLUX.2-klein-4B", "black-forest-labs/FLUX.2-klein-base-4B",
	"black-forest-labs/FLUX.2-klein-9B", "black-forest-labs/FLUX.2-klein-base-9B",
}

// Place is a folder or file in which no usable model was found.
type Place struct {
	// Where is the path.
	Where string
	// Reason says why no model there can be used.
	Reason string
}

// The reasons for places where there is nothing wrong.
const (
	placeAbsent   = "does not exist"
	placeNoModels = "holds no models"
	placeNoFamily = "holds no FLUX.2 [klein]"
)

// Empty reports whether the place just holds no model, without anything being wrong there.
func (p Place) Empty() bool {
	return p.Reason == placeAbsent || p.Reason == placeNoModels || p.Reason == placeNoFamily
}

// NotFoundError is the error of Find if there is no model in any of the usual places. Its message is one line; a face
// may print Tried and Command on lines of their own instead.
type NotFoundError struct {
	Tried []Place
	// Command is the command that downloads the default model to a place where Find finds it.
	Command string
}

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("checkpoint: %s; get one with: %s", e.Search(), e.Command)
}

// Search returns the places where a model was searched for, as a sentence.
func (e *NotFoundError) Search() string {
	var places []string
	for _, p := range e.Tried {
		places = append(places, fmt.Sprintf("%s (%s)", p.Where, p.Reason))
	}
	return fmt.Sprintf("no model found: not by a name, not by $%s, not in the settings, not in %s",
		ModelVariable, strings.Join(places, ", not in "))
}

// ModelsDir returns the folder in which this program keeps models, each in a folder of its own: kleinbild/models in the
// user's data folder (~/.local/share on Linux, %LOCALAPPDATA% on Windows).
func ModelsDir() string { return filepath.Join(xdg.DataHome, "kleinbild", "models") }

// Found is a model in the usual places.
type Found struct {
	Spec string // for Open
	// Why says how its files were chosen, for people; "" if there was no choice.
	Why string
}

// Choice is what Find returns.
type Choice struct {
	Found
	// TooLarge says that another model was passed over because of the memory, for people; "" if none was.
	TooLarge string
	// Tried are the places without a usable model that come before this one.
	Tried []Place
}

// Find chooses a model: explicit (the model that a user names), $KLEINBILD_MODEL, the user's setting, or the first that
// it finds among the folders in ModelsDir, the Hugging Face cache, ComfyUI and similar programs, and models whose
// networks lie in different ones of these places. The first three are names or specs (see resolve); an empty one is
// skipped, and one that does not exist is an error, since another model would be a surprise. In the other places models
// that do not open are skipped.
//
// If ctx has a Room (see WithRoom) into which the first model does not fit, the first one that fits is taken, or, if
// none does, the one with the least need. A base model takes no distilled model's place.
//
// The error is a *NotFoundError if there is no model. If ctx ends, Find returns its cause at once.
func Find(ctx context.Context, explicit string, env func(string) string, setting string) (Choice, error) {
	return Interruptible(ctx, func() (Choice, error) { return findNow(ctx, explicit, env, setting) }, func(Choice) {})
}

func findNow(ctx context.Context, explicit string, env func(string) string, setting string) (c Choice, err error) {
	for _, named := range []struct{ by, spec string }{
		{"model", explicit},
		{"$" + ModelVariable, env(ModelVariable)},
		{"model in the settings", setting},
	} {
		if named.spec == "" {
			continue
		}
		if c.Spec, err = resolve(ctx, named.spec, env); err != nil {
			return Choice{}, fmt.Errorf("%s: %w", named.by, err)
		}
		return c, nil
	}
	room := roomOf(ctx)
	var first, best Summary
	for found := range usualModels(ctx, env, &c.Tried) {
		if room.Bytes == 0 {
			c.Found = found
			return c, nil
		}
		s, err := judge(ctx, found.Spec) // the search has opened it, so that this takes no time
		if err != nil {
			continue
		}
		switch {
		case c.Spec == "":
			c.Found, first, best = found, s, s
		case s.Base && !first.Base:
			continue
		case room.Fits(s.Need) || room.Of(s.Need) < room.Of(best.Need):
			c.Found, best = found, s
		}
		if room.Fits(best.Need) {
			break
		}
	}
	switch {
	case ctx.Err() != nil:
		return Choice{}, context.Cause(ctx)
	case c.Spec == "":
		return Choice{}, &NotFoundError{c.Tried, DownloadCommand}
	case first.Name != best.Name || first.Need != best.Need:
		c.TooLarge = fmt.Sprintf("%s needs %s, more than %v: %s (%s) is taken, which needs %s",
			first.Name, gigabytes(room.Of(first.Need)), room, best.Name, best.Closeness, gigabytes(room.Of(best.Need)))
	}
	return c, nil
}

// gigabytes formats a number of bytes.
func gigabytes(bytes int64) string { return fmt.Sprintf("%.1f GB", float64(bytes)/1e9) }

// Search returns all models in the usual places, in the order of Find and without repetitions. tried holds the places
// without a usable model. If ctx ends, Search returns its cause at once.
func Search(ctx context.Context, env func(string) string) (found []Found, tried []Place, err error) {
	type result struct {
		found []Found
		tried []Place
	}
	r, err := Interruptible(ctx, func() (r result, err error) {
		r.found, r.tried, err = search(ctx, env)
		return r, err
	}, func(result) {})
	return r.found, r.tried, err
}

func search(ctx context.Context, env func(string) string) (list []Found, tried []Place, err error) {
	for found := range usualModels(ctx, env, &tried) {
		if !slices.ContainsFunc(list, func(f Found) bool { return f.Spec == found.Spec }) {
			list = append(list, found)
		}
	}
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	return list, tried, nil
}

// usualModels yields the models in the usual places, and adds the places without a usable model to tried. It ends if
// ctx ends.
func usualModels(ctx context.Context, env func(string) string, tried *[]Place) iter.Seq[Found] {
	ctx = mapped.WithBudget(ctx, maxSearchBytes)
	return func(yield func(Found) bool) {
		for dir := range modelsInDir(ctx, ModelsDir(), tried) {
			if !yield(Found{Spec: dir}) {
				return
			}
		}
		for _, hub := range hubs(env) {
			for dir := range modelsInHub(ctx, hub, tried) {
				if !yield(Found{Spec: dir}) {
					return
				}
			}
		}
		var whole []Found
		for _, comfyUI := range installationDirs(env) {
			if ctx.Err() != nil {
				return
			}
			for _, found := range modelsInInstallation(ctx, comfyUI, tried) {
				whole = append(whole, found)
				if !yield(found) {
					return
				}
			}
		}
		for _, found := range modelsInPieces(ctx, env, whole, tried) {
			if !yield(found) {
				return
			}
		}
	}
}

// tryOpen reports whether the model at dir opens, and adds the reason to tried if it does not. more is false if the
// search must end, because ctx has ended or its budget is spent.
func tryOpen(ctx context.Context, dir string, tried *[]Place) (ok, more bool) {
	err := opens(ctx, dir)
	if ctx.Err() != nil {
		return false, false
	}
	if err != nil {
		*tried = append(*tried, Place{dir, err.Error()})
	}
	return err == nil, !errors.Is(err, mapped.ErrBudget)
}

// modelsInDir yields the models in dir that open, the default one first.
func modelsInDir(ctx context.Context, dir string, tried *[]Place) iter.Seq[string] {
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
			if info, err := os.Stat(path); err != nil || !info.IsDir() || strings.Contains(e.Name(), ".part") ||
				e.Name() == PreviewName {
				continue
			}
			found = true
			ok, more := tryOpen(ctx, path, tried)
			if ok && !yield(path) || !more {
				return
			}
		}
		if !found {
			*tried = append(*tried, Place{dir, placeNoModels})
		}
	}
}

// isDefault returns 1 for the folder of the default model and 0 otherwise, as a key for sorting.
func isDefault(e fs.DirEntry) int {
	if e.Name() == DefaultName {
		return 1
	}
	return 0
}

// hubs returns the folders in which Hugging Face's tools may have put downloads. The tools use only the first folder
// whose variable is set, but models in the others can be used too.
func hubs(env func(string) string) []string {
	var list []string
	add := func(parts ...string) {
		parts[0] = ExpandHome(parts[0])
		if dir := filepath.Join(parts...); parts[0] != "" && !slices.Contains(list, dir) {
			list = append(list, dir)
		}
	}
	add(env("HF_HUB_CACHE"))
	add(env("HUGGINGFACE_HUB_CACHE")) // the older name of HF_HUB_CACHE
	add(env("HF_HOME"), "hub")
	add(env("XDG_CACHE_HOME"), "huggingface", "hub")
	add(xdg.Home, ".cache", "huggingface", "hub")
	return list
}

// modelsInHub yields the snapshots in a Hugging Face cache that open, one for each repository that repositoriesIn
// returns.
func modelsInHub(ctx context.Context, hub string, tried *[]Place) iter.Seq[string] {
	return func(yield func(string) bool) {
		found := false
		for _, dir := range repositoriesIn(hub) {
			found = true
			snapshot, err := snapshotOf(ctx, dir)
			if err != nil {
				*tried = append(*tried, Place{dir, strings.TrimPrefix(err.Error(), "checkpoint: "+dir+": ")})
				continue
			}
			ok, more := tryOpen(ctx, snapshot, tried)
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

// repositoriesIn returns the folders of the published models in a Hugging Face cache, and then of other models with
// "klein" in their names.
func repositoriesIn(hub string) (dirs []string) {
	for _, repository := range repositories {
		if dir := filepath.Join(hub, hubPrefix+strings.ReplaceAll(repository, "/", "--")); exists(dir) {
			dirs = append(dirs, dir)
		}
	}
	list, _ := readDir(hub, maxListed)
	for _, e := range list {
		dir := filepath.Join(hub, e.Name())
		isKlein := strings.HasPrefix(e.Name(), hubPrefix) && strings.Contains(strings.ToLower(e.Name()), "klein")
		if isKlein && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// DownloadCommand is the command that downloads the default model.
const DownloadCommand = "kleinbild models get " + DefaultName
