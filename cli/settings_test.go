package cli

import (
	"os"
	"path/filepath"
	"strings"
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

// TestToken: a token is made once. An empty file, which a full disk once left, is replaced, and that is said; what somebody
// wrote there is not.
func TestToken(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Setenv("LOCALAPPDATA", dir)
	xdg.Reload()
	t.Cleanup(xdg.Reload)
	ask := func() (token, said string, err error) {
		var stderr strings.Builder
		token, err = serveCommand{}.token(Streams{Err: &stderr})
		return token, stderr.String(), err
	}
	first, said, err := ask()
	if err != nil || first == "" || !strings.Contains(said, "token: "+first+" ") {
		t.Fatalf("%q, %q, %v", first, said, err)
	}
	if again, said, err := ask(); err != nil || again != first || strings.Contains(said, first) {
		t.Errorf("%q, %q, %v, want %q, not shown", again, said, err, first)
	}
	if err := os.Truncate(tokenFile(), 0); err != nil {
		t.Fatal(err)
	}
	healed, said, err := ask()
	if err != nil || healed == "" || healed == first || !strings.Contains(said, "was empty") || !strings.Contains(said, "token: "+healed+" ") {
		t.Errorf("%q, %q, %v, want a new one that is shown", healed, said, err)
	}
	if again, _, err := ask(); err != nil || again != healed {
		t.Errorf("%q, %v, want %q", again, err, healed)
	}
	if files, err := os.ReadDir(filepath.Dir(tokenFile())); err != nil || len(files) != 1 {
		t.Errorf("%d files, %v", len(files), err)
	}
	if err := os.WriteFile(tokenFile(), []byte("two words\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if token, _, err := ask(); err == nil {
		t.Errorf("%q from a file of two words", token)
	}
}
