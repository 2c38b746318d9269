package picture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
	"iter"

	"golang.org/x/image/webp"
)

// webpDecode decodes a still picture, or the first frame of an animation at its position on the canvas.
func webpDecode(ctx context.Context, file []byte) (image.Image, error) {
	const animated = 1 << 1 // a flag of the chunk VP8X
	if len(file) < 30 || string(file[12:16]) != "VP8X" || file[20]&animated == 0 {
		return stillWebP(ctx, file)
	}
	canvas := image.Rect(0, 0, 1+int(uint24(file[24:])), 1+int(uint24(file[27:])))
	for id, content := range riffChunks(file[12:]) {
		if id == "ANMF" {
			return webpFrame(ctx, content, canvas)
		}
	}
	return nil, io.ErrUnexpectedEOF
}

func uint24(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }

// riffChunks yields the name and content of each complete chunk.
func riffChunks(chunks []byte) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for len(chunks) >= 8 {
			id, size := string(chunks[:4]), uint64(binary.LittleEndian.Uint32(chunks[4:]))
			if 8+size > uint64(len(chunks)) || !yield(id, chunks[8:8+size]) {
				return
			}
			chunks = chunks[min(8+size+size%2, uint64(len(chunks))):]
		}
	}
}

// webpFrame decodes a frame of an animation: 16 bytes with its position and size, then the chunks of a still picture.
func webpFrame(ctx context.Context, frame []byte, canvas image.Rectangle) (image.Image, error) {
	const header = 16
	if len(frame) < header {
		return nil, io.ErrUnexpectedEOF
	}
	place := image.Pt(2*int(uint24(frame)), 2*int(uint24(frame[3:])))
	bounds := image.Rect(0, 0, 1+int(uint24(frame[6:])), 1+int(uint24(frame[9:]))).Add(place)
	if !bounds.In(canvas) {
		return nil, fmt.Errorf("webp: invalid format: the first frame is %v, on a canvas of %v", bounds, canvas.Size())
	}
	extended := make([]byte, 10) // the content of a VP8X chunk for a still picture of the frame's size
	copy(extended[4:], frame[6:12])
	var pixels bytes.Buffer
	chunk := func(id string, content []byte) {
		pixels.WriteString(id)
		pixels.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(content))))
		pixels.Write(content)
		if len(content)%2 == 1 {
			pixels.WriteByte(0)
		}
	}
	for id, content := range riffChunks(frame[header:]) {
		switch id {
		case "ALPH":
			const alpha = 1 << 4
			extended[0] |= alpha
			chunk(id, content)
		case "VP8 ", "VP8L":
			chunk(id, content)
		}
	}
	still := []byte("RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00")
	still = append(append(still, extended...), pixels.Bytes()...)
	binary.LittleEndian.PutUint32(still[4:], uint32(len(still)-8))
	img, err := stillWebP(ctx, still)
	if err != nil {
		return nil, err
	}
	// Positions are even, so the subsampled chroma planes stay aligned.
	switch img := img.(type) {
	case *image.YCbCr:
		img.Rect = img.Rect.Add(place)
	case *image.NYCbCrA:
		img.Rect = img.Rect.Add(place)
	case *image.NRGBA:
		img.Rect = img.Rect.Add(place)
	default:
		return nil, errors.New("webp: unsupported feature: this kind of frame")
	}
	return img, nil
}

// stillWebP decodes a still picture. Lossy pictures are in the studio range of BT.601 (luma 16 to 235, chroma 16 to
// 240), and package webp returns these samples. It converts them to the full range of JPEG, which image.YCbCr stands
// for.
func stillWebP(ctx context.Context, file []byte) (image.Image, error) {
	img, err := webp.Decode(forDecoder(ctx, file))
	if err != nil {
		return nil, err
	}
	var planes *image.YCbCr
	switch lossy := img.(type) {
	case *image.YCbCr:
		planes = lossy
	case *image.NYCbCrA:
		planes = &lossy.YCbCr
	default:
		return img, nil
	}
	for i, y := range planes.Y {
		planes.Y[i] = fullLuma[y]
	}
	for i := range planes.Cb {
		planes.Cb[i], planes.Cr[i] = fullChroma[planes.Cb[i]], fullChroma[planes.Cr[i]]
	}
	return img, nil
}
