package inference

import (
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"slices"
	"testing"

	"github.com/kleinbild/kleinbild/inference/picture"
)

// memory is an OriginalSource in memory.
type memory struct {
	ref      Reference
	original *picture.Original
}

func (m memory) Open(context.Context) (Reference, error) { return m.ref, nil }

func (m memory) OpenOriginal(context.Context) (Reference, *picture.Original, error) {
	return m.ref, m.original, nil
}

// photo returns a picture of width × height pixels, as a source of an edit.
func photo(t testing.TB, width, height int) memory {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for y := range height {
		row := img.Pix[y*img.Stride:][:4*width]
		for x := range width {
			row[4*x], row[4*x+1], row[4*x+2], row[4*x+3] = uint8(x/3), uint8(y/2), uint8(x^y), 255
		}
	}
	original, err := picture.NewOriginal(img)
	if err != nil {
		t.Fatal(err)
	}
	return memory{reference(t, 0, 64, 64), original}
}

// disc returns a soft round mask of width × height pixels.
func disc(width, height int) MaskImage {
	mask := image.NewGray(image.Rect(0, 0, width, height))
	for y := range height {
		for x := range width {
			dx, dy := 2*x-width, 2*y-height
			mask.Pix[y*mask.Stride+x] = uint8(max(0, 255-(dx*dx+dy*dy)*255/(width*height/4)))
		}
	}
	return MaskImage{mask}
}

// openSmall opens a tiny model with small pictures.
func openSmall(t testing.TB, name string) *Engine {
	t.Helper()
	e := openShort(t, name)
	e.info.NativeSize = 128
	return e
}

// stagesOfEdit makes the picture that ask asks for, and counts the calls of progress for each stage.
func stagesOfEdit(t *testing.T, e *Engine, ask Ask) (map[Stage]int, *Result) {
	t.Helper()
	calls := map[Stage]int{}
	result, err := e.Generate(t.Context(), readAndResolve(t, e, ask), func(p Progress) { calls[p.Stage]++ })
	if err != nil {
		t.Fatal(err)
	}
	return calls, result
}

// TestEditCaches checks that a second try at the same mask does not compute again what has not changed.
func TestEditCaches(t *testing.T) {
	e := openSmall(t, "distilled")
	ask := Ask{
		Prompt: "a fox", Seed: new(uint64(1)), Steps: new(2), Edit: &Edit{Mask: disc(300, 200)},
		References: []Source{photo(t, 300, 200), reference(t, 1, 64, 80)},
	}
	encoded := func() int { return len(e.references.entries) }
	first, want := stagesOfEdit(t, e, ask)
	if first[StagePrompt] < 27 || encoded() != 2 {
		t.Fatalf("%d calls for the prompt, %d encoded pictures, want the area and a reference", first[StagePrompt], encoded())
	}
	area := e.references.entries[0].value.Buffer
	for _, row := range []struct {
		name            string
		change          func(a Ask, edit *Edit) Ask
		prompt, encodes bool // what is computed again
	}{
		{"the same", func(a Ask, edit *Edit) Ask { return a }, false, false},
		{"another seed", func(a Ask, edit *Edit) Ask { a.Seed = new(uint64(2)); return a }, false, false},
		{"another strength", func(a Ask, edit *Edit) Ask { edit.Strength = new(0.5); return a }, false, false},
		{"another feather", func(a Ask, edit *Edit) Ask { edit.Feather = new(9); return a }, false, false},
		{"hidden", func(a Ask, edit *Edit) Ask { edit.Hidden = true; return a }, false, false},
		{"another prompt", func(a Ask, edit *Edit) Ask { a.Prompt = "a dog"; return a }, true, false},
		{"the whole picture", func(a Ask, edit *Edit) Ask { edit.Whole, edit.Context = true, nil; return a }, false, true},
	} {
		edit, before := *ask.Edit, encoded()
		changed := row.change(ask, &edit)
		changed.Edit = &edit
		calls, result := stagesOfEdit(t, e, changed)
		if prompt := calls[StagePrompt] > 1; prompt != row.prompt {
			t.Errorf("%s: the prompt is encoded: %v", row.name, prompt)
		}
		if encodes := encoded() != before; encodes != row.encodes {
			t.Errorf("%s: a picture is encoded: %v", row.name, encodes)
		}
		if same := sameLevels(want.Image, result.Image); same != (row.name == "the same") {
			t.Errorf("%s: the same picture: %v", row.name, same)
		}
	}
	if !slices.ContainsFunc(e.references.entries, func(c cacheEntry) bool { return c.value.Buffer == area }) {
		t.Error("the area's latents were freed")
	}
}

// TestGivenAreaIsTheAreaUsed makes a picture with the automatic area, and with the same area given, which is the same
// picture, and with other areas, which are other pictures of the same surroundings.
func TestGivenAreaIsTheAreaUsed(t *testing.T) {
	e := openSmall(t, "distilled")
	mask := image.NewGray(image.Rect(0, 0, 500, 300))
	for y := 100; y < 140; y++ {
		for x := 200; x < 260; x++ {
			mask.Pix[y*mask.Stride+x] = 255
		}
	}
	source := photo(t, 500, 300)
	ask := Ask{
		Prompt: "a fox", Seed: new(uint64(1)), Steps: new(2), References: []Source{source},
		Edit: &Edit{Mask: MaskImage{mask}},
	}
	_, want := stagesOfEdit(t, e, ask)
	automatic := want.Edited.Area
	for _, row := range []struct {
		name string
		area image.Rectangle
		same bool
	}{
		{"the automatic one", automatic, true},
		{"larger", automatic.Inset(-8), false},
		{"elsewhere", automatic.Add(image.Pt(4, 0)), false},
		{"the mask's box", image.Rect(200, 100, 260, 140), false},
		{"everything", image.Rect(0, 0, 500, 300), false},
	} {
		again := ask
		again.Edit = &Edit{Mask: MaskImage{mask}, Area: &row.area}
		_, got := stagesOfEdit(t, e, again)
		if sameLevels(got.Image, want.Image) != row.same || !row.area.In(got.Edited.Area) {
			t.Errorf("%s: %v gives area %v; the same picture: %v", row.name, row.area, got.Edited.Area, !row.same)
		}
		if got.Image.At(199, 120) != source.original.At(199, 120) || got.Edited.Changed != want.Edited.Changed {
			t.Errorf("%s: the surroundings have changed", row.name)
		}
	}
}

func sameLevels(a, b image.Image) bool {
	if a.Bounds() != b.Bounds() {
		return false
	}
	for y := a.Bounds().Min.Y; y < a.Bounds().Max.Y; y++ {
		for x := a.Bounds().Min.X; x < a.Bounds().Max.X; x++ {
			if color.NRGBA64Model.Convert(a.At(x, y)) != color.NRGBA64Model.Convert(b.At(x, y)) {
				return false
			}
		}
	}
	return true
}

// TestEditKeepsTheRest edits pictures of many sizes with masks in many places. What the mask does not cover stays,
// level for level, and the rest changes.
func TestEditKeepsTheRest(t *testing.T) {
	e := openSmall(t, "distilled")
	base := openSmall(t, "base")
	for _, row := range []struct {
		name string
		size image.Point
		mask image.Rectangle
		edit Edit
		e    *Engine
	}{
		{name: "odd sides", size: image.Pt(301, 203), mask: image.Rect(90, 40, 171, 93)},
		{name: "the upper left corner", size: image.Pt(130, 97), mask: image.Rect(0, 0, 20, 10)},
		{name: "the lower right corner", size: image.Pt(131, 97), mask: image.Rect(120, 90, 131, 97)},
		{name: "one pixel", size: image.Pt(100, 100), mask: image.Rect(50, 50, 51, 51), edit: Edit{Feather: new(0)}},
		{name: "everything", size: image.Pt(100, 130), mask: image.Rect(0, 0, 100, 130)},
		{name: "the whole picture", size: image.Pt(103, 91), mask: image.Rect(10, 10, 50, 60), edit: Edit{Whole: true}},
		{name: "more than has a result", size: image.Pt(103, 91), mask: image.Rect(0, 0, 103, 91), edit: Edit{Whole: true}},
		{name: "no context", size: image.Pt(500, 300), mask: image.Rect(10, 10, 50, 60), edit: Edit{Context: new(0)}},
		{name: "hidden", size: image.Pt(200, 200), mask: image.Rect(10, 10, 90, 90), edit: Edit{Hidden: true}},
		{name: "less strength", size: image.Pt(200, 200), mask: image.Rect(10, 10, 90, 90), edit: Edit{Strength: new(0.6)}},
		{name: "guidance", size: image.Pt(200, 200), mask: image.Rect(10, 10, 90, 90), e: base},
		{name: "elongated", size: image.Pt(512, 64), mask: image.Rect(0, 0, 512, 10)},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.e == nil {
				row.e = e
			}
			source := photo(t, row.size.X, row.size.Y)
			mask := image.NewGray(image.Rectangle{Max: row.size})
			for y := row.mask.Min.Y; y < row.mask.Max.Y; y++ {
				for x := row.mask.Min.X; x < row.mask.Max.X; x++ {
					mask.Pix[y*mask.Stride+x] = 255
				}
			}
			row.edit.Mask = MaskImage{mask}
			ask := Ask{Prompt: "a fox", Seed: new(uint64(3)), Steps: new(2), References: []Source{source}, Edit: &row.edit}
			req := readAndResolve(t, row.e, ask)
			var stages []Stage
			result, err := row.e.Generate(t.Context(), req, func(p Progress) {
				if !slices.Contains(stages, p.Stage) {
					stages = append(stages, p.Stage)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			if want := []Stage{StagePrompt, StageReferences, StageSteps, StageDecode, StageStitch}; !slices.Equal(stages, want) {
				t.Errorf("stages %v, want %v", stages, want)
			}
			if got := result.Image.Bounds(); got != source.original.Bounds() {
				t.Fatalf("a picture of %v, want %v", got, source.original.Size)
			}
			changed := 0
			for y := range row.size.Y {
				for x := range row.size.X {
					same := result.Image.At(x, y) == source.original.At(x, y)
					if !same && !image.Pt(x, y).In(row.mask) {
						t.Fatalf("pixel (%d, %d) outside of the mask has changed", x, y)
					}
					if !same {
						changed++
					}
				}
			}
			pixels := row.mask.Dx() * row.mask.Dy()
			if changed < pixels/2 {
				t.Errorf("%d of %d pixels have changed", changed, pixels)
			}
			e := result.Edited
			made := row.mask.Intersect(e.Area) // a whole picture is cropped to multiples of 16
			share := float64(made.Dx()*made.Dy()) / float64(row.size.X*row.size.Y)
			if e.Changed != share ||
				!row.mask.In(e.Area) && !e.Whole || e.Work.Check() != nil && e.Work != req.Size() {
				t.Errorf("%+v, want %v of the picture changed", e, share)
			}
			if m := result.Metadata; m.Width != row.size.X || m.Height != row.size.Y {
				t.Errorf("metadata of a picture of %d×%d", m.Width, m.Height)
			}
		})
	}
}

// TestExtendPicture makes pictures larger. The old pixels stay, level for level, and the new ones are made.
func TestExtendPicture(t *testing.T) {
	e := openSmall(t, "distilled")
	source := photo(t, 150, 110)
	for _, row := range []struct {
		name   string
		extend Extension
		want   Margins
		whole  bool
	}{
		{"one side", Extension{Margins: Margins{Right: 37}}, Margins{Right: 37}, false},
		// Sides that are no multiples of 16 were cropped, and the rest of the new area stayed a smear of the edge.
		{"the whole picture", Extension{Margins: Margins{Right: 27}}, Margins{Right: 27}, true},
		{"all sides", Extension{Margins: Margins{Left: 16, Top: 9, Right: 30, Bottom: 64}},
			Margins{Left: 16, Top: 9, Right: 30, Bottom: 64}, false},
		{"square", Extension{Ratio: 1}, Margins{Top: 20, Bottom: 20}, false},
	} {
		ask := Ask{Prompt: "a meadow", Seed: new(uint64(3)), Steps: new(2), References: []Source{source}, Preview: true,
			Edit: &Edit{Extend: row.extend, Whole: row.whole}}
		req := readAndResolve(t, e, ask)
		var preview *image.RGBA
		result, err := e.Generate(t.Context(), req, func(p Progress) {
			if p.Preview != nil {
				preview = p.Preview
			}
		})
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		width, height := 150+row.want.Left+row.want.Right, 110+row.want.Top+row.want.Bottom
		size := picture.Size{Width: width, Height: height}
		if result.Edited.Margins != row.want || result.Image.Bounds() != image.Rect(0, 0, width, height) ||
			req.PictureSize() != size {
			t.Fatalf("%s: %v around a picture of %v", row.name, result.Edited.Margins, result.Image.Bounds())
		}
		for y := range 110 {
			for x := range 150 {
				if result.Image.At(x+row.want.Left, y+row.want.Top) != source.original.At(x, y) {
					t.Fatalf("%s: pixel (%d, %d) of the old picture has changed", row.name, x, y)
				}
			}
		}
		made := 0
		for y := range height {
			for x := range width {
				if result.Image.At(x, y) != req.Original().At(x, y) {
					made++
				}
			}
		}
		if b := result.Image.Bounds(); row.whole && result.Edited.Area != b {
			t.Errorf("%s: the model works on %v of %v", row.name, result.Edited.Area, b)
		}
		pixels := width*height - 150*110
		if made < pixels/2 || result.Edited.Changed != float64(pixels)/float64(width*height) {
			t.Errorf("%s: %d of %d new pixels are made; the result says %v", row.name, made, pixels, result.Edited.Changed)
		}
		if preview == nil || preview.Rect != image.Rect(0, 0, width, height) {
			t.Errorf("%s: a preview of %v, want one of the extended picture", row.name, preview)
		}
	}

	// To the limit: a picture of 8:1, of which seven eighths are new.
	longest := Ask{References: []Source{photo(t, 128, 128)}, Edit: &Edit{Extend: Extension{Margins: Margins{Left: 896}}}}
	req := readAndResolve(t, e, longest)
	if e, _ := req.Editing(); req.Size().Check() != nil || req.PictureSize() != (picture.Size{Width: 1024, Height: 128}) ||
		!image.Rect(0, 0, 896, 128).In(e.Area) {
		t.Errorf("the longest extension: %+v", e)
	}
	for _, row := range []struct {
		extend Extension
		want   string
	}{
		{Extension{Ratio: 150.0 / 110},
			"extension: found 1.364:1 for 150x110, which has that shape, want a wider or a taller one"},
		{Extension{Margins: Margins{Right: 1000}}, "extension: found 0,0,1000,0 for 150x110, which gives a picture of " +
			"1150x110 pixels, 10.5:1, want at most 8:1"},
	} {
		c, err := Ask{References: []Source{source}, Edit: &Edit{Extend: row.extend}}.Check()
		if err == nil {
			_, err = c.Read(t.Context(), 1)
		}
		var field FieldError
		if !errors.As(err, &field) || field.Field != FieldExtend || err.Error() != row.want {
			t.Errorf("%v: %v, want a FieldError", row.extend, err)
		}
	}
}

// TestEditPreviews checks that previews of an edit show the whole picture, small, with the part that changes.
func TestEditPreviews(t *testing.T) {
	e := openSmall(t, "distilled")
	for _, row := range []struct{ size, want image.Point }{
		{image.Pt(300, 200), image.Pt(300, 200)},
		{image.Pt(1400, 700), image.Pt(512, 256)},
	} {
		source := photo(t, row.size.X, row.size.Y)
		source.ref = reference(t, 0, 96, 64)
		ask := Ask{Prompt: "a fox", Steps: new(3), References: []Source{source}, Preview: true,
			Edit: &Edit{Mask: disc(row.size.X, row.size.Y)}}
		var previews []*image.RGBA
		if _, err := e.Generate(t.Context(), readAndResolve(t, e, ask), func(p Progress) {
			if p.Preview != nil {
				previews = append(previews, p.Preview)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if len(previews) != 2 || previews[0].Rect.Size() != row.want {
			t.Fatalf("%d previews of %v, want 2 of %v", len(previews), previews[0].Rect, row.want)
		}
		corner, middle := image.Pt(1, 1), previews[0].Rect.Size().Div(2)
		if previews[0].At(corner.X, corner.Y) != previews[1].At(corner.X, corner.Y) {
			t.Error("a preview changes what the mask does not cover")
		}
		if previews[0].At(middle.X, middle.Y) == previews[1].At(middle.X, middle.Y) {
			t.Error("two previews show the same in the mask")
		}
	}
}

// TestWorkOfEdits checks that the estimated work grows with what a run computes.
func TestWorkOfEdits(t *testing.T) {
	e := openSmall(t, "distilled")
	work := func(edit Edit) float64 {
		edit.Mask = disc(200, 200)
		req := readAndResolve(t, e, Ask{Prompt: "a", Steps: new(4), References: []Source{photo(t, 200, 200)}, Edit: &edit})
		if got := e.Info().Work(req); got != e.Work(req) {
			t.Errorf("work of %v, of the description %v", e.Work(req), got)
		}
		return e.Work(req)
	}
	all, half, hidden := work(Edit{}), work(Edit{Strength: new(0.5)}), work(Edit{Hidden: true})
	if !(half < all && hidden < all) {
		t.Error(fmt.Sprint("work of all steps, of half of them, and without image 1: ", all, half, hidden))
	}
}

// TestMatchAndKeep checks edits without a mask: which fields change the picture, and that a picture of which parts are
// kept has the size and the kind of image 1.
func TestMatchAndKeep(t *testing.T) {
	e := openSmall(t, "distilled")
	ask := func(edit *Edit) Ask {
		return Ask{Prompt: "a fox", Seed: new(uint64(3)), Steps: new(4), Aspect: picture.Match, Edit: edit,
			References: []Source{goldenFile(writePNG(t, 301, 203, gradient))}}
	}
	_, plain := stagesOfEdit(t, e, ask(nil))
	if plain.Edited != nil {
		t.Error("a picture without an edit tells of one")
	}
	calls, nothing := stagesOfEdit(t, e, ask(&Edit{}))
	if !samePicture(plain, nothing) || nothing.Edited == nil || nothing.Edited.Changed != 1 {
		t.Errorf("an edit without fields gives another picture, or says %+v", nothing.Edited)
	}
	if calls[StageStitch] != 1 {
		t.Errorf("stages %v, want one for what follows the model", calls)
	}
	_, full := stagesOfEdit(t, e, ask(&Edit{Strength: new(1.0)}))
	if !samePicture(plain, full) {
		t.Error("a strength of 1 gives another picture than an edit without a strength")
	}
	_, weak := stagesOfEdit(t, e, ask(&Edit{Strength: new(0.25)}))
	if samePicture(plain, weak) {
		t.Error("strength changes nothing")
	}

	_, keptWeak := stagesOfEdit(t, e, ask(&Edit{Strength: new(0.25), KeepUnchanged: new(1.0)}))
	_, kept := stagesOfEdit(t, e, ask(&Edit{KeepUnchanged: new(0.2)}))
	for name, r := range map[string]*Result{"less strength": keptWeak, "an instruction": kept} {
		if _, ok := r.Image.(*picture.Original); !ok || r.Image.Bounds() != image.Rect(0, 0, 301, 203) {
			t.Errorf("%s: %T of %v, want a picture of the kind of image 1", name, r.Image, r.Image.Bounds())
		}
		if r.Edited.Area != r.Image.Bounds() {
			t.Errorf("%s: the model works on %v, and a border of image 1 stays around it", name, r.Edited.Area)
		}
		if c := r.Edited.Changed; !(c >= 0 && c <= 1) || r.Metadata.Width != 301 {
			t.Errorf("%s: %v of the picture changed, metadata of %d×%d", name, c, r.Metadata.Width, r.Metadata.Height)
		}
	}
	shown, err := kept.Shown(t.Context(), picture.Size{Width: 100, Height: 100})
	if err != nil || shown.Rect != image.Rect(0, 0, 100, 67) {
		t.Errorf("%v for a screen, %v", shown.Rect, err)
	}
	if shown, err = plain.Shown(t.Context(), picture.Size{}); err != nil || shown != rgba(plain) {
		t.Errorf("a picture that needs no conversion is copied, %v", err)
	}
}

// TestMatchedColours gives the engine a result whose colours have drifted, and an image 1 that shows the same.
func TestMatchedColours(t *testing.T) {
	source := image.NewRGBA(image.Rect(0, 0, 128, 128))
	drifted := image.NewRGBA(source.Rect)
	for y := range 128 {
		for x := range 128 {
			v := uint8(40 + (x*7+y*13)%120)
			source.SetRGBA(x, y, color.RGBA{v, v / 2, 200 - v, 255})
			drifted.SetRGBA(x, y, color.RGBA{v + 20, v/2 + 10, 200 - v, 255})
		}
	}
	off := func(img image.Image) (sum int) {
		for y := range 128 {
			for x := range 128 {
				r, _, _, _ := img.At(x, y).RGBA()
				sum += max(int(r>>8)-int(source.RGBAAt(x, y).R), int(source.RGBAAt(x, y).R)-int(r>>8))
			}
		}
		return sum / (128 * 128)
	}
	for _, match := range []bool{false, true} {
		seen := &content{references: []Reference{{Reference: picture.NewReference(source)}}}
		r := &run{ctx: t.Context(), made: drifted, content: seen}
		r.track.report = func(Progress) {}
		r.track.total = 1
		result := &Result{Image: drifted}
		if err := r.finish(Request{editing: &Editing{MatchColours: match}}, result); err != nil {
			t.Fatal(err)
		}
		if got := off(result.Image); match != (got < 5) {
			t.Errorf("colours matched: %v; red is %d levels off in the mean", match, got)
		}
	}
}
