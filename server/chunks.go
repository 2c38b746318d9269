package server

import "io"

// chunks holds a file in memory. It grows without copying, so that it never takes much more memory than its bytes.
type chunks struct {
	list [][]byte
	size int
}

// The sizes of chunks. The first is smaller, so that a small picture takes little memory.
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

// Read removes the bytes that it returns, so that they take no memory any more.
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

// bytes removes all bytes and returns them in one slice.
func (c *chunks) bytes() []byte {
	whole := make([]byte, c.size)
	_, _ = io.ReadFull(c, whole)
	return whole
}
