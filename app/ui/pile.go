package ui

import (
	"image"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/canvas"
	"fyne.io/fyne/v2/container"
)

// Pile draws pictures over the picture of a view, each at its place there, and cuts off what lies beyond that picture.
// It lies exactly over its view: whoever shows it calls Place when the view has moved its picture
// (PictureView.OnPlaced). A picture that is moved is not drawn anew.
type Pile struct {
	Content fyne.CanvasObject

	view   *PictureView
	clip   *container.Clip
	holder *fyne.Container
	list   []Piled
	layers map[any]*layer // by Piled.Key
}

// Piled is a picture in a pile: its colours are multiplied by its alpha.
type Piled struct {
	Key   any         // of the picture; one that is replaced by another one keeps it
	Image *image.RGBA // nil draws nothing
	At    Area        // in pixels of the view's picture
}

// NewPile returns a pile without pictures.
func NewPile(view *PictureView) *Pile {
	p := &Pile{view: view, holder: container.NewWithoutLayout(), layers: map[any]*layer{}}
	p.clip = container.NewClip(p.holder)
	whole := container.NewClip(container.NewWithoutLayout(p.clip)) // the view's own edges
	p.Content = whole
	return p
}

// Set shows pictures, from the lowest to the highest.
func (p *Pile) Set(list []Piled) {
	p.list = list
	gone := p.layers
	p.layers = map[any]*layer{}
	var objects []fyne.CanvasObject
	for _, item := range list {
		l := gone[item.Key]
		if l == nil {
			l = newLayer()
			l.background = p.view.Background
		}
		delete(gone, item.Key)
		p.layers[item.Key] = l
		l.set(item.Image)
		objects = append(objects, l.Container)
	}
	for _, l := range gone {
		l.set(nil) // what is being made for it is dropped
	}
	p.holder.Objects = objects
	p.Place()
}

// Place draws the pictures where the view has its picture now.
func (p *Pile) Place() {
	if p.view.Picture() == nil {
		Show(p.clip, false)
		return
	}
	Show(p.clip, true)
	origin, size := p.view.Placed()
	At(p.clip, origin.X, origin.Y, size.Width, size.Height)
	At(p.holder, 0, 0, size.Width, size.Height)
	s := p.view.CurrentScale()
	pixels := !p.view.Fitted() && p.view.Pixels() >= 3
	for _, item := range p.list {
		l := p.layers[item.Key]
		if item.Image == nil {
			continue
		}
		l.place(item.At.X*s, item.At.Y*s, item.At.Width*s, item.At.Height*s, pixels)
		p.view.sharpenLayer(l, item.At)
	}
	canvas.Refresh(p.holder)
}
