package models

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kleinbild/kleinbild/inference/checkpoint"
)

func TestExtras(t *testing.T) {
	for _, m := range Extras() {
		got, err := Find(m.Name)
		if err != nil || got.Title != m.Title || !validPath(m.Name) || m.SizeBytes < 1e6 || m.Licence.Name == "" ||
			m.Licence.URL == "" || !m.Extra() {
			t.Errorf("%+v %v", m, err)
		}
	}
	for _, m := range Catalogue() {
		if m.Extra() {
			t.Errorf("%s passes for an extra", m.Name)
		}
	}
}

// TestExtraIsNoModel checks that a downloaded extra is not among the models.
func TestExtraIsNoModel(t *testing.T) {
	dir := t.TempDir()
	extra := filepath.Join(dir, checkpoint.PreviewName)
	if err := os.Mkdir(extra, 0o700); err != nil {
		t.Fatal(err)
	}
	list, err := List(t.Context(), dir, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range list {
		if i.Path == extra {
			t.Errorf("%+v is among the models", i)
		}
	}
	if path, err := Path(dir, checkpoint.PreviewName); err != nil || path != extra {
		t.Errorf("%s, %v", path, err)
	}
}
