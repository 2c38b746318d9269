//go:build !windows

package shell

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// errNoTool says what reads and writes pictures on the clipboard here.
var errNoTool = errors.New("pictures on the clipboard need the program xclip (on X11) or wl-clipboard (on Wayland): install it with the system's packages")

// tools are the programs that reach the clipboard's pictures, with what they are called for it. On Wayland
// wl-clipboard comes first.
func tools(wayland, x11 []string) [][]string {
	if os.Getenv("WAYLAND_DISPLAY") != "" {
		return [][]string{wayland, x11}
	}
	return [][]string{x11}
}

// toolTime is how long a program may take: the owner of the clipboard can hang.
const toolTime = 10 * time.Second

// PastePNG returns the clipboard's picture as a PNG file.
func PastePNG() ([]byte, error) {
	found := false
	for _, t := range tools(
		[]string{"wl-paste", "--no-newline", "--type", "image/png"},
		[]string{"xclip", "-selection", "clipboard", "-target", "image/png", "-out"},
	) {
		if _, err := exec.LookPath(t[0]); err != nil {
			continue
		}
		found = true
		var out bytes.Buffer
		if err := run(t, nil, &out); err == nil && strings.HasPrefix(out.String(), "\x89PNG") {
			return out.Bytes(), nil
		}
	}
	if !found {
		return nil, errNoTool
	}
	return nil, ErrNoPicture
}

// CopyPNG puts a PNG file on the clipboard.
func CopyPNG(file []byte) error {
	for _, t := range tools(
		[]string{"wl-copy", "--type", "image/png"},
		[]string{"xclip", "-selection", "clipboard", "-target", "image/png", "-in"},
	) {
		if _, err := exec.LookPath(t[0]); err == nil {
			// The program goes on in the background, as the clipboard's owner.
			return run(t, file, nil)
		}
	}
	return errNoTool
}

func run(command []string, in []byte, out *bytes.Buffer) error {
	c := exec.Command(command[0], command[1:]...)
	c.Stdin = bytes.NewReader(in)
	if out != nil {
		c.Stdout = out
	}
	if err := c.Start(); err != nil {
		return fmt.Errorf("clipboard: %w", err)
	}
	timer := time.AfterFunc(toolTime, func() { c.Process.Kill() })
	defer timer.Stop()
	if err := c.Wait(); err != nil {
		return fmt.Errorf("clipboard: %s: %w", command[0], err)
	}
	return nil
}
