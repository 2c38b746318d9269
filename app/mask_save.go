package app

import (
	"bytes"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strings"

	"github.com/kleinbild/kleinbild/app/studio/paint"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/atomicfile"
)

// finishedShown says whether a finished picture is on show.
func (s *session) finishedShown() bool { return s.view.shown != nil && !s.view.previewing }

// layEdit has the rows about an edit show the desk.
func (s *session) layEdit() { s.advanced.edit.lay(s.Desk.Desk()) }

// saveMask asks for a place and saves a mask there as PNG.
func (s *session) saveMask(mask *paint.Mask) {
	name := "mask.png"
	if slots := s.Desk.Desk().Slots; len(slots) > 0 && slots[0].Path != "" {
		name = strings.TrimSuffix(slots[0].Name(), filepath.Ext(slots[0].Name())) + "-mask.png"
	}
	s.pickSave(s.PicturesDir(), name, func(path string, asked bool) { s.saveMaskTo(mask, path, asked) })
}

// saveMaskTo saves a mask in a file. asked says that the user has agreed to replace a file of that name.
func (s *session) saveMaskTo(mask *paint.Mask, path string, asked bool) {
	if !strings.EqualFold(filepath.Ext(path), ".png") {
		path, asked = path+".png", false
	}
	s.Loop.Background(func() func() {
		if _, err := os.Lstat(path); err == nil && !asked {
			return func() {
				replace := ui.Action{Text: "Replace", Do: func() { s.saveMaskTo(mask, path, true) }}
				s.ask(fmt.Sprintf("%s is there already. Replace it?", path), replace, ui.Action{Text: "Cancel"})
			}
		}
		var file bytes.Buffer
		err := png.Encode(&file, mask.Gray())
		if err == nil {
			err = atomicfile.Write(path, file.Bytes(), 0o666)
		}
		return func() {
			if err != nil {
				s.notice.fail(err)
				return
			}
			s.notice.Say("The mask was saved as " + path + ".")
		}
	})
}
