package app

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"fyne.io/fyne/v2"

	"kleinbild/history"
	"kleinbild/inference"
	"kleinbild/inference/picture"
)

// drop is what the window does with files from a file manager: onto a slot, they fill it and those after it; anywhere
// else, the next free slots. A picture that Kleinbild made can have its settings back instead.
func (s *session) drop(pos fyne.Position, uris []fyne.URI) {
	if s.blocked() {
		s.notice.say("Close the dialog first, then drop the pictures again.")
		return
	}
	var paths []string
	for _, u := range uris {
		paths = append(paths, u.Path())
	}
	number := 0
	if c := s.slots.at(pos); c != nil {
		number = c.number
	}
	s.receive(number, paths)
}

// receive looks at what came, away from Fyne's goroutine, and fills slots with it.
func (s *session) receive(number int, paths []string) {
	store := s.store
	s.background(func() func() {
		files, complaint := sift(paths)
		var made *picture.Metadata
		var by string // who made it, and what of that means nothing here
		if len(files) == 1 {
			if origin, err := picture.ReadOriginFile(files[0]); err == nil {
				origin.References = origin.References[:min(len(origin.References), inference.MaxReferences)]
				s.locate(store, origin.References, filepath.Dir(files[0]))
				made, by = settingsOf(origin)
			}
		}
		return func() {
			if complaint != "" {
				s.notice.say(complaint)
			}
			switch {
			case made == nil || number > 0:
				s.slots.add(number, files)
				if made != nil {
					s.notice.ask(by+".", action{"Restore its settings", func() { s.restore(*made) }})
				}
			default:
				s.notice.ask(by+": “"+shorten(made.Prompt, 60)+"”",
					action{"Restore its settings", func() { s.restore(*made) }},
					action{"Use as reference", func() { s.slots.add(0, files) }})
			}
		}
	})
}

// settingsOf returns what of an origin can be restored, and the words for it. What another program did not write is drawn
// or left to the model.
func settingsOf(origin picture.Origin) (*picture.Metadata, string) {
	meta, by := origin.Metadata, origin.Program+" made this picture"
	if !origin.HasSeed {
		meta.Seed = inference.RandomSeed()
	}
	said := origin.Notes
	if len(origin.Ignored) > 0 {
		said = append(said, "ignored: "+strings.Join(origin.Ignored, ", "))
	}
	if len(said) > 0 {
		by += " (" + shorten(strings.Join(said, "; "), 160) + ")"
	}
	return &meta, by
}

// locate gives references, of which a picture has the base names, the paths of their files: those that the history knows,
// and those beside the picture. It reads the files. What is not found keeps a base name alone: the picture may be a
// stranger's, and a path in it is not to be opened, which on a network would be a login.
func (s *session) locate(store *history.Store, references []picture.ReferenceFile, beside string) {
	for i, r := range references {
		path, err := store.FindReference(s.closing, r, beside)
		if err != nil {
			path = picture.BaseName(r.Path)
		}
		references[i].Path = path
	}
}

// webAddress is an address as it comes when it was taken for a path.
var webAddress = regexp.MustCompile(`(^|/)https?:/`)

// sift keeps the files and says in one sentence what is wrong with the rest.
func sift(paths []string) (files []string, complaint string) {
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case err != nil && webAddress.MatchString(filepath.ToSlash(path)):
			complaint = "That is an address on the web: save the picture as a file first, then drop the file."
		case err != nil:
			complaint = fmt.Sprintf("%s is not there.", filepath.Base(path))
		case info.IsDir():
			complaint = fmt.Sprintf("%s is a folder: drop the pictures in it.", filepath.Base(path))
		case !info.Mode().IsRegular():
			complaint = fmt.Sprintf("%s is not a file.", filepath.Base(path))
		default:
			files = append(files, path)
		}
	}
	return files, complaint
}
