package inference

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference/cuda"
	"github.com/kleinbild/kleinbild/inference/picture"
	"github.com/kleinbild/kleinbild/kernels/cu"
	"github.com/kleinbild/kleinbild/kernels/ptxsim"
)

var upscaleGolden = filepath.Join("testdata", "golden", "upscale")

func openTestUpscaler(t *testing.T, file string, opts UpscalerOptions) *Upscaler {
	t.Helper()
	opts.Model = filepath.Join(upscaleGolden, file)
	u, err := OpenUpscaler(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := u.Close(); err != nil {
			t.Error(err)
		}
	})
	return u
}

// exactUpscaler computes on the processor in float32.
func exactUpscaler(t *testing.T, file string) *Upscaler {
	return openTestUpscaler(t, file, UpscalerOptions{Device: DeviceCPU, Precision: Float32})
}

func anySize(t *testing.T, path string) *picture.Original {
	t.Helper()
	o, err := picture.OpenAnySize(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// original returns a picture with the given pixels, as it is read from a file.
func original(t *testing.T, img image.Image) *picture.Original {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.png")
	if _, err := picture.Write(path, img, picture.Metadata{}, picture.Refuse); err != nil {
		t.Fatal(err)
	}
	return anySize(t, path)
}

// worstLevel returns the largest difference of two pictures' colours in levels of 8 bits.
func worstLevel(t *testing.T, a, b image.Image) (worst float64) {
	t.Helper()
	if a.Bounds() != b.Bounds() {
		t.Fatalf("%v, want %v", a.Bounds(), b.Bounds())
	}
	for y := range a.Bounds().Dy() {
		for x := range a.Bounds().Dx() {
			p := color.NRGBA64Model.Convert(a.At(x, y)).(color.NRGBA64)
			q := color.NRGBA64Model.Convert(b.At(x, y)).(color.NRGBA64)
			for _, d := range [][2]uint16{{p.R, q.R}, {p.G, q.G}, {p.B, q.B}, {p.A, q.A}} {
				worst = max(worst, math.Abs(float64(d[0])-float64(d[1]))/257)
			}
		}
	}
	return worst
}

// TestUpscaleGoldens writes the recordings' pictures by the whole way from file to file.
func TestUpscaleGoldens(t *testing.T) {
	for _, name := range []string{"compact-x2", "rrdb-x2plus", "span-x2-no-norm"} {
		u := exactUpscaler(t, name+".safetensors")
		for _, size := range []string{"24x20", "33x17"} {
			o := anySize(t, filepath.Join(upscaleGolden, "in-"+size+".png"))
			path := filepath.Join(t.TempDir(), "out.png")
			last := Progress{}
			written, err := u.Write(t.Context(), path, o, u.Size(o.Size, 0), nil, picture.Refuse, func(p Progress) {
				if p.Stage != StageUpscale || p.Fraction < last.Fraction || p.Fraction > 1 || p.Step > p.Total {
					t.Errorf("%+v after %+v", p, last)
				}
				last = p
			})
			if err != nil || written != path || last.Fraction != 1 || last.Step != last.Total {
				t.Fatal(written, err, last)
			}
			want := anySize(t, filepath.Join(upscaleGolden, name+"."+size+".png"))
			if worst := worstLevel(t, anySize(t, path), want); worst > 1 {
				t.Errorf("%s %s: levels differ by up to %v, want at most 1", name, size, worst)
			}
			p, err := u.Picture(t.Context(), o, u.Size(o.Size, 0), nil)
			if err != nil || worstLevel(t, p, anySize(t, path)) != 0 {
				t.Errorf("%s %s: Picture: %v, want the pixels of the file", name, size, err)
			}
		}
	}
}

// TestUpscaleKinds enlarges pictures of all kinds, and compares what the file has with the same picture in 8 bits RGB.
func TestUpscaleKinds(t *testing.T) {
	u := exactUpscaler(t, "compact-x2.safetensors")
	const width, height = 19, 13
	r := image.Rect(0, 0, width, height)
	level := func(x, y, c int) uint8 { return uint8(60 + 7*x + 5*y*(c+1)) }
	rgb, deep, alpha := image.NewNRGBA(r), image.NewNRGBA64(r), image.NewNRGBA(r)
	gray, grayRGB, deepGray := image.NewGray(r), image.NewNRGBA(r), image.NewGray16(r)
	palette := image.NewPaletted(r, nil)
	for y := range height {
		for x := range width {
			c := color.NRGBA{level(x, y, 0), level(x, y, 1), level(x, y, 2), 255}
			rgb.SetNRGBA(x, y, c)
			deep.Set(x, y, c)
			c.A = uint8(20 + 10*x) // visible everywhere
			alpha.SetNRGBA(x, y, c)
			gray.SetGray(x, y, color.Gray{c.R})
			grayRGB.SetNRGBA(x, y, color.NRGBA{c.R, c.R, c.R, 255})
			deepGray.SetGray16(x, y, color.Gray16{uint16(c.R) * 257})
			palette.Palette = append(palette.Palette, color.NRGBA{level(x, y, 0), level(x, y, 1), level(x, y, 2), 255})
			palette.SetColorIndex(x, y, uint8(len(palette.Palette)-1))
		}
	}
	enlarge := func(img image.Image, scale int) *picture.Original {
		t.Helper()
		o := original(t, img)
		path := filepath.Join(t.TempDir(), "out.png")
		if _, err := u.Write(t.Context(), path, o, u.Size(o.Size, scale), nil, picture.Refuse, nil); err != nil {
			t.Fatal(err)
		}
		return anySize(t, path)
	}
	// with returns the opaque picture whose pixels to makes of those of o.
	with := func(o *picture.Original, to func(r, g, b uint8) color.NRGBA) image.Image {
		img := image.NewNRGBA(o.Bounds())
		samples := make([]uint16, 4*o.Size.Width)
		for y := range o.Size.Height {
			o.Row(samples, 0, y, o.Size.Width)
			for x := range o.Size.Width {
				img.SetNRGBA(x, y, to(uint8(samples[4*x]>>8), uint8(samples[4*x+1]>>8), uint8(samples[4*x+2]>>8)))
			}
		}
		return img
	}
	want := enlarge(rgb, 2)
	wantGray := with(enlarge(grayRGB, 2), func(r, g, b uint8) color.NRGBA {
		v := uint8(grayOfRed*float64(r) + grayOfGreen*float64(g) + grayOfBlue*float64(b) + 0.5)
		return color.NRGBA{v, v, v, 255}
	})
	for _, row := range []struct {
		name  string
		img   image.Image
		want  image.Image
		depth int
		gray  bool
		most  float64 // what rounding to 8 bits changes, in the expected gray twice
	}{
		{"16 bits", deep, want, 16, false, 0.51}, {"alpha", alpha, want, 8, false, 0}, {"gray", gray, wantGray, 8, true, 1},
		{"gray of 16 bits", deepGray, wantGray, 16, true, 1.01}, {"palette", palette, want, 8, false, 0},
	} {
		got := enlarge(row.img, 2)
		if got.Depth() != row.depth || got.Gray() != row.gray || got.Opaque() == (row.name == "alpha") {
			t.Errorf("%s: %d bits, gray %v, opaque %v", row.name, got.Depth(), got.Gray(), got.Opaque())
		}
		var have image.Image = got
		if row.name == "alpha" {
			have = with(got, func(r, g, b uint8) color.NRGBA { return color.NRGBA{r, g, b, 255} })
			for x := range 2 * width {
				c := color.NRGBAModel.Convert(got.At(x, height)).(color.NRGBA)
				if d := float64(c.A) - (10*(float64(x)+0.5)/2 + 15); x > 4 && x < 2*width-4 && math.Abs(d) > 1 {
					t.Errorf("alpha at %d: %d", x, c.A)
				}
			}
		}
		if worst := worstLevel(t, have, row.want); worst > row.most {
			t.Errorf("%s: levels differ by up to %v, want at most %v", row.name, worst, row.most)
		}
	}
	for scale, side := range map[int]int{3: 3, 4: 4} { // not the network's own
		if got := enlarge(rgb, scale); got.Size != (picture.Size{Width: side * width, Height: side * height}) {
			t.Errorf("scale %d: %v", scale, got.Size)
		}
	}
	one := image.NewNRGBA(image.Rect(0, 0, 1, 1))
	one.SetNRGBA(0, 0, color.NRGBA{200, 100, 50, 255})
	if got := enlarge(one, 3); got.Size != (picture.Size{Width: 3, Height: 3}) {
		t.Errorf("a picture of one pixel: %v", got.Size)
	}
}

// TestUpscaleTransparent checks that what is hidden in transparent pixels does not show around visible ones: a disc
// over black is the disc of a picture that has its colour everywhere. Small tiles give the same picture.
func TestUpscaleTransparent(t *testing.T) {
	u := exactUpscaler(t, "compact-x2.safetensors")
	const side, radius = 90, 15
	plain, cut := image.NewNRGBA(image.Rect(0, 0, side, side)), image.NewNRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			plain.SetNRGBA(x, y, color.NRGBA{200, 180, 90, 255})
			if d := math.Hypot(float64(x-side/2), float64(y-side/2)); d < radius {
				cut.SetNRGBA(x, y, color.NRGBA{200, 180, 90, uint8(min(255, 60*(radius-d)+1))})
			}
		}
	}
	enlarge := func(img image.Image) *picture.Original {
		t.Helper()
		o := original(t, img)
		got, err := u.Picture(t.Context(), o, u.Size(o.Size, 0), nil)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	want, got := enlarge(plain), enlarge(cut)
	a, b := make([]uint16, 8*side), make([]uint16, 8*side)
	visible := 0
	for y := range 2 * side {
		want.Row(a, 0, y, 2*side)
		got.Row(b, 0, y, 2*side)
		for x := range 2 * side {
			if b[4*x+3] == 0 {
				continue
			}
			visible++
			for c := range 3 {
				if a[4*x+c] != b[4*x+c] {
					t.Fatalf("(%d, %d): %d, want %d", x, y, b[4*x+c]/257, a[4*x+c]/257)
				}
			}
		}
	}
	if visible < 4*700 || visible > 4*1000 {
		t.Errorf("%d pixels are visible", visible)
	}
	o := original(t, cut)
	read := sourceOf(o)
	whole, part := make([]float32, 3*side*side), make([]float32, 3*20*10)
	read(whole, 0, 0, side, side)
	for _, at := range [][2]int{{0, 0}, {25, 30}, {70, 80}, {33, 61}} {
		read(part, at[0], at[1], 20, 10)
		for i, v := range part {
			if x, y := at[0]+i/3%20, at[1]+i/60; v != whole[3*(y*side+x)+i%3] {
				t.Fatalf("a part at %v: (%d, %d) is %v, want %v", at, x, y, v, whole[3*(y*side+x)+i%3])
			}
		}
	}
}

// TestUpscaleKeepsMetadata enlarges a picture of Kleinbild and a photo with a profile and Exif.
func TestUpscaleKeepsMetadata(t *testing.T) {
	u := exactUpscaler(t, "compact-x2.safetensors")
	photo := anySize(t, filepath.Join("picture", "testdata", "originals", "p3.png"))
	meta := picture.Metadata{Prompt: "a fox", Seed: 7, Width: 64, Height: 48, Version: "1"}
	for _, extension := range []string{"png", "jpg", "tif", "webp"} {
		path := filepath.Join(t.TempDir(), "out."+extension)
		size := u.Size(photo.Size, 2)
		if _, err := u.Write(t.Context(), path, photo, size, &meta, picture.Refuse, nil); err != nil {
			t.Fatal(err)
		}
		got := anySize(t, path)
		if got.Size != size || got.Profile != photo.Profile || got.Profile == "" {
			t.Errorf("%s: %v, profile %q, want %v, %q", extension, got.Size, got.Profile, size, photo.Profile)
		}
		read, err := picture.ReadMetadataFile(path)
		want := picture.Upscale{Model: "compact-x2", SHA256: u.Info().Digest, Width: size.Width, Height: size.Height}
		if err != nil || read.Prompt != meta.Prompt || read.Seed != 7 || read.Width != 64 || read.Upscale == nil ||
			*read.Upscale != want {
			t.Errorf("%s: %+v, %v; want the metadata with %+v", extension, read, err, want)
		}
		file, err := os.ReadFile(path)
		if err != nil || extension == "png" && !bytes.Contains(file, []byte("eXIf")) {
			t.Errorf("%s: no Exif, %v", extension, err)
		}
	}
	if meta.Upscale != nil {
		t.Error("the caller's metadata were changed")
	}
}

func TestUpscaleStops(t *testing.T) {
	u := exactUpscaler(t, "span-x2-no-norm.safetensors")
	o := original(t, image.NewNRGBA(image.Rect(0, 0, 200, 100)))
	dir := t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("enough")
	_, err := u.Write(ctx, filepath.Join(dir, "x.png"), o, u.Size(o.Size, 0), nil, picture.Refuse, func(p Progress) {
		if _, err := u.Picture(t.Context(), o, o.Size, nil); !errors.Is(err, ErrBusy) {
			t.Errorf("a second picture meanwhile: %v, want ErrBusy", err)
		}
		cancel(reason)
	})
	if !errors.Is(err, reason) {
		t.Errorf("%v, want the cause", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
	if _, err := u.Picture(t.Context(), o, picture.Size{Width: 40_000, Height: 40_000}, nil); err == nil ||
		!strings.Contains(err.Error(), "at most 102 megapixels") {
		t.Errorf("a huge picture: %v", err)
	}
	if _, err := u.Picture(t.Context(), o, u.Size(o.Size, 0), nil); err != nil {
		t.Errorf("after a cancellation: %v", err)
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Picture(t.Context(), o, o.Size, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v, want ErrClosed", err)
	}
}

func TestUpscalerRefused(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "x.pth")
	whole, err := os.ReadFile(filepath.Join(upscaleGolden, "compact-x2.pth"))
	if err == nil {
		err = os.WriteFile(broken, whole[:len(whole)/2], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	for _, row := range []struct {
		name string
		opts UpscalerOptions
		want string
	}{
		{"cut", UpscalerOptions{Model: broken}, "x.pth"},
		{"another network", UpscalerOptions{Model: filepath.Join("testdata", "golden", "taef2", "stages.safetensors")},
			"no network that enlarges pictures"},
		{"int8", UpscalerOptions{Model: broken, Precision: Int8}, "want one of them or auto"},
		{"no name", UpscalerOptions{Model: "missing"}, `no upscaler "missing"`},
	} {
		_, err := OpenUpscaler(t.Context(), row.opts)
		if err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one line with %s", row.name, err, row.want)
		}
	}
}

// TestUpscaleOnDevice enlarges pictures on the software device: with memory for all, with memory for small tiles only,
// and with too little. It takes the memory that was planned, and small tiles give the same picture.
func TestUpscaleOnDevice(t *testing.T) {
	var d *ptxsim.Context
	open := func(device ptxsim.Device) *Upscaler {
		return openTestUpscaler(t, "compact-x2.safetensors", UpscalerOptions{
			Device: DeviceSim, sim: &cuda.Options{ChunkBytes: 64 << 10, Open: func() (cu.Context, error) {
				d = ptxsim.Open(device)
				return d, nil
			}},
		})
	}
	enlarge := func(u *Upscaler, o *picture.Original) *picture.Original {
		t.Helper()
		got, err := u.Picture(t.Context(), o, u.Size(o.Size, 0), nil)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	u := open(ptxsim.Device{})
	short := anySize(t, filepath.Join(upscaleGolden, "in-33x17.png"))
	want := anySize(t, filepath.Join(upscaleGolden, "compact-x2.33x17.png"))
	// The recordings' own tests compare values; here two percent of bfloat16 are a few levels.
	if worst := worstLevel(t, enlarge(u, short), want); worst > 6 {
		t.Errorf("levels differ by up to %v", worst)
	}
	img := image.NewNRGBA(image.Rect(0, 0, 17, 100))
	for i := range img.Pix {
		img.Pix[i] = uint8(100+i/68%50+i*7%40) | uint8(i%4/3*255)
	}
	long := original(t, img)
	d.PeakBytes()
	whole := enlarge(u, long)
	peak := d.PeakBytes()
	u.rehearsal.Begin(t.Context())
	if _, err := u.planned.Enlarge(t.Context(), nil, long.Size.Height, long.Size.Width, nil); err != nil {
		t.Fatal(err)
	}
	m := u.rehearsal.Memory()
	if planned := m.Most(); math.Abs(float64(peak-planned)) > 0.03*float64(planned) {
		t.Errorf("took %d bytes, planned %d", peak, planned)
	}
	room := m.Weights() + m.Activations*3/4
	small := open(ptxsim.Device{TotalBytes: room})
	if worst := worstLevel(t, enlarge(small, long), whole); worst > 0 {
		t.Errorf("in small tiles levels differ by up to %v", worst)
	}
	if peak := d.PeakBytes(); peak > room {
		t.Errorf("took %d bytes of %d", peak, room)
	}
	full := open(ptxsim.Device{TotalBytes: m.Weights() + 1000})
	if _, err := full.Picture(t.Context(), long, full.Size(long.Size, 0), nil); err == nil ||
		!strings.Contains(err.Error(), "not enough graphics memory") {
		t.Errorf("without memory: %v", err)
	}
}
