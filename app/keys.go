package app

import (
	"fmt"
	"slices"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/driver/desktop"
	"fyne.io/fyne/v2/widget"

	"github.com/kleinbild/kleinbild/app/ui"
)

// binding is a row of keyTable: keys and what they do. The window registers the keys from it and lists them from it.
type binding struct {
	where string // what has to have the keyboard, and the heading in the list
	does  string // what the user reads
	// The keys, of one of two kinds: shortcuts work wherever the keyboard is, keys alone only outside of text boxes.
	shortcuts []fyne.KeyboardShortcut
	keys      []fyne.KeyName
	do        func(*session) // nil if the widget that has the keyboard listens to the keys
	always    bool           // the keys work in text boxes and while a dialog is open, too
	mouse     string         // for the list: what a mouse does, in a row without keys
}

// The places where keys work.
const (
	anywhere    = "Anywhere"
	outsideText = "Outside of text boxes"
	onPicture   = "On the picture"
	onFrame     = "On a frame over the picture"
	onMask      = "On the mask"
	onBoard     = "On the board"
	onSlots     = "On a reference"
	inPrompt    = "In the prompt"
	inQueue     = "In the queue"
	inGroups    = "In sizes, counts and thumbnails"
)

// ctrlKey is a key with Ctrl, or with Cmd where that is usual.
func ctrlKey(name fyne.KeyName) *desktop.CustomShortcut {
	return &desktop.CustomShortcut{KeyName: name, Modifier: fyne.KeyModifierShortcutDefault}
}

// keyTable returns all keys of the window. A key that is to be heard wherever the keyboard is needs a row here and
// nothing else. A row without do only lists what a widget listens to; TestKeysOfWidgets presses those keys.
func keyTable() []binding {
	ctrl := func(names ...fyne.KeyName) (list []fyne.KeyboardShortcut) {
		for _, n := range names {
			list = append(list, ctrlKey(n))
		}
		return list
	}
	alt := func(names ...fyne.KeyName) (list []fyne.KeyboardShortcut) {
		for _, n := range names {
			list = append(list, &desktop.CustomShortcut{KeyName: n, Modifier: fyne.KeyModifierAlt})
		}
		return list
	}
	ctrlShift := func(name fyne.KeyName) []fyne.KeyboardShortcut {
		both := fyne.KeyModifierShortcutDefault | fyne.KeyModifierShift
		return []fyne.KeyboardShortcut{&desktop.CustomShortcut{KeyName: name, Modifier: both}}
	}
	keys := func(names ...fyne.KeyName) []fyne.KeyName { return names }
	return []binding{
		{where: anywhere, does: "Make the picture, or put it into the queue", shortcuts: ctrl(fyne.KeyReturn, fyne.KeyEnter),
			do: (*session).pressGenerate},
		{where: anywhere, does: "Close or stop what is in front", keys: keys(fyne.KeyEscape),
			do: (*session).escape, always: true},
		{where: anywhere, does: "Undo", shortcuts: []fyne.KeyboardShortcut{&fyne.ShortcutUndo{}},
			do: func(s *session) { s.Desk.Undo() }},
		{where: anywhere, does: "Choose all pictures of the gallery",
			shortcuts: []fyne.KeyboardShortcut{&fyne.ShortcutSelectAll{}}, do: (*session).chooseAll},
		{where: anywhere, does: "Redo", shortcuts: []fyne.KeyboardShortcut{&fyne.ShortcutRedo{}, ui.CtrlShiftZ},
			do: func(s *session) { s.Desk.Redo() }},
		{where: anywhere, does: "Paste a picture, a file or text", shortcuts: []fyne.KeyboardShortcut{&fyne.ShortcutPaste{}},
			do: func(s *session) { s.paste(s.pasteText) }},
		{where: anywhere, does: "Copy the picture", shortcuts: []fyne.KeyboardShortcut{&fyne.ShortcutCopy{}},
			do: (*session).copyPicture},
		{where: anywhere, does: "Copy its file", shortcuts: ctrlShift(fyne.KeyC), do: (*session).copyFile},
		{where: anywhere, does: "Save a copy as the last one", shortcuts: ctrl(fyne.KeyS), do: (*session).saveCopy},
		{where: anywhere, does: "Save a copy: choose the format", shortcuts: ctrlShift(fyne.KeyS),
			do: (*session).showSavePanel},
		{where: anywhere, does: "Choose pictures as references", shortcuts: ctrl(fyne.KeyO),
			do: func(s *session) { s.slots.browse() }},
		{where: anywhere, does: "Compare with another picture", shortcuts: ctrl(fyne.KeyB),
			do: func(s *session) { s.view.modeKey(fyne.KeyB) }},
		{where: anywhere, does: "Search the history", shortcuts: ctrl(fyne.KeyF),
			do: func(s *session) { s.strip.focusSearch() }},
		{where: anywhere, does: "Go to the prompt", shortcuts: ctrl(fyne.KeyL),
			do: func(s *session) { s.focus(s.prompt.entry) }},
		{where: anywhere, does: "This list", keys: keys(fyne.KeyF1), do: (*session).toggleKeyList, always: true},
		{where: anywhere, does: "Full screen", keys: keys(fyne.KeyF11), do: (*session).toggleFullScreen, always: true},

		{where: outsideText, does: "Edit the picture on show", keys: keys(fyne.KeyE), do: (*session).editShown},
		{where: outsideText, does: "Enlarge the picture on show", keys: keys(fyne.KeyU), do: (*session).showUpscalePanel},
		{where: outsideText, does: "Make image 1 larger", keys: keys(fyne.KeyO),
			do: func(s *session) { s.view.modeKey(fyne.KeyO) }},
		{where: outsideText, does: "Crop and turn a reference", keys: keys(fyne.KeyC), do: (*session).cropKey},
		{where: outsideText, does: "How the picture was made", keys: keys(fyne.KeyI), do: (*session).toggleInfo},
		{where: outsideText, does: "The tries beside each other", keys: keys(fyne.KeyT),
			do: func(s *session) { s.view.modeKey(fyne.KeyT) }},
		{where: outsideText, does: "Give it a star, or take that away", keys: keys(fyne.KeyF), do: (*session).starInHand},
		{where: outsideText, does: "The gallery of all pictures", keys: keys(fyne.KeyG), do: (*session).toggleGallery},
		{where: outsideText, does: "Compare with another picture", keys: keys(fyne.KeyB),
			do: func(s *session) { s.view.modeKey(fyne.KeyB) }},
		{where: outsideText, does: "Compare with a newer one", keys: keys(fyne.KeyPageUp),
			do: func(s *session) { s.comparison.step(-1) }},
		{where: outsideText, does: "Compare with an older one", keys: keys(fyne.KeyPageDown),
			do: func(s *session) { s.comparison.step(1) }},
		{where: outsideText, does: "LoRAs", keys: keys(fyne.KeyL), do: (*session).toggleLoRAs},
		{where: outsideText, does: "Paint a mask on image 1", keys: keys(fyne.KeyM),
			do: func(s *session) { s.view.modeKey(fyne.KeyM) }},
		{where: outsideText, does: "Place pictures on a board", keys: keys(fyne.KeyP),
			do: func(s *session) { s.view.modeKey(fyne.KeyP) }},

		{where: inPrompt, does: "Earlier prompts", shortcuts: ctrl(fyne.KeyUp, fyne.KeyDown)},
		{where: inPrompt, does: "Name a picture", mouse: "@"},

		{where: onPicture, does: "Zoom, move, show pixel for pixel", mouse: "wheel, drag, double click"},
		{where: onPicture, does: "Larger, smaller", keys: keys(fyne.KeyPlus, fyne.KeyMinus)},
		{where: onPicture, does: "All of it", keys: keys(fyne.Key0)},
		{where: onPicture, does: "Pixel for pixel", keys: keys(fyne.Key1)},
		{where: onPicture, does: "Newer, older picture", keys: keys(fyne.KeyLeft, fyne.KeyRight)},
		{where: onPicture, does: "Move the divider between two pictures", keys: keys(fyne.KeyComma, fyne.KeyPeriod)},

		{where: onFrame, does: "Move it; with Shift by ten",
			keys: keys(fyne.KeyLeft, fyne.KeyRight, fyne.KeyUp, fyne.KeyDown)},
		{where: onFrame, does: "Larger at that side", shortcuts: ctrl(fyne.KeyLeft, fyne.KeyRight)},
		{where: onFrame, does: "Smaller at that side", shortcuts: alt(fyne.KeyLeft, fyne.KeyRight)},
		{where: onFrame, does: "Pan; inside of it, too, with Space", mouse: "drag beside it"},

		{where: onMask, does: "Brush, eraser, lasso, rectangle, fill",
			keys: keys(fyne.KeyB, fyne.KeyE, fyne.KeyL, fyne.KeyR, fyne.KeyF)},
		{where: onMask, does: "From brush to eraser and back", keys: keys(fyne.KeyX)},
		{where: onMask, does: "Smaller, larger brush", mouse: "[ / ], Ctrl + wheel"},
		{where: onMask, does: "Softer, harder brush", mouse: "{ / }"},
		{where: onMask, does: "Straight line from the last stroke", mouse: "Shift + click"},
		{where: onMask, does: "Take away instead of adding", mouse: "Ctrl + drag"},
		{where: onMask, does: "Move the picture", mouse: "Space + drag"},
		{where: onMask, does: "Move the brush; paint, and stop", keys: keys(fyne.KeyUp, fyne.KeyDown, fyne.KeyReturn)},
		{where: onMask, does: "Frame of the work area as it was", mouse: "double-click its label"},
		{where: onMask, does: "Clear the mask", keys: keys(fyne.KeyDelete)},

		{where: onBoard, does: "Choose the picture below, above", keys: keys(fyne.KeyComma, fyne.KeyPeriod)},
		{where: onBoard, does: "Move it; with Shift by ten",
			keys: keys(fyne.KeyLeft, fyne.KeyRight, fyne.KeyUp, fyne.KeyDown)},
		{where: onBoard, does: "Larger, smaller", mouse: "Ctrl + wheel, handles"},
		{where: onBoard, does: "One up, one down", keys: keys(fyne.KeyPageUp, fyne.KeyPageDown)},
		{where: onBoard, does: "Cut out, mirror, turn, copy", keys: keys(fyne.KeyX, fyne.KeyH, fyne.KeyR, fyne.KeyD)},
		{where: onBoard, does: "Fill the board; add pictures", keys: keys(fyne.KeyF, fyne.KeyA)},
		{where: onBoard, does: "Take it off", keys: keys(fyne.KeyDelete)},
		{where: onBoard, does: "Use the board as image 1", keys: keys(fyne.KeyReturn)},

		{where: onSlots, does: "Choose a picture", keys: keys(fyne.KeyReturn)},
		{where: onSlots, does: "Remove it", keys: keys(fyne.KeyDelete)},
		{where: onSlots, does: "Move it up, down", keys: keys(fyne.KeyUp, fyne.KeyDown)},

		{where: inQueue, does: "Make it earlier, later", shortcuts: ctrl(fyne.KeyUp, fyne.KeyDown)},
		{where: inQueue, does: "Take it back to the desk", keys: keys(fyne.KeyReturn)},
		{where: inQueue, does: "Take it out", keys: keys(fyne.KeyDelete)},

		{where: inGroups, does: "Move inside the group; Tab leaves it", keys: keys(fyne.KeyLeft, fyne.KeyRight)},
	}
}

// modifierNames are the modifiers in the order in which people name them.
var modifierNames = []struct {
	modifier fyne.KeyModifier
	name     string
}{
	{fyne.KeyModifierControl, "Ctrl"}, {fyne.KeyModifierSuper, "Cmd"}, {fyne.KeyModifierAlt, "Alt"},
	{fyne.KeyModifierShift, "Shift"},
}

// keyNames are the keys that people call otherwise than Fyne.
var keyNames = map[fyne.KeyName]string{
	fyne.KeyReturn: "Enter", fyne.KeyEnter: "Enter", fyne.KeyEscape: "Esc", fyne.KeyMinus: "–",
	fyne.KeyPageUp: "Page Up", fyne.KeyPageDown: "Page Down",
}

// keyText names a key as people do: "Ctrl + Shift + Z".
func keyText(key fyne.KeyName, modifier fyne.KeyModifier) string {
	var parts []string
	for _, m := range modifierNames {
		if modifier&m.modifier != 0 {
			parts = append(parts, m.name)
		}
	}
	name := keyNames[key]
	if name == "" {
		name = string(key)
	}
	return strings.Join(append(parts, name), " + ")
}

// keysBetween lies between the keys of a row.
const keysBetween = " / "

// text names the keys of a row: "Ctrl + Y / Ctrl + Shift + Z".
func (b binding) text() string {
	if b.mouse != "" {
		return b.mouse
	}
	var list []string
	add := func(text string) {
		if !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	for _, c := range b.shortcuts {
		add(keyText(c.Key(), c.Mod()))
	}
	for _, k := range b.keys {
		add(keyText(k, 0))
	}
	return strings.Join(list, keysBetween)
}

// keyTip returns what a key does outside of text boxes, as the tip of the button that does the same; "" if the table
// has no such key.
func keyTip(key fyne.KeyName) string {
	for _, b := range keyTable() {
		if b.where == outsideText && slices.Contains(b.keys, key) {
			return fmt.Sprintf("%s (%s)", b.does, keyText(key, 0))
		}
	}
	return ""
}

// addShortcuts has the window listen to the keys of keyTable.
func (s *session) addShortcuts() {
	canvas := s.win.Canvas()
	for _, b := range keyTable() {
		for _, c := range b.shortcuts {
			if b.do != nil {
				canvas.AddShortcut(c, func(fyne.Shortcut) { s.press(b) })
			}
		}
	}
	canvas.SetOnTypedKey(func(e *fyne.KeyEvent) {
		for _, b := range keyTable() {
			if b.do != nil && slices.Contains(b.keys, e.Name) {
				s.press(b)
			}
		}
	})
}

// press does what a row of keyTable says.
func (s *session) press(b binding) {
	if b.always || !s.blocked() {
		b.do(s)
	}
}

// shortcut runs a shortcut of the window that a text box has no use for, and says whether it was one.
func (s *session) shortcut(shortcut fyne.Shortcut) bool {
	c, ok := shortcut.(*desktop.CustomShortcut)
	if !ok {
		return false
	}
	for _, b := range keyTable() {
		for _, k := range b.shortcuts {
			if own, ok := k.(*desktop.CustomShortcut); ok && *own == *c && b.do != nil {
				s.press(b)
				return true
			}
		}
	}
	return false
}

// typed does what a key does that works in text boxes, too, and says whether it was one.
func (s *session) typed(e *fyne.KeyEvent) bool {
	for _, b := range keyTable() {
		if b.always && slices.Contains(b.keys, e.Name) {
			b.do(s)
			return true
		}
	}
	return false
}

// escape takes back one thing, the first of these that there is: a menu or dialog, the name of a folder, the gallery,
// the page of models, what is done on the board, the mode of the canvas, the run under way, a Generate that waits, the
// notices.
func (s *session) escape() {
	top := s.win.Canvas().Overlays().Top()
	switch {
	case s.modal.Is(top):
		s.modal.Close()
	case top != nil:
		s.win.Canvas().Unfocus()
		top.Hide()
	case s.gallery.naming.active():
		s.gallery.naming.stop()
		s.focus(s.gallery.grid)
	case s.gallery.open:
		s.leaveGallery()
	case s.start.canLeave():
		s.start.leave()
	case s.board.back():
	case s.view.leaveMode():
	case s.Maker.Run() != nil:
		s.cancelRun()
	case s.waiting:
		s.waiting = false
		s.prompt.refresh()
	default:
		s.notice.Dismiss()
	}
}

// blocked says whether a dialog is open that has to be answered first, one of the window or one of the system.
func (s *session) blocked() bool {
	_, dialog := s.win.Canvas().Overlays().Top().(*widget.PopUp)
	return dialog || s.picking
}

// pasteText pastes text into the prompt if the focus is elsewhere.
func (s *session) pasteText() {
	if s.app.Clipboard().Content() == "" {
		s.notice.Say("There is neither a picture nor text to paste.")
		return
	}
	s.focus(s.prompt.entry)
	s.prompt.entry.TypedShortcut(&fyne.ShortcutPaste{Clipboard: s.app.Clipboard()})
}
