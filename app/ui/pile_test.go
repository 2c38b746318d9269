package ui

import (
	"image"
	"image/color"
	"image/draw"
	"testing"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/test"
)

// TestPile draws pictures over a view's: in their order, where they lie, cut at the edges of the view's picture, and
// what is transparent shows what lies below.
func TestPile(t *testing.T) {
	a := test.NewTempApp(t)
	a.Settings().SetTheme(NewTheme(ThemeDark))
	v := NewPictureView()
	v.Background = func(work func() func()) { work()() }
	p := NewPile(v)
	v.OnPlaced = p.Place
	win := a.NewWindow("")
	win.SetPadded(false)
	win.SetContent(container.NewStack(v, p.Content))
	win.Resize(fyne.NewSize(300, 200))
	fill := func(w, h int, c color.Color) *image.RGBA {
		img := image.NewRGBA(image.Rect(0, 0, w, h))
		draw.Draw(img, img.Rect, image.NewUniform(c), image.Point{}, draw.Src)
		return img
	}
	red, green := color.RGBA{200, 0, 0, 255}, color.RGBA{0, 200, 0, 255}
	ground, blue := color.RGBA{40, 40, 40, 255}, color.RGBA{0, 0, 200, 255}
	v.Set(fill(100, 100, ground), image.Pt(100, 100), nil)
	v.OneToOne(v.Middle())
	hole := fill(40, 40, blue)
	draw.Draw(hole, image.Rect(0, 0, 20, 40), image.Transparent, image.Point{}, draw.Src)
	list := []Piled{
		{Key: 1, Image: fill(10, 10, red), At: Area{-20, 10, 60, 40}},
		{Key: 2, Image: fill(50, 50, green), At: Area{20, 10, 50, 50}},
		{Key: 3, Image: hole, At: Area{30, 30, 40, 40}},
	}
	p.Set(list)
	check := func(name string, want map[image.Point]color.RGBA) {
		t.Helper()
		shot := win.Canvas().Capture()
		for at, c := range want {
			pos := v.ToView(float32(at.X)+0.5, float32(at.Y)+0.5)
			if got := color.RGBAModel.Convert(shot.At(int(pos.X), int(pos.Y))).(color.RGBA); got != c {
				t.Errorf("%s: %v is %v, want %v", name, at, got, c)
			}
		}
	}
	check("piled", map[image.Point]color.RGBA{
		{5, 20}: red, {25, 20}: green, {35, 40}: green, {60, 40}: blue, {60, 65}: blue, {90, 90}: ground, {5, 60}: ground,
	})
	pos := v.ToView(-10, 20)
	shot := win.Canvas().Capture()
	if got := color.RGBAModel.Convert(shot.At(int(pos.X), int(pos.Y))); got == red {
		t.Error("a picture is seen beyond the edge")
	}
	was := p.layers[1]
	list[0], list[1] = list[1], list[0]
	list[2].At.X, list[2].At.Y = 60, 60
	p.Set(list)
	check("in another order", map[image.Point]color.RGBA{{30, 20}: red, {30, 55}: green, {95, 95}: blue, {60, 45}: green})
	if p.layers[1] != was {
		t.Error("a picture that stays is drawn anew")
	}
	p.Set(list[:1])
	check("alone", map[image.Point]color.RGBA{{5, 20}: ground, {30, 20}: green, {95, 95}: ground})
}
