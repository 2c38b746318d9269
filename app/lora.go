package app

import (
	"fmt"
	"path/filepath"
	"strings"

	"fyne.io/fyne/v2"
	fynedialog "fyne.io/fyne/v2/dialog"
	"fyne.io/fyne/v2/storage"

	"github.com/kleinbild/kleinbild/app/dialog"
	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
)

// loraExtensions are the files that adapters come in.
var loraExtensions = []string{"safetensors", "sft"}

// isLoRAFile says whether a file that was dropped is to be taken as an adapter.
func isLoRAFile(path string) bool {
	ext := strings.ToLower(strings.TrimPrefix(filepath.Ext(path), "."))
	return ext == loraExtensions[0] || ext == loraExtensions[1]
}

// splitLoRAs separates adapters from pictures.
func splitLoRAs(files []string) (pictures, adapters []string) {
	for _, f := range files {
		if isLoRAFile(f) {
			adapters = append(adapters, f)
		} else {
			pictures = append(pictures, f)
		}
	}
	return pictures, adapters
}

// addLoRAs puts files on the desk that are adapters for the model that is open. Of any other the user is told why it is
// none.
func (s *session) addLoRAs(files []string) {
	for _, path := range files {
		s.LoRAs.Open(path, func(l studio.LoRA, err error) {
			if err != nil {
				s.notice.Say(fmt.Sprintf("%s was not added. %s", filepath.Base(path), explain(err)))
				return
			}
			s.Desk.Choose(func(d *studio.Desk) { d.AddLoRA(l) })
			s.lora.unfold()
			s.frame.reveal(s.lora.content)
		})
	}
}

// pickLoRA asks for the file of an adapter.
func (s *session) pickLoRA() {
	s.pick(func(owner uintptr) ([]string, error) {
		return dialog.File().Title("Choose a LoRA").Filter("LoRA", loraExtensions...).Owner(owner).LoadMany()
	}, func() {
		d := fynedialog.NewFileOpen(func(f fyne.URIReadCloser, err error) {
			if err != nil {
				s.notice.fail(err)
			} else if f != nil {
				f.Close()
				s.addLoRAs([]string{f.URI().Path()})
			}
		}, s.win)
		d.SetFilter(storage.NewExtensionFileFilter([]string{".safetensors", ".sft"}))
		d.Resize(s.fallbackSize())
		d.Show()
	}, s.addLoRAs)
}

// lorasReady says whether the adapters of the desk can be used now. If one has to be read first, Generate waits for it;
// if one cannot be used, the user is told, and no picture is made without it.
func (s *session) lorasReady() bool {
	wait, err := s.LoRAs.Prepare(s.Desk.Desk())
	switch {
	case err != nil:
		s.notice.fail(err)
		s.lora.unfold()
		return false
	case wait:
		s.waiting = true
		s.prompt.refresh()
		return false
	}
	return true
}

// lorasChanged goes on with a Generate that waits for an adapter, and brings the list of adapters up to date.
func (s *session) lorasChanged() {
	s.slotRead(true)
	if s.loraList != nil && s.loraList.modal.IsOpen() {
		s.loraList.refresh()
	}
}

// toggleLoRAs folds or unfolds the list of adapters, and brings it into sight.
func (s *session) toggleLoRAs() {
	s.lora.toggle()
	if s.lora.open {
		s.frame.reveal(s.lora.content)
		s.focus(s.lora.add)
	}
}

// insertWord puts a trigger word into the prompt.
func (s *session) insertWord(word string) { s.prompt.insertWord(word) }

// tagsLine says which adapters the prompt names, and which tags mean nothing, in the colour of errors.
func (p *promptPanel) tagsLine() (text string, color fyne.ThemeColorName) {
	found, left := p.LoRAs.Tags(p.entry.Text)
	var list []string
	for _, l := range found {
		list = append(list, fmt.Sprintf("%s %g", l.Name, l.Strength))
	}
	if len(left) > 0 {
		return shorten(left[0], 40) + " is no LoRA here", ui.ColorError
	}
	if len(list) == 0 {
		return "", ui.ColorDim
	}
	return "LoRA " + shorten(strings.Join(list, ", "), 60), ui.ColorAccent
}
