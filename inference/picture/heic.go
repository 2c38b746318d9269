package picture

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"image"
	"io"
	"sync"
	_ "unsafe" // for linkname

	_ "github.com/gen2brain/heic" // holds libheif
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// libheifGzip is libheif and libde265 in WebAssembly. Package heic's own Decode returns memory that it has freed, so that
// the first samples are lost, takes the rows of narrow pictures for shorter than they are, sets no limit to memory and
// writes to standard output. So the module is run here; a version of the package without it does not link.
//
//go:linkname libheifGzip github.com/gen2brain/heic.heifWasm
var libheifGzip []byte

// heicMemoryBytes bounds what a picture may take while it is decoded, whatever its header says.
const heicMemoryBytes = 2 << 30

// libheif compiles the module for the processor, which takes half a second, when the first picture comes.
var libheif = sync.OnceValues(func() (instantiate func(context.Context) (heicModule, error), err error) {
	unzip, err := gzip.NewReader(bytes.NewReader(libheifGzip))
	if err != nil {
		return nil, err
	}
	code, err := io.ReadAll(unzip)
	if err != nil {
		return nil, err
	}
	const pageBytes = 64 << 10
	ctx := context.Background()
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithMemoryLimitPages(heicMemoryBytes/pageBytes))
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, runtime); err != nil {
		return nil, err
	}
	compiled, err := runtime.CompileModule(ctx, code)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (heicModule, error) {
		module, err := runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName(""))
		return heicModule{ctx, module}, err
	}, nil
})

var errHEIC = errors.New("heic: invalid format: the pictures in it cannot be decoded")

// The colour spaces and layouts of libheif that its C function decodes to.
const (
	heifYCbCr      = 0
	heifRGB        = 1
	heifMonochrome = 2

	heif420 = 1
	heif422 = 2
	heif444 = 3
)

// decodeHEIC decodes the primary picture, turned and cropped as the file says. It may not be larger than limit.
func decodeHEIC(file []byte, limit Size) (image.Image, error) {
	instantiate, err := libheif()
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	module, err := instantiate(ctx)
	if err != nil {
		return nil, err
	}
	defer module.Close(ctx)
	input, err := module.allocate(len(file))
	if err != nil {
		return nil, err
	}
	if !module.Memory().Write(input, file) {
		return nil, errHEIC
	}
	const results = 5 // width, height, colour space, chroma, whether colours are multiplied with alpha
	result, err := module.allocate(4 * results)
	if err != nil {
		return nil, err
	}
	var values [results]uint32
	decode := func(headerOnly, output uint32) error {
		done, err := module.call("decode", input, uint32(len(file)), headerOnly,
			result, result+4, result+8, result+12, result+16, output)
		if err != nil {
			return err
		}
		ok := done != 0
		for i := range values {
			var there bool
			values[i], there = module.Memory().ReadUint32Le(result + uint32(4*i))
			ok = ok && there
		}
		if !ok || values[0] == 0 || values[1] == 0 || values[0] > uint32(limit.Width) || values[1] > uint32(limit.Height) {
			return errHEIC
		}
		return nil
	}
	if err := decode(1, 0); err != nil {
		return nil, err
	}
	before := values
	layout, size, err := heicLayout(values[0], values[1], values[2], values[3], values[4] == 1)
	if err != nil {
		return nil, err
	}
	output, err := module.allocate(size)
	if err != nil {
		return nil, err
	}
	if err := decode(0, output); err != nil {
		return nil, err
	}
	pixels, ok := module.Memory().Read(output, uint32(size))
	if !ok || values != before {
		return nil, errHEIC
	}
	return layout(bytes.Clone(pixels)), nil
}

// heicLayout returns how many bytes a decoded picture takes, and what makes a picture of them: planes one behind the other,
// rows of a multiple of 16 samples and of 64 at least.
func heicLayout(w, h, space, chroma uint32, multiplied bool) (layout func([]byte) image.Image, size int, err error) {
	width, height := int(w), int(h)
	stride := func(width int) int { return (max(width, 64) + 15) / 16 * 16 }
	bounds := image.Rect(0, 0, width, height)
	row := stride(width)
	switch space {
	case heifMonochrome:
		return func(b []byte) image.Image { return &image.Gray{Pix: b, Stride: row, Rect: bounds} }, row * height, nil
	case heifRGB:
		row *= 4
		return func(b []byte) image.Image {
			if multiplied {
				return &image.RGBA{Pix: b, Stride: row, Rect: bounds}
			}
			return &image.NRGBA{Pix: b, Stride: row, Rect: bounds}
		}, row * height, nil
	case heifYCbCr:
		ratios := map[uint32]image.YCbCrSubsampleRatio{
			heif420: image.YCbCrSubsampleRatio420, heif422: image.YCbCrSubsampleRatio422, heif444: image.YCbCrSubsampleRatio444,
		}
		ratio, known := ratios[chroma]
		if !known {
			break
		}
		chromaRow, chromaHeight := row, height
		if chroma != heif444 {
			chromaRow = stride((width + 1) / 2)
		}
		if chroma == heif420 {
			chromaHeight = (height + 1) / 2
		}
		luma, each := row*height, chromaRow*chromaHeight
		return func(b []byte) image.Image {
			return &image.YCbCr{
				Y: b[:luma], Cb: b[luma : luma+each], Cr: b[luma+each : luma+2*each],
				YStride: row, CStride: chromaRow, SubsampleRatio: ratio, Rect: bounds,
			}
		}, luma + 2*each, nil
	}
	return nil, 0, errors.New("heic: unsupported feature: this layout of colours")
}

// heicModule is libheif with memory of its own.
type heicModule struct {
	ctx context.Context
	api.Module
}

// call calls a C function.
func (m heicModule) call(name string, args ...uint32) (uint32, error) {
	stack := make([]uint64, len(args))
	for i, arg := range args {
		stack[i] = uint64(arg)
	}
	results, err := m.ExportedFunction(name).Call(m.ctx, stack...)
	if err != nil {
		return 0, errHEIC // a trap: its text is a list of addresses
	}
	return uint32(results[0]), nil
}

// allocate returns memory that is freed with the module.
func (m heicModule) allocate(bytes int) (uint32, error) {
	at, err := m.call("malloc", uint32(bytes))
	if err == nil && at == 0 {
		err = errors.New("heic: unsupported feature: a picture that takes more than 2 GiB to decode")
	}
	return at, err
}
