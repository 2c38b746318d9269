package app

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"kleinbild/app/shell"
	"kleinbild/app/studio"
	"kleinbild/inference"
	"kleinbild/inference/picture"
)

// paste takes files or a picture from the clipboard into the next free slot. Where there is text instead, text pastes
// it; that is nil where no text can go.
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
	number := s.slots.free()
	if number == 0 {
		s.notice.Say("All four slots are taken: remove a picture first, then paste.")
		return
	}
	store := s.Keeper.Store()
	s.slots.read(number, studio.Slot{Digest: studio.Digest(file)}, func(ctx context.Context) (inference.Reference, error) {
		ref, err := picture.Decode(ctx, file)
		if err == nil && store != nil { // it lies nowhere else
			if _, failed := store.Keep(file); failed != nil {
				s.Loop.Post(func() { s.notice.Say("The pasted picture may not be there the next time: " + explain(failed)) })
			}
		}
		return inference.Reference{Reference: ref}, err
	})
}

// maxPastedItems bounds the lines that are looked at as files; a text with more is a text.
const maxPastedItems = 10_000

// itemsIn returns what a file manager put on the clipboard as text: addresses of files or absolute paths, one a line,
// and nothing else. A text without an address that names no file of this computer's only looks like paths.
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
		if files, _ := sift(items); len(files) == 0 {
			return nil
		}
	}
	return items
}
