package fynelog_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	_ "fyne.io/fyne/v2/lang"

	_ "github.com/kleinbild/kleinbild/app/fynelog"
)

// TestLocales starts programs in locales that Fyne does not know. Fyne logs an error about each while it is
// initialised.
func TestLocales(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, locale := range []string{"C", "POSIX", "C.UTF-8", "C.utf8", ""} {
		for _, name := range []string{"LANG", "LC_ALL", "LC_MESSAGES"} {
			command := exec.Command(self, "-test.run", "^$")
			command.Env = append(os.Environ(), "LANG=", "LC_ALL=", "LC_MESSAGES=", "LANGUAGE=", name+"="+locale)
			out, err := command.CombinedOutput()
			if err != nil || strings.Contains(string(out), "ocale") {
				t.Errorf("%s=%s: %v: %s", name, locale, err, out)
			}
		}
	}
}
