package checkpoint

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/adrg/xdg"

	"github.com/kleinbild/kleinbild/atomicfile"
)

// hubPrefix is the prefix of the folders of models in the Hugging Face cache.
const hubPrefix = "models--"

// ExpandHome replaces a leading ~ by the user's home folder. Shells do not do so inside lists and quotes.
func ExpandHome(path string) string {
	if path == "~" {
		return xdg.Home
	}
	if rest, ok := strings.CutPrefix(path, "~"); ok && os.IsPathSeparator(rest[0]) {
		return filepath.Join(xdg.Home, rest[1:])
	}
	return path
}

// resolve returns the spec for Open of what a user calls a model: Demo, or a path or a list of paths, which may begin
// with ~, names of models as lists show them, and ids (OWNER/NAME) of models in the Hugging Face cache. An existing
// path comes before a name.
func resolve(ctx context.Context, spec string, env func(string) string) (string, error) {
	if spec = strings.TrimSpace(spec); spec == Demo {
		return spec, nil
	}
	if whole := ExpandHome(spec); exists(whole) {
		return whole, nil
	}
	items := itemsOf(spec)
	for i, item := range items {
		items[i] = ExpandHome(item)
		if exists(items[i]) || item == Demo {
			continue
		}
		found, err := byName(ctx, item, env)
		if err != nil {
			return "", err
		}
		if found == "" {
			return "", fmt.Errorf("%s: %s", items[i], absent(items[i], len(items) == 1))
		}
		items[i] = found
	}
	return strings.Join(items, ","), nil
}

// absent returns a clause for messages that says why there is no model item. alone says that the spec is only item, not
// a list: the items of a list are usually files, not names of models.
func absent(item string, alone bool) string {
	if reason := missing(item); reason != "is missing" {
		return reason
	}
	if strings.HasPrefix(item, "flux2-klein-") && !isWeightFile(item) {
		return "is not on this machine; get it with: kleinbild models get " + item
	}
	if !alone || strings.ContainsAny(item, `\`) || filepath.IsAbs(item) || isWeightFile(item) {
		return "does not exist"
	}
	return "does not exist, neither as a file or folder nor as a model on this machine (kleinbild models list shows those)"
}

// byName returns the spec of the model with the given name: that of its folder in ModelsDir, its id on the hub, or the
// name that Open gives it. It returns "" if there is none.
func byName(ctx context.Context, name string, env func(string) string) (spec string, err error) {
	if !strings.ContainsAny(name, `/\`) {
		if dir := filepath.Join(ModelsDir(), name); name != ".." && name != "." && exists(dir) {
			return dir, nil
		}
	}
	id := strings.ReplaceAll(strings.TrimPrefix(name, hubPrefix), "/", "--")
	if strings.Contains(id, "--") && !strings.ContainsAny(id, `\`) {
		for _, hub := range hubs(env) {
			if dir := filepath.Join(hub, hubPrefix+id); exists(dir) {
				return snapshotOf(ctx, dir)
			}
		}
	}
	all, _, err := search(ctx, env)
	if err != nil {
		return "", err
	}
	exactly := func(a, b string) bool { return a == b }
	for _, same := range []func(a, b string) bool{exactly, strings.EqualFold} {
		if i := slices.IndexFunc(all, func(f Found) bool { return same(nameOf(f.Spec), name) }); i >= 0 {
			return all[i].Spec, nil
		}
	}
	// A model that does not open is returned too: the error of Open says what is wrong with it.
	for _, hub := range hubs(env) {
		for _, dir := range repositoriesIn(hub) {
			if strings.HasSuffix(strings.ToLower(dir), "--"+strings.ToLower(name)) {
				return snapshotOf(ctx, dir)
			}
		}
	}
	return "", nil
}

// nameOf returns the name that Open gives to the model of a spec of Search.
func nameOf(spec string) string {
	if info, err := os.Stat(spec); err == nil && info.IsDir() {
		return folderName(spec)
	}
	file := filepath.Base(itemsOf(spec)[0])
	return strings.TrimSuffix(file, filepath.Ext(file))
}

// isRepository reports whether dir is the folder of a model in the Hugging Face cache.
func isRepository(dir string) bool {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return strings.HasPrefix(filepath.Base(dir), hubPrefix) && exists(filepath.Join(dir, "snapshots"))
}

// snapshotOf returns the folder with the files of a model in the Hugging Face cache: the snapshot that refs/main names,
// or, if that does not exist, the newest one that opens, or the newest.
func snapshotOf(ctx context.Context, repository string) (string, error) {
	snapshots := filepath.Join(repository, "snapshots")
	if commit, err := atomicfile.Read(filepath.Join(repository, "refs", "main"), maxRefBytes); err == nil {
		if dir := filepath.Join(snapshots, filepath.Base(strings.TrimSpace(string(commit)))); exists(dir) {
			return dir, nil
		}
	}
	list, _ := readDir(snapshots, maxListed)
	type folder struct {
		dir      string
		modified time.Time
	}
	var folders []folder
	for _, e := range list {
		dir := filepath.Join(snapshots, e.Name())
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			folders = append(folders, folder{dir, info.ModTime()})
		}
	}
	slices.SortStableFunc(folders, func(a, b folder) int { return b.modified.Compare(a.modified) })
	var newest string
	for _, f := range folders[:min(len(folders), maxSnapshots)] {
		dir := f.dir
		if opens(ctx, dir) == nil {
			return dir, nil
		}
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if newest == "" {
			newest = dir
		}
	}
	if newest == "" {
		reason := "holds no snapshot of a model"
		if unfinished(filepath.Join(repository, "blobs")) {
			reason += ": the download is not complete"
		}
		return "", fmt.Errorf("checkpoint: %s: %s", repository, reason)
	}
	return newest, nil // the error of opening it says what is wrong
}
