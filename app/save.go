package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kleinbild/kleinbild/app/shell"
	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/atomicfile"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// choosePicturesDir asks for the folder of results.
func (s *session) choosePicturesDir() {
	s.pickFolder("Where to save pictures", s.PicturesDir(), func(dir string) {
		s.Loop.Background(func() func() {
			err := studio.PrepareDir(dir)
			return func() {
				if err != nil {
					s.notice.fail(err)
					return
				}
				s.set.SetPicturesDir(dir)
				s.advanced.refresh()
				s.notice.Say("Pictures are now saved in " + dir + ".")
			}
		})
	})
}

// saveCopy asks for a place and writes the picture on show there.
func (s *session) saveCopy() {
	p := s.view.shown
	if p == nil {
		s.notice.Say("There is no picture to save yet.")
		return
	}
	name := studio.FileName(p.Meta.Prompt, p.Meta.Seed)
	if p.Path != "" { // the picture itself has that name
		name = strings.TrimSuffix(name, ".png") + "-copy.png"
	}
	s.saveCopyAs(p, s.PicturesDir(), name)
}

// saveCopyAs proposes a folder and a name.
func (s *session) saveCopyAs(p *studio.Picture, dir, name string) {
	s.pickSave(dir, name, func(path string, asked bool) { s.saveTo(p, path, asked) })
}

// copyFormats are the endings that picture.WriteCopy knows.
var copyFormats = []string{".png", ".jpg", ".jpeg", ".webp"}

// completeName returns a name with its ending: a name without one is saved as PNG. If the ending is not that of a
// format that can be written, it returns a sentence for the user instead.
func completeName(path string) (complete, refusal string) {
	path = strings.TrimRight(path, ". ")
	base := filepath.Base(path)
	extension := filepath.Ext(base)
	switch {
	case path == "" || base == extension || base == string(filepath.Separator):
		return "", "The copy needs a name."
	case extension == "":
		path += ".png"
	case !slices.Contains(copyFormats, strings.ToLower(extension)):
		return "", fmt.Sprintf("%s was not saved: a copy is a PNG, JPEG or WebP picture, "+
			"and its name ends in .png, .jpg or .webp, not in %s.", base, extension)
	}
	if err := atomicfile.CheckName(path); err != nil {
		return "", shorten(base, 60) + " was not saved: " + err.Error() + "."
	}
	return path, ""
}

// saveTo writes a copy to the file that was chosen. Its name is completed and checked first; a file of the final name
// is replaced only if the user was asked about that very name. asked says that the dialog did so for path.
func (s *session) saveTo(p *studio.Picture, path string, asked bool) {
	complete, refusal := completeName(path)
	again := ui.Action{Text: "Choose another name…", Do: func() {
		stem := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		s.saveCopyAs(p, filepath.Dir(path), stem+".png")
	}}
	if refusal != "" {
		s.notice.Say(refusal, again)
		return
	}
	asked = asked && complete == path
	s.Loop.Background(func() func() {
		_, err := os.Lstat(complete)
		info, there := os.Stat(complete)
		return func() {
			if there == nil && info.IsDir() {
				s.notice.Ask(complete+" is a folder.", again)
				return
			}
			if err == nil && !asked {
				replace := ui.Action{Text: "Replace", Do: func() { s.writeCopy(p, complete, again) }}
				s.ask(fmt.Sprintf("%s is there already. Replace it?", complete), replace, again, ui.Action{Text: "Cancel"})
				return
			}
			s.writeCopy(p, complete, again)
		}
	})
}

// writeCopy writes a copy completely or not at all, and replaces a file of that name. If that fails, it offers again.
func (s *session) writeCopy(p *studio.Picture, path string, again ui.Action) {
	s.Loop.Background(func() func() {
		img, err := p.Whole(s.Loop.Closing)
		if err == nil {
			err = picture.WriteCopy(path, img, p.Complete(), picture.CopyOptions{})
		}
		return func() {
			if err != nil {
				s.notice.Ask(explain(err), again)
				return
			}
			if p.Path == "" {
				p.Path = path
			}
			s.notice.Say("Saved as "+path+".", ui.Action{Text: "Show in folder", Do: func() { s.reveal(path) }})
		}
	})
}

// copyPicture puts the picture on show on the clipboard.
func (s *session) copyPicture() {
	if s.view.shown == nil {
		return
	}
	img, meta := s.view.shown.Image, s.view.shown.Meta
	s.Loop.Background(func() func() {
		var file strings.Builder
		err := picture.EncodePNG(&file, img, meta)
		if err == nil {
			err = shell.CopyPNG([]byte(file.String()))
		}
		return func() {
			if err != nil {
				s.notice.fail(err)
				return
			}
			s.notice.Say("Copied.")
		}
	})
}

// reveal shows a file in the file manager.
func (s *session) reveal(path string) {
	s.Loop.Background(func() func() {
		_, err := os.Stat(path)
		if err == nil {
			err = shell.Reveal(path)
		}
		return func() {
			switch {
			case errors.Is(err, fs.ErrNotExist):
				s.notice.Say(fmt.Sprintf("%s is no longer there.", path))
			case err != nil:
				s.notice.fail(err)
			}
		}
	})
}
