package picture

import (
	"encoding/binary"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
)

// MaxRowPixels is the largest picture that WriteRows writes as PNG.
const MaxRowPixels = 200_000_000

// WriteRows writes a picture of any size that belongs to o, such as o enlarged: with the depth and the channels of o,
// its profile, its Exif block and meta, unless that is nil. produce gives the rows from top to bottom: put takes one or
// more whole rows of samples as Row reads them, of which it keeps nothing. A PNG file is written while the rows come,
// with memory for a few hundred of them. The other formats need the whole picture in memory, so that it may have at
// most MaxPixels there. The path that is returned, and what becomes of a file of that name, are as for Write. If
// produce returns an error, so does WriteRows, and no file appears.
func (o *Original) WriteRows(
	path string, size Size, meta *Metadata, exists OnExist, produce func(put func(samples []uint16) error) error,
) (string, error) {
	if err := CheckRows(path, size, exists); err != nil {
		return "", err
	}
	e := encoderFor(path)
	if !writesPNG(path) {
		whole := o.New(size)
		rows := &rowTaker{size: size, take: func(y int, row []uint16) error { putSamples(whole, 0, y, row); return nil }}
		if err := rows.fill(produce); err != nil {
			return "", err
		}
		return writeWhole(path, exists, func(w io.Writer) error { return e.encode(w, o.With(whole), meta, e.quality) })
	}
	var chunks []byte
	sized := *o
	sized.carried.exif = withExifSize(o.carried.exif, size)
	chunks = sized.pngDeclarations()
	if meta != nil {
		own, err := meta.chunks()
		if err != nil {
			return "", fmt.Errorf("picture: output %s: %w", path, err)
		}
		chunks = append(chunks, own...)
	}
	var failed error // of produce, which is returned as it is
	written, err := writeWhole(path, exists, func(w io.Writer) error {
		s := newPNGStream(w, o, size)
		if err := writeParts(w, s.rows.opening(chunks)...); err != nil {
			return err
		}
		rows := &rowTaker{size: size, take: s.take}
		if failed = rows.fill(produce); failed != nil {
			return failed
		}
		return writeParts(w, pngEnding(s.sum))
	})
	if failed != nil {
		return "", failed
	}
	return written, err
}

// CheckRows checks before a computation whether WriteRows will be able to write a picture of a size to path, like
// CheckWritable.
func CheckRows(path string, size Size, exists OnExist) error {
	most, hint := MaxRowPixels, ""
	if !writesPNG(path) {
		most, hint = MaxPixels, fmt.Sprintf("; .png takes %d", MaxRowPixels/1_000_000)
	}
	if size.Width < 1 || size.Height < 1 || size.Width > most/size.Height {
		return fmt.Errorf("picture: output %s: %v pixels, want at most %d megapixels%s", path, size, most/1_000_000, hint)
	}
	if side := encoderFor(path).side; side > 0 && max(size.Width, size.Height) > side {
		return fmt.Errorf("picture: output %s: %v pixels, want at most %d a side; .png takes more", path, size, side)
	}
	return CheckWritable(path, exists)
}

// writesPNG says whether encoderFor returns the PNG encoder.
func writesPNG(path string) bool {
	extension := strings.ToLower(filepath.Ext(path))
	_, known := encoders[extension]
	return !known || extension == ".png"
}

// rowTaker counts the rows of a picture.
type rowTaker struct {
	size Size
	y    int
	take func(y int, row []uint16) error
}

// fill calls produce and checks that it has given all rows.
func (t *rowTaker) fill(produce func(put func(samples []uint16) error) error) error {
	err := produce(func(samples []uint16) error {
		n := 4 * t.size.Width
		if len(samples)%n != 0 || t.y+len(samples)/n > t.size.Height {
			return fmt.Errorf("picture: %d samples at row %d of %v, want whole rows", len(samples), t.y, t.size)
		}
		for ; len(samples) > 0; samples = samples[n:] {
			if err := t.take(t.y, samples[:n]); err != nil {
				return err
			}
			t.y++
		}
		return nil
	})
	if err == nil && t.y != t.size.Height {
		return fmt.Errorf("picture: %d rows, want the %d of %v", t.y, t.size.Height, t.size)
	}
	return err
}

// pngStream compresses rows as they come. The file is the one that writePNG writes.
type pngStream struct {
	w        io.Writer
	rows     pixelRows
	channels []int // of the four samples of a pixel, those that the file has
	sum      uint32
	// packed holds rows in PNG's layout: from row first on, which is the one before the first row to be compressed, or
	// row 0.
	packed []byte
	first  int
	strip  int // the next one to be compressed
}

func newPNGStream(w io.Writer, o *Original, size Size) *pngStream {
	s := &pngStream{w: w, rows: packPixels(o), sum: 1}
	s.rows.width, s.rows.height = size.Width, size.Height
	s.channels = map[byte][]int{
		pngGray: {0}, pngGrayAlpha: {0, 3}, pngRGB: {0, 1, 2}, pngRGBA: {0, 1, 2, 3},
	}[s.rows.colourType]
	s.rows.copyRow = func(dst []byte, y int) { copy(dst, s.packed[(y-s.first)*len(dst):]) }
	return s
}

// take packs row y, and compresses strips when there is one for each processor, or the last.
func (s *pngStream) take(y int, row []uint16) error {
	for i := 0; i < len(row); i += 4 {
		for _, c := range s.channels {
			if v := row[i+c]; s.rows.depth == 16 {
				s.packed = binary.BigEndian.AppendUint16(s.packed, v)
			} else {
				s.packed = append(s.packed, uint8((uint32(v)+128)/257))
			}
		}
	}
	ready := (y + 1) / stripRows
	if y+1 == s.rows.height {
		ready = s.rows.strips()
	}
	if ready-s.strip < runtime.GOMAXPROCS(0) && ready < s.rows.strips() || ready == s.strip {
		return nil
	}
	strips, sum := s.rows.compress(s.strip, ready, s.sum)
	s.strip, s.sum = ready, sum
	last := min(ready*stripRows, s.rows.height) - 1 // the filter of the next row looks at it
	n := copy(s.packed, s.packed[(last-s.first)*s.rows.width*s.rows.pixelBytes:])
	s.packed, s.first = s.packed[:n], last
	return writeParts(s.w, strips...)
}
