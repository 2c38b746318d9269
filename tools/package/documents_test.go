//go:build linux

package main

import (
	"slices"
	"testing"
)

// The archives hold all pages and pictures that the README leads to. A link to a file that does not exist is an error.
func TestDocuments(t *testing.T) {
	t.Chdir("../..")
	tree, err := documents()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range tree {
		names = append(names, e.path)
	}
	for _, name := range []string{"LICENSE", "README.md", "docs/models.md", "docs/traps.md", "assets/demo/house.png"} {
		if !slices.Contains(names, name) {
			t.Errorf("no %s in %v", name, names)
		}
	}
	if slices.Contains(names, "kernels/SPEED.md") {
		t.Errorf("a page of the sources' folders in %v", names)
	}
}
