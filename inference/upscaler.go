package inference

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/kleinbild/kleinbild/inference/backend"
	"github.com/kleinbild/kleinbild/inference/checkpoint"
	"github.com/kleinbild/kleinbild/inference/cuda"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/inference/tensor"
	"github.com/kleinbild/kleinbild/inference/upscale"
)

// UpscalerOptions say which network enlarges pictures, and where it computes.
type UpscalerOptions struct {
	// Model is a .safetensors or .pth file, or the name of one that models' catalogue or another program has; "" searches
	// the usual places.
	Model     string
	Device    Device
	Precision Precision // not Int8

	// sim is the software device of tests.
	sim *cuda.Options
}

// UpscalerInfo describes an open upscaler.
type UpscalerInfo struct {
	Name         string // of the file, without folder and extension
	Path         string
	Digest       string // the SHA-256 of the file
	Architecture string // "SRVGGNetCompact", "RRDBNet" or "SPAN"
	Scale        int    // how many times as long the network makes the sides
	Device       string // the name of the device, for people
	Processor    bool   // the device is this computer's processor
	Precision    Precision
	Notices      []string // sentences for the user
}

// Enlarged returns how the metadata of a picture name the network.
func (i UpscalerInfo) Enlarged(size picture.Size) *picture.Upscale {
	return &picture.Upscale{Model: i.Name, SHA256: i.Digest, Width: size.Width, Height: size.Height}
}

// Refined returns the metadata of a picture of size from that was enlarged to a size, and which Engine.Refine then
// worked over. before is what the picture says of how it was made, or nil: then the metadata are those of the
// refinement.
func (i UpscalerInfo) Refined(
	before *picture.Metadata, from, to picture.Size, refined picture.Metadata,
) picture.Metadata {
	meta := refined
	if before != nil {
		meta = *before
	} else {
		meta.Edit, meta.Width, meta.Height = nil, from.Width, from.Height
	}
	meta.Upscale = i.Enlarged(to)
	meta.Upscale.Refine = picture.RefineOf(refined)
	return meta
}

// Upscalers are the names of the networks that models' catalogue has, the preferred one first.
var Upscalers = checkpoint.Upscalers

// ListUpscalers returns the paths of all networks that enlarge pictures and are found in the usual places, the one that
// OpenUpscaler takes by itself first. It may wait for the disk.
func ListUpscalers() []string { return checkpoint.ListUpscalers(os.Getenv) }

// NoUpscalerError says that no network that enlarges pictures was found.
type NoUpscalerError = checkpoint.NoUpscalerError

// Upscaler enlarges pictures with a small network. It has no part of an Engine, and may be open beside one. It enlarges
// one picture at a time.
type Upscaler struct {
	info    UpscalerInfo
	b       backend.Backend
	network *upscale.Network
	busy    sync.Mutex
	closed  bool

	// planned is network on a rehearsal of b, nil on the processor.
	planned   *upscale.Network
	rehearsal backend.Rehearsal
}

// OpenUpscaler reads a network. When ctx ends, it returns its cause at once, even if a disk does not answer. The error
// is a *NoUpscalerError if there is no such network.
func OpenUpscaler(ctx context.Context, opts UpscalerOptions) (*Upscaler, error) {
	open := func() (*Upscaler, error) { return openUpscaler(ctx, opts) }
	return checkpoint.Interruptible(ctx, open, func(u *Upscaler) { u.Close() })
}

func openUpscaler(ctx context.Context, opts UpscalerOptions) (*Upscaler, error) {
	if opts.Precision == Int8 {
		return nil, fmt.Errorf("precision int8: an upscaler computes in bf16 or float32, want one of them or auto")
	}
	path, err := checkpoint.FindUpscaler(opts.Model, os.Getenv)
	if err != nil {
		return nil, err
	}
	src, digest, err := checkpoint.ReadUpscaler(ctx, path)
	if err != nil {
		return nil, err
	}
	b, precision, notices, err := openBackend(Options{Device: opts.Device, Precision: opts.Precision, sim: opts.sim}, nil)
	if err != nil {
		return nil, err
	}
	u := &Upscaler{b: b}
	if err := u.load(src); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), b.Close())
	}
	i := u.network.Info()
	u.info = UpscalerInfo{
		Name: strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), Path: path, Digest: digest,
		Architecture: i.Architecture, Scale: i.Scale, Device: b.Name(), Processor: onProcessor(b), Precision: precision,
		Notices: notices,
	}
	return u, nil
}

// load builds the network on the backend and, if that has one, on its rehearsal.
func (u *Upscaler) load(src tensor.Source) (err error) {
	u.b.Network("upscaler")
	if u.network, err = upscale.New(u.b, src); err != nil {
		return err
	}
	if device, ok := u.b.(backend.Planned); ok {
		u.rehearsal = device.Rehearsal()
		u.rehearsal.Network("upscaler")
		u.planned, err = upscale.New(u.rehearsal, src)
	}
	return err
}

// Info describes the upscaler.
func (u *Upscaler) Info() UpscalerInfo { return u.info }

// Close waits until the present picture is finished and frees everything.
func (u *Upscaler) Close() error {
	u.busy.Lock()
	defer u.busy.Unlock()
	if u.closed {
		return nil
	}
	u.closed = true
	return u.b.Close()
}

// Size returns the size of a picture that is enlarged scale times, or as the network does if scale is 0.
func (u *Upscaler) Size(of picture.Size, scale int) picture.Size {
	if scale == 0 {
		scale = u.info.Scale
	}
	return picture.Size{Width: of.Width * scale, Height: of.Height * scale}
}

// Write enlarges o to size and writes it to path, with o's depth, alpha, profile and Exif. A PNG file is written while
// the picture is computed, so that it may have up to picture.MaxRowPixels. meta is what the file of o says of how it
// was made, nil if it says nothing; the written file says it, too, and how it was enlarged. A size that is not the
// network's own is reached by Lanczos. progress, which may be nil, must not block. It returns the path that was
// written, as picture.Write does. Errors are ctx's cause, ErrBusy, ErrClosed, and those of the device and of the file.
func (u *Upscaler) Write(
	ctx context.Context, path string, o *picture.Original, size picture.Size, meta *picture.Metadata,
	exists picture.OnExist, progress func(Progress),
) (string, error) {
	if meta != nil {
		with := *meta
		with.Upscale = u.info.Enlarged(size)
		meta = &with
	}
	return o.WriteRows(path, size, meta, exists, func(put func([]uint16) error) error {
		return u.rows(ctx, o, size, put, progress)
	})
}

// Picture enlarges o to size, of at most picture.MaxPixels, in memory. It is like Write otherwise.
func (u *Upscaler) Picture(
	ctx context.Context, o *picture.Original, size picture.Size, progress func(Progress),
) (*picture.Original, error) {
	if size.Width < 1 || size.Height < 1 || size.Width > picture.MaxPixels/size.Height {
		return nil, fmt.Errorf("upscale: a picture of %v, want at most %d megapixels", size, picture.MaxPixels/1_000_000)
	}
	var pixels image.Image = o.New(size)
	y := 0
	err := u.rows(ctx, o, size, func(samples []uint16) error {
		picture.PutRow(pixels, samples, 0, y)
		y++
		return nil
	}, progress)
	if err != nil {
		return nil, err
	}
	return o.With(pixels), nil
}

// rows gives put the rows of o, enlarged to size.
func (u *Upscaler) rows(
	ctx context.Context, o *picture.Original, size picture.Size, put func([]uint16) error, progress func(Progress),
) error {
	if !u.busy.TryLock() {
		return ErrBusy
	}
	defer u.busy.Unlock()
	if u.closed {
		return ErrClosed
	}
	u.b.Begin(ctx)
	tiling, err := u.reserve(ctx, o.Size)
	if err != nil {
		return err
	}
	final := newEnlargedRows(o, size, put)
	take := final.put
	native := u.Size(o.Size, 0)
	if size != native {
		take = picture.NewRowScaler(native, size, 3, final.put).Put
	}
	start := time.Now()
	err = u.network.EnlargeRows(ctx, tiling, o.Size.Width, o.Size.Height, sourceOf(o), func(rows []float32) error {
		for n := 3 * native.Width; len(rows) > 0; rows = rows[n:] {
			row := rows[:n]
			for i, v := range row {
				if v != v {
					return errors.New("upscale: the result is not a number: the network's weights are damaged")
				}
				row[i] = min(max(v, 0), 1)
			}
			if err := take(row); err != nil {
				return err
			}
		}
		return ctx.Err()
	}, func(tile, tiles int, share float64) {
		if progress == nil {
			return
		}
		p := Progress{Stage: StageUpscale, Step: tile, Total: tiles, Fraction: share, Elapsed: time.Since(start)}
		if share > 0 {
			p.Remaining = time.Duration(float64(p.Elapsed) * (1 - share) / share)
		}
		progress(p)
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// The memory for enlarging, beside the picture itself.
const (
	// upscaleBandValues is the size of a band of the result, in float32: 256 MiB.
	upscaleBandValues = 64 << 20
	// upscaleProcessorBytes is for the activations of a tile on the processor. Smaller tiles would compute more margins.
	upscaleProcessorBytes = 1 << 30
	mostTileSide          = 512
	leastTileSide         = 32
)

// reserve chooses tiles for a picture that the device has memory for, and reserves it.
func (u *Upscaler) reserve(ctx context.Context, size picture.Size) (upscale.Tiling, error) {
	tiling := func(side int) upscale.Tiling {
		return u.network.NewTiling(size.Width, size.Height, side, upscaleBandValues)
	}
	device, ok := u.b.(backend.Planned)
	if !ok {
		perPixel := float64(u.network.Info().Values * u.b.Activation().SizeBytes())
		seen := int(math.Sqrt(upscaleProcessorBytes / perPixel))
		return tiling(min(max(seen-2*tiling(mostTileSide).Margin, leastTileSide), mostTileSide)), nil
	}
	room, _, err := device.Room()
	if err != nil {
		return upscale.Tiling{}, err
	}
	for side := mostTileSide; ; side /= 2 {
		t := tiling(side)
		width, height := t.Largest(size.Width, size.Height)
		u.rehearsal.Begin(ctx)
		if _, err := u.planned.Enlarge(ctx, nil, height, width, nil); err != nil {
			return t, err
		}
		m := u.rehearsal.Memory()
		if m.Most() <= room || side/2 < leastTileSide {
			return t, device.Reserve(m)
		}
	}
}
