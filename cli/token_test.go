package cli

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/adrg/xdg"
)

// ownConfig gives the test a configuration folder of its own.
func ownConfig(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	t.Setenv("LOCALAPPDATA", dir)
	xdg.Reload()
	t.Cleanup(xdg.Reload)
}

func askToken(t *testing.T, c serveCommand, in string) (token, said string, err error) {
	t.Helper()
	var stderr strings.Builder
	token, err = c.token(t.Context(), Streams{In: strings.NewReader(in), Err: &stderr})
	return token, stderr.String(), err
}

// TestToken checks that a token is made once and never logged, and that a file with other text is an error that says
// what to do.
func TestToken(t *testing.T) {
	ownConfig(t)
	first, said, err := askToken(t, serveCommand{}, "")
	if err != nil || !isToken(first) || strings.Contains(said, first) ||
		!strings.Contains(said, "the token is in "+tokenFile()) {
		t.Fatalf("%q, %q, %v", first, said, err)
	}
	if again, said, err := askToken(t, serveCommand{}, ""); err != nil || again != first || strings.Contains(said, first) {
		t.Errorf("%q, %q, %v, want %q, not shown", again, said, err, first)
	}
	if files, err := os.ReadDir(filepath.Dir(tokenFile())); err != nil || len(files) != 1 {
		t.Errorf("%d files, %v", len(files), err)
	}
	for _, row := range []struct{ name, text, want string }{
		{"empty", "", "is empty: delete it, and the next start makes a new token"},
		{"blank", " \n\n", wantToken + " (delete the file to get a new token)"},
		{"two words", "two words\n", wantToken + " (delete the file to get a new token)"},
		{"two lines", "one\ntwo\n", wantToken},
		{"zeros, as a crash leaves them", strings.Repeat("\x00", 27), wantToken},
		{"not UTF-8", "\xff\xfe\x00", wantToken},
		{"drives a terminal", "x\x1b]52;c;\a", wantToken},
		{"too long", strings.Repeat("x", maxTokenBytes+1), "found 4097 bytes, want at most 4096"},
	} {
		if err := os.WriteFile(tokenFile(), []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		if token, said, err := askToken(t, serveCommand{}, ""); err == nil || !strings.Contains(oneLine(err), row.want) ||
			!strings.Contains(oneLine(err), tokenFile()) || said != "" {
			t.Errorf("%s: %q, %q, %v", row.name, token, said, err)
		}
		if text, err := os.ReadFile(tokenFile()); err != nil || string(text) != row.text {
			t.Errorf("%s: the file was changed: %q, %v", row.name, text, err)
		}
	}
}

// TestFirstStartsAtOnce checks that many first starts at once make one token, and that all of them return the whole
// token.
func TestFirstStartsAtOnce(t *testing.T) {
	for range 20 {
		ownConfig(t)
		var starts sync.WaitGroup
		begin := make(chan struct{})
		tokens := make([]string, 8)
		for i := range tokens {
			starts.Go(func() {
				<-begin
				var err error
				if tokens[i], _, err = askToken(t, serveCommand{}, ""); err != nil {
					t.Error(err)
				}
			})
		}
		close(begin)
		starts.Wait()
		for _, token := range tokens {
			if !isToken(token) || token != tokens[0] {
				t.Fatalf("%q", tokens)
			}
		}
		if files, err := os.ReadDir(filepath.Dir(tokenFile())); err != nil || len(files) != 1 {
			t.Errorf("%d files, %v", len(files), err)
		}
	}
}

// TestSlowFirstStart checks that a start waits while the file of another start is empty, as it is for a moment on a
// disk without hard links.
func TestSlowFirstStart(t *testing.T) {
	ownConfig(t)
	if err := os.MkdirAll(filepath.Dir(tokenFile()), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(tokenFile(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var token string
	var err error
	var wait sync.WaitGroup
	wait.Go(func() { token, _, err = askToken(t, serveCommand{}, "") })
	if err := os.WriteFile(tokenFile(), []byte("theirs\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	wait.Wait()
	if err != nil || token != "theirs" {
		t.Errorf("%q, %v", token, err)
	}
}

func TestTokenFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	for _, row := range []struct {
		name, file, in string
		text           string
		token, want    string // want is a part of the error
	}{
		{"a file", path, "", "mine\n", "mine", ""},
		{"a file without a line end", path, "", "mine", "mine", ""},
		{"standard input", "-", "mine\r\n", "", "mine", ""},
		{"empty", path, "", "", "", "--token-file: " + path + ": holds no token, " + wantToken},
		{"nothing on standard input", "-", "", "", "", "--token-file: standard input: holds no token"},
		{"words", path, "", "secret words", "", "its text is not a token"},
		{"much", "-", strings.Repeat("x", 1<<20), "", "", "its text is not a token"},
	} {
		if err := os.WriteFile(path, []byte(row.text), 0o600); err != nil {
			t.Fatal(err)
		}
		token, said, err := askToken(t, serveCommand{TokenFile: row.file}, row.in)
		if token != row.token || said != "" || (err == nil) != (row.want == "") || err != nil &&
			(!strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), "secret words")) {
			t.Errorf("%s: %q, %q, %v", row.name, token, said, err)
		}
	}
}
