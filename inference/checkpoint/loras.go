package checkpoint

import (
	"cmp"
	"context"
	"path/filepath"
	"slices"
	"strings"

	"github.com/adrg/xdg"
)

// LoRADir returns the folder in which this program looks for adapters first: kleinbild/loras in the user's data folder.
func LoRADir() string { return filepath.Join(xdg.DataHome, "kleinbild", "loras") }

// NamedLoRA is an adapter's file in one of the folders for adapters.
type NamedLoRA struct {
	// Name is the path below the folder, with slashes and without the extension.
	Name string `json:"name"`
	Path string `json:"path"`
	// Digest is the SHA-256 that the file must have, in hex, "" for any.
	Digest string `json:"sha256,omitempty"`
}

// LoRAFolders returns the folders in which LoRAs looks for adapters: LoRADir, and those of other programs that exist.
func LoRAFolders(env func(string) string) []string {
	folders := []string{LoRADir()}
	for _, dir := range installationDirs(env) {
		t, _, _ := installationAt(dir) // one that cannot be read has no adapters
		for _, folder := range t.folders[adapter] {
			if exists(folder) {
				folders = append(folders, folder)
			}
		}
	}
	return folders
}

// LoRAs returns the adapters in LoRADir, and then those in the folders that ComfyUI, Forge and SwarmUI have for them,
// sorted by name within a folder. The embedded one is the last (see EmbeddedLoRA). Of several with one name it returns
// the first. If ctx ends, LoRAs returns its cause at once. No file is opened.
func LoRAs(ctx context.Context, env func(string) string) ([]NamedLoRA, error) {
	return Interruptible(ctx, func() (list []NamedLoRA, err error) {
		w := walker{ctx: ctx, left: maxWalked}
		seen := map[string]bool{}
		for _, folder := range LoRAFolders(env) {
			if !exists(folder) {
				continue
			}
			var found []NamedLoRA
			for _, path := range w.files(folder, func(name string) bool { return filepath.Ext(name) != ".gguf" }) {
				name, err := filepath.Rel(folder, path)
				if err != nil {
					continue
				}
				name = filepath.ToSlash(strings.TrimSuffix(name, filepath.Ext(name)))
				if !seen[name] {
					seen[name] = true
					found = append(found, NamedLoRA{Name: name, Path: path})
				}
			}
			slices.SortFunc(found, func(a, b NamedLoRA) int { return cmp.Compare(a.Name, b.Name) })
			list = append(list, found...)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if !seen[demoLoRA.Name] {
			list = append(list, demoLoRA)
		}
		return list, nil
	}, func([]NamedLoRA) {})
}
