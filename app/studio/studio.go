package studio

import (
	"context"
	"strconv"

	"github.com/kleinbild/kleinbild/inference"
)

// Studio is the state of one window. Each part says by its events what has changed; none of them knows who listens.
type Studio struct {
	Loop     *Loop
	Settings Settings
	Model    *OpenModel
	Desk     *Workspace
	Queue    *Queue
	Album    *Album
	Maker    *Maker
	Keeper   *Keeper
	Reader   *Reader
	LoRAs    *LoRAShelf

	picturesDir string // if the settings name none
}

// Config is what a studio is opened with.
type Config struct {
	Version     string // of the program
	Preferences Preferences
	// Open opens a model, as inference.Open.
	Open        func(context.Context, inference.Options) (Engine, error)
	HistoryFile string
	Bin         Bin
	// PicturesDir is the folder of pictures unless the settings name another one. SpareDirs returns the folders that are
	// tried, in order, if a picture that was made cannot be written to its folder.
	PicturesDir string
	SpareDirs   func() []string
	// OpenUpscaler opens networks that enlarge pictures. It may be nil if nothing is to be enlarged.
	OpenUpscaler OpenUpscaler
}

// New returns a studio with a new desk. It reads and opens nothing yet: see Album.Open, Keeper.Open and Model.Open.
func New(loop *Loop, cfg Config) *Studio {
	s := &Studio{
		Loop: loop, Settings: NewSettings(cfg.Preferences), Desk: &Workspace{}, Queue: &Queue{},
		picturesDir: cfg.PicturesDir,
	}
	s.Model = NewOpenModel(loop, cfg.Open)
	s.Album = NewAlbum(loop, cfg.HistoryFile, cfg.Bin)
	s.Maker = NewMaker(loop, s.Queue, s.Model, Output{
		Version: cfg.Version, Dir: s.PicturesDir, SpareDirs: cfg.SpareDirs, Store: s.Album.Store(),
		Kept: func() *Store { return s.Keeper.Store() }, OpenUpscaler: cfg.OpenUpscaler, Device: s.Settings.Device,
	})
	s.Maker.Made.Subscribe(func(m Made) {
		if m.Entry != nil {
			s.Album.Added(*m.Entry)
		}
	})
	s.Desk.Chosen.Subscribe(s.leaveMatch) // the first subscribers: the others see the desk that results
	s.Desk.Chosen.Subscribe(s.leaveMask)
	s.Keeper = NewKeeper(loop, s.Desk, s.Queue, s.Maker)
	s.LoRAs = NewLoRAShelf(loop, s.Model, s.Desk)
	s.Reader = NewReader(loop, s.Desk, s.Keeper.Store)
	seed := s.Settings.LockedSeed()
	s.Desk.desk = Desk{Aspect: s.Settings.Aspect(), Count: s.Settings.Count(), Seed: seed, Locked: seed != ""}
	if seed == "" {
		s.Desk.desk.Seed = RollSeed()
	}
	return s
}

// PicturesDir is where pictures are saved: in the folder that the user chose, or else in the usual one.
func (s *Studio) PicturesDir() string {
	if dir := s.Settings.PicturesDir(); dir != "" {
		return dir
	}
	return s.picturesDir
}

// RollSeed draws a seed.
func RollSeed() string { return strconv.FormatUint(inference.RandomSeed(), 10) }
