package ui

import (
	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/container"
	"fyne.io/fyne/v2/widget"
)

// starBadge is the star of a thumbnail, on a dark disc, to be seen on any picture.
type starBadge struct {
	Content *fyne.Container
	disc    *Box
	icon    *widget.Icon
	outline bool
}

const starSide float32 = 18

func newStarBadge() *starBadge {
	b := &starBadge{disc: NewBox(colorScrim, starSide/2), icon: widget.NewIcon(Themed(StarIcon, colorOnScrim))}
	b.Content = container.NewWithoutLayout(b.disc, b.icon)
	b.disc.Resize(fyne.NewSquareSize(starSide))
	b.icon.Move(fyne.NewPos(3, 3))
	b.icon.Resize(fyne.NewSquareSize(starSide - 6))
	b.Content.Hide()
	return b
}

// set shows a star, or its outline if a picture could get one.
func (b *starBadge) set(starred, offered bool) {
	if outline := !starred && offered; outline != b.outline {
		b.outline = outline
		icon := StarIcon
		if outline {
			icon = StarOutlineIcon
		}
		b.icon.SetResource(Themed(icon, colorOnScrim))
	}
	Show(b.Content, starred || offered)
}
