package app

import (
	"os"
	"path/filepath"
	"testing"
)

func TestKeepPreferences(t *testing.T) {
	const first, second = `{"prompt":"a fox","width":1280}`, `{"prompt":"a house"}`
	path := filepath.Join(t.TempDir(), "preferences.json")
	for _, row := range []struct{ name, found, want string }{
		{"damaged before there is a copy", `{"prompt`, `{"prompt`},
		{"sound", first, first},
		{"emptied by a full disk", "", first},
		{"cut off", `{"prompt":"a ho`, first},
		{"not what Fyne writes", "null", first},
		{"sound again", second, second},
		{"emptied again", "", second},
	} {
		if err := os.WriteFile(path, []byte(row.found), 0o600); err != nil {
			t.Fatal(err)
		}
		keepPreferences(path)
		if text, err := os.ReadFile(path); err != nil || string(text) != row.want {
			t.Errorf("%s: %q, %v, want %q", row.name, text, err, row.want)
		}
	}
	gone := filepath.Join(t.TempDir(), "preferences.json")
	keepPreferences(gone)
	if files, err := os.ReadDir(filepath.Dir(gone)); err != nil || len(files) != 0 {
		t.Errorf("%v, %v: where there are no preferences none are made", files, err)
	}
}
