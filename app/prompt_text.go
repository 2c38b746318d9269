package app

import (
	"fmt"
	"unicode/utf8"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
)

// maxPrompt bounds the text in the prompt's box, in the unit of space: most texts take one for each character. The
// model reads 512 tokens, which are some 2500 characters of English. Fyne wraps a paragraph in a time that grows with
// the square of its length: 0.2 s at 3000 characters, 1 s at 8000, 14 s at 32,000 on one core, and half of that for
// every key.
const maxPrompt = 3000

// promptLimit names the limit, without a full stop.
var promptLimit = fmt.Sprintf("A prompt has at most %d characters here, %d in scripts such as Arabic and Chinese",
	maxPrompt, maxPrompt/6)

// space returns how much of maxPrompt a character takes: 1 or 6. If no font of the system has a character, Fyne's
// search for one takes a time that grows with the cube of the text's length: 1.3 s at 600 characters of Hangul.
// Characters of scripts for which this can happen take six times the space; 500 of them are about 500 tokens.
func space(r rune) int {
	const hebrew = 0x590 // Latin, Greek, Cyrillic and Armenian come before it, and are in the window's own font
	if r < hebrew {
		return 1
	}
	return 6
}

// spaces returns how much of maxPrompt a text takes.
func spaces(text string) (n int) {
	for _, r := range text {
		n += space(r)
	}
	return n
}

// fitting returns the longest beginning of text that takes at most n spaces.
func fitting(text string, n int) string {
	for i, r := range text {
		if n -= space(r); n < 0 {
			return text[:i]
		}
	}
	return text
}

// admit decides what may enter the prompt's box. It returns the longest beginning of text for which room (see space) is
// enough, and tells the user what it left out. A text that is no prompt by inference.ParsePrompt is left out
// completely.
func (p *promptPanel) admit(text string, room int) string {
	total := utf8.RuneCountInString(text)
	// A text far beyond the limit is cut before the rule is applied, which has a limit in bytes. Line ends of two
	// characters become one.
	text, err := inference.ParsePrompt(ui.FirstRunes(text, 2*maxPrompt+1))
	if err != nil {
		p.notice.Say("That text cannot be a prompt. " + explain(err))
		return ""
	}
	kept := fitting(text, room)
	if len(kept) == len(text) && total <= 2*maxPrompt+1 {
		return kept
	}
	left := total - utf8.RuneCountInString(kept)
	p.notice.Say(fmt.Sprintf("%s: %d of the text's %d characters were left out at its end.", promptLimit, left, total))
	return kept
}

// pasteText pastes the part of the clipboard's text that is admitted, in the place of the selection.
func (e *promptEntry) pasteText(clipboard fyne.Clipboard) {
	room := maxPrompt - spaces(e.Text) + spaces(e.SelectedText())
	if text := e.panel.admit(clipboard.Content(), room); text != "" {
		e.Entry.TypedShortcut(&fyne.ShortcutPaste{Clipboard: ui.Bounded(text)})
	}
}

// TypedRune types a character if there is room for it.
func (e *promptEntry) TypedRune(r rune) {
	if e.SelectedText() == "" && spaces(e.Text)+space(r) > maxPrompt {
		e.panel.notice.Say(promptLimit + ".")
		return
	}
	if e.panel.mentions.typed(r) {
		return
	}
	e.Entry.TypedRune(r)
	if r == '@' {
		e.panel.offerPictures()
	}
}
