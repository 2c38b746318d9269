//go:build unix

package checkpoint

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/kleinbild/kleinbild/inference/tensor"
)

// TestReadPreviewCutShort truncates the file of a decoder for previews after it was opened: the pages that it lost must
// be an error that names the file.
func TestReadPreviewCutShort(t *testing.T) {
	path := tensorFile(t, "taef2.safetensors", of("decoder.layers.0.weight", tensor.F32, 64<<10))
	file, err := OpenTensors(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	var unreadable *UnreadableError
	if _, err := readPreview(t.Context(), path, file); !errors.As(err, &unreadable) || unreadable.Path != path {
		t.Errorf("%v, want an UnreadableError of %s", err, path)
	}
}

// TestReadPreviewCancelled cancels after the file was opened: nothing more of it is read.
func TestReadPreviewCancelled(t *testing.T) {
	path := tensorFile(t, "taef2.safetensors", of("decoder.layers.0.weight", tensor.F32, 4))
	file, err := OpenTensors(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := readPreview(ctx, path, file); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}
