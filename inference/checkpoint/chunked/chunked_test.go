package chunked

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
)

// buffer is an io.WriterAt in memory.
type buffer struct {
	mu    sync.Mutex
	bytes []byte
}

func (b *buffer) WriteAt(p []byte, at int64) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return copy(b.bytes[at:], p), nil
}

// numbered is a Fill whose units of 3 bytes hold their own number.
func numbered(dst []byte, first int) error {
	for i := 0; i < len(dst); i += 3 {
		n := first + i/3
		dst[i], dst[i+1], dst[i+2] = byte(n), byte(n>>8), byte(n>>16)
	}
	return nil
}

func TestWrite(t *testing.T) {
	const units = 1<<20 + 7 // three chunks and a bit
	want := make([]byte, 3*units)
	if err := numbered(want, 0); err != nil {
		t.Fatal(err)
	}
	b := &buffer{bytes: make([]byte, 5+len(want)+6)}
	written := int64(0)
	err := Write(t.Context(), b, []Part{
		{Name: "large", At: 5, Bytes: 3 * units, Unit: 3, Fill: numbered},
		{Name: "empty", At: 5 + 3*units, Unit: 3, Fill: func([]byte, int) error { return errors.New("called") }},
		{Name: "small", At: 5 + 3*units, Bytes: 6, Unit: 3, Fill: numbered},
	}, func(n int64) { written += n })
	if err != nil {
		t.Fatal(err)
	}
	want = append(append(make([]byte, 5), want...), 0, 0, 0, 1, 0, 0)
	if !bytes.Equal(b.bytes, want) {
		t.Error("the file differs from what was filled in")
	}
	if written != int64(len(want)-5) {
		t.Errorf("progress was told of %d bytes, want %d", written, len(want)-5)
	}
}

func TestWriteErrors(t *testing.T) {
	part := Part{Name: "w", Bytes: 30 << 20, Unit: 1}
	var fills sync.Map
	part.Fill = func(dst []byte, first int) error {
		fills.Store(first, true)
		return errors.New("no such value")
	}
	b := &buffer{bytes: make([]byte, part.Bytes)}
	err := Write(t.Context(), b, []Part{part}, nil)
	if err == nil || !strings.Contains(err.Error(), "write w: no such value") {
		t.Errorf("error %v, want that of Fill with the name of the part", err)
	}
	called := 0
	fills.Range(func(any, any) bool { called++; return true })
	if called == 30 {
		t.Error("all chunks were filled after the first error")
	}

	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	part.Fill = func([]byte, int) error { cancel(stopped); return nil }
	if err := Write(ctx, b, []Part{part}, nil); !errors.Is(err, stopped) {
		t.Errorf("error %v, want the cause of the context", err)
	}
}
