package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestManual(t *testing.T) {
	page := mustMake(t, "manual").out
	for _, want := range []string{
		".TH KLEINBILD 1", "kleinbild, kleinbild\\-cli \\- ",
		".SS generate", `\-\-prompt=TEXT`, ".SS models get", `\-\-allow\-remote\-uris`, "KLEINBILD_TOKEN",
		"EXIT STATUS",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the manual lacks %s", want)
		}
	}
	if again := mustMake(t, "manual").out; again != page {
		t.Error("the manual differs from call to call")
	}
	if help := mustMake(t, "--help").out; strings.Contains(help, "manual") {
		t.Error("the command is not hidden")
	}
}

// TestManualRenders lets man render the page, which warns of what it does not understand.
func TestManualRenders(t *testing.T) {
	man, err := exec.LookPath("man")
	if err != nil {
		t.Skip("man is not installed")
	}
	file := filepath.Join(t.TempDir(), "kleinbild.1")
	if err := os.WriteFile(file, []byte(mustMake(t, "manual").out), 0o600); err != nil {
		t.Fatal(err)
	}
	var warnings strings.Builder
	command := exec.Command(man, "--warnings", "-E", "UTF-8", "-l", "-Tutf8", file)
	command.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "MANROFFSEQ=", "MANWIDTH=80")
	command.Stderr = &warnings
	page, err := command.Output()
	if err != nil || warnings.Len() > 0 || !strings.Contains(string(page), "kleinbild-cli models get") {
		t.Errorf("%v: %s%s", err, &warnings, page)
	}
}
