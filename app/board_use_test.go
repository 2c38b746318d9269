package app

import (
	"image"
	"image/color"
	"strings"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/studio/paint"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// TestBoardCut cuts a picture out with the eraser and the brush; the strokes are steps, and Escape goes back.
func TestBoardCut(t *testing.T) {
	b := newBench(t, usual)
	m := b.onBoard(b.file("one.png", 900, 600, 1), b.file("two.png", 400, 300, 2))
	m.choose(2)
	m.typed(b, fyne.KeyX)
	b.until("the picture is read", func() bool { return m.cut.mask != nil })
	b.settle()
	if !m.cutting || b.win.Canvas().Focused() != fyne.Focusable(m.cut.layer) || m.tools.content.Visible() ||
		!m.cut.tools.content.Visible() || m.cut.tools.frame.Visible() {
		t.Fatalf("cutting %v, focus %T", m.cutting, b.win.Canvas().Focused())
	}
	p := &maskPointer{maskLayer: m.cut.layer, b: b}
	m.cut.layer.setSize(60)
	p.stroke(100, 100, 300, 100)
	cut := func() *paint.Mask { return b.Desk.Desk().Board.Layers[1].Cut.Painted }
	if cut() == nil || cut().At(200, 100) != 255 || !b.Desk.Desk().Edit.Mask.None() {
		t.Fatal("the stroke is not on the board")
	}
	first := cut()
	m.cut.layer.setTool(eraserTool)
	p.stroke(200, 100)
	if cut().At(200, 100) != 0 || cut().At(105, 100) != 255 {
		t.Error("the eraser brings nothing back")
	}
	if b.Desk.Undo(); cut() != first || m.cut.mask != first {
		t.Error("a stroke is no step")
	}
	m.cut.layer.TypedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
	b.settle()
	if m.cutting || !m.on || b.win.Canvas().Focused() != fyne.Focusable(m.frame) || !m.tools.content.Visible() {
		t.Fatalf("after Escape: cutting %v, on %v, focus %T", m.cutting, m.on, b.win.Canvas().Focused())
	}
	l := m.board.Layers[1]
	if look := m.looks.of(l); look.RGBAAt(200, 100).A != 0 || look.RGBAAt(200, 200).A != 255 {
		t.Error("the board shows what was cut out")
	}
	// Mirroring takes what is cut out along.
	m.cut.holder.lay(&studio.Desk{}, first) // a desk without a board has nothing to lay it on
	m.typed(b, fyne.KeyH)
	if cut() == first || cut().At(399-100, 100) != 255 || cut().At(100, 200) != 0 {
		t.Error("what is cut out is not mirrored")
	}
	// A picture that leaves the board ends that.
	m.typed(b, fyne.KeyX)
	b.until("the picture is read", func() bool { return m.cut.mask != nil })
	b.Desk.Choose(func(d *studio.Desk) { d.Board = d.Board.Removes(2) })
	b.settle()
	if m.cutting || !m.on || len(m.board.Layers) != 1 {
		t.Error("a picture that has gone is still cut out")
	}
	m.cut.layer.TypedKey(&fyne.KeyEvent{Name: fyne.KeyEscape})
	b.settle()
	if m.on {
		t.Error("Escape does not leave the board")
	}
}

// TestBoardCutOfLost: a cut-out whose file is gone ends with a word about it, but not the one that is on show by then.
func TestBoardCutOfLost(t *testing.T) {
	b := newBench(t, usual)
	m := b.onBoard(b.file("one.png", 180, 120, 1), b.file("two.png", 80, 64, 2))
	m.choose(2)
	m.change(func(l *studio.Layer) { l.Cut = studio.Mask{Digest: strings.Repeat("0", 64)} })
	b.settle()
	m.startCut()
	b.settle()
	if m.cutting || b.said() == "" {
		t.Errorf("cutting %v; the window says %q", m.cutting, b.said())
	}
	m.startCut()
	b.until("the mask is being read", func() bool { return !m.cut.loaded.from.None() })
	m.endCut()
	m.choose(1)
	m.startCut()
	b.settle()
	if !m.cutting || m.chosen != 1 || m.cut.mask == nil {
		t.Errorf("cutting %v, chosen %d", m.cutting, m.chosen)
	}
}

// TestBoardTurnsFast: turns of a picture that is cut out are all done, one after the other, however fast they are asked
// for, and also if the picture changes meanwhile. Image 1 waits for them.
func TestBoardTurnsFast(t *testing.T) {
	b := newBench(t, usual)
	m := b.onBoard(b.file("one.png", 900, 600, 1), b.file("two.png", 120, 80, 2))
	m.choose(2)
	w := paint.New(image.Pt(120, 80)).Edit()
	w.Rectangle(image.Rect(0, 0, 30, 20))
	m.change(func(l *studio.Layer) { l.Cut = l.Cut.WithPainted(w.Done(), studio.Slot{}) })
	b.settle()
	at := m.where(1)
	for _, key := range []fyne.KeyName{fyne.KeyR, fyne.KeyR, fyne.KeyH} {
		m.frame.TypedKey(&fyne.KeyEvent{Name: key})
	}
	m.use()
	if !m.waiting {
		t.Error("image 1 does not wait for the turns")
	}
	m.back()
	m.choose(1) // what is chosen by then does not count
	b.settle()
	l := m.board.Layers[1]
	cut := l.Cut.Painted
	// Two quarters and the mirror leave what was at the upper left at the lower left.
	if a := l.Picture.Arrangement; a != (picture.Arrangement{}).Turn(1).Turn(1).MirrorAcross() || l.At != at ||
		cut.Size() != image.Pt(120, 80) || cut.At(10, 70) != 255 || cut.At(10, 10) != 0 || cut.At(110, 70) != 0 {
		t.Errorf("%+v at %v", a, l.At)
	}
	m.choose(2)
	m.turn()
	m.change(func(l *studio.Layer) { l.Cut = studio.Mask{} })
	b.settle()
	if l := m.board.Layers[1]; !l.Cut.None() || l.Size != (picture.Size{Width: 80, Height: 120}) {
		t.Errorf("turned while it changed: %+v", l)
	}
	m.change(func(l *studio.Layer) { l.Cut = studio.Mask{Digest: strings.Repeat("0", 64)} })
	b.settle()
	m.turn()
	m.turn()
	m.remove()
	if b.settle(); len(m.board.Layers) != 1 || m.working() {
		t.Errorf("%d turns wait for a picture that has gone", len(m.turns))
	}
}

// TestBoardWaitsForCut: the picture of a board has all in it that was asked of a cut-out, also what is still being done
// when it is asked for. It can be given up before.
func TestBoardWaitsForCut(t *testing.T) {
	b := newBench(t, usual)
	m := b.onBoard(b.write("red.png", oneColour(200, 120, color.RGBA{200, 20, 20, 255})))
	m.choose(1)
	m.typed(b, fyne.KeyX)
	b.until("the picture is read", func() bool { return m.cut.mask != nil })
	b.settle()
	m.cut.invert() // of nothing: all of it is cut out
	m.back()
	m.use()
	if !m.waiting || m.tools.use.Text != "Cancel" {
		t.Errorf("waiting %v, the button says %q", m.waiting, m.tools.use.Text)
	}
	m.back()
	if m.waiting || m.using != nil || !m.on {
		t.Error("Escape does not give up what waits")
	}
	m.use()
	b.settle()
	b.until("image 1 is composed", func() bool { return m.inUse() && !b.Desk.Desk().Reading() })
	image1 := b.Desk.Desk().Slots[0]
	original, err := b.Keeper.Store().ReadOriginal(t.Context(), image1)
	if err != nil {
		t.Fatal(err)
	}
	if got := color.RGBAModel.Convert(original.At(100, 60)); got != (color.RGBA{255, 255, 255, 255}) {
		t.Errorf("what was cut out is %v in image 1", got)
	}
	// What waits for a board that has gone is given up.
	m.choose(1)
	m.typed(b, fyne.KeyX)
	b.until("the picture is read", func() bool { return m.cut.mask != nil })
	b.settle()
	m.cut.invert()
	m.back()
	m.use()
	m.clear()
	if b.settle(); m.waiting || m.using != nil {
		t.Error("a board that has gone is waited for")
	}
}

// TestBoardIsImage1 makes image 1 of a board: at its full size, with its pixels, and open to be changed again.
func TestBoardIsImage1(t *testing.T) {
	b := newBench(t, usual)
	red, blue := color.RGBA{200, 20, 20, 255}, color.RGBA{20, 20, 200, 255}
	m := b.onBoard(b.write("red.png", oneColour(900, 600, red)), b.write("blue.png", oneColour(100, 100, blue)))
	m.choose(2)
	m.change(func(l *studio.Layer) { l.At = image.Rect(850, 550, 950, 650) }) // beyond the corner
	b.settle()
	if m.tools.use.Text != "Use as image 1" || !m.tools.use.Accent {
		t.Errorf("the button says %q", m.tools.use.Text)
	}
	test.Tap(m.tools.use)
	if m.tools.use.Text != "Cancel" {
		t.Errorf("while it is made, the button says %q", m.tools.use.Text)
	}
	b.until("image 1 is composed", func() bool { return m.inUse() && !b.Desk.Desk().Reading() })
	b.settle()
	image1 := b.Desk.Desk().Slots[0]
	if m.tools.use.Text != "Is image 1" || image1.Ref.Original != m.board.Size || image1.Name() != "the board" ||
		b.win.Canvas().Focused() != fyne.Focusable(b.prompt.entry) {
		t.Errorf("the button says %q, image 1 is %q of %v", m.tools.use.Text, image1.Name(), image1.Ref.Original)
	}
	original, err := b.Keeper.Store().ReadOriginal(t.Context(), image1)
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		x, y int
		want color.RGBA
	}{{10, 10, red}, {849, 599, red}, {850, 550, blue}, {899, 599, blue}} {
		if got := color.RGBAModel.Convert(original.At(row.x, row.y)); got != row.want {
			t.Errorf("%d, %d: %v, want %v", row.x, row.y, got, row.want)
		}
	}
	made := m.board
	m.typed(b, fyne.KeyDelete)
	if m.inUse() || m.tools.use.Text != "Use as image 1" {
		t.Error("another board is image 1")
	}
	b.openBoard(b.Desk.Desk().Slots[0].Board)
	b.settle()
	if m.board != made || !m.inUse() {
		t.Error("the board of image 1 is not opened")
	}
	b.Desk.Undo()
	b.Desk.Undo()
	b.Desk.Undo() // that it became image 1
	b.settle()
	b.wantNames("red.png", "blue.png")
	// Escape gives a composition up, Enter does not.
	m.frame.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	m.frame.TypedKey(&fyne.KeyEvent{Name: fyne.KeyReturn})
	if m.using == nil {
		t.Error("a held Enter ends the composition")
	}
	b.escape()
	b.settle()
	if m.using != nil || !m.on {
		t.Error("Escape does not end the composition")
	}
	b.wantNames("red.png", "blue.png")
	// Generate waits for it.
	b.engine.info.NativeSize = 128
	b.prompt.setText("a house")
	m.use()
	b.generate()
	b.until("a picture is made", func() bool { return len(b.engine.made()) == 1 && b.Maker.Run() == nil })
	if got := b.engine.made()[0].References()[0].FileSHA256; got != image1.Digest {
		t.Error("the picture was made of another image 1")
	}
}

// TestEmptyBoardIsPainted: what a board leaves empty is painted, if the user says so.
func TestEmptyBoardIsPainted(t *testing.T) {
	b := newBench(t, usual)
	m := b.onBoard(b.file("one.png", 900, 600, 1))
	m.lay(func(now *studio.Board) *studio.Board { return now.Grounded("") })
	m.choose(1)
	m.change(func(l *studio.Layer) { l.At = image.Rect(0, 0, 450, 300) })
	b.settle()
	m.use()
	b.until("image 1 is composed", func() bool { return m.inUse() && !b.Desk.Desk().Reading() })
	b.settle()
	b.take(b.session, "Paint what is empty")
	b.settle()
	if mask := b.Desk.Desk().Edit.Mask; !mask.Alpha || b.prompt.generate.Text != "Repaint" {
		t.Errorf("mask %+v, the button says %q", mask, b.prompt.generate.Text)
	}
}

// TestEmptyBoardIsPaintedLater: that is offered although the board was left before image 1 was made, and the keyboard
// stays where it is then. It is not done to another image 1.
func TestEmptyBoardIsPaintedLater(t *testing.T) {
	b := newBench(t, usual)
	m := b.onBoard(b.file("one.png", 180, 120, 1))
	m.lay(func(now *studio.Board) *studio.Board { return now.Grounded("") })
	m.choose(1)
	m.change(func(l *studio.Layer) { l.At = image.Rect(0, 0, 90, 60) })
	b.settle()
	board := m.board
	m.use()
	b.view.leaveMode()
	focused := b.win.Canvas().Focused()
	b.until("image 1 is composed", func() bool { return m.using == nil && !b.Desk.Desk().Reading() })
	b.settle()
	if got := b.win.Canvas().Focused(); got != focused || m.on {
		t.Errorf("the keyboard went from %T to %T", focused, got)
	}
	b.take(b.session, "Paint what is empty")
	b.settle()
	if !b.Desk.Desk().Edit.Mask.Alpha {
		t.Error("what is empty is not painted")
	}
	b.slots.add(1, []string{b.file("two.png", 200, 120, 2)})
	b.settle()
	m.paintEmpty(board)
	if b.Desk.Desk().Edit.Mask.Alpha || !strings.Contains(b.said(), "another picture") {
		t.Errorf("another image 1 has the mask; the window says %q", b.said())
	}
}
