//go:build !windows

package dialog

import (
	"bufio"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

// startBus runs a message bus for this test alone and returns its address.
func startBus(t *testing.T) string {
	t.Helper()
	daemon := exec.Command("dbus-daemon", "--session", "--nofork", "--print-address")
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Skipf("dbus-daemon: %v", err)
	}
	t.Cleanup(func() {
		daemon.Process.Kill()
		daemon.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Skipf("dbus-daemon printed no address: %v", err)
	}
	address = strings.TrimSpace(address)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
	return address
}

// fakePortal answers each request before the call returns, which is the earliest that a portal can answer.
type fakePortal struct {
	conn *dbus.Conn
	mu   sync.Mutex
	portalState
}

// portalState is what a fakePortal answers, and what it was asked last.
type portalState struct {
	response uint32
	uris     []string

	method, parent, title string
	options               portalOptions
}

func (p *fakePortal) answers(response uint32, uris ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.response, p.uris = response, uris
}

func (p *fakePortal) asked() portalState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.portalState
}

type portalOptions = map[string]dbus.Variant

func (p *fakePortal) OpenFile(s dbus.Sender, parent, title string, o portalOptions) (dbus.ObjectPath, *dbus.Error) {
	return p.answer("OpenFile", s, parent, title, o)
}

func (p *fakePortal) SaveFile(s dbus.Sender, parent, title string, o portalOptions) (dbus.ObjectPath, *dbus.Error) {
	return p.answer("SaveFile", s, parent, title, o)
}

func (p *fakePortal) answer(
	method string, sender dbus.Sender, parent, title string, options portalOptions,
) (dbus.ObjectPath, *dbus.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.method, p.parent, p.title, p.options = method, parent, title, options
	token, _ := options["handle_token"].Value().(string)
	name := strings.ReplaceAll(strings.TrimPrefix(string(sender), ":"), ".", "_")
	handle := dbus.ObjectPath(requestPrefix + name + "/" + token)
	results := map[string]dbus.Variant{"uris": dbus.MakeVariant(p.uris)}
	if err := p.conn.Emit(handle, "org.freedesktop.portal.Request.Response", p.response, results); err != nil {
		return "", dbus.MakeFailedError(err)
	}
	return handle, nil
}

func startPortal(t *testing.T) *fakePortal {
	t.Helper()
	conn, err := dbus.Connect(startBus(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	p := &fakePortal{conn: conn}
	if err := conn.Export(p, portalPath, fileChooser); err != nil {
		t.Fatal(err)
	}
	if reply, err := conn.RequestName(portalName, 0); err != nil || reply != dbus.RequestNameReplyPrimaryOwner {
		t.Fatal(reply, err)
	}
	return p
}

func TestPortal(t *testing.T) {
	p := startPortal(t)

	// Names whose characters URIs escape come back as they are on the disk. Portals write a plus sign either way.
	p.answers(0, "file:///tmp/a%20b%2B%23%25.png", "file:///tmp/%C3%A4+c.png")
	many := File().Title("Choose").Filter("Pictures", "png", "jpeg").SetStartDir("/tmp/x y").Owner(0xabc)
	paths, err := many.LoadMany()
	if err != nil || !slices.Equal(paths, []string{"/tmp/a b+#%.png", "/tmp/ä+c.png"}) {
		t.Errorf("%q, %v", paths, err)
	}
	asked := p.asked()
	if asked.method != "OpenFile" || asked.parent != "x11:abc" || asked.title != "Choose" {
		t.Errorf("%s %q %q, want OpenFile x11:abc Choose", asked.method, asked.parent, asked.title)
	}
	if asked.options["multiple"].Value() != true {
		t.Errorf("LoadMany: options %v, want multiple", asked.options)
	}
	filters := fmt.Sprint(asked.options["filters"].Value())
	if filters != "[[Pictures [[0 *.[pP][nN][gG]] [0 *.[jJ][pP][eE][gG]]]]]" {
		t.Errorf("filters %s", filters)
	}
	if got := string(asked.options["current_folder"].Value().([]byte)); got != "/tmp/x y\x00" {
		t.Errorf("folder %q", got)
	}

	p.answers(0, "file:///tmp/a%20b%2B%23%25.png")
	path, err := File().SetStartFile("fox.png").Save()
	if err != nil || path != "/tmp/a b+#%.png" {
		t.Errorf("Save: %q, %v", path, err)
	}
	if asked := p.asked(); asked.method != "SaveFile" || asked.options["current_name"].Value() != "fox.png" {
		t.Errorf("Save: %s %v, want SaveFile with the name fox.png", asked.method, asked.options)
	}
	path, err = Directory().Title("Where").Browse()
	if err != nil || path == "" || p.asked().options["directory"].Value() != true {
		t.Errorf("Browse: %q, %v; options %v", path, err, p.asked().options)
	}
	path, err = File().Load()
	if err != nil || path == "" || p.asked().options["multiple"].Value() != false {
		t.Errorf("Load: %q, %v; options %v", path, err, p.asked().options)
	}
	p.answers(1)
	if _, err := File().Load(); !errors.Is(err, ErrCancelled) {
		t.Errorf("the user closed the dialog: %v, want ErrCancelled", err)
	}
	p.answers(2)
	if _, err := File().Load(); err == nil || errors.Is(err, ErrCancelled) || errors.Is(err, ErrUnavailable) {
		t.Errorf("the dialog failed: %v, want an error of its own", err)
	}
	p.answers(0)
	if _, err := File().LoadMany(); !errors.Is(err, ErrCancelled) {
		t.Errorf("an empty list of files: %v, want ErrCancelled", err)
	}
	p.answers(0, "https://example.org/a.png")
	if _, err := File().Load(); err == nil {
		t.Error("a web address was returned as a file")
	}
}
