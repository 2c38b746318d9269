package picture

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"io"
)

// Edit is the part of Metadata that makes an edit of a part of image 1 again. Image 1 is the first of the references.
// Lengths are in pixels of image 1 at its full resolution.
type Edit struct {
	Mask     *Mask   `json:"mask,omitempty"` // nil if the edit has none
	Strength float64 `json:"strength"`       // above 0, at most 1
	// Feather and Context are those that were used, also if they were chosen for the mask. They are nil if the edit has no
	// use for them.
	Feather *int `json:"feather,omitempty"`
	Context *int `json:"context,omitempty"`
	Whole   bool `json:"whole,omitempty"` // the model worked on the whole picture
	// Area is the part of image 1 that the model was asked to work on: its left and upper edge, width and height. It is
	// zero if the engine chose it.
	Area         [4]int `json:"area,omitzero"`
	MatchColours bool   `json:"match_colours"`
	SourceHidden bool   `json:"source_hidden,omitempty"` // image 1 was not shown to the model
	// Extend is by how much the picture grew on the left, top, right and bottom.
	Extend        [4]int  `json:"extend,omitzero"`
	KeepUnchanged float64 `json:"keep_unchanged,omitempty"` // 0 to 1
}

// Mask names the mask of an edit: white where the picture changes.
type Mask struct {
	// File is the mask's file; its fields are "" if the mask came from no file.
	File ReferenceFile `json:"file,omitzero"`
	// Alpha says that the mask is the transparency of image 1. Nothing else is needed to have it again.
	Alpha  bool   `json:"alpha,omitempty"`
	Width  int    `json:"width"` // of Levels, which are scaled to image 1 if their size is another one
	Height int    `json:"height"`
	SHA256 string `json:"sha256"` // of Levels, see MaskDigest
	// Levels is the mask before it is scaled. It is not part of the JSON. A PNG file has it in a chunk of its own if it is
	// small, see ReadMask; JPEG and WebP files do not have it.
	Levels *image.Gray `json:"-"`
}

// NewMask describes the mask with the given levels that was read from file.
func NewMask(file ReferenceFile, levels *image.Gray) *Mask {
	size := levels.Rect.Size()
	return &Mask{File: file, Width: size.X, Height: size.Y, SHA256: MaskDigest(levels), Levels: levels}
}

// Files returns all files that m names: the references and the mask.
func (m Metadata) Files() []ReferenceFile {
	files := append([]ReferenceFile(nil), m.References...)
	if m.Edit != nil && m.Edit.Mask != nil && m.Edit.Mask.File.SHA256 != "" {
		files = append(files, m.Edit.Mask.File)
	}
	return files
}

// withoutFolders returns e with the base name of the mask's file instead of its path.
func (e *Edit) withoutFolders() *Edit {
	if e == nil || e.Mask == nil {
		return e
	}
	edit, mask := *e, *e.Mask
	mask.File.Path = BaseName(mask.File.Path)
	edit.Mask = &mask
	return &edit
}

// MaskDigest returns the SHA-256 digest of the levels of a mask, row by row, in hexadecimal.
func MaskDigest(levels *image.Gray) string {
	sum := sha256.New()
	for y := range levels.Rect.Dy() {
		sum.Write(grayRow(levels, y))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// grayRow returns row y of img, counted from its top.
func grayRow(img *image.Gray, y int) []byte { return img.Pix[y*img.Stride:][:img.Rect.Dx()] }

// A PNG file has the levels of a small mask in the chunk maskChunk, which other programs keep and do not read:
//
//   - a byte: the version of this layout
//   - width and height, 4 bytes each, big endian
//   - runs of equal levels, row by row; a run may go on in the next row. Each is a byte, the level, and the number of
//     its pixels as a varint of package encoding/binary. Neighbouring runs have different levels.
const (
	maskChunk   = "klMk"
	maskVersion = 1
	maskHead    = 9 // bytes before the runs
)

// ErrNoMask is wrapped by the error of ReadMask for a file that does not have the mask.
var ErrNoMask = errors.New("the file does not hold the mask itself")

// chunk returns the data of the chunk for the mask, nil if the mask has no levels or is too large for the chunk.
func (m *Mask) chunk() []byte {
	if m == nil || m.Levels == nil || m.Alpha {
		return nil
	}
	size := m.Levels.Rect.Size()
	data := append(make([]byte, 0, 1<<10), maskVersion)
	data = binary.BigEndian.AppendUint32(data, uint32(size.X))
	data = binary.BigEndian.AppendUint32(data, uint32(size.Y))
	var level byte
	var run uint64
	for y := range size.Y {
		for _, v := range grayRow(m.Levels, y) {
			if v != level && run > 0 {
				data = binary.AppendUvarint(append(data, level), run)
				run = 0
			}
			level = v
			run++
		}
		if len(data) > maxMaskBytes {
			return nil
		}
	}
	data = binary.AppendUvarint(append(data, level), run)
	if len(data) > maxMaskBytes || run == 0 {
		return nil
	}
	return data
}

// readMaskChunk returns the levels of a mask. It takes their memory only when the runs cover the picture exactly.
func readMaskChunk(data []byte) (*image.Gray, error) {
	if len(data) < maskHead || data[0] != maskVersion {
		return nil, fmt.Errorf("PNG: chunk %s: found another layout, want version %d", maskChunk, maskVersion)
	}
	width, height := uint64(binary.BigEndian.Uint32(data[1:])), uint64(binary.BigEndian.Uint32(data[5:]))
	if width == 0 || height == 0 || width*height > MaxPixels {
		return nil, fmt.Errorf("PNG: chunk %s: found a mask of %d×%d, want at most %d pixels",
			maskChunk, width, height, MaxPixels)
	}
	covered, last := uint64(0), -1
	for runs := data[maskHead:]; len(runs) > 0; {
		run, n := binary.Uvarint(runs[1:])
		if n <= 0 || run == 0 || run > width*height-covered || int(runs[0]) == last {
			return nil, fmt.Errorf("PNG: chunk %s: found a bad run after %d pixels", maskChunk, covered)
		}
		covered, last = covered+run, int(runs[0])
		runs = runs[1+n:]
	}
	if covered != width*height {
		return nil, fmt.Errorf("PNG: chunk %s: found %d pixels, want %d×%d", maskChunk, covered, width, height)
	}
	levels := image.NewGray(image.Rect(0, 0, int(width), int(height)))
	pixels := levels.Pix
	for runs := data[maskHead:]; len(runs) > 0; {
		run, n := binary.Uvarint(runs[1:])
		if level := runs[0]; level != 0 {
			for i := range pixels[:run] {
				pixels[i] = level
			}
		}
		pixels, runs = pixels[run:], runs[1+n:]
	}
	return levels, nil
}

// ReadMask returns the levels of the mask that the PNG file read from r has in a chunk of its own. It reads the chunks
// up to that one and decodes no pixels of the picture. The error wraps ErrNoMask if the file has no such chunk, as JPEG
// and WebP files never do, or if the chunk holds another mask than m.
func (m Mask) ReadMask(r io.Reader) (*image.Gray, error) {
	levels, err := m.readMask(r)
	if err != nil {
		return nil, fmt.Errorf("picture: %w", err)
	}
	return levels, nil
}

// ReadMaskFile is ReadMask for the file at path. Its errors name the path.
func (m Mask) ReadMaskFile(path string) (*image.Gray, error) {
	file, err := openRegular(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	levels, err := m.readMask(file)
	if err != nil {
		return nil, fmt.Errorf("picture: %s: %w", path, err)
	}
	return levels, nil
}

func (m Mask) readMask(r io.Reader) (*image.Gray, error) {
	in := bufio.NewReader(r)
	head, err := in.Peek(len(pngSignature))
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if string(head) != pngSignature {
		return nil, ErrNoMask
	}
	chunks, err := newChunkReader(in)
	if err != nil {
		return nil, err
	}
	for {
		if err := chunks.next(); errors.Is(err, io.EOF) {
			return nil, ErrNoMask
		} else if err != nil {
			return nil, err
		}
		if chunks.kind != maskChunk {
			continue
		}
		data, err := chunks.data(maxMaskBytes)
		if err != nil {
			return nil, err
		}
		levels, err := readMaskChunk(data)
		if err != nil {
			return nil, err
		}
		if levels.Rect.Dx() != m.Width || levels.Rect.Dy() != m.Height || MaskDigest(levels) != m.SHA256 {
			return nil, fmt.Errorf("its chunk %s holds another mask than its metadata names: %w", maskChunk, ErrNoMask)
		}
		return levels, nil
	}
}
