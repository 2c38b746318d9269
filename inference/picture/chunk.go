package picture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
)

const (
	pngSignature  = "\x89PNG\r\n\x1a\n"
	maxChunkBytes = 1<<31 - 1 // the limit of the PNG specification
)

// chunkReader reads the chunks of a PNG file one after the other and checks every CRC. It holds only the requested
// data.
type chunkReader struct {
	r    io.Reader
	kind string // of the current chunk
	left int    // bytes of its data that are not yet read; -1 if its CRC has been checked
	crc  hash.Hash32
}

// newChunkReader reads the signature and returns a reader of the chunks after it.
func newChunkReader(r io.Reader) (*chunkReader, error) {
	var signature [len(pngSignature)]byte
	n, err := io.ReadFull(r, signature[:])
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	if string(signature[:n]) != pngSignature {
		return nil, fmt.Errorf("found a file that begins with %q, want PNG", signature[:n])
	}
	return &chunkReader{r: r}, nil
}

// next skips the rest of the current chunk and reads the header of the next one. It returns io.EOF after IEND.
func (c *chunkReader) next() error {
	if c.crc != nil {
		if err := c.finish(); err != nil {
			return err
		}
		if c.kind == "IEND" {
			return io.EOF
		}
	}
	var header [8]byte
	if _, err := io.ReadFull(c.r, header[:]); err != nil {
		return c.cut(err)
	}
	for _, letter := range header[4:] {
		if (letter|0x20) < 'a' || (letter|0x20) > 'z' {
			return fmt.Errorf("PNG: found a chunk called %q, want four letters", header[4:])
		}
	}
	if c.crc == nil && string(header[4:]) != "IHDR" {
		return fmt.Errorf("PNG: the first chunk is %s, want IHDR", header[4:])
	}
	length := binary.BigEndian.Uint32(header[:])
	c.kind = string(header[4:])
	if length > maxChunkBytes {
		return fmt.Errorf("PNG: chunk %s of %d bytes, want at most %d", c.kind, length, maxChunkBytes)
	}
	c.left = int(length)
	if c.crc == nil {
		c.crc = crc32.NewIEEE()
	}
	c.crc.Reset()
	c.crc.Write(header[4:])
	return nil
}

// read returns up to n bytes of the current chunk, or fewer if the chunk ends.
func (c *chunkReader) read(n int) ([]byte, error) {
	n = min(n, c.left)
	var data []byte
	var err error
	if n <= 4<<10 {
		data = make([]byte, n)
		_, err = io.ReadFull(c.r, data)
	} else if data, err = io.ReadAll(io.LimitReader(c.r, int64(n))); err == nil && len(data) < n {
		// The memory grows with what is read, so that a false length in a hostile file allocates nothing.
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, c.cut(err)
	}
	c.left -= len(data)
	c.crc.Write(data)
	return data, nil
}

// data returns the rest of the current chunk and checks its CRC. It returns an error if the rest is longer than limit
// bytes.
func (c *chunkReader) data(limit int) ([]byte, error) {
	if c.left > limit {
		return nil, fmt.Errorf("PNG: chunk %s of %d bytes, want at most %d", c.kind, c.left, limit)
	}
	data, err := c.read(c.left)
	if err != nil {
		return nil, err
	}
	want := c.crc.Sum32()
	if err := c.checkCRC(want); err != nil {
		return nil, err
	}
	c.left = -1
	return data, nil
}

// finish skips the rest of the current chunk and checks its CRC, unless data has done so.
func (c *chunkReader) finish() error {
	if c.left < 0 {
		return nil
	}
	if c.left > 0 {
		if _, err := io.CopyN(c.crc, c.r, int64(c.left)); err != nil {
			return c.cut(err)
		}
	}
	return c.checkCRC(c.crc.Sum32())
}

func (c *chunkReader) checkCRC(want uint32) error {
	var found [4]byte
	if _, err := io.ReadFull(c.r, found[:]); err != nil {
		return c.cut(err)
	}
	if binary.BigEndian.Uint32(found[:]) != want {
		return fmt.Errorf("PNG: chunk %s is damaged: CRC %x, want %08x", c.kind, found, want)
	}
	return nil
}

// cut returns the error for a file that ends inside a chunk; other errors are returned unchanged.
func (c *chunkReader) cut(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		if c.kind == "" {
			return fmt.Errorf("PNG: the file ends too early: %w", io.ErrUnexpectedEOF)
		}
		return fmt.Errorf("PNG: the file ends too early, at chunk %s: %w", c.kind, io.ErrUnexpectedEOF)
	}
	return err
}

// appendChunk appends a complete chunk to png.
func appendChunk(png []byte, kind string, data []byte) []byte {
	png = binary.BigEndian.AppendUint32(png, uint32(len(data)))
	from := len(png)
	png = append(append(png, kind...), data...)
	return binary.BigEndian.AppendUint32(png, crc32.ChecksumIEEE(png[from:]))
}
