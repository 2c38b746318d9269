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

	"kleinbild/atomicfile"
)

// hubPrefix begins the names of the folders of models in the Hugging Face cache.
const hubPrefix = "models--"

// ExpandHome puts the user's home folder in the place of a leading ~, which a shell leaves alone inside lists and quotes.
func ExpandHome(path string) string {
	if path == "~" {
		return xdg.Home
	}
	if rest, ok := strings.CutPrefix(path, "~"); ok && os.IsPathSeparator(rest[0]) {
		return filepath.Join(xdg.Home, rest[1:])
	}
	return path
}

// resolve turns what a user calls a model into a spec for Open: paths, a leading ~ in any of them, the names that a list of
// the models shows, and ids as the hub has them (OWNER/NAME) of models in its cache. What is there by its path goes first.
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
		if exists(items[i]) {
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

// absent says why a name or path leads nowhere; alone is false in a list, which is of files as a rule.
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

// byName looks for a model by the name of its folder in ModelsDir, its hub id, or the name that Open gives it; "" where there
// is none.
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
	for _, same := range []func(a, b string) bool{func(a, b string) bool { return a == b }, strings.EqualFold} {
		if i := slices.IndexFunc(all, func(spec string) bool { return same(nameOf(spec), name) }); i >= 0 {
			return all[i], nil
		}
	}
	// A model that is here and does not open says itself what is wrong with it.
	for _, hub := range hubs(env) {
		for _, dir := range repositoriesIn(hub) {
			if strings.HasSuffix(strings.ToLower(dir), "--"+strings.ToLower(name)) {
				return snapshotOf(ctx, dir)
			}
		}
	}
	return "", nil
}

// nameOf is what Open calls the model of a spec that All lists.
func nameOf(spec string) string {
	if info, err := os.Stat(spec); err == nil && info.IsDir() {
		return folderName(spec)
	}
	file := filepath.Base(itemsOf(spec)[0])
	return strings.TrimSuffix(file, filepath.Ext(file))
}

// isRepository knows a model's folder in the Hugging Face cache.
func isRepository(dir string) bool {
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return strings.HasPrefix(filepath.Base(dir), hubPrefix) && exists(filepath.Join(dir, "snapshots"))
}

// snapshotOf returns the folder of the files of a model in the Hugging Face cache: the one that refs/main names, else the
// newest that opens.
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
	return newest, nil // its own error says more
}
