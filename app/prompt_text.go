package app

import (
	"fmt"
	"unicode/utf8"

	"fyne.io/fyne/v2"

	"kleinbild/app/ui"
	"kleinbild/inference"
)

// maxPrompt bounds the text in the prompt's box, in spaces of characters. The model reads 512 tokens, which are some
// 2500 characters of English. Fyne wraps a paragraph in a time that grows with the square of its length: 0.2 s at 3000
// characters, 1 s at 8000, 14 s at 32,000 on one core, and half of that for every key.
const maxPrompt = 3000

// promptLimit says it, without a full stop.
var promptLimit = fmt.Sprintf("A prompt has at most %d characters here, %d in scripts such as Arabic and Chinese",
	maxPrompt, maxPrompt/6)

// space is how much of maxPrompt a character takes. Where no font of the system has a character, Fyne's search for one
// makes the time grow with the cube of the text's length: 1.3 s at 600 characters of Hangul. Scripts that this can
// happen to, of which 500 characters are about 500 tokens, take six times the space.
func space(r rune) int {
	const hebrew = 0x590 // Latin, Greek, Cyrillic and Armenian come before it, and are in the window's own font
	if r < hebrew {
		return 1
	}
	return 6
}

// spaces is how much of maxPrompt a text takes.
func spaces(text string) (n int) {
	for _, r := range text {
		n += space(r)
	}
	return n
}

// fitting returns the beginning of text that takes n spaces at most.
func fitting(text string, n int) string {
	for i, r := range text {
		if n -= space(r); n < 0 {
			return text[:i]
		}
	}
	return text
}

// admit is the one door of the prompt's box. It returns what of text may enter where room spaces are left, by the rule
// that holds for prompts everywhere, and says what it left out.
func (p *promptPanel) admit(text string, room int) string {
	total := utf8.RuneCountInString(text)
	// What is far beyond is left out before the rule is applied, which knows a limit in bytes. Line ends of two
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

// pasteText pastes what of the clipboard's text may enter, in the place of what is selected.
func (e *promptEntry) pasteText(clipboard fyne.Clipboard) {
	room := maxPrompt - spaces(e.Text) + spaces(e.SelectedText())
	if text := e.panel.admit(clipboard.Content(), room); text != "" {
		e.Entry.TypedShortcut(&fyne.ShortcutPaste{Clipboard: ui.Bounded(text)})
	}
}

// TypedRune types where there is room.
func (e *promptEntry) TypedRune(r rune) {
	if e.SelectedText() == "" && spaces(e.Text)+space(r) > maxPrompt {
		e.panel.notice.Say(promptLimit + ".")
		return
	}
	e.Entry.TypedRune(r)
}
