//go:build !windows

package shell

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jezek/xgb"
	"github.com/jezek/xgb/xproto"
)

// ErrNoClipboard is returned if there is no X11 server. Wayland desktops run one for programs like this, XWayland, and
// share its clipboard.
var ErrNoClipboard = errors.New("there is no clipboard for pictures here: no X11 server answers")

func init() { xgb.Logger = log.New(io.Discard, "", 0) } // xgb returns as errors what it logs.

// The clipboard follows the conventions for X11 clients (ICCCM, chapter 2): it is a selection, which one window owns,
// and other windows ask the owner to write it into a property of theirs. Data that is too large for one request is sent
// in portions (INCR). The receiver asks for the next portion by deleting the property.
const (
	portionBytes = 128 << 10
	answerTime   = 5 * time.Second // how long the other program may take, which may hang
)

// client is a connection to the X11 server with an invisible window, which owns the selection or receives it.
type client struct {
	conn   *xgb.Conn
	window xproto.Window
	events chan xgb.Event

	clipboard, incremental, targets, property xproto.Atom
}

// pngTarget is the name under which programs share PNG files.
const pngTarget = "image/png"

func newClient() (*client, error) {
	if os.Getenv("DISPLAY") == "" {
		return nil, ErrNoClipboard
	}
	conn, err := xgb.NewConn()
	if err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrNoClipboard, err)
	}
	c := &client{conn: conn, events: make(chan xgb.Event, 16)}
	if err := c.prepare(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("clipboard: %w", err)
	}
	go func() {
		defer close(c.events)
		for {
			event, err := conn.WaitForEvent()
			if event == nil && err == nil {
				return // The connection is closed.
			}
			if event != nil {
				c.events <- event
			}
		}
	}()
	return c, nil
}

// prepare looks up the atoms and makes the window.
func (c *client) prepare() (err error) {
	for name, atom := range map[string]*xproto.Atom{
		"CLIPBOARD": &c.clipboard, "INCR": &c.incremental, "TARGETS": &c.targets, "KLEINBILD": &c.property,
	} {
		if *atom, err = c.atom(name); err != nil {
			return err
		}
	}
	if c.window, err = xproto.NewWindowId(c.conn); err != nil {
		return err
	}
	screen := xproto.Setup(c.conn).DefaultScreen(c.conn)
	return xproto.CreateWindowChecked(c.conn, 0, c.window, screen.Root, 0, 0, 1, 1, 0, xproto.WindowClassInputOnly,
		screen.RootVisual, xproto.CwEventMask, []uint32{xproto.EventMaskPropertyChange}).Check()
}

// atom returns the number that the server has for a name.
func (c *client) atom(name string) (xproto.Atom, error) {
	reply, err := xproto.InternAtom(c.conn, false, uint16(len(name)), name).Reply()
	if err != nil {
		return 0, err
	}
	return reply.Atom, nil
}

// close ends the connection. It also drains the events, so that the goroutine that sends them is not blocked and ends.
func (c *client) close() {
	c.conn.Close()
	go func() {
		for range c.events {
		}
	}()
}

// waitFor waits until wanted returns true for an event, at most for answerTime. It drops all events before that one.
func (c *client) waitFor(wanted func(xgb.Event) bool) error {
	timer := time.NewTimer(answerTime)
	defer timer.Stop()
	for {
		select {
		case e, ok := <-c.events:
			if !ok {
				return errors.New("clipboard: the connection to the X11 server was lost")
			}
			if wanted(e) {
				return nil
			}
		case <-timer.C:
			return fmt.Errorf("clipboard: the program that holds the picture did not answer within %v", answerTime)
		}
	}
}

// readProperty reads and deletes the property that the other program has written.
func (c *client) readProperty() (*xproto.GetPropertyReply, error) {
	const words = maxPictureBytes / 4 // The protocol counts in units of 4 bytes.
	reply, err := xproto.GetProperty(c.conn, true, c.window, c.property, xproto.GetPropertyTypeAny, 0, words).Reply()
	if err != nil {
		return nil, fmt.Errorf("clipboard: %w", err)
	}
	return reply, nil
}

// PasteFiles returns nothing on this system, because file managers put the names of copied files on the clipboard as
// text.
func PasteFiles() ([]string, error) { return nil, nil }

// PastePicture returns the clipboard's picture as a PNG file. The error is ErrNoPicture if the clipboard holds no
// picture, and ErrNoClipboard if there is no clipboard.
func PastePicture() ([]byte, error) { return paste(pngTarget) }

// paste returns what the clipboard holds under the name of a format.
func paste(format string) ([]byte, error) {
	c, err := newClient()
	if err != nil {
		return nil, err
	}
	defer c.close()
	target, err := c.atom(format)
	if err != nil {
		return nil, fmt.Errorf("clipboard: %w", err)
	}
	xproto.ConvertSelection(c.conn, c.window, c.clipboard, target, c.property, xproto.TimeCurrentTime)
	var answer xproto.SelectionNotifyEvent
	err = c.waitFor(func(e xgb.Event) (ok bool) {
		answer, ok = e.(xproto.SelectionNotifyEvent)
		return ok
	})
	if err != nil {
		return nil, err
	}
	if answer.Property == xproto.AtomNone {
		return nil, ErrNoPicture
	}
	reply, err := c.readProperty()
	if err != nil {
		return nil, err
	}
	if reply.Type != c.incremental {
		return reply.Value, nil
	}
	var file []byte
	for {
		err := c.waitFor(func(e xgb.Event) bool {
			p, ok := e.(xproto.PropertyNotifyEvent)
			return ok && p.Atom == c.property && p.State == xproto.PropertyNewValue
		})
		if err != nil {
			return nil, err
		}
		if reply, err = c.readProperty(); err != nil {
			return nil, err
		}
		if len(reply.Value) == 0 {
			return file, nil
		}
		if file = append(file, reply.Value...); len(file) > maxPictureBytes {
			return nil, errTooLarge
		}
	}
}

// CopyPNG puts a PNG file on the clipboard, where it stays until something else is copied or this program ends. The
// error is ErrNoClipboard if there is no clipboard.
func CopyPNG(file []byte) error { return offer(content{pngTarget, file}) }

// CopyFiles puts files on the clipboard, as a file manager does: they can be pasted into folders, mails and other
// programs. Paths are absolute. Otherwise it is like CopyPNG.
func CopyFiles(paths ...string) error {
	var list, names, gnome strings.Builder
	gnome.WriteString("copy")
	for _, path := range paths {
		address := (&url.URL{Scheme: "file", Path: path}).String()
		list.WriteString(address + "\r\n")
		gnome.WriteString("\n" + address)
		names.WriteString(path + "\n")
	}
	text := []byte(strings.TrimSuffix(names.String(), "\n"))
	return offer(
		content{"text/uri-list", []byte(list.String())},
		content{"x-special/gnome-copied-files", []byte(gnome.String())}, // what file managers of GNOME ask for
		content{"UTF8_STRING", text}, content{"text/plain;charset=utf-8", text},
	)
}

// content is what the clipboard holds in a format.
type content struct {
	format string
	data   []byte
}

// offer owns the clipboard with some contents, until something else is copied.
func offer(contents ...content) error {
	c, err := newClient()
	if err != nil {
		return err
	}
	offered := map[xproto.Atom][]byte{}
	var order []xproto.Atom
	for _, o := range contents {
		atom, err := c.atom(o.format)
		if err != nil {
			c.close()
			return fmt.Errorf("clipboard: %w", err)
		}
		offered[atom] = o.data
		order = append(order, atom)
	}
	xproto.SetSelectionOwner(c.conn, c.window, c.clipboard, xproto.TimeCurrentTime)
	owner, err := xproto.GetSelectionOwner(c.conn, c.clipboard).Reply()
	if err != nil || owner.Owner != c.window {
		c.close()
		return errors.New("clipboard: another program holds it: try again")
	}
	go c.serve(offered, order)
	return nil
}

// transfer identifies what is being sent to another program in portions: by that program's window and property.
type transfer struct {
	window   xproto.Window
	property xproto.Atom
}

// portions is what is left to send of a transfer.
type portions struct {
	kind xproto.Atom
	rest []byte
}

// serve answers the programs that paste, until another program owns the clipboard. order has the formats, the best
// first.
func (c *client) serve(offered map[xproto.Atom][]byte, order []xproto.Atom) {
	defer c.close()
	sent := map[transfer]portions{}
	for e := range c.events {
		switch e := e.(type) {
		case xproto.SelectionClearEvent:
			return
		case xproto.SelectionRequestEvent:
			c.answer(e, offered, order, sent)
		case xproto.PropertyNotifyEvent:
			t := transfer{e.Window, e.Atom}
			p, ok := sent[t]
			if !ok || e.State != xproto.PropertyDelete {
				continue
			}
			portion := p.rest[:min(portionBytes, len(p.rest))]
			c.writeProperty(t, p.kind, 8, portion) // An empty portion ends the transfer.
			if sent[t] = (portions{p.kind, p.rest[len(portion):]}); len(portion) == 0 {
				delete(sent, t)
			}
		}
	}
}

// writeProperty writes data, whose elements have format bits, into the other program's property.
func (c *client) writeProperty(t transfer, kind xproto.Atom, format byte, data []byte) {
	count := uint32(len(data)) / uint32(format/8)
	xproto.ChangeProperty(c.conn, xproto.PropModeReplace, t.window, t.property, kind, format, count, data)
}

// answer writes what another program asks for: the list of formats, the data, or their size, which begins a transfer in
// portions. It then tells that program which property it wrote, or none.
func (c *client) answer(
	e xproto.SelectionRequestEvent, offered map[xproto.Atom][]byte, order []xproto.Atom, sent map[transfer]portions,
) {
	data, has := offered[e.Target]
	t := transfer{e.Requestor, e.Property}
	if t.property == xproto.AtomNone {
		t.property = e.Target // Old clients name no property and expect this one.
	}
	switch {
	case e.Target == c.targets:
		atoms := make([]byte, 4*(1+len(order)))
		for i, a := range append([]xproto.Atom{c.targets}, order...) {
			xgb.Put32(atoms[4*i:], uint32(a))
		}
		c.writeProperty(t, xproto.AtomAtom, 32, atoms)
	case !has:
		t.property = xproto.AtomNone // There is no such format.
	case len(data) <= portionBytes:
		c.writeProperty(t, e.Target, 8, data)
	default:
		// The event that the other program has deleted the property asks for the first portion.
		events := []uint32{xproto.EventMaskPropertyChange}
		xproto.ChangeWindowAttributes(c.conn, t.window, xproto.CwEventMask, events)
		size := make([]byte, 4)
		xgb.Put32(size, uint32(len(data)))
		sent[t] = portions{e.Target, data}
		c.writeProperty(t, c.incremental, 32, size)
	}
	notify := xproto.SelectionNotifyEvent{
		Time: e.Time, Requestor: e.Requestor, Selection: e.Selection, Target: e.Target, Property: t.property,
	}
	xproto.SendEvent(c.conn, false, e.Requestor, 0, string(notify.Bytes()))
}
