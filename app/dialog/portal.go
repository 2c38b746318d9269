//go:build !windows

package dialog

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"unicode"

	"github.com/godbus/dbus/v5"
)

// D-Bus names and paths of the portal's interface for file dialogs.
const (
	portalName    = "org.freedesktop.portal.Desktop"
	portalPath    = "/org/freedesktop/portal/desktop"
	fileChooser   = "org.freedesktop.portal.FileChooser"
	requestPrefix = "/org/freedesktop/portal/desktop/request/"
)

// portalFilter is a filter in the portal's format, D-Bus type (sa(us)).
type portalFilter struct {
	Name  string
	Globs []portalGlob
}

// portalGlob is one pattern of a portalFilter.
type portalGlob struct {
	Kind    uint32 // 0 for a glob, 1 for a media type
	Pattern string
}

// globs returns the filters in the portal's format.
func globs(filters []filter) (list []portalFilter) {
	for _, f := range filters {
		p := portalFilter{Name: f.name}
		for _, extension := range f.extensions {
			p.Globs = append(p.Globs, portalGlob{0, "*." + anyCase(extension)})
		}
		list = append(list, p)
	}
	return list
}

// anyCase returns a glob that matches s in upper and lower case, because the portal's globs are case-sensitive.
func anyCase(s string) string {
	var b strings.Builder
	for _, r := range s {
		if unicode.IsLetter(r) {
			fmt.Fprintf(&b, "[%c%c]", unicode.ToLower(r), unicode.ToUpper(r))
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// bytesOf returns a path in the portal's format: bytes with a zero at the end.
func bytesOf(path string) dbus.Variant { return dbus.MakeVariant(append([]byte(path), 0)) }

func (b *FileBuilder) options() map[string]dbus.Variant {
	options := map[string]dbus.Variant{}
	if len(b.filters) > 0 {
		options["filters"] = dbus.MakeVariant(globs(b.filters))
	}
	if b.dir != "" {
		options["current_folder"] = bytesOf(b.dir)
	}
	return options
}

func (b *FileBuilder) load(many bool) ([]string, error) {
	options := b.options()
	options["multiple"] = dbus.MakeVariant(many)
	return ask("OpenFile", b.owner, b.title, options, b.loadFallback)
}

func (b *FileBuilder) save() ([]string, error) {
	options := b.options()
	options["current_name"] = dbus.MakeVariant(b.file)
	return ask("SaveFile", b.owner, b.title, options, b.saveFallback)
}

func (b *DirectoryBuilder) browse() ([]string, error) {
	options := map[string]dbus.Variant{"directory": dbus.MakeVariant(true)}
	if b.dir != "" {
		options["current_folder"] = bytesOf(b.dir)
	}
	return ask("OpenFile", b.owner, b.title, options, b.browseFallback)
}

// ask shows a dialog of the portal. If no portal answers, fallback shows another dialog or returns the error that it
// was given.
func ask(
	method string, owner uintptr, title string, options map[string]dbus.Variant, fallback func(error) ([]string, error),
) ([]string, error) {
	paths, err := askPortal(method, owner, title, options)
	if errors.Is(err, ErrUnavailable) {
		return fallback(err)
	}
	return paths, err
}

// askPortal calls a method of the portal and waits for the user's answer, which arrives as a signal of the request's
// object.
//
// The portal takes the request's object path from the sender's name and a token, so the path is known before the call.
// The signal is subscribed to before the call too, because a portal may answer before the call returns.
func askPortal(method string, owner uintptr, title string, options map[string]dbus.Variant) ([]string, error) {
	// Each dialog has a connection of its own, so that it receives no other dialog's signals.
	conn, err := dbus.ConnectSessionBus()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer conn.Close()
	signals := make(chan *dbus.Signal, 8)
	conn.Signal(signals)
	token := "kleinbild" + rand.Text()
	sender := strings.ReplaceAll(strings.TrimPrefix(conn.Names()[0], ":"), ".", "_")
	request := dbus.ObjectPath(requestPrefix + sender + "/" + token)
	if err := conn.AddMatchSignal(dbus.WithMatchObjectPath(request), dbus.WithMatchMember("Response")); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	options["handle_token"] = dbus.MakeVariant(token)
	parent := ""
	if owner != 0 {
		parent = fmt.Sprintf("x11:%x", owner)
	}
	var handle dbus.ObjectPath
	portal := conn.Object(portalName, portalPath)
	if err := portal.Call(fileChooser+"."+method, 0, parent, title, options).Store(&handle); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	for s := range signals {
		if s.Path == request || s.Path == handle {
			return answer(s.Body)
		}
	}
	return nil, fmt.Errorf("%w: the connection to the portal was lost", ErrUnavailable)
}

// answer reads the body of the Response signal: a code and a map that holds the chosen files as URIs. The URIs are
// parsed as URIs, in which a plus sign is a plus sign, and not as a query, in which it is a space.
func answer(body []any) ([]string, error) {
	var response uint32
	var results map[string]dbus.Variant
	if err := dbus.Store(body, &response, &results); err != nil {
		return nil, fmt.Errorf("dialog: the system's file dialog sent a malformed answer: %w", err)
	}
	switch response {
	case 0:
	case 1:
		return nil, ErrCancelled
	default:
		return nil, fmt.Errorf("dialog: the system's file dialog failed (code %d): try again", response)
	}
	uris, ok := results["uris"].Value().([]string)
	if !ok {
		return nil, errors.New("dialog: the system's file dialog did not say which file was chosen: try again")
	}
	var paths []string
	for _, uri := range uris {
		u, err := url.Parse(uri)
		if err != nil || u.Scheme != "file" {
			return nil, fmt.Errorf("dialog: %s is on the network, want a file on this machine", uri)
		}
		paths = append(paths, u.Path)
	}
	return paths, nil
}
