package app

import (
	"context"
	"errors"
	"fmt"

	"fyne.io/fyne/v2"

	"github.com/kleinbild/kleinbild/app/studio"
	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
	"github.com/kleinbild/kleinbild/inference/picture"
)

// upscaling is what the window has open to enlarge pictures.
type upscaling struct {
	panel  *upscalePanel // the last one, nil for none
	offer  *ui.Popover   // the last offer of a network, nil for none
	cancel context.CancelFunc
	bar    *ui.ProgressLine // of the download under way; cancel is nil if there is none
	state  *ui.Label
}

// upscaleSource is a picture that is to be enlarged.
type upscaleSource struct {
	path, digest string
	size         picture.Size
}

// canUpscale says whether the window can enlarge pictures.
func (s *session) canUpscale() bool { return s.cfg.OpenUpscaler != nil }

// showUpscalePanel opens the panel for the picture in hand.
func (s *session) showUpscalePanel() {
	switch p := s.inHand(); {
	case !s.canUpscale():
	case p == nil || !s.gallery.open && (s.view.previewing || s.start.content.Visible()):
		s.notice.Say("There is no finished picture on show to enlarge yet.")
	case p.Path == "":
		s.saveFirst()
	default:
		s.upscalePicture(*p)
	}
}

// upscalePicture opens the panel for a picture that was made.
func (s *session) upscalePicture(p studio.Picture) {
	source := upscaleSource{path: p.Path, size: finalSize(p.Meta)}
	if e, ok := s.Album.Find(p.ID); ok {
		source.digest = e.SHA256
	}
	s.offerUpscale(source)
}

// finalSize is the size of the picture of some metadata, also if it was enlarged.
func finalSize(m picture.Metadata) picture.Size {
	if u := m.Upscale; u != nil {
		return picture.Size{Width: u.Width, Height: u.Height}
	}
	return picture.Size{Width: m.Width, Height: m.Height}
}

// offerUpscale looks for networks and opens the panel, or offers a network if there is none.
func (s *session) offerUpscale(source upscaleSource) {
	find := s.cfg.FindUpscalers
	s.Loop.Background(func() func() {
		var networks []string
		if find != nil {
			networks = find()
		}
		return func() {
			if s.blocked() {
				return
			}
			if len(networks) == 0 {
				s.offerNetwork(source)
				return
			}
			p := newUpscalePanel(s.common, s.set.upscales(), source.size, networks, func() { s.startUpscale(source) })
			s.upscaling.panel = p
			p.Show(s.win.Canvas(), s.upscaleButton())
			s.focus(p.start)
		}
	})
}

// upscaleButton is the object above which the panel opens.
func (s *session) upscaleButton() fyne.CanvasObject {
	if s.gallery.open {
		return s.gallery.export
	}
	return s.view.upscale
}

// startUpscale puts what the panel says into the queue.
func (s *session) startUpscale(source upscaleSource) {
	u := s.upscaling.panel.asked()
	s.upscaling.panel.Close()
	if s.Maker.Run() == nil {
		s.view.away = false // what is made now is asked for
	}
	s.Queue.Add(studio.NewUpscale(source.path, source.digest, u))
	s.Maker.Next()
	s.prompt.refresh()
}

// upscaleAgain opens the panel with the choices of a batch that has left the queue.
func (s *session) upscaleAgain(b studio.Batch) {
	slot := b.Desk.Slots[0]
	s.set.upscales().take(*b.Upscale)
	source := upscaleSource{path: slot.Path, digest: slot.Digest}
	s.Loop.Background(func() func() {
		meta, err := picture.ReadMetadataFile(slot.Path)
		return func() {
			if err != nil {
				s.notice.fail(err)
				return
			}
			source.size = finalSize(meta)
			s.offerUpscale(source)
		}
	})
}

// offerNetwork offers to download a network, and goes on to the panel when it is there.
func (s *session) offerNetwork(source upscaleSource) {
	d, ok := Download{}, false
	if s.cfg.Catalogue != nil {
		d, ok = s.cfg.Catalogue.Upscaler()
	}
	if !ok {
		s.notice.Say("No network that enlarges pictures was found on this computer.")
		return
	}
	up := &s.upscaling
	if up.bar == nil {
		up.bar, up.state = ui.NewProgressLine(), ui.NewCaption("")
	}
	title := ui.NewLabel("Enlarging needs a network", ui.ColorText, ui.SizeText)
	title.Style.Bold = true
	about := ui.NewCaption(d.Title)
	asks := ui.NewCaption(fmt.Sprintf("%s · %s to download", d.Name, megabytes(d.SizeBytes)))
	allows := ui.NewCaption("Licence: " + d.Licence)
	b := ui.NewButton("Download", func() { s.downloadNetwork(d, source) })
	b.Accent = true
	if up.cancel != nil {
		b = ui.NewButton("Stop", up.cancel).Says("The download can go on later")
	}
	ui.Show(up.bar, up.cancel != nil)
	ui.Show(up.state, up.cancel != nil)
	up.offer = ui.NewPopover(ui.Arranged(ui.Fixed(320, 128), func(size fyne.Size) {
		ui.At(title, 0, 0, size.Width, 20)
		ui.At(about, 0, 24, size.Width, 18)
		ui.At(asks, 0, 42, size.Width, 18)
		ui.At(allows, 0, 60, size.Width, 18)
		ui.At(up.bar, 0, 88, size.Width, 3)
		w := b.MinSize().Width + 24
		ui.At(up.state, 0, 102, size.Width-w-ui.Gap, 18)
		ui.At(b, size.Width-w, 96, w, 32)
	}, title, about, asks, allows, up.bar, up.state, b))
	up.offer.Show(s.win.Canvas(), s.upscaleButton())
	s.focus(b)
}

// downloadNetwork fetches a network. If it is stopped, it is resumed the next time. If the user has closed the offer
// meanwhile, a notice takes the place of the panel.
func (s *session) downloadNetwork(d Download, source upscaleSource) {
	ctx, cancel := context.WithCancel(s.Loop.Closing)
	up, catalogue := &s.upscaling, s.cfg.Catalogue
	up.cancel = cancel
	up.bar.Set(0)
	up.state.Set("Connecting…", ui.ColorDim)
	up.offer.Close()
	s.offerNetwork(source) // with what stops it
	s.Loop.Background(func() func() {
		meter := newMeter(s.Loop.Post, func(done, total int64) {
			if total > 0 {
				up.bar.Set(float32(done) / float32(total))
			}
			up.state.Set(fmt.Sprintf("%s of %s", megabytes(done), megabytes(total)), ui.ColorDim)
		})
		_, err := catalogue.Get(ctx, d.Name, meter.report)
		return func() {
			stopped := ctx.Err() != nil
			cancel()
			up.cancel = nil
			open := up.offer.IsOpen()
			if open {
				up.offer.Close()
			}
			switch {
			case stopped:
				s.notice.Say("The download is stopped; it goes on from there next time.")
			case err != nil:
				s.notice.fail(err)
			case open:
				s.offerUpscale(source)
			default:
				s.notice.Say("Pictures can be enlarged now.",
					ui.Action{Text: "Upscale…", Do: func() { s.offerUpscale(source) }})
			}
		}
	})
}

// megabytes writes a number of bytes.
func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// upscaleFailed says why a batch that enlarges failed, and says whether it did.
func (s *session) upscaleFailed(e studio.Ended) bool {
	var none *inference.NoUpscalerError
	if e.Run.Batch.Upscale == nil || !errors.As(e.Err, &none) {
		return false
	}
	b := e.Run.Batch
	s.notice.Ask("The network that was to enlarge "+b.Desk.Slots[0].Name()+" is not there any more.",
		ui.Action{Text: "Choose another…", Do: func() { s.upscaleAgain(b) }})
	return true
}

// describeUpscale says a batch that enlarges in a line.
func describeUpscale(b studio.Batch) string {
	text := fmt.Sprintf("%d× · %s", b.Upscale.Scale, shorten(b.Desk.Slots[0].Name(), 60))
	if b.Upscale.Refines() {
		text += " · refined"
	}
	return text
}

// upscaleFacts returns what is known of how a picture was enlarged, as infoFacts.
func upscaleFacts(u *picture.Upscale) (facts [][2]string) {
	if u == nil {
		return nil
	}
	size := times(picture.Size{Width: u.Width, Height: u.Height})
	facts = append(facts, [2]string{"Enlarged", size}, [2]string{"", u.Model})
	if r := u.Refine; r != nil {
		facts = append(facts, [2]string{"Refined", fmt.Sprintf("strength %g", r.Strength)}, [2]string{"", r.Model})
	}
	return facts
}

// tileText says which of some tiles is made: "enlarging, tile 3 of 12".
func tileText(doing string, p inference.Progress) string {
	if p.Total == 0 {
		return doing
	}
	return fmt.Sprintf("%s, tile %d of %d", doing, min(p.Step+1, p.Total), p.Total)
}
