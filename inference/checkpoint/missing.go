package checkpoint

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// unfinishedSuffixes are the suffixes of files that a download has not finished.
var unfinishedSuffixes = []string{".part", ".incomplete", ".aria2", ".crdownload"}

const notComplete = "is missing: the download is not complete"

// diffusersFolders are the folders of a Diffusers model.
var diffusersFolders = []string{"transformer", "vae", "text_encoder", "tokenizer", "scheduler"}

// missing returns a clause for messages that says why path does not exist: it is a link without a target, its download
// is not complete, or it is just missing.
func missing(path string) string {
	if target, err := os.Readlink(path); err == nil && isDangling(path) {
		return "is a link without a target: " + target + " does not exist"
	}
	for _, suffix := range unfinishedSuffixes {
		if exists(path + suffix) {
			return notComplete
		}
	}
	// Hugging Face's tools write unfinished files elsewhere: to blobs in the cache, or to .cache in the model's folder.
	dir := filepath.Dir(path)
	places := []string{filepath.Join(dir, ".cache", "huggingface", "download")}
	if name := filepath.Base(dir); slices.Contains(diffusersFolders, name) {
		places = append(places, filepath.Join(filepath.Dir(dir), ".cache", "huggingface", "download", name))
	}
	if repository, ok := repositoryOf(path); ok {
		places = append(places, filepath.Join(repository, "blobs"))
	}
	if slices.ContainsFunc(places, unfinished) {
		return notComplete
	}
	return "is missing"
}

// isDangling reports whether path is a link without a target.
func isDangling(path string) bool {
	_, err := os.Lstat(path)
	return err == nil && !exists(path)
}

// unfinished reports whether dir holds files that a download has not finished.
func unfinished(dir string) bool {
	list, _ := readDir(dir, maxListed)
	for _, e := range list {
		for _, suffix := range unfinishedSuffixes {
			if strings.HasSuffix(e.Name(), suffix) {
				return true
			}
		}
	}
	return false
}

// repositoryOf returns the folder models--OWNER--NAME of the Hugging Face cache that contains path. ok is false if
// there is none.
func repositoryOf(path string) (dir string, ok bool) {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if strings.HasPrefix(filepath.Base(dir), hubPrefix) {
			return dir, true
		}
		if filepath.Dir(dir) == dir {
			return "", false
		}
	}
}
