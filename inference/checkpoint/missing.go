package checkpoint

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// unfinishedSuffixes end the names of files that a download is still writing.
var unfinishedSuffixes = []string{".part", ".incomplete", ".aria2", ".crdownload"}

const notComplete = "is missing: the download is not complete"

// diffusersFolders are the folders of a Diffusers model.
var diffusersFolders = []string{"transformer", "vae", "text_encoder", "tokenizer", "scheduler"}

// missing says in a few words what is wrong with a path that is not there: a link whose target is gone, a download that is not
// complete, or nothing more than that it is missing.
func missing(path string) string {
	if target, err := os.Readlink(path); err == nil && isDangling(path) {
		return "is a link without a target: " + target + " is not there"
	}
	for _, suffix := range unfinishedSuffixes {
		if exists(path + suffix) {
			return notComplete
		}
	}
	// Hugging Face's tools write elsewhere first: into the cache's blobs, or below the folder that a model was asked to go to.
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

// isDangling says whether path is a link whose target is not there.
func isDangling(path string) bool {
	_, err := os.Lstat(path)
	return err == nil && !exists(path)
}

// unfinished says whether a download into dir has left files that are not complete.
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

// repositoryOf returns the folder models--OWNER--NAME of the Hugging Face cache that path lies in.
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
