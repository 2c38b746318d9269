package app

import (
	"errors"
	"path/filepath"
	"strings"

	"github.com/kleinbild/kleinbild/app/shell"
)

// paste takes files or a picture from the clipboard into the next free slot. If there is text instead, it calls text,
// which pastes it; text is nil if no text can be pasted.
func (s *session) paste(text func()) {
	content := s.app.Clipboard().Content()
	s.Loop.Background(func() func() {
		if items := itemsIn(content); len(items) > 0 {
			return func() { s.receive(0, items) }
		}
		if content != "" {
			return text
		}
		if paths, err := shell.PasteFiles(); err == nil && len(paths) > 0 {
			return func() { s.receive(0, paths) }
		}
		file, err := shell.PastePicture()
		return func() {
			switch {
			case errors.Is(err, shell.ErrNoPicture) && text != nil:
				text()
			case err != nil:
				s.notice.fail(err)
			default:
				s.pastePicture(file)
			}
		}
	})
}

func (s *session) pastePicture(file []byte) {
	if s.board.on && !s.gallery.open {
		s.board.paste(file)
		return
	}
	if s.slots.free() == 0 {
		s.notice.Say("All four slots are taken: remove a picture first, then paste.")
		return
	}
	s.Reader.Paste(file)
}

// maxPastedItems bounds the lines that are read as names of files. A text with more lines is taken for a text.
const maxPastedItems = 10_000

// itemsIn returns what a file manager puts on the clipboard as text: addresses of files or absolute paths, one in each
// line. It returns nothing if the text holds anything else, or if it holds paths alone of which none is a file of this
// computer.
func itemsIn(text string) (items []string) {
	address := false
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		isAddress := strings.HasPrefix(strings.ToLower(line), "file:/")
		switch {
		case line == "":
			continue
		case !isAddress && !filepath.IsAbs(line), len(items) == maxPastedItems:
			return nil
		}
		address = address || isAddress
		items = append(items, line)
	}
	if !address {
		if files, _, _ := sift(items); len(files) == 0 {
			return nil
		}
	}
	return items
}
