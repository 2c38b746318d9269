package app

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/shirou/gopsutil/v4/mem"

	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
)

// openModel opens the engine of another computer if one is used, otherwise the model that opts and the settings name.
// It takes the place of the one that is open or being opened.
func (s *session) openModel(opts inference.Options) {
	if r, connect := s.cfg.Remote, s.cfg.Connect; s.cfg.UseRemote && connect != nil {
		s.Model.OpenBy(func(ctx context.Context) (Engine, error) { return connect(ctx, r) })
		return
	}
	opts.Setting = s.cfg.ModelSetting
	opts.Device = s.set.Device()
	s.Model.Open(opts)
}

// useModel opens a model and remembers it.
func (s *session) useModel(spec string) {
	s.cfg.ModelSetting = spec
	s.leaveRemote()
	if remember := s.cfg.RememberModel; remember != nil {
		s.Loop.Background(func() func() {
			if err := remember(spec); err != nil {
				return func() { s.notice.Say("The choice of the model could not be kept: " + explain(err)) }
			}
			return nil
		})
	}
	s.openModel(inference.Options{})
	s.view.refresh()
}

// computeAnywhere forgets the choice of a device, and opens the model.
func (s *session) computeAnywhere() { s.advanced.device.SetSelected(deviceChoices[0][0]) }

// chooseModel goes to the page that offers models.
func (s *session) chooseModel() {
	s.leaveGallery()
	s.start.asked = true
	s.start.look()
	s.view.refresh()
}

func (s *session) startLeft() { s.view.refresh() }

// example puts a prompt into the box, ready to be changed.
func (s *session) example(prompt string) {
	s.prompt.setText(prompt)
	s.focus(s.prompt.entry)
}

// tryPrompt puts a prompt into an empty box.
func (s *session) tryPrompt(text string) {
	if s.prompt.entry.Text == "" {
		s.prompt.setText(text)
	}
}

// opened says what the user has to know about a model that is open now, or that could not be opened.
func (s *session) opened(err error) {
	if s.Model.OnlyDemo() && !s.set.DemoTried() {
		s.start.asked = true
	}
	s.view.refresh()
	if err != nil {
		return
	}
	info, _ := s.Model.Info()
	var sentences []string
	for _, notice := range slices.Concat(info.Notices, []string{s.tightMemory(info)}) {
		sentences = append(sentences, sentence(notice))
	}
	switch {
	case info.Remote != "" && info.Demo:
		s.notice.Say(info.Remote + " has the demo model only: simple drawings.")
	case info.Remote != "" && len(info.Notices) > 0:
		s.notice.Say(info.Remote + ": " + strings.TrimSpace(strings.Join(sentences, " ")))
	case info.Remote != "":
	case info.Demo:
		if !s.start.asked {
			s.sayDemo()
		}
	default:
		if text := strings.TrimSpace(strings.Join(sentences, " ")); text != "" {
			s.notice.Say(text)
		}
	}
	s.Maker.Next()
}

// sayDemo says that the demo model is in use, and offers a real one.
func (s *session) sayDemo() {
	s.notice.Say("Demo model: simple drawings only.", ui.Action{Text: "Get the real one…", Do: s.chooseModel})
}

// tightMemory says in a sentence that the model does not fit into this machine's memory.
func (s *session) tightMemory(info inference.Info) string {
	memory, err := mem.VirtualMemory()
	if err != nil || info.Remote != "" || int64(memory.Total) > info.SizeBytes+2<<30 {
		return ""
	}
	return fmt.Sprintf("The model is larger than this machine's memory (%s of %s GB): it is read from the disk in "+
		"every step, which is slow. A smaller model or closing other programs helps.",
		gigabytes(info.SizeBytes), gigabytes(int64(memory.Total)))
}
