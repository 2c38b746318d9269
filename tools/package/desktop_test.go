//go:build linux

package main

import (
	"bytes"
	"encoding/xml"
	"image"
	"image/draw"
	"image/png"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// testMetadata reads the project's metadata, with a fixed time, and makes the project's root the working directory.
func testMetadata(t *testing.T) metadata {
	t.Helper()
	t.Chdir("../..")
	t.Setenv("SOURCE_DATE_EPOCH", "1000000000")
	m, err := readMetadata()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The icon's PNG file is its SVG file, drawn at that size. One level of 255 is what rounding can make.
func TestIcon(t *testing.T) {
	m := testMetadata(t)
	file, err := os.Open(m.Icon)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	want, err := png.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	have, err := drawIcon(m, want.Bounds().Dx())
	if err != nil {
		t.Fatal(err)
	}
	pixels := image.NewRGBA(want.Bounds())
	draw.Draw(pixels, pixels.Rect, want, image.Point{}, draw.Src)
	worst := 0
	for i, v := range have.(*image.RGBA).Pix {
		d := int(v) - int(pixels.Pix[i])
		worst = max(worst, d, -d)
	}
	if worst > 1 {
		t.Errorf("%s and %s differ by %d levels, want at most 1", m.Icon, m.drawing(), worst)
	}
	for _, text := range []string{"", "<svg", `<svg viewBox="0 0 20 10"></svg>`, `<svg viewBox="0 0 0 0"></svg>`} {
		bad := metadata{Icon: filepath.Join(t.TempDir(), "x.png")}
		if err := os.WriteFile(bad.drawing(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := drawIcon(bad, 16); err == nil {
			t.Errorf("%q: no error, want one", text)
		}
	}
}

// TestDesktopTree checks the files for desktops, with the desktops' own tools if they are installed.
func TestDesktopTree(t *testing.T) {
	m := testMetadata(t)
	tree, err := desktopTree(m)
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	pixels := map[string]int{}
	for _, e := range tree {
		name := filepath.Join(root, e.path)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, e.data, e.mode); err != nil {
			t.Fatal(err)
		}
		if path.Ext(e.path) == ".png" {
			size, err := png.DecodeConfig(bytes.NewReader(e.data))
			if err != nil || size.Width != size.Height {
				t.Errorf("%s: %+v %v", e.path, size, err)
			}
			pixels[strings.Split(e.path, "/")[3]] = size.Width
		}
	}
	for folder, want := range map[string]int{"16x16": 16, "48x48": 48, "512x512": 512} {
		if pixels[folder] != want {
			t.Errorf("the icon in %s has %d pixels", folder, pixels[folder])
		}
	}
	var component struct {
		ID       string `xml:"id"`
		Releases []struct {
			Version string `xml:"version,attr"`
			Date    string `xml:"date,attr"`
		} `xml:"releases>release"`
	}
	text, err := os.ReadFile(filepath.Join(root, "share/metainfo", m.ID+".metainfo.xml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(text, &component); err != nil || component.ID != m.ID || len(component.Releases) != 1 ||
		component.Releases[0].Version != m.Version || component.Releases[0].Date != "2001-09-09" {
		t.Errorf("%+v %v", component, err)
	}
	if err := validate(m, root); err != nil {
		t.Error(err)
	}
	// What the tools refuse is an error.
	if _, err := exec.LookPath("desktop-file-validate"); err == nil {
		name := filepath.Join(root, "share/applications", m.ID+".desktop")
		if err := os.WriteFile(name, []byte("[Desktop Entry]\nType=Program\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if validate(m, root) == nil {
			t.Error("a wrong entry for the menu: no error, want one")
		}
	}
}
