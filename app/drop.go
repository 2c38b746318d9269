package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// drop takes files from a file manager. If they are dropped on a slot, they fill it and the slots after it; anywhere
// else, they fill the next free slots. For a picture that Kleinbild made, a notice offers to restore its settings
// instead.
func (s *session) drop(pos fyne.Position, uris []fyne.URI) {
	if s.blocked() {
		s.notice.Say("Close the dialog first, then drop the pictures again.")
		return
	}
	var items []string
	for _, u := range uris {
		if u.Scheme() == "file" && u.Authority() == "" { // its path is not escaped
			items = append(items, u.Path())
		} else {
			items = append(items, u.String())
		}
	}
	number := 0
	if c := s.slots.at(pos); c != nil {
		number = c.number
	}
	if s.board.on && number == 0 && !s.gallery.open {
		s.board.take(items, &pos)
		return
	}
	s.receive(number, items)
}

// receive takes addresses or paths: it looks at the files away from Fyne's goroutine, and fills slots with them, as
// place does. For a folder it asks whether one instruction is for all its pictures. While the board is on show, it
// takes what is not for a slot.
func (s *session) receive(number int, items []string) {
	if s.board.on && number == 0 && !s.gallery.open {
		s.board.take(items, nil)
		return
	}
	store := s.Album.Store()
	s.Loop.Background(func() func() {
		files, folders, complaint := sift(items)
		files, adapters := splitLoRAs(files)
		var made *picture.Metadata
		var by string // who made it, and which of its settings mean nothing here
		var mask studio.Mask
		if len(files) == 1 {
			origin, err := picture.ReadOriginFile(files[0])
			if errors.Is(err, picture.ErrTooLong) {
				complaint = fmt.Sprintf("%s says more of how it was made than is read: its settings cannot be restored.",
					filepath.Base(files[0]))
			}
			if err == nil {
				origin.References = origin.References[:min(len(origin.References), inference.MaxReferences)]
				s.locate(store, origin.References, filepath.Dir(files[0]))
				made, by = settingsOf(origin)
				mask = s.findMask(store, *made, files[0])
			}
		}
		return func() {
			if complaint != "" {
				s.notice.Say(complaint)
			}
			s.addLoRAs(adapters)
			switch {
			case folders && len(files) > 1:
				s.offerEach(number, inference.MaxReferences-s.slots.count(), files)
			case len(files) == 0:
			case made == nil || number > 0:
				s.place(number, files)
				if made != nil {
					s.notice.Ask(by+".", ui.Action{Text: "Restore its settings", Do: func() { s.restore(*made, mask) }})
				}
			default:
				s.notice.Ask(by+": “"+shorten(made.Prompt, 60)+"”",
					ui.Action{Text: "Restore its settings", Do: func() { s.restore(*made, mask) }},
					ui.Action{Text: "Use as reference", Do: func() { s.slots.add(0, files) }})
			}
		}
	})
}

// settingsOf returns the settings of an origin that can be restored, and a text that names the program that made the
// picture and the settings that are ignored. If there is no seed, one is drawn; other missing settings are left to the
// model.
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

// locate replaces the base names of references, which are all that a picture holds of them, by the paths of their files
// if the history knows them or if they lie beside the picture. It reads the files. A reference that is not found keeps
// its base name: the picture may be a stranger's, and opening a path that it names could log in to a network.
func (s *session) locate(store *history.Store, references []picture.ReferenceFile, beside string) {
	for i, r := range references {
		path, err := store.FindReference(s.Loop.Closing, r, beside)
		if err != nil {
			path = picture.BaseName(r.Path)
		}
		references[i].Path = path
	}
}

// webAddress matches an address on the web that was taken for a path.
var webAddress = regexp.MustCompile(`(^|/)https?:/`)

// sift returns the items that are files of this computer, and says in a sentence or two what is wrong with the others.
// A folder stands for the pictures in it; folders says whether there was one.
func sift(items []string) (files []string, folders bool, complaint string) {
	host, _ := os.Hostname() // without one, only localhost is this computer
	refused := 0
	for _, item := range items {
		local, refusal := localFile(item, host, runtime.GOOS == "windows")
		if refusal == "" {
			refusal = noFile(local)
		}
		if refusal == "" {
			files = append(files, local)
			continue
		}
		if inside, _, err := picture.InFolder(local); err == nil && len(inside) > 0 {
			files, folders = append(files, inside...), true
			continue
		}
		if refused++; refused == 1 {
			complaint = refusal
		}
	}
	if refused > 1 {
		complaint += fmt.Sprintf(" %d others could not be taken either.", refused-1)
	}
	return files, folders, complaint
}

// noFile says what lies at a path instead of a file, "" for a file; of a folder, that it has no pictures.
func noFile(local string) string {
	info, err := os.Stat(local)
	name := shorten(filepath.Base(local), 60)
	switch {
	case err != nil && webAddress.MatchString(filepath.ToSlash(local)):
		return onTheWeb
	case errors.Is(err, fs.ErrNotExist):
		return name + " is not there."
	case err != nil:
		return explain(err)
	case info.IsDir():
		return name + " is a folder without pictures."
	case !info.Mode().IsRegular():
		return name + " is not a file."
	}
	return ""
}
