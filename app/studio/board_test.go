package studio

import (
	"bytes"
	"context"
	"encoding/json"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/app/studio/paint"
	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// colourFile writes a picture of one colour.
func (r *rig) colourFile(name string, width, height int, c color.NRGBA) Slot {
	r.t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, width, height))
	for i := range img.Pix {
		img.Pix[i] = [4]uint8{c.R, c.G, c.B, c.A}[i%4]
	}
	var file bytes.Buffer
	if err := png.Encode(&file, img); err != nil {
		r.t.Fatal(err)
	}
	path := filepath.Join(r.dir, name)
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return Slot{Path: path, Digest: Digest(file.Bytes())}
}

// layerOf is a layer of a picture at its own size.
func layerOf(s Slot, size picture.Size, at image.Point) Layer {
	return Layer{Picture: s, Size: size, At: image.Rectangle{at, at.Add(image.Pt(size.Width, size.Height))}}
}

func ids(b *Board) (list []int) {
	for _, l := range b.Layers {
		list = append(list, l.ID)
	}
	return list
}

// TestBoardNeverChanges changes boards in each way: the one before stays as it was.
func TestBoardNeverChanges(t *testing.T) {
	size := picture.Size{Width: 64, Height: 48}
	empty := &Board{Size: size, Ground: "#ffffff"}
	one, a := empty.Adds(layerOf(Slot{Path: "a"}, size, image.Point{}), MaxLayers)
	two, b := one.Adds(layerOf(Slot{Path: "b"}, size, image.Pt(5, 5)), MaxLayers)
	three, c := two.Adds(layerOf(Slot{Path: "c"}, size, image.Pt(9, 9)), 0) // above the lowest
	if !slices.Equal(ids(three), []int{a, c, b}) || !slices.Equal(ids(two), []int{a, b}) || len(empty.Layers) != 0 {
		t.Fatalf("%v, %v, %v", ids(empty), ids(two), ids(three))
	}
	for _, row := range []struct {
		id, by int
		want   []int
	}{
		{a, 1, []int{c, a, b}}, {a, 9, []int{c, b, a}}, {b, -9, []int{b, a, c}}, {b, 1, []int{a, c, b}},
		{99, 1, []int{a, c, b}},
	} {
		if got := ids(three.Raises(row.id, row.by)); !slices.Equal(got, row.want) {
			t.Errorf("%d by %d: %v, want %v", row.id, row.by, got, row.want)
		}
	}
	moved := three.Changes(c, func(l *Layer) { l.At = l.At.Add(image.Pt(1, 2)); l.ID = 7 })
	if l, _, ok := moved.Layer(c); !ok || l.At.Min != image.Pt(10, 11) {
		t.Errorf("moved to %v", l.At)
	}
	if l, _, _ := three.Layer(c); l.At.Min != image.Pt(9, 9) || three.Same(moved) || !three.Same(three.Changes(99, nil)) {
		t.Error("the board before has changed")
	}
	if got := ids(three.Removes(c)); !slices.Equal(got, []int{a, b}) || len(three.Layers) != 3 {
		t.Errorf("without the middle one: %v", got)
	}
	large := three.Resized(picture.Size{Width: 128, Height: 128})
	if l, _, _ := large.Layer(a); l.At != image.Rect(0, 16, 128, 112) {
		t.Errorf("on a larger canvas at %v", l.At)
	}
	if back := three.Resized(picture.Size{Width: 128, Height: 96}).Resized(size); !back.Same(three) {
		t.Error("larger and back it is another board")
	}
}

// TestPlacedOnBoard: what comes to a board lies on it, not larger than it is, and keeps its shape.
func TestPlacedOnBoard(t *testing.T) {
	b := &Board{Size: picture.Size{Width: 1200, Height: 800}}
	for _, size := range []picture.Size{
		{Width: 6000, Height: 4000}, {Width: 100, Height: 3000}, {Width: 64, Height: 64}, {Width: 1200, Height: 800},
	} {
		at := b.Placed(size, 0.6)
		if !at.In(image.Rect(0, 0, 1200, 800)) || at.Dx() > size.Width || !fits(at) {
			t.Errorf("%v lies at %v", size, at)
		}
		if fill := b.Filling(size); fill.Dx() != 1200 && fill.Dy() != 800 {
			t.Errorf("%v fills %v", size, fill)
		}
	}
	if at := b.Placed(b.Size, 1); at != image.Rect(0, 0, 1200, 800) {
		t.Errorf("a picture of the board's size lies at %v", at)
	}
}

// TestComposeAndUse makes the picture of a board, uses it as image 1, and finds both again after a kill and a restart.
func TestComposeAndUse(t *testing.T) {
	r := newRig(t, t.TempDir(), &painter{})
	dir := filepath.Join(r.dir, "desk")
	if _, _, err := r.Keeper.Open(dir); err != nil {
		t.Fatal(err)
	}
	store := r.Keeper.Store()
	red, blue := color.NRGBA{200, 20, 20, 255}, color.NRGBA{20, 20, 200, 255}
	size := picture.Size{Width: 96, Height: 64}
	b := &Board{Size: size, Ground: "#102030"}
	b, _ = b.Adds(layerOf(r.colourFile("red.png", 64, 64, red), picture.Size{Width: 64, Height: 64}, image.Point{}), 9)
	cut := stroke(paint.New(image.Pt(64, 64)), image.Rect(0, 0, 64, 32))
	top := layerOf(r.colourFile("blue.png", 64, 64, blue), picture.Size{Width: 64, Height: 64}, image.Pt(16, 0))
	b, id := b.Adds(top, 9)
	r.Desk.Choose(func(d *Desk) { d.Board = b })
	uncut := b
	b = b.Changes(id, func(l *Layer) { l.Cut = l.Cut.WithPainted(cut, Slot{}) })
	r.Desk.Choose(func(d *Desk) { d.Board = b })
	if r.Desk.Undo(); r.Desk.Desk().Board != uncut {
		t.Error("a cut-out is no step")
	}
	r.Desk.Redo()

	pixels := func(file []byte) {
		t.Helper()
		img, err := png.Decode(bytes.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		ground := color.NRGBA{16, 32, 48, 255}
		for _, row := range []struct {
			x, y int
			want color.NRGBA
		}{{4, 60, red}, {40, 60, blue}, {40, 4, red}, {70, 4, ground}, {90, 60, ground}} {
			if got := color.NRGBAModel.Convert(img.At(row.x, row.y)); got != row.want {
				t.Errorf("%d, %d: %v, want %v", row.x, row.y, got, row.want)
			}
		}
	}
	file, err := store.Compose(t.Context(), b)
	if err != nil {
		t.Fatal(err)
	}
	pixels(file)
	r.Reader.Compose(file, b)
	r.until("image 1 is read", func() bool { return !r.Desk.Desk().Reading() })
	d := r.Desk.Desk()
	if len(d.Slots) != 1 || d.Slots[0].Board != b || d.Slots[0].Ref.Original != size || d.Aspect != picture.Match {
		t.Fatalf("%+v", d.Slots)
	}
	if err := store.SaveDesk(d); err != nil { // as the keeper does soon after each change; then the program is killed
		t.Fatal(err)
	}
	if err := store.Prune([]Desk{d}, nil, true); err != nil {
		t.Fatal(err)
	}
	found, ok, err := store.LoadDesk()
	if err != nil || !ok || found.Board == nil || found.Slots[0].Board == nil || !found.Board.Same(found.Slots[0].Board) {
		t.Fatalf("%+v, %v, %v", found, ok, err)
	}
	again, err := store.Compose(t.Context(), found.Board)
	if err != nil || !bytes.Equal(again, file) {
		t.Errorf("the board of the next start makes another picture: %v", err)
	}
	if !store.Has(found.Slots[0]) {
		t.Error("the composed picture is gone")
	}
	// A batch that waits has the board, too.
	r.Desk.Type(func(d *Desk) { d.Prompt = "a fox" })
	batch, err := r.NextBatch()
	if err == nil {
		err = store.SaveQueue([]Batch{batch})
	}
	if err != nil {
		t.Fatal(err)
	}
	if list, err := store.LoadQueue(); err != nil || list[0].Desk.Board.Layers[1].Cut.Digest == "" {
		t.Errorf("the batch has lost what is cut out: %v", err)
	}
	// What is made of it is known to come from the pictures on the board.
	var entry *history.Entry
	r.Maker.Made.Subscribe(func(m Made) { entry = m.Entry })
	r.Queue.Add(batch)
	r.Maker.Next()
	r.until("it is made", func() bool { return entry != nil })
	if len(entry.Composed) != 2 || entry.Composed[0].Path != b.Layers[0].Picture.Path {
		t.Errorf("composed of %+v", entry.Composed)
	}
	r.until("the maker rests", func() bool { return r.Maker.Run() == nil })
	r.Keeper.Last()
}

// TestComposeFails: a picture that is gone or has changed is named, and so is a composition that is given up.
func TestComposeFails(t *testing.T) {
	r := newRig(t, t.TempDir(), &painter{})
	s := r.colourFile("red.png", 64, 64, color.NRGBA{200, 20, 20, 255})
	size := picture.Size{Width: 64, Height: 64}
	b, _ := (&Board{Size: size}).Adds(layerOf(s, size, image.Point{}), 9)
	var none *Store
	if _, err := none.Compose(t.Context(), b); err != nil {
		t.Errorf("without a folder: %v", err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if _, err := none.Compose(ctx, b); err == nil {
		t.Error("a composition that was given up goes on")
	}
	r.colourFile("red.png", 64, 64, color.NRGBA{20, 20, 20, 255})
	if _, err := none.Compose(t.Context(), b); err == nil || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("a changed file: %v", err)
	}
	if err := os.Remove(s.Path); err != nil {
		t.Fatal(err)
	}
	if _, err := none.Compose(t.Context(), b); err == nil || !strings.Contains(err.Error(), "red.png") {
		t.Errorf("a file that is gone: %v", err)
	}
}

// TestDamagedBoards: a board from a file that holds anything is left out; the rest of the desk is there.
func TestDamagedBoards(t *testing.T) {
	for name, text := range map[string]string{
		"no size":        `{"size":{"Width":0,"Height":9}}`,
		"a ground":       `{"size":{"Width":64,"Height":64},"ground":"white"}`,
		"no pixels":      boardOf(`{"id":1,"picture":{"path":"a"},"size":{"Width":9,"Height":9}}`),
		"one ID":         boardOf(soundLayer + `,` + soundLayer),
		"in its picture": boardOf(strings.Replace(soundLayer, `"path":"a"`, `"board":{}`, 1)),
	} {
		var d Desk
		if err := json.Unmarshal([]byte(`{"prompt":"kept","count":1,"size":{},"board":`+text+`}`), &d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if d = soundBoards(d); d.Board != nil || d.Prompt != "kept" {
			t.Errorf("%s: %+v", name, d)
		}
	}
	var d Desk
	text := `{"count":1,"size":{},"board":` + boardOf(soundLayer) + `}`
	if err := json.Unmarshal([]byte(text), &d); err != nil || soundBoards(d).Board == nil {
		t.Errorf("a sound board is left out: %v", err)
	}
}

const soundLayer = `{"id":1,"picture":{"path":"a"},"size":{"Width":9,"Height":9},` +
	`"at":{"Min":{"X":0,"Y":0},"Max":{"X":9,"Y":9}}}`

func boardOf(layers string) string {
	return `{"size":{"Width":64,"Height":64},"layers":[` + layers + `]}`
}
