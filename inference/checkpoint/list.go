package checkpoint

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/adrg/xdg"
)

// Candidates lists what looks like a model in the usual places, as specs for Open: the folders in ModelsDir, the Hugging
// Face cache, and the single files that ComfyUI keeps in a folder for each kind. None was opened yet.
func Candidates(env func(string) string) (specs []string) {
	if list, err := os.ReadDir(ModelsDir()); err == nil {
		for _, e := range list {
			path := filepath.Join(ModelsDir(), e.Name())
			if info, err := os.Stat(path); err == nil && info.IsDir() && !strings.Contains(e.Name(), ".part") {
				specs = append(specs, path)
			}
		}
	}
	for _, hub := range hubs(env) {
		for _, repository := range repositories {
			dir := filepath.Join(hub, "models--"+strings.ReplaceAll(repository, "/", "--"))
			if commit, err := os.ReadFile(filepath.Join(dir, "refs", "main")); err == nil {
				specs = append(specs, filepath.Join(dir, "snapshots", filepath.Base(strings.TrimSpace(string(commit)))))
			}
		}
	}
	for _, dir := range comfyFolders(env) {
		specs = append(specs, comfyCandidates(filepath.Join(dir, "models"))...)
	}
	return specs
}

// comfyFolders lists where ComfyUI is usually installed.
func comfyFolders(env func(string) string) []string {
	list := []string{
		filepath.Join(xdg.Home, "ComfyUI"),
		filepath.Join(xdg.Home, "comfy", "ComfyUI"),
		filepath.Join(xdg.Home, "Documents", "ComfyUI"),
	}
	if runtime.GOOS == "windows" {
		list = append(list, `C:\ComfyUI`, `C:\ComfyUI_windows_portable\ComfyUI`)
	}
	if dir := env("COMFYUI_PATH"); dir != "" {
		list = append([]string{dir}, list...)
	}
	return list
}

// comfyCandidates joins each FLUX.2 [klein] transformer with each text encoder and VAE that may belong to it: by their
// names, since there can be hundreds of files of other models. What does not fit together fails to open.
func comfyCandidates(models string) (specs []string) {
	find := func(folders []string, words ...string) (files []string) {
		for _, folder := range folders {
			list, err := weightFiles(filepath.Join(models, folder))
			if err != nil {
				continue
			}
			for _, path := range list {
				name := strings.ToLower(filepath.Base(path))
				for _, word := range words {
					if strings.Contains(name, word) {
						files = append(files, path)
						break
					}
				}
			}
		}
		return files
	}
	transformers := find([]string{"diffusion_models", "unet"}, "klein")
	encoders := find([]string{"text_encoders", "clip"}, "qwen_3", "qwen3")
	vaes := find([]string{"vae"}, "flux2", "flux.2")
	for _, t := range transformers {
		for _, e := range encoders {
			for _, v := range vaes {
				specs = append(specs, strings.Join([]string{t, e, v}, ","))
			}
		}
	}
	return specs
}
