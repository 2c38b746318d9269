package ui

import "fyne.io/fyne/v2"

// Columns lays objects out below each other in as many columns of at least Width as there is room for. The columns are
// filled one after the other, each up to about the same height; no object is divided.
type Columns struct {
	Width, Between float32
	width          float32 // that there was at the last layout
}

func (c *Columns) MinSize(objects []fyne.CanvasObject) fyne.Size {
	return fyne.NewSize(0, c.place(objects, c.width, func(fyne.CanvasObject, float32, float32, float32) {}))
}

func (c *Columns) Layout(objects []fyne.CanvasObject, size fyne.Size) {
	c.width = size.Width
	c.place(objects, size.Width, func(o fyne.CanvasObject, x, y, width float32) {
		At(o, x, y, width, o.MinSize().Height)
	})
}

// place calls put with the place of each object, and returns the height of the highest column.
func (c *Columns) place(
	objects []fyne.CanvasObject, width float32, put func(o fyne.CanvasObject, x, y, w float32),
) float32 {
	n := max(int((width+c.Between)/(c.Width+c.Between)), 1)
	column := (width - float32(n-1)*c.Between) / float32(n)
	var sum float32
	for _, o := range objects {
		sum += o.MinSize().Height
	}
	var y, above, highest float32
	index := 0 // of the column
	for i, o := range objects {
		height := o.MinSize().Height
		// An object goes to the next column if more than half of it would be below this column's share.
		if share := sum / float32(n); y > 0 && index < n-1 && above+height/2 > share*float32(index+1) {
			index, y = index+1, 0
		}
		put(objects[i], float32(index)*(column+c.Between), y, column)
		y += height
		above += height
		highest = max(highest, y)
	}
	return highest
}
