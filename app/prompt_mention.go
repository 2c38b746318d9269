package app

import (
	"fmt"
	"image"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"

	"github.com/kleinbild/kleinbild/app/ui"
)

// offerPictures opens the list of pictures at the "@" that was just typed, unless that is a part of a word.
func (p *promptPanel) offerPictures() {
	e := p.entry
	text := []rune(e.Text)
	if at := e.CursorTextOffset() - 1; at < 0 || at >= len(text) || !p.mentions.begins(text[:at]) {
		return
	}
	in := e.CursorPosition()
	in.X, in.Y = min(in.X, e.Size().Width-mentionWidth), min(in.Y, e.Size().Height)
	p.mentions.open(fyne.CurrentApp().Driver().AbsolutePositionForObject(e).Add(in))
}

func (p *promptPanel) slotThumb(number int) *image.RGBA { return p.host.slotThumb(number) }

// mention puts "image 2" in the place of the "@" before the cursor.
func (p *promptPanel) mention(number int) {
	text := []rune(p.entry.Text)
	if at := p.entry.CursorTextOffset(); at > 0 && at <= len(text) && text[at-1] == '@' {
		p.entry.Entry.TypedKey(&fyne.KeyEvent{Name: fyne.KeyBackspace})
	}
	p.insertImage(number)
}

// dropImage puts "image 2" at a place in the window, and says whether that lies in the prompt.
func (p *promptPanel) dropImage(number int, pos fyne.Position) bool {
	if !ui.Within(p.entry, pos) {
		return false
	}
	e := &desktop.MouseEvent{Button: desktop.MouseButtonPrimary}
	e.Position = pos.Subtract(fyne.CurrentApp().Driver().AbsolutePositionForObject(p.entry))
	p.entry.MouseDown(e)
	p.entry.MouseUp(e)
	p.insertImage(number)
	return true
}

// insertImage puts "image 2" at the cursor.
func (p *promptPanel) insertImage(number int) { p.insertWord(fmt.Sprintf("image %d", number)) }

// insertWord puts a word at the cursor, set off by spaces.
func (p *promptPanel) insertWord(word string) {
	e := p.entry
	text := []rune(e.Text)
	at := min(e.CursorTextOffset(), len(text))
	if at > 0 && !strings.ContainsRune(" \n\t(\"", text[at-1]) {
		word = " " + word
	}
	if at == len(text) || !strings.ContainsRune(" \n\t.,;:!?)\"", text[at]) {
		word += " "
	}
	p.host.focus(e)
	for _, r := range word {
		e.TypedRune(r) // as if typed: replaces a selection, and one undo takes it back
	}
}
