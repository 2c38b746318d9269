package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"io"
	"iter"
	"slices"
)

// libheif and libavif decode HEIC and AVIF (see wasm.go). This file reads the headers: the sizes, which are checked
// before anything is decoded, and the properties that the decoders do not return.

// heifHead holds the properties of the primary picture of a HEIF file.
type heifHead struct {
	size     Size     // as it is coded
	largest  int      // pixels of the largest picture in the file, including tiles and thumbnails
	decoded  int      // pixels of everything that is decoded for the picture: itself, its tiles, its alpha
	rotation int      // anticlockwise, in quarter turns
	mirrored int      // -1 no, 0 top to bottom, 1 left to right; applied after the rotation
	cropped  bool     // the picture has a clean aperture
	alpha    bool     // another picture in the file is its alpha
	colours  struct { // from its properties colr
		icc  []byte
		nclx []byte // primaries, transfer, matrix, full range
	}
}

// isoBoxes yields the type and content of each complete box in data.
func isoBoxes(data []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for len(data) >= 8 {
			size, header := uint64(binary.BigEndian.Uint32(data)), uint64(8)
			switch {
			case size == 1 && len(data) >= 16:
				size, header = binary.BigEndian.Uint64(data[8:]), 16
			case size == 0:
				size = uint64(len(data))
			}
			if size < header || size > uint64(len(data)) || !yield(string(data[4:8]), data[header:size]) {
				return
			}
			data = data[size:]
		}
	}
}

// isoBox returns the content of the first box of a type, or nil if there is none.
func isoBox(data []byte, kind string) []byte {
	for found, content := range isoBoxes(data) {
		if found == kind {
			return content
		}
	}
	return nil
}

// fields reads the numbers of a box. Beyond its end they are zero, and end is set.
type fields struct {
	data []byte
	end  bool
}

// number reads a big-endian number of so many bytes.
func (f *fields) number(bytes int) (n uint64) {
	if len(f.data) < bytes {
		f.data, f.end = nil, true
		return 0
	}
	for _, b := range f.data[:bytes] {
		n = n<<8 | uint64(b)
	}
	f.data = f.data[bytes:]
	return n
}

// versioned reads a number that has two bytes in version 0 of a box, and four bytes in other versions.
func (f *fields) versioned(version uint64) uint64 {
	if version == 0 {
		return f.number(2)
	}
	return f.number(4)
}

// readHEIF reads the properties of the primary picture (ISO/IEC 23008-12, 6.5). Its error wraps ErrSize if the header
// has too many items or properties.
func readHEIF(file []byte) (heifHead, error) {
	head := heifHead{mirrored: -1}
	meta := isoBox(file, "meta")
	if len(meta) < 4 {
		return head, io.ErrUnexpectedEOF
	}
	meta = meta[4:]
	pitm := fields{data: isoBox(meta, "pitm")}
	primary := pitm.versioned(pitm.number(4) >> 24)
	iprp := isoBox(meta, "iprp")
	type property struct {
		kind    string
		content []byte
		alpha   bool // an auxC property that marks its item as alpha
	}
	var properties []property
	for kind, content := range isoBoxes(isoBox(iprp, "ipco")) {
		if len(properties) == maxHEIFProperties {
			return head, errHEIFLists
		}
		// The property is searched here once, because many items may share it.
		alpha := kind == "auxC" &&
			(bytes.Contains(content, []byte(":alpha")) || bytes.Contains(content, []byte("hevc:2015:auxid:1")))
		properties = append(properties, property{kind, content, alpha})
		if kind == "ispe" && len(content) >= 12 {
			w, h := binary.BigEndian.Uint32(content[4:]), binary.BigEndian.Uint32(content[8:])
			head.largest = max(head.largest, int(min(uint64(w)*uint64(h), 1<<40)))
		}
	}
	alphas := map[uint64]bool{}
	areas := map[uint64]int{} // pixels, by item
	ipma := fields{data: isoBox(iprp, "ipma")}
	flags := ipma.number(4)
	associations := ipma.number(4)
	if associations > maxHEIFItems {
		return head, errHEIFLists
	}
	for range associations {
		item := ipma.versioned(flags >> 24)
		for range ipma.number(1) {
			index := ipma.number(1) & 0x7f
			if flags&1 != 0 {
				index = index<<8 | ipma.number(1)
			}
			if index == 0 || int(index) > len(properties) {
				continue
			}
			p := properties[index-1]
			if p.alpha {
				alphas[item] = true
			}
			if p.kind == "ispe" && len(p.content) >= 12 {
				w, h := binary.BigEndian.Uint32(p.content[4:]), binary.BigEndian.Uint32(p.content[8:])
				areas[item] = int(min(uint64(w)*uint64(h), 1<<40))
			}
			if item == primary {
				head.read(p.kind, p.content)
			}
		}
		if ipma.end {
			break
		}
	}
	references, err := heifReferences(isoBox(meta, "iref"))
	if err != nil {
		return head, err
	}
	for item := range alphas {
		head.alpha = head.alpha || slices.Contains(references["auxl"][item], primary)
	}
	head.decoded = heifPixels(primary, areas, head.largest, references)
	if lastByte(isoBox(meta, "iloc")) > uint64(len(file)) {
		return head, io.ErrUnexpectedEOF
	}
	if head.size.Width <= 0 || head.size.Height <= 0 {
		return head, errors.New("found no size of the primary picture")
	}
	return head, nil
}

// lastByte returns the offset in the file at which the data of all pictures end (ISO/IEC 14496-12, 8.11.3). If the file
// is shorter, a decoder may return an empty picture.
func lastByte(iloc []byte) (end uint64) {
	f := fields{data: iloc}
	version := f.number(4) >> 24
	sizes := f.number(2)
	offsetBytes, lengthBytes, baseBytes, indexBytes := int(sizes>>12), int(sizes>>8&15), int(sizes>>4&15), int(sizes&15)
	if offsetBytes+lengthBytes == 0 {
		return 0 // the entries have no bytes, so that the loops below would never reach the end of the box
	}
	count := f.versioned(version / 2)
	for range count {
		f.versioned(version / 2)
		inFile := true
		if version > 0 {
			inFile = f.number(2)&15 == 0
		} else {
			indexBytes = 0
		}
		f.number(2)
		base := f.number(baseBytes)
		for range f.number(2) {
			f.number(indexBytes)
			offset, length := f.number(offsetBytes), f.number(lengthBytes)
			if last := base + offset + length; inFile && length > 0 && last > end {
				end = last
			}
			if f.end {
				return end
			}
		}
		if f.end {
			return end
		}
	}
	return end
}

// read stores a property of the primary picture.
func (h *heifHead) read(kind string, content []byte) {
	switch {
	case kind == "ispe" && len(content) >= 12:
		h.size = Size{int(binary.BigEndian.Uint32(content[4:])), int(binary.BigEndian.Uint32(content[8:]))}
	case kind == "irot" && len(content) >= 1:
		h.rotation = int(content[0] & 3)
	case kind == "imir" && len(content) >= 1:
		h.mirrored = int(content[0] & 1)
	case kind == "clap":
		h.cropped = true
	case kind == "colr" && len(content) >= 11 && string(content[:4]) == "nclx":
		// The code points have two bytes each. All defined values fit into the lower one.
		h.colours.nclx = []byte{content[5], content[7], content[9], content[10] >> 7}
	case kind == "colr" && len(content) > 4 && (string(content[:4]) == "prof" || string(content[:4]) == "rICC"):
		h.colours.icc = content[4:]
	}
}

// orientation returns the Exif orientation of the picture that libavif decodes, which is neither rotated nor mirrored.
func (h heifHead) orientation() orientation {
	const none, topToBottom, leftToRight = -1, 0, 1
	return map[[2]int]orientation{
		{0, none}: 1, {0, leftToRight}: 2, {2, none}: 3, {0, topToBottom}: 4,
		{1, topToBottom}: 5, {3, none}: 6, {3, topToBottom}: 7, {1, none}: 8,
		{2, topToBottom}: 2, {2, leftToRight}: 4, {1, leftToRight}: 7, {3, leftToRight}: 5,
	}[[2]int{h.rotation, h.mirrored}]
}

// heifColours returns the ICC profile of the primary picture, or else its code points. Other readers of HEIF prefer the
// profile as well.
func heifColours(file []byte) colourTags {
	head, err := readHEIF(file)
	if err != nil {
		return colourTags{}
	}
	if head.colours.icc != nil {
		return colourTags{icc: head.colours.icc}
	}
	return colourTags{cicp: head.colours.nclx}
}

func avifOrientation(file []byte) orientation {
	head, err := readHEIF(file)
	if err != nil {
		return upright
	}
	return head.orientation()
}

// heifSize reads the header and checks the sizes in it. Its error wraps ErrSize if the file asks for too many pixels.
func heifSize(file []byte) (heifHead, error) {
	head, err := readHEIF(file)
	own := head.size.Width * head.size.Height
	switch {
	case err != nil:
	case head.largest > MaxPixels:
		err = sizeErrorf("found a picture of %d pixels in it, want at most %d megapixels",
			head.largest, MaxPixels/1_000_000)
	case head.decoded > max(maxHEIFShare*own, leastHEIFPixels):
		err = sizeErrorf("found parts of %d pixels and more, which make a picture of %v", head.decoded, head.size)
	}
	return head, err
}

// avifConfig returns the size of the picture that libavif decodes, which is not rotated.
func avifConfig(file []byte) (image.Config, error) {
	head, err := heifSize(file)
	if err == nil && head.cropped {
		err = errors.New("unsupported feature: a crop in the file (clean aperture)")
	}
	return image.Config{Width: head.size.Width, Height: head.size.Height, ColorModel: color.RGBAModel}, err
}

// heicConfig returns the size of the picture that libheif decodes, which is rotated. If it is cropped it is smaller.
func heicConfig(file []byte) (image.Config, error) {
	head, err := heifSize(file)
	size := head.size
	if head.rotation%2 == 1 {
		size = Size{size.Height, size.Width}
	}
	if err == nil && head.alpha {
		err = errors.New("unsupported feature: transparency; save the picture as PNG")
	}
	return image.Config{Width: size.Width, Height: size.Height, ColorModel: color.YCbCrModel}, err
}

func heicDecode(ctx context.Context, file []byte) (image.Image, error) {
	head, err := readHEIF(file)
	if err != nil {
		return nil, err
	}
	side := max(head.size.Width, head.size.Height)
	img, err := libheif.alone(ctx, head.size.Width*head.size.Height, func(ctx context.Context) (image.Image, error) {
		return decodeHEIC(ctx, file, Size{side, side})
	})
	if planes, ok := img.(*image.YCbCr); ok && err == nil {
		repairBorder(planes)
		return applyMatrix(ctx, planes, head.colours.nclx)
	}
	return img, err
}

// repairBorder overwrites the outermost samples of 4:2:0 chroma planes with their inner neighbours. This version of
// libheif enlarges such planes while it converts them, and mixes the colour of the corners into the border.
func repairBorder(img *image.YCbCr) {
	if img.SubsampleRatio != image.YCbCrSubsampleRatio420 {
		return
	}
	width, height := (img.Rect.Dx()+1)/2, (img.Rect.Dy()+1)/2
	for _, plane := range [][]uint8{img.Cb, img.Cr} {
		for y := range height {
			row := plane[y*img.CStride : y*img.CStride+width]
			row[0], row[width-1] = row[1], row[width-2]
		}
		row := func(y int) []uint8 { return plane[y*img.CStride : y*img.CStride+width] }
		copy(row(0), row(1))
		copy(row(height-1), row(height-2))
	}
}

// applyMatrix converts YCbCr planes to RGB with the matrix and range that the code points nclx name. Planes in BT.601
// and full range are returned unchanged, because package image converts them correctly. Without code points it assumes
// these, as phones do.
func applyMatrix(ctx context.Context, img *image.YCbCr, nclx []byte) (image.Image, error) {
	const bt709, bt470m, smpte240, bt2020 = 1, 4, 7, 9
	red, blue := 0.299, 0.114
	full := true
	if len(nclx) == 4 {
		full = nclx[3] == 1
		switch nclx[2] {
		case bt709:
			red, blue = 0.2126, 0.0722
		case bt470m:
			red, blue = 0.30, 0.11
		case smpte240:
			red, blue = 0.212, 0.087
		case bt2020:
			red, blue = 0.2627, 0.0593
		}
	}
	if full && red == 0.299 {
		return img, nil
	}
	lumaFrom, luma, chroma := 0.0, 1.0, 1.0
	if !full {
		lumaFrom, luma, chroma = 16, 255.0/219, 255.0/224
	}
	level := func(v float64) uint8 { return uint8(min(max(v+0.5, 0), 255)) }
	img, err := upsamplePlanes(ctx, img)
	if err != nil {
		return nil, err
	}
	out := image.NewNRGBA(img.Rect)
	return out, inBands(ctx, img.Rect.Dy(), func() func(first, count int) {
		return func(first, count int) {
			for y := first; y < first+count; y++ {
				for x := range img.Rect.Dx() {
					c := y*img.CStride + x
					light := (float64(img.Y[y*img.YStride+x]) - lumaFrom) * luma
					cb, cr := (float64(img.Cb[c])-128)*chroma, (float64(img.Cr[c])-128)*chroma
					r, b := light+2*(1-red)*cr, light+2*(1-blue)*cb
					g := (light - red*r - blue*b) / (1 - red - blue)
					p := out.Pix[out.PixOffset(x+img.Rect.Min.X, y+img.Rect.Min.Y):]
					p[0], p[1], p[2], p[3] = level(r), level(g), level(b), 255
				}
			}
		}
	})
}
