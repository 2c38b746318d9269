package app

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/studio/paint"
)

// maskMode returns the window's mode of the mask.
func (b *bench) maskMode() *maskMode { return b.mask }

// enterMask puts a picture into slot 1 and enters the mode of the mask by its key.
func (b *bench) enterMask(path string) *maskMode {
	b.t.Helper()
	b.slots.add(0, []string{path})
	b.until("image 1", func() bool { return len(b.Desk.Desk().References()) == 1 })
	b.win.Canvas().Unfocus()
	b.win.Canvas().OnTypedKey()(&fyne.KeyEvent{Name: fyne.KeyM})
	m := b.maskMode()
	b.until("image 1 is read", func() bool { return m.mask != nil })
	b.settle()
	return m
}

// maskPointer paints with the pointer, at places in pixels of image 1.
type maskPointer struct {
	*maskLayer
	b        *bench
	modifier fyne.KeyModifier
	at       fyne.Position
}

func (p *maskPointer) place(x, y float32) fyne.Position { return p.mode.view.ToView(x, y) }

func (p *maskPointer) down(x, y float32) {
	e := &desktop.MouseEvent{Button: desktop.MouseButtonPrimary, Modifier: p.modifier}
	p.at = p.place(x, y)
	e.Position = p.at
	p.b.timed(func() { p.MouseDown(e) })
}

func (p *maskPointer) to(x, y float32) {
	before := p.at
	p.at = p.place(x, y)
	e := &fyne.DragEvent{Dragged: fyne.NewDelta(p.at.X-before.X, p.at.Y-before.Y)}
	e.Position = p.at
	p.b.timed(func() { p.Dragged(e) })
}

func (p *maskPointer) up() {
	p.b.timed(func() {
		p.MouseUp(&desktop.MouseEvent{Button: desktop.MouseButtonPrimary})
		p.DragEnd()
	})
}

// stroke paints a line through places: x, y, x, y, …
func (p *maskPointer) stroke(places ...float32) {
	p.down(places[0], places[1])
	for i := 2; i < len(places); i += 2 {
		p.to(places[i], places[i+1])
	}
	p.up()
	p.b.settle()
}

// painted is the mask on the desk.
func (b *bench) painted() *paint.Mask { return b.Desk.Desk().Edit.Mask.Painted }

// TestPaintAndRepaint paints a stroke with the pointer and makes a picture: the engine gets what was painted.
func TestPaintAndRepaint(t *testing.T) {
	b := newBench(t, usual)
	m := b.enterMask(b.file("photo.png", 900, 600, 1))
	if b.view.mode != canvasMode(m) || !m.tools.content.Visible() || b.win.Canvas().Focused() != fyne.Focusable(m.layer) {
		t.Fatalf("mode %v, focus %T", b.view.mode, b.win.Canvas().Focused())
	}
	p := &maskPointer{maskLayer: m.layer, b: b}
	m.layer.setSize(40)
	p.stroke(200, 150, 320, 180, 500, 400)
	want := paint.New(image.Pt(900, 600)).Edit()
	want.Line(m.layer.brush, 200, 150, 320, 180)
	want.Line(m.layer.brush, 320, 180, 500, 400)
	levels := want.Done().Gray()
	near := func(got *image.Gray) {
		t.Helper()
		if got.Rect != levels.Rect {
			t.Fatalf("a mask of %v", got.Rect)
		}
		for i, v := range got.Pix { // places of the pointer are rounded
			if max(v, levels.Pix[i])-min(v, levels.Pix[i]) > 8 {
				t.Fatalf("pixel %d, %d: %d, want %d", i%900, i/900, v, levels.Pix[i])
			}
		}
	}
	near(b.painted().Gray())
	if got := b.prompt.generate.Text; got != "Repaint" {
		t.Errorf("the button says %q", got)
	}
	if got := b.prompt.kept.Text; got != "everything outside the mask stays as it is, 900 × 600" {
		t.Errorf("the line says %q", got)
	}
	b.prompt.setText("a red sleeve")
	test.Tap(b.prompt.generate)
	b.until("it is made", func() bool { return len(b.engine.made()) == 1 && b.Maker.Run() == nil })
	mask := b.engine.made()[0].Mask()
	if mask == nil {
		t.Fatal("the engine got no mask")
	}
	near(mask.Gray())
	if b.view.mode != nil {
		t.Error("the result is not shown")
	}
	// The mask is there again when the mode is, and goes with image 1.
	b.view.modeKey(fyne.KeyM)
	b.until("image 1 is read", func() bool { return m.mask != nil })
	if m.mask != b.painted() || m.mask.Empty() {
		t.Error("the mask is another one")
	}
	b.slots.clear(1)
	b.settle()
	if b.view.mode != nil || !b.Desk.Desk().Edit.Mask.None() {
		t.Error("the mask stays without image 1")
	}
	b.Desk.Undo()
	b.settle()
	if b.painted() == nil {
		t.Error("undo does not bring the mask back")
	}
}

// TestMaskTools uses each tool, and takes all of it back.
func TestMaskTools(t *testing.T) {
	b := newBench(t, usual)
	photo := image.NewRGBA(image.Rect(0, 0, 400, 300))
	for i := range photo.Pix {
		photo.Pix[i] = 255
	}
	for y := 100; y < 200; y++ {
		for x := 250; x < 350; x++ {
			photo.SetRGBA(x, y, color.RGBA{200, 20, 20, 255})
		}
	}
	m := b.enterMask(b.write("photo.png", photo))
	p := &maskPointer{maskLayer: m.layer, b: b}
	key := func(name fyne.KeyName) { m.layer.TypedKey(&fyne.KeyEvent{Name: name}); b.settle() }
	inside := func(name string, x, y int, want bool) {
		t.Helper()
		if got := m.mask.At(x, y) >= 128; got != want {
			t.Errorf("%s: %d, %d: %v, want %v", name, x, y, got, want)
		}
	}
	m.layer.setSize(20)
	p.stroke(50, 50, 120, 50)
	inside("brush", 80, 50, true)
	inside("brush", 80, 70, false)
	key(fyne.KeyX)
	p.stroke(80, 50, 81, 50)
	inside("eraser", 80, 50, false)
	inside("eraser", 55, 50, true)
	key(fyne.KeyX)
	p.modifier = fyne.KeyModifierShift
	p.stroke(80, 250)
	inside("straight line", 80, 150, true)
	p.modifier = fyne.KeyModifierControl
	p.stroke(80, 150)
	inside("taken away", 80, 150, false)
	p.modifier = 0
	key(fyne.KeyR)
	p.stroke(200, 280, 150, 220)
	inside("rectangle", 175, 250, true)
	inside("rectangle", 205, 250, false)
	key(fyne.KeyL)
	p.stroke(300, 220, 390, 290, 220, 290)
	inside("lasso", 300, 270, true)
	inside("lasso", 240, 240, false)
	key(fyne.KeyF)
	p.stroke(300, 150)
	inside("fill", 252, 102, true)
	inside("fill", 240, 102, false)
	before := m.mask
	test.Tap(m.tools.actions[0])
	b.settle()
	inside("inverted", 300, 150, false)
	inside("inverted", 10, 10, true)
	test.Tap(m.tools.undo)
	b.settle()
	if m.mask != before {
		t.Error("undo of invert")
	}
	menu := m.menu()
	menu.Items[1].ChildMenu.Items[1].Action() // grows by 8
	b.settle()
	inside("grown", 244, 150, true)
	menu.Items[2].ChildMenu.Items[2].Action() // shrinks by 32
	b.settle()
	inside("shrunk", 270, 150, false)
	inside("shrunk", 300, 150, true)
	key(fyne.KeyDelete)
	if !b.Desk.Desk().Edit.Mask.None() || !m.mask.Empty() {
		t.Error("the mask was not cleared")
	}
	b.Desk.Undo()
	b.settle()
	inside("clear was undone", 300, 150, true)
	undone := 1
	for ; undone < 20 && !m.mask.Empty(); undone++ {
		b.Desk.Undo()
		b.settle()
	}
	if undone != 10 || len(b.Desk.Desk().Slots) != 1 { // of all that was done; invert was undone before
		t.Errorf("%d steps were taken back", undone)
	}
}

// TestMaskByKeys paints without a pointer.
func TestMaskByKeys(t *testing.T) {
	b := newBench(t, usual)
	m := b.enterMask(b.file("photo.png", 900, 600, 1))
	type keys = []fyne.KeyName
	for _, name := range (keys{fyne.KeyReturn, fyne.KeyRight, fyne.KeyRight, fyne.KeyDown, fyne.KeyReturn, fyne.KeyLeft}) {
		m.layer.TypedKey(&fyne.KeyEvent{Name: name})
	}
	b.settle()
	x, y := m.view.ToPicture(m.view.Middle().AddXY(8, 0))
	if b.painted() == nil || b.painted().At(int(x), int(y)) != 255 {
		t.Error("nothing was painted")
	}
	size, hardness := m.layer.brush.Size, m.layer.brush.Hardness
	for _, r := range "]]{" {
		m.layer.TypedRune(r)
	}
	if m.layer.brush.Size <= size || m.layer.brush.Hardness >= hardness {
		t.Errorf("brush %+v", m.layer.brush)
	}
	for i, tool := range m.tools.tools { // one stop of the Tab key
		if tool.Disabled() == (i == int(brushTool)) {
			t.Errorf("tool %d", i)
		}
	}
	m.tools.tools[0].TypedKey(&fyne.KeyEvent{Name: fyne.KeyRight})
	if m.layer.tool != eraserTool {
		t.Error("the arrow key does not choose the next tool")
	}
	// The space bar pans instead of painting.
	before := b.painted()
	m.view.Zoom(4, m.view.Middle())
	x0, _ := m.view.ToPicture(fyne.Position{})
	m.layer.KeyDown(&fyne.KeyEvent{Name: fyne.KeySpace})
	p := &maskPointer{maskLayer: m.layer, b: b}
	p.stroke(450, 300, 460, 300)
	m.layer.KeyUp(&fyne.KeyEvent{Name: fyne.KeySpace})
	if x1, _ := m.view.ToPicture(fyne.Position{}); x1 == x0 || b.painted() != before {
		t.Errorf("the space bar: from %v to %v", x0, x1)
	}
}

// TestMaskWithoutImage1 takes the picture on show on as image 1. A mask that was loaded can be painted on.
func TestMaskWithoutImage1(t *testing.T) {
	b := newBench(t, usual)
	b.engine.info.NativeSize = 128
	b.make("a house")
	if b.Desk.Desk().Edit.Mask.None(); len(b.Desk.Desk().Slots) != 0 {
		t.Fatal("there is an image 1")
	}
	test.Tap(b.view.modes[0].button)
	m := b.maskMode()
	b.until("image 1 is read", func() bool { return m.mask != nil })
	b.settle()
	if b.Desk.Desk().Slots[0].Path != b.view.shown.Path || b.win.Canvas().Focused() != fyne.Focusable(m.layer) {
		t.Error("the picture on show is not image 1")
	}
	file := b.write("loaded.png", ellipse(m.size.X/2, m.size.Y/2, image.Rect(4, 4, m.size.X/4, m.size.Y/4)))
	m.loadMask(file)
	b.until("the mask is there", func() bool { return !m.mask.Empty() })
	b.settle()
	if m.mask.At(m.size.X/4, m.size.Y/4) < 128 || m.mask.At(m.size.X-9, 9) != 0 {
		t.Error("the mask of the file is not shown at the size of image 1")
	}
	p := &maskPointer{maskLayer: m.layer, b: b}
	m.layer.setSize(6)
	x, y := m.size.X-8, m.size.Y-8
	p.stroke(float32(x), float32(y))
	if got := b.painted(); got == nil || got.At(x, y) < 128 || got.At(m.size.X/4, m.size.Y/4) < 128 {
		t.Error("the stroke did not come to the mask of the file")
	}
	path := filepath.Join(b.dir, "saved.png")
	b.saveMaskTo(b.painted(), path, false)
	b.settle()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if gray, ok := img.(*image.Gray); err != nil || !ok || string(gray.Pix) != string(b.painted().Gray().Pix) {
		t.Errorf("saved %T, %v", img, err)
	}
	b.saveMaskTo(b.painted(), path, false)
	b.settle()
	if b.modal == nil || !b.blocked() {
		t.Error("nobody is asked before a file is replaced")
	}
	b.modal.Close()
	b.Desk.Undo()
	b.settle()
	if b.Desk.Desk().Edit.Mask.Path != file || m.mask.At(x, y) != 0 {
		t.Error("undo does not bring the mask of the file back")
	}
}

// TestMaskNeverStalls paints on 24 megapixels: nothing may keep Fyne's goroutine for longer than a frame.
func TestMaskNeverStalls(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 24 megapixels")
	}
	// A frame of the screen. On a machine that does other work a step can be interrupted in each of its tries.
	const most = 16 * time.Millisecond
	limit := most
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		var load float64
		if _, err := fmt.Sscan(string(text), &load); err == nil && load > float64(runtime.NumCPU())/2 {
			limit = 8 * most
		}
	}
	b := newBench(t, usual)
	m := b.enterMask(b.file("photo.png", 6000, 4000, 1))
	p := &maskPointer{maskLayer: m.layer, b: b}
	// A change is taken back in the same breath, so that every try begins with the same mask.
	change := func(do func()) func() {
		return func() {
			before := m.mask
			if do(); !m.entered || m.mask == before {
				t.Fatalf("the mode is on: %v, the mask has changed: %v", m.entered, m.mask != before)
			}
			b.timed(b.Desk.Undo)
			b.settle()
			if m.mask != before {
				t.Fatal("undo does not bring the mask back")
			}
		}
	}
	p.stroke(2000, 2000, 4000, 2100) // undo and invert have something to do
	for name, do := range map[string]func(){
		"the largest brush": change(func() {
			m.layer.tool = brushTool
			m.layer.setSize(paint.MostSize)
			m.layer.setHardness(0)
			p.stroke(1000, 800, 1080, 860, 1200, 900, 1300, 1000)
		}),
		"a stroke across": change(func() {
			m.layer.tool = brushTool
			m.layer.setSize(200)
			p.down(0, 100)
			for x := float32(0); x < 6000; x += 60 {
				p.to(x, 2000+x/4)
			}
			p.up()
			b.settle()
		}),
		"lasso": change(func() {
			m.layer.tool = lassoTool
			p.stroke(100, 100, 5900, 200, 5800, 3900, 300, 3000)
		}),
		"rectangle": change(func() {
			m.layer.tool = rectangleTool
			p.stroke(100, 100, 5900, 3900)
		}),
		"fill": change(func() {
			m.layer.tool = fillTool
			p.stroke(10, 10)
		}),
		"invert": change(func() { b.timed(m.invert); b.settle() }),
		"feather": func() {
			b.timed(func() { m.setFeather("120") })
			b.settle()
			b.timed(func() { m.setFeather("") })
			b.settle()
		},
		"zoom and pan": func() {
			b.timed(func() { m.view.OneToOne(m.view.Middle()) })
			b.settle()
			b.timed(m.view.ZoomToFit)
			b.settle()
		},
	} {
		best := time.Hour // of several, because the machine may do other work
		for try := 0; try < 20 && best > limit; try++ {
			b.longest = 0
			do()
			best = min(best, b.longest)
		}
		t.Logf("%s: %v", name, best)
		if best > limit {
			t.Errorf("%s: %v, want at most %v", name, best, limit)
		}
	}
}

// TestMaskIsSeenOnAnyPicture checks that tint or outline differ from what lies below them.
func TestMaskIsSeenOnAnyPicture(t *testing.T) {
	tint := tintOf[255]
	over := func(c color.RGBA, top [4]uint8) (out color.RGBA) {
		mix := func(below, above uint8) uint8 { return uint8(int(above) + int(below)*(255-int(top[3]))/255) }
		return color.RGBA{mix(c.R, top[0]), mix(c.G, top[1]), mix(c.B, top[2]), 255}
	}
	for name, c := range map[string]color.RGBA{
		"black": {0, 0, 0, 255}, "white": {255, 255, 255, 255}, "red": {200, 30, 30, 255}, "skin": {224, 172, 140, 255},
		"leaves": {60, 110, 50, 255}, "sky": {135, 180, 220, 255}, "grey": {128, 128, 128, 255},
		"the tint": {233, 30, 120, 255},
	} {
		if best := max(apart(c, over(c, tint)), apart(c, over(c, outline))); best < 80 {
			t.Errorf("%s: differs by %d levels", name, best)
		}
	}
}

// TestKeyStrokeIsKept: what was begun to paint by Enter is painted, however the mask is left.
func TestKeyStrokeIsKept(t *testing.T) {
	key := func(name fyne.KeyName) func(b *bench) {
		return func(b *bench) { b.mask.layer.TypedKey(&fyne.KeyEvent{Name: name}) }
	}
	for name, leave := range map[string]func(b *bench){
		"Escape": key(fyne.KeyEscape), "its key": key(fyne.KeyM), "another mode": key(fyne.KeyC), "gallery": key(fyne.KeyG),
		"the prompt": func(b *bench) { b.win.Canvas().Focus(b.prompt.entry) },
	} {
		b := newBench(t, usual)
		m := b.enterMask(b.file("photo.png", 300, 200, 1))
		for _, k := range []fyne.KeyName{fyne.KeyReturn, fyne.KeyRight, fyne.KeyDown} {
			m.layer.TypedKey(&fyne.KeyEvent{Name: k})
		}
		leave(b)
		b.settle()
		if b.painted() == nil || b.painted().Empty() || m.layer.gesture != nil {
			t.Errorf("%s: the stroke is gone, or still under way", name)
		}
	}
}

// TestUndoInAStroke takes back the stroke that is under way, and not the one before it.
func TestUndoInAStroke(t *testing.T) {
	b := newBench(t, usual)
	m := b.enterMask(b.file("photo.png", 300, 200, 1))
	p := &maskPointer{maskLayer: m.layer, b: b}
	p.stroke(50, 50, 80, 50)
	first := b.painted()
	m.layer.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	m.layer.TypedKey(&fyne.KeyEvent{Name: fyne.KeyDown})
	if m.layer.gesture == nil {
		t.Fatal("no stroke is under way")
	}
	b.Desk.Undo()
	b.settle()
	if m.layer.gesture != nil || b.painted() != first || m.mask != first {
		t.Error("undo took back something else")
	}
	b.Desk.Redo()
	b.settle()
	if b.painted() == first {
		t.Error("the stroke does not come back")
	}
}

// TestMaskTiles compares what is drawn with the mask: the tint where it changes, the feather inside of it, nothing
// elsewhere; and a stroke under way is drawn at once.
func TestMaskTiles(t *testing.T) {
	b := newBench(t, usual)
	m := b.enterMask(b.file("photo.png", 1800, 1200, 1))
	p := &maskPointer{maskLayer: m.layer, b: b}
	alpha := func(x, y float64) uint8 {
		t.Helper()
		tiles := m.layer.tiles
		at := image.Pt(int(x*tiles.scale), int(y*tiles.scale))
		for _, tile := range tiles.tiles {
			if at.In(tile.part) {
				if tile.img == nil {
					t.Fatal("a tile was not drawn")
				}
				return tile.img.RGBAAt(at.X-tile.part.Min.X, at.Y-tile.part.Min.Y).A
			}
		}
		t.Fatalf("no tile at %v", at)
		return 0
	}
	m.layer.setSize(400)
	full := tintOf[255][3]
	p.down(900, 600)
	if alpha(900, 600) != full || alpha(900, 790) != full || alpha(900, 900) != 0 {
		t.Errorf("under way: %d, %d, %d", alpha(900, 600), alpha(900, 790), alpha(900, 900))
	}
	p.up()
	b.settle()
	if edge := alpha(900, 796); alpha(900, 600) != full || edge == 0 || edge > full/2 || alpha(900, 900) != 0 {
		t.Errorf("feathered: %d, %d, %d", alpha(900, 600), edge, alpha(900, 900))
	}
	m.setFeather("0")
	b.settle()
	if alpha(900, 790) != full {
		t.Errorf("without a feather: %d", alpha(900, 790))
	}
	m.view.OneToOne(m.view.Middle())
	b.settle()
	if alpha(900, 700) != full || len(m.layer.tiles.old) != 0 {
		t.Errorf("at another scale: %d", alpha(900, 700))
	}
	area := m.frame.Rect()
	if want := m.mask.Bounds(); area.Empty() || !want.In(area) {
		t.Errorf("the work area is %v, the mask %v", area, want)
	}
}

// TestStrokeOutlivesImage1 exchanges image 1 under a stroke: the stroke ends with the picture it was on. The work area
// is framed again when the mode is entered again.
func TestStrokeOutlivesImage1(t *testing.T) {
	b := newBench(t, usual)
	m := b.enterMask(b.file("photo.png", 300, 200, 1))
	p := &maskPointer{maskLayer: m.layer, b: b}
	p.stroke(100, 100, 150, 120)
	area := m.frame.Rect()
	b.view.modeKey(fyne.KeyM)
	b.settle()
	b.view.modeKey(fyne.KeyM)
	b.until("image 1 is read", func() bool { return m.mask != nil })
	b.settle()
	if area.Empty() || m.frame.Rect() != area {
		t.Errorf("the work area is %v, want %v", m.frame.Rect(), area)
	}
	p.down(20, 20)
	other := b.file("other.png", 900, 600, 1)
	b.Desk.Choose(func(d *studio.Desk) { d.Fill(1, []string{other}) })
	p.up()
	b.until("the other one is read", func() bool { return m.mask != nil && m.size.X == 900 })
	b.settle()
	if m.layer.gesture != nil || !m.mask.Empty() {
		t.Error("the stroke came to the other picture")
	}
}

// TestNoMaskBesideMargins: a picture that is made larger has no mask.
func TestNoMaskBesideMargins(t *testing.T) {
	b := newBench(t, usual)
	b.slots.add(0, []string{b.file("photo.png", 300, 200, 1)})
	b.until("image 1", func() bool { return len(b.Desk.Desk().References()) == 1 })
	b.Desk.Choose(func(d *studio.Desk) { d.Edit.Left = "64" })
	if b.view.modeKey(fyne.KeyM); b.view.mode != nil {
		t.Error("a mask can be painted beside margins")
	}
	b.Desk.Choose(func(d *studio.Desk) { d.Edit.Left = "" })
	if b.view.modeKey(fyne.KeyM); b.view.mode == nil {
		t.Error("no mask can be painted without margins")
	}
}
