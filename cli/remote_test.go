package cli

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestRemoteSetting(t *testing.T) {
	ownConfig(t)
	if r, use, err := RemoteSetting(); r != (Remote{}) || use || err != nil {
		t.Errorf("%+v, %v, %v before there is a file", r, use, err)
	}
	if err := SetModelSetting("/models/one"); err != nil {
		t.Fatal(err)
	}
	r := Remote{Address: "https://Studio.lan:7820/", Token: "secret-word", CA: "/etc/studio.pem"}
	if err := SetRemoteSetting(r, true); err != nil {
		t.Fatal(err)
	}
	got, use, err := RemoteSetting()
	if want := (Remote{Address: "https://studio.lan:7820", CA: "/etc/studio.pem"}); got != want || !use || err != nil {
		t.Errorf("%+v, %v, %v; want %+v", got, use, err, want)
	}
	if model, err := ModelSetting(); model != "/models/one" || err != nil {
		t.Errorf("the model %q, %v, want the one that was set before", model, err)
	}
	if strings.Contains(string(readFile(t, settingsFile())), "secret-word") {
		t.Error("the settings hold the token")
	}
	info, err := os.Stat(serverTokenFile())
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("the token's file: %v %v", info.Mode(), err)
	}
	for address, want := range map[string]string{
		"https://studio.lan:7820": "secret-word", "http://studio.lan:7820": "", "https://studio.lan": "", "": "",
	} {
		if got, err := serverToken(address); got != want || err != nil {
			t.Errorf("the token for %q is %q, %v; want %q", address, got, err, want)
		}
	}
	// Without a new token the old one stays, also if this computer is used again.
	if err := SetRemoteSetting(got, false); err != nil {
		t.Fatal(err)
	}
	if again, use, err := RemoteSetting(); again != got || use || err != nil {
		t.Errorf("%+v, %v, %v", again, use, err)
	}
	if token, err := serverToken(got.Address); token != "secret-word" || err != nil {
		t.Errorf("%q, %v", token, err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(serverTokenFile(), 0o644); err != nil {
			t.Fatal(err)
		}
		if token, err := serverToken(got.Address); token != "" || err == nil || !strings.Contains(err.Error(), "mode 0644") {
			t.Errorf("a file that others can read: %q, %v", token, err)
		}
	}
}

// TestServerToken checks which token goes to a server, and that none is repeated in an error.
func TestServerToken(t *testing.T) {
	ownConfig(t)
	if err := SetRemoteSetting(Remote{Address: "https://a.lan", Token: "kept"}, true); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("of-the-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, variable, in string
		flags              remoteFlags
		want, fails        string
	}{
		{name: "none"},
		{name: "the flag", flags: remoteFlags{Token: "of-the-flag"}, want: "of-the-flag"},
		{name: "the file", flags: remoteFlags{TokenFile: file}, want: "of-the-file"},
		{name: "standard input", flags: remoteFlags{TokenFile: "-"}, in: "typed\n", want: "typed"},
		{name: "the environment", variable: "of-the-variable", want: "of-the-variable"},
		{name: "the flag before the environment", variable: "no", flags: remoteFlags{Token: "yes"}, want: "yes"},
		{name: "the file before the environment", variable: "no", flags: remoteFlags{TokenFile: file}, want: "of-the-file"},
		{name: "two", flags: remoteFlags{Token: "a", TokenFile: "b"}, fails: "exclude each other"},
		{name: "two words", flags: remoteFlags{Token: "hush hush"}, fails: "--token: want one word"},
		{name: "two words in the environment", variable: "hush hush",
			fails: "$KLEINBILD_SERVER_TOKEN: its text is not a token"},
		{name: "no file", flags: remoteFlags{TokenFile: file + "x"}, fails: "is not there"},
	} {
		t.Setenv(serverTokenVariable, row.variable)
		t.Setenv("KLEINBILD_TOKEN", "of-this-computers-server")
		row.flags.Server = "https://a.lan"
		s := Streams{In: strings.NewReader(row.in), Out: os.Stdout, Err: os.Stderr}
		r, err := row.flags.remote(s)
		if row.fails == "" && (err != nil || r.Token != row.want) {
			t.Errorf("%s: %q, %v; want %q", row.name, r.Token, err, row.want)
		}
		if row.fails != "" &&
			(err == nil || !strings.Contains(oneLine(err), row.fails) || strings.Contains(oneLine(err), "hush")) {
			t.Errorf("%s: %v, want %s", row.name, err, row.fails)
		}
	}
}

func TestRemoteFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, row := range []struct {
		name string
		args []string
		want string
	}{
		{"a model", []string{"-m", "x"}, "--server and --model exclude each other"},
		{"a device", []string{"--device", "cuda"}, "--server and --device exclude each other"},
		{"a precision", []string{"--precision", "bf16"}, "--server and --precision"},
		{"tokens", []string{"--max-sequence-length", "9"}, "--server and --max-sequence-length"},
		{"noise", []string{"--noise", "x"}, "--server and --noise"},
		{"standard input twice", []string{"-p", "-", "--token-file", "-"},
			"--token-file - and --prompt - would both read standard input"},
	} {
		got := call("word", append([]string{"generate", "-p", "x", "--server", "https://a.lan"}, row.args...)...)
		if got.code != exitUsage || !strings.Contains(errorLine(t, got), row.want) {
			t.Errorf("%s: %d %s", row.name, got.code, got.err)
		}
	}
	for _, row := range []struct{ server, want string }{
		{"http://studio.lan", "--server http://studio.lan: http:// sends the token, prompts and pictures"},
		{"ftp://studio.lan", "begins with ftp://, want https:// or http://"},
		{"https://", "is no address of a server"},
		{"https://me:secret@studio.lan", "has a user name"},
		{"https://studio.lan/?a=b", "has more than an address"},
		{"https://me:secret@studio.lan:78 20", "is no address of a server"},
		{"ftp://me:secret@studio.lan", "has a user name"},
	} {
		got := call("", "generate", "-p", "x", "--server", row.server)
		if line := errorLine(t, got); got.code != exitUsage || !strings.Contains(line, row.want) ||
			strings.Contains(line, "secret@") {
			t.Errorf("%s: %d %s", row.server, got.code, got.err)
		}
	}
	for _, flag := range []string{"--token=x", "--token-file=x", "--ca=x", "--insecure"} {
		got := call("", "generate", "-p", "x", flag)
		if got.code != exitUsage || !strings.Contains(errorLine(t, got), "without --server") {
			t.Errorf("%s: %d %s", flag, got.code, got.err)
		}
	}
}

func TestWindowArguments(t *testing.T) {
	ownConfig(t)
	for _, row := range []struct {
		args  string
		ok    bool
		want  Remote
		files string
		fails string
	}{
		{args: ""},
		{args: "generate --server https://a.lan"},
		{args: "--help"},
		{args: "--server https://a.lan", ok: true, want: Remote{Address: "https://a.lan"}},
		{args: "--server=a.lan:7820 one.png two.png", ok: true, want: Remote{Address: "https://a.lan:7820"},
			files: "one.png two.png"},
		{args: "--insecure --server http://a.lan --token t", ok: true,
			want: Remote{Address: "http://a.lan", Token: "t", Insecure: true}},
		{args: "--server http://a.lan", ok: true, fails: "--insecure allows http://"},
		{args: "--server https://a.lan --other x", ok: true, fails: "unknown flag --other"},
		{args: "--server", ok: true, fails: "expected string value"},
	} {
		w, ok, err := ParseWindow(strings.Fields(row.args), Streams{Err: os.Stderr})
		var usage usageError
		switch {
		case ok != row.ok:
			t.Errorf("%s: for the window %v", row.args, ok)
		case row.fails != "" && (err == nil || !strings.Contains(err.Error(), row.fails) || !errors.As(err, &usage)):
			t.Errorf("%s: %v, want %s", row.args, err, row.fails)
		case row.fails == "" && (err != nil || w.Remote != row.want || strings.Join(w.Files, " ") != row.files):
			t.Errorf("%s: %+v, %v", row.args, w, err)
		}
	}
}
