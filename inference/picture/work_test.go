package picture

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// hostileSide is the side of the hostile pictures below. Work grows with the pixels in the header, so a hundredth of
// MaxPixels shows what MaxPixels would cost.
const hostileSide = 1000

// bitWriter writes bits as in a JPEG scan: the most significant bit first, with a zero byte after each byte of 0xff.
type bitWriter struct {
	bytes.Buffer
	bits  uint64
	count int
}

func (w *bitWriter) write(bits uint64, count int) {
	w.bits, w.count = w.bits<<count|bits, w.count+count
	for ; w.count >= 8; w.count -= 8 {
		b := byte(w.bits >> (w.count - 8))
		w.WriteByte(b)
		if b == 0xff {
			w.WriteByte(0)
		}
	}
}

// align fills the last byte with one bits.
func (w *bitWriter) align() {
	if w.count > 0 {
		w.write(1<<(8-w.count)-1, 8-w.count)
	}
}

func jpegSegment(marker byte, content string) string {
	return string(append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(2+len(content))), content...))
}

// oneCode returns a segment with a Huffman table of a single code, which has one bit. table is its class and number.
func oneCode(table, value byte) string {
	return jpegSegment(0xc4, string([]byte{table, 1})+strings.Repeat("\x00", 15)+string([]byte{value}))
}

// jpegHead returns the beginning of a JPEG file: its frame has components with the given sampling factors.
func jpegHead(marker byte, width, height int, factors ...byte) string {
	content := binary.BigEndian.AppendUint16([]byte{8}, uint16(height))
	content = append(binary.BigEndian.AppendUint16(content, uint16(width)), byte(len(factors)))
	for i, f := range factors {
		content = append(content, byte(1+i), f, 0)
	}
	return "\xff\xd8" + jpegSegment(0xdb, "\x00"+strings.Repeat("\x01", 64)) + jpegSegment(marker, string(content))
}

// emptyScans returns a progressive gray JPEG whose AC scans declare all blocks as empty.
func emptyScans(side, scans int) []byte {
	var w bitWriter
	w.WriteString(jpegHead(0xc2, side, side, 0x11) + oneCode(0x10, 0xe0))
	n := blocks(side, 8)
	for range scans {
		w.WriteString(jpegSegment(startOfScan, "\x01\x01\x00\x01\x3f\x00"))
		for left := n * n; left > 0; left -= 1<<15 - 1 {
			w.write(1<<14-1, 15) // the code 0 for a run of 2¹⁴ blocks or more, and then the 14 bits of the excess
		}
		w.align()
	}
	w.WriteString("\xff\xd9")
	return w.Bytes()
}

// sequentialScans returns a gray JPEG that repeats the same scan of empty blocks.
func sequentialScans(side, scans int) []byte {
	var w bitWriter
	w.WriteString(jpegHead(0xc0, side, side, 0x11) + oneCode(0, 0) + oneCode(0x10, 0))
	n := blocks(side, 8)
	for range scans {
		w.WriteString(jpegSegment(startOfScan, "\x01\x01\x00\x00\x3f\x00"))
		for range n * n {
			w.write(0, 2)
		}
		w.align()
	}
	w.WriteString("\xff\xd9")
	return w.Bytes()
}

// restarts returns a gray JPEG with a restart marker before each block but the first.
func restarts(side int) []byte {
	var w bitWriter
	w.WriteString(jpegHead(0xc0, side, side, 0x11) + oneCode(0, 0) + oneCode(0x10, 0) + jpegSegment(0xdd, "\x00\x01"))
	w.WriteString(jpegSegment(startOfScan, "\x01\x01\x00\x00\x3f\x00"))
	n := blocks(side, 8)
	for i := range n * n {
		if i > 0 {
			w.Write([]byte{0xff, 0xd0 + byte((i-1)%8)})
		}
		w.write(0, 2)
		w.align()
	}
	w.WriteString("\xff\xd9")
	return w.Bytes()
}

// tenScans returns a progressive JPEG of one colour with three components. Its ten scans are those of libjpeg's
// function jpeg_simple_progression, which most programs use.
func tenScans(width, height int, luma byte) []byte {
	var w bitWriter
	w.WriteString(jpegHead(0xc2, width, height, luma, 0x11, 0x11))
	w.WriteString(oneCode(0, 0) + oneCode(0x10, 0xe0))
	h, v := int(luma>>4), int(luma&15)
	units := blocks(width, 8*h) * blocks(height, 8*v)
	within := func(component int) int { // the blocks of a scan with one component, which has no padding
		if component > 1 {
			h, v := 8*int(luma>>4), 8*int(luma&15)
			return blocks(width, h) * blocks(height, v)
		}
		return blocks(width, 8) * blocks(height, 8)
	}
	for _, scan := range []struct {
		components             string
		first, last, high, low byte
	}{
		{"\x01\x02\x03", 0, 0, 0, 1}, {"\x01", 1, 5, 0, 2}, {"\x03", 1, 63, 0, 1},
		{"\x02", 1, 63, 0, 1}, {"\x01", 6, 63, 0, 2},
		{"\x01", 1, 63, 2, 1}, {"\x01\x02\x03", 0, 0, 1, 0}, {"\x03", 1, 63, 1, 0},
		{"\x02", 1, 63, 1, 0}, {"\x01", 1, 63, 1, 0},
	} {
		content := string([]byte{byte(len(scan.components))})
		for _, c := range scan.components {
			content += string([]byte{byte(c), 0})
		}
		w.WriteString(jpegSegment(startOfScan, content+string([]byte{scan.first, scan.last, scan.high<<4 | scan.low})))
		if scan.first == 0 {
			for range units * (h*v + 2) {
				w.write(0, 1) // the DC difference 0, or the refinement bit 0
			}
		} else {
			for left := within(int(scan.components[0])); left > 0; left -= 1<<15 - 1 {
				w.write(1<<14-1, 15)
			}
		}
		w.align()
	}
	w.WriteString("\xff\xd9")
	return w.Bytes()
}

func compressedBytes(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// rawPNG returns a PNG file of any bit depth and colour type, whose pixel data are the given number of zero bytes, in
// IDAT chunks of chunkBytes. The chunks in before precede them.
func rawPNG(
	t testing.TB, side int, depth, kind, interlaced byte, bytesOfData, chunkBytes int, before ...[]byte,
) []byte {
	t.Helper()
	head := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(side)), uint32(side))
	file := appendChunk([]byte(pngSignature), "IHDR", append(head, depth, kind, 0, 0, interlaced))
	for _, chunk := range before {
		file = append(file, chunk...)
	}
	data := compressedBytes(t, make([]byte, bytesOfData))
	for len(data) > 0 {
		n := min(chunkBytes, len(data))
		file = appendChunk(file, "IDAT", data[:n])
		data = data[n:]
	}
	return appendChunk(file, "IEND", nil)
}

// losslessWebP returns a picture of one colour with three transforms, in which a pixel takes no bits.
func losslessWebP(width, height int) []byte {
	var data []byte
	count := 0
	write := func(bits, n int) {
		for i := range n {
			if count%8 == 0 {
				data = append(data, 0)
			}
			data[count/8] |= byte(bits>>i&1) << (count % 8)
			count++
		}
	}
	picture := func(metaBits int) {
		write(0, 1+metaBits) // no colour cache, one group of Huffman codes
		for range 5 {
			write(1, 4) // a simple code for the single symbol 0
		}
	}
	write(0x2f, 8)
	write(width-1, 14)
	write(height-1, 14)
	write(0, 4)
	for kind := range 3 { // predictor, colour transform, subtract green
		write(1, 1)
		write(kind, 2)
		if kind < 2 {
			write(0, 3)
			picture(0)
		}
	}
	write(0, 1)
	picture(1)
	return riffFile("VP8L", string(data))
}

// hostileBMP returns a run-length encoded picture that begins with so many runs and then ends.
func hostileBMP(side, runs int) []byte {
	const header = 14 + 40 + 4
	file := []byte("BM\x00\x00\x00\x00\x00\x00\x00\x00" + string([]byte{header, 0, 0, 0}))
	for _, n := range []uint32{40, uint32(side), uint32(side), 1 | 8<<16, runLength8, 0, 0, 0, 1, 0, 0x00ffffff} {
		file = binary.LittleEndian.AppendUint32(file, n)
	}
	return append(append(file, bytes.Repeat([]byte{255, 0}, runs)...), 0, 1)
}

// longTIFF returns a TIFF file with entries of type LONG: data at byte 8, then the values of the entries, then the
// directory.
func longTIFF(data []byte, entries map[int][]int) []byte {
	file := append([]byte("II*\x00\x00\x00\x00\x00"), data...)
	var tags []int
	for tag := range entries {
		tags = append(tags, tag)
	}
	slices.Sort(tags)
	const long = 4
	var directory []byte
	for _, tag := range tags {
		directory = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(directory, uint16(tag)), long)
		directory = binary.LittleEndian.AppendUint32(directory, uint32(len(entries[tag])))
		if values := entries[tag]; len(values) == 1 {
			directory = binary.LittleEndian.AppendUint32(directory, uint32(values[0]))
			continue
		}
		directory = binary.LittleEndian.AppendUint32(directory, uint32(len(file)))
		for _, v := range entries[tag] {
			file = binary.LittleEndian.AppendUint32(file, uint32(v))
		}
	}
	binary.LittleEndian.PutUint32(file[4:], uint32(len(file)))
	return append(binary.LittleEndian.AppendUint16(file, uint16(len(tags))), append(directory, 0, 0, 0, 0)...)
}

// repeated returns the number v, n times.
func repeated(v, n int) []int { return slices.Repeat([]int{v}, n) }

// stripTIFF returns a gray picture of zeros. All its rows are strips that share the same bytes of the file. These begin
// with so many bytes of empty Deflate blocks.
func stripTIFF(t testing.TB, side, empty int) []byte {
	t.Helper()
	packed := compressedBytes(t, make([]byte, side))
	strip := append(bytes.Clone(packed[:2]), bytes.Repeat([]byte("\x00\x00\x00\xff\xff"), empty/5)...)
	strip = append(strip, packed[2:]...)
	return longTIFF(strip, map[int][]int{
		tagWidth: {side}, tagHeight: {side}, tagBitsPerSample: {8}, tagCompression: {compressionDeflate},
		tagPhotometric:  {blackIsZero},
		tagStripOffsets: repeated(8, side), tagRowsPerStrip: {1}, tagStripByteCounts: repeated(len(strip), side),
	})
}

// TestWorkIsBounded checks files that demand much more than their size suggests. Any picture may take at most mostTimes
// the time of a plain PNG with the same number of pixels, and mostBytesEach bytes of memory a pixel. Then MaxPixels
// bounds both time and memory.
func TestWorkIsBounded(t *testing.T) {
	const (
		side   = hostileSide
		pixels = side * side
		// Measured: at most 5, for interlaced PNG and for the scans of JPEG. On busy machines it is up to twice as much.
		mostTimes = 16
		// Measured: at most 25. The samples of four channels with 16 bits take 8 of them, the canvas 4.
		mostBytesEach = 40
	)
	var flat bytes.Buffer
	if err := png.Encode(&flat, image.NewNRGBA(image.Rect(0, 0, side, side))); err != nil {
		t.Fatal(err)
	}
	frame := image.NewPaletted(image.Rect(0, 0, 1, 1), color.Palette{color.White, color.Black})
	var tinyFrame bytes.Buffer
	if err := gif.EncodeAll(&tinyFrame, &gif.GIF{
		Image: []*image.Paletted{frame}, Delay: []int{0},
		Config: image.Config{Width: side, Height: side, ColorModel: frame.Palette},
	}); err != nil {
		t.Fatal(err)
	}
	bomb := compressedBytes(t, make([]byte, maxProfileBytes+1))
	profile := appendChunk(nil, "iCCP", append([]byte("x\x00\x00"), bomb...))
	plainTime := time.Hour
	for range 3 {
		began := cpuTime()
		if _, err := prepare(t.Context(), flat.Bytes(), MaxPixels); err != nil {
			t.Fatal(err)
		}
		plainTime = min(plainTime, cpuTime()-began)
	}
	for _, row := range []struct {
		name string
		file []byte
	}{
		{"PNG, plain", flat.Bytes()},
		{"PNG, interlaced, 16 bits", rawPNG(t, side, 16, 6, 1, 8*pixels+15*side/8, 1<<20)},
		{"PNG, a byte a chunk", rawPNG(t, side, 8, 2, 0, 3*pixels+side, 1)},
		{"PNG, profiles that expand to much", rawPNG(t, side, 1, 0, 0, pixels/8+side, 1<<20, bytes.Repeat(profile, 100))},
		{"JPEG, the most scans", emptyScans(side, maxPasses)},
		{"JPEG, the most sequential scans", sequentialScans(side, maxSequentialPasses)},
		{"JPEG, ten scans", tenScans(side, side, 0x11)},
		{"JPEG, a restart a block", restarts(side)},
		{"JPEG, a hundred thousand tables",
			append([]byte("\xff\xd8"+strings.Repeat(oneCode(0x10, 0), 100_000)), emptyScans(side, 1)[2:]...)},
		{"GIF, one pixel on a canvas", tinyFrame.Bytes()},
		{"WebP, no bits a pixel", losslessWebP(side, side)},
		{"BMP, an empty run", hostileBMP(side, 0)},
		{"TIFF, a deflated strip a row", stripTIFF(t, side, 0)},
	} {
		t.Run(row.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			began := cpuTime()
			_, err := prepare(t.Context(), row.file, MaxPixels)
			took := cpuTime() - began
			runtime.ReadMemStats(&after)
			if err != nil {
				t.Fatal(err)
			}
			taken := int(after.TotalAlloc - before.TotalAlloc)
			t.Logf("%d bytes: %v, %.1f bytes a pixel; a kilobyte of the file takes %v and %d KiB", len(row.file),
				took.Round(time.Millisecond), float64(taken)/pixels,
				(took * 1000 / time.Duration(len(row.file))).Round(time.Microsecond), taken/len(row.file))
			if most := mostBytesEach*pixels + 8*len(row.file); taken > most {
				t.Errorf("it takes %d bytes of memory, want at most %d", taken, most)
			}
			if most := mostTimes * plainTime; took > most {
				t.Errorf("it takes %v, want at most %v, %d times the time of a plain picture", took, most, mostTimes)
			}
		})
	}
}

// TestTooMuchWorkIsRefused checks that too much work is refused before anything is decoded.
func TestTooMuchWorkIsRefused(t *testing.T) {
	const side = hostileSide
	for _, row := range []struct {
		name string
		file []byte
		want string
	}{
		{"a scan too many", emptyScans(side, maxPasses+1), "more than 16 times"},
		{"thousands of scans, of a large picture", emptyScans(10_000, 2000), "more than 16 times"},
		{"a sequential scan too many", sequentialScans(side, maxSequentialPasses+1), "more than 4 times"},
		{"padding before a marker hides no scan",
			bytes.ReplaceAll(emptyScans(side, maxPasses+1), []byte{0xff, startOfScan}, []byte{0xff, 0xff, startOfScan}),
			"more than 16 times"},
		{"progressive 4:4:4 of 80 megapixels, in sampling factors that image/jpeg has to decode",
			[]byte(jpegHead(0xc2, 10_000, 8000, 0x41, 0x41, 0x41) + jpegSegment(startOfScan, "\x01\x01\x00\x00\x00\x00")),
			"MiB to decode"},
		{"interlaced PNG of 16 bits, 100 megapixels", rawPNG(t, 10_000, 16, 6, 1, 1, 1<<20), "MiB to decode"},
		{"BMP, runs beyond the border", hostileBMP(side, 2*side*side/255+1), "more pixels than the picture has"},
		{"TIFF, strips that share too much", stripTIFF(t, side, 1<<20), "share the same bytes"},
		{"TIFF, tiles of a pixel", longTIFF(make([]byte, 1), map[int][]int{
			tagWidth: {100}, tagHeight: {100}, tagBitsPerSample: {8}, tagPhotometric: {blackIsZero},
			tagTileWidth: {1}, tagTileHeight: {1},
			tagTileOffsets: repeated(8, 10_000), tagTileByteCounts: repeated(1, 10_000),
		}), "16×16 at least"},
		{"TIFF, many samples of 100 megapixels in one strip", longTIFF(make([]byte, 8), map[int][]int{
			tagWidth: {10_000}, tagHeight: {10_000}, tagBitsPerSample: {16}, tagPhotometric: {blackIsZero},
			tagSamplesPerPixel: {16}, tagCompression: {compressionDeflate}, tagStripOffsets: {8}, tagRowsPerStrip: {10_000},
			tagStripByteCounts: {8},
		}), "MiB"},
		{"TIFF, JPEG tables for each tile", longTIFF(make([]byte, 100_000), map[int][]int{
			tagWidth: {1600}, tagHeight: {1600}, tagBitsPerSample: {8}, tagPhotometric: {blackIsZero},
			tagTileWidth: {16}, tagTileHeight: {16},
			tagCompression: {compressionJPEG}, tagJPEGTables: repeated(0, 20_000),
			tagTileOffsets: repeated(8, 10_000), tagTileByteCounts: repeated(1, 10_000),
		}), "share the same bytes"},
		{"WebP, a chunk that claims 100 MB", claimingWebP(100 << 20), "ends too early"},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := prepare(t.Context(), row.file, MaxPixels)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want it to say %q", row.name, err, row.want)
		} else {
			oneLine(t, row.name, errors.New("picture: "+err.Error()))
		}
		if taken := after.TotalAlloc - before.TotalAlloc; taken > 8<<20 {
			t.Errorf("%s: %d bytes of memory before it was refused, want at most 8 MiB", row.name, taken)
		}
	}
}

// claimingWebP returns the header of a lossy picture whose chunk declares so many bytes.
func claimingWebP(size uint32) []byte {
	frame := []byte{0x10, 0, 0, 0x9d, 0x01, 0x2a, 100, 0, 100, 0}
	file := binary.LittleEndian.AppendUint32([]byte("RIFF"), size+12)
	return append(binary.LittleEndian.AppendUint32(append(file, "WEBPVP8 "...), size), frame...)
}

// TestOrdinaryProgressivePicturesAreRead checks the ten scans of libjpeg, which most programs write. The largest
// pictures, 100 megapixels in 4:2:0 and 71 in 4:4:4, pass the check of headers. Smaller ones are decoded, too.
func TestOrdinaryProgressivePicturesAreRead(t *testing.T) {
	for _, row := range []struct {
		name          string
		width, height int
		luma          byte
	}{
		{"100 megapixels, 4:2:0", 10_000, 10_000, 0x22}, {"100 megapixels of a camera", 11_648, 8_736, 0x22},
		{"61 megapixels, 4:4:4", 9504, 6336, 0x11}, {"71 megapixels, 4:4:4", 8432, 8432, 0x11},
	} {
		if err := checkJPEG(tenScans(row.width, row.height, row.luma)); err != nil {
			t.Errorf("%s: %v", row.name, err)
		}
	}
	for _, luma := range []byte{0x11, 0x21, 0x22} {
		ref, err := prepare(t.Context(), tenScans(1203, 805, luma), MaxPixels)
		if err != nil || ref.Original != (Size{1203, 805}) || ref.Image.RGBAAt(5, 5) != (color.RGBA{128, 128, 128, 255}) {
			t.Errorf("sampling %x: %v, %v", luma, ref, err)
		}
	}
}

// TestDecodersEndWithTheirContext checks that a decoder stops when it reads from the file after a cancellation.
func TestDecodersEndWithTheirContext(t *testing.T) {
	var plain bytes.Buffer
	if err := png.Encode(&plain, image.NewNRGBA(image.Rect(0, 0, 64, 64))); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string][]byte{
		"PNG": plain.Bytes(), "JPEG": tenScans(64, 64, 0x22), "TIFF": stripTIFF(t, 64, 0), "BMP": hostileBMP(64, 0),
		"WebP": losslessWebP(64, 64),
	} {
		if _, err := prepare(t.Context(), file, MaxPixels); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		f, err := recognise(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.decode(ctx, file); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want the context's error", name, err)
		}
	}
}

// TestLargePicturesWaitForEachOther checks the limit on the pixels of all pictures that are prepared at the same time,
// and that a waiting call can be cancelled.
func TestLargePicturesWaitForEachOther(t *testing.T) {
	if err := pixelsAtOnce.Acquire(t.Context(), 2*MaxPixels); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := prepare(ctx, losslessWebP(64, 64), MaxPixels)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want the context's error", err)
	}
	pixelsAtOnce.Release(2 * MaxPixels)
	if _, err := prepare(t.Context(), losslessWebP(64, 64), MaxPixels); err != nil {
		t.Error(err)
	}
	if !pixelsAtOnce.TryAcquire(2 * MaxPixels) {
		t.Fatal("the pixels of a prepared picture are not released")
	}
	pixelsAtOnce.Release(2 * MaxPixels)
}

// soon fails if a fuzzed input takes more than two seconds of processor time. Outside fuzzing there is no limit,
// because the first picture of a format may have to compile its decoder.
func soon(t *testing.T) (done func()) {
	const most = 2 * time.Second
	began := cpuTime()
	return func() {
		if took := cpuTime() - began; took > most && flag.Lookup("test.fuzz").Value.String() != "" {
			t.Errorf("it takes %v, want at most %v", took, most)
		}
	}
}
