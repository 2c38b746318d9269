//go:build cgo

package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/adrg/xdg"

	"kleinbild/app"
	"kleinbild/cli"
	"kleinbild/inference"
)

// openWindow opens the window over the engine; ok says that this build has one.
func openWindow() (ok bool) {
	setting, err := cli.ModelSetting()
	if err != nil {
		fmt.Fprintln(os.Stderr, "kleinbild:", err) // the window opens all the same and offers models
	}
	err = app.Run(app.Config{
		ModelSetting:  setting,
		RememberModel: cli.SetModelSetting,
		Version:       cli.Version,
		Open:          openEngine,
		FindModels:    findModels,
		HistoryFile:   filepath.Join(xdg.DataHome, "kleinbild", "history.db"),
		ThumbnailDir:  filepath.Join(xdg.CacheHome, "kleinbild", "thumbnails"),
		PicturesDir:   filepath.Join(xdg.UserDirs.Pictures, "Kleinbild"),
	})
	if err != nil {
		fmt.Fprintf(os.Stderr, "kleinbild: %v (kleinbild --help lists the command line, which needs none)\n", err)
		os.Exit(1)
	}
	return true
}

// openEngine keeps a failed Open's nil from becoming an engine that is not nil.
func openEngine(opts inference.Options) (app.Engine, error) {
	engine, err := inference.Open(opts)
	if err != nil {
		return nil, err
	}
	return engine, nil
}

func findModels() (models []app.Model) {
	for _, m := range inference.FindModels() {
		models = append(models, app.Model{Name: m.Name, Spec: m.Spec, SizeBytes: m.SizeBytes})
	}
	return models
}
