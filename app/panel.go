package app

import (
	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
)

// common is what every panel works with: the studio's state, the settings, the notices, and the keys that text boxes
// leave to the window. What else a panel needs, such as something of another panel, it names in an interface of its
// own, which the session implements.
type common struct {
	*studio.Studio
	set    settings
	keys   *ui.Keys
	notice notices
}

// notices are the window's notices, with errors in the user's words.
type notices struct{ *ui.Notices }

// fail warns of an error, in the user's words.
func (n notices) fail(err error) { n.Warn(explain(err)) }

// native is the side in pixels of the pictures that the model was trained on, 0 if no model is open.
func (c common) native() int {
	info, _ := c.Model.Info()
	return info.NativeSize
}

// undoAction is the button of a notice that takes back what was just done.
func (c common) undoAction() ui.Action {
	steps := c.Desk.Steps()
	return ui.Action{Text: "Undo", Do: func() {
		c.Desk.Settle()
		if c.Desk.Steps() != steps {
			c.notice.Say("More was changed since then: Ctrl + Z takes it back step by step.")
			return
		}
		c.Desk.Undo()
	}}
}

// loadMask puts the mask of a file on the desk, unless image 1 is made larger.
func (c common) loadMask(path string) {
	if c.hasMargins() {
		return
	}
	c.Desk.Choose(func(d *studio.Desk) { d.LoadMask(path) })
}

// hasMargins says whether image 1 is made larger, and tells the user then why it gets no mask.
func (c common) hasMargins() bool {
	if c.Desk.Desk().Edit.Margins() == (inference.Margins{}) {
		return false
	}
	c.notice.Say("Image 1 is made larger: that is done, or a part of it is painted anew.", ui.Action{
		Text: "Remove the margins", Do: func() {
			c.Desk.Choose(func(d *studio.Desk) { d.Edit.Left, d.Edit.Top, d.Edit.Right, d.Edit.Bottom = "", "", "", "" })
		},
	})
	return true
}
