//go:build linux

package main

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"os"
	"strings"

	"github.com/fyne-io/oksvg"
	"github.com/srwiley/rasterx"
)

// iconSizes are the sizes in pixels that desktops look for.
var iconSizes = []int{16, 22, 24, 32, 48, 64, 128, 256, 512}

// desktop is the entry in the desktop's menu. Because of its MimeType, pictures can be dropped on the icon and opened
// with the program.
const desktop = `[Desktop Entry]
Type=Application
Name=%[1]s
GenericName=%[3]s
Comment=%[4]s
Exec=kleinbild %%F
Icon=%[2]s
Terminal=false
Categories=%[5]s;
Keywords=%[6]s;
MimeType=image/png;image/jpeg;image/webp;image/heic;image/avif;image/bmp;image/tiff;image/gif;
StartupWMClass=%[1]s
`

// metainfo describes the program to software centres, in the format of AppStream.
const metainfo = `<?xml version="1.0" encoding="UTF-8"?>
<component type="desktop-application">
  <id>%[1]s</id>
  <name>%[2]s</name>
  <summary>%[3]s</summary>
  <metadata_license>FSFAP</metadata_license>
  <project_license>Apache-2.0</project_license>
  <developer_name>The Kleinbild developers</developer_name>
  <description>
    <p>
      Type what you want to see, and %[2]s draws it with FLUX.2 [klein], on your own graphics card or processor. Up to
      four reference pictures can be edited or combined.
    </p>
    <ul>
      <li>Text to image, editing and composing, with a queue, a history, undo, and before and after</li>
      <li>Every picture is saved at once and carries what is needed to make it again</li>
      <li>A command line and an HTTP server over the same engine</li>
      <li>Nothing leaves the machine: only downloads of models connect to the internet</li>
    </ul>
    <p>
      A small demo model is part of the program. The real models are larger: 13 to 35 GB, which the program downloads if
      you want them.
    </p>
  </description>
  <launchable type="desktop-id">%[1]s.desktop</launchable>
  <icon type="stock">%[1]s</icon>
  <categories>
%[4]s  </categories>
  <keywords>
%[5]s  </keywords>
  <provides>
    <binary>kleinbild</binary>
  </provides>
  <content_rating type="oars-1.1"/>
  <releases>
    <release version="%[6]s" date="%[7]s"/>
  </releases>
</component>
`

// desktopTree returns what tells a desktop about the program: the entry in its menu, the description for software
// centres, and the icon as an SVG file and as PNG files.
func desktopTree(m metadata) (tree []entry, err error) {
	add := func(path string, data []byte) { tree = append(tree, entry{path, 0o644, data}) }
	categories, keywords := strings.Join(m.Linux.Categories, ";"), strings.Join(m.Linux.Keywords, ";")
	add("share/applications/"+m.ID+".desktop",
		fmt.Appendf(nil, desktop, m.Name, m.ID, m.Linux.GenericName, m.Linux.Comment, categories, keywords))
	elements := func(name string, texts []string) (lines string) {
		for _, text := range texts {
			lines += fmt.Sprintf("    <%s>%s</%[1]s>\n", name, text)
		}
		return lines
	}
	add("share/metainfo/"+m.ID+".metainfo.xml", fmt.Appendf(nil, metainfo, m.ID, m.Name, m.Linux.Comment,
		elements("category", m.Linux.Categories), elements("keyword", m.Linux.Keywords),
		m.Version, m.Time.Format("2006-01-02")))
	drawing, err := os.ReadFile(m.drawing())
	if err != nil {
		return nil, err
	}
	add("share/icons/hicolor/scalable/apps/"+m.ID+".svg", drawing)
	for _, size := range iconSizes {
		img, err := drawIcon(m, size)
		if err != nil {
			return nil, err
		}
		var data bytes.Buffer
		if err := png.Encode(&data, img); err != nil {
			return nil, err
		}
		add(fmt.Sprintf("share/icons/hicolor/%dx%[1]d/apps/%s.png", size, m.ID), data.Bytes())
	}
	return tree, nil
}

// drawing is the path of the SVG file beside the icon.
func (m metadata) drawing() string { return strings.TrimSuffix(m.Icon, ".png") + ".svg" }

// drawIcon draws the icon's SVG file on size × size pixels, so that it is sharp at every size.
func drawIcon(m metadata, size int) (image.Image, error) {
	file, err := os.Open(m.drawing())
	if err != nil {
		return nil, err
	}
	defer file.Close()
	icon, err := oksvg.ReadIconStream(file, oksvg.StrictErrorMode)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.drawing(), err)
	}
	if icon.ViewBox.W != icon.ViewBox.H || icon.ViewBox.W == 0 {
		return nil, fmt.Errorf("%s: a drawing of %v×%v, want a square", m.drawing(), icon.ViewBox.W, icon.ViewBox.H)
	}
	img := image.NewRGBA(image.Rect(0, 0, size, size))
	icon.SetTarget(0, 0, float64(size), float64(size))
	scanner := rasterx.NewScannerGV(size, size, img, img.Bounds())
	icon.Draw(rasterx.NewDasher(size, size, scanner), 1)
	return img, nil
}
