// Package app is the window: a canvas, a prompt, four numbered reference slots, sizes, and the history of what was
// made. It drives an Engine and knows nothing of how pictures are computed.
//
// Everything here runs on Fyne's goroutine, except what studio.Loop starts in the background; that hands its outcome
// back through Loop.Post, the only crossing.
package app

import (
	"context"
	"time"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/inference"
)

// ID names the app to the system: its preferences, its desktop file.
const ID = "io.github.kleinbild.Kleinbild"

// Engine and Planner are what makes pictures, Upscaler what enlarges them.
type (
	Engine   = studio.Engine
	Planner  = studio.Planner
	Upscaler = studio.Upscaler
)

// Model is a model that was found on this machine.
type Model struct {
	Name      string // for people
	Spec      string // what Options.Model takes
	SizeBytes int64
	Quality   inference.Closeness
	Need      inference.Need
	Why       string // how its files were chosen, "" if there was no choice
}

// Download is a model that can be fetched.
type Download struct {
	Name      string // what Get takes
	Title     string // for people
	About     string // a few words
	SizeBytes int64
	Quality   inference.Closeness
	Need      inference.Need
	Measured  bool   // its need of a processor's memory was measured, not counted
	Licence   string // what it allows, in a few words
	// Expected returns about how long a picture takes on this computer's processor, counted from its measured rate, or 0;
	// nil if that cannot be said. It may take some milliseconds.
	Expected func() time.Duration
	// Agree is what the user has to agree to before the download, in one sentence; "" for nothing.
	Agree string
}

// Catalogue fetches models. Get resumes what an earlier call left, and returns what Options.Model takes; it is called
// once the user has agreed to what the model asks for.
type Catalogue interface {
	Downloads() []Download
	Get(ctx context.Context, name string, progress func(done, total int64)) (spec string, err error)
	// Upscaler is the network that is offered to enlarge pictures; ok is false if none is. Get fetches it, too.
	Upscaler() (d Download, ok bool)
}

// Remote is another computer, whose engine makes the pictures.
type Remote struct {
	Address  string
	Token    string // "" for the one that is kept for the address
	CA       string // a file with certificates of authorities, "" for none
	Insecure bool   // it may be reached without encryption
}

// Config is what the window gets from main.
type Config struct {
	Version string
	// Open opens a model, as inference.Open.
	Open func(context.Context, inference.Options) (Engine, error)
	// Connect opens the engine of another computer. If it is nil, none is offered.
	Connect func(context.Context, Remote) (Engine, error)
	// Remote is the other computer that was used last, the zero value for none; UseRemote says that it is used now.
	// RememberRemote changes both for the next start. It may be nil.
	Remote         Remote
	UseRemote      bool
	RememberRemote func(r Remote, use bool) error
	// FindModels lists the models in the usual places, until its context ends.
	FindModels func(context.Context) []Model
	// OpenUpscaler opens a network that enlarges pictures, as inference.OpenUpscaler. If it is nil, none are enlarged.
	OpenUpscaler func(context.Context, inference.UpscalerOptions) (Upscaler, error)
	// FindUpscalers returns the paths of the networks in the usual places, the preferred one first.
	FindUpscalers func() []string
	// Catalogue may be nil: then nothing can be downloaded here.
	Catalogue Catalogue
	// ModelSetting is the model that the command line's settings name, "" for none; RememberModel changes it, so that
	// window and command line agree. It may be nil.
	ModelSetting  string
	RememberModel func(spec string) error
	// Paths of the history's file and the thumbnails' folder, and of the pictures until the user names another.
	HistoryFile, ThumbnailDir, PicturesDir string
	// DeskDir is the folder that keeps the desk and the queue from one start to the next; "" keeps nothing.
	DeskDir string
	// Dropped are files that the program was started with: they come as if dropped on the canvas.
	Dropped []string

	// room is the largest content that the screen has room for; no size if that is unknown.
	room fyne.Size
	// memoryOn returns the memory of a device; nil is as inference.RoomOn.
	memoryOn func(inference.Device) inference.Room
}
