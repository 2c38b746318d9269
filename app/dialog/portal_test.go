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

// startBus runs a message bus of the test's own.
func startBus(t *testing.T) string {
	t.Helper()
	daemon := exec.Command("dbus-daemon", "--session", "--nofork", "--print-address")
	out, err := daemon.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := daemon.Start(); err != nil {
		t.Skipf("no message bus here: %v", err)
	}
	t.Cleanup(func() {
		daemon.Process.Kill()
		daemon.Wait()
	})
	address, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Skipf("the message bus does not start: %v", err)
	}
	address = strings.TrimSpace(address)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", address)
	return address
}

// fakePortal answers each request at once, as fast as a portal can.
type fakePortal struct {
	conn *dbus.Conn
	mu   sync.Mutex
	portalState
}

// portalState is what it answers and what it was asked last.
type portalState struct {
	response uint32
	uris     []string

	method, parent, title string
	options               map[string]dbus.Variant
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

func (p *fakePortal) OpenFile(sender dbus.Sender, parent, title string, options map[string]dbus.Variant) (dbus.ObjectPath, *dbus.Error) {
	return p.answer("OpenFile", sender, parent, title, options)
}

func (p *fakePortal) SaveFile(sender dbus.Sender, parent, title string, options map[string]dbus.Variant) (dbus.ObjectPath, *dbus.Error) {
	return p.answer("SaveFile", sender, parent, title, options)
}

func (p *fakePortal) answer(method string, sender dbus.Sender, parent, title string, options map[string]dbus.Variant) (dbus.ObjectPath, *dbus.Error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.method, p.parent, p.title, p.options = method, parent, title, options
	token, _ := options["handle_token"].Value().(string)
	handle := dbus.ObjectPath(requestPrefix + strings.ReplaceAll(strings.TrimPrefix(string(sender), ":"), ".", "_") + "/" + token)
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

	// Names that need escaping come back as they are on the disk.
	p.answers(0, "file:///tmp/a%20b%2B%23%25.png", "file:///tmp/%C3%A4+c.png")
	paths, err := File().Title("Choose").Filter("Pictures", "png", "jpeg").SetStartDir("/tmp/x y").Owner(0xabc).LoadMany()
	if err != nil || !slices.Equal(paths, []string{"/tmp/a b+#%.png", "/tmp/ä+c.png"}) {
		t.Errorf("%q, %v", paths, err)
	}
	if p.asked().method != "OpenFile" || p.asked().parent != "x11:abc" || p.asked().title != "Choose" || p.asked().options["multiple"].Value() != true {
		t.Errorf("%s %q %q %v", p.asked().method, p.asked().parent, p.asked().title, p.asked().options)
	}
	if got := fmt.Sprint(p.asked().options["filters"].Value()); got != "[[Pictures [[0 *.[pP][nN][gG]] [0 *.[jJ][pP][eE][gG]]]]]" {
		t.Errorf("filters %s", got)
	}
	if got := string(p.asked().options["current_folder"].Value().([]byte)); got != "/tmp/x y\x00" {
		t.Errorf("folder %q", got)
	}

	p.answers(0, "file:///tmp/a%20b%2B%23%25.png")
	if path, err := File().SetStartFile("fox.png").Save(); err != nil || path != "/tmp/a b+#%.png" || p.asked().method != "SaveFile" || p.asked().options["current_name"].Value() != "fox.png" {
		t.Errorf("%q, %v; %s %v", path, err, p.asked().method, p.asked().options)
	}
	if path, err := Directory().Title("Where").Browse(); err != nil || path == "" || p.asked().options["directory"].Value() != true {
		t.Errorf("%q, %v; %v", path, err, p.asked().options)
	}
	if path, err := File().Load(); err != nil || path == "" || p.asked().options["multiple"].Value() != false {
		t.Errorf("%q, %v; %v", path, err, p.asked().options)
	}
	p.answers(1)
	if _, err := File().Load(); !errors.Is(err, ErrCancelled) {
		t.Errorf("a closed dialog: %v", err)
	}
	p.answers(2)
	if _, err := File().Load(); err == nil || errors.Is(err, ErrCancelled) || errors.Is(err, ErrUnavailable) {
		t.Errorf("a failed dialog: %v", err)
	}
	p.answers(0)
	if _, err := File().LoadMany(); !errors.Is(err, ErrCancelled) {
		t.Errorf("no file: %v", err)
	}
	p.answers(0, "https://example.org/a.png")
	if _, err := File().Load(); err == nil {
		t.Error("a web address is no file")
	}
}

func TestNoPortal(t *testing.T) {
	startBus(t)
	if _, err := File().Load(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("a bus without a portal: %v", err)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+t.TempDir()+"/none")
	if _, err := Directory().Browse(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("no bus: %v", err)
	}
}
