package inference

import (
	"context"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// file is a Source: the path of a reference.
type file string

func (f file) Open(ctx context.Context) (Reference, error) { return OpenReference(ctx, string(f)) }

func files(paths []string) (all []Source) {
	for _, path := range paths {
		all = append(all, file(path))
	}
	return all
}

// TestReadReferences checks that the pictures have the order of their paths, and that the first error in this order is
// returned.
func TestReadReferences(t *testing.T) {
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
	for _, atOnce := range []int{1, ReadAtOnce, MaxReferences} {
		c, err := Ask{References: files(paths)}.Check()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Resolve(Info{}); err == nil || !strings.Contains(err.Error(), "reference 1 has not been read") {
			t.Errorf("unread: %v", err)
		}
		if c, err = c.Read(t.Context(), atOnce); err != nil || len(c.References()) != len(paths) {
			t.Fatalf("%d references, %v", len(c.References()), err)
		}
		for i, source := range c.References() {
			if r := source.(Reference); r.Path != paths[i] || r.Size.Width != 64+16*i {
				t.Errorf("reference %d is %s of %v", i, r.Path, r.Size)
			}
		}
		bad := []string{paths[0], filepath.Join(dir, "first"), paths[1], filepath.Join(dir, "second")}
		c, err = Ask{References: files(bad)}.Check()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(t.Context(), atOnce); err == nil || !strings.Contains(err.Error(), "first") {
			t.Errorf("%v; want the error of %s", err, bad[1])
		}
	}
}
