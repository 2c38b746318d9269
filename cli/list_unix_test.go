//go:build unix

package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestListInterrupted ends a list in the middle, by a signal or by a kill: nothing half-written is there, and the same
// command makes the rest, so that the set is that of a run that was not ended.
func TestListInterrupted(t *testing.T) {
	t.Chdir(t.TempDir())
	writeFile(t, "list.txt", "one\ntwo\nthree\nfour\n")
	list := func(dir string) []string { return small(t, "--steps", "20", "--prompts", "list.txt", "-o", dir) }
	mustMake(t, list("whole")...)

	code, took, _, said := signalled(t, program(t, list("made")...), os.Interrupt, "1 of 4: ")
	if code != exitInterrupt || took > atOnce || !strings.HasSuffix(said, "kleinbild: cancelled\n") ||
		!strings.Contains(said, "left: the same command goes on with them\n") {
		t.Errorf("exit code %d after %v: %s", code, took, said)
	}
	if files := in(t, "made"); strings.Count(files, ".png") == 4 || strings.Count(files, ".png") == 0 ||
		strings.Count(files, ".png") != len(strings.Fields(files)) {
		t.Errorf("files %s", files)
	}
	_, _, _, said = signalled(t, program(t, list("made")...), syscall.SIGKILL, "already there, ")
	if strings.Contains(said, "made in") {
		t.Errorf("the kill came too late: %s", said)
	}
	mustMake(t, list("made")...)
	if whole, made := in(t, "whole"), in(t, "made"); made != whole {
		t.Fatalf("files %s, want %s", made, whole)
	}
	for name := range strings.FieldsSeq(in(t, "whole")) {
		if !bytes.Equal(readFile(t, filepath.Join("whole", name)), readFile(t, filepath.Join("made", name))) {
			t.Errorf("%s is another picture than in a run that was not ended", name)
		}
	}
}

// TestListElsewhere makes a list on a server in another process.
func TestListElsewhere(t *testing.T) {
	t.Chdir(t.TempDir())
	ownConfig(t)
	photos(t)
	if err := os.Remove("photos/photo 4.png"); err != nil {
		t.Fatal(err)
	}
	s := serve(t, t.TempDir(), "-m", model(t, "distilled"), "--precision", "float32", "--token", "word")
	flags := []string{"-p", "winter", "-s", "8", "-n", "2", "--size", "64x64", "--steps", "1", "-i", "photos"}
	there := append([]string{"generate", "--server", s.address, "--token", "word", "-o", "there"}, flags...)
	mustMake(t, append([]string{"generate", "-m", model(t, "distilled"), "--precision", "float32", "-o", "here"},
		flags...)...)
	if got := mustMake(t, there...); strings.Count(got.out, "\n") != 6 {
		t.Errorf("standard output %q", got.out)
	}
	entries, err := os.ReadDir("here")
	if err != nil || len(entries) != 6 {
		t.Fatalf("%v, %v", entries, err)
	}
	for _, e := range entries {
		here, there := filepath.Join("here", e.Name()), filepath.Join("there", e.Name())
		if !bytes.Equal(readFile(t, here), readFile(t, there)) {
			t.Errorf("%s: another file than here", e.Name())
		}
	}
	if got := mustMake(t, there...); got.out != "" || !strings.Contains(got.err, "6 already there") {
		t.Errorf("the second time %q: %s", got.out, got.err)
	}
	s.end(t)
}
