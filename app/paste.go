package app

import (
	"bytes"
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"runtime"
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
	s.background(func() func() {
		if paths := pathsIn(content); len(paths) > 0 {
			return func() { s.receive(0, paths) }
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
		s.notice.say("All four slots are taken: remove a picture first, then paste.")
		return
	}
	store := s.desks
	s.slots.read(number, studio.Slot{Digest: studio.Digest(file)}, func(ctx context.Context) (inference.Reference, error) {
		ref, err := picture.Decode(ctx, bytes.NewReader(file))
		if err == nil && store != nil { // it lies nowhere else
			if _, failed := store.Keep(file); failed != nil {
				s.post(func() { s.notice.say("The pasted picture may not be there the next time: " + explain(failed)) })
			}
		}
		return inference.Reference{Reference: ref}, err
	})
}

// pathsIn returns the files that a file manager put on the clipboard as text: addresses or absolute paths, one a line,
// and nothing else.
func pathsIn(text string) (paths []string) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case strings.HasPrefix(line, "file://"):
			u, err := url.Parse(line)
			if err != nil {
				return nil
			}
			path := u.Path
			if runtime.GOOS == "windows" {
				path = strings.TrimPrefix(path, "/") // /C:/…
			}
			paths = append(paths, filepath.FromSlash(path))
		case filepath.IsAbs(line):
			paths = append(paths, line)
		default:
			return nil
		}
	}
	if files, _ := sift(paths); len(files) == 0 {
		return nil // text that only looks like paths
	}
	return paths
}
