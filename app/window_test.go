package app

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/studio/paint"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// scene is a state of the window.
type scene struct {
	name    string
	options []benchOption
	set     func(b *bench)
}

// scenes are states of the window worth looking at.
var scenes = []scene{
	{"empty", nil, func(b *bench) {}},
	{"first-start", []benchOption{withoutModel}, func(b *bench) {}},
	{"recommended", []benchOption{withoutModel, func(_ *bench, cfg *Config) { cfg.FindModels = nil }}, func(b *bench) {
		b.start.all = true
		b.start.refresh()
	}},
	{"another-computer", []benchOption{newStudioComputer().offer}, func(b *bench) {
		b.chooseModel()
		d := b.showRemoteDialog()
		d.address.SetText("http://studio.lan:7820")
		d.token.SetText("a word of twenty letters")
		d.state.Set("studio.lan:7820 does not accept the token, want the one in the file that kleinbild serve names there "+
			"when it starts.", true)
	}},
	{"computer-in-use", []benchOption{newStudioComputer().usedAtStart}, func(b *bench) { b.chooseModel() }},
	{"edit", []benchOption{withPlan}, func(b *bench) {
		house := landscape(1030, 1370, 1)
		paintHouse(house, 400, 1260, 360)
		b.slots.add(0, []string{b.file("garden.png", 1200, 800, 3), b.write("house.png", house)})
		b.until("two references", func() bool { return len(b.Desk.Desk().References()) == 2 })
		b.engine.paint = houseOnHill
		for i := range 3 {
			b.shape.setSeed(fmt.Sprint(i))
			b.make("Put the red house of image 2 on the hill of image 1, morning light, keep the sky as it is")
		}
		b.shape.setSeed(firstSeed)
		b.view.enterMode(b.comparison)
	}},
	{"edit-this", []benchOption{withPlan}, func(b *bench) {
		b.slots.add(0, []string{b.file("garden.png", 1200, 800, 3), b.file("evening.png", 1030, 1370, 1)})
		b.until("two references", func() bool { return len(b.Desk.Desk().References()) == 2 })
		b.engine.paint = houseOnHill
		b.make("Put a red house on the hill of image 1, in the light of image 2")
		b.slots.clear(2)
		test.Tap(b.view.edit)
		b.shape.setSeed(firstSeed)
	}},
	{"info", []benchOption{withPlan}, func(b *bench) {
		b.slots.add(0, []string{b.file("garden.png", 1200, 800, 3), b.file("evening.png", 1030, 1370, 1)})
		b.until("two references", func() bool { return len(b.Desk.Desk().References()) == 2 })
		b.engine.paint = houseOnHill
		b.make("Put a red house on the hill of image 1, in the light of image 2, and keep the sky as it is")
		b.view.shown.Meta.LoRAs = []picture.LoRAFile{{Name: "watercolour.safetensors", Strength: 0.8}}
		b.view.shown.Meta.Edit = &picture.Edit{Strength: 0.9, MatchColours: true, Mask: &picture.Mask{Alpha: true}}
		b.prompt.setText("A draft that is not finished")
		b.shape.setSeed(firstSeed)
		b.toggleInfo()
	}},
	{"grid", []benchOption{withPlan}, fourTries},
	{"lineage", []benchOption{withPlan}, func(b *bench) {
		fourTries(b)
		b.shape.setCount(1)
		first := b.view.shown.Path
		for i := range 3 {
			b.editPicture(first)
			b.settle()
			b.shape.setSeed(fmt.Sprint(i))
			b.make("The same house in another season")
		}
		b.strip.open(b.Album.Entries()[4].ID)
		b.settle()
		b.toggleInfo()
		b.shape.setSeed(firstSeed)
	}},
	{"compare", []benchOption{withPlan}, func(b *bench) {
		fourTries(b)
		test.Tap(b.grid.sides)
		b.settle()
	}},
	{"empty-number", []benchOption{withPlan}, func(b *bench) {
		b.slots.add(0, []string{
			b.file("garden in the morning.png", 1200, 800, 3), b.file("evening.png", 1030, 1370, 1),
			b.file("night.png", 900, 600, 2),
		})
		b.until("three references", func() bool { return len(b.Desk.Desk().References()) == 3 })
		b.prompt.setText("The hill of image 1 in the light of image 2, with the stars of image 3")
		b.slots.clear(2)
	}},
	{"gallery", []benchOption{withPictures(
		[]int{9, 9, 4, 4, 4, 4, 4, 1, 1, 1, 0, 0, 0, 0, 0, 0},
		slices.Repeat([]string{"a hill in the light of another hour"}, 16)...,
	)}, func(b *bench) {
		fail := func(err error) { b.t.Error(err) }
		e := b.Album.Entries()
		b.Album.Star([]uint64{e[1].ID, e[3].ID, e[7].ID}, true, fail)
		b.Album.PutFolder(history.Folder{Name: "Hills by hour"}, func(history.Folder, error) {})
		b.settle()
		b.openGallery()
		b.gallery.grid.Choose(e[0].ID)
		b.click(1, fyne.KeyModifierShortcutDefault)
		b.gallery.grid.MouseMoved(&desktop.MouseEvent{PointEvent: fyne.PointEvent{
			Position: b.gallery.grid.Cells[2].Position().AddXY(20, 40),
		}})
	}},
	{"own-size", nil, func(b *bench) {
		b.prompt.setText("A lighthouse in the fog")
		b.win.Canvas().Focus(b.shape.own.field)
		test.Type(b.shape.own.field, "1000 x 700")
	}},
	{"each-desk", []benchOption{withPlan}, func(b *bench) {
		var paths []string
		for i := range 12 {
			garden := landscape(1200, 800, uint64(i+3))
			paintHouse(garden, 700, 620, 300)
			paths = append(paths, b.write(fmt.Sprintf("garden-%02d.png", i+1), garden))
		}
		b.place(0, paths)
		b.take(b.session, "One instruction for all 12")
		b.slots.add(0, []string{b.file("evening.png", 1030, 1370, 1)})
		b.until("two references", func() bool { return len(b.Desk.Desk().References()) == 2 })
		b.prompt.setText("The garden of image 1 in the light of image 2, with snow on the roof and on the hills")
		b.shape.setSeed(firstSeed)
	}},
	{"each", nil, func(b *bench) {
		b.engine.hold = make(chan struct{})
		_, paths := b.photos(9)
		b.prompt.setText("Make it winter, with snow on the roofs")
		b.layEach(paths)
		b.settle()
		b.generate()
		b.until("a preview", func() bool { return b.view.previewing })
		b.queued.choose(2)
		b.place(1, paths[:6])
		b.shape.setSeed(firstSeed)
	}},
	{"save-as", []benchOption{withPlan}, func(b *bench) {
		b.make("A lighthouse in the fog")
		b.set.copies().setFormat(copyFormats[1])
		test.Tap(b.view.save)
		b.savePanel.quality.SetValue(88)
		b.shape.setSeed(firstSeed)
	}},
	{"upscale", []benchOption{withUpscaler(&fakeNetwork{}, "/m/realesr-general-x4v3.pth"), atFullSize},
		func(b *bench) {
			b.make("A lighthouse in the fog")
			b.set.upscales().setRefine(true)
			b.openUpscalePanel()
			b.shape.setSeed(firstSeed)
		}},
	{"upscale-offer", []benchOption{withUpscaler(&fakeNetwork{}), atFullSize}, func(b *bench) {
		b.make("A lighthouse in the fog")
		b.unfocus()
		b.showUpscalePanel()
		b.until("an offer", func() bool { return b.upscaling.offer.IsOpen() })
		b.shape.setSeed(firstSeed)
	}},
	{"keys", nil, func(b *bench) { b.toggleKeyList() }},
	{"running", nil, func(b *bench) {
		b.twoReferences()
		b.shape.choose(picture.Portrait)
		b.engine.hold = make(chan struct{})
		b.prompt.setText("A lighthouse in the fog")
		b.generate()
		b.prompt.setText("A second one, of many words, that goes on and on until the line is full and its end cannot be seen")
		b.shape.setCount(4)
		b.generate()
		b.prompt.setText("A third")
		b.generate()
		b.until("a preview", func() bool { return b.view.previewing })
		b.notice.Say("Kleinbild made this picture: “A lighthouse”",
			ui.Action{Text: "Restore its settings"}, ui.Action{Text: "Use as reference"})
		b.shape.setSeed(firstSeed)
		b.advanced.toggle()
	}},
	{"mask", nil, func(b *bench) {
		house := landscape(1200, 800, 3)
		paintHouse(house, 700, 620, 300)
		b.slots.add(0, []string{b.write("garden.png", house), b.file("big.png", 1030, 1370, 1)})
		b.until("two references", func() bool { return len(b.Desk.Desk().References()) == 2 })
		b.prompt.setText("A blue house in the place of the red one")
		b.advanced.toggle()
		b.advanced.edit.loadMask(b.write("the-house.png", ellipse(600, 400, image.Rect(240, 120, 460, 330))))
		b.until("the mask", func() bool { return b.Desk.Desk().Edit.Mask.Look != nil })
		b.advanced.edit.fields[0].SetText("0.8")
		b.frame.right.ScrollToBottom()
	}},
	{"extend", []benchOption{withPlan}, func(b *bench) {
		garden := landscape(1200, 800, 3)
		paintHouse(garden, 700, 620, 300)
		b.slots.add(0, []string{b.write("garden.png", garden)})
		b.until("a reference", func() bool { return len(b.Desk.Desk().References()) == 1 })
		b.prompt.setText("The garden goes on to the left, with a pond and a wooden bridge")
		b.view.toggleMode(b.extendMode())
		b.settle()
		b.extendMode().to(image.Rect(-620, -24, 1260, 800))
	}},
	{"loras", []benchOption{withPlan, withLoRAs}, func(b *bench) {
		b.slots.add(0, []string{b.file("garden.png", 1200, 800, 3)})
		b.until("a reference", func() bool { return len(b.Desk.Desk().References()) == 1 })
		b.prompt.setText("The hill of image 1 with a house <lora:ink:0.4>")
		b.addLoRA("watercolour")
		b.addLoRA("grain")
		b.Desk.Choose(func(d *studio.Desk) {
			d.SetLoRA(0, func(l *studio.LoRA) { l.Strength = 0.8 })
			d.SetLoRA(1, func(l *studio.LoRA) { l.Off = true })
		})
		b.win.Canvas().Focus(b.prompt.entry)
		b.frame.reveal(b.lora.content)
	}},
	{"lora-list", []benchOption{withLoRAs}, func(b *bench) { b.showLoRAList() }},
	{"paint", []benchOption{withPlan}, func(b *bench) {
		house := landscape(3000, 2000, 3)
		paintHouse(house, 1500, 1600, 700)
		m := b.enterMask(b.write("farm.png", house))
		b.slots.add(0, []string{b.file("evening.png", 1600, 1067, 1)})
		b.until("two references", func() bool { return len(b.Desk.Desk().References()) == 2 })
		b.prompt.setText("The same house in the colours of image 2, blue shutters")
		p := &maskPointer{maskLayer: m.layer, b: b}
		m.layer.setSize(420)
		m.layer.setHardness(0.9)
		p.stroke(1250, 1100, 1750, 1100, 1750, 1450, 1250, 1450, 1250, 1250, 1500, 1250)
		b.until("the mask is kept", func() bool { return !b.Desk.Desk().Reading() })
		m.layer.hover(m.view.ToView(1930, 960), true)
	}},
	{"board", []benchOption{withPlan}, onTheBoard},
	{"board-cut", []benchOption{withPlan}, func(b *bench) {
		onTheBoard(b)
		m := b.board
		m.choose(m.board.Layers[1].ID)
		m.startCut()
		b.until("the picture is read", func() bool { return m.cut.mask != nil })
		b.settle()
		p := &maskPointer{maskLayer: m.cut.layer, b: b}
		m.cut.layer.setSize(90)
		m.cut.layer.setHardness(0.9)
		p.stroke(180, 1060, 200, 1270)
		m.cut.layer.hover(m.view.ToView(640, 1200), true)
	}},
	{"board-empty", []benchOption{withPlan}, func(b *bench) {
		onTheBoard(b)
		m := b.board
		m.lay(func(now *studio.Board) *studio.Board {
			return now.Removes(now.Layers[0].ID).Grounded("")
		})
		m.choose(0)
		b.settle()
		m.use()
		b.until("image 1 is composed", m.inUse)
	}},
	{"crop", []benchOption{withPlan}, func(b *bench) {
		house := landscape(1030, 1370, 1)
		paintHouse(house, 400, 1260, 360)
		b.slots.add(0, []string{b.file("garden.png", 1200, 800, 3), b.write("house.png", house)})
		b.until("two references", func() bool { return len(b.Desk.Desk().References()) == 2 })
		b.prompt.setText("Put the red house of image 2 on the hill of image 1")
		b.cropSlot(2)
		b.settle()
		pull(b.view.view, b.crop.frame, image.Pt(1030, 0), image.Pt(763, 600))
		b.settle()
	}},
	{"at", []benchOption{withPlan}, func(b *bench) {
		b.slots.add(0, []string{
			b.file("garden in the morning.png", 1200, 800, 3), b.file("evening.png", 1030, 1370, 1),
			b.file("night.png", 900, 600, 2),
		})
		b.until("three references", func() bool { return len(b.Desk.Desk().References()) == 3 })
		b.settle()
		b.prompt.setText("")
		b.win.Canvas().Focus(b.prompt.entry)
		test.Type(b.prompt.entry, "The hill of image 1 in the light of @")
		b.prompt.entry.TypedKey(&fyne.KeyEvent{Name: fyne.KeyDown})
	}},
	{"keep", nil, func(b *bench) {
		b.slots.add(0, []string{b.file("garden.png", 1200, 800, 3)})
		b.until("a reference", func() bool { return len(b.Desk.Desk().References()) == 1 })
		b.prompt.setText("Make it winter")
		b.advanced.toggle()
		b.Desk.Choose(func(d *studio.Desk) { d.Edit.Keep = 0.5 })
		b.Desk.Lay(b.Desk.Desk())
		b.frame.right.ScrollToOffset(fyne.NewPos(0, 430))
	}},
}

// onTheBoard puts a house that was cut out, and its mirrored copy, on a landscape.
func onTheBoard(b *bench) {
	house := landscape(1030, 1370, 1)
	paintHouse(house, 400, 1260, 360)
	b.slots.add(0, []string{b.file("garden.png", 1800, 1200, 3), b.write("house.png", house)})
	b.until("two references", func() bool { return len(b.Desk.Desk().References()) == 2 })
	b.prompt.setText("The houses stand on the hill, in its light and with their shadows")
	b.view.modeKey(fyne.KeyP)
	b.settle()
	m := b.board
	m.choose(m.board.Layers[1].ID)
	m.change(func(l *studio.Layer) {
		cut := paint.New(image.Pt(l.Size.Width, l.Size.Height)).Edit()
		cut.Polygon([]paint.Point{
			{X: 180, Y: 1044}, {X: 400, Y: 838}, {X: 624, Y: 1044}, {X: 590, Y: 1262}, {X: 210, Y: 1262},
		})
		l.Cut = l.Cut.WithPainted(cut.Done().Invert(), studio.Slot{})
		l.At = image.Rect(660, 90, 1350, 1008)
	})
	m.duplicate()
	m.change(func(l *studio.Layer) { l.At = image.Rect(80, 190, 580, 855) })
	m.mirror()
	b.settle()
}

// fourTries makes four pictures of one prompt and shows them in the grid: the third one is chosen and has a star.
func fourTries(b *bench) {
	b.slots.add(0, []string{b.file("garden.png", 1200, 800, 3), b.file("evening.png", 1200, 800, 1)})
	b.until("two references", func() bool { return len(b.Desk.Desk().References()) == 2 })
	b.engine.paint = houseInColours
	b.shape.setCount(4)
	b.make("Put a house on the hill of image 1, in the colours of image 2, blue shutters")
	b.settle()
	b.shape.setSeed(firstSeed)
	b.view.enterMode(b.grid)
	b.settle()
	press(b.grid.cells[2].view)
	b.settle()
	b.grid.keepChosen()
	b.settle()
}

// press presses the pointer on an object, and lets it go.
func press(o desktop.Mouseable) {
	o.MouseDown(&desktop.MouseEvent{Button: desktop.MouseButtonPrimary})
	o.MouseUp(&desktop.MouseEvent{Button: desktop.MouseButtonPrimary})
}

// houseInColours is a landscape with a house; the seed chooses the hour.
func houseInColours(w, h int, seed uint64) *image.RGBA {
	img := landscape(w, h, seed)
	paintHouse(img, w*45/100, h*78/100, h*24/100)
	return img
}

// ellipse returns a mask that is white in an ellipse within r, with a soft edge.
func ellipse(width, height int, r image.Rectangle) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			dx, dy := float64(2*x-r.Min.X-r.Max.X)/float64(r.Dx()), float64(2*y-r.Min.Y-r.Max.Y)/float64(r.Dy())
			level := uint8(255 * min(max(8*(1-dx*dx-dy*dy), 0), 1))
			img.SetRGBA(x, y, color.RGBA{level, level, level, 255})
		}
	}
	return img
}

// houseOnHill is what the edit scene's prompt asks for: the landscape of image 1 with the red house of image 2. The
// seed chooses where the house stands.
func houseOnHill(w, h int, seed uint64) *image.RGBA {
	img := landscape(w, h, 3)
	paintHouse(img, w*(88-10*int(seed%3))/100, h*78/100, h*20/100)
	return img
}

// paintHouse draws a red house of that width, in pixels, whose floor has its middle at x, y.
func paintHouse(img *image.RGBA, x, y, width int) {
	fill := func(x0, y0, x1, y1 int, c color.RGBA) {
		draw.Draw(img, image.Rect(x0, y0, x1, y1), image.NewUniform(c), image.Point{}, draw.Src)
	}
	half, eaves := width/2, y-width*6/10
	fill(x-half, eaves, x+half, y, color.RGBA{178, 58, 48, 255})
	for row := range half { // the roof, from the ridge down to below the eaves
		reach := (row + 1) * 6 / 5
		fill(x-reach, eaves-half+row, x+reach, eaves-half+row+1, color.RGBA{92, 44, 40, 255})
	}
	fill(x-width/10, y-width*35/100, x+width/10, y, color.RGBA{70, 38, 34, 255})
	for _, side := range []int{-1, 1} {
		middle := x + side*width*3/10
		fill(middle-width*8/100, eaves+width*12/100, middle+width*8/100, eaves+width*28/100, color.RGBA{246, 231, 176, 255})
	}
}

func (b *bench) twoReferences() {
	b.slots.add(0, []string{b.file("garden.png", 1200, 800, 3), b.file("big.png", 1030, 1370, 1)})
	b.until("two references", func() bool { return len(b.Desk.Desk().References()) == 2 })
}

// pictures of the window: which scene, how large, in which theme, at which scale.
var pictures = []struct {
	scene string
	size  fyne.Size
	theme string
	scale float32
}{
	{"empty", fyne.NewSize(1280, 800), ui.ThemeLight, 1},
	{"first-start", fyne.NewSize(1440, 900), ui.ThemeDark, 1},
	{"first-start", fyne.NewSize(900, 600), ui.ThemeLight, 1},
	{"recommended", fyne.NewSize(1440, 900), ui.ThemeLight, 1},
	{"recommended", fyne.NewSize(800, 600), ui.ThemeDark, 1},
	{"recommended", fyne.NewSize(900, 600), ui.ThemeDark, 2},
	{"recommended", fyne.NewSize(2560, 1440), ui.ThemeDark, 1},
	{"another-computer", fyne.NewSize(1440, 900), ui.ThemeDark, 1},
	{"another-computer", fyne.NewSize(900, 600), ui.ThemeLight, 1},
	{"computer-in-use", fyne.NewSize(1280, 800), ui.ThemeLight, 1},
	{"computer-in-use", fyne.NewSize(900, 600), ui.ThemeDark, 1},
	{"edit", fyne.NewSize(1440, 900), ui.ThemeDark, 1},
	{"edit", fyne.NewSize(1440, 900), ui.ThemeLight, 1},
	{"edit", fyne.NewSize(900, 600), ui.ThemeDark, 2},
	{"edit", fyne.NewSize(3840, 2160), ui.ThemeDark, 1},
	{"edit-this", fyne.NewSize(1440, 900), ui.ThemeLight, 1},
	{"edit-this", fyne.NewSize(800, 600), ui.ThemeDark, 1},
	{"info", fyne.NewSize(1440, 900), ui.ThemeDark, 1},
	{"info", fyne.NewSize(1440, 900), ui.ThemeLight, 1},
	{"info", fyne.NewSize(800, 600), ui.ThemeDark, 1},
	{"info", fyne.NewSize(800, 600), ui.ThemeLight, 1},
	{"grid", fyne.NewSize(1440, 900), ui.ThemeDark, 1},
	{"grid", fyne.NewSize(800, 600), ui.ThemeLight, 1},
	{"grid", fyne.NewSize(900, 600), ui.ThemeLight, 2},
	{"lineage", fyne.NewSize(1440, 900), ui.ThemeDark, 1},
	{"compare", fyne.NewSize(1440, 900), ui.ThemeLight, 1},
	{"compare", fyne.NewSize(900, 600), ui.ThemeDark, 2},
	{"compare", fyne.NewSize(2560, 1440), ui.ThemeDark, 1},
	{"empty-number", fyne.NewSize(1440, 900), ui.ThemeDark, 1},
	{"empty-number", fyne.NewSize(800, 600), ui.ThemeLight, 1},
	{"gallery", fyne.NewSize(1440, 900), ui.ThemeDark, 1},
	{"gallery", fyne.NewSize(1440, 900), ui.ThemeLight, 1},
	{"gallery", fyne.NewSize(800, 600), ui.ThemeLight, 1},
	{"gallery", fyne.NewSize(900, 600), ui.ThemeDark, 2},
	{"gallery", fyne.NewSize(2560, 1440), ui.ThemeLight, 1},
	{"own-size", fyne.NewSize(1440, 900), ui.ThemeDark, 1},
	{"own-size", fyne.NewSize(800, 600), ui.ThemeLight, 1},
	{"each-desk", fyne.NewSize(1440, 900), ui.ThemeDark, 1},
	{"each-desk", fyne.NewSize(800, 600), ui.ThemeLight, 1},
	{"each", fyne.NewSize(1440, 900), ui.ThemeLight, 1},
	{"each", fyne.NewSize(800, 600), ui.ThemeDark, 1},
	{"save-as", fyne.NewSize(1440, 900), ui.ThemeDark, 1},
	{"save-as", fyne.NewSize(800, 600), ui.ThemeLight, 1},
	{"upscale", fyne.NewSize(1440, 900), ui.ThemeDark, 1},
	{"upscale", fyne.NewSize(1440, 900), ui.ThemeLight, 1},
	{"upscale", fyne.NewSize(800, 600), ui.ThemeLight, 1},
	{"upscale-offer", fyne.NewSize(1440, 900), ui.ThemeDark, 1},
	{"upscale-offer", fyne.NewSize(900, 600), ui.ThemeLight, 1},
	{"keys", fyne.NewSize(1440, 900), ui.ThemeDark, 1},
	{"keys", fyne.NewSize(800, 600), ui.ThemeLight, 1},
	{"running", fyne.NewSize(1440, 900), ui.ThemeLight, 1},
	{"running", fyne.NewSize(900, 600), ui.ThemeDark, 1},
	{"mask", fyne.NewSize(1440, 900), ui.ThemeDark, 1},
	{"mask", fyne.NewSize(800, 600), ui.ThemeLight, 1},
	{"extend", fyne.NewSize(1440, 900), ui.ThemeDark, 1},
	{"extend", fyne.NewSize(800, 600), ui.ThemeLight, 1},
	{"extend", fyne.NewSize(900, 600), ui.ThemeLight, 2},
	{"loras", fyne.NewSize(1440, 900), ui.ThemeDark, 1},
	{"loras", fyne.NewSize(800, 600), ui.ThemeLight, 1},
	{"lora-list", fyne.NewSize(1440, 900), ui.ThemeLight, 1},
	{"paint", fyne.NewSize(1440, 900), ui.ThemeDark, 1},
	{"paint", fyne.NewSize(1440, 900), ui.ThemeLight, 1},
	{"paint", fyne.NewSize(800, 600), ui.ThemeDark, 2},
	{"paint", fyne.NewSize(2560, 1440), ui.ThemeLight, 1},
	{"board", fyne.NewSize(1440, 900), ui.ThemeDark, 1},
	{"board", fyne.NewSize(1440, 900), ui.ThemeLight, 1},
	{"board", fyne.NewSize(800, 600), ui.ThemeDark, 2},
	{"board", fyne.NewSize(2560, 1440), ui.ThemeLight, 1},
	{"board-cut", fyne.NewSize(1440, 900), ui.ThemeLight, 1},
	{"board-cut", fyne.NewSize(800, 600), ui.ThemeDark, 1},
	{"board-empty", fyne.NewSize(1440, 900), ui.ThemeLight, 1},
	{"board-empty", fyne.NewSize(800, 600), ui.ThemeDark, 1},
	{"crop", fyne.NewSize(1440, 900), ui.ThemeLight, 1},
	{"crop", fyne.NewSize(800, 600), ui.ThemeDark, 1},
	{"at", fyne.NewSize(1440, 900), ui.ThemeDark, 1},
	{"at", fyne.NewSize(800, 600), ui.ThemeLight, 1},
	{"keep", fyne.NewSize(800, 600), ui.ThemeDark, 1},
}

// TestWindowPictures compares the whole window, drawn by Fyne's software driver, with committed pictures. With
// KLEINBILD_UPDATE=1 it writes them; look at them before committing.
func TestWindowPictures(t *testing.T) {
	for _, p := range pictures {
		name := fmt.Sprintf("%s-%s-%.0fx%.0f@%.0f.png", p.scene, p.theme, p.size.Width, p.size.Height, p.scale)
		t.Run(name, func(t *testing.T) {
			i := slices.IndexFunc(scenes, func(s scene) bool { return s.name == p.scene })
			b := newBench(t, p.size, append([]benchOption{withTheme(p.theme)}, scenes[i].options...)...)
			b.win.Canvas().(test.WindowlessCanvas).SetScale(p.scale)
			scenes[i].set(b)
			b.settle()
			b.compare(name)
		})
	}
}

// pictureTolerance is the share of pixels that may differ by more than levelTolerance: text is drawn with floating
// point, which rounds differently on processors that fuse multiplication and addition. A line of text moved by one
// pixel changes ten times as much of the smallest picture.
const (
	pictureTolerance = 2e-4
	levelTolerance   = 24
)

func (b *bench) compare(name string) {
	b.t.Helper()
	got := b.capture()
	path := filepath.Join("testdata", name)
	if os.Getenv("KLEINBILD_UPDATE") != "" {
		writePNG(b.t, path, got)
		return
	}
	f, err := os.Open(path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer f.Close()
	want, err := png.Decode(f)
	if err != nil {
		b.t.Fatal(err)
	}
	if got.Bounds() != want.Bounds() {
		b.t.Fatalf("%v pixels, want %v", got.Bounds(), want.Bounds())
	}
	different, first := 0, image.Point{}
	gotPix, wantPix := levels(got), levels(want)
	size := got.Bounds().Size()
	for y := range size.Y {
		gotRow, wantRow := gotPix[4*y*size.X:][:4*size.X], wantPix[4*y*size.X:][:4*size.X]
		if bytes.Equal(gotRow, wantRow) { // as nearly all rows are
			continue
		}
		for x := range size.X {
			if levelsApart(gotRow[4*x:], wantRow[4*x:]) > levelTolerance {
				if different == 0 {
					first = image.Pt(x, y)
				}
				different++
			}
		}
	}
	if share := float64(different) / float64(got.Bounds().Dx()*got.Bounds().Dy()); share > pictureTolerance {
		failed := filepath.Join(os.TempDir(), "kleinbild-failed-"+name)
		writePNG(b.t, failed, got)
		b.t.Errorf("%.2g of the pixels differ, want at most %.2g; the first at %v; see %s",
			share, pictureTolerance, first, failed)
	}
}

// levels returns the levels of an opaque picture, four for each pixel.
func levels(img image.Image) []uint8 {
	switch img := img.(type) {
	case *image.RGBA:
		return img.Pix
	case *image.NRGBA:
		return img.Pix
	}
	all := image.NewRGBA(img.Bounds())
	draw.Draw(all, all.Rect, img, img.Bounds().Min, draw.Src)
	return all.Pix
}

// levelsApart is the largest difference of the red, green and blue levels of two pixels, of 255.
func levelsApart(a, b []uint8) (most int) {
	for i := range 3 {
		most = max(most, int(a[i])-int(b[i]), int(b[i])-int(a[i]))
	}
	return most
}

// apart is the largest difference of two colours' levels, of 255.
func apart(a, b color.RGBA) int {
	return levelsApart([]uint8{a.R, a.G, a.B}, []uint8{b.R, b.G, b.B})
}

func writePNG(t *testing.T, path string, img image.Image) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err == nil {
		encoder := png.Encoder{CompressionLevel: png.BestCompression}
		err = errors.Join(encoder.Encode(f, img), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}
