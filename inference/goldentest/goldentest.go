// Package goldentest finds the recordings of the reference implementation ("goldens") for the tests of all stages.
package goldentest

import (
	"os"
	"path/filepath"
)

// Variable names an environment variable with more folders of goldens, in the form of PATH. They have the layout of the
// shared folder: cases, inpaint/cases, kv, models and so on, each of which may be missing.
const Variable = "KLEINBILD_GOLDENS"

// Shared returns the folder shared/golden beside the repository, or "" if there is none.
func Shared() string {
	dir, err := os.Getwd()
	for err == nil {
		if shared := filepath.Join(dir, "shared", "golden"); isFolder(shared) {
			return shared
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		dir = parent
	}
	return ""
}

// Folders returns the shared folder, if there is one, and then those that Variable names.
func Folders() (all []string) {
	if shared := Shared(); shared != "" {
		all = append(all, shared)
	}
	return append(all, Named()...)
}

// Named returns the folders that Variable names.
func Named() (all []string) {
	for _, dir := range filepath.SplitList(os.Getenv(Variable)) {
		if dir != "" {
			all = append(all, dir)
		}
	}
	return all
}

// Find returns the path of a file or folder in the first of the folders that has it, or "" if none has it.
func Find(folders []string, path ...string) string {
	for _, dir := range folders {
		at := filepath.Join(append([]string{dir}, path...)...)
		if _, err := os.Stat(at); err == nil {
			return at
		}
	}
	return ""
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
