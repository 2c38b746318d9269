package inference

import (
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOpenReferences: pictures come in the order of their paths, and of several errors the first in this order.
func TestOpenReferences(t *testing.T) {
	dir := t.TempDir()
	var paths []string
	for i := range MaxReferences {
		path := filepath.Join(dir, fmt.Sprintf("%d.png", i))
		file, err := os.Create(path)
		if err == nil {
			err = png.Encode(file, image.NewGray(image.Rect(0, 0, 64+16*i, 64)))
		}
		if err == nil {
			err = file.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	refs, err := OpenReferences(t.Context(), paths)
	if err != nil || len(refs) != len(paths) {
		t.Fatalf("%d references, %v", len(refs), err)
	}
	for i, r := range refs {
		if r.Path != paths[i] || r.Size.Width != 64+16*i {
			t.Errorf("reference %d is %s of %v", i, r.Path, r.Size)
		}
	}
	bad := []string{paths[0], filepath.Join(dir, "first"), paths[1], filepath.Join(dir, "second")}
	if refs, err := OpenReferences(t.Context(), bad); refs != nil || err == nil || !strings.Contains(err.Error(), "first") {
		t.Errorf("%d references, %v; want the error of %s", len(refs), err, bad[1])
	}
}
