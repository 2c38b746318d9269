package atomicfile

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCheckName(t *testing.T) {
	const either, onWindows, onLinux, nowhere = "", "windows", "linux", "both"
	for _, row := range []struct{ path, refused string }{
		{"fox.png", either}, {"/a/b/fox.png", either}, {"füchse 狐.png", either}, {".hidden.png", either}, {"com.png", either},
		{"com10.png", either}, {"console.png", either}, {"nullify.png", either}, {"com0.png", either}, {"a..png", either},
		{"con-7.png", either}, {"lpt¹x.png", either}, {`sub\fox.png`, either}, {`C:\a\fox.png`, either},
		{"C:fox.png", either},
		{"lpt1", onWindows}, {"LPT9.png", onWindows}, {"con", onWindows}, {"con.png", onWindows}, {"Con.tar.png", onWindows},
		{"nul.png", onWindows}, {"nul .png", onWindows}, {"aux.", onWindows}, {"prn", onWindows}, {"conin$", onWindows},
		{"CONOUT$.png", onWindows}, {"COM¹", onWindows}, {"com³.png", onWindows}, {"lpt².png", onWindows},
		{`C:\a\nul.png`, onWindows},
		{"C:con", onWindows}, {"a/con.png", onWindows}, {"fox.png.", onWindows}, {"fox.png ", onWindows},
		{"fox. . ", onWindows},
		{"a<b.png", onWindows}, {"a>b.png", onWindows}, {"ab:c.png", onWindows}, {"fox.png:stream", onWindows},
		{`a"b.png`, onWindows},
		{"a|b.png", onWindows}, {"a?b.png", onWindows}, {"a*b.png", onWindows}, {"a\nb.png", onWindows},
		{"a\x1f.png", onWindows},
		{strings.Repeat("狐", 80) + ".png", either}, {strings.Repeat("狐", 85) + ".png", onLinux},
		{strings.Repeat("𝕏", 126) + ".png", nowhere}, {strings.Repeat("a", 251) + ".png", either},
		{strings.Repeat("a", 252) + ".png", nowhere}, {"a\x00.png", nowhere}, {"", nowhere}, {"a/", nowhere}, {"..", nowhere},
	} {
		for _, windows := range []bool{false, true} {
			want := row.refused == nowhere || row.refused == onWindows && windows || row.refused == onLinux && !windows
			if err := checkName(row.path, windows); (err != nil) != want {
				t.Errorf("%q, Windows %v: %v, want refused %v", row.path, windows, err, want)
			}
		}
	}
}

// TestRetry checks how often retry calls a function, and which error it returns.
func TestRetry(t *testing.T) {
	temporary, permanent := errors.New("temporary"), errors.New("permanent")
	for _, row := range []struct {
		name  string
		fails []error
		calls int
		want  error
	}{
		{"success", nil, 1, nil},
		{"success at the third call", []error{temporary, temporary}, 3, nil},
		{"temporary errors without end", slices.Repeat([]error{temporary}, 100), replaceTries, temporary},
		{"a permanent error", []error{temporary, permanent, temporary}, 2, permanent},
	} {
		calls := 0
		err := retry(func() error {
			if calls++; calls <= len(row.fails) {
				return row.fails[calls-1]
			}
			return nil
		}, func(err error) bool { return err == temporary }, 0)
		if err != row.want || calls != row.calls {
			t.Errorf("%s: %v after %d calls, want %v after %d", row.name, err, calls, row.want, row.calls)
		}
	}
}

func TestCheckReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fox.png")
	if err := CheckReplace(path); err != nil {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := CheckReplace(path); err != nil {
		t.Errorf("a file: %v", err)
	}
	if err := os.Chmod(path, 0o444); err != nil {
		t.Fatal(err)
	}
	if err := CheckReplace(path); !errors.Is(err, ErrProtected) {
		t.Errorf("a protected file: %v", err)
	}
	_ = os.Chmod(path, 0o644) // so that Windows can remove it
}
