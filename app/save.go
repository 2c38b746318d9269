package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/kleinbild/kleinbild/app/shell"
	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/history"
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

// saveCopy asks for a place and writes the picture in hand there.
func (s *session) saveCopy() {
	if p := s.inHand(); p != nil {
		s.savePicture(p)
	} else {
		s.notice.Say("There is no picture to save yet.")
	}
}

// savePicture asks for a place and writes a picture there.
func (s *session) savePicture(p *studio.Picture) {
	name := strings.TrimSuffix(studio.FileName(p.Meta.Prompt, p.Meta.Seed), ".png")
	if p.Path != "" { // the picture itself has that name
		name += "-copy"
	}
	s.saveCopyAs(p, s.PicturesDir(), name)
}

// saveCopyAs proposes a folder and a name, in the format of the last copy.
func (s *session) saveCopyAs(p *studio.Picture, dir, name string) {
	s.pickSave(dir, name+s.set.copies().format().extensions[0], func(path string, asked bool) { s.saveTo(p, path, asked) })
}

// saveTo writes a copy to the file that was chosen. Its name is completed and checked first; a file of the final name
// is replaced only if the user was asked about that very name. asked says that the dialog did so for path.
func (s *session) saveTo(p *studio.Picture, path string, asked bool) {
	complete, refusal := completeName(path, s.set.copies().format())
	again := ui.Action{Text: "Choose another name…", Do: func() {
		stem := strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
		s.saveCopyAs(p, filepath.Dir(path), stem)
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

// writeCopy writes a copy completely or not at all, and replaces a file of that name. The name's ending chooses the
// format, which the next copy has, too. If writing fails, it offers again.
func (s *session) writeCopy(p *studio.Picture, path string, again ui.Action) {
	format, _ := formatOf(path)
	choices := s.set.copies()
	choices.setFormat(format)
	options, said := choices.options(format), choices.said(format)
	s.Loop.Background(func() func() {
		img, err := p.Whole(s.Loop.Closing)
		if err == nil {
			err = picture.WriteCopy(path, img, p.Complete(), options)
		}
		return func() {
			if err != nil {
				s.notice.Ask(explain(err), again)
				return
			}
			if p.Path == "" {
				p.Path = path
			}
			s.notice.Say("Saved as "+path+said+".", ui.Action{Text: "Show in folder", Do: func() { s.reveal(path) }})
		}
	})
}

// copyPicture puts the picture in hand on the clipboard.
func (s *session) copyPicture() {
	if p := s.inHand(); p != nil {
		s.copyPictureOf(*p)
	}
}

// copyPictureOf puts a picture on the clipboard, as it is shown.
func (s *session) copyPictureOf(p studio.Picture) {
	s.Loop.Background(func() func() {
		img, err := p.Image, error(nil)
		if img == nil {
			img, err = s.readEntry(history.Entry{Path: p.Path, Picture: p.Meta})
		}
		var file strings.Builder
		if err == nil {
			err = picture.EncodePNG(&file, img, p.Meta)
		}
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

// copyFile puts the file of the picture in hand on the clipboard.
func (s *session) copyFile() {
	switch p := s.inHand(); {
	case p == nil:
	case p.Path == "":
		s.saveFirst()
	default:
		s.copyFiles(p.Path)
	}
}

// copyFiles puts files on the clipboard, to be pasted into a folder or a mail.
func (s *session) copyFiles(paths ...string) {
	s.Loop.Background(func() func() {
		var err error
		for i, path := range paths {
			if paths[i], err = filepath.Abs(path); err == nil {
				_, err = os.Stat(path)
			}
			if err != nil {
				break
			}
		}
		if err == nil {
			err = shell.CopyFiles(paths...)
		}
		return func() {
			switch {
			case err != nil:
				s.notice.fail(err)
			case len(paths) == 1:
				s.notice.Say("The file is copied: paste it into a folder or a mail.")
			default:
				s.notice.Say(fmt.Sprintf("%d files are copied: paste them into a folder or a mail.", len(paths)))
			}
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
