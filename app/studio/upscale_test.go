package studio

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// nearest is a network that repeats pixels. hold, if it is not nil, keeps each picture until something is sent.
type nearest struct {
	hold   chan struct{}
	fail   error // after the first row
	opened []string
	closed int
}

func (n *nearest) Info() inference.UpscalerInfo {
	return inference.UpscalerInfo{Name: "nearest", Digest: "n"}
}

func (n *nearest) Close() error { n.closed++; return nil }

func (n *nearest) Write(ctx context.Context, path string, o *picture.Original, size picture.Size,
	meta *picture.Metadata, exists picture.OnExist, progress func(inference.Progress),
) (string, error) {
	if meta != nil {
		with := *meta
		with.Upscale = n.Info().Enlarged(size)
		meta = &with
	}
	return o.WriteRows(path, size, meta, exists, func(put func([]uint16) error) error {
		return n.rows(ctx, o, size, put, progress)
	})
}

func (n *nearest) Picture(ctx context.Context, o *picture.Original, size picture.Size,
	progress func(inference.Progress),
) (*picture.Original, error) {
	img, y := o.New(size), 0
	err := n.rows(ctx, o, size, func(row []uint16) error {
		picture.PutRow(img, row, 0, y)
		y++
		return nil
	}, progress)
	return o.With(img), err
}

func (n *nearest) rows(ctx context.Context, o *picture.Original, size picture.Size, put func([]uint16) error,
	progress func(inference.Progress),
) error {
	row, large := make([]uint16, 4*o.Size.Width), make([]uint16, 4*size.Width)
	for y := range size.Height {
		o.Row(row, 0, y*o.Size.Height/size.Height, o.Size.Width)
		for x := range size.Width {
			copy(large[4*x:4*x+4], row[4*(x*o.Size.Width/size.Width):])
		}
		if err := put(large); err != nil {
			return err
		}
		progress(inference.Progress{Step: y, Total: size.Height, Fraction: float64(y+1) / float64(size.Height)})
		if n.hold != nil && y == size.Height/2 {
			select {
			case <-n.hold:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		if n.fail != nil {
			return n.fail
		}
	}
	return nil
}

// refiner is a painter whose model turns a picture to green.
type refiner struct {
	*painter
	asked []inference.Refinement
}

func (r *refiner) Refine(_ context.Context, img *image.RGBA, how inference.Refinement,
	progress func(inference.RefineProgress),
) (*image.RGBA, picture.Metadata, error) {
	r.asked = append(r.asked, how)
	progress(inference.RefineProgress{Tile: 2, Tiles: 3, Of: inference.Progress{Fraction: 0.5}})
	green := image.NewRGBA(img.Rect)
	for i := 0; i < len(green.Pix); i += 4 {
		copy(green.Pix[i:], []uint8{0, 255, 0, 255})
	}
	meta := picture.Metadata{Prompt: "finer", Seed: *how.Seed, Steps: 4, Model: "m", ModelDigest: "p",
		Edit: &picture.Edit{Strength: *how.Strength}}
	return green, meta, nil
}

// first makes a picture of 64×64 pixels and returns its entry.
func (r *rig) first(prompt string) history.Entry {
	r.t.Helper()
	r.Queue.Add(small(prompt, 1))
	r.Maker.Next()
	r.rest()
	return r.Album.Entries()[0]
}

func (r *rig) rest() {
	r.t.Helper()
	r.until("all is made", func() bool { return r.Maker.Run() == nil && (r.Queue.Empty() || r.Queue.Paused()) })
}

// TestUpscale enlarges a picture: the result has a file and an entry of its own, says how it was made, and is known as
// a child of what was enlarged. No model needs to be open for it.
func TestUpscale(t *testing.T) {
	network := &nearest{}
	r := newRig(t, t.TempDir(), &painter{network: network})
	source := r.first("a fox")
	r.Model.engine = nil
	r.events = nil
	var made Made
	r.Maker.Made.Subscribe(func(m Made) { made = m })
	progress := inference.Progress{}
	r.Maker.Progress.Subscribe(func(*image.RGBA) { progress = r.Maker.Run().Progress })
	r.Queue.Add(NewUpscale(source.Path, source.SHA256, Upscale{Scale: 3, Network: "nearest"}))
	r.Maker.Next()
	r.rest()
	if got := strings.Join(r.events, ", "); got != "began , made a fox, idle" {
		t.Errorf("%s", got)
	}
	if progress.Stage != inference.StageUpscale || progress.Total != 192 {
		t.Errorf("the progress is %+v", progress)
	}
	e := r.Album.Entries()[0]
	stem := strings.TrimSuffix(source.Path, ".png")
	if e.Path != stem+" ×3.png" || made.Entry.ID != e.ID || made.Picture.Image.Rect.Dx() != 192 ||
		made.Picture.Before.Rect.Dx() != 64 {
		t.Errorf("made %+v, %+v", made, e)
	}
	o, err := picture.OpenAnySize(t.Context(), e.Path)
	if err != nil || o.Size != (picture.Size{Width: 192, Height: 192}) {
		t.Fatal(o, err)
	}
	meta, err := picture.ReadMetadataFile(e.Path)
	if err != nil || meta.Prompt != "a fox" || meta.Seed != 7 || meta.Upscale == nil || meta.Upscale.Width != 192 ||
		meta.Width != 64 || *meta.Upscale != *e.Picture.Upscale {
		t.Errorf("the file says %+v, %v", meta, err)
	}
	parents, _ := r.Album.Lineage(e)
	_, children := r.Album.Lineage(source)
	if len(parents) != 1 || parents[0].ID != source.ID || len(children) != 1 || children[0].ID != e.ID {
		t.Errorf("made from %v, led to %v", parents, children)
	}
	if whole, err := made.Picture.Whole(t.Context()); err != nil || whole.Bounds().Dx() != 192 {
		t.Error(whole, err)
	}
	if network.closed != 1 || network.opened[0] != "nearest" {
		t.Errorf("%d networks closed of %q", network.closed, network.opened)
	}
	half := Upscale{Scale: 3}
	once := r.Album.Enlarged("nearest", half, picture.Size{Width: 64, Height: 64}, "")
	if twice := r.Album.Enlarged("nearest", half, picture.Size{Width: 64, Height: 128}, ""); once <= 0 || twice != 2*once {
		t.Errorf("takes %v, and %v for twice as many pixels", once, twice)
	}
	if r.Album.Enlarged("nearest", Upscale{Scale: 3, Strength: 0.25}, picture.Size{Width: 64, Height: 64}, "p") != 0 ||
		r.Album.Enlarged("other", half, picture.Size{Width: 64, Height: 64}, "") != 0 {
		t.Error("the time of another enlargement is taken")
	}

	r.Queue.Add(NewUpscale(source.Path, source.SHA256, Upscale{Scale: 3}))
	r.Maker.Next()
	r.rest()
	if again := r.Album.Entries()[0]; again.Path != stem+" ×3-2.png" {
		t.Errorf("the second one is %s", again.Path)
	}
}

// TestRefine has the model work the enlarged picture over. Without a model the batch waits, and with one of another
// computer it is refused.
func TestRefine(t *testing.T) {
	r := newRig(t, t.TempDir(), &painter{network: &nearest{}})
	source := r.first("a fox")
	batch := NewUpscale(source.Path, source.SHA256, Upscale{Scale: 2, Strength: 0.5})
	r.Queue.Add(batch)
	r.events = nil
	r.Maker.Next()
	r.rest()
	if got := strings.Join(r.events, ", "); got != "began , ended: "+ErrCannotRefine.Error()+", idle" {
		t.Errorf("%s", got)
	}

	r.Model.engine = nil
	r.Queue.Add(batch)
	if r.Maker.Next(); r.Maker.Run() != nil || r.Queue.Empty() {
		t.Error("it does not wait for a model")
	}
	engine := &refiner{painter: r.engine}
	r.Model.engine = engine
	var seen []float64
	r.Maker.Progress.Subscribe(func(*image.RGBA) {
		if p := r.Maker.Run().Progress; p.Stage == inference.StageRefine {
			seen = append(seen, p.Fraction)
			if p.Step != 1 || p.Total != 3 {
				t.Errorf("the progress is %+v", p)
			}
		}
	})
	r.Maker.Next()
	r.rest()
	e := r.Album.Entries()[0]
	meta, err := picture.ReadMetadataFile(e.Path)
	if err != nil || meta.Prompt != "a fox" || meta.Edit != nil || meta.Version != "test" || meta.Upscale == nil {
		t.Fatalf("%+v, %v, %q", meta, err, r.events)
	}
	refined := meta.Upscale.Refine
	if refined == nil || refined.Strength != 0.5 || refined.Seed != batch.Seed || refined.Prompt != "finer" {
		t.Errorf("the file says %+v", refined)
	}
	img, err := history.Read(e.Path)
	if err != nil || img.Rect.Dx() != 128 || img.RGBAAt(5, 5) != (color.RGBA{0, 255, 0, 255}) {
		t.Error("the result is not the model's", err)
	}
	if len(engine.asked) != 1 || len(seen) == 0 || seen[0] != enlargeShare+(1-enlargeShare)/2 {
		t.Errorf("asked %d times, progress %v", len(engine.asked), seen)
	}
	if r.Album.Enlarged("nearest", Upscale{Scale: 2, Strength: 0.5}, picture.Size{Width: 64, Height: 64}, "p") <= 0 {
		t.Error("how long it took is not known")
	}
}

// TestUpscaleFails: whatever goes wrong is told in one error, no file appears, and the source stays. If the result
// cannot be saved, the batch waits in front of the paused queue.
func TestUpscaleFails(t *testing.T) {
	glass := image.NewNRGBA(image.Rect(0, 0, 64, 64))
	for _, row := range []struct {
		name  string
		u     Upscale
		do    func(r *rig, path string) error
		want  string
		waits bool
	}{
		{"gone", Upscale{Scale: 2}, func(_ *rig, path string) error { return os.Remove(path) }, "no such file", false},
		{"changed", Upscale{Scale: 2}, func(_ *rig, path string) error {
			return picture.WriteCopy(path, image.NewRGBA(image.Rect(0, 0, 32, 32)), picture.Metadata{}, picture.CopyOptions{})
		}, "has changed since", false},
		{"not a picture", Upscale{Scale: 2}, func(_ *rig, path string) error {
			return os.WriteFile(path, []byte("x"), 0o600)
		}, "", false},
		{"out of limits", Upscale{Scale: 5}, func(*rig, string) error { return nil }, "want 2 to 4 times", false},
		{"no network", Upscale{Scale: 2}, func(r *rig, _ string) error { r.engine.network = nil; return nil }, "", false},
		{"a broken network", Upscale{Scale: 2}, func(r *rig, _ string) error {
			r.engine.network.fail = errors.New("not a number")
			return nil
		}, "not a number", false},
		{"a full disk", Upscale{Scale: 2}, func(r *rig, path string) error {
			r.engine.network.fail = &fs.PathError{Op: "write", Path: path, Err: syscall.ENOSPC}
			return nil
		}, syscall.ENOSPC.Error(), true},
		{"a folder that cannot be written", Upscale{Scale: 2}, func(r *rig, path string) error {
			r.Settings.SetPicturesDir(filepath.Join(path, "inside"))
			return nil
		}, "not a directory", true},
		{"transparent", Upscale{Scale: 2, Strength: 0.25}, func(_ *rig, path string) error {
			return picture.WriteCopy(path, glass, picture.Metadata{}, picture.CopyOptions{})
		}, "transparent parts", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRig(t, t.TempDir(), &painter{network: &nearest{}})
			source := r.first("a fox")
			r.Model.engine = &refiner{painter: r.engine}
			if err := row.do(r, source.Path); err != nil {
				t.Fatal(err)
			}
			digest := source.SHA256
			if row.name == "transparent" {
				digest = ""
			}
			var failed error
			r.Maker.Ended.Subscribe(func(e Ended) { failed = e.Err })
			r.Queue.Add(NewUpscale(source.Path, digest, row.u))
			r.Maker.Next()
			r.rest()
			if failed == nil || !strings.Contains(failed.Error(), row.want) {
				t.Errorf("%v, want %q", failed, row.want)
			}
			if r.Queue.Empty() == row.waits || r.Queue.Paused() != row.waits {
				t.Errorf("%d wait, paused: %v", len(r.Queue.Batches()), r.Queue.Paused())
			}
			if save := (SaveError{}); errors.As(failed, &save) != row.waits {
				t.Errorf("%#v", failed)
			}
			files, err := filepath.Glob(filepath.Join(filepath.Dir(source.Path), "*×*"))
			if err != nil || len(files) != 0 || len(r.Album.Entries()) != 1 {
				t.Errorf("%q, %v, %d entries", files, err, len(r.Album.Entries()))
			}
		})
	}
}

// TestUpscaleTooLarge refuses an enlargement that the history could not show, before it computes anything.
func TestUpscaleTooLarge(t *testing.T) {
	r := newRig(t, t.TempDir(), &painter{network: &nearest{}})
	path := filepath.Join(r.dir, "wide.png")
	wide := image.NewGray(image.Rect(0, 0, 6000, 1100))
	if err := picture.WriteCopy(path, wide, picture.Metadata{}, picture.CopyOptions{Bare: true}); err != nil {
		t.Fatal(err)
	}
	r.events = nil
	r.Queue.Add(NewUpscale(path, "", Upscale{Scale: 4}))
	r.Maker.Next()
	r.rest()
	if got := strings.Join(r.events, ", "); !strings.Contains(got, "24000x4400 pixels, want at most 102 megapixels") {
		t.Errorf("%s", got)
	}
	if len(r.engine.network.opened) != 0 {
		t.Error("the network was opened")
	}
}

// TestUpscaleStops cancels an enlargement, and another one by closing the studio: that one is there again at the next
// start, unless its picture is gone by then.
func TestUpscaleStops(t *testing.T) {
	dir := t.TempDir()
	r := newRig(t, dir, &painter{network: &nearest{hold: make(chan struct{})}})
	folder := filepath.Join(dir, "desk")
	open := func(r *rig) (why error) {
		t.Helper()
		if _, _, err := r.Keeper.Open(folder); err != nil {
			t.Fatal(err)
		}
		r.Keeper.ReadQueue(folder, Desk{}, func(_ []Batch, broken, _ error) { why = broken })
		r.until("the queue is read", r.Keeper.Loaded)
		return why
	}
	open(r)
	source := r.first("a fox")
	batch := NewUpscale(source.Path, source.SHA256, Upscale{Scale: 2, Network: "nearest", Strength: 0})
	half := func() bool { return r.Maker.Run() != nil && r.Maker.Run().Fraction() > 0.4 }

	r.Queue.Add(batch)
	r.Maker.Next()
	r.until("half of it", half)
	r.Maker.Cancel()
	r.rest()
	if got := r.events[len(r.events)-2]; got != "ended: context canceled" {
		t.Errorf("%q", r.events)
	}

	r.Queue.Add(batch)
	r.Maker.Next()
	r.until("half of it", half)
	r.Keeper.Last()
	r.Loop.Close()
	kept, err := os.ReadFile(filepath.Join(folder, queueFile))
	if err != nil || !bytes.Contains(kept, []byte(`"upscale":{"scale":2,"network":"nearest"}`)) {
		t.Fatalf("%s, %v", kept, err)
	}
	again := newRig(t, dir, &painter{network: &nearest{}})
	again.Album.Reload()
	if why := open(again); why != nil || len(again.Queue.Batches()) != 1 {
		t.Fatalf("%v, %+v", why, again.Queue.Batches())
	}
	back := again.Queue.Batches()[0]
	if *back.Upscale != *batch.Upscale || back.Seed != batch.Seed || !back.Desk.Slots[0].Same(batch.Desk.Slots[0]) {
		t.Errorf("%+v came back, want %+v", back, batch)
	}
	again.Maker.GoOn()
	again.rest()
	if _, err := os.Stat(strings.TrimSuffix(source.Path, ".png") + " ×2.png"); err != nil {
		t.Error(err, again.events)
	}
	back.Upscale = &Upscale{Scale: 7}
	if _, err := back.Read(t.Context(), again.Keeper.Store()); err == nil {
		t.Error("7 times was read")
	}
	again.Queue.Add(batch, batch)
	again.Queue.Pause()
	again.Keeper.Last()
	again.Loop.Close()
	if err := os.Remove(source.Path); err != nil {
		t.Fatal(err)
	}
	third := newRig(t, dir, &painter{})
	if !errors.Is(open(third), fs.ErrNotExist) || len(third.Keeper.Broken()) != 2 {
		t.Errorf("%d are broken", len(third.Keeper.Broken()))
	}
	if b, ok := third.Keeper.TakeBroken(); ok {
		t.Errorf("%+v is to be edited on the desk", b)
	}
}
