package cli

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/adrg/xdg"
)

func TestModelSetting(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Setenv("LOCALAPPDATA", dir)
	xdg.Reload()
	t.Cleanup(xdg.Reload)
	if got, err := ModelSetting(); err != nil || got != "" {
		t.Errorf("%q, %v before there is a file", got, err)
	}
	for _, spec := range []string{"/models/a b", `C:\models\"x",y`, "/m\xf6del"} {
		if err := SetModelSetting(spec); err != nil {
			t.Fatal(err)
		}
		if got, err := ModelSetting(); err != nil || got != spec {
			t.Errorf("%q, %v, want %q", got, err, spec)
		}
	}
	if files, err := os.ReadDir(filepath.Dir(settingsFile())); err != nil || len(files) != 1 {
		t.Errorf("%d files, %v", len(files), err)
	}
	if err := os.WriteFile(settingsFile(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := ModelSetting(); err != nil || got != "" {
		t.Errorf("%q, %v where a full disk left an empty file, want no setting", got, err)
	}
	if err := os.WriteFile(settingsFile(), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ModelSetting(); err == nil {
		t.Error("a damaged file is no error")
	}
}
