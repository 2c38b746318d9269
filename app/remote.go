package app

import (
	"context"
	"net/netip"
	"net/url"
	"strings"

	"fyne.io/fyne/v2"
	"fyne.io/fyne/v2/widget"

	"github.com/kleinbild/kleinbild/app/ui"
	"github.com/kleinbild/kleinbild/inference"
)

// remote returns the other computer that is used, or was used last.
func (s *session) remote() (r Remote, use bool) { return s.cfg.Remote, s.cfg.UseRemote }

// useRemote takes an engine that was opened on another computer.
func (s *session) useRemote(r Remote, engine Engine) {
	s.cfg.Remote, s.cfg.UseRemote = r, true
	s.rememberRemote()
	s.Model.OpenBy(func(context.Context) (Engine, error) { return engine, nil })
	s.start.asked = false
	s.view.refresh()
}

// useThisComputer makes pictures on this computer again.
func (s *session) useThisComputer() {
	s.leaveRemote()
	s.openModel(inference.Options{})
	s.start.asked = false
	s.view.refresh()
}

// leaveRemote uses the other computer no more. Its address and token are kept for the next time.
func (s *session) leaveRemote() {
	if s.cfg.UseRemote {
		s.cfg.UseRemote = false
		s.rememberRemote()
	}
}

// retryRemote tries again to reach the other computer.
func (s *session) retryRemote() {
	s.openModel(inference.Options{})
	s.view.refresh()
}

func (s *session) rememberRemote() {
	r, use, remember := s.cfg.Remote, s.cfg.UseRemote, s.cfg.RememberRemote
	if remember == nil {
		return
	}
	s.Loop.Background(func() func() {
		if err := remember(r, use); err != nil {
			return func() { s.notice.Say("The choice of the computer could not be kept: " + explain(err)) }
		}
		return nil
	})
}

// tryAgain goes on with what met a fault that passes.
func (s *session) tryAgain() { s.Maker.GoOn() }

// remoteRows are the rows about another computer.
func (p *startPage) remoteRows() []fyne.CanvasObject {
	if p.cfg.Connect == nil {
		return nil
	}
	rows := []fyne.CanvasObject{spaced(ui.NewHeading("Another computer"))}
	r, use := p.host.remote()
	if !use {
		choose := ui.NewButton("Use another computer…", p.host.chooseRemote)
		return append(rows, p.row("Its graphics card", "on which “kleinbild serve” runs", "", choose))
	}
	again := ui.NewButton("Try again", p.host.retryRemote)
	switch {
	case p.Model.Opening():
		again.SetDisabled(true)
	case p.Model.Engine() != nil:
		again = ui.NewButton("In use", p.leave)
		again.Chosen = true
	}
	return append(rows,
		p.row(shownHost(r.Address), "makes the pictures", "", again),
		p.row("A different one", "with its own address and token", "", ui.NewButton("Change…", p.host.chooseRemote)),
		p.row("This computer", "makes the pictures itself again", "",
			ui.NewButton("Use this computer again", p.host.useThisComputer)))
}

// shownHost returns an address without its scheme.
func shownHost(address string) string {
	if _, host, ok := strings.Cut(address, "://"); ok {
		return host
	}
	return address
}

// remoteDialog asks for another computer. It stays until that has answered or the user gives up.
type remoteDialog struct {
	s       *session
	modal   *ui.Modal
	address *ui.Field
	token   *ui.Field
	open    *widget.Check // allows a connection that is not encrypted
	openRow fyne.CanvasObject
	state   *ui.SentenceLabel
	stop    context.CancelFunc // ends the attempt under way; nil for none
	ca      string
}

func (s *session) chooseRemote() { s.showRemoteDialog() }

const (
	remoteDialogHeight float32 = 252
	remoteTokenKept            = "kept from the last time"
	remoteTokenWanted          = "the word in the file that kleinbild serve names there"
)

func (s *session) showRemoteDialog() *remoteDialog {
	d := &remoteDialog{s: s, address: ui.NewField(s.keys), token: ui.NewField(s.keys), ca: s.cfg.Remote.CA}
	title := ui.NewLabel("Use another computer", ui.ColorText, "headingText")
	about := ui.NewCaption("Prompts and reference pictures go there. Pictures and history stay here.")
	addressName, tokenName := ui.NewCaption("Address"), ui.NewCaption("Token")
	d.address.SetPlaceHolder("https://studio.lan:7820")
	d.token.Password = true
	d.open, d.openRow = ui.NewCheck("Unencrypted: everybody on the way can read along")
	d.open.SetChecked(s.cfg.Remote.Insecure)
	d.state = ui.NewSentenceLabel("")
	d.address.OnChanged = func(string) { d.refresh() }
	d.address.OnSubmitted = func(string) { s.win.Canvas().Focus(d.token) }
	d.token.OnSubmitted = func(string) { d.connect() }
	d.address.SetText(s.cfg.Remote.Address)
	body := ui.Arranged(ui.Fixed(0, remoteDialogHeight), func(size fyne.Size) {
		const name = 76
		ui.At(title, 0, 0, size.Width, 28)
		ui.At(about, 0, 30, size.Width, 20)
		ui.At(addressName, 0, 62, name, ui.FieldHeight)
		ui.At(d.address, name, 62, size.Width-name, ui.FieldHeight)
		ui.At(tokenName, 0, 106, name, ui.FieldHeight)
		ui.At(d.token, name, 106, size.Width-name, ui.FieldHeight)
		ui.At(d.openRow, name-6, 146, size.Width-name+6, ui.FieldHeight)
		ui.At(d.state, -8, 184, size.Width+16, remoteDialogHeight-184)
	}, title, about, addressName, d.address, tokenName, d.token, d.openRow, d.state)
	d.modal = s.showModal(body,
		ui.Action{Text: "Cancel", Do: d.giveUp}, ui.Action{Text: "Connect", Do: d.connect, Stay: true})
	d.refresh()
	s.win.Canvas().Focus(d.address)
	return d
}

// refresh shows the tick box if the address needs it, and whether a token is kept.
func (d *remoteDialog) refresh() {
	ui.Show(d.openRow, needsNoEncryption(d.address.Text))
	hint := remoteTokenWanted
	if address := strings.TrimSpace(d.address.Text); address != "" && address == d.s.cfg.Remote.Address {
		hint = remoteTokenKept
	}
	d.token.SetPlaceHolder(hint)
}

// needsNoEncryption says whether an address is one of another computer that is reached without encryption.
func needsNoEncryption(address string) bool {
	u, err := url.Parse(strings.TrimSpace(address))
	if err != nil || !strings.EqualFold(u.Scheme, "http") || u.Hostname() == "" {
		return false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return !strings.EqualFold(u.Hostname(), "localhost") && (err != nil || !ip.Unmap().IsLoopback())
}

// connect tests the connection. If the other computer can be used, it is used from now on.
func (d *remoteDialog) connect() {
	if d.stop != nil || !d.modal.IsOpen() {
		return
	}
	r := Remote{
		Address: strings.TrimSpace(d.address.Text), Token: strings.TrimSpace(d.token.Text), CA: d.ca,
		Insecure: d.openRow.Visible() && d.open.Checked,
	}
	if r.Address == "" {
		d.s.win.Canvas().Focus(d.address)
		return
	}
	if last := d.s.cfg.Remote; r.Token == "" && r.Address == last.Address {
		r.Token = last.Token // one that was given to this window and is not kept
	}
	ctx, stop := context.WithCancel(d.s.Loop.Closing)
	d.stop = stop
	d.state.Set("Connecting…", false)
	connect := d.s.cfg.Connect
	d.s.Loop.Background(func() func() {
		engine, err := connect(ctx, r)
		return func() {
			given := ctx.Err() != nil || !d.modal.IsOpen()
			stop()
			d.stop = nil
			switch {
			case err == nil && given:
				d.s.Loop.Background(func() func() { _ = engine.Close(); return nil })
			case given:
			case err != nil:
				d.state.Set(explain(err), true)
			default:
				d.modal.Close()
				d.s.useRemote(r, engine)
			}
		}
	})
}

// giveUp ends the attempt under way.
func (d *remoteDialog) giveUp() {
	if d.stop != nil {
		d.stop()
	}
}
