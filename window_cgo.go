//go:build cgo

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/adrg/xdg"

	"github.com/kleinbild/kleinbild/app"
	"github.com/kleinbild/kleinbild/cli"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/models"
)

// openWindow opens the window that the arguments describe, and returns true when the window is closed. ok says
// that this build has a window.
func openWindow(w cli.WindowArguments) (ok bool) {
	files := w.Files
	setting, err := cli.ModelSetting()
	if err != nil {
		cli.PrintError(os.Stderr, err) // the window opens nevertheless and offers models
	}
	remote, useRemote, _ := cli.RemoteSetting() // its error is that of ModelSetting
	if w.Remote.Address != "" {
		remote, useRemote = w.Remote, true
	}
	for i, file := range files {
		if path, err := filepath.Abs(file); err == nil {
			files[i] = path // an absolute path stays valid in another working directory
		}
	}
	err = app.Run(app.Config{
		ModelSetting:  setting,
		RememberModel: cli.SetModelSetting,
		Version:       cli.Version,
		Open:          openEngine,
		Connect: func(ctx context.Context, r app.Remote) (app.Engine, error) {
			return cli.OpenRemote(ctx, cli.Remote(r))
		},
		Remote:         app.Remote(remote),
		UseRemote:      useRemote,
		RememberRemote: func(r app.Remote, use bool) error { return cli.SetRemoteSetting(cli.Remote(r), use) },
		FindModels:     findModels,
		OpenUpscaler:   openUpscaler,
		FindUpscalers:  inference.ListUpscalers,
		Catalogue:      catalogue{},
		Dropped:        files,
		DeskDir:        filepath.Join(xdg.DataHome, "kleinbild", "desk"),
		HistoryFile:    cli.HistoryFile(),
		ThumbnailDir:   filepath.Join(xdg.CacheHome, "kleinbild", "thumbnails"),
		PicturesDir:    cli.PicturesDir(),
	})
	if err != nil {
		if state, ready := cli.WindowState(); runtime.GOOS == "linux" && !ready {
			err = errors.New(state) // the sentence that doctor prints
		}
		cli.PrintError(os.Stderr, fmt.Errorf("the window does not open: %w "+
			"(kleinbild --help lists the commands, which need no window)", err))
		os.Exit(1)
	}
	return true
}

// openEngine calls inference.Open. If that fails, it returns a nil interface, not an interface that holds a nil
// pointer.
func openEngine(ctx context.Context, opts inference.Options) (app.Engine, error) {
	engine, err := inference.Open(ctx, opts)
	if err != nil {
		return nil, err
	}
	return engine, nil
}

// openUpscaler calls inference.OpenUpscaler, and returns a nil interface if that fails.
func openUpscaler(ctx context.Context, opts inference.UpscalerOptions) (app.Upscaler, error) {
	upscaler, err := inference.OpenUpscaler(ctx, opts)
	if err != nil {
		return nil, err
	}
	return upscaler, nil
}

func findModels(ctx context.Context) (found []app.Model) {
	list, err := models.List(ctx, "", os.Getenv)
	if err != nil {
		return nil // List fails only if ctx ends, because the window is closing
	}
	for _, m := range list {
		if m.Size > 0 { // the size is 0 if the model cannot be opened
			found = append(found, app.Model{
				Name: m.Name, Spec: m.Path, SizeBytes: m.Size, Quality: m.Quality, Need: m.Need, Why: m.Why,
			})
		}
	}
	return found
}

// catalogue implements app.Catalogue: the models that can be downloaded.
type catalogue struct{}

func (catalogue) Downloads() (list []app.Download) {
	for i, m := range models.Catalogue() {
		d := app.Download{
			Name: m.Name, Title: m.Plain, About: m.About, SizeBytes: m.SizeBytes, Quality: m.Quality,
			Need: m.Need, Measured: m.Measured,
			Licence: fmt.Sprintf("%s (%s)", m.Licence.Plain, m.Licence.Name),
		}
		if i == 0 { // the default one, FLUX.2 [klein] 4B in four steps
			d.Expected = func() time.Duration {
				took, err := inference.ExpectedTime4B()
				if err != nil {
					return 0 // whoever opens a model is told
				}
				return took
			}
		}
		if m.Licence.Ask {
			d.Agree = fmt.Sprintf("%s is for non-commercial use only. Its licence: %s", m.Name, m.Licence.URL)
		}
		list = append(list, d)
	}
	return list
}

func (catalogue) Upscaler() (d app.Download, ok bool) {
	m, err := models.Find(inference.Upscalers[0])
	if err != nil {
		return d, false
	}
	return app.Download{
		Name: m.Name, Title: m.Title, SizeBytes: m.SizeBytes,
		Licence: fmt.Sprintf("%s (%s)", m.Licence.Plain, m.Licence.Name),
	}, true
}

func (catalogue) Get(ctx context.Context, name string, progress func(done, total int64)) (spec string, err error) {
	m, err := models.Find(name)
	if err != nil {
		return "", err
	}
	return models.Get(ctx, m, models.Options{
		BaseURL: os.Getenv("HF_ENDPOINT"), Token: os.Getenv("HF_TOKEN"), LicenceAccepted: true,
		Progress: func(p models.Progress) { progress(p.DoneBytes, p.TotalBytes) },
	})
}
