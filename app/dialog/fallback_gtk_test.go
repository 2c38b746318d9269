//go:build gtk && cgo && linux

package dialog

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// These tests open dialogs of GTK on the screen and use them with keys, as a user does. They need xdotool, and a screen
// on which nothing else takes the keys: make test-gtk gives them one of their own.

// noPortal gives the test a screen and no message bus. GTK would end the program if its bus ended with the test.
func noPortal(t *testing.T) {
	t.Helper()
	if os.Getenv("DISPLAY") == "" {
		t.Skip("DISPLAY is not set: no screen")
	}
	if _, err := exec.LookPath("xdotool"); err != nil {
		t.Skip(err)
	}
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path="+filepath.Join(t.TempDir(), "none"))
}

// visible returns the number of the window with a title, or "" if none is on the screen.
func visible(title string) string {
	out, _ := exec.Command("xdotool", "search", "--onlyvisible", "--name", "^"+title+"$").Output()
	return strings.TrimSpace(string(out))
}

// use does with the dialog of GTK's title what a user does: it types text and presses key until asked has an answer. If
// there is none, because a key was lost or GTK completed a name between two keys, it cancels the dialog.
func use[T any](t *testing.T, title, text, key string, asked <-chan T) (answer T) {
	t.Helper()
	xdotool := func(args ...string) { exec.Command("xdotool", args...).Run() }
	typed, pressed := "", 0 // The window that has the text, and how often key was pressed in it.
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		switch id := visible(title); id {
		case "":
		case typed:
			if pressed++; pressed > 10 {
				key = "Escape"
			}
			xdotool("key", key) // A list of proposed names may take the first one.
		default:
			time.Sleep(time.Second) // The dialog reads its folder first.
			xdotool("windowfocus", id)
			if text != "" {
				xdotool("type", "--delay", "100", text)
			}
			typed = id
		}
		select {
		case answer = <-asked:
			return answer
		case <-time.After(500 * time.Millisecond):
		}
	}
	names, _ := exec.Command("xdotool", "search", "--onlyvisible", "--name", ".", "getwindowname", "%@").Output()
	t.Fatalf("the dialog %q did not answer %s within a minute; windows: %q", title, key, names)
	return answer
}

// list returns path in a list, if there is one.
func list(path string, err error) ([]string, error) {
	if path == "" {
		return nil, err
	}
	return []string{path}, err
}

// TestGTK types names into GTK's dialogs and presses Enter or Escape.
func TestGTK(t *testing.T) {
	noPortal(t)
	dir, err := os.MkdirTemp("", "") // A short path is typed quickly.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	picture := filepath.Join(dir, "a b+#%.PNG")
	if err := os.WriteFile(picture, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(dir, "a folder")
	if err := os.Mkdir(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	pictures := File().Filter("Pictures", "png", "jpg").SetStartDir(dir)
	load := func() ([]string, error) { return list(pictures.Load()) }
	save := func() ([]string, error) { return list(File().SetStartDir(dir).SetStartFile("old.png").Save()) }
	browse := func() ([]string, error) { return list(Directory().Title("Where?").Browse()) }
	for _, row := range []struct {
		name, title, text, key string
		ask                    func() ([]string, error)
		want                   []string
		err                    error
	}{
		{"load", "Open File", picture, "Return", load, []string{picture}, nil},
		{"load, Escape", "Open File", "", "Escape", load, nil, ErrCancelled},
		{"load many", "Open File", picture, "Return", pictures.LoadMany, []string{picture}, nil},
		// GTK selects the proposed name without its extension, so the extension stays.
		{"save", "Save File", "fox", "Return", save, []string{filepath.Join(dir, "fox.png")}, nil},
		{"save, Escape", "Save File", "fox", "Escape", save, nil, ErrCancelled},
		{"browse", "Open Folder", folder, "Return", browse, []string{folder}, nil},
		{"browse, Escape", "Open Folder", "", "Escape", browse, nil, ErrCancelled},
	} {
		type answer struct {
			paths []string
			err   error
		}
		if !t.Run(row.name, func(t *testing.T) {
			var have answer
			for range 4 { // On a busy screen text may arrive changed.
				asked := make(chan answer, 1)
				go func() {
					paths, err := row.ask()
					asked <- answer{paths, err}
				}()
				have = use(t, row.title, row.text, row.key, asked)
				if slices.Equal(have.paths, row.want) && errors.Is(have.err, row.err) {
					return
				}
			}
			t.Errorf("%q, %v; want %q, %v", have.paths, have.err, row.want, row.err)
		}) {
			return // A dialog that is still open would keep the next one waiting.
		}
	}
}

// TestGTKTurns asks for two dialogs at once: they are shown one after the other.
func TestGTKTurns(t *testing.T) {
	noPortal(t)
	dir := t.TempDir()
	answers := make(chan string, 2)
	for range 2 {
		go func() {
			path, err := File().SetStartDir(dir).SetStartFile("old.png").Save()
			if err != nil {
				t.Error(err)
			}
			answers <- path
		}()
	}
	for _, name := range []string{"one", "two"} {
		if have, want := use(t, "Save File", name, "Return", answers), filepath.Join(dir, name+".png"); have != want {
			t.Errorf("%q, want %q", have, want)
		}
	}
}

// TestGTKNoScreen runs TestNoScreen in a process that has no screen.
func TestGTKNoScreen(t *testing.T) {
	alone := exec.Command(os.Args[0], "-test.run=^TestNoScreen$")
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); name != "DISPLAY" && name != "WAYLAND_DISPLAY" {
			alone.Env = append(alone.Env, variable)
		}
	}
	alone.Env = append(alone.Env, "KLEINBILD_NO_SCREEN=1", "DBUS_SESSION_BUS_ADDRESS=unix:path=/none")
	if out, err := alone.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// TestNoScreen: without a portal and without a screen there is no dialog, and no panic.
func TestNoScreen(t *testing.T) {
	if os.Getenv("KLEINBILD_NO_SCREEN") == "" {
		t.Skip("run by TestGTKNoScreen")
	}
	if _, err := File().Load(); !errors.Is(err, ErrUnavailable) {
		t.Errorf("%v, want ErrUnavailable", err)
	}
}
