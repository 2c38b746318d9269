package picture

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func encodePNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := png.Encode(&file, img); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func TestGeometry(t *testing.T) {
	for _, row := range []struct {
		name          string
		width, height int
		want          Size
		ok            bool
	}{
		{"smallest", 64, 64, Size{64, 64}, true},
		{"floored", 79, 95, Size{64, 80}, true},
		{"exactly 8:1", 512, 64, Size{512, 64}, true},
		{"beyond 8:1", 513, 64, Size{}, false},
		{"beyond 1:8", 64, 513, Size{}, false},
		{"63 wide", 63, 100, Size{}, false},
		{"63 high", 100, 63, Size{}, false},
		{"exactly the area", 1024, 1024, Size{1024, 1024}, true},
		{"a row above the area", 1024, 1025, Size{1008, 1024}, true}, // 1023 × 1024 after scaling
		{"8:1 scaled", 4096, 512, Size{2896, 352}, true},
	} {
		ref, err := Decode(t.Context(), encodePNG(t, image.NewGray(image.Rect(0, 0, row.width, row.height))))
		if (err == nil) != row.ok {
			t.Errorf("%s: %v, want accepted %v", row.name, err, row.ok)
			continue
		}
		if !row.ok {
			continue
		}
		if ref.Size != row.want || ref.Original != (Size{row.width, row.height}) {
			t.Errorf("%s: %v of %v, want %v", row.name, ref.Size, ref.Original, row.want)
		}
		if ref.Image.Rect != image.Rect(0, 0, ref.Size.Width, ref.Size.Height) || ref.Image.Stride != 4*ref.Size.Width {
			t.Errorf("%s: bounds %v, stride %d, want a dense picture at the origin", row.name, ref.Image.Rect, ref.Image.Stride)
		}
	}
}

func TestCropKeepsTheCentre(t *testing.T) {
	img := image.NewGray(image.Rect(0, 0, 64+15, 64+6))
	for i := range img.Pix {
		img.Pix[i] = uint8(i % img.Stride)
	}
	ref, err := Decode(t.Context(), encodePNG(t, img))
	if err != nil {
		t.Fatal(err)
	}
	if got := ref.Image.RGBAAt(0, 0).R; got != 7 {
		t.Errorf("the first column comes from %d, want 7: the smaller half of 15 on the left", got)
	}
}

// TestScaleKeepsRamp checks that scaling neither shifts nor darkens: a linear ramp stays the same ramp.
func TestScaleKeepsRamp(t *testing.T) {
	const width, height = 1501, 1103
	line := func(i, n int) float64 { return 30 + 190*(float64(i)+0.5)/float64(n) }
	ramp := func(i, n int) uint8 { return uint8(math.Round(line(i, n))) }
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			img.SetRGBA(x, y, color.RGBA{ramp(x, width), ramp(y, height), 100, 255})
		}
	}
	got, err := scale(t.Context(), img, Size{width, height}.fit(MaxArea))
	if err != nil {
		t.Fatal(err)
	}
	if got.Rect != image.Rect(0, 0, 1194, 877) {
		t.Fatalf("bounds %v, want 1194x877", got.Rect)
	}
	var sum [3]float64
	for y := range got.Rect.Dy() {
		for x := range got.Rect.Dx() {
			p := got.RGBAAt(x, y)
			sum[0] += float64(p.R) - line(x, 1194)
			sum[1] += float64(p.G) - line(y, 877)
			sum[2] += float64(p.B) - 100
			if p.A != 255 {
				t.Fatalf("pixel (%d, %d) has alpha %d", x, y, p.A)
			}
		}
	}
	for c, s := range sum {
		// A truncating resampler is off by 0.5 or more, a shift of half a pixel by 0.08 in x and 0.11 in y.
		mean := s / (1194 * 877)
		t.Logf("channel %d: %+.4f", c, mean)
		if math.Abs(mean) > 0.03 {
			t.Errorf("channel %d is %.3f levels off on average, want 0", c, mean)
		}
	}
}

func TestTransparencyIsWhite(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 64, 64))
	for i, pixel := range []color.NRGBA{{200, 100, 0, 255}, {200, 100, 0, 0}, {200, 100, 0, 51}} {
		img.SetNRGBA(i, 0, pixel)
	}
	ref, err := Decode(t.Context(), encodePNG(t, img))
	if err != nil {
		t.Fatal(err)
	}
	for x, want := range []color.RGBA{{200, 100, 0, 255}, {255, 255, 255, 255}, {244, 224, 204, 255}} {
		got := ref.Image.RGBAAt(x, 0)
		for _, d := range []int{int(got.R) - int(want.R), int(got.G) - int(want.G), int(got.B) - int(want.B)} {
			if d < -1 || d > 1 {
				t.Errorf("pixel %d: %v, want %v within a level", x, got, want)
			}
		}
	}
}

func TestPartialGIFFrame(t *testing.T) {
	palette := color.Palette{color.RGBA{200, 0, 0, 255}, color.RGBA{0, 200, 0, 255}}
	frame := image.NewPaletted(image.Rect(10, 20, 74, 84), palette)
	frame.SetColorIndex(10, 20, 1)
	var file bytes.Buffer
	err := gif.EncodeAll(&file, &gif.GIF{
		Image: []*image.Paletted{frame, frame}, Delay: []int{1, 1},
		Config: image.Config{ColorModel: palette, Width: 96, Height: 96},
	})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := Decode(t.Context(), file.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if ref.Size != (Size{96, 96}) {
		t.Errorf("size %v, want the logical screen's 96x96", ref.Size)
	}
	for _, row := range []struct {
		x, y int
		want color.RGBA
	}{
		{0, 0, color.RGBA{255, 255, 255, 255}}, {10, 20, color.RGBA{0, 200, 0, 255}},
		{11, 20, color.RGBA{200, 0, 0, 255}}, {74, 84, color.RGBA{255, 255, 255, 255}},
	} {
		if got := ref.Image.RGBAAt(row.x, row.y); got != row.want {
			t.Errorf("(%d, %d) is %v, want %v", row.x, row.y, got, row.want)
		}
	}
}

func TestDigests(t *testing.T) {
	open := func(path string) *Reference {
		ref, err := Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		return ref
	}
	path := filepath.Join("testdata", "prepare", "odd.png")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(file)
	ref := open(path)
	if ref.FileSHA256 != hex.EncodeToString(sum[:]) {
		t.Errorf("file digest %s, want the SHA-256 of the bytes", ref.FileSHA256)
	}
	prepared := open(path + ".expected.png") // the same pixels in another file
	if prepared.PixelsSHA256 != ref.PixelsSHA256 || prepared.FileSHA256 == ref.FileSHA256 {
		t.Error("the same pixels in two files: want the same digest of pixels, not of files")
	}
	tall := encodePNG(t, image.NewGray(image.Rect(0, 0, 64, 128)))
	wide := encodePNG(t, image.NewGray(image.Rect(0, 0, 128, 64)))
	a, errA := Decode(t.Context(), tall)
	b, errB := Decode(t.Context(), wide)
	if errA != nil || errB != nil || a.PixelsSHA256 == b.PixelsSHA256 {
		t.Error("the same bytes in two shapes have one digest, want two")
	}
}

// bombs returns files that consist of little more than the header of a huge picture.
func bombs() map[string][]byte {
	header := func(format string, bytes ...byte) []byte { return append([]byte(format), bytes...) }
	ihdr := func(w, h uint32) []byte {
		data := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, w), h)
		return appendChunk([]byte(pngSignature), "IHDR", append(data, 8, 2, 0, 0, 0))
	}
	bmpHeader := func(w, h uint32) []byte {
		file := append([]byte("BM"), make([]byte, 52)...)
		binary.LittleEndian.PutUint32(file[10:], 54)
		binary.LittleEndian.PutUint32(file[14:], 40)
		binary.LittleEndian.PutUint32(file[18:], w)
		binary.LittleEndian.PutUint32(file[22:], h)
		binary.LittleEndian.PutUint16(file[26:], 1)
		binary.LittleEndian.PutUint16(file[28:], 24)
		return file
	}
	tiffHeader := func(w, h uint32) []byte {
		file := tiffFile(image.NewGray(image.Rect(0, 0, 16, 16)), 1)
		directory := binary.LittleEndian.Uint32(file[4:])
		binary.LittleEndian.PutUint32(file[directory+2+8:], w)
		binary.LittleEndian.PutUint32(file[directory+2+12+8:], h)
		return file
	}
	jpegHeader := header("\xff\xd8\xff\xc0\x00\x11\x08", 0xff, 0xff, 0xff, 0xff, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0)
	vp8Frame := "\x10\x00\x00\x9d\x01\x2a\xff\x3f\xff\x3f" // a key frame of 16383 × 16383
	vp8lFrame := "\x2f\xff\xff\xff\x0f\x00"                // 16384 × 16384
	profile := append(ihdr(65535, 65535), appendChunk(nil, "iCCP", bytes.Repeat([]byte{7}, 1000))...)
	return map[string][]byte{
		"PNG":                       append(ihdr(65535, 65535), make([]byte, 100)...),
		"PNG, largest":              ihdr(1<<31-1, 1<<31-1),
		"PNG, one row":              ihdr(1<<31-1, 1),
		"PNG with profile":          profile,
		"JPEG":                      append(jpegHeader, 0xff, 0xda),
		"BMP":                       bmpHeader(100_000, 100_000),
		"BMP, upside down":          bmpHeader(100_000, 1<<32-100_000),
		"TIFF":                      tiffHeader(100_000, 100_000),
		"TIFF, product overflows":   tiffHeader(1<<32-1, 1<<32-1),
		"TIFF, 2^32":                tiffHeader(1<<16, 1<<16),
		"GIF":                       header("GIF89a", 0xff, 0xff, 0xff, 0xff, 0, 0, 0),
		"WebP, lossy":               riffFile("VP8 ", vp8Frame),
		"WebP, lossless":            riffFile("VP8L", vp8lFrame),
		"WebP, canvas":              riffFile("VP8X", vp8x(0, 1<<24, 100)),
		"WebP, frame beyond canvas": riffFile("VP8X", vp8x(0, 64, 64), "VP8L", vp8lFrame),
		"WebP, lossy beyond canvas": riffFile("VP8X", vp8x(0, 64, 64), "VP8 ", vp8Frame),
		"HEIC":                      heifBomb("heic", 100_000, 100_000, 0),
		"HEIC, product overflows":   heifBomb("heic", 1<<32-1, 1<<32-1, 0),
		"HEIC, a large tile":        heifBomb("heic", 128, 128, 1<<20),
		"AVIF":                      heifBomb("avif", 100_000, 100_000, 0),
		"WebP, animation":           riffFile("VP8X", vp8x(1<<1, 1<<24, 100)),
		"WebP, frame beyond frame": riffFile("VP8X", vp8x(1<<1, 64, 64),
			"ANMF", "\x00\x00\x00\x00\x00\x00\x3f\x00\x00\x3f\x00\x00\x00\x00\x00\x00VP8L\x06\x00\x00\x00"+vp8lFrame),
		"WebP, alpha beyond canvas": riffFile("VP8X", vp8x(1<<4, 1<<14, 1<<14), "ALPH", "\x01\x00"),
	}
}

// heifBomb returns a header that declares the size of the primary picture. Another property declares a square tile.
func heifBomb(brand string, width, height, tile uint32) []byte {
	box := func(kind string, content ...[]byte) []byte {
		data := bytes.Join(content, nil)
		return append(append(binary.BigEndian.AppendUint32(nil, uint32(8+len(data))), kind...), data...)
	}
	ispe := func(w, h uint32) []byte {
		return box("ispe", make([]byte, 4), binary.BigEndian.AppendUint32(nil, w), binary.BigEndian.AppendUint32(nil, h))
	}
	version := make([]byte, 4)
	return append(box("ftyp", []byte(brand+"\x00\x00\x00\x00mif1"+brand)), box("meta", version,
		box("pitm", version, []byte{0, 1}),
		box("iprp", box("ipco", ispe(width, height), ispe(tile, tile)), box("ipma", version, []byte{0, 0, 0, 1, 0, 1, 1, 1})),
	)...)
}

func TestBombsCostNothing(t *testing.T) {
	for name, file := range bombs() {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode(t.Context(), file)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s is accepted", name)
			continue
		}
		oneLine(t, name, err)
		// The tables of the largest decoder take about 100 KiB. The smallest of these pictures has 200 MB of pixels.
		if cost := after.TotalAlloc - before.TotalAlloc; cost > 1<<20 {
			t.Errorf("%s costs %d bytes, want less than 1 MiB; refused by %q", name, cost, err)
		}
	}
}

func TestHundredMegapixels(t *testing.T) {
	for _, row := range []struct {
		size Size
		ok   bool
	}{
		{Size{11_648, 8_736}, true}, // cameras of Fujifilm and Hasselblad
		{Size{10_000, 10_200}, true},
		{Size{10_000, 10_201}, false},
		{Size{25_500, 4_000}, true},
		{Size{4_001, 25_500}, false},
		{Size{0, 0}, false},
		{Size{0, 5}, false},
		{Size{math.MaxInt, math.MaxInt}, false},
	} {
		if err := checkReference(row.size, MaxPixels); (err == nil) != row.ok {
			t.Errorf("%v: %v, want accepted %v", row.size, err, row.ok)
		}
	}
}

func TestTruncatedFiles(t *testing.T) {
	for _, name := range []string{
		"odd.png", "photo420.jpg", "cmyk.jpg", "picture.bmp", "picture.tiff", "palette.gif", "lossy.webp", "lossless.webp",
	} {
		file, err := os.ReadFile(filepath.Join("testdata", "prepare", name))
		if err != nil {
			t.Fatal(err)
		}
		cuts := []int{len(file) / 4, len(file) / 2, len(file) * 9 / 10}
		for cut := range 64 {
			cuts = append(cuts, cut)
		}
		for _, cut := range cuts {
			if ref, err := Decode(t.Context(), file[:cut]); err == nil {
				t.Errorf("%s cut at %d of %d bytes gives a picture of %v", name, cut, len(file), ref.Size)
			} else {
				oneLine(t, name, err)
			}
		}
	}
}

// oneLine checks that an error is one line that begins with the package's name, as the command line prints it.
func oneLine(t *testing.T, name string, err error) {
	t.Helper()
	text := err.Error()
	if strings.ContainsAny(text, "\n\r\x00") || !strings.HasPrefix(text, "picture: ") || len(text) > 300 {
		t.Errorf("%s: error %q, want one line that begins with picture:", name, text)
	}
}

func TestNoPictures(t *testing.T) {
	for _, row := range []struct{ name, content, want string }{
		{"empty", "", "empty file"},
		{"text", "a red fox in the snow", `begins with "a red fo"`},
		{"page", "<!DOCTYPE html>", "HTML"},
		{"a phone's picture, cut off", "\x00\x00\x00\x18ftypheic\x00\x00\x00\x00", "HEIC: the file ends too early"},
		{"PDF", "%PDF-1.7", "PDF"},
		{"signature of PNG only", pngSignature, "ends too early"},
		{"start of JPEG only", "\xff\xd8\xff", "JPEG: "},
		{"text that begins with BM", "BMW is a car maker", "begins with"},
		{"sound", "RIFF\x00\x00\x00\x00WAVEfmt ", "begins with"},
		{"animation", string(riffFile("VP8X", vp8x(1<<1, 64, 64), "ANIM", "\x00\x00\x00\x00\x00\x00")), "ends too early"},
		{"zeros", strings.Repeat("\x00", 1000), "begins with"},
	} {
		path := filepath.Join(t.TempDir(), "picture.png")
		if err := os.WriteFile(path, []byte(row.content), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := Open(t.Context(), path)
		if err == nil {
			t.Errorf("%s is accepted", row.name)
			continue
		}
		oneLine(t, row.name, err)
		if !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %q, want it to name the file and %q", row.name, err, row.want)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	folder := t.TempDir()
	missing := filepath.Join(folder, "missing.png")
	if _, err := Open(t.Context(), missing); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), missing) {
		t.Errorf("missing file: %v, want an error that names it", err)
	}
	if _, err := Open(t.Context(), folder); err == nil || !strings.Contains(err.Error(), "folder") {
		t.Errorf("folder: %v, want an error that says so", err)
	}
	if runtime.GOOS != "windows" {
		if _, err := Open(t.Context(), "/dev/zero"); err == nil || !strings.Contains(err.Error(), "device") {
			t.Errorf("/dev/zero: %v, want an error that says it is a device", err)
		}
	}
}

func TestLargeFileIsNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "large.png")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := file.Truncate(MaxFileBytes + 1); err != nil { // sparse
		t.Skip(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = Open(t.Context(), path)
	runtime.ReadMemStats(&after)
	if err == nil || after.TotalAlloc-before.TotalAlloc > 1<<20 {
		t.Errorf("%v after %d bytes of memory, want it refused by its size", err, after.TotalAlloc-before.TotalAlloc)
	}
	// ReadOriginFile must refuse it by its size as well, because it would read a file of text chunks to its end.
	if _, err := ReadOriginFile(path); err == nil || !strings.Contains(err.Error(), "512 MiB") {
		t.Errorf("ReadOriginFile: %v, want it refused by its size", err)
	}
}

func TestDecoderPanicIsAnError(t *testing.T) {
	broken := format{
		name:   "broken",
		config: func([]byte) (image.Config, error) { return image.Config{Width: 64, Height: 64}, nil },
		decode: func(context.Context, []byte) (image.Image, error) { return nil, []error{}[len(os.Args)] },
	}
	accept := func(Size) error { return nil }
	if _, _, err := decodeChecked(t.Context(), broken, nil, accept); err == nil ||
		!strings.Contains(err.Error(), "out of range") {
		t.Errorf("%v, want the panic of the decoder as an error", err)
	}
	broken.config = func([]byte) (image.Config, error) { panic("header") }
	if _, _, err := decodeChecked(t.Context(), broken, nil, accept); err == nil ||
		!strings.Contains(err.Error(), "header") {
		t.Errorf("%v, want the panic of config as an error", err)
	}
	lying := format{
		name:   "lying",
		config: func([]byte) (image.Config, error) { return image.Config{Width: 64, Height: 64}, nil },
		decode: func(context.Context, []byte) (image.Image, error) {
			return image.NewGray(image.Rect(0, 0, 65, 64)), nil
		},
	}
	if _, _, err := decodeChecked(t.Context(), lying, nil, accept); err == nil {
		t.Error("a picture larger than its header is accepted")
	}
}

func TestCancel(t *testing.T) {
	file := encodePNG(t, image.NewGray(image.Rect(0, 0, 4000, 4000)))
	// Work that goes on after the test would disturb the tests that measure memory.
	before := runtime.NumGoroutine()
	defer func() {
		for range 6000 {
			if runtime.NumGoroutine() <= before {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		t.Error("the abandoned work has not ended after a minute")
	}()
	ctx, cancel := context.WithCancel(t.Context())
	started := time.Now()
	time.AfterFunc(10*time.Millisecond, cancel)
	ref, err := Decode(ctx, file)
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("%v, %v, want the context's error", ref, err)
	}
	if took := time.Since(started); took > time.Second {
		t.Errorf("returns after %v, want at once", took)
	}
}

// FuzzDecode checks that each file gives an error of one line, or a picture that the VAE encoder accepts.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob(filepath.Join("testdata", "prepare", "*"))
	if err != nil {
		f.Fatal(err)
	}
	for _, path := range files {
		if info, err := os.Stat(path); err != nil || info.Size() > 12<<10 {
			continue // large seeds slow the search down
		}
		file, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	for _, bomb := range bombs() {
		f.Add(bomb)
	}
	for _, file := range [][]byte{
		emptyScans(64, 3), tenScans(80, 64, 0x22), sequentialScans(64, 2), losslessWebP(64, 64), hostileBMP(64, 9),
		stripTIFF(f, 64, 10),
		gridHEIC(Size{64, 64}, Size{64, 64}, 2),
	} {
		f.Add(file)
	}
	for _, decoder := range []*wasmProgram{libheif, libavif} {
		if err := decoder.compile(); err != nil { // compiled here, so that soon does not count it
			f.Fatal(err)
		}
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		defer soon(t)()
		// A hundredth of the limit, because the search is for faults, not for large memory.
		ref, err := prepare(t.Context(), file, MaxPixels/100)
		if err != nil {
			oneLine(t, "fuzz", errors.New("picture: "+err.Error()))
			return
		}
		size := ref.Size
		if size.Width%16 != 0 || size.Height%16 != 0 || size.Width*size.Height > MaxArea ||
			min(size.Width, size.Height) < MinSide {
			t.Fatalf("prepared size %v", size)
		}
		if len(ref.Image.Pix) != 4*size.Width*size.Height || !ref.Image.Opaque() {
			t.Fatalf("%d bytes for %v, opaque %v", len(ref.Image.Pix), size, ref.Image.Opaque())
		}
	})
}

// TestPreparedTwice prepares references again from their prepared pixels, as an engine on another computer does. That
// must change nothing, also for the most extreme pictures.
func TestPreparedTwice(t *testing.T) {
	for _, size := range []image.Point{
		{64, 64}, {79, 65}, {101, 83}, {512, 64}, {632, 79}, {2400, 300}, {300, 2400}, {4096, 512}, {1024, 1024},
		{1025, 1030},
	} {
		img := image.NewNRGBA(image.Rect(0, 0, size.X, size.Y))
		for i := range img.Pix {
			img.Pix[i] = uint8(i * i >> 3)
		}
		once, err := Decode(t.Context(), encodePNG(t, img))
		if err != nil {
			t.Fatal(size, err)
		}
		twice, err := Decode(t.Context(), encodePNG(t, once.Image))
		if err != nil {
			t.Fatal(size, err)
		}
		if twice.PixelsSHA256 != once.PixelsSHA256 || twice.Size != once.Size {
			t.Errorf("%v: first %v, then %v", size, once.Size, twice.Size)
		}
	}
	if err := checkReference(Size{2432, 288}, MaxPixels); err == nil {
		t.Error("a picture that is longer than any prepared one is accepted")
	}
}
