package app

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/test"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// press types a key where the focus is.
func (b *bench) press(key fyne.KeyName) {
	e := &fyne.KeyEvent{Name: key}
	if f := b.win.Canvas().Focused(); f != nil {
		f.TypedKey(e)
	} else {
		b.win.Canvas().OnTypedKey()(e)
	}
	b.settle()
}

// withPictures adds pictures to the history before the window opens, the newest last: the days on which they were made,
// counted back from 28 November 2024, with a prompt each.
func withPictures(days []int, prompts ...string) benchOption {
	return func(b *bench, cfg *Config) {
		store := history.At(cfg.HistoryFile, nil)
		for i, prompt := range prompts {
			w, h := 480, 320
			if i%4 == 1 {
				w, h = h, w
			}
			store.Add(history.Entry{
				Path:    b.file(fmt.Sprintf("%s-%d.png", strings.ReplaceAll(prompt, " ", "-"), i), w, h, uint64(i)),
				Made:    time.Date(2024, 11, 28-days[i], 12, i, 0, 0, time.Local),
				Picture: picture.Metadata{Prompt: prompt, Seed: uint64(i)},
			})
		}
	}
}

// fivePictures are of three days.
var fivePictures = withPictures([]int{9, 2, 2, 0, 0}, "a red house", "a blue house", "a fox", "a red fox", "a bird")

func (b *bench) prompts(list []history.Entry) (s string) {
	for _, e := range list {
		s += e.Picture.Prompt + ";"
	}
	return s
}

func (b *bench) wantGallery(open bool) {
	b.t.Helper()
	if b.gallery.open != open || b.gallery.content.Visible() != open || b.view.content.Visible() == open ||
		b.strip.gallery.Chosen != open {
		b.t.Errorf("gallery open %v, visible %v, canvas visible %v, want open %v", b.gallery.open,
			b.gallery.content.Visible(), b.view.content.Visible(), open)
	}
}

// TestGalleryOpensAndCloses by its key, its buttons and Escape; an opened picture is on the canvas.
func TestGalleryOpensAndCloses(t *testing.T) {
	b := newBench(t, usual, fivePictures)
	b.win.Canvas().Unfocus()
	b.wantGallery(false)
	b.press(fyne.KeyG)
	b.wantGallery(true)
	if b.win.Canvas().Focused() != fyne.Focusable(b.gallery.grid) {
		t.Errorf("the focus is on %T", b.win.Canvas().Focused())
	}
	b.press(fyne.KeyG)
	b.wantGallery(false)
	test.Tap(b.strip.gallery)
	b.wantGallery(true)
	b.press(fyne.KeyEscape)
	b.wantGallery(false)
	b.toggleGallery()
	test.Tap(b.gallery.back)
	b.wantGallery(false)
	b.toggleGallery()
	b.chooseModel()
	b.wantGallery(false)
	b.escape()

	b.toggleGallery()
	b.press(fyne.KeyRight)
	b.press(fyne.KeyRight)
	b.press(fyne.KeyReturn)
	b.wantGallery(false)
	if b.view.shown == nil || b.view.shown.Meta.Prompt != "a red fox" {
		t.Fatalf("on the canvas: %+v", b.view.shown)
	}
	b.toggleGallery()
	if list := b.gallery.chosenEntries(); b.prompts(list) != "a red fox;" {
		t.Errorf("the gallery opens at %s", b.prompts(list))
	}
	b.strip.open(b.Album.Entries()[4].ID) // from the row below
	b.settle()
	b.wantGallery(false)
}

// TestGalleryShowsDays and what the search, the star and the folder leave.
func TestGalleryShowsDays(t *testing.T) {
	b := newBench(t, usual, fivePictures)
	b.toggleGallery()
	b.settle()
	var titles []string
	for _, s := range byDay(b.gallery.shown) {
		titles = append(titles, fmt.Sprint(s.First, " ", s.Title))
	}
	if got, want := fmt.Sprint(titles), fmt.Sprint([]string{
		"0 Thursday, 28 November 2024", "2 Tuesday, 26 November 2024", "4 Tuesday, 19 November 2024",
	}); got != want {
		t.Errorf("headings %s, want %s", got, want)
	}
	want := func(what, prompts, count string) {
		t.Helper()
		b.settle()
		if got := b.prompts(b.gallery.shown); got != prompts || b.gallery.count.Text != count {
			t.Errorf("%s: %s, %q, want %s, %q", what, got, b.gallery.count.Text, prompts, count)
		}
	}
	want("all", "a bird;a red fox;a fox;a blue house;a red house;", "5 pictures")
	b.gallery.search.SetText("red")
	want("searched", "a red fox;a red house;", "2 of 5")
	if b.strip.search.Text != "red" || b.strip.count.Text != "2 of 5" {
		t.Errorf("the row below: %q, %q", b.strip.search.Text, b.strip.count.Text)
	}
	b.strip.search.SetText("")
	want("no longer", "a bird;a red fox;a fox;a blue house;a red house;", "5 pictures")
	b.gallery.grid.Choose(b.Album.Entries()[1].ID)
	b.press(fyne.KeyF)
	test.Tap(b.gallery.stars)
	want("starred", "a red fox;", "1 of 5")
	test.Tap(b.gallery.stars)

	// A folder for two of them, by their menu.
	b.gallery.grid.Choose(b.Album.Entries()[3].ID)
	b.gallery.grid.Held = func() fyne.KeyModifier { return fyne.KeyModifierShift }
	b.win.Canvas().Focus(b.gallery.grid)
	b.press(fyne.KeyEnd)
	b.gallery.grid.Held = func() fyne.KeyModifier { return 0 }
	b.pick(b.gallery.menu(), "Folder", "New folder…")
	if !b.gallery.naming.active() || b.win.Canvas().Focused() != fyne.Focusable(b.gallery.naming.field) {
		t.Fatal("no name is asked for")
	}
	test.Type(b.gallery.naming.field, "Houses")
	b.gallery.naming.field.OnSubmitted("")
	b.settle()
	b.wantSaid("2 pictures filed in “Houses”.")
	test.Tap(b.notice.Actions[0])
	want("in the folder", "a blue house;a red house;", "2 of 5")
	if b.gallery.folders.Text != "Houses" {
		t.Errorf("the button says %q", b.gallery.folders.Text)
	}
	folders := func(names ...string) {
		t.Helper()
		test.Tap(b.gallery.folders)
		menu := b.win.Canvas().Overlays().Top()
		if menu == nil {
			t.Fatal("no menu")
		}
		b.escape()
		b.pick(b.gallery.foldersMenu(), names...)
	}
	folders("Rename “Houses”…")
	if got := b.gallery.naming.field.SelectedText(); got != "Houses" {
		t.Errorf("selected %q", got)
	}
	test.Type(b.gallery.naming.field, "Clay")
	b.gallery.naming.field.OnSubmitted("")
	b.settle()
	if f := b.Album.Folders(); len(f) != 1 || f[0].Name != "Clay" {
		t.Errorf("folders %v", f)
	}
	folders("Remove “Clay”")
	want("the folder removed", "a bird;a red fox;a fox;a blue house;a red house;", "5 pictures")
	b.Desk.Undo()
	b.settle()
	folders("Clay")
	want("the folder is back", "a blue house;a red house;", "2 of 5")
	b.gallery.grid.ChooseAll()
	b.pick(b.gallery.menu(), "Folder", "Clay")
	want("taken out", "", "0 of 5")
	folders("New folder…")
	b.press(fyne.KeyEscape)
	b.wantGallery(true)
	if b.gallery.naming.active() || b.win.Canvas().Focused() != fyne.Focusable(b.gallery.grid) {
		t.Error("Escape does not end the question for a name")
	}
}

// click clicks on an item of the gallery, with keys held down.
func (b *bench) click(item int, keys fyne.KeyModifier) {
	e := &desktop.MouseEvent{Button: desktop.MouseButtonPrimary, Modifier: keys}
	e.Position = b.gallery.grid.Cells[item].Position().AddXY(20, 40)
	b.gallery.grid.MouseDown(e)
	b.gallery.grid.MouseUp(e)
}

// TestGalleryChooses by the pointer and by the keyboard, as file managers do.
func TestGalleryChooses(t *testing.T) {
	b := newBench(t, usual, fivePictures)
	b.toggleGallery()
	b.settle()
	g := b.gallery.grid
	shift := fyne.KeyModifier(0)
	g.Held = func() fyne.KeyModifier { return shift }
	want := func(what string, items ...int) {
		t.Helper()
		var ids []uint64
		for _, i := range items {
			ids = append(ids, b.Album.Entries()[i].ID)
		}
		if got := g.Chosen(); !slices.Equal(got, ids) {
			t.Errorf("%s: chosen %v, want %v", what, got, ids)
		}
	}
	ctrl := fyne.KeyModifierShortcutDefault
	b.click(1, 0)
	want("click", 1)
	b.click(3, fyne.KeyModifierShift)
	want("Shift + click", 1, 2, 3)
	b.click(2, ctrl)
	want("Ctrl + click", 1, 3)
	b.click(4, ctrl)
	want("Ctrl + click", 1, 3, 4)
	b.click(3, 0)
	want("click on one of several", 3)
	b.win.Canvas().(interface{ TypedShortcut(fyne.Shortcut) }).TypedShortcut(&fyne.ShortcutSelectAll{})
	want("Ctrl + A", 0, 1, 2, 3, 4)
	empty := &desktop.MouseEvent{Button: desktop.MouseButtonPrimary}
	empty.Position = fyne.NewPos(g.Size().Width-2, 2)
	g.MouseDown(empty)
	want("click beside")

	for _, row := range []struct {
		key   fyne.KeyName
		shift bool
		want  []int
	}{
		{fyne.KeyHome, false, []int{0}},
		{fyne.KeyRight, false, []int{1}},
		{fyne.KeyDown, false, []int{3}},    // the next day's second
		{fyne.KeyDown, false, []int{4}},    // the last day has one
		{fyne.KeyUp, true, []int{2, 3, 4}}, // the first of the day above
		{fyne.KeyLeft, true, []int{1, 2, 3, 4}},
		{fyne.KeyEnd, false, []int{4}},
		{fyne.KeyPageUp, false, []int{0}},
		{fyne.KeySpace, false, nil},
		{fyne.KeyEnd, true, []int{0, 1, 2, 3, 4}},
	} {
		if shift = 0; row.shift {
			shift = fyne.KeyModifierShift
		}
		b.press(row.key)
		want(string(row.key), row.want...)
	}
	shift = 0
	// A rectangle from beside the first to the second.
	drag := &fyne.DragEvent{Dragged: fyne.NewDelta(1, 1)}
	drag.Position = fyne.NewPos(g.Cells[1].Position().X+10, g.Cells[1].Position().Y+10)
	drag.Dragged = fyne.NewDelta(drag.Position.X-2, drag.Position.Y-2)
	g.MouseDown(empty)
	g.Dragged(drag)
	want("rectangle", 0, 1)
	g.DragEnd()
	want("rectangle", 0, 1)
	// What the search hides is not chosen any more.
	b.Album.Search("bird")
	want("searched", 0)
	b.Album.Search("")
	want("no longer searched", 0)
}

// TestGalleryActs on what is chosen.
func TestGalleryActs(t *testing.T) {
	b := newBench(t, usual, fivePictures)
	b.Album.Bin = studio.Bin{
		Throw:    func(path string) error { return os.Rename(path, path+".bin") },
		TakeBack: func(path string) error { return os.Rename(path+".bin", path) },
	}
	b.toggleGallery()
	b.settle()
	g := b.gallery.grid
	tap := func(text string) {
		t.Helper()
		i := slices.IndexFunc(b.gallery.actions, func(k *ui.Button) bool { return k.Text == text })
		if i < 0 || !b.gallery.actions[i].Visible() {
			t.Fatalf("there is no button %q", text)
		}
		test.Tap(b.gallery.actions[i])
		b.settle()
	}
	b.click(0, 0)
	b.click(1, fyne.KeyModifierShortcutDefault)
	tap("Use as references")
	if names := b.names(); len(names) != 2 || !strings.HasPrefix(names[0], "a-bird") {
		t.Errorf("references %v", names)
	}
	tap("Star")
	if e := b.Album.Entries(); !e[0].Starred || !e[1].Starred || e[2].Starred {
		t.Error("the chosen ones have no stars")
	}
	tap("Star")
	if b.Album.Entries()[0].Starred {
		t.Error("the star is still there")
	}
	to := t.TempDir()
	b.exportTo(to, pathsOf(b.gallery.chosenEntries()))
	b.settle()
	b.wantSaid("2 pictures copied to " + to)
	if files, _ := filepath.Glob(filepath.Join(to, "a-*.png")); len(files) != 2 {
		t.Errorf("copied %v", files)
	}
	tap("Move to bin")
	if got := b.prompts(b.gallery.shown); got != "a fox;a blue house;a red house;" {
		t.Errorf("after the bin: %s", got)
	}
	b.wantSaid("2 pictures moved to the bin.")
	b.Desk.Undo()
	b.settle()
	if got := b.prompts(b.gallery.shown); got != "a bird;a red fox;a fox;a blue house;a red house;" {
		t.Errorf("taken back: %s", got)
	}
	b.wantGallery(true)
	// One alone: the keys are for it, not for the picture on the canvas.
	g.Choose(b.Album.Entries()[4].ID)
	if p := b.inHand(); p == nil || p.Meta.Prompt != "a red house" {
		t.Errorf("in hand: %+v", p)
	}
	if b.view.shown != nil {
		t.Fatal("a picture is on the canvas")
	}
	b.showSavePanel()
	if b.savePanel == nil || b.win.Canvas().Overlays().Top() == nil {
		t.Fatal("the format of the copy cannot be chosen")
	}
	b.escape()
	b.win.Canvas().Focus(g)
	b.press(fyne.KeyE)
	b.wantGallery(false)
	if p := b.view.shown; p == nil || p.Meta.Prompt != "a red house" || b.Desk.Desk().Slots[0].Path != p.Path {
		t.Errorf("edits %+v", b.Desk.Desk().Slots)
	}
	b.toggleGallery()
	b.click(0, 0)
	b.click(2, fyne.KeyModifierShortcutDefault)
	tap("Compare")
	b.wantGallery(false)
}

// TestGalleryFollows: a picture that is made while the gallery is open appears in it; what is chosen stays.
func TestGalleryFollows(t *testing.T) {
	b := newBench(t, usual, fivePictures)
	b.engine.info.NativeSize = 128
	b.engine.hold = make(chan struct{}, 1)
	b.toggleGallery()
	b.prompt.setText("a new one")
	b.win.Canvas().Focus(b.prompt.entry)
	b.generate()
	b.wantGallery(false) // to show what is being made
	if b.win.Canvas().Focused() != fyne.Focusable(b.prompt.entry) {
		t.Errorf("Generate moves the keyboard to %T", b.win.Canvas().Focused())
	}
	b.toggleGallery()
	b.settle()
	b.click(1, 0)
	b.engine.hold <- struct{}{}
	b.until("the end", func() bool { return b.Maker.Run() == nil })
	b.settle()
	b.wantGallery(true)
	if len(b.gallery.shown) != 6 || b.gallery.shown[0].Picture.Prompt != "a new one" ||
		b.prompts(b.gallery.chosenEntries()) != "a red fox;" {
		t.Errorf("shown %s, chosen %s", b.prompts(b.gallery.shown), b.prompts(b.gallery.chosenEntries()))
	}
	b.press(fyne.KeyEscape)
	if b.view.shown == nil || b.view.shown.Meta.Prompt != "a new one" {
		t.Error("it is not on the canvas")
	}
}

// TestGalleryOfThousands scrolls through 10,000 pictures, filters and chooses them: the window never stalls.
func TestGalleryOfThousands(t *testing.T) {
	const n = 10_000
	b := newBench(t, fyne.NewSize(1440, 900))
	source := b.file("one.png", 160, 96, 1)
	list := make([]history.Entry, n)
	for i := range list {
		path := filepath.Join(b.dir, fmt.Sprintf("%d.png", i)) // each file has a thumbnail of its own
		if err := os.Link(source, path); err != nil {
			t.Fatal(err)
		}
		list[i] = history.Entry{
			ID: uint64(n - i), Path: path, Starred: i%7 == 0,
			Made:    time.Date(2024, 11, 28, 12, 0, 0, 0, time.Local).Add(-time.Duration(i) * time.Hour / 2),
			Picture: picture.Metadata{Prompt: fmt.Sprint("A painting of a red house in the evening, number ", i)},
		}
		if i%5 == 0 {
			list[i].Folders = []uint64{1}
		}
	}
	b.Album.Store().Restore(list...)
	b.Album.PutFolder(history.Folder{Name: "Houses"}, func(history.Folder, error) {})
	b.settle()
	b.Album.Reload()
	b.settle()
	if got := len(b.Album.Entries()); got != n {
		t.Fatalf("%d entries", got)
	}
	g := b.gallery.grid
	longest := b.bestSteps(3, func(step func(func())) {
		step(func() { b.Album.Show(b.Album.Entries()) }) // as after a change by another window
		step(b.toggleGallery)
		g.Scroll.ScrollToTop()
		g.Refresh()
		shown, screen := map[string]bool{}, g.Scroll.Size().Height
		for y := -screen; y < g.MinSize().Height; y += screen / 2 {
			for _, path := range g.InSight() {
				shown[path] = true
			}
			step(func() { g.Scroll.Scrolled(&fyne.ScrollEvent{Scrolled: fyne.NewDelta(0, -screen/2)}) })
		}
		b.settle()
		if len(shown) != n || len(g.Cells) > 80 {
			t.Errorf("%d pictures were in sight, in %d cells, want %d", len(shown), len(g.Cells), n)
		}
		if c := g.Cells[0]; !c.Visible() || !c.Drawn() {
			t.Error("a thumbnail in sight is not drawn")
		}
		step(b.toggleGallery)
	})
	b.toggleGallery()
	longest = max(longest, b.bestSteps(5, func(step func(func())) {
		for _, do := range []func(){
			func() { b.Album.Search("HOUSE evening 77") }, func() { b.Album.Search("") },
			func() { test.Tap(b.gallery.stars) }, func() { b.gallery.choose(1) }, func() { b.gallery.choose(0) },
			func() { test.Tap(b.gallery.stars) }, g.ChooseAll, func() { b.star(b.gallery.chosenEntries()[:1000]) },
			func() { g.Choose(1) }, func() { g.Choose(n) },
		} {
			step(do)
			b.settle()
		}
	}))
	if longest > longestStall {
		t.Errorf("the window was away for %v, want at most %v", longest, longestStall)
	}
}

// bestSteps runs passes of the same steps and returns the time of the longest step. Each one counts with its best pass,
// because other tests run at the same time.
func (b *bench) bestSteps(passes int, pass func(step func(do func()))) time.Duration {
	var best []time.Duration
	for range passes {
		at := 0
		pass(func(do func()) {
			b.longest = 0
			b.timed(do)
			for len(b.posted) > 0 { // what was finished meanwhile, such as thumbnails
				b.timed(<-b.posted)
			}
			if at == len(best) {
				best = append(best, b.longest)
			}
			best[at] = min(best[at], b.longest)
			at++
		})
	}
	i := slices.Index(best, slices.Max(best))
	b.t.Logf("step %d of %d took longest, %v", i+1, len(best), best[i])
	return best[i]
}

// TestModeKeysInGallery: the key of a mode leaves the gallery, which would hide the mode, and the keyboard goes to what
// the mode begins at.
func TestModeKeysInGallery(t *testing.T) {
	b := newBench(t, usual, fivePictures)
	b.slots.add(0, []string{b.file("one.png", 128, 96, 1)})
	b.settle()
	inMode := func(key fyne.KeyName) {
		t.Helper()
		b.wantGallery(false)
		stop := fyne.Focusable(nil)
		switch m := b.view.mode.(type) {
		case *maskMode:
			stop = m.layer
		case *extendMode:
			stop = m.frame
		case *cropMode:
			stop = m.frame
		}
		if _, name := b.view.mode.name(); name != string(key) || stop == nil || b.win.Canvas().Focused() != stop {
			t.Fatalf("%s: mode %T, the keyboard is at %T", key, b.view.mode, b.win.Canvas().Focused())
		}
	}
	for _, key := range []fyne.KeyName{fyne.KeyM, fyne.KeyO, fyne.KeyC} {
		b.toggleGallery()
		b.key(key)
		inMode(key)
		b.toggleGallery()
		b.toggleGallery()
		inMode(key)
		b.toggleGallery()
		b.key(key) // the mode comes back, and is not left
		inMode(key)
		b.view.leaveMode()
	}
}
