//go:build unix

package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kleinbild/kleinbild/inference"
)

// notesOf returns the lines of a log that are notes.
func notesOf(log string) (notes []string) {
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, "note: ") {
			notes = append(notes, strings.TrimSuffix(line, "\n"))
		}
	}
	return notes
}

// TestNotesOfTheFirstPicture checks that a user who has no model yet reads one note before the first picture, and that
// a model that cannot be opened is named beside it.
func TestNotesOfTheFirstPicture(t *testing.T) {
	if _, err := inference.Graphics(); err == nil {
		t.Skip("this machine has a graphics card, about which there may be notes")
	}
	defer func(old string) { Invocation = old }(Invocation)
	Invocation = "./kleinbild-cli"
	const demo = "note: demo model: simple drawings only; get the real one with: ./kleinbild-cli models get flux2-klein-4b"
	home := ownHome(t)
	t.Chdir(t.TempDir())
	picture := []string{"generate", "-p", "a red house", "--size", "64x64", "--steps", "1"}

	if notes := notesOf(mustMake(t, picture...).err); len(notes) != 1 || notes[0] != demo {
		t.Errorf("without a model: notes %q, want only %q", notes, demo)
	}
	if notes := notesOf(mustMake(t, append(picture, "-m", "demo")...).err); len(notes) != 1 || notes[0] != demo {
		t.Errorf("-m demo: notes %q, want only %q", notes, demo)
	}

	broken := filepath.Join(home, ".local", "share", "kleinbild", "models", "flux2-klein-4b")
	if err := os.MkdirAll(broken, 0o777); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(broken, "model_index.json"), "{")
	notes := notesOf(mustMake(t, picture...).err)
	if len(notes) != 2 || !strings.HasPrefix(notes[0], "note: no model in "+broken) || notes[1] != demo {
		t.Errorf("with a broken model: notes %q, want one about %s and %q", notes, broken, demo)
	}

	// A model of one's own is told all that holds for it.
	own := append(picture[:len(picture):len(picture)], "-m", model(t, "distilled"))
	if log := mustMake(t, own...).err; !strings.Contains(log, "note: computing on the processor: no NVIDIA driver") {
		t.Errorf("another model: %s, want a note that there is no driver", log)
	}
}
