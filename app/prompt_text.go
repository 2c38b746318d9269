package app

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"fyne.io/fyne/v2"

	"kleinbild/inference"
)

// maxPromptRunes bounds the text in the prompt's box. The model reads 512 tokens, which are some 2500 characters of
// English. Fyne wraps a paragraph in a time that grows with the square of its length: 0.2 s at 3000 characters, 1 s at
// 8000, 14 s at 32,000 on one core, and half of that for every key.
const maxPromptRunes = 3000

// maxFieldRunes bounds the text in a box of one line: numbers, and words to search for.
const maxFieldRunes = 400

// admit is the one door of the prompt's box. It returns what of text may enter where room characters are left, by the
// rule that holds for prompts everywhere, and says what it left out.
func (s *session) admit(text string, room int) string {
	total := utf8.RuneCountInString(text)
	// What is far beyond is left out before the rule is applied, which knows a limit in bytes. Line ends of two
	// characters become one.
	text, err := inference.ParsePrompt(firstRunes(text, 2*maxPromptRunes+1))
	if err != nil {
		s.notice.say("That text cannot be a prompt. " + explain(err))
		return ""
	}
	kept := firstRunes(text, max(room, 0))
	if len(kept) == len(text) && total <= 2*maxPromptRunes+1 {
		return kept
	}
	left := total - utf8.RuneCountInString(kept)
	s.notice.say(fmt.Sprintf("A prompt has at most %d characters here: %d of the text's %d characters were left out at its end.", maxPromptRunes, left, total))
	return kept
}

// firstRunes returns the first n runes of text.
func firstRunes(text string, n int) string {
	for i := range text {
		if n == 0 {
			return text[:i]
		}
		n--
	}
	return text
}

// bounded is a clipboard that holds a text: for an entry that pastes by itself.
type bounded string

func (b bounded) Content() string { return string(b) }
func (bounded) SetContent(string) {}

// paste pastes the clipboard's beginning, as far as there is room.
func (f *field) paste(clipboard fyne.Clipboard) {
	room := maxFieldRunes - utf8.RuneCountInString(f.Text) + utf8.RuneCountInString(f.SelectedText())
	text := strings.ToValidUTF8(firstRunes(clipboard.Content(), max(room, 0)), "")
	if text != "" {
		f.Entry.TypedShortcut(&fyne.ShortcutPaste{Clipboard: bounded(text)})
	}
}

// pasteText pastes what of the clipboard's text may enter, in the place of what is selected.
func (e *promptEntry) pasteText(clipboard fyne.Clipboard) {
	room := maxPromptRunes - utf8.RuneCountInString(e.Text) + utf8.RuneCountInString(e.SelectedText())
	if text := e.panel.s.admit(clipboard.Content(), room); text != "" {
		e.Entry.TypedShortcut(&fyne.ShortcutPaste{Clipboard: bounded(text)})
	}
}

// TypedRune types where there is room.
func (e *promptEntry) TypedRune(r rune) {
	if e.SelectedText() == "" && utf8.RuneCountInString(e.Text) >= maxPromptRunes {
		e.panel.s.notice.say(fmt.Sprintf("A prompt has at most %d characters here.", maxPromptRunes))
		return
	}
	e.Entry.TypedRune(r)
}
