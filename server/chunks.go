package server

import "io"

// chunks is a file in memory that grows without being copied, so that it takes what it holds and no more.
type chunks struct {
	list [][]byte
	size int
}

// chunkBytes is one chunk; the first is smaller, for small pictures.
const (
	chunkBytes      = 32 << 10
	firstChunkBytes = 4 << 10
)

// ReadFrom appends all of r.
func (c *chunks) ReadFrom(r io.Reader) (n int64, err error) {
	for {
		last := len(c.list) - 1
		if last < 0 || len(c.list[last]) == cap(c.list[last]) {
			size := chunkBytes
			if last < 0 {
				size = firstChunkBytes
			}
			c.list = append(c.list, make([]byte, 0, size))
			last++
		}
		chunk := c.list[last]
		k, err := r.Read(chunk[len(chunk):cap(chunk)])
		c.list[last] = chunk[:len(chunk)+k]
		c.size += k
		n += int64(k)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// Read takes bytes out: what was read is no longer held.
func (c *chunks) Read(p []byte) (int, error) {
	for len(c.list) > 0 && len(c.list[0]) == 0 {
		c.list[0] = nil
		c.list = c.list[1:]
	}
	if len(c.list) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.list[0])
	c.list[0] = c.list[0][n:]
	c.size -= n
	return n, nil
}

// bytes takes all out in one piece.
func (c *chunks) bytes() []byte {
	whole := make([]byte, c.size)
	_, _ = io.ReadFull(c, whole)
	return whole
}
